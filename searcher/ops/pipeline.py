"""One chain, from frames to outcomes: the stages in their order, and the block they stand on.

Everything found on an older block is void: a verdict, an overlay or a plan names its parent, and
what does not match the present head is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from searcher.chains.network import Network
from searcher.chains.rpc import RpcClient
from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken, Rejected, Retryable, SearcherError
from searcher.domain.events import (
    BlockApplied,
    BlockContext,
    BlockHeader,
    ChainReorganised,
    PendingTx,
)
from searcher.domain.plan import CurveKind, Mode, Opportunity, Outcome, OutcomeKind
from searcher.domain.ports import Journal, TokenProver
from searcher.domain.units import Address, Hash32
from searcher.executor.encoder import encode
from searcher.market.market import Market
from searcher.market.snapshots import Snapshots
from searcher.market.standing import MarketDelta, joined
from searcher.market.tripwire import Tripwire
from searcher.opportunities.scanner import Scanner
from searcher.ops.carrier import Carrier
from searcher.ops.warm_start import WarmStart
from searcher.simulation.simulator import Simulator

_log = structlog.get_logger(__name__)

MOST_WAITING: Final = 4096
"""Pending transactions kept for the next blocks; beyond it the oldest is dropped and counted."""

PENDING_LIFETIME_BLOCKS: Final = 25
MOST_SIMULATIONS: Final = 8
"""Pending transactions executed at the same time; more would queue inside the node."""

GAS_ALLOWANCE: Final = 3
"""A proof may use this many times the gas that was estimated, before it counts as failed."""

STOP_GRACE_S: Final = 2.0
"""How long a stopping pipeline waits for the sends that have begun."""

RETRY_S: Final = 0.5
"""Pause before a chain whose node failed is taken up again."""


class Blocks(Protocol):
    """The chain's blocks: where to begin, and what follows."""

    async def latest(self) -> BlockHeader:
        """Return the head to begin from."""

    def blocks(
        self, after: BlockHeader | None = None
    ) -> AsyncIterator[BlockApplied | ChainReorganised]:
        """Iterate over what happens on top of `after`."""


class Sources(Struct, frozen=True):
    """What a pipeline is fed with, and the tasks that keep it coming."""

    rpc: RpcClient
    blocks: Blocks
    pending: AsyncIterator[PendingTx] | None
    network: Network
    run: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()


class PipelineStatistics(Struct, frozen=True):
    """Counters of one chain since its start; `skipped` and `dropped` are by reason.

    `first_target` is the first block that a plan could be made for; 0 before there is one.
    """

    chain: str
    state: str
    head: int
    first_target: int
    blocks: int
    pending: int
    found: int
    simulated: int
    sent: int
    skipped: dict[str, int]
    dropped: dict[str, int]


class _Waiting(Struct):
    """A pending transaction, and the first block in which it could have been followed."""

    tx: PendingTx
    first_target: int = 0


class ChainPipeline:
    """The stages of one chain, wired by the daemon.

    Args:
        chain: its config name.
        mode: how far plans go.
        sources: blocks, pending transactions and the node's requests.
        coinbase: who is assumed to be paid by the next block.
        block_time_ms: time between blocks.
        market: the chain's pools.
        scanner: finds opportunities in them.
        simulator: proves plans.
        prover: proves tokens.
        carrier: takes proven plans; None where the mode ends with the proof.
        journal: where everything is recorded.
        clock: stamps.
        executor: our contract; None where nothing can be proved.
        operator: the key in whose name plans are proved.
        last_target: no plan is made for a later block, and the run ends when those up to it are
            settled.
        final_after_blocks: how many blocks on top make an outcome final.
        snapshots: what the market begins from, and is put down in; None for neither.
        tripwire: checks the market against the node; None for no checks.
    """

    def __init__(
        self,
        *,
        chain: str,
        mode: Mode,
        sources: Sources,
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
        last_target: int | None = None,
        final_after_blocks: int = 0,
        snapshots: Snapshots | None = None,
        tripwire: Tripwire | None = None,
    ) -> None:
        self.chain = chain
        self.ready = asyncio.Event()
        self._mode = mode
        self._sources = sources
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
        self._last_target = last_target
        self._final_after = final_after_blocks
        self._snapshots = snapshots
        self._tripwire = tripwire
        self._warm_start = (
            WarmStart(market, snapshots, sources.rpc, clock) if snapshots is not None else None
        )
        self._context: BlockContext | None = None
        self._state = "starting"
        self._first_target = 0
        self._waiting: dict[Hash32, _Waiting] = {}
        self._simulations = asyncio.Semaphore(MOST_SIMULATIONS)
        self._work: set[asyncio.Task[None]] = set()
        self._checks: set[asyncio.Task[None]] = set()
        self._unwound: list[MarketDelta] = []
        self._broken: asyncio.Future[None] | None = None
        self._count: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def statistics(self) -> PipelineStatistics:
        """Return the counters as they stand."""
        return PipelineStatistics(
            chain=self.chain,
            state=self._state,
            head=self._context.parent.number if self._context else 0,
            first_target=self._first_target,
            blocks=self._count["blocks"],
            pending=self._count["pending"],
            found=self._count["found"],
            simulated=self._count["simulated"],
            sent=self._count["sent"],
            skipped=dict(self._skipped),
            dropped=dict(self._dropped),
        )

    def stop_after(self, target_block: int) -> None:
        """Make no plan for a block later than `target_block`, and end when those are settled."""
        self._last_target = target_block

    async def idle(self) -> None:
        """Return when nothing that was begun is still under way."""
        while self._work:
            await asyncio.wait(self._work)

    async def run(self) -> None:
        """Follow the chain until cancelled, or until the last target block is settled.

        Raises:
            InvariantBroken: what must always hold does not; nothing more is sent on this chain.
        """
        self._broken = asyncio.get_running_loop().create_future()
        feeds = [asyncio.create_task(feed()) for feed in self._sources.run]
        if self._sources.pending is not None:
            feeds.append(asyncio.create_task(self._follow_pending(self._sources.pending)))
        main = asyncio.create_task(self._follow())
        try:
            await asyncio.wait([main, *feeds, self._broken], return_when=asyncio.FIRST_COMPLETED)
            for done in (main, *feeds):
                if done.done():
                    done.result()
            if self._broken.done():
                self._broken.result()
        except InvariantBroken as error:
            self._state = "broken"
            _log.error("chain_stopped", chain=self.chain, reason=str(error))
            raise
        finally:
            self._broken.cancel()
            for task in (main, *feeds):
                task.cancel()
            await asyncio.gather(main, *feeds, return_exceptions=True)
            await self._finish()

    async def _finish(self) -> None:
        """Let begun sends end, then record what is open: nothing leaves without a record."""
        if self._state != "broken":
            self._state = "stopped"
        # What ends may have begun more, such as a send after a look at a pending transaction.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await self.idle()
        while self._work or self._checks:
            late = (*self._work, *self._checks)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._carrier is not None:
            await self._carrier.close()
        if self._snapshots is not None:
            await self._snapshots.close(last=self._state != "broken")

    # ---- blocks

    async def _follow(self) -> None:
        """Take the chain up, and again whenever its node gave too little to go on."""
        begun = False
        while True:
            try:
                header = await self._sources.blocks.latest()
                delta = await self._stand_on(header)
                if self._carrier is not None and not begun:
                    await self._carrier.begin(header)
                begun = True
                self._open_for_trade(delta)
                if await self._follow_blocks(header):
                    return
            except (Retryable, Rejected) as error:
                if not begun:
                    raise
                self._state, self._context = "waiting for the node", None
                self._dropped["node gave too little"] += 1
                _log.warning("chain_waits", chain=self.chain, reason=str(error))
                await self._clock.sleep(RETRY_S)

    def _open_for_trade(self, delta: MarketDelta) -> None:
        context = self._require_context()
        self._state = "active"
        self._first_target = self._first_target or context.number
        self.ready.set()
        _log.info(
            "chain_ready", chain=self.chain, head=context.parent.number, mode=self._mode.value
        )
        received_ns = self._clock.monotonic_ns()
        self._pursue_all(self._scanner.on_block(delta, context, received_ns))
        self._look_further(context, received_ns)
        self._look_at_all(received_ns)

    async def _stand_on(self, header: BlockHeader) -> MarketDelta:
        delta = await self._warm_start.stand_on(header) if self._warm_start is not None else None
        if delta is None:
            read = self._market.bootstrap if self._market.head is None else self._market.rebuild
            delta = await read(self._sources.rpc, header.ref, timestamp=header.timestamp)
        if self._tripwire is not None:
            self._tripwire.begin()
        delta = joined(delta, *await self._prove_tokens(header))
        self._context = self._next_context(header)
        return delta

    def _next_context(self, header: BlockHeader) -> BlockContext:
        return self._sources.network.next_context(
            header, coinbase=self._coinbase, block_time_ms=self._block_time_ms
        )

    async def _prove_tokens(self, header: BlockHeader) -> list[MarketDelta]:
        unproven = self._market.unproven()
        if not unproven:
            return []
        return [self._market.mark_proven(await self._prover.prove(unproven, header.ref))]

    async def _follow_blocks(self, after: BlockHeader) -> bool:
        """Take blocks in until the source ends (False) or the run is complete (True)."""
        async for event in self._sources.blocks.blocks(after):
            if isinstance(event, ChainReorganised):
                await self._on_reorganised(event)
            else:
                await self._on_block(event)
            if self._is_complete():
                return True
        return True

    def _is_complete(self) -> bool:
        if self._last_target is None or self._context is None:
            return False
        past = self._context.parent.number - self._last_target
        if past < 0 or self._work:
            return False
        # An outcome is final that many blocks after its own; one more settles the last.
        return self._carrier is None or not self._carrier.watched() or past > self._final_after + 1

    async def _on_block(self, block: BlockApplied) -> None:
        context = self._next_context(block.header)
        deltas = [*self._unwound, self._market.apply(block)]
        if self._market.is_behind:
            # Until it is read, nothing may stand on this head, and nothing on the one before.
            self._context = None
            deltas.append(await self._market.refresh_volatile(self._sources.rpc, block.header.ref))
        self._unwound.clear()
        self._context = context
        self._state = "active"
        self._count["blocks"] += 1
        if self._carrier is not None:
            await self._carrier.on_block(block)
        deltas += await self._prove_tokens(block.header)
        found = self._scanner.on_block(joined(*deltas), context, block.received_ns)
        self._pursue_all(found)
        self._look_further(context, block.received_ns)
        self._watch_over(deltas)
        await self._renew_waiting(block)
        if self._carrier is not None:
            await self._carrier.settle(block)

    def _look_further(self, context: BlockContext, received_ns: int) -> None:
        """Search for longer cycles; what takes longer than a slice goes on beside the loop."""
        if self._scanner.look_further(context):
            self._spawn(self._go_on_looking(context, received_ns))
        else:
            self._pursue_all(self._scanner.further(context, received_ns))

    async def _go_on_looking(self, context: BlockContext, received_ns: int) -> None:
        """Search on until the block is over, and let the loop run between two slices."""
        under_way = True
        while under_way:
            await asyncio.sleep(0)
            if self._context is not context:
                return
            under_way = not self._scanner.advance()
        self._pursue_all(self._scanner.further(context, received_ns))

    def _watch_over(self, deltas: Sequence[MarketDelta]) -> None:
        """Check a part of the market against the node, and put it down when it is time."""
        if self._tripwire is not None:
            rows = {row for delta in deltas for row in delta.rows}
            known = self._market.rows
            self._tripwire.on_block({known[row].pool for row in rows if row < len(known)})
            # Nothing waits for a check, least of all the end of the run.
            self._begin(self._tripwire.check(), self._checks)
        if self._snapshots is not None:
            self._snapshots.on_block()

    async def _on_reorganised(self, event: ChainReorganised) -> None:
        """Take the market back to where the branches part, or read it anew on the new head.

        After the one, the blocks of the new branch follow, and the first of them opens the trade.
        """
        self._state, self._context = "reorganised", None
        self._count["reorganised"] += 1
        if self._carrier is not None:
            await self._carrier.on_reorganised(event)
        if event.ancestor is not None and self._market.can_unwind(event.ancestor):
            self._unwound.append(self._market.unwind(event.ancestor))
            self._scanner.unwind(event.ancestor)
            return
        self._state = "rebuilding"
        self._count["rebuilt"] += 1
        self._open_for_trade(joined(*self._unwound, await self._stand_on(event.head)))
        self._unwound.clear()

    def _require_context(self) -> BlockContext:
        if self._context is None:
            raise InvariantBroken(f"{self.chain} has no head to stand on")
        return self._context

    # ---- pending transactions

    async def _follow_pending(self, pending: AsyncIterator[PendingTx]) -> None:
        async for tx in pending:
            self._count["pending"] += 1
            if tx.to is None or not tx.data:
                self._dropped["pending without a call"] += 1
                continue
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.pop(next(iter(self._waiting)))
                self._dropped["pending forgotten"] += 1
            self._waiting[tx.hash] = _Waiting(tx)
            if self._context is not None:
                self._look_at(self._waiting[tx.hash], self._context, tx.received_ns)

    async def _renew_waiting(self, block: BlockApplied) -> None:
        """Drop what the block included, and look again at what still waits."""
        if not self._waiting:
            return
        body = await self._sources.rpc.call("eth_getBlockByHash", [block.header.hash, False])
        for tx_hash in (body or {}).get("transactions", ()):
            self._waiting.pop(tx_hash, None)
        self._look_at_all(block.received_ns)

    def _look_at_all(self, received_ns: int) -> None:
        """Look at all that waits: what makes it worth a look is the block that came just now."""
        context = self._require_context()
        for tx_hash, waiting in list(self._waiting.items()):
            first = waiting.first_target or context.number
            if context.number - first > PENDING_LIFETIME_BLOCKS:
                del self._waiting[tx_hash]
                self._dropped["pending too old"] += 1
            else:
                self._look_at(waiting, context, received_ns)

    def _look_at(self, waiting: _Waiting, context: BlockContext, received_ns: int) -> None:
        waiting.first_target = waiting.first_target or context.number
        self._spawn(self._examine(replace(waiting.tx, received_ns=received_ns), context))

    async def _examine(self, tx: PendingTx, context: BlockContext) -> None:
        if tx.max_fee_wei < context.base_fee_wei:
            self._dropped["pending below the base fee"] += 1
            return
        if self._is_past_last_target(context.number):
            return
        async with self._simulations:
            if self._context is not context:
                self._dropped["pending not executed: the head moved"] += 1
                return
            effects = await self._simulator.effects(tx, context)
        if self._context is not context:
            self._dropped["pending effects void: the head moved"] += 1
        elif not effects.succeeded:
            self._dropped["pending fails"] += 1
        else:
            self._pursue_all(self._scanner.on_pending(effects, context))

    # ---- opportunities

    def _is_past_last_target(self, target_block: int) -> bool:
        return self._last_target is not None and target_block > self._last_target

    def _pursue_all(self, found: Sequence[Opportunity]) -> None:
        for opportunity in found:
            if self._is_past_last_target(opportunity.target_block):
                continue
            self._count["found"] += 1
            self._spawn(self._pursue(opportunity))

    async def _pursue(self, opportunity: Opportunity) -> None:
        recorded = asyncio.create_task(self._journal.found(opportunity))
        try:
            reason = await self._try(opportunity)
        except (Retryable, Rejected) as error:
            reason = f"failed: {error}"
        except asyncio.CancelledError:
            reason = "stopped: the daemon ended first"
        await recorded
        if reason:
            self._skipped[reason.partition(":")[0]] += 1
            _log.info(
                "opportunity",
                opportunity=opportunity.id,
                strategy=opportunity.strategy,
                hops=len(opportunity.hops),
                gross_wei=str(opportunity.gross_wei),
                net_wei=str(opportunity.net_wei),
                outcome="skipped",
                reason=reason,
            )
            outcome = self._skip(opportunity, reason)
            if self._carrier is not None:
                self._carrier.dropped(outcome)
            await self._journal.ended(outcome)

    async def _try(self, opportunity: Opportunity) -> str:
        """Carry an opportunity as far as the mode lets it; return why it ended before a send."""
        if self._mode is Mode.OBSERVE:
            return "mode observe"
        if any(hop.curve is CurveKind.OTHER for hop in opportunity.hops + opportunity.conversion):
            return "not executable: the executor has no adapter for one of its pools"
        if self._executor is None or self._operator is None:
            return "no executor: the chain's configuration names none, or no operator"
        context = self._context
        if context is None or context.parent != opportunity.parent:
            return "void: the head moved before the proof"
        plan = encode(
            opportunity,
            executor=self._executor,
            wrapped_native=self._market.wrapped_native,
            last_block=opportunity.target_block,
            least_profit_wei=opportunity.gross_wei,
            exact=True,
            at_ns=self._clock.monotonic_ns(),
        )
        verdict = await self._simulator.prove(
            plan,
            sender=self._operator,
            context=context,
            gas_limit=min(GAS_ALLOWANCE * opportunity.gas_estimate, context.gas_limit // 2),
        )
        self._count["simulated"] += 1
        self._record(self._journal.planned(plan))
        self._record(self._journal.judged(verdict))
        if not verdict.succeeded:
            return f"simulation failed: {verdict.reason}"
        if verdict.realised_wei != opportunity.gross_wei:
            return self._distrust(opportunity, verdict.realised_wei)
        if self._context is not context:
            return "void: the head moved during the proof"
        if self._mode is Mode.SIMULATE and self._carrier is None:
            return "mode simulate"
        assert self._carrier is not None
        reason = await self._carrier.carry(plan, verdict)
        if not reason:
            self._count["sent"] += 1
        return reason

    def _distrust(self, opportunity: Opportunity, realised_wei: int) -> str:
        why = f"simulation realised {realised_wei} wei, exact maths says {opportunity.gross_wei}"
        for pool in opportunity.pools:
            self._market.set_aside(pool, why)
        return f"inexact: {why}"

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

    # ---- work beside the loop

    def _record(self, write: Coroutine[Any, Any, None]) -> None:
        """Write without waiting: the journal keeps the order, so the intent comes after."""
        self._spawn(write)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._begin(work, self._work)

    def _begin(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._checks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, SearcherError) and not isinstance(error, InvariantBroken):
            self._dropped[f"failed with {type(error).__name__}"] += 1
            _log.warning("work_failed", chain=self.chain, reason=str(error))
            return
        _log.error("work_crashed", chain=self.chain, exc_info=error)
        if self._broken is not None and not self._broken.done():
            broken = InvariantBroken(f"{self.chain} met an error it does not know: {error!r}")
            broken.__cause__ = error
            self._broken.set_exception(broken)
