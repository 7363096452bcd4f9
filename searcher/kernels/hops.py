"""One hop of a route over the market's memory: in floats to search, in integers to decide.

The layout is that of `kernels.memory`; amounts are smallest units.
"""

from __future__ import annotations

import math
from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.curves import AMOUNT_IN, AMOUNT_OUT, DEAD, RESERVE_IN, RESERVE_OUT
from searcher.kernels.memory import (
    ALIVE,
    BEND0,
    CONCENTRATED,
    FEE,
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
    pieces_of,
    rate,
    real,
    shape,
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
def piece(
    table: int, edge: int, amount: float
) -> tuple[float, float, float, float, float, float]:
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
    """Return slope and curvature of an edge where nothing has gone in yet.

    They are those of `hop` at 0, from the row's image and rates alone; the edge must not be DEAD.
    """
    row, side = edge >> 1, edge & 1
    about = real(table)
    if shape(table)[row, KIND] == PRODUCT:
        slope = about[row, KEEP] / about[row, side]
        return slope * about[row, 1 - side], slope
    return math.exp(rate(table)[edge]), about[row, BEND0 + side]


# ---- the float image of a row


@kernel("void(i8, i8)")
def write_rates(table: int, row: int) -> None:
    """Write the rates of a row's two edges from its float image."""
    rates = rate(table)
    alive = real(table)[row, ALIVE] != 0.0 and shape(table)[row, KIND] != 0
    product = shape(table)[row, KIND] == PRODUCT
    if product and (real(table)[row, HERE0] <= 0.0 or real(table)[row, HERE1] <= 0.0):
        alive = False
    for side in range(2):
        edge = 2 * row + side
        rates[edge] = DEAD
        if alive:
            _, slope, bend = hop(table, edge, 0.0)
            real(table)[row, BEND0 + side] = bend
            if slope > 0.0:
                rates[edge] = math.log(slope)


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
