"""Random pairs of both curves, with tokens of many decimals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, sized

TOLD = True
"""swap takes any output that k allows; getAmountOut may stop short of that, or find nothing."""


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        token0, token1, pool, factory = addresses(rng, 4)
        stable = rng.random() < 0.5
        decimals = [rng.choice([6, 8, 18]) for _ in range(2)]
        reserves = [sized(rng, 110), sized(rng, 110)]
        if stable and rng.random() < 0.8:
            whole = rng.randrange(10**3, 10**9)
            reserves = [int(whole * rng.uniform(0.05, 1) * 10**d) for d in decimals]
        raw = {
            "token0": token0,
            "token1": token1,
            "reserve0": reserves[0],
            "reserve1": reserves[1],
            "stable": stable,
            "fee": 1,
            "decimals0": decimals[0],
            "decimals1": decimals[1],
            "is_paused": rng.random() < 0.02,
            "pool": pool,
            "factory": factory,
        }
        yield raw, block(rng)
