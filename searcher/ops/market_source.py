"""A market to be looked at: from the newest fit snapshot alone, or brought to the node's head."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from searcher.chains.blocks import parse_header
from searcher.chains.rpc import RpcClient, check_chain
from searcher.domain.clock import Clock
from searcher.domain.errors import NotReady, Retryable
from searcher.domain.events import BlockHeader, BlockRef
from searcher.market.market import Market
from searcher.market.snapshot_file import SnapshotRefused
from searcher.market.snapshots import Snapshots
from searcher.ops.chain_parts import client_of, market_of, prover_of, simulator_of, snapshots_of
from searcher.ops.config.model import ChainSettings
from searcher.ops.quoting import NS_PER_S
from searcher.ops.warm_start import WarmStart

_ANOTHER: Final = "write another with `searcher market snapshot --live`"


class SnapshotReport(Struct, frozen=True):
    """A snapshot that is whole and fits the configuration; `written` just now, or before."""

    path: str
    bytes: int
    written: bool
    chain: str
    chain_id: int
    block: BlockRef
    timestamp: int
    age_s: int


class OpenMarket(NamedTuple):
    """A chain's market with all that it holds.

    `timestamp` is that of its head, in seconds. `snapshot` is the file that it was taken from, None
    where the node was asked; `rpc` is that node.
    """

    settings: ChainSettings
    market: Market
    snapshots: Snapshots
    timestamp: int
    snapshot: Path | None
    rpc: RpcClient | None


@asynccontextmanager
async def opened(settings: ChainSettings, clock: Clock, *, live: bool) -> AsyncIterator[OpenMarket]:
    """Open the market of a chain.

    Args:
        settings: the chain's.
        clock: time of the process.
        live: bring it to the node's head, as the daemon does when it starts; otherwise no node is
            asked.

    Raises:
        NotReady: without `live`, there is no snapshot that is fit.
        NodeUnreachable: with `live`, the node does not answer.
        Retryable: with `live`, it gave too little.
        Misconfigured: a DEX does not fit its protocol, or the node serves another chain.
    """
    market = market_of(settings, clock)
    snapshots = snapshots_of(settings, market, clock)
    if not live:
        path, timestamp = _restored(snapshots)
        yield OpenMarket(settings, market, snapshots, timestamp, path, None)
        return
    async with client_of(settings.node) as rpc:
        await check_chain(rpc, settings.chain.chain_id)
        header = await _head(rpc)
        if await WarmStart(market, snapshots, rpc, clock).stand_on(header) is None:
            await market.bootstrap(rpc, header.ref, timestamp=header.timestamp)
        unproven = market.unproven()
        if unproven:
            prover = prover_of(settings, simulator_of(settings, rpc, clock), rpc)
            market.mark_proven(await prover.prove(unproven, header.ref))
        yield OpenMarket(settings, market, snapshots, header.timestamp, None, rpc)


def newest(snapshots: Snapshots) -> Path:
    """Return the snapshot that was written last.

    Raises:
        NotReady: there is none.
    """
    paths = snapshots.stored()
    if not paths:
        raise NotReady(
            f"there is no snapshot in {snapshots.folder}: write one with `searcher market snapshot"
            " --live`, or ask the node with --live"
        )
    return paths[0]


def verified(snapshots: Snapshots, clock: Clock) -> SnapshotReport:
    """Hold the newest snapshot against its digests and the configuration.

    Raises:
        NotReady: there is none, or it is not fit.
    """
    return _report(snapshots, newest(snapshots), clock, new=False)


async def written(snapshots: Snapshots, path: Path | None, clock: Clock) -> SnapshotReport:
    """Write a market down, into its folder or a file elsewhere, and read it back.

    Raises:
        NotReady: it cannot be written there.
    """
    made = await snapshots.write(path)
    if made is None:
        raise NotReady(
            f"no snapshot was written to {path or snapshots.folder}, the line before says why: make"
            " room there, or name another file with --out"
        )
    return _report(snapshots, made, clock, new=True)


def wall_s(clock: Clock) -> int:
    """Return the time of day in seconds since 1970, as blocks count it."""
    return clock.wall_ns() // NS_PER_S


def _report(snapshots: Snapshots, path: Path, clock: Clock, *, new: bool) -> SnapshotReport:
    try:
        heading = snapshots.verify(path)
    except SnapshotRefused as refusal:
        raise NotReady(f"{refusal}: {_ANOTHER}") from refusal
    return SnapshotReport(
        str(path),
        path.stat().st_size,
        new,
        heading.chain,
        heading.chain_id,
        heading.block,
        heading.timestamp,
        max(wall_s(clock) - heading.timestamp, 0),
    )


def _restored(snapshots: Snapshots) -> tuple[Path, int]:
    refusals = []
    newest(snapshots)
    for path in snapshots.stored():
        try:
            return path, snapshots.restore_unconnected(path).timestamp
        except SnapshotRefused as refusal:
            refusals.append(str(refusal))
    raise NotReady(f"{'; '.join(refusals)}: {_ANOTHER}, or ask the node with --live")


async def _head(rpc: RpcClient) -> BlockHeader:
    answer = await rpc.call("eth_getBlockByNumber", ["latest", False])
    try:
        return parse_header(answer)
    except (ValueError, AttributeError, TypeError) as error:
        raise Retryable(f"the node at {rpc.name} gave no head: {error}; try again") from error
