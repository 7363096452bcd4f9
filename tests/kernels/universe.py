"""Small universes of pools in both their exact and their float form, and a brute-force search."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, permutations, product

import numpy as np

from searcher.kernels.curves import DEAD, write_concentrated, write_constant_product
from searcher.kernels.reference import uniswap_v2, uniswap_v3
from searcher.kernels.refusal import SwapRefused

ROOM = 32


@dataclass
class ConstantProduct:
    token0: int
    token1: int
    reserve0: int
    reserve1: int
    fee_pips: int = 3000

    def quote(self, amount, *, zero_for_one):
        both = (self.reserve0, self.reserve1)
        has, pays = both if zero_for_one else both[::-1]
        try:
            return uniswap_v2.amount_out(amount, has, pays, self.fee_pips)
        except SwapRefused:
            return 0

    def draw(self, row, arrays):
        write_constant_product(
            row,
            float(self.reserve0),
            float(self.reserve1),
            1 - self.fee_pips / 1e6,
            arrays.rate,
            arrays.gamma,
            arrays.first,
            arrays.count,
            arrays.segments,
        )


@dataclass
class Concentrated:
    token0: int
    token1: int
    tick: int
    positions: list[tuple[int, int, int]]
    fee_pips: int = 3000
    spacing: int = 60
    state: uniswap_v3.ConcentratedState = field(init=False)

    def __post_init__(self):
        table = uniswap_v3.TickTable()
        for low, high, size in self.positions:
            table = table.changed(low, net=size, gross=size)
            table = table.changed(high, net=-size, gross=size)
        liquidity = sum(size for low, high, size in self.positions if low <= self.tick < high)
        self.state = uniswap_v3.ConcentratedState(
            uniswap_v3.sqrt_at_tick(self.tick), liquidity, self.tick, table
        )

    def quote(self, amount, *, zero_for_one):
        try:
            return uniswap_v3.quote_exact_in(
                self.state,
                zero_for_one=zero_for_one,
                amount_in=amount,
                fee_pips=self.fee_pips,
                tick_spacing=self.spacing,
            )[0]
        except SwapRefused:
            return 0

    def draw(self, row, arrays):
        index = np.array(self.state.ticks.index)
        write_concentrated(
            row,
            self.state.sqrt_price_x96 / 2**96,
            int(np.searchsorted(index, self.tick, "right")) - 1,
            1 - self.fee_pips / 1e6,
            np.array([uniswap_v3.sqrt_at_tick(int(t)) / 2**96 for t in index]),
            np.cumsum(np.array(self.state.ticks.net, dtype=object)).astype(np.float64),
            ROOM,
            arrays.rate,
            arrays.gamma,
            arrays.first,
            arrays.count,
            arrays.segments,
        )


class Arrays:
    def __init__(self, pools):
        edges = 2 * len(pools)
        self.rate = np.full(edges, DEAD)
        self.gamma = np.zeros(edges)
        self.first = np.arange(edges, dtype=np.int64) * ROOM
        self.count = np.zeros(edges, np.int64)
        self.segments = np.zeros((edges * ROOM, 4))
        for row, pool in enumerate(pools):
            pool.draw(row, self)

    @property
    def curves(self):
        return self.gamma, self.first, self.count, self.segments


def exact_out(pools, edges, amount):
    """What a cycle gives in exact integers; 0 when a pool refuses."""
    for edge in edges:
        if amount == 0:
            return 0
        amount = pools[edge >> 1].quote(amount, zero_for_one=edge & 1 == 0)
    return amount


def exact_best(pools, edges, most):
    """The best input and profit by ternary search in integers, and a look around."""
    low, high = 1, most
    while high - low > 8:
        third = (high - low) // 3
        left, right = low + third, high - third
        if exact_out(pools, edges, left) - left < exact_out(pools, edges, right) - right:
            low = left
        else:
            high = right
    return max((exact_out(pools, edges, x) - x, x) for x in range(low, high + 1))


def every_cycle(pools, start, hops_most):
    """All cycles over distinct tokens and pools from one token, as tuples of edges."""
    tokens = {t for pool in pools for t in (pool.token0, pool.token1)} - {start}
    edges = {}
    for row, pool in enumerate(pools):
        edges.setdefault((pool.token0, pool.token1), []).append(2 * row)
        edges.setdefault((pool.token1, pool.token0), []).append(2 * row + 1)
    for hops in range(2, hops_most + 1):
        for middle in permutations(sorted(tokens), hops - 1):
            stops = (start, *middle, start)
            ways = [edges.get(pair, []) for pair in pairwise(stops)]
            for cycle in product(*ways):
                if len({edge >> 1 for edge in cycle}) == hops:
                    yield cycle
