"""What a dry-run found: each plan with its figures, and the totals, as a table or a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from searcher.domain.plan import Opportunity, OutcomeKind
from searcher.domain.units import Address, Hash32, Int256, OpportunityId, Uint256
from searcher.ledger.reader import LedgerReader, OpportunityRow
from searcher.ops.config.model import ChainSettings
from searcher.ops.demo_report import native
from searcher.ops.fork_source import SourceStatistics
from searcher.ops.pipeline import PipelineStatistics

_WIDTH_OF_FILES: Final = 160
"""Columns of a table that does not go to a terminal."""

_WIDTH_WITH_POOLS: Final = 110
"""A narrower terminal has no room for addresses; `--json` has them all."""


class PlanRow(Struct, frozen=True):
    """One plan, on the state of `block`; `route` are the tokens that it goes through.

    `landed` says that it was mined on the fork and paid; then `earned_wei` is gross less bid less
    gas, and otherwise `reason` says why not.
    """

    id: OpportunityId
    block: int
    strategy: str
    behind: tuple[Hash32, ...]
    route: tuple[str, ...]
    pools: tuple[Address, ...]
    gross_wei: Uint256
    bid_wei: Uint256
    gas_wei: Uint256
    earned_wei: Int256
    landed: bool
    reason: str


class Report(Struct, frozen=True):
    """A whole dry-run; `skipped` and `dropped` count by reason."""

    chain: str
    chain_id: int
    unit: str
    source: SourceStatistics
    plans: tuple[PlanRow, ...]
    simulated: int
    skipped: dict[str, int]
    dropped: dict[str, int]

    @property
    def landed(self) -> tuple[PlanRow, ...]:
        """The plans that earned."""
        return tuple(plan for plan in self.plans if plan.landed)

    @property
    def earned_wei(self) -> int:
        """What all of them earned, each for itself."""
        return sum(plan.earned_wei for plan in self.landed)

    @property
    def together_wei(self) -> int:
        """What those earned that do not stand in each other's way; see `compatible`."""
        return sum(plan.earned_wei for plan in compatible(self.landed))


async def report_of(
    reader: LedgerReader,
    chain: ChainSettings,
    pipeline: PipelineStatistics,
    source: SourceStatistics,
) -> Report:
    """Read the report out of the run's ledger."""
    found = await reader.found(pipeline.chain)
    names = {Address(token.address): name for name, token in chain.tokens.items()}
    rows = await reader.opportunities(pipeline.chain)
    return Report(
        chain=pipeline.chain,
        chain_id=chain.chain.chain_id,
        unit=chain.chain.wrapped_native,
        source=source,
        plans=tuple(_plan(row, found[row.run_id, row.opportunity_id], names) for row in rows),
        simulated=pipeline.simulated,
        skipped=pipeline.skipped,
        dropped=pipeline.dropped,
    )


def compatible(plans: Iterable[PlanRow]) -> Iterator[PlanRow]:
    """Yield plans of which all could have earned, the best of each block first.

    Every plan is tried alone on a chain on which nobody carried out the others. So of two that
    share a pool in one block only one counts, and one through the same pools as a plan of the block
    before counts as the same opportunity, still there because nobody took it.
    """
    before: set[frozenset[Address]] = set()
    last = 0
    for block, group in groupby(sorted(plans, key=lambda p: p.block), key=lambda p: p.block):
        here = sorted(group, key=lambda plan: -plan.earned_wei)
        if block != last + 1:
            before = set()
        taken: set[Address] = set()
        for plan in here:
            if frozenset(plan.pools) not in before and taken.isdisjoint(plan.pools):
                taken.update(plan.pools)
                yield plan
        before, last = {frozenset(plan.pools) for plan in here}, block


def record(report: Report) -> dict[str, Any]:
    """Return the report for JSON; wei are decimal text."""
    source = report.source
    return {
        "chain": report.chain,
        "chain_id": report.chain_id,
        "unit": report.unit,
        "first_block": source.first_block,
        "last_block": source.last_block,
        "blocks": source.blocks,
        "pending": {
            "executed": source.offered,
            "left_out": source.left_out,
            "refused": source.refused,
        },
        "found": len(report.plans),
        "simulated": report.simulated,
        "landed": len(report.landed),
        "earned_wei": str(report.earned_wei),
        "together_wei": str(report.together_wei),
        "skipped": report.skipped,
        "dropped": report.dropped,
        "plans": [_plan_record(plan) for plan in report.plans],
    }


def show(report: Report, console: Console) -> None:
    """Print the report for a person."""
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    if report.plans:
        console.print(_table(report, pools=console.width >= _WIDTH_WITH_POOLS))
    source = report.source
    console.print(
        f"{source.blocks} blocks of {report.chain} ({source.first_block} to {source.last_block}), "
        f"{source.offered} pending transactions: {len(report.plans)} plans found, "
        f"{len(report.landed)} earned {native(report.earned_wei)} {report.unit} after bid and gas; "
        f"{native(report.together_wei)} {report.unit} of it without standing in each other's way.",
        soft_wrap=True,
    )
    for title, counts in (
        ("Not carried out", report.skipped),
        ("Pending transactions not used", {**report.dropped, **_unused(source)}),
    ):
        if counts:
            reasons = ", ".join(f"{count} {why}" for why, count in _most_first(counts))
            console.print(f"{title}: {reasons}.", soft_wrap=True)


def _unused(source: SourceStatistics) -> dict[str, int]:
    beyond = {"beyond the number looked at": source.left_out} if source.left_out else {}
    return {f"refused ({cause})": count for cause, count in source.refused.items()} | beyond


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _table(report: Report, *, pools: bool) -> Table:
    table = Table(title=f"Plans, in {report.unit}")
    table.add_column("block", justify="right")
    table.add_column("strategy")
    table.add_column("route")
    if pools:
        table.add_column("pools")
    for column in ("gross", "bid", "gas", "earned"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("why not", overflow="fold")
    for plan in report.plans:
        paid = (plan.bid_wei, plan.gas_wei, plan.earned_wei) if plan.landed else ()
        figures = [native(wei) for wei in (plan.gross_wei, *paid)]
        table.add_row(
            str(plan.block),
            plan.strategy,
            " > ".join(plan.route),
            *([" ".join(map(short, plan.pools))] if pools else []),
            *figures,
            *[""] * (4 - len(figures)),
            plan.reason,
        )
    return table


def short(address: str) -> str:
    """Return an address as a person recognises it."""
    return f"{address[:6]}…{address[-4:]}"


def _plan(row: OpportunityRow, opportunity: Opportunity, names: Mapping[Address, str]) -> PlanRow:
    return PlanRow(
        id=row.opportunity_id,
        block=opportunity.parent.number,
        strategy=row.strategy,
        behind=row.behind,
        route=route_of(opportunity, names),
        pools=tuple(hop.pool for hop in (*opportunity.hops, *opportunity.conversion)),
        gross_wei=row.gross_wei,
        bid_wei=row.bid_wei,
        gas_wei=row.gas_cost_wei,
        earned_wei=row.profit_wei,
        landed=row.outcome is OutcomeKind.LANDED,
        reason=row.reason or ("" if row.outcome else "stopped before it was tried"),
    )


def route_of(opportunity: Opportunity, names: Mapping[Address, str]) -> tuple[str, ...]:
    """Name the tokens in order; those of a split between its ends stand together."""

    def name(token: Address) -> str:
        return names.get(token) or short(token)

    *between, end = (name(hop.token_out) for hop in opportunity.hops)
    if opportunity.is_split:
        end = name(opportunity.start)
        between = ["+".join(dict.fromkeys(token for token in between if token != end))]
    after = [name(hop.token_out) for hop in opportunity.conversion]
    return (name(opportunity.start), *between, end, *after)


def _plan_record(plan: PlanRow) -> dict[str, Any]:
    return {
        "id": plan.id,
        "block": plan.block,
        "strategy": plan.strategy,
        "behind": plan.behind,
        "route": plan.route,
        "pools": plan.pools,
        "gross_wei": str(plan.gross_wei),
        "bid_wei": str(plan.bid_wei),
        "gas_wei": str(plan.gas_wei),
        "earned_wei": str(plan.earned_wei),
        "landed": plan.landed,
        "reason": plan.reason,
    }
