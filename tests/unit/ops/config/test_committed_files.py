"""The files in config/ and the page in docs/: valid, complete, and in step with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from searcher.domain.units import address
from searcher.ops.config import pages, report
from searcher.ops.config.model import file_settings, load_config

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / "config"
CHAINS = sorted(path.stem for path in (CONFIG / "chains").glob("*.toml"))
STRATEGIES = sorted(path.stem for path in (CONFIG / "strategies").glob("*.toml"))
NODE_VARIABLE = re.compile(r'"env:(\w+_(HTTP|STREAM|RELAY)_URL)"')


def node_variables() -> dict[str, str]:
    """Addresses for every node variable that the chain files refer to."""
    text = "".join(path.read_text() for path in (CONFIG / "chains").glob("*.toml"))
    schemes = {"HTTP": "http", "STREAM": "ws", "RELAY": "http"}
    return {name: f"{schemes[kind]}://127.0.0.1:1" for name, kind in NODE_VARIABLE.findall(text)}


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((CONFIG / name).read_text())


@pytest.mark.parametrize("chain", CHAINS)
def test_each_chain_is_ready_for_a_node(chain: str):
    loaded = load_config(str(CONFIG), environ=node_variables(), chains=[chain])
    assert list(loaded.config.chains) == [chain]
    assert loaded.config.chains[chain].dexes


def test_all_chains_can_run_in_one_process():
    loaded = load_config(str(CONFIG), environ=node_variables(), chains=CHAINS)
    assert list(loaded.config.chains) == CHAINS


def test_the_main_file_is_valid_as_it_is():
    assert load_config(str(CONFIG), environ=node_variables()).config.main.mode == "observe"


def test_live_wants_a_contract_and_keys():
    with pytest.raises(Exception, match="mode is live, but ethereum has no executor"):
        load_config(str(CONFIG), environ=node_variables(), flags=["mode=live"], chains=["ethereum"])


@pytest.mark.parametrize(
    ("file", "name"),
    [("risk/default.toml", "risk")]
    + [(f"strategies/{strategy}.toml", f"strategies.{strategy}") for strategy in STRATEGIES],
)
def test_a_file_of_knobs_says_what_the_code_says(file: str, name: str):
    committed = (CONFIG / file).read_text()
    template = pages.template(name, file_settings(name))
    known = re.findall(r"^#? ?([\w.]+) = ", template, re.MULTILINE)
    remedy = f"compare with: searcher config template {name}"
    assert re.findall(r"^#? ?([\w.]+) = ", committed, re.MULTILINE) == known, remedy
    comments = [line for line in template.splitlines() if line.startswith("#") and "=" not in line]
    assert [line for line in comments if line not in committed.splitlines()] == [], remedy


def test_the_page_of_all_keys_is_current():
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == report.reference(), "run: searcher config reference > docs/configuration.md"


@pytest.mark.parametrize("chain", CHAINS)
def test_addresses_have_a_checksum_and_a_source(chain: str):
    for line in (CONFIG / "chains" / f"{chain}.toml").read_text().splitlines():
        match = re.search(r'"(0x[0-9a-fA-F]{40})"(.*)', line)
        if match and not line.startswith(("#", "coinbase")):
            assert match[1] != match[1].lower(), line
            assert address(match[1])
            assert re.match(r" # \S", match[2]), line


@pytest.mark.parametrize("chain", CHAINS)
def test_no_address_stands_twice(chain: str):
    data = read(f"chains/{chain}.toml")
    for group, key in (("tokens", "address"), ("dexes", "factory")):
        found = [table[key].lower() for table in data[group].values()]
        assert len(found) == len(set(found))
