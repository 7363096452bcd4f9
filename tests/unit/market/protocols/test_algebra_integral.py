"""Algebra Integral: plug-ins and their fees, events, states."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

Integral = PROTOCOLS.load("algebra_integral")
POOL = "0x" + "0f" * 20
TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
BLOCK = QuoteBlock(1, 1)
LIQUIDITY = 10**21
AFTER_FEE = 10**18 * (1_000_000 - 500) // 1_000_000
RAW = {
    "pool": POOL,
    "token0": TOKEN0,
    "token1": TOKEN1,
    "sqrt_price_x96": str(2**96),
    "tick": 0,
    "liquidity": LIQUIDITY,
    "fee": 500,
    "ticks": [
        {"index": -6000, "liquidity_net": LIQUIDITY, "liquidity_gross": LIQUIDITY},
        {"index": 6000, "liquidity_net": -LIQUIDITY, "liquidity_gross": LIQUIDITY},
    ],
}
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
SWAP_WITH_FEES = "0x121cb44ee54098b1a04743c487e7460d8dd429b27f88b1f4d4767396e1a59f79"
SWAP_FEE = "0x9443903d84c9719611bd4bba871daaf18a3950d00d5d78b1a2fa701f76df54ff"
BURN_WITH_FEE = "0x932214d4a69c27c086643126ed97c32681da179064c678836c173f99bd13ca01"
MINT = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
FEE = "0x598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a"
PLUGIN_CONFIG = "0x3a6271b36c1b44bd6a0a0d56230602dc6919b7c17af57254306fadf5fee69dc3"
INDEXED = "0x" + "00" * 32
BEFORE_SWAP, AFTER_SWAP, DYNAMIC = 1, 2, 128


@pytest.fixture
def protocol():
    return Integral(Integral.Config())


@pytest.fixture
def state():
    return state_from(Integral.State, RAW)


def log(topic, *values, topics=()):
    data = "0x" + "".join(f"{v % 2**256:064x}" for v in values)
    return Log(POOL, (topic, *topics), data)


def at(lower, upper):
    return (INDEXED, f"0x{lower % 2**256:064x}", f"0x{upper % 2**256:064x}")


def out(protocol, state, block=BLOCK):
    return protocol.quote_exact_in(state, block, TOKEN0, TOKEN1, 10**18).amount


def refusal(protocol, state, amount=10**18):
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, amount)
    return refused.value.status


def test_quotes_agree_with_each_other(protocol, state):
    amount = out(protocol, state)
    assert amount == LIQUIDITY * AFTER_FEE // (LIQUIDITY + AFTER_FEE)
    assert protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, amount).amount <= 10**18
    assert protocol.marginal_rate(state, BLOCK, TOKEN0, TOKEN1, 0) == pytest.approx(0.9995)
    assert out(protocol, state, QuoteBlock(1, 1, {"fee": 0})) > amount


def test_a_plug_in_that_may_set_any_fee_is_not_modelled(protocol, state):
    told = replace(state, plugin_config=BEFORE_SWAP)
    assert refusal(protocol, told) is Status.UNMODELLED
    older = state_from(
        Integral.State, RAW | {"plugin_config": BEFORE_SWAP, "version": "1.1", "plugin_fee": 9}
    )
    assert out(protocol, older) == out(protocol, state)
    silent = replace(state, fee=None, plugin_config=BEFORE_SWAP | DYNAMIC)
    assert refusal(protocol, silent) is Status.UNMODELLED
    assert out(protocol, replace(state, plugin_config=AFTER_SWAP)) == out(protocol, state)


def test_a_plug_ins_share_comes_on_top(protocol, state):
    told = replace(state, plugin_config=BEFORE_SWAP | DYNAMIC, plugin_fee=200)
    assert out(protocol, told) == out(protocol, replace(state, fee=700))
    assert refusal(protocol, replace(told, fee=999_800)) is Status.UNSAFE_VALUES
    assert out(protocol, replace(state, plugin_fee=200)) == out(protocol, state)


def test_events_move_the_state(protocol, state):
    more = protocol.apply(state, log(MINT, 0, 1000, 5, 5, topics=at(-60, 60)))
    assert more.liquidity == LIQUIDITY + 1000
    assert protocol.apply(more, log(BURN_WITH_FEE, 1000, 5, 5, 7, topics=at(-60, 60))) == state
    assert protocol.apply(state, log(FEE, 7)).fee == 7
    assert protocol.apply(state, log(PLUGIN_CONFIG, 129)).plugin_config == 129
    ended = (1, -1, 2**96 + 5, LIQUIDITY, 0)
    after = protocol.apply(state, log(SWAP_WITH_FEES, *ended, 0, 9, topics=(INDEXED, INDEXED)))
    assert (after.sqrt_price_x96, after.fee, after.plugin_fee) == (2**96 + 5, 500, 9)
    apart = protocol.apply(state, log(SWAP, *ended, topics=(INDEXED, INDEXED)))
    apart = protocol.apply(apart, log(SWAP_FEE, 800, 9, topics=(INDEXED,)))
    assert apart == replace(after, fee=800)


def test_logs_that_contradict_the_state_are_refused(protocol, state):
    for bad in (
        log(FEE, 2**16),
        log(PLUGIN_CONFIG, 256),
        log(SWAP_FEE, 2**24, 0, topics=(INDEXED,)),
        log(SWAP, 1, -1, 2**96, LIQUIDITY + 1, 0, topics=(INDEXED, INDEXED)),
        log(SWAP, 1, -1, 0, LIQUIDITY, 0, topics=(INDEXED, INDEXED)),
        log(BURN_WITH_FEE, 1, 5, 5, 0, topics=at(-60, 60)),
        log("0x" + "11" * 32),
    ):
        with pytest.raises(MalformedLog):
            protocol.apply(state, bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fee": 2**24}, "fee: expected a uint24"),
        ({"plugin_fee": -1}, "plugin_fee: expected a uint24"),
        ({"plugin_config": 256}, "plugin_config: expected a uint8"),
        ({"version": "1.0"}, "version"),
        ({"token1": TOKEN0}, "token1: expected another"),
    ],
)
def test_a_malformed_state_says_where(change, said):
    with pytest.raises(MalformedState, match=said):
        state_from(Integral.State, RAW | change)


def test_only_a_dynamic_fee_is_read_again(protocol, state):
    with pytest.raises(StopIteration) as stop:
        next(protocol.refresh(state))
    assert stop.value.value == {}
    for answer, fee in (((777,), 777), ("the call was refused", None)):
        reads = protocol.refresh(replace(state, plugin_config=DYNAMIC))
        (call,) = next(reads)
        assert (call.to, call.data) == (POOL, "0xddca3f43")
        with pytest.raises(StopIteration) as stop:
            reads.send([answer])
        assert stop.value.value == {"fee": fee}
    reads = protocol.refresh(replace(state, plugin_config=DYNAMIC))
    next(reads)
    with pytest.raises(UnreadablePool):
        reads.send([(2**16,)])
