"""Which rows matter, against plain searches; prices from the deepest pools."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels.curves import DEAD
from searcher.kernels.reach import mark_joined, mark_near, spread_prices, trim, write_depths
from tests.kernels.markets import random_market

ETH = 10**18


def distances(rows, origins, closed, nodes):
    """Hops from the nearest origin, by plain search; a closed token is reached and not left."""
    found = dict.fromkeys(origins, 0)
    for length in itertools.count(1):
        reached = {
            other
            for row in rows
            for token, other in (row, row[::-1])
            if found.get(token) == length - 1
            and (length == 1 or token not in closed)
            and other not in found
        }
        if not reached:
            return [found.get(node, math.inf) for node in range(nodes)]
        found |= dict.fromkeys(reached, length)
    return []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_rows_near_are_those_on_short_ways(data):
    nodes = data.draw(st.integers(3, 9))
    node = st.integers(0, nodes - 1)
    pair = st.tuples(node, node).filter(lambda p: p[0] != p[1])
    rows = data.draw(st.lists(pair, min_size=1, max_size=16))
    dead = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=2))
    kept = sorted(data.draw(st.sets(node, min_size=1, max_size=2)))
    origins = sorted(data.draw(st.sets(node, max_size=2)))
    most = data.draw(st.integers(1, 5))
    tokens = np.array(rows, np.int32)
    rates = np.zeros((len(rows), 2))
    rates[sorted(dead)] = DEAD
    ends, near = np.zeros(nodes, np.uint8), np.zeros(len(rows), np.uint8)
    mark_near(
        tokens, rates, np.array(kept, np.int32), np.array(origins, np.int32), most, ends, near
    )
    alive = [row for i, row in enumerate(rows) if i not in dead]
    out = distances(alive, kept, set(kept), nodes)
    closed = set(kept) if len(kept) == 1 else set()
    inward = distances(alive, origins, closed, nodes) if origins else [0] * nodes
    inward = [math.inf if t in closed and d else d for t, d in enumerate(inward)]
    expected = [
        i not in dead and min(out[a] + inward[b], out[b] + inward[a]) < most
        for i, (a, b) in enumerate(rows)
    ]
    assert near.tolist() == [int(e) for e in expected]
    assert sorted(np.flatnonzero(ends)) == kept


def test_rows_that_lead_nowhere_are_trimmed():
    # 0 is the end; 0-1-2-0 is a circle, 2-3-4 a dead end, and 0-5 doubled.
    tokens = np.array([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (0, 5), (5, 0), (0, 6)], np.int32)
    near = np.ones(len(tokens), np.uint8)
    ends = np.zeros(7, np.uint8)
    ends[0] = 1
    trim(tokens, ends, near)
    assert near.tolist() == [1, 1, 1, 0, 0, 1, 1, 0]


def test_what_living_rows_join_is_joined():
    tokens = np.array([(0, 1), (2, 1), (3, 4), (5, 0)], np.int32)
    rates = np.zeros((4, 2))
    rates[3] = DEAD
    joined = np.array([1, 0, 0, 0, 0, 0], np.uint8)
    mark_joined(tokens, rates, joined)
    assert joined.tolist() == [1, 1, 1, 0, 0, 0]


def test_prices_spread_through_the_deepest_pools():
    market = random_market(1, 5, tokens=4, error=0.0, kinds=(1, 0, 0))
    market.tokens[:] = [(0, 1), (1, 0), (1, 2), (0, 2), (2, 1)]
    for row, (worth, error) in enumerate(
        [(5 * ETH, 0.5), (900 * ETH, 0.0), (800 * ETH, 0.0), (3 * ETH, -0.4), (2 * ETH, 0.9)]
    ):
        market.product(row, worth, error)
    prices = np.array([0.0, np.nan, np.nan, np.nan])
    rows = np.arange(5, dtype=np.int64)
    assert spread_prices(market.memory.table, rows, market.tokens, prices) == 1
    assert prices[:3] == pytest.approx(market.log_value[:3], abs=1e-6)
    assert math.isnan(prices[3])
    depths = np.zeros(5)
    write_depths(market.memory.table, rows, market.tokens, prices, depths)
    assert depths[1] == pytest.approx(900 * ETH / 0.997, rel=1e-2)
    assert np.argmax(depths) == 1
