"""Random pools of 2 coins near their scale, the invariant as the pool would have it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import PROTOCOLS, QuoteBlock
from searcher.market.state import state_from
from tests.conformance.draws import addresses, block

ROUNDING, SHORT = (1, 2e-3), (0, 0.0)
"""The contract's get_dx is an estimate: what it asks for may be more than is needed."""


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    plugin = PROTOCOLS.load("curve_twocrypto_ng")
    protocol = plugin(plugin.Config())
    while True:
        address, *coins = addresses(rng, 3)
        decimals = [rng.choice([6, 8, 18]) for _ in coins]
        prices = [int(10**18 * 10 ** rng.uniform(-3, 4)) for _ in range(1)]
        # Of each coin about the same value; the invariant is what the pool makes of them.
        value = rng.randrange(10**5, 10**8) * 10**18
        values = [int(value * rng.uniform(0.98, 1.02)) for _ in coins]
        scaled = [v * 10**18 // price for v, price in zip(values, [10**18, *prices], strict=True)]
        raw = {
            "address": address,
            "coins": coins,
            "balances": [x // 10 ** (18 - d) for x, d in zip(scaled, decimals, strict=True)],
            "precisions": [10 ** (18 - d) for d in decimals],
            "price_scale": prices[0],
            "D": sum(values),
            "A": rng.choice([400_000, 20_000_000]),
            "gamma": rng.choice([145 * 10**12, 10**15]),
            "mid_fee": 3_000_000,
            "out_fee": 30_000_000,
            "fee_gamma": 5 * 10**14,
        }
        raw["D"] = protocol.invariant(state_from(protocol.State, raw))
        yield raw, block(rng)


def drowns(state: Any, token: str, amount: int) -> bool:
    """The contract's newton_y stops within D / 10**14."""
    place = state.coins.index(token)
    price = (10**18, state.price_scale)[place]
    return amount * state.precisions[place] * price // 10**18 < state.D // 10**10
