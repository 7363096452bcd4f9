"""When a chain's market is put down in snapshots, and which of them it begins from."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct

from searcher.chains.blocks import parse_header
from searcher.domain.clock import Clock
from searcher.domain.errors import Rejected
from searcher.domain.events import BlockHeader, BlockRef
from searcher.market.contents import Contents
from searcher.market.copying import MemoryCopy
from searcher.market.memory import MarketMemory
from searcher.market.node import Node
from searcher.market.protocol import Protocol as PoolProtocol
from searcher.market.settings import SnapshotSettings
from searcher.market.snapshot import (
    read_contents,
    read_memory,
    schema_of,
    sections_of,
    sections_of_copy,
)
from searcher.market.snapshot_file import (
    SUFFIX,
    Cause,
    Heading,
    Section,
    SnapshotFile,
    SnapshotRefused,
    prune,
    stored,
    write,
)

KEPT: Final = 2
"""The last one, and the one before it: for when the last one's block was reorganised away."""
SLICE_NS: Final = 500_000
"""How long the loop is kept before others have their turn."""
_NS_A_MINUTE: Final = 60_000_000_000

_log = structlog.get_logger(__name__)


class Snapshotted(Protocol):
    """What a market must offer to be put down and taken up; `market.market.Market` does."""

    chain: str
    head: BlockRef | None
    memory: MarketMemory

    def followed(self) -> Mapping[str, type[PoolProtocol[Any]]]:
        """Return the protocols of its DEXes by name."""

    def configuration(self) -> str:
        """Return a digest of what decides which pools are followed, and how they are drawn."""

    def contents(self) -> Contents:
        """Return what it holds beside its arrays, in containers of the caller's own."""

    def take_up(
        self, contents: Contents, fill: Callable[[MarketMemory], None], *, timestamp: int
    ) -> None:
        """Hold these contents, and the arrays that `fill` writes, instead of nothing."""


class SnapshotStatistics(Struct, frozen=True):
    """Counters since the start; `refused` and `failed` are by cause, `block` is the last one's."""

    written: int
    bytes: int
    block: int
    refused: dict[str, int]
    failed: dict[str, int]


class Snapshots:
    """The snapshots of one chain's market.

    Args:
        market: whose.
        folder: where they lie; nobody else's do.
        settings: when they are written.
        chain_id: the chain they are of, with its block 0.
        clock: time of the process.
    """

    def __init__(
        self,
        market: Snapshotted,
        folder: Path,
        settings: SnapshotSettings,
        *,
        chain_id: int,
        clock: Clock,
    ) -> None:
        self._market = market
        self._folder = folder
        self._settings = settings
        self._chain_id = chain_id
        self._clock = clock
        self._genesis: str | None = None
        self._writing: asyncio.Task[Path | None] | None = None
        self._last_ns = clock.monotonic_ns()
        self._last: BlockRef | None = None
        self._written = self._bytes = 0
        self._refused: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def statistics(self) -> SnapshotStatistics:
        """Return the counters."""
        return SnapshotStatistics(
            self._written,
            self._bytes,
            self._last.number if self._last else 0,
            dict(self._refused),
            dict(self._failed),
        )

    # ---- beginning from one

    async def restore(self, node: Node, latest: BlockHeader) -> BlockHeader | None:
        """Give an empty market what the newest snapshot holds that connects to the chain.

        What is not fit is refused, said with its cause, and the one before it is tried.

        Args:
            node: the chain's node.
            latest: its head.

        Returns:
            The header of the block that the market now stands on, or None: begin from the node.

        Raises:
            Retryable: the node does not answer.
        """
        await self._identify(node)
        for path in stored(self._folder):
            try:
                return await self._restore_from(path, node, latest)
            except SnapshotRefused as refusal:
                self._refused[refusal.cause] += 1
                _log.warning(
                    "snapshot refused",
                    chain=self._market.chain,
                    cause=refusal.cause.value,
                    why=str(refusal),
                )
        return None

    async def _restore_from(self, path: Path, node: Node, latest: BlockHeader) -> BlockHeader:
        begun_ns = self._clock.monotonic_ns()
        with SnapshotFile(path) as file:
            self._recognise(file)
            header = await self._connected(file, node, latest)
            await asyncio.to_thread(self._load, file, header.timestamp)
        self._last, self._last_ns = header.ref, self._clock.monotonic_ns()
        _log.info(
            "snapshot restored",
            chain=self._market.chain,
            block=header.number,
            behind=latest.number - header.number,
            took_ms=(self._last_ns - begun_ns) // 1_000_000,
        )
        return header

    def _recognise(self, file: SnapshotFile) -> None:
        """Refuse what is of another chain, of another configuration or of another version."""
        found, own = file.heading, self._heading(file.heading.block)
        if found.chain_id != own.chain_id:
            why = f"its chain id is {found.chain_id} and this chain's is {own.chain_id}"
            raise file.refused(Cause.OTHER_CHAIN, why)
        if found.genesis and own.genesis and found.genesis != own.genesis:
            why = f"its block 0 is {found.genesis} and this chain's is {own.genesis}"
            raise file.refused(Cause.OTHER_CHAIN, why)
        if found.schema != own.schema:
            why = "this version keeps pools, states or arrays in another layout"
            raise file.refused(Cause.OTHER_VERSION, why)
        if found.configuration != own.configuration:
            why = "the DEXes, tokens or filters of the configuration were others"
            raise file.refused(Cause.OTHER_CONFIGURATION, why)

    async def _connected(self, file: SnapshotFile, node: Node, latest: BlockHeader) -> BlockHeader:
        block = file.heading.block
        if latest.number - block.number > self._settings.most_blocks_behind:
            why = (
                f"it is {latest.number - block.number} blocks behind and"
                f" snapshots.most_blocks_behind is {self._settings.most_blocks_behind}"
            )
            raise file.refused(Cause.TOO_OLD, why)
        answer = await node.call("eth_getBlockByNumber", [hex(block.number), False])
        if answer is None:
            why = f"the node has no block {block.number}"
            raise file.refused(Cause.NOT_CONNECTED, why)
        try:
            header = parse_header(answer)
        except (ValueError, AttributeError) as error:
            why = f"the node did not answer block {block.number}: {error}"
            raise file.refused(Cause.NOT_CONNECTED, why) from error
        if header.ref != block:
            why = f"its block {block.number} is {block.hash} and the node's is {header.hash}"
            raise file.refused(Cause.NOT_CONNECTED, why)
        return header

    def _load(self, file: SnapshotFile, timestamp: int) -> None:
        """Verify the whole file before the market is given any of it."""
        file.verify()
        # A million new objects would set the collector off again and again, for nothing.
        collecting = gc.isenabled()
        gc.disable()
        try:
            contents = read_contents(file, self._market.followed())
            self._market.take_up(contents, partial(read_memory, file), timestamp=timestamp)
        finally:
            if collecting:
                gc.enable()

    # ---- writing them

    def on_block(self) -> None:
        """Begin a snapshot in the background when it is time for one."""
        if self._is_writing() or self._market.head is None or not self._is_due():
            return
        self._writing = asyncio.create_task(self.write())

    def _is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    def _is_due(self) -> bool:
        head, last, settings = self._market.head, self._last, self._settings
        if last is None or head is None:
            return settings.every_blocks > 0 or settings.every_minutes > 0
        if settings.every_blocks and abs(head.number - last.number) >= settings.every_blocks:
            return True
        passed_ns = self._clock.monotonic_ns() - self._last_ns
        return bool(settings.every_minutes) and passed_ns >= settings.every_minutes * _NS_A_MINUTE

    async def write(self) -> Path | None:
        """Put the market down as it is at one moment; return where, or None when it failed.

        A failure is said and counted, and the next time is waited for: nothing depends on it.
        """
        begun_ns = self._clock.monotonic_ns()
        self._last_ns = begun_ns
        try:
            return await self._write(begun_ns)
        except (OSError, ValueError) as error:
            self._failed[type(error).__name__] += 1
            _log.warning("snapshot failed", chain=self._market.chain, why=str(error))
            return None

    async def _write(self, begun_ns: int) -> Path | None:
        pace = _Pace(self._clock)
        copy = MemoryCopy(self._market.memory)
        for _ in copy.slices():
            await pace()
        head = self._market.head
        if head is None:
            self._failed["the market was being read"] += 1
            return None
        copy.complete()
        contents = self._market.contents()
        sections = sections_of_copy(copy)
        del copy  # its arrays go with the sections: see `_store`
        for _ in sections_of(contents, sections):
            await pace()
        path = self._folder / f"{head.number:012d}-{head.hash[2:14]}{SUFFIX}"
        size = await asyncio.to_thread(self._store, path, self._heading(head), sections)
        self._last, self._written, self._bytes = head, self._written + 1, size
        _log.info(
            "snapshot written",
            chain=self._market.chain,
            block=head.number,
            bytes=size,
            took_ms=(self._clock.monotonic_ns() - begun_ns) // 1_000_000,
        )
        return path

    def _store(self, path: Path, heading: Heading, sections: list[Section]) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        size = write(path, heading, sections)
        sections.clear()  # gives hundreds of megabytes back, which takes the loop's thread too long
        prune(self._folder, KEPT)
        return size

    async def close(self, *, last: bool = True) -> None:
        """Let a snapshot under way end.

        Args:
            last: whether to write the market as it is now, if that is configured; not when it is
                in doubt.
        """
        if self._writing is not None:
            await self._writing
        head = self._market.head
        if last and self._settings.on_stop and head is not None and head != self._last:
            await self.write()

    # ---- what they are of

    async def _identify(self, node: Node) -> None:
        """Ask once which block 0 the chain has; a node that keeps no old blocks need not know."""
        if self._genesis is not None:
            return
        try:
            answer = await node.call("eth_getBlockByNumber", ["0x0", False])
        except Rejected:
            answer = None
        known = isinstance(answer, Mapping) and isinstance(answer.get("hash"), str)
        self._genesis = answer["hash"].lower() if known else ""

    def _heading(self, block: BlockRef) -> Heading:
        return Heading(
            chain=self._market.chain,
            chain_id=self._chain_id,
            genesis=self._genesis or "",
            block=block,
            configuration=self._market.configuration(),
            schema=schema_of(self._market.followed()),
        )


class _Pace:
    """Gives the loop back whenever a slice of its time is used up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns = clock.monotonic_ns()

    async def __call__(self) -> None:
        if self._clock.monotonic_ns() - self._since_ns >= SLICE_NS:
            await asyncio.sleep(0)
            self._since_ns = self._clock.monotonic_ns()
