"""What is wrong outside is told in one sentence, with its own exit status and no traceback."""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from pathlib import Path

import pytest

from searcher.chains.anvil import free_port
from searcher.domain.clock import SystemClock
from searcher.domain.errors import ExitStatus
from searcher.domain.plan import Mode
from searcher.ledger.ledger import Ledger
from searcher.ops.config.model import load_config
from tests.e2e.command import Said, say
from tests.e2e.station import ROOT, Household, Station

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(120)]

FAKE_NPM = """#!/bin/sh
# Answers `npm pack` with an archive that is not the one that was asked for.
while [ "$1" != "--pack-destination" ]; do shift; done
printf 'something else' > "$2/package.tgz"
"""


async def run(household: Household, *arguments: str) -> Said:
    return await say("run", "--config", str(household.folder), *arguments)


def chain_file(station: Station) -> str:
    return f"chains/{station.manifest.name}.toml"


# ---- the configuration


async def test_a_misspelt_key_is_named_with_file_line_and_the_nearest(household: Household):
    household.replace("searcher.toml", "mode = ", "mood = ")
    said = await run(household, "--live")
    assert said.status == ExitStatus.CONFIG
    assert "searcher.toml:1" in said.err
    assert "mood" in said.err
    assert "mode" in said.err
    assert "Traceback" not in said.err


async def test_every_fault_is_told_at_once(station: Station, household: Household):
    household.replace("searcher.toml", '"backrun"', '"backrum"')
    household.replace(chain_file(station), '"flashbots"', '"flashbot"')
    said = await run(household, "--live")
    assert said.status == ExitStatus.CONFIG
    for wrong, right in (("backrum", "backrun"), ("flashbot", "flashbots")):
        _, _, about = said.err.partition(wrong)
        assert f"help: did you mean '{right}'?" in about
    assert "2 faults" in said.err
    assert "Traceback" not in said.err


async def test_a_folder_without_a_configuration(tmp_path: Path):
    said = await say("run", "--config", str(tmp_path / "nowhere"))
    assert said.status == ExitStatus.CONFIG
    assert str(tmp_path / "nowhere") in said.sentence


async def test_live_wants_both_of_its_switches(household: Household):
    said = await run(household)
    assert said.status == ExitStatus.CONFIG
    assert "--live" in said.sentence
    said = await run(household, "--live", "--mode", "simulate")
    assert said.status == ExitStatus.CONFIG
    assert "--live" in said.sentence
    assert not household.ledger.path.exists()


async def test_a_ledger_of_another_mode_is_left_alone(household: Household):
    loaded = load_config(str(household.folder))
    store = loaded.config.main.ledger
    kept = await Ledger.open(
        store.plugin(store.settings),
        mode=Mode.LIVE,
        config_hash=loaded.fingerprint,
        version="0",
        clock=SystemClock(),
    )
    await kept.close()
    size = household.ledger.path.stat().st_size
    said = await run(household, "--mode", "observe")
    assert said.status == ExitStatus.CONFIG
    assert "ledger" in said.sentence
    assert household.ledger.path.stat().st_size == size


async def test_an_operators_key_that_is_not_there(station: Station, household: Household):
    variable = station.variables[0]
    said = await say("run", "--config", str(household.folder), "--live", **{variable: ""})
    assert said.status == ExitStatus.CONFIG
    assert variable in said.err
    assert "Traceback" not in said.err


# ---- the node


async def test_a_node_that_does_not_answer(station: Station, household: Household):
    closed = f"http://127.0.0.1:{free_port()}"
    household.replace(chain_file(station), station.manifest.http_url + '"', closed + '"')
    said = await run(household, "--live")
    assert said.status == ExitStatus.NODE_UNREACHABLE
    assert closed.removeprefix("http://") in said.sentence


async def test_a_node_of_another_chain(station: Station, household: Household):
    household.replace(chain_file(station), "chain_id = 31337", "chain_id = 56")
    said = await run(household, "--live")
    assert said.status == ExitStatus.CONFIG
    assert "31337" in said.sentence
    assert "56" in said.sentence


async def test_an_executor_that_is_not_there(station: Station, household: Household):
    text = (household.folder / chain_file(station)).read_text()
    (line,) = [
        line for line in text.splitlines() if line.lower().endswith(station.executor[2:] + '"')
    ]
    household.replace(chain_file(station), line, f'address = "0x{"00" * 19}99"')
    said = await run(household, "--live")
    assert said.status == ExitStatus.PREFLIGHT
    assert "executor" in said.sentence


# ---- the machine


def python_beside(folder: Path, **programs: str) -> tuple[Path, dict[str, str]]:
    """A Python without our Node.js beside it; returns it and the variables it needs."""
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    return python, {"PYTHONPATH": path}


async def test_a_port_in_use(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = await say(
            "devnet", "up", "--json", "--port", str(port), XDG_STATE_HOME=str(tmp_path)
        )
    assert said.status == ExitStatus.PREFLIGHT
    assert f"port {port}" in said.sentence
    assert "in use" in said.sentence


async def test_a_machine_without_node_js(tmp_path: Path):
    python, variables = python_beside(tmp_path / "bin")
    said = await say(
        *("devnet", "up", "--json"),
        python=python,
        PATH=str(tmp_path / "bin"),
        XDG_STATE_HOME=str(tmp_path / "state"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        **variables,
    )
    assert said.status == ExitStatus.PREFLIGHT
    assert "npm is not installed" in said.sentence
    assert "make setup" in said.sentence


async def test_a_download_with_another_hash_is_not_used(tmp_path: Path):
    python, variables = python_beside(tmp_path / "bin", npm=FAKE_NPM)
    said = await say(
        *("devnet", "up", "--json"),
        python=python,
        XDG_STATE_HOME=str(tmp_path / "state"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        **variables,
    )
    assert said.status == ExitStatus.PREFLIGHT
    assert "sha512" in said.sentence
    assert "is pinned" in said.sentence
    kept = tmp_path / "cache" / "searcher" / "protocols"
    assert [path for path in kept.iterdir() if path.is_dir()] == []


async def test_a_machine_without_anvil(tmp_path: Path):
    said = await say(
        *("devnet", "up", "--json"),
        XDG_STATE_HOME=str(tmp_path),
        SEARCHER_ANVIL=str(tmp_path / "anvil"),
    )
    assert said.status == ExitStatus.PREFLIGHT
    assert "SEARCHER_ANVIL" in said.sentence


async def test_a_laboratory_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    said = await say("devnet", "up", "--json", XDG_STATE_HOME=str(tmp_path / "file"))
    assert said.status == ExitStatus.PREFLIGHT
    assert "XDG_STATE_HOME" in said.sentence


async def test_the_command_line_itself():
    said = await say("run", "--no-such-flag")
    assert said.status == ExitStatus.USAGE
    assert "Traceback" not in said.err
