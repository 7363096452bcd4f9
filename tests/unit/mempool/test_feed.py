from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.chains.anvil import Anvil
from searcher.chains.channel import Channel, Overflow
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.chains.stream import NodeStream, PendingFrame
from searcher.domain.clock import SystemClock
from searcher.domain.errors import NodeUnreachable
from searcher.mempool.feed import FeedStatistics, PendingFeed
from searcher.mempool.source import Source, SourceParts, sources

KEY = Account.from_key("0x" + "42" * 32)


class HeldClock(SystemClock):
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def monotonic_ns(self) -> int:
        return self.now_ns


@cache
def body(nonce: int) -> dict:
    fields = {"nonce": nonce, "gas": 21_000, "gasPrice": 10**9, "chainId": 1, "value": 0}
    signed = KEY.sign_transaction({**fields, "to": b"\xab" * 20, "data": b""})
    return {
        **{name: hex(value) for name, value in fields.items()},
        "hash": "0x" + bytes(signed.hash).hex(),
        "from": KEY.address,
        "to": "0x" + "ab" * 20,
        "input": "0x",
        "type": "0x0",
        "v": hex(signed.v),
        "r": hex(signed.r),
        "s": hex(signed.s),
    }


def balanced(counts: FeedStatistics) -> bool:
    ended = counts.delivered + counts.duplicates + counts.expired + sum(counts.dropped.values())
    return counts.received == ended + counts.waiting


async def take_all(feed: PendingFeed) -> list[int]:
    taken = []
    while True:
        try:
            async with asyncio.timeout(0):
                taken.append((await feed.get()).nonce)
        except TimeoutError:
            return taken


async def test_each_transaction_is_delivered_once_and_in_order():
    feed = PendingFeed("c", clock=HeldClock())
    for nonce in (0, 1, 0, 2, 1, 1):
        feed.offer(body(nonce), 10**12)
    assert await take_all(feed) == [0, 1, 2]
    assert feed.statistics() == FeedStatistics(6, 3, 3, 0, 0, {})


async def test_a_full_feed_drops_the_oldest():
    feed = PendingFeed("c", clock=HeldClock(), capacity=2)
    for nonce in range(5):
        feed.offer(body(nonce), 10**12)
    assert await take_all(feed) == [3, 4]
    assert feed.statistics().dropped == {"overflow": 3}


async def test_what_waited_too_long_has_expired():
    clock = HeldClock()
    feed = PendingFeed("c", clock=clock, longest_age_ms=1_000)
    feed.offer(body(0), clock.now_ns)
    clock.now_ns += 600_000_000
    feed.offer(body(1), clock.now_ns)
    clock.now_ns += 600_000_000
    assert await take_all(feed) == [1]
    assert feed.statistics().expired == 1


async def test_rubbish_under_a_hash_does_not_hide_the_real_transaction():
    feed = PendingFeed("c", clock=HeldClock())
    feed.offer({**body(0), "value": "0x1"}, 10**12)
    feed.offer({"hash": ["0x"]}, 10**12)
    feed.offer({}, 10**12)
    feed.offer(body(0), 10**12)
    assert await take_all(feed) == [0]
    assert feed.statistics().dropped == {"hash": 1, "malformed": 2}


async def test_another_chains_transactions_are_dropped():
    feed = PendingFeed("c", clock=HeldClock(), chain_id=56)
    feed.offer(body(0), 10**12)
    assert feed.statistics().dropped == {"wrong_chain": 1}


@settings(max_examples=100, deadline=None)
@given(
    capacity=st.integers(1, 4),
    remembered=st.integers(1, 4),
    actions=st.lists(
        st.tuples(st.sampled_from(["offer", "spoil", "take", "wait", "lose"]), st.integers(0, 7)),
        max_size=60,
    ),
)
async def test_nothing_is_lost_without_being_counted(*, capacity, remembered, actions):
    clock = HeldClock()
    feed = PendingFeed(
        "c", clock=clock, capacity=capacity, longest_age_ms=1_000, remembered=remembered
    )
    taken = 0
    for action, number in actions:
        if action == "offer":
            feed.offer(body(number), clock.now_ns)
        elif action == "spoil":
            feed.offer({**body(number), "gas": "0x1"}, clock.now_ns)
        elif action == "lose":
            feed.lose("gone", number)
        elif action == "wait":
            clock.now_ns += number * 300_000_000
        else:
            taken += len(await take_all(feed))
        counts = feed.statistics()
        assert balanced(counts)
        assert counts.waiting <= capacity
        assert counts.delivered == taken


class ScriptedPool(RpcClient):
    """Answers `eth_getTransactionByHash` from what the test wrote down."""

    def __init__(self, known: dict[str, object]) -> None:
        super().__init__("http://127.0.0.1:9")
        self.known = known
        self.asked: list[list[str]] = []

    async def batch_settled(self, calls: Sequence) -> list:
        hashes = [params[0] for _, params in calls]
        self.asked.append(hashes)
        await asyncio.sleep(0)
        if "break" in hashes:
            raise NodeUnreachable("gone")
        return [self.known.get(tx_hash) for tx_hash in hashes]


async def fed(frames: list, known: dict[str, object], expected: int) -> tuple:
    """Run the source until `expected` announcements are accounted for."""
    clock = HeldClock()
    pool, channel = ScriptedPool(known), Channel(100, Overflow.DROP_OLDEST)
    plugin = sources().load("node_pending")
    source: Source = plugin(plugin.Config(batch=3), SourceParts(rpc=pool, pending=channel))
    feed = PendingFeed("c", clock=clock, sources=[source])
    for frame in frames:
        channel.put(PendingFrame(frame, clock.now_ns))
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(5):
        while feed.statistics().received < expected:  # noqa: ASYNC110 - a counter is waited for
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return feed, pool


async def test_announced_bodies_are_offered_at_once():
    feed, pool = await fed([body(0), body(1)], {}, 2)
    assert await take_all(feed) == [0, 1]
    assert pool.asked == []


async def test_hashes_are_asked_for_together_and_losses_counted_by_cause():
    hashes = [body(nonce)["hash"] for nonce in range(5)]
    known = {
        hashes[0]: body(0),
        hashes[1]: None,
        hashes[2]: RpcFault(-32000, "busy"),
        hashes[3]: "nonsense",
        hashes[4]: body(4),
    }
    frames = [body(4), hashes[0], hashes[4], *hashes[1:4]]
    feed, pool = await fed(frames, known, 6)
    assert sorted(await take_all(feed)) == [0, 4]
    assert pool.asked == [[hashes[0], hashes[1]], [hashes[2], hashes[3]]]
    counts = feed.statistics()
    assert (counts.duplicates, counts.dropped) == (1, {"gone": 1, "no_body": 2})
    assert balanced(counts)


async def test_an_answer_that_does_not_come_loses_only_its_batch():
    hashes = [body(nonce)["hash"] for nonce in range(3)]
    known = {tx_hash: body(nonce) for nonce, tx_hash in enumerate(hashes)}
    feed, _ = await fed([hashes[0], "break", hashes[1], hashes[2]], known, 4)
    assert await take_all(feed) == [2]
    assert feed.statistics().dropped == {"no_answer": 3}


@pytest.mark.parametrize("pending", ["full", "hashes"])
async def test_a_real_nodes_transactions_arrive_proven(pending):
    clock = SystemClock()
    plugin = sources().load("node_pending")
    async with (
        Anvil(chain_id=31_337, args=["--no-mining"]) as anvil,
        RpcClient(anvil.http_url) as rpc,
        asyncio.timeout(30),
    ):
        stream = NodeStream(anvil.ws_url, clock=clock, pending=pending)
        source = plugin(plugin.Config(), SourceParts(rpc=rpc, pending=stream.pending))
        feed = PendingFeed("c", clock=clock, chain_id=31_337, sources=[source])
        tasks = [asyncio.create_task(each.run()) for each in (stream, feed)]
        await stream.heads.get()
        (sender, *_) = await rpc.call("eth_accounts")
        kinds = (
            {"gasPrice": "0x77359400"},
            {"gasPrice": "0x77359400", "accessList": []},
            {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1"},
        )
        for kind in kinds:
            call = {"from": sender, "to": "0x" + "ab" * 20, "gas": "0x5208", **kind}
            tx_hash = await rpc.call("eth_sendTransaction", [call])
            tx = await feed.get()
            assert (tx.hash, tx.sender) == (tx_hash, sender)
        assert feed.statistics().dropped == {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
