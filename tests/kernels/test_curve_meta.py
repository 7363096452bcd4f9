from __future__ import annotations

import random

import pytest

from searcher.kernels import curve_meta as kernels
from searcher.kernels import curve_stable
from searcher.kernels.reference import curve_meta as reference
from searcher.kernels.refusal import Status
from tests.kernels.stableswap import (
    THREE_POOL,
    outcome,
    random_amount,
    random_meta,
    random_pool,
    with_supply,
)


def ready(pool):
    words, rules = curve_stable.layout(pool), curve_stable.rule_bits(pool.rules)
    assert curve_stable.prepare(words, rules) == 0
    return words, rules


def bases(rng, count, **kinds):
    while count:
        pool = with_supply(rng, random_pool(rng, coins=(2, 3, 4), **kinds))
        if outcome(reference.virtual_price, pool)[0] == 0:
            count -= 1
            yield pool


def check_liquidity(seed, count):
    rng = random.Random(seed)
    for pool in bases(rng, count):
        words, rules = ready(pool)
        assert kernels.virtual_price(words) == outcome(reference.virtual_price, pool)
        i = rng.randrange(len(pool.rates))
        amount = random_amount(rng, pool.balances[i])
        amounts = tuple(amount if k == i else 0 for k in range(len(pool.rates)))
        for found, expected in (
            (
                kernels.token_amount(words, rules, i, amount),
                outcome(reference.token_amount, pool, amounts, deposit=True),
            ),
            (
                kernels.deposit(words, rules, i, amount),
                outcome(reference.add_liquidity, pool, amounts)[:2],
            ),
            (
                kernels.withdraw_one(words, rules, i, amount),
                outcome(reference.withdraw_one, pool, i, amount)[:2],
            ),
        ):
            assert found[: len(expected)] == expected, (pool, i, amount)


def check_metapools(seed, count):
    rng = random.Random(seed)
    for at, base in enumerate(bases(rng, count, wild=0.02)):
        meta = random_meta(rng, base)
        by_rate = rng.random() < 0.3
        pools = (*ready(meta), *ready(base))
        i, j = rng.sample(range(1 + len(base.rates)), 2)
        amount = random_amount(rng, meta.balances[0] if i == 0 else base.balances[i - 1])
        found = kernels.underlying_in(*pools, i, j, amount, by_rate)
        expected = outcome(reference.underlying_in, meta, base, i, j, amount, by_rate=by_rate)
        assert found[: len(expected)] == expected, (meta, base, i, j, amount, by_rate)
        if at % 20 == 0 and base.offpeg_fee_multiplier == 0:
            wanted = max(1, found[1])
            found = kernels.underlying_out(*pools, i, j, wanted, by_rate)
            expected = outcome(reference.underlying_out, meta, base, i, j, wanted, by_rate=by_rate)
            assert (found[0] == 0) == (expected[0] == 0)
            assert found[0] != 0 or found == expected, (meta, base, i, j, wanted)


def test_liquidity_equals_reference():
    check_liquidity("a tenth", 800)


def test_metapools_equal_reference():
    check_metapools("a tenth", 800)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_liquidity_and_metapools_equal_reference_many_times():
    check_liquidity("whole", 10_000)
    check_metapools("whole", 10_000)


def test_two_coins_of_the_base_pool_trade_in_the_base_pool():
    rng = random.Random("base")
    base = with_supply(rng, random_pool(rng, coins=(3,), rules=THREE_POOL, wild=0, offpeg=(0,)))
    pools = (*ready(random_meta(rng, base)), *ready(base))
    amount = base.balances[0] // 100
    assert kernels.underlying_in(*pools, 1, 3, amount, False) == curve_stable.exact_in(
        *pools[2:], 0, 2, amount
    )


def test_a_base_pool_without_liquidity_gives_nothing():
    rng = random.Random("none")
    base = random_pool(rng, coins=(3,), rules=THREE_POOL, wild=0, offpeg=(0,))
    words, rules = ready(base)
    assert kernels.virtual_price(words)[0] == Status.EMPTY_POOL
    assert kernels.deposit(words, rules, 0, 10**20)[0] == Status.EMPTY_POOL
    assert kernels.withdraw_one(words, rules, 0, 10**20)[0] == Status.EMPTY_POOL
