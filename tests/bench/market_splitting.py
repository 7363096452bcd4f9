"""Joint trades over 1,000 and 10,000 pools: prices alone, and from changed rows to exact swaps.

Cold begins without a price of any token and lays the problem out anew; warm begins from the prices
found before some pools moved. In a stirred market every pool is off by chance, so that half of all
pools trade; in a calm one only the pools that moved are off, as a block leaves them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from searcher.kernels.memory import KIND, PRODUCT
from searcher.opportunities.joint_trade import Goal, JointTrade
from searcher.opportunities.split_search import Terms
from searcher.opportunities.splitting import Splitter, exact_swap
from tests.bench.figures import Figure
from tests.kernels.markets import RandomMarket, random_market

SIZES: Final = (1_000, 10_000)
MOVED: Final = 5
TIMES: Final = 40
BUDGET_S: Final = 3.0
ETH: Final = 10**18
TERMS: Final = Terms({"t0": 1.0}, gas_price_wei=5 * 10**9, overhead_gas=75_000)
GOAL: Final = Goal({0: 1.0}, {})


def measure() -> dict[str, object]:
    """Return a figure for each size and beginning."""
    figures = [figure for size in SIZES for figure in (*_prices(size), *_splits(size))]
    return {figure.name: figure for figure in figures}


def _prices(size: int) -> list[Figure]:
    rows = np.arange(size, dtype=np.int64)
    figures = []
    for name, error in (("stirred", 0.0015), ("calm", 0.0)):
        market = random_market(size, size, error=error)
        rng = random.Random(size)
        _move(market, rng)
        unknown = np.full(len(market.log_value), np.nan)
        known = unknown.copy()

        def cold(market: RandomMarket = market, unknown: Any = unknown) -> None:
            JointTrade(market.memory, rows, market.tokens).optimum(GOAL, unknown.copy())

        trade = JointTrade(market.memory, rows, market.tokens)
        trade.optimum(GOAL, known)

        def warm(trade: JointTrade = trade, known: Any = known) -> None:
            trade.optimum(GOAL, known)

        figures += [
            Figure.of(
                f"split: prices of {size} pools, {name}, cold",
                _timed(cold),
                "ms",
                "laying out the network, first prices, Newton's steps, trades",
            ),
            Figure.of(
                f"split: prices of {size} pools, {name}, warm",
                _timed(warm, before=lambda market=market, rng=rng: _move(market, rng)),
                "ms",
                f"Newton's steps and trades after {MOVED} pools have moved",
            ),
        ]
    return figures


def _splits(size: int) -> list[Figure]:
    market = random_market(size, size, error=0.0)
    rng = random.Random(size)
    splitter = Splitter(market.memory, most_rows=size)
    for row, (a, b) in enumerate(market.tokens):
        splitter.enter(row, f"t{a}", f"t{b}", row)
    swap = exact_swap(market.memory, market.quote)
    moved: list[int] = []

    def move() -> None:
        moved[:] = _move(market, rng)

    what = f"choosing rows, prices, gas, order and exact swaps after {MOVED} pools have moved"
    split = _timed(lambda: splitter.arbitrage(moved, TERMS, swap), before=move)
    return [Figure.of(f"split: whole search among {size} pools", split, "ms", what)]


def _move(market: RandomMarket, rng: random.Random) -> list[int]:
    """Set some pools of hubs off their price, and the last ones that were right again."""
    products = np.flatnonzero(market.memory.shape[: len(market.tokens), KIND] == PRODUCT)
    hubs = [int(row) for row in products if market.tokens[row].min() < 3][: 8 * MOVED]
    for row in hubs:
        market.product(row, 500 * ETH, 0.0)
    moved = rng.sample(hubs, min(MOVED, len(hubs)))
    for row in moved:
        market.product(row, 500 * ETH, rng.gauss(0, 0.02))
    return moved


def _timed(action: Callable[[], object], before: Callable[[], object] | None = None) -> list[float]:
    """Return milliseconds of each run, within a budget of time; the first run is not counted."""
    samples: list[float] = []
    deadline = time.perf_counter() + BUDGET_S
    for _ in range(TIMES + 1):
        if before is not None:
            before()
        begun = time.perf_counter_ns()
        action()
        samples.append((time.perf_counter_ns() - begun) / 1e6)
        if len(samples) > 5 and time.perf_counter() > deadline:
            break
    return samples[1:]
