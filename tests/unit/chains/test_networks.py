from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.chains.network import Network, networks
from searcher.domain.events import BlockHeader, BlockRef
from searcher.domain.units import ZERO_ADDRESS, Hash32

H = Hash32("0x" + "11" * 32)


def header(*, base=10**9, limit=30_000_000, used=15_000_000) -> BlockHeader:
    return BlockHeader(7, H, H, 1_000, base, limit, used, ZERO_ADDRESS)


def network(name: str) -> Network:
    return networks().load(name)()


@pytest.mark.parametrize(
    ("base", "used", "following"),
    [  # from the base fee test vectors of EIP-1559 implementations (limit 20 M, target 10 M)
        (1_000_000_000, 10_000_000, 1_000_000_000),
        (1_000_000_000, 9_000_000, 987_500_000),
        (1_000_000_000, 11_000_000, 1_012_500_000),
        (1_000_000_000, 20_000_000, 1_125_000_000),
        (1_000_000_000, 0, 875_000_000),
        (7, 0, 7),
        (7, 10_000_001, 8),
        (0, 20_000_000, 1),
    ],
)
def test_the_base_fee_of_eip_1559(base, used, following):
    parent = header(base=base, limit=20_000_000, used=used)
    assert network("ethereum").next_base_fee(parent) == following


@settings(deadline=None)
@given(
    base=st.integers(0, 2**80),
    limit=st.integers(5_000, 10**9),
    share=st.floats(0, 1),
)
def test_the_base_fee_moves_by_at_most_an_eighth(base, limit, share):
    parent = header(base=base, limit=limit, used=int(limit * share))
    following = network("ethereum").next_base_fee(parent)
    assert base - base // 8 - 1 <= following <= base + max(base // 7, 1)


@pytest.mark.parametrize(
    ("block_time_ms", "timestamp"), [(12_000, 1_012), (450, 1_001), (1_000, 1_001), (2_900, 1_002)]
)
def test_the_next_context_builds_on_its_parent(block_time_ms, timestamp):
    coinbase = "0x" + "ab" * 20
    context = network("ethereum").next_context(
        header(), coinbase=coinbase, block_time_ms=block_time_ms
    )
    assert context.parent == BlockRef(7, H)
    assert (context.number, context.timestamp) == (8, timestamp)
    assert (context.base_fee_wei, context.gas_limit) == (10**9, 30_000_000)
    assert context.coinbase == coinbase


def test_bnb_smart_chain_has_no_base_fee():
    assert network("bsc").next_base_fee(header(base=0)) == 0
