"""How much memory a market takes, and how long a log does: `measure()` for the market's figures.

100,000 pools: 70,000 pairs, 28,000 concentrated pools of 40 ticks on average, 2,000 whose states
are structs drawn in pieces. Blocks have 500 logs on 200 of the pairs and concentrated pools, nine
of ten Sync and Swap, the others Mint and Burn. Pools are put in as a bootstrap does; the blocks
are valid ones, so that every log is applied. Blocks are applied twice: each when it was just made,
with Python's caches full of other things, and after a reorganisation one behind the other.
Times are the thread's own, and stand beside what a fixed piece of work takes at that moment.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import time
from math import isqrt
from pathlib import Path
from statistics import median

import structlog
from msgspec.structs import replace

from searcher.domain.events import BlockApplied, BlockHeader, BlockRef, Log
from searcher.domain.units import ZERO_ADDRESS, Address
from searcher.kernels._jit import load_all
from searcher.kernels.memory import CONCENTRATED as CONCENTRATED_KIND
from searcher.kernels.memory import COUNT, KIND
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.checkpoint import FoundPool
from searcher.market.concentrated_pools import BURN, MINT, ConcentratedPoolState
from searcher.market.market import Market
from searcher.market.protocols.uniswap_v2 import SYNC, UniswapV2State
from searcher.market.protocols.uniswap_v3 import SWAP
from searcher.market.settings import DexSettings, DiscoverySettings
from searcher.market.ticks import Tick, TickTable
from tests.unit.market.branches import BasketState, Known, basket_pieces
from tests.unit.market.histories import OWNER, data, topics
from tests.unit.market.world import address

PAIRS, CONCENTRATED, OTHERS = 70_000, 28_000, 2_000
TOKENS = 20_000
BLOCKS, LOGS, CHANGED = 200, 500, 200
SPACING = 60


def measure(
    pairs: int = PAIRS, concentrated: int = CONCENTRATED, others: int = OTHERS
) -> dict[str, object]:
    """Fill a market, feed it blocks and take them back; return the figures by name."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rng = random.Random(1)
    load_all()
    before = _resident()
    market = _market(pairs + concentrated + others)
    began = time.perf_counter()
    _fill(market, rng, pairs, concentrated, others)
    gc.collect()
    filled_s = time.perf_counter() - began
    after = _resident()
    logs = Logs(market, rng, pairs, concentrated)
    blocks: list[BlockApplied] = []
    cold_ns = []
    for _ in range(BLOCKS):
        blocks.append(_block(market.head, logs.block()))
        cold_ns.append(_applied_ns(market, blocks[-1]))
    assert not market.statistics().malformed
    assert market.statistics().logs == BLOCKS * LOGS
    final = _resident()
    journal = market._journal.statistics()
    start = time.thread_time_ns()
    market.unwind(market._journal.parents()[0])
    unwound_ns = time.thread_time_ns() - start
    hot_ns = [_applied_ns(market, block) for block in blocks[-journal.blocks :]]
    count = len(market.pools)
    concentrated_rows = market.memory.shape[:, KIND] == CONCENTRATED_KIND
    return {
        "pools": count,
        "ticks": int(market.memory.shape[concentrated_rows, COUNT].sum()),
        "resident_mb": round(final / 1e6, 1),
        "market_mb": round((final - before) / 1e6, 1),
        "bytes_per_pool": round((after - before) / count),
        "fill_s": round(filled_s, 2),
        "us_per_log": round(median(hot_ns) / 1000, 3),
        "us_per_log_best": round(min(hot_ns) / 1000, 3),
        "us_per_log_cold": round(median(cold_ns) / 1000, 3),
        "us_per_log_cold_p99": round(sorted(cold_ns)[int(0.99 * BLOCKS)] / 1000, 3),
        "python_isqrt_of_224_bits_ns": round(_isqrt_ns()),
        "journal_blocks": journal.blocks,
        "journal_mb": round(journal.undo_bytes / 1e6, 2),
        "unwind_us_per_block": round(unwound_ns / 1000 / journal.blocks, 1),
    }


def _applied_ns(market: Market, block: BlockApplied) -> float:
    """Apply a block; return the processor's time for each of its logs."""
    start = time.thread_time_ns()
    market.apply(block)
    return (time.thread_time_ns() - start) / LOGS


def _isqrt_ns() -> float:
    """Return what a fixed piece of work takes: how fast this machine is at this moment."""
    number = (1 << 224) - 12345
    took = []
    for _ in range(200):
        start = time.thread_time_ns()
        for _ in range(1000):
            isqrt(number)
        took.append((time.thread_time_ns() - start) / 1000)
    return median(took)


class Logs:
    """Blocks of valid logs; remembers what its own Mints have added."""

    def __init__(self, market: Market, rng: random.Random, pairs: int, concentrated: int) -> None:
        self._rng = rng
        self._market = market
        self._pairs = range(pairs)
        self._concentrated = range(pairs, pairs + concentrated)
        self._minted: dict[int, list[tuple[int, int]]] = {}

    def block(self) -> list[Log]:
        rng, market = self._rng, self._market
        third = CHANGED * len(self._concentrated) // (len(self._pairs) + len(self._concentrated))
        numbers = rng.sample(self._pairs, CHANGED - third) + rng.sample(self._concentrated, third)
        states = {n: market.state(n) for n in numbers}
        logs = []
        positions = rng.sample(range(LOGS), LOGS // 10)
        of_ticks = [n for n in numbers if n in self._concentrated]
        for place in range(LOGS):
            number = rng.choice(of_ticks if place in positions else numbers)
            state = states[number]
            if place in positions:
                log = self._position(number)
            elif isinstance(state, UniswapV2State):
                log = Log(
                    market.pools[number].address, (SYNC,), data(rng.getrandbits(90) | 1, 10**20)
                )
            else:
                log = self._swap(number, state)
            logs.append(log)
            states[number] = _after(market, number, state, log)
        return logs

    def _position(self, number: int) -> Log:
        where = self._market.pools[number].address
        minted = self._minted.setdefault(number, [])
        if minted and self._rng.random() < 0.5:
            lower, upper = minted.pop()
            return Log(where, topics(BURN, OWNER, lower, upper), data(10**18, 1, 1))
        lower, upper = sorted(self._rng.sample(range(-40, 41), 2))
        minted.append((lower * SPACING, upper * SPACING))
        return Log(where, topics(MINT, OWNER, *minted[-1]), data(OWNER, 10**18, 1, 1))

    def _swap(self, number: int, state: ConcentratedPoolState) -> Log:
        tick = state.tick + self._rng.randrange(-90, 91)
        tick = max(-900, min(900, tick))
        price, liquidity = sqrt_at_tick(tick), state.table.depth_at(tick)
        where = self._market.pools[number].address
        return Log(where, topics(SWAP, OWNER, OWNER), data(1, -1, price, liquidity, tick))


def _after(market: Market, number: int, state: object, log: Log) -> object:
    return market.protocol_of(number).apply(state, log)


def _market(pools: int) -> Market:
    dexes = {
        "v2": DexSettings(protocol="uniswap_v2", factory=address(0xF2), fee_pips=3000),
        "v3": DexSettings(protocol="uniswap_v3", factory=address(0xF3)),
        "other": DexSettings(protocol="basket", factory=address(0xFB)),
    }
    return Market(
        "bench",
        wrapped_native=address(0xA0),
        tokens={},
        dexes=dexes,
        discovery=DiscoverySettings(only_configured_tokens=False, most_pools=pools),
        protocols=Known(),
        pieces=basket_pieces,
    )


def _fill(market: Market, rng: random.Random, pairs: int, concentrated: int, others: int) -> None:
    tokens = [_random_address(rng) for _ in range(TOKENS)]
    for n in range(pairs + concentrated + others):
        where = _random_address(rng)
        several = tuple(sorted(rng.sample(tokens, 3 if n >= pairs + concentrated else 2)))
        if n < pairs:
            state = UniswapV2State(*several, rng.getrandbits(90) | 1, rng.getrandbits(90) | 1)
            said = ("v2", 3000, 0)
        elif n < pairs + concentrated:
            state = _concentrated(rng, several, where)
            said = ("v3", 3000, SPACING)
        else:
            state = BasketState(several, (20, 21, 22), 1, 1, where)
            said = ("other", 0, 0)
        dex, fee, spacing = said
        found = FoundPool(dex, where, where, several, fee, spacing, "")
        number = market._intake.add(found, several)
        market._intake.take_state(number, state)
    for token in tokens:
        market._standing.judge(token, "")
    market.head = BlockRef(1, "0x" + "01" * 32)
    market.unwind(market.head)


def _concentrated(
    rng: random.Random, tokens: tuple[Address, ...], where: Address
) -> ConcentratedPoolState:
    """A pool of 40 ticks on average: most have few, some hundreds."""
    positions = max(1, min(int(rng.paretovariate(1.1) * 6), 700))
    nets: dict[int, list[int]] = {-1200: [10**20, 10**20], 1200: [-(10**20), 10**20]}
    for _ in range(positions):
        reach = rng.choice((20, 60, 800))
        lower, upper = sorted(rng.sample(range(-reach, reach + 1), 2))
        size = rng.randrange(10**15, 10**21)
        for tick, net in ((lower * SPACING, size), (upper * SPACING, -size)):
            held = nets.setdefault(tick, [0, 0])
            held[0] += net
            held[1] += size
    table = TickTable(Tick(tick, *nets[tick]) for tick in sorted(nets))
    return ConcentratedPoolState(
        token0=tokens[0],
        token1=tokens[1],
        fee=3000,
        tick_spacing=SPACING,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=table.depth_at(0),
        ticks=table,
        pool=where,
    )


def _block(parent: BlockRef, logs: list[Log]) -> BlockApplied:
    number = parent.number + 1
    header = BlockHeader(number, f"0x{number:064x}", parent.hash, number, 1, 10**7, 0, ZERO_ADDRESS)
    ordered = tuple(replace(log, log_index=i) for i, log in enumerate(logs))
    return BlockApplied("bench", header, ordered, 1, 2)


def _random_address(rng: random.Random) -> Address:
    return Address(f"0x{rng.getrandbits(160):040x}")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
