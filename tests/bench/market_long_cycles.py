"""Long cycles over a universe of 45,000 pools, and what drawing and sizing other curves takes."""

from __future__ import annotations

import random
import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

from searcher.domain.units import Address
from searcher.kernels.hops import write_image
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.memory import MarketMemory
from searcher.market.pieces import pieces
from searcher.market.ticks import Tick, TickTable
from searcher.opportunities.long_cycles import LongCycles, Start
from searcher.opportunities.numeric_sizing import refine
from tests.unit.opportunities.mixed_pools import (
    BLOCK,
    DECIMALS,
    OTHER_KINDS,
    TOKENS,
    log_rate,
    protocol,
    random_cycle,
    random_pool,
)

POOLS = 45_000
TOKENS_OF_UNIVERSE = 20_000
SIZES = (1e17, 1e18, 1e19, 1e20)
GAS = 100_000
GAS_PRICE = 1e9
FEES = {100: 1, 500: 10, 3000: 60, 10_000: 200}


def measure() -> dict[str, object]:
    """Return medians and 99th percentiles; about a minute."""
    figures: dict[str, object] = {}
    for name, spread in (("consistent", 0.0), ("stale by 0.4 %", 0.004), ("stale by 2 %", 0.02)):
        figures[f"long cycles, prices {name}"] = _long_cycles(*universe(spread))
    figures["pieces, us a direction"] = {name: _drawing(name) for name in OTHER_KINDS}
    figures["refine"] = _sizing()
    return figures


def universe(spread: float, seed: int = 1) -> tuple[MarketMemory, NDArray[np.int64]]:
    """Return a market of V2 and V3 pools nine to one and their pairs of token numbers.

    Tokens trade by a power law, so that a few are hubs; all have 18 decimals.

    Args:
        spread: how far a pool's price lies from its tokens', as a standard deviation.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    memory = MarketMemory(POOLS)
    weights = 1.0 / np.arange(1, TOKENS_OF_UNIVERSE + 1) ** 1.1
    weights /= weights.sum()
    prices = 10.0 ** rng.uniform(-3, 3, TOKENS_OF_UNIVERSE)
    pairs = np.sort(rng.choice(TOKENS_OF_UNIVERSE, (POOLS, 2), p=weights), axis=1)
    pairs[pairs[:, 0] == pairs[:, 1], 1] += 1
    values = 10.0 ** rng.normal(4.5, 1.0, POOLS) * 1e18
    tilts = np.exp(rng.normal(0.0, spread, POOLS)) if spread else np.ones(POOLS)
    for k in range(POOLS):
        row = memory.add()
        memory.set_gas(row, GAS)
        memory.set_alive(row, alive=True)
        price = prices[pairs[k, 0]] / prices[pairs[k, 1]] * tilts[k]
        if k % 10:
            reserve = values[k] / prices[pairs[k, 0]]
            memory.write_product(row, int(reserve), int(reserve * price), 3000)
        else:
            _concentrated(memory, row, price, values[k], rng)
        write_image(memory.table, row)
    return memory, pairs


def _concentrated(
    memory: MarketMemory, row: int, price: float, size: float, rng: np.random.Generator
) -> None:
    """Write a pool of some positions around its price."""
    fee = int(rng.choice(list(FEES)))
    spacing = FEES[fee]
    tick = int(np.log(price) / np.log(1.0001))
    net: dict[int, int] = {}
    for _ in range(int(rng.integers(1, 20))):
        low = tick // spacing + int(rng.integers(-200, 100))
        high = low + int(rng.integers(1, 200))
        amount = int(size * 10.0 ** rng.uniform(-1, 1))
        net[low * spacing] = net.get(low * spacing, 0) + amount
        net[high * spacing] = net.get(high * spacing, 0) - amount
    ticks = TickTable(Tick(int(k), net[k], abs(net[k])) for k in sorted(net) if net[k])
    memory.write_ticks(row, ticks, fee_pips=fee, spacing=spacing)
    memory.write_price(row, sqrt_at_tick(tick), ticks.depth_at(tick), tick)


def _long_cycles(memory: MarketMemory, pairs: NDArray[np.int64]) -> dict[str, object]:
    names = [Address(f"0x{n:040x}") for n in range(TOKENS_OF_UNIVERSE + 1)]
    search = LongCycles(memory, [Start(names[0], SIZES, 0.0, 1e24)])
    for row, (token0, token1) in enumerate(pairs.tolist()):
        search.enter(row, row, names[token0], names[token1])
    slices, whole = [], []
    for _ in range(4):
        search.restart({names[0]: GAS_PRICE})
        own = []
        done = False
        while not done:
            begun = time.perf_counter_ns()
            done = search.advance()
            own.append((time.perf_counter_ns() - begun) / 1e6)
        slices += own[1:]
        whole.append(sum(own))
    found = search.found()
    return {
        "whole search of 5 to 8 hops and 4 sizes, ms": round(median(whole[1:]), 2),
        "a slice, ms": _spread(slices),
        "slices": len(own),
        "found": len(found),
        "best after gas, of 1e18": round(found[0].net / 1e18, 6) if found else 0.0,
    }


def _drawing(name: str) -> dict[str, float]:
    rng, times, counts = random.Random(1), [], []
    for _ in range(60):
        held, pair = random_pool(rng, name, TOKENS[0], TOKENS[2])
        pieces(protocol(name), held, BLOCK, *pair)
        begun = time.perf_counter_ns()
        drawn = pieces(protocol(name), held, BLOCK, *pair)
        times.append((time.perf_counter_ns() - begun) / 1e3)
        counts.append(len(drawn))
    return {**_spread(times), "pieces": float(median(counts))}


def _sizing() -> dict[str, object]:
    rng, times, asked = random.Random(2), [], []
    while len(times) < 300:
        market, edges = random_cycle(rng, rng.choice([2, 3, len(DECIMALS) - 1]))
        if log_rate(market, edges) <= 0.0:
            continue
        amount, quotes = refine(market, BLOCK, edges, 1e18, least=0.0, most=2.0**112)
        if not quotes:
            continue
        begun = time.perf_counter_ns()
        refine(market, BLOCK, edges, amount * 1.002, least=0.0, most=2.0**112)
        times.append((time.perf_counter_ns() - begun) / 1e3)
        asked.append(float(len(edges)))
    return {"a cycle, from a guess off by 0.2 %, us": _spread(times), "hops": float(np.mean(asked))}


def _spread(samples: list[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {
        "median": round(median(ordered), 3),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
    }
