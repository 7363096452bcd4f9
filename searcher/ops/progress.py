"""How far the reading of a market is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from typing import Final, TextIO

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from searcher.domain.clock import Clock
from searcher.market.discovery import Progress

_log = structlog.get_logger(__name__)

_LINE_EVERY_NS: Final = 10_000_000_000
_NS: Final = 1_000_000_000
_WHAT: Final = {"blocks": "looking for pools", "pools": "reading pools"}


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class BootstrapProgress:
    """Told of every step, shows it: what is done, at what rate, and how long it will take.

    Args:
        stream: where it is shown, standard error as a rule; a bar where that is a terminal.
        clock: paces the lines that stand for a bar elsewhere.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._clock = clock
        self._bars: Bars | None = None
        if stream.isatty():
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[about]}"),
                console=Console(file=stream),
                transient=True,
            )
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._began_ns: dict[tuple[str, str], tuple[int, int]] = {}
        self._told_ns: dict[tuple[str, str], int] = {}

    def __call__(self, step: Progress) -> None:
        """Show a step."""
        if self._bars is None:
            self._tell(step)
        else:
            self._draw(step, self._bars)

    def _draw(self, step: Progress, bars: Bars) -> None:
        key = (step.chain, step.what)
        if key not in self._tasks:
            bars.start()
            description = f"{step.chain}: {_WHAT[step.what]}"
            self._tasks[key] = bars.add_task(description, total=step.total, about="")
        about = f"{step.pools:,} pools, {step.requests:,} requests"
        bars.update(
            self._tasks[key], completed=step.done, total=step.total, about=about, refresh=True
        )
        if step.done >= step.total:
            bars.remove_task(self._tasks.pop(key))
            if not self._tasks:
                bars.stop()

    def _tell(self, step: Progress) -> None:
        key, now = (step.chain, step.what), self._clock.monotonic_ns()
        began_ns, first = self._began_ns.setdefault(key, (now, step.done))
        due = now - self._told_ns.get(key, began_ns) >= _LINE_EVERY_NS
        ended = step.done >= step.total
        if ended:
            del self._began_ns[key]
            self._told_ns.pop(key, None)
        elif due:
            self._told_ns[key] = now
        if not (due or ended):
            return
        spent_s = (now - began_ns) / _NS
        rate = (step.done - first) / spent_s if spent_s else 0.0
        _log.info(
            _WHAT[step.what],
            chain=step.chain,
            done=step.done,
            total=step.total,
            pools=step.pools,
            requests=step.requests,
            per_second=round(rate, 1),
            seconds_left=round((step.total - step.done) / rate) if rate else None,
        )
