"""Values from flags and from the environment, laid over those of the files.

A flag is `--set KEY=VALUE`; KEY is written as TOML writes it (`tokens."USDC.e".decimals`). A
variable is `SEARCHER__` and the key's names in capitals, joined by two underscores:
`SEARCHER__CHAINS__ETHEREUM__NODE__HTTP_URL`. Names are matched without regard to case, because the
environment's are in capitals. VALUE is text where the key holds text, else TOML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from searcher.domain.errors import Misconfigured
from searcher.ops.config.documents import Document
from searcher.ops.config.problems import Origin, Problem, Source, dotted
from searcher.ops.config.schema import holds_text, kind_at, known_keys

VARIABLE_PREFIX = "SEARCHER__"
SCOPES = ("chains", "protocols", "strategies", "risk")
"""The folders whose files are addressed by `<folder>.<file>.<key>`."""


@dataclass(frozen=True, slots=True)
class Override:
    """One value given outside the files, still as text, and the key it is for."""

    path: tuple[str, ...]
    text: str
    origin: Origin

    @property
    def scope(self) -> tuple[str, ...]:
        """The prefix of the document that the key belongs to; empty for the main file."""
        return self.path[:2] if len(self.path) > 1 and self.path[0] in SCOPES else ()


def from_flags(flags: Sequence[str]) -> list[Override]:
    """Return the overrides of `--set KEY=VALUE` flags.

    Raises:
        Misconfigured: a flag has no `=` or its key is not one.
    """
    return [_from_flag(flag) for flag in flags]


def _from_flag(flag: str) -> Override:
    key, equals, value = flag.partition("=")
    try:
        nested: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        nested = None
    if not equals or nested is None:
        raise Misconfigured(f"--set {flag!r} sets nothing: write --set KEY=VALUE")
    path: tuple[str, ...] = ()
    while isinstance(nested, dict):
        name, nested = next(iter(nested.items()))
        path = (*path, name)
    return Override(path, value.strip(), Origin(Source.FLAG, f"--set {key.strip()}"))


def from_environment(environ: Mapping[str, str]) -> list[Override]:
    """Return the overrides of all variables that begin with `SEARCHER__`, sorted by name."""
    return [
        Override(
            tuple(part.lower() for part in name.removeprefix(VARIABLE_PREFIX).split("__")),
            environ[name],
            Origin(Source.ENVIRONMENT, name),
        )
        for name in sorted(environ)
        if name.startswith(VARIABLE_PREFIX)
    ]


def apply(
    document: Document, kind: Any, overrides: Sequence[Override]
) -> tuple[dict[tuple[str, ...], Origin], list[Problem]]:
    """Lay `overrides` (weakest first) over the document's data, whose declared type is `kind`.

    Returns:
        The origin of every key that was laid over, without the document's prefix, and the faults.
    """
    origins: dict[tuple[str, ...], Origin] = {}
    problems: list[Problem] = []
    for override in overrides:
        path = override.path[len(document.prefix) :]
        if override.origin.source is Source.ENVIRONMENT:
            path = _as_written(path, kind, document.data)
        declared = kind_at(kind, path, document.data)
        problem = _set(document, path, _value(override.text, declared), override)
        if problem is None:
            # A table given as a whole replaces what was laid over its keys before.
            origins = {p: o for p, o in origins.items() if p[: len(path)] != path}
            origins[path] = override.origin
        else:
            problems.append(problem)
    return origins, problems


def _set(
    document: Document, path: tuple[str, ...], value: Any, override: Override
) -> Problem | None:
    table = document.data
    for depth, name in enumerate(path[:-1]):
        below = table.setdefault(name, {})
        if not isinstance(below, dict):
            parent = dotted((*document.prefix, *path[: depth + 1]))
            return Problem(
                (*document.prefix, *path),
                f"{parent} is a value, not a table",
                f"set {parent} as a whole",
                override.origin,
            )
        table = below
    if not path:
        name = dotted(document.prefix)
        return Problem(
            document.prefix, f"{name} is a file", f"name a key in it: {name}.KEY", override.origin
        )
    table[path[-1]] = value
    return None


def _value(text: str, declared: Any) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    # 0x… is a number in TOML; where the key holds text it is an address.
    return text if holds_text(declared) and not isinstance(value, str) else value


def _as_written(path: tuple[str, ...], kind: Any, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `path` with each name as the file or the settings class spells it."""
    written: tuple[str, ...] = ()
    table: Any = data
    for name in path:
        known = [*(table if isinstance(table, dict) else ())]
        known += known_keys(kind_at(kind, written, data), table)
        found = next((k for k in known if k.lower() == name), name)
        table = table.get(found) if isinstance(table, dict) else None
        written = (*written, found)
    return written
