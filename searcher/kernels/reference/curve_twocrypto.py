"""Curve's two-coin crypto pools: quotes and the invariant, operation by operation.

Sources: curvefi/twocrypto-ng. Pools and maths v2.0.0 (December 2023) and v2.1.0 (June 2024):
CurveTwocryptoOptimized, CurveCryptoMathOptimized2, CurveCryptoViews2Optimized. Pools v2.1.0d:
Twocrypto, StableswapMath v0.1.0, TwocryptoView. Legacy pools: CurveCryptoSwap2ETH.

`balances` are in smallest units; `xp` are balances times precision times price scale, 18 decimals,
in units of the first coin. `A` carries the factor 10,000 times N^N (for the stableswap maths N),
`gamma` and prices 18 decimals, fees 10.
"""

from __future__ import annotations

from enum import IntEnum
from math import isqrt
from typing import Final, NamedTuple

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
    least_input,
    newton_y,
    next_D,
    unsafe,
)
from searcher.kernels.reference.vyper import div, sdiv, sint, swrapped, uint, unsafe_sdiv, wrapped
from searcher.kernels.refusal import Status, SwapRefused

MIN_A: Final = 4 * A_MULTIPLIER // 10
MAX_GAMMA_SMALL: Final = 2 * 10**16


class Maths(IntEnum):
    """Which contract solves the invariant."""

    V2_0_0 = 0
    V2_1_0 = 1
    STABLESWAP = 2
    LEGACY = 3


_MAX_GAMMA: Final = {
    Maths.V2_0_0: 2 * 10**15,
    Maths.V2_1_0: 199 * 10**15,
    Maths.LEGACY: 2 * 10**16,
}
_MAX_A: Final = {
    Maths.V2_0_0: 4 * A_MULTIPLIER * 1000,
    Maths.V2_1_0: 4 * A_MULTIPLIER * 1000,
    Maths.LEGACY: 4 * A_MULTIPLIER * 100_000,
}


_SHARES: Final = {
    Maths.V2_0_0: (10**16 - 1, 10**20),
    Maths.V2_1_0: (10**16 // 2, 10**20 // 2),
    Maths.LEGACY: (10**16, 10**20),
}
"""What share of the invariant, 18 decimals, `newton_D` lets a balance have."""


class TwocryptoPool(NamedTuple):
    """All that a quote depends on, at one block: `A`, `gamma` and `D` as they hold there."""

    maths: Maths
    harmonic_fee: bool
    """The fee weighs by fee_gamma*B/(fee_gamma*B + 1 - B), as pools v2.1.0d do."""
    balances: tuple[int, int]
    precisions: tuple[int, int]
    price_scale: int
    A: int
    gamma: int
    D: int
    mid_fee: int
    out_fee: int
    fee_gamma: int


def scaled(pool: TwocryptoPool, balances: tuple[int, int]) -> tuple[int, int]:
    """Return balances as `xp`.

    Raises:
        SwapRefused: a product overflows.
    """
    first = uint(balances[0] * pool.precisions[0])
    second = uint(uint(balances[1] * pool.price_scale) * pool.precisions[1]) // WAD
    return first, second


def get_dy(pool: TwocryptoPool, i: int, dx: int) -> int:
    """Return what the pool pays of the other coin for `dx` of coin `i`: the views' get_dy.

    The exchange pays the same, in the same operations.

    Raises:
        SwapRefused: the view would revert.
    """
    if dx == 0 and pool.maths != Maths.LEGACY:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not exchange nothing")
    xp = list(scaled(pool, _moved(pool.balances, i, dx)))
    j = 1 - i
    y, _ = get_y(pool, (xp[0], xp[1]), j)
    dy = uint(xp[j] - y - 1)
    xp[j] = y
    dy = div(uint(dy * WAD), pool.price_scale) if j == 1 else dy
    dy = div(dy, pool.precisions[j])
    return uint(dy - uint(fee(pool, (xp[0], xp[1])) * dy) // FEE_UNIT)


def get_dx(pool: TwocryptoPool, i: int, dy: int) -> int:
    """Return about what the pool takes of coin `i` to pay `dy` of the other: the views' get_dx.

    Raises:
        SwapRefused: the view would revert.
    """
    if dy == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not exchange nothing")
    j = 1 - i
    dx, gross = 0, dy
    for _ in range(VIEW_ROUNDS):
        xp = list(scaled(pool, _moved(pool.balances, j, -gross)))
        x, _ = get_y(pool, (xp[0], xp[1]), i)
        dx = uint(x - xp[i])
        xp[i] = x
        dx = div(uint(dx * WAD), pool.price_scale) if i == 1 else dx
        dx = div(dx, pool.precisions[i])
        fee_dy = uint(fee(pool, (xp[0], xp[1])) * gross) // FEE_UNIT
        gross = uint(dy + fee_dy + 1)
    return dx


def least_dx(pool: TwocryptoPool, i: int, dy: int) -> int:
    """Return an input that pays `dy` while one less does not: legacy pools have no get_dx.

    The contracts round, so that there may be others like it; this one is found from the estimate.

    Raises:
        SwapRefused: the estimate would revert, or no input pays that much.
    """
    estimate = get_dx(pool, i, dy)
    return least_input(lambda dx: get_dy(pool, i, dx), estimate, dy, downwards=True)


def exchanged_D(pool: TwocryptoPool, i: int, *, dx: int, dy: int, price_scale: int) -> int:  # noqa: N802
    """Return the invariant after an exchange that the pool has logged.

    Args:
        pool: the pool before the exchange, in the exchange's block.
        i: the coin sold.
        dx: how much the pool took of it.
        dy: how much it paid, fee deducted.
        price_scale: the price scale after the exchange, as logged. Where it changed, the pool has
            computed the invariant again at the new scale.

    Raises:
        SwapRefused: the exchange would have reverted.
    """
    j = 1 - i
    taken = _moved(pool.balances, i, dx)
    _, k0 = get_y(pool, scaled(pool, taken), j)
    xp = scaled(pool, _moved(taken, j, -dy))
    if price_scale == pool.price_scale:
        return newton_D(pool.maths, pool.A, pool.gamma, xp, k0)
    at_new_scale = div(uint(xp[1] * price_scale), pool.price_scale)
    return newton_D(pool.maths, pool.A, pool.gamma, (xp[0], at_new_scale), 0)


def fee(pool: TwocryptoPool, xp: tuple[int, int]) -> int:
    """Return the fee in 1e-10 at given `xp`: from mid_fee in balance to out_fee out of it.

    Raises:
        SwapRefused: nothing in the pool, or an overflow.
    """
    total = uint(xp[0] + xp[1])
    balance = div(uint(div(uint(4 * WAD * xp[0]), total) * xp[1]), total)
    if pool.harmonic_fee:
        weighted = uint(pool.fee_gamma * balance)
        weight = div(weighted, uint(weighted // WAD + WAD - balance))
    else:
        weight = div(uint(pool.fee_gamma * WAD), uint(pool.fee_gamma + WAD - balance))
    return uint(uint(pool.mid_fee * weight) + uint(pool.out_fee * uint(WAD - weight))) // WAD


def get_y(pool: TwocryptoPool, x: tuple[int, int], i: int) -> tuple[int, int]:
    """Return the `xp` of coin `i` on the curve when the other's is as given, and K0 there (or 0).

    Raises:
        SwapRefused: the maths contract would revert.
    """
    if pool.maths == Maths.STABLESWAP:
        return _stable_y(pool.A, x[1 - i], pool.D), 0
    limit = _checked_parameters(pool.maths, pool.A, pool.gamma, pool.D)
    if pool.maths == Maths.LEGACY:
        y = _newton_y(pool, x[1 - i], limit)
        _check_share(pool.maths, uint(y * WAD) // pool.D, limit)
        return y, 0
    solved = _analytic_y(pool, sint(x[1 - i]), limit)
    if solved is None:
        return _newton_y(pool, x[1 - i], limit), 0
    _check_share(pool.maths, uint(solved[0] * WAD) // pool.D, limit)
    return solved


def newton_D(maths: Maths, A: int, gamma: int, x: tuple[int, int], k0: int) -> int:  # noqa: N802, N803
    """Return the invariant of given `xp`.

    Args:
        maths: which contract solves it.
        A: amplification.
        gamma: gamma.
        x: the pool's `xp`.
        k0: what `get_y` said of K0 before, or 0: a better start.

    Raises:
        SwapRefused: the maths contract would revert.
    """
    if maths == Maths.STABLESWAP:
        return _stable_D(A, x)
    if not MIN_A <= A <= _MAX_A[maths] or not MIN_GAMMA <= gamma <= _MAX_GAMMA[maths]:
        unsafe("A or gamma")
    high, low = max(x), min(x)
    if not 10**9 <= high <= MAX_D or uint(low * WAD) // high < 10**14:
        unsafe("a balance")
    total = high + low
    if maths == Maths.LEGACY:
        invariant = 2 * _legacy_mean(high, low)
    elif k0 == 0:
        invariant = 2 * isqrt(high * low)
    else:
        invariant = min(isqrt(wrapped(4 * high * low // k0 * WAD)), total)
    for _ in range(ROUNDS):
        before = invariant
        share = div(uint(div(uint(4 * WAD * high), invariant) * low), invariant)
        invariant = next_D(A, gamma, invariant, total=total, share=share, coins=2)
        if uint(abs(invariant - before) * 10**14) < max(10**16, invariant):
            least, most = _SHARES[maths]
            if not all(least <= div(uint(balance * WAD), invariant) <= most for balance in x):
                unsafe("a balance's share of the invariant")
            return invariant
    raise SwapRefused(Status.NO_CONVERGENCE, "the invariant does not converge")


def _checked_parameters(maths: Maths, A: int, gamma: int, D: int) -> int:  # noqa: N803
    """Return the widest share of the invariant, 18 decimals, that the maths lets a balance have."""
    if not MIN_A <= A <= _MAX_A[maths]:
        unsafe("A")
    if not MIN_GAMMA <= gamma <= _MAX_GAMMA[maths]:
        unsafe("gamma")
    if not MIN_D <= D <= MAX_D:
        unsafe("D")
    if maths == Maths.V2_1_0 and gamma > MAX_GAMMA_SMALL:
        return 100 * WAD * MAX_GAMMA_SMALL // gamma
    return 100 * WAD


def _check_given(maths: Maths, k0_given: int, limit: int) -> None:
    """Check the given balance's share of half the invariant."""
    if maths == Maths.V2_1_0:
        least, most = 10**36 // limit, limit
    else:
        least, most = 2 * 10**16, 2 * 10**20
    if not least <= k0_given <= most:
        unsafe("a balance's share of the invariant")


def _check_share(maths: Maths, share: int, limit: int) -> None:
    """Check the found balance's share of the invariant."""
    if maths == Maths.V2_1_0:
        least, most = 10**36 // 2 // limit, limit // 2
    else:
        least, most = 10**16 - (maths == Maths.V2_0_0), 10**20
    if not least <= share <= most:
        unsafe("the found balance's share of the invariant")


def _analytic_y(pool: TwocryptoPool, x: int, limit: int) -> tuple[int, int] | None:
    """Solve the cubic for the other balance and K0; None where the contract turns to Newton."""
    D, gamma = pool.D, pool.gamma  # noqa: N806  the invariant's name everywhere
    sdiv(D * D, sint(x * 4))
    _check_given(pool.maths, unsafe_sdiv(sint(2 * WAD * x), D), limit)

    ann_gamma2 = sint(pool.A * gamma * gamma)
    a = 10**32
    b = sint(sint(sdiv(sint(D * ann_gamma2) // 400_000_000, x) - 3 * 10**32) - 2 * gamma * 10**14)
    c = 3 * 10**32 + 4 * gamma * 10**14 + gamma * gamma // 10**4
    c = sint(c + sint(4 * ann_gamma2 // 400_000_000 * x) // D)
    c = sint(c - 4 * ann_gamma2 // 400_000_000)
    d = -((WAD + gamma) ** 2 // 10**4)

    delta0 = sint(sdiv(sint(3 * a * c), b) - b)
    delta1 = sint(sint(3 * delta0) + b)
    delta1 = sint(delta1 - sdiv(sint(sdiv(27 * a * a, b) * d), b))
    divider = _divider(min(sint(abs(delta0)), sint(abs(delta1)), a))
    a, b, c, d = (unsafe_sdiv(value, divider) for value in (a, b, c, d))

    delta0 = sint(unsafe_sdiv(swrapped(3 * a * c), b) - b)
    delta1 = sint(sint(3 * delta0) + b)
    delta1 = sint(delta1 - unsafe_sdiv(swrapped(unsafe_sdiv(swrapped(27 * a * a), b) * d), b))
    under = sint(delta1 * delta1)
    under = sint(under + swrapped(unsafe_sdiv(sint(4 * sint(delta0 * delta0)), b) * delta0))
    if under <= 0:
        return None
    root = isqrt(under)

    b_cbrt = sint(cbrt(b)) if b > 0 else -sint(cbrt(sint(-b)))
    if delta1 > 0:
        second = sint(cbrt(uint(swrapped(delta1 + root)) // 2))
    else:
        second = -sint(cbrt(uint(swrapped(root - delta1)) // 2))
    c1 = unsafe_sdiv(swrapped(unsafe_sdiv(sint(b_cbrt * b_cbrt), WAD) * second), WAD)
    scaled_b = swrapped(WAD * b)
    k0 = sint(sint(swrapped(WAD * c1) - scaled_b) - sint(sdiv(scaled_b, c1) * delta0))
    k0 = sdiv(k0, 3 * a)
    y = unsafe_sdiv(swrapped(unsafe_sdiv(D * D, x) * k0), 4)
    return uint(unsafe_sdiv(y, WAD)), uint(k0)


def _divider(threshold: int) -> int:
    """Return by how much the cubic's coefficients are scaled down."""
    for power in range(48, 22, -2):
        if threshold > 10**power:
            return int(10 ** (power - 18))
    return 10**2 if threshold > 10**20 else 1


def _newton_y(pool: TwocryptoPool, x: int, limit: int) -> int:
    start = div(pool.D * pool.D, uint(x * 4))
    k0_given = uint(2 * WAD * x) // pool.D
    _check_given(pool.maths, k0_given, limit)
    return newton_y(
        pool.A,
        pool.gamma,
        pool.D,
        start=start,
        total_given=x,
        k0_given=k0_given,
        near=max(x // 10**14, pool.D // 10**14, 100),
        coins=2,
    )


def _stable_y(A: int, x: int, D: int) -> int:  # noqa: N803
    ann = uint(A * 2)
    c = div(uint(D * D), uint(x * 2))
    c = div(uint(uint(c * D) * A_MULTIPLIER), uint(ann * 2))
    b = uint(x + div(uint(D * A_MULTIPLIER), ann))
    y = D
    for _ in range(ROUNDS):
        before = y
        y = div(uint(uint(y * y) + c), uint(uint(uint(2 * y) + b) - D))
        if abs(y - before) <= 1:
            return y
    raise SwapRefused(Status.NO_CONVERGENCE, "the balance does not converge")


def _stable_D(A: int, x: tuple[int, int]) -> int:  # noqa: N802, N803
    total = uint(x[0] + x[1])
    if total == 0:
        return 0
    invariant, ann = total, uint(A * 2)
    for _ in range(ROUNDS):
        before = invariant
        product = invariant
        for balance in x:
            product = div(uint(product * invariant), balance)
        product //= 4
        above = uint(uint(ann * total) // A_MULTIPLIER + uint(product * 2))
        below = uint(uint(ann - A_MULTIPLIER) * invariant) // A_MULTIPLIER
        below = uint(below + uint(3 * product))
        invariant = div(uint(above * invariant), below)
        if abs(invariant - before) <= 1:
            return invariant
    raise SwapRefused(Status.NO_CONVERGENCE, "the invariant does not converge")


def _legacy_mean(high: int, low: int) -> int:
    """Return the geometric mean as the legacy pools iterate it."""
    mean = high
    for _ in range(ROUNDS):
        before = mean
        mean = uint(mean + div(uint(high * low), mean)) // 2
        diff = abs(mean - before)
        if diff <= 1 or uint(diff * WAD) < mean:
            return mean
    raise SwapRefused(Status.NO_CONVERGENCE, "the geometric mean does not converge")


def _moved(balances: tuple[int, int], place: int, amount: int) -> tuple[int, int]:
    moved = uint(balances[place] + amount)
    return (moved, balances[1]) if place == 0 else (balances[0], moved)
