"""Random metapools with their base pools."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block
from tests.conformance.states.curve_stable_ng import ROUNDING, SHORT, pool

__all__ = ["ROUNDING", "SHORT", "states", "tokens"]


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        address, coin, lp_token, *coins = addresses(rng, 3 + rng.randint(2, 4))
        base = pool(rng, lp_token, coins)
        raw = pool(rng, address, [coin, lp_token])
        raw["stored_rates"][1] = 10**18
        raw["balances"][1] = base["total_supply"] // rng.randrange(2, 20)
        yield {**raw, "base_pool": base}, block(rng)


def tokens(state: Any) -> list[str]:
    return [*state.coins[:1], *state.base_pool.coins]
