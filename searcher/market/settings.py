"""The operator's part of the market: tokens, DEXes, and how pools are looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from searcher.domain.settings import AddressSetting, Reload, Settings, knob
from searcher.domain.units import BPS
from searcher.market.budget import BudgetSettings


class TokenSettings(Settings):
    """A token that the operator names."""

    address: AddressSetting = knob(why="the token's contract")
    decimals: int = knob(
        why="how many digits its smallest unit lies behind the point", unit="digits", ge=0, le=77
    )


class DeploymentSettings(Settings):
    """Where a protocol's pools are on one chain, and what tells of them."""

    factory: AddressSetting | None = knob(
        None, why="the contract whose events, or whose list, announce pools"
    )
    vault: AddressSetting | None = knob(
        None, why="the vault that holds the tokens of its pools (Balancer)"
    )
    factories: tuple[AddressSetting, ...] = knob(
        (), why="the factories whose pools of the vault are taken (Balancer)"
    )
    first_block: int = knob(
        0, why="the block of their creation, where the search begins", unit="block", ge=0
    )
    fee_pips: int | None = knob(
        None,
        why="the fee of every pool, where the pools do not say it themselves (Uniswap V2: 3000)",
        unit="hundredths of a basis point",
        ge=0,
        lt=1_000_000,
    )
    contracts: dict[str, str] = knob(
        {},
        why="the name of the contract that an implementation's address stands for, by the address;"
        " a factory's pools of other implementations are not taken (Curve before StableSwap-NG)",
    )
    pools: tuple[dict[str, Any], ...] = knob(
        (), why="pools that no factory tells of: the identity of each (Curve's own pools)"
    )
    base_pools: tuple[dict[str, Any], ...] = knob(
        (), why="pools that metapools stand on: the identity of each (Curve)"
    )


class DexSettings(DeploymentSettings):
    """One deployment of a protocol, whose pools are followed."""

    protocol: str = knob(why="the plug-in that knows its pools, such as uniswap_v2", min_length=1)


class ProtocolSettings(Settings):
    """Where one protocol is deployed: a file of `protocols/`, called after the plug-in."""

    dexes: dict[str, dict[str, DeploymentSettings]] = knob(
        why="its DEXes, by chain and by name", min_length=1
    )


class DiscoverySettings(Settings):
    """How pools are looked for and read."""

    only_configured_tokens: bool = knob(
        True, why="follow only pools of tokens that are named in this file"
    )
    tokens_allowed: tuple[str, ...] = knob(
        (), why="follow only pools of these tokens too, by name or address; none for any"
    )
    tokens_denied: tuple[str, ...] = knob(
        (), why="follow no pool of these tokens, by name or address"
    )
    least_liquidity_native: float = knob(
        0.0,
        why="pools that hold less are counted and not searched",
        unit="native coins",
        ge=0,
        le=1_000_000,
        reload=Reload.HOT,
    )
    log_range_blocks: int = knob(
        50_000,
        why="how many blocks one eth_getLogs asks for; halved when the node finds it too many",
        unit="blocks",
        ge=1,
        le=10_000_000,
    )
    batch_calls: int = knob(
        400, why="how many eth_call go into one request", unit="calls", ge=1, le=10_000
    )
    folder: str = knob(
        "~/.cache/searcher/discovery",
        why="where what was found is written down, for a start that goes on where the last one was",
        min_length=1,
    )
    reprove_after_blocks: int = knob(
        50_000,
        why="a token is proven again when its last proof is older",
        unit="blocks",
        ge=1,
        le=100_000_000,
        reload=Reload.HOT,
    )
    budget: BudgetSettings = knob(BudgetSettings(), why="what reading the market may cost")
    most_pools: int = knob(
        20_000,
        why="pools beyond this number, the deepest first, are counted and not searched",
        unit="pools",
        ge=1,
        le=1_000_000,
    )
    rescan_blocks: int = knob(
        256,
        why="how far behind the last block a rebuild looks for pools again",
        unit="blocks",
        ge=1,
        le=1_000_000,
        reload=Reload.HOT,
    )


class FollowingSettings(Settings):
    """How far back the market can be taken, and what is read of it for each block."""

    reorg_depth: int = knob(
        64,
        why="blocks that a reorganisation may replace without reading every state anew",
        unit="blocks",
        ge=1,
        le=4096,
    )
    volatile_pools: int = knob(
        512,
        why="pools a block whose moving values (fees, rates) are read; the others are not searched",
        unit="pools",
        ge=0,
        le=100_000,
        reload=Reload.HOT,
    )


class SnapshotSettings(Settings):
    """When the market is put down on the disk, so that a restart takes seconds."""

    folder: Path | None = knob(
        None, why="where snapshots lie, by chain; left out, among the state files of the user"
    )
    every_minutes: int = knob(
        30, why="time between two snapshots; 0: not by time", unit="minutes", ge=0, le=10_080
    )
    every_blocks: int = knob(
        0, why="blocks between two snapshots; 0: not by blocks", unit="blocks", ge=0
    )
    on_stop: bool = knob(True, why="write one when the daemon is asked to stop")
    most_blocks_behind: int = knob(
        7_200,
        why="an older snapshot is refused: every block since is applied before the first trade",
        unit="blocks",
        ge=1,
        le=1_000_000,
    )


class TripwireSettings(Settings):
    """How much of the market is read again from the node at each block, to catch drift."""

    pools: int = knob(
        8, why="pools that are read again at each block; 0: none", unit="pools", ge=0, le=1_000
    )
    calls: int = knob(
        1_024, why="what the reads of one block may ask of the node", unit="calls", ge=1, le=100_000
    )
    budget_ms: int = knob(
        5_000, why="reads that take longer are given up and counted", unit="ms", ge=10, le=600_000
    )
    window_blocks: int = knob(
        64,
        why="how far back the cause of a difference is looked for in the node's logs",
        unit="blocks",
        ge=1,
        le=10_000,
    )
    node_faults: int = knob(
        3,
        why="the chain stops when its node answers for another block so often in a row",
        unit="faults",
        ge=1,
        le=1_000,
    )


class PriceSettings(Settings):
    """How tokens are valued in the native token."""

    window_s: int = knob(
        1_800,
        why="how fast the average of a price forgets: a change has counted for 63 % after this",
        unit="seconds",
        ge=1,
        le=1_000_000,
        reload=Reload.HOT,
    )
    most_deviation_bps: int = knob(
        500,
        why="how far a price may lie from its average and still be trusted",
        unit="bps",
        ge=1,
        le=BPS,
        reload=Reload.HOT,
    )
    reorder_blocks: int = knob(
        64,
        why="how often the pools that tell a token's price are chosen anew",
        unit="blocks",
        ge=1,
        le=100_000,
    )
