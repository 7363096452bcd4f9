"""The demo's figures and what it shows, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from searcher.domain.errors import NotReady
from searcher.ops.demo import VERIFIER, prepare, quantiles
from searcher.ops.demo_report import native


def test_quantiles_are_of_the_nearest_rank():
    assert quantiles([]) == {"p50": None, "p99": None, "n": 0}
    assert quantiles([3.0]) == {"p50": 3.0, "p99": 3.0, "n": 1}
    hundred = [float(n) for n in range(1, 101)]
    assert quantiles(hundred[::-1]) == {"p50": 51.0, "p99": 100.0, "n": 100}


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0.000000"),
        (10**18, "1.000000"),
        (1_999_999_999_999_999_999, "1.999999"),
        (-1_999_999_999_999_999_999, "-1.999999"),
        (10**12 - 1, "0.000000"),
    ],
)
def test_amounts_are_cut_and_never_rounded_up(wei: int, text: str):
    assert native(wei) == text


def test_the_script_that_proves_it_is_in_the_checkout():
    assert VERIFIER.is_file()


def test_only_what_an_earlier_demo_left_is_removed(tmp_path: Path):
    own = ["config/searcher.toml", "laboratory/devnet-a.json", "ledger.sqlite", "ledger.sqlite-wal"]
    own += ["run.json", "report.json", "summary.json", "daemon.log"]
    others = ["notes.txt", "figures/summary.json", "my.sqlite"]
    for name in (*own, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("kept?")
    prepare(tmp_path)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(others)
    prepare(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReady, match="name another folder"):
        prepare(tmp_path / "file" / "demo")
