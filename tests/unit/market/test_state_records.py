"""Every protocol's states come back from the bytes that a snapshot keeps of them."""

from __future__ import annotations

import importlib
import itertools
import random

import pytest

from searcher.domain.codec import from_msgpack, to_msgpack
from searcher.market.protocol import PROTOCOLS
from searcher.market.state import state_from


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_a_state_comes_back_whole(name):
    kind = PROTOCOLS.load(name).State
    draws = importlib.import_module(f"tests.conformance.states.{name}").states(random.Random(7))
    for raw, block in itertools.islice(draws, 12):
        state = state_from(kind, {**raw, **dict(block.volatile)})
        again = from_msgpack(kind, to_msgpack(state))
        assert again == state
        assert repr(again) == repr(state)
