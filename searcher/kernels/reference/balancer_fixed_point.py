"""Balancer's 18-decimal fixed point, logarithm and power, in exact integers.

Sources: FixedPoint.sol and LogExpMath.sol of balancer-v2-monorepo (Solidity 0.7 with checked
helpers) and of balancer-v3-monorepo (Solidity 0.8). Both give the same integers and revert on the
same inputs; the errors they name are one status here.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels.refusal import Status, SwapRefused

ONE: Final = 10**18
MAX_UINT256: Final = 2**256 - 1
MAX_POW_RELATIVE_ERROR: Final = 10_000
"""The relative error of `power`, in units of 1e-18, that `pow_up` adds."""

_ONE_20: Final = 10**20
_ONE_36: Final = 10**36
_MAX_EXPONENT: Final = 130 * ONE
_MIN_EXPONENT: Final = -41 * ONE
_LN_36_LOWER: Final = ONE - 10**17
_LN_36_UPPER: Final = ONE + 10**17
_MILD_EXPONENT: Final = 2**254 // _ONE_20

# e^128 and e^64 as plain integers, their exponents with 18 decimals.
_X0: Final = 128_000_000_000_000_000_000
_A0: Final = 38_877_084_059_945_950_922_200_000_000_000_000_000_000_000_000_000_000_000
_X1: Final = 64_000_000_000_000_000_000
_A1: Final = 6_235_149_080_811_616_882_910_000_000
# e^32, e^16, ... e^(1/16) and their exponents, all with 20 decimals.
_POWERS: Final = (
    (3_200_000_000_000_000_000_000, 7_896_296_018_268_069_516_100_000_000_000_000),
    (1_600_000_000_000_000_000_000, 888_611_052_050_787_263_676_000_000),
    (800_000_000_000_000_000_000, 298_095_798_704_172_827_474_000),
    (400_000_000_000_000_000_000, 5_459_815_003_314_423_907_810),
    (200_000_000_000_000_000_000, 738_905_609_893_065_022_723),
    (100_000_000_000_000_000_000, 271_828_182_845_904_523_536),
    (50_000_000_000_000_000_000, 164_872_127_070_012_814_685),
    (25_000_000_000_000_000_000, 128_402_541_668_774_148_407),
    (12_500_000_000_000_000_000, 113_314_845_306_682_631_683),
    (6_250_000_000_000_000_000, 106_449_445_891_785_942_956),
)
_EXP_POWERS: Final = 8
"""`exponential` stops at e^(1/4): its series is precise enough from there."""


def add(a: int, b: int) -> int:
    """Return a + b, or refuse beyond 256 bits."""
    if a + b > MAX_UINT256:
        raise SwapRefused(Status.OVERFLOW, "a sum exceeds 256 bits")
    return a + b


def sub(a: int, b: int) -> int:
    """Return a - b, or refuse below zero."""
    if b > a:
        raise SwapRefused(Status.OVERFLOW, "a difference is below zero")
    return a - b


def mul(a: int, b: int) -> int:
    """Return a * b, or refuse beyond 256 bits."""
    if a * b > MAX_UINT256:
        raise SwapRefused(Status.OVERFLOW, "a product exceeds 256 bits")
    return a * b


def div(a: int, b: int) -> int:
    """Return a / b rounded down, or refuse a division by zero."""
    if b == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return a // b


def div_up_raw(a: int, b: int) -> int:
    """Return a / b rounded up, or refuse a division by zero."""
    if b == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return -(-a // b)


def mul_down(a: int, b: int) -> int:
    """Return a * b / 1e18 rounded down."""
    return mul(a, b) // ONE


def mul_up(a: int, b: int) -> int:
    """Return a * b / 1e18 rounded up."""
    return -(-mul(a, b) // ONE)


def div_down(a: int, b: int) -> int:
    """Return a * 1e18 / b rounded down."""
    return div(mul(a, ONE), b)


def div_up(a: int, b: int) -> int:
    """Return a * 1e18 / b rounded up."""
    return div_up_raw(mul(a, ONE), b)


def complement(x: int) -> int:
    """Return 1 - x, or 0 where x is above 1."""
    return max(ONE - x, 0)


def pow_up(x: int, y: int, *, exact_powers: bool) -> int:
    """Return x^y rounded up, never below the true value.

    Args:
        x: the base, 18 decimals.
        y: the exponent, 18 decimals.
        exact_powers: whether exponents of 1, 2 and 4 are multiplied out instead of going through
            the logarithm, as every pool since January 2022 does.
    """
    if exact_powers:
        if y == ONE:
            return x
        if y == 2 * ONE:
            return mul_up(x, x)
        if y == 4 * ONE:
            square = mul_up(x, x)
            return mul_up(square, square)
    raw = power(x, y)
    return add(raw, add(mul_up(raw, MAX_POW_RELATIVE_ERROR), 1))


def power(x: int, y: int) -> int:
    """Return x^y as exp(y ln x), with the error of that way (LogExpMath.pow)."""
    if y == 0:
        return ONE
    if x == 0:
        return 0
    if x >> 255:
        raise SwapRefused(Status.UNSAFE_VALUES, "the base of a power exceeds int256")
    if y >= _MILD_EXPONENT:
        raise SwapRefused(Status.UNSAFE_VALUES, "the exponent of a power is too large")
    if _LN_36_LOWER < x < _LN_36_UPPER:
        high, low = _split(_ln_36(x))
        product = high * y + _towards_zero(low * y, ONE)
    else:
        product = _ln(x) * y
    product = _towards_zero(product, ONE)
    if not _MIN_EXPONENT <= product <= _MAX_EXPONENT:
        raise SwapRefused(Status.UNSAFE_VALUES, "y ln x lies outside -41 to 130")
    return exponential(product)


def exponential(x: int) -> int:
    """Return e^x of a signed 18-decimal x between -41 and 130, 18 decimals."""
    if x < 0:
        return _ONE_36 // exponential(-x)
    first = 1
    if x >= _X0:
        x, first = x - _X0, _A0
    elif x >= _X1:
        x, first = x - _X1, _A1
    x *= 100
    product = _ONE_20
    for exponent, value in _POWERS[:_EXP_POWERS]:
        if x >= exponent:
            x -= exponent
            product = product * value // _ONE_20
    series, term = _ONE_20 + x, x
    for n in range(2, 13):
        term = term * x // _ONE_20 // n
        series += term
    return product * series // _ONE_20 * first // 100


def _ln(a: int) -> int:
    """Return ln of a positive 18-decimal number, 18 decimals."""
    if a < ONE:
        return -_ln(_ONE_36 // a)
    total = 0
    if a >= _A0 * ONE:
        a, total = a // _A0, total + _X0
    if a >= _A1 * ONE:
        a, total = a // _A1, total + _X1
    total, a = total * 100, a * 100
    for exponent, value in _POWERS:
        if a >= value:
            a = a * _ONE_20 // value
            total += exponent
    z = (a - _ONE_20) * _ONE_20 // (a + _ONE_20)
    return (total + _atanh_series(z, _ONE_20, 11)) // 100


def _ln_36(x: int) -> int:
    """Return ln of an 18-decimal number near 1, 36 decimals."""
    x *= ONE
    z = _towards_zero((x - _ONE_36) * _ONE_36, x + _ONE_36)
    return _atanh_series(z, _ONE_36, 15)


def _atanh_series(z: int, one: int, last: int) -> int:
    """Return 2 (z + z^3/3 + ... + z^last/last), each term rounded towards zero."""
    squared = z * z // one
    term = total = z
    for n in range(3, last + 1, 2):
        term = _towards_zero(term * squared, one)
        total += _towards_zero(term, n)
    return 2 * total


def _towards_zero(a: int, b: int) -> int:
    """Divide as the EVM divides signed integers."""
    return a // b if a >= 0 else -(-a // b)


def _split(a: int) -> tuple[int, int]:
    """Return the quotient and remainder by 1e18 of a signed integer, as the EVM does."""
    high = _towards_zero(a, ONE)
    return high, a - high * ONE
