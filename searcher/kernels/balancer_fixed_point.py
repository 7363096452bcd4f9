"""Balancer's 18-decimal fixed point, logarithm and power as kernels.

Sources: FixedPoint.sol and LogExpMath.sol of balancer-v2-monorepo and balancer-v3-monorepo, as
`searcher.kernels.reference.balancer_fixed_point` puts them plainly. A signed number is a magnitude
and a sign here: all its divisions round towards zero, so both signs take the same way.

Nearly all of LogExpMath divides by constants. Division by a constant is a multiplication by its
reciprocal: for x < 2^n and M = ceil(2^s / d), x // d == (x * M) >> s where s >= n + bits(d). Powers
of two are shifted out of x and d before, which leaves more bits for x.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    constant,
    div,
    load,
    mul512,
    mul_checked,
    pack,
    u256,
)
from searcher.kernels.u256 import div_up as quotient_up

_OK: Final = int(Status.OK)
_OVERFLOW: Final = int(Status.OVERFLOW)
_UNSAFE: Final = int(Status.UNSAFE_VALUES)


def _reciprocal(divisor: int, shift: int) -> int:
    return -(-(1 << shift) // divisor)


UNIT = constant(10**18)
TWO_UNITS = constant(2 * 10**18)
FOUR_UNITS = constant(4 * 10**18)
_ONE_20 = constant(10**20)
_ONE_36 = constant(10**36)
_MAX_POW_ERROR = constant(10_000)
_MILD_EXPONENT = constant(2**254 // 10**20)
_MAX_EXPONENT = constant(130 * 10**18)
_MIN_EXPONENT = constant(41 * 10**18)
_LN_36_LOWER = constant(9 * 10**17)
_LN_36_UPPER = constant(11 * 10**17)

_BY_1E18 = constant(_reciprocal(5**18, 280))
_BY_1E20 = constant(_reciprocal(5**20, 283))
_BY_1E20_NARROW = constant(_reciprocal(5**20, 174))
_BY_1E36 = constant(_reciprocal(5**36, 304))
_BY_1000 = constant(_reciprocal(125, 260))
_BY_100 = constant(_reciprocal(25, 260))

_A0 = constant(38_877_084_059_945_950_922_200_000_000_000_000_000_000_000_000_000_000_000)
_A1 = constant(6_235_149_080_811_616_882_910_000_000)
_A0_18 = constant(
    38_877_084_059_945_950_922_200_000_000_000_000_000_000_000_000_000_000_000 * 10**18
)
_A1_18 = constant(6_235_149_080_811_616_882_910_000_000 * 10**18)
_X0 = constant(128 * 10**18)
_X1 = constant(64 * 10**18)

_ROOTS: Final = (
    7_896_296_018_268_069_516_100_000_000_000_000,
    888_611_052_050_787_263_676_000_000,
    298_095_798_704_172_827_474_000,
    5_459_815_003_314_423_907_810,
    738_905_609_893_065_022_723,
    271_828_182_845_904_523_536,
    164_872_127_070_012_814_685,
    128_402_541_668_774_148_407,
    113_314_845_306_682_631_683,
    106_449_445_891_785_942_956,
)
"""e^32, e^16, ... e^(1/16), 20 decimals."""
_EXPONENTS = pack(10**20 * 2**5 // 2**k for k in range(len(_ROOTS)))
_VALUES = pack(_ROOTS)
_BY_VALUES = pack(_reciprocal(value, 227 + value.bit_length()) for value in _ROOTS)
_VALUE_SHIFTS: Final = tuple(227 + value.bit_length() - 256 for value in _ROOTS)
_ALL_ROOTS: Final = len(_ROOTS)
_EXP_ROOTS: Final = 8
_LAST_TERM: Final = 12
_BY_TERMS = pack(_reciprocal(5**20 * max(n, 1), 162) for n in range(_LAST_TERM + 1))
_BY_ODD = pack(_reciprocal(max(n, 2), 256) for n in range(16))
"""Reciprocals of 2 to 15 for numbers below 2^252."""


@kernel("U256(U256)")
def by_1e18(x: Word) -> Word:
    """Return x // 1e18."""
    return mul512(x >> 18, _BY_1E18())[0] >> 24


@kernel("U256(U256)")
def by_1000(x: Word) -> Word:
    """Return x // 1000."""
    return mul512(x >> 3, _BY_1000())[0] >> 4


@kernel("U256(U256)")
def _by_100(x: Word) -> Word:
    return mul512(x >> 2, _BY_100())[0] >> 4


@kernel("U256(U256)")
def _by_1e20(x: Word) -> Word:
    return mul512(x >> 20, _BY_1E20())[0] >> 27


@kernel("U256(U256)")
def _by_1e20_narrow(x: Word) -> Word:
    """Return x // 1e20 of x < 2^147."""
    return ((x >> 20) * _BY_1E20_NARROW()) >> 174


@kernel("U256(U256)")
def _by_1e36(x: Word) -> Word:
    return mul512(x >> 36, _BY_1E36())[0] >> 48


# ---- checked fixed point: each returns whether it fits, and the number


@kernel("Tuple((b1, U256))(U256, U256)")
def mul_down(a: Word, b: Word) -> tuple[bool, Word]:
    """Return a * b / 1e18 rounded down."""
    fits, product = mul_checked(a, b)
    return fits, by_1e18(product)


@kernel("Tuple((b1, U256))(U256, U256)")
def mul_up(a: Word, b: Word) -> tuple[bool, Word]:
    """Return a * b / 1e18 rounded up."""
    fits, product = mul_checked(a, b)
    if product == ZERO():
        return fits, product
    return fits, by_1e18(product - ONE()) + ONE()


@kernel("Tuple((b1, U256))(U256, U256)")
def div_down(a: Word, b: Word) -> tuple[bool, Word]:
    """Return a * 1e18 / b rounded down; by zero it does not fit."""
    fits, inflated = mul_checked(a, UNIT())
    return fits and b != ZERO(), div(inflated, b)


@kernel("Tuple((b1, U256))(U256, U256)")
def div_up(a: Word, b: Word) -> tuple[bool, Word]:
    """Return a * 1e18 / b rounded up; by zero it does not fit."""
    fits, inflated = mul_checked(a, UNIT())
    return fits and b != ZERO(), quotient_up(inflated, b)


@kernel("U256(U256)")
def complement(x: Word) -> Word:
    """Return 1 - x, or 0 where x is above 1."""
    return UNIT() - x if x < UNIT() else ZERO()


# ---- powers


@kernel("U256(U256)")
def _ln(a: Word) -> Word:
    """Return the magnitude of ln a, 18 decimals; it is negative for `a` below 1."""
    total = ZERO()
    if a < UNIT():
        a = div(_ONE_36(), a)
    if a >= _A0_18():
        a = div(a, _A0())
        total = total + _X0()
    if a >= _A1_18():
        a = div(a, _A1())
        total = total + _X1()
    total = total * u256(100)
    a = a * u256(100)
    for k in range(_ALL_ROOTS):
        if a >= load(_VALUES, k):
            # a * 1e20 is below 2^227: what is left of `a` is below e^64, 20 decimals
            a = mul512(a * _ONE_20(), load(_BY_VALUES, k))[0] >> _VALUE_SHIFTS[k]
            total = total + load(_EXPONENTS, k)
    z = div((a - _ONE_20()) * _ONE_20(), a + _ONE_20())
    squared = _by_1e20_narrow(z * z)
    term = z
    series = z
    for n in range(3, 12, 2):
        term = _by_1e20_narrow(term * squared)
        series = series + mul512(term, load(_BY_ODD, n))[0]
    return _by_100(total + (series << 1))


@kernel("U256(U256)")
def _ln_36(x: Word) -> Word:
    """Return the magnitude of ln x for x near 1, 36 decimals; it is negative for x below 1."""
    distance = (x - UNIT() if x >= UNIT() else UNIT() - x) * UNIT()
    z = div(distance * _ONE_36(), x * UNIT() + _ONE_36())
    squared = _by_1e36(z * z)
    term = z
    series = z
    for n in range(3, 16, 2):
        term = _by_1e36(term * squared)
        series = series + mul512(term, load(_BY_ODD, n))[0]
    return series << 1


@kernel("U256(U256)")
def _exponential(x: Word) -> Word:
    """Return e^x for x of 0 to 130, 18 decimals."""
    first = ONE()
    if x >= _X0():
        x = x - _X0()
        first = _A0()
    elif x >= _X1():
        x = x - _X1()
        first = _A1()
    x = x * u256(100)
    product = _ONE_20()
    for k in range(_EXP_ROOTS):
        exponent = load(_EXPONENTS, k)
        if x >= exponent:
            x = x - exponent
            product = _by_1e20(product * load(_VALUES, k))
    # What is left of x is below 1/4, so each term is below 2^65.
    series = _ONE_20() + x
    term = x
    for n in range(2, _LAST_TERM + 1):
        term = (((term * x) >> 20) * load(_BY_TERMS, n)) >> 162
        series = series + term
    return _by_100(_by_1e20(product * series) * first)


@kernel("Tuple((i8, U256))(U256, U256)")
def power(x: Word, y: Word) -> tuple[int, Word]:
    """Return x^y as exp(y ln x), with the error of that way."""
    if y == ZERO():
        return _OK, UNIT()
    if x == ZERO():
        return _OK, x
    if (x >> 255) != ZERO() or y >= _MILD_EXPONENT():
        return _UNSAFE, ZERO()
    negative = x < UNIT()
    if _LN_36_LOWER() < x < _LN_36_UPPER():
        logarithm = _ln_36(x)
        high = by_1e18(logarithm)
        low = logarithm - high * UNIT()
        product = by_1e18(high * y + by_1e18(low * y))
    else:
        product = by_1e18(_ln(x) * y)
    if product > (_MIN_EXPONENT() if negative else _MAX_EXPONENT()):
        return _UNSAFE, ZERO()
    raw = _exponential(product)
    if negative and product != ZERO():
        return _OK, div(_ONE_36(), raw)
    return _OK, raw


@kernel("Tuple((i8, U256))(U256, U256, b1)")
def pow_up(x: Word, y: Word, exact_powers: bool) -> tuple[int, Word]:
    """Return x^y rounded up; `exact_powers` multiplies exponents of 1, 2 and 4 out."""
    if exact_powers:
        if y == UNIT():
            return _OK, x
        if y == TWO_UNITS() or y == FOUR_UNITS():
            fits, square = mul_up(x, x)
            if fits and y == FOUR_UNITS():
                fits, square = mul_up(square, square)
            return (_OK if fits else _OVERFLOW), square
    status, raw = power(x, y)
    if status != _OK:
        return status, raw
    fits, error = mul_up(raw, _MAX_POW_ERROR())
    total = raw + error + ONE()  # both lie far below 2^255
    return (_OK if fits else _OVERFLOW), total
