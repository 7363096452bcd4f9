"""The node breaks off, talks nonsense, and changes its mind; a token lies about a transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from searcher.chains.rpc import RpcClient
from searcher.chains.stream import NodeStream, StreamStatistics
from searcher.devnet.laboratory import Laboratory
from searcher.mempool.feed import FeedStatistics, PendingFeed
from searcher.ops.daemon import Daemon
from searcher.ops.pipeline import ChainPipeline
from tests.e2e.proxy import stream_proxy
from tests.e2e.station import Station, make_station, until

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(240)]

MALFORMED = {
    "json": "{",
    "shape": '{"jsonrpc":"2.0"}',
    "unknown_subscription": (
        '{"method":"eth_subscription","params":{"subscription":"0xnobody","result":{}}}'
    ),
}
"""Frames no node should send, by the cause they are counted under."""


def only(daemon: Daemon) -> ChainPipeline:
    (pipeline,) = daemon.pipelines.values()
    return pipeline


def stream_of(pipeline: ChainPipeline) -> StreamStatistics:
    (stream,) = {
        part.__self__ for part in pipeline._sources.run if isinstance(part.__self__, NodeStream)
    }
    return stream.statistics()


def feed_of(pipeline: ChainPipeline) -> FeedStatistics:
    (feed,) = {
        part.__self__ for part in pipeline._sources.run if isinstance(part.__self__, PendingFeed)
    }
    return feed.statistics()


async def later_blocks(pipeline: ChainPipeline, count: int) -> None:
    head = pipeline.statistics().head
    await until(lambda: pipeline.statistics().head >= head + count, what="more blocks")


async def test_malformed_frames_are_counted_and_skipped_and_a_broken_stream_is_taken_up_again(
    station: Station, tmp_path: Path
):
    async with stream_proxy(station.manifest.ws_url) as proxy:
        household = station.household(tmp_path, mode="simulate", urls={"ws_url": proxy.url})
        async with household.daemon() as (daemon, running):
            pipeline = only(daemon)
            await until(lambda: len(proxy.subscriptions) == 2, what="heads and pending came")
            for frame in MALFORMED.values():
                await proxy.say(frame)
            await proxy.announce("heads", {"number": "0x1"})
            await proxy.announce("pending", 7)
            causes = {*MALFORMED, "header", "pending"}
            await until(
                lambda: sum(stream_of(pipeline).malformed.values()) >= len(causes),
                what="the frames are counted",
            )
            assert stream_of(pipeline).malformed == dict.fromkeys(causes, 1)

            # A body that does not prove its hash is no transaction, whatever it says.
            dropped = sum(feed_of(pipeline).dropped.values())
            await proxy.announce("pending", {"hash": "0x" + "ab" * 32, "type": "0x2"})
            await until(lambda: sum(feed_of(pipeline).dropped.values()) > dropped)
            feed = feed_of(pipeline)
            assert (
                feed.received
                == feed.delivered
                + feed.duplicates
                + feed.expired
                + feed.waiting
                + (sum(feed.dropped.values()))
            )
            await later_blocks(pipeline, 1)

            blocks = pipeline.statistics().blocks
            await proxy.break_off()
            await until(lambda: proxy.connections == 2, what="the daemon comes back")
            await later_blocks(pipeline, 2)
            assert not running.done()
            after, stream = pipeline.statistics(), stream_of(pipeline)
            assert after.state == "active"
            assert after.blocks >= blocks + 2
            assert sum(stream.breaks.values()) == 1
            assert stream.connected
            assert stream.frames == stream.heads + stream.pending + stream.answers + sum(
                stream.malformed.values()
            )
            simulated = pipeline.statistics().simulated
            await until(lambda: pipeline.statistics().simulated > simulated, what="it goes on")


async def test_pools_of_a_token_that_takes_a_fee_are_set_aside_with_the_reason(
    station: Station, tmp_path: Path
):
    fee = station.manifest.tokens["FEE"].address
    pools = {p.address for p in station.manifest.pools if fee in (p.token0, p.token1)}
    assert pools
    household = station.household(tmp_path, mode="simulate")
    async with household.daemon() as (daemon, _):
        market = only(daemon)._market
        views = {view.pool.address: view.set_aside for view in market.views()}
        assert pools <= set(views)
        for pool in pools:
            assert "transfer delivers" in views[pool]
        # Tokens without a quirk are searched, and so is the one whose transfer returns nothing.
        assert {pool for pool, reason in views.items() if reason} == pools
        assert sum(market.statistics().set_aside.values()) == len(pools)
    rows = household.ledger.rows("select record from opportunities")
    assert not [row for row in rows if fee in row["record"]]


async def test_a_reorganised_chain_is_followed_and_what_it_took_back_is_told(tmp_path: Path):
    """The node replaces its last two blocks by empty ones: what landed in them has not landed."""
    async with Laboratory(["reorg"], seed=21, directory=tmp_path / "laboratory") as laboratory:
        manifest = laboratory.manifests["reorg"]
        station = await make_station(manifest)
        household = station.household(tmp_path)
        ledger = household.ledger
        first_block = await station.head()
        async with (
            household.daemon() as (daemon, running),
            station.node() as builder,
            RpcClient(manifest.anvil_url) as anvil,
        ):
            pipeline = only(daemon)

            async def landed_at_the_head() -> Any:
                """Hold the chain, and go on unless a bundle of ours is in the head block."""
                await builder.call("devnet_setMining", [False])
                head = await station.head()
                await until(lambda: running.done() or pipeline.statistics().head == head)
                mined = await station.operators_transactions(head, head)
                if not mined:
                    await builder.call("devnet_setMining", [True])
                    await later_blocks(pipeline, 1)
                return mined

            taken_back = await until(landed_at_the_head, what="a bundle in the head block")
            await until(
                lambda: (
                    taken_back
                    <= {row["own_hash"] for row in ledger.intents() if row["kind"] == "landed"}
                ),
                what="the ledger has it as landed",
            )
            await anvil.call("anvil_reorg", [2, []])
            head = await station.head()
            assert not await station.operators_transactions(head - 1, head)
            await builder.call("devnet_setMining", [True])
            await until(
                lambda: running.done() or pipeline._count["reorganised"] == 1,
                what="the reorg is noticed",
            )
            assert not running.done(), running.exception()
            await later_blocks(pipeline, 2)
            assert pipeline.statistics().state == "active"
            pipeline.stop_after(pipeline.statistics().head + 2)
            await running
        told = {row["own_hash"]: row for row in ledger.intents()}
        last_block = await station.head()
        mined = await station.operators_transactions(first_block + 1, last_block)
        assert {told[h]["kind"] for h in taken_back - mined} <= {"not_landed"}
        assert ledger.rows(
            "select 1 from outcomes where kind = 'unresolved' and reason like '%reorg%'"
        )
        assert ledger.open() == []
        assert mined == {row["own_hash"] for row in ledger.intents() if row["kind"] == "landed"}
        earned = await station.wealth_wei(last_block) - await station.wealth_wei(first_block)
        assert earned == ledger.profit_wei()
