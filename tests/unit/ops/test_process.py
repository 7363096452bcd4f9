"""The daemon as a process: its switches, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, Self

import pytest

from searcher.domain.errors import ExitStatus, InvariantBroken, Misconfigured
from searcher.domain.plan import Mode
from searcher.ops import process
from searcher.ops.process import follow, require_second_switch

SIGNALS = [
    (signal.SIGINT, ExitStatus.INTERRUPTED),
    (signal.SIGTERM, ExitStatus.TERMINATED),
]


class Slow:
    """A daemon that runs until it is cancelled, and remembers that it was closed."""

    def __init__(self, end: Exception | None = None, *, at_once: bool = False) -> None:
        self.end = end
        self.at_once = at_once
        self.running = asyncio.Event()
        self.closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def run(self) -> None:
        self.running.set()
        try:
            if not self.at_once:
                await asyncio.Event().wait()
        finally:
            if self.end is not None:
                raise self.end


def assembled(monkeypatch: pytest.MonkeyPatch, daemon: Slow, hold: asyncio.Event | None = None):
    async def assemble(*_: Any) -> Slow:
        if hold is not None:
            daemon.running.set()
            await hold.wait()
        return daemon

    monkeypatch.setattr(process, "assemble", assemble)


async def asked(number: signal.Signals, daemon: Slow) -> ExitStatus:
    following = asyncio.create_task(follow(None))
    await daemon.running.wait()
    os.kill(os.getpid(), number)
    return await asyncio.wait_for(following, 5)


@pytest.mark.parametrize(("mode", "live"), [(m, m is Mode.LIVE) for m in Mode])
def test_both_switches_or_neither(mode: Mode, live: bool):
    require_second_switch(mode, live=live)


@pytest.mark.parametrize(("mode", "live"), [(m, m is not Mode.LIVE) for m in Mode])
def test_one_switch_alone_is_refused(mode: Mode, live: bool):
    with pytest.raises(Misconfigured, match="live"):
        require_second_switch(mode, live=live)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
async def test_a_signal_ends_it_with_its_status(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: ExitStatus
):
    daemon = Slow()
    assembled(monkeypatch, daemon)
    assert await asked(number, daemon) == status
    assert daemon.closed
    # A second one, while the process winds up, is the system's own again.
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


async def test_a_signal_ends_the_start_as_well(monkeypatch: pytest.MonkeyPatch):
    """A node that accepts and never answers must not hold the process."""
    daemon = Slow()
    assembled(monkeypatch, daemon, hold=asyncio.Event())
    assert await asked(signal.SIGTERM, daemon) == ExitStatus.TERMINATED
    assert not daemon.closed


async def test_what_ends_the_daemon_ends_the_process(monkeypatch: pytest.MonkeyPatch):
    daemon = Slow(InvariantBroken("the sums differ"), at_once=True)
    assembled(monkeypatch, daemon)
    with pytest.raises(InvariantBroken, match="the sums differ"):
        await follow(None)
    assert daemon.closed


async def test_a_daemon_that_ends_by_itself_is_well(monkeypatch: pytest.MonkeyPatch):
    assembled(monkeypatch, Slow(at_once=True))
    assert await follow(None) == ExitStatus.OK


async def test_what_fails_while_it_stops_is_not_hidden_behind_the_signal(
    monkeypatch: pytest.MonkeyPatch,
):
    daemon = Slow(InvariantBroken("the last record was refused"))
    assembled(monkeypatch, daemon)
    with pytest.raises(InvariantBroken, match="last record"):
        await asked(signal.SIGTERM, daemon)
