"""The files in config/ and the page in docs/: valid, complete, and in step with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from searcher.domain.units import address
from searcher.market.protocol import PROTOCOLS
from searcher.ops.config import pages, report
from searcher.ops.config.model import file_settings, load_config

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / "config"
CHAINS = sorted(path.stem for path in (CONFIG / "chains").glob("*.toml"))
FILES = sorted(path.stem for path in (CONFIG / "protocols").glob("*.toml"))
ADDRESSED = [f"chains/{name}.toml" for name in CHAINS] + [f"protocols/{p}.toml" for p in FILES]
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


@pytest.mark.parametrize("file", ADDRESSED)
def test_addresses_have_a_checksum_and_a_source(file: str):
    """Of Curve's own pools and implementations the head of the file names the source."""
    text = (CONFIG / file).read_text()
    for line in text.splitlines():
        match = re.search(r'"(0x[0-9a-fA-F]{40})"(.*)', line)
        if match and not line.startswith(("#", "coinbase")):
            assert re.search("[A-F]", match[1]) or match[1][2:].isdigit(), line
            assert address(match[1])
            sourced = re.match(r",? # \S", match[2]) or "npm @curvefi/api" in text.split("[", 1)[0]
            assert sourced, line


@pytest.mark.parametrize("chain", CHAINS)
def test_no_address_stands_twice(chain: str):
    settings = load_config(str(CONFIG), environ=node_variables(), chains=[chain]).config
    tokens = [token.address for token in settings.chains[chain].tokens.values()]
    assert len(tokens) == len(set(tokens))
    # Curve's factories make plain pools and metapools, which are two protocols.
    announcers = [
        (dex.protocol, announcer)
        for dex in settings.chains[chain].dexes.values()
        for announcer in (dex.factory, *dex.factories)
        if announcer
    ]
    assert len(announcers) == len(set(announcers))


def test_every_protocol_has_its_file_listed():
    assert sorted(read("searcher.toml")["protocols"]) == FILES


@pytest.mark.parametrize("chain", CHAINS)
def test_every_dex_says_what_its_protocol_needs(chain: str):
    settings = load_config(str(CONFIG), environ=node_variables(), chains=[chain]).config
    for name, dex in settings.chains[chain].dexes.items():
        plugin = PROTOCOLS.load(dex.protocol)
        plugin(plugin.Config()).check(name, dex)
