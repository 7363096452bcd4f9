"""A small household: two chains, one strategy, one risk profile, two relay plug-ins of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from searcher.domain.settings import AddressSetting, Reload, Settings, knob
from searcher.ops.config.loader import Conflict, Layout, Loaded, load
from searcher.ops.config.schema import Plugged, PluginTable

RELAY_PLUGIN = '''
"""A relay of the tests."""
from pydantic import ConfigDict
from searcher.domain.settings import Settings, knob

class Relay:
    class Config(Settings):
        model_config = ConfigDict(hide_input_in_errors=True)

        url: str = knob(why="where it listens")
        variable: str = knob("NAME", why="where the key is", pattern="^[A-Z]+$")
        timeout_ms: int = knob(500, why="how long it may take", unit="ms", ge=1, le=5000)

PLUGIN = Relay
'''
BARE_PLUGIN = '''
"""A plug-in without settings."""

class Bare:
    pass

PLUGIN = Bare
'''
MAIN = """
mode = "observe"
chains = ["alpha"]
strategies = ["steady"]

[log]
level = "info"
"""
ALPHA = """\
[chain]
name = "alpha"
chain_id = 7

[node]
http_url = "env:ALPHA_URL" # where
pending = "full"

[tokens.WETH]
address = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
decimals = 18

[relays.first]
plugin = "courier"
url = "https://relay.example/path"
"""


PLUGGED = Annotated[Plugged, PluginTable("searcher_test_relays")]


class LogSettings(Settings):
    level: Literal["debug", "info"] = knob("info", why="how much", reload=Reload.HOT)


class Main(Settings):
    mode: Literal["observe", "live"] = knob("observe", why="how far")
    chains: tuple[str, ...] = knob((), why="which chains")
    strategies: tuple[str, ...] = knob((), why="which strategies")
    risk: str = knob("default", why="which profile")
    log: LogSettings = knob(LogSettings(), why="the log")


class Rules(Settings):
    name: str = knob(why="its name")
    chain_id: int = knob(why="its id", ge=1)
    network: str = knob("bare", why="its rules")


class Node(Settings):
    http_url: str = knob(why="where requests go")
    pending: Literal["full", "off"] = knob("full", why="what is listened to")
    max_inflight: int = knob(8, why="how many at once", unit="requests", ge=1, le=64)


class Token(Settings):
    address: AddressSetting = knob(why="the contract")
    decimals: int = knob(why="its decimals", ge=0, le=36)


class Chain(Settings):
    chain: Rules = knob(why="the chain")
    node: Node = knob(why="the node")
    tokens: dict[str, Token] = knob({}, why="the tokens")
    relays: dict[str, PLUGGED] = knob({}, why="the relays")
    helpers: tuple[PLUGGED, ...] = knob((), why="more")


class Risk(Settings):
    max_loss_gwei: int = knob(100, why="the most a day may cost", unit="gwei", ge=0)


@dataclass(frozen=True)
class Household:
    main: Main
    files: Mapping[tuple[str, str], Any]

    @property
    def alpha(self) -> Any:
        return self.files["chains", "alpha"]


def conflicts(config: Household) -> Iterator[Conflict]:
    for (folder, name), settings in config.files.items():
        if folder == "chains" and settings.chain.name != name:
            path = (folder, name, "chain", "name")
            yield Conflict(path, "the name is not the file's", f'write name = "{name}"')


LAYOUT = Layout(
    main=Main,
    files={"chains": Chain, "strategies": PLUGGED, "risk": Risk},
    names={"chains": {("chain", "network"): "searcher_test_relays"}},
    compose=lambda _folder, main, files: Household(main, files),
    conflicts=conflicts,
)


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put two plug-ins into a folder that the registry can list."""
    folder = tmp_path / "plugins" / "searcher_test_relays"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "courier.py").write_text(RELAY_PLUGIN)
    (folder / "bare.py").write_text(BARE_PLUGIN)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield
    for name in [n for n in sys.modules if n.startswith("searcher_test_relays")]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "config"
    for name in ("chains", "strategies", "risk"):
        (root / name).mkdir(parents=True)
    (root / "searcher.toml").write_text(MAIN)
    (root / "chains" / "alpha.toml").write_text(ALPHA)
    (root / "chains" / "beta.toml").write_text(ALPHA.replace("alpha", "beta"))
    (root / "strategies" / "steady.toml").write_text('plugin = "bare"\n')
    (root / "strategies" / "courier.toml").write_text('url = "https://relay.example"\n')
    (root / "risk" / "default.toml").write_text("max_loss_gwei = 5\n")
    return root


@pytest.fixture
def read(folder: Path) -> Callable[..., Loaded[Household]]:
    def call(*flags: str, chains: Sequence[str] = (), **variables: str) -> Loaded[Household]:
        environ = {"ALPHA_URL": "https://user:key@node.example/v3/s3cret", **variables}
        environ = {name: value for name, value in environ.items() if value != "-"}
        return load(LAYOUT, location=str(folder), flags=flags, environ=environ, chains=chains)

    return call
