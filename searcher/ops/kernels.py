"""Compiling every kernel into the cache before it is needed, on all cores."""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple

import searcher.kernels
from searcher.kernels._jit import cache_folder, load_all

PACKAGE: Final = "searcher.kernels"
SOURCES: Final = Path(searcher.kernels.__file__).parent


class Warmed(NamedTuple):
    """A module of kernels and how long its import took, compiled or loaded, in seconds."""

    module: str
    seconds: float


def modules() -> dict[str, set[str]]:
    """Return the files of kernels, and for each those whose kernels it calls."""
    names = {path.stem for path in SOURCES.glob("*.py")} - {"__init__"}
    return {name: _imported(SOURCES / f"{name}.py") & names for name in sorted(names)}


def warm(workers: int | None = None) -> Iterator[Warmed]:
    """Compile what the cache lacks; yields each module when it is done.

    A module is compiled after those that it calls: a process that compiles it loads theirs, and no
    two processes compile the same.

    Args:
        workers: how many processes compile at once; all cores when left out.
    """
    waiting = modules()
    done: set[str] = set()
    running: dict[Future[Warmed], str] = {}
    # A forked child would inherit a half-initialised LLVM.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context) as pool:
        while waiting or running:
            for name in [name for name, needed in waiting.items() if needed <= done]:
                del waiting[name]
                running[pool.submit(_import, name)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done.add(running.pop(future))
                yield future.result()


def clean() -> list[Path]:
    """Remove the machine code of other sources than these; return the folders removed."""
    current = cache_folder()
    others = [p for p in current.parent.glob("*") if not p.name.startswith(current.name[:16])]
    for folder in others:
        shutil.rmtree(folder)
    return sorted(others)


def _imported(path: Path) -> set[str]:
    """Return the last names of the modules of kernels that a source imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == PACKAGE:
                found |= {alias.name for alias in node.names}
            elif node.module.rpartition(".")[0] == PACKAGE:
                found.add(node.module.rpartition(".")[2])
    return found


def _import(name: str) -> Warmed:
    start = time.perf_counter()
    importlib.import_module(f"{PACKAGE}.{name}")
    load_all()
    return Warmed(name, time.perf_counter() - start)
