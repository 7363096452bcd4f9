"""Seeded draws that random states and amounts are made of."""

from __future__ import annotations

import random
from typing import Any

from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK, sqrt_at_tick
from searcher.market.protocol import QuoteBlock


def addresses(rng: random.Random, count: int) -> list[str]:
    """Return different addresses in ascending order, as pools sort their tokens."""
    found: set[str] = set()
    while len(found) < count:
        found.add(f"0x{rng.randrange(1, 2**160):040x}")
    return sorted(found)


def sized(rng: random.Random, bits: int, *, least: int = 1) -> int:
    """Return a number of at most `bits` bits, each length as likely as any other."""
    return max(least, rng.getrandbits(rng.randint(1, bits)))


def block(rng: random.Random) -> QuoteBlock:
    """Return any block of the years 2020 to 2036."""
    return QuoteBlock(rng.randrange(10**7, 10**9), rng.randrange(1_577_836_800, 2_082_758_400))


def shares(rng: random.Random, whole: int, count: int, *, least: int) -> list[int]:
    """Return `count` numbers of at least `least` that add up to `whole`."""
    weights = [rng.random() + 0.05 for _ in range(count)]
    free = whole - least * count
    found = [least + int(free * weight / sum(weights)) for weight in weights]
    found[0] += whole - sum(found)
    return found


def ladder(rng: random.Random, spacing: int) -> dict[str, Any]:
    """Return price, tick, liquidity and ticks of a concentrated pool that fit each other."""
    end = MAX_TICK // spacing
    middle = rng.randint(-end // 2, end // 2) if rng.random() < 0.8 else rng.randint(-end, end - 1)
    reach = rng.choice([5, 100, 2000])
    net: dict[int, int] = {}
    gross: dict[int, int] = {}
    for _ in range(rng.randint(1, 12)):
        low, high = sorted(
            rng.randint(max(-end, middle - reach), min(end, middle + reach)) for _ in "ab"
        )
        if low != high:
            amount = sized(rng, 100)
            for place, change in ((low, amount), (high, -amount)):
                net[place * spacing] = net.get(place * spacing, 0) + change
                gross[place * spacing] = gross.get(place * spacing, 0) + amount
    tick = middle * spacing + rng.randrange(spacing)
    tick = max(MIN_TICK, min(MAX_TICK - 1, tick))
    low, high = sqrt_at_tick(tick), sqrt_at_tick(tick + 1)
    return {
        "sqrt_price_x96": rng.randrange(low, high),
        "tick": tick,
        "liquidity": sum(change for place, change in net.items() if place <= tick),
        "ticks": [
            {"index": place, "liquidity_net": net[place], "liquidity_gross": gross[place]}
            for place in sorted(net)
        ],
    }
