"""The step maths of concentrated liquidity: kernel and reference, function by function."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.kernels import concentrated as kernel
from searcher.kernels.reference import uniswap_v3 as reference
from searcher.kernels.reference.uniswap_v3 import (
    MAX_PRICE,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
)
from searcher.kernels.refusal import Status, SwapRefused

prices = st.one_of(
    st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1),
    st.integers(MIN_TICK, MAX_TICK - 1).map(reference.sqrt_at_tick),
)
liquidities = st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 128).map(lambda b: 2**b - 1))
amounts = st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 256).map(lambda b: 2**b - 1))
fees = st.one_of(st.integers(0, 999_999), st.sampled_from([0, 1, 100, 500, 3000, 999_999]))


def said(function, *arguments, **names):
    """A reference's answer as a kernel gives it."""
    try:
        return int(Status.OK), function(*arguments, **names)
    except SwapRefused as refusal:
        return int(refusal.status), 0


def check_ticks(ticks):
    for tick in ticks:
        assert kernel.sqrt_at_tick(tick) == reference.sqrt_at_tick.__wrapped__(tick), tick


def test_prices_of_ticks_are_the_references():
    rng = random.Random(1)
    near = [t for centre in (MIN_TICK, -256, 0, 256, MAX_TICK) for t in range(-300, 301)]
    check_ticks(t for t in near if MIN_TICK <= t <= MAX_TICK)
    check_ticks(rng.randint(MIN_TICK, MAX_TICK) for _ in range(20_000))
    check_ticks((MIN_TICK, MAX_TICK))
    assert [kernel.sqrt_at_tick(t) for t in (MIN_TICK - 1, MAX_TICK + 1, -(2**62))] == [0, 0, 0]


@pytest.mark.full
def test_prices_of_all_ticks_are_the_references():
    check_ticks(range(MIN_TICK, MAX_TICK + 1))


@given(st.integers(MIN_TICK, MAX_TICK - 1), st.integers(0, 2**160))
def test_the_tick_of_a_price_is_the_greatest_not_above(tick, within):
    low, high = reference.sqrt_at_tick(tick), reference.sqrt_at_tick(tick + 1)
    for price in (low + within % (high - low), low, high - 1):
        assert kernel.tick_at_sqrt(price) == tick


def test_ticks_equal_the_contracts_snapshots(vectors):
    checked = 0
    for name, value in vectors("uniswap_v3_tickmath.json").items():
        words = name.split()
        if words[4] != "result":
            continue
        if words[1] == "#getSqrtRatioAtTick":
            assert kernel.sqrt_at_tick(int(words[3])) == int(value), name
            checked += 1
        elif words[1] == "#getTickAtSqrtRatio":
            assert kernel.tick_at_sqrt(int(words[3])) == int(value), name
            checked += 1
    assert checked >= 40


@given(prices, prices, liquidities)
def test_amounts_between_prices_are_the_references(a, b, liquidity):
    low, high = sorted((a, b))
    for name in ("amount0", "amount1"):
        delta = getattr(reference, f"{name}_delta")
        down, up = getattr(kernel, f"{name}_down"), getattr(kernel, f"{name}_up")
        assert down(low, high, liquidity) == delta(low, high, liquidity, round_up=False)
        assert up(low, high, liquidity) == delta(low, high, liquidity, round_up=True)


@given(st.one_of(prices, st.integers(0, MAX_PRICE)), liquidities, amounts, st.booleans())
def test_prices_after_an_amount_are_the_references(price, liquidity, amount, zero_for_one):
    for name in ("price_after_input", "price_after_output"):
        expected = said(
            getattr(reference, name), price, liquidity, amount, zero_for_one=zero_for_one
        )
        assert getattr(kernel, name)(price, liquidity, amount, zero_for_one) == expected, name


def check_step(price, target, liquidity, remaining, fee):
    zero_for_one = price >= target
    for sign, name in ((1, "step_exact_in"), (-1, "step_exact_out")):
        expected = reference.swap_step(price, target, liquidity, sign * remaining, fee)
        found = getattr(kernel, name)(price, target, liquidity, remaining, fee, zero_for_one)
        assert found == (int(Status.OK), *expected), name


@given(prices, prices, liquidities, st.integers(1, 2**255 - 1), fees)
def test_steps_are_the_references(price, target, liquidity, remaining, fee):
    check_step(price, target, liquidity, remaining, fee)


@given(
    st.integers(MIN_TICK, MAX_TICK - 300),
    st.integers(1, 300),
    st.integers(1, 2**128 - 1),
    st.integers(0, 2_000_000),
    st.tuples(fees, st.booleans()),
)
def test_steps_around_the_amount_that_ends_a_range(tick, width, liquidity, share, way):
    """Amounts from nothing to twice the whole range, and the very ones where it just ends."""
    fee, upwards = way
    ends = [reference.sqrt_at_tick(t) for t in (tick, tick + width)]
    price, target = ends if upwards else ends[::-1]
    _, taken, given_, paid = reference.swap_step(price, target, liquidity, 2**254, fee)
    for whole in (taken + paid, given_):
        for remaining in (whole * share // 1_000_000, whole - 1, whole, whole + 1):
            if remaining > 0:
                check_step(price, target, liquidity, remaining, fee)
