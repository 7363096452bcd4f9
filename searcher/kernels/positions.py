"""A concentrated row's ticks in the market's memory: positions that come and go, in place.

Sources: UniswapV3Pool._updatePosition and Tick.update of v3-core 1.0. What is refused is what the
states of `searcher.market` refuse, so that both ways of following a pool agree log for log.
"""

# Kernels take what a position is by position.

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.concentrated import sqrt_at_tick
from searcher.kernels.memory import (
    COUNT,
    PLACE,
    ROOM,
    SPACING,
    TICK,
    bounds_of,
    depths_of,
    exact,
    gross_of,
    shape,
    tick_words_of,
    ticks_of,
)
from searcher.kernels.ranges import UINT128, place_above
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK
from searcher.kernels.u256 import (
    ZERO,
    Word,
    abs_,
    from_limbs,
    is_negative,
    limb,
    load,
    negate,
    store,
    to_float,
)

FITS: Final = 0
NO_RANGE: Final = 1
TOO_MUCH_TAKEN: Final = 2
TOO_MUCH_HELD: Final = 3
GROSS_UNKNOWN: Final = 4
OFF_SPACING: Final = 5
NO_PRICE: Final = 6
NET_LEFT: Final = 7
NO_ROOM: Final = -1
"""The position fits the pool, and the row's slot holds no more ticks: move it first."""

_Q96: Final = 2.0**96
_NONE: Final = np.uint64(0)


@kernel("f8(U256)")
def signed_float(x: Word) -> float:
    """Return a two's complement number as a double."""
    return -to_float(negate(x)) if is_negative(x) else to_float(x)


@kernel("void(i8, i8, i8, i8)")
def write_depths(table: int, row: int, low: int, high: int) -> None:
    """Write the float liquidity behind the ticks from place `low` to before `high`."""
    words = tick_words_of(table, row)
    depths = depths_of(table, row)
    count = len(depths)
    total = ZERO()
    for place in range(min(high, count)):
        total += load(words, count + place)
        if place >= low:
            depths[place] = signed_float(total)


@kernel("void(i8, i8)")
def describe_ticks(table: int, row: int) -> None:
    """Write the float bounds and depths of all ticks of a row from their integers."""
    words = tick_words_of(table, row)
    bounds = bounds_of(table, row)
    for place in range(len(bounds)):
        bounds[place] = to_float(load(words, place)) / _Q96
    write_depths(table, row, 0, len(bounds))


@kernel("U256(i8, i8, i8)")
def gross_at(table: int, row: int, place: int) -> Word:
    """Return the gross liquidity of the tick at a place."""
    gross = gross_of(table, row)
    return from_limbs(_NONE, _NONE, gross[place, 1], gross[place, 0])


@kernel("Tuple((i8, b1))(i8, i8, i8, U256, U256)")
def _tick_fits(table: int, row: int, tick: int, amount: Word, change: Word) -> tuple[int, bool]:
    """Return why a tick cannot take an amount (its net liquidity a change), and whether it is new.

    Amounts are two's complement; `TickTable.positioned` refuses the same.
    """
    ticks = ticks_of(table, row)
    place = place_above(ticks, tick) - 1
    known = place >= 0 and ticks[place] == tick
    gross, net = ZERO(), ZERO()
    if known:
        gross = gross_at(table, row, place)
        net = load(tick_words_of(table, row), len(ticks) + place)
        if gross == ZERO():
            return GROSS_UNKNOWN, False
    gross += amount
    net += change
    if is_negative(gross):
        return TOO_MUCH_TAKEN, False
    if gross == ZERO():
        return NET_LEFT if net != ZERO() else FITS, False
    if gross > UINT128() or abs_(net) > gross:
        return TOO_MUCH_HELD, False
    return FITS, not known


@kernel("i8(i8, i8, i8, i8, U256)")
def why_not_position(table: int, row: int, lower: int, upper: int, amount: Word) -> int:
    """Return why a pool cannot take a position's liquidity: one of this module's statuses.

    Args:
        table: the market's.
        row: a concentrated row.
        lower: the position's lower tick.
        upper: its upper tick.
        amount: what is added to it, not 0; two's complement when it is taken.
    """
    low, low_is_new = _tick_fits(table, row, lower, amount, amount)
    if low != FITS:
        return low
    high, high_is_new = _tick_fits(table, row, upper, amount, negate(amount))
    if high != FITS:
        return high
    about = shape(table)
    if lower % about[row, SPACING] != 0 or upper % about[row, SPACING] != 0:
        return OFF_SPACING
    held = exact(table)
    if load(held, 2 * row) == ZERO():
        return NO_PRICE
    if lower <= about[row, TICK] < upper and load(held, 2 * row + 1) + amount > UINT128():
        return TOO_MUCH_HELD
    if about[row, COUNT] + int(low_is_new) + int(high_is_new) > about[row, ROOM]:
        return NO_ROOM
    return FITS


@kernel("b1(i8, i8)")
def is_range(lower: int, upper: int) -> bool:
    """Return whether a position may lie between two ticks."""
    return MIN_TICK <= lower < upper <= MAX_TICK


@kernel("void(i8, i8, i8, i8)")
def _insert(table: int, row: int, place: int, tick: int) -> None:
    """Insert a tick without liquidity at a place; the slot has room for it."""
    about = shape(table)
    count = about[row, COUNT]
    about[row, COUNT] = count + 1
    ticks = ticks_of(table, row)
    gross = gross_of(table, row)
    bounds = bounds_of(table, row)
    depths = depths_of(table, row)
    words = tick_words_of(table, row)
    # The plane of nets begins one word later now: it moves first, from its end on.
    for k in range(count - 1, place - 1, -1):
        store(words, count + 2 + k, load(words, count + k))
    for k in range(place - 1, -1, -1):
        store(words, count + 1 + k, load(words, count + k))
    for k in range(count, place, -1):
        store(words, k, load(words, k - 1))
        ticks[k] = ticks[k - 1]
        bounds[k] = bounds[k - 1]
        depths[k] = depths[k - 1]
        gross[k, 0] = gross[k - 1, 0]
        gross[k, 1] = gross[k - 1, 1]
    price = sqrt_at_tick(tick)
    store(words, place, price)
    store(words, count + 1 + place, ZERO())
    ticks[place] = tick
    bounds[place] = to_float(price) / _Q96
    gross[place, 0] = _NONE
    gross[place, 1] = _NONE


@kernel("void(i8, i8, i8)")
def _remove(table: int, row: int, place: int) -> None:
    """Remove the tick at a place."""
    ticks = ticks_of(table, row)
    gross = gross_of(table, row)
    bounds = bounds_of(table, row)
    depths = depths_of(table, row)
    words = tick_words_of(table, row)
    count = len(ticks)
    for k in range(place, count - 1):
        store(words, k, load(words, k + 1))
        ticks[k] = ticks[k + 1]
        bounds[k] = bounds[k + 1]
        depths[k] = depths[k + 1]
        gross[k, 0] = gross[k + 1, 0]
        gross[k, 1] = gross[k + 1, 1]
    for k in range(place):
        store(words, count - 1 + k, load(words, count + k))
    for k in range(place + 1, count):
        store(words, count - 2 + k, load(words, count + k))
    shape(table)[row, COUNT] = count - 1


@kernel("void(i8, i8, i8, U256, U256)")
def _add_at(table: int, row: int, tick: int, amount: Word, change: Word) -> None:
    """Add liquidity to a tick, which appears with its first and goes with its last."""
    ticks = ticks_of(table, row)
    place = place_above(ticks, tick) - 1
    if place < 0 or ticks[place] != tick:
        place += 1
        _insert(table, row, place, tick)
    total = gross_at(table, row, place) + amount
    if total == ZERO():
        _remove(table, row, place)
        return
    gross = gross_of(table, row)
    gross[place, 0] = limb(total, 0)
    gross[place, 1] = limb(total, 1)
    words = tick_words_of(table, row)
    net = len(gross) + place
    store(words, net, load(words, net) + change)


@kernel("void(i8, i8, i8, i8, U256)")
def shift_position(table: int, row: int, lower: int, upper: int, amount: Word) -> None:
    """Add an amount (two's complement) to a position that `why_not_position` finds to fit.

    The same with the negated amount undoes it, the last bit of the ticks' floats included.
    """
    _add_at(table, row, lower, amount, amount)
    _add_at(table, row, upper, amount, negate(amount))
    about = shape(table)
    ticks = ticks_of(table, row)
    if lower <= about[row, TICK] < upper:
        held = exact(table)
        store(held, 2 * row + 1, load(held, 2 * row + 1) + amount)
    about[row, PLACE] = place_above(ticks, about[row, TICK]) - 1
    write_depths(table, row, place_above(ticks, lower - 1), place_above(ticks, upper - 1) + 1)
