"""Exact swaps in order: what comes must be there before it goes."""

from __future__ import annotations

from searcher.opportunities.swap_order import Carried, Flow, carry_out

START, A, B, C = range(4)


def flow(edge, token_in, token_out, amount, *, left=1.0):
    return Flow(edge, token_in, token_out, float(amount), float(amount), left)


def pools(rates, *, refuses=()):
    """Swaps at fixed rates, by edge, with 10 gas each."""

    def swap(edge, amount):
        return None if edge in refuses else (amount * rates[edge] // 100, 10)

    return swap


def test_flows_wait_for_all_that_they_pass_on():
    flows = [
        flow(0, A, START, 200),
        flow(2, START, A, 120),
        flow(4, START, B, 80),
        flow(6, B, A, 80),
    ]
    carried = carry_out(flows, {START}, {}, pools({0: 105, 2: 100, 4: 100, 6: 100}))
    assert isinstance(carried, Carried)
    order = [leg.edge for leg in carried.legs]
    assert order.index(6) > order.index(4)
    assert order[-1] == 0
    assert carried.legs[-1] == (0, 200, 210)
    assert carried.balances == {START: 10, A: 0, B: 0}
    assert carried.gas == 40


def test_what_arrives_is_shared_whole():
    flows = [flow(0, START, A, 100), flow(2, A, START, 33.3), flow(4, A, START, 66.7)]
    carried = carry_out(flows, {START}, {}, pools({0: 100, 2: 110, 4: 110}))
    assert [leg.amount_in for leg in carried.legs] == [100, 33, 67]
    assert carried.balances[A] == 0


def test_much_more_than_planned_is_left_over():
    flows = [flow(0, START, A, 100), flow(2, A, START, 50)]
    carried = carry_out(flows, {START}, {}, pools({0: 100, 2: 300}))
    assert carried.balances == {START: 50, A: 50}


def test_a_basket_is_there_from_the_beginning():
    flows = [flow(0, A, B, 70), flow(2, B, START, 70)]
    carried = carry_out(flows, {START}, {A: 70}, pools({0: 100, 2: 100}))
    assert carried.balances == {START: 70, A: 0, B: 0}


def test_a_refusing_pool_is_named():
    flows = [flow(0, START, A, 100), flow(3, A, START, 100)]
    assert carry_out(flows, {START}, {}, pools({0: 100, 3: 100}, refuses={3})) == 3


def test_a_circle_lends_what_goes_round_and_gives_the_rest():
    # A -> B -> A gains A, which is changed into the start token; nothing brings A to begin with.
    flows = [flow(0, A, B, 100), flow(2, B, A, 100), flow(4, A, START, 10)]
    carried = carry_out(flows, {START}, {}, pools({0: 100, 2: 110, 4: 100}))
    assert [leg.edge for leg in carried.legs] == [0, 2, 4]
    assert carried.balances == {START: 10, A: 0, B: 0}


def test_a_circle_that_another_feeds_comes_after_it():
    flows = [
        flow(0, A, B, 100),
        flow(2, B, A, 100),
        flow(4, A, C, 10),
        flow(6, C, B, 5),
        flow(8, B, C, 5),
        flow(10, C, START, 10),
    ]
    carried = carry_out(flows, {START}, {}, pools(dict.fromkeys(range(0, 12, 2), 102)))
    assert isinstance(carried, Carried)
    assert min(carried.balances.values()) >= 0
    assert carried.balances[START] > 0


def test_a_circle_that_gives_nothing_is_broken_where_it_matters_least():
    flows = [flow(0, A, B, 100, left=5), flow(2, B, A, 100, left=3)]
    assert carry_out(flows, {START}, {}, pools({0: 100, 2: 100})) == 2


def test_of_several_kept_tokens_those_that_gain_are_lent():
    # B is kept too, but only passes on here: it must not be lent.
    flows = [flow(0, B, START, 100), flow(2, START, B, 100, left=0.0)]
    flows[0] = flows[0]._replace(left_wei=9.0)
    carried = carry_out(flows, {START, B}, {}, pools({0: 109, 2: 100}))
    assert [leg.edge for leg in carried.legs] == [2, 0]


def test_amounts_below_one_unit_are_not_swapped():
    flows = [flow(0, START, A, 0.4), flow(2, A, START, 0.3)]
    assert carry_out(flows, {START}, {}, pools({0: 100, 2: 100})).legs == ()
