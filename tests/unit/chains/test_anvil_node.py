"""Requests, stream and assembly against a real node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from searcher.chains.anvil import Anvil
from searcher.chains.blocks import BlockAssembler
from searcher.chains.network import networks
from searcher.chains.rpc import RpcClient, check_chain
from searcher.chains.stream import NodeStream
from searcher.domain.clock import SystemClock
from searcher.domain.events import BlockApplied, ChainReorganised

TWO_LOGS = "0x600160026000a1600360046005600660006000a4" + "00"
"""Runtime code that logs twice: one topic, then four topics; both without data."""
LOGGER = "0x" + "cc" * 20


@asynccontextmanager
async def following(anvil: Anvil, url: str) -> AsyncIterator[tuple[RpcClient, NodeStream, object]]:
    clock = SystemClock()
    async with RpcClient(anvil.http_url) as rpc:
        stream = NodeStream(url, clock=clock)
        task = asyncio.create_task(stream.run())
        assembler = BlockAssembler("test", rpc, stream.heads, clock=clock)
        async with asyncio.timeout(30):
            events = assembler.blocks()
            assert isinstance(await anext(events), BlockApplied)
            yield rpc, stream, events
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with Anvil(chain_id=31_337, args=["--no-mining"]) as process:
        yield process


async def mine_logs(rpc: RpcClient, transactions: int) -> None:
    (sender, *_) = await rpc.call("eth_accounts")
    for _ in range(transactions):
        await rpc.call("eth_sendTransaction", [{"from": sender, "to": LOGGER, "gas": "0x186a0"}])
    await rpc.call("evm_mine")


async def test_real_blocks_are_proven_complete_and_follow_the_base_fee_rule(anvil):
    ethereum = networks().load("ethereum")()
    async with following(anvil, anvil.ws_url) as (rpc, _, events):
        await check_chain(rpc, 31_337)
        await rpc.call("anvil_setCode", [LOGGER, TWO_LOGS])
        parent = None
        for transactions in (3, 0, 1, 0, 0, 40):
            await mine_logs(rpc, transactions)
            block = await anext(events)
            assert len(block.logs) == 2 * transactions
            if parent is not None:
                assert block.header.parent_hash == parent.hash
                assert block.header.base_fee_wei == ethereum.next_base_fee(parent)
            parent = block.header


async def test_a_real_reorganisation_is_noticed_from_parent_hashes(anvil):
    async with following(anvil, anvil.ws_url) as (rpc, _, events):
        for _ in range(4):
            await rpc.call("evm_mine")
        blocks = [await anext(events) for _ in range(4)]
        await rpc.call("anvil_reorg", [2, []])
        await rpc.call("evm_mine")
        event = await anext(events)
        assert isinstance(event, ChainReorganised)
        assert event.abandoned == blocks[-1].header.ref
        head = event.head
        latest = await rpc.call("eth_getBlockByNumber", ["latest", False])
        while head.hash != latest["hash"]:
            applied = await anext(events)
            assert isinstance(applied, BlockApplied)
            assert applied.header.parent_hash == head.hash
            head = applied.header


async def test_a_real_ipc_socket_streams_heads_and_pending_bodies(tmp_path: Path):
    path = str(tmp_path / "anvil.ipc")
    async with (
        Anvil(args=["--no-mining", "--ipc", path]) as process,
        following(process, path) as (rpc, stream, events),
    ):
        (sender, *_) = await rpc.call("eth_accounts")
        sent = await rpc.call("eth_sendTransaction", [{"from": sender, "to": LOGGER}])
        pending = await stream.pending.get()
        assert pending.body["hash"] == sent
        await rpc.call("evm_mine")
        assert (await anext(events)).header.number == 1
        assert stream.statistics().malformed == {}
