"""Liquidity of Curve's stableswap pools, and the metapools that trade another pool's token.

Sources: the same contracts as `curve_stable`: get_virtual_price, calc_token_amount,
calc_withdraw_one_coin, add_liquidity; of SwapTemplateMeta, MetaUSD and MetaBTC get_dy_underlying
and exchange_underlying.

A metapool holds a coin and the liquidity token of its base pool, at the base pool's virtual price.
Coin 0 is the metapool's own; underlying coin `1 + k` is coin `k` of the base pool.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels.reference.curve_stable import (
    FEE_UNIT,
    PRECISION,
    Pool,
    dynamic_fee,
    exact_in,
    fits,
    get_d,
    get_y,
    least_input,
    pays,
    ratio,
    scaled,
    subtract,
    unscaled,
)
from searcher.kernels.refusal import Status, SwapRefused

BASE: Final = 1
"""The place of the base pool's token in a metapool."""


def virtual_price(pool: Pool) -> int:
    """Return get_virtual_price: the invariant per liquidity token, times 1e18."""
    d = get_d(scaled(pool, pool.balances), pool.amp, pool.rules)
    return ratio(d * PRECISION, pool.supply)


def token_amount(pool: Pool, amounts: tuple[int, ...], *, deposit: bool) -> int:
    """Return calc_token_amount: liquidity tokens for amounts of all coins, without fees."""
    before = get_d(scaled(pool, pool.balances), pool.amp, pool.rules)
    moved = [
        fits(b + a) if deposit else subtract(b, a)
        for b, a in zip(pool.balances, amounts, strict=True)
    ]
    after = get_d(scaled(pool, moved), pool.amp, pool.rules)
    return ratio(subtract(*((after, before) if deposit else (before, after))) * pool.supply, before)


def add_liquidity(pool: Pool, amounts: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the liquidity tokens that add_liquidity mints, and the pool's balances after it.

    Raises:
        SwapRefused: the contract would revert, or the pool is new (nobody owns a share of it).
    """
    if pool.supply == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool has no liquidity yet")
    n, rules, old = len(pool.balances), pool.rules, pool.balances
    before = get_d(scaled(pool, old), pool.amp, rules)
    new = [fits(b + a) for b, a in zip(old, amounts, strict=True)]
    after = get_d(scaled(pool, new), pool.amp, rules)
    if after <= before:
        raise SwapRefused(Status.TOO_SMALL, "the deposit does not raise the invariant")
    kept = list(new)
    fee = pool.fee * n // (4 * (n - 1))
    for k in range(n):
        ideal = ratio(after * old[k], before)
        rate = fee
        if pool.offpeg_fee_multiplier:
            rate = dynamic_fee(
                fits(old[k] + new[k]),
                fits(before + after) // n,
                fee,
                pool.offpeg_fee_multiplier,
            )
        charged = fits(rate * abs(ideal - new[k])) // FEE_UNIT
        kept[k] = subtract(new[k], fits(charged * pool.admin_fee) // FEE_UNIT)
        new[k] = subtract(new[k], charged)
    fair = get_d(scaled(pool, new), pool.amp, rules)
    return ratio(pool.supply * subtract(fair, before), before), tuple(kept)


def withdraw_one(pool: Pool, i: int, burned: int) -> tuple[int, int]:
    """Return calc_withdraw_one_coin: what burning gives of coin `i`, and the fee within.

    Raises:
        SwapRefused: the contract would revert.
    """
    n, rules = len(pool.balances), pool.rules
    xp = scaled(pool, pool.balances)
    before = get_d(xp, pool.amp, rules)
    after = subtract(before, ratio(burned * before, pool.supply))
    left = get_y(xp, i, pool.amp, after, rules)
    fee = pool.fee * n // (4 * (n - 1))
    reduced = list(xp)
    for k in range(n):
        share = ratio(xp[k] * after, before)
        moved = subtract(share, left) if k == i else subtract(xp[k], share)
        rate = fee
        if pool.offpeg_fee_multiplier:
            middle = fits(xp[k] + left) // 2 if k == i else xp[k]
            level = fits(before + after) // (2 * n)
            rate = dynamic_fee(middle, level, fee, pool.offpeg_fee_multiplier)
        reduced[k] = subtract(xp[k], fits(rate * moved) // FEE_UNIT)
    room = subtract(reduced[i], get_y(reduced, i, pool.amp, after, rules))
    paid = unscaled(pool, i, subtract(room, 1))
    return paid, subtract(unscaled(pool, i, subtract(xp[i], left)), paid)


def underlying_in(
    meta: Pool, base: Pool, i: int, j: int, amount: int, *, by_rate: bool = False
) -> tuple[int, int]:
    """Return what get_dy_underlying says and what exchange_underlying pays.

    Args:
        meta: the metapool; the rate of its second coin is the base pool's virtual price as the
            metapool knows it.
        base: the base pool.
        i: underlying coin sold.
        j: underlying coin bought.
        amount: what is sold, at least what the view of an old metapool takes.
        by_rate: the view scales coin 0 by its rate and not by a whole multiplier (RAI).

    Raises:
        SwapRefused: one of them would revert.
    """
    if i > 0 and j > 0:
        return exact_in(base, i - 1, j - 1, amount)
    return (
        _seen(meta, base, i, j, amount, by_rate=by_rate),
        _exchanged(meta, base, i, j, amount),
    )


def underlying_out(
    meta: Pool, base: Pool, i: int, j: int, amount: int, *, by_rate: bool = False
) -> tuple[int, int]:
    """Return the least inputs for which view and exchange give at least `amount`.

    Raises:
        SwapRefused: no input does.
    """
    if amount == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "nothing is asked for")

    def pay(x: int) -> tuple[int, int]:
        return underlying_in(meta, base, i, j, x, by_rate=by_rate)

    return least_input(lambda x: pay(x)[0], amount), least_input(lambda x: pay(x)[1], amount)


def _seen(meta: Pool, base: Pool, i: int, j: int, amount: int, *, by_rate: bool) -> int:
    """Return get_dy_underlying between the metapool's own coin and one of the base pool."""
    xp = scaled(meta, meta.balances)
    price = meta.rates[BASE]
    own = meta._replace(rules=meta.rules._replace(by_multiplier=not by_rate))
    if i == 0:
        sold = scaled(own, (amount, 0))[0]
    else:
        sold = fits(token_amount(base, _only(base, i - 1, amount), deposit=True) * price)
        sold //= PRECISION
        sold -= fits(sold * base.fee) // (2 * FEE_UNIT)
    d, y = _solve(meta, xp, sold, BASE if i else 0)
    bought = BASE if j else 0
    room = _room(xp[bought], y, d)
    room -= fits(meta.fee * room) // FEE_UNIT
    if j == 0:
        return unscaled(own, 0, room)
    return withdraw_one(base, j - 1, ratio(room * PRECISION, price))[0]


def _exchanged(meta: Pool, base: Pool, i: int, j: int, amount: int) -> int:
    """Return exchange_underlying between the metapool's own coin and one of the base pool."""
    xp = scaled(meta, meta.balances)
    sold = amount if i == 0 else add_liquidity(base, _only(base, i - 1, amount))[0]
    place = BASE if i else 0
    d, y = _solve(meta, xp, scaled(meta, _only(meta, place, sold))[place], place)
    paid = pays(meta, 1 - place, xp[1 - place] - y, meta.fee, d)[1]
    return paid if j == 0 else withdraw_one(base, j - 1, paid)[0]


def _solve(meta: Pool, xp: list[int], sold: int, place: int) -> tuple[int, int]:
    """Return the metapool's invariant, and what its other coin must hold after the sale."""
    d = get_d(xp, meta.amp, meta.rules)
    after = list(xp)
    after[place] = fits(xp[place] + sold)
    return d, get_y(after, 1 - place, meta.amp, d, meta.rules)


def _room(held: int, y: int, d: int) -> int:
    if held < y + 1:
        if d == 0:
            raise SwapRefused(Status.EMPTY_POOL, "the metapool holds nothing")
        raise SwapRefused(Status.TOO_SMALL, "so small an input buys less than nothing")
    return held - y - 1


def _only(pool: Pool, k: int, amount: int) -> tuple[int, ...]:
    """Return amounts of all coins of a pool, of which only `k` is not zero."""
    return tuple(amount if place == k else 0 for place in range(len(pool.balances)))
