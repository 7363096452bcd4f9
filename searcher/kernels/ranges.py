"""Swaps across ranges of liquidity, stop by stop.

Source: UniswapV3Pool.swap and TickBitmap of v3-core 1.0. A swap stops at initialised ticks and at
the edges of tick-bitmap words, and rounds at each stop.

**Ticks of a pool**: `ticks` int64[n], ascending; `words` U256[2n]: the ticks' prices, then their
net liquidities as two's complement. **Edges of a tick spacing**: `edges` U256[2m], see
`write_edges`; with a spacing of 0 nothing stops at words (`edges` is then not looked at).
"""

# Kernels take what a swap depends on by position, and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.concentrated import (
    sqrt_at_tick,
    step_exact_in,
    step_exact_out,
    tick_at_sqrt,
)
from searcher.kernels.reference.uniswap_v3 import (
    MAX_AMOUNT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
)
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ZERO, Word, Words, constant, load, store

Ticks: TypeAlias = NDArray[np.int64]

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY: Final = int(Status.EMPTY_POOL)
_OVERFLOW: Final = int(Status.OVERFLOW)
_PRICE_LIMIT: Final = int(Status.PRICE_LIMIT)
_BAD_STATE: Final = int(Status.BAD_STATE)

LOWEST = constant(MIN_SQRT_RATIO)
HIGHEST = constant(MAX_SQRT_RATIO)
FLOOR = constant(MIN_SQRT_RATIO + 1)
"""Where a swap without a price limit stops falling."""
CEILING = constant(MAX_SQRT_RATIO - 1)
"""Where it stops rising."""
UINT128 = constant(2**128 - 1)
_MOST = constant(MAX_AMOUNT)


@kernel("i8(i8)")
def first_word(spacing: int) -> int:
    """Return the lowest word of a tick bitmap."""
    return MIN_TICK // spacing >> 8


def words_of_edges(spacing: int) -> int:
    """Return how many words `write_edges` writes for a tick spacing."""
    return (MAX_TICK // spacing + 1 >> 8) - (MIN_TICK // spacing >> 8) + 1


@kernel("void(i8, u8[:,::1])")
def write_edges(spacing: int, edges: Words) -> None:
    """Write the price of each word's lowest tick and, behind it, of its highest one.

    Args:
        spacing: the tick spacing.
        edges: U256[2 * words_of_edges(spacing)], written; ticks beyond the curve's ends count as
            the ends.
    """
    first = first_word(spacing)
    for word in range(len(edges) // 2):
        low = (first + word) * 256 * spacing
        high = low + 255 * spacing
        store(edges, 2 * word, sqrt_at_tick(max(low, MIN_TICK)))
        store(edges, 2 * word + 1, sqrt_at_tick(min(high, MAX_TICK)))


@kernel("void(i8[::1], u8[:,::1])")
def write_prices(ticks: Ticks, words: Words) -> None:
    """Write the price of each tick into the first plane of `words`."""
    for place in range(len(ticks)):
        store(words, place, sqrt_at_tick(ticks[place]))


@kernel("i8(i8[::1], i8)")
def place_above(ticks: Ticks, tick: int) -> int:
    """Return the place of the first tick above `tick`; their number when there is none."""
    low, high = 0, len(ticks)
    while low < high:
        middle = (low + high) >> 1
        if ticks[middle] > tick:
            high = middle
        else:
            low = middle + 1
    return low


@kernel("Tuple((i8, U256, b1))(i8, i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1])")
def next_stop(
    place: int,
    tick: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    edges: Words,
) -> tuple[int, Word, bool]:
    """Return the next stop's tick, its price, and whether it is initialised.

    TickBitmap.nextInitializedTickWithinOneWord, `place` being the next initialised tick's. Without
    a spacing it is that tick, or the end of the curve.
    """
    if zero_for_one:
        stop, row = MIN_TICK, -1
        if spacing > 0:
            word = tick // spacing >> 8
            stop = max(word * 256 * spacing, MIN_TICK)
            row = 2 * max(word - first_word(spacing), 0)
        if place >= 0 and ticks[place] >= stop:
            return ticks[place], load(words, place), True
        return stop, load(edges, row) if row >= 0 else LOWEST(), False
    stop, row = MAX_TICK, -1
    if spacing > 0:
        word = tick // spacing + 1 >> 8
        stop = min((word * 256 + 255) * spacing, MAX_TICK)
        row = 2 * (word - first_word(spacing)) + 1
    if place < len(ticks) and ticks[place] <= stop:
        return ticks[place], load(words, place), True
    return stop, load(edges, row) if row >= 0 else HIGHEST(), False


@kernel(
    "Tuple((i8, U256, U256, U256, U256, i8, i8, b1))"
    "(U256, b1, U256, U256, i8, U256, i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1])"
)
def walk(
    remaining: Word,
    exact_in: bool,
    price: Word,
    liquidity: Word,
    tick: int,
    limit: Word,
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    edges: Words,
) -> tuple[int, Word, Word, Word, Word, int, int, bool]:
    """Step from stop to stop until nothing remains or the price limit is met.

    Returns:
        A status, what remains, the other side's amount (input with fee, or output), price and
        liquidity, the tick, how many initialised ticks were crossed, and whether the price came to
        rest between two stops, so that the tick is stale.
    """
    place = place_above(ticks, tick)
    if zero_for_one:
        place -= 1
    other = ZERO()
    crossed = 0
    between = False
    while remaining != ZERO() and price != limit:
        reach = spacing
        if liquidity == ZERO():
            # Where nothing is swapped, stops change nothing: on to the next initialised tick.
            if 0 <= place < len(ticks):
                if (load(words, place) < limit) != zero_for_one:
                    reach = 0
            elif limit == FLOOR() or limit == CEILING():
                price = limit
                between = True
                break
        stop, stop_price, initialised = next_stop(
            place, tick, reach, zero_for_one, ticks, words, edges
        )
        if liquidity != ZERO() and not (initialised or 0 <= place < len(ticks)):
            # No pool has liquidity outside its ticks: these are not all of them.
            return _BAD_STATE, remaining, other, price, liquidity, tick, crossed, between
        target = stop_price
        if (target < limit) == zero_for_one:
            target = limit
        start = price
        if exact_in:
            status, price, taken, given, fee = step_exact_in(
                price, target, liquidity, remaining, fee_pips, zero_for_one
            )
            remaining -= taken + fee
            other += given
        else:
            status, price, taken, given, fee = step_exact_out(
                price, target, liquidity, remaining, fee_pips, zero_for_one
            )
            remaining -= given
            other += taken + fee
        if status != _OK:
            return status, remaining, other, price, liquidity, tick, crossed, between
        if price == stop_price:
            if initialised:
                net = load(words, len(ticks) + place)
                if zero_for_one:
                    liquidity -= net
                    place -= 1
                else:
                    liquidity += net
                    place += 1
                crossed += 1
                if liquidity > UINT128():
                    return _BAD_STATE, remaining, other, price, liquidity, tick, crossed, between
            tick = stop - 1 if zero_for_one else stop
            between = False
        elif price != start:
            between = True
    return _OK, remaining, other, price, liquidity, tick, crossed, between


@kernel("i8(U256, U256, U256, b1)")
def why_refused(amount: Word, price: Word, limit: Word, zero_for_one: bool) -> int:
    """Return the status of what the pool demands before it swaps."""
    if amount == ZERO():
        return _ZERO_AMOUNT
    if amount > _MOST():
        return _OVERFLOW
    if price == ZERO():
        return _EMPTY
    low, high = (LOWEST(), price) if zero_for_one else (price, HIGHEST())
    return _OK if low < limit < high else _PRICE_LIMIT


@kernel(
    "Tuple((i8, U256, U256, U256, U256, i8, i8))"
    "(U256, b1, U256, U256, i8, U256, i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1])"
)
def swap(
    amount: Word,
    exact_in: bool,
    price: Word,
    liquidity: Word,
    tick: int,
    limit: Word,
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    edges: Words,
) -> tuple[int, Word, Word, Word, Word, int, int]:
    """Swap until the amount is used up or the price limit is met (UniswapV3Pool.swap).

    Args:
        amount: the exact input, or the exact output.
        exact_in: which of them.
        price: the pool's price; 0 when it is not initialised.
        liquidity: its liquidity in range.
        tick: its tick.
        limit: where to stop.
        fee_pips: its fee.
        spacing: its tick spacing.
        zero_for_one: whether token0 comes in.
        ticks: int64[n], its initialised ticks.
        words: U256[2n], their prices and net liquidities.
        edges: U256[2m], of the tick spacing.

    Returns:
        A status, the input with its fee, the output, the price, the liquidity and the tick
        afterwards, and how many initialised ticks were crossed.
    """
    status = why_refused(amount, price, limit, zero_for_one)
    if status != _OK:
        return status, ZERO(), ZERO(), price, liquidity, tick, 0
    status, remaining, other, price, liquidity, tick, crossed, between = walk(
        amount,
        exact_in,
        price,
        liquidity,
        tick,
        limit,
        fee_pips,
        spacing,
        zero_for_one,
        ticks,
        words,
        edges,
    )
    if between:
        tick = tick_at_sqrt(price)
    used = amount - remaining
    if exact_in:
        return status, used, other, price, liquidity, tick, crossed
    return status, other, used, price, liquidity, tick, crossed
