from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels import curve_stable_ng as kernels
from searcher.kernels import curve_stable_ng_liquidity as liquidity
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.reference.curve_stable_ng import MAX, NgPool
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.curve_ng_pools import amount, ordinary, strange, two

COUNTS = [1_000, pytest.param(10_000, marks=pytest.mark.full)]
POOL = NgPool(
    (1_000_000 * 10**18, 900_000 * 10**6), (10**18, 10**30), 20_000, 4_000_000, 2 * 10**10
)


def of(function, *args, **options):
    try:
        result = function(*args, **options)
    except SwapRefused as refusal:
        return (refusal.status,)
    return (Status.OK, *(result if isinstance(result, tuple) else (result,)))


def prepared(pool):
    rows = kernels.rows(*pool)
    return rows, kernels.prepare(rows)


def same(result, expected):
    return result[0] == expected[0] and (
        expected[0] != Status.OK or tuple(result[1:]) == tuple(expected[1:])
    )


@pytest.mark.parametrize("pools", COUNTS)
def test_kernels_give_the_references_amounts_and_refusals(pools):
    draw = random.Random(1)
    seen = Counter()
    for _ in range(pools):
        pool = ordinary(draw) if draw.random() < 0.75 else strange(draw)
        rows, status = prepared(pool)
        if status != Status.OK:
            # Without an invariant for the view's A and for the pool's, nothing is quoted.
            swaps = (reference.get_dy, reference.exchange)
            assert status in [of(swap, pool, 0, 1, 1)[0] for swap in swaps], pool
            continue
        i, j = two(draw, len(pool.balances))
        dx, dy = amount(draw, pool.balances[i]), amount(draw, pool.balances[j])
        burnt = amount(draw, pool.total_supply)
        alone = [dx if k == i else 0 for k in range(len(pool.balances))]
        deposited = of(reference.add_liquidity, pool, alone)[:2]
        for name, result, expected in (
            ("in", kernels.exact_in(rows, i, j, dx), of(reference.get_dy, pool, i, j, dx)),
            ("exchange", kernels.exchange(rows, i, j, dx), of(reference.exchange, pool, i, j, dx)),
            ("swapped", kernels.swapped(rows, i, j, dx), of(reference.swapped, pool, i, j, dx)),
            ("out", kernels.exact_out(rows, i, j, dy), of(reference.get_dx, pool, i, j, dy)),
            ("least", kernels.least_in(rows, i, j, dy), of(reference.least_in, pool, i, j, dy)),
            ("price", liquidity.virtual_price(rows), of(reference.virtual_price, pool)),
            (
                "minted",
                liquidity.token_amount(rows, i, dx, True),
                of(reference.calc_token_amount, pool, alone, deposit=True),
            ),
            (
                "burnt",
                liquidity.token_amount(rows, i, dx, False),
                of(reference.calc_token_amount, pool, alone, deposit=False),
            ),
            ("deposit", liquidity.deposit_one(rows, i, dx), deposited),
            (
                "coins",
                liquidity.withdraw_one(rows, burnt, i, False)[:2],
                of(reference.calc_withdraw_one_coin, pool, burnt, i),
            ),
            (
                "withdraw",
                liquidity.withdraw_one(rows, burnt, i, True),
                of(reference.remove_liquidity_one_coin, pool, burnt, i),
            ),
        ):
            assert same(result, expected), (name, pool, i, j, dx, dy, burnt)
            seen[name, expected[0] == Status.OK] += 1
    for name in ("in", "exchange", "out", "least", "minted", "burnt", "coins", "withdraw"):
        assert seen[name, True] > pools // 3
        assert seen[name, False] > pools // 100


@settings(max_examples=100)
@given(
    st.tuples(*[st.integers(1, 10**30)] * 3),
    st.integers(100, 10**8),
    st.integers(0, 5 * 10**9),
    st.integers(0, 10**33),
)
def test_a_swap_of_any_three_coins_is_the_references(balances, amp, fee, dx):
    pool = NgPool(balances, (10**18, 10**30, 10**28), amp, fee, 10**10)
    rows, status = prepared(pool)
    if status == Status.OK:
        assert same(kernels.exchange(rows, 0, 2, dx), of(reference.exchange, pool, 0, 2, dx))
        assert same(kernels.exact_in(rows, 2, 1, dx), of(reference.get_dy, pool, 2, 1, dx))


def test_more_in_never_pays_less_beyond_the_rounding():
    draw = random.Random(4)
    for _ in range(200):
        pool = ordinary(draw)
        rows, status = prepared(pool)
        if status != Status.OK:
            continue
        i, j = two(draw, len(pool.balances))
        dx = int(pool.balances[i] * 10 ** draw.uniform(-6, 0)) + 1
        less, more = (kernels.exchange(rows, i, j, x) for x in (dx, dx * 2))
        if less[0] == more[0] == Status.OK:
            assert more[1] >= less[1]


@pytest.mark.parametrize("rounds", [200, pytest.param(2_000, marks=pytest.mark.full)])
def test_the_least_input_pays_and_one_less_does_not(rounds):
    draw = random.Random(5)
    found = 0
    for _ in range(rounds):
        pool = ordinary(draw)
        rows, status = prepared(pool)
        i, j = two(draw, len(pool.balances))
        dy = int(pool.balances[j] * draw.uniform(0, 0.95)) + 1
        status, dx = kernels.least_in(rows, i, j, dy) if status == Status.OK else (status, 0)
        if status != Status.OK:
            continue
        found += 1
        assert kernels.exchange(rows, i, j, dx)[1] >= dy
        less = kernels.exchange(rows, i, j, dx - 1)
        assert less[0] != Status.OK or less[1] < dy
    assert found > rounds // 2


def test_the_marginal_rate_is_the_slope_of_the_exchange():
    draw = random.Random(6)
    compared = 0
    for _ in range(300):
        pool = ordinary(draw)
        rows, status = prepared(pool)
        i, j = two(draw, len(pool.balances))
        dx = int(pool.balances[i] * 10 ** draw.uniform(-3, 0)) + 1
        h = dx // 200
        if status != Status.OK or h * pool.rates[i] < 10**29:
            continue
        points = [kernels.exchange(rows, i, j, dx + s * h) for s in (-1, 1)]
        if any(p[0] != Status.OK for p in points) or points[1][1] - points[0][1] < 10**5:
            continue
        status, rate = kernels.marginal_rate(rows, i, j, dx)
        assert status == Status.OK
        assert rate == pytest.approx((points[1][1] - points[0][1]) / (2 * h), rel=2e-3)
        compared += 1
    assert compared > 50


def test_an_a_that_ramps_parts_the_view_from_the_exchange():
    pool = POOL._replace(amp=20_099, balances=(1_000_000 * 10**18, 300_000 * 10**6))
    rows, status = prepared(pool)
    assert status == Status.OK
    said, paid = kernels.exact_in(rows, 0, 1, 10**23), kernels.exchange(rows, 0, 1, 10**23)
    assert said[1] == reference.get_dy(pool._replace(amp=20_000), 0, 1, 10**23)
    whole = prepared(pool._replace(amp=20_100))[0]
    assert said[1] < paid[1] < kernels.exchange(whole, 0, 1, 10**23)[1]


@pytest.mark.parametrize(
    ("pool", "swap", "status"),
    [
        (POOL, (0, 0, 1), Status.SAME_TOKEN),
        (POOL, (0, 2, 1), Status.UNKNOWN_TOKEN),
        (POOL, (-1, 1, 1), Status.UNKNOWN_TOKEN),
        (POOL, (0, 1, 0), Status.ZERO_AMOUNT),
        (POOL, (0, 1, MAX), Status.OVERFLOW),
        (POOL._replace(balances=(10**25, 10**7)), (0, 1, 1), Status.TOO_SMALL),
        (POOL._replace(balances=(0, 0)), (0, 1, 10**18), Status.EMPTY_POOL),
    ],
)
def test_refusals_have_their_names(pool, swap, status):
    rows, ready = prepared(pool)
    assert ready == Status.OK
    assert kernels.exchange(rows, *swap)[0] == status
    with pytest.raises(SwapRefused) as refused:
        reference.exchange(pool, *swap)
    assert refused.value.status is status


def test_a_pool_without_one_of_its_coins_is_empty():
    pool = POOL._replace(balances=(10**24, 0))
    assert prepared(pool)[1] == Status.EMPTY_POOL
    with pytest.raises(SwapRefused) as refused:
        reference.get_dy(pool, 0, 1, 10**18)
    assert refused.value.status is Status.EMPTY_POOL


def test_quotes_of_real_pools(vectors):
    checked = 0
    for entry in vectors("curve_solidly_velodrome_quotes.json.gz"):
        if entry["family"] != "curve_stable_ng":
            continue
        pool, extra = entry["pool"], entry["pool"]["extra_parsed"]
        *balances, supply = map(int, pool["reserves"])
        rows = kernels.rows(
            balances,
            [int(rate) for rate in extra["RateMultipliers"]],
            int(extra["FutureA"]),
            int(extra["SwapFee"]),
            int(extra["OffpegFeeMultiplier"]),
            supply,
        )
        assert kernels.prepare(rows) == Status.OK
        tokens = [token["address"] for token in pool["tokens"]]
        for case in entry["cases"]:
            i, j = tokens.index(case["in"]), tokens.index(case["out"])
            status, out = kernels.exact_in(rows, i, j, int(case["amount_in"]))
            assert (status, out) == (Status.OK, int(case["expected"]))
            checked += 1
    assert checked == 13
