"""Whatever a file or a flag holds, the answer is a configuration or a list of faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searcher.ops.config.problems import ConfigInvalid, Problem

VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "0.5",
        "nan",
        "true",
        '""',
        '"env:"',
        '"file:/nowhere"',
        '"env:ALPHA_URL"',
        "[]",
        "[1, {a = 2}]",
        "{}",
        '{plugin = 1, plugin2 = "x"}',
        '["courier", "bare"]',
        "1979-05-27",
        "1_000_000_000_000_000_000_000_000_000_000",
        '"""two\nlines"""',
    ]
)
LINES = st.tuples(st.integers(0, 20), st.sampled_from(["replace", "remove", "rename"]), VALUES)


def changed(text: str, changes: list[tuple[int, str, str]]) -> str:
    lines = text.splitlines()
    for at, how, value in changes:
        index = at % len(lines)
        key, equals, rest = lines[index].partition("=")
        if how == "replace" and equals:
            lines[index] = f"{key}= {value}"
        elif how == "rename":
            lines[index] = f"x{key}{equals}{rest}" if equals else f"[x.{index}]"
        elif how == "remove":
            lines[index] = ""
    return "\n".join(lines) + "\n"


def refused(read: Callable[..., Any], *flags: str) -> list[Problem] | None:
    """Return the faults; None when there are none and the result is a configuration."""
    try:
        loaded = read(*flags)
    except ConfigInvalid as error:
        return error.problems
    assert loaded.config.main.mode in ("observe", "live")
    return None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["searcher.toml", "chains/alpha.toml"]), st.lists(LINES, max_size=4))
def test_any_file_is_read_or_refused(
    read: Callable[..., Any], folder: Path, file: str, changes: list[tuple[int, str, str]]
):
    path = folder / file
    original = path.read_text()
    path.write_text(changed(original, changes))
    try:
        problems = refused(read)
    finally:
        path.write_text(original)
    for problem in problems or ():
        assert problem.what
        assert problem.remedy
        assert problem.render()


KEYS = st.sampled_from(
    [
        "mode",
        "chains",
        "chains.alpha",
        "chains.alpha.node",
        "chains.alpha.relays.first",
        "chains.alpha.relays.first.url",
        "chains.alpha.tokens.WETH.decimals",
        "chains.alpha.helpers",
        "strategies.steady.plugin",
        "risk.default.max_loss_gwei",
        "risk",
        "log",
        '"".x',
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS, VALUES | st.text(max_size=12))
def test_any_flag_is_taken_or_refused(read: Callable[..., Any], key: str, value: str):
    problems = refused(read, f"{key}={value}")
    assert problems is None or len(problems) > 0
