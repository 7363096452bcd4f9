"""Detection against a brute-force search over every cycle of small random universes."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.kernels.cycles import enumerate_cycles
from tests.kernels.universe import ConstantProduct, every_cycle

tokens = st.integers(0, 5)
pairs_ = st.lists(st.tuples(tokens, tokens).filter(lambda p: p[0] < p[1]), min_size=1, max_size=12)


def enumerated(pairs, starts, hops, room=10_000):
    directed = sorted({p for a, b in pairs for p in ((a, b), (b, a))})
    sizes = [sum((a, b) in {p, p[::-1]} for p in pairs) for a, b in directed]
    out_ptr = np.searchsorted([a for a, _ in directed], np.arange(7)).astype(np.int64)
    routes = np.full((room, 4), -9, np.int32)
    lengths, start_of = np.zeros(room, np.int64), np.zeros(room, np.int64)
    number = enumerate_cycles(
        np.array(starts, np.int32),
        hops,
        out_ptr,
        np.array([b for _, b in directed], np.int32),
        np.arange(len(directed), dtype=np.int32),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        routes,
        lengths,
        start_of,
    )
    written = min(number, room)
    return number, [
        (tuple(directed[g] for g in routes[c, :hops]), int(start_of[c])) for c in range(written)
    ]


@settings(max_examples=200)
@given(pairs_, st.integers(2, 4), st.lists(tokens, min_size=1, max_size=3, unique=True))
def test_every_simple_cycle_is_listed_once_from_its_first_start(pairs, hops, starts):
    pools = [ConstantProduct(a, b, 1, 1) for a, b in pairs]
    expected = set()
    for place, start in enumerate(starts):
        for cycle in every_cycle(pools, start, hops):
            if len(cycle) != hops:
                continue
            stops = tuple(
                (p.token0, p.token1)[:: 1 if e & 1 == 0 else -1]
                for e in cycle
                for p in (pools[e >> 1],)
            )
            if not {t for pair in stops for t in pair} & set(starts[:place]):
                expected.add((stops, place))
    number, found = enumerated(pairs, starts, hops)
    assert number == len(found)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_what_does_not_fit_is_counted_and_not_written():
    complete = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    number, found = enumerated(complete, [0], 3, room=7)
    assert number == math.perm(5, 2)
    assert len(found) == 7
