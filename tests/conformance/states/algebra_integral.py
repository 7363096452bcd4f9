"""Random pools, some with a plug-in that decides more than it says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, ladder


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        pool, token0, token1 = addresses(rng, 3)
        raw = {
            "pool": pool,
            "token0": token0,
            "token1": token1,
            "fee": rng.choice([0, 100, 3_000, 20_000]),
            "plugin_config": rng.choice([0, 0, 0, 0, 1]),
            **ladder(rng, rng.choice([1, 60])),
        }
        yield raw, block(rng)
