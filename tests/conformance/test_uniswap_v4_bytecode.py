"""Uniswap V4 against the published PoolManager and V4Quoter: amounts, refusals, fees, events."""

from __future__ import annotations

import random

import pytest

from searcher.domain.settings import Settings
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols.uniswap_v4 import UniswapV4, UniswapV4Identity, pool_id
from tests.conformance.concentrated_pools import (
    V4Pools,
    a_price,
    amounts,
    answered,
    followed,
    positions,
)
from tests.conformance.evm import LocalEvm, Reverted

V4 = UniswapV4(Settings())
BLOCK = QuoteBlock(1, 1)
QUOTES_A_POOL = 50
FEES = (0, 1, 100, 500, 3000, 10_000, 250_000, 999_999, 1_000_000)


@pytest.fixture(scope="module")
def deployed():
    return V4Pools(LocalEvm())


@pytest.fixture
def pools(deployed):
    mark = deployed.evm.snapshot()
    yield deployed
    deployed.evm.revert(mark)


def identity(pools, key):
    return UniswapV4Identity(pools.manager, *key)


def ours(state, amount, *, zero_for_one):
    pair = (state.currency0, state.currency1)
    pair = pair if zero_for_one else pair[::-1]
    try:
        if amount >= 0:
            return V4.quote_exact_in(state, BLOCK, *pair, amount).amount
        return V4.quote_exact_out(state, BLOCK, *pair, -amount).amount
    except SwapRefused as refused:
        return refused.status


def theirs(pools, key, amount, *, zero_for_one):
    try:
        return pools.quote(key, amount, zero_for_one=zero_for_one)
    except Reverted:
        return "reverted"


def same(pools, key, state, amount, *, zero_for_one):
    """Quote the same on both sides; return whether both refuse."""
    want = theirs(pools, key, amount, zero_for_one=zero_for_one)
    got = ours(state, amount, zero_for_one=zero_for_one)
    if want == "reverted":
        assert isinstance(got, Status), (state, amount, zero_for_one)
        return True
    assert (got, type(got)) == (want, type(want)), (state, amount, zero_for_one)
    return False


@pytest.mark.parametrize(
    "count", [pytest.param(20, id="tenth"), pytest.param(200, id="whole", marks=pytest.mark.full)]
)
def test_quotes_are_the_quoters(pools, count):
    rng = random.Random(f"uniswap v4 {count}")
    refused = 0
    mark = pools.evm.snapshot()
    for at in range(count):
        if at % 20 == 0:
            pools.evm.revert(mark)
            mark = pools.evm.snapshot()
        spacing = rng.choice([1, 10, 60, 200, 2000, 32767])
        key = pools.key(rng.choice(FEES), spacing, ether=rng.random() < 0.2)
        try:
            pools.initialize(key, a_price(rng))
        except Reverted:  # there is such a pool already
            continue
        if rng.random() < 0.7:
            pools.protocol_fee(key, rng.choice([0, 1, 500, 1000]) | rng.choice([0, 7, 1000]) << 12)
        tick = answered(pools.evm, V4.reads(identity(pools, key))).tick
        for lower, upper, liquidity in positions(rng, tick, spacing, bits=58):
            pools.modify(key, lower, upper, liquidity)
        state = answered(pools.evm, V4.reads(identity(pools, key)))
        for amount, zero_for_one in amounts(rng, QUOTES_A_POOL, 62):
            if abs(amount) < 2**128:
                refused += same(pools, key, state, amount, zero_for_one=zero_for_one)
    assert 0 < refused < count * QUOTES_A_POOL * 3 // 4


def test_events_and_protocol_fees_are_followed(pools):
    rng = random.Random("uniswap v4 events")
    key = pools.key(3000, 60, ether=True)
    state = answered(pools.evm, V4.reads(identity(pools, key)))
    assert ours(state, 5, zero_for_one=True) is Status.EMPTY_POOL
    state = followed(V4, state, pools.initialize(key, sqrt_at_tick(77)))
    held = []
    for _ in range(60):
        choice = rng.random()
        if choice < 0.4 or not held:
            lower = rng.randrange(-200, 200) * 60
            held.append((lower, lower + 60 * rng.randrange(1, 100), rng.randrange(1, 2**60)))
            logs = pools.modify(key, *held[-1])
        elif choice < 0.5:
            lower, upper, liquidity = held.pop(rng.randrange(len(held)))
            logs = pools.modify(key, lower, upper, -liquidity)
        elif choice < 0.6:
            logs = pools.protocol_fee(key, rng.randrange(1001) | rng.randrange(1001) << 12)
        else:
            try:
                logs = pools.swap(key, int(2 ** rng.uniform(1, 65)), zero_for_one=choice < 0.8)
            except Reverted:
                continue
        state = followed(V4, state, logs)
        assert state == answered(pools.evm, V4.reads(identity(pools, key)))
        for zero_for_one in (True, False):
            same(pools, key, state, int(2 ** rng.uniform(1, 65)), zero_for_one=zero_for_one)
            same(pools, key, state, -int(2 ** rng.uniform(1, 65)), zero_for_one=zero_for_one)


def test_amounts_end_where_the_managers_deltas_do(pools):
    """Two positions, each of nearly as much as fits a delta: together they hold more."""
    key = pools.key(100, 32767)
    pools.initialize(key, sqrt_at_tick(-330_000))
    pools.modify(key, -327670, -294903, 2**103)
    pools.modify(key, -294903, -262136, 3 * 2**104)
    state = answered(pools.evm, V4.reads(identity(pools, key)))
    edges = [-(2**k) + d for k in (126, 127) for d in (-2, -1, 0, 1, 2)]
    seen = set()
    for amount in [*edges, *(2**k // 7 for k in range(70, 100))]:
        same(pools, key, state, amount, zero_for_one=False)
        seen.add(ours(state, amount, zero_for_one=False))
    assert {Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY} <= seen
    assert max(s for s in seen if not isinstance(s, Status)) > 2**126


def test_the_id_is_the_managers(pools):
    key = pools.key(0x800000, 10, ether=False)
    with pytest.raises(Reverted):  # a dynamic fee needs hooks
        pools.initialize(key, 2**96)
    logs = pools.initialize(pools.key(77, 13), 2**96)
    state = answered(pools.evm, V4.reads(identity(pools, pools.key(77, 13))))
    assert logs[0].topics[1] == pool_id(state)
