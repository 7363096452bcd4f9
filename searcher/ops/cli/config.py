"""`searcher config`: check, show and explain the configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.ops import exact_json
from searcher.ops.config import pages
from searcher.ops.config.loader import Setting
from searcher.ops.config.model import all_keys, file_settings, load_config
from searcher.ops.config.problems import Source, dotted
from searcher.ops.config.schema import Key

app = App(name="config", help="Check, show and explain the configuration.")

Chain = Annotated[str, Parameter(help="Chains to take instead of those that searcher.toml lists.")]
Location = Annotated[
    str | None, Parameter(name="--config", help="Folder of the configuration, or its main file.")
]
Flags = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="KEY=VALUE that wins over files and variables.", negative=""),
]
AsJson = Annotated[bool, Parameter(name="--json", help="One JSON document.", negative="")]

SECTIONS = {
    "": "`searcher.toml`",
    "chains": "`chains/<name>.toml`",
    "strategies": "`strategies/<name>.toml`",
    "risk": "`risk/<name>.toml`",
}


@app.command
def check(*chains: Chain, config: Location = None, set_: Flags = (), json: AsJson = False) -> None:
    """Say whether the configuration is valid; tell every fault with its place and remedy."""
    loaded = load_config(config, flags=set_, chains=chains)
    main = loaded.config.main
    if json:
        _print(
            exact_json.dumps(
                {"valid": True, "fingerprint": loaded.fingerprint, "mode": main.mode.value}
            )
        )
        return
    _print(
        f"{loaded.config.folder} is valid: mode {main.mode.value},"
        f" chains {', '.join(main.chains)}, strategies {', '.join(main.strategies)},"
        f" risk {main.risk} ({loaded.fingerprint})"
    )


@app.command
def show(
    *chains: Chain,
    config: Location = None,
    set_: Flags = (),
    origin: Annotated[
        bool, Parameter(help="Say where each value comes from.", negative="")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show every value in force; what references name is not shown."""
    loaded = load_config(config, flags=set_, chains=chains)
    if json:
        _print(exact_json.dumps([_record(setting) for setting in loaded.settings], pretty=True))
        return
    lines = [_line(setting) for setting in loaded.settings]
    keys = list(all_keys()) if origin else []
    width = min(72, max(map(len, lines), default=0))
    for text, setting in zip(lines, loaded.settings, strict=True):
        _print(f"{text:<{width}}  # {_told(setting, keys)}" if origin else text)


@app.command
def explain(
    key: Annotated[str, Parameter(help="A key, or the end of one: node.http_url, max_inflight.")],
) -> None:
    """Say what a key means: unit, range, default, and when a change takes effect."""
    found = find_keys(key)
    _print("\n\n".join(_explained(item) for item in found))


@app.command
def reference() -> None:
    """Print the page of all keys, docs/configuration.md."""
    sys.stdout.write(pages.reference(all_keys(), SECTIONS))


@app.command
def template(
    file: Annotated[str, Parameter(help="risk, or strategies.NAME.")],
) -> None:
    """Print a file with every knob, its meaning and its default."""
    sys.stdout.write(pages.template(file, file_settings(file)))


def find_keys(text: str) -> list[Key]:
    """Return the keys that `text` means: the very key, else every key that ends like it.

    Raises:
        Misconfigured: there is none; the message has the nearest.
    """
    path = tuple(part.partition("[")[0] for part in text.split("."))
    keys = list(all_keys())
    exact = [key for key in keys if key.matches(path)]
    ending = [key for key in keys if key.ends_like(path)]
    if exact or ending:
        return exact or ending
    names = {key.name for key in keys} | {key.pattern[-1] for key in keys}
    raise Misconfigured(f"there is no key {text!r}: {_hint(text, names)}")


def _hint(text: str, names: set[str]) -> str:
    hint = did_you_mean(text, names)
    return hint if hint.startswith("did") else "searcher config reference lists all keys"


def _explained(key: Key) -> str:
    default = "none: it must be given" if key.required else pages.as_toml(key.default)
    lines = [
        f"{key.name}: {key.why}",
        f"  value    {key.kind}" + (f" ({key.unit})" if key.unit else ""),
        f"  range    {key.limits}" if key.limits else "",
        f"  default  {default}",
        f"  reload   {key.reload}",
    ]
    return "\n".join(line for line in lines if line)


def _line(setting: Setting) -> str:
    value = pages.shown(str(setting.path[-1]), setting.value)
    return f"{dotted(setting.path)} = {pages.as_toml(value)}"


def _told(setting: Setting, keys: Sequence[Key]) -> str:
    path = tuple(part for part in setting.path if isinstance(part, str))
    key = next((key for key in keys if key.matches(path)), None)
    reload = f"; {key.reload}" if key else ""
    return f"{setting.origin}{reload}"


def _record(setting: Setting) -> dict[str, Any]:
    origin = setting.origin
    record: dict[str, Any] = {
        "key": dotted(setting.path),
        "value": pages.shown(str(setting.path[-1]), setting.value),
        "source": origin.source.value,
    }
    if origin.source is not Source.DEFAULT:
        record["where"] = origin.where
    if origin.position is not None:
        record["line"] = origin.position.line
    return record


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
