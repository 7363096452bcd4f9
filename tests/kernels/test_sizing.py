"""Float sizing against search by brute force in exact integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from searcher.kernels.curves import DEAD
from searcher.kernels.sizing import along, size_cycle
from tests.kernels.universe import Arrays, Concentrated, ConstantProduct, exact_best, exact_out

MOST = 2.0**112

reserves = st.integers(10**15, 10**24)
fees = st.sampled_from([100, 500, 2500, 3000])


@st.composite
def constant(draw):
    base = draw(reserves)
    other = int(base * draw(st.floats(0.9, 1.1)))
    return ConstantProduct(0, 1, base, other, draw(fees))


@st.composite
def concentrated(draw):
    tick = draw(st.integers(-1000, 1000))
    bounds = st.integers(-60, 60).map(lambda n: n * 60)
    position = st.tuples(bounds, bounds, st.integers(10**18, 10**24)).filter(lambda p: p[0] < p[1])
    positions = draw(st.lists(position, min_size=1, max_size=5))
    positions.append((-887220, 887220, draw(st.integers(10**18, 10**22))))
    return Concentrated(0, 1, tick, positions, draw(fees))


pools_ = st.lists(st.one_of(constant(), concentrated()), min_size=2, max_size=4)


def cycle_of(pools):
    """Alternating directions, so that prices near one meet prices near one."""
    return tuple(2 * row + row % 2 for row in range(len(pools)))


@given(pools_, st.floats(1e12, 1e21))
def test_the_float_walk_agrees_with_the_contracts_integers(pools, amount):
    edges = cycle_of(pools)
    exact = exact_out(pools, edges, int(amount))
    assume(exact > 10**12)
    arrays = Arrays(pools)
    out, slope, _ = along(float(int(amount)), np.array(edges, np.int32), len(edges), *arrays.curves)
    assert out == pytest.approx(exact, rel=1e-9)
    assert slope > 0


@settings(max_examples=150)
@given(pools_)
def test_the_size_found_is_the_best_there_is(pools):
    edges = cycle_of(pools)
    arrays = Arrays(pools)
    amount, left = size_cycle(np.array(edges, np.int32), len(edges), 0.0, MOST, *arrays.curves)
    best, _ = exact_best(pools, edges, 10**27)
    if best < 10**10:
        # Too little to tell from the rounding of wei.
        assert left < 10**11
        return
    assert arrays.rate[list(edges)].sum() > 0
    found = exact_out(pools, edges, int(amount)) - int(amount)
    assert found >= best * (1 - 1e-6)
    assert left == pytest.approx(found, rel=1e-5, abs=1e4)


@given(pools_, st.floats(1e12, 1e20), st.floats(0.01, 1.0))
def test_limits_are_kept(pools, most, share):
    edges = cycle_of(pools)
    arrays = Arrays(pools)
    amount, left = size_cycle(
        np.array(edges, np.int32), len(edges), most * share, most, *arrays.curves
    )
    if left > 0.0:
        assert most * share <= amount <= most


def test_a_cycle_that_loses_is_not_sized():
    pools = [ConstantProduct(0, 1, 10**20, 10**20), ConstantProduct(0, 1, 10**20, 10**20)]
    arrays = Arrays(pools)
    assert size_cycle(np.array([0, 3], np.int32), 2, 0.0, MOST, *arrays.curves) == (0.0, 0.0)


def test_two_pools_have_the_closed_form():
    pools = [
        ConstantProduct(0, 1, 10**20, 2 * 10**20),
        ConstantProduct(0, 1, 10**20, 10**20),
    ]
    arrays = Arrays(pools)
    amount, _ = size_cycle(np.array([0, 3], np.int32), 2, 0.0, MOST, *arrays.curves)
    keep = 0.997
    numerator = keep * (1e20 * 1e20 * 2e20 * 1e20) ** 0.5 - 1e20 * 1e20
    assert amount == pytest.approx(numerator / (keep * 1e20 + keep**2 * 2e20), rel=1e-9)


def test_an_empty_pool_is_dead():
    arrays = Arrays([ConstantProduct(0, 1, 0, 10**20), Concentrated(0, 1, 0, [])])
    assert (arrays.rate == DEAD).all()
    assert (arrays.count == 0).all()


@pytest.mark.parametrize(("tick", "alive", "dead"), [(-600, 1, 0), (600, 0, 1)])
def test_a_price_outside_all_positions_reaches_them_one_way_only(tick, alive, dead):
    pool = Concentrated(0, 1, tick, [(-300, 300, 10**20)])
    arrays = Arrays([pool])
    assert arrays.rate[dead] == DEAD
    out, _, _ = along(1e15, np.array([alive], np.int32), 1, *arrays.curves)
    assert out == pytest.approx(pool.quote(10**15, zero_for_one=alive == 0), rel=1e-9)


def test_what_runs_dry_gives_no_more():
    pool = Concentrated(0, 1, 0, [(-300, 300, 10**20)])
    arrays = Arrays([pool])
    edge = np.array([0], np.int32)
    all_of_it, slope, _ = along(1e30, edge, 1, *arrays.curves)
    assert slope == 0.0
    assert all_of_it == along(1e31, edge, 1, *arrays.curves)[0]
