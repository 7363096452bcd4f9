"""One hop in floats and in integers, over the market's memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from searcher.kernels.curves import DEAD
from searcher.kernels.hops import ELSEWHERE, exact_hop, front, hop, piece, write_image, write_rates
from searcher.kernels.refusal import Status
from searcher.market.memory import MarketMemory
from tests.kernels.universe import Concentrated, ConstantProduct, memory_of

reserves = st.integers(10**15, 10**24)
fees = st.sampled_from([100, 500, 2500, 3000])
amounts = st.floats(1e6, 1e24)
sides = st.integers(0, 1)


@st.composite
def constant(draw):
    base = draw(reserves)
    return ConstantProduct(0, 1, base, int(base * draw(st.floats(0.9, 1.1))), draw(fees))


@st.composite
def concentrated(draw, *, whole=True):
    """Positions of any depth, with gaps where no full-range one lies below them."""
    spacing = draw(st.sampled_from([1, 10, 60]))
    bounds = st.integers(-60, 60).map(lambda n: n * spacing)
    position = st.tuples(bounds, bounds, st.integers(10**18, 10**24)).filter(lambda p: p[0] < p[1])
    positions = draw(st.lists(position, min_size=1, max_size=6))
    if whole or draw(st.booleans()):
        widest = 887272 // spacing * spacing
        positions.append((-widest, widest, draw(st.integers(10**18, 10**22))))
    tick = draw(st.one_of(st.integers(-70 * spacing, 70 * spacing), bounds))
    within = draw(st.sampled_from([0.0, 0.0, 0.3, 0.999]))
    return Concentrated(0, 1, tick, positions, draw(fees), spacing, within=within)


pools_ = st.one_of(constant(), concentrated(), concentrated(whole=False))


def drawn(pieces, *, alive=True):
    """A row of any other curve, the same both ways."""
    memory = MarketMemory(1)
    memory.add()
    memory.set_alive(0, alive=alive)
    curve = np.array(pieces, np.float64)
    memory.write_pieces(0, (curve, curve))
    write_rates(memory.table, 0)
    return memory


@given(pools_, sides, amounts)
def test_integers_are_those_of_the_contract(pool, side, amount):
    memory = memory_of([pool])
    table = memory.table
    status, out, _ = exact_hop(table, side, int(amount))
    expected = pool.quote(int(amount), zero_for_one=side == 0)
    assert (out if status == Status.OK else 0) == expected


@given(pools_, sides, amounts)
def test_floats_follow_integers(pool, side, amount):
    memory = memory_of([pool])
    table = memory.table
    status, exact, crossed = exact_hop(table, side, int(amount))
    assume(status == Status.OK and exact > 10**12)
    out, slope, _, _, _, crosses = piece(table, side, float(int(amount)))
    assert out == pytest.approx(exact, rel=1e-9)
    assert slope >= 0.0
    assert abs(crossed - crosses) <= 1
    assert hop(table, side, amount) == piece(table, side, amount)[:3]


@given(pools_, sides, amounts, st.floats(0.0, 1.0))
def test_a_piece_holds_as_far_as_it_says(pool, side, amount, share):
    memory = memory_of([pool])
    table = memory.table
    out, slope, bend, below, above, _ = piece(table, side, amount)
    # Far beyond the reserves the way back is lost in rounding.
    assume(slope > 0.0 and bend * amount < 0.99)
    for more in (-below * share, min(above, amount) * share * (1 - 1e-9)):
        there = hop(table, side, amount + more)[0]
        form = out + slope * more / (1.0 + bend * more)
        assert there == pytest.approx(form, rel=1e-9, abs=1e-9 * abs(out))


@given(pools_, sides, amounts)
def test_the_front_bounds_the_whole_curve(pool, side, amount):
    memory = memory_of([pool])
    assume(memory.rate[side] > DEAD)
    slope, bend = front(memory.table, side)
    assert slope == pytest.approx(math.exp(memory.rate[side]), rel=1e-12)
    most = slope * amount / (1.0 + bend * amount)
    assert hop(memory.table, side, amount)[0] <= most * (1 + 1e-9)
    if isinstance(pool, ConstantProduct):
        assert hop(memory.table, side, amount)[0] == pytest.approx(most, rel=1e-12)


def test_an_empty_pool_is_dead():
    memory = memory_of([ConstantProduct(0, 1, 0, 10**20), Concentrated(0, 1, 0, [])])
    assert (memory.rate[:4] == DEAD).all()


def test_a_pool_that_may_not_be_searched_is_dead():
    memory = memory_of([ConstantProduct(0, 1, 10**20, 10**20)])
    assert (memory.rate[:2] > DEAD).all()
    memory.set_alive(0, alive=False)
    write_image(memory.table, 0)
    assert (memory.rate[:2] == DEAD).all()


@pytest.mark.parametrize(("tick", "alive", "dead"), [(-600, 1, 0), (600, 0, 1)])
def test_a_price_outside_all_positions_reaches_them_one_way_only(tick, alive, dead):
    pool = Concentrated(0, 1, tick, [(-300, 300, 10**20)])
    memory = memory_of([pool])
    assert memory.rate[dead] == DEAD
    out, *_ = hop(memory.table, alive, 1e15)
    assert out == pytest.approx(pool.quote(10**15, zero_for_one=alive == 0), rel=1e-9)


def test_what_runs_dry_gives_no_more():
    memory = memory_of([Concentrated(0, 1, 0, [(-300, 300, 10**20)])])
    table = memory.table
    all_of_it, slope, _, below, above, _ = piece(table, 0, 1e19)
    assert slope == 0.0
    assert all_of_it == hop(table, 0, 1e31)[0]
    assert above == math.inf
    assert hop(table, 0, 1e19 - below)[0] == pytest.approx(all_of_it)
    assert exact_hop(table, 0, 10**19)[0] == Status.INSUFFICIENT_LIQUIDITY


def test_pieces_are_walked_and_left_to_their_protocol_in_integers():
    # Two pieces of one constant product of 1,000 by 1,000, then nothing.
    half = 1_000.0 * 100.0 / 1_100.0
    pieces = [
        (0.0, 0.0, 1_000.0, 1_000.0),
        (100.0, half, 1_100.0, 1_000.0 - half),
        (400.0, 1_000.0 * 400.0 / 1_400.0, 1.0, 0.0),
    ]
    memory = drawn(pieces)
    table = memory.table
    assert memory.rate[0] == pytest.approx(0.0)
    for amount in (1.0, 50.0, 100.0, 250.0, 399.0):
        out, slope, bend, below, above, _ = piece(table, 0, amount)
        assert out == pytest.approx(1_000.0 * amount / (1_000.0 + amount))
        assert slope == pytest.approx((1_000.0 / (1_000.0 + amount)) ** 2)
        assert bend == pytest.approx(1.0 / (1_000.0 + amount))
        assert (below, above) == (
            (amount, 100 - amount) if amount < 100 else (amount - 100, 400 - amount)
        )
    assert hop(table, 0, 500.0)[:2] == (pytest.approx(1_000.0 * 400.0 / 1_400.0), 0.0)
    slope, bend = front(table, 0)
    assert hop(table, 0, 300.0)[0] <= slope * 300.0 / (1 + bend * 300.0) * (1 + 1e-12)
    assert exact_hop(table, 0, 100)[0] == ELSEWHERE


def test_pieces_of_a_row_out_of_the_search_are_dead():
    assert (drawn([(0.0, 0.0, 1.0, 1.0)], alive=False).rate[:2] == DEAD).all()
