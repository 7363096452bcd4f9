"""Curve's three-coin crypto pools in kernels; the exact twin is reference/curve_tricrypto.py.

A pool is the rows of a `uint64[14, 4]`, in this order: balances (3), precisions (3), price scales
of the second and third coin (2), A, gamma, D, mid_fee, out_fee, fee_gamma. `maths` is the
reference's `TricryptoPool.maths` as an integer. The invariant, which no quote computes, is the
reference's alone.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.curve_crypto import (
    E10,
    E14,
    E16,
    E20,
    FEE_LINEAR,
    FEE_REDUCED,
    MAX_D,
    MIN_D,
    MIN_GAMMA,
    OK,
    OVERFLOW,
    TURN_TO_NEWTON,
    UNSAFE_VALUES,
    VIEW_ROUNDS,
    WAD,
    ZERO_AMOUNT,
    before_fee,
    cbrt,
    curvature,
    fee_between,
    is_share,
    missing,
    newton_y,
    rate,
    scale_down,
    signed_to_float,
    slope,
    unscaled,
)
from searcher.kernels.divisors import divisor, over, signed_over
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    abs_,
    constant,
    div,
    div_up,
    is_negative,
    isqrt,
    load,
    negate,
    sdiv,
    select,
    slt,
    to_float,
    u256,
)
from searcher.kernels.vyper import (
    checked_abs,
    checked_add,
    checked_div,
    checked_mul,
    checked_sub,
    uadd,
    udiv,
    umul,
    usub,
)

LEGACY: Final = 1

_A = constant(10**36 // 27)
_NINTH = constant(10**36 // 9)
_MIN_A = constant(2_700)
_MAX_A = constant(270_000_000)
_MAX_GAMMA = constant(5 * 10**16)


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256)")
def scaled(good: bool, pool: Words, place: int, balance: Word) -> tuple[bool, Word]:
    """Return a balance as `xp`."""
    if place == 0:
        return umul(good, balance, load(pool, 3))
    good, value = umul(good, balance, load(pool, 5 + place))
    good, value = umul(good, value, load(pool, 3 + place))
    return good, div(value, WAD())


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256)")
def _unscaled(good: bool, pool: Words, place: int, amount: Word) -> tuple[bool, Word]:
    precision = load(pool, 3 + place)
    if place > 0:
        return unscaled(good, amount, load(pool, 5 + place), precision)
    return udiv(good, amount, precision)


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256, i8, U256, U256)")
def fee_at(  # noqa: PLR0917  kernels are called by place
    good: bool, pool: Words, i: int, x_i: Word, j: int, x_j: Word, x_k: Word
) -> tuple[bool, Word]:
    """Return the fee in 1e-10 at given `xp`: of coins `i`, `j` and the one that is left."""
    mid, out, fee_gamma = load(pool, 11), load(pool, 12), load(pool, 13)
    good, total = uadd(good, x_i, x_j)
    good, total = uadd(good, total, x_k)
    good = good and total != ZERO()
    by_total = divisor(total)
    weight = WAD()
    for place in range(3):  # in the order of the coins: it decides the rounding
        x = x_k
        if place == i:
            x = x_i
        elif place == j:
            x = x_j
        good, weight = umul(good, weight, u256(3))
        good, weight = umul(good, weight, x)
        weight = over(weight, by_total)
    if fee_gamma != ZERO():
        good, above = umul(good, fee_gamma, WAD())
        good, below = uadd(good, fee_gamma, WAD())
        good, below = usub(good, below, weight)
        good, weight = udiv(good, above, below)
    good, rest = usub(good, WAD(), weight)
    good, mid = umul(good, mid, weight)
    good, out = umul(good, out, rest)
    good, both = uadd(good, mid, out)
    return good, div(both, WAD())


@kernel("i8(U256)")
def _unfit(balance: Word) -> int:
    """Return why a balance is refused: its share overflows, or lies out of bounds."""
    fits, _ = umul(True, balance, WAD())
    return UNSAFE_VALUES if fits else OVERFLOW


@kernel("i8(U256, U256)")
def _check_given(balance: Word, invariant: Word) -> int:
    return OK if is_share(balance, invariant, E16(), E20()) else _unfit(balance)


@kernel("Tuple((i8, U256))(U256, U256, U256, U256)")
def _k0(a: Word, b: Word, c: Word, d: Word) -> tuple[int, Word]:
    """Return the real root of the cubic, if it is the only one, times `a`."""
    below, magnitude = is_negative(b), abs_(b)
    by_b = divisor(magnitude)
    good, ac3 = checked_mul(True, u256(3) * a, c)
    good, delta0 = checked_sub(good, signed_over(ac3, by_b, below), b)
    good, delta1 = checked_mul(good, u256(3), ac3)
    good, delta1 = checked_sub(good, signed_over(delta1, by_b, below), b + b)
    good, last = checked_mul(good, a, a)
    good, last = checked_mul(good, u256(27), last)
    good, last = checked_mul(good, signed_over(last, by_b, below), d)
    good, delta1 = checked_sub(good, delta1, signed_over(last, by_b, below))
    good, square = checked_mul(good, delta0, delta0)
    good, square = checked_mul(good, u256(4), square)
    good, square = checked_mul(good, signed_over(square, by_b, below), delta0)
    good, under = checked_mul(good, delta1, delta1)
    good, under = checked_add(good, under, square)
    if not good:
        return OVERFLOW, ZERO()
    if not slt(ZERO(), under):
        return TURN_TO_NEWTON, ZERO()
    root = isqrt(under)

    # Of positive numbers below 2^255 the cube root fits int256.
    good, _ = checked_abs(True, b)
    b_cbrt = cbrt(magnitude)
    if below:
        b_cbrt = negate(b_cbrt)
    if slt(ZERO(), delta1):
        good, both = checked_add(good, delta1, root)
        good = good and not is_negative(both)
        second = cbrt(both >> 1)
    else:
        good, both = checked_sub(good, delta1, root)
        good, both = checked_sub(good, ZERO(), both)
        good = good and not is_negative(both)
        second = negate(cbrt(both >> 1))
    good, c1 = checked_mul(good, b_cbrt, b_cbrt)
    good, c1 = checked_mul(good, sdiv(c1, WAD()), second)
    c1 = sdiv(c1, WAD())
    good, turned = checked_mul(good, b, delta0)
    good, turned = checked_div(good, turned, c1)
    good, k0 = checked_add(good, b, turned)
    good, k0 = checked_sub(good, k0, c1)
    return (OK, sdiv(k0, u256(3))) if good else (OVERFLOW, ZERO())


@kernel("Tuple((i8, U256, U256))(U256, U256, U256, U256, U256)")
def _analytic_y(
    amplification: Word, gamma: Word, invariant: Word, x_j: Word, x_k: Word
) -> tuple[int, Word, Word]:
    """Solve the cubic for the third balance and K0; the shares of the two others are checked.

    Where the contract divides by one number and then by another, both rounded towards zero, the
    product of the two is divided by once.
    """
    gamma2 = gamma * gamma
    by_x = divisor(x_j)
    b = over(invariant * invariant, by_x) * gamma2
    good, b = checked_mul(True, b, amplification)
    b = sdiv(b, u256(729 * 10_000) * x_k)
    b = _NINTH() + div((WAD() + WAD()) * gamma, u256(27)) - b
    c = sdiv(gamma2 * (x_j + x_k - invariant), invariant) * amplification
    c = sdiv(c, u256(27 * 10_000))
    c = _NINTH() + div(gamma * (gamma + (WAD() << 2)), u256(27)) + c
    d = div((WAD() + gamma) * (WAD() + gamma), u256(27))

    a = _A()
    good, delta0 = checked_mul(good, u256(3) * a, c)
    good, delta0 = checked_div(good, delta0, b)
    good, delta0 = checked_sub(good, delta0, b)
    good, threshold = checked_abs(good, delta0)
    if not good:
        return OVERFLOW, ZERO(), ZERO()
    divider = scale_down(threshold, 24, 4)
    if a > abs_(b):
        extra = abs_(sdiv(a, b))
        a = a * extra
        good, b = checked_mul(good, b, extra)
        good, c = checked_mul(good, c, extra)
        good, d = checked_mul(good, d, extra)
    else:
        divider = divider * div(abs_(b), a)
    if not good:
        return OVERFLOW, ZERO(), ZERO()
    by_divider = divisor(divider)
    a, b = signed_over(a, by_divider, False), signed_over(b, by_divider, False)
    c, d = signed_over(c, by_divider, False), signed_over(d, by_divider, False)
    status, k0 = _k0(a, b, c, d)
    if status != OK:
        return status, ZERO(), ZERO()

    good, y = checked_mul(True, div(invariant * invariant, u256(27) * x_k), invariant)
    good, y = checked_mul(good, over(y, by_x), k0)
    by_a = divisor(a)
    y = signed_over(y, by_a, False)
    good, k0 = checked_mul(good, WAD(), k0)
    k0 = signed_over(k0, by_a, False)
    if not good or is_negative(y) or is_negative(k0):
        return OVERFLOW, ZERO(), ZERO()
    return OK, y, k0


@kernel("U256(U256, U256, U256)")
def _k0_given(high: Word, low: Word, invariant: Word) -> Word:
    """Return K0 of two balances whose shares are checked, so that nothing overflows."""
    return div(div(WAD() * u256(3) * high, invariant) * low * u256(3), invariant)


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256)")
def _newton_y(
    amplification: Word, gamma: Word, invariant: Word, first: Word, second: Word
) -> tuple[int, Word]:
    high, low = select(first > second, first, second), select(first > second, second, first)
    good, start = umul(True, div(invariant, u256(3)), invariant)
    good, start = umul(good, div(start, low * u256(3)), invariant)
    start = div(start, high * u256(3))
    good, k0_given = umul(good, WAD() * u256(3), high)
    good, k0_given = umul(good, div(k0_given, invariant), low * u256(3))
    k0_given = div(k0_given, invariant)
    if not good:
        return OVERFLOW, ZERO()
    near = div(select(high > invariant, high, invariant), E14())
    near = select(near > u256(100), near, u256(100))
    return newton_y(
        amplification, gamma, invariant, start, low + high, _k0_given(high, low, invariant), near, 3
    )


@kernel("Tuple((i8, U256, U256))(u8[:,::1], i8, U256, U256, b1)")
def get_y(pool: Words, maths: int, x: Word, x_rest: Word, in_order: bool) -> tuple[int, Word, Word]:
    """Return the `xp` that two others leave on the curve, and K0 there (or 0).

    Args:
        pool: the pool.
        maths: which contract solves it.
        x: the `xp` of a coin.
        x_rest: the `xp` of another.
        in_order: whether `x` is the one that comes first among the pool's coins.
    """
    amplification, gamma, invariant = load(pool, 8), load(pool, 9), load(pool, 10)
    x_j, x_k = select(in_order, x, x_rest), select(in_order, x_rest, x)
    if not (_MIN_A() <= amplification <= _MAX_A()):
        return UNSAFE_VALUES, ZERO(), ZERO()
    if not (MIN_GAMMA() <= gamma <= _MAX_GAMMA()):
        return UNSAFE_VALUES, ZERO(), ZERO()
    if not (MIN_D() <= invariant <= MAX_D()):
        return UNSAFE_VALUES, ZERO(), ZERO()
    status = _check_given(x_j, invariant)
    if status == OK:
        status = _check_given(x_k, invariant)
    if status != OK:
        return status, ZERO(), ZERO()
    if maths != LEGACY:
        status, y, k0 = _analytic_y(amplification, gamma, invariant, x_j, x_k)
        if status == OK and not is_share(y, invariant, E16() - ONE(), E20()):
            status = _unfit(y)
        if status != TURN_TO_NEWTON:
            return status, y, k0
    status, y = _newton_y(amplification, gamma, invariant, x_j, x_k)
    if status == OK and not is_share(y, invariant, E16(), E20()):
        status = _unfit(y)
    return status, y, ZERO()


@kernel("Tuple((i8, U256, U256, U256))(u8[:,::1], i8, i8, i8, U256)")
def _paid(pool: Words, maths: int, i: int, j: int, dx: Word) -> tuple[int, Word, Word, Word]:
    """Return what is paid, the fee, and what comes out before it as `xp`."""
    if dx == ZERO():
        return ZERO_AMOUNT, ZERO(), ZERO(), ZERO()
    k = 3 - i - j
    good, taken = uadd(True, load(pool, i), dx)
    good, xp_in = scaled(good, pool, i, taken)
    good, xp_out = scaled(good, pool, j, load(pool, j))
    good, xp_rest = scaled(good, pool, k, load(pool, k))
    if not good:
        return OVERFLOW, ZERO(), ZERO(), ZERO()
    status, y, _ = get_y(pool, maths, xp_in, xp_rest, i < k)
    if status != OK:
        return status, ZERO(), ZERO(), ZERO()
    good, out = usub(True, xp_out, y)
    good, out = usub(good, out, ONE())
    good, dy = _unscaled(good, pool, j, out)
    good, fee = fee_at(good, pool, i, xp_in, j, y, xp_rest)
    good, taken = umul(good, fee, dy)
    good, dy = usub(good, dy, div(taken, E10()))
    return (OK if good else OVERFLOW), dy, fee, out


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, U256)")
def exact_in(pool: Words, maths: int, i: int, j: int, dx: Word) -> tuple[int, Word]:
    """Return what the pool pays of coin `j` for `dx` of coin `i`: the views' get_dy."""
    status, dy, _, _ = _paid(pool, maths, i, j, dx)
    return status, (dy if status == OK else ZERO())


@kernel("Tuple((i8, U256, f8))(u8[:,::1], i8, i8, i8, U256, U256)")
def shortfall(  # noqa: PLR0917  kernels are called by place
    pool: Words, maths: int, i: int, j: int, dx: Word, wanted: Word
) -> tuple[int, Word, float]:
    """Return what is paid, and how much too little comes out before the fee, as `xp`, for that."""
    status, dy, fee, out = _paid(pool, maths, i, j, dx)
    good, gross = before_fee(status == OK, wanted, fee)
    good, needed = scaled(good, pool, j, gross)
    return status, dy, signed_to_float(needed - out) if good else 0.0


@kernel("U256(u8[:,::1], i8, i8, U256)")
def k0_given(pool: Words, i: int, j: int, dx: Word) -> Word:
    """Return K0 of the coins that are given after an input that the maths takes."""
    k = 3 - i - j
    _, x_in = scaled(True, pool, i, load(pool, i) + dx)
    _, x_rest = scaled(True, pool, k, load(pool, k))
    return _k0_given(
        select(x_in > x_rest, x_in, x_rest), select(x_in > x_rest, x_rest, x_in), load(pool, 10)
    )


@kernel("U256(u8[:,::1], i8, i8, U256)")
def least_with(pool: Words, i: int, j: int, k0: Word) -> Word:
    """Return the least input after which `k0_given` is at least `k0`.

    It may be another where coin `i` overtakes the third coin meanwhile.
    """
    k, invariant = 3 - i - j, load(pool, 10)
    _, x_in = scaled(True, pool, i, load(pool, i))
    _, x_rest = scaled(True, pool, k, load(pool, k))
    unit, per_rest = WAD() * u256(3), x_rest * u256(3)
    if x_in < x_rest:
        x_in = div_up(k0 * invariant, div(unit * x_rest, invariant) * u256(3))
    else:
        x_in = div_up(div_up(k0 * invariant, per_rest) * invariant, unit)
    scale = load(pool, 5 + i) if i > 0 else WAD()
    return missing(x_in, scale, load(pool, 3 + i), load(pool, i))


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, U256)")
def exact_out(pool: Words, maths: int, i: int, j: int, dy: Word) -> tuple[int, Word]:
    """Return about what the pool takes of coin `i` to pay `dy` of coin `j`: the views' get_dx."""
    if dy == ZERO():
        return ZERO_AMOUNT, ZERO()
    k = 3 - i - j
    good, x_before = scaled(True, pool, i, load(pool, i))
    good, x_rest = scaled(good, pool, k, load(pool, k))
    dx, gross = ZERO(), dy
    for _ in range(VIEW_ROUNDS):
        good, left = usub(good, load(pool, j), gross)
        good, x_out = scaled(good, pool, j, left)
        if not good:
            return OVERFLOW, ZERO()
        status, x, _ = get_y(pool, maths, x_out, x_rest, j < k)
        if status != OK:
            return status, ZERO()
        good, dx = usub(True, x, x_before)
        good, dx = _unscaled(good, pool, i, dx)
        good, fee = fee_at(good, pool, i, x, j, x_out, x_rest)
        good, fee = umul(good, fee, gross)
        before = gross
        good, gross = uadd(good, dy, div(fee, E10()))
        good, gross = uadd(good, gross, ONE())
        if not good:
            return OVERFLOW, ZERO()
        if gross == before:  # the rounds that are left would repeat this one
            break
    return OK, dx


@kernel("f8(u8[:,::1], i8)")
def unit(pool: Words, place: int) -> float:
    """Return the `xp` of one smallest unit."""
    one = to_float(load(pool, 3 + place))
    return one * to_float(load(pool, 5 + place)) / 1e18 if place > 0 else one


@kernel("UniTuple(f8, 3)(u8[:,::1], f8, f8, f8)")
def balance_and_fee(
    pool: Words, x_in: float, x_out: float, x_rest: float
) -> tuple[float, float, float]:
    """Return the pool's balance at given `xp`, the fee there and its slope, as `fee_between`."""
    total = x_in + x_out + x_rest
    balance = 27.0 * (x_in / total) * (x_out / total) * (x_rest / total)
    mid, out = to_float(load(pool, 11)), to_float(load(pool, 12))
    fee_gamma = to_float(load(pool, 13)) / 1e18
    form = FEE_REDUCED if fee_gamma > 0.0 else FEE_LINEAR
    fee, turn = fee_between(balance, mid, out, fee_gamma, form)
    return balance, fee, turn


@kernel("Tuple((i8, f8))(u8[:,::1], i8, i8, f8, f8, f8)")
def rate_at(  # noqa: PLR0917  kernels are called by place
    pool: Words, i: int, j: int, x_in: float, x_out: float, x_rest: float
) -> tuple[int, float]:
    """Return how much more of coin `j` comes out per unit more of coin `i`, at given `xp`."""
    amplification, invariant = to_float(load(pool, 8)), to_float(load(pool, 10))
    k0 = 27.0 * x_in / invariant * x_out / invariant * x_rest / invariant
    near, far = curvature(k0, amplification, to_float(load(pool, 9)) / 1e18, invariant)
    balance, fee, turn = balance_and_fee(pool, x_in, x_out, x_rest)
    if fee < 0.0:
        return OVERFLOW, 0.0
    descent, mean = slope(x_in, x_out, near, far), (x_in + x_out + x_rest) / 3.0
    paid = to_float(load(pool, j)) * unit(pool, j) - x_out
    more = rate(x_in, x_out, mean, balance, descent, fee, turn, paid)
    return OK, more * unit(pool, i) / unit(pool, j)


@kernel("Tuple((i8, f8))(u8[:,::1], i8, i8, i8, U256)")
def marginal_rate(pool: Words, maths: int, i: int, j: int, dx: Word) -> tuple[int, float]:
    """Return how much more of coin `j` comes out per unit more of coin `i` after `dx`."""
    k = 3 - i - j
    good, taken = uadd(True, load(pool, i), dx)
    good, xp_in = scaled(good, pool, i, taken)
    good, y = scaled(good, pool, j, load(pool, j))
    good, xp_rest = scaled(good, pool, k, load(pool, k))
    status = OK if good else OVERFLOW
    if good and dx != ZERO():
        status, y, _ = get_y(pool, maths, xp_in, xp_rest, i < k)
    if status != OK:
        return status, 0.0
    if xp_in == ZERO() or y == ZERO() or xp_rest == ZERO() or load(pool, 10) == ZERO():
        return UNSAFE_VALUES, 0.0
    return rate_at(pool, i, j, to_float(xp_in), to_float(y), to_float(xp_rest))
