"""The contracts as contracts/ builds them; the package carries what the daemon needs of each."""

from __future__ import annotations

import importlib.resources
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from searcher.domain.errors import NotReady
from searcher.domain.units import keccak256


class Immutable(Struct, frozen=True):
    """Where the runtime code holds a value that the constructor sets."""

    start: int
    length: int


class Artifact(Struct, frozen=True):
    """One built contract; code in 0x hex.

    `runtime` holds zeros where `immutables` lie, and `runtime_keccak256` is its hash.
    """

    contract: str
    compiler: str
    evm_version: str
    optimizer_runs: int
    via_ir: bool
    abi: list[dict[str, Any]]
    bytecode: str
    runtime: str
    runtime_keccak256: str
    immutables: tuple[Immutable, ...]


@cache
def artifact(contract: str) -> Artifact:
    """Read the artifact of a contract that this version carries.

    Raises:
        NotReady: it is missing or damaged.
    """
    source = _source(contract)
    try:
        found = msgspec.json.decode(source.read_bytes(), type=Artifact)
    except (OSError, msgspec.DecodeError) as error:
        raise NotReady(
            f"the contract artifact {source} cannot be read ({error}): run make contracts, "
            "or install the package again"
        ) from error
    if keccak256(bytes.fromhex(found.runtime[2:])).hex() != found.runtime_keccak256[2:]:
        raise NotReady(
            f"the contract artifact {source} is damaged, its code has another hash than it "
            "says: run make contracts, or install the package again"
        )
    return found


def _source(contract: str) -> Traversable:
    """Return the package's copy, or the checkout's own file where there is no package."""
    name = f"{contract}.json"
    packaged = importlib.resources.files("searcher") / "data" / "artifacts" / name
    if packaged.is_file():
        return packaged
    return Path(__file__).parents[2] / "contracts" / "artifacts" / name
