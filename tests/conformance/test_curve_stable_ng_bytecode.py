"""Curve StableSwap-NG against Vyper bytecode: every amount and every revert.

The bytecode is that of a stand-in written from the contracts' rules; nobody publishes the pools'
own in a package.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from searcher.kernels import curve_stable_ng as kernels
from searcher.kernels import curve_stable_ng_liquidity as liquidity
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.refusal import Status, SwapRefused
from tests.conformance.curve_ng_double import Double
from tests.kernels.curve_ng_pools import amount, ordinary, strange, two

COUNTS = [100, pytest.param(1_500, marks=pytest.mark.full)]


@pytest.fixture(scope="module")
def double():
    return Double()


def of(function, *args, **options):
    try:
        result = function(*args, **options)
    except SwapRefused:
        return None
    return result[0] if isinstance(result, tuple) else result


def quoted(result):
    return result[1] if result[0] == Status.OK else None


@pytest.mark.parametrize("pools", COUNTS)
def test_swaps_and_refusals_are_those_of_the_bytecode(double, pools):
    draw = random.Random(81)
    seen = Counter()
    for _ in range(pools):
        pool = ordinary(draw) if draw.random() < 0.8 else strange(draw)
        double.state(pool)
        rows = kernels.rows(*pool)
        ready = kernels.prepare(rows) == Status.OK
        for _ in range(4):
            i, j = two(draw, len(pool.balances))
            dx, dy = amount(draw, pool.balances[i]), amount(draw, pool.balances[j])
            for name, theirs, exact, fast in (
                ("get_dy", double.answer("get_dy", i, j, dx), reference.get_dy, kernels.exact_in),
                (
                    "exchange",
                    double.answer("exchange", i, j, dx),
                    reference.exchange,
                    kernels.exchange,
                ),
                ("get_dx", double.answer("get_dx", i, j, dy), reference.get_dx, kernels.exact_out),
            ):
                given = dy if name == "get_dx" else dx
                assert of(exact, pool, i, j, given) == theirs, (name, pool, i, j, given)
                ours = quoted(fast(rows, i, j, given)) if ready else None
                # A pool without an invariant for its view's A is not quoted at all.
                if ready or pool.amp == pool.view_amp:
                    assert ours == theirs, (name, pool, i, j, given)
                seen[name, theirs is None] += 1
    for name in ("get_dy", "exchange", "get_dx"):
        assert seen[name, False] > 2 * pools
        assert seen[name, True] > pools // 4


@pytest.mark.parametrize("pools", COUNTS)
def test_liquidity_is_that_of_the_bytecode(double, pools):
    draw = random.Random(82)
    seen = Counter()
    for _ in range(pools):
        pool = ordinary(draw) if draw.random() < 0.8 else strange(draw)
        double.state(pool)
        rows = kernels.rows(*pool)
        if kernels.prepare(rows) != Status.OK:
            continue
        n = len(pool.balances)
        i, _ = two(draw, n)
        alone = [0] * n
        alone[i] = amount(draw, pool.balances[i])
        burnt = amount(draw, pool.total_supply)
        amounts = [amount(draw, b) for b in pool.balances]
        cases = (
            (
                double.answer("get_virtual_price"),
                of(reference.virtual_price, pool),
                quoted(liquidity.virtual_price(rows)),
            ),
            (
                double.answer("calc_token_amount", alone, True),
                of(reference.calc_token_amount, pool, alone, deposit=True),
                quoted(liquidity.token_amount(rows, i, alone[i], True)),
            ),
            (
                double.answer("calc_token_amount", alone, False),
                of(reference.calc_token_amount, pool, alone, deposit=False),
                quoted(liquidity.token_amount(rows, i, alone[i], False)),
            ),
            (
                double.answer("add_liquidity", alone),
                of(reference.add_liquidity, pool, alone),
                quoted(liquidity.deposit_one(rows, i, alone[i])),
            ),
            (
                double.answer("calc_withdraw_one_coin", burnt, i),
                of(reference.calc_withdraw_one_coin, pool, burnt, i),
                quoted(liquidity.withdraw_one(rows, burnt, i, False)),
            ),
            (
                double.answer("remove_liquidity_one_coin", burnt, i),
                of(reference.remove_liquidity_one_coin, pool, burnt, i),
                quoted(liquidity.withdraw_one(rows, burnt, i, True)),
            ),
        )
        for at, (theirs, exact, fast) in enumerate(cases):
            assert theirs == exact == fast, (at, pool, i, alone, burnt)
            seen[at, theirs is None] += 1
        theirs = double.answer("add_liquidity", amounts)
        assert of(reference.add_liquidity, pool, amounts) == theirs, (pool, amounts)
    assert all(seen[at, False] > pools // 4 for at in range(6))


def test_the_fee_is_that_of_the_bytecode(double):
    draw = random.Random(83)
    for _ in range(100):
        pool = ordinary(draw)
        double.state(pool)
        i, j = two(draw, len(pool.balances))
        xp = reference.scaled(pool.rates, pool.balances)
        fee = reference.dynamic_fee(xp[i], xp[j], pool.fee, pool.offpeg_fee_multiplier)
        assert double.call("dynamic_fee", i, j) == fee


def test_the_amplification_ramps_as_in_the_bytecode(double):
    draw = random.Random(84)
    begin = double.evm.timestamp
    try:
        for _ in range(100):
            first, last = draw.randrange(100, 10**8), draw.randrange(100, 10**8)
            end = begin + draw.randrange(86_400, 10**7)
            double.evm.set_block(timestamp=begin + draw.randrange(-100, 2 * 10**7))
            double.send("set_ramp", first, last, begin, end)
            now = double.evm.timestamp
            ours = of(reference.amplification, first, last, begin, end, now)
            assert ours == double.answer("A_precise")
    finally:
        double.evm.set_block(timestamp=begin)


def test_a_round_trip_pays_no_less_than_was_asked(double):
    draw = random.Random(85)
    held = 0
    for _ in range(60):
        pool = ordinary(draw)
        double.state(pool)
        rows = kernels.rows(*pool)
        if kernels.prepare(rows) != Status.OK:
            continue
        i, j = two(draw, len(pool.balances))
        dy = int(pool.balances[j] * draw.uniform(0, 0.9))
        status, dx = kernels.least_in(rows, i, j, dy)
        if status != Status.OK:
            continue
        assert double.call("exchange", i, j, dx) >= dy
        less = double.answer("exchange", i, j, dx - 1)
        assert less is None or less < dy or dy == 0
        held += 1
    assert held > 30
