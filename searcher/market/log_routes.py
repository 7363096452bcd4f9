"""From the logs of a block to what they change: hot ones in one kernel call, the others one by one.

A hot event is one whose protocol keeps its pools in arrays. What has to be known of a log in Python
is its emitter and its first topic; everything else is decoded where it is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from searcher.domain.errors import InvariantBroken
from searcher.domain.events import Log
from searcher.kernels.log_batches import (
    BURN,
    CAUSES,
    DATA_WORDS,
    DONE,
    MINT,
    MISSHAPEN,
    NEXT,
    OPCODE_BITS,
    PROGRESS,
    ROWS_TOUCHED,
    SKIPPED,
    SLOT_FULL,
    TOPICS,
    apply_logs,
)
from searcher.kernels.memory import ROOM
from searcher.market.journal import Journal
from searcher.market.memory import MarketMemory
from searcher.market.pools import FAMILY_BITS, FAMILY_MASK, SLOW, Pools
from searcher.market.protocol import FollowedProtocol

FROZEN: Final = 0
"""The family of pools whose logs are not applied, because one of them did not fit."""
COLD: Final = 1
"""The family of pools whose states are Python structs."""
_TOPIC_SIZE: Final = 66


class _Event(NamedTuple):
    """A hot event's log: opcode, characters of data, topics, whether ticks are among these."""

    opcode: int
    data_size: int
    topics: int
    has_ticks: bool


class Applied(NamedTuple):
    """What hot logs did: rows that changed, why one was refused by row, how many were applied."""

    rows: list[int]
    refused: dict[int, str]
    applied: int


class LogRoutes:
    """Sorts logs by what they change, and applies the hot ones.

    Args:
        pools: whose routes are followed.
        protocols: those that are followed, by name.
    """

    def __init__(self, pools: Pools, protocols: Mapping[str, FollowedProtocol[Any]]) -> None:
        self._routes = pools.routes
        self._events: list[Mapping[str, _Event] | None] = [{}, None]
        self._families: dict[str, int] = {}
        self._known: set[str] = set()
        for name, protocol in protocols.items():
            self._known |= protocol.topics | protocol.created_topics
            self._families[name] = COLD
            if protocol.hot:
                self._families[name] = len(self._events)
                self._events.append({topic: _event(op) for topic, op in protocol.hot.items()})
        self._codes: list[int] = []
        self._texts: list[str] = []

    def family(self, protocol: str) -> int:
        """Return the family of a protocol's pools."""
        return self._families[protocol]

    def sort(  # noqa: C901  every call in this loop would cost each log a tenth of its time
        self, logs: Iterable[Log], slow: Callable[[Log], None], *, ordered: bool
    ) -> int:
        """Keep the hot logs for `apply`, and hand each other that may concern the market on.

        Args:
            logs: of a block, or of a transaction.
            slow: is given a log whose emitter has no hot pool; a pool that it adds is known to the
                logs behind.
            ordered: whether the logs must ascend by their index in the block.

        Returns:
            How many look like a pool's and are of none that is followed.

        Raises:
            InvariantBroken: they do not ascend, or one is there twice.
        """
        routes, events, known = self._routes, self._events, self._known
        codes: list[int] = []
        texts: list[str] = []
        self._codes, self._texts = codes, texts
        last, foreign = -1, 0
        for log in logs:
            route = routes.get(log.address)
            topics = log.topics
            if route is None:
                if topics and topics[0] in known:
                    foreign += 1
                continue
            if ordered:
                if log.log_index <= last:
                    raise InvariantBroken(
                        f"log {log.log_index} of a block came behind log {last}: rebuild the market"
                        " from another node"
                    )
                last = log.log_index
            if not topics:
                continue
            of_family = None if route == SLOW else events[route & FAMILY_MASK]
            if of_family is None:
                slow(log)
                continue
            event = of_family.get(topics[0])
            if event is None:
                continue
            opcode, data_size, number, has_ticks = event
            code = route >> FAMILY_BITS << OPCODE_BITS
            if len(log.data) != data_size or len(topics) != number:
                codes.append(code | MISSHAPEN)
            elif not has_ticks:
                texts.append(log.data)
                codes.append(code | opcode)
            elif len(topics[2]) == _TOPIC_SIZE == len(topics[3]):
                texts += (log.data, topics[2], topics[3])
                codes.append(code | opcode)
            else:
                codes.append(code | MISSHAPEN)
        return foreign

    def apply(self, memory: MarketMemory, journal: Journal) -> Applied:
        """Apply the hot logs that were sorted last; what they change is journalled and drawn.

        Raises:
            InvariantBroken: their undo does not fit.
        """
        if not self._codes:
            return Applied([], {}, 0)
        codes = np.array(self._codes, np.int64)
        # What is not ASCII becomes a question mark, which is no hex digit.
        text = np.frombuffer(bytearray("".join(self._texts), "ascii", "replace"), np.uint8)
        causes, touched = np.zeros_like(codes), np.zeros_like(codes)
        progress = np.zeros(PROGRESS, np.int64)
        while True:
            answer = apply_logs(memory.table, codes, text, causes, touched, progress)
            if answer == DONE:
                break
            if answer != SLOT_FULL:
                raise InvariantBroken(
                    "the undo of one block does not fit: rebuild the market from the node"
                )
            row = int(codes[progress[NEXT]]) >> OPCODE_BITS
            journal.make_room(row, 2 * int(memory.shape[row, ROOM]) or 1)
        rows = touched[: progress[ROWS_TOUCHED]].tolist()
        if not causes.any():
            return Applied(rows, {}, len(codes))
        refused = {
            int(codes[i]) >> OPCODE_BITS: CAUSES[int(causes[i])] for i in np.flatnonzero(causes > 0)
        }
        return Applied(rows, refused, int((causes != SKIPPED).sum()))


def _event(opcode: int) -> _Event:
    return _Event(
        opcode, 2 + 64 * DATA_WORDS[opcode], TOPICS[opcode], has_ticks=opcode in {MINT, BURN}
    )
