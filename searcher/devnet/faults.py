"""Failures that the relay can be told to show."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from msgspec import Struct


class FaultKind(StrEnum):
    """What goes wrong with a bundle."""

    REFUSE = "refuse"
    TIME_OUT = "time_out"
    HTTP_5XX = "http_5xx"
    ANSWER_LATE = "answer_late"
    DROP = "drop"
    SEALED_BUT_NOT_LANDED = "sealed_but_not_landed"


class Fault(Struct, frozen=True):
    """A failure that is switched on.

    `count` is how often it still happens, None until it is switched off; `delay_ms` is how long
    `answer_late` keeps an answer back.
    """

    kind: FaultKind
    count: int | None = None
    delay_ms: int = 500


class FaultBoard:
    """The failures that are on."""

    def __init__(self) -> None:
        self._on: dict[FaultKind, Fault] = {}
        self._happened: Counter[str] = Counter()

    def switch_on(self, fault: Fault) -> None:
        """Let a failure happen from now on; one of the same kind is replaced."""
        self._on[fault.kind] = fault

    def switch_off(self, kind: FaultKind | None = None) -> None:
        """End one kind of failure, or all."""
        if kind is None:
            self._on.clear()
        else:
            self._on.pop(kind, None)

    def take(self, kind: FaultKind) -> Fault | None:
        """Return the failure if it is on, counting one occurrence of it."""
        fault = self._on.get(kind)
        if fault is None:
            return None
        self._happened[kind] += 1
        if fault.count is not None:
            left = fault.count - 1
            if left > 0:
                self._on[kind] = Fault(kind, left, fault.delay_ms)
            else:
                del self._on[kind]
        return fault

    def happened(self) -> dict[str, int]:
        """Return how often each kind has happened."""
        return dict(self._happened)
