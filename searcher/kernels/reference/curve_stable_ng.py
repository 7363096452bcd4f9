"""Curve StableSwap-NG in exact Python integers: what pool and view contracts compute.

Source: curvefi/stableswap-ng, CurveStableSwapNG.vy and CurveStableSwapMetaNG.vy (version v7.0.0),
CurveStableSwapNGMath.vy, CurveStableSwapNGViews.vy (1.2.0). A metapool is a pool of two coins
whose second rate is the virtual price of its base pool.

Balances are in smallest units, net of the admin's share. `xp` are balances times their rate over
1e18. Rates are 10**(36 - decimals), times what an oracle or a vault answers. Fees are in 1e-10.
The views (`get_dy`, `get_dx`, `calc_token_amount`) use A() * 100, the pool itself its precise A:
while A ramps, they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from searcher.kernels.reference.curve_stable import Rules, get_d, get_y
from searcher.kernels.refusal import Status, SwapRefused

WAD = 10**18
FEE_UNIT = 10**10
ADMIN_FEE = 5 * 10**9
A_PRECISION = 100
_RULES = Rules()
SECANT_ROUNDS = 8
MAX = 2**256 - 1


class NgPool(NamedTuple):
    """A pool at one moment.

    `amp` is A_precise(): A times 100. `fee` and `offpeg_fee_multiplier` are in 1e-10.
    """

    balances: tuple[int, ...]
    rates: tuple[int, ...]
    amp: int
    fee: int
    offpeg_fee_multiplier: int
    total_supply: int = 0

    @property
    def view_amp(self) -> int:
        """A() * 100: what the view contract takes for A."""
        return self.amp // A_PRECISION * A_PRECISION


def amplification(
    initial_a: int, future_a: int, initial_time: int, future_time: int, now: int
) -> int:
    """Return A_precise() at the timestamp `now`: a linear ramp, rounded towards its start.

    Raises:
        SwapRefused: `now` lies before a ramp that has not begun.
    """
    if now >= future_time:
        return future_a
    span = future_time - initial_time
    if future_a > initial_a:
        return _add(initial_a, _div(_mul(future_a - initial_a, _sub(now, initial_time)), span))
    return _sub(initial_a, _div(_mul(initial_a - future_a, _sub(now, initial_time)), span))


def scaled(rates: Sequence[int], balances: Sequence[int]) -> list[int]:
    """Return the balances in units of 1e-18 of the invariant."""
    return [_mul(rate, balance) // WAD for rate, balance in zip(rates, balances, strict=True)]


def invariant(xp: Sequence[int], amp: int) -> int:
    """Return get_D: the arithmetic of the newest plain pools.

    Raises:
        SwapRefused: overflow, an empty side, or no end within 255 rounds.
    """
    return get_d(xp, amp, _RULES)


def side(others: Sequence[int], n: int, amp: int, d: int) -> int:
    """Return the missing one of `n` balances, given all `others` and the invariant.

    This is get_y with the swap's new balance among `others`, and get_y_D.

    Raises:
        SwapRefused: overflow, an empty side, or no end within 255 rounds.
    """
    return get_y([*others, 0], n - 1, amp, d, _RULES)


def dynamic_fee(xpi: int, xpj: int, fee: int, multiplier: int) -> int:
    """Return the fee for these two balances: `fee` on peg, up to `multiplier` times off it."""
    if multiplier <= FEE_UNIT:
        return fee
    total = _add(xpi, xpj)
    on_peg = _mul(_mul(_mul(multiplier - FEE_UNIT, 4), xpi), xpj)
    return _div(_mul(multiplier, fee), _add(_div(on_peg, _mul(total, total)), FEE_UNIT))


def get_dy(pool: NgPool, i: int, j: int, dx: int) -> int:
    """Return what the view says of `dx` of coin `i`.

    Raises:
        SwapRefused: the view reverts.
    """
    net, _ = _swap(pool, i, j, dx, view=True)
    return net


def exchange(pool: NgPool, i: int, j: int, dx: int) -> tuple[int, int]:
    """Return what the pool pays for `dx` of coin `i`, and the admin's share of coin `j`.

    Raises:
        SwapRefused: the exchange reverts.
    """
    _places(pool, i, j)
    if dx == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not exchange 0 coins")
    return swapped(pool, i, j, dx)


def swapped(pool: NgPool, i: int, j: int, dx: int) -> tuple[int, int]:
    """Return what `exchange` does, for any `dx`.

    A metapool swaps what its base pool has minted for a deposit, be it nothing.

    Raises:
        SwapRefused: the exchange reverts.
    """
    return _swap(pool, i, j, dx, view=False)


def get_dx(pool: NgPool, i: int, j: int, dy: int) -> int:
    """Return the view's estimate of the input that pays `dy`; its fee is that before the swap.

    Raises:
        SwapRefused: the view reverts.
    """
    _places(pool, i, j)
    amp = pool.view_amp
    xp = scaled(pool.rates, pool.balances)
    d = _funded(invariant(xp, amp))
    net = _add(_mul(dy, pool.rates[j]) // WAD, 1)
    fee = dynamic_fee(xp[i], xp[j], pool.fee, pool.offpeg_fee_multiplier)
    gross = _div(_mul(net, FEE_UNIT), _sub(FEE_UNIT, fee))
    if gross > xp[j]:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"{dy} is more than the pool's {pool.balances[j]}"
        )
    others = [xp[j] - gross if k == j else x for k, x in enumerate(xp) if k != i]
    x = side(others, len(xp), amp, d)
    return _div(_mul(_dust(x, xp[i]), WAD), pool.rates[i])


def least_in(pool: NgPool, i: int, j: int, dy: int) -> int:
    """Return an input that pays at least `dy` while one unit less does not.

    It starts from the view's estimate. The contract's own rounding makes the curve uneven by a
    unit of the invariant, so that such an input need not be the only one.

    Raises:
        SwapRefused: the view or the exchange reverts.
    """
    x = max(get_dx(pool, i, j, dy), 1)
    paid = _paid(pool, i, j, x)
    x, paid = _secant(pool, i, j, dy, x, paid)
    step = x // max(paid, 1) + 1
    if paid >= dy:
        high = x
        while True:
            low = max(high - step, 0)
            if low == 0 or _paid(pool, i, j, low) < dy:
                break
            high, step = low, step * 2
    else:
        low = x
        while True:
            high = _add(low, step)
            if exchange(pool, i, j, high)[0] >= dy:
                break
            low, step = high, _mul(step, 2)
    while high - low > 1:
        middle = low + (high - low) // 2
        if _paid(pool, i, j, middle) >= dy:
            high = middle
        else:
            low = middle
    return high


def virtual_price(pool: NgPool) -> int:
    """Return get_virtual_price(): the invariant per LP token, times 1e18.

    Raises:
        SwapRefused: the pool is empty, or get_D reverts.
    """
    d = invariant(scaled(pool.rates, pool.balances), pool.amp)
    if pool.total_supply == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool has no LP tokens")
    return _mul(d, WAD) // pool.total_supply


def calc_token_amount(pool: NgPool, amounts: Sequence[int], *, deposit: bool) -> int:
    """Return the view's LP tokens for a deposit, or burnt for a withdrawal, of these amounts.

    Raises:
        SwapRefused: the view reverts.
    """
    amp = pool.view_amp
    change = _add if deposit else _sub
    after = [change(b, a) for b, a in zip(pool.balances, amounts, strict=True)]
    d0 = invariant(scaled(pool.rates, pool.balances), amp)
    d1 = invariant(scaled(pool.rates, after), amp)
    if pool.total_supply == 0:
        return d1
    fees = _imbalance_fees(pool, after, d0, d1)
    d2 = invariant(scaled(pool.rates, [_sub(b, f) for b, f in zip(after, fees, strict=True)]), amp)
    moved = _sub(d2, d0) if deposit else _sub(d0, d2)
    return _div(_mul(moved, pool.total_supply), d0)


def add_liquidity(pool: NgPool, amounts: Sequence[int]) -> tuple[int, list[int]]:
    """Return the LP tokens that a deposit mints and its fee in each coin.

    Half of a fee, rounded down, is the admin's.

    Raises:
        SwapRefused: the pool reverts.
    """
    if pool.total_supply == 0 and 0 in amounts:
        raise SwapRefused(Status.ZERO_AMOUNT, "the first deposit needs every coin")
    d0 = invariant(scaled(pool.rates, pool.balances), pool.amp)
    after = [_add(b, a) for b, a in zip(pool.balances, amounts, strict=True)]
    d1 = invariant(scaled(pool.rates, after), pool.amp)
    if d1 <= d0:
        raise SwapRefused(Status.TOO_SMALL, "the deposit does not raise the invariant")
    if pool.total_supply == 0:
        _oracle_word(d1)
        return d1, []
    fees = _imbalance_fees(pool, after, d0, d1)
    xp = scaled(pool.rates, [_sub(b, f) for b, f in zip(after, fees, strict=True)])
    d2 = invariant(xp, pool.amp)
    minted = _mul(pool.total_supply, _sub(d2, d0)) // d0
    _oracles(xp, pool.amp, d2)
    _add(pool.total_supply, minted)
    return minted, fees


def calc_withdraw_one_coin(pool: NgPool, burnt: int, i: int) -> int:
    """Return the view's coins `i` for LP tokens.

    Raises:
        SwapRefused: the view reverts.
    """
    received, _, _, _ = _one_coin(pool, burnt, i)
    return received


def remove_liquidity_one_coin(pool: NgPool, burnt: int, i: int) -> tuple[int, int]:
    """Return the coins `i` that LP tokens are burnt for, and the admin's share of them.

    Raises:
        SwapRefused: the pool reverts.
    """
    if burnt == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not burn 0 LP tokens")
    received, fee, xp, d1 = _one_coin(pool, burnt, i)
    _sub(pool.total_supply, burnt)
    _oracles(xp, pool.amp, d1)
    return received, _mul(fee, ADMIN_FEE) // FEE_UNIT


def _swap(pool: NgPool, i: int, j: int, dx: int, *, view: bool) -> tuple[int, int]:
    _places(pool, i, j)
    amp = pool.view_amp if view else pool.amp
    xp = scaled(pool.rates, pool.balances)
    d = _funded(invariant(xp, amp))
    x = _add(xp[i], _mul(dx, pool.rates[i]) // WAD)
    y = side([x if k == i else v for k, v in enumerate(xp) if k != j], len(xp), amp, d)
    gross = _dust(_dust(xp[j], y), 1)
    rate = dynamic_fee(
        _add(xp[i], x) // 2, _add(xp[j], y) // 2, pool.fee, pool.offpeg_fee_multiplier
    )
    fee = _mul(gross, rate) // FEE_UNIT
    net = _div(_mul(_sub(gross, fee), WAD), pool.rates[j])
    if view:
        return net, 0
    admin = _mul(_mul(fee, ADMIN_FEE) // FEE_UNIT, WAD) // pool.rates[j]
    xp[i], xp[j] = x, y
    _oracles(xp, amp, d)
    return net, admin


def _paid(pool: NgPool, i: int, j: int, dx: int) -> int:
    """Return what exchange() pays, 0 where the input is too small for it."""
    try:
        return exchange(pool, i, j, dx)[0]
    except SwapRefused as refusal:
        if refusal.status is Status.TOO_SMALL:
            return 0
        raise


def _secant(  # noqa: PLR0917  a swap, and where the search stands
    pool: NgPool, i: int, j: int, dy: int, x: int, paid: int
) -> tuple[int, int]:
    """Come near the input that pays `dy`; return it and what it pays."""
    x0, paid0 = 0, 0
    for _ in range(SECANT_ROUNDS):
        if paid in (dy, paid0):
            break
        slope_in, slope_out = abs(x - x0), abs(paid - paid0)
        if (x > x0) != (paid > paid0):
            break
        shift = _mul(abs(dy - paid), slope_in) // slope_out
        if shift == 0:
            break
        x0, paid0 = x, paid
        x = _add(x, shift) if paid < dy else max(x - shift, 1) if x > shift else 1
        paid = _paid(pool, i, j, x)
    return x, paid


def _imbalance_fees(pool: NgPool, after: Sequence[int], d0: int, d1: int) -> list[int]:
    n = len(after)
    base_fee = pool.fee * n // (4 * (n - 1))
    mean = _add(d0, d1) // n
    fees = []
    for rate, old, new in zip(pool.rates, pool.balances, after, strict=True):
        ideal = _div(_mul(d1, old), d0)
        share = dynamic_fee(
            _mul(rate, _add(old, new)) // WAD, mean, base_fee, pool.offpeg_fee_multiplier
        )
        fees.append(_mul(share, abs(ideal - new)) // FEE_UNIT)
    return fees


def _one_coin(pool: NgPool, burnt: int, i: int) -> tuple[int, int, list[int], int]:
    n = len(pool.balances)
    xp = scaled(pool.rates, pool.balances)
    d0 = invariant(xp, pool.amp)
    if pool.total_supply == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool has no LP tokens")
    d1 = _sub(d0, _mul(burnt, d0) // pool.total_supply)
    y = side([x for k, x in enumerate(xp) if k != i], n, pool.amp, d1)
    base_fee = pool.fee * n // (4 * (n - 1))
    mean = _add(d0, d1) // (2 * n)
    reduced = []
    for k, x in enumerate(xp):
        kept = _div(_mul(x, d1), d0)
        expected = _sub(kept, y) if k == i else _sub(x, kept)
        average = _add(x, y) // 2 if k == i else x
        share = dynamic_fee(average, mean, base_fee, pool.offpeg_fee_multiplier)
        reduced.append(_sub(x, _mul(share, expected) // FEE_UNIT))
    others = [x for k, x in enumerate(reduced) if k != i]
    received = _dust(reduced[i], side(others, n, pool.amp, d1))
    without_fee = _div(_mul(_sub(xp[i], y), WAD), pool.rates[i])
    received = _div(_mul(_dust(received, 1), WAD), pool.rates[i])
    xp[i] = y
    return received, _sub(without_fee, received), xp, d1


def _oracles(xp: Sequence[int], amp: int, d: int) -> None:
    """Refuse where upkeep_oracles() reverts: its prices overflow, or D takes over 128 bits."""
    n = len(xp)
    dr = d // n**n
    for x in xp:
        dr = _over_side(_mul(dr, d), x)
    first = _mul(amp * n, xp[0]) // A_PRECISION
    for x in xp[1:]:
        _div(_mul(WAD, _add(first, _mul(dr, xp[0]) // x)), _add(first, dr))
    _oracle_word(d)


def _oracle_word(d: int) -> None:
    if d >> 128:
        raise SwapRefused(Status.UNSAFE_VALUES, "the invariant has more than 128 bits")


def _places(pool: NgPool, i: int, j: int) -> None:
    if i == j:
        raise SwapRefused(Status.SAME_TOKEN, f"coin {i} cannot be swapped for itself")
    for k in (i, j):
        if not 0 <= k < len(pool.balances):
            raise SwapRefused(Status.UNKNOWN_TOKEN, f"the pool has no coin {k}")


def _funded(d: int) -> int:
    if d == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool holds nothing")
    return d


def _dust(a: int, b: int) -> int:
    if a < b:
        raise SwapRefused(Status.TOO_SMALL, "the amount does not outlast the rounding")
    return a - b


def _add(a: int, b: int) -> int:
    if a + b > MAX:
        raise SwapRefused(Status.OVERFLOW, "a sum exceeds 256 bits")
    return a + b


def _sub(a: int, b: int) -> int:
    if a < b:
        raise SwapRefused(Status.OVERFLOW, "a difference is below zero")
    return a - b


def _mul(a: int, b: int) -> int:
    if a * b > MAX:
        raise SwapRefused(Status.OVERFLOW, "a product exceeds 256 bits")
    return a * b


def _div(a: int, b: int) -> int:
    if b == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return a // b


def _over_side(value: int, x: int) -> int:
    if x == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool lacks one of its coins")
    return value // x
