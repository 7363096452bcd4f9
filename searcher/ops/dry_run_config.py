"""A user's configuration as a dry-run takes it: their market, strategies and limits, no more."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.domain.units import Address
from searcher.executor.settings import ExecutorSettings
from searcher.ops.config.documents import display, locate, read_document
from searcher.ops.config.loader import Loaded, Scope
from searcher.ops.config.model import Config, load_config
from searcher.ops.config.problems import ConfigInvalid


def choose_chain(location: str | None, chain_id: int, name: str | None) -> str:
    """Return the name of the chain file to use.

    Args:
        location: folder or main file of the configuration; None looks in the usual places.
        chain_id: what the node serves.
        name: the user's choice; None takes the file with that chain id.

    Raises:
        Misconfigured: no such file, none with the chain id, or several.
    """
    folder = locate(location, os.environ).parent / "chains"
    files = sorted(folder.glob("*.toml"))
    if name is not None:
        names = [path.stem for path in files]
        if name not in names:
            raise Misconfigured(f"there is no chain {name!r}: {did_you_mean(name, names)}")
        return name
    ids = {path.stem: _chain_id(path) for path in files}
    fitting = [stem for stem, found in ids.items() if found == chain_id]
    known = ", ".join(f"{stem} ({found})" for stem, found in ids.items())
    if not fitting:
        raise Misconfigured(
            f"the node serves chain {chain_id}, and {display(folder)} has {known or 'none'}: "
            "write a file for it there, or give another --fork-url"
        )
    if len(fitting) > 1:
        raise Misconfigured(
            f"chain {chain_id} stands in {' and '.join(fitting)}: choose one with --chain"
        )
    return fitting[0]


def load_for_fork(
    location: str | None,
    *,
    chain: str,
    fork_url: str,
    strategies: Sequence[str],
    flags: Sequence[str],
    ledger: Path,
) -> Loaded[Config]:
    """Read the configuration without what a dry-run has no use for.

    Keys, relays and the node's addresses are left out before they are looked at, so nothing that
    they refer to must exist. The mode is `simulate` and the ledger another than the daemon's.

    Raises:
        Misconfigured: what is left has faults, or a strategy file does not exist.
    """
    files = _strategy_files(strategies)
    names = [Path(given).stem if _is_file(given) else given for given in strategies]
    chosen = (f"strategies={json.dumps(names)}",) if names else ()
    url = json.dumps(fork_url)
    own = (
        'mode="simulate"',
        f'ledger={{store="sqlite", path={json.dumps(str(ledger))}}}',
        f"chains.{chain}.node.http_url={url}",
        f"chains.{chain}.node.stream_url={url}",
        f"chains.{chain}.signers={{}}",
        f"chains.{chain}.relays={{}}",
    )
    return load_config(location, flags=(*chosen, *flags, *own), chains=(chain,), files=files)


def with_executor(loaded: Loaded[Config], chain: str, executor: Address) -> Loaded[Config]:
    """Return the configuration with the executor that was deployed on the fork."""
    settings = loaded.config.chains[chain].model_copy(
        update={"executor": ExecutorSettings(address=executor)}
    )
    config = dataclasses.replace(loaded.config, chains={chain: settings})
    return dataclasses.replace(loaded, config=config)


def _strategy_files(strategies: Sequence[str]) -> Mapping[Scope, Path]:
    """Return the files among what was asked for; the rest are names in the configuration."""
    files: dict[Scope, Path] = {}
    for given in filter(_is_file, strategies):
        path = Path(given).expanduser()
        if not path.is_file():
            raise Misconfigured(
                f"there is no strategy file {given}: `searcher config template "
                "strategies.arbitrage` makes one"
            )
        files["strategies", path.stem] = path
    return files


def _is_file(given: str) -> bool:
    return given.endswith(".toml") or os.sep in given


def _chain_id(path: Path) -> Any:
    document, problems = read_document(path, ("chains", path.stem))
    if problems:
        raise ConfigInvalid(problems)
    chain = document.data.get("chain")
    return chain.get("chain_id") if isinstance(chain, dict) else None
