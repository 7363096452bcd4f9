"""The operator's part of the market: tokens, DEXes, and how pools are looked for."""

from __future__ import annotations

from pathlib import Path

from searcher.domain.settings import AddressSetting, Reload, Settings, knob


class TokenSettings(Settings):
    """A token that the operator names."""

    address: AddressSetting = knob(why="the token's contract")
    decimals: int = knob(
        why="how many digits its smallest unit lies behind the point", unit="digits", ge=0, le=77
    )


class DexSettings(Settings):
    """One deployment of a protocol: a factory whose pools are followed."""

    protocol: str = knob(why="the plug-in that knows its pools, such as uniswap_v2", min_length=1)
    factory: AddressSetting = knob(why="the contract whose events announce new pools")
    first_block: int = knob(
        0, why="the block of the factory's creation, where the search begins", unit="block", ge=0
    )
    fee_pips: int | None = knob(
        None,
        why="the fee of every pool, where the pools do not say it themselves (Uniswap V2: 3000)",
        unit="hundredths of a basis point",
        ge=0,
        lt=1_000_000,
    )


class DiscoverySettings(Settings):
    """How pools are looked for and read."""

    only_configured_tokens: bool = knob(
        True, why="follow only pools whose two tokens are both named in this file"
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
    most_pools: int = knob(
        20_000,
        why="pools beyond this number are counted and not followed",
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
