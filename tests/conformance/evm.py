"""Real bytecode on a local EVM, in process: no node, no port, 70 microseconds a call.

`artifact` gives what the protocols publish on npm, `solidity` and `vyper` compile what a test
writes (or what npm has as source only), `LocalEvm` runs it.
"""

from __future__ import annotations

import re
import sys
from functools import cache, lru_cache
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from searcher.devnet.artifacts import Artifacts, argument_types, with_arguments
from searcher.domain.events import Log
from searcher.domain.units import Address, keccak256
from tests.conformance.compilers import solidity, vyper
from tests.conformance.packages import Artifact, artifact, sources

if sys.version_info >= (3, 13):
    pytest.skip("pyrevm has no wheel for Python 3.13", allow_module_level=True)

import pyrevm

__all__ = ["Artifact", "LocalEvm", "Reverted", "artifact", "solidity", "sources", "vyper"]

SENDER = Address("0x" + "5e" * 20)
"""Who sends when nobody else is named; it has any amount of ether."""
GAS = 500_000_000
"""Of every call: enough for any of the protocols, and an endless loop is over in half a second."""
CHAIN_ID = 31337

_READER = "0x" + "c0de" * 10
_READ_CODE = bytes.fromhex("5f35803b805f5f843c5ff3")
"""Returns the code at the address in its calldata: EXTCODESIZE, EXTCODECOPY."""
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
_HALT = re.compile(r"^Halt \{ reason: (.+), gas_used")
_ERROR = keccak256(b"Error(string)")[:4]
_PANIC = keccak256(b"Panic(uint256)")[:4]


class Reverted(Exception):
    """The contract gave up.

    `reason` is the text of `require`, `Panic(0x11)` for a panic, the selector of an error with a
    name (`0x7c9c6e8f`), the cause when it was not the contract's own choice (`OutOfGas(Basic)`), or
    nothing; `data` is what it returned.
    """

    def __init__(self, reason: str, data: bytes) -> None:
        super().__init__(reason, data)
        self.reason = reason
        self.data = data

    def __str__(self) -> str:
        return self.reason


class LocalEvm:
    """An empty chain under the rules of Cancun.

    A signature names a function with its arguments and, in a second pair of parentheses, its
    results: `swap(address,bool,int256,uint160,bytes)(int256,int256)`. Results come as a tuple.

    Args:
        timestamp: of the block that everything happens in, seconds.
        number: of that block.
    """

    def __init__(self, *, timestamp: int = 1_700_000_000, number: int = 19_000_000) -> None:
        # Own helper contracts may be larger than what a chain takes.
        config = pyrevm.CfgEnv(chain_id=CHAIN_ID, limit_contract_code_size=1 << 20)
        # The name of the rules is not checked: any other spelling silently means the latest.
        self._evm = pyrevm.EVM(env=pyrevm.Env(cfg=config), spec_id="Cancun")
        self._logs: list[Log] = []
        self.timestamp = timestamp
        self.number = number
        self.set_block()
        self.set_balance(SENDER, 1 << 128)

    def set_block(self, *, number: int | None = None, timestamp: int | None = None) -> None:
        """Move to another block; what is left out stays."""
        self.number = self.number if number is None else number
        self.timestamp = self.timestamp if timestamp is None else timestamp
        block = pyrevm.BlockEnv(
            number=self.number,
            timestamp=self.timestamp,
            coinbase="0x" + "c0" * 20,
            prevrandao=bytes(32),
            basefee=0,
            gas_limit=GAS,
        )
        self._evm.set_block_env(block)

    def deploy(
        self, creation: bytes, *, args: bytes = b"", sender: str = SENDER, value: int = 0
    ) -> Address:
        """Deploy a contract and return its address; `args` are the constructor's, encoded.

        Raises:
            Reverted: the constructor did.
        """
        return Address(self._guarded(self._evm.deploy, sender, creation + args, value, GAS).lower())

    def send(
        self, to: str, signature: str, *args: Any, sender: str = SENDER, value: int = 0
    ) -> Any:
        """Call a function and keep what it changed.

        Raises:
            Reverted: it did, and changed nothing.
        """
        head, types = _signature(signature)
        output = self.execute(to, head + _encoded(signature, args), sender=sender, value=value)
        return decode(types, output)

    def call(
        self, to: str, signature: str, *args: Any, sender: str = SENDER, value: int = 0
    ) -> Any:
        """Call a function and forget what it changed.

        Raises:
            Reverted: it did.
        """
        before = self._evm.snapshot()
        logs = self._logs
        try:
            return self.send(to, signature, *args, sender=sender, value=value)
        finally:
            self._evm.revert(before)
            self._logs = logs

    def execute(self, to: str, data: bytes, *, sender: str = SENDER, value: int = 0) -> bytes:
        """Send raw calldata, keep what it changed, and return the raw output.

        Raises:
            Reverted: the contract did, and changed nothing.
        """
        return self._guarded(self._evm.message_call, sender, to, data, value, GAS)

    def logs(self) -> list[Log]:
        """Return the events of the last `send`, `execute` or `deploy`; none if it reverted."""
        return self._logs

    def snapshot(self) -> Any:
        """Return a mark of the present state for `revert`."""
        return self._evm.snapshot()

    def revert(self, mark: Any) -> None:
        """Go back to a mark; it, and marks made after it, cannot be used again."""
        self._evm.revert(mark)

    def set_code(self, address: str, runtime: bytes) -> None:
        """Put code at an address; its storage and balance stay."""
        has = self._evm.basic(address)
        balance = has.balance
        self._evm.insert_account_info(address, pyrevm.AccountInfo(nonce=1, code=runtime))
        self._evm.set_balance(address, balance)

    def code(self, address: str) -> bytes:
        """Return the code at an address."""
        # What pyrevm answers itself is padded for its own interpreter.
        before = self._evm.snapshot()
        try:
            self._evm.insert_account_info(_READER, pyrevm.AccountInfo(nonce=1, code=_READ_CODE))
            place = bytes.fromhex(address[2:]).rjust(32, b"\0")
            return self._evm.message_call(SENDER, _READER, place)
        finally:
            self._evm.revert(before)

    def set_storage(self, address: str, slot: int, value: int) -> None:
        """Write one word of a contract's storage."""
        self._evm.insert_account_storage(address, slot, value)

    def storage(self, address: str, slot: int) -> int:
        """Read one word of a contract's storage."""
        return self._evm.storage(address, slot)

    def set_balance(self, address: str, wei: int) -> None:
        """Give an account exactly so much ether."""
        self._evm.set_balance(address, wei)

    def balance(self, address: str) -> int:
        """Return the ether of an account."""
        return self._evm.get_balance(address)

    def token(self, *, decimals: int = 18, symbol: str = "TOKEN") -> Address:
        """Deploy an ERC-20 that anybody may mint: `mint(address,uint256)`."""
        creation = with_arguments(_plain_token(), ["string", "uint8"], [symbol, decimals])
        return self.deploy(creation)

    def tokens(self, count: int, *, decimals: int = 18) -> list[Address]:
        """Deploy some tokens and return them in ascending order, as pools sort them."""
        return sorted(self.token(decimals=decimals) for _ in range(count))

    def _guarded(self, act: Any, *args: Any) -> Any:
        self._logs = []
        try:
            output = act(*args)
        except RuntimeError as error:
            raise _named(str(error)) from None
        finally:
            # What lives for one transaction only must not be seen by the next.
            self._evm.reset_transient_storage()
        self._logs = [_log(at, log) for at, log in enumerate(self._evm.result.logs)]
        return output


def _named(text: str) -> Exception:
    halt = _HALT.match(text)
    if halt is not None:
        return Reverted(halt[1], b"")
    output = _OUTPUT.search(text)
    if output is None:  # a transaction that no chain would take: the test is wrong
        return ValueError(text)
    data = bytes.fromhex(output[1])
    return Reverted(_reason(data), data)


def _reason(data: bytes) -> str:
    selector, rest = data[:4], data[4:]
    if selector == _ERROR:
        return str(decode(["string"], rest)[0])
    if selector == _PANIC:
        return f"Panic(0x{int.from_bytes(rest):02x})"
    return f"0x{selector.hex()}" if len(selector) == 4 else ""


def _log(at: int, log: Any) -> Log:
    topics, data = log.data
    return Log(
        Address(log.address.lower()),
        tuple("0x" + topic.hex() for topic in topics),
        "0x" + data.hex(),
        at,
    )


@lru_cache(maxsize=4096)
def _signature(text: str) -> tuple[bytes, list[str]]:
    """Return a function's selector and the types of its results."""
    end = _closing(text)
    results = argument_types(text[end:]) if text[end:] else []
    return keccak256(text[:end].encode())[:4], results


@lru_cache(maxsize=4096)
def _argument_types(text: str) -> list[str]:
    return argument_types(text[: _closing(text)])


def _encoded(signature: str, args: tuple[Any, ...]) -> bytes:
    return encode(_argument_types(signature), args)


def _closing(text: str) -> int:
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0:
            return at + 1
    raise ValueError(f"{text!r} is no signature: name(arguments)(results)")


@cache
def _plain_token() -> bytes:
    return Artifacts({}).creation("PlainToken")
