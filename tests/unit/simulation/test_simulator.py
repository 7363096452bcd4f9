from __future__ import annotations

from typing import Any

import msgspec
import pytest
from eth_account import Account

from searcher.chains.blocks import parse_header
from searcher.chains.network import networks
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.domain.clock import SystemClock
from searcher.domain.errors import InvariantBroken, Misconfigured, Rejected, Retryable
from searcher.domain.events import BlockContext, BlockRef, PendingTx
from searcher.domain.plan import CurveKind, Hop, Opportunity, Plan
from searcher.domain.units import keccak256
from searcher.mempool.envelope import parse_pending
from searcher.simulation.simulator import Call, Unexecutable, backends, explain_revert

COINBASE = "0x" + "c0" * 20
STRANGER = Account.from_key("0x" + "77" * 32)
GWEI = 10**9


def call_data(signature: str, *words: int) -> bytes:
    return keccak256(signature.encode())[:4] + b"".join(w.to_bytes(32, "big") for w in words)


async def head_context(rpc: RpcClient) -> BlockContext:
    header = parse_header(await rpc.call("eth_getBlockByNumber", ["latest", False]))
    network = networks().load("ethereum")()
    return network.next_context(header, coinbase=COINBASE, block_time_ms=12_000)


def simulator_on(rpc: RpcClient, **options: Any):
    plugin = backends().load("eth_simulate")
    return plugin(plugin.Config(), rpc=rpc, clock=SystemClock(), **options)


def call(chain, to: str, data: bytes, **fields: Any) -> Call:
    fields = {"gas": 200_000, "max_fee_wei": 10 * GWEI, **fields}
    return Call(sender=fields.pop("sender", chain.user), to=to, data=data, **fields)


async def pending(chain, to: str, data: bytes, **fields: Any) -> PendingTx:
    """A user's signed transaction, as the node's pool shows it."""
    nonce = int(await chain.rpc.call("eth_getTransactionCount", [STRANGER.address, "latest"]), 16)
    fields = {"nonce": nonce, "gas": 200_000, "maxFeePerGas": 10 * GWEI, **fields}
    signed = STRANGER.sign_transaction(
        {
            "chainId": 31_337,
            "type": 2,
            "maxPriorityFeePerGas": 0,
            "to": bytes.fromhex(to[2:]),
            "value": 0,
            "data": data,
            **fields,
        }
    )
    raw = "0x" + bytes(signed.raw_transaction).hex()
    tx_hash = await chain.rpc.call("eth_sendRawTransaction", [raw])
    return parse_pending("test", await chain.rpc.call("eth_getTransactionByHash", [tx_hash]), 0)


async def fund_stranger(chain) -> None:
    await chain.rpc.call("anvil_setBalance", [STRANGER.address, hex(10**19)])


def plan_on(context: BlockContext, to: str, data: bytes, **fields: Any) -> Plan:
    hop = Hop(to, "uniswap_v2", CurveKind.CONSTANT_PRODUCT, to, to, True, 3000, 1, 1)
    opportunity = Opportunity(
        id="test-1-1",
        chain="test",
        strategy="arbitrage",
        parent=context.parent,
        target_block=context.number,
        behind=fields.pop("behind", ()),
        hops=(hop,),
        conversion=(),
        gross_wei=5,
        gas_estimate=1,
        net_wei=4,
        received_ns=0,
        at_ns=0,
    )
    plan = Plan(opportunity, to, data, 0, 16, context.number, 1, 0)
    return msgspec.structs.replace(plan, **fields)


async def test_the_block_is_the_one_asked_for(chain):
    environment = await chain.deploy("Environment")
    context = await head_context(chain.rpc)
    asked = call(chain, environment, call_data("read()"), max_priority_fee_wei=2)
    (result,) = await simulator_on(chain.rpc).run(context, [asked])
    words = [result.return_data[i : i + 32] for i in range(0, 7 * 32, 32)]
    number, timestamp, base_fee, gas_limit, coinbase, parent, gas_price = words
    assert int.from_bytes(number, "big") == context.number
    assert int.from_bytes(timestamp, "big") == context.timestamp
    assert int.from_bytes(base_fee, "big") == context.base_fee_wei > 0
    assert int.from_bytes(gas_limit, "big") == context.gas_limit
    assert "0x" + coinbase[12:].hex() == COINBASE
    assert "0x" + parent.hex() == context.parent.hash
    assert int.from_bytes(gas_price, "big") == context.base_fee_wei + 2


async def test_the_state_is_that_of_the_parent_not_of_the_head(chain):
    till = await chain.deploy("Till")
    context = await head_context(chain.rpc)
    await chain.send(till, "0x" + call_data("leave(uint256)", 7).hex())
    (before,) = await simulator_on(chain.rpc).run(context, [call(chain, till, call_data("left()"))])
    later = await head_context(chain.rpc)
    (after,) = await simulator_on(chain.rpc).run(later, [call(chain, till, call_data("left()"))])
    assert (before.return_data[-1], after.return_data[-1]) == (0, 7)


async def test_what_is_simulated_is_what_is_mined(chain):
    till = await chain.deploy("Till")
    data = call_data("leave(uint256)", 7)
    context = await head_context(chain.rpc)
    leave = call(chain, till, data)
    first, second = await simulator_on(chain.rpc).run(context, [leave, leave])
    receipts = [await chain.send(till, "0x" + data.hex()) for _ in range(2)]
    assert [first.gas_used, second.gas_used] == [int(r["gasUsed"], 16) for r in receipts]
    (log,) = first.logs
    assert list(log.topics) == receipts[0]["logs"][0]["topics"]
    assert log.data == receipts[0]["logs"][0]["data"]
    assert first.gas_used > second.gas_used


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("stumble()", "reverted: stumbled"),
        ("overflow(uint256)", "panicked with code 0x11"),
        ("take(uint256)", "reverted with 0x" + call_data("TooLittle(uint256)", 0).hex()),
        ("nothing()", "reverted without a reason"),
    ],
)
async def test_a_failure_says_why(chain, function, reason):
    till = await chain.deploy("Till")
    failing = call(chain, till, call_data(function, 2**256 - 1))
    (result,) = await simulator_on(chain.rpc).run(await head_context(chain.rpc), [failing])
    assert not result.succeeded
    assert explain_revert(result.revert_data) == reason
    assert (result.return_data, result.logs) == (b"", ())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": 99}, "nonce 99, but 1 is due"),
        ({"nonce": 0}, "nonce 0, but 1 is due"),
        ({"max_fee_wei": 1}, "under the base fee"),
        ({"gas": 31_000_000}, "the block has 30000000"),
        ({"gas": 21_001}, "intrinsic gas"),
        ({"sender": "0x" + "12" * 20}, "Insufficient funds"),
        ({"value": 10**30}, "Insufficient funds"),
    ],
)
async def test_what_cannot_stand_in_a_block_is_unexecutable(chain, fields, words):
    till = await chain.deploy("Till")
    impossible = call(chain, till, call_data("leave(uint256)", 1), **fields)
    simulator = simulator_on(chain.rpc)
    with pytest.raises(Unexecutable, match=words):
        await simulator.run(await head_context(chain.rpc), [impossible])
    assert simulator.statistics().refused == {"Unexecutable": 1}


async def test_nonces_of_one_sender_follow_each_other(chain):
    till = await chain.deploy("Till")
    simulator, context = simulator_on(chain.rpc), await head_context(chain.rpc)
    leave = [call(chain, till, call_data("leave(uint256)", 1), nonce=n) for n in (1, 2)]
    assert all(result.succeeded for result in await simulator.run(context, leave))
    with pytest.raises(Unexecutable, match="nonce 2, but 1 is due"):
        await simulator.run(context, leave[::-1])


async def test_an_unknown_parent_is_retryable(chain):
    context = await head_context(chain.rpc)
    gone = msgspec.structs.replace(context, parent=BlockRef(1, "0x" + "ee" * 32))
    simulator = simulator_on(chain.rpc)
    for _ in range(2):
        with pytest.raises(Retryable, match="does not have the state"):
            await simulator.run(gone, [call(chain, COINBASE, b"")])
        await simulator.run(context, [call(chain, COINBASE, b"")])


async def test_an_access_list_is_paid_for(chain):
    till = await chain.deploy("Till")
    simulator, context = simulator_on(chain.rpc), await head_context(chain.rpc)
    plain = call(chain, till, call_data("left()"))
    listed = msgspec.structs.replace(plain, access_list=((COINBASE, ("0x" + "00" * 32,)),))
    ((a,), (b,)) = [await simulator.run(context, [each]) for each in (plain, listed)]
    assert b.gas_used - a.gas_used == 2_400 + 1_900


async def test_the_effects_of_a_pending_transaction(chain):
    till = await chain.deploy("Till")
    await fund_stranger(chain)
    context = await head_context(chain.rpc)
    access = [{"address": till, "storageKeys": ["0x" + "00" * 32]}]
    data = call_data("leave(uint256)", 9)
    tx = await pending(chain, till, data, accessList=access)
    effects = await simulator_on(chain.rpc).effects(tx, context)
    assert effects.succeeded
    assert (effects.tx, effects.parent) == (tx, context.parent)
    assert int(effects.logs[0].data, 16) == 9
    await chain.rpc.call("evm_mine")
    receipt = await chain.rpc.call("eth_getTransactionReceipt", [tx.hash])
    assert effects.gas_used == int(receipt["gasUsed"], 16)


@pytest.mark.parametrize(
    ("function", "fields"),
    [("leave(uint256)", {"nonce": 5}), ("stumble()", {}), ("burn()", {})],
)
async def test_a_pending_transaction_that_fails_has_no_effects(chain, function, fields):
    till = await chain.deploy("Till")
    await fund_stranger(chain)
    tx = await pending(chain, till, call_data(function, 1), **fields)
    effects = await simulator_on(chain.rpc).effects(tx, await head_context(chain.rpc))
    assert not effects.succeeded
    assert effects.logs == ()


async def test_a_set_code_transaction_is_not_followed(chain):
    await fund_stranger(chain)
    tx = msgspec.structs.replace(await pending(chain, COINBASE, b""), tx_type=4)
    effects = await simulator_on(chain.rpc).effects(tx, await head_context(chain.rpc))
    assert not effects.succeeded


async def test_a_plan_is_proved_behind_the_transaction_that_it_follows(chain):
    till = await chain.deploy("Till")
    await fund_stranger(chain)
    context = await head_context(chain.rpc)
    tx = await pending(chain, till, call_data("leave(uint256)", 9))
    simulator = simulator_on(chain.rpc)
    take = call_data("take(uint256)", 9)
    options = {"sender": chain.user, "context": context, "gas_limit": 300_000}
    alone = await simulator.prove(plan_on(context, till, take), **options)
    assert not alone.succeeded
    assert alone.reason.startswith("reverted with 0x")
    verdict = await simulator.prove(plan_on(context, till, take, behind=(tx,)), **options)
    assert verdict.succeeded
    assert verdict.reason == ""
    assert (verdict.realised_wei, verdict.context) == (9, context)
    assert 21_000 < verdict.gas_used < 300_000
    assert verdict.backend == "eth_simulate"
    counts = simulator.statistics()
    assert (counts.verdicts, counts.succeeded) == (2, 1)


OPTIONS = ("sender", "gas_limit", "nonce", "max_fee_wei")


async def refused(chain, function: str, **fields: Any) -> str:
    """The reason why a plan that calls `function` is refused."""
    till = await chain.deploy("Till")
    await chain.send(till, "0x" + call_data("leave(uint256)", 5).hex())
    context = await head_context(chain.rpc)
    options = {"sender": chain.user, "context": context, "gas_limit": 300_000}
    options |= {k: fields.pop(k) for k in list(fields) if k in OPTIONS}
    simulator = simulator_on(chain.rpc, explain=lambda data: f"explained {data[:4].hex()}")
    verdict = await simulator.prove(
        plan_on(context, till, call_data(function, 0), **fields), **options
    )
    assert not verdict.succeeded
    assert verdict.realised_wei == 0
    return verdict.reason


@pytest.mark.parametrize(
    ("function", "fields", "reason"),
    [
        ("stumble()", {}, "explained 08c379a0"),
        ("burn()", {}, "execution failed"),
        ("shrug()", {}, "returned 0 bytes"),
        ("take(uint256)", {"least_profit_wei": 6}, "gained 5 wei of at least 6"),
        ("take(uint256)", {"last_block": 1}, "ends with block 1"),
        ("take(uint256)", {"nonce": 7}, "nonce 7, but 2 is due"),
        ("take(uint256)", {"gas_limit": 21_000}, "intrinsic gas"),
        ("take(uint256)", {"sender": "0x" + "12" * 20}, "Insufficient funds"),
        ("take(uint256)", {"max_fee_wei": 10**20}, "Insufficient funds"),
        ("take(uint256)", {"max_fee_wei": 1}, "under the base fee"),
    ],
)
async def test_a_plan_is_refused_with_the_reason(chain, function, fields, reason):
    assert reason in await refused(chain, function, **fields)


async def test_a_plan_behind_a_failing_transaction_is_refused(chain):
    till = await chain.deploy("Till")
    await fund_stranger(chain)
    tx = await pending(chain, till, call_data("stumble()"))
    await chain.rpc.call("anvil_dropTransaction", [tx.hash])
    assert f"the followed transaction {tx.hash} fails" in await refused(
        chain, "take(uint256)", behind=(tx,)
    )


async def test_a_plan_for_another_parent_is_refused(chain):
    context = await head_context(chain.rpc)
    plan = plan_on(context, COINBASE, b"")
    await chain.rpc.call("evm_mine")
    verdict = await simulator_on(chain.rpc).prove(
        plan, sender=chain.user, context=await head_context(chain.rpc), gas_limit=100_000
    )
    assert "but the target's parent is" in verdict.reason


class NumbersOnly(RpcClient):
    """The same node, as one that names states by number alone."""

    async def call(self, method, params=()):
        if method == "eth_simulateV1" and isinstance(params[1], dict):
            raise RpcFault(-32602, "invalid argument 1: hex string without 0x prefix")
        return await super().call(method, params)


async def test_a_node_that_takes_only_numbers_serves_as_well(chain):
    till = await chain.deploy("Till")
    context = await head_context(chain.rpc)
    async with NumbersOnly(chain.rpc.url) as rpc:
        simulator = simulator_on(rpc)
        leave = call(chain, till, call_data("leave(uint256)", 7), nonce=1)
        (result,) = await simulator.run(context, [leave])
        assert result.succeeded
        foreign = msgspec.structs.replace(
            context, parent=BlockRef(context.parent.number, "0x" + "ee" * 32)
        )
        with pytest.raises(Retryable, match="wait for the chain to settle"):
            await simulator.run(foreign, [leave])


class Altered(RpcClient):
    """The same node with its answer to a simulation altered by the test."""

    def alter(self, answer: Any) -> Any:
        return answer

    async def batch_settled(self, calls):
        first, *others = await super().batch_settled(calls)
        return [self.alter(first), *others]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"number": "0x63"}, InvariantBroken, "does not honour block overrides"),
        ({"timestamp": "0x1"}, InvariantBroken, "does not honour block overrides"),
        ({"miner": "0x" + "00" * 20}, InvariantBroken, "does not honour block overrides"),
        ({"baseFeePerGas": "0x0"}, InvariantBroken, "does not honour block overrides"),
        ({"gasLimit": "0x1"}, InvariantBroken, "does not honour block overrides"),
        ({"parentHash": "0x" + "ee" * 32}, Retryable, "simulated on block 0xee"),
        ({"calls": []}, InvariantBroken, "0 of 1 calls"),
        ({"calls": [{}]}, Retryable, "no simulated block"),
        ({"calls": None}, Retryable, "no simulated block"),
        (RpcFault(-32601, "no such method"), Misconfigured, "has no eth_simulateV1"),
        (RpcFault(-38011, "nonce too high"), Unexecutable, "nonce too high"),
        (RpcFault(-38015, "block gas limit reached"), Unexecutable, "block gas limit"),
        (RpcFault(-32603, "nonce has max value"), Rejected, "max value"),
        (RpcFault(-32000, "header not found"), Retryable, "header not found"),
    ],
)
async def test_an_answer_to_something_else_is_never_taken_for_a_result(chain, change, error, words):
    context = await head_context(chain.rpc)
    async with Altered(chain.rpc.url) as rpc:
        simulator = simulator_on(rpc)
        rpc.alter = lambda got: change if isinstance(change, RpcFault) else [{**got[0], **change}]
        with pytest.raises(error, match=words):
            await simulator.run(context, [call(chain, COINBASE, b"")])


async def test_the_shape_in_which_geth_answers_is_read(chain):
    """geth puts revert data into the error and names the parent (execution-apis tests)."""
    context = await head_context(chain.rpc)
    reverted = {
        "returnData": "0x",
        "logs": [],
        "gasUsed": "0x5423",
        "maxUsedGas": "0x5423",
        "status": "0x0",
        "error": {"message": "execution reverted", "code": 3, "data": "0xdeadbeef"},
    }
    change = {"parentHash": context.parent.hash, "calls": [reverted]}
    async with Altered(chain.rpc.url) as rpc:
        rpc.alter = lambda got: [{**got[0], **change}]
        (result,) = await simulator_on(rpc).run(context, [call(chain, COINBASE, b"")])
    assert (result.succeeded, result.error) == (False, "execution reverted")
    assert result.revert_data == bytes.fromhex("deadbeef")
