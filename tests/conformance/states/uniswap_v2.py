"""Random pairs: every size of reserves, one-sided and empty ones among them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, sized


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        token0, token1 = addresses(rng, 2)
        raw = {
            "token0": token0,
            "token1": token1,
            "reserve0": sized(rng, 112) if rng.random() < 0.95 else 0,
            "reserve1": sized(rng, 112) if rng.random() < 0.95 else 0,
        }
        if rng.random() < 0.7:
            raw["fee_pips"] = rng.choice([0, 100, 2500, 3000, 3001, 10_000])
        yield raw, block(rng)
