"""Random pools of tokens of many decimals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, shares

ROUNDING = (10**13, 1e-9)
"""Powers and invariants are rounded in the pool's favour, both ways, at 18 decimals."""


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        pool, vault, *tokens = addresses(rng, 2 + rng.randint(2, 8))
        decimals = [rng.choice([6, 8, 18]) for _ in tokens]
        whole = rng.randrange(10**3, 10**8)
        raw = {
            "tokens": tokens,
            "balances": [int(whole * rng.uniform(0.1, 1) * 10**d) for d in decimals],
            "decimals": decimals,
            "swap_fee_percentage": rng.choice([10**12, 10**15, 3 * 10**15, 10**17]),
            "normalized_weights": shares(rng, 10**18, len(tokens), least=10**16),
            "pool_id": pool + f"{rng.getrandbits(96):024x}",
            "vault": vault,
        }
        yield raw, block(rng)
