"""What the kernels of Curve's crypto pools of two and three coins have in common.

The exact twin is reference/curve_crypto.py, where the sources are named.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.divisors import divisor, divisor_inlined, over, over_inlined
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    bit_length,
    constant,
    div,
    div_up,
    is_negative,
    load,
    pack,
    select,
    to_float,
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

FEE_REDUCED: Final = 0
"""The fee falls with fee_gamma / (fee_gamma + 1 - balance)."""
FEE_HARMONIC: Final = 1
"""It falls with fee_gamma * balance / (fee_gamma * balance + 1 - balance)."""
FEE_LINEAR: Final = 2
"""It falls with the balance."""

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
_LOST: Final = np.int64(24)
_ONE_BIT: Final = np.int64(1)
_BELOW_E14: Final = np.int64(46)
_E4 = constant(10**4)
_E12 = constant(10**12)
_E36 = constant(10**36)


@kernel("U256(U256)")
def _stepwise(scaled: Word) -> Word:
    """Return the cube root after the contract's seven steps."""
    log2 = max(bit_length(scaled) - 1, 0)
    rest = log2 % 3
    root = ONE() << (log2 // 3)
    for _ in range(rest):
        root *= u256(1260)
    for _ in range(rest):
        root = div(root, u256(1000))
    for _ in range(7):
        root = div(root + root + div(scaled, root * root), u256(3))
    return root


@kernel("f8(U256)")
def signed_to_float(x: Word) -> float:
    """Return a two's complement number as a double."""
    return -to_float(ZERO() - x) if is_negative(x) else to_float(x)


@kernel("U256(U256)")
def cbrt(x: Word) -> Word:
    """Return the cube root of a fixed-point number of 18 decimals, seven Newton steps deep.

    From the contract's start, which is at most a quarter below the root, six steps lead to the
    root rounded down or to one more, and the seventh to the root rounded down; so it is found from
    a double here, and proven. Only where the root's own next step leads away from it are the steps
    taken.
    """
    scaled, scale = x * _E36(), ONE()
    if x >= _CBRT_HIGHEST():
        scaled, scale = x, _E12()
    elif x >= _CBRT_HIGH():
        scaled, scale = x * WAD(), _E6()
    near = np.cbrt(to_float(scaled))
    # The double's whole part, but for what its 53 bits do not hold of at most 86.
    root = u256(np.int64(near)) if near < 2.0**62 else u256(np.int64(near * 2.0**-24)) << _LOST
    # What is left is far below 2^255, so that its low 256 bits tell it, and its sign.
    left = scaled - root * root * root
    if left != ZERO() and near >= 1.0:
        more = math.floor(signed_to_float(left) / (3.0 * near * near))
        root += u256(np.int64(more))
        left = scaled - root * root * root
    while is_negative(left):
        root -= ONE()
        left = scaled - root * root * root
    square = root * root
    square += square << _ONE_BIT
    # Below 3 root^2 the next step leads back to the root, and (root + 1)^3 is more than `scaled`.
    if left < square:
        return root * scale
    return _stepwise(scaled) * scale


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
    scaled_d = WAD() * invariant  # the callers have checked that it fits
    by_d, by_gamma, by_a = divisor(invariant), divisor(gamma), divisor(amplification)
    gammas = over(scaled_d, by_gamma)
    k0_each = k0_given * u256(coins)  # the callers have checked the shares it is made of
    for _ in range(ROUNDS):
        before = y
        good, share = umul(True, k0_each, y)
        share = over_inlined(share, by_d)
        good, total = uadd(good, total_given, y)
        good, apart = uadd(good, distance(gamma + WAD(), share), ONE())
        good, mul1 = umul(good, gammas, apart)
        good, mul1 = umul(good, over_inlined(mul1, by_gamma), apart)
        good, mul1 = umul(good, mul1, _E4())
        mul1 = over_inlined(mul1, by_a)
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
            y = before >> _ONE_BIT
            continue
        slope -= taken
        prime = over_inlined(slope, divisor_inlined(y))
        good = good and y != ZERO() and prime != ZERO()
        by_prime = divisor_inlined(prime)
        minus = over_inlined(mul1, by_prime)
        good, plus = uadd(good, slope, scaled_d)
        good, more = umul(good, minus, WAD())
        good, more = udiv(good, more, share)
        good, plus = uadd(good, over_inlined(plus, by_prime), more)
        good, less = umul(good, WAD(), total)
        good, minus = uadd(good, minus, over_inlined(less, by_prime))
        if not good:
            return OVERFLOW, ZERO()
        y = select(plus < minus, before >> _ONE_BIT, plus - minus)
        diff = distance(y, before)
        # 2^46 is below 10^14: where the shift tells enough nothing is divided.
        if diff < near or (diff < y >> _BELOW_E14 and diff < div(y, E14())):
            return OK, y
    return NO_CONVERGENCE, ZERO()


@kernel("b1(U256, U256, U256, U256)")
def is_share(balance: Word, invariant: Word, least: Word, most: Word) -> bool:
    """Return whether a balance's share of the invariant, 18 decimals, lies in bounds.

    Args:
        balance: the balance.
        invariant: D, not 0.
        least: the lower bound.
        most: the upper bound; one more of it, times D, fits 256 bits.
    """
    good, share = umul(True, balance, WAD())
    return bool(good and least * invariant <= share and share < (most + ONE()) * invariant)


@kernel("Tuple((b1, U256))(b1, U256, U256, U256)")
def unscaled(good: bool, value: Word, scale: Word, precision: Word) -> tuple[bool, Word]:
    """Return an amount in smallest units, from one in the first coin's: two divisions in one."""
    good, value = umul(good, value, WAD())
    good = good and scale != ZERO() and precision != ZERO()
    fits, both = umul(True, scale, precision)
    return good, div(value, both) if fits else ZERO()


@kernel("U256(U256, U256, U256, U256)")
def missing(value: Word, scale: Word, precision: Word, held: Word) -> Word:
    """Return how much more than is held it takes, in smallest units, to have an `xp` of `value`."""
    whole = div_up(value * WAD(), scale * precision)
    return whole - held if whole > held else ZERO()


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def before_fee(good: bool, paid: Word, fee: Word) -> tuple[bool, Word]:
    """Return the least amount, not 0, that leaves `paid`, not 0, after a fee in 1e-10."""
    good, gross = umul(good, paid - ONE(), E10())
    return good and fee < E10(), div(gross, E10() - fee) + ONE()


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


@kernel("UniTuple(f8, 2)(f8, f8, f8, f8, i8)")
def fee_between(
    balance: float, mid: float, out: float, fee_gamma: float, form: int
) -> tuple[float, float]:
    """Return the fee as a share, and its slope by the balance; not above 0 where there is none.

    Args:
        balance: how balanced the pool is, 1 at most.
        mid: the fee in balance, 1e-10.
        out: the fee out of it, 1e-10.
        fee_gamma: how the one becomes the other, in units.
        form: FEE_REDUCED, FEE_HARMONIC or FEE_LINEAR.
    """
    rest, above = 1.0, balance
    if form == FEE_HARMONIC:
        rest, above = fee_gamma * balance + 1.0 - balance, fee_gamma * balance
    elif form == FEE_REDUCED:
        rest, above = fee_gamma + 1.0 - balance, fee_gamma
    if not rest > 0.0:
        return -1.0, 0.0
    weight, turn = above / rest, 1.0 if form == FEE_LINEAR else fee_gamma / (rest * rest)
    mid, out = mid / FEE_UNIT, out / FEE_UNIT
    return mid * weight + out * (1.0 - weight), turn * (mid - out)


@kernel("f8(f8, f8, f8, f8, f8, f8, f8, f8)")
def rate(  # noqa: PLR0917  kernels are called by place
    x_in: float,
    x_out: float,
    mean: float,
    balance: float,
    descent: float,
    fee: float,
    turn: float,
    paid: float,
) -> float:
    """Return how much more is paid per unit more in, both as `xp`: the fee moves meanwhile.

    Args:
        x_in: `xp` of the coin that goes in.
        x_out: `xp` of the coin that goes out.
        mean: the mean of all coins' `xp`.
        balance: how balanced the pool is.
        descent: the `slope` there.
        fee: the fee as a share.
        turn: its slope by the balance.
        paid: what has come out so far, before the fee, which is taken off all of it.
    """
    moved = balance * (1.0 / x_in - 1.0 / mean - descent * (1.0 / x_out - 1.0 / mean))
    return (1.0 - fee) * descent - moved * turn * max(paid, 0.0)
