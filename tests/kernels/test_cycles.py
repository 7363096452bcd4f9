"""The cycles of a book that pools enter and leave, against every cycle there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.domain.errors import InvariantBroken
from searcher.kernels.hops import write_image
from searcher.market.memory import MarketMemory
from searcher.opportunities.book import CycleBook
from tests.kernels.universe import (
    ConstantProduct,
    book_of,
    cycles_of,
    every_cycle,
    memory_of,
    scope,
    token,
)

tokens = st.integers(0, 6)
pairs_ = st.lists(st.tuples(tokens, tokens).filter(lambda p: p[0] < p[1]), min_size=1, max_size=14)
starts_ = st.lists(tokens, min_size=1, max_size=3, unique=True)


def pools_of(pairs, depths=()):
    depths = depths or [10**18] * len(pairs)
    return [ConstantProduct(a, b, d, d) for (a, b), d in zip(pairs, depths, strict=True)]


def expected(pools, starts, hops):
    """Every cycle from its first start token, as tokens."""
    found = set()
    for place, start in enumerate(starts):
        for cycle in every_cycle(pools, start, max(hops)):
            stops = tuple((pools[e >> 1].token0, pools[e >> 1].token1)[e & 1] for e in cycle)
            if len(cycle) in hops and not set(stops) & set(starts[:place]):
                found.add(stops)
    return found


@settings(max_examples=150)
@given(pairs_, st.sampled_from([(2, 2), (2, 3), (3, 3), (2, 4), (4, 4)]), starts_)
def test_every_simple_cycle_is_listed_once_from_its_first_start(pairs, hops, starts):
    pools = pools_of(pairs)
    book = book_of(memory_of(pools), pools, scope(starts, hops[1], hops_least=hops[0]))
    assert cycles_of(book) == expected(pools, starts, range(hops[0], hops[1] + 1))


@settings(max_examples=150)
@given(pairs_, st.randoms(use_true_random=False), st.integers(2, 4))
def test_rows_enter_and_leave_as_if_the_book_were_made_anew(pairs, random, hops):
    pools = pools_of(pairs)
    memory = memory_of(pools)
    book = CycleBook(memory, scope([0, 3], hops), native=token(0))
    inside: set[int] = set()
    for _ in range(3 * len(pools)):
        row = random.randrange(len(pools))
        pool = pools[row]
        if row in inside and random.random() < 0.4:
            book.leave(row)
            inside.discard(row)
        else:
            book.enter(row, token(pool.token0), token(pool.token1))
            inside.add(row)
    book.settle()
    there = [pools[row] for row in sorted(inside)]
    assert cycles_of(book) == expected(there, [0, 3], range(2, hops + 1))
    assert book.statistics().rows == len(inside)
    anew = CycleBook(memory, scope([0, 3], hops), native=token(0))
    for row in sorted(inside):
        anew.enter(row, token(pools[row].token0), token(pools[row].token1))
    for a in range(7):
        for b in range(7):
            pair = token(a), token(b)
            assert book.best_rate(*pair) == anew.best_rate(*pair)
            assert sorted(book.edges(*pair)) == sorted(anew.edges(*pair))


# ---- more cycles than are kept


def star(spokes):
    """Tokens that are all joined to 0, and each to the next; the later, the deeper."""
    pairs = [(0, n) for n in range(1, spokes + 1)]
    pairs += [(n, n + 1) for n in range(1, spokes)]
    depths = [10**18 * max(pair) for pair in pairs]
    return pools_of(pairs, depths)


def capped(pools, order, most, hops=3):
    memory = memory_of(pools)
    book = CycleBook(memory, scope([0], hops, max_cycles=most), native=token(0))
    for row in order:
        book.enter(row, token(pools[row].token0), token(pools[row].token1))
    book.settle()
    return book


@given(st.randoms(use_true_random=False), st.integers(1, 11), st.integers(3, 4))
def test_what_is_kept_depends_on_liquidity_and_never_on_order(random, most, hops):
    pools = star(7)
    order = list(range(len(pools)))
    first = capped(pools, order, most, hops)
    random.shuffle(order)
    second = capped(pools, order, most, hops)
    assert cycles_of(first) == cycles_of(second)
    assert len(cycles_of(first)) <= most
    assert first.statistics().pairs_left_out > 0


def test_the_thinnest_pairs_are_left_out_first_and_counted():
    pools = star(7)
    book = capped(pools, range(len(pools)), 4)
    kept = cycles_of(book)
    assert kept == {(0, 7, 6), (0, 6, 7), (0, 6, 5), (0, 5, 6)}
    statistics = book.statistics()
    assert statistics.cycles == 4
    # Of the 13 pairs, (0, 7), (6, 7), (0, 6), (5, 6), (0, 5) and (0, 4), which closes none yet.
    assert statistics.pairs_left_out == 7


def test_longer_cycles_are_left_out_before_shorter_ones():
    pools = star(7)
    three = cycles_of(capped(pools, range(len(pools)), 1_000, 3))
    book = capped(pools, range(len(pools)), len(three) + 2, 4)
    assert three < cycles_of(book)
    assert len(cycles_of(book)) == len(three) + 2


def test_a_deep_newcomer_takes_the_place_of_a_thin_one_and_a_thin_one_none():
    pools = [*star(7), ConstantProduct(2, 7, 10**17, 10**17), ConstantProduct(5, 7, 10**24, 10**24)]
    late, deep = len(pools) - 2, len(pools) - 1
    book = capped(pools, range(late), 6)
    before = cycles_of(book)
    book.enter(late, token(2), token(7))
    book.settle()
    assert cycles_of(book) == before
    left_out = book.statistics().pairs_left_out
    book.enter(deep, token(5), token(7))
    book.settle()
    assert cycles_of(book) == cycles_of(capped(pools, range(len(pools)), 6))
    assert {(0, 5, 7), (0, 7, 5)} <= cycles_of(book)
    assert book.statistics().pairs_left_out >= left_out


def test_worthless_tokens_stay_worthless_however_many_a_pool_holds():
    pools = [
        ConstantProduct(0, 1, 10**21, 10**21),
        ConstantProduct(0, 2, 10**21, 10**21),
        ConstantProduct(1, 2, 10**21, 10**21),
        ConstantProduct(0, 3, 10**3, 10**3),
        ConstantProduct(0, 4, 10**3, 10**3),
        ConstantProduct(3, 4, 10**30, 10**30),
    ]
    assert cycles_of(capped(pools, range(6), 2)) == {(0, 1, 2), (0, 2, 1)}


def test_a_full_book_says_what_to_raise():
    memory = MarketMemory(2)
    for row in range(2):
        memory.add()
        memory.write_product(row, 10**18, 10**18, 3_000)
        write_image(memory.table, row)
    book = CycleBook(memory, scope([0]), native=token(0))
    book.enter(0, token(0), token(1))
    book.enter(1, token(0), token(2))
    memory.most_rows = 3
    with pytest.raises(InvariantBroken, match="raise most_pools"):
        book._check(fits=False)
