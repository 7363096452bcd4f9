"""What the demo shows a person: the table while it runs, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from searcher.domain.units import WEI_PER_NATIVE
from searcher.ledger.reader import LedgerSummary
from searcher.ops.pipeline import PipelineStatistics


class ChainProgress(Struct, frozen=True):
    """How far one chain is, between its first and its last target block."""

    statistics: PipelineStatistics
    summary: LedgerSummary
    first_block: int
    last_block: int


def progress_table(chains: Sequence[ChainProgress]) -> Table:
    """Return the live table."""
    table = _table("chain", "block", "found", "simulated", "sent", "landed", "lost", "profit ETH")
    for chain in chains:
        statistics, summary = chain.statistics, chain.summary
        whole = chain.last_block - chain.first_block + 1
        done = min(max(statistics.head - chain.first_block + 1, 0), whole)
        table.add_row(
            statistics.chain,
            f"{done}/{whole}",
            str(statistics.found),
            str(statistics.simulated),
            str(summary.bundles_sent),
            str(summary.landed),
            str(summary.lost),
            native(summary.profit_wei),
        )
    return table


def show(summary: Mapping[str, Any], path: Path) -> None:
    """Print the result to standard output.

    Args:
        summary: what the demonstration returned.
        path: where it was written.
    """
    console = Console(highlight=False)
    table = _table("chain", "reachable", "found", "sent", "landed", "lost", "profit ETH", "p50 ms")
    for name, figures in (*summary["chains"].items(), ("all", summary)):
        table.add_row(name, *_row(figures), end_section=name == [*summary["chains"]][-1])
    console.print(table)
    console.print(
        f"{summary['blocks']} blocks with seed {summary['seed']}. By value, "
        f"{_share(summary)} of what a brute-force search could reach was found."
    )
    console.print(_fates(summary))
    console.print(
        f"The ledger says {summary['profit_wei']} wei, the chains say "
        f"{summary['profit_onchain_wei']} wei; {summary['plans_equal']} of "
        f"{summary['plans_checked']} landed plans realised exactly what was recorded before "
        "they were sent."
    )
    console.print(f"Figures: {path}")


def native(wei: int) -> str:
    """Write wei as whole native coins with six digits, rounded towards zero."""
    sign, size = ("-", -wei) if wei < 0 else ("", wei)
    return f"{sign}{size // WEI_PER_NATIVE}.{size % WEI_PER_NATIVE // 10**12:06d}"


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column == "chain" else "right", no_wrap=True)
    return table


def _row(figures: Mapping[str, Any]) -> list[str]:
    latency = figures["frame_to_bundle_us"]
    return [
        str(figures["reachable"]),
        _share(figures),
        str(figures["bundles_sent"]),
        str(figures["bundles_landed"]),
        str(figures["lost"]),
        native(int(figures["profit_wei"])),
        "-" if not latency["n"] else f"{latency['p50'] / 1e3:.1f}",
    ]


def _share(figures: Mapping[str, Any]) -> str:
    share = figures["found_share"]
    return "-" if share is None else f"{share:.1%}"


def _fates(summary: Mapping[str, Any]) -> str:
    parts = [
        f"{native(int(wei))} {fate.replace('_', ' ')}"
        for fate, wei in summary["fates_wei"].items()
        if int(wei)
    ]
    return "What became of it, in ETH: " + ", ".join(parts) + "."
