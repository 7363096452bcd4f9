"""Exact 256-bit integers inside kernels: everything that curves calculate with.

A `U256` behaves like the EVM's word: `+ - *` wrap, comparisons are unsigned, two's complement
serves for signed numbers. What Solidity checks is asked for by name (`add_checked`, `muldiv`).
Arrays of them are `uint64[n, 4]`, limbs least significant first. A kernel called from Python takes
and returns plain ints for U256 and raises OverflowError outside 0..2^256-1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._division import divmod512
from searcher.kernels._jit import kernel
from searcher.kernels._word import (
    U256,
    bit_length,
    constant,
    from_limbs,
    limb,
    load,
    mul512,
    sar,
    select,
    slt,
    store,
    u256,
)

__all__ = [
    "MAX",
    "ONE",
    "U256",
    "ZERO",
    "Word",
    "Words",
    "abs_",
    "add_checked",
    "bit_length",
    "constant",
    "div",
    "div_up",
    "divmod256",
    "divmod512",
    "from_float",
    "from_limbs",
    "is_negative",
    "isqrt",
    "limb",
    "load",
    "low64",
    "mod",
    "mul512",
    "mul_checked",
    "muldiv",
    "muldiv_up",
    "negate",
    "pack",
    "sar",
    "sdiv",
    "select",
    "slt",
    "store",
    "sub_checked",
    "to_float",
    "u256",
    "unpack",
]

Word: TypeAlias = Any
"""A U256 as the type checker sees it: a Python int outside kernels, one LLVM value inside."""

Words: TypeAlias = NDArray[np.uint64]
"""U256s in memory: uint64[n, 4], least significant limb first."""

ZERO = constant(0)
ONE = constant(1)
MAX = constant(2**256 - 1)

_MODULUS: Final = 1 << 256
_SQRT_BITS: Final = 104
"""A double holds the root of a number of so many bits to within one."""

_ONE_STEP_BITS: Final = 190
"""Up to here one step of Newton's suffices: the root has 95 bits."""

_MOST_ROOT = constant(2**128 - 1)


def pack(numbers: Iterable[int]) -> Words:
    """Return integers as rows of limbs; negative ones as two's complement.

    Raises:
        OverflowError: one of them does not fit 256 bits.
    """
    rows = [n.to_bytes(32, "little", signed=n < 0) for n in numbers]
    return np.frombuffer(b"".join(rows), "<u8").reshape(-1, 4).astype(np.uint64)


def unpack(words: Words) -> list[int]:
    """Return rows of limbs as unsigned integers."""
    raw = np.ascontiguousarray(words, "<u8").tobytes()
    return [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]


# ---- what Solidity checks


@kernel("Tuple((b1, U256))(U256, U256)")
def add_checked(a: Word, b: Word) -> tuple[bool, Word]:
    """Return whether the sum fits, and the sum."""
    total = a + b
    return total >= a, total


@kernel("Tuple((b1, U256))(U256, U256)")
def sub_checked(a: Word, b: Word) -> tuple[bool, Word]:
    """Return whether the difference is not negative, and the difference."""
    return a >= b, a - b


@kernel("Tuple((b1, U256))(U256, U256)")
def mul_checked(a: Word, b: Word) -> tuple[bool, Word]:
    """Return whether the product fits, and its low 256 bits."""
    high, low = mul512(a, b)
    return high == ZERO(), low


@kernel("Tuple((b1, U256))(U256, U256, U256)")
def muldiv(a: Word, b: Word, d: Word) -> tuple[bool, Word]:
    """Return whether `a * b // d` fits 256 bits, and it (FullMath.mulDiv); False for `d` of 0."""
    high, low = mul512(a, b)
    if high >= d:
        return False, ZERO()
    return True, divmod512(high, low, d)[0]


@kernel("Tuple((b1, U256))(U256, U256, U256)")
def muldiv_up(a: Word, b: Word, d: Word) -> tuple[bool, Word]:
    """Return the same, rounded up (FullMath.mulDivRoundingUp)."""
    high, low = mul512(a, b)
    if high >= d:
        return False, ZERO()
    q, r = divmod512(high, low, d)
    if r != ZERO():
        q += ONE()
        return q != ZERO(), q
    return True, q


# ---- division; by zero it gives 0, as the EVM's


@kernel("UniTuple(U256, 2)(U256, U256)")
def divmod256(a: Word, d: Word) -> tuple[Word, Word]:
    """Return quotient and remainder."""
    if d == ZERO():
        return ZERO(), ZERO()
    return divmod512(ZERO(), a, d)


@kernel("U256(U256, U256)")
def div(a: Word, d: Word) -> Word:
    """Return the quotient, rounded down."""
    return divmod256(a, d)[0]


@kernel("U256(U256, U256)")
def mod(a: Word, d: Word) -> Word:
    """Return the remainder."""
    return divmod256(a, d)[1]


@kernel("U256(U256, U256)")
def div_up(a: Word, d: Word) -> Word:
    """Return the quotient, rounded up."""
    q, r = divmod256(a, d)
    return q + ONE() if r != ZERO() else q


# ---- two's complement


@kernel("U256(U256)")
def negate(x: Word) -> Word:
    """Return `-x`; the least number is its own."""
    return ZERO() - x


@kernel("b1(U256)")
def is_negative(x: Word) -> bool:
    """Return whether the sign bit is set."""
    return bool(slt(x, ZERO()))


@kernel("U256(U256)")
def abs_(x: Word) -> Word:
    """Return the magnitude; that of the least number is 2^255."""
    return ZERO() - x if slt(x, ZERO()) else x


@kernel("U256(U256, U256)")
def sdiv(a: Word, d: Word) -> Word:
    """Return the quotient of two signed numbers, rounded towards zero (SDIV); by zero 0."""
    q = div(abs_(a), abs_(d))
    return ZERO() - q if slt(a, ZERO()) != slt(d, ZERO()) else q


# ---- roots and floats


@kernel("u8(U256)")
def low64(x: Word) -> Any:
    """Return the low 64 bits as uint64."""
    return limb(x, 0)


@kernel("f8(U256)")
def to_float(x: Word) -> float:
    """Return the number as a double, within two units in its last place."""
    return (
        (float(limb(x, 3)) * 2.0**64 + float(limb(x, 2))) * 2.0**64 + float(limb(x, 1))
    ) * 2.0**64 + float(limb(x, 0))


@kernel("U256(f8)")
def from_float(x: float) -> Word:
    """Return a double's whole part; 0 for what is negative or no number, the most beyond 2^256."""
    if not x >= 1.0:
        return ZERO()
    if x >= 2.0**256:
        return MAX()
    mantissa, exponent = math.frexp(x)
    whole = u256(np.int64(mantissa * 2.0**53))
    if exponent >= 53:
        return whole << np.int64(exponent - 53)
    return whole >> np.int64(53 - exponent)


@kernel("U256(U256)")
def isqrt(x: Word) -> Word:
    """Return the greatest number whose square is at most `x`."""
    bits = bit_length(x)
    if bits <= _SQRT_BITS:
        root = u256(np.int64(math.sqrt(to_float(x))))
        if root * root > x:
            return root - ONE()
        following = root + ONE()
        return following if following * following <= x else root
    # The seed is above the root by less than 2^-50 of it; a step squares that, so that the last is
    # the root or one more.
    shift = (bits - _SQRT_BITS + 1) & ~np.int64(1)
    seed = np.int64(math.sqrt(to_float(x >> shift))) + np.int64(2)
    root = u256(seed) << (shift >> np.int64(1))
    root = (root + div(x, root)) >> np.int64(1)
    if bits > _ONE_STEP_BITS:
        root = (root + div(x, root)) >> np.int64(1)
    root = select(root > _MOST_ROOT(), _MOST_ROOT(), root)
    return root - ONE() if root * root > x else root
