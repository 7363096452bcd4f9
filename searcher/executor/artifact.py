"""The built contract: what is deployed, and what its errors say."""

from __future__ import annotations

from functools import cache

from searcher.domain import artifacts
from searcher.domain.artifacts import Artifact
from searcher.domain.units import keccak256

_ERROR_STRING = keccak256(b"Error(string)")[:4]
_PANIC = keccak256(b"Panic(uint256)")[:4]


def artifact() -> Artifact:
    """Read the executor's artifact.

    Raises:
        NotReady: it is missing or damaged.
    """
    return artifacts.artifact("Executor")


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
