"""The proof on a real chain: it passes what is true, and names every lie."""

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio
import verify_demo
from verify.history import read_history
from verify.node import Node
from verify.run import read_run
from verify.search import Universe

from searcher.devnet.accounts import account

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module")]

ETHER = 10**18
BOAST = 10**24
FINNEY = 10**15


class Scene:
    """A finished run: its chain in RUN.json, the transactions by name, and its usable pools."""

    def __init__(self, run: dict[str, Any], hashes: dict[str, str], pools: int) -> None:
        self.run = run
        self.hashes = hashes
        self.pools = pools


def claim(name: str, block: int, outcome: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "target_block": block,
        "behind": [],
        "gross_wei": str(BOAST),
        "bid_wei": "0",
        "own_tx": None,
        "sent": outcome != "skipped",
        "outcome": outcome,
        "reason": "",
        "profit_wei": "0",
        **more,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(chain) -> Scene:
    hashes: dict[str, str] = {}
    claims: list[dict[str, Any]] = []

    async def landed(name: str, operator: int, gross: int, bid: int, behind: list[str]) -> None:
        hashes[name] = await chain.earn(operator, gross, bid)
        claims.append(
            claim(
                name,
                await chain.head() + 1,
                "landed",
                behind=behind,
                gross_wei=str(gross),
                bid_wei=str(bid),
                own_tx=hashes[name],
            )
        )

    first = await chain.head() + 1
    # Block 1: users open a gap; one of them sends twice, and one moves native currency only.
    hashes["opening"] = await chain.swap(0, "uniswap_v2", ["WETH", "USDC"], 30 * ETHER)
    hashes["second"] = await chain.swap(0, "uniswap_v2", ["WETH", "USDC"], ETHER)
    hashes["narrow"] = await chain.swap(1, "uniswap_v3", ["WETH", "DAI"], 150 * ETHER)
    await chain.send(account("user", 2), account("user", 3).address, b"")
    await landed("behind", 0, 9 * FINNEY, 4 * FINNEY, [hashes["opening"]])
    await chain.mine()
    # Block 2: a plan on the state of block 1, and one without a bid.
    await landed("plain", 1, 7 * FINNEY, 0, [])
    await landed("other", 0, 8 * FINNEY, FINNEY, ["0x" + "ab" * 32])
    await chain.mine()
    # Block 3: a rival trades where the gap is.
    hashes["rival"] = await chain.swap(
        account("rival"), "uniswap_v2", ["USDC", "WETH"], 9_000 * 10**6
    )
    claims.append(claim("beaten", await chain.mine(), "not_landed", own_tx="0x" + "01" * 32))
    # Blocks 4 to 7: nothing happens on chain, and the gap that is left stays open.
    claims += [
        claim("laneless", await chain.mine(), "skipped", reason="no lane"),
        claim("outbid", await chain.mine(), "not_landed", own_tx="0x" + "02" * 32),
        claim("silent", await chain.mine(), "rejected"),
    ]
    await chain.mine()
    last = await chain.head()
    for entry in claims:
        if entry["outcome"] == "landed":
            receipt = await chain.receipt(entry["own_tx"])
            gas_wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            profit = int(entry["gross_wei"]) - int(entry["bid_wei"]) - gas_wei
            entry["profit_wei"] = str(profit)
    run = chain.run(first, last, claims)
    run["private_txs"] = [hashes["rival"]]
    run["relay_stats"] = [
        {
            "bundle_hash": "0x" + "0b" * 32,
            "transactions": ["0x" + "02" * 32],
            "fate": "outbid",
            "beaten_by": [],
        }
    ]
    fee = chain.token("FEE")
    usable = [p for p in chain.deployed.pools if fee not in {p.token0, p.token1}]
    assert len(usable) < len(chain.deployed.pools)
    return Scene(run, hashes, len(usable))


async def prove(tmp_path, run: dict[str, Any], *options: str) -> tuple[int, dict[str, Any]]:
    source, target = tmp_path / "run.json", tmp_path / "report.json"
    source.write_text(json.dumps({"seed": 1, "chains": [run]}))
    arguments = [str(source), "--out", str(target), *options]
    status = await asyncio.to_thread(verify_demo.main, arguments)
    return status, json.loads(target.read_text()) if target.exists() else {}


def changed(scene: Scene, name: str, **fields: Any) -> dict[str, Any]:
    claims = [{**c, **fields} if c["id"] == name else c for c in scene.run["claims"]]
    return {**scene.run, "claims": claims}


async def test_a_true_account_passes(scene, tmp_path, capsys):
    status, report = await prove(tmp_path, scene.run, "--self-check", "40")
    assert capsys.readouterr().err == ""
    assert status == 0
    assert report["profits_equal"] is True
    assert int(report["profit_onchain_wei"]) == int(report["ledger_profit_wei"]) > 0
    assert (report["plans_checked"], report["plans_equal"]) == (3, 3)
    assert report["discrepancies"] == []
    assert report["quotes_checked"] >= 30
    assert report["swaps_replayed"] == 1
    assert report["chains"]["lab"]["profit_onchain_wei"] == report["profit_onchain_wei"]
    assert report["pools"] == scene.pools


async def test_the_best_cycle_pays_what_we_say_on_the_real_pools(scene, chain):
    """Every state's winner, swapped hop by hop through the DEXes' own routers by a user."""
    _, (run,) = read_run(json.dumps({"seed": 1, "chains": [scene.run]}).encode())
    user, tried = account("user", 5).address, 0
    with Node(chain.url) as node:
        history = await asyncio.to_thread(read_history, node, run)
        universe = Universe(
            history.pools.values(),
            start_tokens=run.start_tokens,
            wrapped_native=run.wrapped_native,
            most_hops=3,
        )
        for block, states in history.at_end_of.items():
            best = universe.best(states, 10**9)
            if best is None:
                continue
            amount, calls = best.amount_in, []
            for step in (*best.route, best.conversion):
                if step is None:
                    continue
                if step is best.conversion:
                    amount -= best.amount_in
                data = chain.swap_data(
                    step.pool.dex, user, [step.token_in, step.token_out], amount, step.pool.fee_pips
                )
                router = chain.deployed.dexes[step.pool.dex].router
                calls.append({"from": user, "to": router, "input": "0x" + data.hex()})
                amount = states[step.pool.address].quote(step.pool, step.zero_for_one, amount)
            payload = {"blockStateCalls": [{"calls": calls}], "validation": False}
            (ran,) = await chain.rpc.call("eth_simulateV1", [payload, hex(block)])
            assert [call["status"] for call in ran["calls"]] == ["0x1"] * len(calls)
            kept = 0 if best.conversion else best.amount_in
            assert int(ran["calls"][-1]["returnData"][-64:], 16) == best.gross_wei + kept
            tried += 1
    assert tried == 7


async def test_value_goes_where_it_went(scene, tmp_path):
    _, report = await prove(tmp_path, scene.run)
    # Eight states: seven blocks' starts without the first, still even one; two users' swaps.
    assert report["triggers"] == 2
    assert report["reachable"] == 8
    assert report["fates"] == {
        "landed": 2,
        "lost_to_bid": 1,
        "lost_to_rival": 1,
        "rejected": 1,
        "skipped": 1,
    }
    assert report["skipped_wei"] == {"no lane": report["fates_wei"]["skipped"]}
    found = sum(int(wei) for wei in report["fates_wei"].values())
    missed = sum(int(wei) for wei in report["missed_wei"].values())
    assert found == int(report["found_wei"])
    assert found + missed == int(report["reachable_wei"])
    assert set(report["missed_wei"]) == {"not_found", "undersized"}
    misses = report["chains"]["lab"]["largest_misses"]
    assert sum(int(miss["missed_wei"]) for miss in misses) == missed
    unclaimed = [miss["behind"] for miss in misses if not miss["claimed"]]
    assert sorted(unclaimed) == [[], [scene.hashes["narrow"]]]
    # Boasts are told, and capped by what there was.
    assert report["claims_above_reachable"] == 4
    assert report["found_share"] < 1


async def test_a_public_transaction_counts_as_a_trigger_unless_it_was_private(scene, tmp_path):
    _, report = await prove(tmp_path, {**scene.run, "private_txs": []})
    assert report["triggers"] == 3
    assert "lost_to_rival" not in report["fates"]


async def test_the_relays_account_tells_the_rival_from_ourselves(scene, tmp_path):
    def bundle(mark: str, transactions: list[str], fate: str, *beaten_by: str) -> dict[str, Any]:
        return {
            "bundle_hash": "0x" + mark * 32,
            "transactions": transactions,
            "fate": fate,
            "beaten_by": ["0x" + other * 32 for other in beaten_by],
        }

    ours, theirs = scene.hashes["plain"], scene.hashes["rival"]
    stats = [
        bundle("aa", [ours], "landed"),
        bundle("bb", [theirs], "landed"),
        bundle("cc", ["0x" + "02" * 32], "outbid", "aa"),
        bundle("dd", ["0x" + "01" * 32], "outbid", "bb"),
    ]
    run = {**scene.run, "private_txs": [], "relay_stats": stats}
    _, report = await prove(tmp_path, run)
    assert report["triggers"] == 2
    assert report["fates"]["lost_to_own"] == 1
    assert report["fates"]["lost_to_rival"] == 1
    stats[2] = bundle("cc", ["0x" + "02" * 32], "too_late")
    _, report = await prove(tmp_path, run)
    assert report["fates"]["not_included: too_late"] == 1


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        (("plain", {"gross_wei": str(7 * FINNEY + 1)}), "recorded a gross of 7000000000000001 wei"),
        (("behind", {"bid_wei": str(4 * FINNEY - 1)}), "recorded a bid of"),
        (("plain", {"profit_wei": "1"}), "recorded a profit of 1 wei"),
        (
            ("plain", {"outcome": "not_landed", "profit_wei": "0"}),
            "its transaction stands in block",
        ),
        (("plain", {"own_tx": "0x" + "03" * 32}), "undeclared transaction"),
        (("plain", {"own_tx": "0x" + "03" * 32}), "which no block holds"),
        (("plain", {"target_block": 1}), "was for block 1, but stands in"),
        (("beaten", {"profit_wei": "5"}), "but to have earned 5 wei"),
        (("silent", {"profit_wei": "-5"}), "the balances of executor and operators changed by"),
    ],
)
async def test_a_false_account_fails(scene, tmp_path, capsys, lie, sentence):
    name, fields = lie
    status, report = await prove(tmp_path, changed(scene, name, **fields))
    assert status == 1
    told = capsys.readouterr().err.splitlines()
    assert any(sentence in line for line in told)
    assert told == report["discrepancies"]


async def test_a_plan_claimed_twice_fails(scene, tmp_path, capsys):
    twin = {**scene.run["claims"][0], "id": "twin"}
    run = {**scene.run, "claims": [*scene.run["claims"], twin]}
    status, _ = await prove(tmp_path, run)
    assert status == 1
    assert "plans behind and twin both claim" in capsys.readouterr().err


async def test_a_users_transaction_is_no_plan(scene, tmp_path, capsys):
    status, _ = await prove(tmp_path, changed(scene, "plain", own_tx=scene.hashes["rival"]))
    assert status == 1
    told = capsys.readouterr().err
    assert "which is no operator" in told
    assert "which is not the executor" in told


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"chain_id": 5}, "is chain 31337, the run says 5"),
        ({"last_block": 10**6}, "the run at 1000000"),
        ({"http_url": "ws://127.0.0.1:1"}, "is no node address"),
        ({"http_url": "http://127.0.0.1:1"}, "gave no answer to eth_chainId"),
        ({"first_block": 0}, "span no blocks"),
        ({"claims": [{"id": "x", "outcome": "won"}]}, "has outcome 'won'"),
        ({"start_tokens": ["GOLD"]}, "start token 'GOLD' is not among the tokens"),
    ],
)
async def test_what_cannot_be_proved_is_said_so(scene, tmp_path, capsys, fields, sentence):
    status, report = await prove(tmp_path, {**scene.run, **fields})
    assert status == 2
    assert report == {}
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


async def test_a_wrong_fee_is_noticed(scene, tmp_path, capsys):
    """The self-check is not blind: with a fee that is off by one pip the bytecode disagrees."""
    dexes = {
        name: {**dex, "fee_pips": dex["fee_pips"] + 1} if name == "uniswap_v2" else dex
        for name, dex in scene.run["dexes"].items()
    }
    status, report = await prove(tmp_path, {**scene.run, "dexes": dexes}, "--self-check", "60")
    assert status == 1
    assert "(uniswap_v2)" in capsys.readouterr().err
    assert report["discrepancies"]
