"""The laboratory as processes: in the foreground with users, and in the background."""

import asyncio
import os
import socket

import msgspec
import pytest

from searcher.chains.rpc import RpcClient
from searcher.devnet import background
from searcher.devnet.laboratory import Laboratory
from searcher.devnet.manifest import load
from searcher.domain.errors import Misconfigured, NotReady

pytestmark = pytest.mark.devnet


async def test_users_trade_the_rival_bids_and_the_base_fee_holds(tmp_path):
    async with Laboratory(["busy"], seed=7, block_time_ms=250, directory=tmp_path) as laboratory:
        manifest = load(laboratory.manifest_path("busy"))
        assert manifest == laboratory.manifests["busy"]
        async with RpcClient(manifest.http_url) as rpc, asyncio.timeout(60):
            stats = await rpc.call("devnet_stats")
            while stats["blocks"] < 40 or stats["bundles"].get("landed", 0) == 0:
                await asyncio.sleep(0.1)
                stats = await rpc.call("devnet_stats")
            head = await rpc.call("eth_getBlockByNumber", ["latest", False])
            logs = await rpc.call(
                "eth_getLogs", [{"address": manifest.pools[0].address, "fromBlock": "0x1"}]
            )
    assert stats["mismatches"] == 0
    assert stats["public_transactions"] > 40
    assert 0.3e9 < int(head["baseFeePerGas"], 16) < 1.5e9
    assert logs


async def test_a_port_in_use_and_unnamed_chains_are_told(tmp_path):
    with pytest.raises(Misconfigured):
        Laboratory(["a", "a"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match="in use"):
            await Laboratory(["a"], directory=tmp_path, ports={"a": port}).start()


def test_up_status_and_down(tmp_path):
    folder = tmp_path / "state"
    request = background.Request(chains=("one",), block_time_ms=0, flow=False)
    assert background.down(folder) is False
    assert asyncio.run(background.status(folder)).up is False
    running = background.up(request, folder)
    try:
        with pytest.raises(NotReady, match="is up already"):
            background.up(request, folder)
        shown = asyncio.run(background.status(folder))
        assert shown.up
        assert shown.pid == running.pid
        assert [chain.name for chain in shown.chains] == ["one"]
        assert shown.chains[0].head is not None
        assert background.manifest_paths(folder) == {"one": folder / "one.json"}
    finally:
        assert background.down(folder) is True
    assert asyncio.run(background.status(folder)).up is False
    assert background.down(folder) is False


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path):
    folder = tmp_path / "state"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"one": taken.getsockname()[1]}
        with pytest.raises(NotReady, match=r"in use: stop what listens there"):
            background.up(background.Request(chains=("one",), ports=ports), folder)
    assert asyncio.run(background.status(folder)).up is False


def test_a_process_that_was_given_the_same_id_is_left_alone(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    stranger = background.Running(os.getpid(), 1, background.Request())
    (folder / "state.json").write_bytes(msgspec.json.encode(stranger))
    assert background.down(folder) is False
    assert not (folder / "state.json").exists()
