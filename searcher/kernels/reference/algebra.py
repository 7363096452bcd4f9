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
    ConcentratedState,
    SwapResult,
    check_liquidity,
    check_outside,
    checked_limit,
    next_tick,
    sqrt_at_tick,
    swap_step,
    tick_at_sqrt,
)
from searcher.kernels.refusal import Status, SwapRefused

NO_ROWS: Final = 0
"""The row unit of a pool that keeps its ticks in a linked list (Integral)."""


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
    if fee_pips >= FEE_UNIT:
        raise SwapRefused(Status.UNSAFE_VALUES, "a fee of 100 % or more")
    limit = checked_limit(state, amount, price_limit_x96, zero_for_one=zero_for_one)
    table, price, liquidity, tick = state.ticks, state.sqrt_price_x96, state.liquidity, state.tick
    place = bisect_right(table.index, tick) - (1 if zero_for_one else 0)
    remaining, other, crossed = amount, 0, 0
    while True:
        stop, initialised = next_tick(table.index, place, tick, row_unit, zero_for_one=zero_for_one)
        if not (initialised or 0 <= place < len(table.index)):
            check_outside(liquidity, tick)
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
                liquidity += -table.net[place] if zero_for_one else table.net[place]
                check_liquidity(liquidity, stop)
                place += -1 if zero_for_one else 1
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
