"""Compilers for the tests' own contracts and for published sources, cached by content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from searcher.devnet.packages import cache_folder
from searcher.domain.errors import NotReady
from tests.conformance.packages import compiler, imports, sources

ROOT = Path(__file__).parents[2]
OWN_SOLC = "0.8.30"
"""The compiler of this project's contracts, which set-up installs."""
_WRAPPER = Path(__file__).with_name("solc.cjs")


def solidity(
    units: Mapping[str, str],
    *,
    solc_version: str = OWN_SOLC,
    published: Sequence[str] = (),
    optimizer_runs: int = 200,
    evm_version: str | None = None,
    via_ir: bool = False,
) -> dict[str, bytes]:
    """Compile Solidity and return creation code by contract name.

    Args:
        units: source text by path. What they import beside each other is taken from the pinned
            packages, by its import path: `@openzeppelin/contracts/…`.
        solc_version: this project's own, or a pinned one.
        published: import paths of sources out of the packages, to compile beside `units`.
        optimizer_runs: 0 leaves the optimizer off.
        evm_version: the compiler's own choice when left out.
        via_ir: whether to compile through Yul.

    Raises:
        ValueError: it does not compile; the message is the compiler's.
        KeyError: an imported source or the compiler is not pinned.
        NotReady: a package cannot be fetched, or Node.js is missing.
    """
    everything = _with_imports(units, published)
    settings: dict[str, Any] = {
        "optimizer": {"enabled": optimizer_runs > 0, "runs": optimizer_runs},
        "outputSelection": {path: {"*": ["evm.bytecode.object"]} for path in (*units, *published)},
    }
    if evm_version is not None:
        settings["evmVersion"] = evm_version
    if via_ir:
        settings["viaIR"] = True
    task = msgspec.json.encode(
        {
            "language": "Solidity",
            "sources": {path: {"content": text} for path, text in sorted(everything.items())},
            "settings": settings,
        }
    )
    return _cached(f"solc {solc_version}", task, lambda: _solc(solc_version, task))


def vyper(source: str) -> bytes:
    """Compile one Vyper contract with the installed compiler and return its creation code.

    Raises:
        Exception: it does not compile; the error is the compiler's.
    """
    import vyper as compiler_package

    def compile_it() -> dict[str, bytes]:
        output = compiler_package.compile_code(source, output_formats=["bytecode"])
        return {"": bytes.fromhex(output["bytecode"].removeprefix("0x"))}

    return _cached(f"vyper {compiler_package.__version__}", source.encode(), compile_it)[""]


def _with_imports(units: Mapping[str, str], published: Sequence[str]) -> dict[str, str]:
    wanted = {other for path, text in units.items() for other in imports(path, text)}
    return {**sources(*sorted(wanted - units.keys()), *published), **units}


def _solc(version: str, task: bytes) -> dict[str, bytes]:
    own = ROOT / "contracts" / "node_modules" / "solc" / "soljson.js"
    soljson = own if version == OWN_SOLC else compiler(version)
    if not soljson.is_file():
        raise NotReady(f"{soljson} is missing: run `make setup`")
    finished = subprocess.run(
        [_node(), _WRAPPER, soljson], input=task, capture_output=True, check=True, timeout=600
    )
    output = msgspec.json.decode(finished.stdout)
    errors = [e for e in output.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise ValueError("\n".join(e["formattedMessage"] for e in errors))
    found: dict[str, bytes] = {}
    for path, contracts in output["contracts"].items():
        for name, contract in contracts.items():
            # An interface has no code.
            if code := bytes.fromhex(contract["evm"]["bytecode"]["object"]):
                if name in found:
                    raise ValueError(f"{path}: there is another {name}: compile them one by one")
                found[name] = code
    return found


def _node() -> str:
    beside = Path(sys.executable).parent / "node"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("node")
    if found is None:
        raise NotReady("Node.js is not installed: run `make setup`, which brings it")
    return found


def _cached(what: str, task: bytes, work: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    digest = hashlib.sha256(what.encode() + b"\0" + task).hexdigest()
    place = cache_folder().parent / "compiled" / f"{digest[:32]}.msgpack"
    if place.is_file():
        return msgspec.msgpack.decode(place.read_bytes(), type=dict[str, bytes])
    made = work()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Moved into place whole: another process may be doing the same.
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(msgspec.msgpack.encode(made))
    Path(file.name).replace(place)
    return made
