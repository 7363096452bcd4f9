"""Curve StableSwap-NG on 256-bit integers; the exact twin is `reference/curve_stable_ng.py`.

A pool is one array of U256 rows, made by `rows` and completed once per state by `prepare`: the
invariant does not depend on the swap. Every kernel returns a `Status` first and never wraps.
"""

# A kernel takes flat arguments, and says at each step where the contract would revert.
# ruff: noqa: C901, PLR0912, PLR0917

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curve_stable import get_d, get_y, rule_bits
from searcher.kernels.reference.curve_stable import Rules
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    add_checked,
    bit_length,
    constant,
    div,
    load,
    mul_checked,
    pack,
    store,
    sub_checked,
    to_float,
    u256,
)

VIEW_AMP: Final = 0
AMP: Final = 1
VIEW_D: Final = 2
D: Final = 3
FEE: Final = 4
MULTIPLIER: Final = 5
SUPPLY: Final = 6
SIDES: Final = 7
"""Rows of a pool: A() * 100 and A_precise(), the invariant for each (filled in by `prepare`), fee
and off-peg multiplier in 1e-10, total supply of LP tokens; from `SIDES` on the scaled balances
(filled in by `prepare`), then the rates, then the balances, one row a coin."""

_WAD = constant(10**18)
_FEE_UNIT = constant(10**10)
_ADMIN_FEE = constant(5 * 10**9)
_A_PRECISION = constant(100)
_FOUR = constant(4)
_RULES: Final = rule_bits(Rules())
_SECANT_ROUNDS: Final = 8
_WAD_BITS: Final = 60
_ORACLE_BITS: Final = 128

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY: Final = int(Status.EMPTY_POOL)
_NO_LIQUIDITY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_UNSAFE: Final = int(Status.UNSAFE_VALUES)
_TOO_SMALL: Final = int(Status.TOO_SMALL)
_UNKNOWN_TOKEN: Final = int(Status.UNKNOWN_TOKEN)
_SAME_TOKEN: Final = int(Status.SAME_TOKEN)


def rows(
    balances: Sequence[int],
    rates: Sequence[int],
    amp: int,
    fee: int,
    offpeg_fee_multiplier: int,
    total_supply: int = 0,
) -> Words:
    """Return a pool's rows: uint64[7 + 3 * coins, 4], to be completed by `prepare`.

    Args:
        balances: of each coin, smallest units, net of the admin's share.
        rates: of each coin, as stored_rates() answers.
        amp: A_precise().
        fee: in 1e-10.
        offpeg_fee_multiplier: in 1e-10.
        total_supply: of the LP token.
    """
    nothing = [0] * len(balances)
    head = [amp // 100 * 100, amp, 0, 0, fee, offpeg_fee_multiplier, total_supply]
    return pack([*head, *nothing, *rates, *balances])


# ---- the invariant


@kernel("Tuple((i8, U256))(U256, U256, U256)")
def portion(a: Word, b: Word, d: Word) -> tuple[int, Word]:
    """Return `a * b // d` where the product fits and `d` is not zero."""
    fits, product = mul_checked(a, b)
    if not fits or d == ZERO():
        return _OVERFLOW, ZERO()
    return _OK, div(product, d)


@kernel("U256(U256, i8)")
def _power(base: Word, exponent: int) -> Word:
    result = ONE()
    for _ in range(exponent):
        result *= base
    return result


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, U256)")
def invariant(sides: Words, first: int, n: int, amp: Word) -> tuple[int, Word]:
    """Return get_D of the rows from `first` on: the arithmetic of the newest plain pools."""
    return get_d(sides, first, n, amp, _RULES)


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, i8, U256, U256, U256)")
def side(
    sides: Words, first: int, n: int, missing: int, changed: int, x: Word, amp: Word, d: Word
) -> tuple[int, Word]:
    """Return the balance `missing` that keeps `d`, with `x` in the place of `changed`."""
    return get_y(sides, first, n, changed, x, missing, amp, d, _RULES)


@kernel("i8(u8[:,::1])")
def coins(pool: Words) -> int:
    """Return how many coins a pool's rows hold."""
    return int(pool.shape[0] - SIDES) // 3


@kernel("i8(u8[:,::1])")
def prepare(pool: Words) -> int:
    """Fill in the scaled balances and the invariants; once for each state of the pool.

    Returns:
        The status; unless it is OK, nothing can be quoted on these rows.
    """
    n = coins(pool)
    for k in range(n):
        fits, x = mul_checked(load(pool, SIDES + n + k), load(pool, SIDES + 2 * n + k))
        if not fits:
            return _OVERFLOW
        store(pool, SIDES + k, div(x, _WAD()))
    amp, view_amp = load(pool, AMP), load(pool, VIEW_AMP)
    status, d = invariant(pool, SIDES, n, view_amp)
    if status != _OK:
        return status
    store(pool, VIEW_D, d)
    if amp != view_amp:
        status, d = invariant(pool, SIDES, n, amp)
    store(pool, D, d)
    return status


# ---- the price oracles, which a swap or a change of liquidity updates


@kernel("i8(u8[:,::1], i8, i8, i8, U256, i8, U256, U256, U256)")
def _oracles_exactly(
    sides: Words, first: int, n: int, i: int, x: Word, j: int, y: Word, amp: Word, d: Word
) -> int:
    dr = div(d, _power(u256(n), n))
    for k in range(n):
        value = x if k == i else y if k == j else load(sides, first + k)
        fits, dr = mul_checked(dr, d)
        if not fits:
            return _OVERFLOW
        if value == ZERO():
            return _EMPTY
        dr = div(dr, value)
    start = x if i == 0 else y if j == 0 else load(sides, first)
    fits, base = mul_checked(amp * u256(n), start)
    if not fits:
        return _OVERFLOW
    base = div(base, _A_PRECISION())
    for k in range(1, n):
        value = x if k == i else y if k == j else load(sides, first + k)
        fits1, part = mul_checked(dr, start)
        fits2, part = add_checked(base, div(part, value))
        fits3, part = mul_checked(_WAD(), part)
        fits4, below = add_checked(base, dr)
        if not (fits1 and fits2 and fits3 and fits4) or below == ZERO():
            return _OVERFLOW
    if bit_length(d) > _ORACLE_BITS:
        return _UNSAFE
    return _OK


@kernel("i8(u8[:,::1], i8, i8, i8, U256, i8, U256, U256, U256)")
def oracles(
    sides: Words, first: int, n: int, i: int, x: Word, j: int, y: Word, amp: Word, d: Word
) -> int:
    """Return where upkeep_oracles() would revert, with `x` and `y` in the places `i` and `j`."""
    if bit_length(d) > _ORACLE_BITS:
        return _oracles_exactly(sides, first, n, i, x, j, y, amp, d)
    # Bounds in bits prove ordinary pools safe without a division.
    bits_d = bit_length(d)
    bits_dr = bits_d
    most = bits_d
    for k in range(n):
        value = x if k == i else y if k == j else load(sides, first + k)
        if value == ZERO():
            return _EMPTY
        most = max(most, bits_dr + bits_d)
        bits_dr = bits_dr + bits_d - bit_length(value) + 1
    start = x if i == 0 else y if j == 0 else load(sides, first)
    bits_start = bit_length(start)
    bits_first = bit_length(amp) + 4 + bits_start
    bits_above = max(bits_first, bits_dr + bits_start) + 1 + _WAD_BITS
    if max(most, bits_above) <= 255 and amp * u256(n) >= _A_PRECISION():
        return _OK
    return _oracles_exactly(sides, first, n, i, x, j, y, amp, d)


# ---- swaps


@kernel("Tuple((i8, U256))(U256, U256, U256, U256)")
def dynamic_fee(xpi: Word, xpj: Word, fee: Word, multiplier: Word) -> tuple[int, Word]:
    """Return the fee for these two balances: `fee` on peg, up to `multiplier` times off it."""
    if multiplier <= _FEE_UNIT():
        return _OK, fee
    if bit_length(xpi | xpj) <= 100 and bit_length(multiplier) <= 50 and bit_length(fee) <= 50:
        # The products of ordinary pools fit; the sum is zero only where both sides are.
        total = xpi + xpj
        if total == ZERO():
            return _OVERFLOW, ZERO()
        on_peg = div((multiplier - _FEE_UNIT()) * _FOUR() * xpi * xpj, total * total)
        return _OK, div(multiplier * fee, on_peg + _FEE_UNIT())
    fits1, total = add_checked(xpi, xpj)
    fits2, on_peg = mul_checked(multiplier - _FEE_UNIT(), _FOUR())
    fits3, on_peg = mul_checked(on_peg, xpi)
    fits4, on_peg = mul_checked(on_peg, xpj)
    fits5, square = mul_checked(total, total)
    fits6, above = mul_checked(multiplier, fee)
    if not (fits1 and fits2 and fits3 and fits4 and fits5 and fits6) or square == ZERO():
        return _OVERFLOW, ZERO()
    fits, below = add_checked(div(on_peg, square), _FEE_UNIT())
    if not fits:
        return _OVERFLOW, ZERO()
    return _OK, div(above, below)


@kernel("i8(i8, i8, i8)")
def _places(n: int, i: int, j: int) -> int:
    if i == j:
        return _SAME_TOKEN
    if i < 0 or j < 0 or i >= n or j >= n:
        return _UNKNOWN_TOKEN
    return _OK


@kernel("Tuple((i8, U256, U256, U256, U256))(u8[:,::1], i8, i8, U256, U256, U256)")
def _swap(
    pool: Words, i: int, j: int, dx: Word, amp: Word, d: Word
) -> tuple[int, Word, Word, Word, Word]:
    """Return status, output, fee (scaled), and both scaled balances after the swap."""
    n = coins(pool)
    status = _places(n, i, j)
    if status != _OK:
        return status, ZERO(), ZERO(), ZERO(), ZERO()
    if d == ZERO():
        return _EMPTY, ZERO(), ZERO(), ZERO(), ZERO()
    xpi, xpj = load(pool, SIDES + i), load(pool, SIDES + j)
    fits1, x = mul_checked(dx, load(pool, SIDES + n + i))
    fits2, x = add_checked(xpi, div(x, _WAD()))
    if not (fits1 and fits2):
        return _OVERFLOW, ZERO(), ZERO(), ZERO(), ZERO()
    status, y = side(pool, SIDES, n, j, i, x, amp, d)
    if status != _OK:
        return status, ZERO(), ZERO(), ZERO(), ZERO()
    if xpj <= y:
        return _TOO_SMALL, ZERO(), ZERO(), ZERO(), ZERO()
    gross = xpj - y - ONE()
    fits1, middle_i = add_checked(xpi, x)
    fits2, middle_j = add_checked(xpj, y)
    if not (fits1 and fits2):
        return _OVERFLOW, ZERO(), ZERO(), ZERO(), ZERO()
    status, rate = dynamic_fee(
        middle_i >> np.int64(1), middle_j >> np.int64(1), load(pool, FEE), load(pool, MULTIPLIER)
    )
    if status != _OK:
        return status, ZERO(), ZERO(), ZERO(), ZERO()
    fits1, fee = mul_checked(gross, rate)
    fee = div(fee, _FEE_UNIT())
    fits2, net = sub_checked(gross, fee)
    if not (fits1 and fits2):
        return _OVERFLOW, ZERO(), ZERO(), ZERO(), ZERO()
    status, net = portion(net, _WAD(), load(pool, SIDES + n + j))
    return status, net, fee, x, y


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, U256)")
def exact_in(pool: Words, i: int, j: int, dx: Word) -> tuple[int, Word]:
    """Return what get_dy() says that `dx` of coin `i` pays."""
    status, net, _, _, _ = _swap(pool, i, j, dx, load(pool, VIEW_AMP), load(pool, VIEW_D))
    return status, net


@kernel("Tuple((i8, U256, U256))(u8[:,::1], i8, i8, U256)")
def swapped(pool: Words, i: int, j: int, dx: Word) -> tuple[int, Word, Word]:
    """Return what `exchange` does, for any `dx`.

    A metapool swaps what its base pool has minted for a deposit, be it nothing.
    """
    n = coins(pool)
    amp, d = load(pool, AMP), load(pool, D)
    status, net, fee, x, y = _swap(pool, i, j, dx, amp, d)
    if status != _OK:
        return status, ZERO(), ZERO()
    fits1, share = mul_checked(fee, _ADMIN_FEE())
    fits2, share = mul_checked(div(share, _FEE_UNIT()), _WAD())
    if not (fits1 and fits2):
        return _OVERFLOW, ZERO(), ZERO()
    share = div(share, load(pool, SIDES + n + j))
    status = oracles(pool, SIDES, n, i, x, j, y, amp, d)
    if status != _OK:
        return status, ZERO(), ZERO()
    return _OK, net, share


@kernel("Tuple((i8, U256, U256))(u8[:,::1], i8, i8, U256)")
def exchange(pool: Words, i: int, j: int, dx: Word) -> tuple[int, Word, Word]:
    """Return what the pool pays for `dx` of coin `i`, and the admin's share of coin `j`."""
    status = _places(coins(pool), i, j)
    if status == _OK and dx == ZERO():
        status = _ZERO_AMOUNT
    if status != _OK:
        return status, ZERO(), ZERO()
    return swapped(pool, i, j, dx)


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, U256)")
def exact_out(pool: Words, i: int, j: int, dy: Word) -> tuple[int, Word]:
    """Return what get_dx() says that has to be put in for `dy` of coin `j`."""
    n = coins(pool)
    status = _places(n, i, j)
    if status != _OK:
        return status, ZERO()
    if load(pool, VIEW_D) == ZERO():
        return _EMPTY, ZERO()
    xpi, xpj = load(pool, SIDES + i), load(pool, SIDES + j)
    fits, net = mul_checked(dy, load(pool, SIDES + n + j))
    if not fits:
        return _OVERFLOW, ZERO()
    net = div(net, _WAD()) + ONE()
    status, rate = dynamic_fee(xpi, xpj, load(pool, FEE), load(pool, MULTIPLIER))
    if status != _OK:
        return status, ZERO()
    if rate > _FEE_UNIT():
        return _OVERFLOW, ZERO()
    status, gross = portion(net, _FEE_UNIT(), _FEE_UNIT() - rate)
    if status != _OK:
        return status, ZERO()
    if gross > xpj:
        return _NO_LIQUIDITY, ZERO()
    status, x = side(pool, SIDES, n, i, j, xpj - gross, load(pool, VIEW_AMP), load(pool, VIEW_D))
    if status != _OK:
        return status, ZERO()
    if x < xpi:
        return _TOO_SMALL, ZERO()
    return portion(x - xpi, _WAD(), load(pool, SIDES + n + i))


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, U256)")
def _paid(pool: Words, i: int, j: int, dx: Word) -> tuple[int, Word]:
    """Return what exchange() pays, 0 where the input is too small for it."""
    status, net, _ = exchange(pool, i, j, dx)
    if status == _TOO_SMALL:
        return _OK, ZERO()
    return status, net


@kernel("Tuple((i8, U256, U256))(u8[:,::1], i8, i8, U256, U256, U256)")
def _secant(pool: Words, i: int, j: int, dy: Word, x: Word, paid: Word) -> tuple[int, Word, Word]:
    """Come near the input that pays `dy`; return it and what it pays."""
    x0, paid0 = ZERO(), ZERO()
    for _ in range(_SECANT_ROUNDS):
        if paid in (dy, paid0) or (x > x0) != (paid > paid0):
            break
        slope_in = x - x0 if x > x0 else x0 - x
        slope_out = paid - paid0 if paid > paid0 else paid0 - paid
        status, shift = portion(dy - paid if dy > paid else paid - dy, slope_in, slope_out)
        if status != _OK:
            return status, ZERO(), ZERO()
        if shift == ZERO():
            break
        x0, paid0 = x, paid
        if paid < dy:
            fits, x = add_checked(x, shift)
            if not fits:
                return _OVERFLOW, ZERO(), ZERO()
        else:
            x = x - shift if x > shift else ONE()
        status, paid = _paid(pool, i, j, x)
        if status != _OK:
            return status, ZERO(), ZERO()
    return _OK, x, paid


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, U256)")
def least_in(pool: Words, i: int, j: int, dy: Word) -> tuple[int, Word]:
    """Return an input that pays at least `dy` while one unit less does not."""
    status, x = exact_out(pool, i, j, dy)
    if status != _OK:
        return status, ZERO()
    if x == ZERO():
        x = ONE()
    status, paid = _paid(pool, i, j, x)
    if status != _OK:
        return status, ZERO()
    status, x, paid = _secant(pool, i, j, dy, x, paid)
    if status != _OK:
        return status, ZERO()
    step = div(x, paid if paid != ZERO() else ONE()) + ONE()
    low = high = x
    if paid >= dy:
        while True:
            low = high - step if high > step else ZERO()
            if low == ZERO():
                break
            status, paid = _paid(pool, i, j, low)
            if status != _OK:
                return status, ZERO()
            if paid < dy:
                break
            high = low
            step <<= np.int64(1)
    else:
        while True:
            fits, high = add_checked(low, step)
            if not fits:
                return _OVERFLOW, ZERO()
            status, paid, _ = exchange(pool, i, j, high)
            if status != _OK:
                return status, ZERO()
            if paid >= dy:
                break
            low = high
            fits, step = add_checked(step, step)
            if not fits:
                return _OVERFLOW, ZERO()
    while high - low > ONE():
        middle = low + ((high - low) >> np.int64(1))
        status, paid = _paid(pool, i, j, middle)
        if status != _OK:
            return status, ZERO()
        if paid >= dy:
            high = middle
        else:
            low = middle
    return _OK, high


@kernel("Tuple((i8, f8))(u8[:,::1], i8, i8, U256)")
def marginal_rate(pool: Words, i: int, j: int, dx: Word) -> tuple[int, float]:
    """Return the output per unit more of input at an input of `dx`, fee included.

    It follows from the invariant's derivative: with P = D^(n+1) / (n^n prod x), dy/dx is
    -(Ann + P / x) / (Ann + P / y); the fee moves with both balances.
    """
    n = coins(pool)
    status = _places(n, i, j)
    if status != _OK:
        return status, 0.0
    amp, d = load(pool, AMP), load(pool, D)
    xpi, xpj = load(pool, SIDES + i), load(pool, SIDES + j)
    fits, scaled = mul_checked(dx, load(pool, SIDES + n + i))
    if not fits:
        return _OVERFLOW, 0.0
    fits, after = add_checked(xpi, div(scaled, _WAD()))
    if not fits:
        return _OVERFLOW, 0.0
    status, other = side(pool, SIDES, n, j, i, after, amp, d)
    if status != _OK:
        return status, 0.0
    x, y, whole = to_float(after), to_float(other), to_float(d)
    ann = to_float(amp) / 100.0 * n
    product = whole
    for k in range(n):
        value = to_float(load(pool, SIDES + k))
        if k == i:
            value = x
        elif k == j:
            value = y
        product *= whole / (n * value)
    slope = (ann + product / x) / (ann + product / y)
    fee = to_float(load(pool, FEE)) / 1e10
    multiplier = to_float(load(pool, MULTIPLIER)) / 1e10
    bend = 0.0
    if multiplier > 1.0:
        a, b = (to_float(xpi) + x) / 2.0, (to_float(xpj) + y) / 2.0
        total = a + b
        on_peg = (multiplier - 1.0) * 4.0 * a * b / (total * total)
        # d(ab / (a + b)^2) with da = 1/2 and db = -slope / 2
        change = (
            (multiplier - 1.0)
            * 4.0
            * (b - a)
            * (b * 0.5 + a * slope * 0.5)
            / (total * total * total)
        )
        fee = fee * multiplier / (on_peg + 1.0)
        bend = -fee * change / (on_peg + 1.0)
    gross = max(to_float(xpj) - y, 0.0)
    net = slope * (1.0 - fee) - gross * bend
    rate_in, rate_out = load(pool, SIDES + n + i), load(pool, SIDES + n + j)
    return _OK, net * to_float(rate_in) / to_float(rate_out)
