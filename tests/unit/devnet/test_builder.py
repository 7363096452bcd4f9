"""The builder and the relay over their real faces, on a real chain."""

import asyncio

import aiohttp
import orjson
import pytest

from searcher.chains.rpc import RpcFault
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.block import next_base_fee
from searcher.devnet.bundles import bundle_hash
from searcher.devnet.transactions import decode

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="session")]

ALICE, BOB, CAROL = (account("spare", n) for n in range(3))
GWEI = 10**9


def hash_of(raw):
    return decode(bytes.fromhex(raw[2:])).hash


def hashes_of(raws):
    return [hash_of(raw) for raw in raws]


async def reverting(scene, who, **fields):
    """A transfer of more than anybody has."""
    data = calldata("transfer(address,uint256)", who.address, 2**200)
    return await scene.sign(who, scene.token("USDC"), data, gas=100_000, **fields)


async def moving(scene, who, amount, **fields):
    data = calldata("transfer(address,uint256)", CAROL.address, amount)
    return await scene.sign(who, scene.token("USDC"), data, gas=100_000, **fields)


async def test_the_next_block_is_what_was_foretold(scene):
    before = await scene.rpc.call("eth_getBlockByNumber", ["latest", False])
    block = await scene.mine()
    manifest = scene.manifest
    assert int(block["timestamp"], 16) == int(before["timestamp"], 16) + manifest.timestamp_step_s
    assert block["miner"].lower() == manifest.coinbase
    assert block["gasLimit"] == before["gasLimit"]
    assert int(block["baseFeePerGas"], 16) == next_base_fee(
        int(before["baseFeePerGas"], 16),
        gas_used=int(before["gasUsed"], 16),
        gas_limit=int(before["gasLimit"], 16),
    )


async def test_public_transactions_are_ordered_by_what_they_tip(scene):
    raws = [
        await scene.sign(who, tip_wei=tip * GWEI) for who, tip in ((ALICE, 1), (BOB, 3), (CAROL, 2))
    ]
    for raw in raws:
        await scene.send(raw)
    block = await scene.mine()
    assert block["transactions"] == hashes_of([raws[1], raws[2], raws[0]])


async def test_the_pool_shows_what_is_pending_and_what_is_queued(scene):
    nonce = await scene.nonce(ALICE)
    second = await scene.sign(ALICE, nonce=nonce + 1)
    await scene.send(second)
    assert await scene.rpc.call("txpool_status") == {"pending": "0x0", "queued": "0x1"}
    assert await scene.nonce(ALICE) == nonce
    first = await scene.sign(ALICE, nonce=nonce)
    await scene.send(first)
    assert await scene.nonce(ALICE) == nonce + 2
    content = await scene.rpc.call("txpool_content")
    assert set(content["pending"][ALICE.address]) == {str(nonce), str(nonce + 1)}
    shown = await scene.rpc.call("eth_getTransactionByHash", [hash_of(second)])
    assert (shown["from"], shown["blockHash"]) == (ALICE.address, None)
    assert await scene.rpc.call("eth_getRawTransactionByHash", [hash_of(first)]) == first
    block = await scene.mine()
    assert block["transactions"] == hashes_of([first, second])
    mined = await scene.rpc.call("eth_getTransactionByHash", [hash_of(first)])
    assert mined["blockHash"] == block["hash"]


async def test_the_shown_body_equals_the_mined_one(scene):
    raw = await scene.sign(ALICE, CAROL.address, b"\x01\x02")
    await scene.send(raw)
    shown = await scene.rpc.call("eth_getTransactionByHash", [hash_of(raw)])
    await scene.mine()
    mined = await scene.rpc.call("eth_getTransactionByHash", [hash_of(raw)])
    of_the_block = {"blockHash", "blockNumber", "transactionIndex", "gasPrice", "blockTimestamp"}
    for name in shown.keys() - of_the_block:
        theirs = mined[name].lower() if isinstance(mined[name], str) else mined[name]
        assert shown[name] == theirs, name


async def test_refusals_of_the_pool_reach_the_sender(scene):
    used = await scene.sign(account("deployer"), nonce=0)
    with pytest.raises(RpcFault, match="nonce too low"):
        await scene.send(used)
    for raw in ("0x02", "0x", "zz"):
        with pytest.raises(RpcFault):
            await scene.send(raw)


async def test_nobody_goes_round_the_builder(scene):
    for method in ("evm_mine", "anvil_setBalance", "eth_sendTransaction"):
        with pytest.raises(RpcFault, match="does not exist"):
            await scene.rpc.call(method)


async def test_a_request_without_a_true_signature_is_refused(scene):
    body = orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_sendBundle", "params": [{"txs": []}]}
    )
    for headers in ({}, {"X-Flashbots-Signature": f"{ALICE.address}:0x{'11' * 65}"}):
        async with scene.session.post(
            scene.manifest.relay_url, data=body, headers=headers
        ) as answer:
            assert "X-Flashbots-Signature" in (await answer.json())["error"]["message"]


async def test_a_bundle_lands_whole_and_in_order(scene):
    raws = [await scene.sign(BOB, tip_wei=GWEI), await scene.sign(ALICE, tip_wei=5 * GWEI)]
    name = await scene.bundle(*raws)
    assert name == bundle_hash([decode(bytes.fromhex(raw[2:])) for raw in raws])
    before = await scene.native(scene.manifest.coinbase)
    block = await scene.mine()
    assert block["transactions"] == hashes_of(raws)
    record = await scene.record(name)
    assert record["fate"] == "landed"
    paid = await scene.native(scene.manifest.coinbase) - before
    assert int(record["payment_wei"]) == paid == 6 * GWEI * 21_000


async def test_one_reverting_transaction_keeps_the_whole_bundle_out(scene):
    good = await moving(scene, ALICE, 5)
    bad = await reverting(scene, BOB)
    before = await scene.balance("USDC", CAROL.address)
    name = await scene.bundle(good, bad)
    assert (await scene.mine())["transactions"] == []
    assert await scene.balance("USDC", CAROL.address) == before
    record = await scene.record(name)
    assert record["fate"] == "reverted"
    assert hash_of(bad) in record["detail"]

    allowed = await scene.bundle(good, bad, revertingTxHashes=[hash_of(bad)])
    assert (await scene.mine())["transactions"] == hashes_of([good, bad])
    assert (await scene.record(allowed))["fate"] == "landed"
    assert await scene.balance("USDC", CAROL.address) == before + 5


async def test_a_revert_is_told_in_the_contracts_own_words(scene):
    data = calldata(
        "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
        1,
        0,
        [],
        ALICE.address,
        0,
    )
    name = await scene.bundle(
        await scene.sign(ALICE, scene.manifest.dexes["uniswap_v2"].router, data)
    )
    await scene.mine()
    assert "'UniswapV2Router: EXPIRED'" in (await scene.record(name))["detail"]


async def test_the_bundle_that_pays_more_wins_and_the_other_is_told_who_won(scene):
    # Both spend the same nonce: only one can land.
    nonce = await scene.nonce(ALICE)
    low = await scene.sign(ALICE, nonce=nonce, tip_wei=GWEI)
    high = await scene.sign(ALICE, nonce=nonce, tip_wei=2 * GWEI)
    beside = await scene.sign(BOB, tip_wei=GWEI // 10)
    names = [await scene.bundle(low), await scene.bundle(high), await scene.bundle(beside)]
    block = await scene.mine()
    assert block["transactions"] == hashes_of([high, beside])
    lost, won, also = [await scene.record(name) for name in names]
    assert (lost["fate"], won["fate"], also["fate"]) == ("outbid", "landed", "landed")
    assert lost["beaten_by"] == [names[1]]
    assert int(lost["payment_wei"]) == GWEI * 21_000


async def test_a_public_victims_tip_does_not_help_the_bundle_that_carries_it(scene):
    victim = await scene.sign(ALICE, tip_wei=50 * GWEI)
    await scene.send(victim)
    carrying = await scene.bundle(victim, await scene.sign(BOB, tip_wei=GWEI))
    better = await scene.bundle(victim, await scene.sign(CAROL, tip_wei=2 * GWEI))
    block = await scene.mine()
    assert block["transactions"][0] == hash_of(victim)
    assert len(block["transactions"]) == 2
    assert (await scene.record(better))["fate"] == "landed"
    record = await scene.record(carrying)
    assert record["fate"] == "outbid"
    assert int(record["payment_wei"]) == GWEI * 21_000


async def test_bundles_go_before_the_public_pool(scene):
    public = await scene.sign(ALICE, tip_wei=90 * GWEI)
    bundled = await scene.sign(BOB, tip_wei=1)
    await scene.send(public)
    await scene.bundle(bundled)
    assert (await scene.mine())["transactions"] == hashes_of([bundled, public])


async def test_a_bundle_shows_nowhere_before_its_block(scene):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(scene.manifest.ws_url) as socket,
    ):
        for kind in (["newPendingTransactions"], ["newPendingTransactions", True], ["newHeads"]):
            await socket.send_json(
                {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": kind}
            )
        subscriptions = [(await socket.receive_json())["result"] for _ in range(3)]
        hidden, public = await scene.sign(ALICE), await scene.sign(BOB)
        await scene.bundle(hidden)
        assert await scene.rpc.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        assert await scene.rpc.call("eth_getTransactionByHash", [hash_of(hidden)]) is None
        await scene.send(public)
        block = await scene.mine()
        assert hash_of(hidden) in block["transactions"]
        notices = []
        async with asyncio.timeout(5):
            while len(notices) < 3:
                notices.append((await socket.receive_json())["params"])
        by_id = {notice["subscription"]: notice["result"] for notice in notices}
        assert by_id[subscriptions[0]] == hash_of(public)
        assert by_id[subscriptions[1]]["hash"] == hash_of(public)
        assert by_id[subscriptions[2]]["hash"] == block["hash"]


async def test_log_subscriptions_are_filtered(scene):
    usdc = scene.token("USDC")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(scene.manifest.ws_url) as socket,
    ):
        for option in ({"address": usdc}, {"address": scene.token("DAI")}):
            await socket.send_json(
                {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", option]}
            )
        wanted, other = [(await socket.receive_json())["result"] for _ in range(2)]
        await scene.send(await moving(scene, ALICE, 3))
        await scene.mine()
        async with asyncio.timeout(5):
            notice = (await socket.receive_json())["params"]
        assert notice["subscription"] == wanted != other
        assert notice["result"]["address"].lower() == usdc
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 2, "method": "eth_unsubscribe", "params": [wanted]}
        )
        assert (await socket.receive_json())["result"] is True


async def test_a_cancelled_bundle_does_not_land_and_a_stranger_cannot_cancel(scene):
    uuid = "11111111-2222-4333-8444-555555555555"
    raw = await scene.sign(ALICE)
    name = await scene.bundle(raw, signer=ALICE, replacementUuid=uuid)
    parameter = {"replacementUuid": uuid}
    assert (await scene.relay("eth_cancelBundle", parameter, BOB))["result"] == []
    assert (await scene.relay("eth_cancelBundle", parameter, ALICE))["result"] == [name]
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(name))["fate"] == "cancelled"


async def test_a_bundle_of_the_same_identifier_replaces_and_an_empty_one_cancels(scene):
    uuid = "11111111-2222-4333-8444-555555555556"
    nonce = await scene.nonce(ALICE)
    first = await scene.sign(ALICE, nonce=nonce, tip_wei=9 * GWEI)
    second = await scene.sign(ALICE, nonce=nonce, tip_wei=2 * GWEI)
    old = await scene.bundle(first, replacementUuid=uuid)
    new = await scene.bundle(second, replacementUuid=uuid)
    assert (await scene.mine())["transactions"] == hashes_of([second])
    assert (await scene.record(old))["fate"] == "replaced"
    assert (await scene.record(new))["fate"] == "landed"
    third = await scene.bundle(await scene.sign(ALICE), replacementUuid=uuid)
    await scene.bundle(replacementUuid=uuid)
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(third))["fate"] == "cancelled"


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"minTimestamp": 2**40}, "out_of_window"),
        ({"maxTimestamp": 1}, "out_of_window"),
        ({"block": 1}, "too_late"),
    ],
)
async def test_a_bundle_outside_its_window_is_left_out(scene, fields, fate):
    name = await scene.bundle(await scene.sign(ALICE), **fields)
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(name))["fate"] == fate


async def test_a_bundle_is_for_one_block_only(scene):
    raw = await scene.sign(ALICE)
    name = await scene.bundle(raw, block=await scene.head() + 2)
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(name))["fate"] == "waiting"
    assert (await scene.mine())["transactions"] == hashes_of([raw])


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"nonce": 10**6}, "bad_nonce"),
        ({"max_fee_wei": 1, "tip_wei": 1}, "underpriced"),
        ({"tip_wei": 0}, "pays_nothing"),
        ({"value": 10**30}, "no_funds"),
    ],
)
async def test_a_bundle_that_cannot_be_in_a_block_is_told_why(scene, fields, fate):
    name = await scene.bundle(await scene.sign(ALICE, **fields))
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(name))["fate"] == fate


@pytest.mark.parametrize(
    "parameter",
    [
        {"txs": []},
        {"txs": ["0x02"], "blockNumber": "0x1"},
        {"txs": "0x02"},
        {"txs": ["0x"] * 101},
        {},
    ],
)
async def test_a_malformed_bundle_is_refused(scene, parameter):
    assert "error" in await scene.relay("eth_sendBundle", parameter)


async def test_a_bundle_of_another_chain_is_refused(scene):
    raw = await scene.sign(ALICE, chain_id=1)
    answer = await scene.relay("eth_sendBundle", {"txs": [raw]})
    assert "chain 1" in answer["error"]["message"]


async def test_a_simulated_bundle_is_what_its_block_then_shows(scene):
    raws = [await moving(scene, ALICE, 7, tip_wei=3 * GWEI), await reverting(scene, BOB)]
    parameter = {"txs": raws, "blockNumber": hex(await scene.head() + 1)}
    parameter["stateBlockNumber"] = "latest"
    simulated = (await scene.relay("eth_callBundle", parameter))["result"]
    assert int(simulated["results"][0]["value"], 16) == 1
    assert "revert" in simulated["results"][1]
    name = await scene.bundle(*raws, revertingTxHashes=[hash_of(raws[1])])
    assert name == simulated["bundleHash"]
    await scene.mine()
    receipts = [await scene.receipt(raw) for raw in raws]
    assert [r["gasUsed"] for r in simulated["results"]] == [
        int(receipt["gasUsed"], 16) for receipt in receipts
    ]
    assert (await scene.record(name))["payment_wei"] == simulated["coinbaseDiff"]
    assert simulated["ethSentToCoinbase"] == "0"


async def test_a_private_transaction_waits_unseen_until_it_works(scene):
    nonce = await scene.nonce(ALICE)
    later = await scene.sign(ALICE, nonce=nonce + 1)
    answer = await scene.relay("eth_sendPrivateTransaction", {"tx": later})
    assert answer["result"] == hash_of(later)
    assert (await scene.mine())["transactions"] == []
    first = await scene.sign(ALICE, nonce=nonce)
    await scene.send(first)
    assert (await scene.mine())["transactions"] == hashes_of([first])
    assert (await scene.mine())["transactions"] == hashes_of([later])


async def test_a_private_transaction_ends_at_its_last_block_or_is_cancelled(scene):
    bad = await reverting(scene, ALICE)
    parameter = {"tx": bad, "maxBlockNumber": hex(await scene.head() + 1)}
    name = (await scene.relay("eth_sendPrivateTransaction", parameter))["result"]
    await scene.mine()
    assert (await scene.record(name))["fate"] == "reverted"
    good = await scene.sign(BOB)
    await scene.relay("eth_sendPrivateTransaction", {"tx": good}, ALICE)
    parameter = {"txHash": hash_of(good)}
    assert (await scene.relay("eth_cancelPrivateTransaction", parameter, BOB))["result"] is False
    assert (await scene.relay("eth_cancelPrivateTransaction", parameter, ALICE))["result"] is True
    assert (await scene.mine())["transactions"] == []


async def test_refusal_is_a_final_answer(scene):
    await scene.rpc.call("devnet_setFault", [{"kind": "refuse", "count": 1}])
    raw = await scene.sign(ALICE)
    parameter = {"txs": [raw], "blockNumber": hex(await scene.head() + 1)}
    assert "refused" in (await scene.relay("eth_sendBundle", parameter))["error"]["message"]
    assert (await scene.mine())["transactions"] == []
    assert "result" in await scene.relay(
        "eth_sendBundle", {**parameter, "blockNumber": hex(await scene.head() + 1)}
    )
    assert (await scene.mine())["transactions"] == hashes_of([raw])


async def test_a_server_error_and_silence_take_nothing(scene):
    raw = await scene.sign(ALICE)
    await scene.rpc.call("devnet_setFault", [{"kind": "http_5xx", "count": 1}])
    with pytest.raises(aiohttp.ContentTypeError):
        await scene.bundle(raw)
    await scene.rpc.call("devnet_setFault", [{"kind": "time_out", "count": 1}])
    with pytest.raises(TimeoutError):
        await scene.relay(
            "eth_sendBundle", {"txs": [raw]}, timeout=aiohttp.ClientTimeout(total=0.2)
        )
    assert (await scene.mine())["transactions"] == []
    happened = (await scene.rpc.call("devnet_stats"))["faults"]
    assert happened["http_5xx"] >= 1
    assert happened["time_out"] >= 1


async def test_a_late_answer_is_of_a_bundle_that_was_taken(scene):
    await scene.rpc.call("devnet_setFault", [{"kind": "answer_late", "delay_ms": 30_000}])
    raw = await scene.sign(ALICE)
    asked = asyncio.create_task(scene.bundle(raw))
    async with asyncio.timeout(5):
        while (await scene.rpc.call("devnet_stats"))["bundles"]["waiting"] == 0:
            assert not asked.done()
    assert (await scene.mine())["transactions"] == hashes_of([raw])
    assert not asked.done()
    asked.cancel()


@pytest.mark.parametrize(
    ("kind", "fate"),
    [("drop", "dropped"), ("sealed_but_not_landed", "sealed_but_not_landed")],
)
async def test_an_acknowledged_bundle_can_still_be_lost(scene, kind, fate):
    await scene.rpc.call("devnet_setFault", [{"kind": kind, "count": 1}])
    raw = await scene.sign(ALICE)
    name = await scene.bundle(raw)
    assert (await scene.mine())["transactions"] == []
    assert (await scene.record(name))["fate"] == fate
    await scene.bundle(raw)
    assert (await scene.mine())["transactions"] == hashes_of([raw])


async def test_an_unknown_fault_is_refused(scene):
    with pytest.raises(RpcFault, match="invalid params"):
        await scene.rpc.call("devnet_setFault", [{"kind": "explode"}])


async def test_batches_and_broken_requests_are_answered(scene):
    async with scene.session.post(scene.manifest.http_url, data=b"{") as answer:
        assert (await answer.json())["error"]["code"] == -32700
    batch = [{"jsonrpc": "2.0", "id": n, "method": "eth_chainId"} for n in range(2)] + [5]
    async with scene.session.post(scene.manifest.http_url, data=orjson.dumps(batch)) as answer:
        first, second, broken = await answer.json()
    assert first["result"] == second["result"] == hex(scene.manifest.chain_id)
    assert broken["error"]["code"] == -32600
