"""Random pools: a dozen positions, near the price or far from it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, ladder


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        token0, token1, pool = addresses(rng, 3)
        spacing = rng.choice([1, 10, 60, 200])
        raw = {
            "token0": token0,
            "token1": token1,
            "fee": rng.choice([1, 100, 500, 3_000, 9_999]),
            "tick_spacing": spacing,
            "pool": pool,
            **ladder(rng, spacing),
        }
        yield raw, block(rng)
