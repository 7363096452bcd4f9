"""Algebra's swaps by the concentrated-liquidity kernels against their reference."""

from __future__ import annotations

import random

import pytest

from searcher.kernels.reference import algebra as reference
from searcher.kernels.reference.uniswap_v3 import ConcentratedState, TickTable
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.uniswap_v3 import swap
from searcher.market.ticks import edges_of
from tests.kernels.ranges import random_amount, random_pool

SIZES = [
    pytest.param(10_000, id="tenth"),
    pytest.param(100_000, id="whole", marks=pytest.mark.full),
]


def answer(quote, *args, **named):
    try:
        return quote(*args, **named)
    except SwapRefused as refused:
        return refused.status


@pytest.mark.parametrize("row_unit", [60, 1, reference.NO_ROWS])
@pytest.mark.parametrize("count", SIZES)
def test_quotes_are_the_references(count, row_unit):
    rng = random.Random(f"algebra {count} {row_unit}")
    seen = set()
    # In rows of single ticks the reference takes thousands of steps to the end of the curve.
    for _ in range(count // 40 if row_unit != 1 else count // 500):
        state, table = random_pool(rng, row_unit or rng.choice([1, 60]))
        fee = rng.choice([0, 1, 100, 3000, 65_535, 999_999])
        book = table.book(fee, row_unit, rng.choice([32, 1024]))
        for _ in range(20):
            amount, zero_for_one = random_amount(rng), rng.random() < 0.5
            quote, exact = rng.choice(
                [
                    (book.exact_in, reference.quote_exact_in),
                    (book.exact_out, reference.quote_exact_out),
                ]
            )
            want = answer(
                exact,
                state,
                zero_for_one=zero_for_one,
                amount=amount,
                fee_pips=fee,
                row_unit=row_unit,
            )
            got = answer(quote, state, amount, zero_for_one=zero_for_one)
            assert got == want, (state, fee, row_unit, amount, zero_for_one, exact)
            seen.add(want if isinstance(want, Status) else Status.OK)
    expected = {Status.OK, Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY}
    if row_unit != 1:
        expected |= {Status.ZERO_AMOUNT, Status.EMPTY_POOL}
    assert seen >= expected


@pytest.mark.parametrize("row_unit", [60, 1, reference.NO_ROWS])
def test_swaps_to_a_limit_are_the_references(row_unit):
    rng = random.Random(f"algebra limits {row_unit}")
    refused = 0
    for _ in range(700):
        state, table = random_pool(rng, row_unit or 1)
        price = state.sqrt_price_x96
        amount, zero_for_one = random_amount(rng, 90), rng.random() < 0.5
        exact_in = rng.random() < 0.5
        limit = price * rng.randrange(10**6, 3 * 10**6) // (2 * 10**6) if price else 5
        want = answer(
            reference.swap,
            state,
            zero_for_one=zero_for_one,
            amount=amount if exact_in else -amount,
            fee_pips=500,
            row_unit=row_unit,
            price_limit_x96=limit,
        )
        status, taken, given, *after = swap(
            amount,
            exact_in,
            price,
            state.liquidity,
            state.tick,
            limit,
            500,
            row_unit,
            zero_for_one,
            *table.arrays,
            edges_of(row_unit),
        )
        if isinstance(want, Status):
            assert status == want
            refused += 1
        else:
            deltas = (taken, -given) if zero_for_one else (-given, taken)
            assert (status, *deltas, *after) == (Status.OK, *want)
    assert 0 < refused < 600


def test_rows_end_where_the_rounding_shows_it():
    """Between two far ticks V1 rounds at row ends that Integral does not know."""
    ticks = TickTable((-60_000, 60_000), (10**9, -(10**9)), (10**9, 10**9))
    state = ConcentratedState(2**96, 10**9, 0, ticks)
    several = [
        reference.quote_exact_in(
            state, zero_for_one=False, amount=10**9 + 7, fee_pips=3000, row_unit=unit
        )[0]
        for unit in (1, 60, reference.NO_ROWS)
    ]
    assert several[0] < several[1] <= several[2]
