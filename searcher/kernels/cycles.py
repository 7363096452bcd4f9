"""Which cycles pay, in floats, over pairs of tokens first and over single pools only where needed.

A group is a directed pair of tokens; its members are the edges that swap one for the other. A
cycle of groups can pay only if the best member of each does, so cycles are kept and screened per
group and taken apart into pools where the sum of the best rates is positive.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912, PLR0915

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.sizing import size_cycle

RouteArray = NDArray[np.int32]
FlagArray = NDArray[np.uint8]

MOST_HOPS: Final = 4


@kernel("void(i8[::1], i8[::1], i4[::1], f8[::1], f8[::1])")
def refresh(
    groups: IntArray, ptr: IntArray, members: RouteArray, rate: FloatArray, best: FloatArray
) -> None:
    """Write the best rate of some groups.

    Args:
        groups: int64[n], which.
        ptr: int64[groups + 1], where a group's members begin.
        members: int32[...], edges by group.
        rate: float64[edges], log of the marginal rate.
        best: float64[groups], written.
    """
    for i in range(len(groups)):
        group = groups[i]
        top = DEAD
        for k in range(ptr[group], ptr[group + 1]):
            top = max(top, rate[members[k]])
        best[group] = top


@kernel("b1(i4[::1], i4, i8, i8)")
def _holds(tokens: RouteArray, token: int, low: int, high: int) -> bool:
    found = False
    for i in range(low, high):
        found |= tokens[i] == token
    return found


@kernel("i8(i4[::1], i4, i8, i8)")
def _find(ordered: RouteArray, token: int, low: int, high: int) -> int:
    """Return where `token` lies in an ascending part of an array, or -1."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < token:
            low = middle + 1
        else:
            high = middle
    return low if low < end and ordered[low] == token else -1


@kernel("i8(i4[::1], i8, i8[::1], i4[::1], i4[::1], i8[::1], i4[:,::1], i8[::1], i8[::1])")
def enumerate_cycles(
    starts: RouteArray,
    hops: int,
    out_ptr: IntArray,
    out_token: RouteArray,
    out_group: RouteArray,
    ptr: IntArray,
    routes: RouteArray,
    lengths: IntArray,
    start_of: IntArray,
) -> int:
    """List the simple cycles of exactly `hops` hops, each from its first start token only.

    Args:
        starts: int32[s], start tokens in order of preference.
        hops: 2 to 4.
        out_ptr: int64[tokens + 1], where a token's neighbours begin.
        out_token: int32[...], neighbours, ascending per token.
        out_group: int32[...], the group that leads there.
        ptr: int64[groups + 1], where a group's members begin.
        routes: int32[room, 4], groups of each cycle, written.
        lengths: int64[room], hops of each cycle, written.
        start_of: int64[room], place of its start token in `starts`, written.

    Returns:
        How many there are; more than `room` when not all could be written.
    """
    found = 0
    tokens = np.empty(MOST_HOPS + 1, np.int32)
    groups = np.empty(MOST_HOPS, np.int32)
    position = np.empty(MOST_HOPS + 1, np.int64)
    for s in range(len(starts)):
        start = starts[s]
        tokens[0] = start
        position[0] = out_ptr[start]
        depth = 0
        while depth >= 0:
            token = tokens[depth]
            if depth == hops - 1:
                k = _find(out_token, start, out_ptr[token], out_ptr[token + 1])
                depth -= 1
                if k < 0:
                    continue
                last = out_group[k]
                # Out and back needs two pools of the same pair.
                if hops == 2 and ptr[last + 1] - ptr[last] < 2:
                    continue
                if found < len(routes):
                    for h in range(hops - 1):
                        routes[found, h] = groups[h]
                    routes[found, hops - 1] = last
                    for h in range(hops, MOST_HOPS):
                        routes[found, h] = -1
                    lengths[found] = hops
                    start_of[found] = s
                found += 1
                continue
            k = position[depth]
            if k == out_ptr[token + 1]:
                depth -= 1
                continue
            position[depth] = k + 1
            following = out_token[k]
            # A cycle through an earlier start token was listed from there.
            if _holds(tokens, following, 0, depth + 1) or _holds(starts, following, 0, s):
                continue
            groups[depth] = out_group[k]
            depth += 1
            tokens[depth] = following
            position[depth] = out_ptr[following]
    return found


@kernel("i8(i4[:,::1], i8[::1], f8[::1], i8[::1])")
def screen_all(routes: RouteArray, lengths: IntArray, best: FloatArray, chosen: IntArray) -> int:
    """Choose every cycle whose best rates multiply to more than one.

    Args:
        routes: int32[cycles, 4], groups of each cycle.
        lengths: int64[cycles], hops of each cycle.
        best: float64[groups], best rate of each group.
        chosen: int64[cycles], numbers of the chosen cycles, written.

    Returns:
        How many were chosen.
    """
    found = 0
    for c in range(len(routes)):
        total = best[routes[c, 0]] + best[routes[c, 1]]
        for h in range(2, lengths[c]):
            total += best[routes[c, h]]
        if total > 0.0:
            chosen[found] = c
            found += 1
    return found


@kernel("i8(i8[::1], i8[::1], i4[::1], i4[:,::1], i8[::1], f8[::1], i8[::1], i8, i8[::1])")
def screen_touched(
    groups: IntArray,
    through_ptr: IntArray,
    through: RouteArray,
    routes: RouteArray,
    lengths: IntArray,
    best: FloatArray,
    stamps: IntArray,
    stamp: int,
    chosen: IntArray,
) -> int:
    """Choose the cycles through some groups whose best rates multiply to more than one.

    Args:
        groups: int64[n], the groups whose pools changed.
        through_ptr: int64[groups + 1], where the cycles through a group begin.
        through: int32[...], cycles by group.
        routes: int32[cycles, 4], groups of each cycle.
        lengths: int64[cycles], hops of each cycle.
        best: float64[groups], best rate of each group.
        stamps: int64[cycles], when a cycle was last looked at, written.
        stamp: this call's number, greater than any before.
        chosen: int64[cycles], numbers of the chosen cycles, written.

    Returns:
        How many were chosen.
    """
    found = 0
    for i in range(len(groups)):
        for k in range(through_ptr[groups[i]], through_ptr[groups[i] + 1]):
            c = through[k]
            if stamps[c] == stamp:
                continue
            stamps[c] = stamp
            total = best[routes[c, 0]] + best[routes[c, 1]]
            for h in range(2, lengths[c]):
                total += best[routes[c, h]]
            if total > 0.0:
                chosen[found] = c
                found += 1
    return found


@kernel(
    "i8(i8[::1], i8, i4[:,::1], i8[::1], i8[::1], i8[::1], i4[::1], f8[::1], u1[::1], b1,"
    " f8[::1], f8[::1], f8[::1], f8, f8[::1], f8[::1], i8[::1], i8[::1], f8[:,::1],"
    " i4[:,::1], i8[::1], f8[::1], f8[::1])"
)
def expand(
    chosen: IntArray,
    number: int,
    routes: RouteArray,
    lengths: IntArray,
    start_of: IntArray,
    ptr: IntArray,
    members: RouteArray,
    best: FloatArray,
    touched: FlagArray,
    touched_only: bool,
    value: FloatArray,
    least: FloatArray,
    most: FloatArray,
    least_value: float,
    rate: FloatArray,
    gamma: FloatArray,
    first: IntArray,
    count: IntArray,
    segments: FloatArray,
    top_edges: RouteArray,
    top_cycle: IntArray,
    top_amount: FloatArray,
    top_value: FloatArray,
) -> int:
    """Take chosen cycles apart into pools, size each, and keep the most valuable.

    Args:
        chosen: int64[>= number], cycles to take apart.
        number: how many of them.
        routes: int32[cycles, 4], groups of each cycle.
        lengths: int64[cycles], hops of each cycle.
        start_of: int64[cycles], place of its start token.
        ptr: int64[groups + 1], where a group's members begin.
        members: int32[...], edges by group.
        best: float64[groups], best rate of each group.
        touched: uint8[rows], 1 for a pool that changed.
        touched_only: leave out cycles without a touched pool.
        value: float64[s], wei of wrapped native per smallest unit of each start token.
        least: float64[s], smallest input of each start token.
        most: float64[s], largest input of each start token.
        least_value: leave out what is worth no more, wei.
        rate: float64[edges], log of the marginal rate.
        gamma: float64[edges], share left after the fee.
        first: int64[edges], where an edge's segments begin.
        count: int64[edges], how many it has.
        segments: float64[n, 4].
        top_edges: int32[room, 4], edges of each kept cycle, written, most valuable first.
        top_cycle: int64[room], its number, written.
        top_amount: float64[room], its input, written.
        top_value: float64[room], what it leaves in wei, written.

    Returns:
        How many were kept.
    """
    room = len(top_value)
    kept = 0
    edges = np.empty(MOST_HOPS, np.int32)
    sums = np.empty(MOST_HOPS + 1, np.float64)
    ahead = np.empty(MOST_HOPS + 1, np.float64)
    position = np.empty(MOST_HOPS, np.int64)
    for i in range(number):
        c = chosen[i]
        hops = lengths[c]
        s = start_of[c]
        ahead[hops] = 0.0
        for h in range(hops - 1, -1, -1):
            ahead[h] = ahead[h + 1] + best[routes[c, h]]
        sums[0] = 0.0
        position[0] = ptr[routes[c, 0]]
        depth = 0
        while depth >= 0:
            if depth == hops:
                depth -= 1
                wanted = not touched_only
                for h in range(hops):
                    if touched[edges[h] >> 1] != 0:
                        wanted = True
                if not wanted:
                    continue
                amount, left = size_cycle(
                    edges, hops, least[s], most[s], gamma, first, count, segments
                )
                worth = left * value[s]
                if worth <= least_value or (kept == room and worth <= top_value[room - 1]):
                    continue
                k = kept if kept < room else room - 1
                while k > 0 and top_value[k - 1] < worth:
                    top_value[k] = top_value[k - 1]
                    top_amount[k] = top_amount[k - 1]
                    top_cycle[k] = top_cycle[k - 1]
                    for h in range(MOST_HOPS):
                        top_edges[k, h] = top_edges[k - 1, h]
                    k -= 1
                top_value[k] = worth
                top_amount[k] = amount
                top_cycle[k] = c
                for h in range(MOST_HOPS):
                    top_edges[k, h] = edges[h] if h < hops else -1
                kept = min(kept + 1, room)
                continue
            k = position[depth]
            if k == ptr[routes[c, depth] + 1]:
                depth -= 1
                continue
            position[depth] = k + 1
            edge = members[k]
            total = sums[depth] + rate[edge]
            if total + ahead[depth + 1] <= 0.0:
                continue
            used = False
            for h in range(depth):
                if edges[h] >> 1 == edge >> 1:
                    used = True
            if used:
                continue
            edges[depth] = edge
            depth += 1
            sums[depth] = total
            if depth < hops:
                position[depth] = ptr[routes[c, depth]]
    return kept
