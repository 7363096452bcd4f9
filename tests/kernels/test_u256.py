"""Every operation on U256 against Python's integers: random, edge and adversarial operands."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from searcher.kernels import _division, _jit
from searcher.kernels import u256 as words
from searcher.kernels._jit import kernel

M = 2**256
SIGN = 2**255
EDGES = sorted(
    {0, 1, 2, 3, M - 1, M - 2, 10**6, 10**18, 10**36, 4295128739, 2**96 - 1, 10**77}
    | {
        v
        for p in (31, 32, 33, 63, 64, 65, 95, 96, 127, 128, 129, 159, 160, 191, 192, 193, 224, 255)
        for v in (2**p - 1, 2**p, 2**p + 1)
    }
)
LIMBS = (0, 1, 2**64 - 1, 2**64 - 2, 2**63, 2**63 - 1, 2**63 + 1, 2**32, 2**32 - 1)
PORTABLE = "SEARCHER_PORTABLE_DIVISION"


def signed(x):
    return x - M if x >= SIGN else x


def truncated(a, b):
    if b == 0:
        return 0
    q = abs(signed(a)) // abs(signed(b))
    return (-q if (signed(a) < 0) != (signed(b) < 0) else q) % M


def ceiling(a, d):
    return -(-a // d) if d else 0


def fitted(value):
    """What a checked operation says: 1 and the value, or 0 where it does not fit."""
    return (1, value) if 0 <= value < M else (0, None)


def muldiv(a, b, d, *, up):
    return (0, None) if d == 0 else fitted(ceiling(a * b, d) if up else a * b // d)


# What Python says; a checked operation says whether it fits, too.
OPERATIONS = {
    "add": lambda a, b, _: (a + b) % M,
    "sub": lambda a, b, _: (a - b) % M,
    "mul": lambda a, b, _: a * b % M,
    "and": lambda a, b, _: a & b,
    "or": lambda a, b, _: a | b,
    "xor": lambda a, b, _: a ^ b,
    "shl": lambda a, b, _: (a << b % 300) % M,
    "shr": lambda a, b, _: a >> b % 300,
    "sar": lambda a, b, _: (signed(a) >> b % 300) % M,
    "high": lambda a, b, _: a * b >> 256,
    "div": lambda a, _, d: a // d if d else 0,
    "mod": lambda a, _, d: a % d if d else 0,
    "div_up": lambda a, _, d: ceiling(a, d),
    "sdiv": lambda a, _, d: truncated(a, d),
    "isqrt": lambda a, _b, _d: math.isqrt(a),
    "negate": lambda a, _b, _d: -a % M,
    "abs": lambda a, _b, _d: abs(signed(a)),
    "bits": lambda a, _b, _d: a.bit_length(),
    "compare": lambda a, b, _: (
        (a < b)
        | (a <= b) << 1
        | (a == b) << 2
        | (a != b) << 3
        | (a >= b) << 4
        | (a > b) << 5
        | (signed(a) < signed(b)) << 6
        | (signed(a) < 0) << 7
    ),
    "select": lambda a, b, d: b if a < d else d,
    "add_checked": lambda a, b, _: fitted(a + b),
    "sub_checked": lambda a, b, _: fitted(a - b),
    "mul_checked": lambda a, b, _: fitted(a * b),
    "muldiv": lambda a, b, d: muldiv(a, b, d, up=False),
    "muldiv_up": lambda a, b, d: muldiv(a, b, d, up=True),
    "remainder": lambda a, b, d: a * b % d if d and a * b // d < M else None,
}
PLACE = {name: i for i, name in enumerate(OPERATIONS)}


@kernel("void(u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1], b1[:,::1])")
def run_all(a_all, b_all, d_all, out, fits):
    """Carry out every operation on every triple; row `place * n + i` is an operation's answer."""
    n = a_all.shape[0]
    for i in range(n):
        a = words.load(a_all, i)
        b = words.load(b_all, i)
        d = words.load(d_all, i)
        bits = np.int64(words.low64(words.mod(b, words.u256(300))))
        words.store(out, 0 * n + i, a + b)
        words.store(out, 1 * n + i, a - b)
        words.store(out, 2 * n + i, a * b)
        words.store(out, 3 * n + i, a & b)
        words.store(out, 4 * n + i, a | b)
        words.store(out, 5 * n + i, a ^ b)
        words.store(out, 6 * n + i, a << bits)
        words.store(out, 7 * n + i, a >> bits)
        words.store(out, 8 * n + i, words.sar(a, bits))
        high, low = words.mul512(a, b)
        words.store(out, 9 * n + i, high)
        words.store(out, 10 * n + i, words.div(a, d))
        words.store(out, 11 * n + i, words.mod(a, d))
        words.store(out, 12 * n + i, words.div_up(a, d))
        words.store(out, 13 * n + i, words.sdiv(a, d))
        words.store(out, 14 * n + i, words.isqrt(a))
        words.store(out, 15 * n + i, words.negate(a))
        words.store(out, 16 * n + i, words.abs_(a))
        words.store(out, 17 * n + i, words.u256(words.bit_length(a)))
        flags = np.int64(a < b)
        flags |= np.int64(a <= b) << 1
        flags |= np.int64(a == b) << 2
        flags |= np.int64(a != b) << 3
        flags |= np.int64(a >= b) << 4
        flags |= np.int64(a > b) << 5
        flags |= np.int64(words.slt(a, b)) << 6
        flags |= np.int64(words.is_negative(a)) << 7
        words.store(out, 18 * n + i, words.u256(flags))
        words.store(out, 19 * n + i, words.select(a < d, b, d))
        fits[20, i], value = words.add_checked(a, b)
        words.store(out, 20 * n + i, value)
        fits[21, i], value = words.sub_checked(a, b)
        words.store(out, 21 * n + i, value)
        fits[22, i], value = words.mul_checked(a, b)
        words.store(out, 22 * n + i, value)
        fits[23, i], value = words.muldiv(a, b, d)
        words.store(out, 23 * n + i, value)
        fits[24, i], value = words.muldiv_up(a, b, d)
        words.store(out, 24 * n + i, value)
        if high < d:
            words.store(out, 25 * n + i, words.divmod512(high, low, d)[1])


def triples(rng, count):
    """Operands: all pairs of edges, divisions that are nearly exact, then random ones."""

    def one():
        kind = rng.random()
        if kind < 0.7:
            return rng.getrandbits(rng.randint(1, 256))
        if kind < 0.9:
            return sum(rng.choice((*LIMBS, rng.getrandbits(64))) << 64 * i for i in range(4))
        return rng.choice(EDGES)

    found = [(a, b, rng.choice(EDGES)) for a in EDGES for b in EDGES]
    while len(found) < count // 4:
        d, q = one() or 1, one()
        # A product next to a multiple of the divisor is where an estimated digit is corrected.
        b = rng.choice((1, rng.getrandbits(rng.randint(1, 64)) or 1))
        a = (q * d + rng.choice((0, 1, d - 1, d // 2))) // b
        if a < M:
            found.append((a, b, d))
    found += [(one(), one(), one()) for _ in range(count - len(found))]
    return found


def check(count, seed=7):
    operands = triples(random.Random(seed), count)
    n = len(operands)
    columns = [words.pack(column) for column in zip(*operands, strict=True)]
    out = np.zeros((len(OPERATIONS) * n, 4), np.uint64)
    fits = np.zeros((len(OPERATIONS), n), np.bool_)
    run_all(*columns, out, fits)
    for name, expected in OPERATIONS.items():
        k = PLACE[name]
        answers = words.unpack(out[k * n : (k + 1) * n])
        for i, operand in enumerate(operands):
            want = expected(*operand)
            if isinstance(want, tuple):
                fit, want = want
                assert fits[k, i] == bool(fit), (name, operand)
            if want is not None:
                assert answers[i] == want, (name, operand)


def test_every_operation_equals_pythons_on_100_000_inputs():
    check(100_000)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10))
def test_every_operation_equals_pythons_on_a_million_inputs(seed):
    check(100_000, seed=100 + seed)


@pytest.mark.skipif(_jit.PORTABLE_DIVISION, reason="this is the portable run")
def test_division_without_the_instruction_for_it():
    """What aarch64 runs is run here too, in a process of its own, by the same test."""
    assert _division.divide128 is not _division.divide_by_halves
    test = test_every_operation_equals_pythons_on_100_000_inputs.__name__
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__),
            *("-k", f"{test} or division_is_the_portable"),
        ],
        check=True,
        env={**os.environ, PORTABLE: "1"},
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.skipif(not _jit.PORTABLE_DIVISION, reason="the portable run is a process of its own")
def test_division_is_the_portable_one():
    assert _division.divide128 is _division.divide_by_halves
    assert _jit.cache_folder().name.endswith("-portable")


@given(st.integers(0, M - 1))
@example(M - 1)
@example(0)
def test_the_boundary_takes_and_returns_any_word(x):
    assert words.negate(words.negate(x)) == x
    assert words.unpack(words.pack([x])) == [x]


@pytest.mark.parametrize("x", [-1, M, M + 1, -(2**300)])
def test_what_is_no_word_is_refused_at_the_boundary(x):
    with pytest.raises(OverflowError):
        words.isqrt(x)


def test_what_is_no_integer_is_refused_at_the_boundary():
    with pytest.raises(TypeError):
        words.isqrt(1.0)
    with pytest.raises(TypeError):
        words.isqrt("1")


def test_negative_numbers_are_packed_as_twos_complement():
    assert words.unpack(words.pack([-1, -SIGN])) == [M - 1, SIGN]
    with pytest.raises(OverflowError):
        words.pack([-SIGN - 1])
    with pytest.raises(OverflowError):
        words.pack([M])


def test_a_constant_fits_256_bits():
    for value in (-1, M):
        with pytest.raises(OverflowError):
            words.constant(value)


@given(st.integers(0, M - 1))
def test_floats_are_near_and_come_back(x):
    near = words.to_float(x)
    assert math.isclose(near, x, rel_tol=2**-51)
    assert words.from_float(float(x)) == min(int(float(x)), M - 1)


@pytest.mark.parametrize(
    ("x", "whole"),
    [
        (-1.0, 0),
        (math.nan, 0),
        (0.999, 0),
        (1.0, 1),
        (2.0**53 + 2, 2**53 + 2),
        (2.0**256, M - 1),
        (math.inf, M - 1),
    ],
)
def test_what_no_word_can_hold_is_cut(x, whole):
    assert words.from_float(x) == whole
