"""What the protocols publish on npm: fetched once per machine at pinned hashes, never committed.

`packages.json` has the pins, in the form of the laboratory's. A file of source is called by its
path with `+` for `/`; it is found by the path under which Solidity imports it.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from searcher.devnet.artifacts import Artifacts
from searcher.devnet.packages import Package, cache_folder, fetch

_PINS = Path(__file__).with_name("packages.json")
_IMPORT = re.compile(r"""(?:^|;)\s*import\s+(?:[^"';]*?from\s+)?["']([^"']+)["']""", re.MULTILINE)
_TEXTS: dict[str, dict[str, str]] = {}


class Artifact(NamedTuple):
    """A published contract: `runtime` is empty where the package has the creation code only."""

    abi: list[dict[str, Any]]
    creation: bytes
    runtime: bytes


@cache
def artifact(name: str, **libraries: str) -> Artifact:
    """Return a published contract by its name in `packages.json`.

    Args:
        name: the contract's.
        libraries: the addresses of those it must be linked against.

    Raises:
        KeyError: no pin has it.
        NotReady: it cannot be fetched; the message says what to do.
    """
    pins = {contract: pin for pin in _pins() for contract in pin.files}
    text = fetched(pins[name])[name]
    fields = msgspec.json.decode(text)
    output = fields.get("compilerOutput", fields)
    runtime = output.get("deployedBytecode") or output.get("evm", {}).get("deployedBytecode") or ""
    runtime = runtime["object"] if isinstance(runtime, dict) else runtime
    linked = "_" not in runtime
    return Artifact(
        output.get("abi", []),
        Artifacts({name: text}).creation(name, libraries),
        bytes.fromhex(runtime.removeprefix("0x")) if linked else b"",
    )


def sources(*roots: str) -> dict[str, str]:
    """Return published Solidity sources with everything they import, by import path.

    Raises:
        KeyError: no pin has one of them.
        NotReady: they cannot be fetched; the message says what to do.
    """
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _source(path)
            waiting += imports(path, found[path])
    return found


def imports(path: str, text: str) -> list[str]:
    """Return the import paths that a source at `path` names, relative ones resolved."""
    return [
        posixpath.normpath(posixpath.join(posixpath.dirname(path), other))
        if other.startswith(".")
        else other
        for other in _IMPORT.findall(text)
    ]


def compiler(version: str) -> Path:
    """Return the `soljson.js` of a pinned version of solc.

    Raises:
        KeyError: that version is not pinned.
        NotReady: it cannot be fetched; the message says what to do.
    """
    pins = {pin.version: pin for pin in _pins() if pin.name == "solc"}
    fetched(pins[version])
    return cache_folder() / pins[version].folder / "soljson.js"


def fetched(pin: Package) -> dict[str, str]:
    """Return the files of one pin by name, from this process or the cache if they are there.

    Raises:
        NotReady: they cannot be fetched; the message says what to do.
    """
    if pin.folder not in _TEXTS:
        _TEXTS[pin.folder] = asyncio.run(fetch([pin]))
    return _TEXTS[pin.folder]


@cache
def _pins() -> list[Package]:
    return msgspec.json.decode(_PINS.read_bytes(), type=list[Package])


@cache
def _sources() -> dict[str, tuple[Package, str]]:
    return {
        f"{pin.name}/{path}": (pin, name)
        for pin in _pins()
        for name, path in pin.files.items()
        if path.endswith(".sol")
    }


def _source(path: str) -> str:
    if path not in _sources():
        raise KeyError(f"no pin in {_PINS.name} has {path}: add it, and what it imports")
    pin, name = _sources()[path]
    return fetched(pin)[name]
