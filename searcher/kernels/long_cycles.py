"""Cycles of many hops, found by a relaxation with real amounts over the market's memory.

From a start token an amount spreads hop by hop: each token keeps, per number of hops, the label
that is worth most of all ways that lead there, which is the output of real swaps of this size, less
their gas. Where an edge leads back to the start with more than went in, the way is a cycle that
pays. One label a token and a number of hops is a choice: the search is bounded and finds most of
what there is, not all of it, and another size of the input makes other choices.

Before the first size, bounds are laid from the start backwards: the log of the most that marginal
rates give from a token to the start within so many hops. As no swap beats the marginal rate, a
label whose product with the bound is not above one leads to nothing, so that a market in which
nothing pays is left after a few steps.

The work is done in slices: a call does about as much as it is told to, and the next one goes on.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.hops import hop
from searcher.kernels.memory import GAS, rate, real

Numbers = NDArray[np.int32]

MOST_HOPS: Final = 8

# ---- the cursor, int64[4]

PHASE: Final = 0
"""0 while bounds are laid, then 1 and the place of the size."""
LAYER: Final = 1
"""How many hops lie behind (sizes) or ahead (bounds)."""
ROW: Final = 2
FOUND: Final = 3
"""How many cycles were found."""
CURSOR: Final = 4

HOP_WORK: Final = 16
"""What a swap counts, in rows looked at."""


@kernel("i8(i8, i4[:,::1], i8, i8, i8, i8, f8[:,::1], i8)")
def _lay_bounds(
    table: int,
    tokens: Numbers,
    row: int,
    rows: int,
    start: int,
    layer: int,
    back: FloatArray,
    budget: int,
) -> int:
    """Carry bounds of `layer - 1` hops one hop further; return the row to go on with."""
    rates = rate(table)
    stop = min(rows, row + budget)
    for r in range(row, stop):
        if tokens[r, 0] < 0:
            continue
        for side in range(2):
            token = tokens[r, side]
            if token == start:
                continue
            bound = rates[2 * r + side] + back[layer - 1, tokens[r, 1 - side]]
            back[layer, token] = max(back[layer, token], bound)
    return stop


@kernel("b1(i4[:,::1], i4[::1], i4[:,::1], i8, i8, i8, i8)")
def _met(
    tokens: Numbers,
    pools: Numbers,
    edges: Numbers,
    layer: int,
    token: int,
    following: int,
    row: int,
) -> bool:
    """Return whether the way to a label has been at the token or in the pool that follow."""
    while layer > 0:
        if token == following:
            return True
        edge = edges[layer, token]
        if pools[edge >> 1] == pools[row]:
            return True
        token = tokens[edge >> 1, edge & 1]
        layer -= 1
    return False


@kernel(
    "void(i4[:,::1], i4[:,::1], i8, i8, i8, f8, f8, i8[::1], i4[:,::1], i8[::1], f8[::1], f8[::1])"
)
def _keep(
    tokens: Numbers,
    edges: Numbers,
    layer: int,
    token: int,
    last: int,
    size: float,
    net: float,
    cursor: IntArray,
    found_edges: Numbers,
    found_hops: IntArray,
    found_amount: FloatArray,
    found_net: FloatArray,
) -> None:
    """Put a cycle among those found, the best first, each once."""
    room = len(found_net)
    kept = cursor[FOUND]
    way = np.full(MOST_HOPS, -1, np.int32)
    way[layer] = last
    for h in range(layer, 0, -1):
        edge = edges[h, token]
        way[h - 1] = edge
        token = tokens[edge >> 1, edge & 1]
    place = kept
    for k in range(kept):
        same = found_hops[k] == layer + 1
        for h in range(MOST_HOPS):
            same &= found_edges[k, h] == way[h]
        if same:
            if found_net[k] >= net:
                return
            place = k
    if place == kept:
        if kept < room:
            cursor[FOUND] = kept + 1
        elif found_net[room - 1] >= net:
            return
        else:
            place = room - 1
    while place > 0 and found_net[place - 1] < net:
        found_net[place] = found_net[place - 1]
        found_amount[place] = found_amount[place - 1]
        found_hops[place] = found_hops[place - 1]
        for h in range(MOST_HOPS):
            found_edges[place, h] = found_edges[place - 1, h]
        place -= 1
    found_net[place] = net
    found_amount[place] = size
    found_hops[place] = layer + 1
    for h in range(MOST_HOPS):
        found_edges[place, h] = way[h]


@kernel(
    "UniTuple(i8, 2)(i8, i4[:,::1], i4[::1], i8, i8, f8, f8, i8, i8, f8[:,::1], f8[:,::1],"
    " f8[:,::1], f8[:,::1], i4[:,::1], i8[::1], i8, i4[:,::1], i8[::1], f8[::1], f8[::1])"
)
def _spread(
    table: int,
    tokens: Numbers,
    pools: Numbers,
    rows: int,
    start: int,
    size: float,
    gas_price: float,
    hops_least: int,
    hops_most: int,
    back: FloatArray,
    worth: FloatArray,
    amounts: FloatArray,
    gas: FloatArray,
    edges: Numbers,
    cursor: IntArray,
    budget: int,
    found_edges: Numbers,
    found_hops: IntArray,
    found_amount: FloatArray,
    found_net: FloatArray,
) -> tuple[int, int]:
    """Carry the labels of a layer one hop further; return the row to go on with, and the work."""
    rates = rate(table)
    image = real(table)
    layer = cursor[LAYER]
    ahead = hops_most - layer - 1
    even = math.log(size)
    work = 0
    row = cursor[ROW]
    while row < rows and work < budget:
        work += 1
        if tokens[row, 0] < 0:
            row += 1
            continue
        for side in range(2):
            token, following = tokens[row, side], tokens[row, 1 - side]
            edge = 2 * row + side
            promise = worth[layer, token] + rates[edge]
            # Unreached tokens and dead edges are -inf: no sum with them passes.
            if promise + back[ahead, following] <= even:
                continue
            home = following == start
            if home and layer + 1 < hops_least:
                continue
            if not home and (ahead == 0 or promise <= worth[layer + 1, following]):
                continue
            if _met(tokens, pools, edges, layer, token, following, row):
                continue
            work += HOP_WORK
            out = hop(table, edge, amounts[layer, token])[0]
            used = gas[layer, token] + image[row, GAS]
            if home:
                net = out - size - used * gas_price
                if net > 0.0:
                    _keep(
                        tokens,
                        edges,
                        layer,
                        token,
                        edge,
                        size,
                        net,
                        cursor,
                        found_edges,
                        found_hops,
                        found_amount,
                        found_net,
                    )
                continue
            left = 1.0 - used * gas_price / size
            if out <= 0.0 or left <= 0.0:
                continue
            value = math.log(out * left)
            if value > worth[layer + 1, following] and value + back[ahead, following] > even:
                worth[layer + 1, following] = value
                amounts[layer + 1, following] = out
                gas[layer + 1, following] = used
                edges[layer + 1, following] = edge
        row += 1
    return row, work


@kernel(
    "b1(i8, i4[:,::1], i4[::1], i8, i8, f8[::1], f8, i8, i8, f8[:,::1], f8[:,::1],"
    " f8[:,::1], f8[:,::1], i4[:,::1], i8[::1], i8, i4[:,::1], i8[::1], f8[::1], f8[::1])"
)
def search_slice(
    table: int,
    tokens: Numbers,
    pools: Numbers,
    rows: int,
    start: int,
    sizes: FloatArray,
    gas_price: float,
    hops_least: int,
    hops_most: int,
    back: FloatArray,
    worth: FloatArray,
    amounts: FloatArray,
    gas: FloatArray,
    edges: Numbers,
    cursor: IntArray,
    budget: int,
    found_edges: Numbers,
    found_hops: IntArray,
    found_amount: FloatArray,
    found_net: FloatArray,
) -> bool:
    """Do a slice of a search; a cursor of zeros begins one.

    The market must not change between the slices of a search: begin anew when it does.

    Args:
        table: the market's.
        tokens: int32[>= rows, 2], the numbers of each row's tokens; -1 for a row left out.
        pools: int32[>= rows], the number of each row's pool.
        rows: how many rows there are.
        start: the number of the start token.
        sizes: float64[s], the inputs to search with, smallest units of the start token.
        gas_price: what a unit of gas costs, in smallest units of the start token.
        hops_least: the shortest cycle wanted, at least 2.
        hops_most: the longest cycle wanted, at most `MOST_HOPS`.
        back: float64[hops_most + 1, tokens], the bounds; written, as are the next four.
        worth: float64[hops_most + 1, tokens], log of a label's amount less its gas.
        amounts: float64[hops_most + 1, tokens], smallest units of the label's token.
        gas: float64[hops_most + 1, tokens], what its swaps take.
        edges: int32[hops_most + 1, tokens], its last edge.
        cursor: int64[4], where the search stands, read and written.
        budget: how many rows to look at; a swap counts as `HOP_WORK` of them.
        found_edges: int32[room, 8], the edges of the cycles found, written, the best first.
        found_hops: int64[room], their numbers of hops, written.
        found_amount: float64[room], the size they were found at, written.
        found_net: float64[room], what they leave after gas, smallest units of the start, written.

    Returns:
        Whether the search is over.
    """
    while budget > 0 and cursor[PHASE] <= len(sizes):
        layer, row = cursor[LAYER], cursor[ROW]
        if cursor[PHASE] == 0:
            if row == 0:
                if layer == 0:
                    back[0] = DEAD
                    back[0, start] = 0.0
                    cursor[LAYER] = layer = 1
                back[layer] = back[layer - 1]
            stop = _lay_bounds(table, tokens, row, rows, start, layer, back, budget)
            work = stop - row
            last = hops_most
        else:
            size = sizes[cursor[PHASE] - 1]
            if row == 0 and layer == 0:
                worth[:] = DEAD
                worth[0, start] = math.log(size)
                amounts[0, start] = size
                gas[0, start] = 0.0
            stop, work = _spread(
                table,
                tokens,
                pools,
                rows,
                start,
                size,
                gas_price,
                hops_least,
                hops_most,
                back,
                worth,
                amounts,
                gas,
                edges,
                cursor,
                budget,
                found_edges,
                found_hops,
                found_amount,
                found_net,
            )
            last = hops_most - 1
        # The end of a layer counts too, or a market without rows would take for ever.
        budget -= work + 1
        cursor[ROW] = stop
        if stop == rows:
            cursor[ROW] = 0
            cursor[LAYER] = layer + 1
            if layer == last:
                cursor[LAYER] = 0
                cursor[PHASE] += 1
    return bool(cursor[PHASE] > len(sizes))
