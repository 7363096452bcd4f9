"""The demo's last words, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from searcher.domain.units import WEI_PER_NATIVE


def show(summary: Mapping[str, Any], path: Path) -> None:
    """Print the summary to standard output.

    Args:
        summary: what `run_demo` returned.
        path: where it was written.
    """
    console = Console()
    table = Table(title=f"{summary['blocks']} blocks, seed {summary['seed']}")
    for column in ("chain", "reachable", "found", "sent", "landed", "lost"):
        table.add_column(column, justify="left" if column == "chain" else "right")
    for column in ("profit, ledger (ETH)", "profit, chain (ETH)", "frame to bundle p50 / p99 (ms)"):
        table.add_column(column, justify="right")
    for name, figures in (*summary["chains"].items(), ("all", summary)):
        table.add_row(name, *_row(figures), end_section=name == [*summary["chains"]][-1])
    console.print(table)
    console.print(_fates(summary))
    console.print(
        f"The ledger and the chains agree to the wei: profit {summary['profit_wei']} wei, "
        f"{summary['plans_equal']} of {summary['plans_checked']} landed plans realised exactly "
        "what was recorded before they were sent."
    )
    console.print(f"Figures: {path}")


def native(wei: int) -> str:
    """Write wei as whole native coins with six digits, rounded towards zero."""
    sign, size = ("-", -wei) if wei < 0 else ("", wei)
    return f"{sign}{size // WEI_PER_NATIVE}.{size % WEI_PER_NATIVE // 10**12:06d}"


def _row(figures: Mapping[str, Any]) -> list[str]:
    share, latency = figures["found_share"], figures["frame_to_bundle_us"]
    return [
        str(figures["reachable"]),
        "-" if share is None else f"{share:.1%}",
        str(figures["bundles_sent"]),
        str(figures["bundles_landed"]),
        str(figures["lost"]),
        native(int(figures["profit_wei"])),
        native(int(figures["profit_onchain_wei"])),
        "-" if not latency["n"] else f"{latency['p50'] / 1e3:.1f} / {latency['p99'] / 1e3:.1f}",
    ]


def _fates(summary: Mapping[str, Any]) -> str:
    parts = [
        f"{native(int(wei))} {fate.replace('_', ' ')}"
        for fate, wei in summary["fates_wei"].items()
        if int(wei)
    ]
    return "Of what was reachable, by value (ETH): " + ", ".join(parts) + "."
