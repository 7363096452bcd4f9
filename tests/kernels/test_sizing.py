"""Float sizing against a dense search in the contracts' integers."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from searcher.kernels.hops import front
from searcher.kernels.refusal import Status
from searcher.kernels.sizing import along, exact_along, exact_near, size
from tests.kernels.test_hops import concentrated, constant, fees
from tests.kernels.universe import Concentrated, ConstantProduct, exact_out, memory_of

MOST = 2.0**112
pools_ = st.lists(st.one_of(constant(), concentrated()), min_size=2, max_size=4)


def cycle_of(pools):
    """Alternating directions, so that prices near one meet prices near one."""
    return np.array([2 * row + row % 2 for row in range(len(pools))], np.int32)


@given(pools_, st.floats(1e12, 1e21))
def test_integers_along_a_cycle_are_the_contracts(pools, amount):
    edges, memory = cycle_of(pools), memory_of(pools)
    table = memory.table
    amounts = np.zeros((5, 4), np.uint64)
    status, _ = exact_along(table, edges, len(edges), int(amount), amounts)
    got = int.from_bytes(amounts[len(edges)].tobytes(), "little")
    assert (got if status == Status.OK else 0) == exact_out(pools, edges.tolist(), int(amount))


@given(pools_, st.floats(1e12, 1e21), st.floats(0.0, 1.0))
def test_the_local_form_of_a_cycle_holds_as_far_as_it_says(pools, amount, share):
    edges, memory = cycle_of(pools), memory_of(pools)
    table = memory.table
    out, slope, bend, below, above, _ = along(table, edges, len(edges), amount)
    assume(slope > 0.0 and bend * amount < 0.99)
    for more in (-below * share, min(above, amount) * share * (1 - 1e-9)):
        there = along(table, edges, len(edges), amount + more)[0]
        form = out + slope * more / (1.0 + bend * more)
        assert there == pytest.approx(form, rel=1e-8, abs=1e-8 * abs(out))


@given(pools_, st.floats(1e12, 1e20), st.floats(0.01, 1.0))
def test_limits_are_kept(pools, most, share):
    edges, memory = cycle_of(pools), memory_of(pools)
    table = memory.table
    amount, left, _ = size(table, edges, len(edges), most * share, most)
    if left > 0.0:
        assert most * share <= amount <= most


def test_a_cycle_that_loses_leaves_nothing():
    pools = [ConstantProduct(0, 1, 10**20, 10**20), ConstantProduct(0, 1, 10**20, 10**20)]
    memory = memory_of(pools)
    assert size(memory.table, np.array([0, 3], np.int32), 2, 0.0, MOST)[1] <= 0.0


@given(fees)
def test_two_pools_have_the_closed_form(fee):
    pools = [
        ConstantProduct(0, 1, 10**20, 2 * 10**20, fee),
        ConstantProduct(0, 1, 10**20, 10**20, fee),
    ]
    memory, edges = memory_of(pools), np.array([0, 3], np.int32)
    table = memory.table
    amount, left, gas = size(table, edges, 2, 0.0, MOST)
    keep = 1 - fee / 1e6
    numerator = keep * (1e20 * 1e20 * 2e20 * 1e20) ** 0.5 - 1e20 * 1e20
    assert amount == pytest.approx(numerator / (keep * 1e20 + keep**2 * 2e20), rel=1e-9)
    assert left == pytest.approx(along(table, edges, 2, amount)[0] - amount, rel=1e-9)
    assert gas == 120_000


# ---- against a dense search


def any_pool(rng, rate, depth):
    """A pool that gives about `rate` for one, in some direction: (pool, side)."""
    side = rng.randrange(2)
    price = rate if side == 0 else 1 / rate
    fee = rng.choice((100, 500, 3_000))
    held = depth if side == 0 else depth * rate
    if rng.random() < 0.4:
        return ConstantProduct(0, 1, max(1, int(held)), max(1, int(held * price)), fee), side
    spacing = rng.choice((1, 10, 60))
    tick = math.floor(math.log(price) / math.log(1.0001))
    centre, liquidity = tick // spacing, held * math.sqrt(price)
    widest = 887272 // spacing
    positions = []
    if rng.random() < 0.7:
        positions.append((-widest, widest, max(1, int(liquidity * rng.uniform(0.01, 0.2)))))
    for _ in range(rng.randrange(1, 12)):
        # Narrow ones run dry, and leave gaps where no wide one lies below them.
        low, width = centre + rng.randrange(-12, 6), rng.choice((1, 2, 8, 40))
        positions.append((low, low + width, max(1, int(liquidity * rng.uniform(0.05, 1.0)))))
    positions = [(low * spacing, high * spacing, size_) for low, high, size_ in positions]
    if rng.random() < 0.2:
        tick = centre * spacing
    within = rng.choice((0.0, 0.0, rng.random()))
    return Concentrated(0, 1, tick, positions, fee, spacing, within=within), side


def any_cycle(rng):
    hops = rng.choice((2, 2, 3, 3, 4))
    rates = [10 ** rng.uniform(-3, 3) for _ in range(hops - 1)]
    rates.append((1 + 10 ** rng.uniform(-3.5, -1)) / math.prod(rates))
    depth = 10 ** rng.uniform(8, 24)
    pools, edges = [], []
    for row, rate in enumerate(rates):
        pool, side = any_pool(rng, rate, depth * rng.uniform(0.1, 3))
        pools.append(pool)
        edges.append(2 * row + side)
        depth *= rate
    return pools, np.array(edges, np.int32)


def dense_best(profit, most):
    """The best profit over a fine grid, then around its best point down to single units."""
    grid = np.geomspace(1.0, float(most), 240).tolist()
    points = sorted({int(x) for x in grid})
    values = [profit(x) for x in points]
    at = max(range(len(points)), key=values.__getitem__)
    best = values[at]
    low, high = points[max(at - 1, 0)], points[min(at + 1, len(points) - 1)]
    while high - low > 12:
        third = (high - low) // 3
        left, right = profit(low + third), profit(high - third)
        best = max(best, left, right)
        if left < right:
            low += third
        else:
            high -= third
    return max(best, *(profit(x) for x in range(low, high + 1)))


def shortfalls(seed, number):
    """By how much sizing misses a dense search in random cycles, and by how much it may."""
    rng = random.Random(seed)
    found = []
    amounts = np.zeros((5, 4), np.uint64)
    while len(found) < number:
        pools, edges = any_cycle(rng)
        memory, hops = memory_of(pools), len(edges)
        table = memory.table
        if not memory.rate[edges].sum() > 0.0:
            continue

        def profit(amount, table=table, edges=edges, hops=hops):
            if not 0 < amount < 2**112:
                return -amount
            status, _ = exact_along(table, edges, hops, amount, amounts)
            if status != Status.OK:
                return -amount
            return int.from_bytes(amounts[hops].tobytes(), "little") - amount

        amount, left, _ = size(table, edges, hops, 0.0, MOST)
        status, _ = exact_near(table, edges, hops, amount, amounts)
        ends = [int.from_bytes(amounts[h].tobytes(), "little") for h in (0, hops)]
        got = ends[1] - ends[0] if status == Status.OK else 0
        best = dense_best(profit, max(16, int(amount) * 4))
        # A unit of the coarser of each hop's two tokens, carried to the end of the cycle.
        unit, units = 1.0, 0.0
        for edge in reversed(edges.tolist()):
            before = unit * front(table, edge)[0]
            units += max(unit, before)
            unit = before
        found.append((best - max(got, 0), 1e-9 * best + 2 * units))
        if got > 10**6 * units:
            assert left == pytest.approx(got, rel=1e-5)
    return found


def check(seed, number):
    missed = [(miss, may) for miss, may in shortfalls(seed, number) if miss > may]
    assert missed == []


def test_no_dense_search_finds_better():
    check(1, 1_000)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_dense_search_finds_better_in_ten_thousand():
    check(2, 10_000)
