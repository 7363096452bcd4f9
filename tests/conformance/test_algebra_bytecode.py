"""Algebra V1 and Integral against their published bytecode: amounts, refusals, fees, events."""

from __future__ import annotations

import random

import pytest

from searcher.domain.settings import Settings
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK, sqrt_at_tick
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols.algebra_integral import AlgebraIntegral, AlgebraIntegralIdentity
from searcher.market.protocols.algebra_v1 import AlgebraV1, AlgebraV1Identity
from tests.conformance.concentrated_pools import AlgebraPool, answered
from tests.conformance.evm import LocalEvm, Reverted

START = 1_700_000_000
V1 = AlgebraV1(Settings())
INTEGRAL = AlgebraIntegral(Settings())
QUOTES_A_POOL = 50


def a_price(rng):
    """Anywhere near the middle of the curve, sometimes on a tick, sometimes at an end."""
    kind = rng.random()
    if kind < 0.1:
        return sqrt_at_tick(rng.choice([MIN_TICK + 1, MAX_TICK - 1, -600, 600]))
    tick = rng.randrange(-200_000, 200_000)
    return sqrt_at_tick(tick) + (rng.randrange(1000) if kind < 0.9 else 0)


def positions(rng, tick, spacing):
    """Some ranges around a tick, some far from it, one over the whole curve now and then."""
    for _ in range(rng.randrange(1, 9)):
        width = spacing * int(2 ** rng.uniform(0, 13))
        lower = tick + rng.randrange(-3 * width, 2 * width)
        lower = max(lower, MIN_TICK + spacing) // spacing * spacing
        upper = min(lower + width, MAX_TICK // spacing * spacing)
        if rng.random() < 0.1:
            lower, upper = -(-MIN_TICK // spacing) * spacing, MAX_TICK // spacing * spacing
        if MIN_TICK <= lower < upper:
            yield lower, upper, int(2 ** rng.uniform(1, 90))


def amounts(rng, count):
    for _ in range(count):
        amount = int(2 ** rng.uniform(0, 110))
        if rng.random() < 0.05:
            amount = rng.choice([1, 2, 2**128, 2**200, 2**255 - 1])
        yield amount * rng.choice([1, -1]), rng.random() < 0.5


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


def compare(protocol, state, pool, rng, count):
    """Quote and swap the same; return how many amounts were refused by both."""
    block = QuoteBlock(pool.evm.number, pool.evm.timestamp)
    refused = 0
    for amount, zero_for_one in amounts(rng, count):
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
        for lower, upper, liquidity in positions(rng, tick, spacing):
            pool.mint(lower, upper, liquidity)
        state = answered(evm, INTEGRAL.reads(AlgebraIntegralIdentity(pool.address)))
        refused += compare(INTEGRAL, state, pool, rng, QUOTES_A_POOL)
    assert 0 < refused < pools * QUOTES_A_POOL // 2
