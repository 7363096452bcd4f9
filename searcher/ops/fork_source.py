"""What feeds a pipeline that trades on a fork: blocks one after the other, and what is pending.

The pipeline sees the next block only when everything that it began on the last one is done, because
the fork can stand on one block at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from msgspec import Struct

from searcher.chains.blocks import BlockAssembler, Head, parse_head, parse_header
from searcher.chains.channel import Channel, Overflow
from searcher.chains.network import Network
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.domain.clock import Clock
from searcher.domain.errors import Misconfigured, Rejected, Retryable
from searcher.domain.events import (
    BlockApplied,
    BlockContext,
    BlockHeader,
    ChainReorganised,
    PendingTx,
)
from searcher.domain.units import Address
from searcher.mempool.envelope import Unprovable, parse_pending
from searcher.ops.fork import Fork

MOST_PENDING_PER_BLOCK: Final = 64
"""Pending transactions looked at on one block, those that pay the most first: each is executed on
the fork, which reads the state it touches from the node word by word."""

_ON_THE_FORK: Final = frozenset({"eth_simulateV1", "eth_getTransactionCount"})
_LONGEST_PAUSE_S: Final = 1.0
_PAUSES_PER_BLOCK: Final = 8

_log = structlog.get_logger(__name__)


class Span(Struct, frozen=True):
    """The blocks on whose state plans are tried; `last` is None for following the head."""

    first: int
    last: int | None


class SourceStatistics(Struct, frozen=True):
    """Blocks stood on, and pending transactions: offered, left out for their number, refused."""

    first_block: int
    last_block: int
    blocks: int
    offered: int
    left_out: int
    refused: dict[str, int]


class ForkedNode(RpcClient):
    """Requests of a pipeline: what meets our executor goes to the fork, the rest to the node.

    The state that both hold is the same; the node answers for a pool at once, where the fork would
    have to ask it for every word of it.

    Args:
        url: the node, or the gate in front of it.
        fork: stands on one of its blocks.
        name: what the node is called in errors.
        timeout_s: seconds a request to the node may take.
    """

    def __init__(self, url: str, fork: Fork, *, name: str, timeout_s: float) -> None:
        super().__init__(url, timeout_s=timeout_s)
        self.name = name
        self._fork = fork

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one call."""
        if method not in _ON_THE_FORK:
            return await super().call(method, params)
        (outcome,) = await self._fork.ask([(method, params)])
        if isinstance(outcome, RpcFault):
            raise outcome
        return outcome

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the results of several calls, all of them from the same place."""
        if any(method in _ON_THE_FORK for method, _ in calls):
            return await self._fork.ask(calls)
        return await super().batch_settled(calls)


class KnownNext(Network):
    """A network's rules, but where the next block is known already, its own environment.

    Args:
        rules: those of the chain.
    """

    def __init__(self, rules: Network) -> None:
        self._rules = rules
        self._child: BlockHeader | None = None

    def know(self, child: BlockHeader | None) -> None:
        """Say which block follows the one that is stood on; None when there is none yet."""
        self._child = child

    def next_base_fee(self, header: BlockHeader) -> int:
        """Return the base fee of the block on top of `header`, by the rules."""
        return self._rules.next_base_fee(header)

    def next_context(
        self, header: BlockHeader, *, coinbase: Address, block_time_ms: int
    ) -> BlockContext:
        """Return the environment of the block on top of `header`."""
        child = self._child
        if child is None or child.parent_hash != header.hash:
            return self._rules.next_context(header, coinbase=coinbase, block_time_ms=block_time_ms)
        return BlockContext(
            parent=header.ref,
            number=child.number,
            timestamp=child.timestamp,
            base_fee_wei=child.base_fee_wei,
            gas_limit=child.gas_limit,
            coinbase=child.coinbase,
        )


class ForkedBlocks:
    """The blocks of a span, and the pool at the node's head; implements `ops.pipeline.Blocks`.

    Args:
        chain: its config name.
        chain_id: transactions signed for another one are refused.
        rpc: the node.
        fork: is made to stand on each block before the pipeline sees it.
        network: is told the block that really follows.
        span: which blocks.
        clock: stamps and paces.
        block_time_ms: how often a new head is to be expected.
        gap_depth: a follower that falls further behind than so many blocks goes on at the head.
        on_block: is told of each block before the pipeline is.
    """

    def __init__(
        self,
        *,
        chain: str,
        chain_id: int,
        rpc: RpcClient,
        fork: Fork,
        network: KnownNext,
        span: Span,
        clock: Clock,
        block_time_ms: int,
        gap_depth: int,
        on_block: Callable[[BlockHeader], None],
    ) -> None:
        self._chain = chain
        self._chain_id = chain_id
        self._rpc = rpc
        self._fork = fork
        self._network = network
        self._span = span
        self._clock = clock
        self._pause_s = min(_LONGEST_PAUSE_S, block_time_ms / 1000 / _PAUSES_PER_BLOCK)
        self._on_block = on_block
        self._heads: Channel[Head] = Channel(1, Overflow.KEEP_NEWEST)
        # A span is fetched whole, from its end: it is one chain whatever happens meanwhile.
        depth = gap_depth if span.last is None else span.last - span.first + 1
        self._assembler = BlockAssembler(chain, rpc, self._heads, clock=clock, gap_depth=depth)
        self._idle: Callable[[], Awaitable[None]] | None = None
        self._begun = span.first
        self._standing: BlockHeader | None = None
        self._stood_on = ""
        self._blocks = 0
        self._pending: asyncio.Queue[PendingTx] = asyncio.Queue()
        self._pool_is_known = True
        self._seen: set[str] = set()
        self._beyond: set[str] = set()
        self._budget = 0
        self._offered = self._left_out = 0
        self._refused: Counter[str] = Counter()

    def wait_for(self, idle: Callable[[], Awaitable[None]]) -> None:
        """Say what returns when the pipeline has nothing under way; before it runs."""
        self._idle = idle

    def statistics(self) -> SourceStatistics:
        """Return the counters so far."""
        return SourceStatistics(
            first_block=self._span.first,
            last_block=self._begun if self._blocks else 0,
            blocks=self._blocks,
            offered=self._offered,
            left_out=self._left_out + len(self._beyond),
            refused=dict(self._refused),
        )

    async def latest(self) -> BlockHeader:
        """Stand on the first block, or again on the one where the pipeline failed."""
        await self._quiet()
        following = self._span.last is None
        header = await self._header("latest" if following and self._blocks else hex(self._begun))
        await self._stand_on(header)
        return header

    async def blocks(
        self, after: BlockHeader | None = None
    ) -> AsyncIterator[BlockApplied | ChainReorganised]:
        """Iterate over what follows `after`, each when the one before is dealt with."""
        assert after is not None, "a pipeline begins on a block"
        self._standing = after
        last = self._span.last
        if last is not None:
            if after.number >= last:
                await self._end()
                return
            raw = await self._rpc.call("eth_getBlockByNumber", [hex(last), False])
            self._heads.put(parse_head(raw, self._clock.monotonic_ns()))
        async for event in self._assembler.blocks(after):
            header = event.header if isinstance(event, BlockApplied) else event.head
            await self._quiet()
            await self._stand_on(header)
            yield event
            # The pipeline stands on it only now: before, a pending transaction would meet the old.
            self._standing = header
            if last is not None and header.number >= last:
                await self._end()
                return

    async def pending(self) -> AsyncIterator[PendingTx]:
        """Iterate over what is offered, without end; what came before is dealt with by then."""
        while True:
            yield await self._pending.get()
            self._pending.task_done()

    async def follow(self) -> None:
        """Announce new heads, and offer the pool while there is none, until cancelled."""
        newest = ""
        while True:
            try:
                raw = await self._rpc.call("eth_getBlockByNumber", ["latest", False])
                head = parse_head(raw, self._clock.monotonic_ns())
                if head.header.hash != newest:
                    newest = head.header.hash
                    self._heads.put(head)
                elif self._standing is not None and self._standing.hash == newest:
                    await self._offer_pool(self._standing)
            except (Retryable, Rejected, ValueError) as error:
                self._refused["no answer from the node"] += 1
                _log.warning("node_gave_no_head", chain=self._chain, reason=str(error))
            await self._clock.sleep(self._pause_s)

    # ---- standing on a block

    async def _stand_on(self, header: BlockHeader) -> None:
        self._begun = header.number
        await self._fork.reset(header.ref)
        raw = await self._rpc.call("eth_getBlockByNumber", [hex(header.number + 1), False])
        self._network.know(None if raw is None else parse_header(raw))
        self._left_out += len(self._beyond)
        self._beyond.clear()
        self._budget = MOST_PENDING_PER_BLOCK
        if header.hash != self._stood_on:
            self._stood_on = header.hash
            self._blocks += 1
            self._on_block(header)

    async def _quiet(self) -> None:
        """Return when nothing is under way on the block that is stood on, and nothing new comes."""
        assert self._idle is not None, "wait_for comes before run"
        self._standing = None
        await self._pending.join()
        await self._idle()

    async def _end(self) -> None:
        standing = self._standing
        if standing is not None and (await self._header("latest")).hash == standing.hash:
            await self._offer_pool(standing)
        await self._quiet()

    async def _header(self, block: str) -> BlockHeader:
        raw = await self._rpc.call("eth_getBlockByNumber", [block, False])
        try:
            return parse_header(raw)
        except ValueError as error:
            raise Retryable(f"the node at {self._rpc.name} gave no block {block}") from error

    # ---- the pool

    async def _offer_pool(self, standing: BlockHeader) -> None:
        if not self._pool_is_known or not self._budget:
            return
        try:
            content = await self._rpc.call("txpool_content")
        except (Rejected, Misconfigured) as error:
            self._pool_is_known = False
            _log.warning(
                "no_pending_transactions",
                chain=self._chain,
                reason=f"the node shows no txpool_content: {error}",
            )
            return
        received_ns = self._clock.monotonic_ns()
        fresh = self._fresh(content, received_ns)
        if self._standing is not standing:
            return
        fresh.sort(key=lambda tx: -tx.max_priority_fee_wei)
        taken = fresh[: self._budget]
        self._beyond.update(tx.hash for tx in fresh[self._budget :])
        self._budget -= len(taken)
        self._offered += len(taken)
        for tx in taken:
            self._seen.add(tx.hash)
            self._pending.put_nowait(tx)

    def _fresh(self, content: Any, received_ns: int) -> list[PendingTx]:
        """Return each sender's next transaction, where it calls a contract and was not offered."""
        bodies = list(next_of_each(content))
        # What has left the pool need not be remembered.
        self._seen &= {str(body.get("hash")).lower() for body in bodies}
        found = []
        for body in bodies:
            if str(body.get("hash")).lower() in self._seen:
                continue
            try:
                tx = parse_pending(self._chain, body, received_ns, chain_id=self._chain_id)
            except Unprovable as error:
                self._refused[error.cause] += 1
                self._seen.add(str(body.get("hash")).lower())
                continue
            if tx.to is not None and tx.data:
                found.append(tx)
        return found


def next_of_each(content: Any) -> list[Mapping[str, Any]]:
    """Return the executable transaction with the lowest nonce of each sender in the pool.

    What is not in the form of `txpool_content` is taken for nothing.
    """
    senders = content.get("pending") if isinstance(content, Mapping) else None
    if not isinstance(senders, Mapping):
        return []
    found = []
    for queue in senders.values():
        nonces = [key for key in queue if key.isdecimal()] if isinstance(queue, Mapping) else []
        if nonces and isinstance(body := queue[min(nonces, key=int)], Mapping):
            found.append(body)
    return found
