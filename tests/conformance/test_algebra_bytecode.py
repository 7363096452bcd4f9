"""Algebra V1 and Integral against their published bytecode: amounts, refusals, fees, events."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from searcher.domain.settings import Settings
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols.algebra_integral import AlgebraIntegral, AlgebraIntegralIdentity
from searcher.market.protocols.algebra_v1 import AlgebraV1, AlgebraV1Identity
from tests.conformance.concentrated_pools import (
    AlgebraPool,
    a_price,
    amounts,
    answered,
    followed,
    positions,
)
from tests.conformance.evm import LocalEvm, Reverted

START = 1_700_000_000
V1 = AlgebraV1(Settings())
INTEGRAL = AlgebraIntegral(Settings())
QUOTES_A_POOL = 50


def ours(protocol, state, block, amount, *, zero_for_one):
    pair = (state.token0, state.token1) if zero_for_one else (state.token1, state.token0)
    try:
        if amount > 0:
            return protocol.quote_exact_in(state, block, *pair, amount).amount
        return protocol.quote_exact_out(state, block, *pair, -amount).amount
    except SwapRefused as refused:
        return refused.status


def theirs(pool, amount, *, zero_for_one):
    try:
        swapped = pool.quote(amount, zero_for_one=zero_for_one)
    except Reverted:
        return "reverted"
    return swapped.answer if swapped.whole else Status.INSUFFICIENT_LIQUIDITY


def compare(protocol, state, pool, rng, count, *, bits=90):
    """Quote and swap the same; return how many amounts were refused by both."""
    block = QuoteBlock(pool.evm.number, pool.evm.timestamp)
    refused = 0
    for amount, zero_for_one in amounts(rng, count, bits):
        want = theirs(pool, amount, zero_for_one=zero_for_one)
        got = ours(protocol, state, block, amount, zero_for_one=zero_for_one)
        if want == "reverted":
            assert isinstance(got, Status), (state, amount, zero_for_one, got)
            assert got is not Status.INSUFFICIENT_LIQUIDITY
        else:
            assert (got, type(got)) == (want, type(want)), (state, amount, zero_for_one)
        refused += isinstance(got, Status)
    return refused


def filled_v1(rng, evm):
    pool = AlgebraPool.v1(evm)
    pool.initialize(a_price(rng))
    (_, tick, *_) = evm.call(pool.address, GLOBAL_STATE)
    for lower, upper, liquidity in positions(rng, tick, 60):
        pool.mint(lower, upper, liquidity)
    return pool


GLOBAL_STATE = "globalState()(uint160,int24,uint16,uint16,uint8,uint8,bool)"


@pytest.mark.parametrize(
    "pools", [pytest.param(20, id="tenth"), pytest.param(200, id="whole", marks=pytest.mark.full)]
)
def test_v1_quotes_are_what_the_pool_pays_and_takes(pools):
    rng = random.Random(f"algebra v1 {pools}")
    refused = 0
    for _ in range(pools):
        evm = LocalEvm(timestamp=START)
        pool = filled_v1(rng, evm)
        for _ in range(rng.randrange(3)):
            try:
                pool.swap(int(2 ** rng.uniform(10, 80)), zero_for_one=rng.random() < 0.5)
            except Reverted:  # at an end of the curve
                continue
        state = answered(evm, V1.reads(AlgebraV1Identity(pool.address)))
        refused += compare(V1, state, pool, rng, QUOTES_A_POOL)
    assert 0 < refused < pools * QUOTES_A_POOL // 2


@pytest.mark.parametrize(
    "pools", [pytest.param(20, id="tenth"), pytest.param(200, id="whole", marks=pytest.mark.full)]
)
def test_integral_quotes_are_what_the_pool_pays_and_takes(pools):
    rng = random.Random(f"algebra integral {pools}")
    refused = 0
    for _ in range(pools):
        evm = LocalEvm(timestamp=START)
        pool = AlgebraPool.integral(evm)
        pool.initialize(a_price(rng))
        if rng.random() < 0.5:
            evm.send(pool.address, "setFee(uint16)", rng.choice([0, 1, 3000, 50_000, 65_535]))
        if rng.random() < 0.5:
            spacing = rng.choice([1, 10, 500])
            evm.send(pool.address, "setTickSpacing(int24)", spacing)
        (spacing,) = evm.call(pool.address, "tickSpacing()(int24)")
        (_, tick, *_) = evm.call(
            pool.address, "globalState()(uint160,int24,uint16,uint8,uint16,bool)"
        )
        # With more, the end of the curve lies beyond the uint128 that the pool counts reserves in.
        for lower, upper, liquidity in positions(rng, tick, spacing, bits=58):
            pool.mint(lower, upper, liquidity)
        state = answered(evm, INTEGRAL.reads(AlgebraIntegralIdentity(pool.address)))
        refused += compare(INTEGRAL, state, pool, rng, QUOTES_A_POOL, bits=60)
    assert 0 < refused < pools * QUOTES_A_POOL // 2


@pytest.mark.parametrize(
    "blocks",
    [pytest.param(150, id="tenth"), pytest.param(1500, id="whole", marks=pytest.mark.full)],
)
def test_v1_fees_of_coming_blocks_are_computed(blocks):
    """Time passes, swaps and positions come and go; logs and refreshed volatiles keep it exact."""
    rng = random.Random(f"algebra v1 fees {blocks}")
    evm = LocalEvm(timestamp=START)
    pool = AlgebraPool.v1(evm)
    pool.configure(20_000, 40_000, 20, 20_000, 900, 30_000, 50, 2_000, 100)
    pool.initialize(sqrt_at_tick(1000))
    pool.mint(-600, 3000, 10**18)
    pool.mint(-60_000, 60_000, 10**17)
    evm.set_block(timestamp=evm.timestamp + 5)
    pool.swap(10**16, zero_for_one=True)
    state = answered(evm, V1.reads(AlgebraV1Identity(pool.address)))
    assert state.oracle.volume_per_liquidity_in_block is None
    seen, moved = set(), 0
    for _ in range(blocks):
        gap = int(2 ** rng.uniform(0, 12 if rng.random() < 0.9 else 18))
        evm.set_block(number=evm.number + 1, timestamp=evm.timestamp + gap)
        known = state.oracle.volume_per_liquidity_in_block is not None
        if known:
            block = QuoteBlock(evm.number, evm.timestamp)
            for zero_for_one in (False, True):
                want = theirs(pool, 10**13, zero_for_one=zero_for_one)
                assert ours(V1, state, block, 10**13, zero_for_one=zero_for_one) == want
        before = state.fee
        for _ in range(rng.randrange(3)):
            zero_for_one = state.tick > 1000 if rng.random() < 0.7 else rng.random() < 0.5
            logs = pool.swap(int(2 ** rng.uniform(20, 60)), zero_for_one=zero_for_one)
            state = followed(V1, state, logs)
        if rng.random() < 0.3:
            lower = rng.randrange(-100, 100) * 60
            state = followed(V1, state, pool.mint(lower, lower + 6000, 10**15))
            state = followed(V1, state, pool.burn(lower, lower + 6000, 10**15))
        # What was followed within the block is what the next swap of that block pays.
        block = QuoteBlock(evm.number, evm.timestamp)
        want = theirs(pool, 10**13, zero_for_one=True)
        if state.oracle.volume_per_liquidity_in_block is not None:
            assert ours(V1, state, block, 10**13, zero_for_one=True) == want
        state = replace(state, **answered(evm, V1.refresh(state)))
        moved += state.fee != before
        seen.add(state.fee)
        fresh = answered(evm, V1.reads(AlgebraV1Identity(pool.address)))
        volume = state.oracle.volume_per_liquidity_in_block
        assert state == replace(
            fresh, oracle=replace(fresh.oracle, volume_per_liquidity_in_block=volume)
        )
    assert moved > blocks // 4
    assert len(seen) > 20


def test_integral_fees_of_a_plug_in():
    """Flags, overrides and shares of a plug-in: what the pool says and what its swaps pay."""
    evm = LocalEvm(timestamp=START)
    pool = AlgebraPool.integral(evm, plugged=True)
    pool.initialize(sqrt_at_tick(0))
    pool.mint(-6000, 6000, 10**20)
    identity = AlgebraIntegralIdentity(pool.address)
    state = answered(evm, INTEGRAL.reads(identity))
    block = QuoteBlock(evm.number, evm.timestamp)
    amount = 10**18

    def same(state):
        for signed in (amount, -amount):
            want = theirs(pool, signed, zero_for_one=True)
            assert ours(INTEGRAL, state, block, signed, zero_for_one=True) == want

    same(state)
    assert state.fee == 500
    evm.send(pool.plugin, "setFees(uint24,uint24)", 7_777, 0)
    same(state)  # it is not asked
    evm.send(pool.address, "setPluginConfig(uint8)", 1)
    state = followed(INTEGRAL, state, evm.logs())
    assert ours(INTEGRAL, state, block, amount, zero_for_one=True) is Status.UNMODELLED
    evm.send(pool.address, "setPluginConfig(uint8)", 1 | 128)
    state = followed(INTEGRAL, state, evm.logs())
    state = replace(state, **answered(evm, INTEGRAL.refresh(state)))
    assert state.fee == 7_777
    same(state)
    assert state == answered(evm, INTEGRAL.reads(identity))
    evm.send(pool.plugin, "setFees(uint24,uint24)", 7_777, 1_000)
    state = followed(INTEGRAL, state, pool.swap(amount, zero_for_one=True))
    assert state.plugin_fee == 1_000
    same(state)
    assert answered(evm, INTEGRAL.refresh(state)) == {"fee": 7_777}
    evm.send(pool.plugin, "setFees(uint24,uint24)", 999_999, 1)
    with pytest.raises(Reverted):
        pool.quote(amount, zero_for_one=True)
    too_much = replace(state, fee=999_999, plugin_fee=1)
    assert ours(INTEGRAL, too_much, block, amount, zero_for_one=True) is Status.UNSAFE_VALUES
    evm.send(pool.plugin, "setFees(uint24,uint24)", 999_998, 1)
    same(replace(state, fee=999_998, plugin_fee=1))


def test_integral_follows_its_events():
    rng = random.Random("algebra integral events")
    evm = LocalEvm(timestamp=START)
    pool = AlgebraPool.integral(evm)
    identity = AlgebraIntegralIdentity(pool.address)
    state = answered(evm, INTEGRAL.reads(identity))
    assert state.sqrt_price_x96 == 0
    assert ours(INTEGRAL, state, QuoteBlock(1, START), 5, zero_for_one=True) is Status.EMPTY_POOL
    state = followed(INTEGRAL, state, pool.initialize(sqrt_at_tick(77)))
    held = []
    for _ in range(60):
        choice = rng.random()
        if choice < 0.4 or not held:
            lower = rng.randrange(-200, 200) * 60
            held.append((lower, lower + 60 * rng.randrange(1, 100), rng.randrange(1, 2**60)))
            logs = pool.mint(*held[-1])
        elif choice < 0.6:
            logs = pool.burn(*held.pop(rng.randrange(len(held))))
        else:
            try:
                logs = pool.swap(int(2 ** rng.uniform(1, 65)), zero_for_one=rng.random() < 0.5)
            except Reverted:
                continue
        state = followed(INTEGRAL, state, logs)
        assert state == answered(evm, INTEGRAL.reads(identity))


def test_integral_reserves_are_uint128():
    evm = LocalEvm(timestamp=START)
    pool = AlgebraPool.integral(evm)
    pool.initialize(sqrt_at_tick(0))
    pool.mint(-887220, 887220, 2**90)
    state = answered(evm, INTEGRAL.reads(AlgebraIntegralIdentity(pool.address)))
    for amount in (2**127, 2**128, 2**140):
        want = theirs(pool, amount, zero_for_one=True)
        got = ours(INTEGRAL, state, QuoteBlock(1, START), amount, zero_for_one=True)
        assert got == (Status.OVERFLOW if want == "reverted" else want)
