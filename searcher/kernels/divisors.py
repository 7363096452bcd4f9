"""Division of many numbers by the same one: what depends on the divisor alone is done once.

Contracts divide by the same invariant, sum or coefficient again and again. A divisor of up to two
limbs is normalised and its reciprocal found by `divisor`; `over` then takes a few multiplications
per quotient digit, and says what `u256.div` says. What ends in `_inlined` stands in its caller's
code: for loops that are worth their own.

Source: Moeller and Granlund, "Improved division by invariant integers" (2011), as in `_division`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from searcher.kernels._division import divide3by2, reciprocal
from searcher.kernels._jit import kernel
from searcher.kernels._word import leading_zeros
from searcher.kernels.u256 import ZERO, Word, abs_, div, from_limbs, limb, slt

Divisor: TypeAlias = Any
"""A `DIVISOR`: the divisor itself; how far it is moved up, 64 and more when it has but one limb;
its two limbs there, 0 where it has more than two or is 0; their reciprocal."""

DIVISOR: Final = "Tuple((U256, u8, u8, u8, u8))"

_NONE: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_LIMB: Final = np.uint64(64)
_LAST: Final = np.uint64(63)


@kernel(f"{DIVISOR}(U256)", inlined=True)
def divisor_inlined(d: Word) -> Divisor:
    """Return a number as a divisor; any may be one, as with `div`."""
    d1, d0, moved = limb(d, 1), limb(d, 0), _NONE
    if (limb(d, 3) | limb(d, 2)) != _NONE or d == ZERO():
        return d, _NONE, _NONE, _NONE, _NONE
    if d1 == _NONE:
        d1, d0, moved = d0, _NONE, _LIMB
    bits = leading_zeros(d1)
    # A shift by 64 is undefined, so what comes up from below moves in two steps.
    d1, d0 = (d1 << bits) | ((d0 >> _ONE) >> (_LAST - bits)), d0 << bits
    return d, moved + bits, d1, d0, reciprocal(d1, d0)


@kernel(f"{DIVISOR}(U256)")
def divisor(d: Word) -> Divisor:
    """Return a number as a divisor; any may be one, as with `div`."""
    return divisor_inlined(d)


@kernel(f"U256(U256, {DIVISOR})", inlined=True)
def over_inlined(a: Word, by: Divisor) -> Word:
    """Return the quotient, rounded down; by zero it is 0."""
    d, moved, d1, d0, v = by
    if d1 == _NONE:
        return div(a, d)
    l4, l3, l2, l1, l0 = _NONE, limb(a, 3), limb(a, 2), limb(a, 1), limb(a, 0)
    if moved >= _LIMB:
        l4, l3, l2, l1, l0 = l3, l2, l1, l0, _NONE
    bits = moved & _LAST
    back = _LAST - bits
    r1 = (l4 >> _ONE) >> back
    r0 = (l4 << bits) | ((l3 >> _ONE) >> back)
    n3 = (l3 << bits) | ((l2 >> _ONE) >> back)
    n2 = (l2 << bits) | ((l1 >> _ONE) >> back)
    n1 = (l1 << bits) | ((l0 >> _ONE) >> back)
    n0 = l0 << bits
    q3 = q2 = q1 = q0 = _NONE
    # Upper digits are mostly 0, and then what remains only moves up.
    if r1 != _NONE or r0 >= d1:
        q3, r1, r0 = divide3by2(r1, r0, n3, d1, d0, v)
    else:
        r1, r0 = r0, n3
    if r1 != _NONE or r0 >= d1:
        q2, r1, r0 = divide3by2(r1, r0, n2, d1, d0, v)
    else:
        r1, r0 = r0, n2
    if r1 != _NONE or r0 >= d1:
        q1, r1, r0 = divide3by2(r1, r0, n1, d1, d0, v)
    else:
        r1, r0 = r0, n1
    if r1 != _NONE or r0 >= d1:
        q0, r1, r0 = divide3by2(r1, r0, n0, d1, d0, v)
    return from_limbs(q3, q2, q1, q0)


@kernel(f"U256(U256, {DIVISOR})")
def over(a: Word, by: Divisor) -> Word:
    """Return the quotient, rounded down; by zero it is 0."""
    return over_inlined(a, by)


@kernel(f"U256(U256, {DIVISOR}, b1)")
def signed_over(a: Word, by: Divisor, negative: bool) -> Word:
    """Return the quotient of a signed number, rounded towards zero.

    Args:
        a: the number.
        by: the divisor's magnitude.
        negative: whether the divisor is negative.
    """
    q = over(abs_(a), by)
    return ZERO() - q if bool(slt(a, ZERO())) != negative else q
