"""Splits over random markets: exact, in order, worth their gas, and never below a single cycle."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from searcher.kernels.hops import write_image
from searcher.opportunities.joint_trade import Goal, JointTrade
from searcher.opportunities.split_search import Terms
from searcher.opportunities.splitting import Splitter, exact_swap
from tests.kernels.markets import random_market

ETH = 10**18
GWEI = 10**9
TERMS = Terms({"t0": 1.0}, gas_price_wei=5 * GWEI, overhead_gas=75_000)
FREE = Terms({"t0": 1.0})


def splitter_of(market, *, pools=None, **limits):
    splitter = Splitter(market.memory, **limits)
    for row, (a, b) in enumerate(market.tokens):
        splitter.enter(row, f"t{a}", f"t{b}", row if pools is None else pools[row])
    return splitter


def swap_of(market):
    return exact_swap(market.memory, market.quote)


def check_exact(market, split, terms, basket=None):
    """Carry the legs out once more, and compare every figure."""
    held = defaultdict(int, basket or {})
    lowest = defaultdict(int)
    gas = terms.overhead_gas
    for leg in split.legs:
        token_in, token_out = (
            f"t{t}" for t in np.roll(market.tokens[leg.edge >> 1], -(leg.edge & 1))
        )
        out, used = market.quote(leg.edge, leg.amount_in)
        assert out == leg.amount_out
        held[token_in] -= leg.amount_in
        lowest[token_in] = min(lowest[token_in], held[token_in])
        held[token_out] += out
        gas += used
    assert min(held.values()) >= 0
    assert split.gas == gas
    assert {t: -n for t, n in lowest.items() if n} == split.loans
    for token, gain in split.gains.items():
        assert held[token] == gain
    assert {t: n for t, n in held.items() if n and t not in split.gains} == split.dust
    if set(split.gains) == {"t0"}:
        assert split.gross_wei == split.gains["t0"]
    assert split.net_wei == split.gross_wei - gas * terms.gas_price_wei
    assert len(split.rows) == len(split.legs)
    assert split.gross_wei <= split.bound_wei * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_splits_are_exact_and_reach_their_bound(seed):
    market = random_market(seed, (10, 30, 80)[seed % 3], error=0.008)
    splitter = splitter_of(market, most_hops=8)
    split = splitter.arbitrage(None, TERMS, swap_of(market))
    assert split is not None
    assert split.net_wei > 0
    check_exact(market, split, TERMS)
    # Floats and integers agree but for what is lost in order, and by rounding.
    assert split.gross_wei == pytest.approx(split.bound_wei, rel=3e-4)
    assert splitter.statistics().found == 1


def all_cycles(market, hops):
    """Every cycle of distinct rows and tokens from token 0, as edges."""
    for rows in itertools.permutations(range(len(market.tokens)), hops):
        token, seen, edges = 0, set(), []
        for row in rows:
            a, b = market.tokens[row]
            if token not in {a, b} or token in seen:
                break
            seen.add(token)
            edges.append(2 * row + (token == b))
            token = a if token == b else b
        else:
            if token == 0:
                yield tuple(edges)


@pytest.mark.parametrize("seed", range(8))
def test_a_split_is_never_below_the_best_cycle(seed):
    market = random_market(seed, 9, tokens=5, error=0.012)
    splitter, swap = splitter_of(market), swap_of(market)
    best = None
    for edges in itertools.chain(*(all_cycles(market, hops) for hops in (2, 3))):
        for exponent in range(60):
            cycle = splitter.cycle(edges, int(ETH * 1.25 ** (exponent - 40)), TERMS, swap)
            if cycle and (best is None or cycle.net_wei > best.net_wei):
                best = cycle
    if best is not None:
        check_exact(market, best, TERMS)
    split = splitter.arbitrage(None, TERMS, swap, best)
    assert split is not None
    assert best is None or split.net_wei >= best.net_wei


def best_subset(market, terms):
    """What the best set of pools leaves after gas, by trying them all."""
    best = 0.0
    for size in range(2, len(market.tokens) + 1):
        for rows in itertools.combinations(range(len(market.tokens)), size):
            chosen = np.array(rows, np.int64)
            trade = JointTrade(market.memory, chosen, market.tokens[chosen])
            optimum = trade.optimum(Goal({0: 1.0}, {}), np.full(len(market.log_value), np.nan))
            gas = market.memory.real[optimum.edges >> 1, 3].sum() + terms.overhead_gas
            best = max(best, optimum.bound_wei - gas * terms.gas_price_wei)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_pools_are_chosen_as_well_as_by_trying_all_sets(seed):
    # No ticks: what crossing them takes is known only when a trade is carried out.
    market = random_market(seed, 8, tokens=4, error=0.01, kinds=(0.7, 0.0, 0.3))
    terms = Terms({"t0": 1.0}, gas_price_wei=20 * GWEI, overhead_gas=75_000)
    expected = best_subset(market, terms)
    split = splitter_of(market).arbitrage(None, terms, swap_of(market))
    assert (split.net_wei if split else 0) >= 0.98 * expected


def test_gas_that_costs_more_than_it_brings_leaves_nothing():
    market = random_market(1, 30, error=0.008)
    dear = Terms({"t0": 1.0}, gas_price_wei=10**16, overhead_gas=75_000)
    assert splitter_of(market).arbitrage(None, dear, swap_of(market)) is None


def test_dearer_gas_takes_fewer_pools():
    market = random_market(4, 80, error=0.006)
    legs = []
    for gwei in (0, 2, 20, 100):
        terms = Terms({"t0": 1.0}, gwei * GWEI, 75_000)
        split = splitter_of(market, most_hops=8).arbitrage(None, terms, swap_of(market))
        legs.append(len(split.legs) if split else 0)
    assert legs == sorted(legs, reverse=True)
    assert legs[0] > legs[-1]


def test_a_plan_has_no_more_legs_than_it_may():
    market = random_market(4, 80, error=0.006)
    terms = Terms({"t0": 1.0}, GWEI, 75_000, most_legs=5)
    split = splitter_of(market, most_hops=8).arbitrage(None, terms, swap_of(market))
    assert 2 <= len(split.legs) <= 5


def test_a_market_without_errors_gives_nothing():
    market = random_market(3, 200, error=0.0)
    assert splitter_of(market).arbitrage(None, TERMS, swap_of(market)) is None


def test_only_ways_through_what_changed_are_searched():
    market = random_market(2, 4, tokens=3, error=0.0, kinds=(1, 0, 0))
    market.tokens[:] = [(0, 1), (0, 1), (0, 2), (0, 2)]
    for row, error in enumerate((0.0, 0.05, 0.0, 0.06)):
        market.product(row, 100 * ETH, error)
    splitter, swap = splitter_of(market), swap_of(market)
    assert splitter.arbitrage([1], TERMS, swap).rows == {0, 1}
    assert splitter.arbitrage([2], TERMS, swap).rows == {2, 3}
    assert splitter.arbitrage(None, TERMS, swap).rows == {0, 1, 2, 3}
    assert splitter.arbitrage([99], TERMS, swap) is None


def test_rows_leave_and_enter():
    market = random_market(2, 3, tokens=2, error=0.0, kinds=(1, 0, 0))
    for row, error in enumerate((0.0, 0.05, 0.05)):
        market.product(row, 100 * ETH, error)
    splitter, swap = splitter_of(market), swap_of(market)
    both = splitter.arbitrage(None, FREE, swap)
    assert both.rows == {0, 1, 2}
    splitter.leave(2)
    one = splitter.arbitrage(None, FREE, swap)
    assert one.rows == {0, 1}
    assert one.net_wei < both.net_wei
    splitter.enter(2, *(f"t{t}" for t in market.tokens[2]), 2)
    assert splitter.arbitrage(None, FREE, swap) == both
    market.memory.set_alive(1, alive=False)
    write_image(market.memory.table, 1)
    assert splitter.arbitrage(None, FREE, swap).rows == {0, 2}


def test_rows_of_one_pool_are_not_traded_together():
    market = random_market(5, 30, error=0.01)
    apart = splitter_of(market, most_hops=8).arbitrage(None, FREE, swap_of(market))
    pools = [row // 3 for row in range(30)]
    split = splitter_of(market, pools=pools, most_hops=8).arbitrage(None, FREE, swap_of(market))
    assert len({pools[row] for row in split.rows}) == len(split.legs)
    assert len({pools[row] for row in apart.rows}) < len(apart.legs)
    check_exact(market, split, FREE)


def test_of_too_many_rows_the_deepest_are_taken():
    market = random_market(6, 60, tokens=6, error=0.004)
    splitter = splitter_of(market, most_rows=20)
    split = splitter.arbitrage(None, TERMS, swap_of(market))
    assert splitter.statistics().rows_left_out > 0
    assert split is not None
    check_exact(market, split, TERMS)


@pytest.mark.parametrize("seed", range(6))
def test_baskets_are_sold_in_order_and_exactly(seed):
    market = random_market(seed, 60, error=0.0005, worth_eth=(50.0, 5000.0))
    goods = {
        f"t{token}": int(ETH * (2 + seed) / math.exp(market.log_value[token]))
        for token in (1, 5, 9)
    }
    split = splitter_of(market, most_hops=6).sell(goods, "t0", TERMS, swap_of(market))
    check_exact(market, split, TERMS, goods)
    assert split.gross_wei == pytest.approx(3 * (2 + seed) * ETH, rel=0.05)
    assert split.gross_wei == pytest.approx(split.bound_wei, rel=1e-4)
    through_one = max(
        (market.quote(2 * row + side, goods[f"t{token}"]) or (0, 0))[0]
        for token in (1,)
        for row in range(60)
        for side in range(2)
        if market.tokens[row][side] == token and market.tokens[row][1 - side] == 0
    )
    assert split.gross_wei > through_one


def test_goods_that_no_pool_takes_are_left_over():
    market = random_market(1, 2, tokens=4, error=0.0, kinds=(1, 0, 0))
    market.tokens[:] = [(0, 1), (2, 3)]
    for row in range(2):
        market.product(row, 100 * ETH, 0.0)
    goods = {
        "t1": int(ETH / math.exp(market.log_value[1])),
        "t2": int(ETH / math.exp(market.log_value[2])),
        "t0": 5,
    }
    split = splitter_of(market).sell(goods, "t0", TERMS, swap_of(market))
    assert [leg.edge for leg in split.legs] == [1]
    assert split.dust == {"t2": goods["t2"]}
    assert splitter_of(market).sell({"t2": 10**6}, "t0", TERMS, swap_of(market)) is None
