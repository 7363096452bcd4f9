"""Time, as a value that is handed in, so that a replay and a test own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both clocks of the process, and the way to wait on them."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; for latencies and deadlines."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; for records and block timestamps."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of `time.monotonic_ns`."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds of `time.time_ns`."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Yield to the event loop for `seconds`."""
        import asyncio  # noqa: PLC0415  a command that never waits need not load it

        await asyncio.sleep(seconds)
