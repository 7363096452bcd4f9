"""Random stableswap pools for the tests of kernels and protocols."""

from __future__ import annotations

from searcher.kernels.reference.curve_meta import virtual_price
from searcher.kernels.reference.curve_stable import (
    FEE_UNIT,
    PRECISION,
    Pool,
    Rules,
    get_d,
    scaled,
)
from searcher.kernels.refusal import SwapRefused

THREE_POOL = Rules(0, 1, False, False, True, True, True)
"""What 3pool does."""


def outcome(function, *args, **kwargs):
    """What a reference gives in a kernel's form: the status first, zeros with a refusal."""
    try:
        answer = function(*args, **kwargs)
    except SwapRefused as refused:
        return (int(refused.status),)
    return (0, *answer) if isinstance(answer, tuple) else (0, answer)


def random_rules(rng):
    return Rules(
        rng.choice([0, 1, 2]),
        rng.choice([1, 100]),
        *(rng.random() < share for share in (0.7, 0.2, 0.7, 0.4, 0.7)),
    )


def random_pool(rng, *, coins=(2, 2, 3, 4), rules=None, offpeg=(0, 0, 2 * FEE_UNIT), wild=0.05):
    """A pool of any generation; sometimes empty on one side, beyond reason, or overflowing."""
    rules = random_rules(rng) if rules is None else rules
    decimals = [rng.choice([18, 18, 6, 8, 2]) for _ in range(rng.choice(coins))]
    rates = [10 ** (36 - d) for d in decimals]
    if not rules.by_multiplier and rng.random() < 0.3:
        rates = [rate * rng.randint(10**17, 3 * 10**18) // 10**18 for rate in rates]
    size = 10 ** rng.randint(0, 12)
    balances = [
        int(size * rng.uniform(0.3, 3) * 10 ** rng.uniform(-2, 2) * 10**d)
        if rng.random() > wild / 2
        else 0
        for d in decimals
    ]
    amp = rng.randint(1, 10**4) * rules.a_precision
    if rng.random() < wild:
        balances = [rng.getrandbits(rng.randint(1, 255)) for _ in decimals]
    if rng.random() < wild / 3:
        amp = rng.getrandbits(rng.randint(1, 250)) + 1
    return Pool(
        tuple(balances),
        tuple(rates),
        amp,
        rng.choice([0, 1_500_000, 4_000_000, 10**9]),
        rng.choice([0, FEE_UNIT // 2, FEE_UNIT]),
        rng.choice(offpeg),
        0,
        rules,
    )


def with_supply(rng, pool):
    """The pool with a liquidity token worth between 1 and 1.2; none where it has no invariant."""
    try:
        d = get_d(scaled(pool, pool.balances), pool.amp, pool.rules)
    except SwapRefused:
        d = 0
    return pool._replace(supply=int(d / rng.uniform(1, 1.2)))


def random_amount(rng, held):
    """Nothing, dust, a share of what is held, or beyond reason."""
    return rng.choice(
        [
            0,
            1,
            rng.randint(0, 10**9),
            int(held * 10 ** rng.uniform(-6, 1)) % 2**256,
            rng.getrandbits(rng.randint(1, 256)),
            2**256 - 1,
        ]
    )


def random_meta(rng, base):
    """A metapool on a base pool that has a virtual price."""
    price = virtual_price(base)
    rate = 10 ** (36 - rng.choice([18, 18, 6, 2]))
    if rng.random() < 0.1:
        rate = rate * 3_000_000_001 // 10**9
    size = 10 ** rng.randint(0, 10)
    return Pool(
        (
            int(size * rng.uniform(0.2, 5) * PRECISION * PRECISION // rate),
            int(size * rng.uniform(0.2, 5) * PRECISION),
        ),
        (rate, price),
        rng.randint(10, 2000) * 100,
        4_000_000,
        FEE_UNIT // 2,
        rules=Rules(rng.choice([0, 2]), 100, rng.random() < 0.7),
    )
