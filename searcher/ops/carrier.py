"""From a proven plan to its outcome, live: bid, risk, nonce, signature, relays, inclusion."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import stamina

from searcher.domain.clock import Clock
from searcher.domain.errors import Retryable
from searcher.domain.events import BlockApplied, BlockHeader, ChainReorganised
from searcher.domain.plan import Outcome, Plan, Verdict
from searcher.domain.ports import Journal
from searcher.opportunities.settings import CycleSettings
from searcher.risk.gate import RiskGate
from searcher.submission.bids import choose_terms
from searcher.submission.inclusion import InclusionWatcher, OpenBundle
from searcher.submission.settings import BidSettings, GasSettings
from searcher.submission.submitter import Submitter

START_ATTEMPTS: Final = 5


class Carrier(Protocol):
    """What happens to a proven plan: it is sent, or run on a fork, and its outcome recorded."""

    async def begin(self, header: BlockHeader) -> None:
        """Reconcile with the chain before the first plan."""

    async def on_block(self, block: BlockApplied) -> None:
        """Begin to learn what must be known before the next plan is sent."""

    async def settle(self, block: BlockApplied) -> None:
        """Record what the block tells of the plans before it."""

    async def on_reorganised(self, event: ChainReorganised) -> None:
        """Take back what an abandoned block had settled."""

    async def carry(self, plan: Plan, verdict: Verdict) -> str:
        """Carry a proven plan out; returns why it was not sent, or an empty string."""

    def dropped(self, outcome: Outcome) -> None:
        """Release what a plan that was not sent had reserved."""

    def watched(self) -> int:
        """How many plans have no final outcome yet."""

    async def close(self) -> None:
        """Record what is still open, and close connections."""


class LiveCarrier:
    """Sends plans to the relays of one chain.

    Args:
        submitter: signs and sends.
        watcher: follows what was sent.
        gate: the chain's limits.
        journal: where decisions go.
        clock: stamps.
        bids: floor and cap of bids.
        gas: gas limit and fees.
        strategies: each strategy's knobs, for its share of the bid.
        least_profit_wei: what a plan must keep after bid and gas.
        left_open: bundles of an earlier run whose outcome is not final.
    """

    def __init__(
        self,
        *,
        submitter: Submitter,
        watcher: InclusionWatcher,
        gate: RiskGate,
        journal: Journal,
        clock: Clock,
        bids: BidSettings,
        gas: GasSettings,
        strategies: Mapping[str, CycleSettings],
        least_profit_wei: int,
        left_open: Sequence[OpenBundle] = (),
    ) -> None:
        self._submitter = submitter
        self._watcher = watcher
        self._gate = gate
        self._journal = journal
        self._clock = clock
        self._bids = bids
        self._gas = gas
        self._strategies = strategies
        self._least_profit_wei = least_profit_wei
        self._left_open = tuple(left_open)
        self._reading: asyncio.Task[None] | None = None

    async def begin(self, header: BlockHeader) -> None:
        """Learn the nonces and take over what an earlier run left open, before the first plan."""
        async for attempt in stamina.retry_context(on=Retryable, attempts=START_ATTEMPTS):
            with attempt:
                await self._watcher.start(header.ref, self._left_open)

    async def on_block(self, block: BlockApplied) -> None:
        """Begin to learn which lanes are free again; plans are proved meanwhile."""
        self._reading = asyncio.create_task(self._watcher.on_block(block))

    async def settle(self, block: BlockApplied) -> None:
        """Record the outcomes of the bundles that are watched."""
        await self._lanes_known()
        await self._watcher.settle(block)

    async def on_reorganised(self, event: ChainReorganised) -> None:
        """Return what landed in an abandoned block to unresolved."""
        await self._watcher.on_reorg(event)

    async def carry(self, plan: Plan, verdict: Verdict) -> str:
        """Choose the bid, ask risk, sign and send."""
        strategy = self._strategies[plan.opportunity.strategy]
        terms = choose_terms(
            verdict,
            share_bps=strategy.bid_share_bps,
            least_profit_wei=self._least_profit_wei,
            bid=self._bids,
            gas=self._gas,
        )
        if terms.refusal:
            return f"below the least profit: {terms.refusal}"
        decision = self._gate.decide(
            plan.opportunity,
            plan,
            verdict,
            bid_wei=terms.bid_wei,
            gas_cost_wei=terms.gas_cost_wei,
            now_ns=self._clock.monotonic_ns(),
        )
        # The journal keeps the order: the intent, which is waited for, comes after this.
        recording = asyncio.create_task(self._journal.decided(decision))
        if not decision.approved:
            await recording
            return f"risk: {decision.reason}"
        await self._lanes_known()
        bundle = await self._submitter.prepare(
            plan,
            verdict,
            context=verdict.context,
            bid_wei=terms.bid_wei,
            gas_limit=terms.gas_limit,
            max_fee_wei=terms.max_fee_wei,
            priority_fee_wei=terms.priority_fee_wei,
        )
        await recording
        if bundle is None:
            return "no lane: every operator key waits for an outcome, or the same was sent already"
        await self._submitter.send(plan, bundle)
        return ""

    async def _lanes_known(self) -> None:
        if self._reading is not None:
            # Many plans wait for the one answer: a cancelled one must not take it from the others.
            await asyncio.shield(self._reading)

    def dropped(self, outcome: Outcome) -> None:
        """Release the gas that risk had reserved for a plan that was not sent."""
        self._gate.settle(outcome)

    def watched(self) -> int:
        """Count the bundles without a final outcome."""
        return self._watcher.statistics().watched

    async def close(self) -> None:
        """Record open bundles as unresolved, and close the relays' connections."""
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._watcher.close()
        await self._submitter.close()
