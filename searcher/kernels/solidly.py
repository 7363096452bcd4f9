"""Solidly's pairs and their descendants on exact 256-bit integers.

The integers are those of `reference.solidly`, which names the sources and says what each number
means; a pair's arguments stand in the order of its fields there.
"""

# A pair's numbers are arguments: they live in registers.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    add_checked,
    constant,
    div,
    mul512,
    mul_checked,
    muldiv,
    muldiv_up,
    to_float,
    u256,
)

OK: Final = int(Status.OK)
ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
INSUFFICIENT_LIQUIDITY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
OVERFLOW: Final = int(Status.OVERFLOW)
NO_CONVERGENCE: Final = int(Status.NO_CONVERGENCE)

_E18 = constant(10**18)
_ROUNDS: Final = 255
_ENOUGH, _PAYS, _FAILS = 0, 1, 2  # what a search looks for


@kernel("Tuple((b1, U256))(U256, U256)")
def _product(a: Word, b: Word) -> tuple[bool, Word]:
    """Return whether `a * b` fits, and `a * b / 1e18`."""
    high, low = mul512(a, b)
    return high == ZERO(), div(low, _E18())


@kernel("Tuple((b1, U256))(U256, U256)")
def _scaled(amount: Word, scale: Word) -> tuple[bool, Word]:
    """Return an amount in 18 decimals."""
    fits, product = mul_checked(amount, _E18())
    if scale == _E18():
        return fits, amount
    return fits, div(product, scale)


@kernel("Tuple((b1, U256))(U256, U256)")
def _f(x: Word, y: Word) -> tuple[bool, Word]:
    """Return the stable invariant of scaled amounts."""
    fits_x, square_x = _product(x, x)
    fits_y, square_y = _product(y, y)
    fits_xy, product = _product(x, y)
    # Each square is below 2^256 / 1e18, so their sum fits.
    fits, kept = _product(product, square_x + square_y)
    return fits_x and fits_y and fits_xy and fits, kept


@kernel("Tuple((b1, U256, U256))(U256, U256, U256, U256, b1)")
def _point(x: Word, x2: Word, x3: Word, y: Word, strict: bool) -> tuple[bool, Word, Word]:
    """Return the invariant as the solver rounds it, and its slope; x2 and x3 are x's powers."""
    fits, y2 = _product(y, y)
    fits_a, linear = _product(u256(3) * x, y2)
    if strict:
        fits_b, product = _product(x, y)
        fits_c, kept = _product(product, x2 + y2)
    else:
        fits_b, y3 = _product(y2, y)
        fits_c, kept = _product(x, y3)
        fits_d, rest = _product(x3, y)
        fits_c = fits_c and fits_d
        kept += rest
    # All are quotients by 1e18: their sums fit.
    return fits and fits_a and fits_b and fits_c, kept, linear + x3


@kernel("Tuple((b1, U256))(U256, U256, U256, U256)")
def _twice_scaled(x: Word, y: Word, first: Word, second: Word) -> tuple[bool, Word]:
    """Return _k as the strict solver calls it, with amounts that are scaled already."""
    fits_x, x = _scaled(x, first)
    fits_y, y = _scaled(y, second)
    fits, kept = _f(x, y)
    return fits_x and fits_y and fits, kept


@kernel("Tuple((b1, b1, U256, U256))(U256, U256, U256, U256, U256, b1)")
def _newton(
    x: Word, x2: Word, x3: Word, y: Word, kept: Word, strict: bool
) -> tuple[bool, bool, Word, Word]:
    """Return whether a step is possible, whether y must grow, the distance, and the step."""
    fits, k, slope = _point(x, x2, x3, y, strict)
    below = k < kept
    distance = kept - k if below else k - kept
    whole, product = mul_checked(distance, _E18())
    return fits and whole and slope != ZERO(), below, distance, div(product, slope)


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256)")
def _loose_y(x: Word, x2: Word, x3: Word, kept: Word, y: Word) -> tuple[int, Word]:
    """Return _get_y of the older pairs."""
    for _i in range(_ROUNDS):
        fits, below, _, step = _newton(x, x2, x3, y, kept, False)
        following = y + step if below else y - step
        if not fits or (following < y if below else following > y):
            return OVERFLOW, ZERO()
        y = following
        if step <= ONE():
            break
    return OK, y


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256, U256, U256)")
def _strict_y(
    x: Word, x2: Word, x3: Word, kept: Word, y: Word, first: Word, second: Word
) -> tuple[int, Word]:
    """Return _get_y of Velodrome V2; `first` and `second` are the scales of token0 and token1."""
    for _i in range(_ROUNDS):
        fits, below, distance, step = _newton(x, x2, x3, y, kept, True)
        if not fits:
            return OVERFLOW, ZERO()
        if step == ZERO():
            step = ONE()
            if below:
                fits, again = _twice_scaled(x, y + ONE(), first, second)
                if not fits or again > kept:
                    return (OK if fits else OVERFLOW), y + ONE()
            else:
                least = y > ZERO() and _point(x, x2, x3, y - ONE(), True)[1] < kept
                if least or distance == ZERO():
                    return OK, y
        following = y + step if below else y - step
        if following < y if below else following > y:
            return OVERFLOW, ZERO()
        y = following
    return NO_CONVERGENCE, ZERO()


@kernel("Tuple((b1, U256))(U256, U256, U256, U256, b1)")
def _kept(x: Word, y: Word, scale_in: Word, scale_out: Word, stable: bool) -> tuple[bool, Word]:
    """Return _k of balances in smallest units."""
    if not stable:
        return mul_checked(x, y)
    return _twice_scaled(x, y, scale_in, scale_out)


@kernel("Tuple((b1, U256))(U256, i8, i8)")
def _after_fee(amount: Word, fee: int, fee_unit: int) -> tuple[bool, Word]:
    """Return what is left of an input."""
    fits, product = mul_checked(amount, u256(fee))
    taken = div(product, u256(fee_unit))
    return fits and taken <= amount, amount - taken


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def amount_out(
    amount: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> tuple[int, Word]:
    """Return a status and what getAmountOut answers for `amount`."""
    fits, net = _after_fee(amount, fee, fee_unit)
    if not fits:
        return OVERFLOW, ZERO()
    if not stable:
        fits, total = add_checked(reserve_in, net)
        whole, product = mul_checked(net, reserve_out)
        if not fits or not whole or total == ZERO():
            return OVERFLOW, ZERO()
        return OK, div(product, total)
    fits_x, x = _scaled(reserve_in, scale_in)
    fits_y, y = _scaled(reserve_out, scale_out)
    fits_k, kept = _f(x, y)
    fits_a, added = _scaled(net, scale_in)
    if not (fits_x and fits_y and fits_k and fits_a):
        return OVERFLOW, ZERO()
    first, second = (scale_in, scale_out) if zero_for_one else (scale_out, scale_in)
    fits, total = add_checked(x, added)
    fits_2, x2 = _product(total, total)
    fits_3, x3 = _product(x2, total)
    # The slope needs 3x.
    if not fits or not fits_2 or not fits_3 or not mul_checked(total, u256(3))[0]:
        return OVERFLOW, ZERO()
    if strict:
        status, left = _strict_y(total, x2, x3, kept, y, first, second)
    else:
        status, left = _loose_y(total, x2, x3, kept, y)
    if status != OK:
        return status, ZERO()
    if left > y:
        return OVERFLOW, ZERO()
    fits, out = mul_checked(y - left, scale_out)
    if not fits:
        return OVERFLOW, ZERO()
    return OK, div(out, _E18())


@kernel("UniTuple(b1, 2)(U256, U256, U256, U256, U256, U256, b1)")
def _lets_go(
    net: Word,
    out: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    stable: bool,
) -> tuple[bool, bool]:
    """Return whether swap's check of k stays within the integers, and whether it holds."""
    fits_before, before = _kept(reserve_in, reserve_out, scale_in, scale_out, stable)
    fits_sum, total = add_checked(reserve_in, net)
    fits, after = _kept(total, reserve_out - out, scale_in, scale_out, stable)
    return fits_before and fits_sum and fits, after >= before


@kernel("b1(i8, U256, U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def _holds(
    what: int,
    candidate: Word,
    other: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> bool:
    """Return what a search asks of a number.

    `_PAYS`: getAmountOut pays `other` for it. `_ENOUGH`: swap lets `other` go for it, fee taken;
    `_FAILS`: swap does not let it go for `other`, fee taken.
    """
    if what == _PAYS:
        status, out = amount_out(
            candidate,
            reserve_in,
            reserve_out,
            scale_in,
            scale_out,
            fee,
            fee_unit,
            stable,
            strict,
            zero_for_one,
        )
        return status == OK and out >= other
    net, out = (candidate, other) if what == _ENOUGH else (other, candidate)
    possible, lets = _lets_go(net, out, reserve_in, reserve_out, scale_in, scale_out, stable)
    # Beyond the integers it would be enough, if it were possible.
    return not possible or lets == (what == _ENOUGH)


@kernel("Tuple((i8, U256))(i8, U256, U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def _least_from(
    what: int,
    start: Word,
    other: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> tuple[int, Word]:
    """Return a number at which it holds while it does not at one less, nearest to `start`."""
    stride = ONE()
    low = high = probe = start
    stage = 0  # 0: the start, 1: down, 2: up, 3: between
    while stage < 3 or high - low > ONE():
        holds = _holds(
            what,
            probe,
            other,
            reserve_in,
            reserve_out,
            scale_in,
            scale_out,
            fee,
            fee_unit,
            stable,
            strict,
            zero_for_one,
        )
        if stage == 0:
            stage = 1 if holds else 2
        elif stage == 3:
            if holds:
                high = probe
            else:
                low = probe
        elif holds == (stage == 2):
            low, high = (low, probe) if stage == 2 else (probe, high)
            stage = 3
        else:
            low = high = probe
            stride += stride
        if stage == 1:
            if high == ZERO():
                return OK, ZERO()
            probe = high - stride if high > stride else ZERO()
        elif stage == 2:
            fits, probe = add_checked(low, stride)
            if not fits:
                return OVERFLOW, ZERO()
        else:
            probe = low + ((high - low) >> np.int64(1))
    return OK, high


@kernel("Tuple((i8, U256, U256))(U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def exact_in(
    amount: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> tuple[int, Word, Word]:
    """Return a status, what getAmountOut answers, and how much of it swap lets go."""
    status, quoted = amount_out(
        amount,
        reserve_in,
        reserve_out,
        scale_in,
        scale_out,
        fee,
        fee_unit,
        stable,
        strict,
        zero_for_one,
    )
    if status != OK or amount == ZERO() or quoted == ZERO() or reserve_out == ZERO():
        return status, quoted, ZERO()
    net = _after_fee(amount, fee, fee_unit)[1]
    top = quoted if quoted < reserve_out else reserve_out - ONE()
    possible, lets = _lets_go(net, top, reserve_in, reserve_out, scale_in, scale_out, stable)
    if not possible:
        top = ZERO()
    elif not lets:
        _, failing = _least_from(
            _FAILS,
            top,
            net,
            reserve_in,
            reserve_out,
            scale_in,
            scale_out,
            fee,
            fee_unit,
            stable,
            strict,
            zero_for_one,
        )
        top = failing - ONE() if failing > ZERO() else ZERO()
    return OK, quoted, top


@kernel("U256(U256, U256, U256, U256, U256)")
def _guess(reserve_in: Word, reserve_out: Word, scale_in: Word, scale_out: Word, out: Word) -> Word:
    """Return about the input after fee for which a stable pair lets `out` go.

    Newton's iteration on the other axis, where it may stop anywhere: a search starts from it.
    """
    fits, kept = _twice_scaled(reserve_in, reserve_out, scale_in, scale_out)
    fits_x, x = _scaled(reserve_in, scale_in)
    fits_y, y = _scaled(reserve_out - out, scale_out)
    if not (fits and fits_x and fits_y):
        return ZERO()
    y2 = _product(y, y)[1]
    y3 = _product(y2, y)[1]
    for _i in range(_ROUNDS):
        fits, below, _, step = _newton(y, y2, y3, x, kept, True)
        if not fits or step <= ONE() or (not below and step > x):
            break
        x = x + step if below else x - step
    fits, total = muldiv(x, scale_in, _E18())
    return total - reserve_in if fits and total > reserve_in else ZERO()


@kernel("Tuple((i8, U256, U256))(U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def exact_out(
    amount: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> tuple[int, Word, Word]:
    """Return a status and the least inputs that pay `amount`: by getAmountOut, and by swap."""
    if amount == ZERO():
        return ZERO_AMOUNT, ZERO(), ZERO()
    if amount >= reserve_out or fee >= fee_unit:
        return INSUFFICIENT_LIQUIDITY, ZERO(), ZERO()
    if not _kept(reserve_in, reserve_out, scale_in, scale_out, stable)[0]:
        return OVERFLOW, ZERO(), ZERO()
    if stable:
        status, net = _least_from(
            _ENOUGH,
            _guess(reserve_in, reserve_out, scale_in, scale_out, amount),
            amount,
            reserve_in,
            reserve_out,
            scale_in,
            scale_out,
            fee,
            fee_unit,
            stable,
            strict,
            zero_for_one,
        )
    else:
        fits, net = muldiv_up(reserve_in, amount, reserve_out - amount)
        status = OK if fits else OVERFLOW
    fits, total = add_checked(reserve_in, net)
    if (
        status != OK
        or not fits
        or not _kept(total, reserve_out - amount, scale_in, scale_out, stable)[0]
    ):
        return OVERFLOW, ZERO(), ZERO()
    # An input of which `net` is left: input - floor(input * fee / unit) is
    # ceil(input * (unit - fee) / unit).
    less = net - ONE() if net > ZERO() else ZERO()
    fits, realised = muldiv(less, u256(fee_unit), u256(fee_unit - fee))
    realised += ONE()
    if not fits or realised == ZERO():
        return OVERFLOW, ZERO(), ZERO()
    if stable:
        status, quoted = _least_from(
            _PAYS,
            realised,
            amount,
            reserve_in,
            reserve_out,
            scale_in,
            scale_out,
            fee,
            fee_unit,
            stable,
            strict,
            zero_for_one,
        )
        return status, quoted, realised
    status, _ = amount_out(
        realised,
        reserve_in,
        reserve_out,
        scale_in,
        scale_out,
        fee,
        fee_unit,
        stable,
        strict,
        zero_for_one,
    )
    return status, realised, realised


@kernel("Tuple((i8, f8))(U256, U256, U256, U256, U256, i8, i8, b1, b1, b1)")
def marginal_rate(
    amount: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    fee_unit: int,
    stable: bool,
    strict: bool,
    zero_for_one: bool,
) -> tuple[int, float]:
    """Return a status and the slope of the curve at an input of `amount`, fee included."""
    status, out = amount_out(
        amount,
        reserve_in,
        reserve_out,
        scale_in,
        scale_out,
        fee,
        fee_unit,
        stable,
        strict,
        zero_for_one,
    )
    if status != OK:
        return status, 0.0
    keeps = 1.0 - fee / fee_unit
    x = to_float(reserve_in) + to_float(amount) * keeps
    y = to_float(reserve_out) - to_float(out)
    if not stable:
        return OK, keeps * y / x
    x /= to_float(scale_in)
    y /= to_float(scale_out)
    slope = y * (3.0 * x * x + y * y) / (x * (x * x + 3.0 * y * y))
    return OK, keeps * slope * (to_float(scale_out) / to_float(scale_in))
