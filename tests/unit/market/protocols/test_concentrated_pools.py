"""Uniswap V3, PancakeSwap V3 and Slipstream: states, events, reads, quotes, announcements."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.errors import Misconfigured, Rejected
from searcher.domain.events import BlockRef, Log
from searcher.domain.units import keccak256
from searcher.kernels.curves import DEAD
from searcher.kernels.hops import write_image
from searcher.kernels.reference.uniswap_v3 import MAX_SQRT_RATIO, Q96, sqrt_at_tick, swap
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.concentrated_pools import (
    BURN,
    FEE,
    INITIALIZE,
    MINT,
    TICK_SPACING,
    TOKEN0,
    TOKEN1,
    UNKNOWN_FEE,
    ConcentratedPoolIdentity,
)
from searcher.market.decoding import MalformedLog
from searcher.market.memory import MarketMemory
from searcher.market.protocol import PROTOCOLS, Announcement, Pool, QuoteBlock, UnreadablePool
from searcher.market.settings import DexSettings
from searcher.market.state import MalformedState, state_from
from searcher.market.ticks import Tick, TickTable
from tests.kernels.concentrated_pools import curve_of

NAMES = ["uniswap_v3", "pancake_v3", "slipstream"]
POOL = "0x" + "0f" * 20
A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
BLOCK = QuoteBlock(1, 1)
RAW = {
    "pool": POOL,
    "token0": A,
    "token1": B,
    "fee": 3000,
    "tick_spacing": 60,
    "sqrt_price_x96": str(Q96 + 10**20),
    "tick": 0,
    "liquidity": 3 * 10**18,
    "ticks": [
        {"index": -6000, "liquidity_net": 10**18, "liquidity_gross": str(10**18)},
        {"index": -60, "liquidity_net": 2 * 10**18, "liquidity_gross": 2 * 10**18},
        {"index": 120, "liquidity_net": -2 * 10**18, "liquidity_gross": hex(2 * 10**18)},
        {"index": 6000, "liquidity_net": str(-(10**18)), "liquidity_gross": 10**18},
    ],
}


@pytest.fixture(params=NAMES)
def protocol(request):
    kind = PROTOCOLS.load(request.param)
    return kind(kind.Config())


@pytest.fixture
def v3():
    kind = PROTOCOLS.load("uniswap_v3")
    return kind(kind.Config())


@pytest.fixture
def slipstream():
    kind = PROTOCOLS.load("slipstream")
    return kind(kind.Config())


@pytest.fixture
def state(v3):
    return state_from(v3.State, RAW)


def word(value):
    return f"{(int(value, 16) if isinstance(value, str) else value) % 2**256:064x}"


def data(*values):
    return "0x" + "".join(map(word, values))


def log(topics, *values):
    first, *rest = topics
    return Log(POOL, (first, *("0x" + word(topic) for topic in rest)), data(*values))


def swapped(protocol, price, liquidity, tick):
    more = [0] * (protocol.swap_words - 5)
    return log((protocol.swap_topic, A, B), 1, -1, price, liquidity, tick, *more)


def test_topics_are_those_of_the_signatures():
    def topic(signature):
        return "0x" + keccak256(signature.encode()).hex()

    v3, pancake, slipstream = (PROTOCOLS.load(name) for name in NAMES)
    swap_ = "Swap(address,address,int256,int256,uint160,uint128,int24"
    assert topic(f"{swap_})") == v3.swap_topic == slipstream.swap_topic
    assert topic(f"{swap_},uint128,uint128)") == pancake.swap_topic
    created = topic("PoolCreated(address,address,uint24,int24,address)")
    assert {created} == v3.created_topics == pancake.created_topics
    assert slipstream.created_topics == {topic("PoolCreated(address,address,int24,address)")}
    for name, view in (
        ("fee()", FEE),
        ("tickSpacing()", TICK_SPACING),
        ("token0()", TOKEN0),
        ("token1()", TOKEN1),
    ):
        assert topic(name)[:10] == view


# ---- states


def test_a_quote_is_the_references_swap(protocol, state):
    for amount in (1, 10**15, 10**16, 10**17):
        for tokens, zero_for_one in (((A, B), True), ((B, A), False)):
            result = swap(
                curve_of(state),
                zero_for_one=zero_for_one,
                amount=amount,
                fee_pips=3000,
                tick_spacing=60,
            )
            quote = protocol.quote_exact_in(state, BLOCK, *tokens, amount)
            assert quote.amount == quote.realised == -min(result.amount0, result.amount1)
            assert quote.crossings == result.crossed
            back = protocol.quote_exact_out(state, BLOCK, *tokens, quote.amount or 1)
            assert back.amount <= amount or not quote.amount
    rate = protocol.marginal_rate(state, BLOCK, A, B, 0)
    assert rate == pytest.approx(0.997 * (state.sqrt_price_x96 / Q96) ** 2)


@pytest.mark.parametrize(
    ("tokens", "amount", "status"),
    [
        ((A, A), 1, Status.SAME_TOKEN),
        ((A, POOL), 1, Status.UNKNOWN_TOKEN),
        ((A, B), 0, Status.ZERO_AMOUNT),
        ((A, B), 2**255, Status.OVERFLOW),
        ((A, B), 2**256, Status.OVERFLOW),
        ((A, B), 10**30, Status.INSUFFICIENT_LIQUIDITY),
    ],
)
def test_what_the_pool_would_not_take_is_refused(v3, state, tokens, amount, status):
    for quote in (v3.quote_exact_in, v3.quote_exact_out):
        with pytest.raises(SwapRefused) as refused:
            quote(state, BLOCK, *tokens, amount)
        assert refused.value.status is status


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token1": A}, "state.token1: expected another token"),
        ({"fee": 1_000_001}, "state.fee: expected 0 to 1000000"),
        ({"fee": -1}, "state.fee: expected 0 to 1000000"),
        ({"tick_spacing": 0}, "state.tick_spacing: expected 1 to 16383"),
        ({"tick_spacing": 16_384}, "state.tick_spacing: expected 1 to 16383"),
        ({"tick_spacing": 61}, "state.ticks: -6000 is not a multiple"),
        ({"sqrt_price_x96": 5}, "state.sqrt_price_x96: expected 4295128739"),
        ({"sqrt_price_x96": MAX_SQRT_RATIO}, "state.sqrt_price_x96: expected 4295128739"),
        ({"sqrt_price_x96": 2**256}, "state.sqrt_price_x96: expected an unsigned integer"),
        ({"sqrt_price_x96": 0}, "state.sqrt_price_x96: 0 for a pool that has"),
        ({"tick": 1}, "state.tick: 1 is not the tick of"),
        ({"tick": -1}, "state.tick: -1 is not the tick of"),
        ({"tick": 10**9}, "state.tick: 1000000000 is not the tick of"),
        ({"liquidity": 10**18}, "state.liquidity: 1000000000000000000 where the ticks add up to 3"),
        ({"liquidity": 2**128}, "state.liquidity: expected a uint128"),
        ({"ticks": RAW["ticks"][::-1]}, "state.ticks: expected ascending ticks"),
        ({"ticks": RAW["ticks"][:1] * 2}, "state.ticks: expected ascending ticks"),
        ({"ticks": []}, "state.liquidity: 3000000000000000000 where the ticks add up to 0"),
        ({"ticks": [{"index": 60}]}, r"state.ticks\[0\].liquidity_net: missing"),
        (
            {"ticks": [{"index": 887_273, "liquidity_net": 1}]},
            r"state.ticks\[0\].index: expected -887272 to 887272",
        ),
        (
            {"ticks": [{"index": 60, "liquidity_net": 2, "liquidity_gross": 1}]},
            r"state.ticks\[0\].liquidity_net: expected an int128",
        ),
        (
            {"ticks": [{"index": 60, "liquidity_net": 2**127}]},
            r"state.ticks\[0\].liquidity_net: expected an int128",
        ),
        (
            {"ticks": [{"index": 60, "liquidity_net": 1, "liquidity_gross": 2**128}]},
            r"state.ticks\[0\].liquidity_gross: expected a uint128",
        ),
        ({"ticks": [{"index": 60, "net": 1}]}, r"state.ticks\[0\].net: there is no such field"),
    ],
)
def test_a_malformed_state_is_refused_by_its_field(v3, change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(v3.State, RAW | change)


def test_a_price_on_a_tick_may_lie_above_or_below_it(v3):
    for tick, liquidity in ((-60, 3 * 10**18), (-61, 10**18)):
        raw = RAW | {"sqrt_price_x96": sqrt_at_tick(-60), "tick": tick, "liquidity": liquidity}
        state = state_from(v3.State, raw)
        v3.quote_exact_in(state, BLOCK, A, B, 10**15)


def test_a_part_of_the_ticks_is_quoted_as_far_as_it_goes(v3, state):
    part = state_from(v3.State, RAW | {"ticks": RAW["ticks"][1:]})
    inside = 10**15
    assert v3.quote_exact_in(part, BLOCK, A, B, inside) == v3.quote_exact_in(
        state, BLOCK, A, B, inside
    )
    with pytest.raises(SwapRefused, match="contradicts itself"):
        v3.quote_exact_in(part, BLOCK, A, B, 10**17)


# ---- events


def test_positions_come_and_go(protocol, state):
    minted = protocol.apply(state, log((MINT, A, -60, 60), A, 10**18, 1, 1))
    assert minted.liquidity == 4 * 10**18
    assert minted.ticks[1] == Tick(-60, 3 * 10**18, 3 * 10**18)
    assert minted.ticks[2] == Tick(60, -(10**18), 10**18)
    outside = protocol.apply(minted, log((MINT, A, 600, 660), A, 7, 1, 1))
    assert outside.liquidity == minted.liquidity
    back = protocol.apply(outside, log((BURN, A, 600, 660), 7, 1, 1))
    back = protocol.apply(back, log((BURN, A, -60, 60), 10**18, 1, 1))
    assert back == state
    assert protocol.apply(state, log((BURN, A, -60, 60), 0, 0, 0)) is state


def test_a_swap_says_the_state_and_keeps_the_ticks(protocol, state):
    after = protocol.apply(state, swapped(protocol, sqrt_at_tick(150) + 1, 10**18, 150))
    assert (after.tick, after.liquidity) == (150, 10**18)
    assert after.ticks is state.ticks


def test_an_initialize_gives_the_price(protocol):
    pool = Pool(POOL, POOL, "p", "d", (A, B), 500, 10)
    empty = protocol.new(pool)
    assert not protocol.funded(empty)
    with pytest.raises(SwapRefused):
        protocol.quote_exact_in(empty, BLOCK, A, B, 1)
    begun = protocol.apply(empty, log((INITIALIZE,), Q96, 0))
    assert (begun.sqrt_price_x96, begun.tick) == (Q96, 0)
    minted = protocol.apply(begun, log((MINT, A, -10, 10), A, 10**18, 1, 1))
    assert protocol.funded(minted)


@pytest.mark.parametrize(
    ("topics", "values"),
    [
        ((INITIALIZE,), (Q96, 0)),
        ((MINT, A, -60, 61), (A, 1, 1, 1)),
        ((MINT, A, 60, -60), (A, 1, 1, 1)),
        ((MINT, A, -60, 60), (A, 2**128, 1, 1)),
        ((BURN, A, -60, 60), (3 * 10**18, 1, 1)),
        ((BURN, A, -120, 60), (1, 1, 1)),
        ((BURN, A, -60), (1, 1, 1)),
        ((A,), ()),
    ],
)
def test_an_event_that_cannot_be_is_malformed(protocol, state, topics, values):
    with pytest.raises(MalformedLog):
        protocol.apply(state, log(topics, *values))


@pytest.mark.parametrize(
    ("price", "liquidity", "tick"),
    [(0, 0, 0), (Q96, 7, 0), (Q96, 3 * 10**18, 5), (MAX_SQRT_RATIO, 0, 887_272)],
)
def test_a_swap_that_cannot_be_is_malformed(protocol, state, price, liquidity, tick):
    with pytest.raises(MalformedLog):
        protocol.apply(state, swapped(protocol, price, liquidity, tick))


def test_a_tick_whose_gross_is_not_known_takes_no_position():
    table = TickTable([Tick(-60, 5), Tick(60, -5)])
    with pytest.raises(ValueError, match="not known"):
        table.positioned(-60, 120, 1)


# ---- reads


class Answers:
    """A pool's views, by selector and argument."""

    def __init__(self, protocol, state):
        slot0, tick_words = protocol.shape.slot0, protocol.shape.tick
        self.words = {
            TOKEN0: (int(A, 16),),
            TOKEN1: (int(B, 16),),
            FEE: (3000,),
            TICK_SPACING: (60,),
            "0x3850c7bd": (state.sqrt_price_x96, state.tick, *[1] * (slot0 - 2)),
            "0x1a686502": (state.liquidity,),
        }
        self.ticks = {tick.index: tick for tick in state.ticks}
        self.tick_words = tick_words

    def __call__(self, call):
        selector, argument = call.data[:10], call.data[10:]
        if selector in self.words:
            return self.words[selector]
        number = int(argument, 16)
        number -= 2**256 if number >> 255 else 0
        if selector == "0x5339c296":
            places = [index // 60 for index in self.ticks]
            return (sum(1 << (place & 255) for place in places if place >> 8 == number),)
        assert selector == "0xf30dba93"
        tick = self.ticks[number]
        held = (tick.liquidity_gross, tick.liquidity_net % 2**256)
        return held + (1,) * (self.tick_words - 2)


def carried_out(reads, answer):
    try:
        calls = next(reads)
        while True:
            assert all(call.to == POOL for call in calls)
            calls = reads.send([answer(call) for call in calls])
    except StopIteration as stop:
        return stop.value


def test_a_state_is_read_from_the_address(protocol, state):
    reads = protocol.reads(ConcentratedPoolIdentity(POOL))
    assert carried_out(reads, Answers(protocol, state)) == state


@pytest.mark.parametrize(
    ("selector", "answer", "message"),
    [
        (TOKEN0, "reverted", r"token0\(\): reverted"),
        (TOKEN1, (2**200,), "token0.* or token1"),
        (FEE, (1, 2), r"fee\(\) answered 2 words"),
        (FEE, (2_000_000,), "fee: expected"),
        (TICK_SPACING, (0,), r"tickSpacing\(\) answered 0"),
        ("0x3850c7bd", (1, 2, 3), "another shape"),
        ("0x3850c7bd", "reverted", "slot0 and liquidity: reverted"),
        ("0x1a686502", (7,), "liquidity: 7 where the ticks add up"),
    ],
)
def test_what_is_no_such_pool_is_unreadable(protocol, state, selector, answer, message):
    answers = Answers(protocol, state)
    answers.words[selector] = answer
    with pytest.raises(UnreadablePool, match=message):
        carried_out(protocol.reads(ConcentratedPoolIdentity(POOL)), answers)


def test_ticks_that_do_not_add_up_are_unreadable(protocol, state):
    answers = Answers(protocol, state)
    del answers.ticks[6000]
    with pytest.raises(UnreadablePool, match="liquidity is left"):
        carried_out(protocol.reads(ConcentratedPoolIdentity(POOL)), answers)


class Node:
    """Answers `eth_call`s in batches from a pool's views; another address reverts."""

    def __init__(self, answers):
        self.answers = answers
        self.batches = 0

    async def batch_settled(self, calls):
        self.batches += 1
        return [self._answer(params[0]) for _, params in calls]

    def _answer(self, call):
        if call["to"] != POOL:
            return Rejected("execution reverted")
        said = self.answers(type("Call", (), {"data": call["data"]}))
        return data(*said)


async def test_slipstream_is_read_together_and_its_fee_with_it(slipstream, state):
    node = Node(Answers(slipstream, state))
    pools = [
        Pool(address, address, "slipstream", "d", (A, B), UNKNOWN_FEE, 60)
        for address in (POOL, "0x" + "22" * 20)
    ]
    read = await slipstream.read(node, pools, BlockRef(1, "0x" + "01" * 32), batch_calls=400)
    assert read[0] == state
    assert read[1].startswith("token0()")
    assert node.batches == 4


def test_slipstreams_fee_is_read_for_each_block(slipstream, state):
    assert slipstream.volatile == {"fee"}
    answers = Answers(slipstream, state)
    answers.words[FEE] = (77,)
    assert carried_out(slipstream.refresh(state), answers) == {"fee": 77}
    now = QuoteBlock(1, 1, {"fee": 77})
    expected = slipstream.quote_exact_in(replace(state, fee=77), BLOCK, A, B, 10**15)
    assert slipstream.quote_exact_in(state, now, A, B, 10**15) == expected
    for answer in ("reverted", (1, 2), (UNKNOWN_FEE,)):
        answers.words[FEE] = answer
        with pytest.raises(UnreadablePool, match=r"fee\(\)"):
            carried_out(slipstream.refresh(state), answers)


# ---- what the market asks


def test_announcements(v3, slipstream):
    dex = DexSettings(protocol="p", factory=A)
    (keyed_by_fee,), (keyed_by_spacing,) = v3.created_topics, slipstream.created_topics
    said = v3.announced("d", dex, log((keyed_by_fee, A, B, 500), 10, POOL))
    identity = ConcentratedPoolIdentity(POOL)
    assert said == Announcement(POOL, POOL, (A, B), 500, 10, identity)
    said = slipstream.announced("d", dex, log((keyed_by_spacing, A, B, 200), POOL))
    assert said == Announcement(POOL, POOL, (A, B), UNKNOWN_FEE, 200, identity)
    assert v3.identity(Pool(POOL, POOL, "p", "d", (A, B), 500, 10)) == identity
    for bad in (
        log((keyed_by_fee, A, B, 1_000_000), 10, POOL),
        log((keyed_by_fee, A, B, 500), 0, POOL),
        log((keyed_by_fee, A, B, 500), 20_000, POOL),
        log((keyed_by_fee, A, B), 10, POOL),
    ):
        with pytest.raises(MalformedLog):
            v3.announced("d", dex, bad)
    with pytest.raises(MalformedLog):
        slipstream.announced("d", dex, log((keyed_by_spacing, A, B, 0), POOL))


def test_a_fee_in_the_settings_has_no_meaning(protocol):
    with pytest.raises(Misconfigured, match="leave it out"):
        protocol.check("d", DexSettings(protocol="p", factory=A, fee_pips=5))


def test_a_pool_whose_fee_is_not_known_is_neither_quoted_nor_searched(slipstream, state):
    memory = MarketMemory(4)
    row = memory.add()
    memory.set_alive(row, alive=True)
    slipstream.store(memory, row, state)
    write_image(memory.table, row)
    assert (memory.rate[:2] > DEAD).all()
    unknown = replace(state, fee=UNKNOWN_FEE)
    slipstream.store_volatile(memory, row, {"fee": UNKNOWN_FEE})
    write_image(memory.table, row)
    assert slipstream.load(memory, row, Pool(POOL, POOL, "p", "d", (A, B))) == unknown
    assert not (memory.rate[:2] > DEAD).any()
    with pytest.raises(SwapRefused, match="fee is not known"):
        slipstream.quote_exact_in(unknown, BLOCK, A, B, 1)


def test_gas_grows_with_the_ticks_crossed(v3, state):
    near = v3.quote_exact_in(state, BLOCK, A, B, 10)
    far = v3.quote_exact_in(state, BLOCK, A, B, 10**17)
    assert far.crossings == 1
    assert v3.swap_gas(far) - v3.swap_gas(near) == v3.config.crossing_gas


def test_tables_of_two_fees_at_most_are_kept(v3, state):
    for fee in (100, 200, 300):
        v3.quote_exact_in(replace(state, fee=fee), BLOCK, A, B, 10**15)
    assert [key[0] for key in state.table._books] == [200, 300]
