"""Which rows matter to a joint trade, and prices to begin its search with.

A row matters when it lies on a way of few hops between a token that may be kept and a pool that has
changed, and leads on. Prices spread from tokens whose worth is known through the deepest pools.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912

from __future__ import annotations

import math

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.elimination import FlagArray, ShortArray
from searcher.kernels.hops import hop
from searcher.kernels.memory import rate

# ---- prices to begin with


@kernel("void(f8[::1], i4[::1], i8, f8, i4)")
def _push(keys: FloatArray, items: ShortArray, size: int, key: float, item: int) -> None:
    """Put an item into a heap of `size` whose greatest key is first."""
    at = size
    while at > 0 and keys[(at - 1) >> 1] < key:
        keys[at], items[at] = keys[(at - 1) >> 1], items[(at - 1) >> 1]
        at = (at - 1) >> 1
    keys[at], items[at] = key, item


@kernel("void(f8[::1], i4[::1], i8)")
def _drop_first(keys: FloatArray, items: ShortArray, size: int) -> None:
    """Take the first item out of a heap of `size`."""
    key, item = keys[size - 1], items[size - 1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and keys[child + 1] > keys[child]:
            child += 1
        if keys[child] <= key:
            break
        keys[at], items[at] = keys[child], items[child]
        at = child
    keys[at], items[at] = key, item


@kernel("f8(i8, i8)")
def depth_of(table: int, row: int) -> float:
    """Return a row's virtual reserve of token0 at its price, divided by what the fee leaves.

    Of a constant product it is the reserve. Where only the other direction lives, it is that one's,
    at the row's own price.
    """
    rates = rate(table)
    bend = slope = 0.0
    if rates[2 * row] > DEAD:
        _, slope, bend = hop(table, 2 * row, 0.0)
        return 1.0 / bend if bend > 0.0 else 0.0
    if rates[2 * row + 1] > DEAD:
        _, slope, bend = hop(table, 2 * row + 1, 0.0)
    return slope / bend if bend > 0.0 else 0.0


@kernel("f8(i8, i8)")
def _log_ratio(table: int, row: int) -> float:
    """Return the logarithm of token0's price in token1 between the rates of the two directions."""
    forth: float = rate(table)[2 * row]
    back: float = rate(table)[2 * row + 1]
    if forth == DEAD:
        return -back
    if back == DEAD:
        return forth
    return 0.5 * (forth - back)


@kernel("i8(i8, i8[::1], i4[:,::1], f8[::1])")
def spread_prices(table: int, rows: IntArray, tokens: ShortArray, log_price: FloatArray) -> int:
    """Give tokens without a price one, through the deepest pool to a token that has one.

    Args:
        table: the market's.
        rows: int64[n].
        tokens: int32[n, 2], the two tokens of each row.
        log_price: float64[tokens], log of wei per unit; NaN where it is not known, written.

    Returns:
        How many tokens remain without: no living row leads to them.
    """
    number = len(log_price)
    begin = np.zeros(number + 1, np.int64)
    for i in range(len(rows)):
        begin[tokens[i, 0] + 1] += 1
        begin[tokens[i, 1] + 1] += 1
    for token in range(number):
        begin[token + 1] += begin[token]
    filled = begin[:-1].copy()
    ends = np.empty(2 * len(rows), np.int32)
    for i in range(len(rows)):
        for side in range(2):
            token = tokens[i, side]
            ends[filled[token]] = 2 * i + side
            filled[token] += 1
    keys = np.empty(2 * len(rows) + 1)
    items = np.empty(2 * len(rows) + 1, np.int32)
    size = 0
    opened = np.empty(number, np.int32)
    known = 0
    for token in range(number):
        if not math.isnan(log_price[token]):
            opened[known] = token
            known += 1
    at = 0
    while at < known:
        while at < known:
            token = opened[at]
            at += 1
            for k in range(begin[token], begin[token + 1]):
                end = ends[k]
                i, side = end >> 1, end & 1
                if not math.isnan(log_price[tokens[i, 1 - side]]):
                    continue
                ratio = _log_ratio(table, rows[i])
                if not math.isfinite(ratio):
                    continue
                price0 = log_price[token] if side == 0 else log_price[token] + ratio
                depth = math.exp(price0) * depth_of(table, rows[i])
                if depth > 0.0:
                    _push(keys, items, size, depth, end)
                    size += 1
        while size > 0 and at == known:
            end = items[0]
            _drop_first(keys, items, size)
            size -= 1
            i, side = end >> 1, end & 1
            other = tokens[i, 1 - side]
            if math.isnan(log_price[other]):
                ratio = _log_ratio(table, rows[i])
                here = log_price[tokens[i, side]]
                log_price[other] = here - ratio if side == 0 else here + ratio
                opened[known] = other
                known += 1
    return number - known


# ---- which pools matter


@kernel("i4(i4[::1], i4)")
def _root(parent: ShortArray, token: int) -> int:
    """Return the token that stands for all that a token is joined with, and shorten the way."""
    while parent[token] != token:
        parent[token] = parent[parent[token]]
        token = parent[token]
    return token


@kernel("void(i4[:,::1], f8[:,::1], u1[::1])")
def mark_joined(tokens: ShortArray, rates: FloatArray, joined: FlagArray) -> None:
    """Mark every token that living rows join, over any number of others, with a marked one.

    Args:
        tokens: int32[n, 2], the two tokens of each row.
        rates: float64[n, 2].
        joined: uint8[tokens], 1 for a marked one, written.
    """
    parent = np.arange(len(joined)).astype(np.int32)
    for i in range(len(tokens)):
        if rates[i, 0] > DEAD or rates[i, 1] > DEAD:
            one, other = _root(parent, tokens[i, 0]), _root(parent, tokens[i, 1])
            parent[one] = other
            joined[other] |= joined[one]
    for token in range(len(joined)):
        joined[token] |= joined[_root(parent, token)]


@kernel("void(i4[:,::1], f8[:,::1], i8[::1], u1[::1], i8)")
def _measure(
    tokens: ShortArray, rates: FloatArray, distance: IntArray, closed: FlagArray, most: int
) -> None:
    """Write each token's distance in hops from those that have 0, not led on through `closed`."""
    for reached in range(most):
        changed = False
        for row in range(len(tokens)):
            a, b = tokens[row, 0], tokens[row, 1]
            if a < 0 or (rates[row, 0] == DEAD and rates[row, 1] == DEAD):
                continue
            if distance[a] == reached and (reached == 0 or closed[a] == 0) and distance[b] > most:
                distance[b] = reached + 1
                changed = True
            if distance[b] == reached and (reached == 0 or closed[b] == 0) and distance[a] > most:
                distance[a] = reached + 1
                changed = True
        if not changed:
            return


@kernel("void(i4[:,::1], f8[:,::1], i4[::1], i4[::1], i8, u1[::1], u1[::1])")
def mark_near(
    tokens: ShortArray,
    rates: FloatArray,
    kept: ShortArray,
    origins: ShortArray,
    most_hops: int,
    ends: FlagArray,
    near: FlagArray,
) -> None:
    """Mark the rows that lie on a way of few hops between what is kept and what has changed.

    Args:
        tokens: int32[rows, 2], the two tokens of every row; -1 for one that is not searched.
        rates: float64[rows, 2].
        kept: int32[n], the tokens that are kept.
        origins: int32[n], the tokens of pools that have changed, or of a basket; empty marks all.
        most_hops: how many rows such a way has at most.
        ends: uint8[tokens], written: 1 for a token of `kept`.
        near: uint8[rows], written.
    """
    number = len(ends)
    ends[:] = 0
    outward = np.full(number, most_hops + 1, np.int64)
    inward = np.full(number, most_hops + 1, np.int64)
    for token in kept:
        ends[token] = 1
        outward[token] = 0
    for token in origins:
        inward[token] = 0
    _measure(tokens, rates, outward, ends, most_hops)
    if len(origins) == 0:
        inward[:] = 0
    else:
        # A way begins at the one kept token and does not come through it again; of several, one is
        # changed into another.
        closed = ends if len(kept) == 1 else np.zeros(number, np.uint8)
        _measure(tokens, rates, inward, closed, most_hops)
        for token in range(number):
            if closed[token] != 0 and inward[token] > 0:
                inward[token] = most_hops
    for row in range(len(tokens)):
        a, b = tokens[row, 0], tokens[row, 1]
        near[row] = 0
        if a < 0 or (rates[row, 0] == DEAD and rates[row, 1] == DEAD):
            continue
        if min(outward[a] + inward[b], outward[b] + inward[a]) < most_hops:
            near[row] = 1


@kernel("void(i4[:,::1], u1[::1], u1[::1])")
def trim(tokens: ShortArray, ends: FlagArray, near: FlagArray) -> None:
    """Take out marked rows that lead nowhere: to a token with no other row that is no end.

    Args:
        tokens: int32[rows, 2], the two tokens of every row.
        ends: uint8[tokens], 1 where a way may end.
        near: uint8[rows], 1 for a marked row, written.
    """
    degree = np.zeros(len(ends), np.int64)
    for row in range(len(near)):
        if near[row] != 0:
            degree[tokens[row, 0]] += 1
            degree[tokens[row, 1]] += 1
    changed = True
    while changed:
        changed = False
        for row in range(len(near)):
            if near[row] == 0:
                continue
            a, b = tokens[row, 0], tokens[row, 1]
            if (degree[a] == 1 and ends[a] == 0) or (degree[b] == 1 and ends[b] == 0):
                near[row] = 0
                degree[a] -= 1
                degree[b] -= 1
                changed = True


@kernel("void(i8, i8[::1], i4[:,::1], f8[::1], f8[::1])")
def write_depths(
    table: int, rows: IntArray, tokens: ShortArray, log_price: FloatArray, depth: FloatArray
) -> None:
    """Write what each row holds near its price, in wei; 0 where its price is not known.

    Args:
        table: the market's.
        rows: int64[n].
        tokens: int32[n, 2], the two tokens of each row.
        log_price: float64[tokens], log of wei per unit, or NaN.
        depth: float64[n], written.
    """
    for i in range(len(rows)):
        depth[i] = 0.0
        if not math.isnan(log_price[tokens[i, 0]]):
            depth[i] = math.exp(log_price[tokens[i, 0]]) * depth_of(table, rows[i])
