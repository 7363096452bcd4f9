"""One chain's pipeline: what stands on an older block is void, and nothing is lost uncounted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from searcher.domain.errors import InvariantBroken, NodeUnreachable, Rejected, Retryable
from searcher.domain.events import ChainReorganised
from searcher.domain.plan import Mode, OutcomeKind
from searcher.market.standing import MarketDelta
from searcher.ops import pipeline as pipeline_module
from searcher.ops.daemon import Daemon
from searcher.ops.pipeline import PENDING_LIFETIME_BLOCKS
from searcher.simulation.simulator import CallResult
from tests.unit.ops.scripted import CHAIN, Scene, gained


async def until(holds: Callable[[], Any], within_s: float = 10.0) -> None:
    """Let the pipeline work until a condition holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[asyncio.Task[None]]:
    """Run the pipeline; what it ends with is for the test to ask."""
    task = asyncio.create_task(scene.pipeline.run())
    try:
        ready = asyncio.create_task(scene.pipeline.ready.wait())
        await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def at(scene: Scene, number: int) -> None:
    """Wait until the pipeline has taken a block in and has nothing more to do."""
    await until(lambda: scene.pipeline.statistics().head == number)
    await scene.pipeline.idle()


# ---- a block, from its logs to a send


async def test_a_block_that_opens_an_arbitrage_leads_to_a_proven_plan_for_the_next():
    scene = Scene()
    async with running(scene):
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        (plan,) = scene.carrier.of("carry")
        opportunity = plan.opportunity
        assert opportunity.parent == block.header.ref
        assert plan.last_block == opportunity.target_block == block.header.number + 1
        assert opportunity.received_ns == block.received_ns
        (context,) = scene.simulator.contexts
        assert context.parent == block.header.ref
        assert context.number == opportunity.target_block
        assert plan.least_profit_wei == opportunity.gross_wei
        assert [v.opportunity_id for v in scene.journal.of("judged")] == [opportunity.id]
        assert [kind for kind, _ in scene.journal.rows] == ["found", "planned", "judged"]
        statistics = scene.pipeline.statistics()
        assert (statistics.found, statistics.simulated, statistics.sent) == (1, 1, 1)
        assert statistics.skipped == {}


async def test_the_carrier_begins_before_the_first_plan_and_settles_every_block():
    scene = Scene()
    scene.unbalance()
    head = scene.world.seal().header
    async with running(scene):
        await until(lambda: scene.carrier.of("carry"))
        assert scene.carrier.told[0] == ("begin", head)
        for _ in range(3):
            block = scene.seal()
        await at(scene, block.header.number)
        numbers = [head.number + n for n in (1, 2, 3)]
        assert scene.carrier.of("block") == scene.carrier.of("settle") == numbers
        assert len(scene.carrier.of("begin")) == 1
    assert scene.carrier.closed


async def test_what_was_not_taken_is_offered_again_under_another_id():
    scene = Scene()
    async with running(scene):
        scene.unbalance()
        scene.seal()
        block = scene.seal()
        await at(scene, block.header.number)
        first, second = scene.journal.of("found")
        assert first.id != second.id
        assert second.parent == block.header.ref


# ---- what stands on an older block


async def test_a_verdict_on_an_older_head_is_void():
    scene = Scene()
    async with running(scene):
        scene.simulator.gate.clear()
        scene.unbalance()
        old = scene.seal()
        await until(lambda: scene.simulator.asked["plans"] == 1)
        new = scene.seal()
        await until(lambda: scene.simulator.asked["plans"] == 2)
        scene.simulator.gate.set()
        await at(scene, new.header.number)
        assert [p.opportunity.parent for p in scene.carrier.of("carry")] == [new.header.ref]
        (void,) = scene.journal.of("ended")
        assert void.kind is OutcomeKind.SKIPPED
        assert void.reason == "void: the head moved during the proof"
        assert void.opportunity_id.startswith(f"testchain-0-{old.header.number}-")
        assert scene.carrier.of("dropped") == [void]
        assert scene.pipeline.statistics().skipped == {"void": 1}


async def test_effects_on_an_older_head_are_void_and_the_transaction_is_looked_at_again():
    scene = Scene()
    async with running(scene):
        scene.simulator.gate.clear()
        scene.show(scene.user(1))
        await until(lambda: scene.simulator.asked["users"] == 1)
        block = scene.seal()
        await until(lambda: scene.simulator.asked["users"] == 2)
        scene.simulator.gate.set()
        await at(scene, block.header.number)
        assert scene.pipeline.statistics().dropped == {"pending effects void: the head moved": 1}
        (plan,) = scene.carrier.of("carry")
        assert plan.opportunity.parent == block.header.ref
        assert [tx.nonce for tx in plan.opportunity.behind] == [1]


@pytest.mark.parametrize("too_deep", [False, True])
async def test_what_stood_on_an_abandoned_block_is_void_and_the_new_branch_is_searched(too_deep):
    scene = Scene()
    async with running(scene):
        scene.simulator.gate.clear()
        scene.unbalance()
        abandoned = scene.seal()
        await until(lambda: scene.simulator.asked["plans"] == 1)
        scene.world.requests.clear()
        event, block = scene.fork(abandoned.header.number - 1, too_deep=too_deep)
        await until(lambda: scene.simulator.asked["plans"] == 2)
        scene.simulator.gate.set()
        await at(scene, block.header.number)
        # Only what is too deep to be taken back is read again.
        assert bool(scene.world.requests) == too_deep
        assert scene.market.statistics().unwound == (not too_deep)
        assert scene.carrier.of("reorganised") == [event.head.number]
        assert scene.market.head == block.header.ref
        assert [p.opportunity.parent for p in scene.carrier.of("carry")] == [block.header.ref]
        assert scene.outcomes() == ["void: the head moved during the proof"]
        ids = [opportunity.id for opportunity in scene.journal.of("found")]
        assert len(set(ids)) == len(ids) == 2
        next_block = scene.seal()
        await at(scene, next_block.header.number)
        assert scene.pipeline.statistics().state == "active"


async def test_an_ancestor_that_the_market_cannot_go_back_to_is_read_again():
    scene = Scene()
    async with running(scene):
        # The market was read at this block: the journal does not know what was before it.
        first = scene.world.headers[-1]
        scene.world.fork(first.number - 1)
        shared = scene.world.headers[-1]
        block = scene.world.seal()
        scene.script.put(ChainReorganised(CHAIN, first.ref, shared, 1, shared.ref))
        scene.script.put(block)
        await at(scene, block.header.number)
        assert scene.market.head == block.header.ref
        assert scene.market.statistics().unwound == 0
        assert scene.pipeline.statistics().state == "active"


async def test_nothing_is_searched_on_a_new_head_until_its_moving_values_are_read():
    scene = Scene()
    async with running(scene):
        gate, reading = asyncio.Event(), asyncio.Event()

        async def refresh(_rpc, ref):
            reading.set()
            await gate.wait()
            return MarketDelta(ref, ())

        scene.market.refresh_volatile = refresh
        scene.market._intake._awaited[0] = None
        scene.unbalance()
        block = scene.seal()
        await reading.wait()
        scene.show(scene.user(1))
        await until(lambda: scene.pipeline.statistics().pending == 1)
        assert scene.simulator.asked == {}
        assert scene.journal.of("found") == []
        gate.set()
        await at(scene, block.header.number)
        await until(lambda: scene.simulator.asked["users"] == 1)
        assert scene.journal.of("found")


# ---- a node that gives too little


async def test_a_node_that_fails_on_the_way_is_waited_for_and_the_market_read_again():
    scene = Scene()
    async with running(scene) as task:
        scene.script.put(Retryable("the node is tired: ask again"))
        await until(lambda: scene.script.begun == 2)
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        assert len(scene.carrier.of("carry")) == 1
        assert scene.clock.slept
        statistics = scene.pipeline.statistics()
        assert statistics.state == "active"
        assert statistics.dropped == {"node gave too little": 1}
        assert len(scene.carrier.of("begin")) == 1
        assert not task.done()


async def test_a_head_that_cannot_be_read_again_is_asked_for_until_it_can():
    scene = Scene()
    async with running(scene):
        scene.script.silent += [Retryable("still tired: ask again")] * 3
        scene.script.put(Retryable("the node is tired: ask again"))
        await until(lambda: scene.script.begun == 2)
        assert scene.pipeline.statistics().dropped == {"node gave too little": 4}


async def test_a_node_that_fails_at_the_start_ends_it_with_its_own_error():
    scene = Scene()
    scene.script.silent.append(NodeUnreachable("no answer: check its address"))
    async with running(scene) as task:
        with pytest.raises(NodeUnreachable, match="no answer"):
            await task
    assert scene.carrier.closed


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Retryable("the node is busy"), "failed: the node is busy"),
        (Rejected("the node refuses"), "simulation failed: the node refuses"),
    ],
)
async def test_a_proof_without_an_answer_is_no_proof(error: Exception, reason: str):
    scene = Scene()
    scene.simulator.answer = lambda _: error
    async with running(scene) as task:
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        assert scene.outcomes() == [reason]
        assert scene.carrier.of("carry") == []
        assert not task.done()


async def test_a_user_transaction_without_an_answer_is_counted_and_waits_for_the_next_block():
    scene = Scene()
    async with running(scene):
        tx = scene.user(1)
        logs, scene.simulator.effects_of[tx.data] = (
            scene.simulator.effects_of[tx.data],
            Retryable("the node is busy"),
        )
        scene.show(tx)
        await until(lambda: scene.pipeline.statistics().dropped)
        assert scene.pipeline.statistics().dropped == {"failed with Retryable": 1}
        scene.simulator.effects_of[tx.data] = logs
        block = scene.seal()
        await at(scene, block.header.number)
        assert len(scene.carrier.of("carry")) == 1


# ---- what must never be


@pytest.mark.parametrize("fault", [InvariantBroken("the sums differ"), ZeroDivisionError("oh")])
async def test_what_must_never_be_stops_the_chain_and_is_told(fault: Exception):
    scene = Scene()
    scene.carrier.fault = fault
    async with running(scene) as task:
        scene.unbalance()
        scene.seal()
        with pytest.raises(InvariantBroken, match=str(fault)):
            await task
    assert scene.pipeline.statistics().state == "broken"
    assert scene.carrier.closed


async def test_a_block_that_does_not_follow_stops_the_chain():
    scene = Scene()
    async with running(scene) as task:
        scene.world.seal()
        scene.seal()
        with pytest.raises(InvariantBroken, match="does not build on"):
            await task


async def test_a_chain_that_breaks_leaves_its_neighbour_alone():
    broken, sound = Scene(chain="broken"), Scene(chain="sound")
    broken.carrier.fault = InvariantBroken("the sums differ")
    pipelines = {"broken": broken.pipeline, "sound": sound.pipeline}
    daemon = Daemon(pipelines, ledger=None, stack=AsyncExitStack())
    running = asyncio.create_task(daemon.run())
    for scene in (broken, sound):
        await scene.pipeline.ready.wait()
        scene.unbalance()
        scene.seal()
    await until(lambda: broken.pipeline.statistics().state == "broken")
    assert not running.done()
    last = sound.seal()
    await at(sound, last.header.number)
    assert len(sound.carrier.of("carry")) == 2
    sound.pipeline.stop_after(last.header.number)
    sound.seal()
    with pytest.raises(InvariantBroken, match="the sums differ"):
        await running
    states = {chain.chain: chain.state for chain in daemon.statistics()}
    assert states == {"broken": "broken", "sound": "stopped"}


# ---- the end


async def test_it_ends_when_the_last_target_block_is_settled():
    scene = Scene()
    async with running(scene) as task:
        last = scene.world.head.number + 2
        scene.pipeline.stop_after(last)
        scene.carrier.open = 1
        scene.unbalance()
        for _ in range(2):
            block = scene.seal()
            await at(scene, block.header.number)
        assert {p.opportunity.target_block for p in scene.carrier.of("carry")} == {last}
        assert not task.done()
        scene.carrier.open = 0
        scene.seal()
        await asyncio.wait_for(task, 10)
    assert scene.pipeline.statistics().state == "stopped"
    assert scene.carrier.closed


async def test_an_outcome_that_never_becomes_final_does_not_hold_the_end_for_ever():
    scene = Scene(final_after_blocks=2)
    async with running(scene) as task:
        last = scene.world.head.number + 1
        scene.pipeline.stop_after(last)
        scene.carrier.open = 1
        for _ in range(4):
            assert not task.done()
            block = scene.seal()
            await until(lambda block=block: scene.pipeline.statistics().head == block.header.number)
        scene.seal()
        await asyncio.wait_for(task, 10)


async def test_it_ends_when_its_source_does():
    scene = Scene()
    async with running(scene) as task:
        scene.script.put(None)
        await asyncio.wait_for(task, 10)


async def test_what_is_under_way_when_it_is_stopped_ends_before_the_carrier_closes():
    """A look that has begun may still find something: its outcome belongs to the record too."""
    scene = Scene()
    async with running(scene) as task:
        scene.simulator.gate.clear()
        scene.show(scene.user(1))
        await until(lambda: scene.simulator.asked["users"] == 1)
        task.cancel()
        await asyncio.sleep(0)
        scene.simulator.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scene.pipeline._work == set()
        told = {outcome.opportunity_id for outcome in scene.journal.of("ended")}
        told |= {plan.opportunity.id for plan in scene.carrier.of("carry")}
        assert told == {found.id for found in scene.journal.of("found")}


async def test_a_proof_that_hangs_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline_module, "STOP_GRACE_S", 0.05)
    scene = Scene()
    async with running(scene) as task:
        scene.simulator.gate.clear()
        scene.unbalance()
        scene.seal()
        await until(lambda: scene.simulator.asked["plans"] == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
    assert scene.outcomes() == ["stopped: the daemon ended first"]


# ---- pending transactions


async def test_a_pending_swap_is_followed_and_looked_at_again_with_every_block():
    scene = Scene()
    async with running(scene):
        tx = scene.user(1)
        scene.show(tx)
        await until(lambda: scene.carrier.of("carry"))
        for _ in range(2):
            block = scene.seal()
            await at(scene, block.header.number)
        plans = scene.carrier.of("carry")
        assert {plan.opportunity.strategy for plan in plans} == {"backrun"}
        assert [plan.opportunity.behind[0].hash for plan in plans] == [tx.hash] * 3
        targets = [plan.opportunity.target_block for plan in plans]
        assert targets == [targets[0] + n for n in range(3)]
        first, *later = [plan.opportunity.received_ns for plan in plans]
        assert first == tx.received_ns
        # What makes it worth another look is the block.
        assert later == [block.received_ns] * 2


async def test_a_pending_swap_that_its_block_included_is_not_looked_at_again():
    scene = Scene()
    async with running(scene):
        tx = scene.user(1)
        scene.show(tx)
        await until(lambda: scene.carrier.of("carry"))
        block = scene.world.seal()
        scene.node.bodies[block.header.hash] = [tx.hash]
        scene.script.put(block)
        await at(scene, block.header.number)
        assert len(scene.carrier.of("carry")) == 1
        assert scene.pipeline._waiting == {}


async def test_a_pending_swap_is_given_up_after_its_time():
    scene = Scene()
    async with running(scene):
        scene.show(scene.user(1))
        await until(lambda: scene.carrier.of("carry"))
        for _ in range(PENDING_LIFETIME_BLOCKS + 1):
            block = scene.seal()
            await at(scene, block.header.number)
        assert scene.pipeline.statistics().dropped == {"pending too old": 1}
        assert scene.pipeline._waiting == {}


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"to": None}, "pending without a call"),
        ({"data": b""}, "pending without a call"),
        ({"max_fee_wei": 1}, "pending below the base fee"),
        ({"tx_type": 4}, "pending fails"),
    ],
)
async def test_what_cannot_be_followed_is_counted_by_cause(fields: dict[str, Any], cause: str):
    scene = Scene()
    async with running(scene):
        scene.show(scene.user(1, **fields))
        await until(lambda: scene.pipeline.statistics().dropped)
        await scene.pipeline.idle()
        assert scene.pipeline.statistics().dropped == {cause: 1}
        assert scene.pipeline.statistics().pending == 1
        assert scene.journal.rows == []


async def test_when_too_many_wait_the_oldest_is_forgotten_and_counted(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pipeline_module, "MOST_WAITING", 2)
    scene = Scene()
    async with running(scene):
        users = [scene.user(n) for n in (1, 2, 3)]
        for tx in users:
            scene.show(tx)
        await until(lambda: scene.pipeline.statistics().pending == 3)
        assert list(scene.pipeline._waiting) == [tx.hash for tx in users[1:]]
        assert scene.pipeline.statistics().dropped["pending forgotten"] == 1


# ---- the verdict


async def test_a_plan_that_fails_in_simulation_is_not_sent():
    scene = Scene()
    scene.simulator.answer = lambda _: CallResult(False, 90_000, b"", (), "out of gas")
    async with running(scene):
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        assert scene.outcomes() == ["simulation failed: out of gas"]
        assert scene.carrier.of("carry") == []
        assert scene.pipeline.statistics().skipped == {"simulation failed": 1}


async def test_pools_whose_simulation_differs_from_their_maths_are_set_aside():
    scene = Scene()
    scene.simulator.answer = lambda wei: gained(wei + 1)
    async with running(scene):
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        (found,) = scene.journal.of("found")
        (reason,) = scene.outcomes()
        assert reason == (
            f"inexact: simulation realised {found.gross_wei + 1} wei, "
            f"exact maths says {found.gross_wei}"
        )
        aside = {view.pool.address for view in scene.market.views() if view.set_aside}
        assert aside == found.pools
        again = scene.seal()
        await at(scene, again.header.number)
        assert len(scene.journal.of("found")) == 1


async def test_a_carrier_that_declines_says_why_and_gets_its_reservation_back():
    scene = Scene()
    scene.carrier.refusal = "risk: the hour's gas is spent"
    async with running(scene):
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        assert scene.outcomes() == [scene.carrier.refusal]
        assert len(scene.carrier.of("dropped")) == 1
        assert scene.pipeline.statistics().skipped == {"risk": 1}
        assert scene.pipeline.statistics().sent == 0


@pytest.mark.parametrize(
    ("mode", "fields", "reason", "proofs"),
    [
        (Mode.OBSERVE, {"carrier": None}, "mode observe", 0),
        (Mode.SIMULATE, {"carrier": None}, "mode simulate", 1),
        (
            Mode.SIMULATE,
            {"carrier": None, "executor": None},
            "no executor: the chain's configuration names none, or no operator",
            0,
        ),
    ],
)
async def test_a_mode_goes_as_far_as_it_says(
    mode: Mode, fields: dict[str, Any], reason: str, proofs: int
):
    scene = Scene(mode=mode, **fields)
    async with running(scene):
        scene.unbalance()
        block = scene.seal()
        await at(scene, block.header.number)
        assert scene.outcomes() == [reason]
        assert scene.pipeline.statistics().simulated == proofs


async def test_the_counters_add_up():
    """Everything found was sent or skipped, and everything skipped has its outcome."""
    scene = Scene()
    plans = itertools.count()
    failed = CallResult(False, 1, b"", (), "no")
    scene.simulator.answer = lambda wei: failed if next(plans) % 3 == 1 else gained(wei)
    async with running(scene):
        for n in range(6):
            scene.show(scene.user(n))
            scene.unbalance(3 * 10**18)
            block = scene.seal()
            await at(scene, block.header.number)
        statistics = scene.pipeline.statistics()
        assert statistics.blocks == 6
        assert statistics.pending == 6
        assert statistics.found == len(scene.journal.of("found")) > 6
        assert statistics.sent == len(scene.carrier.of("carry")) > 0
        assert statistics.found == statistics.sent + sum(statistics.skipped.values())
        assert sum(statistics.skipped.values()) == len(scene.journal.of("ended")) > 0
        assert statistics.simulated == len(scene.journal.of("judged"))
