"""Random pools of two to four coins of many decimals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        address, *coins = addresses(rng, 1 + rng.randint(2, 4))
        decimals = [rng.choice([6, 8, 18]) for _ in coins]
        whole = rng.randrange(10**3, 10**9)
        raw = {
            "address": address,
            "coins": coins,
            "balances": [int(whole * rng.uniform(0.1, 1) * 10**d) for d in decimals],
            "decimals": decimals,
            "future_a": rng.randrange(1_000, 200_000),
            "fee": rng.choice([0, 1_000_000, 4_000_000]),
            "total_supply": whole * len(coins) * 10**18,
        }
        yield raw, block(rng)
