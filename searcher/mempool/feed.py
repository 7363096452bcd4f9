"""One loss-counted stream of a chain's pending transactions, merged from its sources."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.events import PendingTx
from searcher.mempool.envelope import Unprovable, parse_pending
from searcher.mempool.source import Source


class FeedStatistics(Struct, frozen=True):
    """What became of everything a feed was given, by cause where it was dropped.

    `received` = `delivered` + `duplicates` + `expired` + all of `dropped` + `waiting`.
    """

    received: int
    delivered: int
    duplicates: int
    expired: int
    waiting: int
    dropped: dict[str, int]


class PendingFeed:
    """Pending transactions with proven bytes, each once, the oldest first; iterate to take them.

    Args:
        chain: the chain's config name.
        clock: time of the process, the same that stamped the frames.
        chain_id: when given, what is signed for another chain is dropped.
        capacity: transactions that may wait; when full the oldest is dropped as `overflow`, since
            it has the least time left.
        longest_age_ms: what has waited longer than this since its frame arrived has expired.
        remembered: hashes by which duplicates are recognised; the least recently seen is forgotten
            first.
        sources: what `run` runs.
    """

    def __init__(
        self,
        chain: str,
        *,
        clock: Clock,
        chain_id: int | None = None,
        capacity: int = 4096,
        longest_age_ms: int = 12_000,
        remembered: int = 1 << 16,
        sources: Sequence[Source] = (),
    ) -> None:
        self._chain = chain
        self._clock = clock
        self._chain_id = chain_id
        self._capacity = capacity
        self._longest_age_ns = longest_age_ms * 1_000_000
        self._remembered = remembered
        self._sources = tuple(sources)
        self._waiting: deque[PendingTx] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._filled = asyncio.Event()
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    async def run(self) -> None:
        """Run all sources until cancelled; a source that fails ends the feed with its error."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run(self))

    def offer(self, body: Mapping[str, Any], received_ns: int) -> None:
        """Take a transaction's JSON; it is parsed, proven and queued, or counted by cause.

        Args:
            body: the transaction as a node sends it.
            received_ns: when its frame arrived.
        """
        tx_hash = body.get("hash")
        if isinstance(tx_hash, str) and self.known(tx_hash.lower()):
            return
        self._counts["received"] += 1
        try:
            tx = parse_pending(self._chain, body, received_ns, chain_id=self._chain_id)
        except Unprovable as refusal:
            self._dropped[refusal.cause] += 1
            return
        self._remember(tx.hash)
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._dropped["overflow"] += 1
        self._waiting.append(tx)
        self._filled.set()

    def known(self, tx_hash: str) -> bool:
        """Return whether a transaction was seen before; then it is counted as a duplicate.

        Only proven transactions are remembered, so that nobody can hide one by announcing rubbish
        under its hash.
        """
        if tx_hash not in self._seen:
            return False
        self._seen.move_to_end(tx_hash)
        self._counts["received"] += 1
        self._counts["duplicates"] += 1
        return True

    def lose(self, cause: str, count: int = 1) -> None:
        """Account for announcements that never became a body."""
        self._counts["received"] += count
        self._dropped[cause] += count

    async def get(self) -> PendingTx:
        """Take the oldest transaction that has not expired, as soon as there is one."""
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            tx = self._waiting.popleft()
            if self._clock.monotonic_ns() - tx.received_ns <= self._longest_age_ns:
                self._counts["delivered"] += 1
                return tx
            self._counts["expired"] += 1

    async def __aiter__(self) -> AsyncIterator[PendingTx]:
        while True:
            yield await self.get()

    def statistics(self) -> FeedStatistics:
        """Return the counters so far."""
        return FeedStatistics(
            received=self._counts["received"],
            delivered=self._counts["delivered"],
            duplicates=self._counts["duplicates"],
            expired=self._counts["expired"],
            waiting=len(self._waiting),
            dropped=dict(self._dropped),
        )

    def _remember(self, tx_hash: str) -> None:
        self._seen[tx_hash] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
