"""Random weighted pools of the V3 vault: decimals, rates, yield fees, floors, hooks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, sized
from tests.conformance.states import balancer_v2_weighted as v2

ONE = 10**18
ROUNDING, drowns = v2.ROUNDING, v2.drowns


def vaulted(rng: random.Random, balances: list[int], decimals: list[int]) -> dict[str, Any]:
    """Return what the V3 vault knows of a random pool."""
    count = len(balances)
    raw: dict[str, Any] = {
        "tokens": addresses(rng, count),
        "balances_raw": balances,
        "static_swap_fee_percentage": rng.choice((10**13, 10**15, 10**17)),
        # The vault's least trade would refuse what an output costs less than was paid for it.
        "minimum_trade_amount": 0,
    }
    if rng.random() < 0.5:
        raw["decimals"] = decimals
    else:
        raw["decimal_scaling_factors"] = [10 ** (18 - d) for d in decimals]
    if rng.random() < 0.5:
        raw["aggregate_swap_fee_percentage"] = ONE // 2
    if rng.random() < 0.5:
        rates = [rng.randrange(ONE // 2, 2 * ONE) for _ in range(count)]
        raw["token_rates"] = rates
        if rng.random() < 0.5:
            raw["aggregate_yield_fee_percentage"] = ONE // 10
            raw["pays_yield_fees"] = [rng.random() < 0.7 for _ in range(count)]
            raw["last_balances_live_scaled18"] = [
                balance * 10 ** (18 - d) * rate // ONE * rng.choice((99, 100, 101)) // 100
                for balance, d, rate in zip(balances, decimals, rates, strict=True)
            ]
    closed = ("is_pool_paused", "should_call_after_swap", "should_call_compute_dynamic_swap_fee")
    if rng.random() < 0.05:
        raw[rng.choice(closed)] = True
    if rng.random() < 0.1:
        raw["is_pool_in_recovery_mode"] = True
    return raw


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        count = rng.randrange(2, 9)
        decimals = [rng.choice((18, 18, 6, 8, 0)) for _ in range(count)]
        balances = [sized(rng, 58 + 3 * d) for d in decimals]
        raw = vaulted(rng, balances, decimals) | {"normalized_weights": v2.weights(rng, count)}
        if rng.random() < 0.3:
            raw["min_token_balances"] = [max(10**6, 10 ** (18 - d)) for d in decimals]
        yield raw, QuoteBlock(rng.randrange(2**32), rng.randrange(2**32))
