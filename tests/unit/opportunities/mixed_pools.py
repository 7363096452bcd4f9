"""Pools of many curves around one price a token, and a market of them over real memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from searcher.domain.units import Address
from searcher.kernels.hops import write_image
from searcher.kernels.memory import CONCENTRATED, PIECEWISE, PRODUCT
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.memory import MarketMemory
from searcher.market.pieces import pieces
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from searcher.market.state import state_from

BLOCK = QuoteBlock(20_000_000, 1_720_000_000)
DECIMALS = (18, 6, 18, 8, 18)
TOKENS = tuple(Address(f"0x{n + 1:040x}") for n in range(40))
ZERO = "0x" + "00" * 20
NOTHING = np.zeros((0, 4))
POOL = "0x" + "99" * 20
STATIC = {
    "base_factor": 5_000,
    "filter_period": 30,
    "decay_period": 600,
    "reduction_factor": 5_000,
    "variable_fee_control": 40_000,
    "protocol_share": 1_000,
    "max_volatility_accumulator": 350_000,
}


def decimals(token):
    return DECIMALS[TOKENS.index(token) % len(DECIMALS)]


def protocol(name, _made={}):  # noqa: B006  one of each for all tests
    if name not in _made:
        plugin = PROTOCOLS.load(name)
        _made[name] = plugin(plugin.Config())
    return _made[name]


# ---- random pools of two tokens that are worth one of each other


def _reserves(rng, pair, tilt):
    """Return about the same value of two tokens, some of one worth `1 + tilt` of the other."""
    whole = 10 ** rng.uniform(4, 7)
    skew = 1.0 + tilt * rng.uniform(-1, 1)
    return [int(whole * 10 ** decimals(pair[0])), int(whole * skew * 10 ** decimals(pair[1]))]


def _ladder(rng, pair, spacing):
    """Return price, tick, liquidity and ticks of a concentrated pool, with gaps at times."""
    price = 10.0 ** (decimals(pair[1]) - decimals(pair[0])) * (1.0 + 0.01 * rng.uniform(-1, 1))
    tick = math.floor(math.log(price, 1.0001))
    size = int(10 ** rng.uniform(4, 7) * 10 ** (sum(map(decimals, pair)) / 2))
    net: dict[int, int] = {}
    for _ in range(rng.randint(1, 8)):
        middle = tick // spacing + rng.randint(-6, 6)
        low, high = middle - rng.randint(1, 12), middle + rng.randint(1, 12)
        amount = int(size * rng.uniform(0.1, 20))
        net[low * spacing] = net.get(low * spacing, 0) + amount
        net[high * spacing] = net.get(high * spacing, 0) - amount
    net = {index: change for index, change in net.items() if change}
    return {
        "sqrt_price_x96": rng.randrange(sqrt_at_tick(tick), sqrt_at_tick(tick + 1)),
        "tick": tick,
        "tick_spacing": spacing,
        "liquidity": sum(change for index, change in net.items() if index <= tick),
        "ticks": [{"index": k, "liquidity_net": net[k]} for k in sorted(net)],
    }


def uniswap_v2(rng, pair):
    reserves = _reserves(rng, pair, 0.01)
    return {"token0": pair[0], "token1": pair[1], "reserve0": reserves[0], "reserve1": reserves[1]}


def uniswap_v3(rng, pair):
    fee, spacing = rng.choice([(100, 1), (500, 10), (3000, 60)])
    return {"token0": pair[0], "token1": pair[1], "fee": fee, **_ladder(rng, pair, spacing)}


def uniswap_v4(rng, pair):
    fee, spacing = rng.choice([(100, 1), (500, 10), (3000, 60)])
    return {"currency0": pair[0], "currency1": pair[1], "fee": fee, **_ladder(rng, pair, spacing)}


def algebra_v1(rng, pair):
    fee = rng.randrange(100, 3000)
    return {"token0": pair[0], "token1": pair[1], "fee": fee, **_ladder(rng, pair, 60)}


def solidly(rng, pair, *, stable=None):
    stable = rng.random() < 0.6 if stable is None else stable
    reserves = _reserves(rng, pair, 0.5 if stable else 0.01)
    return {
        "token0": pair[0],
        "token1": pair[1],
        "reserve0": reserves[0],
        "reserve1": reserves[1],
        "stable": stable,
        "fee": rng.choice([1, 5, 30]),
        "decimals0": decimals(pair[0]),
        "decimals1": decimals(pair[1]),
    }


def curve_stable(rng, pair):
    return {
        "address": POOL,
        "coins": list(pair),
        "balances": _reserves(rng, pair, 0.7),
        "decimals": [decimals(token) for token in pair],
        "future_a": rng.randrange(5_000, 100_000),
        "fee": rng.choice([0, 1_000_000, 4_000_000]),
    }


def curve_stable_ng(rng, pair):
    return {
        "address": POOL,
        "coins": list(pair),
        "balances": _reserves(rng, pair, 0.7),
        "stored_rates": [10 ** (36 - decimals(token)) for token in pair],
        "future_a": rng.randrange(5_000, 100_000),
        "fee": rng.choice([0, 1_000_000, 4_000_000]),
        "offpeg_fee_multiplier": rng.choice([0, 2 * 10**10, 5 * 10**10]),
    }


def balancer_v2_weighted(rng, pair):
    share = rng.choice([50, 80, 20])
    first, second = _reserves(rng, pair, 0.01)
    return {
        "tokens": list(pair),
        "balances": [first * share // 50, second * (100 - share) // 50],
        "normalized_weights": [share * 10**16, (100 - share) * 10**16],
        "swap_fee_percentage": rng.choice([10**14, 10**15, 3 * 10**15]),
        "decimals": [decimals(token) for token in pair],
    }


def balancer_v2_stable(rng, pair):
    return {
        "tokens": list(pair),
        "balances": _reserves(rng, pair, 0.7),
        "decimals": [decimals(token) for token in pair],
        "amplification_parameter": rng.randrange(50, 2_000) * 1000,
        "swap_fee_percentage": rng.choice([10**14, 4 * 10**14]),
    }


def liquidity_book(rng, pair):
    step = rng.choice([1, 5, 10, 25])
    price = 10.0 ** (decimals(pair[1]) - decimals(pair[0])) * (1.0 + 0.01 * rng.uniform(-1, 1))
    active = 2**23 + round(math.log(price) / math.log(1.0 + step / 1e4))
    size = 10 ** rng.uniform(2, 5)
    ids = range(active - rng.randint(1, 20), active + rng.randint(2, 20))
    bins = [
        {
            "id": number,
            "reserve_x": int(size * rng.random() * 10 ** decimals(pair[0])) * (number >= active),
            "reserve_y": int(size * rng.random() * 10 ** decimals(pair[1])) * (number <= active),
        }
        for number in ids
        if rng.random() < 0.8
    ]
    return {
        "token_x": pair[0],
        "token_y": pair[1],
        "bin_step": step,
        "active_id": active,
        "bins": bins,
        **STATIC,
    }


KERNEL_KINDS = {"uniswap_v2": uniswap_v2, "uniswap_v3": uniswap_v3}
OTHER_KINDS = {
    "uniswap_v4": uniswap_v4,
    "algebra_v1": algebra_v1,
    "solidly": solidly,
    "velodrome_v2": solidly,
    "curve_stable": curve_stable,
    "curve_stable_ng": curve_stable_ng,
    "balancer_v2_weighted": balancer_v2_weighted,
    "balancer_v2_stable": balancer_v2_stable,
    "liquidity_book": liquidity_book,
}
KINDS = {**KERNEL_KINDS, **OTHER_KINDS}


def state(name, raw):
    return state_from(protocol(name).State, raw)


# ---- a market of them


class Row(NamedTuple):
    pool: int
    token0: Address
    token1: Address


class Rows:
    """A market's memory, rows and states, and nothing else of a market."""

    def __init__(self, most_rows=64):
        self.memory = MarketMemory(most_rows)
        self.rows: list[Row] = []
        self._held: list[tuple[str, Any]] = []

    def add(self, name, pair, held, *, gas=0, sides=(0, 1)):
        """Add a pool of two tokens, drawn in one direction or both; return its row."""
        memory, row = self.memory, self.memory.add()
        self.rows.append(Row(len(self._held), *pair))
        self._held.append((name, held))
        memory.set_gas(row, gas)
        memory.set_alive(row, alive=True)
        if name == "uniswap_v2":
            memory.write_product(row, held.reserve0, held.reserve1, held.fee_pips)
        elif name == "uniswap_v3":
            memory.write_ticks(row, held.ticks, fee_pips=held.fee, spacing=held.tick_spacing)
            memory.write_price(row, held.sqrt_price_x96, held.liquidity, held.tick)
        else:
            curve = (protocol(name), held, BLOCK)
            ways = ((*curve, *pair), (*curve, *pair[::-1]))
            drawn = [pieces(*way) if k in sides else NOTHING for k, way in enumerate(ways)]
            memory.write_pieces(row, (drawn[0], drawn[1]))
        write_image(memory.table, row)
        assert memory.shape[row, 0] == {"uniswap_v2": PRODUCT, "uniswap_v3": CONCENTRATED}.get(
            name, PIECEWISE
        )
        return row

    def state(self, pool):
        return self._held[pool][1]

    def protocol(self, row):
        return protocol(self._held[self.rows[row].pool][0])

    def quote(self, edge, amount):
        """Return what the edge's own protocol says, whatever lies in memory."""
        row = self.rows[edge >> 1]
        tokens = (row.token0, row.token1) if edge & 1 == 0 else (row.token1, row.token0)
        return self.protocol(edge >> 1).quote_exact_in(self.state(row.pool), BLOCK, *tokens, amount)

    def left(self, edges, amount):
        """Return what a cycle leaves; minus infinity when a pool refuses."""
        moving = amount
        for edge in edges:
            try:
                moving = self.quote(edge, moving).realised
            except ValueError:
                return -math.inf
        return moving - amount


def random_pool(rng, name, token, following):
    """Return the state of a random pool of two tokens, and its pair in order."""
    pair = (token, following) if token < following else (following, token)
    return state(name, KINDS[name](rng, pair)), pair


def random_cycle(rng, hops, kinds=None):
    """Return a market of one cycle of pools, and its edges."""
    market, edges = Rows(hops), []
    names = kinds or [rng.choice(list(KINDS)) for _ in range(hops)]
    stops = [TOKENS[k] for k in rng.sample(range(len(DECIMALS)), hops)]
    for name, token, following in zip(names, stops, [*stops[1:], stops[0]], strict=True):
        held, pair = random_pool(rng, name, token, following)
        side = int(token != pair[0])
        edges.append(2 * market.add(name, pair, held, sides=(side,)) + side)
    return market, edges


def log_rate(market, edges):
    return float(np.sum(market.memory.rate[edges]))
