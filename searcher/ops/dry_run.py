"""The dry-run: the daemon on a fork of somebody's node, block by block, with plans really mined.

Nothing is sent to the node: everything here, Anvil included, reads through a gate.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from searcher.chains.anvil import find_anvil
from searcher.chains.network import networks
from searcher.chains.quantity import quantity
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.domain.clock import Clock, SystemClock
from searcher.domain.errors import ExitStatus, Misconfigured, NotReady, Retryable
from searcher.domain.events import BlockHeader
from searcher.domain.units import Address, Hash32
from searcher.executor.deployment import deploy
from searcher.opportunities.settings import CycleSettings
from searcher.ops.config.loader import Loaded
from searcher.ops.config.model import ChainSettings, Config
from searcher.ops.daemon import assemble
from searcher.ops.demo_report import native
from searcher.ops.dry_run_config import choose_chain, load_for_fork, with_executor
from searcher.ops.dry_run_report import Report, report_of
from searcher.ops.fork import Fork
from searcher.ops.fork_carrier import ForkCarrier
from searcher.ops.fork_source import ForkedBlocks, ForkedNode, KnownNext, Span
from searcher.ops.owner import OwnerSender
from searcher.ops.pipeline import Sources
from searcher.ops.process import listening, run_until
from searcher.ops.read_only import ReadOnlyGate
from searcher.submission.signer import LocalSigner

_log = structlog.get_logger(__name__)

_FIRST_REQUEST_TIMEOUT_S: Final = 15.0

Tell = Callable[[str], None]
"""Says a line of progress to the user."""


class DryRunRequest(Struct, frozen=True):
    """What is tried, and on which blocks.

    `first` and `last` None follow the head until the user stops it. `config` is a folder or a main
    file, `strategies` are files or names in the configuration, `flags` are `KEY=VALUE`.
    """

    fork_url: str
    first: int | None = None
    last: int | None = None
    config: str | None = None
    chain: str | None = None
    strategies: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


async def run_dry_run(request: DryRunRequest, tell: Tell) -> tuple[Report, ExitStatus]:
    """Run it; returns what was found and the status that the process should end with.

    Following the head has no other end than a signal, so that is success; a span that a signal cuts
    short is not.

    Raises:
        NodeUnreachable: no node answers at the address.
        NotReady: Anvil is missing, or the node does not keep the state of the first block.
        Misconfigured: the node's chain or the configuration does not fit.
    """
    find_anvil()
    async with RpcClient(request.fork_url, timeout_s=_FIRST_REQUEST_TIMEOUT_S) as node:
        served = await _chain_id(node)
        chain = choose_chain(request.config, served, request.chain)
        span = await _span(node, request)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="searcher-dry-run-"))
        loaded = load_for_fork(
            request.config,
            chain=chain,
            fork_url=request.fork_url,
            strategies=request.strategies,
            flags=request.flags,
            ledger=Path(folder) / "ledger.sqlite",
        )
        configured = loaded.config.chains[chain].chain.chain_id
        if configured != served:
            raise Misconfigured(
                f"the node at {node.name} serves chain {served}, but {chain} is chain {configured}:"
                " choose another --chain, or leave it out"
            )
        gate = await stack.enter_async_context(ReadOnlyGate(request.fork_url))
        tell(f"Forking {chain} at block {span.first} …")
        fork = await stack.enter_async_context(Fork(gate.url, span.first))
        operator = LocalSigner(secrets.token_bytes(32))
        executor = await _install(fork, loaded.config.chains[chain], operator.address, clock)
        run = _Run(
            with_executor(loaded, chain, executor),
            node=ForkedNode(
                gate.url,
                fork,
                name=node.name,
                timeout_s=loaded.config.chains[chain].node.request_timeout_ms / 1000,
            ),
            fork=fork,
            operator=operator,
            span=span,
            clock=clock,
            tell=tell,
        )
        return await run.go()
    raise AssertionError("an exit stack swallows nothing")


class _Run:
    """One dry-run, from the installed executor to the report."""

    def __init__(
        self,
        loaded: Loaded[Config],
        *,
        node: ForkedNode,
        fork: Fork,
        operator: LocalSigner,
        span: Span,
        clock: Clock,
        tell: Tell,
    ) -> None:
        ((self._name, self._chain),) = loaded.config.chains.items()
        self._loaded = loaded
        self._node = node
        self._fork = fork
        self._span = span
        self._clock = clock
        self._tell = tell
        self._carrier = self._make_carrier(operator)

    async def go(self) -> tuple[Report, ExitStatus]:
        async with self._node as node:
            network = KnownNext(networks().load(self._chain.chain.network)())
            blocks = self._blocks(network)
            following = self._span.last is None
            sources = Sources(
                rpc=node,
                blocks=blocks,
                pending=blocks.pending(),
                network=network,
                run=(blocks.follow,) if following else (),
            )
            daemon = await assemble(
                self._loaded,
                self._clock,
                {self._name: sources},
                carriers={self._name: self._carrier},
            )
            async with daemon:
                self._carrier.record_to(daemon.ledger)
                blocks.wait_for(daemon.pipelines[self._name].idle)
                with listening() as asked:
                    status = await run_until(daemon.run(), asked)
                report = await report_of(
                    daemon.ledger.reader,
                    self._chain,
                    daemon.pipelines[self._name].statistics(),
                    blocks.statistics(),
                )
        return report, ExitStatus.OK if following else status

    def _blocks(self, network: KnownNext) -> ForkedBlocks:
        rules = self._chain.chain
        return ForkedBlocks(
            chain=self._name,
            chain_id=rules.chain_id,
            rpc=self._node,
            fork=self._fork,
            network=network,
            span=self._span,
            clock=self._clock,
            block_time_ms=rules.block_time_ms,
            gap_depth=self._chain.node.gap_depth,
            on_block=self._say_where,
        )

    def _make_carrier(self, operator: LocalSigner) -> ForkCarrier:
        config = self._loaded.config
        plugged = {name: each.settings for name, each in config.strategies.items()}
        return ForkCarrier(
            fork=self._fork,
            signer=operator,
            chain_id=self._chain.chain.chain_id,
            wrapped_native=_wrapped_native(self._chain),
            clock=self._clock,
            bids=self._chain.bids,
            gas=self._chain.gas,
            strategies={
                name: settings
                for name, settings in plugged.items()
                if isinstance(settings, CycleSettings)
            },
            least_profit_wei=config.risk.least_profit_wei,
        )

    def _say_where(self, header: BlockHeader) -> None:
        so_far = self._carrier.statistics()
        of = "" if self._span.last is None else f" of {self._span.last}"
        self._tell(
            f"block {header.number}{of}; so far {so_far.landed} plans earned "
            f"{native(so_far.earned_wei)}"
        )


async def _chain_id(node: RpcClient) -> int:
    answer = await node.call("eth_chainId")
    try:
        return quantity(answer)
    except ValueError as error:
        raise Retryable(f"the node at {node.name} names no chain: {error}") from error


async def _span(node: RpcClient, request: DryRunRequest) -> Span:
    """Return the blocks to try, which the node must have, with the state of the first."""
    head = quantity(await node.call("eth_blockNumber"), bits=63)
    first = head if request.first is None else request.first
    last = None if request.first is None else request.last or first
    if (last or first) > head:
        raise Misconfigured(
            f"the node at {node.name} is at block {head}: ask for block {head} or an earlier one"
        )
    try:
        await node.call("eth_getBalance", ["0x" + "00" * 20, hex(first)])
    except RpcFault as fault:
        raise NotReady(
            f"the node at {node.name} does not keep the state of block {first} ({fault.message}): "
            "use an archive node, or a block near the head"
        ) from fault
    return Span(first, last)


async def _install(fork: Fork, chain: ChainSettings, operator: Address, clock: Clock) -> Address:
    """Deploy the executor on the fork as its owner would, and keep it over resets."""
    owner = LocalSigner(secrets.token_bytes(32))
    await fork.fund(owner.address)
    await fork.fund(operator)
    sender = OwnerSender(fork.rpc, owner, chain.chain.chain_id)
    mined: list[Hash32] = []

    async def send(to: Address | None, data: bytes) -> Hash32:
        mined.append(await fork.mine(await sender.sign(to, data)))
        return mined[-1]

    executor = await deploy(
        fork.rpc,
        send,
        owner=owner.address,
        wrapped_native=_wrapped_native(chain),
        operators=[operator],
        clock=clock,
    )
    await fork.capture(mined, executor)
    return executor


def _wrapped_native(chain: ChainSettings) -> Address:
    return Address(chain.tokens[chain.chain.wrapped_native].address)
