"""Random weighted pools of the V2 vault: two to eight tokens of any decimals, some one-sided."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.domain.units import Address
from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, sized

ONE = 10**18
ROUNDING = (2, 1e-4)


def drowns(state: Any, token: Address, amount: int) -> bool:
    """A power errs by a part in 1e14 of a balance, and by as many times more as one weight is the
    other: of a small amount that is much."""
    held = state.balances if hasattr(state, "balances") else state.balances_raw
    return amount < held[state.tokens.index(token)] * 1e-8


def weights(rng: random.Random, count: int) -> list[int]:
    """Return weights that add up to 1, none below 1 %."""
    if count == 2 and rng.random() < 0.4:
        return list(rng.choice([(ONE // 2, ONE // 2), (8 * 10**17, 2 * 10**17)]))
    parts = [rng.randrange(1, 40) for _ in range(count)]
    free = ONE - count * ONE // 100
    drawn = [ONE // 100 + free * part // sum(parts) for part in parts]
    drawn[-1] += ONE - sum(drawn)
    return drawn


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        count = rng.randrange(2, 9)
        decimals = [rng.choice((18, 18, 6, 8, 0)) for _ in range(count)]
        balances = [0 if rng.random() < 0.03 else sized(rng, 112) for _ in range(count)]
        raw: dict[str, Any] = {
            "tokens": addresses(rng, count),
            "balances": balances,
            "normalized_weights": weights(rng, count),
            "swap_fee_percentage": rng.choice((10**12, 3 * 10**15, 10**17)),
        }
        if rng.random() < 0.5:
            raw["decimals"] = decimals
        else:
            raw["scaling_factors"] = [10 ** (36 - d) for d in decimals]
        if rng.random() < 0.4:
            raw["pow_version"] = rng.choice(("v1", "v2"))
        if rng.random() < 0.2:
            raw["managed"] = [rng.randrange(balance + 1) for balance in balances]
        if rng.random() < 0.05:
            raw[rng.choice(("paused", "vault_paused"))] = True
        yield raw, QuoteBlock(rng.randrange(2**32), rng.randrange(2**32))
