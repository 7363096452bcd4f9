"""One hop of a route over the market's memory: in floats to search, in integers to decide.

The layout is that of `kernels.memory`; amounts are smallest units.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curves import AMOUNT_IN, AMOUNT_OUT, DEAD, RESERVE_IN, RESERVE_OUT
from searcher.kernels.memory import (
    ALIVE,
    BEND0,
    CONCENTRATED,
    DEPTHS,
    FEE,
    FIRST,
    HERE0,
    HERE1,
    KEEP,
    KIND,
    PIECEWISE,
    PLACE,
    PRODUCT,
    SPACING,
    TICK,
    bounds_of,
    depths_of,
    exact,
    integers,
    pieces_of,
    rate,
    real,
    shape,
    slot,
    tick_words_of,
    ticks_of,
    word_edges_of,
)
from searcher.kernels.ranges import CEILING, FLOOR, place_above, walk, why_refused
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import ZERO, Word, load, to_float
from searcher.kernels.uniswap_v2 import amount_out

FEE_UNIT: Final = 1_000_000
_Q96: Final = 2.0**96

_OK: Final = int(Status.OK)
_DRY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
ELSEWHERE: Final = -1
"""The status of an exact hop through a row whose integers are not in the market's memory."""


# ---- floats


@kernel("UniTuple(f8, 6)(i8, i8, i8, f8)")
def _in_ranges(
    table: int, row: int, side: int, amount: float
) -> tuple[float, float, float, float, float, float]:
    here = real(table)[row, HERE0]
    keep = real(table)[row, KEEP]
    k = shape(table)[row, PLACE]
    bounds = bounds_of(table, row)
    depths = depths_of(table, row)
    last = len(bounds) - 1
    crossed = 0.0
    # A price outside all positions reaches the first of them without an input.
    if side == 0 and k >= last > 0:
        k, here, crossed = last - 1, bounds[last], 1.0
    elif side == 1 and k < 0 < last:
        k, here, crossed = 0, bounds[0], 1.0
    inside = keep * amount
    out = 0.0
    while 0 <= k < last:
        depth = depths[k]
        there = bounds[k] if side == 0 else bounds[k + 1]
        if depth > 0.0 and (there < here if side == 0 else there > here):
            if side == 0:
                taken = depth * (1.0 / there - 1.0 / here)
                has, pays = depth / here, depth * here
            else:
                taken = depth * (there - here)
                has, pays = depth * here, depth / here
            if inside < taken:
                total = has + inside
                slope = keep * has * pays / (total * total)
                out += pays * inside / total
                return out, slope, keep / total, inside / keep, (taken - inside) / keep, crossed
            inside -= taken
            out += depth * (here - there) if side == 0 else depth * (1.0 / here - 1.0 / there)
        here = there
        k += -1 if side == 0 else 1
        crossed += 1.0
    return out, 0.0, keep, inside / keep, math.inf, crossed


@kernel("UniTuple(f8, 6)(i8, i8, i8, f8)")
def _in_pieces(
    table: int, row: int, side: int, amount: float
) -> tuple[float, float, float, float, float, float]:
    pieces = pieces_of(table, row, side)
    low, high = 0, len(pieces)
    if high == 0:
        return 0.0, 0.0, 1.0, amount, math.inf, 0.0
    while high - low > 1:
        middle = (low + high) >> 1
        if pieces[middle, AMOUNT_IN] <= amount:
            low = middle
        else:
            high = middle
    inside = amount - pieces[low, AMOUNT_IN]
    has, pays = pieces[low, RESERVE_IN], pieces[low, RESERVE_OUT]
    total = has + inside
    out = pieces[low, AMOUNT_OUT] + pays * inside / total
    ahead = pieces[high, AMOUNT_IN] - amount if high < len(pieces) else math.inf
    return out, has * pays / (total * total), 1.0 / total, inside, ahead, 0.0


@kernel("UniTuple(f8, 6)(i8, i8, f8)")
def piece(table: int, edge: int, amount: float) -> tuple[float, float, float, float, float, float]:
    """Swap an amount through an edge, and say how far what is found there holds.

    Args:
        table: the market's.
        edge: the directed pool.
        amount: what goes in.

    Returns:
        The three numbers of `hop`; how much less and how much more could go in for its local form
        to hold exactly; and how many ticks are crossed.
    """
    row, side = edge >> 1, edge & 1
    about = real(table)
    kind = shape(table)[row, KIND]
    if kind == PRODUCT:
        has, pays = about[row, side], about[row, 1 - side]
        keep = about[row, KEEP]
        inside = keep * amount
        total = has + inside
        slope = keep * has * pays / (total * total)
        return pays * inside / total, slope, keep / total, amount, math.inf, 0.0
    if kind == CONCENTRATED:
        return _in_ranges(table, row, side, amount)
    return _in_pieces(table, row, side, amount)


@kernel("UniTuple(f8, 3)(i8, i8, f8)")
def hop(table: int, edge: int, amount: float) -> tuple[float, float, float]:
    """Swap an amount through an edge.

    Args:
        table: the market's.
        edge: the directed pool.
        amount: what goes in.

    Returns:
        The output; its slope M (output per unit more in); and the curvature N of the local
        linear-fractional form `out(x + u) = out(x) + M u / (1 + N u)`. Beyond the end of a curve
        the slope is 0.
    """
    out, slope, bend, _, _, _ = piece(table, edge, amount)
    return out, slope, bend


@kernel("UniTuple(f8, 2)(i8, i8)")
def front(table: int, edge: int) -> tuple[float, float]:
    """Return an edge's marginal rate M and least curvature N; the edge must not be DEAD.

    No input x gives more than `M x / (1 + N x)`, and for a constant product that is what it gives.
    """
    row, side = edge >> 1, edge & 1
    about = real(table)
    if shape(table)[row, KIND] == PRODUCT:
        bend = about[row, KEEP] / about[row, side]
        return bend * about[row, 1 - side], bend
    return math.exp(rate(table)[edge]), about[row, BEND0 + side]


# ---- the float image of a row


@kernel("f8(i8, i8, i8)")
def _deepest(table: int, row: int, side: int) -> float:
    """Return the greatest liquidity that a swap through a concentrated row can meet."""
    depths, place = depths_of(table, row), shape(table)[row, PLACE]
    low, high = (0, min(place + 1, len(depths))) if side == 0 else (max(place, 0), len(depths))
    # Floats that are not negative are in order as integers, whose maximum is a vector's.
    bits = integers(slot(table, DEPTHS) + 8 * shape(table)[row, FIRST], len(depths))
    where, most = low, np.int64(0)
    for k in range(low, high):
        most = max(most, bits[k])
    for k in range(low, high):
        if bits[k] == most:
            where = k
            break
    return float(depths[where]) if low < high else 0.0


@kernel("f8(i8, i8, i8, f8)")
def _least_bend(table: int, row: int, side: int, slope: float) -> float:
    """Return the least curvature that a side has anywhere, in terms of its rate at no input.

    Along a curve G(x) = 1 / sqrt(slope(x)) rises by `1 / sqrt(x y)` for each unit, x and y being
    the virtual reserves, and where pieces meet it only jumps up.
    """
    about = real(table)[row]
    kind = shape(table)[row, KIND]
    if kind == PRODUCT:
        return float(about[KEEP] / about[side])
    if kind == CONCENTRATED:
        deepest = _deepest(table, row, side)
        return math.sqrt(slope * about[KEEP]) / deepest if deepest > 0.0 else 0.0
    pieces = pieces_of(table, row, side)
    product = 0.0
    for k in range(len(pieces)):
        product = max(product, pieces[k, RESERVE_IN] * pieces[k, RESERVE_OUT])
    return math.sqrt(slope / product) if product > 0.0 else 0.0


@kernel("void(i8, i8)")
def write_rates(table: int, row: int) -> None:
    """Write the rates and least curvatures of a row's two edges from its float image."""
    rates, about = rate(table), real(table)[row]
    alive = about[ALIVE] != 0.0 and shape(table)[row, KIND] != 0
    product = shape(table)[row, KIND] == PRODUCT
    if product and (about[HERE0] <= 0.0 or about[HERE1] <= 0.0):
        alive = False
    for side in range(2):
        edge = 2 * row + side
        rates[edge] = DEAD
        if alive:
            slope = hop(table, edge, 0.0)[1]
            if slope > 0.0:
                rates[edge] = math.log(slope)
                about[BEND0 + side] = _least_bend(table, row, side, slope)


@kernel("void(i8, i8)")
def write_image(table: int, row: int) -> None:
    """Write a row's float image and rates from its integers, after these have changed."""
    about = shape(table)
    image = real(table)
    kind = about[row, KIND]
    if kind != PIECEWISE:
        image[row, HERE0] = to_float(load(exact(table), 2 * row))
        image[row, HERE1] = to_float(load(exact(table), 2 * row + 1))
        image[row, KEEP] = 1.0 - about[row, FEE] / FEE_UNIT
    if kind == CONCENTRATED:
        image[row, HERE0] /= _Q96
        about[row, PLACE] = place_above(ticks_of(table, row), about[row, TICK]) - 1
    write_rates(table, row)


# ---- integers


@kernel("Tuple((i8, U256, i8))(i8, i8, U256)")
def exact_hop(table: int, edge: int, amount: Word) -> tuple[int, Word, int]:
    """Swap an exact input through an edge, as the contract does.

    Args:
        table: the market's.
        edge: the directed pool.
        amount: what goes in.

    Returns:
        A status (ELSEWHERE for a row whose protocol must be asked), the output, and how many
        initialised ticks were crossed.
    """
    row, side = edge >> 1, edge & 1
    about = shape(table)
    kind = about[row, KIND]
    held = exact(table)
    fee = about[row, FEE]
    if kind == PRODUCT:
        has, pays = load(held, 2 * row + side), load(held, 2 * row + 1 - side)
        status, out = amount_out(amount, has, pays, fee)
        return status, out, 0
    if kind != CONCENTRATED:
        return ELSEWHERE, ZERO(), 0
    price, liquidity = load(held, 2 * row), load(held, 2 * row + 1)
    zero_for_one = side == 0
    limit = FLOOR() if zero_for_one else CEILING()
    status = why_refused(amount, price, limit, zero_for_one)
    if status != _OK:
        return status, ZERO(), 0
    spacing = about[row, SPACING]
    status, remaining, out, _, _, _, crossed, _ = walk(
        amount,
        True,
        price,
        liquidity,
        about[row, TICK],
        limit,
        fee,
        spacing,
        zero_for_one,
        ticks_of(table, row),
        tick_words_of(table, row),
        word_edges_of(table, spacing),
    )
    if status == _OK and remaining != ZERO():
        status = _DRY
    return status, out, crossed
