"""Algebra pools, exact to the wei: V1 (all variants) and Integral.

Source: AlgebraPool.swap, PriceMovementMath and TickTable of the V1.0, V1.9 and directional-fee
branches; SwapCalculation, PriceMovementMath and TickManagement of Integral 1.0 to 1.2. A step is
Uniswap V3's to the last bit (PriceMovementMath.movePriceTowardsTarget rounds as SwapMath does,
and its shortcuts meet cases that cannot occur); what differs is where a step ends. V1 stops at the
edges of the rows of its tick table, Integral goes from one initialised tick to the next.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    ConcentratedState,
    SwapResult,
    sqrt_at_tick,
    swap_step,
    tick_at_sqrt,
)
from searcher.kernels.refusal import Status, SwapRefused

NO_ROWS: Final = 0
"""The row unit of a pool that keeps its ticks in a linked list (Integral)."""

_INT256_MAX: Final = 2**255 - 1


def swap(
    state: ConcentratedState,
    *,
    zero_for_one: bool,
    amount: int,
    fee_pips: int,
    row_unit: int,
    price_limit_x96: int | None = None,
) -> SwapResult:
    """Swap until the amount is used up or the price limit is met.

    Args:
        state: the pool before the swap.
        zero_for_one: whether token 0 comes in.
        amount: positive for an exact input, negative for an exact output.
        fee_pips: what this swap pays, below 1,000,000.
        row_unit: how many ticks apart the bits of the tick table are: the tick spacing in V1.0,
            1 in V1.9 and with directional fees, `NO_ROWS` in Integral.
        price_limit_x96: where to stop; the furthest the contract allows when left out.

    Raises:
        SwapRefused: the pool would revert.
    """
    if amount == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is zero")
    if not -_INT256_MAX <= amount <= _INT256_MAX:
        raise SwapRefused(Status.OVERFLOW, "the amount does not fit int256")
    if state.sqrt_price_x96 == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool is not initialised")
    if fee_pips >= FEE_UNIT:
        raise SwapRefused(Status.UNSAFE_VALUES, "a fee of 100 % or more")
    limit = _limit(state.sqrt_price_x96, price_limit_x96, zero_for_one=zero_for_one)
    table, price, liquidity, tick = (
        state.ticks,
        state.sqrt_price_x96,
        state.liquidity,
        state.tick,
    )
    remaining, other, crossed = amount, 0, 0
    while True:
        stop, initialised = _next_tick(table.index, tick, row_unit, lte=zero_for_one)
        start, stop_price = price, sqrt_at_tick(stop)
        target = max(stop_price, limit) if zero_for_one else min(stop_price, limit)
        price, taken, given, fee = swap_step(price, target, liquidity, remaining, fee_pips)
        if amount > 0:
            remaining -= taken + fee
            other -= given
        else:
            remaining += given
            other += taken + fee
        if price == stop_price:
            if initialised:
                net = table.net[table.index.index(stop)]
                liquidity += -net if zero_for_one else net
                if not 0 <= liquidity < 1 << 128:
                    raise SwapRefused(Status.BAD_STATE, f"liquidity leaves uint128 at tick {stop}")
                crossed += 1
            tick = stop - 1 if zero_for_one else stop
        elif price != start:
            tick = tick_at_sqrt(price)
            break
        if remaining == 0 or price == limit:
            break
    used = amount - remaining
    amount0, amount1 = (used, other) if zero_for_one == (amount > 0) else (other, used)
    return SwapResult(amount0, amount1, price, liquidity, tick, crossed)


def quote_exact_in(
    state: ConcentratedState, *, zero_for_one: bool, amount: int, fee_pips: int, row_unit: int
) -> tuple[int, int]:
    """Return what a pool pays for exactly `amount`, and how many ticks it crosses.

    Raises:
        SwapRefused: the pool would revert, or runs dry before it has taken it all.
    """
    end = swap(
        state, zero_for_one=zero_for_one, amount=amount, fee_pips=fee_pips, row_unit=row_unit
    )
    taken, paid = (end.amount0, end.amount1) if zero_for_one else (end.amount1, end.amount0)
    if taken != amount:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {taken} of {amount}"
        )
    return -paid, end.crossed


def quote_exact_out(
    state: ConcentratedState, *, zero_for_one: bool, amount: int, fee_pips: int, row_unit: int
) -> tuple[int, int]:
    """Return what a pool takes for exactly `amount`, and how many ticks it crosses.

    Raises:
        SwapRefused: the pool would revert, or runs dry before it has paid it all.
    """
    end = swap(
        state, zero_for_one=zero_for_one, amount=-amount, fee_pips=fee_pips, row_unit=row_unit
    )
    taken, paid = (end.amount0, end.amount1) if zero_for_one else (end.amount1, end.amount0)
    if -paid != amount:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {-paid} of {amount}"
        )
    return taken, end.crossed


def _limit(price: int, limit: int | None, *, zero_for_one: bool) -> int:
    if limit is None:
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
    if zero_for_one:
        allowed = MIN_SQRT_RATIO < limit < price
    else:
        allowed = price < limit < MAX_SQRT_RATIO
    if not allowed:
        raise SwapRefused(
            Status.PRICE_LIMIT, "the price limit is already passed or outside the curve"
        )
    return limit


def _next_tick(ticks: tuple[int, ...], tick: int, row_unit: int, *, lte: bool) -> tuple[int, bool]:
    """TickTable.nextTickInTheSameRow, or the next tick of Integral's list.

    Integral's list ends in MIN_TICK and MAX_TICK, which no swap can reach.
    """
    if lte:
        place = bisect_right(ticks, tick) - 1
        edge = (tick // row_unit >> 8 << 8) * row_unit if row_unit else MIN_TICK
        if place >= 0 and ticks[place] >= edge:
            return ticks[place], True
        return max(edge, MIN_TICK), False
    place = bisect_right(ticks, tick)
    edge = ((tick // row_unit + 1 >> 8 << 8) + 255) * row_unit if row_unit else MAX_TICK
    if place < len(ticks) and ticks[place] <= edge:
        return ticks[place], True
    return min(edge, MAX_TICK), False
