import asyncio
from uuid import UUID

import pytest
from eth_account import Account

from searcher.domain.errors import InvariantBroken
from searcher.domain.plan import SubmissionState
from searcher.risk.gate import RiskGate
from searcher.risk.settings import RiskSettings
from searcher.submission.inclusion import InclusionWatcher
from searcher.submission.nonces import NonceLanes
from searcher.submission.submitter import Submitter


class Steps:
    """A journal that keeps the order in which things happen."""

    def __init__(self):
        self.taken = []
        self.submissions = []
        self.broken = False

    async def intend(self, bundle):
        if self.broken:
            raise OSError("disk full")
        self.taken.append(("intend", bundle.own_hash))

    async def submitted(self, submission):
        self.taken.append(("submitted", submission.relay))
        self.submissions.append(submission)

    async def ended(self, outcome):
        self.taken.append(("ended", outcome.kind.value))


class ScriptedRelay:
    """A relay without a network, for the order of events; the real one has its own tests."""

    def __init__(self, name, words, steps, state=SubmissionState.ACKNOWLEDGED):
        self.name, self.words, self.steps, self.state = name, words, steps, state
        self.hold = None
        self.fault = None
        self.cancelled = []

    async def send(self, bundle):
        self.steps.taken.append(("sent", self.name))
        if self.hold is not None:
            await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        return self.words.submission(
            relay=self.name, state=self.state, opportunity_id=bundle.opportunity_id
        )

    async def cancel(self, replacement_uuid):
        if self.fault is not None:
            raise self.fault
        self.cancelled.append(replacement_uuid)

    async def close(self):
        self.steps.taken.append(("closed", self.name))


class NoNode:
    async def batch_settled(self, calls):
        return [await self.call(method, params) for method, params in calls]

    async def call(self, method, params=()):
        raise AssertionError(f"{method}{params} was not expected")


@pytest.fixture
def steps():
    return Steps()


@pytest.fixture
def relays(words, steps):
    return [ScriptedRelay(name, words, steps) for name in ("a", "b")]


@pytest.fixture
def lanes(signers):
    lanes = NonceLanes(signers[:1])
    lanes.reconcile({signers[0].address: 7}, 9)
    return lanes


@pytest.fixture
def submitter(words, steps, relays, lanes, clock):
    watcher = InclusionWatcher(
        node=NoNode(),
        lanes=lanes,
        gate=RiskGate(RiskSettings()),
        journal=steps,
        clock=clock,
        wrapped_native=words.weth,
        final_after_blocks=3,
    )

    def with_bid(plan, bid_wei):
        word = bid_wei.to_bytes(plan.bid_size, "big")
        end = plan.bid_offset + plan.bid_size
        return plan.calldata[: plan.bid_offset] + word + plan.calldata[end:]

    return Submitter(
        chain_id=31337,
        lanes=lanes,
        relays=relays,
        journal=steps,
        watcher=watcher,
        clock=clock,
        with_bid=with_bid,
    )


async def prepare(submitter, words, opportunity=None, **changes):
    verdict = words.verdict(opportunity)
    terms = {
        "context": words.context(),
        "bid_wei": 0x0102,
        "gas_limit": 230_000,
        "max_fee_wei": words.base_fee_wei,
        "priority_fee_wei": 0,
    }
    plan = words.plan(opportunity)
    return plan, await submitter.prepare(plan, changes.pop("verdict", verdict), **(terms | changes))


async def test_bundle_holds_the_user_and_then_our_signed_plan(submitter, words, signers):
    opportunity = words.opportunity(behind=(words.pending(),))

    _, bundle = await prepare(submitter, words, opportunity)

    assert bundle.txs[0] == words.pending().raw
    assert Account.recover_transaction(bundle.txs[1]).lower() == signers[0].address
    assert (b"\xaa" + (0x0102).to_bytes(16, "big") + b"\xbb") in bundle.txs[1]
    assert bytes.fromhex(words.executor[2:]) in bundle.txs[1]
    assert (bundle.nonce, bundle.target_block, bundle.bid_wei) == (7, 10, 0x0102)
    assert UUID(bundle.replacement_uuid).version == 4
    assert submitter.statistics().bundle_ready_ns_total > 0


async def test_without_a_lane_nothing_is_signed(submitter, words, lanes):
    lanes.claim(target_block=9, opportunity_id="still open")

    _, bundle = await prepare(submitter, words)

    assert bundle is None
    assert submitter.statistics().without_lane == 1


@pytest.mark.parametrize("shared", ["a pool", "a followed transaction"])
async def test_plans_that_exclude_each_other_share_a_nonce(submitter, words, shared):
    elsewhere = (words.hop("0x" + "a3" * 20, words.weth, words.weth),)
    rival = {
        "a pool": {"behind": (words.pending(2),)},
        "a followed transaction": {"behind": (words.pending(1),), "hops": elsewhere},
    }[shared]
    _, first = await prepare(submitter, words, words.opportunity(0, behind=(words.pending(1),)))

    _, second = await prepare(submitter, words, words.opportunity(1, **rival), bid_wei=3)

    assert (first.sender, first.nonce) == (second.sender, second.nonce)
    assert first.own_hash != second.own_hash


async def test_what_an_earlier_run_sent_is_not_sent_again(submitter, words):
    plan, before = await prepare(submitter, words)
    submitter._watcher.track(plan, before)
    submitter._signed.clear()  # a new process knows only what the ledger left open

    _, again = await prepare(submitter, words, words.opportunity(1))

    assert again is None
    assert submitter.statistics().twins == 1


async def test_the_same_transaction_is_signed_for_one_opportunity_only(submitter, words, lanes):
    _, first = await prepare(submitter, words)

    _, twin = await prepare(submitter, words, words.opportunity(1))

    assert twin is None
    assert submitter.statistics().twins == 1
    submitter.discard(first)
    assert lanes.statistics().free == 1
    assert (await prepare(submitter, words))[1].own_hash == first.own_hash


@pytest.mark.parametrize(
    "changes",
    [{"gas_limit": 149_999}, {"max_fee_wei": 10**9 - 1}, {"priority_fee_wei": 1}],
)
async def test_terms_that_cannot_land_are_refused(submitter, words, changes):
    with pytest.raises(InvariantBroken, match="could not land"):
        await prepare(submitter, words, **changes)


async def test_another_proof_is_refused(submitter, words):
    for verdict in (
        words.verdict(succeeded=False),
        words.verdict(words.opportunity(3)),
        words.verdict(context=words.context(words.ref(9, "fork"))),
    ):
        with pytest.raises(InvariantBroken, match="nothing was signed"):
            await prepare(submitter, words, verdict=verdict)


async def test_a_failure_while_signing_gives_the_lane_back(submitter, words, lanes):
    with pytest.raises(OverflowError):
        await prepare(submitter, words, bid_wei=2**128)

    assert lanes.statistics().free == 1


async def test_the_intent_is_written_before_any_byte_leaves(submitter, words, steps):
    plan, bundle = await prepare(submitter, words)

    submissions = await submitter.send(plan, bundle)

    assert steps.taken[0] == ("intend", bundle.own_hash)
    assert sorted(steps.taken[1:]) == [
        ("sent", "a"),
        ("sent", "b"),
        ("submitted", "a"),
        ("submitted", "b"),
    ]
    assert [s.relay for s in submissions] == ["a", "b"]


async def test_an_intent_that_cannot_be_written_sends_nothing(submitter, words, steps, lanes):
    plan, bundle = await prepare(submitter, words)
    steps.broken = True

    with pytest.raises(OSError, match="disk full"):
        await submitter.send(plan, bundle)

    assert steps.taken == []
    assert lanes.statistics().free == 1


async def test_refused_by_all_is_rejected(submitter, words, steps, relays, lanes):
    for relay in relays:
        relay.state = SubmissionState.REJECTED
    plan, bundle = await prepare(submitter, words)

    await submitter.send(plan, bundle)

    assert steps.taken[-1] == ("ended", "rejected")
    assert lanes.statistics().free == 1


async def test_a_relay_that_fails_is_unresolved_and_stops_no_other(submitter, words, relays, lanes):
    relays[0].fault = RuntimeError("bug")
    plan, bundle = await prepare(submitter, words)

    submissions = await submitter.send(plan, bundle)

    assert [s.state.value for s in submissions] == ["unresolved", "acknowledged"]
    assert lanes.statistics().free == 0


async def test_an_interrupted_send_leaves_nothing_unrecorded(submitter, words, steps, relays):
    relays[1].hold = asyncio.Event()
    plan, bundle = await prepare(submitter, words)
    task = asyncio.create_task(submitter.send(plan, bundle))
    async with asyncio.timeout(5):
        while ("submitted", "a") not in steps.taken:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    states = {s.relay: (s.state.value, s.reason) for s in steps.submissions}
    assert states == {
        "a": ("acknowledged", ""),
        "b": ("unresolved", "interrupted before its answer"),
    }


async def test_cancel_asks_every_relay_and_keeps_the_lane(submitter, words, relays, lanes):
    relays[0].fault = RuntimeError("gone")
    _, bundle = await prepare(submitter, words)

    await submitter.cancel(bundle)

    assert relays[1].cancelled == [bundle.replacement_uuid]
    assert lanes.statistics().free == 0


async def test_what_is_never_sent_is_discarded(submitter, words, lanes):
    _, bundle = await prepare(submitter, words)

    submitter.discard(bundle)

    assert lanes.statistics().free == 1


async def test_closing_closes_the_relays(submitter, steps):
    await submitter.close()

    assert steps.taken == [("closed", "a"), ("closed", "b")]
