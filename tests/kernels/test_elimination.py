"""Sparse network systems against a dense solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels.elimination import GROUNDED, join, plan, renumber, solve


class Network:
    """The plan of some pairs, and its solutions."""

    def __init__(self, pairs, nodes, *, targets=100_000):
        pairs = np.array(pairs, np.int32).reshape(-1, 2)
        room = 16 * len(pairs) + 4096
        self.ends = np.empty((room, 2), np.int32)
        self.tie_of = np.empty(len(pairs), np.int32)
        degree = np.empty(nodes, np.int32)
        self.given = join(pairs, self.ends, self.tie_of, degree)
        self.degree = degree.copy()
        self.order = np.empty(nodes, np.int32)
        self.begin = np.empty(nodes + 1, np.int64)
        self.via, self.to = np.empty(room, np.int32), np.empty(room, np.int32)
        self.targets = np.empty(targets, np.int32)
        self.eliminated, self.ties = plan(
            self.ends, self.given, degree, self.order, self.begin, self.via, self.to, self.targets
        )

    def solve(self, weights, ground, push):
        tie = np.zeros(self.ties)
        tie[: self.given] = weights
        x = np.full(len(ground), np.nan)
        solve(
            self.ends,
            self.given,
            self.order,
            self.begin,
            self.via,
            self.to,
            self.targets,
            self.eliminated,
            tie,
            ground.copy(),
            push.copy(),
            np.empty(len(self.via)),
            x,
        )
        return x


def dense(ends, weights, ground):
    matrix = np.diag(ground)
    for (a, b), weight in zip(ends, weights, strict=True):
        matrix[a, a] += weight
        matrix[b, b] += weight
        matrix[a, b] -= weight
        matrix[b, a] -= weight
    return matrix


def test_pairs_of_the_same_nodes_share_a_tie():
    network = Network([(0, 1), (1, 0), (1, 2), (0, 1)], 3)
    assert network.given == 2
    assert list(network.tie_of) == [0, 0, 1, 0]
    assert network.ends[:2].tolist() == [[0, 1], [1, 2]]
    assert list(network.degree) == [1, 2, 1]


def test_nodes_are_numbered_in_their_order():
    pairs = np.array([(70, 9), (9, 4), (300, 70)], np.int32)
    known, local = np.zeros(6, np.int64), np.zeros((3, 2), np.int32)
    assert renumber(pairs, known, local) == 4
    assert known[:4].tolist() == [4, 9, 70, 300]
    assert local.tolist() == [[2, 1], [1, 0], [3, 2]]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_solutions_satisfy_every_equation(data):
    nodes = data.draw(st.integers(2, 14))
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    pairs = data.draw(st.lists(pair.filter(lambda p: p[0] != p[1]), min_size=1, max_size=40))
    network = Network(pairs, nodes, targets=data.draw(st.sampled_from((0, 3, 1000))))
    size = st.floats(-3, 3).map(lambda e: 10.0**e)
    weights = np.array([data.draw(size) for _ in range(network.given)])
    ground = np.array([data.draw(size) for _ in range(nodes)])
    push = np.array([data.draw(st.floats(-5, 5)) for _ in range(nodes)])
    x = network.solve(weights, ground, push)
    expected = np.linalg.solve(dense(network.ends[: network.given], weights, ground), push)
    assert x == pytest.approx(expected, rel=1e-6, abs=1e-9 * (1 + np.abs(expected).max()))


def test_a_held_node_stays_at_0_and_holds_its_neighbours():
    network = Network([(0, 1), (1, 2)], 3)
    ground = np.array([GROUNDED, 0.0, 0.0])
    x = network.solve(np.array([2.0, 4.0]), ground, np.array([0.0, 1.0, 1.0]))
    assert x == pytest.approx([0.0, 1.0, 1.25], abs=1e-15)


def test_nodes_tied_to_nothing_get_0():
    network = Network([(0, 1), (1, 2)], 3)
    assert list(network.solve(np.zeros(2), np.zeros(3), np.ones(3))) == [0.0, 0.0, 0.0]


def test_weights_that_differ_by_many_powers_of_ten_lose_nothing():
    # A strong cluster (1, 2) that hangs on a weak tie: differences would lose the weak one.
    network = Network([(0, 1), (1, 2)], 3)
    ground = np.array([GROUNDED, 0.0, 0.0])
    x = network.solve(np.array([1e-12, 1e12]), ground, np.array([0.0, 0.0, 1e-12]))
    assert x[1:] == pytest.approx([1.0, 1.0], rel=1e-12)


def test_a_hub_with_many_leaves_makes_no_new_ties():
    network = Network([(0, leaf) for leaf in range(1, 500)], 500)
    assert network.eliminated == 500
    assert network.ties == network.given


def test_what_is_too_large_is_left_as_a_core():
    pairs = [(a, b) for a in range(40) for b in range(a)]
    network = Network(pairs, 40, targets=100)
    assert network.eliminated < 40
    rng = np.random.default_rng(5)
    weights, push = rng.uniform(1, 2, network.given), rng.normal(size=40)
    ground = np.full(40, 0.1)
    x = network.solve(weights, ground, push)
    matrix = dense(network.ends[: network.given], weights, ground)
    assert matrix @ x == pytest.approx(push, abs=1e-8)
