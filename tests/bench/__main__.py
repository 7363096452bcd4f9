"""Measure, and write `var/bench/<name>.json`: `python -m tests.bench [names]`.

Every other file of this folder with a `measure` function is a bench; without names all of them run.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import tests.bench
from searcher.domain.errors import ExitStatus, SearcherError
from searcher.domain.registry import did_you_mean
from tests.bench.figures import Report, table, write

FOLDER = Path("var/bench")
NOT_BENCHES = {"__main__", "figures", "peers", "peers_degenbot", "start"}
PARTS = ("curves_", "market_")


def benches() -> list[str]:
    """Names of what can be measured."""
    found = pkgutil.iter_modules(tests.bench.__path__)
    names = sorted(module.name for module in found)
    return [name for name in names if name not in NOT_BENCHES and not name.startswith(PARTS)]


def main(names: Sequence[str]) -> int:
    known = benches()
    for name in names:
        if name not in known:
            sys.stderr.write(f"there is no bench {name!r}: {did_you_mean(name, known)}\n")
            return ExitStatus.USAGE
    console = Console()
    for name in names or known:
        module = importlib.import_module(f"tests.bench.{name}")
        try:
            figures = module.measure()
            parts = module.parts() if hasattr(module, "parts") else {}
        except SearcherError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_status
        path = write(FOLDER / f"{name}.json", Report.of(name, figures, parts))
        console.print(table(name, figures))
        console.print(f"written to {path}")
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
