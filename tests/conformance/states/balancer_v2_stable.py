"""Random stable pools of the V2 vault, with rates, ramps and their own token among the others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.domain.units import Address
from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses

ONE = 10**18
ROUNDING = (10**4, 1e-6)


def drowns(state: Any, token: Address, amount: int) -> bool:
    """A balance is found to a unit of 18 decimals: where a swap leaves a dozen units of a token,
    each of them moves the other balance by percents."""
    held = state.balances if hasattr(state, "balances") else state.balances_raw
    return amount > held[state.tokens.index(token)] * (1 - 1e-9)


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        count = rng.randrange(2, 6)
        own = rng.randrange(count + 1) if rng.random() < 0.4 else -1
        total = count + (own >= 0)
        decimals = [rng.choice((18, 18, 6, 8)) for _ in range(total)]
        size = 10 ** rng.randrange(1, 11)
        balances = [rng.randrange(size, 9 * size) * 10**d for d in decimals]
        if own >= 0:
            decimals[own], balances[own] = 18, 2**111
        now = rng.randrange(10**9, 2**32)
        raw: dict[str, Any] = {
            "tokens": addresses(rng, total),
            "balances": balances,
            "decimals": decimals,
            "amplification_parameter": rng.randrange(1, 5001) * 1000,
            "swap_fee_percentage": rng.choice((10**12, 4 * 10**14, 10**17)),
            "invariant_version": rng.choice(("v1", "v2")),
        }
        if own >= 0:
            raw["bpt_index"] = own
        if rng.random() < 0.4:
            raw["token_rates"] = [rng.randrange(9 * ONE // 10, 2 * ONE) for _ in range(total)]
            raw["rate_expiries"] = [rng.choice((0, now - 9, now, now + 9)) for _ in range(total)]
            raw["provider_rates"] = [rate * 1001 // 1000 for rate in raw["token_rates"]]
        if rng.random() < 0.2:
            ends = [rng.randrange(1, 5001) * 1000 for _ in range(2)]
            raw["amp_ramp"] = {
                "start_value": ends[0],
                "end_value": ends[1],
                "start_time": now - rng.randrange(10**6),
                "end_time": now + rng.randrange(10**6),
            }
        if rng.random() < 0.05:
            raw["paused"] = True
        yield raw, QuoteBlock(rng.randrange(2**32), now)
