"""The one place where everything is wired: `assemble` makes a daemon of a configuration.

A run, a dry-run, the demo and the tests all call it, and differ in the sources they hand in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import structlog

from searcher import __version__
from searcher.chains.blocks import BlockAssembler
from searcher.chains.network import networks
from searcher.chains.rpc import RpcClient, check_chain
from searcher.chains.stream import NodeStream
from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken, Misconfigured, NotReady
from searcher.domain.folders import state_folder
from searcher.domain.plan import Mode
from searcher.domain.units import Address
from searcher.executor.artifact import explain_revert
from searcher.executor.deployment import is_operator, verify_code
from searcher.executor.encoder import with_bid
from searcher.kernels._jit import load_all
from searcher.ledger.ledger import Ledger
from searcher.market.market import Market
from searcher.market.pieces import pieces
from searcher.market.snapshots import Snapshots
from searcher.market.tripwire import Tripwire
from searcher.mempool.feed import PendingFeed
from searcher.mempool.source import SourceParts
from searcher.mempool.source import sources as pending_sources
from searcher.opportunities.numeric_sizing import refine
from searcher.opportunities.scanner import Scanner
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.strategy import STRATEGIES, Strategy
from searcher.ops.carrier import Carrier, LiveCarrier
from searcher.ops.config.loader import Loaded
from searcher.ops.config.model import ChainSettings, Config
from searcher.ops.config.schema import Plugged
from searcher.ops.pipeline import ChainPipeline, PipelineStatistics, Sources
from searcher.risk.gate import DAY_NS, PastSpend, RiskGate
from searcher.simulation.simulator import Simulator, backends
from searcher.simulation.tokens import SimulatedTokenProver
from searcher.submission.inclusion import InclusionWatcher
from searcher.submission.nonces import NonceLanes
from searcher.submission.relay import Relay
from searcher.submission.signer import Signer
from searcher.submission.submitter import Submitter

_log = structlog.get_logger(__name__)


class Daemon:
    """The pipelines of one process; an async context manager that closes what it opened.

    Args:
        pipelines: by chain.
        ledger: where they record.
        stack: what is closed at the end, the ledger last.
    """

    def __init__(
        self,
        pipelines: Mapping[str, ChainPipeline],
        ledger: Ledger,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self.pipelines = pipelines
        self.ledger = ledger
        self._stack = stack

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Run every chain until all have ended or this is cancelled.

        A chain that stops for a broken invariant does not stop the others.

        Raises:
            InvariantBroken: at least one chain stopped; raised when the last one has ended.
        """
        tasks = {
            asyncio.create_task(pipeline.run()): name for name, pipeline in self.pipelines.items()
        }
        broken: list[str] = []
        try:
            running = set(tasks)
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if isinstance(error, InvariantBroken):
                        broken.append(str(error))
                    elif error is not None:
                        raise error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if broken:
            raise InvariantBroken("; ".join(broken))

    def statistics(self) -> list[PipelineStatistics]:
        """Return each chain's counters."""
        return [pipeline.statistics() for pipeline in self.pipelines.values()]


async def assemble(
    loaded: Loaded[Config],
    clock: Clock,
    sources: Mapping[str, Sources] | None = None,
    *,
    carriers: Mapping[str, Carrier] | None = None,
    last_target: int | None = None,
) -> Daemon:
    """Wire a daemon.

    Args:
        loaded: the configuration, valid as a whole.
        clock: the time of everything in it.
        sources: by chain, what feeds it; a chain left out follows the node of its configuration.
        carriers: by chain, what takes its proven plans; left out, the mode decides: relays in
            `live`, nobody otherwise.
        last_target: no plan is made for a later block.

    Raises:
        Misconfigured: the configuration cannot be carried out.
        NotReady: the chain lacks something, such as the executor.
        NodeUnreachable: a node does not answer.
    """
    async with contextlib.AsyncExitStack() as stack:
        config = loaded.config
        ledger = await _ledger(loaded, clock)
        stack.push_async_callback(ledger.close)
        pipelines = {}
        for name, chain in config.chains.items():
            wiring = _Wiring(config, chain, clock, ledger, stack)
            pipelines[name] = await wiring.pipeline(
                (sources or {}).get(name), (carriers or {}).get(name), last_target
            )
        load_all()  # now, and not when the first block waits for it
        return Daemon(pipelines, ledger, stack.pop_all())
    raise AssertionError("an exit stack swallows nothing")


class _Wiring:
    """Makes one chain's pipeline."""

    def __init__(
        self,
        config: Config,
        chain: ChainSettings,
        clock: Clock,
        ledger: Ledger,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._config = config
        self._chain = chain
        self._name = chain.chain.name
        self._clock = clock
        self._ledger = ledger
        self._stack = stack
        self._wrapped = Address(chain.tokens[chain.chain.wrapped_native].address)
        self._executor = Address(chain.executor.address) if chain.executor else None
        self._strategies = {
            name: _cycle_settings(name, plugged) for name, plugged in config.strategies.items()
        }

    async def pipeline(
        self, sources: Sources | None, carrier: Carrier | None, last_target: int | None
    ) -> ChainPipeline:
        mode, rules = self._config.main.mode, self._chain.chain
        own = sources is None
        sources = sources or await self._node_sources()
        await check_chain(sources.rpc, rules.chain_id)
        lanes = self._lanes()
        if carrier is None and mode is Mode.LIVE:
            assert lanes is not None, "a live configuration has operators"
            await self._check_executor(sources.rpc, lanes.addresses)
            carrier = await self._live_carrier(sources.rpc, lanes)
        operator = getattr(carrier, "operator", None) or (lanes.addresses[0] if lanes else None)
        market = Market(
            self._name,
            wrapped_native=self._wrapped,
            tokens=self._chain.tokens,
            dexes=self._chain.dexes,
            discovery=self._chain.discovery,
            following=self._chain.following,
            pieces=pieces,
        )
        simulator = self._simulator(sources.rpc)
        return ChainPipeline(
            chain=self._name,
            mode=mode,
            sources=sources,
            coinbase=Address(rules.coinbase),
            block_time_ms=rules.block_time_ms,
            market=market,
            scanner=Scanner(
                market,
                [_strategy(*strategy) for strategy in self._config.strategies.items()],
                priority_fee_wei=self._chain.gas.priority_fee_wei,
                clock=self._clock,
                run=self._ledger.run_id,
                refine=refine,
            ),
            simulator=simulator,
            prover=SimulatedTokenProver(simulator, sources.rpc),
            carrier=carrier,
            journal=self._ledger,
            clock=self._clock,
            executor=self._executor,
            operator=operator,
            last_target=last_target,
            final_after_blocks=rules.final_after_blocks,
            # What is handed in is not the chain as it will be at the next start.
            snapshots=self._snapshots(market) if own else None,
            tripwire=Tripwire(market, sources.rpc, self._chain.tripwire) if own else None,
        )

    def _snapshots(self, market: Market) -> Snapshots:
        settings = self._chain.snapshots
        folder = settings.folder.expanduser() if settings.folder else state_folder() / "snapshots"
        return Snapshots(
            market,
            folder / self._name,
            settings,
            chain_id=self._chain.chain.chain_id,
            clock=self._clock,
        )

    async def _node_sources(self) -> Sources:
        node, rules = self._chain.node, self._chain.chain
        rpc = RpcClient(
            node.http_url,
            timeout_s=node.request_timeout_ms / 1000,
            max_connections=node.max_inflight,
        )
        self._stack.push_async_callback(rpc.close)
        stream = NodeStream(
            node.stream_url,
            clock=self._clock,
            pending=node.pending,
            head_capacity=node.head_queue,
            pending_capacity=node.pending_queue,
            stale_after_s=node.stale_after_ms / 1000,
        )
        assembler = BlockAssembler(
            self._name,
            rpc,
            stream.heads,
            clock=self._clock,
            gap_depth=node.gap_depth,
            reorg_depth=self._chain.following.reorg_depth,
        )
        network = networks().load(rules.network)
        wanted = self._chain.mempool.sources if node.pending != "off" else ()
        if not wanted:
            return Sources(rpc, assembler, None, network(), (stream.run,))
        feed = self._feed(wanted, SourceParts(rpc, stream.pending))
        return Sources(rpc, assembler, aiter(feed), network(), (stream.run, feed.run))

    def _feed(self, wanted: Sequence[str], parts: SourceParts) -> PendingFeed:
        settings = self._chain.mempool
        kinds = [pending_sources().load(name) for name in wanted]
        return PendingFeed(
            self._name,
            clock=self._clock,
            chain_id=self._chain.chain.chain_id,
            capacity=settings.capacity,
            longest_age_ms=settings.longest_age_ms,
            remembered=settings.remembered,
            sources=[kind(kind.Config(), parts) for kind in kinds],
        )

    def _simulator(self, rpc: RpcClient) -> Simulator:
        kind = backends().load(self._chain.simulation.backend)
        return kind(kind.Config(), rpc=rpc, clock=self._clock, explain=explain_revert)

    def _lanes(self) -> NonceLanes | None:
        operators = [_signer(plugged) for plugged in self._chain.signers.operators]
        return NonceLanes(operators) if operators else None

    async def _check_executor(self, rpc: RpcClient, operators: Sequence[Address]) -> None:
        assert self._executor is not None, "a live configuration has an executor"
        await verify_code(rpc, self._executor, wrapped_native=self._wrapped)
        for operator in operators:
            if not await is_operator(rpc, self._executor, operator):
                raise NotReady(
                    f"{operator} may not call the executor {self._executor} on {self._name}: "
                    "its owner must name it an operator first"
                )

    async def _remember_spending(self, gate: RiskGate) -> None:
        """Count what earlier runs spent on gas: a restart does not renew a limit."""
        now_wall_ns = self._clock.wall_ns()
        spent = await self._ledger.reader.spent_since(now_wall_ns - DAY_NS, self._name)
        gate.restore(
            [PastSpend(s.name, now_wall_ns - s.wall_ns, s.gas_cost_wei) for s in spent],
            self._clock.monotonic_ns(),
        )

    async def _live_carrier(self, rpc: RpcClient, lanes: NonceLanes) -> LiveCarrier:
        auth = self._chain.signers.relay_auth
        assert auth is not None, "a live configuration has a key for the relays"
        gate = RiskGate(self._config.risk)
        await self._remember_spending(gate)
        watcher = InclusionWatcher(
            node=rpc,
            lanes=lanes,
            gate=gate,
            journal=self._ledger,
            clock=self._clock,
            wrapped_native=self._wrapped,
            final_after_blocks=self._chain.chain.final_after_blocks,
        )
        identity = _signer(auth)
        submitter = Submitter(
            chain_id=self._chain.chain.chain_id,
            lanes=lanes,
            relays=[
                _relay(name, plugged, identity, self._clock)
                for name, plugged in self._chain.relays.items()
            ],
            journal=self._ledger,
            watcher=watcher,
            clock=self._clock,
            with_bid=with_bid,
        )
        return LiveCarrier(
            submitter=submitter,
            watcher=watcher,
            gate=gate,
            journal=self._ledger,
            clock=self._clock,
            bids=self._chain.bids,
            gas=self._chain.gas,
            strategies=self._strategies,
            least_profit_wei=self._config.risk.least_profit_wei,
            left_open=await self._ledger.open_bundles(self._name),
        )


async def _ledger(loaded: Loaded[Config], clock: Clock) -> Ledger:
    plugged = loaded.config.main.ledger
    return await Ledger.open(
        plugged.plugin(plugged.settings),
        mode=loaded.config.main.mode,
        config_hash=loaded.fingerprint,
        version=__version__,
        clock=clock,
    )


def _cycle_settings(name: str, plugged: Plugged) -> CycleSettings:
    if not isinstance(plugged.settings, CycleSettings):
        raise Misconfigured(f"strategy {name} has no bid share: its plug-in trades no cycles")
    return plugged.settings


def _strategy(name: str, plugged: Plugged) -> Strategy:
    strategy: Strategy = STRATEGIES.load(plugged.name)(_cycle_settings(name, plugged), name)
    return strategy


def _signer(plugged: Plugged) -> Signer:
    signer: Any = plugged.plugin(plugged.settings)
    assert isinstance(signer, Signer)
    return signer


def _relay(name: str, plugged: Plugged, auth: Signer, clock: Clock) -> Relay:
    relay: Any = plugged.plugin(name, plugged.settings, auth=auth, clock=clock)
    assert isinstance(relay, Relay)
    return relay
