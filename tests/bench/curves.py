"""Every curve in its kernel, beside the same quotes by the Python reference in the same run.

Each `curves_<family>.py` of this folder gives its cases. A case runs many quotes inside one call of
a kernel, so that a figure is the kernel's own; what a call from Python adds is a figure of its own.
Cold means that 64 MiB of other memory were written before, so that neither data nor code of the
kernel lie in the processor's caches. What stands before the first quote of a new process, its
kernels in the cache, is a figure as well: see `start`.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

import numpy as np

import tests.bench
from tests.bench.figures import Figure
from tests.bench.start import starts

Case = tuple[str, Callable[[], Any], int, Callable[[], Any], int]

REPETITIONS: Final = 200
COLD_REPETITIONS: Final = 20
BUDGET_S: Final = 0.5
_OTHER: Final = np.zeros(64 * 2**20 // 8)


def cases() -> Iterator[Case]:
    """Return the cases of every family."""
    for module in sorted(m.name for m in pkgutil.iter_modules(tests.bench.__path__)):
        if module.startswith("curves_"):
            yield from importlib.import_module(f"tests.bench.{module}").bench_cases()


def measure() -> list[Figure]:
    """Time every case: hot, cold, and by the reference; and the start of a process."""
    figures = []
    for name, run, n, refer, m in cases():
        run()
        hot = _per_op(run, n, REPETITIONS)
        cold = _per_op(run, n, COLD_REPETITIONS, before=_trash)
        reference = _per_op(refer, m, 9)
        ratio = median(reference) / median(hot)
        figures += [
            Figure.of(f"{name}, hot", hot, "ns", f"one of {n} in a kernel call"),
            Figure.of(f"{name}, cold", cold, "ns", f"one of {n}, caches overwritten before"),
            Figure.of(f"{name}, reference", reference, "ns", f"one of {m} in Python integers"),
            Figure.of(f"{name}, times faster", [ratio], "x", "medians of this run"),
        ]
    return figures + starts()


def _per_op(
    action: Callable[[], Any], n: int, times: int, before: Callable[[], Any] | None = None
) -> list[float]:
    """Return nanoseconds per operation of each run, within a budget of time."""
    samples: list[float] = []
    deadline = time.perf_counter() + BUDGET_S
    while len(samples) < times and (len(samples) < 3 or time.perf_counter() < deadline):
        if before is not None:
            before()
        begun = time.perf_counter_ns()
        action()
        samples.append((time.perf_counter_ns() - begun) / n)
    return samples


def _trash() -> None:
    _OTHER[:] += 1.0
