"""Liquidity Book: the kernel against the reference, and what must hold of both."""

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels import liquidity_book as kernel
from searcher.kernels.reference import liquidity_book as reference
from searcher.kernels.reference.liquidity_book import Bin, Fees, Pair
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.u256 import pack
from tests.kernels.books import CENTRE, NOW, any_pair

MOST = 2**128 - 1


def book(pair):
    """The arrays that the kernel takes for a pair."""
    fees = dataclasses.astuple(pair.fees)
    numbers = np.array([pair.active_id, pair.bin_step, *fees, pair.limited], np.int64)
    ids = np.array([b.id for b in pair.bins], np.int64)
    held = [
        pack(b[place] for b in pair.bins) if pair.bins else np.zeros((0, 4), np.uint64)
        for place in (1, 2)
    ]
    derived = [np.zeros((len(ids), 4), np.uint64) for _ in range(3)]
    kernel.prepare(ids, *held, pair.bin_step, *derived)
    return numbers, ids, *held, *derived


def referred(function, pair, amount, swap_for_y, timestamp):
    try:
        return (Status.OK, *function(pair, amount, swap_for_y=swap_for_y, timestamp=timestamp))
    except SwapRefused as refusal:
        return (refusal.status, 0, 0, 0)


def agree(pair, amount, swap_for_y, timestamp=NOW):
    arrays = book(pair)
    found = []
    for mine, plain in (
        (kernel.exact_in, reference.swap_out),
        (kernel.exact_out, reference.swap_in),
    ):
        answer = mine(amount, swap_for_y, timestamp, *arrays)
        expected = referred(plain, pair, amount, swap_for_y, timestamp)
        assert answer == expected, (plain.__name__, pair, amount, swap_for_y)
        found.append(answer)
    return found


def any_amount(rng, pair):
    total = sum(b.reserve_x + b.reserve_y for b in pair.bins)
    if rng.random() < 0.05:
        return rng.choice((0, 1, MOST, MOST + 1, 2**256 - 1))
    return min(int((total + 10) * 10 ** rng.uniform(-6, 1)), MOST)


def compare(seed, count):
    rng = random.Random(seed)
    reached, most = set(), 0
    for _ in range(count):
        pair = any_pair(rng)
        for answer in agree(pair, any_amount(rng, pair), rng.random() < 0.5):
            reached.add(answer[0])
            most = max(most, answer[3])
    return reached, most


def test_the_kernel_is_the_reference():
    reached, most = compare(1, 3_000)
    assert {Status.OK, Status.INSUFFICIENT_LIQUIDITY, Status.OVERFLOW} <= reached
    assert most >= 5


@pytest.mark.full
def test_the_kernel_is_the_reference_everywhere():
    compare(2, 100_000)


ids = st.one_of(st.integers(0, 2**24 - 1), st.integers(CENTRE - 100, CENTRE + 100))
amounts = st.one_of(st.integers(0, MOST), st.integers(0, 10**24))


@st.composite
def pairs(draw):
    """A pair of any numbers that the contract's storage can hold."""
    held = draw(st.lists(st.tuples(ids, amounts, amounts), max_size=5, unique_by=lambda b: b[0]))
    places = [b[0] for b in held]
    share = [st.integers(0, 2**bits - 1) for bits in (16, 12, 12, 14, 24, 14, 20, 20, 20)]
    fees = [draw(s) for s in share]
    return Pair(
        draw(st.one_of(ids, st.sampled_from(places))) if places else draw(ids),
        draw(st.integers(0, 2**16 - 1)),
        tuple(Bin(*b) for b in sorted(held)),
        Fees(*fees, draw(ids), draw(st.integers(0, 2**40 - 1))),
        draw(st.booleans()),
    )


@settings(max_examples=300, deadline=None)
@given(pairs(), amounts, st.booleans(), st.integers(0, 2**41))
def test_any_numbers_give_the_same(pair, amount, swap_for_y, timestamp):
    agree(pair, amount, swap_for_y, timestamp)


def test_prices_are_powers():
    rng = random.Random(3)
    for _ in range(2_000):
        bin_id, step = rng.randrange(0, 2**24), rng.randrange(0, 201)
        price = kernel.price_of(bin_id, step)
        if price:
            assert price == reference.price_of(bin_id, step)
        else:
            with pytest.raises(SwapRefused, match="PRICE_LIMIT"):
                reference.price_of(bin_id, step)
    for exponent, step in ((1, 100), (-1, 100), (500, 10), (-4_000, 20)):
        price = reference.price_of(CENTRE + exponent, step) / 2**128
        assert price == pytest.approx((1 + step / 10_000) ** exponent, rel=1e-12)


@pytest.mark.parametrize("swap_for_y", [True, False])
def test_what_goes_in_for_an_output_pays_it_and_one_less_does_not(swap_for_y):
    rng = random.Random(4)
    tried = 0
    for _ in range(1_500):
        pair = dataclasses.replace(any_pair(rng), limited=False)
        amount = any_amount(rng, pair)
        _, needed = agree(pair, amount, swap_for_y)
        if needed[0] != Status.OK or amount == 0:
            continue
        paid = referred(reference.swap_out, pair, needed[1], swap_for_y, NOW)
        if paid[0] == Status.OVERFLOW:
            continue  # getSwapIn does not ask whether the whole bin could be bought; swap does
        assert paid[1] >= amount
        short = referred(reference.swap_out, pair, needed[1] - 1, swap_for_y, NOW)
        assert short[1] < amount
        tried += 1
    assert tried > 300


def test_more_in_never_pays_less():
    rng = random.Random(5)
    for _ in range(150):
        pair = dataclasses.replace(any_pair(rng), limited=False)
        ascending = sorted(any_amount(rng, pair) for _ in range(8))
        answers = [agree(pair, amount, True)[0] for amount in ascending]
        outs = [answer[1] for answer in answers if answer[0] == Status.OK]
        assert outs == sorted(outs)


def flat_fees(**changes):
    plain = Fees(5_000, 30, 600, 5_000, 40_000, 1_000, 350_000, 0, 0, CENTRE, NOW - 10_000)
    return dataclasses.replace(plain, **changes)


PLAIN = Pair(
    CENTRE,
    25,
    (Bin(CENTRE - 1, 0, 10**18), Bin(CENTRE, 10**18, 10**18), Bin(CENTRE + 2, 10**18, 0)),
    flat_fees(),
)


def test_the_fee_rises_with_the_bins_and_falls_with_time():
    # The active bin at rest: 0.5 * 25 bps = 0.125 %.
    first = reference.swap_out(PLAIN, 10**15, swap_for_y=True, timestamp=NOW)
    assert (first.fee, first.amount) == (125 * 10**10, 10**15 - 125 * 10**10)
    moved = flat_fees(volatility_accumulator=100_000, time_of_last_update=NOW - 10)
    for elapsed, dearer in ((10, False), (60, True), (599, True), (600, False)):
        fees = dataclasses.replace(moved, time_of_last_update=NOW - elapsed)
        paid = reference.swap_out(
            dataclasses.replace(PLAIN, fees=fees), 10**15, swap_for_y=True, timestamp=NOW
        )
        assert (paid.fee > first.fee) == dearer, elapsed
    deep = reference.swap_out(PLAIN, 10**18 + 10**16, swap_for_y=True, timestamp=NOW)
    assert deep.bins == 2


@pytest.mark.parametrize(
    ("pair", "amount", "status_in", "status_out"),
    [
        (PLAIN, 0, Status.OK, Status.OK),
        (PLAIN, 2**128, Status.OVERFLOW, Status.OVERFLOW),
        (PLAIN, MOST, Status.INSUFFICIENT_LIQUIDITY, Status.INSUFFICIENT_LIQUIDITY),
        (dataclasses.replace(PLAIN, bins=()), 0, Status.OK, Status.OK),
        (
            dataclasses.replace(PLAIN, bins=()),
            1,
            Status.INSUFFICIENT_LIQUIDITY,
            Status.INSUFFICIENT_LIQUIDITY,
        ),
        (
            dataclasses.replace(PLAIN, fees=flat_fees(time_of_last_update=NOW + 1)),
            1,
            Status.OVERFLOW,
            Status.OVERFLOW,
        ),
        (
            dataclasses.replace(
                PLAIN,
                fees=flat_fees(
                    variable_fee_control=2**24 - 1,
                    volatility_reference=350_000,
                    time_of_last_update=NOW,
                ),
            ),
            1,
            Status.UNSAFE_VALUES,
            Status.UNSAFE_VALUES,
        ),
        (
            dataclasses.replace(PLAIN, active_id=1, bins=(Bin(1, 5, 5),)),
            1,
            Status.PRICE_LIMIT,
            Status.PRICE_LIMIT,
        ),
        (
            dataclasses.replace(PLAIN, bins=(Bin(CENTRE, MOST, 10**18),)),
            10**16,
            Status.OVERFLOW,
            Status.OK,
        ),
        (
            dataclasses.replace(PLAIN, bins=(Bin(CENTRE, 2**127, 10**18),), limited=True),
            10**16,
            Status.UNSAFE_VALUES,
            Status.OK,
        ),
    ],
)
def test_refusals(pair, amount, status_in, status_out):
    found = agree(pair, amount, True)
    assert [answer[0] for answer in found] == [status_in, status_out]


def test_the_outermost_ids_are_only_ends():
    ends = dataclasses.replace(PLAIN, bins=(Bin(0, 0, 10**18), Bin(CENTRE, 10**18, 10)))
    assert agree(ends, 100, True)[0][0] == Status.INSUFFICIENT_LIQUIDITY


def test_the_marginal_rate_is_the_price_less_the_fee():
    arrays = book(PLAIN)
    assert kernel.marginal_rate(0, True, NOW, *arrays) == (0, pytest.approx(0.99875))
    here, there = (
        reference.swap_out(PLAIN, amount, swap_for_y=True, timestamp=NOW).amount
        for amount in (11 * 10**17, 11 * 10**17 + 10**15)
    )
    slope = (there - here) / 10**15
    found = kernel.marginal_rate(11 * 10**17, True, NOW, *arrays)
    assert found == (Status.OK, pytest.approx(slope, rel=1e-9))
    assert kernel.marginal_rate(10**19, True, NOW, *arrays)[0] == Status.INSUFFICIENT_LIQUIDITY
    assert kernel.marginal_rate(10**19, False, NOW - 10**6, *arrays)[0] == Status.OVERFLOW
