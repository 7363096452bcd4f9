from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cyclopts
import pytest

import searcher
from searcher.domain import errors
from searcher.domain.errors import ExitStatus, SearcherError
from searcher.ops.cli import COMMANDS, build, run

ROOT = Path(__file__).parents[4]


def started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    code = "from searcher.ops.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def app_that(error: BaseException | None = None, result: object = None) -> cyclopts.App:
    app = build(())

    @app.command
    def act() -> object:
        if error is not None:
            raise error
        return result

    return app


def subclasses(kind: type[SearcherError]) -> list[type[SearcherError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(SearcherError), ids=lambda kind: kind.__name__)
def test_every_error_of_ours_ends_with_its_status_and_its_sentence(
    kind: type[SearcherError], capsys: pytest.CaptureFixture[str]
):
    if kind.__module__ != errors.__name__:
        pytest.skip("its constructor is its own; the status is inherited")
    assert run(app_that(kind("what happened: what to do")), ["act"]) == kind.exit_status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "what happened: what to do\n")


def test_a_command_ends_with_what_it_returns():
    assert run(app_that(), ["act"]) == ExitStatus.OK
    assert run(app_that(result=ExitStatus.LIMIT), ["act"]) == ExitStatus.LIMIT


def test_an_interrupt_has_the_status_of_its_signal():
    assert run(app_that(KeyboardInterrupt()), ["act"]) == ExitStatus.INTERRUPTED


def test_a_wrong_command_is_a_fault_of_usage(capsys: pytest.CaptureFixture[str]):
    assert run(app_that(), ["atc"]) == ExitStatus.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert 'Did you mean "act"' in captured.err


@pytest.mark.parametrize("show", [False, True])
def test_a_defect_leaves_its_details_in_a_private_file(
    show: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    defect = ZeroDivisionError("while asking https://me:pw@node.example/k3y")
    assert run(app_that(defect), ["act"], traceback=show) == ExitStatus.FAULT
    (crash,) = (tmp_path / "searcher" / "crashes").iterdir()
    assert crash.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in crash.read_text()
    said = capsys.readouterr().err
    assert str(crash) in said
    assert ("Traceback" in said) is show
    assert "k3y" not in said + crash.read_text()


def test_a_state_folder_that_cannot_be_written_changes_no_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    assert run(app_that(ZeroDivisionError()), ["act"]) == ExitStatus.FAULT
    assert "no details were written" in capsys.readouterr().err


def test_every_command_can_be_loaded_and_has_help(capsys: pytest.CaptureFixture[str]):
    app = build()
    for mount in COMMANDS:
        assert mount.help
        assert run(app, [mount.name, "--help"]) == ExitStatus.OK
        rows = re.findall(r"^│ (\w[\w-]*) {2,}(.*)│$", capsys.readouterr().out, re.MULTILINE)
        assert not [name for name, text in rows if not text.strip()]


@pytest.mark.parametrize("group", [[], *([mount.name] for mount in COMMANDS)], ids=str)
def test_help_comes_without_the_heavy_libraries(group: list[str]):
    code = (
        "import sys; from searcher.ops.cli import build, run\n"
        f"run(build(), {[*group, '--help']})\n"
        "heavy = {'numba', 'web3', 'numpy', 'sqlalchemy', 'aiohttp', 'pydantic', 'eth_account'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_a_result():
    done = started("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{searcher.__version__}\n", "")


def test_statuses_are_documented():
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)
    assert {(int(number), name) for number, name in rows} == {(s.value, s.name) for s in ExitStatus}
