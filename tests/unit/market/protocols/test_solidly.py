"""Solidly's pairs and Velodrome's: their state, their events, their reads, their quotes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.reference import solidly as reference
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

Solidly, VelodromeV1, VelodromeV2 = (
    PROTOCOLS.load(name) for name in ("solidly", "velodrome_v1", "velodrome_v2")
)
POOL, FACTORY, OTHER = "0x" + "0f" * 20, "0x" + "fa" * 20, "0x" + "07" * 20
TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
BLOCK = QuoteBlock(1, 1)
RAW = {
    "token0": TOKEN0,
    "token1": TOKEN1,
    "reserve0": 5 * 10**24,
    "reserve1": str(4 * 10**12),
    "stable": True,
    "fee": 5,
    "decimals1": 6,
    "pool": POOL,
    "factory": FACTORY,
}
SYNC = "0xcf2aa50876cdfbb541206f89af0ee78d44a2abf8d328e37fa4917f982149848a"
NARROW_SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
SET_CUSTOM_FEE = "0xae468ce586f9a87660fdffc1448cee942042c16ae2f02046b134b5224f31936b"
SET_PAUSE_STATE = "0x0d76538efc408318a051137c2720a9e82902acdbd46b802d488b74ca3a09a116"


@pytest.fixture(params=[Solidly, VelodromeV1, VelodromeV2], ids=lambda p: p.__name__)
def protocol(request):
    return request.param(request.param.Config())


@pytest.fixture
def newer():
    return VelodromeV2(VelodromeV2.Config())


@pytest.fixture
def state():
    return state_from(VelodromeV2.State, RAW)


def words(*values):
    return "0x" + "".join(f"{value:064x}" for value in values)


def log(data, *topics):
    return Log(POOL, topics or (SYNC,), data)


def indexed(address):
    return "0x" + address[2:].rjust(64, "0")


def test_a_quote_is_the_references(protocol, state):
    pair = reference.Pair(
        5 * 10**24, 4 * 10**12, 10**18, 10**6, 5, stable=True, strict=protocol.strict
    )
    for amount in (0, 10**12, 10**18, 3 * 10**23, 10**26):
        quote = protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, amount)
        assert quote == (*reference.exact_in(pair, amount), 0)
        if quote.amount:
            back = protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, quote.amount)
            assert back == (*reference.exact_out(pair, quote.amount), 0)
            assert back.amount <= amount


def test_the_other_way_has_the_other_reserves(protocol, state):
    there = protocol.quote_exact_in(state, BLOCK, TOKEN1, TOKEN0, 10**6)
    assert 10**18 < there.amount < 12 * 10**17
    volatile = replace(state, stable=False)
    there = protocol.quote_exact_in(volatile, BLOCK, TOKEN1, TOKEN0, 10**6)
    assert there.amount == (10**6 - 500) * 5 * 10**24 // (4 * 10**12 + 10**6 - 500)


@pytest.mark.parametrize(
    ("tokens", "amount", "status"),
    [
        ((TOKEN0, TOKEN0), 1, Status.SAME_TOKEN),
        ((TOKEN0, POOL), 1, Status.UNKNOWN_TOKEN),
        ((TOKEN0, TOKEN1), 2**256 - 1, Status.OVERFLOW),
        ((TOKEN0, TOKEN1), 2**256, Status.OVERFLOW),
        ((TOKEN0, TOKEN1), -1, Status.OVERFLOW),
    ],
)
def test_what_the_pair_refuses_has_its_name(protocol, state, tokens, amount, status):
    for ask in (protocol.quote_exact_in, protocol.marginal_rate):
        with pytest.raises(SwapRefused) as refused:
            ask(state, BLOCK, *tokens, amount)
        assert refused.value.status == status


def test_outputs_beyond_the_reserves_are_refused(protocol, state):
    for amount, status in (
        (0, Status.ZERO_AMOUNT),
        (4 * 10**12, Status.INSUFFICIENT_LIQUIDITY),
        (2**256, Status.OVERFLOW),
    ):
        with pytest.raises(SwapRefused) as refused:
            protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, amount)
        assert refused.value.status == status


def test_the_marginal_rate_is_the_slope(protocol, state):
    for at in (0, 10**23):
        rate = protocol.marginal_rate(state, BLOCK, TOKEN0, TOKEN1, at)
        here, there = (
            protocol.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, at + more).amount
            for more in (0, 10**20)
        )
        assert rate == pytest.approx((there - here) / 10**20, rel=1e-3)
    empty = replace(state, reserve0=0, reserve1=0)
    with pytest.raises(SwapRefused, match="EMPTY_POOL"):
        protocol.marginal_rate(empty, BLOCK, TOKEN0, TOKEN1, 1)


def test_fee_and_pause_are_those_of_the_block(newer, state):
    plain = newer.quote_exact_in(state, BLOCK, TOKEN0, TOKEN1, 10**20)
    dearer = replace(BLOCK, volatile={"fee": 100, "is_paused": False})
    assert newer.quote_exact_in(state, dearer, TOKEN0, TOKEN1, 10**20) < plain
    with pytest.raises(SwapRefused, match="PAUSED"):
        newer.quote_exact_in(state, replace(BLOCK, volatile={"is_paused": True}), TOKEN0, TOKEN1, 1)
    with pytest.raises(ValueError, match="fee: expected 0 to fee_denominator"):
        newer.quote_exact_in(state, replace(BLOCK, volatile={"fee": 10_001}), TOKEN0, TOKEN1, 1)


@pytest.mark.parametrize("topic", [SYNC, NARROW_SYNC])
def test_sync_sets_the_reserves(protocol, state, topic):
    after = protocol.apply(state, log(words(7, 9), topic))
    assert after == replace(state, reserve0=7, reserve1=9)


def test_the_factorys_events_set_fee_and_pause(newer, state):
    def fee(value, pool=POOL):
        return newer.apply(state, log(words(value), SET_CUSTOM_FEE, indexed(pool))).fee

    assert (fee(30), fee(420), fee(0), fee(30, OTHER)) == (30, 0, 5, 5)
    assert newer.apply(state, log(words(1), SET_PAUSE_STATE)).is_paused
    assert {"fee", "is_paused"} == newer.volatile


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (log(words(1), SYNC), "1 topics and 32 bytes"),
        (log(words(1, 2), "0x" + "00" * 32), "a topic that is not a pair's"),
        (log(words(10_001), SET_CUSTOM_FEE, indexed(POOL)), "a fee of 10001"),
        (log(words(2), SET_PAUSE_STATE), "neither on nor off"),
    ],
)
def test_a_malformed_log_is_refused(newer, state, event, said):
    with pytest.raises(MalformedLog, match=said):
        newer.apply(state, event)


def test_a_fee_needs_to_know_its_pool(newer, state):
    with pytest.raises(MalformedLog, match="does not name its pool"):
        newer.apply(replace(state, pool=None), log(words(3), SET_CUSTOM_FEE, indexed(POOL)))


def told(protocol, *answers, identity=None):
    """The calls of the reads and what they give, each round answered as told."""
    reads = protocol.reads(identity or protocol.Identity(POOL, FACTORY))
    asked = [next(reads)]
    try:
        for answer in answers:
            asked += [reads.send(answer)]
    except StopIteration as stop:
        return asked, stop.value
    raise AssertionError(f"it asks for more: {asked[-1]}")


METADATA = (10**18, 10**6, 5 * 10**24, 4 * 10**12, 1, int(TOKEN0, 16), int(TOKEN1, 16))


def test_reads_give_the_state(protocol, state):
    own_fee = protocol.fee_calls(protocol.Identity(POOL, FACTORY), stable=True)
    asked, found = told(protocol, [METADATA], [(0,), *[(5,) for _ in own_fee]])
    assert [call.to for call in asked[0]] == [POOL]
    assert {call.to for call in asked[1]} == {FACTORY}
    assert found == replace(state, fee=5 if own_fee else 1)


def test_refresh_reads_what_moves_without_events(protocol, state):
    reads = protocol.refresh(state)
    calls = next(reads)
    with pytest.raises(StopIteration) as stop:
        reads.send([(1,), (33,)][: len(calls)])
    assert set(stop.value.value) == protocol.volatile
    assert stop.value.value["is_paused"] is True
    with pytest.raises(UnreadablePool, match="names no pool"):
        next(protocol.refresh(replace(state, factory=None)))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("it reverted", r"metadata\(\): it reverted"),
        (METADATA[:6], "answered 6 words instead of 7"),
        ((*METADATA[:4], 2, *METADATA[5:]), "did not answer a kind and two tokens"),
        ((7, *METADATA[1:]), "a scale of 7"),
        ((*METADATA[:6], METADATA[5]), "another token"),
    ],
)
def test_answers_of_something_else_are_refused(newer, metadata, said):
    with pytest.raises(UnreadablePool, match=said):
        told(newer, [metadata], [(0,), (5,)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decimals0": 10**18}, "decimals0: expected the token's decimals, such as 18"),
        ({"decimals1": -1}, "decimals1"),
        ({"fee": 10_001}, "fee: expected 0 to fee_denominator, which is 10000, found 10001"),
        ({"fee_denominator": 0}, "fee_denominator: expected 1"),
        ({"token1": TOKEN0}, "token1: expected another token"),
        ({"reserve0": -1}, "reserve0: expected an unsigned integer below 2"),
        ({"stable": "yes"}, "stable: expected true or false"),
        ({"reserves": 1}, "there is no such field"),
    ],
)
def test_a_malformed_state_names_its_field(change, said):
    with pytest.raises(MalformedState, match=said):
        state_from(VelodromeV2.State, RAW | change)
