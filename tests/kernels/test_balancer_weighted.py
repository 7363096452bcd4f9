"""Balancer's weighted kernels against their references, and what contracts answered on chain."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest

from searcher.kernels import balancer_weighted as kernels
from searcher.kernels.reference import balancer_weighted as reference
from searcher.kernels.reference.balancer_vault import V2Side, V3Side, V3Terms
from searcher.kernels.reference.balancer_weighted import V2Weighted, V3Weighted
from searcher.kernels.refusal import Status
from tests.kernels import balancer_pools as pools

ONE = 10**18
POOLS = {"v2": pools.v2_weighted, "v3": pools.v3_weighted}


@pytest.mark.parametrize("vault", POOLS)
@pytest.mark.parametrize("count", [4_000, pytest.param(50_000, marks=pytest.mark.full)])
def test_the_kernel_is_the_reference(vault, count):
    rng, seen = random.Random(count), Counter()
    for _ in range(count):
        pools.check(kernels, reference, POOLS[vault](rng), rng, seen)
    refused = {Status.OK, Status.ZERO_AMOUNT, Status.OVERFLOW, Status.RATIO_LIMIT}
    more = {"v2": {Status.INSUFFICIENT_LIQUIDITY}, "v3": {Status.UNSAFE_VALUES, Status.TOO_SMALL}}
    assert seen.keys() == refused | more[vault]
    assert seen[Status.OK] > count // 4


def ordinary(fee=3 * 10**15, exact=True):
    sides = (V2Side(5_000_000 * 10**6, 10**30), V2Side(2_000 * ONE, ONE), V2Side(77 * ONE, ONE))
    return V2Weighted(sides, fee, (ONE // 2, ONE // 4, ONE // 4), exact)


def test_more_in_never_gives_less_out():
    pool = kernels.packed(ordinary())
    rng = random.Random(4)
    last = 0
    for amount in sorted(rng.randrange(1, 1_400_000 * 10**6) for _ in range(3000)):
        status, out = kernels.exact_in(amount, pool, 0, 1)
        assert status == Status.OK
        # A power's own error is a part in 1e14, of either sign.
        assert out >= last - 2_000 * ONE // 10**13
        last = max(out, last)


def test_what_an_exact_output_takes_pays_for_it():
    pool = kernels.packed(ordinary())
    rng = random.Random(5)
    for _ in range(2000):
        wanted = rng.randrange(1, 2_000 * ONE // 4)
        status, needed = kernels.exact_out(wanted, pool, 0, 1)
        assert status == Status.OK
        status, out = kernels.exact_in(needed, pool, 0, 1)
        assert status == Status.OK
        # Both round, and both powers err, to the pool's advantage.
        assert wanted - 2_000 * ONE // 10**6 <= out <= wanted + 2_000 * ONE // 10**9


def test_the_marginal_rate_is_the_slope_of_the_exact_curve():
    pool = kernels.packed(ordinary())
    for amount in (0, 10**9, 10**12):
        status, rate = kernels.marginal_rate(amount, pool, 0, 1)
        step = 10**8
        outs = [kernels.exact_in(a, pool, 0, 1)[1] if a else 0 for a in (amount, amount + step)]
        assert status == Status.OK
        assert (outs[1] - outs[0]) / step == pytest.approx(rate, rel=1e-4)
    assert kernels.marginal_rate(2 * 10**12, pool, 0, 1)[0] == Status.RATIO_LIMIT
    empty = V2Weighted([V2Side(0, ONE), V2Side(1, ONE)], 0, (ONE // 2, ONE // 2))
    assert kernels.marginal_rate(0, kernels.packed(empty), 0, 1)[0] == Status.EMPTY_POOL


def test_the_vault_pays_out_no_more_than_it_has_at_hand():
    sides = [V2Side(10**24, ONE), V2Side(10**24, ONE, managed=10**24 - 10**20)]
    pool = V2Weighted(sides, 0, (ONE // 2, ONE // 2))
    assert pools.answer(reference.exact_in, 10**20, pool, 0, 1)[0] == Status.OK
    assert pools.answer(reference.exact_in, 10**21, pool, 0, 1)[0] == Status.INSUFFICIENT_LIQUIDITY
    assert kernels.exact_in(10**21, kernels.packed(pool), 0, 1)[0] == Status.INSUFFICIENT_LIQUIDITY


def test_a_floored_pool_keeps_its_least_balances():
    sides = [V3Side(10**18, 10**18, 1), V3Side(10**18, 10**18, 1)]
    for floors, status in (((), 0), ((10**6, 10**6), 0), ((10**6, 10**18), Status.UNSAFE_VALUES)):
        pool = V3Weighted(sides, V3Terms(10**15), (ONE // 2, ONE // 2), floors)
        assert kernels.exact_in(10**16, kernels.packed(pool), 0, 1)[0] == status
        assert pools.answer(reference.exact_in, 10**16, pool, 0, 1)[0] == status


FILES = (
    "usdc_weth_query_swap",
    "weth_bal_query_swap",
    "weth_rpl_query_swap",
    "expanded_two_token_given_in",
    "expanded_two_token_given_out",
)
STATES = (
    "aura_kaiaura_50_50",
    "dai_weth_40_60",
    "gel_dexg_60_40",
    "par_mimo_75_25",
    "sdvecrv_crv_90_10",
    "usdc_weth",
    "usdc_weth_50_50",
    "weth_bal",
    "weth_rpl",
)


def test_what_the_pools_answered_on_mainnet(vectors):
    states = [
        vectors(f"onchain-quotes/chain_data/1/balancer_weighted_{name}.json") for name in STATES
    ]
    by_address = {state["address"]: state for state in states}
    checked = 0
    for name in FILES:
        for key, entry in vectors(f"onchain-quotes/golden/test_balancer_v2_{name}.json")[
            "entries"
        ].items():
            address, _, kind, *way, amount = key.split("|")
            state = by_address[address]
            i, j = _places(state, way)
            sides = [
                V2Side(balance, 10 ** (36 - token["decimals"]))
                for balance, token in zip(state["balances"], state["tokens"], strict=True)
            ]
            fee = int(Fraction(state["fee"]) * ONE)
            pool = V2Weighted(sides, fee, state["weights"], state["pow_version"] == "v2")
            curve = kernels.exact_in if kind == "GIVEN_IN" else kernels.exact_out
            want = (Status.OK, entry["value"])
            assert curve(int(amount), kernels.packed(pool), i, j) == want, key
            checked += 1
    assert checked == 270


def _places(state, way):
    if len(way) == 2:
        return int(way[0].removeprefix("i=")), int(way[1].removeprefix("j="))
    symbols = [token["symbol"] for token in state["tokens"]]
    return tuple(symbols.index(symbol) for symbol in way[0].split("->"))
