"""Random pairs of bins around the active one, at rest or just used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, sized


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        token_x, token_y, pool = addresses(rng, 3)
        around = block(rng)
        active = 2**23 + rng.randint(-5_000, 5_000)
        reach = rng.choice([1, 10, 200])
        ids = {active, *(rng.randint(active - reach, active + reach) for _ in range(30))}
        filter_period = rng.randrange(1, 60)
        raw = {
            "token_x": token_x,
            "token_y": token_y,
            "bin_step": rng.choice([1, 5, 10, 25, 100]),
            "active_id": active,
            "bins": [
                {
                    "id": number,
                    "reserve_x": sized(rng, 80) if number >= active else 0,
                    "reserve_y": sized(rng, 80) if number <= active else 0,
                }
                for number in sorted(ids)
            ],
            "base_factor": rng.choice([5_000, 10_000, 20_000]),
            "filter_period": filter_period,
            "decay_period": filter_period + rng.randrange(600),
            "reduction_factor": rng.randrange(10_001),
            "variable_fee_control": rng.choice([0, 7_500, 40_000]),
            "protocol_share": rng.choice([0, 500, 2_500]),
            "max_volatility_accumulator": rng.choice([100_000, 350_000]),
            "pool": pool,
            "version": rng.choice(["2.1", "2.2"]),
        }
        if rng.random() < 0.5:
            raw["volatility_accumulator"] = rng.randrange(100_000)
            raw["volatility_reference"] = rng.randrange(100_000)
            raw["id_reference"] = active + rng.randint(-3, 3)
            raw["time_of_last_update"] = around.timestamp - rng.randrange(1_000)
        yield raw, around


def tokens(state: Any) -> list[str]:
    return [state.token_x, state.token_y]
