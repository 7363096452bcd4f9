"""One chain, from frames to outcomes: the stages in their order, with the facts that bind them.

The pipeline owns the block it stands on. Everything found on an older one is void: a verdict, an
overlay or a plan names its parent, and what does not match the present head is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct
from searcher.chains.blocks import parse_header
from searcher.chains.networks import Network
from searcher.chains.rpc import RpcClient
from searcher.executor.encoder import encode
from searcher.market.market import Market
from searcher.opportunities.scanner import Scanner
from searcher.simulation.simulator import Simulator

from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken, Rejected, Retryable, SearcherError
from searcher.domain.events import (
    BlockApplied,
    BlockContext,
    BlockHeader,
    ChainReorganised,
    PendingTx,
)
from searcher.domain.plan import (
    Mode,
    Opportunity,
    Outcome,
    OutcomeKind,
    Plan,
    Verdict,
)
from searcher.domain.ports import Journal, TokenProver
from searcher.domain.units import Address, Hash32

_log = structlog.get_logger(__name__)

MOST_WAITING = 4096
"""Pending transactions kept for the next blocks; the oldest goes first, counted as `forgotten`."""

PENDING_LIFETIME_BLOCKS = 25
MOST_SIMULATIONS = 8
"""Pending transactions executed at the same time; more would queue inside the node."""

STOP_GRACE_S = 2.0
"""How long a stopping pipeline waits for the sends that have begun."""


class Sources(Struct, frozen=True):
    """Where a pipeline's events come from, and how to keep them coming.

    `run` are the long-lived tasks behind the two streams.
    """

    rpc: RpcClient
    blocks: AsyncIterator[BlockApplied | ChainReorganised]
    pending: AsyncIterator[PendingTx] | None
    run: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()


class PipelineStatistics(Struct, frozen=True):
    """Counters of one chain since the start; `skipped` is by reason."""

    chain: str
    state: str
    head: int
    blocks: int
    pending: int
    found: int
    simulated: int
    sent: int
    landed: int
    lost: int
    profit_wei: int
    skipped: dict[str, int]
    dropped: dict[str, int]


class _Waiting(Struct):
    tx: PendingTx
    first_seen: int


class ChainPipeline:
    """The stages of one chain, wired by the daemon."""

    def __init__(
        self,
        *,
        chain: str,
        mode: Mode,
        sources: Sources,
        network: Network,
        coinbase: Address,
        block_time_ms: int,
        market: Market,
        scanner: Scanner,
        simulator: Simulator,
        prover: TokenProver,
        carrier: Carrier | None,
        journal: Journal,
        clock: Clock,
        executor: Address | None,
        operator: Address | None,
        wrapped_native: Address,
        last_target: int | None = None,
    ) -> None:
        self.chain = chain
        self._mode = mode
        self._sources = sources
        self._network = network
        self._coinbase = coinbase
        self._block_time_ms = block_time_ms
        self._market = market
        self._scanner = scanner
        self._simulator = simulator
        self._prover = prover
        self._carrier = carrier
        self._journal = journal
        self._clock = clock
        self._executor = executor
        self._operator = operator
        self._wrapped_native = wrapped_native
        self._last_target = last_target
        self._context: BlockContext | None = None
        self._state = "starting"
        self._waiting: dict[Hash32, _Waiting] = {}
        self._simulations = asyncio.Semaphore(MOST_SIMULATIONS)
        self._work: set[asyncio.Task[None]] = set()
        self._count: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._profit_wei = 0
        self.ready = asyncio.Event()

    def statistics(self) -> PipelineStatistics:
        """Return the counters as they stand."""
        count = self._count
        return PipelineStatistics(
            chain=self.chain,
            state=self._state,
            head=self._context.parent.number if self._context else 0,
            blocks=count["blocks"],
            pending=count["pending"],
            found=count["found"],
            simulated=count["simulated"],
            sent=count["sent"],
            landed=count["landed"],
            lost=count["lost"],
            profit_wei=self._profit_wei,
            skipped=dict(self._skipped),
            dropped=dict(self._dropped),
        )

    async def run(self) -> None:
        """Follow the chain until cancelled, or until the last target block is settled."""
        tasks = [asyncio.create_task(run()) for run in self._sources.run]
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(tasks))
                if self._sources.pending is not None:
                    pending = group.create_task(self._follow_pending(self._sources.pending))
                else:
                    pending = None
                await self._start()
                await self._follow_blocks()
                watcher.cancel()
                if pending is not None:
                    pending.cancel()
        except* InvariantBroken as broken:
            self._state = "stopped"
            _log.error("chain_stopped", chain=self.chain, reason=str(broken.exceptions[0]))
            raise broken.exceptions[0] from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._finish()

    # ---- start and end

    async def _start(self) -> None:
        header = parse_header(
            await self._sources.rpc.call("eth_getBlockByNumber", ["latest", False])
        )
        await self._stand_on(header, rebuild=False)
        if self._carrier is not None:
            await self._carrier.begin(header)
        self._state = "active"
        self.ready.set()
        _log.info("chain_ready", chain=self.chain, head=header.number, mode=self._mode.value)
        received_ns = self._clock.monotonic_ns()
        self._pursue_all(self._scanner.on_start(self._require_context(), received_ns))

    async def _stand_on(self, header: BlockHeader, *, rebuild: bool) -> None:
        load = self._market.rebuild if rebuild else self._market.bootstrap
        await load(self._sources.rpc, header.ref)
        await self._prove_tokens(header)
        self._context = self._network.next_context(
            header, coinbase=self._coinbase, block_time_ms=self._block_time_ms
        )

    async def _prove_tokens(self, header: BlockHeader) -> None:
        unproven = self._market.unproven()
        if not unproven:
            return
        proofs = await self._prover.prove(unproven, header.ref)
        self._market.mark_proven(proofs)
        for proof in proofs:
            if not proof.sound:
                _log.warning(
                    "token_set_aside", chain=self.chain, token=proof.token, reason=proof.reason
                )

    async def _watch(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """End the pipeline when one of its sources ends: a silent source is never normal."""
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                raise error
        raise InvariantBroken(f"a source of chain {self.chain} ended; see the log before this line")

    async def _finish(self) -> None:
        """Let begun sends end, then record what is open: nothing leaves without a record."""
        self._state = "stopped"
        if self._work:
            _, late = await asyncio.wait(self._work, timeout=STOP_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._carrier is not None:
            self._settle(await self._carrier.close())

    # ---- blocks

    async def _follow_blocks(self) -> None:
        async for event in self._sources.blocks:
            if isinstance(event, ChainReorganised):
                await self._on_reorganised(event)
            else:
                await self._on_block(event)
            if self._is_done():
                return

    def _is_done(self) -> bool:
        if self._last_target is None or self._context is None:
            return False
        still_open = self._carrier.open_bundles() if self._carrier is not None else 0
        return self._context.parent.number >= self._last_target and still_open == 0

    async def _on_block(self, block: BlockApplied) -> None:
        head = self._require_context().parent
        if block.header.number <= head.number:
            self._dropped["block already applied"] += 1
            return
        if block.header.parent_hash != head.hash:
            raise InvariantBroken(
                f"block {block.header.number} of {self.chain} does not follow {head.hash}"
            )
        delta = self._market.apply(block)
        context = self._network.next_context(
            block.header, coinbase=self._coinbase, block_time_ms=self._block_time_ms
        )
        self._context = context
        self._count["blocks"] += 1
        settling = asyncio.create_task(self._settle_block(block))
        if self._market.unproven():
            await self._prove_tokens(block.header)
        found = self._scanner.on_block(delta, context, block.received_ns)
        # Lanes are free again only when the outcomes of the last block are known.
        await settling
        self._pursue_all(found)
        await self._renew_waiting(block)

    async def _settle_block(self, block: BlockApplied) -> None:
        if self._carrier is not None:
            self._settle(await self._carrier.on_block(block))

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.kind is OutcomeKind.LANDED and not outcome.final:
                self._count["landed"] += 1
                self._profit_wei += outcome.profit_wei
            elif outcome.kind in (OutcomeKind.NOT_LANDED, OutcomeKind.REJECTED):
                self._count["lost"] += 1

    async def _on_reorganised(self, event: ChainReorganised) -> None:
        _log.warning(
            "chain_reorganised",
            chain=self.chain,
            abandoned=event.abandoned.number,
            head=event.head.number,
        )
        self._state = "rebuilding"
        self._context = None
        self._count["reorganised"] += 1
        if self._carrier is not None:
            await self._carrier.on_reorganised(event)
        await self._stand_on(event.head, rebuild=True)
        self._state = "active"

    def _require_context(self) -> BlockContext:
        if self._context is None:
            raise InvariantBroken(f"{self.chain} has no head to stand on")
        return self._context

    # ---- pending transactions

    async def _follow_pending(self, pending: AsyncIterator[PendingTx]) -> None:
        async for tx in pending:
            self._count["pending"] += 1
            if self._context is None or not self.ready.is_set():
                self._dropped["pending before the market was ready"] += 1
                continue
            if tx.to is None or not tx.data:
                self._dropped["pending without a call"] += 1
                continue
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.pop(next(iter(self._waiting)))
                self._dropped["pending forgotten"] += 1
            self._waiting[tx.hash] = _Waiting(tx, self._context.parent.number)
            self._spawn(self._examine(tx, tx.received_ns))

    async def _renew_waiting(self, block: BlockApplied) -> None:
        """Drop what the block included, and look again at what still waits."""
        if not self._waiting:
            return
        body = await self._sources.rpc.call("eth_getBlockByHash", [block.header.hash, False])
        for tx_hash in (body or {}).get("transactions", ()):
            self._waiting.pop(tx_hash, None)
        oldest = block.header.number - PENDING_LIFETIME_BLOCKS
        for tx_hash, waiting in list(self._waiting.items()):
            if waiting.first_seen < oldest:
                del self._waiting[tx_hash]
                self._dropped["pending too old"] += 1
            else:
                self._spawn(self._examine(waiting.tx, block.received_ns))

    async def _examine(self, tx: PendingTx, received_ns: int) -> None:
        context = self._context
        if context is None or tx.max_fee_wei < context.base_fee_wei:
            self._dropped["pending below the base fee"] += 1
            return
        async with self._simulations:
            effects = await self._simulator.effects(tx, context)
        if self._context is not context:
            self._dropped["pending effects void: the head moved"] += 1
            return
        if not effects.succeeded:
            self._dropped["pending reverts"] += 1
            return
        self._pursue_all(self._scanner.on_pending(effects, context, received_ns))

    # ---- opportunities

    def _pursue_all(self, found: Sequence[Opportunity]) -> None:
        for opportunity in found:
            self._count["found"] += 1
            self._spawn(self._pursue(opportunity))

    async def _pursue(self, opportunity: Opportunity) -> None:
        recorded = asyncio.create_task(self._journal.found(opportunity))
        try:
            reason = await self._try(opportunity)
        except (Retryable, Rejected) as error:
            reason = f"failed: {error}"
        except asyncio.CancelledError:
            reason = "stopped"
        await recorded
        if reason:
            self._skipped[reason.partition(":")[0]] += 1
            await self._journal.ended(self._skip(opportunity, reason))

    async def _try(self, opportunity: Opportunity) -> str:
        """Carry an opportunity as far as the mode and the stages let it; return why it ended."""
        if self._last_target is not None and opportunity.target_block > self._last_target:
            return "after the last target block"
        if self._mode is Mode.OBSERVE:
            return "mode observe"
        if self._executor is None or self._operator is None:
            return "no executor: the chain's config names none"
        context = self._context
        if context is None or context.parent != opportunity.parent:
            return "void: the head moved"
        plan = encode(
            opportunity,
            executor=self._executor,
            wrapped_native=self._wrapped_native,
            last_block=opportunity.target_block,
            least_profit_wei=opportunity.gross_wei,
            at_ns=self._clock.monotonic_ns(),
        )
        verdict = await self._simulator.prove(plan, sender=self._operator, context=context)
        self._count["simulated"] += 1
        await self._journal.planned(plan)
        await self._journal.judged(verdict)
        if not verdict.succeeded:
            return f"simulation failed: {verdict.reason}"
        if verdict.realised_wei != opportunity.gross_wei:
            self._market.set_aside_pools(
                opportunity.pools,
                f"simulation realised {verdict.realised_wei} wei "
                f"where exact maths says {opportunity.gross_wei}",
            )
            return "inexact: simulation and exact maths disagree"
        if self._context is not context:
            return "void: the head moved"
        if self._mode is Mode.SIMULATE or self._carrier is None:
            return "mode simulate"
        reason = await self._carrier.carry(plan, verdict)
        if not reason:
            self._count["sent"] += 1
        return reason

    def _skip(self, opportunity: Opportunity, reason: str) -> Outcome:
        return Outcome(
            opportunity_id=opportunity.id,
            kind=OutcomeKind.SKIPPED,
            reason=reason,
            block=None,
            gas_used=0,
            effective_gas_price_wei=0,
            profit_wei=0,
            final=True,
            at_ns=self._clock.monotonic_ns(),
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if isinstance(error, SearcherError):
            self._dropped[type(error).__name__] += 1
            _log.warning("work_failed", chain=self.chain, error=str(error))
        else:
            _log.error("work_crashed", chain=self.chain, exc_info=error)
            self._dropped["crashed"] += 1
