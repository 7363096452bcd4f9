"""Sparse systems of a network: an elimination order found once, and solved for many weights.

A node's equation is `sum over its ties of tie * (x[node] - x[other]) + ground * x[node] = push`:
the matrix is a graph's weighted Laplacian plus a diagonal that is not negative. Eliminating a node
ties its neighbours to each other (a star becomes a mesh), so every figure stays a sum of positive
ones: no difference is ever taken, and weights that differ by many powers of ten do no harm.

Nodes go in the order of fewest neighbours, which for a market (hubs, and tokens with a pool or two)
leaves almost no new ties. What would become too large for its arrays stays as a core, which
conjugate gradients solve.

The plan of an elimination lies in these arrays:

- `ends` int32[room, 2]: the two nodes of each tie; the given ones first, then the new ones.
- `order` int32[nodes]: nodes as they are eliminated, then those of the core.
- `begin` int64[nodes + 1]: where the ties of an eliminated node begin in the next two.
- `via` int32[room] and `to` int32[room]: the ties of each eliminated node, and whom they lead to;
  the core's ties follow from `begin[eliminated]` on.
- `targets` int32[room]: for each eliminated node, and each two of its neighbours in order, the tie
  between those two.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912, PLR0915

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import FloatArray, IntArray

ShortArray = NDArray[np.int32]
FlagArray = NDArray[np.uint8]

GROUNDED: Final = 1e200
"""The ground of a node whose value is held at 0: no tie comes near it."""

MOST_STEPS: Final = 200
_PRECISE: Final = 1e-20
"""The share of a squared residual at which conjugate gradients end."""


@kernel("i8(i8, i8)")
def _place(key: int, size: int) -> int:
    """Return where a search for a pair begins in a hash table whose size is a power of two."""
    mixed = key * 0x9E3779B97F4A7C1
    return (mixed ^ (mixed >> 29)) & (size - 1)


@kernel("i8(i8[::1], i4[::1], i8, i8)")
def _tie_of(keys: IntArray, ties: ShortArray, key: int, new: int) -> int:
    """Return the tie that a hash table has for a pair; `new` is written, and returned, if none."""
    at = _place(key, len(keys))
    while keys[at] >= 0:
        if keys[at] == key:
            return int(ties[at])
        at = (at + 1) & (len(keys) - 1)
    keys[at] = key
    ties[at] = new
    return new


@kernel("i8(i4[:,::1], i8[::1], i4[:,::1])")
def renumber(pairs: ShortArray, known: IntArray, local: ShortArray) -> int:
    """Number the nodes of some pairs from 0, in their order.

    Args:
        pairs: int32[n, 2], nodes by any number.
        known: int64[2 * n], written: the numbers that occur, ascending.
        local: int32[n, 2], written: the places of the pairs' nodes among them.

    Returns:
        How many nodes there are.
    """
    every = np.sort(pairs.ravel())
    count = 0
    for number in every:
        if count == 0 or known[count - 1] != number:
            known[count] = number
            count += 1
    for i in range(len(pairs)):
        for side in range(2):
            low, high = 0, count
            while high - low > 1:
                middle = (low + high) >> 1
                if known[middle] <= pairs[i, side]:
                    low = middle
                else:
                    high = middle
            local[i, side] = low
    return count


@kernel("i8(i4[:,::1], i4[:,::1], i4[::1], i4[::1])")
def join(pairs: ShortArray, ends: ShortArray, tie_of: ShortArray, degree: ShortArray) -> int:
    """Make one tie of all pairs of the same two nodes.

    Args:
        pairs: int32[n, 2], two different nodes each.
        ends: int32[>= n, 2], written: the nodes of each tie, the smaller first.
        tie_of: int32[n], written: the tie of each pair.
        degree: int32[nodes], written: how many ties each node has.

    Returns:
        How many ties there are.
    """
    size = 16
    while size < 2 * len(pairs):
        size *= 2
    keys = np.full(size, -1, np.int64)
    ties = np.empty(size, np.int32)
    nodes = len(degree)
    degree[:] = 0
    count = 0
    for i in range(len(pairs)):
        low, high = min(pairs[i, 0], pairs[i, 1]), max(pairs[i, 0], pairs[i, 1])
        tie = _tie_of(keys, ties, low * nodes + high, count)
        tie_of[i] = tie
        if tie == count:
            ends[tie, 0] = low
            ends[tie, 1] = high
            degree[low] += 1
            degree[high] += 1
            count += 1
    return count


@kernel("UniTuple(i8, 2)(i4[:,::1], i8, i4[::1], i4[::1], i8[::1], i4[::1], i4[::1], i4[::1])")
def plan(
    ends: ShortArray,
    given: int,
    degree: ShortArray,
    order: ShortArray,
    begin: IntArray,
    via: ShortArray,
    to: ShortArray,
    targets: ShortArray,
) -> tuple[int, int]:
    """Find an order of elimination, and all that it will touch.

    Args:
        ends: int32[room, 2], the given ties first; new ones are written behind them.
        given: how many ties are given, no two between the same nodes.
        degree: int32[nodes], how many ties each node has; used up.
        order: int32[nodes], written.
        begin: int64[nodes + 1], written.
        via: int32[room], written.
        to: int32[room], written.
        targets: int32[...], written; its size bounds the work of a solution.

    Returns:
        How many nodes are eliminated, and how many ties there are then.
    """
    nodes = len(degree)
    room = min(len(ends), len(via))
    size = 16
    while size < 2 * room:
        size *= 2
    keys = np.full(size, -1, np.int64)
    ties = np.empty(size, np.int32)
    # The ties of each node as a list of their ends: end `2 * tie + side`.
    newest = np.full(nodes, -1, np.int32)
    older = np.empty(2 * room, np.int32)
    for tie in range(given):
        _tie_of(keys, ties, ends[tie, 0] * nodes + ends[tie, 1], tie)
        for side in range(2):
            older[2 * tie + side] = newest[ends[tie, side]]
            newest[ends[tie, side]] = 2 * tie + side
    # Nodes by how many neighbours they have, as doubly linked lists.
    top = np.full(nodes + 1, -1, np.int32)
    above = np.full(nodes, -1, np.int32)
    below = np.full(nodes, -1, np.int32)
    for node in range(nodes - 1, -1, -1):
        first = top[degree[node]]
        below[node] = first
        if first >= 0:
            above[first] = node
        top[degree[node]] = node
    done = np.zeros(nodes, np.uint8)
    count = given
    eliminated = 0
    written = 0
    least = 0
    begin[0] = 0
    while eliminated < nodes:
        while top[least] < 0:
            least += 1
        pairs = least * (least - 1) // 2
        if written + pairs > len(targets) or count + pairs > room:
            break
        node = top[least]
        top[least] = below[node]
        if below[node] >= 0:
            above[below[node]] = -1
        done[node] = 1
        order[eliminated] = node
        at = begin[eliminated]
        end = newest[node]
        while end >= 0:
            tie, other = end >> 1, ends[end >> 1, 1 - (end & 1)]
            if done[other] == 0:
                via[at] = tie
                to[at] = other
                at += 1
            end = older[end]
        for i in range(begin[eliminated], at):
            for j in range(i + 1, at):
                low, high = min(to[i], to[j]), max(to[i], to[j])
                tie = _tie_of(keys, ties, low * nodes + high, count)
                targets[written] = tie
                written += 1
                if tie == count:
                    count += 1
                    ends[tie, 0] = low
                    ends[tie, 1] = high
                    for side in range(2):
                        older[2 * tie + side] = newest[ends[tie, side]]
                        newest[ends[tie, side]] = 2 * tie + side
                        # Moved between the lists below, with the tie that is lost.
                        degree[ends[tie, side]] += 1 << 20
        for i in range(begin[eliminated], at):
            other = to[i]
            gained = degree[other] >> 20
            now = degree[other] & ((1 << 20) - 1)
            if above[other] >= 0:
                below[above[other]] = below[other]
            else:
                top[now] = below[other]
            if below[other] >= 0:
                above[below[other]] = above[other]
            now += gained - 1
            degree[other] = now
            above[other] = -1
            below[other] = top[now]
            if top[now] >= 0:
                above[top[now]] = other
            top[now] = other
            least = min(least, now)
        eliminated += 1
        begin[eliminated] = at
    at = begin[eliminated]
    place = eliminated
    for node in range(nodes):
        if done[node] == 0:
            order[place] = node
            place += 1
    for tie in range(count):
        if done[ends[tie, 0]] == 0 and done[ends[tie, 1]] == 0:
            via[at] = tie
            at += 1
    begin[nodes] = at
    return eliminated, count


@kernel("void(i4[:,::1], i4[::1], f8[::1], i4[::1], f8[::1], f8[::1], f8[::1])")
def _solve_core(
    ends: ShortArray,
    core_ties: ShortArray,
    tie: FloatArray,
    core: ShortArray,
    ground: FloatArray,
    push: FloatArray,
    x: FloatArray,
) -> None:
    """Solve what is left by conjugate gradients, each equation divided by its own weight."""
    nodes = len(ground)
    weight = np.zeros(nodes)
    residual = np.zeros(nodes)
    along = np.zeros(nodes)
    image = np.zeros(nodes)
    for node in core:
        weight[node] = ground[node]
    for t in core_ties:
        weight[ends[t, 0]] += tie[t]
        weight[ends[t, 1]] += tie[t]
    size = 0.0
    for node in core:
        x[node] = 0.0
        residual[node] = push[node]
        if weight[node] > 0.0:
            along[node] = push[node] / weight[node]
            size += push[node] * along[node]
    enough = _PRECISE * size
    for _ in range(MOST_STEPS):
        if size <= enough:
            return
        for node in core:
            image[node] = ground[node] * along[node]
        for t in core_ties:
            a, b = ends[t, 0], ends[t, 1]
            through = tie[t] * (along[a] - along[b])
            image[a] += through
            image[b] -= through
        energy = 0.0
        for node in core:
            energy += along[node] * image[node]
        if energy <= 0.0:
            return
        step = size / energy
        following = 0.0
        for node in core:
            x[node] += step * along[node]
            residual[node] -= step * image[node]
            if weight[node] > 0.0:
                following += residual[node] * residual[node] / weight[node]
        for node in core:
            if weight[node] > 0.0:
                along[node] = residual[node] / weight[node] + following / size * along[node]
        size = following


@kernel(
    "void(i4[:,::1], i8, i4[::1], i8[::1], i4[::1], i4[::1], i4[::1], i8, f8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1])"
)
def solve(
    ends: ShortArray,
    given: int,
    order: ShortArray,
    begin: IntArray,
    via: ShortArray,
    to: ShortArray,
    targets: ShortArray,
    eliminated: int,
    tie: FloatArray,
    ground: FloatArray,
    push: FloatArray,
    share: FloatArray,
    x: FloatArray,
) -> None:
    """Solve the system for some weights.

    Args:
        ends: int32[room, 2], as planned.
        given: how many ties are given.
        order: int32[nodes], as planned.
        begin: int64[nodes + 1], as planned.
        via: int32[room], as planned.
        to: int32[room], as planned.
        targets: int32[...], as planned.
        eliminated: how many nodes are eliminated.
        tie: float64[ties], the weights of the given ones, none negative; used up.
        ground: float64[nodes], none negative, GROUNDED where the value is held at 0; used up.
        push: float64[nodes], the right side; used up.
        share: float64[ties], scratch.
        x: float64[nodes], written; 0 where a node is tied to nothing.
    """
    tie[given:] = 0.0
    target = 0
    for k in range(eliminated):
        node = order[k]
        low, high = begin[k], begin[k + 1]
        total = ground[node]
        for i in range(low, high):
            total += tie[via[i]]
        inverse = 1.0 / total if total > 0.0 else 0.0
        x[node] = push[node] * inverse
        for i in range(low, high):
            part = tie[via[i]] * inverse
            share[i] = part
            if part == 0.0:
                target += high - 1 - i
                continue
            ground[to[i]] += part * ground[node]
            push[to[i]] += part * push[node]
            for j in range(i + 1, high):
                tie[targets[target]] += part * tie[via[j]]
                target += 1
    if eliminated < len(order):
        core_ties = via[begin[eliminated] : begin[len(order)]]
        _solve_core(ends, core_ties, tie, order[eliminated:], ground, push, x)
    for k in range(eliminated - 1, -1, -1):
        node = order[k]
        value = x[node]
        for i in range(begin[k], begin[k + 1]):
            value += share[i] * x[to[i]]
        x[node] = value
