"""Random stable pools of the V3 vault, with rates, yield fees and either version's limits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.states import balancer_v2_stable as v2
from tests.conformance.states.balancer_v3_weighted import vaulted

ROUNDING, drowns = v2.ROUNDING, v2.drowns


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        decimals = [rng.choice((18, 18, 6, 8)) for _ in range(rng.randrange(2, 6))]
        size = 10 ** rng.randrange(1, 11)
        balances = [rng.randrange(size, 9 * size) * 10**d for d in decimals]
        raw = vaulted(rng, balances, decimals)
        raw["amplification_parameter"] = rng.randrange(1, 50_001) * 1000
        raw["limits_imbalance"] = rng.random() < 0.5
        yield raw, QuoteBlock(rng.randrange(2**32), rng.randrange(2**32))
