"""The dry-run against forks of a laboratory chain, whose blocks stand still meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from searcher.chains.anvil import HOST, Anvil, free_port
from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.laboratory import Laboratory
from searcher.domain.errors import ExitStatus, InvariantBroken, Retryable
from searcher.domain.events import BlockContext, BlockRef
from searcher.kernels._jit import cache_folder
from searcher.ops import read_only
from searcher.ops.dry_run import DryRunRequest, run_dry_run
from searcher.ops.fork import Fork

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "config")
BLOCKS = 16
GWEI = 10**9
# Written down again on purpose: what a node answers without changing anything or telling anybody.
READ = re.compile(
    r"eth_(get\w+|call|chainId|blockNumber|gasPrice|maxPriorityFeePerGas|feeHistory|blobBaseFee)"
    r"|net_version|web3_clientVersion|txpool_content"
)


class Chain:
    """The laboratory chain, and what reached it through `url`."""

    def __init__(self, manifest, rpc, session):
        self.manifest = manifest
        self.rpc = rpc
        self.asked = Counter()
        self.without = set()
        self.url = ""
        self._session = session

    @property
    def span(self):
        last = self.manifest.first_block + BLOCKS - 1
        return last - 4, last

    async def head(self):
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def reaches(self, block):
        while True:
            if await self.head() >= block:
                return
            await asyncio.sleep(0.05)

    async def answer(self, request):
        body = await request.read()
        calls = orjson.loads(body)
        for call in calls if isinstance(calls, list) else [calls]:
            self.asked[call["method"]] += 1
            if call["method"] in self.without:
                error = {"code": -32601, "message": "the method does not exist"}
                return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})
        async with self._session.post(self.manifest.http_url, data=body) as response:
            return web.Response(
                body=await response.read(),
                status=response.status,
                content_type="application/json",
            )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain():
    async with (
        Laboratory(["devnet"], seed=3, block_time_ms=250) as laboratory,
        aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
    ):
        manifest = laboratory.manifests["devnet"]
        async with RpcClient(manifest.http_url) as rpc:
            chain = Chain(manifest, rpc, session)
            async with asyncio.timeout(60):
                await chain.reaches(manifest.first_block + BLOCKS)
            await rpc.call("devnet_setMining", [False])
            application = web.Application()
            application.router.add_post("/", chain.answer)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, HOST, 0).start()
            chain.url = f"http://{HOST}:{runner.addresses[0][1]}"
            yield chain
            await runner.cleanup()


async def tried(chain, **fields):
    said = []
    fields.setdefault("config", CONFIG)
    report, status = await run_dry_run(DryRunRequest(fork_url=chain.url, **fields), said.append)
    return report, status, said


async def command(*arguments, **variables):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from searcher.ops.cli import main; main()",
        "dry-run",
        *arguments,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process):
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


def check_figures(report):
    assert report.landed
    for plan in report.plans:
        if plan.landed:
            assert not plan.reason
            assert plan.earned_wei == plan.gross_wei - plan.bid_wei - plan.gas_wei
            assert plan.earned_wei > 0
            assert plan.gas_wei > 0
        else:
            assert plan.reason
            assert plan.earned_wei == 0
    assert 0 < report.together_wei <= report.earned_wei


async def test_a_span_earns_and_the_node_is_only_read(chain):
    head = await chain.head()
    first, last = chain.span
    chain.asked.clear()
    report, status, said = await tried(chain, first=first, last=last)
    assert status is ExitStatus.OK
    check_figures(report)
    assert (report.source.first_block, report.source.last_block) == (first, last)
    assert report.source.blocks == last - first + 1
    assert {plan.block for plan in report.plans} <= set(range(first, last + 1))
    assert not report.source.offered  # what was pending then, nobody knows
    assert {plan.strategy for plan in report.plans} == {"arbitrage"}
    assert [line for line in said if line.startswith(f"block {last} ")]
    assert chain.asked["eth_getLogs"] >= last - first
    assert not [method for method in chain.asked if not READ.fullmatch(method)]
    assert await chain.head() == head


async def test_a_plan_meets_the_next_block_as_it_really_was(chain):
    first, _ = chain.span
    report, _, _ = await tried(chain, first=first, last=first)
    next_block = await chain.rpc.call("eth_getBlockByNumber", [hex(first + 1), False])
    assert report.landed
    for plan in report.landed:
        # Nothing but the base fee of that block was paid for gas.
        assert plan.gas_wei % int(next_block["baseFeePerGas"], 16) == 0
        assert plan.block == first


async def test_pending_transactions_at_the_head_are_followed(chain):
    spare, manifest = account("spare", 0), chain.manifest
    nonce = int(await chain.rpc.call("eth_getTransactionCount", [spare.address, "pending"]), 16)
    path = [manifest.wrapped_native, manifest.tokens["USDC"].address]
    swap = spare.sign(
        chain_id=manifest.chain_id,
        nonce=nonce,
        to=manifest.dexes["uniswap_v2"].router,
        gas=400_000,
        max_fee_wei=100 * GWEI,
        max_priority_fee_wei=5 * GWEI,
        value=60 * 10**18,
        data=calldata(
            "swapExactETHForTokens(uint256,address[],address,uint256)",
            0,
            path,
            spare.address,
            2**40,
        ),
    )
    swap_hash = await chain.rpc.call("eth_sendRawTransaction", ["0x" + swap.hex()])
    head = await chain.head()
    report, _, _ = await tried(chain, first=head, last=head)
    check_figures(report)
    assert report.source.offered
    behind = [plan for plan in report.landed if plan.behind == (swap_hash,)]
    assert behind
    assert {plan.strategy for plan in behind} == {"backrun"}

    chain.without.add("txpool_content")
    try:
        blind, status, _ = await tried(chain, first=head, last=head)
    finally:
        chain.without.clear()
    assert status is ExitStatus.OK
    assert not blind.source.offered
    assert {plan.strategy for plan in blind.landed} == {"arbitrage"}


async def test_a_strategy_file_of_the_users_own(chain, tmp_path):
    mine = tmp_path / "mine.toml"
    knobs = ("hops_most = 2", "splits = false", "further_hops_most = 0", "bid_share_bps = 0")
    mine.write_text("\n".join(('plugin = "arbitrage"', *knobs, "")))
    first, last = chain.span
    report, _, _ = await tried(chain, first=first, last=last, strategies=(str(mine),))
    check_figures(report)
    assert {plan.strategy for plan in report.plans} == {"mine"}
    assert {len(plan.pools) for plan in report.plans} == {2}
    assert {plan.bid_wei for plan in report.landed} == {0}

    greedy, _, _ = await tried(
        chain,
        first=last,
        last=last,
        strategies=(str(mine),),
        flags=("strategies.mine.least_profit_gwei=1000000000000",),
    )
    assert not greedy.plans


async def test_one_json_document_and_nothing_left_behind(chain, tmp_path):
    first, last = chain.span
    home = tmp_path / "home"
    home.mkdir()
    arguments = ("--fork-url", chain.url, "--blocks", f"{first}:{last}", "--json")
    cache = str(cache_folder().parents[2])  # of the compiled kernels
    process = await command(*arguments, HOME=str(home), XDG_CACHE_HOME=cache, TMPDIR=str(tmp_path))
    status, out, err = await ended(process)
    assert status == ExitStatus.OK
    document = json.loads(out)
    assert f"block {last} of {last}" in err
    assert document["landed"] > 0
    earned = [int(plan["earned_wei"]) for plan in document["plans"] if plan["landed"]]
    assert sum(earned) == int(document["earned_wei"]) > 0
    assert {path.name for path in home.iterdir()} <= {".cache"}  # what discovery found
    assert list(tmp_path.iterdir()) == [home]
    report, _, _ = await tried(chain, first=first, last=last)
    assert [(plan["id"], int(plan["gross_wei"])) for plan in document["plans"]] == [
        (plan.id, plan.gross_wei) for plan in report.plans
    ]


async def test_following_ends_with_the_totals(chain):
    process = await command("--fork-url", chain.url)
    head = await chain.head()
    seen = b""
    async with asyncio.timeout(60):
        for number in range(head, head + 3):
            while f"block {number};".encode() not in seen:
                line = await process.stderr.readline()
                assert line, seen.decode()
                seen += line
            await chain.rpc.call("devnet_mine")
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, out, _ = await ended(process)
    assert time.monotonic() - started < 10
    assert status == ExitStatus.OK
    assert "plans found" in out
    assert f"of devnet ({head} to " in out


async def test_a_span_cut_short_says_so(chain):
    first, last = chain.span
    process = await command("--fork-url", chain.url, "--blocks", f"{first}:{last}", "--json")
    async with asyncio.timeout(60):
        while f"block {first} of".encode() not in await process.stderr.readline():
            pass
    process.send_signal(signal.SIGINT)
    status, out, _ = await ended(process)
    assert status == ExitStatus.INTERRUPTED
    assert json.loads(out)["blocks"] <= last - first + 1


async def refused(*arguments, **variables):
    status, out, err = await ended(await command(*arguments, **variables))
    assert out == ""
    return status, err


async def test_what_cannot_be_run_is_one_sentence(chain, tmp_path):
    first, _ = chain.span
    nobody = f"http://{HOST}:{free_port()}"
    status, err = await refused("--fork-url", nobody)
    assert (status, "no node answers" in err) == (ExitStatus.NODE_UNREACHABLE, True)

    status, err = await refused("--fork-url", chain.url, SEARCHER_ANVIL=str(tmp_path / "none"))
    assert (status, "SEARCHER_ANVIL" in err) == (ExitStatus.PREFLIGHT, True)

    status, err = await refused("--fork-url", chain.url, "--block", "99999999")
    assert (status, "or an earlier one" in err) == (ExitStatus.CONFIG, True)

    status, err = await refused("--fork-url", chain.url, "--strategy", "nowhere.toml")
    assert (status, "nowhere.toml" in err) == (ExitStatus.CONFIG, True)

    status, err = await refused("--fork-url", chain.url, "--block", str(first), "--follow")
    assert (status, "exclude each other" in err) == (ExitStatus.USAGE, True)

    status, err = await refused("--fork-url", chain.url, "--blocks", "9:1")
    assert (status, "A:B" in err) == (ExitStatus.USAGE, True)

    status, err = await refused("--fork-url", chain.url, "--chain", "devnett")
    assert (status, "did you mean 'devnet'" in err) == (ExitStatus.CONFIG, True)

    status, err = await refused("--fork-url", chain.url, "--chain", "bsc")
    assert (status, "but bsc is chain 56" in err) == (ExitStatus.CONFIG, True)

    async with Anvil(chain_id=777) as stranger:
        status, err = await refused("--fork-url", stranger.http_url)
        assert status == ExitStatus.CONFIG
        assert "serves chain 777" in err
        assert "ethereum (1)" in err


async def test_a_fork_stands_on_the_block_asked_for_or_says_so(chain):
    first, _ = chain.span
    block = await chain.rpc.call("eth_getBlockByNumber", [hex(first), False])
    wrong = BlockRef(first, "0x" + "12" * 32)
    async with Fork(chain.url, first) as fork:
        await fork.reset(BlockRef(first, block["hash"]))
        with pytest.raises(Retryable, match="reorganised"):
            await fork.reset(wrong)
        context = BlockContext(
            parent=wrong,
            number=first + 1,
            timestamp=int(block["timestamp"], 16) + 1,
            base_fee_wei=GWEI,
            gas_limit=30_000_000,
            coinbase=chain.manifest.coinbase,
        )
        with pytest.raises(InvariantBroken, match="the plan at"):
            await fork.execute(context, [])


async def test_a_node_that_goes_away_is_waited_for(chain, monkeypatch):
    """A node that fails now and then, and once for longer, costs time and no plan."""
    monkeypatch.setattr(read_only, "_PAUSES_S", (0.01, 0.01))
    first, last = chain.span
    expected, _, _ = await tried(chain, first=first, last=last)
    answer, seen = chain.answer, Counter()

    async def flaky(request):
        seen["all"] += 1
        if seen["away"] or seen["all"] % 40 == 0:
            seen["away"] = max(0, seen["away"] - 1)
            seen["failed"] += 1
            return web.Response(status=503)
        if b"blockHash" in (body := await request.read()) and b"eth_getLogs" in body:
            seen["logs"] += 1
            # The fork is reset next.
            seen["away"] = 40 if seen["logs"] == 2 else 0
        return await answer(request)

    application = web.Application()
    application.router.add_post("/", flaky)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        report, status = await run_dry_run(
            DryRunRequest(fork_url=url, first=first, last=last, config=CONFIG), print
        )
    finally:
        await runner.cleanup()
    assert status is ExitStatus.OK
    assert seen["failed"] >= 40

    def carried(of):
        return {(plan.block, plan.pools, plan.gross_wei) for plan in of.landed}

    assert carried(report) == carried(expected)
    assert report.source.blocks == expected.source.blocks
