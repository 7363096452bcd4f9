"""Pairs: their state, their event, their reads, their quotes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

UniswapV2 = PROTOCOLS.load("uniswap_v2")
PAIR = "0x" + "0f" * 20
TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
BLOCK = QuoteBlock(1, 1)
RAW = {"token0": TOKEN0, "token1": TOKEN1, "reserve0": 5 * 10**18, "reserve1": str(10**19)}
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"


@pytest.fixture
def protocol():
    return UniswapV2(UniswapV2.Config())


@pytest.fixture
def state():
    return state_from(UniswapV2.State, RAW)


def log(data, topics=(SYNC,)):
    return Log(PAIR, tuple(topics), data)


def test_a_quote_is_the_librarys(protocol, state):
    quote = protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, 10**18)
    assert quote == (1662497915624478906, 1662497915624478906, 0)
    back = protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, quote.amount)
    assert back.amount <= 10**18
    assert protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, back.amount) >= quote


def test_the_other_way_has_the_other_reserves(protocol, state):
    there = protocol.quote_exact_in(state, BLOCK, TOKEN1, TOKEN0, 10**18).amount
    mirrored = replace(state, reserve0=state.reserve1, reserve1=state.reserve0)
    assert there == protocol.quote_exact_in(mirrored, BLOCK, TOKEN0, TOKEN1, 10**18).amount


def test_dust_gives_nothing_and_is_no_refusal(protocol, state):
    assert protocol.quote_exact_in(state, BLOCK, TOKEN1, TOKEN0, 1).amount == 0


@pytest.mark.parametrize(
    ("tokens", "amount", "status"),
    [
        ((TOKEN0, TOKEN0), 1, Status.SAME_TOKEN),
        ((TOKEN0, PAIR), 1, Status.UNKNOWN_TOKEN),
        ((PAIR, TOKEN0), 1, Status.UNKNOWN_TOKEN),
        ((TOKEN0, TOKEN1), 0, Status.ZERO_AMOUNT),
        ((TOKEN0, TOKEN1), 2**112, Status.OVERFLOW),
        ((TOKEN0, TOKEN1), 2**256 - 1, Status.OVERFLOW),
    ],
)
def test_what_the_pair_refuses_has_its_name(protocol, state, tokens, amount, status):
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(state, BLOCK, *tokens, amount)
    assert refused.value.status == status


def test_more_than_the_pair_holds_is_refused(protocol, state):
    for amount in (state.reserve1, state.reserve1 + 1, 2**256 - 1):
        with pytest.raises(SwapRefused) as refused:
            protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, amount)
        assert refused.value.status == Status.INSUFFICIENT_LIQUIDITY


def test_the_marginal_rate_is_the_curves_slope(protocol, state):
    at, step = 10**18, 10**12
    rate = protocol.marginal_rate(state, BLOCK, TOKEN0, TOKEN1, at)
    more = protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, at + step).amount
    less = protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, at).amount
    assert rate == pytest.approx((more - less) / step, rel=1e-5)


def test_sync_replaces_the_reserves(protocol, state):
    after = protocol.apply(state, log("0x" + f"{7:064x}{9:064x}"))
    assert (after.reserve0, after.reserve1) == (7, 9)
    assert after.token0 == state.token0


@pytest.mark.parametrize(
    "broken",
    [
        log("0x" + f"{7:064x}"),
        log("0x" + f"{2**112:064x}{9:064x}"),
        log("0x" + f"{7:064x}{9:064x}", topics=("0x" + "00" * 32,)),
    ],
)
def test_what_is_no_sync_is_refused(protocol, state, broken):
    with pytest.raises(MalformedLog):
        protocol.apply(state, broken)


def answered(protocol, answers):
    reads = protocol.reads(UniswapV2.Identity(PAIR, 2500))
    calls = next(reads)
    assert [(c.to, c.data) for c in calls] == [
        (PAIR, "0x0dfe1681"),
        (PAIR, "0xd21220a7"),
        (PAIR, "0x0902f1ac"),
    ]
    with pytest.raises(StopIteration) as stop:
        reads.send(answers)
    return stop.value.value


def test_a_pair_is_read_from_its_address(protocol, state):
    answers = [(int(TOKEN0, 16),), (int(TOKEN1, 16),), (state.reserve0, state.reserve1, 5)]
    assert answered(protocol, answers) == replace(state, fee_pips=2500)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("answer", ["the call was refused", (2**200,), (1, 2, 3, 4)])
def test_answers_that_are_no_pairs_are_refused(protocol, place, answer):
    answers = [(int(TOKEN0, 16),), (int(TOKEN1, 16),), (1, 2, 5)]
    answers[place] = answer
    with pytest.raises(UnreadablePool):
        answered(protocol, answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reserve0": 2**112}, r"state\.reserve0: expected a uint112"),
        ({"fee_pips": 10**6}, r"state\.fee_pips: expected 0 to 999999"),
        ({"token1": TOKEN0}, r"state\.token1: expected another token"),
    ],
)
def test_a_state_no_pair_can_be_in_is_refused(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(UniswapV2.State, {**RAW, **change})
