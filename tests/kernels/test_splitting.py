"""Joint trades: single pools against hops, and the whole against a general convex solver."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from searcher.kernels.curves import DEAD
from searcher.kernels.hops import hop, write_image
from searcher.kernels.splitting import Found, respond
from searcher.opportunities.joint_trade import AMOUNT, LEFT_WEI, TAKEN_WEI, Goal, JointTrade
from tests.kernels.convex import best_value
from tests.kernels.markets import random_market

CLOSE = 1e-6
SCALE = 0.03
"""Of what a trade is worth, the unit in which the solver calculates; it is exact to 1e-9 there."""
ETH = 10**18


def unknown(market):
    return np.full(len(market.log_value), np.nan)


def whole(market):
    rows = np.arange(len(market.tokens), dtype=np.int64)
    return JointTrade(market.memory, rows, market.tokens)


def ready(optimum):
    """An optimum whose trades match as well as floats can say, or nothing at all."""
    if optimum.found is Found.STALLED:
        return optimum.apart_wei < 1e-6 * optimum.bound_wei + 1e7
    return optimum.found is Found.OPTIMAL or optimum.bound_wei == 0


@pytest.mark.parametrize("kinds", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=("v2", "v3", "pieces"))
def test_a_pool_trades_until_its_rate_is_the_price(kinds):
    market = random_market(1, 20, kinds=kinds)
    table, seen = market.memory.table, 0
    for edge in range(40):
        rate = market.memory.rate[edge]
        if rate == DEAD:
            continue
        for fall in (1e-9, 1e-5, 1e-3, 0.03, 0.4):
            price = math.exp(rate - fall)
            taken, out, left, stretch = respond(table, edge, price)
            given, slope, _ = hop(table, edge, taken)
            assert out == pytest.approx(given, rel=1e-9)
            assert left == pytest.approx(out / price - taken, rel=1e-5, abs=1e-12 * taken)
            if stretch > 0:
                assert slope == pytest.approx(price, rel=1e-9)
                little = 1e-3 * fall
                more = respond(table, edge, price * math.exp(-little))
                if fall > 1e-9 and more[3] == pytest.approx(stretch, rel=1e-2):
                    seen += 1
                    assert (more[0] - taken) / little == pytest.approx(stretch, rel=1e-2)
    assert seen > 20


def arbitrage(seed, pools, **market):
    made = random_market(seed, pools, **market)
    optimum = whole(made).optimum(Goal({0: 1.0}, {}), unknown(made), tolerance=1e-9)
    assert ready(optimum)
    expected, _ = best_value(made, range(pools), {0: 1.0}, scale=SCALE * (optimum.bound_wei or ETH))
    return optimum, expected


MIXES = [(0.6, 0.3, 0.1), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.3, 0.3, 0.4)]


def check_arbitrages(seeds):
    found = 0
    for seed in seeds:
        pools = random.Random(seed).choice((4, 12, 40, 100))
        optimum, expected = arbitrage(seed, pools, error=0.006, kinds=MIXES[seed % len(MIXES)])
        if optimum.bound_wei < 1e-7 * ETH:
            assert expected < 1e-6 * ETH
            continue
        found += 1
        assert optimum.bound_wei == pytest.approx(expected, rel=CLOSE), seed
    assert found > len(seeds) // 2


def test_arbitrages_are_worth_what_a_convex_solver_says():
    check_arbitrages(range(30))


@pytest.mark.full
def test_many_arbitrages_are_worth_what_a_convex_solver_says():
    check_arbitrages(range(300))


def check_baskets(seeds):
    for seed in seeds:
        market = random_market(seed, 40, error=0.0002, kinds=MIXES[seed % len(MIXES)])
        rng = random.Random(seed)
        basket = {
            token: int(rng.uniform(0.1, 40) * ETH / math.exp(market.log_value[token]))
            for token in rng.sample(range(1, len(market.log_value)), 3)
        }
        optimum = whole(market).optimum(Goal({0: 1.0}, basket), unknown(market), tolerance=1e-9)
        assert ready(optimum)
        expected, _ = best_value(
            market, range(40), {0: 1.0}, basket, scale=SCALE * optimum.bound_wei
        )
        assert optimum.bound_wei == pytest.approx(expected, rel=CLOSE), seed


def test_baskets_sell_for_what_a_convex_solver_says():
    check_baskets(range(12))


@pytest.mark.full
def test_many_baskets_sell_for_what_a_convex_solver_says():
    check_baskets(range(120))


@pytest.mark.parametrize("seed", range(6))
def test_several_tokens_may_be_kept(seed):
    market = random_market(seed, 40, error=0.006)
    worth = {token: math.exp(market.log_value[token]) * 0.999 for token in (1, 2)} | {0: 1.0}
    optimum = whole(market).optimum(Goal(worth, {}), unknown(market), tolerance=1e-9)
    assert ready(optimum)
    expected, _ = best_value(market, range(40), worth, scale=SCALE * optimum.bound_wei)
    assert optimum.bound_wei == pytest.approx(expected, rel=CLOSE)
    alone = whole(market).optimum(Goal({0: 1.0}, {}), unknown(market), tolerance=1e-9)
    assert optimum.bound_wei >= alone.bound_wei * (1 - 1e-7)


def test_trades_match_and_come_to_the_bound():
    market = random_market(7, 60, error=0.006)
    optimum = whole(market).optimum(Goal({0: 1.0}, {}), unknown(market), tolerance=1e-9)
    net = np.zeros(len(market.log_value))
    for edge, trade in zip(optimum.edges, optimum.trade, strict=True):
        token_in, token_out = np.roll(market.tokens[edge >> 1], -(edge & 1))
        net[token_in] -= trade[TAKEN_WEI]
        net[token_out] += trade[TAKEN_WEI] + trade[LEFT_WEI]
        assert hop(market.memory.table, edge, trade[AMOUNT])[0] > 0
    assert net[0] == pytest.approx(optimum.bound_wei, rel=1e-6)
    assert np.abs(net[1:]).sum() <= 1e-6 * optimum.bound_wei


def test_a_market_without_errors_pays_nothing_at_once():
    market = random_market(3, 1000, error=0.0)
    optimum = whole(market).optimum(Goal({0: 1.0}, {}), unknown(market))
    assert optimum.found is Found.NOTHING_PAYS
    assert optimum.steps <= 20
    assert len(optimum.edges) == 0


def test_what_is_worth_less_than_asked_for_is_given_up():
    market = random_market(3, 200, error=0.004)
    goal = Goal({0: 1.0}, {})
    best = whole(market).optimum(goal, unknown(market))
    given_up = whole(market).optimum(goal, unknown(market), least_wei=1.5 * best.bound_wei)
    assert given_up.found is Found.NOTHING_PAYS
    assert given_up.steps < best.steps
    assert given_up.bound_wei >= best.bound_wei


def test_known_prices_take_fewer_steps():
    market = random_market(5, 1000, error=0.003)
    prices, goal = unknown(market), Goal({0: 1.0}, {})
    trade = whole(market)
    cold = trade.optimum(goal, prices)
    again = trade.optimum(goal, prices.copy())
    assert again.steps == 0
    row = int(cold.edges[0] >> 1)
    market.memory.set_alive(row, alive=False)
    write_image(market.memory.table, row)
    warm = trade.optimum(goal, prices)
    assert warm.steps < cold.steps
    assert warm.bound_wei < cold.bound_wei
    assert row not in warm.edges >> 1


def test_pools_that_are_dry_one_sided_or_dead_are_as_if_absent():
    market = random_market(8, 40, error=0.006, kinds=(1, 0, 0))
    memory = market.memory
    memory.write_product(0, 0, 0, 3000)
    memory.write_product(1, 10**30, 0, 3000)
    memory.set_alive(2, alive=False)
    for row in range(3):
        write_image(memory.table, row)
    some = np.arange(3, 40, dtype=np.int64)
    goal = Goal({0: 1.0}, {})
    expected = JointTrade(memory, some, market.tokens[3:]).optimum(goal, unknown(market))
    found = whole(market).optimum(goal, unknown(market))
    assert found.bound_wei == pytest.approx(expected.bound_wei, rel=1e-6)
    assert min(found.edges >> 1) >= 3


def test_tokens_that_nothing_joins_with_a_kept_one_are_left_alone():
    market = random_market(2, 6, tokens=4, error=0.0, kinds=(1, 0, 0))
    market.tokens[:4] = (0, 1)
    market.tokens[4:] = (2, 3)
    for row in range(6):
        market.product(row, 100 * ETH, 0.2 * (row == 5))
    prices = unknown(market)
    prices[2:] = market.log_value[2:]
    optimum = whole(market).optimum(Goal({0: 1.0}, {}), prices)
    assert optimum.found is Found.NOTHING_PAYS
    assert optimum.bound_wei == 0.0
    assert prices[2:] == pytest.approx(market.log_value[2:])


@pytest.mark.parametrize("seed", range(20))
def test_hostile_sizes_end_within_the_steps_given(seed):
    rng = random.Random(seed)
    market = random_market(seed, 30, error=0.006)
    for row in rng.sample(range(30), 10):
        market.memory.free(row)
        market.memory.write_product(
            row, rng.choice((1, 2**40, 2**112 - 1)), rng.choice((1, 2**112 - 1)), 3000
        )
        market.draw(row)
    worth = rng.choice((1e-30, 1.0, 1e30))
    basket = rng.choice(({}, {1: 2**112 - 1}, {1: 1}))
    optimum = whole(market).optimum(Goal({0: worth}, basket), unknown(market), most_steps=60)
    assert optimum.steps <= 60
    assert math.isfinite(optimum.bound_wei)
    assert optimum.bound_wei >= 0
    assert np.isfinite(optimum.trade).all()
    assert (optimum.trade[:, AMOUNT] > 0).all()
