"""Compiling every kernel into the cache before it is needed, on all cores."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pkgutil
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple

from searcher.kernels._jit import cache_folder

PACKAGE: Final = "searcher.kernels"
SHARED: Final = ("u256",)
"""What nearly every other module is built of: compiled first, so that no two processes do it."""


class Warmed(NamedTuple):
    """A module of kernels and how long its import took, compiled or loaded, in seconds."""

    module: str
    seconds: float


def modules() -> list[str]:
    """Return the modules that hold kernels, those that others share first."""
    package = importlib.import_module(PACKAGE)
    names = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg]
    public = sorted(name for name in names if not name.startswith("_"))
    return [*SHARED, *(name for name in public if name not in SHARED)]


def warm(workers: int | None = None) -> Iterator[Warmed]:
    """Compile what the cache lacks; yields each module when it is done.

    Args:
        workers: how many processes compile at once; all cores when left out.
    """
    # A forked child would inherit a half-initialised LLVM.
    context = multiprocessing.get_context("spawn")
    count = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        names = modules()
        for name in SHARED:
            yield pool.submit(_import, name).result()
        rest = [pool.submit(_import, name) for name in names if name not in SHARED]
        for future in as_completed(rest):
            yield future.result()


def clean() -> list[Path]:
    """Remove the machine code of other sources than these; return the folders removed."""
    current = cache_folder()
    others = [p for p in current.parent.glob("*") if not p.name.startswith(current.name[:16])]
    for folder in others:
        shutil.rmtree(folder)
    return sorted(others)


def _import(name: str) -> Warmed:
    start = time.perf_counter()
    importlib.import_module(f"{PACKAGE}.{name}")
    return Warmed(name, time.perf_counter() - start)
