"""Sizing by exact quotes against a dense search in the contracts' integers."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest

from searcher.kernels.refusal import Status, SwapRefused
from searcher.opportunities.numeric_sizing import MOST_STEPS, refine
from tests.unit.opportunities.mixed_pools import (
    BLOCK,
    KINDS,
    OTHER_KINDS,
    TOKENS,
    Rows,
    decimals,
    log_rate,
    protocol,
    random_cycle,
    random_pool,
    state,
)

MOST = 2.0**112
SHARE = 1e-9
TEETH = 2e-10
DIGITS = 1e-17
COUNTS = [
    1_000,
    pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(1_800)]),
]
GRID = 72


def unit(market, edges):
    """A whole token of the start."""
    row = market.rows[edges[0] >> 1]
    return 10 ** decimals(row.token1 if edges[0] & 1 else row.token0)


def dense(market, edges):
    """What is left by the best of many inputs, and that input."""
    scale = unit(market, edges)
    grid = [max(1, int(x)) for x in np.geomspace(scale * 1e-3, scale * 1e8, GRID)]
    tried = [(market.left(edges, x), x) for x in grid]
    k = max(range(GRID), key=lambda n: tried[n])
    best, low, high = tried[k], grid[max(k - 1, 0)], grid[min(k + 1, GRID - 1)]
    while high - low > max(4, low >> 40):
        reach = int(0.618 * (high - low))
        left, right = ((market.left(edges, x), x) for x in (high - reach, low + reach))
        best = max(best, left, right)
        low, high = (low, right[1]) if left[0] >= right[0] else (left[1], high)
    return max(best, *((market.left(edges, x), x) for x in range(low, min(high, low + 4) + 1)))


def units_of_hops(market, edges, amount):
    """What a smallest unit of each hop's output is worth at the end of a cycle."""
    rates = []
    for edge in edges:
        out = market.quote(edge, amount).realised
        rates.append(out / amount)
        amount = out
    return sum(math.prod(rates[k:]) for k in range(1, len(rates) + 1))


def roughness(market, edges, amount):
    """What the contracts' own steps are worth, where they are coarser than a unit of a token.

    StableSwap-NG's fee off the peg is a whole number of parts in 1e10, and Balancer's powers of a
    balance have 18 decimals: from one input to another the output jumps by as much, and which input
    is best of all is the luck of a tooth.
    """
    amounts = [amount]
    for edge in edges:
        amounts.append(market.quote(edge, amounts[-1]).realised)
    worth = 0.0
    for edge, out in zip(edges, amounts[1:], strict=True):
        pool = market.state(market.rows[edge >> 1].pool)
        if getattr(pool, "offpeg_fee_multiplier", 0):
            worth += TEETH * amounts[-1]
        if hasattr(pool, "normalized_weights"):
            worth += DIGITS * pool.balances[1 - (edge & 1)] / out * amounts[-1]
    return worth


def draw(rng):
    """A cycle that pays at the margin, one of its hops at least without a closed form."""
    while True:
        hops = rng.choice([2, 3, 3, 4])
        names = [rng.choice(list(KINDS)) for _ in range(hops)]
        names[rng.randrange(hops)] = rng.choice(list(OTHER_KINDS))
        market, edges = random_cycle(rng, hops, names)
        if log_rate(market, edges) > 0.0:
            return market, edges, names


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_curve_is_sized(name):
    rng, paid = random.Random(3), 0
    for _ in range(12):
        market, edges = random_cycle(rng, 2, [name, "uniswap_v2"])
        if log_rate(market, edges) <= 0.0:
            continue
        amount, quotes = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
        best, at = dense(market, edges)
        if best <= 0:
            continue
        assert quotes
        allowed = max(SHARE * best, 2 * units_of_hops(market, edges, at))
        assert best - market.left(edges, amount) <= allowed + roughness(market, edges, at)
        paid += 1
    assert paid


@pytest.mark.parametrize("count", COUNTS)
def test_no_dense_search_finds_a_better_input(count):
    rng = random.Random(count)
    kinds = Counter()
    for _ in range(count):
        market, edges, names = draw(rng)
        guess = unit(market, edges) * 10 ** rng.uniform(0, 5)
        amount, quotes = refine(market, BLOCK, edges, guess, least=0.0, most=MOST)
        left = market.left(edges, amount) if quotes else 0
        if quotes:
            assert left == quotes[-1].realised - amount > 0
            kinds.update(names)
        best, at = dense(market, edges)
        if best <= left:
            continue
        allowed = max(SHARE * best, 2 * units_of_hops(market, edges, at))
        allowed += roughness(market, edges, at)
        assert best - left <= allowed, (names, edges, amount, at)
    assert set(kinds) == set(KINDS)


# ---- where curves have corners and ends


def book_and_pair(rng, market):
    """A Liquidity Book against a deep constant product that is off by 1 %."""
    held, pair = random_pool(rng, "liquidity_book", TOKENS[0], TOKENS[1])
    row = market.add("liquidity_book", pair, held)
    reserves = [10**28, 10**16]
    raw = {"token0": pair[0], "token1": pair[1], "fee_pips": 100}
    raw |= {"reserve0": reserves[0] * 101 // 100, "reserve1": reserves[1]}
    other = market.add("uniswap_v2", pair, state("uniswap_v2", raw))
    return [2 * row, 2 * other + 1]


def test_the_best_input_of_bins_empties_the_last_one_it_enters():
    emptied = 0
    for seed in range(40):
        market = Rows(2)
        edges = book_and_pair(random.Random(seed), market)
        if log_rate(market, edges) <= 0.0:
            continue
        amount, quotes = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
        bins = sorted(market.state(0).bins, key=lambda entry: -entry.id)
        sums = list(itertools.accumulate(b.reserve_y for b in bins if b.reserve_y))
        emptied += min(abs(quotes[0].realised - entry) for entry in sums) < 1e-6 * max(sums)
        best, at = dense(market, edges)
        allowed = max(SHARE * best, 2 * units_of_hops(market, edges, at))
        assert best - market.left(edges, amount) <= allowed
    assert emptied > 20


def test_the_input_stops_where_a_pool_takes_no_more():
    """Balancer swaps at most 30 % of a balance, however much a cycle would pay beyond."""
    market = Rows(2)
    pair = (TOKENS[0], TOKENS[2])
    raw = {
        "tokens": list(pair),
        "balances": [10**21, 10**23],
        "normalized_weights": [5 * 10**17] * 2,
        "swap_fee_percentage": 10**15,
        "decimals": [18, 18],
    }
    weighted = market.add("balancer_v2_weighted", pair, state("balancer_v2_weighted", raw))
    flat = {"token0": pair[0], "token1": pair[1], "reserve0": 10**28, "reserve1": 10**28}
    other = market.add("uniswap_v2", pair, state("uniswap_v2", flat))
    edges = (2 * weighted, 2 * other + 1)
    amount, quotes = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
    taken = 3 * 10**20 * 1000 / 999  # after the fee
    assert amount == pytest.approx(taken, rel=1e-9)
    assert quotes
    with pytest.raises(SwapRefused):
        market.quote(edges[0], int(taken * (1 + 1e-9)))


@pytest.mark.parametrize(("least", "most"), [(0.0, 1e18), (1e24, MOST), (3.0, 5.0)])
def test_limits_are_kept(least, most):
    rng = random.Random(8)
    for _ in range(30):
        market, edges, _ = draw(rng)
        amount, quotes = refine(market, BLOCK, edges, 1e19, least=least, most=most)
        if quotes:
            assert least <= amount <= most


def test_no_room_between_the_limits_is_nothing():
    market, edges, _ = draw(random.Random(1))
    assert refine(market, BLOCK, edges, 1e18, least=2e18, most=1e18) == (0, ())


def test_a_cycle_that_loses_is_sized_to_nothing():
    rng, lost = random.Random(4), 0
    while lost < 20:
        market, edges = random_cycle(rng, 3)
        if log_rate(market, edges) < 0.0:
            lost += 1
            assert refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST) == (0, ())


def test_a_pool_that_is_closed_is_sized_to_nothing():
    market = Rows(2)
    rng = random.Random(1)
    pair = (TOKENS[0], TOKENS[2])
    paused = state("solidly", KINDS["solidly"](rng, pair) | {"is_paused": True})
    edges = (2 * market.add("solidly", pair, paused),)
    edges += (2 * market.add("uniswap_v2", pair, random_pool(rng, "uniswap_v2", *pair)[0]) + 1,)
    assert refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST) == (0, ())


class Slopeless:
    """A protocol whose slopes are refused, and whose quotes are right."""

    def __init__(self, inner):
        self._inner = inner

    def quote_exact_in(self, *asked):
        return self._inner.quote_exact_in(*asked)

    def marginal_rate(self, *asked):
        raise SwapRefused(Status.NO_CONVERGENCE, f"no slope at {asked[-1]}")


def test_slopes_that_are_refused_do_not_lose_the_best(monkeypatch):
    rng, compared = random.Random(6), 0
    for _ in range(40):
        market, edges, _ = draw(rng)
        (amount, _) = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
        with monkeypatch.context() as patch:
            patch.setattr(
                market, "protocol", lambda row, m=market: Slopeless(Rows.protocol(m, row))
            )
            (other, _) = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
        best = market.left(edges, amount) if amount else 0
        allowed = max(1e-6 * best, 4 * units_of_hops(market, edges, amount)) if best else 0
        allowed = max(allowed, 2 * roughness(market, edges, amount)) if best else 0
        assert best - (market.left(edges, other) if other else 0) <= allowed
        compared += best > 0
    assert compared > 20


def test_a_good_guess_needs_few_evaluations():
    rng, counts = random.Random(7), []
    for _ in range(60):
        market, edges, _ = draw(rng)
        amount, quotes = refine(market, BLOCK, edges, 1e18, least=0.0, most=MOST)
        if not quotes:
            continue
        counted = 0

        def protocol_of(row, market=market):
            nonlocal counted
            counted += 1
            return Rows.protocol(market, row)

        market.protocol = protocol_of
        refine(market, BLOCK, edges, amount * 1.001, least=0.0, most=MOST)
        others = sum(protocol_name(market, e) in OTHER_KINDS for e in edges)
        counts.append(counted / others)
    assert sorted(counts)[len(counts) // 2] <= 4
    assert max(counts) <= MOST_STEPS


def protocol_name(market, edge):
    found = Rows.protocol(market, edge >> 1)
    return next(name for name in KINDS if protocol(name) is found)
