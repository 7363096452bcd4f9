"""Three-coin crypto pools: kernel and reference say the same, refusals included."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels import curve_tricrypto as kernels
from searcher.kernels.reference import curve_tricrypto as reference
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.crypto_pools import TOP, amount, rows, three_coins

WAD = 10**18
PAIRS = list(itertools.permutations(range(3), 2))
BALANCED = reference.TricryptoPool(
    maths=reference.Maths.V2_0_0,
    balances=(6_000_000 * 10**6, 100 * 10**8, 2_400 * WAD),
    precisions=(10**12, 10**10, 1),
    price_scale=(60_000 * WAD, 2_500 * WAD),
    A=1_707_629,
    gamma=11_809_167_828_997,
    D=0,
    mid_fee=3_000_000,
    out_fee=30_000_000,
    fee_gamma=500 * 10**12,
)


def outcome(function, *args):
    try:
        return Status.OK, function(*args)
    except SwapRefused as refusal:
        return refusal.status, 0


def compare(seed, pools):
    rng = random.Random(seed)
    seen = Counter()
    for _ in range(pools):
        pool = three_coins(rng)
        words, maths = rows(pool), int(pool.maths)
        for i, j in rng.sample(PAIRS, 2):
            dx = amount(rng, pool.balances[i], 2)
            expected = outcome(reference.get_dy, pool, i, j, dx)
            assert kernels.exact_in(words, maths, i, j, dx) == expected, (pool, i, j, dx)
            dy = amount(rng, pool.balances[j], 0.01)
            inverse = outcome(reference.get_dx, pool, i, j, dy)
            assert kernels.exact_out(words, maths, i, j, dy) == inverse, (pool, i, j, dy)
            seen[pool.maths, expected[0]] += 1
            seen[pool.maths, inverse[0]] += 1
    return seen


def test_kernel_is_the_reference():
    seen = compare(1, 400)
    for maths in reference.Maths:
        assert seen[maths, Status.OK] > 100
        assert seen[maths, Status.OVERFLOW] > 10
        assert seen[maths, Status.UNSAFE_VALUES] > 10


@pytest.mark.full
@pytest.mark.timeout(900)
def test_kernel_is_the_reference_at_length():
    assert compare(2, 25_000).total() == 100_000


NUMBERS = st.one_of(st.integers(0, TOP), st.integers(0, 255).map(lambda n: 1 << n))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(reference.Maths)),
    st.lists(NUMBERS, min_size=15, max_size=15),
    st.sampled_from(PAIRS),
)
def test_any_numbers_whatever_give_the_same_answer(maths, numbers, pair):
    *n, x = numbers
    pool = reference.TricryptoPool(
        maths, (n[0], n[1], n[2]), (n[3], n[4], n[5]), (n[6], n[7]), *n[8:]
    )
    words = rows(pool)
    taken = outcome(reference.get_dy, pool, *pair, x)
    assert kernels.exact_in(words, int(maths), *pair, x) == taken
    paid = outcome(reference.get_dx, pool, *pair, x)
    assert kernels.exact_out(words, int(maths), *pair, x) == paid


@pytest.mark.parametrize("maths", list(reference.Maths))
@pytest.mark.parametrize("pair", PAIRS)
def test_more_in_gives_more_out_and_the_rate_is_the_slope(maths, pair):
    pool = balanced(maths)
    words = rows(pool)
    last = 0
    for part in (10**5, 10**4, 10**3, 10**2, 10):
        dx = pool.balances[pair[0]] // part
        status, dy = kernels.exact_in(words, int(maths), *pair, dx)
        assert status == Status.OK
        assert dy > last
        last = dy
        step = dx // 100
        _, rate = kernels.marginal_rate(words, int(maths), *pair, dx)
        more = kernels.exact_in(words, int(maths), *pair, dx + step)[1]
        less = kernels.exact_in(words, int(maths), *pair, dx - step)[1]
        assert rate == pytest.approx((more - less) / (2 * step), rel=2e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_spot_rate_is_the_limit_of_small_swaps(pair):
    pool = balanced(reference.Maths.V2_0_0)
    words = rows(pool)
    dx = pool.balances[pair[0]] // 10**4
    status, rate = kernels.marginal_rate(words, 0, *pair, 0)
    assert status == Status.OK
    assert kernels.exact_in(words, 0, *pair, dx)[1] / dx == pytest.approx(rate, rel=2e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_what_exact_out_asks_pays_about_as_much(pair):
    pool = balanced(reference.Maths.V2_0_0)
    words = rows(pool)
    for part in (10**2, 10**4):
        wanted = pool.balances[pair[1]] // part
        status, dx = kernels.exact_out(words, 0, *pair, wanted)
        assert status == Status.OK
        paid = kernels.exact_in(words, 0, *pair, dx)[1]
        grain = pool.balances[pair[1]] // pool.balances[pair[0]] + 1  # worth of one unit given
        assert abs(paid - wanted) <= wanted // 10**6 + 2 * grain


def test_maximal_amounts_overflow_and_nothing_is_refused():
    words = rows(balanced(reference.Maths.V2_0_0))
    assert kernels.exact_in(words, 0, 0, 1, TOP) == (Status.OVERFLOW, 0)
    assert kernels.exact_in(words, 0, 0, 1, 0) == (Status.ZERO_AMOUNT, 0)
    assert kernels.exact_out(words, 0, 0, 1, 10**11) == (Status.OVERFLOW, 0)
    assert kernels.exact_in(words, 0, 0, 1, 10**18) == (Status.UNSAFE_VALUES, 0)


def test_an_empty_or_one_sided_pool_refuses():
    for balances in ((0, 0, 0), (10**20, 10**20, 0), (0, 10**20, 0)):
        pool = BALANCED._replace(balances=balances)
        assert kernels.exact_in(rows(pool), 0, 0, 1, 10**18)[0] == Status.UNSAFE_VALUES
        xp = reference.scaled(pool, balances)
        with pytest.raises(SwapRefused):
            reference.newton_D(pool.maths, pool.A, pool.gamma, xp, 0)


def balanced(maths):
    pool = BALANCED._replace(maths=maths)
    xp = reference.scaled(pool, pool.balances)
    return pool._replace(D=reference.newton_D(maths, pool.A, pool.gamma, xp, 0))
