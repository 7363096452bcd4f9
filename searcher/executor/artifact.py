"""The built contract: what is deployed, and what its errors say."""

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

_ERROR_STRING = keccak256(b"Error(string)")[:4]
_PANIC = keccak256(b"Panic(uint256)")[:4]


class Immutable(Struct, frozen=True):
    """Where the runtime code holds a value that the constructor sets."""

    start: int
    length: int


class Artifact(Struct, frozen=True):
    """The executor as contracts/ builds it; code in 0x hex.

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
def artifact() -> Artifact:
    """Read the artifact that this version carries.

    Raises:
        NotReady: it is missing or damaged.
    """
    source = _source()
    try:
        found = msgspec.json.decode(source.read_bytes(), type=Artifact)
    except (OSError, msgspec.DecodeError) as error:
        raise NotReady(
            f"the executor's artifact {source} cannot be read ({error}): run make contracts, "
            "or install the package again"
        ) from error
    if keccak256(bytes.fromhex(found.runtime[2:])).hex() != found.runtime_keccak256[2:]:
        raise NotReady(
            f"the executor's artifact {source} is damaged, its code has another hash than it "
            "says: run make contracts, or install the package again"
        )
    return found


def explain_revert(data: bytes) -> str:
    """Say in one sentence why a call of the executor reverted.

    Args:
        data: the revert data, as `eth_call` or `eth_simulateV1` gives it; empty when there is none.
    """
    if not data:
        return "reverted without a reason"
    selector, words = data[:4], [data[at : at + 32] for at in range(4, len(data), 32)]
    unknown = f"reverted with data 0x{data.hex()}"
    if selector == _PANIC and len(words) == 1:
        return f"panicked with code 0x{int.from_bytes(words[0], 'big'):02x}"
    if selector == _ERROR_STRING and len(words) >= 2:
        text = data[68 : 68 + int.from_bytes(words[1], "big")]
        return f"reverted: {text.decode(errors='backslashreplace')}"
    name, inputs = _errors().get(selector, ("", ()))
    if not name or len(words) != len(inputs):
        return unknown
    figures = [f"{n} {_value(k, w)}" for (n, k), w in zip(inputs, words, strict=True)]
    return f"{name}: {', '.join(figures)}" if figures else name


def _value(kind: str, word: bytes) -> str:
    """Return a word of the ABI for people; the contract's errors have no other kinds."""
    if kind == "address":
        return "0x" + word[12:].hex()
    return str(int.from_bytes(word, "big", signed=kind == "int256"))


@cache
def _errors() -> dict[bytes, tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the contract's errors by selector: name, then (name, type) of each figure."""
    found = {}
    for entry in artifact().abi:
        if entry["type"] == "error":
            inputs = tuple((i["name"], i["type"]) for i in entry["inputs"])
            signature = f"{entry['name']}({','.join(kind for _, kind in inputs)})"
            found[keccak256(signature.encode())[:4]] = (entry["name"], inputs)
    return found


def _source() -> Traversable:
    """Return the package's copy, or the checkout's own file where there is no package."""
    packaged = importlib.resources.files("searcher") / "data" / "artifacts" / "Executor.json"
    if packaged.is_file():
        return packaged
    return Path(__file__).parents[2] / "contracts" / "artifacts" / "Executor.json"
