"""Balancer's fixed point as kernels against its exact reference."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.kernels import balancer_fixed_point as kernels
from searcher.kernels.reference import balancer_fixed_point as reference
from searcher.kernels.refusal import Status, SwapRefused

ONE = 10**18
words = st.one_of(
    st.integers(0, 2**256 - 1),
    st.integers(0, 256).flatmap(lambda bits: st.integers(0, 2**bits)).map(lambda x: x % 2**256),
    st.sampled_from((0, 1, ONE - 1, ONE, ONE + 1, 2**255, 2**256 - 1)),
)


def answer(function, *args, **more):
    try:
        return int(Status.OK), function(*args, **more)
    except SwapRefused as refusal:
        return int(refusal.status), None


def same(got, want):
    return got[0] == want[0] and (want[1] is None or got[1] == want[1])


@pytest.mark.parametrize("name", ["mul_down", "mul_up", "div_down", "div_up"])
@given(a=words, b=words)
def test_products_and_quotients(name, a, b):
    fits, result = getattr(kernels, name)(a, b)
    assert same(
        (int(Status.OK if fits else Status.OVERFLOW), result),
        answer(getattr(reference, name), a, b),
    )


@given(a=words)
def test_division_by_constants_is_division(a):
    assert kernels.by_1e18(a) == a // ONE
    assert kernels.by_1000(a) == a // 1000
    assert kernels.complement(a) == reference.complement(a)


@pytest.mark.parametrize("divisor", [10**18, 1000])
def test_division_by_constants_at_the_edges_of_their_multiples(divisor):
    divide = {10**18: kernels.by_1e18, 1000: kernels.by_1000}[divisor]
    rng = random.Random(divisor)
    top = (2**256 - 1) // divisor
    for quotient in (1, top, *(rng.randrange(2 ** rng.randrange(1, 196)) for _ in range(2000))):
        multiple = min(quotient, top) * divisor
        assert divide(multiple) == multiple // divisor
        if multiple:
            assert divide(multiple - 1) == (multiple - 1) // divisor


@given(x=words, y=words, exact=st.booleans())
def test_powers_of_any_words(x, y, exact):
    want = answer(reference.pow_up, x, y, exact_powers=exact)
    assert same(kernels.pow_up(x, y, exact), want)


def pairs(rng, count):
    """Bases and exponents as swaps have them, around 1, and over the whole domain."""
    for number in range(count):
        kind = number % 5
        if kind == 0:
            yield rng.randrange(7 * ONE // 10, 3 * ONE // 2), rng.randrange(ONE // 100, 99 * ONE)
        elif kind == 1:
            near = 10 ** rng.randrange(1, 18)
            yield ONE + rng.randrange(-near, near + 1), rng.randrange(20 * ONE)
        elif kind == 2:
            yield (
                rng.randrange(2 ** rng.randrange(1, 257)),
                rng.randrange(2 ** rng.randrange(1, 190)),
            )
        elif kind == 3:
            yield rng.randrange(1, 2 ** rng.randrange(40, 256)), rng.randrange(2 * ONE)
        else:
            base = max(0, 10 ** rng.randrange(77) + rng.randrange(-1, 2))
            yield base, rng.choice((ONE, 2 * ONE, 4 * ONE, ONE // 2, 10 ** rng.randrange(22)))


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_powers_as_swaps_take_them(count):
    seen = set()
    for x, y in pairs(random.Random(count), count):
        for exact in (False, True):
            want = answer(reference.pow_up, x, y, exact_powers=exact)
            assert same(kernels.pow_up(x, y, exact), want), (x, y, exact)
            seen.add(want[0])
    assert seen == {Status.OK, Status.OVERFLOW, Status.UNSAFE_VALUES}


def test_the_error_of_a_power_is_on_the_pools_side():
    rng = random.Random(3)
    for _ in range(500):
        x, y = rng.randrange(ONE // 2, ONE), rng.randrange(ONE // 100, 5 * ONE)
        true = (x / ONE) ** (y / ONE)
        raised = reference.pow_up(x, y, exact_powers=True) / ONE
        assert true * (1 - 1e-14) <= raised <= true * (1 + 3e-14) + 1e-17
