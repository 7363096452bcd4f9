"""What every network's rules must keep."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.chains.network import networks
from searcher.domain.events import BlockHeader
from searcher.domain.units import ZERO_ADDRESS, Hash32

NAMES = networks().names()


@st.composite
def headers(draw: st.DrawFn) -> BlockHeader:
    limit = draw(st.integers(5_000, 2**62))
    return BlockHeader(
        number=draw(st.integers(0, 2**62)),
        hash=Hash32(f"0x{draw(st.integers(0, 2**256 - 1)):064x}"),
        parent_hash=Hash32("0x" + "00" * 32),
        timestamp=draw(st.integers(0, 2**40)),
        base_fee_wei=draw(st.integers(0, 2**128)),
        gas_limit=limit,
        gas_used=draw(st.integers(0, limit)),
        coinbase=ZERO_ADDRESS,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(parent=headers(), block_time_ms=st.integers(1, 600_000))
def test_the_next_block_follows_its_parent(name, *, parent, block_time_ms):
    network = networks().load(name)()
    coinbase = "0x" + "ab" * 20
    context = network.next_context(parent, coinbase=coinbase, block_time_ms=block_time_ms)
    assert context.parent == parent.ref
    assert context.number == parent.number + 1
    assert context.timestamp > parent.timestamp
    assert context.base_fee_wei == network.next_base_fee(parent) >= 0
    assert (context.gas_limit, context.coinbase) == (parent.gas_limit, coinbase)


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_are_described(name):
    assert networks().load(name).__doc__
