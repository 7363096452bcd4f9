"""Two-coin crypto pools: kernel and reference say the same, refusals included."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels import curve_twocrypto as kernels
from searcher.kernels.curve_crypto import cbrt
from searcher.kernels.reference import curve_crypto as common
from searcher.kernels.reference import curve_twocrypto as reference
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.crypto_pools import TOP, amount, rows, two_coins

WAD = 10**18
BALANCED = reference.TwocryptoPool(
    maths=reference.Maths.V2_1_0,
    harmonic_fee=False,
    balances=(5_000_000 * WAD, 2_000 * WAD),
    precisions=(1, 1),
    price_scale=2500 * WAD,
    A=400_000,
    gamma=145 * 10**12,
    D=10_000_000 * WAD,
    mid_fee=26_000_000,
    out_fee=45_000_000,
    fee_gamma=230 * 10**12,
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
        pool = two_coins(rng)
        words, flags = rows(pool), (int(pool.maths), int(pool.harmonic_fee))
        for i in range(2):
            dx = amount(rng, pool.balances[i], 2)
            expected = outcome(reference.get_dy, pool, i, dx)
            assert kernels.exact_in(words, *flags, i, dx) == expected, (pool, i, dx)
            dy = amount(rng, pool.balances[1 - i], 0.01)
            inverse = outcome(reference.get_dx, pool, i, dy)
            assert kernels.exact_out(words, *flags, i, dy) == inverse, (pool, i, dy)
            seen[pool.maths, expected[0]] += 1
            seen[pool.maths, inverse[0]] += 1
    return seen


def test_kernel_is_the_reference():
    seen = compare(1, 400)
    for maths in reference.Maths:
        assert seen[maths, Status.OK] > 100
        assert seen[maths, Status.OVERFLOW] > 10
        assert maths == reference.Maths.STABLESWAP or seen[maths, Status.UNSAFE_VALUES] > 10


@pytest.mark.full
@pytest.mark.timeout(900)
def test_kernel_is_the_reference_at_length():
    assert compare(2, 25_000).total() == 100_000


NUMBERS = st.one_of(st.integers(0, TOP), st.integers(0, 255).map(lambda n: 1 << n))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(reference.Maths)),
    st.lists(NUMBERS, min_size=12, max_size=12),
    st.integers(0, 1),
    st.booleans(),
)
def test_any_numbers_whatever_give_the_same_answer(maths, numbers, i, harmonic):
    b0, b1, p0, p1, *rest, x = numbers
    pool = reference.TwocryptoPool(maths, harmonic, (b0, b1), (p0, p1), *rest)
    words = rows(pool)
    taken = outcome(reference.get_dy, pool, i, x)
    assert kernels.exact_in(words, int(maths), int(harmonic), i, x) == taken
    paid = outcome(reference.get_dx, pool, i, x)
    assert kernels.exact_out(words, int(maths), int(harmonic), i, x) == paid


@settings(max_examples=300, deadline=None)
@given(NUMBERS)
def test_cube_roots_are_the_same(x):
    assert cbrt(x) == common.cbrt(x)


def test_cube_roots_beside_cubes_are_the_same():
    rng = random.Random(3)
    edges = [0, 1, 2**64, 2**128, 2**206, 2**255, TOP]
    edges += [common._CBRT_HIGH, common._CBRT_HIGH * WAD]
    edges += [rng.getrandbits(rng.randint(1, 256)) for _ in range(2000)]
    for scale in (10**36, 10**18, 1):
        for _ in range(1000):
            root = rng.getrandbits(rng.randint(1, 85))
            edges.append(root**3 // scale)
    for edge in edges:
        for x in (edge - 1, edge, edge + 1):
            if 0 <= x <= TOP:
                assert cbrt(x) == common.cbrt(x), x


@pytest.mark.parametrize("maths", list(reference.Maths))
def test_more_in_gives_more_out(maths):
    pool = balanced(maths)
    words = rows(pool)
    last = 0
    for power in range(10, 24):
        status, dy = kernels.exact_in(words, int(maths), int(pool.harmonic_fee), 0, 10**power)
        assert status == Status.OK
        assert dy > last
        last = dy


@pytest.mark.parametrize("maths", list(reference.Maths))
def test_what_exact_out_asks_pays_about_as_much(maths):
    pool = balanced(maths)
    words, flags = rows(pool), (int(maths), int(pool.harmonic_fee))
    for i in range(2):
        for part in (10**2, 10**4, 10**6):
            wanted = pool.balances[1 - i] // part
            status, dx = kernels.exact_out(words, *flags, i, wanted)
            assert status == Status.OK
            _, paid = kernels.exact_in(words, *flags, i, dx)
            assert abs(paid - wanted) <= wanted // 10**9


@pytest.mark.parametrize("maths", list(reference.Maths))
@pytest.mark.parametrize("dx", [0, 10**18, 10**21, 3 * 10**23])
def test_the_marginal_rate_is_the_slope(maths, dx):
    pool = balanced(maths)
    words, flags = rows(pool), (int(maths), int(pool.harmonic_fee))
    status, rate = kernels.marginal_rate(words, *flags, 0, dx)
    assert status == Status.OK
    step = max(dx // 10**4, 10**16)
    more, less = (kernels.exact_in(words, *flags, 0, x)[1] for x in (dx + step, max(dx, 1)))
    assert rate == pytest.approx((more - less) / step, rel=1e-3)


def test_maximal_amounts_overflow_and_nothing_is_refused():
    words = rows(BALANCED)
    assert kernels.exact_in(words, 1, 0, 0, TOP) == (Status.OVERFLOW, 0)
    assert kernels.exact_in(words, 1, 0, 0, 0) == (Status.ZERO_AMOUNT, 0)
    assert kernels.exact_out(words, 1, 0, 0, BALANCED.balances[1] + 1) == (Status.OVERFLOW, 0)
    assert kernels.exact_in(words, 1, 0, 0, 10**30) == (Status.UNSAFE_VALUES, 0)


def test_an_empty_or_one_sided_pool_refuses():
    for balances in ((0, 0), (0, 10**20), (10**20, 0)):
        pool = BALANCED._replace(balances=balances, D=0)
        assert kernels.exact_in(rows(pool), 1, 0, 0, 10**18)[0] == Status.UNSAFE_VALUES
        xp = reference.scaled(pool, balances)
        with pytest.raises(SwapRefused):
            reference.newton_D(pool.maths, pool.A, pool.gamma, xp, 0)


def test_the_cube_root_is_one():
    for x in (1, 8, 10**18, 27 * 10**18, 10**50):
        exact = (Decimal(x) * 10**36) ** (Decimal(1) / 3)
        assert cbrt(x) == pytest.approx(float(exact), rel=1e-12)


def balanced(maths):
    pool = BALANCED._replace(maths=maths)
    if maths == reference.Maths.STABLESWAP:
        pool = pool._replace(harmonic_fee=True, A=20_000_000)
    xp = reference.scaled(pool, pool.balances)
    return pool._replace(D=reference.newton_D(maths, pool.A, pool.gamma, xp, 0))
