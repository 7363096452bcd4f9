from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.opportunities.choice import InclusionOdds, Option, Priority, choose

OPTIONS = st.lists(
    st.builds(
        Option,
        worth=st.integers(-5, 100).map(float),
        priority=st.sampled_from([int(p) for p in Priority]),
        pools=st.frozensets(st.integers(0, 7), min_size=1, max_size=4),
    ),
    max_size=9,
)


def compatible(options, places):
    return all(options[a].pools.isdisjoint(options[b].pools) for a, b in combinations(places, 2))


def best_by_trying_all(options):
    """Best sums by priority in order, over every subset without a conflict."""
    best = ()
    for size in range(len(options) + 1):
        for places in combinations(range(len(options)), size):
            if compatible(options, places):
                best = max(best, worths(options, places))
    return best


def worths(options, places):
    return tuple(
        sum(options[p].worth for p in places if options[p].priority == priority)
        for priority in Priority
    )


@given(OPTIONS)
def test_the_choice_is_the_best_of_all_subsets(options):
    chosen = choose(options)
    assert compatible(options, chosen.places)
    assert chosen.proven
    assert worths(options, chosen.places) == best_by_trying_all(options)


@given(OPTIONS)
def test_nothing_worthless_is_chosen_and_order_is_by_priority_then_worth(options):
    places = choose(options).places
    assert all(options[p].worth > 0 for p in places)
    assert places == sorted(places, key=lambda p: (options[p].priority, -options[p].worth, p))


def test_a_liquidation_takes_its_pool_from_a_richer_arbitrage():
    options = [
        Option(100.0, Priority.ARBITRAGE, frozenset({1, 2})),
        Option(1.0, Priority.LIQUIDATION, frozenset({2, 3})),
        Option(7.0, Priority.BACKGROUND, frozenset({1})),
    ]
    assert choose(options).places == [1, 2]


def test_two_small_ones_beat_the_one_that_excludes_both():
    options = [
        Option(10.0, 1, frozenset({1, 2})),
        Option(6.0, 1, frozenset({1})),
        Option(6.0, 1, frozenset({2})),
    ]
    assert choose(options).places == [1, 2]


def test_a_search_that_is_cut_off_says_so_and_still_excludes_conflicts():
    options = [Option(100.0 - n % 7, 1, frozenset({n, n + 1, n * 7 % 40})) for n in range(96)]
    cut = choose(options, most_steps=5)
    assert not cut.proven
    assert compatible(options, cut.places)
    whole = choose(options)
    assert sum(options[p].worth for p in whole.places) >= sum(options[p].worth for p in cut.places)


def test_the_choice_does_not_depend_on_the_order_of_what_is_offered():
    options = [Option(float(90 - n), 1, frozenset({n, (n * 5) % 17})) for n in range(30)]
    forwards = {options[p] for p in choose(options).places}
    backwards = {options[::-1][p] for p in choose(options[::-1]).places}
    assert forwards == backwards


def test_odds_are_a_share():
    assert InclusionOdds(0.25).expected_wei(100) == 25.0
    with pytest.raises(ValueError, match="expected a share from 0 to 1"):
        InclusionOdds(1.5)
