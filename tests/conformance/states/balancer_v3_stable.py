"""Random pools of tokens of many decimals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block

ROUNDING = (10**13, 1e-9)
"""Powers and invariants are rounded in the pool's favour, both ways, at 18 decimals."""


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        pool, vault, *tokens = addresses(rng, 2 + rng.randint(2, 4))
        decimals = [rng.choice([6, 8, 18]) for _ in tokens]
        whole = rng.randrange(10**3, 10**8)
        raw = {
            "tokens": tokens,
            "balances_raw": [int(whole * rng.uniform(0.1, 1) * 10**d) for d in decimals],
            "decimals": decimals,
            "static_swap_fee_percentage": rng.choice([10**12, 10**15, 3 * 10**15, 10**17]),
            "amplification_parameter": rng.randrange(1, 5_000) * 1_000,
            "pool": pool,
            "vault": vault,
        }
        yield raw, block(rng)
