"""Vyper's integer arithmetic: what is checked reverts, what is called unsafe wraps as the EVM does.

Source: the Vyper language reference (checked arithmetic, `unsafe_*`, `convert`, `isqrt`), and the
cube root of Curve's crypto pools (CurveCryptoMathOptimized2 and 3, `_cbrt`).
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from searcher.kernels.refusal import Status, SwapRefused

MODULUS: Final = 1 << 256
SIGN: Final = 1 << 255
_CBRT_HIGH: Final = 115792089237316195423570985008687907853269
"""From here on a number times 10^36 does not fit 256 bits."""


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


def cbrt(x: int) -> int:
    """Return the cube root of a fixed-point number of 18 decimals, as seven Newton steps leave it."""
    if x >= _CBRT_HIGH * 10**18:
        scaled, scale = x, 10**12
    elif x >= _CBRT_HIGH:
        scaled, scale = x * 10**18, 10**6
    else:
        scaled, scale = x * 10**36, 1
    log2 = max(scaled.bit_length() - 1, 0)
    power, rest = divmod(log2, 3)
    root: int = 2**power * 1260**rest // 1000**rest
    for _ in range(7):
        root = unsafe_div(2 * root + unsafe_div(scaled, wrapped(root * root)), 3)
    return wrapped(root * scale)


def geometric_mean(x: tuple[int, int, int]) -> int:
    """Return the geometric mean of three amounts of 18 decimals.

    Raises:
        SwapRefused: a product overflows.
    """
    product = uint(uint(x[0] * x[1]) // 10**18 * x[2]) // 10**18
    return cbrt(product) if product else 0


def square_root(value: int) -> int:
    """Return the square root of a uint256, rounded down."""
    return isqrt(value)


def _towards_zero(dividend: int, divisor: int) -> int:
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
