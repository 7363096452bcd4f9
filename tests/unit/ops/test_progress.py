from __future__ import annotations

import io

import pytest
import structlog

from searcher.market.discovery import Progress
from searcher.ops.progress import BootstrapProgress


class Clock:
    def __init__(self):
        self.now_ns = 0

    def monotonic_ns(self):
        return self.now_ns


class Terminal(io.StringIO):
    def isatty(self):
        return True


def step(done, total=1000, what="blocks", pools=7, requests=3):
    return Progress("ethereum", what, done, total, pools, requests)


def test_beside_a_terminal_a_line_now_and_then_and_the_last():
    clock = Clock()
    progress = BootstrapProgress(io.StringIO(), clock)
    with structlog.testing.capture_logs() as lines:
        for done in range(0, 1001, 10):
            progress(step(done))
            clock.now_ns += 500_000_000
        progress(step(1, total=1, what="pools"))
    blocks = [line for line in lines if line["event"] == "looking for pools"]
    assert [line["done"] for line in blocks] == [200, 400, 600, 800, 1000]
    first = blocks[0]
    assert (first["chain"], first["pools"], first["requests"]) == ("ethereum", 7, 3)
    assert (first["per_second"], first["seconds_left"]) == (20.0, 40)
    assert blocks[-1]["seconds_left"] == 0
    assert [line["event"] for line in lines].count("reading pools") == 1


@pytest.mark.parametrize("what", ["blocks", "pools"])
def test_on_a_terminal_a_bar_that_goes_when_all_is_done(what):
    terminal = Terminal()
    progress = BootstrapProgress(terminal, Clock())
    with structlog.testing.capture_logs() as lines:
        progress(step(250, what=what))
        progress(step(1000, what=what))
    shown = terminal.getvalue()
    assert "ethereum: " in shown
    assert "250/1000" in shown
    assert "7 pools, 3 requests" in shown
    assert lines == []
