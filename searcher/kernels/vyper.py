"""Vyper's checked integers in kernels: each operation takes and returns whether all went well.

A chain of operations passes the flag through (`good, x = umul(good, a, b)`) and looks at it once:
where it is False the contract has reverted, and the value means nothing.
"""

from __future__ import annotations

from searcher.kernels._jit import kernel
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    abs_,
    constant,
    div,
    is_negative,
    mul512,
    mul_checked,
    negate,
    sdiv,
)

_SIGN = constant(1 << 255)


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def uadd(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Add two uint256."""
    total = a + b
    return good and total >= a, total


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def usub(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Subtract two uint256."""
    return good and a >= b, a - b


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def umul(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Multiply two uint256."""
    fits, product = mul_checked(a, b)
    return good and fits, product


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def udiv(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Divide two uint256."""
    return good and b != ZERO(), div(a, b)


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def checked_add(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Add two int256."""
    total = a + b
    # An overflow is a sum whose sign neither term has.
    return good and not is_negative((a ^ total) & (b ^ total)), total


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def checked_sub(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Subtract two int256."""
    rest = a - b
    return good and not is_negative((a ^ b) & (a ^ rest)), rest


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def checked_mul(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Multiply two int256."""
    high, magnitude = mul512(abs_(a), abs_(b))
    if is_negative(a ^ b):
        return good and high == ZERO() and magnitude <= _SIGN(), negate(magnitude)
    return good and high == ZERO() and magnitude < _SIGN(), magnitude


@kernel("Tuple((b1, U256))(b1, U256, U256)")
def checked_div(good: bool, a: Word, b: Word) -> tuple[bool, Word]:
    """Divide two int256 towards zero."""
    overflows = a == _SIGN() and negate(b) == ONE()
    return good and b != ZERO() and not overflows, sdiv(a, b)


@kernel("Tuple((b1, U256))(b1, U256)")
def checked_abs(good: bool, a: Word) -> tuple[bool, Word]:
    """Return the magnitude of an int256, which the least number has not."""
    return good and a != _SIGN(), abs_(a)
