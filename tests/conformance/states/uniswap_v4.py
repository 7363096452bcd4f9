"""Random pools, some with fees of the protocol or hooks that stop all quotes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from searcher.market.protocol import QuoteBlock
from tests.conformance.draws import addresses, block, ladder

ZERO = "0x" + "00" * 20


def states(rng: random.Random) -> Iterator[tuple[dict[str, Any], QuoteBlock]]:
    while True:
        currency0, currency1 = addresses(rng, 2)
        spacing = rng.choice([1, 10, 60, 200])
        protocol_fee = rng.choice([0, 1_000, 250])
        raw = {
            "currency0": ZERO if rng.random() < 0.2 else currency0,
            "currency1": currency1,
            "fee": rng.choice([0, 100, 500, 3_000, 10_000, 999_999]),
            "tick_spacing": spacing,
            "hooks": ZERO if rng.random() < 0.9 else "0x" + "00" * 18 + "00c0",
            "protocol_fee": protocol_fee << 12 | protocol_fee,
            **ladder(rng, spacing),
        }
        yield raw, block(rng)


def tokens(state: Any) -> list[str]:
    return [state.currency0, state.currency1]
