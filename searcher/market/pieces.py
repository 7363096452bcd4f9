"""The float image of curves without a closed form: linear-fractional pieces of any protocol.

Within a piece the output for an input `x` is `out + ry * u / (rx + u)` with `u = x - in`, fees
included (columns AMOUNT_IN, AMOUNT_OUT, RESERVE_IN, RESERVE_OUT of `kernels.curves`). A piece
begins with the curve's own slope and ends at its exact output, so a constant product is one piece
and the image's first slope is the pool's spot rate. A last piece gives nothing: beyond it the rate
is not worth a search, or the pool refuses.

Three ways lead to the points between pieces. Liquidity in ranges of ticks is a constant product in
each of them, and is written down from the ticks. Liquidity in bins is a straight line in each, from
one exact output to the next. Any other curve is asked for exact quotes and rates, and cut where its
slope is furthest from that of the piece.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from searcher.domain.units import Address
from searcher.kernels.curves import COLUMNS, FloatArray
from searcher.kernels.reference.uniswap_v3 import Q96
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import Protocol, QuoteBlock
from searcher.market.ticks import TickTable

MOST_PIECES: Final = 24
"""The bound of a side, the piece that gives nothing included."""

_LEAST_SHARE: Final = 0.05
"""The share of the spot rate at which a curve is left: nobody trades so far."""
_ERROR: Final = 1e-5
"""How far from the curve a piece may be, as a share of the output."""
_EVERY: Final = 16
"""Ranges and bins nearest the price that get a piece each; those behind share the others."""
_MOST_BITS: Final = 112
"""No pool takes more than 2^112 of a token."""
_STRAIGHT: Final = 1e9
"""The reserve, in widths of the piece, of one that does not bend."""
_END_BITS: Final = 5
"""How exactly the end of a curve is looked for where the pool refuses: a part in 2^5."""
_FAR: Final = 4.0
"""How many times the beginning of a part its end may be before it is cut in orders of magnitude."""
_LOOKED_AT: Final = (1 / 64, 1 / 8)
"""Shares of the whole input at which every curve is looked at."""
_DUST: Final = 1e-7
"""The share of all output below which a bin is looked at together with the next one."""
_LEAST_OUT: Final = 1e6
"""Below so many units an output says little about the slope."""
_SMALL: Final = {Status.ZERO_AMOUNT, Status.TOO_SMALL}
"""Refusals of amounts that are not enough."""


class _Point(NamedTuple):
    """A point of a curve: an input, its output, and the slope there."""

    amount: float
    out: float
    slope: float


def pieces(
    protocol: Protocol[Any],
    state: Any,
    block: QuoteBlock,
    token_in: Address,
    token_out: Address,
    *,
    most: int = MOST_PIECES,
) -> FloatArray:
    """Return the float image of a direction of a pool.

    Args:
        protocol: whose curve it is.
        state: the pool's state.
        block: the block that swaps will be in; ramps, rates and fees are taken as they are there.
        token_in: what goes in.
        token_out: what comes out.
        most: how many pieces there may be.

    Returns:
        float64[n, 4], smallest units, at most `most` of them; none when the pool does not swap.
    """

    def quote(amount: int) -> float:
        return float(protocol.quote_exact_in(state, block, token_in, token_out, amount).realised)

    def rate(amount: int) -> float:
        return protocol.marginal_rate(state, block, token_in, token_out, amount)

    try:
        spot = rate(0)
    except SwapRefused:
        return np.zeros((0, COLUMNS))
    if not 0.0 < spot < math.inf:
        return np.zeros((0, COLUMNS))
    ticks = getattr(state, "ticks", None)
    if isinstance(ticks, TickTable):
        first = getattr(state, "token0", None) or state.currency0
        return _of_ranges(state, ticks, spot, most, upwards=token_in != first)
    if hasattr(state, "bins"):
        return _written(_of_bins(protocol, state, block, (token_in, token_out), most))
    return _written(_of_curve(quote, rate, spot, most))


def _written(points: Sequence[_Point]) -> FloatArray:
    """Return the pieces between points, and the one behind them that gives nothing."""
    kept = _concave(points)
    if len(kept) < 2:
        return np.zeros((0, COLUMNS))
    rows, slope = [], math.inf
    for here, there in pairwise(kept):
        # Where a piece ends less steeply than the curve, the next one begins so.
        reserve, pays = _fitted(here._replace(slope=min(here.slope, slope)), there)
        rows.append((here.amount, here.out, reserve, pays))
        slope = reserve * pays / (reserve + there.amount - here.amount) ** 2
    return _ended(rows, kept[-1])


def _concave(points: Sequence[_Point]) -> list[_Point]:
    """Return the points without those below the line of their neighbours.

    Below it are outputs of dust, which contracts round down, and fees that fall.
    """
    kept = list(points[:1])
    for point in points[1:]:
        if point.amount <= kept[-1].amount or point.out <= kept[-1].out:
            continue
        while len(kept) > 1 and _mean_slope(*kept[-2:]) < _mean_slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _mean_slope(here: _Point, there: _Point) -> float:
    return (there.out - here.out) / (there.amount - here.amount)


def _ended(rows: list[tuple[float, float, float, float]], end: _Point) -> FloatArray:
    return np.array([*rows, (end.amount, end.out, 1.0, 0.0)])


def _fitted(here: _Point, there: _Point) -> tuple[float, float]:
    """Return the reserves of the piece that begins with a point's slope and ends in the other."""
    width, height = there.amount - here.amount, there.out - here.out
    bend = here.slope * width - height
    # A curve that rises more steeply later on, where a fee falls, is taken for a straight line.
    reserve = width * min(height / bend, _STRAIGHT) if bend > 0.0 else width * _STRAIGHT
    return reserve, height * (reserve + width) / width


# ---- ranges of ticks


def _of_ranges(
    state: Any, ticks: TickTable, spot: float, most: int, *, upwards: bool
) -> FloatArray:
    """Return the pieces of concentrated liquidity, one a range near the price.

    The fee is what the spot rate lacks to the price: protocols set it in many ways.
    """
    last = len(ticks) - 1
    here, place = state.sqrt_price_x96 / Q96, ticks.place(state.tick)
    if last < 1 or (place > last - 1 if upwards else place < 0):
        return np.zeros((0, COLUMNS))
    bounds, depth = ticks.bounds, ticks.depths
    # A price outside all positions reaches the first of them without an input.
    if upwards:
        here, place = (here, place) if place >= 0 else (bounds[0], 0)
        ends, depth = bounds[place + 1 :], depth[place:-1]
    else:
        here, place = (here, place) if place < last else (bounds[last], last - 1)
        ends, depth = bounds[place::-1], depth[place::-1]
    begins = np.concatenate([[here], ends[:-1]])
    held = (depth > 0.0) & (begins != ends)
    begins, ends, depth = begins[held], ends[held], depth[held]
    if not len(depth):
        return np.zeros((0, COLUMNS))
    down, up = depth * np.abs(begins - ends), depth * np.abs(1.0 / begins - 1.0 / ends)
    taken, given = (down, up) if upwards else (up, down)
    has, pays = (depth * begins, depth / begins) if upwards else (depth / begins, depth * begins)
    keep = spot * has[0] / pays[0]
    amounts = np.concatenate([[0.0], np.cumsum(taken / keep)])
    outs = np.concatenate([[0.0], np.cumsum(given)])
    slopes = np.append(keep * pays / has, 0.0)
    points = list(map(_Point, amounts.tolist(), outs.tolist(), slopes.tolist()))
    rows = []
    for k, following in pairwise(_chosen(len(depth), most)):
        here, there = points[k], points[following]
        if following > k + 1:
            rows.append((here.amount, here.out, *_fitted(here, there)))
        elif there.amount > here.amount:
            rows.append((here.amount, here.out, has[k] / keep, pays[k]))
    return _ended(rows, points[-1])


def _chosen(count: int, most: int) -> list[int]:
    """Return which ranges begin a piece: each of the nearest, then ever fewer; and the end."""
    whole = most - 1
    if count <= whole:
        return list(range(count + 1))
    near = min(_EVERY, whole - 1)
    far = np.geomspace(near, count, whole - near + 1)
    return [*range(near), *sorted({round(k) for k in far})]


# ---- bins


def _of_bins(
    protocol: Protocol[Any],
    state: Any,
    block: QuoteBlock,
    tokens: tuple[Address, Address],
    most: int,
) -> list[_Point]:
    """Return the points where bins are empty: between them the price does not move."""
    downwards = tokens[0] == state.token_x
    reserves = sorted(
        (abs(entry.id - state.active_id), entry.reserve_y if downwards else entry.reserve_x)
        for entry in state.bins
        if (entry.id <= state.active_id if downwards else entry.id >= state.active_id)
    )
    sums = list(accumulate(reserve for _, reserve in reserves if reserve))
    points = [_Point(0.0, 0.0, 0.0)]
    for k in _chosen(len(sums), most)[1:]:
        # Amounts that rounding bends are no points of a line.
        if sums[k - 1] - points[-1].out > sums[-1] * _DUST:
            try:
                quote = protocol.quote_exact_out(state, block, *tokens, sums[k - 1])
            except SwapRefused:
                break
            points.append(_Point(float(quote.amount), float(sums[k - 1]), 0.0))
    return points


# ---- any other curve


def _of_curve(
    quote: Callable[[int], float], rate: Callable[[int], float], spot: float, most: int
) -> list[_Point]:
    """Return points of a curve, closest together where it bends most."""
    start = _Point(0.0, 0.0, spot)
    end = _end(quote, rate, spot)
    if end is None:
        return []
    points = [start, *_looked_at(quote, rate, end), end]
    if all(_follows(start, end, point) for point in points[1:-1]):
        return [start, end]
    parts = [(-_distance(*part), *part) for part in pairwise(points)]
    heapq.heapify(parts)
    while parts and len(points) < most and -parts[0][0] > _ERROR:
        _, here, there = heapq.heappop(parts)
        middle = _asked(quote, rate, _between(here.amount, there.amount))
        if middle is not None and here.amount < middle.amount < there.amount:
            points.append(middle)
            for part in ((here, middle), (middle, there)):
                heapq.heappush(parts, (-_distance(*part), *part))
    return sorted(points)


def _looked_at(
    quote: Callable[[int], float], rate: Callable[[int], float], end: _Point
) -> list[_Point]:
    """Return a few points on the way, ascending: what two ends have in common may be chance."""
    found = (_asked(quote, rate, int(end.amount * share)) for share in _LOOKED_AT)
    return [point for point in found if point is not None and point.amount]


def _follows(start: _Point, end: _Point, point: _Point) -> bool:
    """Return whether a piece from the start to the end goes through a point."""
    reserve, pays = _fitted(start, end)
    out = pays * point.amount / (reserve + point.amount)
    return abs(out - point.out) <= max(_ERROR * point.out, 1.0)


def _end(quote: Callable[[int], float], rate: Callable[[int], float], spot: float) -> _Point | None:
    """Return the last point worth having: the rate has fallen, or the pool refuses behind it."""

    def goes_on(amount: int) -> bool:
        try:
            return rate(amount) >= spot * _LEAST_SHARE
        except SwapRefused as refusal:
            return refusal.status in _SMALL

    bits = bisect_left(range(_MOST_BITS), True, key=lambda n: not goes_on(1 << n))
    whole = _asked(quote, rate, 1 << bits)
    if whole is not None:
        return whole
    low, high = 1 << bits >> 1, 1 << bits
    for _ in range(_END_BITS):
        middle = (low + high) // 2
        low, high = (middle, high) if goes_on(middle) else (low, middle)
    return _asked(quote, rate, low)


def _asked(
    quote: Callable[[int], float], rate: Callable[[int], float], amount: int
) -> _Point | None:
    try:
        return _Point(float(amount), quote(amount), rate(amount))
    except SwapRefused:
        return None


def _between(low: float, high: float) -> int:
    """Return where to cut: curves are looked at in orders of magnitude."""
    if high > _FAR * low:
        return int(math.sqrt(low * high)) if low else int(high / _FAR)
    return int((low + high) / 2)


def _distance(here: _Point, there: _Point) -> float:
    """Return how far a piece leaves the curve, as a share of the output: an estimate.

    Two curves that share both ends and differ in slope by s at one of them are at most about
    4/27 s apart, in widths.
    """
    width, height = there.amount - here.amount, there.out - here.out
    if height <= 0.0 or there.out < _LEAST_OUT:
        return 0.0
    reserve, pays = _fitted(here, there)
    begins, ends = pays / reserve, reserve * pays / (reserve + width) ** 2
    apart = max(abs(begins - here.slope), abs(ends - there.slope))
    return 4.0 / 27.0 * apart * width / there.out
