"""The tripwire against a chain in memory whose node, pools or market do not keep to the truth."""

from __future__ import annotations

import asyncio
import dataclasses
import random

import pytest
from msgspec.structs import replace

from searcher.domain.errors import InvariantBroken, NodeUnreachable
from searcher.market.settings import TripwireSettings
from searcher.market.tripwire import Drift, NodeFault, Tripwire, _Sampler
from tests.unit.market.chain import Chain
from tests.unit.market.world import DAI, WETH, World, make_market, prove_all, selector, word


class Rig:
    """A market that follows a chain, with a tripwire that checks every pool at every block."""

    def __init__(self, chain, market, **settings):
        self.chain, self.market = chain, market
        self.tripwire = Tripwire(market, chain, TripwireSettings(**{"pools": 100, **settings}))
        self.tripwire.begin()

    def apply(self, block):
        delta = self.market.apply(block)
        self.tripwire.on_block({self.market.rows[row].pool for row in delta.rows})

    async def block(self, *acts):
        """Seal a block, have the market apply it, and check."""
        for act in acts:
            act()
        self.apply(self.chain.seal())
        return await self.tripwire.findings()

    def searched(self, pool):
        return self.market.is_searched(self.market.number(pool))

    @property
    def statistics(self):
        return self.tripwire.statistics()


POSITIONS = [(-887220, 887220, 10**21), (-1200, 1200, 10**22)]


@pytest.fixture
async def rig():
    return await make_rig()


async def make_rig(**settings):
    chain = Chain()
    chain.pair = chain.create_v2("v2", WETH, DAI, 10**21, 10**21)
    chain.other = chain.create_v2("fork", WETH, DAI, 10**21, 10**21)
    chain.pool = chain.create_v3(WETH, DAI, 3000, 0, POSITIONS)
    chain.seal()
    market = make_market()
    await market.bootstrap(chain, chain.head)
    prove_all(market)
    return Rig(chain, market, **settings)


async def test_a_market_that_is_the_chain_agrees(rig):
    chain = rig.chain
    for amount in (10**15, 10**16, 10**17):
        found = await rig.block(
            lambda amount=amount: chain.swap(chain.pair, amount, zero_for_one=True),
            lambda amount=amount: chain.swap(chain.pool, amount, zero_for_one=False),
        )
        assert found == []
    statistics = rig.statistics
    assert (statistics.blocks, statistics.pools) == (3, 9)
    assert (statistics.drifts, statistics.node_faults, statistics.unchecked) == ({}, {}, {})
    assert all(rig.searched(pool) for pool in chain.pools)


@pytest.mark.parametrize("name", ["pair", "pool"])
async def test_a_log_that_the_market_missed_is_found(rig, name):
    pool = getattr(rig.chain, name)
    assert await rig.block() == []
    rig.chain.swap(pool, 10**17, zero_for_one=True)
    rig.apply(replace(rig.chain.seal(), logs=()))
    (finding,) = await rig.tripwire.findings()
    assert rig.market.pools[finding.pool].id == pool
    assert finding.drift is Drift.MISSED_LOG
    assert not rig.searched(pool)
    assert rig.statistics.drifts == {"missed log": 1}
    # It does not come back by itself, not even when a later log makes it right again.
    rig.chain.swap(pool, 10**15, zero_for_one=True)
    assert await rig.block() == []
    assert not rig.searched(pool)


async def test_a_missed_mint_is_found(rig):
    chain = rig.chain
    assert await rig.block() == []
    chain.mint(chain.pool, -6000, 6000, 10**18)
    rig.apply(replace(chain.seal(), logs=()))
    (finding,) = await rig.tripwire.findings()
    assert finding.drift is Drift.MISSED_LOG


@pytest.mark.parametrize("agreed", [True, False])
async def test_storage_that_changed_without_an_event_is_found(rig, agreed):
    chain = rig.chain
    if agreed:
        assert await rig.block() == []
    chain.pools[chain.pair].reserves = (10**21, 10**21 - 1)
    (finding,) = await rig.block(lambda: chain.swap(chain.pool, 10**15, zero_for_one=True))
    assert rig.market.pools[finding.pool].id == chain.pair
    assert finding.drift is Drift.SILENT_CHANGE
    assert not rig.searched(chain.pair)
    assert rig.searched(chain.other)
    assert rig.searched(chain.pool)


async def test_it_is_a_silent_change_even_when_the_old_state_cannot_be_read_any_more(rig):
    chain = rig.chain
    assert await rig.block() == []
    chain.pools[chain.pair].reserves = (10**21, 1)
    before = chain.head.hash
    chain.spoil = lambda _to, _data, block, answer: "0x" if block == before else answer
    (finding,) = await rig.block()
    assert finding.drift is Drift.SILENT_CHANGE


async def test_a_difference_older_than_what_was_watched_has_no_known_cause(rig):
    chain = rig.chain
    state = chain.states[chain.head.hash]
    state[chain.pair] = dataclasses.replace(state[chain.pair], reserves=(5, 5))
    chain.pools[chain.pair].reserves = (5, 5)
    (finding,) = await rig.block()
    assert finding.drift is Drift.UNEXPLAINED
    assert not rig.searched(chain.pair)


async def test_at_the_first_block_there_is_nothing_to_explain_with(rig):
    chain = rig.chain
    state = chain.states[chain.head.hash]
    state[chain.pair] = dataclasses.replace(state[chain.pair], reserves=(7, 7))
    (finding,) = await rig.tripwire.findings()
    assert finding.drift is Drift.UNEXPLAINED
    assert not rig.searched(chain.pair)


# ---- a node that does not keep to the truth


def lagging(chain, pool):
    """Have the first answer about a pool be that of the block before."""
    asked = set()

    def spoil(to, data, block, answer):
        if to != pool or (block, data) in asked:
            return answer
        asked.add((block, data))
        number = next(h.number for h in chain.headers if h.hash == block)
        return World._eth_call(
            chain, {"to": to, "data": data}, {"blockHash": chain.headers[number - 1].hash}
        )

    chain.spoil = spoil


async def test_a_node_that_answers_for_another_block_is_at_fault_and_not_the_pool(rig):
    chain = rig.chain
    lagging(chain, chain.pair)
    assert await rig.block(lambda: chain.swap(chain.pair, 10**17, zero_for_one=True)) == []
    assert rig.statistics.node_faults == {NodeFault.OTHER_BLOCK: 1}
    assert rig.statistics.drifts == {}
    assert rig.searched(chain.pair)


async def test_a_node_that_goes_on_so_stops_the_chain(rig):
    chain = rig.chain
    lagging(chain, chain.pair)
    for _ in range(2):
        assert await rig.block(lambda: chain.swap(chain.pair, 10**17, zero_for_one=True)) == []
    with pytest.raises(InvariantBroken, match="at 3 blocks in a row: follow another node"):
        await rig.block(lambda: chain.swap(chain.pair, 10**17, zero_for_one=True))


async def test_only_faults_in_a_row_stop_the_chain(rig):
    chain = rig.chain
    lagging(chain, chain.pair)
    for _ in range(5):
        assert await rig.block(lambda: chain.swap(chain.pair, 10**17, zero_for_one=True)) == []
        assert await rig.block() == []  # the state is that of the block before: nothing to see
    assert rig.statistics.node_faults == {NodeFault.OTHER_BLOCK: 5}


async def test_a_node_that_contradicts_itself_is_at_fault(rig):
    chain, numbers = rig.chain, iter(range(10**6, 10**7))

    def spoil(to, data, _block, answer):
        reserves = to == chain.pair and data == selector("getReserves()")
        return "0x" + word(next(numbers)) + word(9) + word(9) if reserves else answer

    chain.spoil = spoil
    assert await rig.block() == []
    assert rig.statistics.node_faults == {NodeFault.DIVERGED: 1}
    assert rig.searched(chain.pair)


async def test_a_node_without_the_block_says_nothing_about_the_pools(rig):
    rig.chain.spoil = lambda *_: "0x"
    assert await rig.block() == []
    assert rig.statistics.node_faults == {NodeFault.SILENT: 1}
    assert all(rig.searched(pool) for pool in rig.chain.pools)


async def test_a_node_that_fails_leaves_the_pools_unchecked(rig):
    async def fail(_calls):
        raise NodeUnreachable("no node answers: start it")

    rig.chain.batch_settled = fail
    assert await rig.block() == []
    assert rig.statistics.unchecked == {"NodeUnreachable": 1}


# ---- pools that do not keep to the truth


async def test_a_pool_that_no_longer_answers_is_set_aside(rig):
    rig.chain.broken.add(rig.chain.pair)
    (finding,) = await rig.block()
    assert finding.drift is Drift.UNREADABLE
    assert not rig.searched(rig.chain.pair)


async def test_a_pool_that_says_more_than_its_tokens_do_lies(rig):
    chain = rig.chain
    chain.donated = {chain.other: 10**6, chain.pair: -1}
    (finding,) = await rig.block()
    assert rig.market.pools[finding.pool].id == chain.pair
    assert finding.drift is Drift.LYING_POOL
    assert not rig.searched(chain.pair)
    assert rig.searched(chain.other)


# ---- reorganisations


async def test_a_branch_that_the_market_never_left_is_found(rig):
    chain = rig.chain
    chain.swap(chain.pair, 10**17, zero_for_one=True)
    rig.apply(chain.seal())
    orphan = chain.head
    chain.fork(orphan.number - 1)
    chain.swap(chain.pair, 3 * 10**17, zero_for_one=True)
    chain.seal()
    block = chain.seal()
    # A market that took no notice: the next block of the new branch is applied on the old one.
    rig.apply(replace(block, header=replace(block.header, parent_hash=orphan.hash)))
    (finding,) = await rig.tripwire.findings()
    assert rig.market.pools[finding.pool].id == chain.pair
    assert finding.drift is Drift.UNHANDLED_REORG


async def test_what_differs_on_a_block_that_is_gone_is_looked_at_again(rig):
    chain = rig.chain
    chain.swap(chain.pair, 10**17, zero_for_one=True)
    rig.apply(replace(chain.seal(), logs=()))
    chain.headers[-1] = replace(chain.headers[-1], hash="0x" + "ab" * 32)
    assert await rig.tripwire.findings() == []
    assert rig.statistics.unchecked == {"reorganised meanwhile": 1}
    assert rig.searched(chain.pair)


# ---- how much is asked


async def test_the_calls_of_a_block_are_bounded():
    rig = await make_rig(calls=3)
    assert await rig.block() == []
    assert rig.statistics.unchecked == {"beyond calls": 1}


async def test_the_time_of_a_block_is_bounded():
    rig = await make_rig(budget_ms=10)

    async def wait(_calls):
        await asyncio.Event().wait()

    rig.chain.batch_settled = wait
    assert await rig.block() == []
    assert rig.statistics.unchecked == {"beyond budget_ms": 1}


async def test_one_check_at_a_time(rig):
    first = asyncio.create_task(rig.tripwire.findings())
    await asyncio.sleep(0)
    assert await rig.tripwire.findings() == []
    assert rig.statistics.unchecked == {"the last check still runs": 1}
    assert await first == []


async def test_none_are_checked_when_none_are_wanted():
    rig = await make_rig(pools=0)
    rig.chain.broken.update(rig.chain.pools)
    assert await rig.block() == []
    assert rig.statistics.blocks == 0


def test_changed_pools_come_first_then_those_never_checked():
    sampler, draw = _Sampler(), random.Random(1)

    def sample(changed=()):
        sampler.changed(changed)
        return sampler.draw(8, draw, 1000, lambda number: number % 10 != 3)

    first = sample(range(100, 200))
    assert len(set(first)) == 8
    assert sum(100 <= number < 200 for number in first) >= 4
    seen = set(first)
    for _ in range(400):
        seen.update(sample())
    assert seen == {number for number in range(1000) if number % 10 != 3}


def test_a_sample_is_never_more_than_there_is():
    sampler = _Sampler()
    assert sorted(sampler.draw(8, random.Random(1), 3, lambda _: True)) == [0, 1, 2]
    sampler.changed([0, 1, 2, 7])
    assert set(sampler.draw(8, random.Random(1), 2, lambda _: True)) == {0, 1}
    assert sampler.draw(8, random.Random(1), 0, lambda _: True) == []
