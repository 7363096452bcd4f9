"""Exact division of up to 512 bits by 256: Knuth's algorithm D with reciprocals.

Sources: Knuth, TAOCP 4.3.1 D; Moeller and Granlund, "Improved division by invariant integers"
(2011), algorithms 4 and 6. Each length of divisor has its own steps. Numbers are shifted limb by
limb: LLVM makes a long sequence of a 256-bit shift by an amount known only at run time.
"""

# A step takes every limb as its own argument: they live in registers.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from searcher.kernels._jit import PORTABLE_DIVISION, kernel
from searcher.kernels._word import (
    HARDWARE_DIVISION,
    constant,
    divq,
    from_limbs,
    leading_zeros,
    limb,
    mul128,
    u256,
    when,
)

Word: TypeAlias = Any
Limb: TypeAlias = Any

_ZERO = constant(0)
_ALL: Final = np.uint64(2**64 - 1)
_LOW_HALF: Final = np.uint64(2**32 - 1)
_HALF: Final = np.uint64(32)
_NONE: Final = np.uint64(0)
_ONE: Final = np.uint64(1)


@kernel("UniTuple(u8, 2)(u8, u8, u8, u8, u8)")
def _half_digit(u: Limb, following: Limb, d: Limb, d1: Limb, d0: Limb) -> tuple[Limb, Limb]:
    """Return one quotient digit of 32 bits and what remains of `u * 2^32 + following`."""
    q = u // d1
    r = u - q * d1
    while q > _LOW_HALF or q * d0 > ((r << _HALF) | following):
        q -= _ONE
        r += d1
        if r > _LOW_HALF:
            break
    return q, ((u << _HALF) | following) - q * d


@kernel("UniTuple(u8, 2)(u8, u8, u8)")
def divide_by_halves(high: Limb, low: Limb, divisor: Limb) -> tuple[Limb, Limb]:
    """Divide 128 bits by 64 without an instruction for it, in base 2^32: (quotient, remainder).

    `high < divisor` is demanded. For processors such as aarch64, and everywhere when
    SEARCHER_PORTABLE_DIVISION is set.
    """
    shift = leading_zeros(divisor)
    d = divisor << shift
    d1, d0 = d >> _HALF, d & _LOW_HALF
    # A shift by 64 is undefined, so the bits that move up are shifted in two steps.
    u = (high << shift) | ((low >> _ONE) >> (np.uint64(63) - shift))
    rest = low << shift
    q1, u = _half_digit(u, rest >> _HALF, d, d1, d0)
    q0, u = _half_digit(u, rest & _LOW_HALF, d, d1, d0)
    return (q1 << _HALF) | q0, u >> shift


divide128: Final = divq if HARDWARE_DIVISION and not PORTABLE_DIVISION else divide_by_halves
"""Divides 128 bits by 64: (quotient, remainder) of (high, low, divisor), high < divisor."""


@kernel("u8(u8, u8)", inlined=True)
def reciprocal(d1: Limb, d0: Limb) -> Limb:
    """Return the reciprocal of a normalised two-limb divisor (algorithm 6)."""
    v = divide128(~d1, _ALL, d1)[0]
    p = d1 * v + d0
    wrapped = p < d0
    again = wrapped & (p >= d1)
    v -= when(wrapped, _ONE) + when(again, _ONE)
    p -= when(wrapped, d1) + when(again, d1)
    t1, t0 = mul128(v, d0)
    p += t1
    wrapped = p < t1
    again = wrapped & ((p > d1) | ((p == d1) & (t0 >= d0)))
    v -= when(wrapped, _ONE) + when(again, _ONE)
    return v


@kernel("UniTuple(u8, 3)(u8, u8, u8, u8, u8, u8)", inlined=True)
def divide3by2(
    u2: Limb, u1: Limb, u0: Limb, d1: Limb, d0: Limb, v: Limb
) -> tuple[Limb, Limb, Limb]:
    """Divide three limbs by two (algorithm 4): (quotient, remainder high, remainder low).

    `v` is the divisor's reciprocal, and (u2, u1) < (d1, d0) is demanded. The first correction is
    needed or not at random, so it is made without a branch; the second almost never.
    """
    q1, q0 = mul128(v, u2)
    q0 += u1
    q1 += u2 + when(q0 < u1, _ONE)
    r1 = u1 - q1 * d1
    t1, t0 = mul128(d0, q1)
    # (r1, r0) = (r1, u0) - (t1, t0) - (d1, d0), all modulo 2^128
    r0 = u0 - t0
    r1 = r1 - t1 - when(u0 < t0, _ONE)
    borrow = when(r0 < d0, _ONE)
    r0 -= d0
    r1 = r1 - d1 - borrow
    q1 += _ONE
    beyond = r1 >= q0
    q1 -= when(beyond, _ONE)
    back = when(beyond, d0)
    r0 += back
    r1 += when(beyond, d1) + when(r0 < back, _ONE)
    if r1 > d1 or (r1 == d1 and r0 >= d0):
        q1 += _ONE
        borrow = _ONE if r0 < d0 else _NONE
        r0 -= d0
        r1 = r1 - d1 - borrow
    return q1, r1, r0


@kernel("u8(u8, u8, u8)", inlined=True)
def upper_limb(high: Limb, low: Limb, bits: Limb) -> Limb:
    """Return the upper limb of two that move up by less than 64 bits."""
    # A shift by 64 is undefined, so what comes up from below moves in two steps.
    return (high << bits) | ((low >> _ONE) >> (np.uint64(63) - bits))


@kernel("u8(u8, u8, u8)", inlined=True)
def _lower(high: Limb, low: Limb, bits: Limb) -> Limb:
    """Return the lower limb of two that move down by less than 64 bits."""
    return (low >> bits) | ((high << _ONE) << (np.uint64(63) - bits))


@kernel("Tuple((u8, U256))(U256, u8, U256, u8)", inlined=True)
def _digit_by_four(r: Word, following: Limb, d: Word, v: Limb) -> tuple[Limb, Word]:
    """Return a quotient digit and what remains of `r * 2^64 + following`, for `d` of four limbs."""
    r3, r2 = limb(r, 3), limb(r, 2)
    d3, d2 = limb(d, 3), limb(d, 2)
    if r3 == _NONE:
        moved = (r << np.int64(64)) | u256(following)
        return (_ONE, moved - d) if moved >= d else (_NONE, moved)
    if r3 == d3 and r2 == d2:
        # r < d, so this digit is exactly 2^64 - 1; the rest is (r - d) * 2^64 + following + d.
        return _ALL, ((r - d) << np.int64(64)) + u256(following) + d
    q, t1, t0 = divide3by2(r3, r2, limb(r, 1), d3, d2, v)
    kept = from_limbs(t1, t0, limb(r, 0), following)
    low1, low0 = mul128(q, limb(d, 0))
    high1, high0 = mul128(q, limb(d, 1))
    middle = low1 + high0
    taken = from_limbs(_NONE, high1 + (_ONE if middle < low1 else _NONE), middle, low0)
    rest = kept - taken
    if kept < taken:
        return q - _ONE, rest + d
    return q, rest


@kernel("UniTuple(U256, 2)(U256, U256, U256)")
def divide_by_four(high: Word, low: Word, divisor: Word) -> tuple[Word, Word]:
    """Divide 512 bits by a divisor of four limbs: (quotient, remainder)."""
    bits = leading_zeros(limb(divisor, 3))
    d3 = upper_limb(limb(divisor, 3), limb(divisor, 2), bits)
    d2 = upper_limb(limb(divisor, 2), limb(divisor, 1), bits)
    d1 = upper_limb(limb(divisor, 1), limb(divisor, 0), bits)
    d = from_limbs(d3, d2, d1, limb(divisor, 0) << bits)
    v = reciprocal(d3, d2)
    r = from_limbs(
        upper_limb(limb(high, 3), limb(high, 2), bits),
        upper_limb(limb(high, 2), limb(high, 1), bits),
        upper_limb(limb(high, 1), limb(high, 0), bits),
        upper_limb(limb(high, 0), limb(low, 3), bits),
    )
    q3, r = _digit_by_four(r, upper_limb(limb(low, 3), limb(low, 2), bits), d, v)
    q2, r = _digit_by_four(r, upper_limb(limb(low, 2), limb(low, 1), bits), d, v)
    q1, r = _digit_by_four(r, upper_limb(limb(low, 1), limb(low, 0), bits), d, v)
    q0, r = _digit_by_four(r, limb(low, 0) << bits, d, v)
    remainder = from_limbs(
        limb(r, 3) >> bits,
        _lower(limb(r, 3), limb(r, 2), bits),
        _lower(limb(r, 2), limb(r, 1), bits),
        _lower(limb(r, 1), limb(r, 0), bits),
    )
    return from_limbs(q3, q2, q1, q0), remainder


@kernel("UniTuple(u8, 4)(u8, u8, u8, u8, u8, u8, u8, u8)", inlined=True)
def _digit_by_three(
    r2: Limb, r1: Limb, r0: Limb, following: Limb, d2: Limb, d1: Limb, d0: Limb, v: Limb
) -> tuple[Limb, Limb, Limb, Limb]:
    """Return a quotient digit and the three limbs that remain, for a divisor of three limbs."""
    d = from_limbs(_NONE, d2, d1, d0)
    if r2 == _NONE:
        q = _NONE
        rest = from_limbs(_NONE, r1, r0, following)
        if rest >= d:
            q = _ONE
            rest -= d
    elif r2 == d2 and r1 == d1:
        # The rest before it fell below d, so this digit is exactly 2^64 - 1.
        q = _ALL
        rest = from_limbs(r2, r1, r0, following) - (d << np.int64(64)) + d
    else:
        q, t1, t0 = divide3by2(r2, r1, r0, d2, d1, v)
        kept = from_limbs(_NONE, t1, t0, following)
        low1, low0 = mul128(q, d0)
        taken = from_limbs(_NONE, _NONE, low1, low0)
        rest = kept - taken
        if kept < taken:
            q -= _ONE
            rest += d
    return q, limb(rest, 2), limb(rest, 1), limb(rest, 0)


@kernel("UniTuple(U256, 2)(U256, U256, U256)")
def divide_by_three(high: Word, low: Word, divisor: Word) -> tuple[Word, Word]:
    """Divide seven limbs by a divisor of three: (quotient, remainder)."""
    bits = leading_zeros(limb(divisor, 2))
    d2 = upper_limb(limb(divisor, 2), limb(divisor, 1), bits)
    d1 = upper_limb(limb(divisor, 1), limb(divisor, 0), bits)
    d0 = limb(divisor, 0) << bits
    v = reciprocal(d2, d1)
    r2 = upper_limb(limb(high, 2), limb(high, 1), bits)
    r1 = upper_limb(limb(high, 1), limb(high, 0), bits)
    r0 = upper_limb(limb(high, 0), limb(low, 3), bits)
    n3 = upper_limb(limb(low, 3), limb(low, 2), bits)
    n2 = upper_limb(limb(low, 2), limb(low, 1), bits)
    n1 = upper_limb(limb(low, 1), limb(low, 0), bits)
    q3, r2, r1, r0 = _digit_by_three(r2, r1, r0, n3, d2, d1, d0, v)
    q2, r2, r1, r0 = _digit_by_three(r2, r1, r0, n2, d2, d1, d0, v)
    q1, r2, r1, r0 = _digit_by_three(r2, r1, r0, n1, d2, d1, d0, v)
    q0, r2, r1, r0 = _digit_by_three(r2, r1, r0, limb(low, 0) << bits, d2, d1, d0, v)
    remainder = from_limbs(_NONE, r2 >> bits, _lower(r2, r1, bits), _lower(r1, r0, bits))
    return from_limbs(q3, q2, q1, q0), remainder


@kernel("UniTuple(u8, 3)(u8, u8, u8, u8, u8, u8)", inlined=True)
def _digit_by_two(
    r1: Limb, r0: Limb, following: Limb, d1: Limb, d0: Limb, v: Limb
) -> tuple[Limb, Limb, Limb]:
    """Return a quotient digit and the two limbs that remain; an upper digit of 0 costs nothing."""
    if r1 == _NONE and (r0 < d1 or (r0 == d1 and following < d0)):
        return _NONE, r0, following
    return divide3by2(r1, r0, following, d1, d0, v)


@kernel("UniTuple(U256, 2)(U256, U256, u8, u8)")
def divide_by_two(high: Word, low: Word, divisor1: Limb, divisor0: Limb) -> tuple[Word, Word]:
    """Divide six limbs by a divisor of two: (quotient, remainder)."""
    bits = leading_zeros(divisor1)
    d1, d0 = upper_limb(divisor1, divisor0, bits), divisor0 << bits
    v = reciprocal(d1, d0)
    r1 = upper_limb(limb(high, 1), limb(high, 0), bits)
    r0 = upper_limb(limb(high, 0), limb(low, 3), bits)
    n3 = upper_limb(limb(low, 3), limb(low, 2), bits)
    n2 = upper_limb(limb(low, 2), limb(low, 1), bits)
    n1 = upper_limb(limb(low, 1), limb(low, 0), bits)
    q3, r1, r0 = _digit_by_two(r1, r0, n3, d1, d0, v)
    q2, r1, r0 = _digit_by_two(r1, r0, n2, d1, d0, v)
    q1, r1, r0 = _digit_by_two(r1, r0, n1, d1, d0, v)
    q0, r1, r0 = _digit_by_two(r1, r0, limb(low, 0) << bits, d1, d0, v)
    remainder = from_limbs(_NONE, _NONE, r1 >> bits, _lower(r1, r0, bits))
    return from_limbs(q3, q2, q1, q0), remainder


@kernel("UniTuple(U256, 2)(u8, U256, u8)")
def divide_by_one(high: Limb, low: Word, d: Limb) -> tuple[Word, Word]:
    """Divide five limbs by one, `high < d`: (quotient, remainder)."""
    r = high
    q3 = q2 = q1 = _NONE
    if r != _NONE or limb(low, 3) != _NONE:
        q3, r = divide128(r, limb(low, 3), d)
    if r != _NONE or limb(low, 2) != _NONE:
        q2, r = divide128(r, limb(low, 2), d)
    if r != _NONE or limb(low, 1) != _NONE:
        q1, r = divide128(r, limb(low, 1), d)
    q0, r = divide128(r, limb(low, 0), d)
    return from_limbs(q3, q2, q1, q0), u256(r)


@kernel("UniTuple(U256, 2)(U256, U256, U256)")
def divmod512(high: Word, low: Word, divisor: Word) -> tuple[Word, Word]:
    """Divide `high * 2^256 + low`: (quotient, remainder).

    `high < divisor` is demanded, so that the quotient fits and nothing divides by zero.
    """
    if high == _ZERO() and low < divisor:
        return _ZERO(), low
    if limb(divisor, 3) != _NONE:
        return divide_by_four(high, low, divisor)
    if limb(divisor, 2) != _NONE:
        return divide_by_three(high, low, divisor)
    if limb(divisor, 1) != _NONE:
        return divide_by_two(high, low, limb(divisor, 1), limb(divisor, 0))
    return divide_by_one(limb(high, 0), low, limb(divisor, 0))
