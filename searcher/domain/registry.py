"""Plug-ins: one file in a plural folder, its file name its registered name.

A plug-in module sets `PLUGIN` to its class. The registry lists folders without importing them and
imports only what is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from searcher.domain.errors import Misconfigured

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, if any is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error about an unknown name: the nearest one, or all of them."""
    names = sorted(known)
    match = nearest(name, names)
    if match is not None:
        return f"did you mean {match!r}?"
    return "known: " + ", ".join(names) if names else "none is installed"


class Registry(Generic[T]):
    """The plug-ins of one plural folder.

    Args:
        package: the folder as a dotted name, such as `searcher.submission.relays`.
        base: the class every plug-in of the folder derives from.
    """

    def __init__(self, package: str, base: type[T]) -> None:
        self._package = package
        self._base = base

    @property
    def kind(self) -> str:
        """The singular of the folder's name, for messages."""
        return self._package.rpartition(".")[2].rstrip("s")

    def names(self) -> list[str]:
        """Return the registered names, sorted, without importing a plug-in."""
        spec = importlib.util.find_spec(self._package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        files = (path for folder in folders for path in Path(folder).glob("*.py"))
        return sorted(path.stem for path in files if not path.stem.startswith("_"))

    def load(self, name: str) -> type[T]:
        """Import the plug-in called `name` and return its class.

        Raises:
            Misconfigured: no such plug-in; the message has the nearest name.
        """
        if name not in self.names():
            raise Misconfigured(
                f"there is no {self.kind} called {name!r}: {did_you_mean(name, self.names())}"
            )
        plugin = importlib.import_module(f"{self._package}.{name}").PLUGIN
        if not (isinstance(plugin, type) and issubclass(plugin, self._base)):
            raise TypeError(f"{self._package}.{name}.PLUGIN is not a {self._base.__name__}")
        return plugin
