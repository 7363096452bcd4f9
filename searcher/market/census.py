"""Which pools there are: announcements of every followed DEX, made whole, and counted if refused.

An announcer is believed in what it announces and nothing else: a log with the same topic from any
other contract says nothing. Several DEXes may share an announcer, such as a vault.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.domain.units import Address
from searcher.market.announcing import details_of
from searcher.market.checkpoint import FoundPool
from searcher.market.decoding import MalformedLog
from searcher.market.node import Node
from searcher.market.protocol import Announcement, FollowedProtocol, Listing, NotTaken
from searcher.market.reads import Reads, carry_out_together
from searcher.market.settings import DexSettings

_log = structlog.get_logger(__name__)

_TOGETHER = 200
"""Announcements that are completed in step: enough to fill requests."""


class CensusStatistics(Struct, frozen=True):
    """Announcements so far: pools found, and those refused, by DEX and cause."""

    found: int
    refused: dict[str, int]
    waiting: int


class LogQuery(NamedTuple):
    """Whose logs, and which: topics as eth_getLogs takes them."""

    announcers: tuple[Address, ...]
    topics: tuple[list[str] | None, ...]


class Waiting(Struct, frozen=True):
    """What only reads can complete: announcements without an id, by DEX, and lists that grew."""

    announcements: tuple[tuple[str, Announcement], ...] = ()
    lists: frozenset[str] = frozenset()


class Census:
    """The announcers of a chain's DEXes.

    Args:
        chain: its config name, for the log.
        dexes: the DEXes by name.
        protocols: the protocol of each DEX, by the DEX's name.

    Raises:
        Misconfigured: the settings of a DEX do not fit its protocol, or two DEXes of one protocol
            have the same announcer.
    """

    def __init__(
        self,
        chain: str,
        dexes: Mapping[str, DexSettings],
        protocols: Mapping[str, FollowedProtocol[Any]],
    ) -> None:
        self._chain = chain
        self._dexes = dict(dexes)
        self._protocols = dict(protocols)
        self._by_announcer: dict[Address, list[str]] = {}
        self._refused: Counter[str] = Counter()
        self._found = 0
        self._announcements: list[tuple[str, Announcement]] = []
        self._grown: set[str] = set()
        for name, dex in self._dexes.items():
            self._protocols[name].check(name, dex)
            for announcer in self._protocols[name].announcers(dex):
                self._add(name, announcer)

    def _add(self, name: str, announcer: Address) -> None:
        others = self._by_announcer.setdefault(announcer, [])
        for other in others:
            if self._dexes[other].protocol == self._dexes[name].protocol and not (
                self._dexes[name].factories
            ):
                raise Misconfigured(
                    f"dexes.{name}.factory is that of {other} too: leave one of them out"
                )
        others.append(name)

    # ---- what is looked for

    @property
    def announcers(self) -> tuple[Address, ...]:
        """The contracts whose logs announce pools."""
        return tuple(self._by_announcer)

    @property
    def listing(self) -> tuple[str, ...]:
        """The DEXes whose pools stand in a list."""
        return tuple(n for n, dex in self._dexes.items() if self._protocols[n].lists(dex))

    @property
    def first_block(self) -> int:
        """The first block to look at: the lists tell what came before their reading."""
        blocks = [
            dex.first_block
            for name, dex in self._dexes.items()
            if not self._protocols[name].lists(dex)
        ]
        return min(blocks, default=0)

    def queries(self, tokens: AbstractSet[Address] | None, last_block: int) -> list[LogQuery]:
        """Return which logs a bootstrap must collect: lists tell their pools without.

        Args:
            tokens: only pools of two of these are wanted, where the event lets a node choose; None
                for any.
            last_block: the last of the blocks asked for; who begins later is left out.
        """
        lists = set(self.listing)
        found: dict[int, tuple[set[Address], set[str]]] = {}
        for announcer, names in self._by_announcer.items():
            for name in set(names) - lists:
                if self._dexes[name].first_block > last_block:
                    continue
                protocol = self._protocols[name]
                for topic in protocol.created_topics:
                    place = 0 if tokens is None else protocol.token_topics.get(topic, 0)
                    addresses, topics = found.setdefault(place, (set(), set()))
                    addresses.add(announcer)
                    topics.add(topic)
        padded = sorted(f"0x{token[2:]:0>64}" for token in tokens or ())
        queries = []
        for place, (addresses, topics) in sorted(found.items()):
            chosen: list[list[str] | None] = [sorted(topics)]
            if place:
                chosen += [*([None] * (place - 1)), padded, padded]
            queries.append(LogQuery(tuple(sorted(addresses)), tuple(chosen)))
        return queries

    @property
    def digest(self) -> str:
        """A hash that changes with any setting of any DEX."""
        text = msgspec.json.encode(
            {name: dex.model_dump(mode="json") for name, dex in sorted(self._dexes.items())},
            order="sorted",
        )
        return hashlib.blake2b(text, digest_size=16).hexdigest()

    # ---- announcements

    def announces(self, log: Log) -> bool:
        """Return whether a log may announce a pool."""
        return log.address in self._by_announcer and log.topics[:1] != () and bool(self._whose(log))

    def take(self, log: Log) -> list[FoundPool]:
        """Return the pools that a log announces whole; the rest waits for `complete`.

        A log that is not what its topic says is counted and announces nothing.
        """
        found = []
        for name in self._whose(log):
            try:
                said = self._protocols[name].announced(name, self._dexes[name], log)
            except MalformedLog as error:
                self._refuse(name, "malformed announcement", log.address, str(error))
                continue
            except NotTaken as error:
                self._refused[f"{name}: {error}"] += 1
                continue
            if said is None:
                continue
            if said.id:
                found.append(self._whole(name, said))
            elif name in self.listing:
                self._grown.add(name)
            else:
                self._announcements.append((name, said))
        return found

    def waiting(self) -> Waiting:
        """Return what `complete` would read."""
        return Waiting(tuple(self._announcements), frozenset(self._grown))

    async def complete(self, node: Node, block: BlockRef, *, batch_calls: int) -> list[FoundPool]:
        """Read what announcements leave open, at one block, and return their pools.

        What a contract refuses to say is counted, and is no pool.

        Raises:
            SearcherError: the node does not answer; nothing is lost, call again.
        """
        found = []
        while self._announcements:
            part = self._announcements[:_TOGETHER]
            reads = [self._protocols[n].completed(self._dexes[n], said) for n, said in part]
            answers = await carry_out_together(reads, node, block, batch_calls=batch_calls)
            for (name, said), answer in zip(part, answers, strict=True):
                if isinstance(answer, str):
                    self._refuse(name, "not a pool", said.address, answer)
                else:
                    found.append(self._whole(name, answer))
            del self._announcements[: len(part)]
        return found

    async def read_lists(
        self,
        node: Node,
        block: BlockRef,
        listed: Mapping[str, int],
        *,
        batch_calls: int,
        names: Sequence[str] | None = None,
    ) -> tuple[list[FoundPool], dict[str, int]]:
        """Read the lists of DEXes from where they were left.

        Args:
            node: whom to ask.
            block: of whose state.
            listed: how far each list was read, by DEX.
            batch_calls: how many views go into one request.
            names: the DEXes to ask; all that have a list when None.

        Returns:
            Their pools, and how far each list was read now. A list that cannot be read is counted
            and stays where it was.

        Raises:
            SearcherError: the node does not answer.
        """
        asked = list(self.listing if names is None else names)
        reads: list[Reads[Listing]] = [
            self._protocols[name].listed(self._dexes[name], listed.get(name, 0)) for name in asked
        ]
        answers = await carry_out_together(reads, node, block, batch_calls=batch_calls)
        found: list[FoundPool] = []
        places: dict[str, int] = {}
        for name, answer in zip(asked, answers, strict=True):
            if isinstance(answer, str):
                self._refuse(
                    name, "unreadable list", Address(self._dexes[name].factory or ""), answer
                )
                continue
            found += [self._whole(name, said) for said in answer.announcements]
            places[name] = answer.length
            for pool, why in answer.refused.items():
                self._refuse(name, "not a pool", Address(pool), why)
            self._grown.discard(name)
        return found, places

    def statistics(self) -> CensusStatistics:
        """Return the counters so far."""
        waiting = len(self._announcements) + len(self._grown)
        return CensusStatistics(self._found, dict(self._refused), waiting)

    def _whose(self, log: Log) -> Iterator[str]:
        for name in self._by_announcer.get(log.address, ()):
            if log.topics and log.topics[0] in self._protocols[name].created_topics:
                yield name

    def _whole(self, name: str, said: Announcement) -> FoundPool:
        self._found += 1
        return FoundPool(
            name,
            said.id,
            said.address,
            said.tokens,
            said.fee_pips,
            said.tick_spacing,
            details_of(said),
        )

    def _refuse(self, name: str, cause: str, subject: Address, why: str) -> None:
        self._refused[f"{name}: {cause}"] += 1
        _log.warning("announcement skipped", chain=self._chain, dex=name, subject=subject, why=why)
