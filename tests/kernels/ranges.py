"""Random concentrated pools: positions, prices and amounts that meet the curve's corners."""

from __future__ import annotations

from typing import NamedTuple

from searcher.kernels.reference.uniswap_v3 import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    ConcentratedState,
    sqrt_at_tick,
    tick_at_sqrt,
)
from searcher.kernels.reference.uniswap_v3 import TickTable as PlainTable
from searcher.market.ticks import TickTable


class RandomPool(NamedTuple):
    """The same pool as references take it, and its ticks as books do."""

    state: ConcentratedState
    table: TickTable


def random_pool(rng, unit, *, bits=100):
    """Return a pool whose ticks are multiples of `unit`; some are empty or priceless."""
    tick = (
        rng.randrange(-300_000, 300_000)
        if rng.random() < 0.9
        else rng.randrange(MIN_TICK, MAX_TICK)
    )
    table = TickTable()
    for _ in range(rng.randrange(9)):
        width = max(int(2 ** rng.uniform(0, 14)), 1)
        lower = (tick // unit + rng.randrange(-2 * width, width + 1)) * unit
        upper = lower + width * unit
        if MIN_TICK <= lower < upper <= MAX_TICK:
            table = table.positioned(lower, upper, int(2 ** rng.uniform(0, bits)))
    if rng.random() < 0.2:
        widest = MAX_TICK // unit * unit
        table = table.positioned(-widest, widest, int(2 ** rng.uniform(0, bits)))
    price = sqrt_at_tick(tick)
    kind = rng.random()
    if kind < 0.6:
        price += rng.randrange(max(price >> 15, 2))
    elif kind < 0.7 and table:
        price = sqrt_at_tick(rng.choice(table.indices))
    elif kind < 0.73:
        price = rng.choice([MIN_SQRT_RATIO, MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1])
    price = min(max(price, MIN_SQRT_RATIO), MAX_SQRT_RATIO - 1)
    tick = tick_at_sqrt(price)
    if price == sqrt_at_tick(tick) and rng.random() < 0.3:
        tick -= 1  # as a swap from above leaves it
    if rng.random() < 0.02:
        price, tick, table = 0, 0, TickTable()
    plain = PlainTable(
        table.indices,
        tuple(t.liquidity_net for t in table),
        tuple(t.liquidity_gross for t in table),
    )
    return RandomPool(ConcentratedState(price, table.depth_at(tick), tick, plain), table)


def random_amount(rng, bits=140):
    """Return an amount of any size, now and then an impossible one."""
    if rng.random() < 0.05:
        return rng.choice([0, 1, 2, 2**127, 2**127 - 1, 2**128, 2**255 - 1, 2**255, 2**256 - 1])
    return int(2 ** rng.uniform(0, bits))
