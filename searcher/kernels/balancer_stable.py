"""Balancer stable pools, V2 and V3, as kernels.

Sources: as `searcher.kernels.reference.balancer_stable` names them. A pool is the array that
`packed` makes of it; that holds the invariant, which changes only with the state and the
amplification, so that a quote does not iterate for it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels import balancer_vault as vault
from searcher.kernels._jit import kernel
from searcher.kernels.balancer_fixed_point import by_1000
from searcher.kernels.balancer_vault import (
    CURVE,
    FEE,
    FIELDS,
    HEADER,
    LIVE,
    given_in,
    given_out,
    paid,
    scale,
    taken,
    token_word,
)
from searcher.kernels.reference.balancer_stable import StableMath, V2Stable, V3Stable
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    add_checked,
    constant,
    div,
    limb,
    load,
    mul_checked,
    pack,
    select,
    to_float,
    u256,
)
from searcher.kernels.u256 import div_up as quotient_up

_OK: Final = int(Status.OK)
_EMPTY: Final = int(Status.EMPTY_POOL)
_ILLIQUID: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_LOST: Final = int(Status.NO_CONVERGENCE)
_UNSAFE: Final = int(Status.UNSAFE_VALUES)

# Header rows: the edition, the amplification with 3 decimals, the invariant, and why there is none.
_EDITION: Final = CURVE
_AMP: Final = CURVE + 1
_INVARIANT: Final = CURVE + 2
_REFUSAL: Final = CURVE + 3

_EDITIONS: Final = {StableMath.V2_ROUNDED_UP: 0, StableMath.V2: 1, StableMath.V3: 2}
_V3 = constant(2)
_V3_BOUNDED = constant(3)
"""V3 that refuses too unequal balances."""
_ROUNDS: Final = 255
_PRECISION = constant(1000)
_MAX_IMBALANCE = constant(10_000)


@kernel("Tuple((b1, U256))(U256, u8[:,::1], i8, U256, U256)")
def _as_curve(ann: Word, balances: Words, n: int, total: Word, d: Word) -> tuple[bool, Word]:
    """Return the next invariant, by Curve's formula."""
    tokens = u256(n)
    product = d
    fits = True
    for k in range(n):
        below = load(balances, k) * tokens
        fits_one, above = mul_checked(product, d)
        fits = fits and fits_one and below != ZERO()
        product = div(above, below)
    fits_0, first = mul_checked(ann, total)
    fits_1, second = mul_checked(product, tokens)
    fits_2, above = add_checked(by_1000(first), second)
    fits_3, above = mul_checked(above, d)
    fits_4, third = mul_checked(ann - _PRECISION(), d)
    fits_5, fourth = mul_checked(tokens + ONE(), product)
    fits_6, below = add_checked(by_1000(third), fourth)
    fits = fits and fits_0 and fits_1 and fits_2 and fits_3 and fits_4 and fits_5 and fits_6
    return fits and below != ZERO(), div(above, below)


@kernel("Tuple((b1, U256))(U256, u8[:,::1], i8, U256, U256)")
def _rounded_up(ann: Word, balances: Words, n: int, total: Word, d: Word) -> tuple[bool, Word]:
    """Return the next invariant, by the formula of 2021."""
    tokens = u256(n)
    product = load(balances, 0) * tokens
    fits = d != ZERO()
    for k in range(1, n):
        fits_one, product = mul_checked(product, load(balances, k))
        fits_two, product = mul_checked(product, tokens)
        fits = fits and fits_one and fits_two
        product = quotient_up(product, d)
    fits_0, first = mul_checked(tokens * d, d)
    fits_1, second = mul_checked(ann, total)
    fits_2, second = mul_checked(second, product)
    fits_3, above = add_checked(first, quotient_up(second, _PRECISION()))
    fits_4, third = mul_checked(ann - _PRECISION(), product)
    fits_5, below = add_checked((tokens + ONE()) * d, by_1000(third))
    fits = fits and fits_0 and fits_1 and fits_2 and fits_3 and fits_4 and fits_5
    return fits and below != ZERO(), quotient_up(above, below)


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8)")
def invariant(amp: Word, balances: Words, edition: int) -> tuple[int, Word]:
    """Return the invariant of balances with 18 decimals.

    Args:
        amp: the amplification, 3 decimals.
        balances: uint64[n, 4].
        edition: 0 for the StableMath of 2021, else Curve's.
    """
    n = balances.shape[0]
    total = ZERO()
    for k in range(n):
        fits, total = add_checked(total, load(balances, k))
        # The check of this product spares the loops below theirs of a balance times n.
        fits_product, _ = mul_checked(load(balances, k), u256(n + 1))
        if not (fits and fits_product):
            return _OVERFLOW, ZERO()
    if total == ZERO():
        return _OK, total
    fits, ann = mul_checked(amp, u256(n))
    if not fits or ann < _PRECISION():
        return _OVERFLOW, ZERO()
    d = total
    for _ in range(_ROUNDS):
        if edition == 0:
            fits, following = _rounded_up(ann, balances, n, total, d)
        else:
            fits, following = _as_curve(ann, balances, n, total, d)
        if not fits:
            return _OVERFLOW, ZERO()
        difference = following - d if following > d else d - following
        if difference <= ONE():
            return _OK, following
        d = following
    return _LOST, ZERO()


@kernel("i8(u8[:,::1])")
def _count(pool: Words) -> int:
    return int(pool.shape[0] - HEADER) // FIELDS


@kernel("i8(u8[:,::1])")
def _refusal(pool: Words) -> int:
    """Return why the pool has no invariant, or that it has one."""
    return int(np.int64(limb(load(pool, _REFUSAL), 0)))


@kernel("Tuple((i8, U256))(u8[:,::1], i8, U256, i8)")
def _token_balance(pool: Words, changed: int, balance: Word, place: int) -> tuple[int, Word]:
    """Return the balance of one token that keeps the invariant.

    Args:
        pool: the pool.
        changed: the place of the token whose balance is another.
        balance: that other balance.
        place: the token asked for.
    """
    n = _count(pool)
    tokens = u256(n)
    d = load(pool, _INVARIANT)
    fits, ann = mul_checked(load(pool, _AMP), tokens)
    total = ZERO()
    product = ONE()
    own = ZERO()
    for k in range(n):
        held = balance if k == changed else token_word(pool, k, LIVE)
        if k == place:
            own = held
        fits_sum, total = add_checked(total, held)
        fits_one, product = mul_checked(product, held)
        fits_two, product = mul_checked(product, tokens)
        fits = fits and fits_sum and fits_one and fits_two
        if k > 0:
            product = div(product, d)
    fits_square, squared = mul_checked(d, d)
    fits_below, below = mul_checked(ann, product)
    if not (fits and fits_square and fits_below) or below == ZERO() or d == ZERO():
        return _OVERFLOW, ZERO()
    if load(pool, _EDITION) >= _V3():
        fits_0, above = mul_checked(squared, _PRECISION())
        fits_1, c = mul_checked(quotient_up(above, below), own)
        fits_2, b = mul_checked(d, _PRECISION())
        b = div(b, ann)
    else:
        fits_0, c = mul_checked(quotient_up(squared, below), _PRECISION())
        fits_1, c = mul_checked(c, own)
        fits_2, b = mul_checked(div(d, ann), _PRECISION())
    fits_3, b = add_checked(b, total - own)
    fits_4, above = add_checked(squared, c)
    fits_5, below = add_checked(d, b)
    if not (fits_0 and fits_1 and fits_2 and fits_3 and fits_4 and fits_5):
        return _OVERFLOW, ZERO()
    y = quotient_up(above, below)
    for _ in range(_ROUNDS):
        fits_0, above = mul_checked(y, y)
        fits_1, above = add_checked(above, c)
        fits_2, below = add_checked(y, y)
        fits_3, below = add_checked(below, b)
        if not (fits_0 and fits_1 and fits_2 and fits_3) or below <= d:
            return _OVERFLOW, ZERO()
        following = quotient_up(above, below - d)
        difference = following - y if following > y else y - following
        if difference <= ONE():
            return _OK, following
        y = following
    return _LOST, ZERO()


@kernel("i8(u8[:,::1], i8, i8, U256, U256)")
def _imbalance(pool: Words, i: int, j: int, amount_in: Word, amount_out: Word) -> int:
    """Return whether the balances before and after a swap are equal enough."""
    if load(pool, _EDITION) != _V3_BOUNDED():
        return _OK
    fits, most = add_checked(token_word(pool, i, LIVE), amount_in)
    least = token_word(pool, j, LIVE)
    if not fits or amount_out > least:
        return _OVERFLOW
    least = least - amount_out
    for k in range(_count(pool)):
        balance = token_word(pool, k, LIVE)
        most = select(balance > most, balance, most)
        least = select(balance < least, balance, least)
    if least == ZERO():
        return _OVERFLOW
    return _UNSAFE if div(most, least) >= _MAX_IMBALANCE() else _OK


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8, i8)")
def exact_in(amount: Word, pool: Words, i: int, j: int) -> tuple[int, Word]:
    """Return what the vault pays of token `j` for exactly `amount` of token `i`."""
    status, given, fee = given_in(amount, pool, i)
    if status == _OK:
        status = _refusal(pool)
    if status != _OK:
        return status, ZERO()
    fits, balance = add_checked(token_word(pool, i, LIVE), given)
    if not fits:
        return _OVERFLOW, ZERO()
    status, left = _token_balance(pool, i, balance, j)
    if status != _OK:
        return status, ZERO()
    before = token_word(pool, j, LIVE)
    if left >= before:
        return _OVERFLOW, ZERO()
    out = before - left - ONE()
    status = _imbalance(pool, i, j, given, out)
    if status != _OK:
        return status, ZERO()
    return paid(amount, out, fee, pool, i, j)


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8, i8)")
def exact_out(amount: Word, pool: Words, i: int, j: int) -> tuple[int, Word]:
    """Return what the vault takes of token `i` to pay exactly `amount` of token `j`."""
    status, given = given_out(amount, pool, j)
    if status == _OK:
        status = _refusal(pool)
    if status != _OK:
        return status, ZERO()
    before = token_word(pool, j, LIVE)
    if given > before:
        return _ILLIQUID, ZERO()
    status, needed = _token_balance(pool, j, before - given, i)
    if status != _OK:
        return status, ZERO()
    held = token_word(pool, i, LIVE)
    if needed < held:
        return _OVERFLOW, ZERO()
    fits, net = add_checked(needed - held, ONE())
    if not fits:
        return _OVERFLOW, ZERO()
    status = _imbalance(pool, i, j, net, given)
    if status != _OK:
        return status, ZERO()
    return taken(amount, net, pool, i, j)


@kernel("Tuple((i8, f8))(U256, u8[:,::1], i8, i8)")
def marginal_rate(amount: Word, pool: Words, i: int, j: int) -> tuple[int, float]:
    """Return how much more comes out per unit more in, at an input of `amount`, after the fee."""
    n = _count(pool)
    kept = 1.0 - to_float(load(pool, FEE)) * 1e-18
    ann = to_float(load(pool, _AMP)) * 1e-3 * n
    d = to_float(load(pool, _INVARIANT))
    x = to_float(token_word(pool, i, LIVE)) + to_float(amount) * kept * scale(pool, i) * 1e-18
    scale_out = scale(pool, j)
    if not (d > 0.0 and x > 0.0 and ann > 0.0 and scale_out > 0.0):
        return _EMPTY, 0.0
    # c is D^(n+1) / (n^n ann times all balances but the one that y stands for), total their sum.
    c = d * d / (ann * n)
    total = 0.0
    for k in range(n):
        if k != j:
            balance = x if k == i else to_float(token_word(pool, k, LIVE))
            if balance <= 0.0:
                return _EMPTY, 0.0
            c *= d / (n * balance)
            total += balance
    b = total + d / ann
    y = d
    for _ in range(_ROUNDS):
        following = (y * y + c) / (2.0 * y + b - d)
        settled = abs(following - y) <= 1e-12 * following
        y = following
        if settled:
            break
    # Along the curve dy/dx = -F_x / F_y, and both partial derivatives are 1 + c y / (x y ...).
    curvature = c / y
    slope = (1.0 + curvature / x) / (1.0 + curvature / y)
    return _OK, slope * kept * scale(pool, i) / scale_out


def packed(pool: V2Stable | V3Stable) -> Words:
    """Return a stable pool as words, its invariant among them.

    Where the contract cannot calculate the invariant, every quote of the words says why.
    """
    edition = _EDITIONS[pool.edition]
    status, d = invariant(pool.amp, pack(pool.balances), edition)
    extra = [(0, 0)] * len(pool.sides)
    if isinstance(pool, V2Stable):
        return vault.v2_pool(pool.sides, pool.fee, (edition, pool.amp, d, status), extra)
    curve = (edition + int(pool.bounded), pool.amp, d, status)
    return vault.v3_pool(pool.sides, pool.terms, curve, extra)
