"""From a proven plan to the relays: what each stage may refuse, and what is recorded of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import stamina
from msgspec.structs import replace

from searcher.domain.errors import Retryable
from searcher.opportunities.settings import CycleSettings
from searcher.ops.carrier import START_ATTEMPTS, LiveCarrier
from searcher.risk.gate import RiskGate
from searcher.risk.settings import RiskSettings
from searcher.submission.settings import BidSettings, GasSettings
from tests.unit.ops.scripted import HurriedClock, RecordingJournal

GROSS_WEI = 10**16
GAS_USED = 150_000
BID_SHARE_BPS = 6_000


class Watcher:
    """Stands for the inclusion watcher: fails to start so many times, and reads when told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.starts: list[Any] = []
        self.read = asyncio.Event()
        self.read.set()
        self.told: list[str] = []

    async def start(self, head: Any, left_open: Any) -> None:
        self.starts.append((head, left_open))
        if len(self.starts) <= self.failures:
            raise Retryable("the node did not tell a nonce: ask again")

    async def on_block(self, _block: Any) -> None:
        await self.read.wait()
        self.told.append("read")

    async def settle(self, _block: Any) -> None:
        self.told.append("settled")

    async def close(self) -> None:
        self.told.append("closed")


class Submitter:
    """Stands for the submitter: keeps the terms, and has a lane or not."""

    def __init__(self) -> None:
        self.terms: dict[str, Any] = {}
        self.lane = True
        self.sent: list[Any] = []

    async def prepare(self, plan: Any, _verdict: Any, **terms: Any) -> Any:
        self.terms = terms
        return plan.opportunity.id if self.lane else None

    async def send(self, _plan: Any, bundle: Any) -> None:
        self.sent.append(bundle)

    async def close(self) -> None:
        self.sent.append("closed")


class Setting:
    """A carrier with the real gate and the real terms."""

    def __init__(self, words: Any, **limits: Any) -> None:
        self.watcher, self.submitter, self.journal = Watcher(), Submitter(), RecordingJournal()
        self.clock = HurriedClock()
        self.gate = RiskGate(RiskSettings(**limits))
        self.opportunity = words.opportunity(gross_wei=GROSS_WEI)
        self.plan = words.plan(self.opportunity)
        self.verdict = words.verdict(self.opportunity, gas_used=GAS_USED)
        self.carrier = LiveCarrier(
            submitter=self.submitter,
            watcher=self.watcher,
            gate=self.gate,
            journal=self.journal,
            clock=self.clock,
            bids=BidSettings(),
            gas=GasSettings(),
            strategies={
                "arbitrage": CycleSettings(
                    bid_share_bps=BID_SHARE_BPS, least_profit_gwei=Decimal(1)
                )
            },
            least_profit_wei=1,
            left_open=("left",),
        )

    async def carry(self) -> str:
        return await self.carrier.carry(self.plan, self.verdict)


@pytest.fixture
def setting(words: Any) -> Setting:
    return Setting(words)


async def test_a_plan_goes_out_with_the_strategys_share_of_what_remains_after_gas(setting: Setting):
    assert await setting.carry() == ""
    assert setting.submitter.sent == [setting.opportunity.id]
    context, gas = setting.verdict.context, GasSettings()
    gas_cost_wei = (GAS_USED + gas.bid_gas) * context.base_fee_wei
    terms = setting.submitter.terms
    assert terms["bid_wei"] == (GROSS_WEI - gas_cost_wei) * BID_SHARE_BPS // 10_000
    assert terms["max_fee_wei"] == context.base_fee_wei
    assert terms["priority_fee_wei"] == 0
    assert terms["context"] == context
    (decision,) = setting.journal.of("decided")
    assert decision.approved
    assert setting.gate.statistics().open_plans == 1


async def test_a_plan_that_leaves_too_little_is_not_put_to_risk(setting: Setting):
    setting.verdict = replace(setting.verdict, realised_wei=10**14)
    assert (await setting.carry()).startswith("below the least profit: ")
    assert setting.journal.rows == []
    assert setting.submitter.sent == []


async def test_what_risk_declines_is_recorded_and_not_signed(words: Any):
    setting = Setting(words, most_gross_wei=GROSS_WEI - 1)
    reason = await setting.carry()
    (decision,) = setting.journal.of("decided")
    assert not decision.approved
    assert reason == f"risk: {decision.reason}"
    assert setting.submitter.terms == {}
    assert setting.gate.statistics().open_plans == 0


async def test_a_plan_without_a_lane_gives_its_reservation_back(setting: Setting, words: Any):
    setting.submitter.lane = False
    assert (await setting.carry()).startswith("no lane: ")
    assert setting.submitter.sent == []
    assert setting.gate.statistics().open_plans == 1
    skipped = words.outcome(setting.opportunity, kind="skipped")
    setting.carrier.dropped(replace(skipped, final=True))
    assert setting.gate.statistics().open_plans == 0


async def test_nothing_is_signed_before_the_lanes_of_the_new_block_are_known(
    setting: Setting, words: Any
):
    setting.watcher.read.clear()
    await setting.carrier.on_block(words.block(10))
    first = asyncio.create_task(setting.carry())
    other = words.opportunity(1, gross_wei=GROSS_WEI)
    second = asyncio.create_task(setting.carrier.carry(words.plan(other), words.verdict(other)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert setting.submitter.terms == {}
    # One that gives up does not take the answer from the others.
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    setting.watcher.read.set()
    assert await second == ""
    assert setting.submitter.sent == [other.id]
    await setting.carrier.settle(words.block(10))
    assert setting.watcher.told == ["read", "settled"]


@pytest.fixture
def hurried() -> Iterator[None]:
    """Stamina's own mode for tests: the same attempts, no pauses."""
    stamina.set_testing(True, attempts=START_ATTEMPTS)
    yield
    stamina.set_testing(False)


@pytest.mark.usefixtures("hurried")
async def test_the_start_is_tried_again(setting: Setting, words: Any):
    setting.watcher.failures = START_ATTEMPTS - 1
    header = words.block(9).header
    await setting.carrier.begin(header)
    assert setting.watcher.starts == [(header.ref, ("left",))] * START_ATTEMPTS


@pytest.mark.usefixtures("hurried")
async def test_a_start_that_never_succeeds_is_told(setting: Setting, words: Any):
    setting.watcher.failures = START_ATTEMPTS
    with pytest.raises(Retryable, match="did not tell a nonce"):
        await setting.carrier.begin(words.block(9).header)


async def test_it_closes_what_it_holds_when_the_last_reading_is_over(setting: Setting, words: Any):
    setting.watcher.read.clear()
    await setting.carrier.on_block(words.block(10))
    closing = asyncio.create_task(setting.carrier.close())
    await asyncio.sleep(0)
    setting.watcher.read.set()
    await closing
    assert setting.watcher.told == ["read", "closed"]
    assert setting.submitter.sent == ["closed"]
