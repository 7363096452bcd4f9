"""What no file can know alone, told at the place where it is put right."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from searcher.domain.plan import Mode
from searcher.ops.config.loader import Loaded
from searcher.ops.config.model import Config, load_config
from searcher.ops.config.problems import ConfigInvalid, Problem

COMMITTED = Path(__file__).parents[4] / "config"
ENVIRON = {
    f"SEARCHER_{chain}_{kind}_URL": f"{scheme}://127.0.0.1:1"
    for chain in ("ETHEREUM", "BSC")
    for kind, scheme in (("HTTP", "http"), ("STREAM", "ws"))
}
KEYS = """
[executor]
address = "0x00000000000000000000000000000000000000e1"
[[signers.operators]]
plugin = "environment"
variable = "OPERATOR_ONE"
[[signers.operators]]
plugin = "environment"
variable = "OPERATOR_TWO"
[signers.relay_auth]
plugin = "environment"
variable = "RELAY_IDENTITY"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(COMMITTED, tmp_path / "config"))


@pytest.fixture
def read(folder: Path) -> Callable[..., Loaded[Config]]:
    def call(*flags: str, chains: tuple[str, ...] = ("ethereum",)) -> Loaded[Config]:
        return load_config(str(folder), flags=flags, environ=ENVIRON, chains=chains)

    return call


def faults(read: Callable[..., Loaded[Config]], *flags: str, **rest: object) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        read(*flags, **rest)
    return caught.value.problems


def test_the_file_and_its_chain_have_one_name(read: Callable[..., Loaded[Config]], folder: Path):
    (folder / "chains" / "bsc.toml").rename(folder / "chains" / "bnb.toml")
    (fault,) = faults(read, chains=("bnb",))
    assert (fault.what, fault.remedy) == ("the file is called bnb", 'write name = "bnb"')
    assert fault.origin.line.startswith("name = ")


def test_chain_ids_are_told_apart(read: Callable[..., Loaded[Config]]):
    (fault,) = faults(read, "chains.bsc.chain.chain_id=1", chains=("ethereum", "bsc"))
    assert fault.what == "ethereum has the same chain id"


def test_the_wrapped_native_token_must_be_named(read: Callable[..., Loaded[Config]]):
    (fault,) = faults(read, "chains.ethereum.chain.wrapped_native=WET")
    assert fault.remedy == "did you mean 'WETH'?"


def test_tokens_of_strategies_must_be_known(read: Callable[..., Loaded[Config]]):
    (fault,) = faults(read, 'strategies.backrun.tokens_denied=["USDX"]')
    assert fault.what == "no enabled chain has a token 'USDX'"
    address = "0x" + "ab" * 20
    assert read(f'strategies.backrun.tokens_denied=["USDC", "{address}"]').config


def test_every_chain_needs_a_start_token(read: Callable[..., Loaded[Config]]):
    flag = 'strategies.arbitrage.start_tokens=["WETH"]'
    assert read(flag).config
    (fault,) = faults(read, flag, chains=("ethereum", "bsc"))
    assert fault.what == "bsc has none of the start tokens"


def test_live_names_everything_that_is_missing(read: Callable[..., Loaded[Config]]):
    found = [fault.what for fault in faults(read, "mode=live", chains=("bsc",))]
    assert sorted(found) == [
        "mode is live, but bsc has no executor",
        "mode is live, but bsc has no relays",
        "mode is live, but bsc has no signers.operators",
        "mode is live, but bsc has no signers.relay_auth",
    ]


def test_a_live_configuration_is_complete(read: Callable[..., Loaded[Config]], folder: Path):
    path = folder / "chains" / "ethereum.toml"
    path.write_text(path.read_text() + KEYS)
    loaded = read("mode=live")
    chain = loaded.config.chains["ethereum"]
    assert loaded.config.main.mode is Mode.LIVE
    assert [s.settings.variable for s in chain.signers.operators] == [
        "OPERATOR_ONE",
        "OPERATOR_TWO",
    ]
    assert chain.signers.relay_auth is not None
    assert chain.signers.relay_auth.name == "environment"
    paths = {s.path for s in loaded.settings}
    assert ("chains", "ethereum", "signers", "operators", 1, "variable") in paths


def test_a_key_in_the_place_of_its_name_is_refused_and_not_shown(
    read: Callable[..., Loaded[Config]], folder: Path
):
    key = "0x" + "5e" * 32
    path = folder / "chains" / "ethereum.toml"
    path.write_text(path.read_text() + KEYS.replace("OPERATOR_TWO", key))
    (fault,) = faults(read)
    assert fault.path[-1] == "variable"
    assert fault.origin.position is not None
    assert "5e5e" not in fault.render()


def test_plug_ins_that_a_chain_names_must_exist(read: Callable[..., Loaded[Config]]):
    found = faults(
        read,
        "chains.ethereum.chain.network=etherum",
        "chains.ethereum.dexes.uniswap_v3.protocol=uniswap_v33",
        "chains.ethereum.simulation.backend=eth_simulat",
    )
    assert {fault.remedy for fault in found} == {
        "did you mean 'ethereum'?",
        "did you mean 'uniswap_v3'?",
        "did you mean 'eth_simulate'?",
    }


def test_dexes_come_from_the_protocols_and_the_chain(read: Callable[..., Loaded[Config]]):
    flag = 'protocols=["uniswap_v3"]'
    dexes = read(flag).config.chains["ethereum"].dexes
    assert set(dexes) == {"uniswap_v3", "sushiswap_v3"}
    assert {dex.protocol for dex in dexes.values()} == {"uniswap_v3"}
    own = f'chains.ethereum.dexes.mine={{protocol="uniswap_v2", factory="0x{"0a" * 20}"}}'
    assert set(read(flag, own).config.chains["ethereum"].dexes) == {*dexes, "mine"}
    moved = f"protocols.uniswap_v3.dexes.ethereum.uniswap_v3.factory=0x{'0b' * 20}"
    changed = read(flag, moved).config.chains["ethereum"].dexes["uniswap_v3"]
    assert changed.factory == "0x" + "0b" * 20
    assert read(flag, moved).fingerprint != read(flag).fingerprint


def test_a_chain_without_a_dex_is_of_no_use(read: Callable[..., Loaded[Config]]):
    (fault,) = faults(read, "protocols=[]")
    assert fault.what == "ethereum has no DEX, here or in protocols/"


def test_a_protocols_file_is_called_after_it(read: Callable[..., Loaded[Config]], folder: Path):
    (fault,) = faults(read, 'protocols=["uniswap_v33"]')
    assert fault.remedy == "did you mean 'uniswap_v3'?"
    shutil.copy(folder / "protocols" / "pancake_v3.toml", folder / "protocols" / "cake.toml")
    found = faults(read, 'protocols=["uniswap_v3", "cake"]')
    assert [fault.what for fault in found] == ["there is no protocol called 'cake'"]


def test_a_dex_has_one_name_on_its_chain(read: Callable[..., Loaded[Config]], folder: Path):
    path = folder / "protocols" / "pancake_v3.toml"
    path.write_text(path.read_text().replace("ethereum.pancakeswap_v3", "ethereum.uniswap_v3"))
    (fault,) = faults(read, 'protocols=["uniswap_v3", "pancake_v3"]')
    assert fault.what == "uniswap_v3.toml has a DEX 'uniswap_v3' on ethereum too"


def test_what_a_protocols_file_cannot_have_is_refused(
    read: Callable[..., Loaded[Config]], folder: Path
):
    path = folder / "protocols" / "uniswap_v3.toml"
    path.write_text(path.read_text().replace("first_block", "first_blok"))
    found = faults(read, 'protocols=["uniswap_v3"]')
    assert {fault.remedy for fault in found} == {"did you mean 'first_block'?"}
