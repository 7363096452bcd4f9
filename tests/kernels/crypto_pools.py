"""Random pools of Curve's crypto family, and amounts to ask of them, impossible ones included."""

from __future__ import annotations

import random
from typing import Any

from searcher.kernels.reference import curve_tricrypto as three
from searcher.kernels.reference import curve_twocrypto as two
from searcher.kernels.refusal import SwapRefused
from searcher.kernels.u256 import Words, pack

TOP = 2**256 - 1
PRECISIONS = (1, 1, 10**10, 10**12)
SPREADS = (0.05, 0.5, 1.5, 2.2)
"""How many powers of ten the coins' values may lie apart."""


def magnitude(rng: random.Random, low: float, high: float) -> int:
    """Return a number whose logarithm is uniform."""
    return int(10 ** rng.uniform(low, high))


def amount(rng: random.Random, balance: int, most: float) -> int:
    """Return an amount of up to 10^most times the balance; sometimes an edge."""
    if rng.random() < 0.05:
        return rng.choice([0, 1, TOP, 2**255, balance])
    return min(int(balance * 10 ** rng.uniform(-8, most)), TOP)


def two_coins(rng: random.Random) -> two.TwocryptoPool:
    """Return a pool of two coins; its invariant is mostly that of its balances."""
    maths = rng.choice(list(two.Maths))
    scale = magnitude(rng, 12, 24)
    precisions, balances = _balances(rng, (10**18, scale))
    gamma = magnitude(rng, 10, 15.3 if maths == two.Maths.V2_0_0 else 17.3)
    if rng.random() < 0.05:
        gamma = rng.choice([0, 10**10 - 1, 10**10, 2 * 10**15, 2 * 10**15 + 1, 199 * 10**15])
    amplification = magnitude(rng, 3.7, 7.6)
    if rng.random() < 0.1:
        edges = [0, 3999, 4000, 4 * 10**7, 4 * 10**7 + 1, 4 * 10**9, 2**255]
        amplification = rng.choice(edges)
    pool = two.TwocryptoPool(
        maths=maths,
        harmonic_fee=maths == two.Maths.STABLESWAP,
        balances=balances,
        precisions=precisions,
        price_scale=scale,
        A=amplification,
        gamma=gamma,
        D=0,
        mid_fee=magnitude(rng, 5, 8.5),
        out_fee=magnitude(rng, 6, 9),
        fee_gamma=rng.choice([magnitude(rng, 10, 17.9), 0, magnitude(rng, 14, 16)]),
    )
    try:
        xp = two.scaled(pool, balances)
        invariant = two.newton_D(maths, amplification, gamma, xp, 0)
    except SwapRefused:
        invariant = min(sum(balances), TOP)
    return pool._replace(D=_shaken(rng, invariant))


def three_coins(rng: random.Random) -> three.TricryptoPool:
    """Return a pool of three coins; its invariant is mostly that of its balances."""
    maths = rng.choice(list(three.Maths))
    scales = magnitude(rng, 12, 24), magnitude(rng, 12, 24)
    precisions, balances = _balances(rng, (10**18, *scales))
    gamma = magnitude(rng, 10, 16.7)
    amplification = magnitude(rng, 3.5, 8.4)
    if rng.random() < 0.1:
        amplification = rng.choice([0, 2699, 2700, 27 * 10**7, 27 * 10**7 + 1, 2**255])
    pool = three.TricryptoPool(
        maths=maths,
        balances=balances,
        precisions=precisions,
        price_scale=scales,
        A=amplification,
        gamma=gamma,
        D=0,
        mid_fee=magnitude(rng, 5, 8.5),
        out_fee=magnitude(rng, 6, 9),
        fee_gamma=rng.choice([magnitude(rng, 10, 17.9), 0, magnitude(rng, 14, 16)]),
    )
    try:
        xp = three.scaled(pool, balances)
        invariant = three.newton_D(maths, amplification, gamma, xp, 0)
    except SwapRefused:
        invariant = min(sum(balances), TOP)
    return pool._replace(D=_shaken(rng, invariant))


def rows(pool: two.TwocryptoPool | three.TricryptoPool) -> Words:
    """Return a pool as the kernels take it."""
    scale = pool.price_scale if isinstance(pool.price_scale, tuple) else (pool.price_scale,)
    constants = (pool.A, pool.gamma, pool.D, pool.mid_fee, pool.out_fee, pool.fee_gamma)
    return pack([*pool.balances, *pool.precisions, *scale, *constants])


def _balances(rng: random.Random, scales: tuple[int, ...]) -> tuple[Any, Any]:
    precisions = tuple(rng.choice(PRECISIONS) for _ in scales)
    base = magnitude(rng, 18, 30) if rng.random() < 0.9 else magnitude(rng, 1, 70)
    spread = rng.choice(SPREADS)
    values = [int(base * 10 ** rng.uniform(-spread, spread)) for _ in scales]
    balances = tuple(
        value * 10**18 // scale // precision
        for value, scale, precision in zip(values, scales, precisions, strict=True)
    )
    return precisions, balances


def _shaken(rng: random.Random, invariant: int) -> int:
    if rng.random() < 0.2:
        invariant = int(invariant * rng.uniform(0.9, 1.1))
    return min(invariant, TOP)
