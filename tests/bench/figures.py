"""What a measurement is made of, and how it is written down."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct
from rich.table import Table

LIBRARIES = ("numba", "numpy", "orjson", "msgspec", "aiohttp", "uvloop", "coincurve", "sqlalchemy")


class Figure(Struct, frozen=True):
    """One measured quantity; `value` is the median, and `includes` says what was timed."""

    name: str
    value: float
    unit: str
    n: int
    median: float
    p99: float
    includes: str

    @classmethod
    def of(cls, name: str, samples: Sequence[float], unit: str, includes: str) -> Figure:
        """Sum up samples; `p99` is of the nearest rank.

        Raises:
            ValueError: there is no sample, so there is no figure.
        """
        if not samples:
            raise ValueError(f"nothing was measured for {name}")
        ordered = sorted(samples)
        middle = round(median(ordered), 3)
        high = round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3)
        return cls(name, middle, unit, len(ordered), middle, high, includes)


class Machine(Struct, frozen=True):
    """On what it was measured; `load` is the load average of the last minute at the end."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    libraries: dict[str, str]
    load: float

    @classmethod
    def this(cls) -> Machine:
        """Look at this machine."""
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 0,
            memory_gib=round(pages * size / 2**30, 1),
            system=platform.platform(),
            python=platform.python_version(),
            libraries={name: version(name) for name in LIBRARIES},
            load=round(os.getloadavg()[0], 2),
        )


class Report(Struct, frozen=True):
    """The content of one file; `parts` are measurements of another shape, by what they are of."""

    name: str
    measured_at: str
    machine: Machine
    figures: list[Figure]
    parts: dict[str, Any] = {}

    @classmethod
    def of(
        cls, name: str, figures: Sequence[Figure], parts: Mapping[str, Any] | None = None
    ) -> Report:
        """Put figures down as measured here and now."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(name, now, Machine.this(), list(figures), dict(parts or {}))


def timed(action: Callable[[], Any], *, times: int) -> list[float]:
    """Return how many microseconds each of `times` calls took."""
    samples = []
    for _ in range(times):
        begun = time.perf_counter_ns()
        action()
        samples.append((time.perf_counter_ns() - begun) / 1_000)
    return samples


def write(path: Path, report: Report) -> Path:
    """Write a report and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return path


def table(name: str, figures: Sequence[Figure]) -> Table:
    """Show figures to a person."""
    made = Table(title=name)
    for column in ("figure", "median", "p99", "unit", "n"):
        made.add_column(column, justify="left" if column in ("figure", "unit") else "right")
    for each in figures:
        made.add_row(each.name, f"{each.median:,.1f}", f"{each.p99:,.1f}", each.unit, str(each.n))
    return made


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
