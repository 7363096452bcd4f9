"""Curve's three-coin crypto pools: quotes and the invariant, operation by operation.

Sources: curvefi/tricrypto-ng v2.0.0 (CurveTricryptoOptimizedWETH, CurveTricryptoOptimized,
CurveCryptoMathOptimized3, CurveCryptoViews3Optimized); legacy: CurveCryptoSwap, CurveCryptoMath3
and CurveCryptoViews3.

`balances` are in smallest units; `xp` are balances times precision times price scale, 18 decimals,
in units of the first coin. `A` carries the factor 10,000 times 27, `gamma` and prices 18 decimals,
fees 10.
"""

from __future__ import annotations

from enum import IntEnum
from math import isqrt
from typing import Final, NamedTuple, TypeAlias

from searcher.kernels.reference.curve_crypto import (
    A_MULTIPLIER,
    FEE_UNIT,
    MAX_D,
    MIN_D,
    MIN_GAMMA,
    ROUNDS,
    VIEW_ROUNDS,
    WAD,
    cbrt,
    geometric_mean,
    least_input,
    newton_y,
    next_D,
    unsafe,
)
from searcher.kernels.reference.vyper import (
    div,
    sdiv,
    sint,
    swrapped,
    uint,
    unsafe_div,
    unsafe_sdiv,
    wrapped,
)
from searcher.kernels.refusal import Status, SwapRefused

Three: TypeAlias = tuple[int, int, int]

MIN_A: Final = 27 * A_MULTIPLIER // 100
MAX_A: Final = 27 * A_MULTIPLIER * 1000
MAX_GAMMA: Final = 5 * 10**16


class Maths(IntEnum):
    """Which contract solves the invariant."""

    V2_0_0 = 0
    LEGACY = 1


class TricryptoPool(NamedTuple):
    """All that a quote depends on, at one block: `A`, `gamma` and `D` as they hold there."""

    maths: Maths
    balances: Three
    precisions: Three
    price_scale: tuple[int, int]
    A: int
    gamma: int
    D: int
    mid_fee: int
    out_fee: int
    fee_gamma: int


def scaled(pool: TricryptoPool, balances: Three) -> Three:
    """Return balances as `xp`.

    Raises:
        SwapRefused: a product overflows.
    """
    return (
        uint(balances[0] * pool.precisions[0]),
        uint(uint(balances[1] * pool.price_scale[0]) * pool.precisions[1]) // WAD,
        uint(uint(balances[2] * pool.price_scale[1]) * pool.precisions[2]) // WAD,
    )


def get_dy(pool: TricryptoPool, i: int, j: int, dx: int) -> int:
    """Return what the pool pays of coin `j` for `dx` of coin `i`: the views' get_dy.

    The exchange pays the same, in the same operations.

    Raises:
        SwapRefused: the view would revert.
    """
    if dx == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not exchange nothing")
    xp = scaled(pool, _moved(pool.balances, i, dx))
    y, _ = get_y(pool, xp, j)
    dy = _unscaled(pool, uint(xp[j] - y - 1), j)
    return uint(dy - uint(fee(pool, _placed(xp, j, y)) * dy) // FEE_UNIT)


def get_dx(pool: TricryptoPool, i: int, j: int, dy: int) -> int:
    """Return about what the pool takes of coin `i` to pay `dy` of coin `j`: the views' get_dx.

    Raises:
        SwapRefused: the view would revert, or the legacy pool has none.
    """
    if dy == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not exchange nothing")
    dx, gross = 0, dy
    for _ in range(VIEW_ROUNDS):
        xp = scaled(pool, _moved(pool.balances, j, -gross))
        x, _ = get_y(pool, xp, i)
        dx = _unscaled(pool, uint(x - xp[i]), i)
        fee_dy = uint(fee(pool, _placed(xp, i, x)) * gross) // FEE_UNIT
        gross = uint(dy + fee_dy + 1)
    return dx


def least_dx(pool: TricryptoPool, i: int, j: int, dy: int) -> int:
    """Return an input that pays `dy` while one less does not: legacy pools have no get_dx.

    The contracts round, so that there may be others like it; this one is found from the estimate.

    Raises:
        SwapRefused: the estimate would revert, or no input pays that much.
    """
    estimate = get_dx(pool, i, j, dy)
    return least_input(lambda dx: get_dy(pool, i, j, dx), estimate, dy, downwards=True)


def exchanged_D(  # noqa: N802
    pool: TricryptoPool, i: int, j: int, *, dx: int, dy: int, price_scale: tuple[int, int]
) -> int:
    """Return the invariant after an exchange that the pool has logged.

    Args:
        pool: the pool before the exchange, in the exchange's block.
        i: the coin sold.
        j: the coin bought.
        dx: how much the pool took.
        dy: how much it paid, fee deducted.
        price_scale: the price scales after the exchange, as logged. Where they changed, the pool
            has computed the invariant again at the new ones.

    Raises:
        SwapRefused: the exchange would have reverted.
    """
    taken = _moved(pool.balances, i, dx)
    _, k0 = get_y(pool, scaled(pool, taken), j)
    xp = scaled(pool, _moved(taken, j, -dy))
    if price_scale == pool.price_scale:
        return newton_D(pool.maths, pool.A, pool.gamma, xp, k0)
    second = div(uint(xp[1] * price_scale[0]), pool.price_scale[0])
    third = div(uint(xp[2] * price_scale[1]), pool.price_scale[1])
    return newton_D(pool.maths, pool.A, pool.gamma, (xp[0], second, third), 0)


def fee(pool: TricryptoPool, xp: Three) -> int:
    """Return the fee in 1e-10 at given `xp`: from mid_fee in balance to out_fee out of it.

    Raises:
        SwapRefused: nothing in the pool, or an overflow.
    """
    total = uint(uint(xp[0] + xp[1]) + xp[2])
    weight = WAD
    for balance in xp:
        weight = div(uint(uint(weight * 3) * balance), total)
    if pool.fee_gamma > 0:
        weight = div(uint(pool.fee_gamma * WAD), uint(uint(pool.fee_gamma + WAD) - weight))
    return uint(uint(pool.mid_fee * weight) + uint(pool.out_fee * uint(WAD - weight))) // WAD


def get_y(pool: TricryptoPool, x: Three, i: int) -> tuple[int, int]:
    """Return the `xp` of coin `i` on the curve when the others' are as given, and K0 there (or 0).

    Raises:
        SwapRefused: the maths contract would revert.
    """
    if not MIN_A <= pool.A <= MAX_A:
        unsafe("A")
    if not MIN_GAMMA <= pool.gamma <= MAX_GAMMA:
        unsafe("gamma")
    if not MIN_D <= pool.D <= MAX_D:
        unsafe("D")
    others = [x[place] for place in range(3) if place != i]
    least = 10**16
    for other in others:
        if not least <= uint(other * WAD) // pool.D <= 10**20:
            unsafe("a balance's share of the invariant")
    if pool.maths == Maths.LEGACY:
        return _newton_y(pool, others[0], others[1]), 0
    solved = _analytic_y(pool, others[0], others[1])
    if solved is None:
        return _newton_y(pool, others[0], others[1]), 0
    if not 10**16 - 1 <= uint(solved[0] * WAD) // pool.D <= 10**20:
        unsafe("the found balance's share of the invariant")
    return solved


def newton_D(maths: Maths, A: int, gamma: int, unsorted: Three, k0: int) -> int:  # noqa: N802, N803
    """Return the invariant of given `xp`.

    Args:
        maths: which contract solves it.
        A: amplification.
        gamma: gamma.
        unsorted: the pool's `xp`.
        k0: what `get_y` said of K0 before, or 0: a better start.

    Raises:
        SwapRefused: the maths contract would revert.
    """
    ordered = sorted(unsorted, reverse=True)
    x = (ordered[0], ordered[1], ordered[2])
    if maths == Maths.LEGACY:
        return _legacy_D(A, gamma, x)
    if not 0 < x[0] < ((1 << 256) - 1) // WAD * 27:
        unsafe("the greatest balance")
    total = wrapped(sum(x))
    invariant = wrapped(3 * geometric_mean(x)) if k0 == 0 else _start(x, total, k0)
    for _ in range(ROUNDS):
        before = invariant
        share = wrapped(wrapped(WAD * x[0]) * 3)
        share = wrapped(wrapped(unsafe_div(share, invariant) * x[1]) * 3)
        share = wrapped(wrapped(unsafe_div(share, invariant) * x[2]) * 3)
        share = unsafe_div(share, invariant)
        distance = wrapped(gamma + WAD)
        distance = wrapped(abs(distance - share) + 1)
        mul1 = wrapped(unsafe_div(wrapped(WAD * invariant), gamma) * distance)
        mul1 = wrapped(wrapped(unsafe_div(mul1, gamma) * distance) * A_MULTIPLIER)
        mul1 = unsafe_div(mul1, A)
        mul2 = unsafe_div(wrapped(6 * WAD * share), distance)
        slope = wrapped(total + wrapped(total * mul2) // WAD)
        slope = wrapped(slope + unsafe_div(wrapped(mul1 * 3), share))
        slope = wrapped(slope - wrapped(mul2 * invariant) // WAD)
        plus = unsafe_div(uint(invariant * wrapped(slope + total)), slope)
        minus = unsafe_div(uint(invariant * invariant), slope)
        step = uint(invariant * unsafe_div(mul1, slope)) // WAD
        if share < WAD:
            minus = uint(minus + unsafe_div(wrapped(step * (WAD - share)), share))
        else:
            minus = uint(minus - unsafe_div(wrapped(step * (share - WAD)), share))
        invariant = plus - minus if plus > minus else (minus - plus) // 2
        if wrapped(abs(invariant - before) * 10**14) < max(10**16, invariant):
            for balance in x:
                if not 10**16 - 1 <= unsafe_div(wrapped(balance * WAD), invariant) <= 10**20:
                    unsafe("a balance's share of the invariant")
            return invariant
    raise SwapRefused(Status.NO_CONVERGENCE, "the invariant does not converge")


def _start(x: Three, total: int, k0: int) -> int:
    """Return the invariant from K0 as it was before."""
    if total > 10**36:
        unit, scale = 10**36, 27 * 10**12
    elif total > 10**24:
        unit, scale = 10**24, 27 * 10**6
    else:
        unit, scale = 10**18, 27
    product = uint(uint(x[0] * x[1]) // unit * x[2])
    quotient = product // k0
    # the contract multiplies by 27 and then by the rest of the scale, each checked
    return cbrt(uint(uint(quotient * 27) * (scale // 27)))


def _analytic_y(pool: TricryptoPool, x_j: int, x_k: int) -> tuple[int, int] | None:
    """Solve the cubic for the third balance and K0; None where the contract turns to Newton."""
    D, A, gamma = pool.D, pool.A, pool.gamma  # noqa: N806  the contract's names
    gamma2 = gamma * gamma
    a = 10**36 // 27
    b = swrapped(unsafe_sdiv(D * D, x_j) * gamma2)
    b = unsafe_sdiv(unsafe_sdiv(sint(b * A), 27**2), A_MULTIPLIER)
    b = sint(10**36 // 9 + 2 * WAD * gamma // 27 - unsafe_sdiv(b, x_k))
    c = unsafe_sdiv(sint(gamma2 * (x_j + x_k - D)), D)
    c = unsafe_sdiv(unsafe_sdiv(swrapped(c * A), 27), A_MULTIPLIER)
    c = sint(10**36 // 9 + gamma * (gamma + 4 * WAD) // 27 + c)
    d = (WAD + gamma) ** 2 // 27

    divider = _divider(sint(abs(sint(sdiv(sint(3 * a * c), b) - b))))
    if a > sint(abs(b)):
        extra = abs(unsafe_sdiv(a, b))
        a = unsafe_sdiv(swrapped(a * extra), divider)
        b = unsafe_sdiv(sint(b * extra), divider)
        c = unsafe_sdiv(sint(c * extra), divider)
        d = unsafe_sdiv(sint(d * extra), divider)
    else:
        extra = abs(unsafe_sdiv(b, a))
        a = unsafe_sdiv(sdiv(a, extra), divider)
        b = unsafe_sdiv(unsafe_sdiv(b, extra), divider)
        c = unsafe_sdiv(unsafe_sdiv(c, extra), divider)
        d = unsafe_sdiv(unsafe_sdiv(d, extra), divider)

    ac3 = sint(swrapped(3 * a) * c)
    delta0 = sint(unsafe_sdiv(ac3, b) - b)
    delta1 = sint(unsafe_sdiv(sint(3 * ac3), b) - swrapped(2 * b))
    cubed = unsafe_sdiv(sint(27 * sint(a * a)), b)
    delta1 = sint(delta1 - unsafe_sdiv(sint(cubed * d), b))
    under = sint(unsafe_sdiv(sint(4 * sint(delta0 * delta0)), b) * delta0)
    under = sint(sint(delta1 * delta1) + under)
    if under <= 0:
        return None
    root = isqrt(under)

    b_cbrt = sint(cbrt(b)) if b >= 0 else -sint(cbrt(sint(-b)))
    if delta1 > 0:
        second = sint(cbrt(uint(sint(delta1 + root)) // 2))
    else:
        second = -sint(cbrt(uint(sint(-sint(delta1 - root))) // 2))
    c1 = unsafe_sdiv(sint(unsafe_sdiv(sint(b_cbrt * b_cbrt), WAD) * second), WAD)
    k0 = sint(sint(b + sdiv(sint(b * delta0), c1)) - c1)
    k0 = unsafe_sdiv(k0, 3)
    y = unsafe_sdiv(sint(unsafe_sdiv(sint(D * D) // 27, x_k) * D), x_j)
    y = unsafe_sdiv(sint(y * k0), a)
    return uint(y), uint(unsafe_sdiv(sint(WAD * k0), a))


def _divider(threshold: int) -> int:
    """Return by how much the cubic's coefficients are scaled down."""
    for power in range(48, 20, -4):
        if threshold > 10**power:
            return int(10 ** (power - 18))
    return 10**2 if threshold > 10**20 else 1


def _newton_y(pool: TricryptoPool, first: int, second: int) -> int:
    D = pool.D  # noqa: N806  the contract's name
    high, low = max(first, second), min(first, second)
    start, k0_given = D // 3, WAD
    for balance in (low, high):
        start = div(uint(start * D), uint(balance * 3))
    for balance in (high, low):
        k0_given = uint(uint(k0_given * balance) * 3) // D
    y = newton_y(
        pool.A,
        pool.gamma,
        D,
        start=start,
        total_given=low + high,
        k0_given=k0_given,
        near=max(high // 10**14, D // 10**14, 100),
        coins=3,
    )
    if not 10**16 <= uint(y * WAD) // D <= 10**20:
        unsafe("the found balance's share of the invariant")
    return y


def _legacy_D(A: int, gamma: int, x: Three) -> int:  # noqa: N802, N803
    """Return the invariant as the legacy maths iterates it, all checked."""
    if not MIN_A <= A <= MAX_A or not MIN_GAMMA <= gamma <= MAX_GAMMA:
        unsafe("A or gamma")
    if not 10**9 <= x[0] <= MAX_D:
        unsafe("the greatest balance")
    if any(uint(balance * WAD) // x[0] < 10**11 for balance in x[1:]):
        unsafe("a balance's share of the greatest")
    invariant = 3 * _legacy_mean(x)
    for _ in range(ROUNDS):
        before = invariant
        share = WAD
        for balance in x:
            share = div(uint(uint(share * balance) * 3), invariant)
        invariant = next_D(A, gamma, invariant, total=sum(x), share=share, coins=3)
        if uint(abs(invariant - before) * 10**14) < max(10**16, invariant):
            if not all(10**16 <= div(uint(b * WAD), invariant) <= 10**20 for b in x):
                unsafe("a balance's share of the invariant")
            return invariant
    raise SwapRefused(Status.NO_CONVERGENCE, "the invariant does not converge")


def _legacy_mean(x: Three) -> int:
    """Return the geometric mean as the legacy maths iterates it."""
    mean = x[0]
    for _ in range(ROUNDS):
        before = mean
        factor = WAD
        for balance in x:
            factor = div(uint(factor * balance), mean)
        mean = uint(mean * uint(2 * WAD + factor)) // (3 * WAD)
        diff = abs(mean - before)
        if diff <= 1 or uint(diff * WAD) < mean:
            return mean
    raise SwapRefused(Status.NO_CONVERGENCE, "the geometric mean does not converge")


def _unscaled(pool: TricryptoPool, amount: int, place: int) -> int:
    if place > 0:
        amount = div(uint(amount * WAD), pool.price_scale[place - 1])
    return div(amount, pool.precisions[place])


def _moved(balances: Three, place: int, amount: int) -> Three:
    return _placed(balances, place, uint(balances[place] + amount))


def _placed(values: Three, place: int, value: int) -> Three:
    placed = list(values)
    placed[place] = value
    return placed[0], placed[1], placed[2]
