"""Constant product, as Uniswap V2 and its forks compute it, at native speed.

Sources: UniswapV2Library.getAmountOut and getAmountIn, and the checks of UniswapV2Pair.swap. The
exact twin is `reference.uniswap_v2`; amounts are smallest units, the fee is in hundredths of a
basis point, and the first result of each is a `Status`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._division import divide3by2, divide128, reciprocal
from searcher.kernels._jit import kernel
from searcher.kernels._word import from_limbs, leading_zeros
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ONE, ZERO, Word, constant, div, limb, to_float, u256

FEE_UNIT: Final = 1_000_000

_LARGEST = constant(2**112 - 1)
"""A pair stores reserves as uint112 and reverts when a balance exceeds it."""

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY_POOL: Final = int(Status.EMPTY_POOL)
_INSUFFICIENT_LIQUIDITY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_BAD_STATE: Final = int(Status.BAD_STATE)
_NONE: Final = np.uint64(0)


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


@kernel("U256(U256, U256)")
def _short_quotient(numerator: Word, divisor: Word) -> Word:
    """Divide, not by zero, where the quotient is known to be below 2^128."""
    d1, d0 = limb(divisor, 1), limb(divisor, 0)
    if limb(divisor, 2) != _NONE:
        return div(numerator, divisor)
    if d1 == _NONE:
        q1, r = divide128(limb(numerator, 2), limb(numerator, 1), d0)
        q0, r = divide128(r, limb(numerator, 0), d0)
        return from_limbs(_NONE, _NONE, q1, q0)
    zeros = leading_zeros(d1)
    n, d = numerator << zeros, divisor << zeros
    d1, d0 = limb(d, 1), limb(d, 0)
    v = reciprocal(d1, d0)
    q1, r1, r0 = divide3by2(limb(n, 3), limb(n, 2), limb(n, 1), d1, d0, v)
    q0, r1, r0 = divide3by2(r1, r0, limb(n, 0), d1, d0, v)
    return from_limbs(_NONE, _NONE, q1, q0)


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)")
def amount_out(
    amount_in: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return what a pair pays for exactly `amount_in`: 0 for dust, as the library answers."""
    status = _status(amount_in, reserve_in, reserve_out, fee_pips)
    if status != _OK:
        return status, ZERO()
    if amount_in > _LARGEST() or reserve_in + amount_in > _LARGEST():
        return _OVERFLOW, ZERO()
    # Whole hundredths of a percent, and so almost every fee, leave a divisor of two limbs.
    keep, unit = FEE_UNIT - fee_pips, FEE_UNIT
    if fee_pips % 100 == 0:
        keep, unit = keep // 100, FEE_UNIT // 100
    with_fee = amount_in * u256(keep)
    return _OK, _short_quotient(with_fee * reserve_out, reserve_in * u256(unit) + with_fee)


@kernel("Tuple((i8, U256))(U256, U256, U256, i8)")
def amount_in(
    amount_out: Word, reserve_in: Word, reserve_out: Word, fee_pips: int
) -> tuple[int, Word]:
    """Return the input that the library asks for to pay exactly `amount_out`."""
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
