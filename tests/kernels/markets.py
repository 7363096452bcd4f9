"""Random markets in a market's memory: hubs, a long tail of tokens, three kinds of curves."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import numpy as np

from searcher.kernels.curves import DEAD
from searcher.kernels.hops import exact_hop, write_image
from searcher.kernels.memory import CONCENTRATED, KIND, PIECEWISE
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.kernels.refusal import Status
from searcher.market.memory import MarketMemory
from searcher.market.ticks import Tick, TickTable

HUBS = 5
GAS = {"product": 90_000, "concentrated": 120_000, "piecewise": 150_000}


@dataclass
class RandomMarket:
    """Pools at the tokens' values but for a random error, so that some joint trade pays.

    Values are wei per smallest unit and differ by up to 1e15; token 0 is worth 1.
    """

    memory: MarketMemory
    tokens: np.ndarray
    log_value: np.ndarray
    rng: random.Random
    fee_pips: list[int] = field(default_factory=list)

    def draw(self, row):
        """Make the row's integers, or pieces, visible to floats."""
        self.memory.set_alive(row, alive=True)
        write_image(self.memory.table, row)

    def product(self, row, worth_wei, error, fee_pips=3000):
        a, b = self.tokens[row]
        self.memory.write_product(
            row,
            int(worth_wei / math.exp(self.log_value[a])) + 1,
            int(worth_wei / math.exp(self.log_value[b] + error)) + 1,
            fee_pips,
        )
        self.memory.set_gas(row, GAS["product"])
        self.draw(row)

    def concentrated(self, row, worth_wei, error, *, fee_pips=500, spacing=10, positions=4):
        a, b = self.tokens[row]
        log_sqrt = 0.5 * (self.log_value[a] - self.log_value[b] - error)
        tick = math.floor(2 * log_sqrt / math.log(1.0001))
        tick = max(-880_000, min(880_000, tick))
        net = {}
        for _ in range(positions):
            half = self.rng.choice((2, 5, 20, 100, 500)) * spacing
            middle = tick + self.rng.randrange(-half, half)
            low, high = (middle - half) // spacing * spacing, (middle + half) // spacing * spacing
            depth = int(
                worth_wei
                / positions
                / math.exp(self.log_value[a])
                * math.exp(log_sqrt)
                * self.rng.uniform(1, 5)
                + 1000
            )
            net[low] = net.get(low, 0) + depth
            net[high] = net.get(high, 0) - depth
        ticks = TickTable(Tick(t, n, max(abs(n), 1)) for t, n in sorted(net.items()) if n)
        self.memory.write_ticks(row, ticks, fee_pips=fee_pips, spacing=spacing)
        price = sqrt_at_tick(tick)
        price += int((sqrt_at_tick(tick + 1) - price) * self.rng.random())
        depth = sum(n for t, n in net.items() if t <= tick)
        self.memory.write_price(row, price, depth, tick)
        self.memory.set_gas(row, GAS["concentrated"], 20_000)
        self.draw(row)

    def piecewise(self, row, worth_wei, error, *, flatness=20.0, count=6):
        """Pieces of a curve that is flat near its price, as those of stable pools are."""
        a, b = self.tokens[row]
        sides = []
        for has, pays, sign in ((a, b, -1), (b, a, 1)):
            rate = math.exp(self.log_value[has] - self.log_value[pays] + sign * error) * 0.9996
            reserve = worth_wei / math.exp(self.log_value[has])
            pieces, taken, out, slope = [], 0.0, 0.0, rate
            for k in range(count):
                virtual = reserve * flatness / 2**k
                length = reserve / count
                pieces.append((taken, out, virtual, virtual * slope))
                taken += length
                out += virtual * slope * length / (virtual + length)
                slope *= (virtual / (virtual + length)) ** 2 * 0.999
            pieces.append((taken, out, 1.0, 0.0))
            sides.append(np.array(pieces))
        self.memory.write_pieces(row, tuple(sides))
        self.memory.set_gas(row, GAS["piecewise"])
        self.draw(row)

    def quote(self, edge, amount):
        """What the exact side answers: output and gas, or None."""
        memory, row = self.memory, edge >> 1
        if memory.shape[row, KIND] == PIECEWISE:
            if amount <= 0:
                return None
            pieces = self.pieces(edge)
            if amount > pieces[-1, 0]:
                return None
            k = int(np.searchsorted(pieces[:, 0], amount, "right")) - 1
            at, out, has, pays = pieces[k]
            return int(out + pays * (amount - at) / (has + amount - at)), GAS["piecewise"]
        status, out, crossed = exact_hop(memory.table, edge, amount)
        if status != Status.OK:
            return None
        return out, int(memory.real[row, 3] + crossed * memory.real[row, 4])

    def pieces(self, edge):
        row, side = edge >> 1, edge & 1
        about = self.memory.shape[row]
        first, count = int(about[4]), int(about[5])
        if side:
            first, count = first + int(about[6]), int(about[7])
        return self.memory.pieces[first : first + count]


def random_market(
    seed,
    pools,
    *,
    tokens=None,
    error=0.004,
    kinds=(0.8, 0.15, 0.05),
    worth_eth=(0.5, 5000.0),
    hub_share=0.85,
):
    """A connected market of so many rows; the last parameters say of what."""
    rng = random.Random(seed)
    tokens = tokens or max(3, pools * 2 // 5)
    hubs = min(HUBS, tokens - 1)
    pairs = [(rng.randrange(min(token, hubs)), token) for token in range(1, tokens)]
    while len(pairs) < pools:
        token = int(tokens * rng.random() ** 2)
        other = rng.randrange(hubs) if rng.random() < hub_share else rng.randrange(tokens)
        if other != token:
            pairs.append((other, token))
    rng.shuffle(pairs)
    pairs = [p if rng.random() < 0.5 else p[::-1] for p in pairs[:pools]]
    log_value = np.array([0.0] + [rng.uniform(-14, 28) for _ in range(tokens - 1)])
    memory = MarketMemory(pools)
    market = RandomMarket(memory, np.array(pairs, np.int32).reshape(-1, 2), log_value, rng)
    low, high = (math.log(worth * 1e18) for worth in worth_eth)
    for row in range(pools):
        memory.add()
        worth = math.exp(rng.uniform(low, high))
        off = rng.gauss(0, error)
        kind = rng.random()
        if kind < kinds[0]:
            market.product(row, worth, off, rng.choice((500, 2500, 3000, 3000, 3000)))
        elif kind < kinds[0] + kinds[1]:
            fee, spacing = rng.choice(((100, 1), (500, 10), (3000, 60)))
            market.concentrated(row, worth, off, fee_pips=fee, spacing=spacing)
        else:
            market.piecewise(row, worth, off)
    return market


def segments(market, edge):
    """An edge's curve as concave pieces: (input, length, virtual input, virtual output).

    Lengths and virtual inputs are after the fee, `keep` of what goes in: it comes with them.
    """
    memory, row, side = market.memory, edge >> 1, edge & 1
    if memory.rate[edge] == DEAD:
        return 1.0, []
    about, real = memory.shape[row], memory.real[row]
    if about[KIND] == PIECEWISE:
        pieces = market.pieces(edge)
        return 1.0, [
            (pieces[k + 1, 0] - pieces[k, 0], pieces[k, 2], pieces[k, 3])
            for k in range(len(pieces) - 1)
        ]
    keep = real[2]
    if about[KIND] != CONCENTRATED:
        return keep, [(math.inf, real[side], real[1 - side])]
    first, count = int(about[4]), int(about[5])
    bounds = memory.bounds[first : first + count]
    depths = memory.depths[first : first + count]
    here, k, found = real[0], int(about[7]), []
    if side == 0 and k >= count - 1:
        k, here = count - 2, bounds[count - 1]
    elif side == 1 and k < 0:
        k, here = 0, bounds[0]
    while 0 <= k < count - 1:
        there = bounds[k] if side == 0 else bounds[k + 1]
        depth = depths[k]
        if depth > 0 and (there < here if side == 0 else there > here):
            if side == 0:
                found.append((depth / there - depth / here, depth / here, depth * here))
            else:
                found.append((depth * (there - here), depth * here, depth / here))
        here = there
        k += -1 if side == 0 else 1
    return keep, found
