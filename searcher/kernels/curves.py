"""Float curves: every directed pool as a row of segments, each with its virtual reserves.

An edge is a pool in one direction: `2 * row` swaps token0 for token1, `2 * row + 1` the other way.
Its segments lie in the shared `segments` array (float64[n, 4], see the columns below) from
`first[edge]` on, `count[edge]` of them. Within a segment the output for an input `x` is
`out + ry * u / (rx + u)` with `u = gamma * (x - in)`. A constant-product pool has one segment; a
concentrated one has one per range of liquidity, nearest first, and a last one that gives nothing.
Amounts are smallest units as float64. Floats search; they never decide.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

AMOUNT_IN: Final = 0
AMOUNT_OUT: Final = 1
RESERVE_IN: Final = 2
RESERVE_OUT: Final = 3
COLUMNS: Final = 4

DEAD: Final = -math.inf
"""The rate of an edge that must not be used: no sum with it is positive."""


@kernel("void(i8, f8, f8, f8, f8[::1], f8[::1], i8[::1], i8[::1], f8[:,::1])")
def write_constant_product(
    row: int,
    reserve0: float,
    reserve1: float,
    keep: float,
    rate: FloatArray,
    gamma: FloatArray,
    first: IntArray,
    count: IntArray,
    segments: FloatArray,
) -> None:
    """Write both edges of a constant-product pool.

    Args:
        row: the pool's row.
        reserve0: token0 that it holds.
        reserve1: token1 that it holds.
        keep: the share of an input left after the fee, such as 0.997.
        rate: float64[edges], log of the marginal rate, written.
        gamma: float64[edges], `keep` per edge, written.
        first: int64[edges], where an edge's segments begin.
        count: int64[edges], how many it has, written.
        segments: float64[n, 4], written.
    """
    for side in range(2):
        edge = 2 * row + side
        has = reserve0 if side == 0 else reserve1
        pays = reserve1 if side == 0 else reserve0
        at = first[edge]
        gamma[edge] = keep
        if has > 0.0 and pays > 0.0:
            segments[at, AMOUNT_IN] = 0.0
            segments[at, AMOUNT_OUT] = 0.0
            segments[at, RESERVE_IN] = has
            segments[at, RESERVE_OUT] = pays
            count[edge] = 1
            rate[edge] = math.log(keep * pays / has)
        else:
            count[edge] = 0
            rate[edge] = DEAD


@kernel("void(i8, f8, i8, f8, f8[::1], f8[::1], i8, f8[::1], f8[::1], i8[::1], i8[::1], f8[:,::1])")
def write_concentrated(
    row: int,
    price: float,
    place: int,
    keep: float,
    bounds: FloatArray,
    liquidity: FloatArray,
    room: int,
    rate: FloatArray,
    gamma: FloatArray,
    first: IntArray,
    count: IntArray,
    segments: FloatArray,
) -> None:
    """Write both edges of a concentrated-liquidity pool.

    Args:
        row: the pool's row.
        price: square root of token1 per token0, at this moment.
        place: the range that holds the price: from `bounds[place]` to `bounds[place + 1]`; -1
            below all bounds.
        keep: the share of an input left after the fee.
        bounds: float64[n], square-root prices of the initialised ticks, ascending.
        liquidity: float64[n], liquidity from each bound to the next; the last is 0.
        room: how many segments an edge may have; what lies further away is left out.
        rate: float64[edges], log of the marginal rate, written.
        gamma: float64[edges], `keep` per edge, written.
        first: int64[edges], where an edge's segments begin.
        count: int64[edges], how many it has, written.
        segments: float64[n, 4], written.
    """
    for side in range(2):
        edge = 2 * row + side
        gamma[edge] = keep
        at = first[edge]
        used = 0
        total_in = 0.0
        total_out = 0.0
        here = price
        k = place
        # A price outside all positions reaches the first of them without an input.
        if side == 0 and k >= len(bounds) - 1 and len(bounds) > 1:
            k = len(bounds) - 2
            here = bounds[k + 1]
        elif side == 1 and k < 0 and len(bounds) > 1:
            k = 0
            here = bounds[0]
        # The last of an edge's segments is kept for the end of the curve.
        while used < room - 1 and 0 <= k < len(bounds) - 1:
            depth = liquidity[k]
            there = bounds[k] if side == 0 else bounds[k + 1]
            moves = there < here if side == 0 else there > here
            if depth > 0.0 and moves:
                segments[at + used, AMOUNT_IN] = total_in
                segments[at + used, AMOUNT_OUT] = total_out
                if side == 0:
                    segments[at + used, RESERVE_IN] = depth / here
                    segments[at + used, RESERVE_OUT] = depth * here
                    total_in += depth * (1.0 / there - 1.0 / here) / keep
                    total_out += depth * (here - there)
                else:
                    segments[at + used, RESERVE_IN] = depth * here
                    segments[at + used, RESERVE_OUT] = depth / here
                    total_in += depth * (there - here) / keep
                    total_out += depth * (1.0 / here - 1.0 / there)
                used += 1
            here = there
            k += -1 if side == 0 else 1
        if used == 0:
            count[edge] = 0
            rate[edge] = DEAD
        else:
            segments[at + used, AMOUNT_IN] = total_in
            segments[at + used, AMOUNT_OUT] = total_out
            segments[at + used, RESERVE_IN] = 1.0
            segments[at + used, RESERVE_OUT] = 0.0
            count[edge] = used + 1
            rate[edge] = math.log(keep * segments[at, RESERVE_OUT] / segments[at, RESERVE_IN])
