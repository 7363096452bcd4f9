"""What a market tells of itself: its pools one by one, and its counters."""

from __future__ import annotations

from msgspec import Struct

from searcher.market.protocol import Pool


class PoolView(Struct, frozen=True):
    """A pool as a person asks for it: its first row, and why it is not searched, if it is not."""

    row: int
    pool: Pool
    set_aside: str


class MarketStatistics(Struct, frozen=True):
    """Counters since the start; `malformed` and `not_followed` are by cause.

    `blocks` were applied and `unwound` taken back; `undo_bytes` is what the journal holds.
    """

    pools: int
    searched: int
    set_aside: dict[str, int]
    blocks: int
    unwound: int
    logs: int
    malformed: dict[str, int]
    not_followed: dict[str, int]
    overlays: int
    undo_bytes: int
