"""The best joint trade over many pools at once, in floats, by its dual.

Every token gets a price, in wei per smallest unit. At given prices each pool alone says what it
would trade (its marginal rate then equals the ratio of the prices) and what that leaves. The sum of
what all pools leave, and of what a basket to be sold is worth, bounds from above what any joint
trade can be worth; the prices that make it least make the pools' trades fit together, and the bound
is then reached (Diamandis, Resnick, Chitra, Angeris: "An Efficient Algorithm for Optimal Routing
Through Constant Function Market Makers", arXiv 2302.04938).

The bound is convex in the prices and has the same value at all multiples of them but for scale, so
in logarithms of prices its second derivative is the Laplacian of the network of pools, up to terms
that vanish at the end. Newton's steps on it converge quadratically; `kernels.elimination` solves
them, and each is shortened until the bound falls.

Tokens are numbered by the problem, 0 to n-1. A token with a `floor` may be kept, and is then worth
that much (log of wei per unit); the others (DEAD) must not be left over to count for anything, and
none may be short.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901, PLR0912, PLR0915

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curves import (
    AMOUNT_IN,
    DEAD,
    RESERVE_IN,
    RESERVE_OUT,
    FloatArray,
    IntArray,
)
from searcher.kernels.elimination import GROUNDED, FlagArray, ShortArray
from searcher.kernels.elimination import solve as solve_network
from searcher.kernels.memory import (
    CONCENTRATED,
    HERE0,
    KEEP,
    KIND,
    PIECEWISE,
    PLACE,
    PRODUCT,
    bounds_of,
    depths_of,
    pieces_of,
    real,
    shape,
)
from searcher.kernels.reach import depth_of


class Found(IntEnum):
    """How a search for prices ended."""

    OPTIMAL = 0
    """What the pools' trades do not match each other by is within the tolerance."""
    NOTHING_PAYS = 1
    """No joint trade is worth as much as was asked for."""
    STALLED = 2
    """No step makes the bound fall further, by the precision of floats."""
    UNFINISHED = 3
    """The steps were used up."""


KEPT: Final = 1
GOODS: Final = 2
"""Roles of tokens: one that may be kept, one of a basket that is sold."""

_OPTIMAL: Final = int(Found.OPTIMAL)
_NOTHING_PAYS: Final = int(Found.NOTHING_PAYS)
_STALLED: Final = int(Found.STALLED)
_UNFINISHED: Final = int(Found.UNFINISHED)

_LONGEST: Final = 2.0
"""The most that a step changes the logarithm of a price by."""
_WORTHLESS: Final = 25.0
"""By how much the logarithm of a price may fall: what nobody takes at that is left over."""
_SLACK: Final = 1e-12
"""The ground of a node, as a share of its ties: it holds what is tied to nothing that is held."""
_ENOUGH: Final = 1e-4
"""The share of the fall that the slope promises with which a step is content (Armijo)."""
_HALVINGS: Final = 40
_DAMPING: Final = 0.1
"""The share of their weight with which pools that do not trade hold prices together at first: a
step that would make them trade goes further than it should otherwise."""
_LESS: Final = 0.1
_MORE: Final = 4.0
_SHORT: Final = 0.3
_LEAST_DAMPING: Final = 1e-9
"""After a whole step they hold less, after one that was cut to a `_SHORT` part more."""
_INVISIBLE: Final = 1e-11
"""The share of the bound below which a fall of it may be rounding."""


# ---- one pool


@kernel("UniTuple(f8, 4)(i8, i8, i8, f8)")
def _respond_concentrated(
    table: int, row: int, side: int, price: float
) -> tuple[float, float, float, float]:
    keep = real(table)[row, KEEP]
    here = real(table)[row, HERE0]
    k = shape(table)[row, PLACE]
    bounds = bounds_of(table, row)
    depths = depths_of(table, row)
    last = len(bounds) - 1
    # A price outside all positions reaches the first of them without an input.
    if side == 0 and k >= last > 0:
        k, here = last - 1, bounds[last]
    elif side == 1 and k < 0 < last:
        k, here = 0, bounds[0]
    goal = math.sqrt(price / keep) if side == 0 else math.sqrt(keep / price)
    taken = out = left = 0.0
    while 0 <= k < last and (here > goal if side == 0 else here < goal):
        depth = depths[k]
        end = bounds[k] if side == 0 else bounds[k + 1]
        inside = end <= goal if side == 0 else end >= goal
        there = goal if inside else end
        if depth > 0.0:
            moved = here - there if side == 0 else there - here
            across = moved / (here * there)
            part = depth * (across if side == 0 else moved) / keep
            taken += part
            out += depth * (moved if side == 0 else across)
            ratio = here * there / (goal * goal)
            left += part * ((ratio if side == 0 else 1.0 / ratio) - 1.0)
        if inside:
            stretch = 0.5 * depth / keep
            return taken, out, left, stretch / goal if side == 0 else stretch * goal
        here = end
        k += -1 if side == 0 else 1
    return taken, out, left, 0.0


@kernel("UniTuple(f8, 4)(i8, i8, i8, f8)")
def _respond_piecewise(
    table: int, row: int, side: int, price: float
) -> tuple[float, float, float, float]:
    pieces = pieces_of(table, row, side)
    taken = out = left = 0.0
    for k in range(len(pieces)):
        has, pays = pieces[k, RESERVE_IN], pieces[k, RESERVE_OUT]
        if pays <= 0.0 or pays <= price * has:
            break
        total = math.sqrt(has * pays / price)
        inside = total - has
        length = (
            pieces[k + 1, AMOUNT_IN] - pieces[k, AMOUNT_IN] if k + 1 < len(pieces) else math.inf
        )
        ends = inside >= length
        if ends:
            inside = length
        taken += inside
        given = pays * inside / (has + inside)
        out += given
        left += given / price - inside
        if not ends:
            return taken, out, left, 0.5 * total
    return taken, out, left, 0.0


@kernel("UniTuple(f8, 4)(i8, i8, f8)")
def respond(table: int, edge: int, price: float) -> tuple[float, float, float, float]:
    """Trade through an edge until one more unit in gives no more than `price` units out.

    Args:
        table: the market's.
        edge: the directed pool; its rate now is above `price`.
        price: units of the output that a unit of the input must give, fee included.

    Returns:
        What goes in, what comes out, what that leaves (in units of the input, at `price`), and by
        how much the input grows as the logarithm of `price` falls.
    """
    row, side = edge >> 1, edge & 1
    kind = shape(table)[row, KIND]
    if kind == PRODUCT:
        about = real(table)
        has, pays, keep = about[row, side], about[row, 1 - side], about[row, KEEP]
        total = math.sqrt(keep * has * pays / price)
        inside = total - has
        taken = inside / keep
        return taken, pays * inside / total, taken * inside / has, 0.5 * total / keep
    if kind == CONCENTRATED:
        return _respond_concentrated(table, row, side, price)
    if kind == PIECEWISE:
        return _respond_piecewise(table, row, side, price)
    return 0.0, 0.0, 0.0, 0.0


# ---- all pools at once


@kernel("f8(f8[::1], f8[::1], f8[::1])")
def _apart(log_price: FloatArray, lowest: FloatArray, net: FloatArray) -> float:
    """Return by how much trades do not match: what is short, and what is over but has a price."""
    total = 0.0
    for t in range(len(net)):
        if log_price[t] > lowest[t] or net[t] < 0.0:
            total += abs(net[t])
    return total


@kernel(
    "f8(i8, i8[::1], i4[:,::1], i4[::1], f8[:,::1], f8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], f8[::1], f8[::1])"
)
def _sweep(
    table: int,
    rows: IntArray,
    tokens: ShortArray,
    tie_of: ShortArray,
    rates: FloatArray,
    widths: FloatArray,
    basket: FloatArray,
    log_price: FloatArray,
    price: FloatArray,
    net: FloatArray,
    tie: FloatArray,
    idle: FloatArray,
) -> float:
    """Ask all pools at some prices.

    Writes each token's `price`, its `net` flow (what pools give and the basket has, less what pools
    take, in wei), the weight of each `tie`, and in `idle` what the pools that do not trade would
    add to it if they did.

    Returns:
        The bound, in wei.
    """
    bound = 0.0
    for t in range(len(log_price)):
        price[t] = math.exp(log_price[t])
        net[t] = basket[t] * price[t]
        bound += net[t]
    tie[:] = 0.0
    idle[:] = 0.0
    for i in range(len(rows)):
        a, b = tokens[i, 0], tokens[i, 1]
        apart = log_price[a] - log_price[b]
        if rates[i, 0] > apart:
            side = 0
        elif rates[i, 1] > -apart:
            side = 1
            a, b = b, a
        else:
            idle[tie_of[i]] += price[a] * widths[i]
            continue
        taken, out, left, stretch = respond(table, 2 * rows[i] + side, price[a] / price[b])
        net[a] -= price[a] * taken
        net[b] += price[b] * out
        tie[tie_of[i]] += price[a] * stretch
        bound += price[a] * left
    return bound


@kernel(
    "Tuple((i8, i8, f8, f8))(i8, i8[::1], i4[:,::1], i4[::1], f8[:,::1], f8[::1], f8[::1],"
    " i4[:,::1], i8, i4[::1], i8[::1], i4[::1], i4[::1], i4[::1], i8, i8,"
    " f8, f8, i8, f8[::1])"
)
def find_prices(
    table: int,
    rows: IntArray,
    tokens: ShortArray,
    tie_of: ShortArray,
    rates: FloatArray,
    basket: FloatArray,
    floor: FloatArray,
    ends: ShortArray,
    given: int,
    order: ShortArray,
    begin: IntArray,
    via: ShortArray,
    to: ShortArray,
    targets: ShortArray,
    eliminated: int,
    ties: int,
    least_wei: float,
    tolerance: float,
    most_steps: int,
    log_price: FloatArray,
) -> tuple[int, int, float, float]:
    """Find the prices at which all pools' trades fit together.

    Args:
        table: the market's.
        rows: int64[n].
        tokens: int32[n, 2], the two tokens of each row.
        tie_of: int32[n], the tie between them (`elimination.join`).
        rates: float64[n, 2], the rows' rates; DEAD where a direction is not to be used.
        basket: float64[tokens], what is there to be sold, smallest units.
        floor: float64[tokens], log of what a token is worth that is kept, wei per unit; DEAD where
            it may not be.
        ends: as `elimination.plan` left it, and so the following.
        given: how many ties are given.
        order: as above.
        begin: as above.
        via: as above.
        to: as above.
        targets: as above.
        eliminated: as above.
        ties: as above.
        least_wei: give up once the bound is below it.
        tolerance: the share of the bound by which trades may fail to match.
        most_steps: how many of Newton's steps may be taken.
        log_price: float64[tokens], finite, where to begin; written.

    Returns:
        How it ended (`Found`), steps taken, the bound in wei, and by how much trades do not match,
        in wei: no joint trade is worth more than the bound.
    """
    number = len(log_price)
    price = np.empty(number)
    net = np.empty(number)
    trial = np.empty(number)
    trial_net = np.empty(number)
    ground = np.empty(number)
    push = np.empty(number)
    step = np.empty(number)
    tie = np.zeros(ties)
    idle = np.zeros(ties)
    trial_tie = np.zeros(ties)
    trial_idle = np.zeros(ties)
    # By how much token0 in grows as the logarithm of an idle row's price falls.
    widths = np.zeros(len(rows))
    for i in range(len(rows)):
        if rates[i, 0] > DEAD or rates[i, 1] > DEAD:
            widths[i] = 0.5 * depth_of(table, rows[i])
    held = np.zeros(number, np.bool_)
    damping = _DAMPING
    share = np.empty(len(via))
    weight = np.empty(number)
    lowest = np.empty(number)
    for t in range(number):
        log_price[t] = max(log_price[t], floor[t])
        lowest[t] = max(floor[t], log_price[t] - _WORTHLESS)
    bound = _sweep(
        table, rows, tokens, tie_of, rates, widths, basket, log_price, price, net, tie, idle
    )
    apart = _apart(log_price, lowest, net)
    for steps in range(most_steps + 1):
        if bound < least_wei or bound <= 0.0:
            return _NOTHING_PAYS, steps, bound, apart
        if apart <= tolerance * bound:
            return _OPTIMAL, steps, bound, apart
        if steps == most_steps:
            break
        weight[:] = 0.0
        for k in range(given):
            tie[k] += damping * idle[k]
            weight[ends[k, 0]] += tie[k]
            weight[ends[k, 1]] += tie[k]
        # All multiples of prices are alike but for scale: one token stays at its floor.
        anchor = -1
        for t in range(number):
            if log_price[t] <= floor[t] and (anchor < 0 or net[t] > net[anchor]):
                anchor = t
        for t in range(number):
            held[t] = t == anchor or (log_price[t] <= lowest[t] and net[t] >= 0.0)
            if held[t]:
                ground[t] = GROUNDED
                push[t] = 0.0
            else:
                ground[t] = max(abs(net[t]) / _LONGEST - weight[t], _SLACK * weight[t])
                push[t] = -net[t]
        solve_network(
            ends, given, order, begin, via, to, targets, eliminated, tie, ground, push, share, step
        )
        longest = 0.0
        for t in range(number):
            if held[t]:
                step[t] = 0.0
            longest = max(longest, abs(step[t]))
        part = min(1.0, _LONGEST / longest) if longest > 0.0 else 1.0
        falls = False
        for _ in range(_HALVINGS):
            slope = 0.0
            for t in range(number):
                trial[t] = max(log_price[t] + part * step[t], lowest[t])
                slope += net[t] * (trial[t] - log_price[t])
            found = _sweep(
                table,
                rows,
                tokens,
                tie_of,
                rates,
                widths,
                basket,
                trial,
                price,
                trial_net,
                trial_tie,
                trial_idle,
            )
            following = _apart(trial, lowest, trial_net)
            # Near the end the bound falls by less than a float of it can show.
            falls = slope < 0.0 and (
                found <= bound + _ENOUGH * slope
                or (slope > -_INVISIBLE * bound and following < 0.5 * apart)
            )
            if falls:
                break
            part *= 0.5
        if not falls:
            return _STALLED, steps, bound, apart
        log_price[:] = trial
        net, trial_net = trial_net, net
        tie, trial_tie = trial_tie, tie
        idle, trial_idle = trial_idle, idle
        if part == 1.0:
            damping = max(_LEAST_DAMPING, damping * _LESS)
        elif part < _SHORT:
            damping = min(1.0, damping * _MORE)
        bound, apart = found, following
    return _UNFINISHED, most_steps, bound, apart


@kernel("void(i8, i8[::1], i4[:,::1], f8[:,::1], f8[::1], i8[::1], f8[:,::1])")
def trades(
    table: int,
    rows: IntArray,
    tokens: ShortArray,
    rates: FloatArray,
    log_price: FloatArray,
    side_of: IntArray,
    trade: FloatArray,
) -> None:
    """Say what each pool trades at some prices.

    Args:
        table: the market's.
        rows: int64[n].
        tokens: int32[n, 2], the two tokens of each row.
        rates: float64[n, 2], the rows' rates.
        log_price: float64[tokens], log of wei per unit.
        side_of: int64[n], written: 0, 1, or -1 for a pool that does not trade.
        trade: float64[n, 4], written: what goes in (smallest units); in wei, what goes in, what
            that leaves, and the weight of the row's tie.
    """
    for i in range(len(rows)):
        apart = log_price[tokens[i, 0]] - log_price[tokens[i, 1]]
        side = 0 if rates[i, 0] > apart else 1 if rates[i, 1] > -apart else -1
        side_of[i] = side
        trade[i, :] = 0.0
        if side >= 0:
            ratio = math.exp(apart if side == 0 else -apart)
            taken, _, left, stretch = respond(table, 2 * rows[i] + side, ratio)
            price = math.exp(log_price[tokens[i, side]])
            trade[i, 0] = taken
            trade[i, 1] = taken * price
            trade[i, 2] = left * price
            trade[i, 3] = stretch * price


# ---- doing without a pool


@kernel("f8(f8, f8)")
def _lost(flow_wei: float, width_wei: float) -> float:
    """Return what is lost on a flow that must go through pools of a width instead."""
    return 0.5 * flow_wei * flow_wei / width_wei if width_wei > 0.0 else math.inf


@kernel("void(i4[:,::1], u1[::1], f8[:,::1], f8[::1], f8[::1])")
def write_margins(
    tokens: ShortArray,
    role: FlagArray,
    trade: FloatArray,
    cost: FloatArray,
    margin: FloatArray,
) -> None:
    """Estimate what doing without each pool would cost beyond its gas, in wei.

    Without a pool what it leaves is lost, and its flow must go another way: prices move by its flow
    over what the other pools of its tokens take for each part of a price, and half of that is lost
    on all of it. A token's pools are weighed together too: when they are few, one is worth nothing
    without the other.

    Args:
        tokens: int32[n, 2], the two tokens of each pool that trades.
        role: uint8[tokens], KEPT, GOODS or 0.
        trade: float64[n, 4], as `trades` wrote it.
        cost: float64[n], each pool's gas in wei.
        margin: float64[n], written.
    """
    number = len(role)
    width = np.zeros(number)
    through = np.zeros(number)
    together = np.zeros(number)
    beyond = np.full(number, math.inf)
    for i in range(len(tokens)):
        for side in range(2):
            token = tokens[i, side]
            width[token] += trade[i, 3]
            through[token] += 0.5 * trade[i, 1]
            together[token] += trade[i, 2] - cost[i]
    for token in range(number):
        if role[token] == KEPT:
            width[token] = math.inf
    for i in range(len(tokens)):
        a, b = tokens[i, 0], tokens[i, 1]
        at_a, at_b = max(width[a] - trade[i, 3], 0.0), max(width[b] - trade[i, 3], 0.0)
        beyond[a] = min(beyond[a], at_b)
        beyond[b] = min(beyond[b], at_a)
        margin[i] = trade[i, 2] - cost[i] + _lost(trade[i, 1], min(at_a, at_b))
    for i in range(len(tokens)):
        for side in range(2):
            token = tokens[i, side]
            if role[token] == 0:
                # The pools' other ends must do without what passes through it.
                lost = _lost(through[token], beyond[token])
                margin[i] = min(margin[i], together[token] + lost)
