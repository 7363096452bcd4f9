"""What the ledger says: sums, rows for reports, latencies, and what is still open."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import FromClause, Select, Subquery, Table, and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from searcher.domain.codec import from_json, from_record
from searcher.domain.plan import (
    Opportunity,
    Outcome,
    OutcomeKind,
    Plan,
    SignedBundle,
    Submission,
)
from searcher.domain.units import Hash32, Int256, OpportunityId, Uint256
from searcher.ledger import schema
from searcher.ledger.schema import bundles, decisions, opportunities, outcomes, verdicts

T = TypeVar("T", bound=Struct)
_Key = tuple[int, str]


class LedgerSummary(Struct, frozen=True):
    """Counts and sums of what was recorded.

    `landed` counts what paid, `reverted` what landed and cost its gas; `lost` did not land or was
    rejected, `outbid` those of them whose pool another transaction touched; `open` has no outcome
    or an unresolved one. Over what landed: `profit_wei` = `gross_wei` - `bids_wei` - `gas_wei`,
    where a reverted plan has gas alone.
    """

    opportunities: int
    bundles_sent: int
    landed: int
    reverted: int
    lost: int
    outbid: int
    rejected: int
    open: int
    skipped: int
    gross_wei: Uint256
    bids_wei: Uint256
    gas_wei: Uint256
    profit_wei: Int256


class OpportunityRow(Struct, frozen=True):
    """One opportunity and what became of it; empty or None where a stage was not reached.

    `behind` are the hashes of the transactions that it follows.
    """

    run_id: int
    opportunity_id: OpportunityId
    chain: str
    strategy: str
    target_block: int
    behind: tuple[Hash32, ...]
    gross_wei: Uint256
    verdict: str
    decision: str
    own_hash: str
    bid_wei: Uint256
    outcome: OutcomeKind | None
    reason: str
    gas_cost_wei: Uint256
    profit_wei: Int256
    final: bool


class _Followed(Struct):
    hash: Hash32


class _Trigger(Struct):
    behind: tuple[_Followed, ...]


_followed = msgspec.json.Decoder(_Trigger).decode


class StageTimes(Struct, frozen=True):
    """When one opportunity reached each stage, monotonic nanoseconds; None where it did not."""

    run_id: int
    opportunity_id: OpportunityId
    received_ns: int
    found_ns: int
    planned_ns: int | None
    judged_ns: int | None
    decided_ns: int | None
    bundle_ready_ns: int | None
    answered_ns: int | None


class Spent(Struct, frozen=True):
    """The gas of a plan that landed, and the wall time at which that was recorded."""

    name: str
    wall_ns: int
    gas_cost_wei: Uint256


class NotFinal(Struct, frozen=True):
    """A bundle whose outcome is not final, with all that was recorded of it."""

    run_id: int
    plan: Plan
    bundle: SignedBundle
    submissions: tuple[Submission, ...]
    outcome: Outcome | None


class LedgerReader:
    """Reads a ledger, also while it is written. Wei are added up here, in exact integers.

    In every query `chain` None means all chains and `run_id` None all runs.

    Args:
        engine: of the open store.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def summary(self, chain: str | None = None, run_id: int | None = None) -> LedgerSummary:
        """Count and add up."""
        rows = await self.opportunities(chain, run_id)
        landed = [r for r in rows if r.outcome is OutcomeKind.LANDED]
        paid = [r for r in landed if r.reason != "reverted"]
        lost = [r for r in rows if r.outcome in (OutcomeKind.NOT_LANDED, OutcomeKind.REJECTED)]
        return LedgerSummary(
            opportunities=len(rows),
            bundles_sent=sum(bool(r.own_hash) for r in rows),
            landed=len(paid),
            reverted=len(landed) - len(paid),
            lost=len(lost),
            outbid=sum(r.reason.startswith("outbid") for r in lost),
            rejected=sum(r.outcome is OutcomeKind.REJECTED for r in lost),
            open=sum(
                bool(r.own_hash) and r.outcome in (None, OutcomeKind.UNRESOLVED) for r in rows
            ),
            skipped=sum(r.outcome is OutcomeKind.SKIPPED for r in rows),
            gross_wei=sum(r.gross_wei for r in paid),
            bids_wei=sum(r.bid_wei for r in paid),
            gas_wei=sum(r.gas_cost_wei for r in landed),
            profit_wei=sum(r.profit_wei for r in landed),
        )

    async def opportunities(
        self, chain: str | None = None, run_id: int | None = None
    ) -> list[OpportunityRow]:
        """Return every opportunity with its latest verdict, decision, bundle and outcome."""
        v, d, b, o = (_newest(table) for table in (verdicts, decisions, bundles, outcomes))
        query = select(
            opportunities.c.run_id,
            opportunities.c.opportunity_id,
            opportunities.c.chain,
            opportunities.c.strategy,
            opportunities.c.target_block,
            opportunities.c.gross_wei,
            opportunities.c.record,
            v.c.succeeded,
            v.c.reason.label("verdict_reason"),
            d.c.approved,
            d.c.reason.label("decision_reason"),
            b.c.own_hash,
            b.c.bid_wei,
            o.c.kind,
            o.c.reason,
            o.c.gas_cost_wei,
            o.c.profit_wei,
            o.c.final,
        ).select_from(_left_joined(opportunities, v, d, b, o))
        rows = await self._rows(_scoped(query, chain, run_id).order_by(opportunities.c.seq))
        return [
            OpportunityRow(
                run_id=row.run_id,
                opportunity_id=row.opportunity_id,
                chain=row.chain,
                strategy=row.strategy,
                target_block=row.target_block,
                behind=tuple(tx.hash for tx in _followed(row.record).behind),
                gross_wei=int(row.gross_wei),
                verdict=_word(row.succeeded, "proved", "failed", row.verdict_reason),
                decision=_word(row.approved, "approved", "declined", row.decision_reason),
                own_hash=row.own_hash or "",
                bid_wei=int(row.bid_wei or 0),
                outcome=None if row.kind is None else OutcomeKind(row.kind),
                reason=row.reason or "",
                gas_cost_wei=int(row.gas_cost_wei or 0),
                profit_wei=int(row.profit_wei or 0),
                final=bool(row.final),
            )
            for row in rows
        ]

    async def found(
        self, chain: str | None = None, run_id: int | None = None
    ) -> dict[tuple[int, OpportunityId], Opportunity]:
        """Return every opportunity as it was found, by its run and its id."""
        o = opportunities.c
        query = _scoped(select(o.run_id, o.opportunity_id, o.record), chain, run_id)
        return {
            (row.run_id, row.opportunity_id): from_json(Opportunity, row.record)
            for row in await self._rows(query)
        }

    async def stage_times(
        self, chain: str | None = None, run_id: int | None = None
    ) -> list[StageTimes]:
        """Return when each opportunity reached each stage."""
        tables = (schema.plans, verdicts, decisions, bundles, schema.submissions)
        stages = [_newest(table) for table in tables]
        query = select(
            opportunities.c.run_id,
            opportunities.c.opportunity_id,
            opportunities.c.received_ns,
            opportunities.c.at_ns,
            *(stage.c.at_ns for stage in stages),
        ).select_from(_left_joined(opportunities, *stages))
        rows = await self._rows(_scoped(query, chain, run_id).order_by(opportunities.c.seq))
        return [StageTimes(*row) for row in rows]

    async def frame_to_bundle_us(
        self, chain: str | None = None, run_id: int | None = None
    ) -> list[float]:
        """Return, for each bundle, the microseconds from the frame that showed its opportunity."""
        times = await self.stage_times(chain, run_id)
        return [
            (t.bundle_ready_ns - t.received_ns) / 1_000
            for t in times
            if t.bundle_ready_ns is not None
        ]

    async def spent_since(self, wall_ns: int, chain: str) -> list[Spent]:
        """Return the gas of what landed on `chain` and was recorded after `wall_ns`."""
        o = _newest(outcomes)
        query = (
            select(o.c.run_id, o.c.opportunity_id, o.c.wall_ns, o.c.gas_cost_wei)
            .select_from(_left_joined(opportunities, o))
            .where(o.c.kind == OutcomeKind.LANDED.value, o.c.wall_ns > wall_ns)
        )
        rows = await self._rows(_scoped(query, chain, None).order_by(o.c.wall_ns))
        return [
            Spent(f"run {row.run_id} {row.opportunity_id}", row.wall_ns, int(row.gas_cost_wei))
            for row in rows
        ]

    async def not_final(self, chain: str) -> list[NotFinal]:
        """Return the bundles of `chain` without a final outcome, in the order of their intents."""
        p, o = _newest(schema.plans), _newest(outcomes)
        query = select(
            opportunities.c.run_id,
            opportunities.c.opportunity_id,
            opportunities.c.record.label("opportunity"),
            p.c.record.label("plan"),
            bundles.c.record.label("bundle"),
            o.c.record.label("outcome"),
        ).select_from(
            _left_joined(
                opportunities.join(bundles, _same_opportunity(bundles, opportunities)), p, o
            )
        )
        unsettled = _scoped(query, chain, None).where(o.c.final.is_(None) | o.c.final.is_(False))
        rows = await self._rows(unsettled.order_by(bundles.c.seq))
        answers = await self._answers([(row.run_id, row.opportunity_id) for row in rows])
        return [
            NotFinal(
                run_id=row.run_id,
                plan=_plan(row.plan, row.opportunity),
                bundle=from_json(SignedBundle, row.bundle),
                submissions=tuple(answers.get((row.run_id, row.opportunity_id), ())),
                outcome=None if row.outcome is None else from_json(Outcome, row.outcome),
            )
            for row in rows
        ]

    async def _answers(self, keys: list[_Key]) -> dict[_Key, list[Submission]]:
        found: dict[_Key, list[Submission]] = {}
        wanted = set(keys)
        table = schema.submissions
        query = select(table.c.run_id, table.c.opportunity_id, table.c.record).where(
            table.c.run_id.in_({run_id for run_id, _ in keys})
        )
        for row in await self._rows(query.order_by(table.c.seq)) if keys else []:
            key = (row.run_id, row.opportunity_id)
            if key in wanted:
                found.setdefault(key, []).append(from_json(Submission, row.record))
        return found

    async def _rows(self, query: Select[Any]) -> list[Any]:
        async with self._engine.connect() as connection:
            return list(await connection.execute(query))


def _newest(table: Table) -> Subquery:
    """Return the newest row of each opportunity."""
    last = (
        select(func.max(table.c.seq).label("seq"))
        .group_by(table.c.run_id, table.c.opportunity_id)
        .subquery()
    )
    return select(table).join(last, table.c.seq == last.c.seq).subquery()


def _left_joined(first: FromClause, *stages: Subquery) -> FromClause:
    joined = first
    for stage in stages:
        joined = joined.outerjoin(stage, _same_opportunity(stage, opportunities))
    return joined


def _same_opportunity(one: FromClause, other: FromClause) -> Any:
    return and_(one.c.run_id == other.c.run_id, one.c.opportunity_id == other.c.opportunity_id)


def _scoped(query: Select[Any], chain: str | None, run_id: int | None) -> Select[Any]:
    if chain is not None:
        query = query.where(opportunities.c.chain == chain)
    if run_id is not None:
        query = query.where(opportunities.c.run_id == run_id)
    return query


def _word(flag: bool | None, yes: str, no: str, reason: str | None) -> str:
    if flag is None:
        return ""
    return yes if flag else f"{no}: {reason}"


def _plan(record: str, opportunity: str) -> Plan:
    parts = msgspec.json.decode(record)
    parts["opportunity"] = msgspec.json.decode(opportunity)
    return from_record(Plan, parts)
