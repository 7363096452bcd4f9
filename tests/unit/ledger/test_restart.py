"""A daemon that dies at any step of a submission, and the run that comes after it."""

import pytest
from aiohttp import web

from searcher.domain.clock import SystemClock
from searcher.domain.plan import OutcomeKind
from searcher.domain.registry import Registry
from searcher.risk.gate import RiskGate
from searcher.risk.settings import RiskSettings
from searcher.submission.inclusion import InclusionWatcher
from searcher.submission.nonces import NonceLanes
from searcher.submission.relay import Relay
from searcher.submission.signer import LocalSigner
from searcher.submission.submitter import Submitter

SIGNER = LocalSigner(b"\x01" * 32)


class Died(BaseException):
    """Stands for the end of the process: nothing of the run goes on after it."""


class Node:
    """Knows one nonce and the receipts of what landed."""

    def __init__(self):
        self.nonce = 7
        self.receipts = {}

    async def batch_settled(self, calls):
        return [await self.call(method, params) for method, params in calls]

    async def call(self, method, params=()):
        if method == "eth_getTransactionCount":
            return hex(self.nonce)
        assert method == "eth_getTransactionReceipt", method
        return self.receipts.get(params[0])

    def land(self, bundle, block, *, status):
        self.nonce = bundle.nonce + 1
        self.receipts[bundle.own_hash] = {
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "status": hex(status),
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1",
            "logs": [],
        }


@pytest.fixture
async def relay_url():
    async def take(_):
        return web.json_response({"result": {"bundleHash": "0xabc"}})

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


class Run:
    """The parts of a daemon that handle money, wired as it wires them."""

    def __init__(self, ledger, node, words, relay_url):
        clock = SystemClock()
        self.words = words
        self.ledger = ledger
        self.lanes = NonceLanes([SIGNER])
        self.gate = RiskGate(RiskSettings())
        self.watcher = InclusionWatcher(
            node=node,
            lanes=self.lanes,
            gate=self.gate,
            journal=ledger,
            clock=clock,
            wrapped_native=words.weth,
            final_after_blocks=2,
        )
        plugin = Registry("searcher.submission.relays", Relay).load("flashbots")
        relay = plugin("relay-a", plugin.Config(url=relay_url), auth=SIGNER, clock=clock)
        self.submitter = Submitter(
            chain_id=31337,
            lanes=self.lanes,
            relays=[relay],
            journal=ledger,
            watcher=self.watcher,
            clock=clock,
            with_bid=lambda plan, _: plan.calldata,
        )

    async def prepare(self):
        opportunity = self.words.opportunity()
        plan, verdict = self.words.plan(opportunity), self.words.verdict(opportunity)
        await self.ledger.found(opportunity)
        await self.ledger.planned(plan)
        bundle = await self.submitter.prepare(
            plan,
            verdict,
            context=verdict.context,
            bid_wei=0,
            gas_limit=200_000,
            max_fee_wei=self.words.base_fee_wei,
            priority_fee_wei=0,
        )
        return plan, bundle


async def die_at(monkeypatch, run, step):
    """Send a bundle and end the run at one step of it."""

    def die(*_):
        raise Died(step)

    await run.watcher.start(run.words.ref(9))
    plan, bundle = await run.prepare()
    targets = {
        "before the intent": (run.ledger, "intend"),
        "after the intent": (run.watcher, "track"),
        "after the answer": (run.watcher, "answered"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*targets[step], die)
        with pytest.raises(Died):
            await run.submitter.send(plan, bundle)
    await run.submitter.close()
    return bundle


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("step", ["after the intent", "after the answer"])
async def test_the_next_run_settles_what_the_dead_one_sent(
    open_ledger, words, relay_url, monkeypatch, *, step, landed
):
    node = Node()
    async with await open_ledger() as ledger:
        first_run = ledger.run_id
        bundle = await die_at(monkeypatch, Run(ledger, node, words, relay_url), step)
    if landed:
        node.land(bundle, words.ref(10), status=0)

    async with await open_ledger() as ledger:
        run = Run(ledger, node, words, relay_url)
        await run.watcher.start(words.ref(9), await ledger.open_bundles("devnet"))
        held = run.lanes.statistics().free == 0
        await run.watcher.on_block(words.block(10))
        await run.watcher.settle(words.block(10))
        await run.submitter.close()
        earlier = await ledger.reader.opportunities(run_id=first_run)
        now = await ledger.reader.opportunities(run_id=ledger.run_id)

    # A nonce that the chain has taken holds no lane; one that it has not, does.
    assert held is not landed
    assert [row.outcome for row in earlier] == [
        OutcomeKind.LANDED if landed else OutcomeKind.NOT_LANDED
    ]
    assert earlier[0].profit_wei == (-21_000 if landed else 0)
    assert now == []
    assert run.lanes.statistics().free == 1


async def test_what_died_before_its_intent_left_nothing(open_ledger, words, relay_url, monkeypatch):
    async with await open_ledger() as ledger:
        await die_at(monkeypatch, Run(ledger, Node(), words, relay_url), "before the intent")
    async with await open_ledger() as ledger:
        assert await ledger.open_bundles("devnet") == []
