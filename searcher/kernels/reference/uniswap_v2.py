"""Constant product, as Uniswap V2 and its forks compute it.

Source: UniswapV2Library.getAmountOut/getAmountIn and the checks of UniswapV2Pair.swap. The fee is
in hundredths of a basis point: 3000 gives the same integers as the library's 997/1000.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels.refusal import Status, SwapRefused

FEE_UNIT: Final = 1_000_000
MAX_RESERVE: Final = 2**112 - 1
"""A pair stores reserves as uint112 and reverts when a balance exceeds it."""


def amount_out(amount_in: int, reserve_in: int, reserve_out: int, fee_pips: int) -> int:
    """Return what a pair pays for exactly `amount_in`, in smallest units of the other token.

    Dust gives 0, as the library answers; the pair itself would not swap it.

    Raises:
        SwapRefused: the pair or its library would revert.
    """
    _check(amount_in, reserve_in, reserve_out, fee_pips)
    if reserve_in + amount_in > MAX_RESERVE:
        raise SwapRefused(Status.OVERFLOW, "the pair's balance would exceed uint112")
    with_fee = amount_in * (FEE_UNIT - fee_pips)
    return with_fee * reserve_out // (reserve_in * FEE_UNIT + with_fee)


def amount_in(amount_out: int, reserve_in: int, reserve_out: int, fee_pips: int) -> int:
    """Return the input that the library asks for to pay exactly `amount_out`.

    Raises:
        SwapRefused: the pair or its library would revert.
    """
    _check(amount_out, reserve_in, reserve_out, fee_pips)
    if amount_out >= reserve_out:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "the pair holds no more than is asked for")
    needed = reserve_in * amount_out * FEE_UNIT
    needed = needed // ((reserve_out - amount_out) * (FEE_UNIT - fee_pips)) + 1
    if reserve_in + needed > MAX_RESERVE:
        raise SwapRefused(Status.OVERFLOW, "the pair's balance would exceed uint112")
    return needed


def marginal_rate(amount_in: int, reserve_in: int, reserve_out: int, fee_pips: int) -> float:
    """Return how much more comes out per unit more in, at an input of `amount_in`.

    Raises:
        SwapRefused: the pair is empty or the amount negative.
    """
    _check(amount_in + 1, reserve_in, reserve_out, fee_pips)
    keep = 1.0 - fee_pips / FEE_UNIT
    grown = reserve_in + keep * amount_in
    return keep * reserve_in / grown * (reserve_out / grown)


def _check(amount: int, reserve_in: int, reserve_out: int, fee_pips: int) -> None:
    if not 0 <= fee_pips < FEE_UNIT or max(reserve_in, reserve_out) > MAX_RESERVE:
        raise SwapRefused(Status.BAD_STATE, "no pair has such reserves or such a fee")
    if amount <= 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is not positive")
    if reserve_in <= 0 or reserve_out <= 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pair is empty")
