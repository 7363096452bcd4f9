"""The V2 curve: kernel against reference, and both against the protocols' own numbers."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from searcher.kernels import uniswap_v2 as native
from searcher.kernels._jit import kernel
from searcher.kernels.reference import uniswap_v2 as reference
from searcher.kernels.reference.uniswap_v2 import FEE_UNIT, MAX_RESERVE
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import load, pack, store, unpack

U256_MAX = 2**256 - 1
FEES = [0, 1, 100, 2500, 3000, 3001, 10_000, 999_900, 999_999]

out_of, in_of = native.amount_out, native.amount_in


class Native(NamedTuple):
    """The kernel, spoken to as to the reference."""

    @staticmethod
    def amount_out(*args):
        return _taken(native.amount_out(*args))

    @staticmethod
    def amount_in(*args):
        return _taken(native.amount_in(*args))

    @staticmethod
    def marginal_rate(*args):
        return _taken(native.marginal_rate(*args))


def _taken(answer):
    checked(answer[0])
    return answer[1]


@pytest.fixture(params=[reference, Native], ids=["reference", "kernel"])
def curve(request):
    return request.param


@kernel("void(u8[:,::1], i8[::1], i8[::1], u8[:,::1])")
def every_quote(cases, fees, statuses, amounts):
    """Quote both ways: rows of three numbers in, two statuses and two amounts out."""
    for n in range(fees.shape[0]):
        at = np.int64(n)
        three = np.int64(3) * at
        args = (
            load(cases, three),
            load(cases, three + np.int64(1)),
            load(cases, three + np.int64(2)),
        )
        status, amount = out_of(args[0], args[1], args[2], fees[at])
        statuses[2 * at] = status
        store(amounts, np.int64(2) * at, amount)
        status, amount = in_of(args[0], args[1], args[2], fees[at])
        statuses[2 * at + 1] = status
        store(amounts, np.int64(2) * at + np.int64(1), amount)


def of_any_size(draw, most):
    """Draw a number whose length is as likely as any, its ends and neighbours often."""
    edge = draw.random()
    if edge < 0.02:
        return draw.choice([0, 1, 2, 2**64 - 1, 2**64, most - 1, most, most + 1])
    return draw.getrandbits(draw.randint(1, most.bit_length()))


def said(function, *args):
    try:
        return Status.OK, function(*args)
    except SwapRefused as refused:
        return refused.status, 0


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.full)])
def test_the_kernel_says_what_the_reference_says(count):
    draw = random.Random(count)
    statuses, amounts = np.empty(20_000, np.int64), np.empty((20_000, 4), np.uint64)
    seen = set()
    for _ in range(count // 10_000):
        cases = []
        for _ in range(10_000):
            most = MAX_RESERVE if draw.random() < 0.97 else U256_MAX - 1
            reserves = (of_any_size(draw, MAX_RESERVE), of_any_size(draw, MAX_RESERVE))
            fee = draw.choice(FEES) if draw.random() < 0.5 else draw.randint(-1, FEE_UNIT)
            cases.append(((of_any_size(draw, most), *reserves), fee))
        numbers = pack(n for three, _ in cases for n in three)
        every_quote(numbers, np.array([fee for _, fee in cases]), statuses, amounts)
        found = list(zip(statuses.tolist(), unpack(amounts), strict=True))
        for at, (three, fee) in enumerate(cases):
            assert found[2 * at] == said(reference.amount_out, *three, fee), (three, fee)
            assert found[2 * at + 1] == said(reference.amount_in, *three, fee), (three, fee)
        seen |= set(statuses.tolist())
    assert seen == {
        Status.OK,
        Status.ZERO_AMOUNT,
        Status.EMPTY_POOL,
        Status.INSUFFICIENT_LIQUIDITY,
        Status.OVERFLOW,
        Status.BAD_STATE,
    }


words = st.integers(0, U256_MAX) | st.integers(0, 2**112)
reserves = st.integers(1, MAX_RESERVE)
fees = st.sampled_from(FEES) | st.integers(0, FEE_UNIT - 1)


@given(words, words, words, fees | st.sampled_from([-1, FEE_UNIT]))
def test_the_kernel_says_what_the_reference_says_of_any_words(amount, has, pays, fee):
    for name in ("amount_out", "amount_in"):
        expected = said(getattr(reference, name), amount, has, pays, fee)
        assert said(getattr(Native, name), amount, has, pays, fee) == expected


@given(st.integers(0, MAX_RESERVE), reserves, reserves, fees)
def test_the_marginal_rate_is_the_references(amount, has, pays, fee):
    expected = reference.marginal_rate(amount, has, pays, fee)
    assert Native.marginal_rate(amount, has, pays, fee) == pytest.approx(expected, rel=1e-12)


def test_an_empty_pair_has_no_rate(curve):
    for reserves in ((0, 5), (5, 0)):
        with pytest.raises(SwapRefused, match="EMPTY_POOL"):
            curve.marginal_rate(0, *reserves, 3000)


@given(st.integers(10**6, 10**24), st.integers(10**9, 10**30), st.integers(10**24, 10**30), fees)
def test_the_marginal_rate_is_the_slope_of_the_curve(amount, has, pays, fee):
    step = has // 1000 + 1
    rate = reference.marginal_rate(amount + step // 2, has, pays, fee)
    before, after = (Native.amount_out(n, has, pays, fee) for n in (amount, amount + step))
    assert (after - before) / step == pytest.approx(rate, rel=1e-4, abs=2 / step)


def test_outputs_equal_the_protocols_own_cases(vectors, curve):
    cases = vectors("uniswap_v2_swap_cases.json")["cases"]
    assert len(cases) == 7
    for amount, has, pays, expected in cases:
        unit = 10**18
        assert curve.amount_out(amount * unit, has * unit, pays * unit, 3000) == int(expected)


def test_outputs_equal_a_forks_router_on_chain(vectors, curve):
    pool = vectors("onchain-quotes/chain_data/8453/pancakeswap_v2_weth_usdbc_block_46875151.json")
    golden = vectors("onchain-quotes/golden/test_pancakeswap_v2_router_get_amounts_out.json")
    fee_pips = pool["fee_numer"] * FEE_UNIT // pool["fee_denom"]
    both = (pool["reserves_token0"], pool["reserves_token1"])
    for name, entry in golden["entries"].items():
        _, _, way, amount = name.split("|")
        has, pays = both if way == "WETH->USDbC" else both[::-1]
        assert curve.amount_out(int(amount), has, pays, fee_pips) == entry["value"], name
    assert len(golden["entries"]) == 24


@given(st.integers(1, MAX_RESERVE), reserves, reserves)
def test_the_fee_in_pips_gives_the_librarys_integers(amount, has, pays):
    assume(has + amount <= MAX_RESERVE)
    library = amount * 997 * pays // (has * 1000 + amount * 997)
    assert reference.amount_out(amount, has, pays, 3000) == library
    fork = amount * 9975 * pays // (has * 10_000 + amount * 9975)
    assert reference.amount_out(amount, has, pays, 2500) == fork


@given(st.integers(1, MAX_RESERVE), reserves, reserves, fees)
def test_the_pairs_own_check_holds_and_one_more_would_break_it(amount, has, pays, fee):
    """UniswapV2Pair demands that the product after the fee does not shrink."""
    assume(has + amount <= MAX_RESERVE)
    out = Native.amount_out(amount, has, pays, fee)

    def holds(paid):
        left = (has + amount) * FEE_UNIT - amount * fee
        return left * (pays - paid) >= has * pays * FEE_UNIT

    assert holds(out)
    assert not holds(out + 1)


@given(st.integers(1, MAX_RESERVE), reserves, reserves, fees)
def test_the_input_asked_for_is_enough_and_hardly_more(wanted, has, pays, fee):
    status, needed = native.amount_in(wanted, has, pays, fee)
    assume(status == Status.OK)
    assert Native.amount_out(needed, has, pays, fee) >= wanted
    # The library adds one to what it has rounded down, so it asks for one too much at most.
    assert needed <= 2 or Native.amount_out(needed - 2, has, pays, fee) < wanted


@given(st.integers(1, MAX_RESERVE - 1), reserves, reserves, fees)
def test_more_in_never_gives_less_out(amount, has, pays, fee):
    assume(has + amount < MAX_RESERVE)
    less, more = (Native.amount_out(n, has, pays, fee) for n in (amount, amount + 1))
    assert less <= more < pays


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ((0, 1, 1, 3000), Status.ZERO_AMOUNT),
        ((1, 0, 1, 3000), Status.EMPTY_POOL),
        ((1, 1, 0, 3000), Status.EMPTY_POOL),
        ((1, MAX_RESERVE, MAX_RESERVE, 3000), Status.OVERFLOW),
        ((U256_MAX, 1, 1, 3000), Status.OVERFLOW),
        ((1, MAX_RESERVE + 1, 1, 3000), Status.BAD_STATE),
        ((1, 1, MAX_RESERVE + 1, 3000), Status.BAD_STATE),
        ((1, 1, 1, FEE_UNIT), Status.BAD_STATE),
        ((1, 1, 1, -1), Status.BAD_STATE),
    ],
)
def test_what_the_contract_reverts_is_refused(curve, args, status):
    with pytest.raises(SwapRefused) as caught:
        curve.amount_out(*args)
    assert caught.value.status == status


def test_dust_gives_nothing_as_the_library_answers(curve):
    assert curve.amount_out(1, 10**9, 10, 3000) == 0


@pytest.mark.parametrize("wanted", [10, 11, U256_MAX])
def test_a_pair_never_gives_all_it_holds(curve, wanted):
    with pytest.raises(SwapRefused, match="INSUFFICIENT_LIQUIDITY"):
        curve.amount_in(wanted, 10, 10, 3000)
    assert curve.amount_in(9, 10, 10, 3000) == 91


def test_an_input_beyond_the_pairs_integers_is_refused(curve):
    with pytest.raises(SwapRefused, match="OVERFLOW"):
        curve.amount_in(MAX_RESERVE - 1, MAX_RESERVE, MAX_RESERVE, 3000)


def test_the_reference_takes_no_negative_amount():
    with pytest.raises(SwapRefused, match="ZERO_AMOUNT"):
        reference.amount_out(-1, 1, 1, 3000)
