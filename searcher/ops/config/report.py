"""What the commands of `searcher config` say, as text and as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.ops.config import pages
from searcher.ops.config.loader import Loaded, Setting
from searcher.ops.config.model import Config, all_keys
from searcher.ops.config.problems import Source, dotted
from searcher.ops.config.schema import Key

SECTIONS: Final = {
    "": "`searcher.toml`",
    "chains": "`chains/<name>.toml`",
    "strategies": "`strategies/<name>.toml`",
    "risk": "`risk/<name>.toml`",
}
"""Heading of the keys of each file, by the first name of their pattern."""

_WIDEST: Final = 72


def summary(loaded: Loaded[Config]) -> str:
    """Return one line: where the configuration is and what it would run."""
    main = loaded.config.main
    return (
        f"{loaded.config.folder} is valid: mode {main.mode.value},"
        f" chains {', '.join(main.chains)}, strategies {', '.join(main.strategies)},"
        f" risk {main.risk} ({loaded.fingerprint})"
    )


def summary_record(loaded: Loaded[Config]) -> dict[str, Any]:
    """Return the same as a record."""
    main = loaded.config.main
    return {
        "valid": True,
        "folder": str(loaded.config.folder),
        "fingerprint": loaded.fingerprint,
        "mode": main.mode.value,
        "chains": main.chains,
        "strategies": main.strategies,
        "risk": main.risk,
    }


def listing(loaded: Loaded[Config], *, origin: bool) -> str:
    """Return every value in force, a line each, with its origin and reload class if asked for."""
    lines = [_line(setting) for setting in loaded.settings]
    if not origin:
        return "\n".join(lines)
    keys = list(all_keys())
    width = min(_WIDEST, max(map(len, lines)))
    return "\n".join(
        f"{text:<{width}}  # {_told(setting, keys)}"
        for text, setting in zip(lines, loaded.settings, strict=True)
    )


def records(loaded: Loaded[Config]) -> list[dict[str, Any]]:
    """Return every value in force as a record with its origin."""
    return [_record(setting) for setting in loaded.settings]


def explanation(text: str) -> str:
    """Return what the keys mean that `text` names.

    Raises:
        Misconfigured: there is none; the message has the nearest.
    """
    return "\n\n".join(_explained(key) for key in find_keys(text))


def reference() -> str:
    """Return the page of all keys."""
    return pages.reference(all_keys(), SECTIONS)


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
