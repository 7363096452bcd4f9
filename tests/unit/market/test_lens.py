"""What the lens's caller makes of whatever a node answers."""

from __future__ import annotations

import asyncio
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain.artifacts import artifact
from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.domain.events import BlockRef
from searcher.market import concentrated
from searcher.market.concentrated import read_concentrated, read_plainly
from searcher.market.lens import (
    LEAST_GAS,
    MOST_POOLS,
    LensRefused,
    Reading,
    Tick,
    bitmap_words,
    read_through_lens,
)
from searcher.market.protocol import Pool
from tests.unit.market.world import DAI, USDC, WETH, World, address, make_market

HEAD = BlockRef(7, "0x" + "5e" * 32)
POOLS = [
    Pool(*[address(0x50 + n)] * 2, "uniswap_v3", "v3", (WETH, DAI), 3_000, spacing)
    for n, spacing in enumerate((60, 10, 200))
]
WHOLE, UNFINISHED, NO_TICK = 0, 1, 5
TOO_MUCH = Rejected("out of gas")


def record(status, place, reading):
    price, tick, liquidity, ticks = reading
    head = struct.pack(">Bi", status, place)
    head += b"".join((word % 2**256).to_bytes(32, "big") for word in (price, tick, liquidity))
    body = b"".join(
        tick.to_bytes(4, "big", signed=True)
        + net.to_bytes(16, "big", signed=True)
        + gross.to_bytes(16, "big")
        for tick, net, gross in ticks
    )
    return head + struct.pack(">I", len(ticks)) + body


def answer(*records):
    packed = b"".join(records)
    padded = packed + bytes(-len(packed) % 32)
    return "0x" + f"{32:064x}{len(packed):064x}" + padded.hex()


class Script:
    """A node that answers `eth_call` with what it was given, in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def call(self, method, params=()):
        assert method == "eth_call"
        self.asked.append(params)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def batch_settled(self, calls):
        return [Rejected("execution reverted") for _ in calls]

    @property
    def gas(self):
        return [int(call["gas"], 16) for call, _, _ in self.asked]


def ranges(params):
    """The pools, spacings, first and last places of a request."""
    body = params[0]["data"][10:]
    words = [int(body[i : i + 64], 16) for i in range(0, len(body), 64)]
    assert words[:2] == [32, (len(words) - 2) // 4]
    return [
        (f"0x{pool:040x}", *(w - 2**256 if w >> 255 else w for w in rest))
        for pool, *rest in (words[i : i + 4] for i in range(2, len(words), 4))
    ]


class Rationed:
    """Answers as the lens does with gas for so many ticks a call; a place counts a pool's ticks."""

    def __init__(self, wanted, rations):
        self.wanted = dict(zip((pool.address for pool in POOLS), wanted, strict=True))
        self.first = {pool.address: bitmap_words(pool.tick_spacing)[0] * 256 for pool in POOLS}
        self.rations = rations

    async def call(self, method, params=()):
        assert method == "eth_call"
        left = next(self.rations)
        records = []
        for pool, _, first, _ in ranges(params):
            reading = self.wanted[pool]
            rest = reading.ticks[first - self.first[pool] :]
            if len(rest) > left:
                part = reading._replace(ticks=rest[:left])
                records.append(record(UNFINISHED, first + left, part))
                break
            left -= len(rest)
            records.append(record(WHOLE, 0, reading._replace(ticks=rest)))
        return answer(*records)


async def gathered(readings):
    return [reading async for reading in readings]


def seen(node, pools=POOLS, gas=16_000_000):
    return gathered(read_through_lens(node, pools, HEAD, gas=gas))


words = st.integers(0, 2**256 - 1)
ticks = st.builds(
    Tick,
    st.integers(-887_272, 887_272),
    st.integers(-(2**127), 2**127 - 1),
    st.integers(0, 2**128 - 1),
)
readings = st.builds(Reading, words, words, words, st.lists(ticks, max_size=12))


@given(st.lists(readings, min_size=3, max_size=3), st.lists(st.integers(1, 20), min_size=1))
def test_readings_are_put_together_from_any_parts(wanted, rations):
    assert asyncio.run(seen(Rationed(wanted, itertools.cycle(rations)))) == wanted


A, B = (Reading(2**96 + n, 2**256 - 5, 3, [Tick(-60, 4, 4), Tick(60, -4, 4)]) for n in range(2))


async def test_a_call_names_the_block_by_its_hash_and_lends_its_code():
    node = Script(answer(record(WHOLE, 0, A), record(WHOLE, 0, B)))
    assert await seen(node, POOLS[:2]) == [A, B]
    ((call, at, lent),) = node.asked
    assert at == {"blockHash": HEAD.hash}
    assert lent == {call["to"]: {"code": artifact("PoolReader").runtime}}
    assert ranges(node.asked[0]) == [
        (POOLS[0].address, 60, -58 * 256, 57 * 256),
        (POOLS[1].address, 10, -347 * 256, 346 * 256),
    ]


async def test_no_pools_need_no_call():
    assert await seen(Script(), []) == []


async def test_one_call_asks_for_no_more_pools_than_it_may():
    whole = record(WHOLE, 0, A)
    node = Script(answer(*[whole] * MOST_POOLS), answer(whole))
    assert len(await seen(node, POOLS[:1] * (MOST_POOLS + 1))) == MOST_POOLS + 1
    assert [len(ranges(params)) for params in node.asked] == [MOST_POOLS, 1]


async def test_a_refused_pool_is_told_with_its_call_and_the_next_one_is_read():
    node = Script(answer(record(NO_TICK, -120, A), record(WHOLE, 0, B)))
    refused, read = await seen(node, POOLS[:2])
    assert refused == "ticks(-120) reverted or has another shape than Uniswap V3's"
    assert read == B


@pytest.mark.parametrize("failure", [TOO_MUCH, Retryable("the node did not answer within 10 s")])
async def test_what_the_node_finds_too_much_is_asked_with_less_gas(failure):
    node = Script(failure, failure, answer(record(UNFINISHED, 0, A)), answer(record(WHOLE, 0, B)))
    (reading,) = await seen(node, POOLS[:1], gas=8 * LEAST_GAS)
    assert reading == B._replace(ticks=A.ticks + B.ticks)
    assert node.gas == [8 * LEAST_GAS, 4 * LEAST_GAS, 2 * LEAST_GAS, 2 * LEAST_GAS]


@pytest.mark.parametrize("failure", [TOO_MUCH, Retryable("the node did not answer within 10 s")])
async def test_a_node_that_refuses_even_the_least_gas_does_not_run_the_lens(failure):
    node = Script(*[failure] * 3)
    with pytest.raises(LensRefused, match=str(failure)):
        await seen(node, gas=3 * LEAST_GAS)
    assert node.gas == [3 * LEAST_GAS, 3 * LEAST_GAS // 2, LEAST_GAS]


async def test_an_unreachable_node_is_asked_once():
    node = Script(NodeUnreachable("the node at x does not answer: start it"))
    with pytest.raises(NodeUnreachable):
        await seen(node)
    assert len(node.asked) == 1


LAST = record(WHOLE, 0, B)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0x", "does not take the state override"),
        (None, "something else"),
        ({}, "something else"),
        ("0x0", "something else"),
        ("0x" + "zz" * 64, "something else"),
        ("0x" + "00" * 64, "something else"),
        ("0x" + "0" * 63 + "1", "something else"),
        (answer(LAST)[:-64], "something else"),
        (answer(LAST) + "00" * 32, "something else"),
        (answer(LAST[:-1]), "something else"),
        (answer(LAST[:-36]), "something else"),
        (answer(LAST[:50]), "something else"),
        (answer(record(6, 0, A)), "something else"),
        (answer(record(UNFINISHED, 9, A), LAST), "something else"),
        (answer(LAST, LAST, LAST, LAST), "something else"),
        (answer(), "gets nowhere"),
        (answer(record(UNFINISHED, -58 * 256, A)), "gets nowhere"),
        (answer(record(UNFINISHED, -59 * 256, A)), "gets nowhere"),
    ],
)
async def test_an_answer_that_is_not_the_lens_s_is_not_believed(given, why):
    with pytest.raises(LensRefused, match=why):
        await seen(Script(given))


async def test_what_the_lens_has_read_stands_when_the_node_stops_running_it(monkeypatch):
    asked = []

    async def plainly(_, pools, block, *, batch_calls):
        asked.append((pools, block, batch_calls))
        for _ in pools:
            yield B

    monkeypatch.setattr(concentrated, "read_plainly", plainly)
    node = Script(answer(record(WHOLE, 0, A), record(UNFINISHED, 5, A)), "0x")
    assert await gathered(read_concentrated(node, POOLS, HEAD, gas=10**7, batch_calls=9)) == [
        A,
        B,
        B,
    ]
    assert asked == [(POOLS[1:], HEAD, 9)]


async def test_plain_calls_that_fail_are_told():
    found = await gathered(read_plainly(Script(), POOLS, HEAD, batch_calls=5))
    assert len(found) == 3
    assert all("slot0 and liquidity: the call was refused" in why for why in found)


async def test_a_market_that_is_read_lets_others_have_the_loop():
    world = World()
    for _ in range(20):
        world.create_v3(WETH, DAI, 3_000, 0, [(-60, 60, 10**18)])
        world.create_v2("v2", WETH, USDC, 10, 10)
    world.seal()
    turns = 0

    async def other():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(other())
    await make_market().bootstrap(world, world.head)
    beside.cancel()
    # This node answers at once, so the turns were given on purpose: one for each of 40 pools found,
    # of 20 states and of 40 rows drawn.
    assert turns > 80
