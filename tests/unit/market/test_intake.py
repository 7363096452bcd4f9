"""What no log tells: moving values, pools that must be read first, tokens' decimals."""

from __future__ import annotations

import asyncio
import random

import pytest

from searcher.domain.errors import Retryable
from searcher.domain.events import Log
from searcher.kernels.memory import FEE
from searcher.kernels.refusal import SwapRefused
from searcher.market.protocol import QuoteBlock
from searcher.market.settings import FollowingSettings
from tests.unit.market.branches import (
    BASKETS,
    CREATED,
    DEXES,
    TOKENS,
    BasketState,
    Tree,
    follow,
    new_market,
)
from tests.unit.market.histories import INITIALIZE, MINT, OWNER, data, protocol_of, topics
from tests.unit.market.test_journal import begin
from tests.unit.market.world import address

WHERE = address(0x777)
OTHER = address(0x778)
PAIR = TOKENS[:2]


class Scene:
    """A market and a node whose answers a test writes down."""

    def __init__(self, **following):
        self.tree = Tree(random.Random(0))
        self.market = new_market()
        self.market._intake._following = FollowingSettings(**following)
        begin(self.market, self.tree)
        self.at = self.tree.root
        self.fees = {}
        self.baskets = {}
        self.away = False

    async def batch_settled(self, calls):
        if self.away:
            raise Retryable("the node is away: ask again")
        return [self._answer(*params) for _, params in calls]

    def _answer(self, call, at):
        assert at["blockHash"] == self.at.ref.hash
        if call["data"] == "0x313ce567":
            return data(6)
        if call["to"] in self.baskets:
            return self.baskets[call["to"]]
        fee = self.fees[call["to"]]
        return fee if isinstance(fee, str) else data(fee)

    async def block(self, *logs):
        """Apply a block of these logs, and do after it what a pipeline does."""
        node = self.tree._sealed(self.at, list(logs), {}, {}, frozenset())
        self.at = node
        return await follow(self.market, self, node)

    async def pool(self, where):
        """Have a pool with liquidity, whose fee moves."""
        (created,) = protocol_of("slipstream").created_topics
        self.fees.setdefault(where, 500)
        await self.block(
            Log(DEXES["slip"]["factory"], topics(created, *PAIR, 60), data(where)),
            Log(where, topics(INITIALIZE), data(2**96, 0)),
            Log(where, topics(MINT, OWNER, -600, 600), data(OWNER, 10**20, 1, 1)),
        )
        return self.market.number(where)

    def searched(self, where):
        return self.market.why_not(self.market.row(where)) == ""


AMOUNT = 10**15


async def test_a_moving_fee_is_read_for_each_block_and_quoted():
    scene = Scene()
    number = await scene.pool(WHERE)
    market, row = scene.market, scene.market.row(WHERE)
    protocol = market.protocol(row)
    block, last = QuoteBlock(9, 9), 500
    for fee in (500, 700, 700, 100):
        scene.fees[WHERE] = fee
        (applied, read, *_) = await scene.block()
        assert applied.rows == ()
        assert (row in read.rows) == (fee != last)
        last = fee
        assert scene.searched(WHERE)
        assert market.fee_pips(row) == fee == market.memory.shape[row, FEE]
        assert market.state(number).fee == fee
        expected = protocol.quote_exact_in(market.state(number), block, *PAIR, AMOUNT)
        assert market.quote(row, block, AMOUNT, zero_for_one=True) == expected


async def test_a_pool_whose_value_cannot_be_read_is_set_aside_until_it_can():
    scene = Scene()
    await scene.pool(WHERE)
    await scene.pool(OTHER)
    market, row = scene.market, scene.market.row(WHERE)
    for answer, why in (("0x", "fee(): the contract answered 0 bytes"), (data(10**6), "fee() did")):
        scene.fees[WHERE] = answer
        (_, read, *_) = await scene.block()
        assert read.left == (row,)
        assert market.why_not(row).startswith(f"volatile fields not read: {why}")
        assert not (market.memory.rate[2 * row : 2 * row + 2] > -1e9).any()
        assert scene.searched(OTHER)
        scene.fees[WHERE] = 800
        (_, read, *_) = await scene.block()
        assert read.entered == (row,)
        assert market.fee_pips(row) == 800


async def test_without_a_node_nothing_that_moves_is_searched():
    scene = Scene()
    await scene.pool(WHERE)
    scene.away = True
    (_, read, *_) = await scene.block()
    assert read.left == (scene.market.row(WHERE),)
    assert "the node is away" in scene.market.why_not(scene.market.row(WHERE))
    scene.away = False
    await scene.block()
    assert scene.searched(WHERE)


async def test_what_is_beyond_the_budget_is_set_aside_and_has_its_turn():
    scene = Scene(volatile_pools=2)
    where = [address(0x700 + n) for n in range(5)]
    for each in where:
        await scene.pool(each)
    turns = dict.fromkeys(where, 0)
    for _ in range(10):
        await scene.block()
        searched = [each for each in where if scene.searched(each)]
        assert len(searched) == 2
        for each in searched:
            turns[each] += 1
    assert all(3 <= count <= 5 for count in turns.values())
    assert scene.market.statistics().set_aside == {
        "volatile fields not read: more pools than volatile_pools": 3
    }


async def test_what_was_read_of_another_block_than_the_head_is_dropped():
    scene = Scene()
    await scene.pool(WHERE)
    market, before = scene.market, scene.at
    node = scene.tree._sealed(scene.at, [], {}, {}, frozenset())
    market.apply(node.block)
    scene.fees[WHERE] = 900
    delta = await market.refresh_volatile(scene, before.ref)
    assert delta.rows == ()
    assert market.fee_pips(market.row(WHERE)) == 500


async def test_a_value_that_a_state_cannot_have_is_not_taken():
    scene = Scene()
    number = await scene.pool(WHERE)
    protocol = scene.market.protocol_of(number)

    def refresh(_state):
        yield []
        return {"fee": -1}

    protocol.refresh = refresh
    await scene.block()
    why = scene.market.why_not(scene.market.row(WHERE))
    assert why == "volatile fields not read: fee: expected 0 to 1000000, found -1"


# ---- pools that must be read first

BASKET = data(*TOKENS[:3], 100, 200, 300, 1, 5)


@pytest.mark.parametrize("named", [False, True])
async def test_a_pool_that_must_be_read_is_searched_from_then_on(named):
    scene = Scene()
    scene.baskets[WHERE] = "0x"
    await scene.block(Log(BASKETS, (CREATED,), data(WHERE, *(TOKENS[:3] if named else ()))))
    market = scene.market
    number = market.number(WHERE)
    assert (number is not None) == named
    if named:
        assert market.state(number) is None
        assert market.why_not(market.rows_of(number)[0]) == "not read yet"
        with pytest.raises(SwapRefused, match="not read yet"):
            market.quote(market.rows_of(number)[0], QuoteBlock(1, 1), 1, zero_for_one=True)
    scene.baskets[WHERE] = BASKET
    await scene.block()
    number = market.number(WHERE)
    rows = market.rows_of(number)
    assert market.state(number) == BasketState(tuple(TOKENS[:3]), (100, 200, 300), 1, 5, WHERE)
    assert [(market.rows[r].token0, market.rows[r].token1) for r in rows] == [
        (TOKENS[0], TOKENS[1]),
        (TOKENS[0], TOKENS[2]),
        (TOKENS[1], TOKENS[2]),
    ]
    assert market.pool_of(rows[2]).id == WHERE
    assert all(market.why_not(row) == "" for row in rows)
    assert market.is_behind  # its rate moves


async def test_a_pool_of_unknown_tokens_that_never_answers_is_given_up():
    scene = Scene()
    scene.baskets[WHERE] = "0x"
    await scene.block(Log(BASKETS, (CREATED,), data(WHERE)))
    for _ in range(10):
        await scene.block()
    assert scene.market.statistics().not_followed == {"baskets: unreadable": 1}
    assert not scene.market.is_behind


@pytest.mark.parametrize("tokens", [TOKENS[:1] * 3, TOKENS[:2] * 2])
async def test_a_pool_of_the_same_token_twice_is_refused(tokens):
    scene = Scene()
    await scene.block(Log(BASKETS, (CREATED,), data(WHERE, *tokens)))
    assert scene.market.number(WHERE) is None
    assert scene.market.statistics().not_followed == {"baskets: malformed announcement": 1}


async def test_decimals_of_new_tokens_are_read_with_the_block():
    scene = Scene()
    await scene.pool(WHERE)
    assert [scene.market.decimals(token) for token in PAIR] == [6, 6]


async def test_blocks_and_reads_do_not_mix():
    """A read that ends after the next block was applied leaves that block's state alone."""
    scene = Scene()
    await scene.pool(WHERE)
    scene.fees[WHERE] = 900
    going, gate = asyncio.Event(), asyncio.Event()
    answered = scene.batch_settled

    async def slowly(calls):
        going.set()
        await gate.wait()
        return await answered(calls)

    scene.batch_settled = slowly
    reading = asyncio.create_task(scene.market.refresh_volatile(scene, scene.at.ref))
    await going.wait()
    following = scene.tree._sealed(scene.at, [], {}, {}, frozenset())
    scene.market.apply(following.block)
    gate.set()
    await reading
    assert scene.market.fee_pips(scene.market.row(WHERE)) == 500
