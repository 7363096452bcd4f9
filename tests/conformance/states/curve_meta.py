"""Random metapools with their base pools."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block
from tests.conformance.states import curve_stable


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    for base, _ in curve_stable.states(rng):
        address, coin, lp_token = addresses(rng, 3)
        decimals = rng.choice([6, 8, 18])
        whole = base["total_supply"] // 10**18
        raw = {
            "address": address,
            "coins": [coin, lp_token],
            "balances": [
                int(whole * rng.uniform(0.02, 0.5) * 10**decimals),
                int(whole * rng.uniform(0.02, 0.5) * 10**18),
            ],
            "rate_multiplier": 10 ** (36 - decimals),
            "future_a": rng.randrange(1_000, 200_000),
            "fee": rng.choice([0, 1_000_000, 4_000_000]),
            "base_pool": base,
        }
        yield raw, block(rng)


def tokens(state: Any) -> list[str]:
    return [*state.coins[:1], *state.base_coins]
