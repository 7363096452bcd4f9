"""The whole configuration, composed of the settings classes of the stages.

`config/searcher.toml` is `MainSettings`; `config/chains/<name>.toml` is `ChainSettings`;
`config/strategies/<name>.toml` is the `Config` of the strategy it is called after (or names with
`plugin`); `config/risk/<name>.toml` is `RiskSettings`. A stage adds a key in its own settings class
and nothing here changes; a new table is one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from searcher.chains.settings import ChainRules, NodeSettings
from searcher.domain.errors import Misconfigured
from searcher.domain.plan import Mode
from searcher.domain.registry import did_you_mean
from searcher.domain.settings import Settings, knob
from searcher.executor.settings import ExecutorSettings
from searcher.market.settings import (
    DexSettings,
    DiscoverySettings,
    FollowingSettings,
    SnapshotSettings,
    TokenSettings,
    TripwireSettings,
)
from searcher.mempool.settings import MempoolSettings
from searcher.ops.config.loader import Conflict, Layout, Loaded, Scope, load
from searcher.ops.config.schema import (
    ANY_NAME,
    Key,
    Plugged,
    PluginTable,
    keys_of,
    plugin_keys,
    shape,
)
from searcher.ops.logging import LogSettings
from searcher.risk.settings import RiskSettings
from searcher.simulation.settings import SimulationSettings
from searcher.submission.settings import BidSettings, GasSettings

Strategy = Annotated[Plugged, PluginTable("searcher.opportunities.strategies")]
Signer = Annotated[Plugged, PluginTable("searcher.submission.signers")]
Relay = Annotated[Plugged, PluginTable("searcher.submission.relays")]
Store = Annotated[
    Plugged, PluginTable("searcher.ledger.stores", selector="store", default="sqlite")
]


_TOKEN_LISTS: Final = ("start_tokens", "tokens_allowed", "tokens_denied", "amounts")
"""Keys of strategies that hold names of tokens; those that take addresses too begin with 0x."""


class MainSettings(Settings):
    """What a process does: the keys of `searcher.toml`."""

    mode: Mode = knob(Mode.OBSERVE, why="how far a plan may go; live also wants the flag --live")
    chains: tuple[str, ...] = knob(why="files of chains/ to follow, by name", min_length=1)
    strategies: tuple[str, ...] = knob(why="files of strategies/ to run, by name", min_length=1)
    risk: str = knob("default", why="file of risk/ that limits them, by name")
    ledger: Store = knob(why="where everything that happened is kept")
    log: LogSettings = knob(LogSettings(), why="the log")


class SignersSettings(Settings):
    """Whose keys sign: the `[signers]` table."""

    operators: tuple[Signer, ...] = knob(
        (), why="keys that may call the executor; each is a lane of its own, funded for gas alone"
    )
    relay_auth: Signer | None = knob(
        None, why="key that signs requests to relays: an identity, which needs no funds"
    )


class ChainSettings(Settings):
    """One chain: the tables of a file in `chains/`."""

    chain: ChainRules = knob(why="the chain")
    node: NodeSettings = knob(why="the node that serves it")
    tokens: dict[str, TokenSettings] = knob(why="tokens by the names that other keys use")
    dexes: dict[str, DexSettings] = knob(why="deployments whose pools are searched, by name")
    discovery: DiscoverySettings = knob(DiscoverySettings(), why="which of their pools are taken")
    following: FollowingSettings = knob(
        FollowingSettings(), why="how they are kept up with the chain"
    )
    snapshots: SnapshotSettings = knob(SnapshotSettings(), why="how a restart takes seconds")
    tripwire: TripwireSettings = knob(TripwireSettings(), why="what catches a market that drifts")
    simulation: SimulationSettings = knob(SimulationSettings(), why="what proves a plan")
    executor: ExecutorSettings | None = knob(
        None, why="our contract; without it plans are found but neither proved nor sent"
    )
    signers: SignersSettings = knob(SignersSettings(), why="whose keys sign")
    relays: dict[str, Relay] = knob({}, why="where bundles go, by name")
    bids: BidSettings = knob(BidSettings(), why="what is offered to the builder")
    mempool: MempoolSettings = knob(MempoolSettings(), why="where pending transactions come from")
    gas: GasSettings = knob(GasSettings(), why="gas limit and fees of our own transaction")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a process needs to know, valid as a whole.

    `folder` holds the files; `strategies` are in the order of the main file.
    """

    folder: Path
    main: MainSettings
    chains: Mapping[str, ChainSettings]
    strategies: Mapping[str, Plugged]
    risk: RiskSettings


def _compose(folder: Path, main: MainSettings, files: Mapping[Scope, Any]) -> Config:
    return Config(
        folder=folder,
        main=main,
        chains={name: files["chains", name] for name in main.chains},
        strategies={name: files["strategies", name] for name in main.strategies},
        risk=files["risk", main.risk],
    )


def _conflicts(config: Config) -> Iterator[Conflict]:
    """Find what no file can know alone, or no settings class."""
    ids: dict[int, str] = {}
    for name, chain in config.chains.items():
        yield from _chain_conflicts(name, chain)
        other = ids.setdefault(chain.chain.chain_id, name)
        if other != name:
            path = ("chains", name, "chain", "chain_id")
            yield Conflict(path, f"{other} has the same chain id", "give each chain its own")
        if config.main.mode is Mode.LIVE:
            yield from _live_conflicts(name, chain)
    for name, strategy in config.strategies.items():
        yield from _token_conflicts(name, strategy, config.chains)


def _chain_conflicts(name: str, settings: ChainSettings) -> Iterator[Conflict]:
    rules = settings.chain
    if rules.name != name:
        path = ("chains", name, "chain", "name")
        yield Conflict(path, f"the file is called {name}", f'write name = "{name}"')
    if rules.wrapped_native not in settings.tokens:
        path = ("chains", name, "chain", "wrapped_native")
        what = f"there is no token {rules.wrapped_native!r} in [tokens]"
        yield Conflict(path, what, did_you_mean(rules.wrapped_native, settings.tokens))


def _live_conflicts(name: str, settings: ChainSettings) -> Iterator[Conflict]:
    needed = (
        (settings.executor, ("executor",), "write [executor] with the contract's address"),
        (settings.signers.operators, ("signers", "operators"), "write at least one operator key"),
        (settings.signers.relay_auth, ("signers", "relay_auth"), "write a key for the relays"),
        (settings.relays, ("relays",), "write at least one [relays.NAME]"),
    )
    for value, path, remedy in needed:
        if not value:
            what = f"mode is live, but {name} has no {'.'.join(path)}"
            yield Conflict(("chains", name, *path), what, remedy)


def _token_conflicts(
    name: str, strategy: Plugged, chains: Mapping[str, ChainSettings]
) -> Iterator[Conflict]:
    """A token must be known on some chain, and each chain must know one of the start tokens."""
    known = {token for chain in chains.values() for token in chain.tokens}
    for field in _TOKEN_LISTS:
        for token in getattr(strategy.settings, field, ()):
            if token not in known and not token.lower().startswith("0x"):
                what = f"no enabled chain has a token {token!r}"
                yield Conflict(("strategies", name, field), what, did_you_mean(token, known))
    start = set(getattr(strategy.settings, "start_tokens", ()))
    for chain_name, chain in chains.items():
        if start and start.isdisjoint(chain.tokens):
            what = f"{chain_name} has none of the start tokens"
            remedy = f"add one of {', '.join(sorted(chain.tokens))}"
            yield Conflict(("strategies", name, "start_tokens"), what, remedy)


LAYOUT: Final[Layout[Config]] = Layout(
    main=MainSettings,
    files={"chains": ChainSettings, "strategies": Strategy, "risk": RiskSettings},
    names={
        "chains": {
            ("chain", "network"): "searcher.chains.networks",
            ("dexes", ANY_NAME, "protocol"): "searcher.market.protocols",
            ("simulation", "backend"): "searcher.simulation.backends",
        }
    },
    compose=_compose,
    conflicts=_conflicts,
)


def load_config(
    location: str | None = None,
    *,
    flags: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    chains: Sequence[str] = (),
    files: Mapping[Scope, Path] | None = None,
) -> Loaded[Config]:
    """Read the configuration of a process; see `loader.load`.

    Args:
        location: folder or main file; None looks in the usual places.
        flags: `KEY=VALUE` texts, which win over everything else.
        environ: the variables, those of the process when left out.
        chains: when given, these chains instead of those that the main file lists.
        files: files that lie elsewhere than in the folder, by what the main file calls them.

    Raises:
        Misconfigured: there is none, or it has faults; the message has all of them.
    """
    environ = os.environ if environ is None else environ
    return load(LAYOUT, location=location, flags=flags, environ=environ, chains=chains, files=files)


def all_keys() -> Iterator[Key]:
    """Yield every key of every file, as `config explain` and the generated page show them."""
    yield from keys_of(MainSettings)
    for folder, kind in LAYOUT.files.items():
        form = shape(kind)
        if form.plugin is not None:
            yield from plugin_keys(form.plugin, (folder, ANY_NAME))
        elif form.settings is not None:
            yield from keys_of(form.settings, (folder, ANY_NAME))


def file_settings(name: str) -> type[Settings]:
    """Return the settings class of `risk`, or of `strategies.<plug-in>`.

    Raises:
        Misconfigured: there is no such file or plug-in.
    """
    folder, dot, plug_in = name.partition(".")
    if folder == "risk" and not dot:
        return RiskSettings
    table = shape(Strategy).plugin
    assert table is not None
    if folder != "strategies" or not plug_in:
        known = ["risk", *(f"strategies.{known}" for known in table.registry().names())]
        raise Misconfigured(f"there is no template {name!r}: {did_you_mean(name, known)}")
    return table.settings_of(plug_in)
