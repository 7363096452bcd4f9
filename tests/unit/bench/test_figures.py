"""What a bench writes down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from tests.bench.__main__ import benches, main
from tests.bench.figures import Figure, Report, timed, write


def test_a_figure_is_the_median_and_its_99th_percentile():
    figure = Figure.of("walk", [float(n) for n in range(200, 0, -1)], "us", "200 steps")
    assert (figure.value, figure.median, figure.p99, figure.n) == (100.5, 100.5, 199.0, 200)


def test_nothing_measured_is_no_figure():
    with pytest.raises(ValueError, match="nothing was measured for walk"):
        Figure.of("walk", [], "us", "")


def test_a_report_says_on_what_it_was_measured(tmp_path: Path):
    calls = []
    figure = Figure.of("call", timed(lambda: calls.append(1), times=5), "us", "one append")
    written = json.loads(write(tmp_path / "new" / "a.json", Report.of("a", [figure])).read_bytes())
    assert len(calls) == 5
    assert written["name"] == "a"
    assert written["machine"]["cores"] > 0
    assert written["machine"]["libraries"]["numba"]
    assert set(written["figures"][0]) == {
        "name",
        "value",
        "unit",
        "n",
        "median",
        "p99",
        "includes",
    }


def test_an_unknown_bench_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]):
    assert "pipeline" in benches()
    assert main(["pipelin"]) == ExitStatus.USAGE
    assert "did you mean 'pipeline'?" in capsys.readouterr().err
