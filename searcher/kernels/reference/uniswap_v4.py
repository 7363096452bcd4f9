"""Uniswap V4 pools without hooks that touch a swap, exact to the wei.

Source: PoolManager.swap, Pool.swap, SwapMath, ProtocolFeeLibrary and SqrtPriceMath of v4-core 1.0.
A swap stops at the edges of tick-bitmap words as in Uniswap V3. What differs: the protocol's fee
adds to the pool's, a fee of 100 % is possible, and amounts end in int128.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    ConcentratedState,
    SwapResult,
    amount0_delta,
    amount1_delta,
    check_liquidity,
    check_outside,
    checked_limit,
    next_tick,
    price_after_input,
    price_after_output,
    sqrt_at_tick,
    tick_at_sqrt,
)
from searcher.kernels.refusal import Status, SwapRefused

MAX_PROTOCOL_FEE: Final = 1000
"""Pips that the protocol may take in one direction."""
DYNAMIC_FEE: Final = 0x800000
"""The fee in the key of a pool whose hooks set it."""

_INT128_MAX: Final = 2**127 - 1


def swap_fee(lp_fee: int, protocol_fee: int, *, zero_for_one: bool) -> int:
    """Return the fee of a swap in pips (ProtocolFeeLibrary.calculateSwapFee).

    Args:
        lp_fee: what the liquidity providers take, at most 1,000,000.
        protocol_fee: slot0's 24 bits; the low 12 are for token 0 in, the next 12 for token 1 in.
        zero_for_one: whether token 0 comes in.
    """
    protocol = protocol_fee & 0xFFF if zero_for_one else protocol_fee >> 12
    return protocol + lp_fee - protocol * lp_fee // FEE_UNIT


def swap_step(
    price: int, target: int, liquidity: int, remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    """Swap within one range (SwapMath.computeSwapStep).

    Args:
        price: where it starts, Q64.96.
        target: where it stops at the latest; below `price` means token 0 comes in.
        liquidity: the liquidity in range.
        remaining: negative for an exact input, positive for an exact output, as in the contract.
        fee_pips: the combined fee, at most 1,000,000; less for an exact output.

    Returns:
        The next price, the input without fee, the output, and the fee.
    """
    zero_for_one = price >= target
    delta_in, delta_out = (
        (amount0_delta, amount1_delta) if zero_for_one else (amount1_delta, amount0_delta)
    )
    low, high = min(price, target), max(price, target)
    if remaining < 0:
        less_fee = -remaining * (FEE_UNIT - fee_pips) // FEE_UNIT
        taken = delta_in(low, high, liquidity, round_up=True)
        if less_fee >= taken:
            following = target
            fee = taken if fee_pips == FEE_UNIT else _fee_on(taken, fee_pips)
        else:
            taken = less_fee
            following = price_after_input(price, liquidity, less_fee, zero_for_one=zero_for_one)
            fee = -remaining - taken
        low, high = min(price, following), max(price, following)
        return following, taken, delta_out(low, high, liquidity, round_up=False), fee
    given = delta_out(low, high, liquidity, round_up=False)
    if remaining >= given:
        following = target
    else:
        given = remaining
        following = price_after_output(price, liquidity, given, zero_for_one=zero_for_one)
    low, high = min(price, following), max(price, following)
    taken = delta_in(low, high, liquidity, round_up=True)
    return following, taken, given, _fee_on(taken, fee_pips)


def swap(
    state: ConcentratedState,
    *,
    zero_for_one: bool,
    amount: int,
    fee_pips: int,
    tick_spacing: int,
    price_limit_x96: int | None = None,
) -> SwapResult:
    """Swap until the amount is used up or the price limit is met (Pool.swap).

    Args:
        state: the pool before the swap.
        zero_for_one: whether token 0 comes in.
        amount: positive for an exact input, negative for an exact output: the signs of the other
            references, opposite to the contract's.
        fee_pips: what `swap_fee` says.
        tick_spacing: the pool's tick spacing.
        price_limit_x96: where to stop; the furthest the contract allows when left out.

    Returns:
        The amounts as the pool sees them: positive comes in, negative goes out.

    Raises:
        SwapRefused: the manager would revert.
    """
    end = _run(state, amount, fee_pips, tick_spacing, price_limit_x96, zero_for_one=zero_for_one)
    _check_deltas(end)
    return end


def quote_exact_in(
    state: ConcentratedState, *, zero_for_one: bool, amount: int, fee_pips: int, tick_spacing: int
) -> tuple[int, int]:
    """Return what a pool pays for exactly `amount`, and how many ticks it crosses.

    Raises:
        SwapRefused: the manager would revert, or the pool runs dry before it has taken it all.
    """
    end = _run(state, amount, fee_pips, tick_spacing, None, zero_for_one=zero_for_one)
    taken, paid = (end.amount0, end.amount1) if zero_for_one else (end.amount1, end.amount0)
    if taken != amount:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {taken} of {amount}"
        )
    _check_deltas(end)
    return -paid, end.crossed


def quote_exact_out(
    state: ConcentratedState, *, zero_for_one: bool, amount: int, fee_pips: int, tick_spacing: int
) -> tuple[int, int]:
    """Return what a pool takes for exactly `amount`, and how many ticks it crosses.

    Raises:
        SwapRefused: the manager would revert, or the pool runs dry before it has paid it all.
    """
    end = _run(state, -amount, fee_pips, tick_spacing, None, zero_for_one=zero_for_one)
    taken, paid = (end.amount0, end.amount1) if zero_for_one else (end.amount1, end.amount0)
    if -paid != amount:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {-paid} of {amount}"
        )
    _check_deltas(end)
    return taken, end.crossed


def _fee_on(taken: int, fee_pips: int) -> int:
    return -(-taken * fee_pips // (FEE_UNIT - fee_pips))


def _run(
    state: ConcentratedState,
    amount: int,
    fee_pips: int,
    tick_spacing: int,
    price_limit_x96: int | None,
    *,
    zero_for_one: bool,
) -> SwapResult:
    limit = checked_limit(state, amount, price_limit_x96, zero_for_one=zero_for_one)
    if fee_pips >= FEE_UNIT and amount < 0:
        raise SwapRefused(Status.UNSAFE_VALUES, "a fee of 100 % allows no exact output")
    table, price, liquidity, tick = state.ticks, state.sqrt_price_x96, state.liquidity, state.tick
    place = bisect_right(table.index, tick) - (1 if zero_for_one else 0)
    remaining, other, crossed = -amount, 0, 0
    while remaining != 0 and price != limit:
        stop, initialised = next_tick(
            table.index, place, tick, tick_spacing, zero_for_one=zero_for_one
        )
        if not (initialised or 0 <= place < len(table.index)):
            check_outside(liquidity, tick)
        start, stop_price = price, sqrt_at_tick(stop)
        target = max(stop_price, limit) if zero_for_one else min(stop_price, limit)
        price, taken, given, fee = swap_step(price, target, liquidity, remaining, fee_pips)
        if amount < 0:
            remaining -= given
            other += taken + fee
        else:
            remaining += taken + fee
            other -= given
        if price == stop_price:
            if initialised:
                liquidity += -table.net[place] if zero_for_one else table.net[place]
                check_liquidity(liquidity, stop)
                place += -1 if zero_for_one else 1
                crossed += 1
            tick = stop - 1 if zero_for_one else stop
        elif price != start:
            tick = tick_at_sqrt(price)
    used = amount + remaining
    amount0, amount1 = (used, other) if zero_for_one == (amount > 0) else (other, used)
    return SwapResult(amount0, amount1, price, liquidity, tick, crossed)


def _check_deltas(end: SwapResult) -> None:
    """The manager's deltas are int128, with what comes in negative."""
    for moved in (end.amount0, end.amount1):
        if not -_INT128_MAX <= moved <= _INT128_MAX + 1:
            raise SwapRefused(Status.OVERFLOW, "an amount does not fit int128")
