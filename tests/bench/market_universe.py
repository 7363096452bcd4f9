"""A market as large as a mainnet's: 45,000 pools of 20,000 tokens, nine V2 pools to each V3 pool.

Who is joined to whom is real where recorded topologies are at hand (7,846 pools of Base, 9,264 of
Ethereum), and follows a power law for the rest. Prices agree but for a noise of 8 bps, or of a
quarter of the fee where that is less, so that few pools stand apart by more than their fees.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from searcher.domain.units import Address
from searcher.kernels.hops import write_image
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, sqrt_at_tick
from searcher.market.memory import MarketMemory
from searcher.market.ticks import Tick, TickTable

TOKENS = 20_000
POOLS = 45_000
CONCENTRATED = 4_500
HUBS = 5
"""WETH, USDC, USDT, DAI and WBTC."""
HUB_SHARES = (0.74, 0.11, 0.09, 0.03, 0.03)
PARALLEL = 14
NOISE = 0.0008
"""Standard deviation of prices, or a quarter of the fee where that is less: what stands further
apart has been arbitraged."""
SPACING = {100: 1, 500: 10, 3_000: 60, 10_000: 200}
FEE_SHARES = (0.1, 0.3, 0.4, 0.2)
SWAP_GAS = {False: 80_000, True: 100_000}
CROSSING_GAS = 22_000
_WETH_BASE = "0x4200000000000000000000000000000000000006"
_USDC_BASE = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"


@dataclass
class Universe:
    """Pools by row; `activity` is how often each is traded, as shares of one."""

    memory: MarketMemory
    tokens: np.ndarray[Any, Any]
    concentrated: np.ndarray[Any, Any]
    activity: np.ndarray[Any, Any]
    price: np.ndarray[Any, Any]
    real_pools: int

    def address(self, token: int) -> Address:
        return Address(f"0x{token + 1:040x}")


def make(seed: int = 1) -> Universe:
    """Draw the universe; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    tokens, known = _topology(rng)
    degree = np.bincount(tokens.ravel(), minlength=TOKENS)
    rarer = np.minimum(degree[tokens[:, 0]], degree[tokens[:, 1]])
    concentrated = _concentrated(tokens, rarer * rng.random(POOLS))
    dollars = np.exp(rng.normal(0, 2, TOKENS))
    dollars[:HUBS] = 3_000, 1, 1, 1, 60_000
    unit = np.full(TOKENS, 1e18)
    unit[[1, 2, 4]] = 1e6, 1e6, 1e8
    price = dollars / unit
    locked = 10 ** rng.normal(4.3, 1.0, POOLS) * np.sqrt(rarer)
    activity = locked * np.where(concentrated, 3.0, 1.0)
    memory = MarketMemory(POOLS)
    fees = np.where(concentrated, rng.choice(list(SPACING), POOLS, p=FEE_SHARES), 3_000)
    noise = np.exp(rng.normal(0, np.minimum(NOISE, fees / 4e6)))
    for row, (token0, token1) in enumerate(tokens.tolist()):
        memory.add()
        memory.set_alive(row, alive=True)
        about = locked[row] / 2
        held0, held1 = about / price[token0], about / price[token1] * noise[row]
        if concentrated[row]:
            memory.set_gas(row, SWAP_GAS[True], CROSSING_GAS)
            root, depth = math.sqrt(held1 / held0), math.sqrt(held0 * held1)
            draw_ranges(memory, row, rng, fee=int(fees[row]), root=root, depth=depth)
        else:
            memory.set_gas(row, SWAP_GAS[False])
            memory.write_product(row, int(held0) + 10_000, int(held1) + 10_000, 3_000)
        write_image(memory.table, row)
    return Universe(memory, tokens, concentrated, activity / activity.sum(), price, known)


def draw_ranges(
    memory: MarketMemory,
    row: int,
    rng: np.random.Generator,
    *,
    fee: int,
    root: float,
    depth: float,
) -> None:
    """A price, and thirty positions around it that together are ten times as deep as a V2 pool."""
    spacing = SPACING[fee]
    tick = math.floor(2 * math.log(root) / math.log(1.0001))
    centre, widest = tick // spacing, MAX_TICK // spacing
    widths = rng.choice(np.arange(1, 60), 30, replace=False).tolist()
    positions = [(-widest, widest, depth)]
    positions += [(centre - w, centre + w, depth * rng.uniform(0.1, 0.6)) for w in widths]
    net: Counter[int] = Counter()
    gross: Counter[int] = Counter()
    liquidity = 0
    for low, high, size in positions:
        amount = int(size) + 1
        liquidity += amount
        for edge, sign in ((low, 1), (high, -1)):
            at = max(-widest, min(widest, edge)) * spacing
            net[at] += sign * amount
            gross[at] += amount
    table = TickTable(Tick(at, net[at], gross[at]) for at in sorted(gross))
    low, high = sqrt_at_tick(tick), sqrt_at_tick(tick + 1)
    memory.write_ticks(row, table, fee_pips=fee, spacing=spacing)
    memory.write_price(row, max(low, min(high - 1, int(root * 2**96))), liquidity, tick)


def _topology(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], int]:
    """Pairs of token numbers, lower first, and how many of them are recorded ones."""
    pairs = _recorded()[:POOLS]
    known = len(pairs)
    held = Counter(pairs)
    popularity = 1 / np.arange(1, TOKENS - HUBS + 1) ** 0.85
    steps = np.cumsum(popularity / popularity.sum())
    for x in range(HUBS):
        for y in range(x + 1, HUBS):
            pairs += [(x, y)] * (PARALLEL - held[x, y])
            held[x, y] = PARALLEL
    alone = sorted(set(range(HUBS, TOKENS)) - {token for pair in pairs for token in pair})
    for token in alone:
        pairs.append((int(rng.choice(HUBS, p=HUB_SHARES)), token))
    while len(pairs) < POOLS:
        token = HUBS + int(np.searchsorted(steps, rng.random()))
        to_hub = rng.random() < 0.93
        other = (
            int(rng.choice(HUBS, p=HUB_SHARES))
            if to_hub
            else HUBS + int(np.searchsorted(steps, rng.random()))
        )
        pair = (min(token, other), max(token, other))
        if token != other and held[pair] < PARALLEL:
            held[pair] += 1
            pairs.append(pair)
    return rng.permutation(np.array(pairs, np.int64)), known


def _recorded() -> list[tuple[int, int]]:
    folder = Path(
        os.environ.get("SEARCHER_TEST_DATA") or Path(__file__).parents[2] / "../shared/data"
    )
    folder = folder / "pool-state" / "topology"
    if not folder.is_dir():
        return []
    number = {_WETH_BASE: 0, _USDC_BASE: 1}
    for hub in range(2, HUBS):
        number[f"hub {hub}"] = hub

    def of(token: str) -> int:
        return number.setdefault(token, len(number))

    with gzip.open(folder / "base_v3_pools_7846.json.gz") as file:
        base = json.load(file)
    joined = [(of(p["base_token_address"]), of(p["quote_token_address"])) for p in base]
    for name in ("artemis_v3_v2_weth_pairs_3601", "artemis_uni_sushi_weth_pairs_1031"):
        with gzip.open(folder / f"{name}.csv.gz", "rt") as file:
            joined += [(0, of(line["token_address"])) for line in csv.DictReader(file)] * 2
    return [(min(p), max(p)) for p in joined if p[0] != p[1]]


def _concentrated(
    tokens: np.ndarray[Any, Any], score: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Which pools are V3: those of the most traded pairs, at most four to a pair."""
    chosen = np.zeros(len(tokens), bool)
    held: Counter[tuple[int, ...]] = Counter()
    for row in np.argsort(-score).tolist():
        pair = tuple(tokens[row].tolist())
        if held[pair] < 4:
            held[pair] += 1
            chosen[row] = True
        if sum(held.values()) == CONCENTRATED:
            break
    return chosen
