"""The gate that every plan passes before it is signed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import structlog
from msgspec import Struct

from searcher.domain.plan import Decision, Opportunity, Outcome, OutcomeKind, Plan, Verdict
from searcher.domain.units import WEI_PER_GWEI, OpportunityId, Uint256
from searcher.risk.exposure import MovingSum
from searcher.risk.settings import RiskSettings

HOUR_NS: Final = 3_600 * 10**9
DAY_NS: Final = 24 * HOUR_NS

_log = structlog.get_logger(__name__)


class SystemState(StrEnum):
    """Whether a chain's pipeline may send."""

    ACTIVE = "active"
    PAUSED = "paused"


class PastSpend(Struct, frozen=True):
    """Gas that an earlier run of the daemon spent: how long ago, and how much."""

    name: str
    age_ns: int
    gas_cost_wei: Uint256


class RiskStatistics(Struct, frozen=True):
    """The gate's state and counts; `declined` is by cause."""

    state: SystemState
    pause_reasons: tuple[str, ...]
    approved: int
    declined: dict[str, int]
    open_plans: int
    open_gas_cost_wei: int
    reverts_in_a_row: int


class _No(Struct, frozen=True):
    cause: str
    reason: str


class RiskGate:
    """Decides whether a plan may be sent, and keeps the limits.

    A yes reserves the plan's gas; the outcome settles it. What is unresolved stays reserved. In
    doubt the answer is no. One gate serves one chain; it never reads a clock: every time is handed
    in, as monotonic nanoseconds.

    Args:
        settings: the operator's limits.
    """

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._pauses: dict[str, str] = {}
        self._open: dict[OpportunityId, int] = {}
        self._reserved: dict[OpportunityId, int] = {}
        self._open_wei = 0
        self._hour = MovingSum(HOUR_NS)
        self._day = MovingSum(DAY_NS)
        self._per_block: Counter[int] = Counter()
        self._reverted: set[OpportunityId] = set()
        self._reverts_in_a_row = 0
        self._approved = 0
        self._declined: Counter[str] = Counter()

    @property
    def state(self) -> SystemState:
        """PAUSED as long as there is a reason to be."""
        return SystemState.PAUSED if self._pauses else SystemState.ACTIVE

    def decide(
        self,
        opportunity: Opportunity,
        plan: Plan,
        verdict: Verdict | None,
        *,
        bid_wei: int,
        gas_cost_wei: int,
        now_ns: int,
    ) -> Decision:
        """Say yes or no, and reserve the gas of a yes.

        Args:
            opportunity: what was found.
            plan: what would be sent.
            verdict: its proof; None is a no.
            bid_wei: what it would pay the builder.
            gas_cost_wei: the most that its gas can cost.
            now_ns: monotonic nanoseconds.
        """
        no = (
            self._refuse_state()
            or _refuse_proof(opportunity, plan, verdict)
            or self._refuse_amounts(opportunity, bid_wei, gas_cost_wei)
            or self._refuse_totals(opportunity, verdict, gas_cost_wei, now_ns)
        )
        if no is not None:
            self._declined[no.cause] += 1
            return Decision(opportunity.id, approved=False, reason=no.reason, at_ns=now_ns)
        self._reserve(opportunity, gas_cost_wei)
        self._approved += 1
        return Decision(opportunity.id, approved=True, reason="", at_ns=now_ns)

    def settle(self, outcome: Outcome) -> None:
        """Take an outcome: a later one for the same opportunity replaces the earlier.

        What landed is spent, what is unresolved is reserved (again, after a reorg), everything
        else is released.
        """
        name = outcome.opportunity_id
        if outcome.kind is OutcomeKind.UNRESOLVED:
            self._forget_spend(name)
            self._hold(name)
        else:
            self._release(name)
            if outcome.kind is OutcomeKind.LANDED:
                self._spend(outcome)
            else:
                self._forget_spend(name)
        if outcome.final:
            self._reserved.pop(name, None)
            self._reverted.discard(name)

    def restore(self, spends: Sequence[PastSpend], now_ns: int) -> None:
        """Count what earlier runs spent, so that a restart does not renew a limit."""
        for spend in sorted(spends, key=lambda s: -s.age_ns):
            for window in (self._hour, self._day):
                window.put(spend.name, spend.gas_cost_wei, now_ns - spend.age_ns)

    def pause(self, cause: str, reason: str) -> None:
        """Stop sending, until the operator resumes. Several causes add up."""
        if cause not in self._pauses:
            _log.error("risk_paused", cause=cause, reason=reason)
        self._pauses[cause] = reason

    def resume(self) -> None:
        """Send again: the operator's word that every cause is dealt with."""
        self._pauses.clear()
        self._reverts_in_a_row = 0
        _log.warning("risk_resumed")

    def statistics(self) -> RiskStatistics:
        """Return state and counts."""
        return RiskStatistics(
            state=self.state,
            pause_reasons=tuple(self._pauses.values()),
            approved=self._approved,
            declined=dict(self._declined),
            open_plans=len(self._open),
            open_gas_cost_wei=self._open_wei,
            reverts_in_a_row=self._reverts_in_a_row,
        )

    def _refuse_state(self) -> _No | None:
        if not self._pauses:
            return None
        return _No("paused", "paused: " + "; ".join(self._pauses.values()))

    def _refuse_amounts(
        self, opportunity: Opportunity, bid_wei: int, gas_cost_wei: int
    ) -> _No | None:
        limits = self._settings
        gross_wei = opportunity.gross_wei
        if bid_wei < 0 or gas_cost_wei <= 0:
            return _No(
                "unpriced",
                f"a bid of {bid_wei} wei with a gas cost of {gas_cost_wei} wei is no price: set a "
                "priority fee where there is no base fee",
            )
        profit_wei = gross_wei - bid_wei - gas_cost_wei
        if profit_wei < limits.least_profit_wei:
            return _No(
                "least_profit",
                f"keeps {profit_wei} wei after bid and gas, less than {limits.least_profit_wei}",
            )
        if limits.most_gross_wei is not None and gross_wei > limits.most_gross_wei:
            return _No(
                "most_gross",
                f"promises {gross_wei} wei, more than the believed {limits.most_gross_wei}",
            )
        token = opportunity.start
        most_in = limits.most_amount_in.get(token)
        if most_in is not None and opportunity.amount_in > most_in:
            return _No(
                "most_amount_in",
                f"takes {opportunity.amount_in} of {token}, more than {most_in}",
            )
        if gas_cost_wei > limits.most_gas_cost_wei_per_plan:
            return _No(
                "gas_per_plan",
                f"may cost {gas_cost_wei} wei of gas, more than "
                f"{limits.most_gas_cost_wei_per_plan} a plan",
            )
        return None

    def _refuse_totals(
        self,
        opportunity: Opportunity,
        verdict: Verdict | None,
        gas_cost_wei: int,
        now_ns: int,
    ) -> _No | None:
        limits = self._settings
        base_fee_wei = 0 if verdict is None else verdict.context.base_fee_wei
        if base_fee_wei > limits.most_base_fee_gwei * WEI_PER_GWEI:
            return _No(
                "base_fee",
                f"the base fee of {base_fee_wei} wei is above {limits.most_base_fee_gwei} gwei",
            )
        if opportunity.id in self._reserved:
            return _No("twice", f"{opportunity.id} was approved before")
        target = opportunity.target_block
        if self._per_block[target] >= limits.most_bundles_per_block:
            return _No(
                "per_block",
                f"block {target} has its {limits.most_bundles_per_block} bundles already",
            )
        for window, span, most_wei in (
            (self._hour, "hour", limits.most_gas_cost_wei_per_hour),
            (self._day, "day", limits.most_gas_cost_wei_per_day),
        ):
            at_stake_wei = window.total(now_ns) + self._open_wei + gas_cost_wei
            if at_stake_wei > most_wei:
                return _No(
                    f"gas_per_{span}",
                    f"would bring the gas of this {span} to {at_stake_wei} wei, above {most_wei}",
                )
        return None

    def _reserve(self, opportunity: Opportunity, gas_cost_wei: int) -> None:
        self._reserved[opportunity.id] = gas_cost_wei
        self._hold(opportunity.id)
        for block in [b for b in self._per_block if b < opportunity.target_block - 16]:
            del self._per_block[block]
        self._per_block[opportunity.target_block] += 1

    def _hold(self, name: OpportunityId) -> None:
        if name not in self._open:
            self._open[name] = self._reserved.get(name, 0)
            self._open_wei += self._open[name]

    def _release(self, name: OpportunityId) -> None:
        self._open_wei -= self._open.pop(name, 0)

    def _spend(self, outcome: Outcome) -> None:
        name = outcome.opportunity_id
        cost_wei = outcome.gas_used * outcome.effective_gas_price_wei
        for window in (self._hour, self._day):
            window.put(name, cost_wei, outcome.at_ns)
        if outcome.profit_wei > 0:
            self._reverts_in_a_row = 0
        elif name not in self._reverted:
            self._reverted.add(name)
            self._reverts_in_a_row += 1
            if self._reverts_in_a_row >= self._settings.most_reverts_in_a_row:
                self.pause(
                    "reverts",
                    f"{self._reverts_in_a_row} plans in a row landed and paid nothing: look at "
                    "them in the ledger before you resume",
                )

    def _forget_spend(self, name: OpportunityId) -> None:
        self._hour.drop(name)
        self._day.drop(name)


def _refuse_proof(opportunity: Opportunity, plan: Plan, verdict: Verdict | None) -> _No | None:
    if verdict is None:
        return _No("unproved", "there is no proof")
    if not verdict.succeeded:
        return _No("failed_proof", f"the proof failed: {verdict.reason}")
    if not verdict.opportunity_id == opportunity.id == plan.opportunity.id:
        return _No("foreign_proof", f"the proof is of {verdict.opportunity_id}")
    if verdict.context.parent != opportunity.parent:
        return _No("void_proof", f"the proof holds on {verdict.context.parent.hash} only")
    if verdict.context.number != opportunity.target_block:
        return _No("void_proof", f"the proof holds in block {verdict.context.number} only")
    if verdict.realised_wei != opportunity.gross_wei:
        return _No(
            "inexact",
            f"the proof realised {verdict.realised_wei} wei, the opportunity promises "
            f"{opportunity.gross_wei}",
        )
    return None
