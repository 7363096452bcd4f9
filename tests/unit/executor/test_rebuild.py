"""What is committed of the contract is what its source builds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


def contracts(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The environment that runs the tests brings Node.js.
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        [checkout / "scripts" / "contracts.sh", *arguments],
        env={"PATH": path, "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(CHECKOUT / "scripts", tmp_path / "scripts")
    for part in ("src", "script", "artifacts"):
        shutil.copytree(CHECKOUT / "contracts" / part, tmp_path / "contracts" / part)
    shutil.copy(CHECKOUT / "contracts" / "foundry.toml", tmp_path / "contracts")
    modules = (CHECKOUT / "contracts" / "node_modules").resolve()
    (tmp_path / "contracts" / "node_modules").symlink_to(modules)
    return tmp_path


def test_the_artifact_is_what_the_source_builds(copy):
    found = contracts(copy, "--check-artifact")
    assert found.returncode == 0, found.stderr


@pytest.mark.full
def test_an_artifact_of_another_source_is_noticed(copy):
    source = copy / "contracts" / "src" / "Executor.sol"
    text = source.read_text()
    changed = text.replace("COINBASE_GAS = 100_000", "COINBASE_GAS = 100_001")
    assert changed != text
    source.write_text(changed)
    found = contracts(copy, "--check-artifact")
    assert found.returncode == 1
    assert "run make contracts" in found.stderr


def test_an_unknown_argument_is_refused():
    found = contracts(CHECKOUT, "--chekc")
    assert found.returncode == 2
    assert "--chekc" in found.stderr


@pytest.mark.full
@pytest.mark.timeout(600)
def test_formatting_tests_and_gas_snapshot_hold():
    found = contracts(CHECKOUT, "--check")
    assert found.returncode == 0, found.stdout + found.stderr
