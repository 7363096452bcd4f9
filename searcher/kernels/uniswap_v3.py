"""Swaps across ranges of liquidity, exact: stop by stop, or by tables of prefix sums.

Source: UniswapV3Pool.swap and TickBitmap of v3-core 1.0. A swap stops at initialised ticks and at
the edges of tick-bitmap words, and rounds at each stop. What a whole segment between two stops
takes and gives does not depend on the amount, so a table of cumulative sums answers a swap over any
number of segments with a search and one partial step. It is exact because, for a segment that takes
`taken` and the fee `ceil(taken * fee / (1e6 - fee))`,

    floor(rest * (1e6 - fee) / 1e6) >= taken  <=>  rest >= taken + ceil(taken * fee / (1e6 - fee)),

and an exact output passes a segment just when what remains is at least what the segment gives. A
partial step always ends a swap.

**Ticks of a pool**: `ticks` int64[n], ascending; `words` U256[2n]: the ticks' prices, then their
net liquidities as two's complement. **Edges of a tick spacing**: `edges` U256[2m], see
`write_edges`; with a spacing of 0 nothing stops at words (`edges` is then not looked at).

**Table of a direction**: row 0 is a stop behind the price, and each further row is the next stop in
the swap's direction. `sums` U256[4 * rows]: four planes of what came in with its fee and what went
out since row 0, the stop's price, and the liquidity behind it. `marks` int64[3 + 2 * rows]: the
number of rows written, whether the curve ends behind the last one, the place in `ticks` of the next
initialised tick; then two planes, the stop's tick and how many initialised ticks lie up to it. The
price itself is in no table: the rest of its own segment (the *head*) is computed apart, so a table
outlives swaps and only positions (or a fee) that change make it stale.
"""

# Kernels take what a swap depends on by position, and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912, PLR0915

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.concentrated import (
    amount_in_between,
    amount_out_between,
    fee_on,
    less_fee,
    price_after_input,
    price_after_output,
    sqrt_at_tick,
    step_exact_in,
    step_exact_out,
    tick_at_sqrt,
)
from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    MAX_AMOUNT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
)
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ZERO, Word, Words, constant, load, store, to_float

Ticks: TypeAlias = NDArray[np.int64]
Row: TypeAlias = Any

COUNT: Final = 0
ENDED: Final = 1
PLACE: Final = 2
MARKS: Final = 3
"""Where the planes of `marks` begin."""
PLANES: Final = 4

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY: Final = int(Status.EMPTY_POOL)
_DRY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_PRICE_LIMIT: Final = int(Status.PRICE_LIMIT)
_BAD_STATE: Final = int(Status.BAD_STATE)

_MOST = constant(MAX_AMOUNT)
_LOWEST = constant(MIN_SQRT_RATIO)
_HIGHEST = constant(MAX_SQRT_RATIO)
_FLOOR = constant(MIN_SQRT_RATIO + 1)
_CEILING = constant(MAX_SQRT_RATIO - 1)
_UINT128 = constant(2**128 - 1)

_Q96: Final = 2.0**96


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
        return stop, load(edges, row) if row >= 0 else _LOWEST(), False
    stop, row = MAX_TICK, -1
    if spacing > 0:
        word = tick // spacing + 1 >> 8
        stop = min((word * 256 + 255) * spacing, MAX_TICK)
        row = 2 * (word - first_word(spacing)) + 1
    if place < len(ticks) and ticks[place] <= stop:
        return ticks[place], load(words, place), True
    return stop, load(edges, row) if row >= 0 else _HIGHEST(), False


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
            elif limit == _FLOOR() or limit == _CEILING():
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
                if liquidity > _UINT128():
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
    low, high = (_LOWEST(), price) if zero_for_one else (price, _HIGHEST())
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


# ---- tables


@kernel(
    "i8(i8, U256, i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1], i8[::1])",
)
def begin_table(
    tick: int,
    liquidity: Word,
    behind: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    sums: Words,
    marks: Ticks,
) -> int:
    """Write row 0 of a table: a stop behind a pool's price.

    Args:
        tick: the pool's tick.
        liquidity: its liquidity in range.
        behind: how many stops lie between, at most.
        spacing: its tick spacing.
        zero_for_one: the table's direction.
        ticks: int64[n], its initialised ticks.
        words: U256[2n], their prices and net liquidities.
        sums: the table's, written.
        marks: the table's, written.

    Returns:
        BAD_STATE when liquidity leaves uint128 on the way: there is no table then.
    """
    above = place_above(ticks, tick)
    stop = tick
    net = ZERO()
    for _ in range(behind):
        liquidity += net
        if liquidity > _UINT128():
            marks[COUNT] = 0
            return _BAD_STATE
        net = ZERO()
        if zero_for_one:
            stop = MAX_TICK
            if spacing > 0:
                stop = min(((tick // spacing >> 8) + 1) * 256 * spacing, MAX_TICK)
            if above < len(ticks) and ticks[above] <= stop:
                stop = ticks[above]
                net = load(words, len(ticks) + above)
                above += 1
            tick = stop
        else:
            stop = MIN_TICK
            if spacing > 0:
                # The highest edge (256 * word + 255) * spacing that is not above the tick.
                stop = max((((tick // spacing + 1) >> 8) * 256 - 1) * spacing, MIN_TICK)
            if above > 0 and ticks[above - 1] >= stop:
                above -= 1
                stop = ticks[above]
                net = ZERO() - load(words, len(ticks) + above)
            tick = stop - 1
        if stop <= MIN_TICK or stop >= MAX_TICK:
            break
    rows = (len(marks) - MARKS) // 2
    store(sums, 0, ZERO())
    store(sums, rows, ZERO())
    store(sums, 2 * rows, sqrt_at_tick(stop))
    store(sums, 3 * rows, liquidity)
    marks[COUNT] = 1
    marks[ENDED] = 0
    marks[PLACE] = place_above(ticks, stop - 1) - 1 if zero_for_one else place_above(ticks, stop)
    marks[MARKS] = stop
    marks[MARKS + rows] = 0
    return _OK


@kernel("void(i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])")
def extend_table(
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    edges: Words,
    sums: Words,
    marks: Ticks,
) -> None:
    """Write further rows until the table is full or the curve ends.

    Args:
        fee_pips: the pool's fee.
        spacing: its tick spacing.
        zero_for_one: the table's direction.
        ticks: int64[n], its initialised ticks.
        words: U256[2n], their prices and net liquidities.
        edges: U256[2m], of the tick spacing.
        sums: the table's, written.
        marks: the table's, written; at least one row is there.
    """
    rows = (len(marks) - MARKS) // 2
    at = marks[COUNT] - 1
    place = marks[PLACE]
    crossed = marks[MARKS + rows + at]
    total_in, total_out = load(sums, at), load(sums, rows + at)
    price, liquidity = load(sums, 2 * rows + at), load(sums, 3 * rows + at)
    # The next edge of a word, and its row in `edges`: kept up to date, for a division takes long.
    width = 256 * spacing
    edge = edge_row = 0
    if spacing > 0:
        stop = marks[MARKS + at]
        word = (stop - 1) // spacing >> 8 if zero_for_one else stop // spacing + 1 >> 8
        edge = word * width if zero_for_one else word * width + 255 * spacing
        edge_row = 2 * (word - first_word(spacing)) + (0 if zero_for_one else 1)
    while at + 1 < rows:
        if not 0 <= place < len(ticks):
            # Behind the last tick is no liquidity, or none that is known.
            marks[ENDED] = 1
            break
        stop = ticks[place]
        # Where there is no liquidity, edges change nothing.
        at_edge = (
            spacing > 0 and liquidity != ZERO() and (edge > stop if zero_for_one else edge < stop)
        )
        if at_edge:
            stop = edge
            target = load(edges, edge_row)
        else:
            target = load(words, place)
            if target <= _LOWEST() or target >= _HIGHEST():
                # Swaps end just before the curve does.
                marks[ENDED] = 1
                break
        taken = amount_in_between(price, target, liquidity, zero_for_one)
        total_in += taken + fee_on(taken, fee_pips)
        total_out += amount_out_between(price, target, liquidity, zero_for_one)
        if not at_edge:
            net = load(words, len(ticks) + place)
            if zero_for_one:
                liquidity -= net
                place -= 1
            else:
                liquidity += net
                place += 1
            if liquidity > _UINT128():
                # No pool's ticks: whoever steps there is told so.
                marks[ENDED] = 1
                break
            crossed += 1
        if spacing > 0:
            while zero_for_one and edge >= stop:
                edge -= width
                edge_row -= 2
            while not zero_for_one and edge <= stop:
                edge += width
                edge_row += 2
        price = target
        at += 1
        store(sums, at, total_in)
        store(sums, rows + at, total_out)
        store(sums, 2 * rows + at, price)
        store(sums, 3 * rows + at, liquidity)
        marks[MARKS + at] = stop
        marks[MARKS + rows + at] = crossed
        marks[COUNT] = at + 1
        marks[PLACE] = place


@kernel("Tuple((i8, U256, U256))(U256, U256, i8, i8, b1, u8[:,::1], i8[::1])")
def head(
    price: Word,
    liquidity: Word,
    tick: int,
    fee_pips: int,
    zero_for_one: bool,
    sums: Words,
    marks: Ticks,
) -> tuple[int, Word, Word]:
    """Return where a price stands in a table, and the rest of its own segment.

    Returns:
        The row of the next stop, what the swap to it takes (fee included) and gives. A row of 0
        when the table does not serve this price (it is outside the curve that the table covers to
        its end, or the liquidity is not what the ticks say), of -1 when it lies outside the rows
        written.
    """
    rows = (len(marks) - MARKS) // 2
    low, high = 0, marks[COUNT]
    while low < high:
        middle = (low + high) >> 1
        stop = marks[MARKS + middle]
        if stop <= tick if zero_for_one else stop > tick:
            high = middle
        else:
            low = middle + 1
    if low == marks[COUNT] and marks[ENDED] == 1:
        return 0, ZERO(), ZERO()
    if low == 0 or low == marks[COUNT]:
        return -1, ZERO(), ZERO()
    if load(sums, 3 * rows + low - 1) != liquidity:
        return 0, ZERO(), ZERO()
    target = load(sums, 2 * rows + low)
    taken = amount_in_between(price, target, liquidity, zero_for_one)
    given = amount_out_between(price, target, liquidity, zero_for_one)
    return low, taken + fee_on(taken, fee_pips), given


@kernel("i8(U256, i8, i8, i8, u8[:,::1])")
def _first_row(wanted: Word, first: int, count: int, plane: int, sums: Words) -> int:
    """Return the first row from `first` on whose sum is at least `wanted`; `count` if none is."""
    low, high = first, count
    while low < high:
        middle = (low + high) >> 1
        if load(sums, plane + middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


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

    Args:
        amount: the input, fee included.
        price: the pool's price; 0 when it is not initialised.
        liquidity: its liquidity in range.
        tick: its tick.
        fee_pips: its fee.
        spacing: its tick spacing.
        zero_for_one: whether token0 comes in.
        row: of its `head` in the table of this direction; without a table at most 0.
        head_in: what the rest of its segment takes, fee included.
        head_out: what that gives.
        ticks: int64[n], its initialised ticks.
        words: U256[2n], their prices and net liquidities.
        edges: U256[2m], of the tick spacing.
        sums: the table's.
        marks: the table's.

    Returns:
        A status, the output, how many initialised ticks were crossed, and whether the swap went on
        behind the last row of the table.
    """
    limit = _FLOOR() if zero_for_one else _CEILING()
    status = why_refused(amount, price, limit, zero_for_one)
    if status != _OK:
        return status, ZERO(), 0, False
    rest, out, crossed, beyond = amount, ZERO(), 0, False
    if row > 0:
        rows = (len(marks) - MARKS) // 2
        if amount >= head_in:
            wanted = amount - head_in + load(sums, row)
            reached = _first_row(wanted, row, marks[COUNT], 0, sums)
            at = reached - 1
            whole = reached < marks[COUNT] and load(sums, reached) == wanted
            if whole:
                at = reached
            rest = wanted - load(sums, at)
            out = head_out + load(sums, rows + at) - load(sums, rows + row)
            crossed = marks[MARKS + rows + at] - marks[MARKS + rows + row - 1]
            if whole:
                return _OK, out, crossed, False
            price, liquidity = load(sums, 2 * rows + at), load(sums, 3 * rows + at)
            tick = marks[MARKS + at] - 1 if zero_for_one else marks[MARKS + at]
            beyond = reached == marks[COUNT]
        if not beyond:
            status, following = price_after_input(
                price, liquidity, less_fee(rest, fee_pips), zero_for_one
            )
            out += amount_out_between(price, following, liquidity, zero_for_one)
            return status, out, crossed, False
    status, rest, given, price, liquidity, tick, more, _ = walk(
        rest,
        True,
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
    if status == _OK and rest != ZERO():
        status = _DRY
    if status != _OK:
        return status, ZERO(), 0, beyond
    return _OK, out + given, crossed + more, beyond


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

    Arguments and results are those of `exact_in`, with output and input exchanged.
    """
    limit = _FLOOR() if zero_for_one else _CEILING()
    status = why_refused(amount, price, limit, zero_for_one)
    if status != _OK:
        return status, ZERO(), 0, False
    rest, spent, crossed, beyond = amount, ZERO(), 0, False
    if row > 0:
        rows = (len(marks) - MARKS) // 2
        at = row - 1
        if amount >= head_out:
            wanted = amount - head_out + load(sums, rows + row)
            reached = _first_row(wanted, row, marks[COUNT], rows, sums)
            at = reached - 1
            whole = reached < marks[COUNT] and load(sums, rows + reached) == wanted
            if whole:
                at = reached
            rest = wanted - load(sums, rows + at)
            spent = head_in + load(sums, at) - load(sums, row)
            crossed = marks[MARKS + rows + at] - marks[MARKS + rows + row - 1]
            if whole:
                return _OK, spent, crossed, False
            price, liquidity = load(sums, 2 * rows + at), load(sums, 3 * rows + at)
            tick = marks[MARKS + at] - 1 if zero_for_one else marks[MARKS + at]
            beyond = reached == marks[COUNT]
        if not beyond:
            status, following = price_after_output(price, liquidity, rest, zero_for_one)
            taken = amount_in_between(price, following, liquidity, zero_for_one)
            spent += taken + fee_on(taken, fee_pips)
            if following == load(sums, 2 * rows + at + 1):
                # Rounding can bring an output that is not the whole to the very stop.
                crossed += marks[MARKS + rows + at + 1] - marks[MARKS + rows + at]
            return status, spent, crossed, False
    status, rest, taken, price, liquidity, tick, more, _ = walk(
        rest,
        False,
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
    if status == _OK and rest != ZERO():
        status = _DRY
    if status != _OK:
        return status, ZERO(), 0, beyond
    return _OK, spent + taken, crossed + more, beyond


@kernel("Tuple((i8, f8))(U256, U256, U256, i8, i8, i8, b1, i8[::1], u8[:,::1], u8[:,::1])")
def marginal_rate(
    amount: Word,
    price: Word,
    liquidity: Word,
    tick: int,
    fee_pips: int,
    spacing: int,
    zero_for_one: bool,
    ticks: Ticks,
    words: Words,
    edges: Words,
) -> tuple[int, float]:
    """Return how much more comes out per unit more in, at an input of `amount`.

    Where the swap comes to rest outside all liquidity, it is the rate where liquidity begins again.
    Arguments are those of `exact_in`.

    Returns:
        A status and the rate, the fee included.
    """
    limit = _FLOOR() if zero_for_one else _CEILING()
    if price == ZERO():
        return _EMPTY, 0.0
    if amount != ZERO():
        status = why_refused(amount, price, limit, zero_for_one)
        if status != _OK:
            return status, 0.0
        status, rest, _, price, liquidity, tick, _, between = walk(
            amount,
            True,
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
        if status != _OK:
            return status, 0.0
        if rest != ZERO():
            return _DRY, 0.0
        if between:
            tick = tick_at_sqrt(price)
    place = place_above(ticks, tick)
    if zero_for_one:
        place -= 1
    while liquidity == ZERO():
        if place < 0 or place >= len(ticks):
            return _DRY, 0.0
        price = load(words, place)
        net = load(words, len(ticks) + place)
        if zero_for_one:
            liquidity -= net
            place -= 1
        else:
            liquidity += net
            place += 1
        if liquidity > _UINT128():
            return _BAD_STATE, 0.0
    root = to_float(price) / _Q96
    keep = 1.0 - fee_pips / FEE_UNIT
    return _OK, keep * root * root if zero_for_one else keep / (root * root)
