"""The fused search against every cycle of small random universes, in the contracts' integers."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels import scan
from searcher.kernels._jit import direct
from searcher.kernels.hops import hop, piece, write_image
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.opportunities.book import CycleBook
from tests.kernels.universe import (
    CROSSING_GAS,
    SWAP_GAS,
    Concentrated,
    ConstantProduct,
    book_of,
    every_cycle,
    exact_best,
    exact_out,
    memory_of,
    scope,
    token,
)

GAS_PRICE = 10**9
OVERHEAD = 75_000
seeds = st.integers(0, 2**32)


def any_universe(rng):
    """Pools of five tokens near one price, some of the V3 ones out of their positions."""
    pools = []
    for _ in range(rng.randrange(3, 12)):
        token0, token1 = sorted(rng.sample(range(5), 2))
        depth = int(10 ** rng.uniform(19, 22))
        if rng.random() < 0.6:
            second = int(depth * rng.uniform(0.95, 1.05))
            pools.append(ConstantProduct(token0, token1, depth, second, rng.choice((100, 3_000))))
            continue
        positions = [(-600, 600, 3 * depth), (-120, 60, depth)]
        if rng.random() < 0.8:
            positions.append((-887_220, 887_220, depth))
        tick = rng.randrange(-700, 700)
        pools.append(Concentrated(token0, token1, tick, positions, rng.choice((500, 3_000))))
    return pools


def net(pools, memory, cycle):
    """The best that a cycle leaves after gas, in integers but for the gas of ticks."""
    gain, amount = exact_best(pools, cycle, 10**24)
    gas = OVERHEAD + SWAP_GAS * len(cycle)
    there = float(amount)
    for edge in cycle:
        pool = pools[edge >> 1]
        if isinstance(pool, Concentrated):
            gas += CROSSING_GAS * crossed(memory, edge, there)
        there = hop(memory.table, edge, there)[0]
    return gain - gas * GAS_PRICE


def crossed(memory, edge, amount):
    return piece(memory.table, edge, amount)[5]


def priced(memory, pools, hops=3, starts=(0,)):
    book = book_of(memory, pools, scope(starts, hops))
    book.price(gas_price_wei=GAS_PRICE, overhead_gas=OVERHEAD, least_worth_wei=0)
    return book


def check(pools, found, candidate):
    """A candidate's amounts are the contracts', and its worth is what they leave after gas."""
    amount = candidate.amount_in
    for edge, out in zip(candidate.edges, candidate.amounts, strict=True):
        amount = pools[edge >> 1].quote(amount, zero_for_one=edge & 1 == 0)
        assert out == amount
    left = candidate.amounts[-1] - candidate.amount_in - candidate.gas * GAS_PRICE
    assert candidate.worth_wei == pytest.approx(left, rel=1e-9, abs=1e3)
    assert len({edge >> 1 for edge in candidate.edges}) == len(candidate.edges)
    assert len({c.edges for c in found}) == len(found)


@settings(max_examples=60)
@given(seeds)
def test_the_best_of_every_cycle_are_found_in_order(seed):
    pools = any_universe(random.Random(seed))
    memory = memory_of(pools)
    found = priced(memory, pools).search()
    brute = sorted((net(pools, memory, c) for c in every_cycle(pools, 0, 3)), reverse=True)
    paying = [left for left in brute if left > 10**13]
    assert len([c for c in found if c.worth_wei > 10**13]) == len(paying[:96])
    for candidate, left in zip(found, paying, strict=False):
        check(pools, found, candidate)
        # A tick's gas lies on one side of the best amount or on the other.
        assert candidate.worth_wei == pytest.approx(left, rel=1e-5, abs=CROSSING_GAS * GAS_PRICE)
    assert [c.worth_wei for c in found] == sorted((c.worth_wei for c in found), reverse=True)


@settings(max_examples=60)
@given(seeds, st.integers(1, 4))
def test_keeping_fewer_keeps_the_best(seed, wanted):
    pools = any_universe(random.Random(seed))
    book = priced(memory_of(pools), pools)
    whole = book.search()
    fewer = book.search(wanted)
    for got, best in zip(fewer, islice(whole, wanted), strict=True):
        assert got.worth_wei == pytest.approx(best.worth_wei, rel=1e-9)


@settings(max_examples=60)
@given(seeds, st.integers(3, 4), st.integers(1, 3))
def test_a_search_through_rows_finds_what_goes_through_them(seed, hops, count):
    rng = random.Random(seed)
    pools = any_universe(rng)
    book = priced(memory_of(pools), pools, hops, (0, 1))
    rows = rng.sample(range(len(pools)), min(count, len(pools)))
    whole = book.search()
    some = book.search_through(rows)
    if len(whole) < 96 and len(some) < 96:
        assert {c.edges for c in some} == {c.edges for c in whole if c.rows & set(rows)}
        by_edges = {c.edges: c for c in whole}
        assert all(c == by_edges[c.edges] for c in some)


def moved(rng, pool):
    """Another state of a pool: the three numbers of an update, and the pool with them."""
    if isinstance(pool, ConstantProduct):
        first, second = pool.reserve0, int(pool.reserve1 * rng.uniform(0.95, 1.05))
        return (first, second, 0), ConstantProduct(
            pool.token0, pool.token1, first, second, pool.fee_pips
        )
    tick = rng.randrange(-700, 700)
    changed = Concentrated(
        pool.token0, pool.token1, tick, pool.positions, pool.fee_pips, pool.spacing
    )
    return (sqrt_at_tick(tick), changed.state.liquidity, tick), changed


@settings(max_examples=60)
@given(seeds)
def test_an_update_finds_what_a_market_made_anew_holds(seed):
    rng = random.Random(seed)
    pools = any_universe(rng)
    memory = memory_of(pools)
    book = priced(memory, pools)
    for _ in range(5):
        row = rng.randrange(len(pools))
        state, pools[row] = moved(rng, pools[row])
        may_pay = scan.detect(memory.table, book.table, row, *state)
        kept = direct(scan.update)(memory.table, book.table, row, *state, 3)
        found = book._candidates(kept)
        anew = memory_of(pools)
        assert (memory.rate[: 2 * len(pools)] == anew.rate[: 2 * len(pools)]).all()
        expected = [c for c in priced(anew, pools).search() if row in c.rows]
        assert [c.worth_wei for c in found] == pytest.approx([c.worth_wei for c in expected[:3]])
        assert may_pay or not expected
        for candidate in found:
            check(pools, found, candidate)


def test_four_hops_and_several_starts():
    pools = [
        ConstantProduct(0, 1, 10**21, 10**21),
        ConstantProduct(1, 2, 10**21, 10**21),
        ConstantProduct(2, 3, 10**21, 10**21),
        ConstantProduct(0, 3, 10**21, 12 * 10**20),
    ]
    memory = memory_of(pools)
    (found,) = priced(memory, pools, 4, (2, 0)).search()
    assert len(found.edges) == 4
    assert found.start == token(2)
    check(pools, [found], found)
    assert exact_best(pools, found.edges, 10**24)[0] == pytest.approx(
        found.amounts[-1] - found.amount_in, rel=1e-6
    )


def curve_row(memory, row, rate):
    """Make a row one whose integers its protocol knows: a constant product in its float image."""
    held = 1e21
    sides = [
        np.array([[0.0, 0.0, held, held * rate**sign], [held, held * rate**sign / 2, 1.0, 0.0]])
        for sign in (1, -1)
    ]
    memory.write_pieces(row, (sides[0], sides[1]))
    write_image(memory.table, row)


def test_a_cycle_through_another_curve_is_sized_and_left_to_its_protocol():
    pools = [ConstantProduct(0, 1, 10**21, 10**21), ConstantProduct(0, 1, 10**21, 10**21)]
    memory = memory_of(pools)
    curve_row(memory, 1, 1.1)
    book = priced(memory, pools)
    (found,) = book.search()
    assert set(found.edges) == {1, 2}
    assert found.amounts == ()
    assert found.worth_wei > 0
    amount = float(found.amount_in)
    for edge in found.edges:
        amount = hop(memory.table, edge, amount)[0]
    gas = found.gas * GAS_PRICE
    assert found.worth_wei == pytest.approx(amount - found.amount_in - gas, rel=1e-9)


def test_no_cycle_takes_two_rows_of_one_pool():
    pools = [ConstantProduct(*p, 10**21, 12 * 10**20) for p in ((0, 1), (1, 2), (2, 0))]
    memory = memory_of(pools)
    apart = CycleBook(memory, scope([0]), native=token(0))
    joined = CycleBook(memory, scope([0]), native=token(0))
    for row, pool in enumerate(pools):
        apart.enter(row, token(pool.token0), token(pool.token1))
        joined.enter(row, token(pool.token0), token(pool.token1), owner=min(row, 1))
    for book, expected in ((apart, 1), (joined, 0)):
        book.price(gas_price_wei=0, overhead_gas=0, least_worth_wei=0)
        assert len(book.search()) == expected


def test_what_leaves_nothing_in_integers_is_counted_and_not_offered():
    pools = [ConstantProduct(0, 1, 1_000, 1_000, 100), ConstantProduct(0, 1, 1_000, 1_001, 100)]
    memory = memory_of(pools)
    book = book_of(memory, pools, scope([0]))
    assert book.search() == []
    assert sum(book.refused.values()) == 1


def test_amounts_keep_to_their_limits():
    pools = [ConstantProduct(0, 1, 10**21, 10**21), ConstantProduct(0, 1, 10**21, 13 * 10**20)]
    (free,) = book_of(memory_of(pools), pools, scope([0])).search()
    memory = memory_of(pools)
    (less,) = book_of(memory, pools, scope([0], most=free.amount_in / 2)).search()
    assert less.amount_in <= free.amount_in / 2
    (more,) = book_of(memory, pools, scope([0], least=free.amount_in * 1.5)).search()
    assert more.amount_in >= free.amount_in * 1.5 * (1 - 1e-12)
    assert free.worth_wei > max(less.worth_wei, more.worth_wei)
    for candidate in (less, more):
        assert exact_out(pools, candidate.edges, candidate.amount_in) == candidate.amounts[-1]


def test_a_token_of_more_worth_ranks_higher():
    pools = [
        ConstantProduct(0, 2, 10**21, 10**21),
        ConstantProduct(0, 2, 10**21, 13 * 10**20),
        ConstantProduct(1, 3, 10**21, 10**21),
        ConstantProduct(1, 3, 10**21, 12 * 10**20),
    ]
    memory = memory_of(pools)
    book = book_of(memory, pools, scope([0, 1]))
    prices = {"gas_price_wei": 0, "overhead_gas": 0, "least_worth_wei": 0}
    book.price(**prices, values={token(0): 1.0, token(1): 1.0})
    assert [c.start for c in book.search()] == [token(0), token(1)]
    book.price(**prices, values={token(0): 1.0, token(1): 10.0})
    assert [c.start for c in book.search()] == [token(1), token(0)]
