"""The knobs of order flow: the `[mempool]` table."""

from __future__ import annotations

from searcher.domain.settings import Settings, knob


class MempoolSettings(Settings):
    """How pending transactions are gathered."""

    sources: tuple[str, ...] = knob(
        ("node_pending",), why="plug-ins that pending transactions come from; empty for none"
    )
    capacity: int = knob(
        4096,
        why="transactions that may wait; when full the oldest is lost",
        unit="transactions",
        ge=1,
    )
    longest_age_ms: int = knob(
        12_000, why="a transaction that waited longer is too late", unit="ms", ge=1, le=3_600_000
    )
    remembered: int = knob(
        65_536, why="hashes by which duplicates are known", unit="hashes", ge=1, le=10_000_000
    )
