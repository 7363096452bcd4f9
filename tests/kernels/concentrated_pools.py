"""Concentrated pools for tests: as the reference sees them, as kernels do, and random ones."""

from __future__ import annotations

import math

from searcher.kernels.reference.uniswap_v3 import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    ConcentratedState,
    TickTable,
    sqrt_at_tick,
    tick_at_sqrt,
)
from searcher.market import ticks as market

FEES = [(100, 1), (500, 10), (2500, 50), (3000, 60), (10000, 200)]
SHARES = [1, 3, 8, 8, 8]
"""Narrow spacings have many words, through which the reference steps one by one."""


def table_of(positions):
    """The reference's ticks of (lower, upper, liquidity) positions."""
    table = TickTable()
    for lower, upper, liquidity in positions:
        table = table.changed(lower, net=liquidity, gross=liquidity)
        table = table.changed(upper, net=-liquidity, gross=liquidity)
    return table


def pool_at(price, positions):
    """The reference's pool of a price and positions."""
    tick = tick_at_sqrt(price)
    liquidity = sum(size for low, high, size in positions if low <= tick < high)
    return ConcentratedState(price, liquidity, tick, table_of(positions))


def market_ticks(table):
    """The market's ticks of the reference's."""
    rows = zip(table.index, table.net, table.gross, strict=True)
    return market.TickTable(market.Tick(*row) for row in rows)


def curve_of(state):
    """The reference's pool of a protocol's state."""
    ticks = state.ticks
    return ConcentratedState(
        state.sqrt_price_x96,
        state.liquidity,
        state.tick,
        TickTable(
            tuple(tick.index for tick in ticks),
            tuple(tick.liquidity_net for tick in ticks),
            tuple(tick.liquidity_gross for tick in ticks),
        ),
    )


def random_positions(rng, spacing, *, most=12):
    """Positions of any width, nested, touching or apart, some of them on the curve's ends."""
    lowest = math.ceil(MIN_TICK / spacing)
    highest = MAX_TICK // spacing
    centre = rng.randint(lowest, highest) if rng.random() < 0.5 else 0
    # Thousands of words take the reference long.
    wide = 3_000 if spacing < 50 else highest - lowest
    reach = rng.choice([4, 40, 600, 3_000, wide])
    low, high = max(centre - reach, lowest), min(centre + reach, highest)
    found = []
    for _ in range(rng.randint(1, most)):
        lower, upper = sorted(rng.sample(range(low, high + 1), 2))
        if rng.random() < (0.005 if spacing < 50 else 0.1):
            lower, upper = lowest, highest
        # As far as the contract's own bound on a tick goes, whatever the number of positions.
        bits = rng.uniform(0, 106)
        found.append((lower * spacing, upper * spacing, int(2**bits)))
    return found


def random_price(rng, positions):
    """A price on a tick, beside one, between two, at an end, or anywhere."""
    ends = [tick for lower, upper, _ in positions for tick in (lower, upper)]
    kind = rng.random()
    if kind < 0.3:
        price = sqrt_at_tick(rng.choice(ends)) + rng.choice([-1, 0, 0, 1])
    elif kind < 0.9:
        lower, upper = rng.choice(positions)[:2]
        tick = rng.randint(lower, upper - 1)
        price = rng.randint(sqrt_at_tick(tick), sqrt_at_tick(tick + 1))
    elif kind < 0.95:
        price = rng.choice([MIN_SQRT_RATIO, MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1])
    else:
        price = sqrt_at_tick(rng.randint(MIN_TICK, MAX_TICK - 1))
    return min(max(price, MIN_SQRT_RATIO), MAX_SQRT_RATIO - 1)


def random_pool(rng):
    """A pool of the reference with its fee and tick spacing."""
    fee, spacing = rng.choices(FEES, SHARES)[0]
    if rng.random() < 0.2:
        fee = rng.choice([0, 1, 999_999, rng.randrange(1_000_000)])
    positions = random_positions(rng, spacing)
    pool = pool_at(random_price(rng, positions), positions)
    if pool.sqrt_price_x96 == sqrt_at_tick(pool.tick) and rng.random() < 0.3:
        pool = below(pool)
    return pool, fee, spacing


def below(pool):
    """The pool after a swap that fell onto its tick's price: already below it, tick crossed."""
    if pool.tick == MIN_TICK:
        return pool
    liquidity = pool.liquidity
    if pool.tick in pool.ticks.index:
        liquidity -= pool.ticks.net[pool.ticks.index.index(pool.tick)]
    return ConcentratedState(pool.sqrt_price_x96, liquidity, pool.tick - 1, pool.ticks)


def random_amount(rng):
    """Dust, usual amounts, and the most that the contract takes."""
    if rng.random() < 0.02:
        return rng.choice([0, 1, 2**255 - 1, 2**255, 2**256 - 1])
    return int(2 ** rng.uniform(0, 110))
