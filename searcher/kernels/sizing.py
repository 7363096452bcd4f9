"""How much to put into a cycle, in floats, and what it then gives, in integers.

Every piece of a curve is linear-fractional, so along a cycle G(x) = 1 / sqrt(F'(x)) rises with the
input x, piecewise linearly, and the best input is where G(x) = 1 or where it jumps past 1. Newton's
step on G is exact within a piece: a cycle is done as soon as its step ends in the piece that it
began in, and each step that does not rules that piece out.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.hops import exact_hop, piece
from searcher.kernels.memory import CROSSING_GAS, GAS, real
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import Word, Words, from_float, store, u256

EdgeArray = NDArray[np.int32]

MOST_STEPS: Final = 200
_OK: Final = int(Status.OK)
_DRY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_FIRST_SHRINK: Final = 44
_LAST_SHRINK: Final = 32
"""An input is lessened by 2^-44 to 2^-32 of it."""


@kernel("UniTuple(f8, 6)(i8, i4[::1], i8, f8)")
def along(
    table: int, edges: EdgeArray, hops: int, amount: float
) -> tuple[float, float, float, float, float, float]:
    """Walk a cycle with an input.

    Args:
        table: the market's.
        edges: int32[>= hops], the directed pools in order.
        hops: how many of them count.
        amount: what goes in, smallest units.

    Returns:
        The output; its slope M and curvature N, `F(x + u) = F(x) + M u / (1 + N u)`; how much less
        and how much more could go in for that form to hold exactly; and the gas of the swaps.
    """
    slope, bend = 1.0, 0.0
    below, above = math.inf, math.inf
    gas = 0.0
    about = real(table)
    for h in range(hops):
        edge = edges[h]
        amount, more, curves, back, ahead, crossed = piece(table, edge, amount)
        gas += about[edge >> 1, GAS] + crossed * about[edge >> 1, CROSSING_GAS]
        if slope > 0.0:
            # The piece's ends, in terms of what goes into the cycle.
            below = min(below, back / (slope + bend * back))
            if slope > bend * ahead:
                above = min(above, ahead / (slope - bend * ahead))
        bend += slope * curves
        slope *= more
    return amount, slope, bend, below, above, gas


@kernel("UniTuple(f8, 3)(i8, i4[::1], i8, f8, f8)")
def size(
    table: int, edges: EdgeArray, hops: int, least: float, most: float
) -> tuple[float, float, float]:
    """Find the input that leaves the most, between `least` and `most`.

    Args:
        table: the market's.
        edges: int32[>= hops], the directed pools in order; their rates multiply to more than 1.
        hops: how many of them count.
        least: the smallest input allowed, smallest units.
        most: the largest input allowed.

    Returns:
        The input, what it leaves (output less input) and the gas of the swaps; what it leaves is
        not positive when nothing pays.
    """
    low, high = 0.0, most
    capped = False
    at, amount, left, gas = 0.0, -1.0, 0.0, 0.0
    for _ in range(MOST_STEPS):
        out, slope, bend, below, above, gas = along(table, edges, hops, at)
        root = at + (math.sqrt(slope) - 1.0) / bend if slope > 0.0 else -math.inf
        # Either Newton's step ends in this piece, or the piece's end is where G jumps past 1, or
        # the whole piece is ruled out.
        if slope > 1.0:
            end = min(at + above, high)
            if root <= end or end >= high:
                amount = min(root, end)
                left = out - at + _gained(slope, bend, amount - at)
                break
            low = end
        else:
            end = at - below
            if root >= end or end <= low:
                amount = max(root, low)
                left = out - at + _gained(slope, bend, amount - at)
                break
            high, capped = end, True
        # Out of the bracket lead jumps between pieces: halve it then, or look for its end; never
        # far beyond the curves, where the distance back to them is lost in rounding.
        if low < root < high:
            at = root
        elif not capped:
            at = min(2.0 * low + 1.0, high)
        else:
            at = 0.5 * (low + high)
            if not low < at < high:
                break
    if amount < least:
        amount = max(least, low)
        out, _, _, _, _, gas = along(table, edges, hops, amount)
        left = out - amount
    return amount, left, gas


@kernel("f8(f8, f8, f8)")
def _gained(slope: float, bend: float, more: float) -> float:
    """Return what a change of the input adds to what is left, within a piece."""
    return slope * more / (1.0 + bend * more) - more


@kernel("Tuple((i8, f8))(i8, i4[::1], i8, U256, u8[:,::1])")
def exact_along(
    table: int, edges: EdgeArray, hops: int, amount: Word, amounts: Words
) -> tuple[int, float]:
    """Walk a cycle in the contracts' integers: each hop takes exactly what the one before gave.

    Args:
        table: the market's.
        edges: int32[>= hops], the directed pools in order.
        hops: how many of them count.
        amount: what goes in.
        amounts: U256[> hops], written: the input, and what each hop gives.

    Returns:
        A status, that of the first hop which refuses or ELSEWHERE, and the gas of the swaps.
    """
    store(amounts, 0, amount)
    gas = 0.0
    about = real(table)
    for h in range(hops):
        edge = edges[h]
        status, amount, crossed = exact_hop(table, edge, amount)
        if status != _OK:
            return status, gas
        gas += about[edge >> 1, GAS] + crossed * about[edge >> 1, CROSSING_GAS]
        store(amounts, h + 1, amount)
    return _OK, gas


@kernel("Tuple((i8, f8))(i8, i4[::1], i8, f8, u8[:,::1])")
def exact_near(
    table: int, edges: EdgeArray, hops: int, amount: float, amounts: Words
) -> tuple[int, float]:
    """Walk a cycle in integers with an input that floats have found.

    Where a curve ends, their error can ask for more than it has: then a little less is tried, less
    than 1e-9 of it in all. The arguments and the result are otherwise those of `exact_along`.
    """
    whole = from_float(amount)
    status, gas = exact_along(table, edges, hops, whole, amounts)
    bits = _FIRST_SHRINK
    while status == _DRY and bits >= _LAST_SHRINK:
        whole -= (whole >> bits) + u256(1)
        status, gas = exact_along(table, edges, hops, whole, amounts)
        bits -= 4
    return status, gas
