"""Curve's two-coin crypto pools in kernels; the exact twin is reference/curve_twocrypto.py.

A pool is the rows of a `uint64[11, 4]`, in this order: balances (2), precisions (2), price_scale,
A, gamma, D, mid_fee, out_fee, fee_gamma. `maths` and `harmonic` are the reference's
`TwocryptoPool.maths` and `harmonic_fee` as integers. The invariant, which no quote computes, is
the reference's alone.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.curve_crypto import (
    E10,
    E14,
    E16,
    E20,
    FEE_HARMONIC,
    FEE_REDUCED,
    MAX_D,
    MIN_D,
    MIN_GAMMA,
    NO_CONVERGENCE,
    OK,
    OVERFLOW,
    ROUNDS,
    TURN_TO_NEWTON,
    UNSAFE_VALUES,
    VIEW_ROUNDS,
    WAD,
    ZERO_AMOUNT,
    before_fee,
    cbrt,
    curvature,
    distance,
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

V2_0_0: Final = 0
V2_1_0: Final = 1
STABLESWAP: Final = 2
LEGACY: Final = 3

_E4 = constant(10**4)
_E32 = constant(10**32)
_E36 = constant(10**36)
_A_UNIT = constant(400_000_000)
_FIVE = constant(5)
_MIN_A = constant(4_000)
_MAX_A = constant(40_000_000)
_LEGACY_MAX_A = constant(4_000_000_000)
_V2_0_0_MAX_GAMMA = constant(2 * 10**15)
_V2_1_0_MAX_GAMMA = constant(199 * 10**15)
_LEGACY_MAX_GAMMA = constant(2 * 10**16)
_WIDE = constant(100 * 10**18)


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256)")
def scaled(good: bool, pool: Words, place: int, balance: Word) -> tuple[bool, Word]:
    """Return a balance as `xp`."""
    if place == 0:
        return umul(good, balance, load(pool, 2))
    good, value = umul(good, balance, load(pool, 4))
    good, value = umul(good, value, load(pool, 3))
    return good, div(value, WAD())


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256)")
def _unscaled(good: bool, pool: Words, place: int, amount: Word) -> tuple[bool, Word]:
    precision = load(pool, 2 + place)
    if place == 1:
        return unscaled(good, amount, load(pool, 4), precision)
    return udiv(good, amount, precision)


@kernel("Tuple((b1, U256))(b1, u8[:,::1], i8, U256, U256)")
def fee_at(good: bool, pool: Words, harmonic: int, x0: Word, x1: Word) -> tuple[bool, Word]:
    """Return the fee in 1e-10 at given `xp`, which are in the order of the coins."""
    mid, out, fee_gamma = load(pool, 8), load(pool, 9), load(pool, 10)
    good, total = uadd(good, x0, x1)
    good = good and total != ZERO()
    by_total = divisor(total)
    good, balance = umul(good, u256(4) * WAD(), x0)
    good, balance = umul(good, over(balance, by_total), x1)
    balance = over(balance, by_total)
    if harmonic:
        good, above = umul(good, fee_gamma, balance)
        good, below = uadd(good, div(above, WAD()), WAD())
    else:
        good, above = umul(good, fee_gamma, WAD())
        good, below = uadd(good, fee_gamma, WAD())
    good, below = usub(good, below, balance)
    good, weight = udiv(good, above, below)
    good, rest = usub(good, WAD(), weight)
    good, mid = umul(good, mid, weight)
    good, out = umul(good, out, rest)
    good, both = uadd(good, mid, out)
    return good, div(both, WAD())


@kernel("i8(U256)")
def _unfit(y: Word) -> int:
    """Return why a found balance is refused: its share overflows, or lies out of bounds."""
    fits, _ = umul(True, y, WAD())
    return UNSAFE_VALUES if fits else OVERFLOW


@kernel("b1(i8, U256, U256)")
def _are_safe(maths: int, amplification: Word, gamma: Word) -> bool:
    most_a, most_gamma = _MAX_A(), _V2_1_0_MAX_GAMMA()
    if maths == V2_0_0:
        most_gamma = _V2_0_0_MAX_GAMMA()
    elif maths == LEGACY:
        most_a, most_gamma = _LEGACY_MAX_A(), _LEGACY_MAX_GAMMA()
    fits = _MIN_A() <= amplification <= most_a
    return bool(fits and MIN_GAMMA() <= gamma and gamma <= most_gamma)


@kernel("b1(i8, U256, U256, U256)")
def _is_found(maths: int, y: Word, invariant: Word, limit: Word) -> bool:
    least, most = E16(), E20()
    if maths == V2_1_0:
        least, most = E16() >> 1, limit >> 1
        if limit != _WIDE():
            least = div(_E36() >> 1, limit)
    elif maths == V2_0_0:
        least -= ONE()
    return is_share(y, invariant, least, most)


@kernel("b1(i8, U256, U256, U256)")
def _is_given(maths: int, k0_invariant: Word, invariant: Word, limit: Word) -> bool:
    """Return whether K0 of the given balance, which comes times the invariant, lies in bounds."""
    least, most = E16() + E16(), E20() + E20()
    if maths == V2_1_0:
        least, most = E16(), limit
        if limit != _WIDE():
            least = div(_E36(), limit)
    return bool(least * invariant <= k0_invariant < (most + ONE()) * invariant)


@kernel("Tuple((i8, U256))(U256, U256, U256, U256)")
def _k0(a: Word, b: Word, c: Word, d: Word) -> tuple[int, Word]:
    """Return the real root of the cubic, if it is the only one."""
    below, magnitude = is_negative(b), abs_(b)
    by_b = divisor(magnitude)
    good, delta0 = checked_sub(True, signed_over(u256(3) * a * c, by_b, below), b)
    good, delta1 = checked_mul(good, u256(3), delta0)
    good, delta1 = checked_add(good, delta1, b)
    last = signed_over(u256(27) * a * a, by_b, below) * d
    good, delta1 = checked_sub(good, delta1, signed_over(last, by_b, below))
    good, square = checked_mul(good, delta0, delta0)
    good, square = checked_mul(good, square, u256(4))
    good, under = checked_mul(good, delta1, delta1)
    good, under = checked_add(good, under, signed_over(square, by_b, below) * delta0)
    if not good:
        return OVERFLOW, ZERO()
    if not slt(ZERO(), under):
        return TURN_TO_NEWTON, ZERO()
    root = isqrt(under)

    # Of positive numbers below 2^255 the cube root fits int256.
    good = True
    b_cbrt = cbrt(magnitude)
    if below:
        good, _ = checked_abs(good, b)
        b_cbrt = negate(b_cbrt)
    if slt(ZERO(), delta1):
        both = delta1 + root
        good = good and not is_negative(both)
        second = cbrt(both >> 1)
    else:
        both = root - delta1
        good = good and not is_negative(both)
        second = negate(cbrt(both >> 1))
    good, c1 = checked_mul(good, b_cbrt, b_cbrt)
    c1 = sdiv(sdiv(c1, WAD()) * second, WAD())
    scaled_b = WAD() * b
    good, k0 = checked_sub(good, WAD() * c1, scaled_b)
    good, turned = checked_div(good, scaled_b, c1)
    good, turned = checked_mul(good, turned, delta0)
    good, k0 = checked_sub(good, k0, turned)
    k0 = sdiv(k0, u256(3) * a)
    return (OK, k0) if good and not is_negative(k0) else (OVERFLOW, ZERO())


@kernel("Tuple((i8, U256, U256))(U256, U256, U256, U256, i8, U256)")
def _analytic_y(  # noqa: PLR0917  kernels are called by place
    amplification: Word, gamma: Word, invariant: Word, x: Word, maths: int, limit: Word
) -> tuple[int, Word, Word]:
    """Solve the cubic for the other balance and K0; a and d of it need no check, nor has D*D.

    Where the contract divides by one number and then by another, both rounded towards zero, the
    product of the two is divided by once.
    """
    if is_negative(x) or x == ZERO():
        return OVERFLOW, ZERO(), ZERO()
    good, k0_given = checked_mul(True, WAD() + WAD(), x)
    good, _ = checked_mul(good, x, u256(4))
    if not good:
        return OVERFLOW, ZERO(), ZERO()
    if not _is_given(maths, k0_given, invariant, limit):
        return UNSAFE_VALUES, ZERO(), ZERO()

    gamma2 = gamma * gamma
    ann_gamma2 = amplification * gamma2
    a = _E32()
    b = div(invariant * ann_gamma2, _A_UNIT() * x)
    b = b - u256(3) * _E32() - (gamma + gamma) * E14()
    pull = div(ann_gamma2 << 2, _A_UNIT())
    good, c = checked_mul(True, pull, x)
    c = div(c, invariant)
    c = u256(3) * _E32() + (gamma << 2) * E14() + div(gamma2, _E4()) + c - pull
    d = negate(div((WAD() + gamma) * (WAD() + gamma), _E4()))

    below, magnitude = is_negative(b), abs_(b)
    by_b = divisor(magnitude)
    # No product that is divided is -2^255, whose quotient by -1 overflows: all are multiples of 3.
    good, ac3 = checked_mul(good, u256(3) * a, c)
    good, delta0 = checked_sub(good and b != ZERO(), signed_over(ac3, by_b, below), b)
    good, delta1 = checked_mul(good, u256(3), delta0)
    good, delta1 = checked_add(good, delta1, b)
    good, last = checked_mul(good, signed_over(u256(27) * a * a, by_b, below), d)
    good, delta1 = checked_sub(good, delta1, signed_over(last, by_b, below))
    good, threshold = checked_abs(good, delta0)
    good, other = checked_abs(good, delta1)
    if not good:
        return OVERFLOW, ZERO(), ZERO()
    threshold = select(threshold < other, threshold, other)
    by_divider = divisor(scale_down(select(threshold < a, threshold, a), 24, 2))
    a, b = over(a, by_divider), signed_over(b, by_divider, False)
    c, d = signed_over(c, by_divider, False), signed_over(d, by_divider, False)

    status, k0 = _k0(a, b, c, d)
    if status != OK:
        return status, ZERO(), ZERO()
    y = sdiv(div(invariant * invariant, x) * k0, WAD() << 2)
    if is_negative(y):
        return OVERFLOW, ZERO(), ZERO()
    return OK, y, k0


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, i8, U256)")
def _newton_y(  # noqa: PLR0917  kernels are called by place
    amplification: Word, gamma: Word, invariant: Word, x: Word, maths: int, limit: Word
) -> tuple[int, Word]:
    good, below = umul(True, x, u256(4))
    good, start = udiv(good, invariant * invariant, below)
    good, k0_given = umul(good, WAD() + WAD(), x)
    if not good:
        return OVERFLOW, ZERO()
    if not _is_given(maths, k0_given, invariant, limit):
        return UNSAFE_VALUES, ZERO()
    k0_given = div(k0_given, invariant)
    near = div(select(x > invariant, x, invariant), E14())
    near = select(near > u256(100), near, u256(100))
    return newton_y(amplification, gamma, invariant, start, x, k0_given, near, 2)


@kernel("Tuple((i8, U256))(U256, U256, U256)")
def _stable_y(amplification: Word, x: Word, invariant: Word) -> tuple[int, Word]:
    good, ann = umul(True, amplification, u256(2))
    good, ann_double = umul(good, ann, u256(2))
    good, x_double = umul(good, x, u256(2))
    good, c = umul(good, invariant, invariant)
    good, c = udiv(good, c, x_double)
    good, c = umul(good, c, invariant)
    good, c = umul(good, c, u256(10_000))
    good, c = udiv(good, c, ann_double)
    good, b = umul(good, invariant, u256(10_000))
    good, b = udiv(good, b, ann)
    good, b = uadd(good, x, b)
    y = invariant
    for _ in range(ROUNDS):
        before = y
        good, above = umul(good, y, y)
        good, above = uadd(good, above, c)
        good, below = umul(good, u256(2), y)
        good, below = uadd(good, below, b)
        good, below = usub(good, below, invariant)
        good, y = udiv(good, above, below)
        if not good:
            return OVERFLOW, ZERO()
        if distance(y, before) <= ONE():
            return OK, y
    return NO_CONVERGENCE, ZERO()


@kernel("Tuple((i8, U256, U256))(u8[:,::1], i8, U256)")
def get_y(pool: Words, maths: int, x: Word) -> tuple[int, Word, Word]:
    """Return the other coin's `xp` on the curve when one's is `x`, and K0 there (or 0)."""
    amplification, gamma, invariant = load(pool, 5), load(pool, 6), load(pool, 7)
    if maths == STABLESWAP:
        status, y = _stable_y(amplification, x, invariant)
        return status, y, ZERO()
    if not _are_safe(maths, amplification, gamma):
        return UNSAFE_VALUES, ZERO(), ZERO()
    if invariant < MIN_D() or invariant > MAX_D():
        return UNSAFE_VALUES, ZERO(), ZERO()
    limit = _WIDE()
    if maths == V2_1_0 and gamma > _LEGACY_MAX_GAMMA():
        limit = div(_WIDE() * _LEGACY_MAX_GAMMA(), gamma)
    if maths != LEGACY:
        status, y, k0 = _analytic_y(amplification, gamma, invariant, x, maths, limit)
        if status == OK and not _is_found(maths, y, invariant, limit):
            status = _unfit(y)
        if status != TURN_TO_NEWTON:
            return status, y, k0
    status, y = _newton_y(amplification, gamma, invariant, x, maths, limit)
    if maths == LEGACY and status == OK and not _is_found(maths, y, invariant, limit):
        status = _unfit(y)
    return status, y, ZERO()


@kernel("Tuple((i8, U256, U256, U256))(u8[:,::1], i8, i8, i8, U256)")
def _paid(pool: Words, maths: int, harmonic: int, i: int, dx: Word) -> tuple[int, Word, Word, Word]:
    """Return what is paid, the fee, and what comes out before it as `xp`."""
    if dx == ZERO() and maths != LEGACY:
        return ZERO_AMOUNT, ZERO(), ZERO(), ZERO()
    good, taken = uadd(True, load(pool, i), dx)
    good, xp_in = scaled(good, pool, i, taken)
    good, xp_out = scaled(good, pool, 1 - i, load(pool, 1 - i))
    if not good:
        return OVERFLOW, ZERO(), ZERO(), ZERO()
    status, y, _ = get_y(pool, maths, xp_in)
    if status != OK:
        return status, ZERO(), ZERO(), ZERO()
    good, out = usub(True, xp_out, y)
    good, out = usub(good, out, ONE())
    good, dy = _unscaled(good, pool, 1 - i, out)
    first, second = (xp_in, y) if i == 0 else (y, xp_in)
    good, fee = fee_at(good, pool, harmonic, first, second)
    good, taken = umul(good, fee, dy)
    good, dy = usub(good, dy, div(taken, E10()))
    return (OK if good else OVERFLOW), dy, fee, out


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, U256)")
def exact_in(pool: Words, maths: int, harmonic: int, i: int, dx: Word) -> tuple[int, Word]:
    """Return what the pool pays of the other coin for `dx` of coin `i`: the views' get_dy."""
    status, dy, _, _ = _paid(pool, maths, harmonic, i, dx)
    return status, (dy if status == OK else ZERO())


@kernel("Tuple((i8, U256, f8))(u8[:,::1], i8, i8, i8, U256, U256)")
def shortfall(  # noqa: PLR0917  kernels are called by place
    pool: Words, maths: int, harmonic: int, i: int, dx: Word, wanted: Word
) -> tuple[int, Word, float]:
    """Return what is paid, and how much too little comes out before the fee, as `xp`, for that."""
    status, dy, fee, out = _paid(pool, maths, harmonic, i, dx)
    good, gross = before_fee(status == OK, wanted, fee)
    good, needed = scaled(good, pool, 1 - i, gross)
    return status, dy, signed_to_float(needed - out) if good else 0.0


@kernel("U256(u8[:,::1], i8, U256)")
def k0_given(pool: Words, i: int, dx: Word) -> Word:
    """Return K0 of coin `i` after an input that the maths takes."""
    _, xp_in = scaled(True, pool, i, load(pool, i) + dx)
    return div((WAD() + WAD()) * xp_in, load(pool, 7))


@kernel("U256(u8[:,::1], i8, U256)")
def least_with(pool: Words, i: int, k0: Word) -> Word:
    """Return the least input after which `k0_given` is at least `k0`."""
    xp_in = div_up(k0 * load(pool, 7), WAD() + WAD())
    return missing(xp_in, load(pool, 4) if i == 1 else WAD(), load(pool, 2 + i), load(pool, i))


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, U256)")
def exact_out(pool: Words, maths: int, harmonic: int, i: int, dy: Word) -> tuple[int, Word]:
    """Return about what the pool takes of coin `i` to pay `dy` of the other: the views' get_dx."""
    if dy == ZERO():
        return ZERO_AMOUNT, ZERO()
    j = 1 - i
    good, xp_before = scaled(True, pool, i, load(pool, i))
    dx, gross = ZERO(), dy
    for _ in range(VIEW_ROUNDS):
        good, left = usub(good, load(pool, j), gross)
        good, xp_out = scaled(good, pool, j, left)
        if not good:
            return OVERFLOW, ZERO()
        status, x, _ = get_y(pool, maths, xp_out)
        if status != OK:
            return status, ZERO()
        good, dx = usub(True, x, xp_before)
        good, dx = _unscaled(good, pool, i, dx)
        first, second = (x, xp_out) if i == 0 else (xp_out, x)
        good, fee = fee_at(good, pool, harmonic, first, second)
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
    one = to_float(load(pool, 2 + place))
    return one * to_float(load(pool, 4)) / 1e18 if place == 1 else one


@kernel("UniTuple(f8, 3)(u8[:,::1], i8, f8, f8)")
def balance_and_fee(
    pool: Words, harmonic: int, x_in: float, x_out: float
) -> tuple[float, float, float]:
    """Return the pool's balance at given `xp`, the fee there and its slope, as `fee_between`."""
    total = x_in + x_out
    balance = 4.0 * x_in * x_out / (total * total)
    mid, out = to_float(load(pool, 8)), to_float(load(pool, 9))
    fee_gamma = to_float(load(pool, 10)) / 1e18
    form = FEE_HARMONIC if harmonic else FEE_REDUCED
    fee, turn = fee_between(balance, mid, out, fee_gamma, form)
    return balance, fee, turn


@kernel("Tuple((i8, f8))(u8[:,::1], i8, i8, i8, f8, f8)")
def rate_at(  # noqa: PLR0917  kernels are called by place
    pool: Words, maths: int, harmonic: int, i: int, x_in: float, x_out: float
) -> tuple[int, float]:
    """Return how much more of the other coin comes out per unit more of coin `i`, at given `xp`."""
    amplification, invariant = to_float(load(pool, 5)), to_float(load(pool, 7))
    k0 = 4.0 * x_in / invariant * x_out / invariant
    if maths == STABLESWAP:
        near = invariant / (4.0 * x_in) * invariant / x_out * invariant
        far = 2.0 * amplification / 10_000.0
    else:
        near, far = curvature(k0, amplification, to_float(load(pool, 6)) / 1e18, invariant)
    balance, fee, turn = balance_and_fee(pool, harmonic, x_in, x_out)
    if fee < 0.0:
        return OVERFLOW, 0.0
    descent, mean = slope(x_in, x_out, near, far), (x_in + x_out) / 2.0
    j = 1 - i
    paid = to_float(load(pool, j)) * unit(pool, j) - x_out
    more = rate(x_in, x_out, mean, balance, descent, fee, turn, paid)
    return OK, more * unit(pool, i) / unit(pool, j)


@kernel("Tuple((i8, f8))(u8[:,::1], i8, i8, i8, U256)")
def marginal_rate(pool: Words, maths: int, harmonic: int, i: int, dx: Word) -> tuple[int, float]:
    """Return how much more of the other coin comes out per unit more of coin `i` after `dx`."""
    good, taken = uadd(True, load(pool, i), dx)
    good, xp_in = scaled(good, pool, i, taken)
    good, y = scaled(good, pool, 1 - i, load(pool, 1 - i))
    status = OK if good else OVERFLOW
    if good and dx != ZERO():
        status, y, _ = get_y(pool, maths, xp_in)
    if status != OK:
        return status, 0.0
    if xp_in == ZERO() or y == ZERO() or load(pool, 7) == ZERO():
        return UNSAFE_VALUES, 0.0
    return rate_at(pool, maths, harmonic, i, to_float(xp_in), to_float(y))
