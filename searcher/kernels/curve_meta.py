"""Liquidity of Curve's pools and their metapools as kernels: the twin of `reference.curve_meta`.

Pools are the arrays of `curve_stable`, prepared. A metapool's second rate is the base pool's
virtual price as the metapool knows it.
"""

from __future__ import annotations

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curve_stable import (
    AMP,
    BY_MULTIPLIER,
    EMPTY_POOL,
    FEE,
    FEES,
    HEAD,
    INSUFFICIENT,
    INVARIANT,
    OFFPEG,
    OK,
    OVERFLOW,
    SUPPLY,
    TOO_SMALL,
    UNIT,
    ZERO_AMOUNT,
    coins,
    dynamic_fee,
    exact_in,
    get_d,
    get_y,
    less_fee,
    pays,
    probe,
    ratio,
    scale,
    unscale,
)
from searcher.kernels.u256 import (
    MAX,
    ONE,
    U256,
    ZERO,
    Word,
    Words,
    add_checked,
    div,
    load,
    mul_checked,
    select,
    store,
    u256,
)

__all__ = ["U256", "deposit", "token_amount", "underlying_in", "underlying_out", "withdraw_one"]


@kernel("Tuple((i8, U256))(u8[:, ::1])")
def virtual_price(pool: Words) -> tuple[int, Word]:
    """Return (status, the invariant per liquidity token, times 1e18)."""
    fits, price = ratio(load(pool, INVARIANT), UNIT(), load(pool, SUPPLY))
    return (OK if fits else EMPTY_POOL), price


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, u8[:, ::1])")
def invariant_of(pool: Words, rules: int, balances: Words) -> tuple[int, Word]:
    """Return (status, the invariant if the pool had other balances), which get scaled in place."""
    n = coins(pool)
    for k in range(n):
        fits, x = scale(load(balances, k), load(pool, HEAD + k), rules)
        if not fits:
            return OVERFLOW, ZERO()
        store(balances, k, x)
    return get_d(balances, 0, n, load(pool, AMP), rules)


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256)")
def token_amount(pool: Words, rules: int, i: int, amount: Word) -> tuple[int, Word]:
    """Return (status, calc_token_amount for a deposit of coin `i` alone)."""
    n = coins(pool)
    balances = pool[HEAD + n : HEAD + 2 * n].copy()
    fits, held = add_checked(load(balances, i), amount)
    if not fits:
        return OVERFLOW, ZERO()
    store(balances, i, held)
    status, after = invariant_of(pool, rules, balances)
    before = load(pool, INVARIANT)
    if status != OK or after < before:
        return (OVERFLOW if status == OK else status), ZERO()
    fits, minted = ratio(after - before, load(pool, SUPPLY), before)
    return (OK if fits else (EMPTY_POOL if before == ZERO() else OVERFLOW)), minted


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, U256, U256, U256)")
def liquidity_fee(pool: Words, n: int, level: Word, around: Word, moved: Word) -> tuple[int, Word]:
    """Return (status, what a change of a coin's share by `moved` costs)."""
    count = u256(n)
    fee = div(load(pool, FEE) * count, u256(4 * (n - 1)))
    multiplier = load(pool, OFFPEG)
    if multiplier != ZERO():
        status, fee = dynamic_fee(level, around, fee, multiplier)
        if status != OK:
            return status, ZERO()
    fits, charged = ratio(moved, fee, FEES())
    return (OK if fits else OVERFLOW), charged


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256)")
def deposit(pool: Words, rules: int, i: int, amount: Word) -> tuple[int, Word]:
    """Return (status, what add_liquidity mints for coin `i` alone)."""
    n = coins(pool)
    supply, before = load(pool, SUPPLY), load(pool, INVARIANT)
    if supply == ZERO():
        return EMPTY_POOL, ZERO()
    balances = pool[HEAD + n : HEAD + 2 * n].copy()
    fits, held = add_checked(load(balances, i), amount)
    if not fits:
        return OVERFLOW, ZERO()
    store(balances, i, held)
    status, after = invariant_of(pool, rules, balances.copy())
    fits, both = add_checked(before, after)
    if status != OK or not fits:
        return (OVERFLOW if status == OK else status), ZERO()
    if after <= before:
        return TOO_SMALL, ZERO()
    for k in range(n):
        old, new = load(pool, HEAD + n + k), load(balances, k)
        fits, ideal = ratio(after, old, before)
        fits_too, level = add_checked(old, new)
        if not (fits and fits_too):
            return (EMPTY_POOL if before == ZERO() else OVERFLOW), ZERO()
        moved = select(ideal > new, ideal - new, new - ideal)
        status, charged = liquidity_fee(pool, n, level, div(both, u256(n)), moved)
        if status != OK or charged > new:
            return (OVERFLOW if status == OK else status), ZERO()
        store(balances, k, new - charged)
    status, fair = invariant_of(pool, rules, balances)
    if status != OK or fair < before:
        return (OVERFLOW if status == OK else status), ZERO()
    fits, minted = ratio(supply, fair - before, before)
    return (OK if fits else OVERFLOW), minted


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256)")
def withdraw_one(pool: Words, rules: int, i: int, burned: Word) -> tuple[int, Word]:
    """Return (status, calc_withdraw_one_coin: what burning gives of coin `i`)."""
    n = coins(pool)
    xp, amp, before = HEAD + 2 * n, load(pool, AMP), load(pool, INVARIANT)
    fits, share = ratio(burned, before, load(pool, SUPPLY))
    if not fits or share > before:
        return (EMPTY_POOL if load(pool, SUPPLY) == ZERO() else OVERFLOW), ZERO()
    after = before - share
    held = load(pool, xp + i)
    status, left = get_y(pool, xp, n, -1, ZERO(), i, amp, after, rules)
    if status != OK or left > held:
        return (OVERFLOW if status == OK else status), ZERO()
    reduced = pool[xp : xp + n].copy()
    fits, both = add_checked(before, after)
    for k in range(n):
        x = load(pool, xp + k)
        fits_too, kept = ratio(x, after, before)
        low = left if k == i else kept
        fits_all, level = add_checked(x, left)
        moved = kept - left if k == i else x - kept
        if not (fits and fits_too) or low > (kept if k == i else x):
            return (EMPTY_POOL if before == ZERO() else OVERFLOW), ZERO()
        if k == i and not fits_all and load(pool, OFFPEG) != ZERO():
            return OVERFLOW, ZERO()
        level = level >> np.int64(1) if k == i else x
        status, charged = liquidity_fee(pool, n, level, div(both, u256(2 * n)), moved)
        if status != OK or charged > x:
            return (OVERFLOW if status == OK else status), ZERO()
        store(reduced, k, x - charged)
    status, left = get_y(reduced, 0, n, -1, ZERO(), i, amp, after, rules)
    if status != OK:
        return status, ZERO()
    held = load(reduced, i)
    if held <= left:
        return OVERFLOW, ZERO()
    fits, paid = unscale(held - left - ONE(), load(pool, HEAD + i), rules)
    return (OK if fits else OVERFLOW), paid


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256)")
def bought_left(meta: Words, rules: int, i: int, sold: Word) -> tuple[int, Word]:
    """Return (status, what the metapool's other coin must hold when coin `i` gets `sold` more)."""
    xp = HEAD + 2 * coins(meta)
    fits, x = add_checked(load(meta, xp + i), sold)
    if not fits:
        return OVERFLOW, ZERO()
    d, amp = load(meta, INVARIANT), load(meta, AMP)
    return get_y(meta, xp, 2, i, x, 1 - i, amp, d, rules)


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256, i8)")
def seen_underlying(  # noqa: PLR0917  kernels take arguments by place
    meta: Words,
    rules: int,
    base: Words,
    base_rules: int,
    i: int,
    j: int,
    amount: Word,
    by_rate: int,
) -> tuple[int, Word]:
    """Return (status, get_dy_underlying) between the metapool's coin and one of the base pool."""
    own = rules & ~BY_MULTIPLIER if by_rate else rules | BY_MULTIPLIER
    price, rate = load(meta, HEAD + 1), load(meta, HEAD)
    place = 1 if i > 0 else 0
    if i == 0:
        fits, sold = scale(amount, rate, own)
    else:
        status, minted = token_amount(base, base_rules, i - 1, amount)
        if status != OK:
            return status, ZERO()
        fits, sold = ratio(minted, price, UNIT())
        fits_too, charged = mul_checked(sold, load(base, FEE))
        fits = fits and fits_too
        sold = sold - div(charged, FEES() + FEES())
    if not fits:
        return OVERFLOW, ZERO()
    status, y = bought_left(meta, rules, place, sold)
    if status != OK:
        return status, ZERO()
    held = load(meta, HEAD + 2 * coins(meta) + 1 - place)
    if held <= y:
        return (EMPTY_POOL if load(meta, INVARIANT) == ZERO() else TOO_SMALL), ZERO()
    fits, room = less_fee(held - y - ONE(), load(meta, FEE))
    if not fits:
        return OVERFLOW, ZERO()
    if j == 0:
        fits, paid = unscale(room, rate, own)
        return (OK if fits else OVERFLOW), paid
    fits, burned = ratio(room, UNIT(), price)
    if not fits:
        return OVERFLOW, ZERO()
    return withdraw_one(base, base_rules, j - 1, burned)


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256)")
def paid_underlying(  # noqa: PLR0917  kernels take arguments by place
    meta: Words, rules: int, base: Words, base_rules: int, i: int, j: int, amount: Word
) -> tuple[int, Word]:
    """Return (status, exchange_underlying) between the metapool's coin and one of the base pool."""
    sold, place, status = amount, 0, OK
    if i > 0:
        place = 1
        status, sold = deposit(base, base_rules, i - 1, amount)
        if status != OK:
            return status, ZERO()
    fits, scaled = scale(sold, load(meta, HEAD + place), rules)
    if not fits:
        return OVERFLOW, ZERO()
    status, y = bought_left(meta, rules, place, scaled)
    if status != OK:
        return status, ZERO()
    status, _, paid = pays(meta, rules, 1 - place, y, load(meta, FEE))
    if status != OK or j == 0:
        return status, paid
    return withdraw_one(base, base_rules, j - 1, paid)


@kernel("Tuple((i8, U256, U256))(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256, i8)")
def underlying_in(  # noqa: PLR0917  kernels take arguments by place
    meta: Words,
    rules: int,
    base: Words,
    base_rules: int,
    i: int,
    j: int,
    amount: Word,
    by_rate: int,
) -> tuple[int, Word, Word]:
    """Return (status, what get_dy_underlying says, what exchange_underlying pays)."""
    if i > 0 and j > 0:
        return exact_in(base, base_rules, i - 1, j - 1, amount)
    status, seen = seen_underlying(meta, rules, base, base_rules, i, j, amount, by_rate)
    if status != OK:
        return status, ZERO(), ZERO()
    status, paid = paid_underlying(meta, rules, base, base_rules, i, j, amount)
    return status, seen, paid


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256, i8, U256, i8)")
def least_underlying(  # noqa: PLR0917  kernels take arguments by place
    meta: Words,
    rules: int,
    base: Words,
    base_rules: int,
    i: int,
    j: int,
    amount: Word,
    by_rate: int,
    guess: Word,
    exchange: int,
) -> tuple[int, Word]:
    """Return the least input for which view (0) or exchange (1) pays at least `amount`."""
    low, high, step = ZERO(), MAX(), ONE()
    x, reached, refusal = guess, False, INSUFFICIENT
    while True:
        status, seen, paid = underlying_in(meta, rules, base, base_rules, i, j, x, by_rate)
        if (seen if exchange == 0 else paid) >= amount and status == OK:
            high, reached = x, True
        elif status in (OK, TOO_SMALL):
            low = x
        else:
            high, reached, refusal = x, False, status
        if high - low <= ONE():
            break
        x = probe(low, high, step)
        step = step << np.int64(1)
    if reached:
        return OK, high
    return (refusal if low == ZERO() else INSUFFICIENT), ZERO()


@kernel("Tuple((i8, U256, U256))(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256, i8)")
def underlying_out(  # noqa: PLR0917  kernels take arguments by place
    meta: Words,
    rules: int,
    base: Words,
    base_rules: int,
    i: int,
    j: int,
    amount: Word,
    by_rate: int,
) -> tuple[int, Word, Word]:
    """Return (status, least inputs for which view says, and exchange pays, `amount` or more)."""
    if amount == ZERO():
        return ZERO_AMOUNT, ZERO(), ZERO()
    status, seen = least_underlying(meta, rules, base, base_rules, i, j, amount, by_rate, ONE(), 0)
    if status != OK:
        return status, ZERO(), ZERO()
    status, paid = least_underlying(meta, rules, base, base_rules, i, j, amount, by_rate, seen, 1)
    return status, seen, paid
