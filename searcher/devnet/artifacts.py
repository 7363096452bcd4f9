"""Bytecode out of the forms in which compilers and packages publish it, and calls to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

import msgspec
from eth_abi.abi import encode

from searcher.domain.errors import NotReady
from searcher.domain.units import Address, keccak256

_HEX_LITERAL: Final = re.compile(r"""(?:hex"|Bytecode\s*=\s*['"]0x)([0-9a-fA-F]+)['"]""")


class Artifacts:
    """Creation bytecode by contract name.

    Args:
        texts: the published files by contract name, as `packages.fetch` returns them.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        own = resources.files("searcher.devnet").joinpath("contracts/Tokens.json").read_bytes()
        self._own = msgspec.json.decode(own, type=dict[str, str])

    def creation(self, name: str, libraries: Mapping[str, Address] | None = None) -> bytes:
        """Return the creation bytecode of `name`, linked against `libraries`.

        Raises:
            NotReady: the contract is unknown, or needs a library that is not given.
        """
        if name in self._own:
            return bytes.fromhex(self._own[name][2:])
        code, references = _published(self._text(name))
        for slots in references.values():
            for library, places in slots.items():
                if library not in (libraries or {}):
                    raise NotReady(f"{name} must be linked against {library}: deploy that first")
                for place in places:
                    start, length = place["start"] * 2, place["length"] * 2
                    address = (libraries or {})[library][2:]
                    code = code[:start] + address + code[start + length :]
        return bytes.fromhex(code)

    def embedded(self, name: str) -> bytes:
        """Return the bytecode that a source file carries as one hex literal.

        Raises:
            NotReady: there is no such literal.
        """
        tail = self._text(name)
        anchor = tail.find(f"{name[0].lower()}{name[1:]}Bytecode")
        match = _HEX_LITERAL.search(tail, max(anchor, 0))
        if match is None:
            raise NotReady(f"the package's file for {name} holds no bytecode: check its pin")
        return bytes.fromhex(match[1])

    def _text(self, name: str) -> str:
        if name not in self._texts:
            raise NotReady(f"no package brings {name}: add it to searcher/devnet/packages.json")
        return self._texts[name]


def patched(code: bytes, old: bytes, new: bytes) -> bytes:
    """Return `code` with every `old` replaced by `new`, which must be as long.

    Raises:
        NotReady: `old` does not occur, so the bytecode is not the one that was expected.
    """
    if len(old) != len(new):
        raise ValueError("a patch must keep the bytecode's length")
    if old not in code:
        raise NotReady(f"the bytecode lacks the constant {old.hex()}: check the package's pin")
    return code.replace(old, new)


def calldata(signature: str, *values: Any) -> bytes:
    """Return the calldata of a call, such as `calldata("transfer(address,uint256)", to, 1)`."""
    types = argument_types(signature)
    return keccak256(signature.encode())[:4] + encode(types, values)


def argument_types(signature: str) -> list[str]:
    """Split the argument list of `name(a,(b,c)[],d)` at its outer commas."""
    inside = signature[signature.index("(") + 1 : -1]
    types, depth, word = [], 0, ""
    for character in inside:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            types.append(word)
            word = ""
        else:
            word += character
    return [*types, word] if word else types


def with_arguments(creation: bytes, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return creation bytecode with its constructor's arguments behind it."""
    return creation + encode(types, values)


def _published(text: str) -> tuple[str, dict[str, dict[str, list[dict[str, int]]]]]:
    """Return unprefixed hex and link references of hardhat, truffle, waffle or solc output."""
    fields = msgspec.json.decode(text, type=dict[str, Any])
    output = fields.get("compilerOutput", fields)
    bytecode = output.get("bytecode") or output.get("evm", {}).get("bytecode")
    references = output.get("linkReferences", {})
    if isinstance(bytecode, dict):
        references = bytecode.get("linkReferences", references)
        bytecode = bytecode["object"]
    return str(bytecode).removeprefix("0x"), references
