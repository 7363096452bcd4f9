"""What the kernels of Curve's crypto pools of two and three coins have in common.

The exact twin is reference/curve_crypto.py, where the sources are named.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    bit_length,
    constant,
    div,
    load,
    pack,
    select,
    u256,
)
from searcher.kernels.vyper import uadd, udiv, umul

OK: Final = int(Status.OK)
ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
OVERFLOW: Final = int(Status.OVERFLOW)
NO_CONVERGENCE: Final = int(Status.NO_CONVERGENCE)
UNSAFE_VALUES: Final = int(Status.UNSAFE_VALUES)
TURN_TO_NEWTON: Final = -1
"""The cubic has no single real root: the contract iterates instead."""

ROUNDS: Final = 255
VIEW_ROUNDS: Final = 5
FEE_UNIT: Final = 10**10

WAD = constant(10**18)
E10 = constant(10**10)
E14 = constant(10**14)
E16 = constant(10**16)
E20 = constant(10**20)
MIN_GAMMA = constant(10**10)
MIN_D = constant(10**17)
MAX_D = constant(10**33)

_POWERS: Final = pack(10**power for power in range(49))
_CBRT_HIGH = constant(115792089237316195423570985008687907853269)
_CBRT_HIGHEST = constant(115792089237316195423570985008687907853269 * 10**18)
_E6 = constant(10**6)
_E12 = constant(10**12)
_E36 = constant(10**36)


@kernel("U256(U256)")
def cbrt(x: Word) -> Word:
    """Return the cube root of a fixed-point number of 18 decimals, seven Newton steps deep."""
    scaled, scale = x * _E36(), ONE()
    if x >= _CBRT_HIGHEST():
        scaled, scale = x, _E12()
    elif x >= _CBRT_HIGH():
        scaled, scale = x * WAD(), _E6()
    log2 = max(bit_length(scaled) - 1, 0)
    rest = log2 % 3
    root = ONE() << (log2 // 3)
    for _ in range(rest):
        root *= u256(1260)
    for _ in range(rest):
        root = div(root, u256(1000))
    for _ in range(7):
        before = root
        root = div(root + root + div(scaled, root * root), u256(3))
        if root == before:  # so will be the steps that are left
            break
    return root * scale


@kernel("U256(U256, i8, i8)")
def scale_down(threshold: Word, last: int, step: int) -> Word:
    """Return by how much the cubic's coefficients are scaled down before it is solved.

    Args:
        threshold: the least of what must keep its digits.
        last: the lowest power of ten in the contract's list that has 10^18 to spare.
        step: how far apart the powers of ten in that list are, from 48 down.
    """
    power = np.int64(48)
    digits = bit_length(threshold) * 1233 >> 12  # at least the powers of ten below it
    while power - step > digits:
        power -= step
    while power >= last:
        if threshold > load(_POWERS, power):
            return load(_POWERS, power - 18)
        power -= step
    return load(_POWERS, 2) if threshold > E20() else ONE()


@kernel("U256(U256, U256)")
def distance(a: Word, b: Word) -> Word:
    """Return how far two unsigned numbers are apart."""
    return select(a > b, a - b, b - a)


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256, U256, U256, i8)")
def newton_y(  # noqa: PLR0917  kernels are called by place
    amplification: Word,
    gamma: Word,
    invariant: Word,
    start: Word,
    total_given: Word,
    k0_given: Word,
    near: Word,
    coins: int,
) -> tuple[int, Word]:
    """Return the balance that the others leave, by Newton's method."""
    y = start
    count = u256(coins)
    scaled_d = WAD() * invariant  # the callers have checked that it fits
    for _ in range(ROUNDS):
        before = y
        good, share = umul(True, k0_given, y)
        good, share = umul(good, share, count)
        share = div(share, invariant)
        good, total = uadd(good, total_given, y)
        good, apart = uadd(good, distance(gamma + WAD(), share), ONE())
        good, mul1 = umul(good, div(scaled_d, gamma), apart)
        good, mul1 = umul(good, div(mul1, gamma), apart)
        good, mul1 = umul(good, mul1, u256(10_000))
        mul1 = div(mul1, amplification)
        good, mul2 = umul(good, WAD() + WAD(), share)
        good, mul2 = uadd(good, WAD(), div(mul2, apart))
        good, scaled_y = umul(good, WAD(), y)
        good, slope = umul(good, total, mul2)
        good, slope = uadd(good, scaled_y, slope)
        good, slope = uadd(good, slope, mul1)
        good, taken = umul(good, invariant, mul2)
        if not good:
            return OVERFLOW, ZERO()
        if slope < taken:
            y = before >> 1
            continue
        slope -= taken
        good, prime = udiv(good, slope, y)
        good, minus = udiv(good, mul1, prime)
        good, plus = uadd(good, slope, scaled_d)
        good, plus = udiv(good, plus, prime)
        good, more = umul(good, minus, WAD())
        good, more = udiv(good, more, share)
        good, plus = uadd(good, plus, more)
        good, less = umul(good, WAD(), total)
        good, minus = uadd(good, minus, div(less, prime))
        if not good:
            return OVERFLOW, ZERO()
        y = select(plus < minus, before >> 1, plus - minus)
        diff = distance(y, before)
        if diff < near or diff < div(y, E14()):
            return OK, y
    return NO_CONVERGENCE, ZERO()


@kernel("b1(U256, U256, U256, U256)")
def is_share(balance: Word, invariant: Word, least: Word, most: Word) -> bool:
    """Return whether a balance's share of the invariant, 18 decimals, lies in bounds."""
    good, share = umul(True, balance, WAD())
    good, share = udiv(good, share, invariant)
    return bool(good and least <= share and share <= most)


@kernel("f8(f8, f8, f8, f8)")
def slope(x_in: float, x_out: float, near: float, far: float) -> float:
    """Return how much goes out per unit in at a point of the curve, both as `xp`, without the fee.

    Args:
        x_in: `xp` of the coin that goes in.
        x_out: `xp` of the coin that goes out.
        near: the curve's constant part there.
        far: its part per unit of a balance.
    """
    return x_out / x_in * (near + far * x_in) / (near + far * x_out)


@kernel("UniTuple(f8, 2)(f8, f8, f8, f8)")
def curvature(
    k0: float, amplification: float, gamma: float, invariant: float
) -> tuple[float, float]:
    """Return what `slope` needs for the crypto invariant.

    Args:
        k0: the balances' product over that in balance.
        amplification: A, with its factors.
        gamma: gamma, in units.
        invariant: D.
    """
    near = 2.0 * k0**3 + (1.0 + gamma) ** 2 - k0**2 * (2.0 * gamma + 3.0)
    return near, amplification / 10_000.0 * gamma * gamma / invariant * k0
