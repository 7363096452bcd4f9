"""Random pools of each version, the fee as it was last set."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, ladder


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        pool, token0, token1 = addresses(rng, 3)
        spacing = rng.choice([1, 60])
        raw = {"pool": pool, "token0": token0, "token1": token1, "tick_spacing": spacing}
        if rng.random() < 0.3:
            raw["version"] = "directional"
            raw["fee_zto"], raw["fee_otz"] = rng.randrange(1, 15_000), rng.randrange(1, 15_000)
        else:
            raw["fee"] = rng.randrange(1, 15_000)
        yield {**raw, **ladder(rng, spacing)}, block(rng)
