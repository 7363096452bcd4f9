"""Constant product, as Uniswap V2 and its forks compute it, at native speed.

Sources: UniswapV2Library.getAmountOut and getAmountIn, and the checks of UniswapV2Pair.swap. The
exact twin is `reference.uniswap_v2`; amounts are smallest units, the fee is in hundredths of a
basis point, and the first result of each is a `Status`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from searcher.kernels._division import divide3by2, reciprocal, upper_limb
from searcher.kernels._jit import kernel
from searcher.kernels._word import from_limbs, leading_zeros, mul128, when
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ONE, ZERO, Word, constant, div, limb, to_float, u256

FEE_UNIT: Final = 1_000_000
FEE_STEP: Final = 100
"""Almost every fee is a multiple of it, and then all that is divided by has two limbs."""

Limb: TypeAlias = Any

_LARGEST = constant(2**112 - 1)
"""A pair stores reserves as uint112 and reverts when a balance exceeds it."""

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY_POOL: Final = int(Status.EMPTY_POOL)
_INSUFFICIENT_LIQUIDITY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_BAD_STATE: Final = int(Status.BAD_STATE)
_NONE: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_STEPS: Final = np.uint64(FEE_UNIT // FEE_STEP)
_UPPER_BITS: Final = np.uint64(112 - 64)


@kernel("i8(U256, U256, U256, i8)")
def _status(amount: Word, reserve_in: Word, reserve_out: Word, fee_pips: int) -> int:
    """Return what forbids a swap before any arithmetic."""
    if not 0 <= fee_pips < FEE_UNIT or (reserve_in | reserve_out) > _LARGEST():
        return _BAD_STATE
    if amount == ZERO():
        return _ZERO_AMOUNT
    if reserve_in == ZERO() or reserve_out == ZERO():
        return _EMPTY_POOL
    return _OK


@kernel("b1(U256, U256, U256, i8)", inlined=True)
def _is_usual(amount: Word, reserve_in: Word, reserve_out: Word, fee_pips: int) -> bool:
    """Return whether nothing is 0 or beyond uint112, and the fee is whole 1e-4."""
    upper = limb(amount, 3) | limb(amount, 2) | limb(reserve_in, 3) | limb(reserve_in, 2)
    upper |= limb(reserve_out, 3) | limb(reserve_out, 2)
    upper |= (limb(amount, 1) | limb(reserve_in, 1) | limb(reserve_out, 1)) >> _UPPER_BITS
    some = (limb(amount, 1) | limb(amount, 0)) != _NONE
    some &= (limb(reserve_in, 1) | limb(reserve_in, 0)) != _NONE
    some &= (limb(reserve_out, 1) | limb(reserve_out, 0)) != _NONE
    return bool((upper == _NONE) & some and 0 <= fee_pips < FEE_UNIT and fee_pips % FEE_STEP == 0)


@kernel("UniTuple(u8, 2)(U256, u8)", inlined=True)
def _times(number: Word, factor: Limb) -> tuple[Limb, Limb]:
    """Return the limbs of a number below 2^112 times a share of the fee's."""
    high, low = mul128(limb(number, 0), factor)
    return limb(number, 1) * factor + high, low


@kernel("UniTuple(u8, 4)(u8, u8, U256)", inlined=True)
def _product(a1: Limb, a0: Limb, number: Word) -> tuple[Limb, Limb, Limb, Limb]:
    """Return the four limbs of the product of two numbers of two."""
    b1, b0 = limb(number, 1), limb(number, 0)
    n1, n0 = mul128(a0, b0)
    n2, low = mul128(a1, b0)
    n1 += low
    n2 += when(n1 < low, _ONE)
    high, low = mul128(a0, b1)
    n1 += low
    high += when(n1 < low, _ONE)
    n3, low = mul128(a1, b1)
    n2 += high
    n3 += when(n2 < high, _ONE)
    n2 += low
    n3 += when(n2 < low, _ONE)
    return n3, n2, n1, n0


@kernel("U256(u8, u8, u8, u8, u8, u8)", inlined=True)
def _quotient(n3: Limb, n2: Limb, n1: Limb, n0: Limb, d1: Limb, d0: Limb) -> Word:  # noqa: PLR0917  kernels are called by place
    """Divide four limbs by two that are normalised; the quotient is known to be below 2^128."""
    v = reciprocal(d1, d0)
    q1, r1, r0 = divide3by2(n3, n2, n1, d1, d0, v)
    q0, r1, r0 = divide3by2(r1, r0, n0, d1, d0, v)
    return from_limbs(_NONE, _NONE, q1, q0)


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)")
def _any_amount_out(
    amount_in: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return `amount_out` of whatever numbers."""
    status = _status(amount_in, reserve_in, reserve_out, fee_pips)
    if status != _OK:
        return status, ZERO()
    if amount_in > _LARGEST() or reserve_in + amount_in > _LARGEST():
        return _OVERFLOW, ZERO()
    with_fee = amount_in * u256(FEE_UNIT - fee_pips)
    return _OK, div(with_fee * reserve_out, reserve_in * u256(FEE_UNIT) + with_fee)


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)", inlined=True)
def amount_out(
    amount_in: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return what a pair pays for exactly `amount_in`: 0 for dust, as the library answers."""
    if not _is_usual(amount_in, reserve_in, reserve_out, fee_pips):
        return _any_amount_out(amount_in, reserve_in, reserve_out, fee_pips)
    low = limb(reserve_in, 0) + limb(amount_in, 0)
    high = limb(reserve_in, 1) + limb(amount_in, 1) + when(low < limb(amount_in, 0), _ONE)
    if high >> _UPPER_BITS != _NONE:
        return _OVERFLOW, ZERO()
    f1, f0 = _times(amount_in, np.uint64((FEE_UNIT - fee_pips) // FEE_STEP))
    d1, d0 = _times(reserve_in, _STEPS)
    d0 += f0
    d1 += f1 + when(d0 < f0, _ONE)
    # The divisor is above the input, so that both can move up before the product is made.
    if d1 == _NONE:
        d1, d0, f1, f0 = d0, _NONE, f0, _NONE
    bits = leading_zeros(d1)
    d1, d0 = upper_limb(d1, d0, bits), d0 << bits
    f1, f0 = upper_limb(f1, f0, bits), f0 << bits
    n3, n2, n1, n0 = _product(f1, f0, reserve_out)
    return _OK, _quotient(n3, n2, n1, n0, d1, d0)


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)")
def _any_amount_in(
    amount_out: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return `amount_in` of whatever numbers."""
    status = _status(amount_out, reserve_in, reserve_out, fee_pips)
    if status != _OK:
        return status, ZERO()
    if amount_out >= reserve_out:
        return _INSUFFICIENT_LIQUIDITY, ZERO()
    wanted = reserve_in * amount_out * u256(FEE_UNIT)
    needed = div(wanted, (reserve_out - amount_out) * u256(FEE_UNIT - fee_pips)) + ONE()
    if reserve_in + needed > _LARGEST():
        return _OVERFLOW, ZERO()
    return _OK, needed


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)", inlined=True)
def amount_in(
    amount_out: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return the input that the library asks for to pay exactly `amount_out`."""
    usual = _is_usual(amount_out, reserve_in, reserve_out, fee_pips)
    if not usual or amount_out >= reserve_out:
        return _any_amount_in(amount_out, reserve_in, reserve_out, fee_pips)
    n1, n0 = _times(reserve_in, _STEPS)
    d1, d0 = _times(reserve_out - amount_out, np.uint64((FEE_UNIT - fee_pips) // FEE_STEP))
    n3, n2, n1, n0 = _product(n1, n0, amount_out)
    if n3 > d1 or (n3 == d1 and n2 >= d0):  # needed is 2^128 or more
        return _OVERFLOW, ZERO()
    if d1 == _NONE:
        d1, d0, n3, n2, n1, n0 = d0, _NONE, n2, n1, n0, _NONE
    bits = leading_zeros(d1)
    d1, d0 = upper_limb(d1, d0, bits), d0 << bits
    n3, n2, n1 = upper_limb(n3, n2, bits), upper_limb(n2, n1, bits), upper_limb(n1, n0, bits)
    needed = _quotient(n3, n2, n1, n0 << bits, d1, d0) + ONE()
    if needed > _LARGEST() or reserve_in + needed > _LARGEST():
        return _OVERFLOW, ZERO()
    return _OK, needed


@kernel("Tuple((i8, f8))(U256, U256, U256, i8)")
def marginal_rate(
    amount_in: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, float]:
    """Return how much more comes out per unit more in, at an input of `amount_in`, for search."""
    status = _status(ONE(), reserve_in, reserve_out, fee_pips)
    if status != _OK:
        return status, 0.0
    has, keep = to_float(reserve_in), 1.0 - fee_pips / FEE_UNIT
    grown = has + keep * to_float(amount_in)
    return _OK, keep * has / grown * (to_float(reserve_out) / grown)
