"""Uniswap V4's kernels against their reference."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.kernels import uniswap_v4 as kernels
from searcher.kernels.reference import uniswap_v4 as reference
from searcher.kernels.reference.uniswap_v3 import FEE_UNIT
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.ranges import random_amount, random_pool

SIZES = [
    pytest.param(10_000, id="tenth"),
    pytest.param(100_000, id="whole", marks=pytest.mark.full),
]
FEES = (0, 1, 100, 3000, 500_000, 999_999, FEE_UNIT)


def answer(quote, *args, **named):
    try:
        return quote(*args, **named)
    except SwapRefused as refused:
        return refused.status


@pytest.mark.parametrize("count", SIZES)
def test_quotes_are_the_references(count):
    rng = random.Random(f"uniswap v4 {count}")
    seen = set()
    for _ in range(count // 20):
        spacing = rng.choice([10, 60, 60, 200, 200, 1000, 32767]) if rng.random() < 0.99 else 1
        state, table = random_pool(rng, spacing)
        fee = rng.choice(FEES)
        book = table.book(fee, spacing, rng.choice([32, 1024]))
        for _ in range(20):
            amount, zero_for_one = random_amount(rng), rng.random() < 0.5
            kernel, exact = rng.choice(
                [
                    (kernels.exact_in, reference.quote_exact_in),
                    (kernels.exact_out, reference.quote_exact_out),
                ]
            )
            want = answer(
                exact,
                state,
                zero_for_one=zero_for_one,
                amount=amount,
                fee_pips=fee,
                tick_spacing=spacing,
            )
            got = answer(book.quote, kernel, state, amount, zero_for_one=zero_for_one)
            assert got == want, (state, fee, spacing, amount, zero_for_one, exact)
            seen.add(want if isinstance(want, Status) else Status.OK)
    assert seen >= {
        Status.OK,
        Status.ZERO_AMOUNT,
        Status.OVERFLOW,
        Status.EMPTY_POOL,
        Status.PRICE_LIMIT,
        Status.INSUFFICIENT_LIQUIDITY,
        Status.UNSAFE_VALUES,
    }


@given(
    lp_fee=st.integers(0, FEE_UNIT),
    zero=st.integers(0, reference.MAX_PROTOCOL_FEE),
    one=st.integers(0, reference.MAX_PROTOCOL_FEE),
    way=st.booleans(),
)
def test_the_combined_fee_is_the_references_and_within_the_whole(lp_fee, zero, one, way):
    fee = reference.swap_fee(lp_fee, zero | one << 12, zero_for_one=way)
    assert kernels.swap_fee(lp_fee, zero | one << 12, way) == fee
    assert max(lp_fee, zero if way else one) <= fee <= FEE_UNIT


@given(seed=st.integers(0, 2**32), more=st.integers(1, 2**80))
def test_more_in_never_gives_less(seed, more):
    rng = random.Random(seed)
    state, table = random_pool(rng, 60, bits=60)
    book = table.book(3000, 60)
    amount = int(2 ** rng.uniform(0, 70))
    first = answer(book.quote, kernels.exact_in, state, amount, zero_for_one=True)
    second = answer(book.quote, kernels.exact_in, state, amount + more, zero_for_one=True)
    if isinstance(first, Status):
        assert isinstance(second, Status)
        return
    if not isinstance(second, Status):
        assert second[0] >= first[0]
