<<<<<<< HEAD
"""Random stable pools of the V3 vault, with rates, yield fees and either version's limits."""
=======
"""Random pools of tokens of many decimals."""
>>>>>>> main

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
<<<<<<< HEAD
from tests.conformance.states import balancer_v2_stable as v2
from tests.conformance.states.balancer_v3_weighted import vaulted

ROUNDING, drowns = v2.ROUNDING, v2.drowns
=======
from tests.conformance.draws import addresses, block

ROUNDING = (10**13, 1e-9)
"""Powers and invariants are rounded in the pool's favour, both ways, at 18 decimals."""
>>>>>>> main


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
<<<<<<< HEAD
        decimals = [rng.choice((18, 18, 6, 8)) for _ in range(rng.randrange(2, 6))]
        size = 10 ** rng.randrange(1, 11)
        balances = [rng.randrange(size, 9 * size) * 10**d for d in decimals]
        raw = vaulted(rng, balances, decimals)
        raw["amplification_parameter"] = rng.randrange(1, 50_001) * 1000
        raw["limits_imbalance"] = rng.random() < 0.5
        yield raw, QuoteBlock(rng.randrange(2**32), rng.randrange(2**32))
=======
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
>>>>>>> main
