from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.kernels import curve_stable as kernels
from searcher.kernels.reference import curve_stable as reference
from searcher.kernels.reference.curve_meta import token_amount, virtual_price, withdraw_one
from searcher.kernels.reference.curve_stable import FEE_UNIT, Pool, Rules
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.stableswap import THREE_POOL, outcome, random_amount, random_pool

PLAIN = Pool((8 * 10**24, 9 * 10**12), (10**18, 10**30), 20_000, 4_000_000, FEE_UNIT // 2)


def ready(pool):
    words, rules = kernels.layout(pool), kernels.rule_bits(pool.rules)
    return words, rules, kernels.prepare(words, rules)


def compare(seed, count):
    rng = random.Random(seed)
    compared = refused = 0
    for at in range(count):
        pool = random_pool(rng)
        words, rules, status = ready(pool)
        for _ in range(3):
            i, j = rng.sample(range(len(pool.rates)), 2)
            amount = random_amount(rng, pool.balances[i])
            expected = outcome(reference.exact_in, pool, i, j, amount)
            found = kernels.exact_in(words, rules, i, j, amount) if status == 0 else (status,)
            assert found[: len(expected)] == expected, (pool, i, j, amount)
            compared += 1
            refused += found[0] != 0
        if at % 8 == 0 and status == 0 and pool.offpeg_fee_multiplier == 0:
            out = rng.choice([1, int(pool.balances[j] * rng.random()) + 1]) % 2**256
            expected = outcome(reference.exact_out, pool, i, j, out)
            found = kernels.exact_out(words, rules, i, j, out)
            assert (found[0] == 0) == (expected[0] == 0)
            assert found[0] != 0 or found == expected, (pool, i, j, out)
    assert 0.05 < refused / compared < 0.7


def test_kernel_equals_reference():
    compare("a tenth", 1_500)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_kernel_equals_reference_a_hundred_thousand_times():
    compare("whole", 34_000)


@given(
    st.lists(st.integers(0, 2**256 - 1), min_size=2, max_size=4),
    st.integers(1, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2),
    st.booleans(),
)
def test_kernel_equals_reference_for_any_words(balances, amp, amount, form, hundredfold):
    rules = Rules(form, 100 if hundredfold else 1)
    pool = Pool(tuple(balances), (10**18,) * len(balances), amp, 4_000_000, rules=rules)
    words, bits, status = ready(pool)
    found = kernels.exact_in(words, bits, 0, 1, amount) if status == 0 else (status,)
    expected = outcome(reference.exact_in, pool, 0, 1, amount)
    assert found[: len(expected)] == expected


@given(st.integers(1, 10**31), st.integers(1, 10**31))
def test_more_in_never_gives_less(first, second):
    words, rules, _ = ready(PLAIN)
    less, more = sorted((first, second))
    paid = [kernels.exact_in(words, rules, 0, 1, amount) for amount in (less, more)]
    assert paid[0][0] in (0, Status.TOO_SMALL)
    assert paid[1][0] in (0, Status.TOO_SMALL)
    assert paid[0][1] <= paid[1][1]


@given(st.integers(1, 8_990_000_000_000), st.booleans())
def test_exact_out_is_the_least_input(amount, old):
    pool = PLAIN._replace(amp=200, rules=THREE_POOL) if old else PLAIN
    words, rules, _ = ready(pool)
    status, seen, paid = kernels.exact_out(words, rules, 0, 1, amount)
    assert status == 0
    for needed, place in ((seen, 1), (paid, 2)):
        assert kernels.exact_in(words, rules, 0, 1, needed)[place] >= amount
        short = kernels.exact_in(words, rules, 0, 1, needed - 1)
        assert short[0] == Status.TOO_SMALL or short[place] < amount


def test_exact_out_with_a_dynamic_fee_pays_and_one_less_does_not():
    rng = random.Random("off peg")
    for _ in range(200):
        pool = random_pool(rng, offpeg=(2 * FEE_UNIT,), wild=0)
        words, rules, status = ready(pool)
        assert status == 0
        amount = int(pool.balances[1] * rng.uniform(0.01, 0.9)) + 1
        status, seen, paid = kernels.exact_out(words, rules, 0, 1, amount)
        for needed, place in ((seen, 1), (paid, 2)) if status == 0 else ():
            assert kernels.exact_in(words, rules, 0, 1, needed)[place] >= amount
            short = kernels.exact_in(words, rules, 0, 1, needed - 1)
            assert short[0] != 0 or short[place] < amount


@pytest.mark.parametrize("offpeg", [0, 5 * FEE_UNIT])
@pytest.mark.parametrize("amount", [0, 10**22, 3 * 10**24])
def test_marginal_rate_is_the_slope(offpeg, amount):
    pool = PLAIN._replace(offpeg_fee_multiplier=offpeg)
    words, rules, _ = ready(pool)
    status, rate = kernels.marginal_rate(words, rules, 0, 1, amount)
    assert status == 0
    step = 10**22
    low, high = (
        kernels.exact_in(words, rules, 0, 1, amount + k * step)[1] if amount + k * step else 0
        for k in (0, 1)
    )
    assert rate == pytest.approx((high - low) / step, rel=2e-2)


def test_refusals_have_their_names():
    words, rules, status = ready(PLAIN._replace(balances=(0, 0)))
    assert status == 0
    assert kernels.exact_in(words, rules, 0, 1, 1)[0] == Status.EMPTY_POOL
    assert ready(PLAIN._replace(balances=(0, 10**12)))[2] == Status.EMPTY_POOL
    assert ready(PLAIN._replace(balances=(2**250, 2**250)))[2] == Status.OVERFLOW
    words, rules, _ = ready(PLAIN)
    assert kernels.exact_in(words, rules, 0, 1, 2**256 - 1)[0] == Status.OVERFLOW
    level = Pool((10**20, 10**20), (10**18,) * 2, 20_000, 0)
    assert kernels.exact_in(*ready(level)[:2], 0, 1, 0)[0] == Status.TOO_SMALL
    assert kernels.exact_out(words, rules, 0, 1, 0)[0] == Status.ZERO_AMOUNT
    assert kernels.exact_out(words, rules, 0, 1, 9 * 10**12)[0] == Status.INSUFFICIENT_LIQUIDITY


def test_an_empty_coin_does_not_stop_the_plus_one_form():
    pool = Pool((0, 10**20, 10**20), (10**18,) * 3, 2_000, 4_000_000, rules=Rules(1, 1, False))
    words, rules, status = ready(pool)
    assert status == 0
    assert kernels.exact_in(words, rules, 0, 1, 10**18)[0] == 0


def test_amplification_moves_in_a_straight_line():
    assert reference.amplification(100, 200, 1000, 2000, 1500) == 150
    assert reference.amplification(200, 100, 1000, 2000, 1501) == 150
    assert reference.amplification(200, 100, 1000, 2000, 2000) == 100
    with pytest.raises(SwapRefused):
        reference.amplification(200, 100, 1000, 2000, 999)


# ---- recorded vectors


def test_recorded_quotes(vectors):
    checked = 0
    for case in vectors("curve_solidly_velodrome_quotes.json.gz"):
        if case["family"] != "curve_stable_plain":
            continue
        raw, extra = case["pool"], case["pool"]["extra_parsed"]
        tokens = [token["address"] for token in raw["tokens"]]
        fixed = [10 ** (36 - token["decimals"]) for token in raw["tokens"]]
        rates = tuple(map(int, extra.get("RateMultipliers", fixed)))
        pool = Pool(
            tuple(map(int, raw["reserves"][: len(tokens)])),
            rates,
            int(extra["FutureA"]),
            int(extra["SwapFee"]),
            rules=Rules(2 if len(tokens) == 2 else 0),
        )
        words, rules, _ = ready(pool)
        for quote in case["cases"]:
            i, j = tokens.index(quote["in"]), tokens.index(quote["out"])
            found = kernels.exact_in(words, rules, i, j, int(quote["amount_in"]))
            assert found[:2] == (0, int(quote["expected"])), (raw["address"], quote)
            checked += 1
    assert checked == 28


def tripool(vectors):
    raw = vectors("onchain-quotes/chain_data/1/curve_tripool_block_24407242.json")
    symbols = [token["symbol"] for token in raw["tokens"]]
    return symbols, Pool(
        tuple(raw["balances"]),
        tuple(10 ** (36 - token["decimals"]) for token in raw["tokens"]),
        raw["future_a"],
        raw["fee"],
        raw["admin_fee"],
        supply=raw["lp_token_total_supply"],
        rules=THREE_POOL,
    )


def test_recorded_tripool_swaps(vectors):
    symbols, pool = tripool(vectors)
    words, rules, _ = ready(pool)
    entries = vectors("onchain-quotes/golden/test_curve_tripool_get_dy.json")["entries"]
    for key, entry in entries.items():
        _, _, pair, amount = key.split("|")
        i, j = map(symbols.index, pair.split("->"))
        assert kernels.exact_in(words, rules, i, j, int(amount))[:2] == (0, entry["value"])
    assert len(entries) == 18


def test_recorded_tripool_liquidity(vectors):
    _, pool = tripool(vectors)
    assert virtual_price(pool) == 1039823717075901888
    name = "onchain-quotes/golden/test_curve_tripool_calc_withdraw_and_token_amount.json"
    entries = vectors(name)["entries"]
    for key, entry in entries.items():
        _, view, *_, place, amount = key.split("|")
        i = int(place.removeprefix("i="))
        if view == "calc_token_amount":
            amounts = tuple(int(amount) if k == i else 0 for k in range(3))
            found = token_amount(pool, amounts, deposit=True)
        else:
            found = withdraw_one(pool, i, int(amount))[0]
        assert found == entry["value"], key
    assert len(entries) == 18
