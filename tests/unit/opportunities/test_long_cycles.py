"""The search of long cycles: what is planted is found, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from searcher.domain.errors import InvariantBroken
from searcher.kernels.long_cycles import HOP_WORK, MOST_HOPS
from searcher.opportunities.long_cycles import SLICE, LongCycles, Start
from tests.unit.opportunities.mixed_pools import (
    BLOCK,
    KINDS,
    TOKENS,
    Rows,
    decimals,
    random_pool,
    state,
)

START = Start(TOKENS[0], (1e17, 1e18, 1e19, 1e20), 0.0, 1e24)
FREE = {TOKENS[0]: 0.0}
WHOLE = 10**24


def pair_of(one, other):
    return (one, other) if one < other else (other, one)


def product(market, token_in, token_out, *, rate=1.0, deep=WHOLE, fee_pips=3000, gas=0):
    """Add a constant product that pays `rate` of a token for one, before its fee; its edge in."""
    pair = pair_of(token_in, token_out)
    amounts = {token_in: deep, token_out: int(deep * rate)}
    scaled = [amounts[t] * 10 ** decimals(t) // 10**18 for t in pair]
    raw = dict(zip(("token0", "token1", "reserve0", "reserve1"), (*pair, *scaled), strict=True))
    row = market.add("uniswap_v2", pair, state("uniswap_v2", raw | {"fee_pips": fee_pips}), gas=gas)
    return 2 * row + (token_in != pair[0])


def ring(market, hops, *, gain, tokens=TOKENS, gas=0):
    """Add a cycle that pays `gain` before fees and price impact, a part each hop; its edges."""
    stops = [*tokens[:hops], tokens[0]]
    rate = gain ** (1 / hops)
    return tuple(product(market, a, b, rate=rate, gas=gas) for a, b in itertools.pairwise(stops))


def consistent(market, rng, tokens, pools):
    """Add pools that all agree on one price a token; only their fees and depths differ."""
    for _ in range(pools):
        a, b = rng.sample(tokens, 2)
        deep = int(10 ** rng.uniform(21, 26))
        product(market, a, b, deep=deep, fee_pips=rng.choice([100, 500, 3000]))


def search_of(market, starts=(START,), **lengths):
    search = LongCycles(market.memory, starts, **lengths)
    for number, row in enumerate(market.rows):
        search.enter(number, row.pool, row.token0, row.token1)
    return search


def found_in(market, gas_prices=FREE, **lengths):
    search = search_of(market, **lengths)
    search.restart(gas_prices)
    while not search.advance():
        pass
    return search.found()


# ---- what is found


@pytest.mark.parametrize("hops", [5, 6, 7, 8])
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_cycle_is_found_that_no_shorter_one_gives(hops, seed):
    market, rng = Rows(512), random.Random(seed)
    planted = ring(market, hops, gain=1.06)
    # Each token of the ring trades elsewhere too, where nothing is to be had.
    for k, token in enumerate(TOKENS[:hops]):
        consistent(market, rng, [token, *TOKENS[10 + 3 * k : 13 + 3 * k]], 20)
    cycles = found_in(market)
    assert cycles[0].edges == planted
    assert not found_in(market, hops_least=2, hops_most=hops - 1)


def test_a_size_that_suits_the_cycle_is_among_those_it_was_found_with():
    market = Rows(16)
    ring(market, 5, gain=1.05)
    (cycle, *_) = found_in(market)
    one = market.left(cycle.edges, int(cycle.amount))
    assert cycle.net == pytest.approx(one, rel=1e-6)
    assert one == max(market.left(cycle.edges, int(size)) for size in START.sizes)


def test_candidates_are_sized_exactly():
    market = Rows(16)
    edges = ring(market, 6, gain=1.05)
    search = search_of(market)
    search.restart(FREE)
    asyncio.run(search.run())
    (candidate,) = search.candidates(market, BLOCK, {TOKENS[0]: 2.0})
    left = market.left(edges, candidate.amount_in)
    assert candidate.edges == edges
    assert candidate.start == TOKENS[0]
    assert candidate.worth_wei == 2.0 * left
    near = (candidate.amount_in * k // 1000 for k in (900, 999, 1001, 1100))
    assert left > max(market.left(edges, amount) for amount in near)


def test_a_consistent_market_holds_nothing():
    market, rng = Rows(1024), random.Random(1)
    consistent(market, rng, TOKENS, 800)
    assert not found_in(market, hops_least=2)


def test_no_pool_is_gone_through_twice():
    """Rows of one pool share a state: a cycle through two of them is none."""
    market = Rows(16)
    ring(market, 5, gain=1.06)
    search = LongCycles(market.memory, [START])
    for number, row in enumerate(market.rows):
        search.enter(number, 0 if number in {1, 3} else 1 + number, row.token0, row.token1)
    search.restart(FREE)
    assert search.advance()
    assert not search.found()


def test_cycles_that_do_not_pay_their_gas_are_left_out():
    market = Rows(16)
    ring(market, 5, gain=1.05, gas=100_000)
    free = found_in(market)[0].net
    paid = found_in(market, {TOKENS[0]: free / 1_000_000})
    assert paid[0].net == pytest.approx(free / 2, rel=1e-6)
    assert not found_in(market, {TOKENS[0]: free / 400_000})


def test_of_two_ways_the_one_is_taken_that_pays_after_gas():
    market = Rows(16)
    edges = ring(market, 5, gain=1.05, gas=100_000)
    product(market, TOKENS[1], TOKENS[2], rate=1.000001, gas=10_000_000)
    (cycle, *_) = found_in(market, {TOKENS[0]: 1e10})
    assert cycle.edges == edges


def test_every_start_token_is_searched_from_and_one_without_a_price_is_not():
    market = Rows(16)
    ring(market, 5, gain=1.05)
    other = Start(TOKENS[2], (1e18,), 0.0, 1e24)
    search = search_of(market, [START, other])
    search.restart({TOKENS[2]: 0.0})
    asyncio.run(search.run())
    assert {cycle.start for cycle in search.found()} == {other}
    search.restart({**FREE, TOKENS[2]: 0.0})
    asyncio.run(search.run())
    assert {cycle.start for cycle in search.found()} == {START, other}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_curve_takes_part(name):
    market = Rows(16)
    held, pair = random_pool(random.Random(5), name, TOKENS[1], TOKENS[2])
    row = market.add(name, pair, held)
    for a, b in itertools.pairwise([*TOKENS[2:5], TOKENS[0], TOKENS[1]]):
        product(market, a, b, rate=1.2)
    cycles = found_in(market)
    assert [edge for edge in cycles[0].edges if edge >> 1 == row]


# ---- how it is done


def test_slices_find_what_a_whole_search_finds():
    market, rng = Rows(512), random.Random(2)
    ring(market, 7, gain=1.08)
    consistent(market, rng, TOKENS, 200)
    whole = found_in(market)
    search = search_of(market)
    search.restart(FREE)
    slices = 1
    while not search.advance(work=50):
        slices += 1
    assert search.found() == whole
    assert search.statistics().slices == slices > 20


def test_the_work_of_a_search_is_bounded():
    """Every pool pays as much as one likes: nothing can be left out by a bound."""
    market, rng = Rows(512), random.Random(3)
    for _ in range(400):
        product(market, *rng.sample(TOKENS, 2), rate=rng.uniform(0.5, 2.0))
    search = search_of(market)
    search.restart(FREE)
    work = 1000
    slices = 1
    while not search.advance(work=work):
        slices += 1
    layers = 2 * MOST_HOPS * 400 * (1 + 2 * HOP_WORK)
    assert slices * work < layers * (1 + len(START.sizes)) < 10 * SLICE * MOST_HOPS
    assert search.found()


def test_rows_come_and_go_without_a_rebuild():
    market = Rows(16)
    ring(market, 5, gain=1.05)
    search = search_of(market)
    search.restart(FREE)
    search.leave(2)
    with pytest.raises(InvariantBroken, match="restart it"):
        search.advance()
    search.restart(FREE)
    assert search.advance()
    assert not search.found()
    row = market.rows[2]
    search.enter(2, row.pool, row.token0, row.token1)
    search.restart(FREE)
    assert search.advance()
    assert search.found()
    assert search.statistics().rows == 5
    assert search.statistics().interrupted == 1


def test_a_row_that_is_dead_is_not_gone_through():
    market = Rows(16)
    ring(market, 5, gain=1.05)
    market.memory.rate[4] = market.memory.rate[5] = -float("inf")
    assert not found_in(market)


@pytest.mark.parametrize("hops", [(1, 5), (5, 9), (6, 5)])
def test_lengths_that_cannot_be_searched_are_refused(hops):
    with pytest.raises(ValueError, match="hops"):
        LongCycles(Rows(1).memory, [START], hops_least=hops[0], hops_most=hops[1])
