"""Vyper's integer arithmetic: what is checked reverts, what is called unsafe wraps as the EVM does.

Source: the Vyper language reference (checked arithmetic, `unsafe_*`, `convert`, `isqrt`).
"""

from __future__ import annotations

from typing import Final

from searcher.kernels.refusal import Status, SwapRefused

MODULUS: Final = 1 << 256
SIGN: Final = 1 << 255


def uint(value: int) -> int:
    """Return a uint256, as the end of a checked operation.

    Raises:
        SwapRefused: it is negative or beyond 256 bits.
    """
    if not 0 <= value < MODULUS:
        raise SwapRefused(Status.OVERFLOW, "a uint256 operation overflows or goes below zero")
    return value


def sint(value: int) -> int:
    """Return an int256, as the end of a checked operation.

    Raises:
        SwapRefused: it does not fit.
    """
    if not -SIGN <= value < SIGN:
        raise SwapRefused(Status.OVERFLOW, "an int256 operation overflows")
    return value


def wrapped(value: int) -> int:
    """Return the uint256 that an unsafe operation leaves."""
    return value % MODULUS


def swrapped(value: int) -> int:
    """Return the int256 that an unsafe operation leaves."""
    return (value + SIGN) % MODULUS - SIGN


def div(dividend: int, divisor: int) -> int:
    """Divide two uint256, checked.

    Raises:
        SwapRefused: by zero.
    """
    if divisor == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return dividend // divisor


def unsafe_div(dividend: int, divisor: int) -> int:
    """Divide two uint256; by zero it is zero."""
    return dividend // divisor if divisor else 0


def sdiv(dividend: int, divisor: int) -> int:
    """Divide two int256 towards zero, checked.

    Raises:
        SwapRefused: by zero, or the least int256 by -1.
    """
    if divisor == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return sint(_towards_zero(dividend, divisor))


def unsafe_sdiv(dividend: int, divisor: int) -> int:
    """Divide two int256 towards zero; by zero it is zero."""
    return swrapped(_towards_zero(dividend, divisor)) if divisor else 0


def _towards_zero(dividend: int, divisor: int) -> int:
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
