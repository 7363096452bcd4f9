"""From a changed row to candidates: ranked, sized, and confirmed in the contracts' integers.

A search screens cycles of groups by the best rates of their members, takes those apart that can
pay, sizes every cycle of pools that does, and keeps those worth most after their gas. What it keeps
lies in the book (`kernels.book`): `order_of` says where, most worth first; of each candidate
`top_floats` holds its worth, input, what is left and gas, `top_route` its edges, status, hops and
start token, and `amounts_of` its exact amounts once it is confirmed (status OK) or why it is not:
ELSEWHERE when a hop's integers are its protocol's to say, LOSES when they leave nothing, or the
refusal of a pool.
"""

# A cycle is taken apart in one loop, branches included.
# ruff: noqa: C901, PLR0912, PLR0915, PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.book import (
    ARENA,
    BEST,
    CLOCK,
    COUNT,
    CYCLES,
    FIRST,
    GAS_PRICE,
    GROUP,
    KEPT,
    LEAST,
    LEAST_WORTH,
    MEMBERS,
    MOST,
    MOST_HOPS,
    OVERHEAD_GAS,
    PAIRS,
    THROUGH,
    THROUGH_COUNT,
    THROUGH_FIRST,
    TOP_AMOUNT,
    TOP_GAS,
    TOP_HOPS,
    TOP_LEFT,
    TOP_ROOM,
    TOP_START,
    TOP_STATUS,
    TOP_WORTH,
    VALUE,
    amounts_of,
    arena,
    bends_of,
    best_of,
    chosen_of,
    group_of,
    groups_of,
    limits_of,
    numbers,
    order_of,
    owners_of,
    parameters_of,
    routes_of,
    rows_in,
    scratch_of,
    stamps_of,
    starts_of,
    top_floats,
    top_route,
)
from searcher.kernels.curves import DEAD
from searcher.kernels.hops import front, write_image
from searcher.kernels.memory import (
    BEND0,
    CONCENTRATED,
    EXACT,
    GAS,
    KIND,
    PRODUCT,
    RATE,
    REAL,
    SHAPE,
    TICK,
    exact,
    prefetch,
    rate,
    real,
    shape,
    slot,
)
from searcher.kernels.refusal import Status
from searcher.kernels.sizing import exact_near, size
from searcher.kernels.u256 import Word, load, store, to_float

LOSES: Final = -2
"""The status of a candidate that leaves nothing in integers."""
UNCONFIRMED: Final = -3
"""The status of a candidate that was not asked for in integers."""

_OK: Final = int(Status.OK)
_LINE: Final = 64
"""Bytes of a row of the market's arrays, and of a group."""


# ---- best rates


@kernel("void(i8, i8, i8)", inlined=True)
def _lift(table: int, book: int, group: int) -> None:
    """Write the best rate of a group."""
    rates, members = rate(table), arena(book, MEMBERS)
    about = groups_of(book)[group]
    top = DEAD
    for k in range(about[FIRST], about[FIRST] + about[COUNT]):
        top = max(top, rates[members[k]])
    best_of(book)[group] = top


@kernel("void(i8, i8, i8)")
def refresh_group(table: int, book: int, group: int) -> None:
    """Write the best rate and the least curvature of a group."""
    _lift(table, book, group)
    rates, members, about = rate(table), arena(book, MEMBERS), groups_of(book)[group]
    least = math.inf
    for k in range(about[FIRST], about[FIRST] + about[COUNT]):
        edge = members[k]
        if rates[edge] > DEAD:
            least = min(least, real(table)[edge >> 1, BEND0 + (edge & 1)])
    bends_of(book)[group] = least


@kernel("void(i8, i8)")
def refresh_all(table: int, book: int) -> None:
    """Write the best rates and least curvatures of every group."""
    for group in range(2, 2 * slot(book, PAIRS)):
        refresh_group(table, book, group)


@kernel("void(i8, i8, i8)")
def refresh_row(table: int, book: int, row: int) -> None:
    """Write the best rates of a row's two groups, if it is in the book.

    The least curvature is only lowered: what is below all members' still bounds them.
    """
    edges, rates, bends = group_of(book), rate(table), bends_of(book)
    if edges[2 * row] == 0:
        return
    for side in range(2):
        group = edges[2 * row + side]
        _lift(table, book, group)
        if rates[2 * row + side] > DEAD:
            bends[group] = min(bends[group], real(table)[row, BEND0 + side])


@kernel("void(i8, i8, i8)")
def refresh_rows(table: int, book: int, count: int) -> None:
    """Write the best rates of the groups of the first rows of `rows_in`."""
    rows = rows_in(book)
    for i in range(count):
        refresh_row(table, book, rows[i])


# ---- the candidates kept


@kernel("void(i8, i8, i8, i8, f8, f8, f8, f8)")
def _keep(
    book: int,
    room: int,
    hops: int,
    start: int,
    worth: float,
    amount: float,
    left: float,
    gas: float,
) -> None:
    """Keep the cycle in the scratch, if there is room or it is worth more than the last kept."""
    kept = slot(book, KEPT)
    order, top = order_of(book), top_floats(book)
    if kept == room:
        place = order[kept - 1]
        if worth <= top[place, TOP_WORTH]:
            return
        kept -= 1
    else:
        place = kept
    k = kept
    while k > 0 and top[order[k - 1], TOP_WORTH] < worth:
        order[k] = order[k - 1]
        k -= 1
    order[k] = place
    about = top[place]
    about[TOP_WORTH], about[TOP_AMOUNT] = worth, amount
    about[TOP_LEFT], about[TOP_GAS] = left, gas
    route, edges = top_route(book, place), scratch_of(book)
    for h in range(MOST_HOPS):
        route[h] = edges[h] if h < hops else -1
    route[TOP_STATUS], route[TOP_HOPS], route[TOP_START] = UNCONFIRMED, hops, start
    numbers(book)[KEPT] = kept + 1


@kernel("f8(i8, i8)")
def _floor(book: int, room: int) -> float:
    """Return what a candidate must be worth more than to be kept."""
    floor = float(parameters_of(book)[LEAST_WORTH])
    if slot(book, KEPT) == room:
        floor = max(floor, top_floats(book)[order_of(book)[room - 1], TOP_WORTH])
    return floor


@kernel("void(i8, i8, i8, i8, i8, f8, f8, f8, b1)")
def _weigh(
    table: int,
    book: int,
    room: int,
    hops: int,
    start: int,
    slope: float,
    bend: float,
    gas: float,
    simple: bool,
) -> None:
    """Size the cycle of pools in the scratch, and keep it when it is among the best.

    Args:
        table: the market's.
        book: the book's.
        room: how many to keep.
        hops: how many edges of the scratch count.
        start: its start token.
        slope: what a first bit in gives, more than 1.
        bend: the least curvature of its curve.
        gas: of its swaps, ticks left out.
        simple: whether it has that curvature everywhere.
    """
    parameters, limits = parameters_of(book), limits_of(book)[start]
    floor = _floor(book, room)
    price, overhead, value = parameters[GAS_PRICE], parameters[OVERHEAD_GAS], limits[VALUE]
    gained = math.sqrt(slope) - 1.0
    left, amount = gained * gained / bend, gained / bend
    if not left * value - price * (gas + overhead) > floor:
        return
    if not simple:
        amount, left, gas = size(table, scratch_of(book), hops, limits[LEAST], limits[MOST])
    elif not limits[LEAST] <= amount <= limits[MOST]:
        amount = min(max(amount, limits[LEAST]), limits[MOST])
        left = slope * amount / (1.0 + bend * amount) - amount
    worth = left * value - price * (gas + overhead)
    if left > 0.0 and worth > floor:
        _keep(book, room, hops, start, worth, amount, left, gas + overhead)


# ---- from groups to pools


@kernel("b1(i8, i8, i8, i8, i8, f8)")
def _worthwhile(table: int, book: int, room: int, cycle: int, fixed: int, total: float) -> bool:
    """Return whether the pools of a cycle of groups can leave enough at all.

    At a marginal rate of e^total for the whole cycle, a hop of curvature N that is reached by rates
    of S together leaves at most `(e^(total/2) - 1)^2 / (S N)`. No member that can be part of a
    cycle that pays has a rate below its group's best by more than `total`.
    """
    best, bends = best_of(book), bends_of(book)
    tightest, reached = 0.0, -total
    for h in range(MOST_HOPS):
        group = routes_of(book)[MOST_HOPS * cycle + h]
        if group == 0:
            break
        bend, rise = bends[group], best[group]
        if fixed >= 0 and group == group_of(book)[fixed]:
            bend, rise = real(table)[fixed >> 1, BEND0 + (fixed & 1)], rate(table)[fixed]
        tightest = max(tightest, math.exp(reached) * bend)
        reached += rise
    gained = math.expm1(0.5 * total)
    parameters = parameters_of(book)
    value = limits_of(book)[starts_of(book)[cycle], VALUE]
    cost = parameters[GAS_PRICE] * parameters[OVERHEAD_GAS]
    return bool(gained * gained * value > (_floor(book, room) + cost) * tightest)


@kernel("void(i8, i8, i8, i8, i8, i8, i8)")
def _expand(
    table: int, book: int, room: int, cycle: int, fixed: int, since: int, until: int
) -> None:
    """Weigh the cycles of pools of a cycle of groups whose rates multiply to more than 1.

    Args:
        table: the market's.
        book: the book's.
        room: how many to keep.
        cycle: which.
        fixed: an edge that all of them have in its group's place; -1 for none.
        since: rows with a stamp from here
        until: to before here are left out: their cycles were weighed already.
    """
    rates, best, members = rate(table), best_of(book), arena(book, MEMBERS)
    groups, stamps, owners = groups_of(book), stamps_of(book), owners_of(book)
    about, kinds = real(table), shape(table)
    route = routes_of(book)[MOST_HOPS * cycle : MOST_HOPS * (cycle + 1)]
    start = starts_of(book)[cycle]
    edges = scratch_of(book)
    own = group_of(book)[fixed] if fixed >= 0 else -1
    hops = 2
    while hops < MOST_HOPS and route[hops] != 0:
        hops += 1
    # What is still to come at best, from each hop on.
    ahead3 = (rates[fixed] if route[3] == own else best[route[3]]) if hops > 3 else 0.0
    ahead2 = ahead3 + ((rates[fixed] if route[2] == own else best[route[2]]) if hops > 2 else 0.0)
    ahead1 = ahead2 + (rates[fixed] if route[1] == own else best[route[1]])
    total = ahead1 + (rates[fixed] if route[0] == own else best[route[0]])
    if not _worthwhile(table, book, room, cycle, fixed, total):
        return
    depth = 0
    at0, at1, at2, at3 = groups[route[0], FIRST], 0, 0, 0
    sum1, sum2, sum3 = 0.0, 0.0, 0.0
    slope1, slope2, slope3 = 1.0, 1.0, 1.0
    bend1, bend2, bend3 = 0.0, 0.0, 0.0
    gas1, gas2, gas3 = 0.0, 0.0, 0.0
    plain1, plain2, plain3 = True, True, True
    while depth >= 0:
        if depth == 0:
            at, total, slope, bend, gas, plain, more = at0, 0.0, 1.0, 0.0, 0.0, True, ahead1
            at0 += 1
        elif depth == 1:
            at, total, slope, bend, gas, plain, more = (
                at1,
                sum1,
                slope1,
                bend1,
                gas1,
                plain1,
                ahead2,
            )
            at1 += 1
        elif depth == 2:
            at, total, slope, bend, gas, plain, more = (
                at2,
                sum2,
                slope2,
                bend2,
                gas2,
                plain2,
                ahead3,
            )
            at2 += 1
        else:
            at, total, slope, bend, gas, plain, more = at3, sum3, slope3, bend3, gas3, plain3, 0.0
            at3 += 1
        group = groups[route[depth]]
        if at == group[FIRST] + group[COUNT]:
            depth -= 1
            continue
        edge = members[at]
        if route[depth] == own and edge != fixed:
            continue
        total += rates[edge]
        if not total + more > 0.0:
            continue
        row = edge >> 1
        if since <= stamps[row] < until:
            continue
        used = False
        for h in range(depth):
            used |= owners[edges[h] >> 1] == owners[row]
        if used:
            continue
        edges[depth] = edge
        first, curves = front(table, edge)
        bend += slope * curves
        slope *= first
        gas += about[row, GAS]
        plain &= kinds[row, KIND] == PRODUCT
        if depth + 1 == hops:
            if slope > 1.0:
                _weigh(table, book, room, hops, start, slope, bend, gas, plain)
            continue
        depth += 1
        following = groups[route[depth], FIRST]
        if depth == 1:
            at1, sum1, slope1, bend1, gas1, plain1 = following, total, slope, bend, gas, plain
        elif depth == 2:
            at2, sum2, slope2, bend2, gas2, plain2 = following, total, slope, bend, gas, plain
        else:
            at3, sum3, slope3, bend3, gas3, plain3 = following, total, slope, bend, gas, plain


@kernel("void(i8, i8, i8, i8, i8)")
def _through_row(table: int, book: int, row: int, room: int, since: int) -> None:
    """Weigh the cycles of pools through a row, but for those through rows stamped since."""
    rates, best, groups = rate(table), best_of(book), groups_of(book)
    through, edges = arena(book, THROUGH), group_of(book)
    until = stamps_of(book)[row]
    for edge in (2 * row, 2 * row + 1):
        group = edges[edge]
        if group == 0 or rates[edge] == DEAD:
            continue
        needed = -rates[edge]
        first = MOST_HOPS * groups[group, THROUGH_FIRST]
        for k in range(first, first + MOST_HOPS * groups[group, THROUGH_COUNT], MOST_HOPS):
            others = best[through[k]] + best[through[k + 1]] + best[through[k + 2]]
            if others > needed:
                _expand(table, book, room, through[k + 3], edge, since, until)


@kernel("b1(i8, i8, i8)")
def _pays(table: int, book: int, row: int) -> bool:
    """Return whether any cycle through a row gives more than it takes, gas left out."""
    rates, best, groups = rate(table), best_of(book), groups_of(book)
    through, edges = arena(book, THROUGH), group_of(book)
    for edge in (2 * row, 2 * row + 1):
        group = edges[edge]
        if group == 0 or rates[edge] == DEAD:
            continue
        needed = -rates[edge]
        first = MOST_HOPS * groups[group, THROUGH_FIRST]
        for k in range(first, first + MOST_HOPS * groups[group, THROUGH_COUNT], MOST_HOPS):
            if best[through[k]] + best[through[k + 1]] + best[through[k + 2]] > needed:
                return True
    return False


@kernel("i8(i8)")
def screen(book: int) -> int:
    """Choose every cycle of groups whose best rates multiply to more than 1; return how many."""
    best, routes, chosen = best_of(book), routes_of(book), chosen_of(book)
    found = 0
    for cycle in range(slot(book, CYCLES)):
        k = MOST_HOPS * cycle
        total = best[routes[k]] + best[routes[k + 1]] + best[routes[k + 2]] + best[routes[k + 3]]
        if total > 0.0:
            chosen[found] = cycle
            found += 1
    return found


# ---- in integers


@kernel("void(i8, i8, i8)")
def _confirm(table: int, book: int, place: int) -> None:
    """Write what a candidate gives in the contracts' integers, and its worth by them."""
    route, amounts, about = top_route(book, place), amounts_of(book, place), top_floats(book)[place]
    hops = route[TOP_HOPS]
    status, gas = exact_near(table, route, hops, about[TOP_AMOUNT], amounts)
    route[TOP_STATUS] = status
    if status != _OK:
        return
    amount = load(amounts, 0)
    if load(amounts, hops) <= amount:
        route[TOP_STATUS] = LOSES
        return
    parameters = parameters_of(book)
    gas += parameters[OVERHEAD_GAS]
    left = to_float(load(amounts, hops) - amount)
    about[TOP_AMOUNT], about[TOP_LEFT], about[TOP_GAS] = to_float(amount), left, gas
    worth = left * limits_of(book)[route[TOP_START], VALUE] - gas * parameters[GAS_PRICE]
    about[TOP_WORTH] = worth


@kernel("i8(i8, i8, i8)")
def _finish(table: int, book: int, wanted: int) -> int:
    """Confirm the best; return how many candidates are kept."""
    kept = slot(book, KEPT)
    order = order_of(book)
    for k in range(min(wanted, kept)):
        _confirm(table, book, order[k])
    return kept


# ---- searches


@kernel("i8(i8, i8, i8, i8)")
def search_all(table: int, book: int, room: int, wanted: int) -> int:
    """Search every cycle; `refresh_all` before, wherever rates have moved.

    Args:
        table: the market's.
        book: the book's.
        room: how many candidates to keep, at most 96.
        wanted: how many of them to confirm.

    Returns:
        How many are kept.
    """
    numbers(book)[KEPT] = 0
    chosen = chosen_of(book)
    for i in range(screen(book)):
        _expand(table, book, min(room, TOP_ROOM), chosen[i], -1, 0, 0)
    return _finish(table, book, wanted)


@kernel("i8(i8, i8, i8, i8, i8)")
def search_rows(table: int, book: int, count: int, room: int, wanted: int) -> int:
    """Search the cycles through the first `count` rows of `rows_in`; refreshes their groups.

    The other arguments and the result are those of `search_all`.
    """
    numbers(book)[KEPT] = 0
    rows, stamps = rows_in(book), stamps_of(book)
    since = slot(book, CLOCK) + 1
    numbers(book)[CLOCK] = since + count
    refresh_rows(table, book, count)
    for i in range(count):
        stamps[rows[i]] = since + i
    for i in range(count):
        _through_row(table, book, rows[i], min(room, TOP_ROOM), since)
    return _finish(table, book, wanted)


@kernel("void(i8, i8, U256, U256, i8)")
def write(table: int, row: int, first: Word, second: Word, tick: int) -> None:
    """Write what a swap left of a row: see `update`."""
    store(exact(table), 2 * row, first)
    store(exact(table), 2 * row + 1, second)
    if shape(table)[row, KIND] == CONCENTRATED:
        shape(table)[row, TICK] = tick
    write_image(table, row)


@kernel("void(i8, i8, i8, U256, U256, i8)")
def _take_in(table: int, book: int, row: int, first: Word, second: Word, tick: int) -> None:
    """Write a row and refresh its groups, with the parts of the book on their way meanwhile."""
    prefetch(slot(table, REAL) + _LINE * row)
    prefetch(slot(table, SHAPE) + _LINE * row)
    prefetch(slot(table, EXACT) + _LINE * row)
    prefetch(slot(table, RATE) + 16 * row)
    group = int(np.int64(group_of(book)[2 * row]))
    for side in range(2):
        prefetch(slot(book, GROUP) + _LINE * (group ^ side))
    prefetch(slot(book, BEST) + 8 * group)
    write(table, row, first, second, tick)
    for side in range(2):
        about = groups_of(book)[group ^ side]
        prefetch(slot(book, ARENA + MEMBERS) + 4 * about[FIRST])
        prefetch(slot(book, ARENA + THROUGH) + 16 * about[THROUGH_FIRST])
    refresh_row(table, book, row)


@kernel("i8(i8, i8, i8, U256, U256, i8, i8)")
def update(table: int, book: int, row: int, first: Word, second: Word, tick: int, room: int) -> int:
    """Write what a swap left of a row, and search the cycles through it.

    Args:
        table: the market's.
        book: the book's.
        row: a constant product or a concentrated pool.
        first: its reserve of token0; or its square-root price, Q64.96.
        second: its reserve of token1; or its liquidity in range.
        tick: a concentrated pool's tick.
        room: how many candidates to keep, each of them confirmed.

    Returns:
        How many are kept.
    """
    _take_in(table, book, row, first, second, tick)
    numbers(book)[KEPT] = 0
    since = slot(book, CLOCK) + 1
    numbers(book)[CLOCK] = since
    stamps_of(book)[row] = since
    _through_row(table, book, row, min(room, TOP_ROOM), since)
    return _finish(table, book, room)


@kernel("b1(i8, i8, i8, U256, U256, i8)")
def detect(table: int, book: int, row: int, first: Word, second: Word, tick: int) -> bool:
    """Write what a swap left of a row, and say whether any cycle through it may pay.

    The arguments are those of `update`.
    """
    _take_in(table, book, row, first, second, tick)
    return _pays(table, book, row)
