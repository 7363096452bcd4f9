"""`searcher kernels`: what is compiled ahead, and what is thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from searcher.kernels import _jit
from searcher.ops import kernels
from searcher.ops.cli import build, run


def test_every_file_of_kernels_is_warmed():
    files = {p.stem for p in Path(_jit.__file__).parent.glob("*.py")} - {"__init__"}
    found = kernels.modules()
    assert set(found) == files
    assert found["u256"] == {"_division", "_jit", "_word"}
    assert {"_jit", "u256", "refusal"} <= found["uniswap_v2"]


def test_nothing_is_compiled_before_what_it_calls():
    needed = kernels.modules()
    seen = set()
    while needed:
        ready = {name for name, others in needed.items() if others <= seen}
        assert ready, f"these call each other: {sorted(needed)}"
        seen |= ready
        needed = {name: others for name, others in needed.items() if name not in ready}


@pytest.mark.timeout(600)
def test_warming_leaves_machine_code_of_every_file(capsys):
    assert run(build(), ["kernels", "warm"]) == ExitStatus.OK
    said = capsys.readouterr()
    assert str(_jit.cache_folder()) in said.out
    told = [line.split()[0] for line in said.err.splitlines()]
    assert sorted(told) == sorted(kernels.modules())
    compiled = {path.name.partition(".")[0] for path in _jit.cache_folder().rglob("*.nbi")}
    assert {"u256", "_division", "cycles", "scan", "sizing"} <= compiled


def test_cleaning_keeps_the_present_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = _jit.cache_folder()
    for folder in (
        here,
        here.with_name(here.name + "-portable"),
        here.with_name("0123456789abcdef"),
    ):
        folder.mkdir(parents=True)
    assert run(build(), ["kernels", "clean"]) == ExitStatus.OK
    assert "0123456789abcdef" in capsys.readouterr().out
    assert len(list(here.parent.iterdir())) == 2
