"""A market of 100,000 pools put down while its loop runs, and taken up by another process.

`python -m tests.bench.market_snapshot` prints the figures by themselves. Each half is measured in a
process of its own, so that resident bytes are those of one market.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import structlog
from msgspec.structs import replace

from searcher.chains.blocks import parse_header
from searcher.domain.clock import SystemClock
from searcher.domain.events import BlockRef
from searcher.domain.registry import Registry
from searcher.domain.units import Address, Hash32
from searcher.kernels.memory import PIECEWISE
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.market import Market
from searcher.market.protocol import PROTOCOLS, FollowedProtocol, Pool, Protocol
from searcher.market.protocols.uniswap_v2 import UniswapV2State
from searcher.market.protocols.uniswap_v4 import UniswapV4State
from searcher.market.settings import DexSettings, DiscoverySettings, SnapshotSettings
from searcher.market.snapshots import Snapshots
from searcher.market.ticks import Tick, TickTable

ROOT: Final = Path(__file__).parents[2]
PAIRS: Final = 70_000
CONCENTRATED: Final = 28_000
OTHERS: Final = 2_000
TOKENS: Final = 20_000
TICKS: Final = 40
"""Of a concentrated pool on average."""
PIECES: Final = 24
CHAIN_ID: Final = 1
BLOCK: Final = {
    "number": "0x1312d00",
    "hash": "0x" + "ab" * 32,
    "parentHash": "0x" + "aa" * 32,
    "timestamp": "0x66000000",
    "baseFeePerGas": "0x1",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x0",
    "miner": "0x" + "00" * 20,
}
DEXES: Final = {
    "pairs": DexSettings(protocol="uniswap_v2", factory="0x" + "f2" * 20, fee_pips=3000),
    "concentrated": DexSettings(protocol="uniswap_v3", factory="0x" + "f3" * 20),
    "others": DexSettings(protocol="uniswap_v4", factory="0x" + "f4" * 20),
}


class StructPools(PROTOCOLS.load("uniswap_v4"), FollowedProtocol):  # type: ignore[misc]
    """Uniswap V4's pools, their states structs, drawn in pieces."""

    kind = PIECEWISE
    hot = MappingProxyType({})
    created_topics = frozenset({"0x" + "44" * 32})
    volatile = frozenset()

    def check(self, name, dex):
        pass

    def announced(self, name, dex, log):
        raise NotImplementedError

    def identity(self, pool):
        raise NotImplementedError

    def new(self, pool):  # noqa: ARG002  all are given their states
        return None

    def tokens_of(self, state):
        return (state.currency0, state.currency1)

    def swap_gas(self, quote):
        return 100_000 + quote.crossings

    def funded(self, state):
        return bool(state.liquidity)


class Structs(Registry):  # type: ignore[type-arg]
    """The protocols, one of them drawn in pieces."""

    def load(self, name: str) -> Any:
        return StructPools if name == "uniswap_v4" else super().load(name)


class Node:
    """Knows one block."""

    async def call(self, _method: str, params: Any = ()) -> Any:
        return BLOCK if params[0] == BLOCK["number"] else None

    async def batch_settled(self, calls: Any) -> list[Any]:
        return [await self.call(*call) for call in calls]


def empty() -> Market:
    return Market(
        "bench",
        wrapped_native=token(0),
        tokens={},
        dexes=DEXES,
        discovery=DiscoverySettings(only_configured_tokens=False, most_pools=120_000),
        protocols=Structs("searcher.market.protocols", Protocol),
        pieces=lambda *_: np.ones((PIECES, 4)),
    )


def token(number: int) -> Address:
    return Address(f"0x{number + 0xA000_0000_0000:040x}")


def ticks_of(draw: random.Random, spacing: int) -> TickTable:
    """Return positions around tick 0, about `TICKS` ticks of them on average."""
    places = sorted(draw.sample(range(-600, 600), 2 * draw.randrange(4, 2 * (TICKS // 2) - 3)))
    lower, upper = places[: len(places) // 2], places[len(places) // 2 :]
    nets = {place: draw.randrange(10**15, 10**22) for place in lower}
    amounts = list(nets.values())
    return TickTable(
        [Tick(spacing * place, net, net) for place, net in nets.items()]
        + [
            Tick(spacing * place, -amount, amount)
            for place, amount in zip(upper, amounts, strict=True)
        ]
    )


def full(draw: random.Random) -> Market:
    """Return a market of 100,000 pools, all of them searched."""
    market = empty()
    market._decimals.update({token(n): 18 for n in range(TOKENS)})
    market._standing.sound.update(map(token, range(TOKENS)))
    tables = [(ticks_of(draw, 60), draw.randrange(-50, 50)) for _ in range(256)]
    for number in range(PAIRS + CONCENTRATED + OTHERS):
        dex = "pairs" if number < PAIRS else "concentrated"
        dex = "others" if number >= PAIRS + CONCENTRATED else dex
        add(market, dex, number, draw, tables[number % 256])
    header = parse_header(BLOCK)
    market.head = header.ref
    for row in range(len(market.rows)):
        market._standing.stand(row)
    return market


def add(
    market: Market, dex: str, number: int, draw: random.Random, curve: tuple[TickTable, int]
) -> None:
    ticks, tick = curve
    pair = tuple(map(token, sorted(draw.sample(range(TOKENS), 2))))
    address = Address(f"0x{number + 0xB000_0000_0000:040x}")
    protocol = market._protocol_of[DEXES[dex].protocol]
    name = f"{address}/0x{number:064x}" if dex == "others" else address
    pool = Pool(name, address, DEXES[dex].protocol, dex, pair, 3000, 0 if dex == "pairs" else 60)
    family = market._routes.family(pool.protocol)
    added = market._pools.add(pool, protocol, family)
    at = {"sqrt_price_x96": sqrt_at_tick(tick), "tick": tick, "liquidity": ticks.depth_at(tick)}
    if dex == "pairs":
        reserves = draw.randrange(10**15, 10**24), draw.randrange(10**15, 10**24)
        state: Any = UniswapV2State(*pair, *reserves, 3000)
    elif dex == "concentrated":
        state = replace(protocol.new(pool), ticks=ticks, **at)
    else:
        state = UniswapV4State(
            currency0=pair[0], currency1=pair[1], fee=3000, tick_spacing=60, ticks=ticks, **at
        )
    market._states.put(added, state)


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


async def put_down(folder: Path) -> dict[str, object]:
    before = resident_mb()
    market = full(random.Random(1))
    held = resident_mb()
    writer = snapshots(market, folder)
    seconds, steps, waits, idle = [], Gaps(), Gaps(), Gaps()
    gc.freeze()  # as a daemon does once its market is there
    for _ in range(3):
        begun = time.perf_counter()
        writing = asyncio.create_task(writer.write())
        await turns(writing, steps, waits)
        path = await writing
        assert path is not None
        seconds.append(time.perf_counter() - begun)
        await turns(asyncio.create_task(asyncio.sleep(seconds[-1])), Gaps(), idle)
    return {
        "pools": len(market.pools),
        "rows": market.memory.rows,
        "ticks": int(market.memory.tick_slots.used),
        "resident_mb_of_the_program": before,
        "resident_mb": held,
        "resident_mb_after_writing": resident_mb(),
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "write_s": round(min(seconds), 3),
        "loop_step_ms": steps.figures(),
        "loop_wait_ms": waits.figures(),
        "loop_wait_ms_without_writing": idle.figures(),
    }


class Gaps:
    """Milliseconds between two turns of a loop, those above a tenth of one."""

    def __init__(self) -> None:
        self._gaps: list[float] = []

    def add(self, gap_ns: int) -> None:
        if gap_ns > 100_000:
            self._gaps.append(gap_ns / 1e6)

    def figures(self) -> dict[str, float]:
        gaps = sorted(self._gaps) or [0.0]
        places = {"median": len(gaps) // 2, "p99": int(0.99 * len(gaps)), "most": len(gaps) - 1}
        return {name: round(gaps[place], 3) for name, place in places.items()}


async def turns(work: asyncio.Task[Any], steps: Gaps, waits: Gaps) -> None:
    """Take every turn of the loop, and note what others did between two of them.

    `steps` counts the processor's time of this thread alone: what other processes of the machine
    take away from it is in `waits`.
    """
    used, at = time.thread_time_ns(), time.perf_counter_ns()
    while not work.done():
        await asyncio.sleep(0)
        used_now, now = time.thread_time_ns(), time.perf_counter_ns()
        steps.add(used_now - used)
        waits.add(now - at)
        used, at = used_now, now


async def take_up(folder: Path) -> dict[str, object]:
    before = resident_mb()
    begun, used = time.perf_counter(), time.process_time()
    market = empty()
    header = await snapshots(market, folder).restore(Node(), parse_header(BLOCK))
    seconds, processor_s = time.perf_counter() - begun, time.process_time() - used
    assert header is not None
    assert market.head == BlockRef(int(BLOCK["number"], 16), Hash32(BLOCK["hash"]))
    assert len(market.pools) == PAIRS + CONCENTRATED + OTHERS
    begun = time.perf_counter()
    assert len(market.whole().entered) == market.memory.rows
    return {
        "warm_start_s": round(seconds, 3),
        "warm_start_processor_s": round(processor_s, 3),
        "whole_delta_s": round(time.perf_counter() - begun, 3),
        "resident_mb_of_the_program": before,
        "resident_mb_warm": resident_mb(),
    }


def snapshots(market: Market, folder: Path) -> Snapshots:
    return Snapshots(market, folder, SnapshotSettings(), chain_id=CHAIN_ID, clock=SystemClock())


def measure() -> dict[str, object]:
    """Return resident megabytes, seconds of writing and beginning, and the loop's pauses."""
    with tempfile.TemporaryDirectory() as folder:
        return {**_half("put_down", folder), **_half("take_up", folder)}


def _half(name: str, folder: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.market_snapshot", name, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, object] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if len(sys.argv) > 1:
        half = {"put_down": put_down, "take_up": take_up}[sys.argv[1]]
        figures = asyncio.run(half(Path(sys.argv[2])))
    else:
        figures = measure()
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
