"""A chain begun from a snapshot: it reaches the head, goes on after a failure, or gives up."""

from __future__ import annotations

import pytest

from searcher.domain.clock import SystemClock
from searcher.domain.errors import NodeUnreachable
from searcher.market.settings import SnapshotSettings
from searcher.market.snapshots import Snapshots
from searcher.ops.warm_start import MOST_ATTEMPTS, WarmStart
from tests.unit.market.chain import Chain
from tests.unit.market.world import DAI, WETH, make_market, prove_all

BLOCKS = 70  # more than two windows


class Rig:
    """A chain, the market that follows it, and an empty one to be begun from its snapshot."""

    def __init__(self, folder):
        self.folder = folder
        self.chain = Chain()
        self.again = make_market()
        self.warm_start = WarmStart(
            self.again, self.snapshots(self.again), self.chain, SystemClock()
        )

    def snapshots(self, market):
        options = SnapshotSettings()
        return Snapshots(market, self.folder, options, chain_id=7, clock=SystemClock())

    async def begin(self):
        chain = self.chain
        chain.pair = chain.create_v2("v2", WETH, DAI, 10**21, 10**21)
        chain.seal()
        self.market = make_market()
        await self.market.bootstrap(chain, chain.head)
        prove_all(self.market)
        await self.snapshots(self.market).write()
        for number in range(BLOCKS):
            chain.swap(chain.pair, 10**15 + number, zero_for_one=number % 2 == 0)
            if number % 9 == 0:
                chain.create_v2("v2", WETH, DAI, 10**20, 10**20)
            self.market.apply(chain.seal())
        return self

    async def stand(self):
        return await self.warm_start.stand_on(self.chain.headers[-1])

    def is_there(self):
        states = [
            [market.state(number) for number in range(len(market.pools))]
            for market in (self.market, self.again)
        ]
        return self.again.head == self.market.head and states[0] == states[1]


@pytest.fixture
async def rig(tmp_path):
    return await Rig(tmp_path).begin()


async def test_it_reaches_the_head_and_tells_all_that_is_there(rig):
    delta = await rig.stand()
    assert rig.is_there()
    assert delta.parent == rig.chain.head
    assert delta.rows == tuple(range(rig.market.memory.rows))
    assert delta.entered == delta.rows


async def test_without_a_snapshot_the_market_is_to_be_read(rig):
    for path in rig.folder.iterdir():
        path.unlink()
    assert await rig.stand() is None
    assert rig.again.head is None


async def test_a_market_that_holds_something_is_to_be_read(rig):
    await rig.stand()
    assert await rig.stand() is None


async def test_it_goes_on_where_the_node_failed(rig):
    answer, asked = rig.chain.batch_settled, []

    async def fail_in_between(calls):
        asked.append(len(calls))
        if len(asked) == 4:
            raise NodeUnreachable("no node answers: start it")
        return await answer(calls)

    rig.chain.batch_settled = fail_in_between
    with pytest.raises(NodeUnreachable):
        await rig.stand()
    assert 1 < rig.again.head.number < BLOCKS
    assert (await rig.stand()).parent == rig.chain.head
    assert rig.is_there()
    assert sum(asked) < 2 * BLOCKS + 100  # no window was asked for again but the one that failed


async def test_a_node_that_never_gives_the_blocks_makes_it_give_up(rig):
    async def fail(_calls):
        raise NodeUnreachable("no node answers: start it")

    rig.chain.batch_settled = fail
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(NodeUnreachable):
            await rig.stand()
    assert await rig.stand() is None
