"""Swaps and quotes across ranges of liquidity: kernels and tables against the reference."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest

from searcher.kernels import uniswap_v3 as kernel
from searcher.kernels.reference import uniswap_v3 as reference
from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    MAX_PRICE,
    MAX_SQRT_RATIO,
    MIN_SQRT_RATIO,
    MIN_TICK,
    Q96,
    ConcentratedState,
    TickTable,
    sqrt_at_tick,
)
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.ticks import edges_of
from tests.kernels.concentrated_pools import (
    market_ticks,
    pool_at,
    random_amount,
    random_pool,
)

PER_POOL = 20


class At(NamedTuple):
    """A price on a curve."""

    sqrt_price_x96: int
    liquidity: int
    tick: int


def at(pool):
    return At(pool.sqrt_price_x96, pool.liquidity, pool.tick)


def said(function, *arguments, **names):
    """An answer, or the status of its refusal."""
    try:
        return function(*arguments, **names)
    except SwapRefused as refusal:
        return refusal.status


def swap_by_kernel(pool, amount, *, zero_for_one, fee_pips, tick_spacing, price_limit_x96=None):
    """The kernel's swap in the reference's words; `amount` is negative for an exact output."""
    limit = price_limit_x96
    if limit is None:
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
    ticks, words = market_ticks(pool.ticks).arrays
    status, taken, given, price, liquidity, tick, crossed = kernel.swap(
        abs(amount),
        amount > 0,
        pool.sqrt_price_x96,
        pool.liquidity,
        pool.tick,
        limit,
        fee_pips,
        tick_spacing,
        zero_for_one,
        ticks,
        words,
        edges_of(tick_spacing),
    )
    if status != Status.OK:
        return Status(status)
    amounts = (taken, -given) if zero_for_one else (-given, taken)
    return reference.SwapResult(*amounts, price, liquidity, tick, crossed)


def random_limit(rng, pool):
    near = pool.sqrt_price_x96 + rng.randint(-1, 1) * rng.randrange(pool.sqrt_price_x96 // 8)
    near = min(near, MAX_PRICE)
    on_tick = sqrt_at_tick(rng.choice(pool.ticks.index or (0,)))
    return rng.choice([None, near, on_tick, sqrt_at_tick(max(pool.tick // 256 * 256, MIN_TICK))])


def check_pools(count, seed):
    """Swap and quote `count` times in pools that move, by kernel and by reference."""
    rng = random.Random(seed)
    seen = set()
    for _ in range(count // PER_POOL):
        pool, fee, spacing = random_pool(rng)
        ticks = market_ticks(pool.ticks)
        rows = rng.choice([32, 64, 1024])
        for _ in range(PER_POOL // 4):
            way = {"zero_for_one": rng.random() < 0.5}
            rule = {"fee_pips": fee, "tick_spacing": spacing, **way}
            amount = random_amount(rng)
            book = ticks.book(fee, spacing, rows)
            for name in ("in", "out"):
                expected = said(
                    getattr(reference, f"quote_exact_{name}"),
                    pool,
                    **{f"amount_{name}": amount},
                    **rule,
                )
                found = said(getattr(book, f"exact_{name}"), at(pool), amount, **way)
                assert found == expected, (pool, amount, rule, name)
                seen.add(expected if isinstance(expected, Status) else (name, expected[1] > 0))
            result = None
            for signed in (amount, -amount):
                limit = random_limit(rng, pool)
                call = {"amount": signed, "price_limit_x96": limit, **rule}
                result = said(reference.swap, pool, **call)
                if abs(signed) < 2**256:
                    assert swap_by_kernel(pool, **call) == result, (pool, call)
            if isinstance(result, reference.SwapResult):
                pool = ConcentratedState(*result[2:5], pool.ticks)
    assert {("in", True), ("in", False), ("out", True), ("out", False)} <= seen
    assert {Status.ZERO_AMOUNT, Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY} <= seen


def test_random_swaps_are_the_references():
    check_pools(10_000, 11)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_swaps_are_the_references():
    check_pools(100_000, 12)


def test_amounts_that_end_exactly_on_a_stop_are_the_references():
    """Whole segments, one wei less and one more: where the table's identities could slip."""
    rng = random.Random(13)
    for _ in range(60):
        pool, fee, spacing = random_pool(rng)
        ticks = market_ticks(pool.ticks)
        for zero_for_one in (True, False):
            book = ticks.book(fee, spacing)
            head = said(book.head, at(pool), zero_for_one=zero_for_one)
            if head.row == 0:
                continue
            sums, marks = book.table(zero_for_one=zero_for_one)
            rows = (len(marks) - kernel.MARKS) // 2
            values = kernel_rows(sums)
            for name, plane, whole in (("in", 0, head.whole_in), ("out", rows, head.whole_out)):
                last = int(marks[kernel.COUNT])
                for row in {head.row, min(head.row + 1, last - 1), last - 1}:
                    end = whole + values[plane + row] - values[plane + head.row]
                    for amount in (end - 1, end, end + 1):
                        call = {"zero_for_one": zero_for_one}
                        expected = said(
                            getattr(reference, f"quote_exact_{name}"),
                            pool,
                            **{f"amount_{name}": amount},
                            fee_pips=fee,
                            tick_spacing=spacing,
                            **call,
                        )
                        found = said(getattr(book, f"exact_{name}"), at(pool), amount, **call)
                        assert found == expected, (pool, name, amount)


def kernel_rows(words):
    raw = words.tobytes()
    return [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]


def test_a_table_is_lengthened_within_its_bound_and_answers_beyond_it():
    positions = [(n * 10, (n + 1) * 10, 10**18 + n) for n in range(-300, 300)]
    pool = pool_at(sqrt_at_tick(5), positions)
    book = market_ticks(pool.ticks).book(500, 10, 128)
    rng = random.Random(14)
    for _ in range(200):
        amount = int(2 ** rng.uniform(1, 60))
        for zero_for_one in (True, False):
            rule = {"zero_for_one": zero_for_one, "fee_pips": 500, "tick_spacing": 10}
            expected = said(reference.quote_exact_in, pool, amount_in=amount, **rule)
            assert said(book.exact_in, at(pool), amount, zero_for_one=zero_for_one) == expected
    for zero_for_one in (True, False):
        assert len(book.table(zero_for_one=zero_for_one)[0]) == 128 * kernel.PLANES


def test_states_that_share_ticks_share_tables():
    pool = pool_at(sqrt_at_tick(0) + 1, [(-6000, 6000, 10**18), (-60, 120, 10**20)])
    book = market_ticks(pool.ticks).book(3000, 60)
    book.exact_in(at(pool), 10**15, zero_for_one=True)
    table = book.table(zero_for_one=True)[0]
    moved = reference.swap(pool, zero_for_one=True, amount=10**16, fee_pips=3000, tick_spacing=60)
    book.exact_in(At(*moved[2:5]), 10**15, zero_for_one=True)
    assert book.table(zero_for_one=True)[0] is table


def test_more_in_never_gives_less_and_outputs_are_paid_for():
    rng = random.Random(15)
    for _ in range(150):
        pool, fee, spacing = random_pool(rng)
        book = market_ticks(pool.ticks).book(fee, spacing)
        way = {"zero_for_one": rng.random() < 0.5}
        before = 0
        for amount in sorted(int(2 ** rng.uniform(0, 90)) for _ in range(8)):
            answer = said(book.exact_in, at(pool), amount, **way)
            if isinstance(answer, Status):
                continue
            assert answer[0] >= before
            before = answer[0]
            if before == 0:
                continue
            needed = said(book.exact_out, at(pool), before, **way)
            assert not isinstance(needed, Status)
            assert needed[0] <= amount
            assert book.exact_in(at(pool), needed[0], **way)[0] >= before


def test_without_a_spacing_swaps_stop_at_ticks_only(monkeypatch):
    def next_tick(ticks, place, tick, spacing, *, zero_for_one):  # noqa: ARG001
        if 0 <= place < len(ticks):
            return ticks[place], True
        return (MIN_TICK if zero_for_one else reference.MAX_TICK), False

    monkeypatch.setattr(reference, "_next_tick", next_tick)
    rng = random.Random(16)
    for _ in range(100):
        pool, fee, _ = random_pool(rng)
        book = market_ticks(pool.ticks).book(fee, 0)
        for name in ("in", "out"):
            way = {"zero_for_one": rng.random() < 0.5}
            amount = random_amount(rng)
            expected = said(
                getattr(reference, f"quote_exact_{name}"),
                pool,
                **{f"amount_{name}": amount},
                fee_pips=fee,
                tick_spacing=0,
                **way,
            )
            assert said(getattr(book, f"exact_{name}"), at(pool), amount, **way) == expected


def test_a_part_of_the_ticks_serves_until_a_swap_leaves_it():
    whole = pool_at(sqrt_at_tick(7), [(-6000, 6000, 10**18), (-1200, 1200, 10**18)])
    inner = [t for t in whole.ticks.index if abs(t) <= 1200]
    part = TickTable(
        tuple(inner),
        tuple(whole.ticks.net[whole.ticks.index.index(t)] for t in inner),
        (10**18,) * len(inner),
    )
    pool = ConcentratedState(whole.sqrt_price_x96, whole.liquidity, whole.tick, part)
    book = market_ticks(part).book(3000, 60)
    rule = {"zero_for_one": True, "fee_pips": 3000, "tick_spacing": 60}
    inside, outside = 10**17, 2 * 10**17
    expected = reference.quote_exact_in(whole, amount_in=inside, **rule)
    assert book.exact_in(at(pool), inside, zero_for_one=True) == expected
    assert said(book.exact_in, at(pool), outside, zero_for_one=True) is Status.BAD_STATE
    assert said(reference.quote_exact_in, pool, amount_in=outside, **rule) is Status.BAD_STATE


@pytest.mark.parametrize(("lower", "upper"), [(-887272, 887272), (-887272, 60), (0, 887272)])
def test_positions_on_the_curves_ends_are_the_references(lower, upper):
    rng = random.Random(17)
    pool = pool_at(sqrt_at_tick(30) + 5, [(lower, upper, 10**9), (-2, 40, 10**9)])
    book = market_ticks(pool.ticks).book(100, 1)
    for _ in range(15):
        way = {"zero_for_one": rng.random() < 0.5}
        amount = int(2 ** rng.uniform(0, 100))
        rule = {"fee_pips": 100, "tick_spacing": 1, **way}
        expected = said(reference.quote_exact_in, pool, amount_in=amount, **rule)
        assert said(book.exact_in, at(pool), amount, **way) == expected
        expected = said(reference.quote_exact_out, pool, amount_out=amount, **rule)
        assert said(book.exact_out, at(pool), amount, **way) == expected


def test_the_marginal_rate_is_the_price_behind_the_swap():
    rng = random.Random(18)
    checked = 0
    for _ in range(300):
        pool, fee, spacing = random_pool(rng)
        book = market_ticks(pool.ticks).book(fee, spacing)
        zero_for_one = rng.random() < 0.5
        amount = rng.choice([0, random_amount(rng)])
        rule = {"zero_for_one": zero_for_one, "fee_pips": fee, "tick_spacing": spacing}
        found = said(book.marginal_rate, at(pool), amount, zero_for_one=zero_for_one)
        if amount:
            quote = said(reference.quote_exact_in, pool, amount_in=amount, **rule)
            if isinstance(quote, Status):
                assert found == quote
                continue
            price, liquidity = reference.swap(pool, amount=amount, **rule)[2:4]
        else:
            price, liquidity = pool.sqrt_price_x96, pool.liquidity
        if not liquidity:
            continue
        rate = (price / Q96) ** 2 if zero_for_one else (Q96 / price) ** 2
        assert found == pytest.approx(rate * (1 - fee / FEE_UNIT), rel=1e-12)
        checked += 1
    assert checked > 100


def test_outside_all_liquidity_the_rate_is_where_it_begins():
    pool = pool_at(sqrt_at_tick(500), [(-120, 60, 10**18)])
    book = market_ticks(pool.ticks).book(3000, 60)
    expected = (sqrt_at_tick(60) / Q96) ** 2 * 0.997
    assert book.marginal_rate(at(pool), 0, zero_for_one=True) == pytest.approx(expected)
    assert said(book.marginal_rate, at(pool), 0, zero_for_one=False) is (
        Status.INSUFFICIENT_LIQUIDITY
    )


def test_refusals_name_what_the_contract_reverts_for():
    empty = market_ticks(TickTable()).book(3000, 60)
    pool = pool_at(sqrt_at_tick(0), [(-600, 600, 10**18)])
    book = market_ticks(pool.ticks).book(3000, 60)
    low = pool_at(MIN_SQRT_RATIO + 1, [(-600, 600, 10**18)])
    for name in ("exact_in", "exact_out"):
        for where, amount, status in (
            (at(pool), 0, Status.ZERO_AMOUNT),
            (at(pool), -1, Status.ZERO_AMOUNT),
            (at(pool), 2**255, Status.OVERFLOW),
            (at(pool), 2**256, Status.OVERFLOW),
            (At(0, 0, 0), 1, Status.EMPTY_POOL),
            (at(low), 1, Status.PRICE_LIMIT),
            (at(pool), 10**20, Status.INSUFFICIENT_LIQUIDITY),
        ):
            assert said(getattr(book, name), where, amount, zero_for_one=True) is status
        where = At(Q96, 0, 0)
        assert said(getattr(empty, name), where, 1, zero_for_one=True) is (
            Status.INSUFFICIENT_LIQUIDITY
        )


def test_edges_are_the_prices_of_words():
    for spacing in (1, 60, 16_383):
        edges = kernel_rows(edges_of(spacing))
        first = MIN_TICK // spacing >> 8
        assert len(edges) == 2 * kernel.words_of_edges(spacing)
        for word in {0, 1, len(edges) // 4, len(edges) // 2 - 1}:
            low = (first + word) * 256 * spacing
            ends = (max(low, MIN_TICK), min(low + 255 * spacing, reference.MAX_TICK))
            assert [edges[2 * word], edges[2 * word + 1]] == [sqrt_at_tick(t) for t in ends]
    assert np.array_equal(edges_of(0), np.zeros((0, 4), np.uint64))
