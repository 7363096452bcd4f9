"""The files of a configuration: where they lie, what they hold, and where each key stands."""

from __future__ import annotations

import importlib.resources
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from searcher.domain.errors import Misconfigured
from searcher.ops.config.positions import KeyPath, Places, Position, find_places
from searcher.ops.config.problems import Origin, Problem, Source

MAIN_FILE = "searcher.toml"
_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_CHECKOUT = Path(__file__).parents[3]


@dataclass(slots=True)
class Document:
    """One TOML file, or the place where a missing one would be.

    `prefix` goes in front of the file's own keys: `("chains", "ethereum")`; it is empty for the
    main file. `label` is the file as shown to the operator.
    """

    prefix: tuple[str, ...]
    label: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    places: Places = field(default_factory=lambda: Places({}, {}))

    def origin(self, path: KeyPath, *, of_key: bool = False) -> Origin:
        """Return where the key at `path` (without the prefix) stands, or the nearest table to it.

        Args:
            path: names and indices inside the file.
            of_key: point at the key and not at its value.
        """
        place = None if of_key else self.places.values.get(path)
        while place is None and path:
            place = self.places.keys.get(path)
            path = path[:-1]
        place = place or Position(1, 1, 1)
        line = self.lines[place.line - 1] if place.line <= len(self.lines) else ""
        return Origin(Source.FILE, self.label, place, line)

    def holds(self, path: KeyPath) -> bool:
        """Say whether the file itself gives the key at `path` (without the prefix)."""
        return path in self.places.values or path in self.places.keys


def read_document(path: Path, prefix: tuple[str, ...]) -> tuple[Document, list[Problem]]:
    """Read and parse one file; a fault of syntax is returned, and then the document is empty.

    Raises:
        Misconfigured: the file cannot be read, or is not UTF-8.
    """
    document = Document(prefix, display(path))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(
            f"{document.label} cannot be read: {error.strerror}; point --config at a folder that"
            f" holds {MAIN_FILE}"
        ) from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{document.label} is not UTF-8: save it as UTF-8") from error
    document.lines = text.splitlines()
    try:
        document.data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return document, [_syntax_problem(document, str(error))]
    document.places = find_places(text)
    return document, []


def _syntax_problem(document: Document, message: str) -> Problem:
    match = _SYNTAX_PLACE.search(message)
    last = max(1, len(document.lines))
    line, column = int((match and match[1]) or last), int((match and match[2]) or 1)
    text = document.lines[line - 1] if line <= len(document.lines) else ""
    place = Position(line, column, 1)
    return Problem(
        path=document.prefix,
        what="this is not TOML: " + _SYNTAX_PLACE.sub("", message),
        remedy='write key = value; text stands in quotes: "text"',
        origin=Origin(Source.FILE, document.label, place, text),
    )


def locate(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """Return the main file: the one asked for, else the first of the places looked at.

    The places are `./config`, `$XDG_CONFIG_HOME/searcher` and the files that came with the package.

    Raises:
        Misconfigured: what was asked for does not exist.
    """
    if explicit is not None:
        given = Path(explicit).expanduser()
        main = given / MAIN_FILE if given.is_dir() else given
        if not main.is_file():
            raise Misconfigured(
                f"there is no configuration at {given}: give a folder that holds {MAIN_FILE},"
                " or the file itself"
            )
        return main
    candidates = [Path("config"), user_folder(environ), packaged_folder()]
    for folder in candidates:
        if (folder / MAIN_FILE).is_file():
            return folder / MAIN_FILE
    looked = ", ".join(str(folder) for folder in candidates)
    raise Misconfigured(f"there is no {MAIN_FILE} in {looked}: point --config at its folder")


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the operator's own folder, after the XDG convention."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(base) / "searcher"


def packaged_folder() -> Path:
    """Return the folder that came with the package, or that of the checkout it runs from."""
    packaged = Path(str(importlib.resources.files("searcher"))) / "data" / "config"
    return packaged if packaged.is_dir() else _CHECKOUT / "config"


def display(path: Path) -> str:
    """Return a path as the operator would type it: relative where that is shorter."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
