"""The parts of a chain that its daemon and whoever looks at its market both need, as configured."""

from __future__ import annotations

import sys
from pathlib import Path

from searcher.chains.rpc import RpcClient
from searcher.chains.settings import NodeSettings
from searcher.domain.clock import Clock
from searcher.domain.folders import state_folder
from searcher.domain.ports import TokenProver
from searcher.domain.units import Address
from searcher.executor.artifact import explain_revert
from searcher.market.market import Market
from searcher.market.pieces import pieces
from searcher.market.prices import PriceBook
from searcher.market.snapshots import Snapshots
from searcher.ops.config.model import ChainSettings
from searcher.ops.progress import BootstrapProgress
from searcher.simulation.proofs import RememberedTokenProver
from searcher.simulation.simulator import Simulator, backends
from searcher.simulation.tokens import SimulatedTokenProver


def market_of(chain: ChainSettings, clock: Clock) -> Market:
    """Return a chain's market, which holds nothing yet; it shows its bootstrap to people.

    Raises:
        Misconfigured: a DEX whose settings do not fit its protocol.
    """
    return Market(
        chain.chain.name,
        wrapped_native=Address(chain.tokens[chain.chain.wrapped_native].address),
        tokens=chain.tokens,
        dexes=chain.dexes,
        discovery=chain.discovery,
        chain_id=chain.chain.chain_id,
        folder=_found(chain),
        watch=BootstrapProgress(sys.stderr, clock),
        clock=clock,
        following=chain.following,
        pieces=pieces,
    )


def prices_of(chain: ChainSettings, market: Market) -> PriceBook:
    """Return the prices of a chain's market, which has not been observed yet."""
    kept_blocks = chain.following.reorg_depth
    return PriceBook(market.memory, market.wrapped_native, chain.prices, kept_blocks=kept_blocks)


def _found(chain: ChainSettings) -> Path:
    """Return the folder of what discovery writes down."""
    return Path(chain.discovery.folder).expanduser()


def prover_of(chain: ChainSettings, simulator: Simulator, rpc: RpcClient) -> TokenProver:
    """Return what proves tokens, and remembers what it has proven."""
    return RememberedTokenProver(
        SimulatedTokenProver(simulator, rpc),
        rpc,
        chain_id=chain.chain.chain_id,
        path=_found(chain) / f"{chain.chain.name}.proofs.json",
        renew_after_blocks=chain.discovery.reprove_after_blocks,
    )


def snapshots_of(chain: ChainSettings, market: Market, clock: Clock) -> Snapshots:
    """Return the snapshots of a chain's market."""
    settings = chain.snapshots
    folder = settings.folder.expanduser() if settings.folder else state_folder() / "snapshots"
    return Snapshots(
        market,
        folder / chain.chain.name,
        settings,
        chain_id=chain.chain.chain_id,
        clock=clock,
    )


def client_of(node: NodeSettings) -> RpcClient:
    """Return a client of a node; the caller closes it."""
    return RpcClient(
        node.http_url,
        timeout_s=node.request_timeout_ms / 1000,
        max_connections=node.max_inflight,
    )


def simulator_of(chain: ChainSettings, rpc: RpcClient, clock: Clock) -> Simulator:
    """Return what executes calls on a chain's states."""
    kind = backends().load(chain.simulation.backend)
    return kind(kind.Config(), rpc=rpc, clock=clock, explain=explain_revert)
