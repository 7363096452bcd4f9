"""How much to put into a cycle, in floats.

Every segment is linear-fractional, so along a cycle G(x) = 1 / sqrt(F'(x)) rises piecewise
linearly with the input x, and the best input is where G(x) = 1. A cycle of constant-product pools
has one piece: there Newton's first step is the closed form.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import (
    AMOUNT_IN,
    AMOUNT_OUT,
    RESERVE_IN,
    RESERVE_OUT,
    FloatArray,
    IntArray,
)

EdgeArray = NDArray[np.int32]

MOST_STEPS: Final = 100
_SMALL: Final = 1e-12


@kernel("UniTuple(f8, 3)(f8, i4[::1], i8, f8[::1], i8[::1], i8[::1], f8[:,::1])")
def along(
    amount: float,
    edges: EdgeArray,
    hops: int,
    gamma: FloatArray,
    first: IntArray,
    count: IntArray,
    segments: FloatArray,
) -> tuple[float, float, float]:
    """Walk a cycle with an input.

    Args:
        amount: what goes in, smallest units.
        edges: int32[>= hops], the directed pools in order.
        hops: how many of them count.
        gamma: float64[edges], share left after the fee.
        first: int64[edges], where an edge's segments begin.
        count: int64[edges], how many it has.
        segments: float64[n, 4].

    Returns:
        The output, the marginal output dF/dx, and the curvature N of the local linear-fractional
        form `F(x + u) = F(x) + M u / (1 + N u)`.
    """
    slope = 1.0
    bend = 0.0
    for hop in range(hops):
        edge = edges[hop]
        keep = gamma[edge]
        low = first[edge]
        high = low + count[edge]
        while high - low > 1:
            middle = (low + high) >> 1
            if segments[middle, AMOUNT_IN] <= amount:
                low = middle
            else:
                high = middle
        inside = keep * (amount - segments[low, AMOUNT_IN])
        total = segments[low, RESERVE_IN] + inside
        bend += slope * keep / total
        slope *= keep * segments[low, RESERVE_IN] * segments[low, RESERVE_OUT] / (total * total)
        amount = segments[low, AMOUNT_OUT] + segments[low, RESERVE_OUT] * inside / total
    return amount, slope, bend


@kernel("UniTuple(f8, 2)(i4[::1], i8, f8, f8, f8[::1], i8[::1], i8[::1], f8[:,::1])")
def size_cycle(
    edges: EdgeArray,
    hops: int,
    least: float,
    most: float,
    gamma: FloatArray,
    first: IntArray,
    count: IntArray,
    segments: FloatArray,
) -> tuple[float, float]:
    """Find the input that leaves the most, between `least` and `most`.

    Args:
        edges: int32[>= hops], the directed pools in order.
        hops: how many of them count.
        least: the smallest input allowed, smallest units.
        most: the largest input allowed.
        gamma: float64[edges], share left after the fee.
        first: int64[edges], where an edge's segments begin.
        count: int64[edges], how many it has.
        segments: float64[n, 4].

    Returns:
        The input and what it leaves (output less input); 0.0 and 0.0 when nothing pays.
    """
    low = 0.0
    high = most
    closed = False
    amount = 0.0
    for _ in range(MOST_STEPS):
        _, slope, bend = along(amount, edges, hops, gamma, first, count, segments)
        if slope > 1.0:
            low = amount
        else:
            if amount == 0.0:
                return 0.0, 0.0
            high = amount
            closed = True
        # Beyond the end of a curve nothing comes out: the bracket decides there.
        step = (math.sqrt(slope) - 1.0) / bend if slope > 0.0 else math.inf
        following = amount + step
        if abs(step) <= _SMALL * amount:
            break
        # A step out of the bracket comes from a jump between pieces: halve instead.
        if not low < following < high:
            if not closed and slope > 1.0:
                along_most = along(most, edges, hops, gamma, first, count, segments)
                if along_most[1] >= 1.0:
                    amount = most
                    break
                closed = True
            following = 0.5 * (low + high)
        if high - low <= _SMALL * high:
            amount = low
            break
        amount = following
    amount = min(max(amount, least), most)
    out, _, _ = along(amount, edges, hops, gamma, first, count, segments)
    if out <= amount:
        return 0.0, 0.0
    return amount, out - amount
