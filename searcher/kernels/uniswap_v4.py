"""Uniswap V4 in kernels: the curve of V3 under a fee that the protocol adds to.

Source: Pool.swap, SwapMath and ProtocolFeeLibrary of v4-core 1.0. A step takes and gives what V3's
does, split differently between input and fee; what differs is a fee of 100 %, and that the
manager's deltas are int128.
"""

# Kernels take what a swap depends on by position.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Final

from searcher.kernels import uniswap_v3
from searcher.kernels._jit import kernel
from searcher.kernels.reference.uniswap_v3 import FEE_UNIT, MAX_SQRT_RATIO, MIN_SQRT_RATIO
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ZERO, Word, Words, constant
from searcher.kernels.uniswap_v3 import Ticks, why_refused

_OK: Final = int(Status.OK)
_OVERFLOW: Final = int(Status.OVERFLOW)
_UNSAFE: Final = int(Status.UNSAFE_VALUES)

_FLOOR = constant(MIN_SQRT_RATIO + 1)
_CEILING = constant(MAX_SQRT_RATIO - 1)
_MOST_IN = constant(2**127)
_MOST_OUT = constant(2**127 - 1)

_v3_exact_in = uniswap_v3.exact_in
_v3_exact_out = uniswap_v3.exact_out


@kernel("i8(i8, i8, b1)")
def swap_fee(lp_fee: int, protocol_fee: int, zero_for_one: bool) -> int:
    """Return the fee of a swap in pips (ProtocolFeeLibrary.calculateSwapFee).

    Args:
        lp_fee: what the liquidity providers take, at most FEE_UNIT.
        protocol_fee: slot0's 24 bits; the low 12 are for token 0 in, the next 12 for token 1 in.
        zero_for_one: whether token 0 comes in.
    """
    protocol = protocol_fee & 0xFFF if zero_for_one else protocol_fee >> 12
    return protocol + lp_fee - protocol * lp_fee // FEE_UNIT


@kernel("i8(U256, U256)")
def _settled(amount_in: Word, amount_out: Word) -> int:
    """Return whether both amounts of a swap fit the manager's deltas."""
    return _OVERFLOW if amount_in > _MOST_IN() or amount_out > _MOST_OUT() else _OK


@kernel(
    "Tuple((i8, U256, i8, b1))(U256, U256, U256, i8, i8, i8, b1, i8, U256, U256,"
    " i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])"
)
def exact_in(
    amount: Word,
    price: Word,
    liquidity: Word,
    tick: int,
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    row: int,
    head_in: Word,
    head_out: Word,
    ticks: Ticks,
    words: Words,
    edges: Words,
    sums: Words,
    marks: Ticks,
) -> tuple[int, Word, int, bool]:
    """Return what a pool pays for exactly `amount`.

    Arguments and results are those of `uniswap_v3.exact_in`; the fee may be FEE_UNIT, for which no
    table holds.
    """
    status, out, crossed, beyond = _v3_exact_in(
        amount,
        price,
        liquidity,
        tick,
        fee_pips,
        spacing,
        zero_for_one,
        row if fee_pips < FEE_UNIT else 0,
        head_in,
        head_out,
        ticks,
        words,
        edges,
        sums,
        marks,
    )
    if status == _OK:
        status = _settled(amount, out)
    return status, out, crossed, beyond


@kernel(
    "Tuple((i8, U256, i8, b1))(U256, U256, U256, i8, i8, i8, b1, i8, U256, U256,"
    " i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])"
)
def exact_out(
    amount: Word,
    price: Word,
    liquidity: Word,
    tick: int,
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    row: int,
    head_in: Word,
    head_out: Word,
    ticks: Ticks,
    words: Words,
    edges: Words,
    sums: Words,
    marks: Ticks,
) -> tuple[int, Word, int, bool]:
    """Return what a pool takes, fee included, to pay exactly `amount`.

    Arguments and results are those of `uniswap_v3.exact_out`; with a fee of FEE_UNIT nothing can be
    taken for an output.
    """
    if fee_pips >= FEE_UNIT:
        limit = _FLOOR() if zero_for_one else _CEILING()
        status = why_refused(amount, price, limit, zero_for_one)
        return status if status != _OK else _UNSAFE, ZERO(), 0, False
    status, taken, crossed, beyond = _v3_exact_out(
        amount,
        price,
        liquidity,
        tick,
        fee_pips,
        spacing,
        zero_for_one,
        row,
        head_in,
        head_out,
        ticks,
        words,
        edges,
        sums,
        marks,
    )
    if status == _OK:
        status = _settled(taken, amount)
    return status, taken, crossed, beyond
