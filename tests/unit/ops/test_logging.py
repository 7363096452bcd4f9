from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from searcher.ops.logging import LogSettings, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("searcher")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers, level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_collector_gets_one_json_object_per_line():
    stream = io.StringIO()
    configure(LogSettings(), stream=stream)
    structlog.get_logger("searcher.market").info("block applied", chain="ethereum", number=7)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "block applied",
        "level": "info",
        "logger": "searcher.market",
        "chain": "ethereum",
        "number": 7,
    }


def test_a_terminal_gets_text():
    stream = Terminal()
    configure(LogSettings(), stream=stream)
    structlog.get_logger("searcher.market").info("block applied", number=7)
    assert "block applied" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_lines_below_the_level_are_not_written():
    stream = io.StringIO()
    configure(LogSettings(level="warning"), stream=stream)
    log = structlog.get_logger("searcher.risk")
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_libraries_come_out_in_the_same_form_from_warning_upwards():
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream=stream)
    logging.getLogger("aiohttp.client").info("quiet")
    logging.getLogger("aiohttp.client").warning("loud %s", "https://me:pw@node.example/key")
    (line,) = lines(stream)
    assert line["event"] == "loud https://node.example/***"
    assert line["logger"] == "aiohttp.client"


def test_secrets_are_masked_wherever_they_stand():
    stream = io.StringIO()
    configure(LogSettings(), secrets=["s3cret-value"], stream=stream)
    structlog.get_logger("searcher.submission").error(
        "failed with s3cret-value",
        url="wss://node.example/s3cret-value",
        nested={"list": ["x s3cret-value y"]},
        error=ValueError("s3cret-value"),
        private_key="anything",
    )
    assert "s3cret" not in stream.getvalue()
    assert "anything" not in stream.getvalue()
    assert lines(stream)[0]["nested"] == {"list": ["x *** y"]}


def test_tracebacks_are_masked_too():
    stream = io.StringIO()
    configure(LogSettings(), secrets=["s3cret-value"], stream=stream)
    try:
        int("s3cret-value")
    except ValueError:
        structlog.get_logger("searcher.submission").exception("failed")
    assert "s3cret" not in stream.getvalue()
    assert "ValueError" in lines(stream)[0]["exception"]


def test_amounts_in_wei_stay_exact():
    stream = io.StringIO()
    configure(LogSettings(), stream=stream)
    structlog.get_logger("searcher.ledger").info("landed", profit_wei=2**200 + 1, loss=-(10**19))
    (line,) = lines(stream)
    assert line["profit_wei"] == str(2**200 + 1)
    assert line["loss"] == str(-(10**19))
