"""What is wrong with a configuration, told like a compiler: place, fault, line, remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from searcher.domain.errors import Misconfigured
from searcher.ops.config.positions import KeyPath, Position
from searcher.ops.redaction import Redactor


class Source(StrEnum):
    """Where a value comes from, strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of one value.

    `where` is the flag as typed, the variable's name, or the file; `position` and `line` (the text
    of that line) are set for files only.
    """

    source: Source
    where: str = ""
    position: Position | None = None
    line: str = ""

    def __str__(self) -> str:
        if self.source is Source.DEFAULT:
            return "default"
        if self.position is None:
            return f"{self.source} {self.where}"
        return f"{self.where}:{self.position.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault, its place, and the remedy (one clause: what to write)."""

    path: KeyPath
    what: str
    remedy: str
    origin: Origin

    def render(self) -> str:
        """Return the fault as text of up to four lines; only a file has a line to show."""
        position = self.origin.position
        if position is None:
            return f"{self.origin}: {self.what}\n    help: {self.remedy}"
        margin = f"{position.line:>5} | "
        caret = " " * (len(margin) - 2) + "| " + " " * (position.column - 1)
        length = max(1, min(position.length, len(self.line_text) - position.column + 1))
        return (
            f"{self.origin.where}:{position.line}:{position.column}: {self.what}\n"
            f"{margin}{self.line_text}\n"
            f"{caret}{'^' * length}\n"
            f"    help: {self.remedy}"
        )

    @property
    def line_text(self) -> str:
        """The line at fault without credentials; a tab counts as one column and is shown as one."""
        return Redactor()(self.origin.line.replace("\t", " "))


class ConfigInvalid(Misconfigured):
    """A configuration with faults; all of them, in the order of files and lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=_reading_order)
        count = len(self.problems)
        total = "1 fault" if count == 1 else f"{count} faults"
        super().__init__(
            "\n\n".join(problem.render() for problem in self.problems)
            + f"\n\nthe configuration has {total}: nothing was started"
        )


def _reading_order(problem: Problem) -> tuple[str, int, int]:
    position = problem.origin.position or Position(0, 0, 0)
    return problem.origin.where, position.line, position.column


def dotted(path: KeyPath) -> str:
    """Return a key path as it is typed: `chains.ethereum.node.http_url`, `operators[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
