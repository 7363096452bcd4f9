"""The parts of a chain that its daemon and whoever looks at its market both need, as configured."""

from __future__ import annotations

from searcher.chains.rpc import RpcClient
from searcher.chains.settings import NodeSettings
from searcher.domain.clock import Clock
from searcher.domain.folders import state_folder
from searcher.domain.units import Address
from searcher.executor.artifact import explain_revert
from searcher.market.market import Market
from searcher.market.pieces import pieces
from searcher.market.snapshots import Snapshots
from searcher.ops.config.model import ChainSettings
from searcher.simulation.simulator import Simulator, backends


def market_of(chain: ChainSettings) -> Market:
    """Return a chain's market, which holds nothing yet.

    Raises:
        Misconfigured: a DEX whose settings do not fit its protocol.
    """
    return Market(
        chain.chain.name,
        wrapped_native=Address(chain.tokens[chain.chain.wrapped_native].address),
        tokens=chain.tokens,
        dexes=chain.dexes,
        discovery=chain.discovery,
        following=chain.following,
        pieces=pieces,
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
