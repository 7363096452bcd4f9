"""Division by a prepared divisor is division."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels._jit import kernel
from searcher.kernels.divisors import divisor, over, signed_over
from searcher.kernels.u256 import Words, div, load, pack, sdiv, u256

TOP = 2**256 - 1
BITS = st.integers(0, 256)
NUMBERS = st.one_of(st.integers(0, TOP), BITS.flatmap(lambda n: st.integers(0, (1 << n) - 1)))


@kernel("U256(U256, U256)")
def divided(a, d):
    return over(a, divisor(d))


@kernel("U256(U256, U256)")
def signed_divided(a, d):
    below = d >> 255 != u256(0)
    return signed_over(a, divisor(u256(0) - d if below else d), below)


@kernel("i8(u8[:,::1], u8[:,::1])")
def mismatches(numbers: Words, divisors: Words) -> int:
    """Count where a prepared divisor says something else than a division."""
    found = np.int64(0)
    for i in range(numbers.shape[0]):
        a, d = load(numbers, i), load(divisors, i)
        found += divided(a, d) != div(a, d)
        found += signed_divided(a, d) != sdiv(a, d)
    return found


@settings(max_examples=300, deadline=None)
@given(NUMBERS, NUMBERS)
def test_it_is_python_s_quotient_and_0_by_0(a, d):
    assert divided(a, d) == (a // d if d else 0)


@pytest.mark.parametrize("d", [1, 2, 3, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**127, 2**128 - 1])
@pytest.mark.parametrize("near", [0, 1, 2**64 - 1, 2**64, 2**127, 2**128 - 1])
def test_numbers_beside_multiples_of_a_divisor_at_the_edge_of_a_limb(d, near):
    for a in (near * d - 1, near * d, near * d + 1, TOP - near, TOP // d * d - near % d):
        if 0 <= a <= TOP:
            assert divided(a, d) == a // d


def test_signs_are_those_of_a_signed_division():
    for a in (7, -7, 2**255 - 1, -(2**255)):
        for d in (2, -2, 1, -(2**255), 10**40, -(10**40)):
            expected = abs(a) // abs(d) * (1 if (a < 0) == (d < 0) else -1)
            assert signed_divided(a % 2**256, d % 2**256) == expected % 2**256


def drawn(rng, count):
    numbers = [rng.getrandbits(rng.randint(1, 256)) for _ in range(count)]
    divisors = [rng.getrandbits(rng.randint(1, 136)) for _ in range(count)]
    for k in range(0, count, 3):  # quotient digits of all ones, and remainders beside 0
        numbers[k] = max(min(divisors[k] * rng.choice([2**64 - 1, 2**128 - 1]), TOP) - k % 2, 0)
    return pack(numbers), pack(divisors)


def test_random_numbers():
    assert mismatches(*drawn(random.Random(1), 20_000)) == 0


@pytest.mark.full
def test_random_numbers_at_length():
    rng = random.Random(2)
    assert all(mismatches(*drawn(rng, 100_000)) == 0 for _ in range(10))
