"""The knobs of a chain and of the node that serves it."""

from __future__ import annotations

from typing import Literal

from searcher.domain.settings import AddressSetting, Settings, knob
from searcher.domain.units import ZERO_ADDRESS


class ChainRules(Settings):
    """What the daemon must know of a chain before it asks a node: the `[chain]` table."""

    name: str = knob(why="the chain's name in logs, ledger and commands", min_length=1)
    chain_id: int = knob(why="EIP-155 id; a node that serves another chain is refused", ge=1)
    network: str = knob("ethereum", why="rule set of the base fee and the next block")
    wrapped_native: str = knob(
        why="the wrapped native token, by its name in [tokens]; profit is counted in it",
        min_length=1,
    )
    block_time_ms: int = knob(12_000, why="time between blocks", unit="ms", ge=1, le=600_000)
    coinbase: AddressSetting = knob(
        ZERO_ADDRESS, why="whom simulation takes for the next block's proposer"
    )
    final_after_blocks: int = knob(
        64, why="an outcome is final with this many blocks on top", unit="blocks", ge=1, le=100_000
    )


class NodeSettings(Settings):
    """Where a chain's node listens, and how it is talked to: the `[node]` table."""

    http_url: str = knob(why="requests; http:// or https://", min_length=1)
    stream_url: str = knob(
        why="blocks and pending transactions; ws://, wss://, or the path of the node's IPC socket",
        min_length=1,
    )
    pending: Literal["full", "hashes", "off"] = knob(
        "full",
        why="pending transactions with their bodies, as hashes that are then asked for, or not",
    )
    request_timeout_ms: int = knob(
        10_000,
        why="a request without an answer is given up after this",
        unit="ms",
        ge=1,
        le=600_000,
    )
    max_inflight: int = knob(
        64, why="requests on their way at once; more wait", unit="requests", ge=1, le=4096
    )
    stale_after_ms: int = knob(
        60_000,
        why="a stream without a new block for this long is opened anew",
        unit="ms",
        ge=100,
        le=3_600_000,
    )
    head_queue: int = knob(
        64, why="blocks that may wait; when full the newest replaces them", unit="blocks", ge=1
    )
    pending_queue: int = knob(
        8192, why="pending frames that may wait; when full the oldest is lost", unit="frames", ge=1
    )
    gap_depth: int = knob(
        64,
        why="missed blocks that are fetched one by one; beyond it the market is rebuilt",
        unit="blocks",
        ge=1,
        le=10_000,
    )
