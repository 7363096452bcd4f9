"""Deposits and withdrawals of one coin in Curve StableSwap-NG, on prepared rows.

They are what a metapool asks of its base pool. The exact twin is `reference/curve_stable_ng.py`.
"""

# A kernel takes flat arguments, and says at each step where the contract would revert.
# ruff: noqa: C901, PLR0912

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.curve_stable_ng import (
    AMP,
    FEE,
    MULTIPLIER,
    SIDES,
    SUPPLY,
    VIEW_AMP,
    VIEW_D,
    D,
    coins,
    dynamic_fee,
    invariant,
    oracles,
    portion,
    side,
)
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    add_checked,
    constant,
    div,
    load,
    mul_checked,
    store,
    sub_checked,
    u256,
)

_WAD = constant(10**18)
_FEE_UNIT = constant(10**10)
_ADMIN_FEE = constant(5 * 10**9)

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_EMPTY: Final = int(Status.EMPTY_POOL)
_OVERFLOW: Final = int(Status.OVERFLOW)
_TOO_SMALL: Final = int(Status.TOO_SMALL)


@kernel("Tuple((i8, U256))(u8[:,::1])")
def virtual_price(pool: Words) -> tuple[int, Word]:
    """Return get_virtual_price(): the invariant per LP token, times 1e18."""
    supply = load(pool, SUPPLY)
    if supply == ZERO():
        return _EMPTY, ZERO()
    return portion(load(pool, D), _WAD(), supply)


@kernel("Tuple((i8, U256))(U256, i8)")
def _base_fee(fee: Word, n: int) -> tuple[int, Word]:
    return portion(fee, u256(n), u256(4 * (n - 1)))


@kernel("i8(u8[:,::1], u8[:,::1], i8, U256, b1)")
def _moved(pool: Words, work: Words, k: int, amount: Word, deposit: bool) -> int:
    """Fill `work`: n scaled balances, then n balances, after a change of coin `k` alone."""
    n = coins(pool)
    for m in range(n):
        balance = load(pool, SIDES + 2 * n + m)
        if m == k:
            fits, balance = (
                add_checked(balance, amount) if deposit else sub_checked(balance, amount)
            )
            if not fits:
                return _OVERFLOW
        store(work, n + m, balance)
    for m in range(n):
        fits, x = mul_checked(load(pool, SIDES + n + m), load(work, n + m))
        if not fits:
            return _OVERFLOW
        store(work, m, div(x, _WAD()))
    return _OK


@kernel("i8(u8[:,::1], u8[:,::1], U256, U256)")
def _take_fees(pool: Words, work: Words, d0: Word, d1: Word) -> int:
    """Take from `work` the fees of an imbalance that moves the invariant from `d0` to `d1`."""
    n = coins(pool)
    multiplier = load(pool, MULTIPLIER)
    status, base_fee = _base_fee(load(pool, FEE), n)
    if status != _OK:
        return status
    fits, mean = add_checked(d0, d1)
    if not fits:
        return _OVERFLOW
    mean = div(mean, u256(n))
    for m in range(n):
        rate, old, new = load(pool, SIDES + n + m), load(pool, SIDES + 2 * n + m), load(work, n + m)
        status, ideal = portion(d1, old, d0)
        if status != _OK:
            return status
        fits1, both = add_checked(old, new)
        fits2, both = mul_checked(rate, both)
        if not (fits1 and fits2):
            return _OVERFLOW
        status, share = dynamic_fee(div(both, _WAD()), mean, base_fee, multiplier)
        if status != _OK:
            return status
        fits, fee = mul_checked(share, ideal - new if ideal > new else new - ideal)
        if not fits:
            return _OVERFLOW
        fits, kept = sub_checked(new, div(fee, _FEE_UNIT()))
        if not fits:
            return _OVERFLOW
        store(work, n + m, kept)
    for m in range(n):
        fits, x = mul_checked(load(pool, SIDES + n + m), load(work, n + m))
        if not fits:
            return _OVERFLOW
        store(work, m, div(x, _WAD()))
    return _OK


@kernel("Tuple((i8, U256))(u8[:,::1], i8, U256, b1)")
def token_amount(pool: Words, k: int, amount: Word, deposit: bool) -> tuple[int, Word]:
    """Return calc_token_amount of coin `k` alone: LP tokens minted, or burnt for a withdrawal."""
    n = coins(pool)
    work = np.empty((2 * n, 4), np.uint64)
    amp, d0, supply = load(pool, VIEW_AMP), load(pool, VIEW_D), load(pool, SUPPLY)
    status = _moved(pool, work, k, amount, deposit)
    if status != _OK:
        return status, ZERO()
    status, d1 = invariant(work, 0, n, amp)
    if status != _OK or supply == ZERO():
        return status, d1
    status = _take_fees(pool, work, d0, d1)
    if status != _OK:
        return status, ZERO()
    status, d2 = invariant(work, 0, n, amp)
    if status != _OK:
        return status, ZERO()
    fits, change = sub_checked(d2, d0) if deposit else sub_checked(d0, d2)
    if not fits:
        return _OVERFLOW, ZERO()
    return portion(change, supply, d0)


@kernel("Tuple((i8, U256))(u8[:,::1], i8, U256)")
def deposit_one(pool: Words, k: int, amount: Word) -> tuple[int, Word]:
    """Return the LP tokens that add_liquidity() mints for coin `k` alone."""
    n = coins(pool)
    work = np.empty((2 * n, 4), np.uint64)
    amp, d0, supply = load(pool, AMP), load(pool, D), load(pool, SUPPLY)
    if supply == ZERO():
        return _ZERO_AMOUNT, ZERO()
    status = _moved(pool, work, k, amount, True)
    if status != _OK:
        return status, ZERO()
    status, d1 = invariant(work, 0, n, amp)
    if status != _OK:
        return status, ZERO()
    if d1 <= d0:
        return _TOO_SMALL, ZERO()
    status = _take_fees(pool, work, d0, d1)
    if status != _OK:
        return status, ZERO()
    status, d2 = invariant(work, 0, n, amp)
    if status != _OK:
        return status, ZERO()
    fits, change = sub_checked(d2, d0)
    if not fits:
        return _OVERFLOW, ZERO()
    status, minted = portion(supply, change, d0)
    if status != _OK:
        return status, ZERO()
    status = oracles(work, 0, n, -1, ZERO(), -1, ZERO(), amp, d2)
    if status != _OK:
        return status, ZERO()
    fits, _ = add_checked(supply, minted)
    return (_OK if fits else _OVERFLOW), minted


@kernel("Tuple((i8, U256, U256))(u8[:,::1], U256, i8, b1)")
def withdraw_one(pool: Words, burnt: Word, k: int, carry_out: bool) -> tuple[int, Word, Word]:
    """Return the coins `k` for LP tokens, and the admin's share of them.

    With `carry_out` it is remove_liquidity_one_coin(), otherwise the view
    calc_withdraw_one_coin().
    """
    n = coins(pool)
    work = np.empty((n, 4), np.uint64)
    amp, d0, supply = load(pool, AMP), load(pool, D), load(pool, SUPPLY)
    rate, multiplier = load(pool, SIDES + n + k), load(pool, MULTIPLIER)
    if carry_out and burnt == ZERO():
        return _ZERO_AMOUNT, ZERO(), ZERO()
    if supply == ZERO():
        return _EMPTY, ZERO(), ZERO()
    status, gone = portion(burnt, d0, supply)
    if status != _OK:
        return status, ZERO(), ZERO()
    fits, d1 = sub_checked(d0, gone)
    if not fits:
        return _OVERFLOW, ZERO(), ZERO()
    status, y = side(pool, SIDES, n, k, -1, ZERO(), amp, d1)
    if status != _OK:
        return status, ZERO(), ZERO()
    status, base_fee = _base_fee(load(pool, FEE), n)
    if status != _OK:
        return status, ZERO(), ZERO()
    fits, mean = add_checked(d0, d1)
    if not fits:
        return _OVERFLOW, ZERO(), ZERO()
    mean = div(mean, u256(2 * n))
    for m in range(n):
        x = load(pool, SIDES + m)
        status, kept = portion(x, d1, d0)
        if status != _OK:
            return status, ZERO(), ZERO()
        fits1, expected = sub_checked(kept, y) if m == k else sub_checked(x, kept)
        fits2, both = add_checked(x, y)
        if not fits1 or (m == k and not fits2):
            return _OVERFLOW, ZERO(), ZERO()
        average = both >> np.int64(1) if m == k else x
        status, share = dynamic_fee(average, mean, base_fee, multiplier)
        if status != _OK:
            return status, ZERO(), ZERO()
        fits1, fee = mul_checked(share, expected)
        fits2, reduced = sub_checked(x, div(fee, _FEE_UNIT()))
        if not (fits1 and fits2):
            return _OVERFLOW, ZERO(), ZERO()
        store(work, m, reduced)
    status, after = side(work, 0, n, k, -1, ZERO(), amp, d1)
    if status != _OK:
        return status, ZERO(), ZERO()
    xk = load(pool, SIDES + k)
    fits, dy = sub_checked(load(work, k), after)
    if not fits:
        return _TOO_SMALL, ZERO(), ZERO()
    fits, without_fee = sub_checked(xk, y)
    if not fits:
        return _OVERFLOW, ZERO(), ZERO()
    status, without_fee = portion(without_fee, _WAD(), rate)
    if status != _OK:
        return status, ZERO(), ZERO()
    if dy == ZERO():
        return _TOO_SMALL, ZERO(), ZERO()
    status, received = portion(dy - ONE(), _WAD(), rate)
    if status != _OK:
        return status, ZERO(), ZERO()
    fits, fee = sub_checked(without_fee, received)
    if not fits:
        return _OVERFLOW, ZERO(), ZERO()
    if not carry_out:
        return _OK, received, ZERO()
    fits, share = mul_checked(fee, _ADMIN_FEE())
    if not fits or burnt > supply:
        return _OVERFLOW, ZERO(), ZERO()
    status = oracles(pool, SIDES, n, k, y, -1, ZERO(), amp, d1)
    if status != _OK:
        return status, ZERO(), ZERO()
    return _OK, received, div(share, _FEE_UNIT())
