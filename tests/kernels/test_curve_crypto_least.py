"""The least input of crypto pools: the search is the reference's, and what it finds is proven."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from searcher.kernels import curve_crypto_least as search
from searcher.kernels.reference import curve_crypto as common
from searcher.kernels.reference import curve_tricrypto as three
from searcher.kernels.reference import curve_twocrypto as two
from searcher.kernels.refusal import Status, SwapRefused
from tests.kernels.crypto_pools import TOP, amount, rows, three_coins, two_coins

WAD = 10**18


class Two:
    """Pools of two coins."""

    legacy = two.Maths.LEGACY
    pairs = ((0, 1), (1, 0))
    draw = staticmethod(two_coins)
    get_dx = staticmethod(lambda pool, i, _, dy: two.get_dx(pool, i, dy))
    get_dy = staticmethod(lambda pool, i, _, dx: two.get_dy(pool, i, dx))
    flags = staticmethod(lambda pool: (int(pool.maths), int(pool.harmonic_fee)))


class Three:
    """Pools of three coins."""

    legacy = three.Maths.LEGACY
    pairs = tuple(itertools.permutations(range(3), 2))
    draw = staticmethod(three_coins)
    get_dx = staticmethod(three.get_dx)
    get_dy = staticmethod(three.get_dy)
    flags = staticmethod(lambda pool: (int(pool.maths), 0))


FAMILIES = [Two, Three]


def outcome(function, *args, **named):
    try:
        return Status.OK, function(*args, **named)
    except SwapRefused as refusal:
        return refusal.status, 0


def compare(family, seed, count):
    rng = random.Random(seed)
    seen = Counter()
    while seen.total() < count:
        pool = family.draw(rng)
        i, j = rng.choice(family.pairs)
        dy = amount(rng, pool.balances[j], 0.01)
        status, estimate = outcome(family.get_dx, pool, i, j, dy)
        if status != Status.OK:
            if rng.random() < 0.8:
                continue
            estimate = amount(rng, pool.balances[i], 1)
        estimate = estimate if rng.random() < 0.5 else int(estimate * rng.uniform(0.9, 1.1))
        downwards = rng.random() < 0.5

        def pay(given, pool=pool, i=i, j=j):
            return family.get_dy(pool, i, j, given)

        expected = outcome(common.least_input, pay, min(estimate, TOP), dy, downwards=downwards)
        asked = (rows(pool), *family.flags(pool), i, j, dy, min(estimate, TOP), downwards)
        assert search.least_input_from(*asked) == expected, (pool, i, j, dy, estimate)
        seen[expected[0]] += 1
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_search_is_the_reference(family):
    seen = compare(family, 11, 150)
    assert seen[Status.OK] > 80
    assert seen[Status.OK] < seen.total()


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_search_is_the_reference_at_length(family):
    compare(family, 12, 5_000)


def is_there(family, pool, i, j, dy):
    """Return whether the views' estimate leads to an input."""
    status, estimate = outcome(family.get_dx, pool, i, j, dy)
    if status != Status.OK:
        return False
    asked = (rows(pool), *family.flags(pool), i, j, dy, estimate, True)
    return search.least_input_from(*asked)[0] == Status.OK


def seek(family, seed, count):
    """Prove by the reference what is found in legacy pools; count what is, and what is not."""
    rng = random.Random(seed)
    seen = Counter()
    while seen.total() < count:
        pool = family.draw(rng)._replace(maths=family.legacy)
        i, j = rng.choice(family.pairs)
        dy = amount(rng, pool.balances[j], 0.01)
        found, dx = search.sought(rows(pool), *family.flags(pool), i, j, dy)
        if found:
            assert dx > 0
            assert family.get_dy(pool, i, j, dx) >= dy > 0, (pool, i, j, dy)
            if dx > 1:
                assert outcome(family.get_dy, pool, i, j, dx - 1)[1] < dy, (pool, i, j, dy)
        elif not is_there(family, pool, i, j, dy):
            continue
        seen[bool(found)] += 1
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_found_pays_and_one_less_does_not(family):
    seen = seek(family, 13, 300)
    assert seen[True] > 9 * seen[False]


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_found_pays_and_one_less_does_not_at_length(family):
    seek(family, 14, 10_000)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dy", [0, TOP, 2**255])
def test_nothing_is_found_for_what_no_pool_pays(family, dy):
    pool = family.draw(random.Random(15))._replace(maths=family.legacy)
    assert search.sought(rows(pool), *family.flags(pool), 0, 1, dy) == (False, 0)


def test_the_reference_s_own_least_input_pays_and_one_less_does_not():
    rng = random.Random(17)
    found = 0
    while found < 20:
        pool = three_coins(rng)._replace(maths=three.Maths.LEGACY)
        dy = pool.balances[1] // 1000
        status, dx = outcome(three.least_dx, pool, 0, 1, dy)
        if status == Status.OK and dy:
            assert three.get_dy(pool, 0, 1, dx) >= dy
            assert outcome(three.get_dy, pool, 0, 1, dx - 1)[1] < dy
            found += 1


def test_what_a_legacy_view_answers_for_nothing_is_no_input():
    rng = random.Random(16)
    found = 0
    while found < 5:
        pool = two_coins(rng)._replace(maths=two.Maths.LEGACY)
        status, said = outcome(two.get_dy, pool, 0, 0)
        if status != Status.OK or said == 0:
            continue
        asked = (rows(pool), *Two.flags(pool), 0, 1, 1)
        assert search.least_input_from(*asked, 10**6, True) == (Status.OK, 1)
        found += 1
