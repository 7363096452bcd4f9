"""Seeded draws that random states and amounts are made of."""

from __future__ import annotations

import random


def addresses(rng: random.Random, count: int) -> list[str]:
    """Return different addresses in ascending order, as pools sort their tokens."""
    found: set[str] = set()
    while len(found) < count:
        found.add(f"0x{rng.randrange(1, 2**160):040x}")
    return sorted(found)


def sized(rng: random.Random, bits: int, *, least: int = 1) -> int:
    """Return a number of at most `bits` bits, each length as likely as any other."""
    return max(least, rng.getrandbits(rng.randint(1, bits)))
