"""Curve's crypto pools: what an exact input and an exact output take, by the maths in use.

An exact output is the views' get_dx; legacy pools have none: theirs is the least input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from searcher.kernels import curve_crypto_least as search
from searcher.kernels import curve_tricrypto as three_coins
from searcher.kernels import curve_twocrypto as two_coins
from searcher.kernels._jit import kernel
from searcher.kernels.reference import curve_tricrypto as three
from searcher.kernels.reference import curve_twocrypto as two
from searcher.kernels.u256 import ZERO, Word, Words, pack, u256

N = 512
M = 16
WAD = 10**18
STEP = 10**12


@kernel("U256(u8[:,::1], i8, i8, i8, U256, i8)")
def loop_two(  # noqa: PLR0917  kernels are called by place
    pool: Words, maths: int, harmonic: int, inverse: int, start: Word, n: int
) -> Word:
    """Quote both directions in turn; the sum keeps the work from being left out."""
    total, x = ZERO(), start
    for k in range(n):
        if inverse and maths == two_coins.LEGACY:
            _, y = search.sought(pool, maths, harmonic, k & 1, 1 - (k & 1), x)
        elif inverse:
            _, y = two_coins.exact_out(pool, maths, harmonic, k & 1, x)
        else:
            _, y = two_coins.exact_in(pool, maths, harmonic, k & 1, x)
        total, x = total ^ y, x + u256(STEP)
    return total


@kernel("U256(u8[:,::1], i8, i8, U256, i8)")
def loop_three(pool: Words, maths: int, inverse: int, start: Word, n: int) -> Word:
    """Quote all directions in turn; the sum keeps the work from being left out."""
    total, x = ZERO(), start
    for k in range(n):
        i = k % 3
        j = (i + 1 + (k & 1)) % 3
        if inverse and maths == three_coins.LEGACY:
            _, y = search.sought(pool, maths, 0, i, j, x)
        elif inverse:
            _, y = three_coins.exact_out(pool, maths, i, j, x)
        else:
            _, y = three_coins.exact_in(pool, maths, i, j, x)
        total, x = total ^ y, x + u256(STEP)
    return total


def bench_cases() -> list[tuple[str, Callable[[], Any], int, Callable[[], Any], int]]:
    """Return both ways of every maths, on a pool near its balance."""
    cases = []
    for maths in two.Maths:
        pool = _two(maths)
        scale = (pool.price_scale,)
        rows = _rows(pool, scale)
        get_dx = two.least_dx if maths == two.Maths.LEGACY else two.get_dx
        for inverse, refer in ((0, two.get_dy), (1, get_dx)):
            flags = (int(maths), int(pool.harmonic_fee), inverse)
            cases.append(
                (
                    f"twocrypto {maths.name.lower()} {'out' if inverse else 'in'}",
                    partial(loop_two, rows, *flags, WAD, N),
                    N,
                    partial(_refer, refer, pool, [(0,), (1,)]),
                    M,
                )
            )
    for kind in three.Maths:
        triple = _three(kind)
        rows = _rows(triple, triple.price_scale)
        get_least = three.least_dx if kind == three.Maths.LEGACY else three.get_dx
        for inverse, answer in ((0, three.get_dy), (1, get_least)):
            pairs = [(0, 1), (1, 0), (2, 0), (0, 2), (1, 2), (2, 1)]
            cases.append(
                (
                    f"tricrypto {kind.name.lower()} {'out' if inverse else 'in'}",
                    partial(loop_three, rows, int(kind), inverse, WAD, N),
                    N,
                    partial(_refer, answer, triple, pairs),
                    M,
                )
            )
    return cases


def _refer(quote: Callable[..., int], pool: Any, pairs: list[tuple[int, ...]]) -> None:
    for k in range(M):
        quote(pool, *pairs[k % len(pairs)], WAD + k * STEP)


def _rows(pool: Any, scale: tuple[int, ...]) -> Words:
    constants = (pool.A, pool.gamma, pool.D, pool.mid_fee, pool.out_fee, pool.fee_gamma)
    return pack([*pool.balances, *pool.precisions, *scale, *constants])


def _two(maths: two.Maths) -> two.TwocryptoPool:
    stable = maths == two.Maths.STABLESWAP
    pool = two.TwocryptoPool(
        maths=maths,
        harmonic_fee=stable,
        balances=(5_000_000 * WAD, 2_100 * WAD),
        precisions=(1, 1),
        price_scale=2500 * WAD,
        A=20_000_000 if stable else 400_000,
        gamma=145 * 10**12,
        D=0,
        mid_fee=26_000_000,
        out_fee=45_000_000,
        fee_gamma=230 * 10**12,
    )
    xp = two.scaled(pool, pool.balances)
    return pool._replace(D=two.newton_D(maths, pool.A, pool.gamma, xp, 0))


def _three(maths: three.Maths) -> three.TricryptoPool:
    pool = three.TricryptoPool(
        maths=maths,
        balances=(6_000_000 * WAD, 105 * WAD, 2_400 * WAD),
        precisions=(1, 1, 1),
        price_scale=(60_000 * WAD, 2_500 * WAD),
        A=1_707_629,
        gamma=11_809_167_828_997,
        D=0,
        mid_fee=3_000_000,
        out_fee=30_000_000,
        fee_gamma=500 * 10**12,
    )
    xp = three.scaled(pool, pool.balances)
    return pool._replace(D=three.newton_D(maths, pool.A, pool.gamma, xp, 0))
