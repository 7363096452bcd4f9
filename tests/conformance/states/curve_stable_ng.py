"""Random pools of two to eight coins of many decimals, a few of them ramping."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block

ROUNDING, SHORT = (1, 1e-5), (0, 0.0)
"""Off the peg the fee grows with the input, so that more than one input may pay the same."""


def pool(rng: random.Random, address: str, coins: list[str]) -> dict[str, Any]:
    decimals = [rng.choice([6, 8, 18]) for _ in coins]
    whole = rng.randrange(10**3, 10**9)
    return {
        "address": address,
        "coins": coins,
        "balances": [int(whole * rng.uniform(0.1, 1) * 10**d) for d in decimals],
        "stored_rates": [int(10 ** (36 - d) * rng.uniform(0.9, 1.2)) for d in decimals],
        "future_a": rng.randrange(1_000, 200_000),
        "fee": rng.choice([0, 1_000_000, 4_000_000]),
        "offpeg_fee_multiplier": rng.choice([0, 2 * 10**10, 5 * 10**10]),
        "total_supply": whole * len(coins) * 10**18,
    }


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        around = block(rng)
        address, *coins = addresses(rng, 1 + rng.randint(2, 8))
        raw = pool(rng, address, coins)
        if rng.random() < 0.2:
            raw["initial_a"] = rng.randrange(1_000, 200_000)
            raw["initial_a_time"] = around.timestamp - rng.randrange(10**6)
            raw["future_a_time"] = around.timestamp + rng.randrange(10**6)
        yield raw, around
