"""Balancer V2 as it was deployed: the vault, and pools out of every factory that npm has."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from searcher.devnet.artifacts import argument_types
from searcher.domain.units import ZERO_ADDRESS, keccak256
from searcher.kernels.refusal import Status
from tests.conformance.evm import SENDER, LocalEvm, Reverted, artifact, solidity

E18 = 10**18
_CREATED = "0x" + keccak256(b"PoolCreated(address)").hex()
_REQUEST = "(uint8,address,address,uint256,bytes32,uint256,address,address,bytes)"
_MINIMAL = f"onSwap({_REQUEST},uint256,uint256)(uint256)"
_GENERAL = f"onSwap({_REQUEST},uint256[],uint256,uint256)(uint256)"
_QUERY = (
    "queryBatchSwap(uint8,(bytes32,uint256,uint256,uint256,bytes)[],address[],"
    "(address,bool,address,bool))(int256[])"
)
_SWAP = (
    "swap((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),"
    "uint256,uint256)(uint256)"
)
_JOIN = "joinPool(bytes32,address,address,(address[],uint256[],bytes,bool))"
_EXIT = "exitPool(bytes32,address,address,(address[],uint256[],bytes,bool))"
UNLIMITED = 2**256 - 1

RATE_PROVIDER = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract RateProvider {
    uint256 public getRate;
    constructor(uint256 rate) { getRate = rate; }
    function set(uint256 rate) external { getRate = rate; }
}
"""

FORWARDER = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Forwarder {
    fallback(bytes calldata data) external returns (bytes memory) {
        (bool ok, bytes memory out) = address(bytes20(data)).call(data[20:]);
        if (ok) return out;
        assembly { revert(add(out, 32), mload(out)) }
    }
}
"""
"""Stands in the vault's place while a pool is asked: only an address without code may send."""

STATUSES = {
    "BAL#000": {Status.OVERFLOW},
    "BAL#001": {Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY},
    "BAL#003": {Status.OVERFLOW},
    "BAL#004": {Status.OVERFLOW},
    "BAL#005": {Status.OVERFLOW},
    "BAL#006": {Status.UNSAFE_VALUES},
    "BAL#007": {Status.UNSAFE_VALUES},
    "BAL#008": {Status.UNSAFE_VALUES},
    "BAL#304": {Status.RATIO_LIMIT},
    "BAL#305": {Status.RATIO_LIMIT},
    "BAL#321": {Status.NO_CONVERGENCE},
    "BAL#322": {Status.NO_CONVERGENCE},
    "BAL#402": {Status.PAUSED},
    "BAL#510": {Status.ZERO_AMOUNT},
    "BAL#526": {Status.OVERFLOW},
}
"""What the vault's and the pools' reverts mean (BalancerErrors.sol)."""


class BalancerV2:
    """The vault on a local EVM, with an authorizer whose admin is the usual sender."""

    def __init__(self, evm: LocalEvm) -> None:
        self.evm = evm
        creation = artifact("Authorizer").creation
        self.authorizer = evm.deploy(creation, args=encode(["address"], [SENDER]))
        self.vault = evm.deploy(
            artifact("Vault").creation,
            args=encode(
                ["address", "address", "uint256", "uint256"],
                [self.authorizer, evm.token(symbol="WETH"), 90 * 86_400, 30 * 86_400],
            ),
        )
        self.fees = evm.deploy(
            artifact("ProtocolFeePercentagesProvider").creation,
            args=encode(["address", "uint256", "uint256"], [self.vault, E18, E18]),
        )

        forwarder = evm.deploy(solidity({"Forwarder.sol": FORWARDER})["Forwarder"])
        self._forwarder, self._code = evm.code(forwarder), evm.code(self.vault)

    def factory(self, name: str) -> str:
        """Deploy a factory; the constructors of the years differ."""
        libraries = {}
        if name == "MetaStablePoolFactory":
            libraries["QueryProcessor"] = self.evm.deploy(artifact("QueryProcessor").creation)
        found = artifact(name, **libraries)
        (constructor,) = (item for item in found.abi if item["type"] == "constructor")
        types = [given["type"] for given in constructor["inputs"]]
        values: list[Any] = [self.vault]
        values += [self.fees] if types[1:2] == ["address"] else []
        values += ["{}"] * types.count("string")
        return self.evm.deploy(found.creation, args=encode(types, values))

    def create(self, factory: str, signature: str, *args: Any) -> tuple[str, bytes]:
        """Let a factory create a pool; returns its address and its id."""
        self.evm.send(factory, signature, *args)
        (created,) = (log for log in self.evm.logs() if log.topics[0] == _CREATED)
        pool = "0x" + created.topics[1][-40:]
        return pool, self.evm.call(pool, "getPoolId()(bytes32)")[0]

    def permit(self, contract: str, signature: str) -> None:
        """Let the usual sender call a function that governance may."""
        selector = keccak256(signature.encode())[:4]
        (action,) = self.evm.call(contract, "getActionId(bytes4)(bytes32)", selector)
        self.evm.send(self.authorizer, "grantRole(bytes32,address)", action, SENDER)

    def rate_provider(self, rate: int) -> str:
        """Deploy something that says a rate."""
        creation = solidity({"RateProvider.sol": RATE_PROVIDER})["RateProvider"]
        return self.evm.deploy(creation, args=encode(["uint256"], [rate]))

    def join(self, pool_id: bytes, tokens: list[str], amounts: list[int], data: bytes) -> None:
        """Send tokens into a pool."""
        for token, amount in zip(tokens, amounts, strict=True):
            if amount and token != "0x" + pool_id.hex()[:40]:
                self.evm.send(token, "mint(address,uint256)", SENDER, amount)
                self.evm.send(token, "approve(address,uint256)", self.vault, UNLIMITED)
        limits = [UNLIMITED] * len(tokens)
        request = (tokens, limits, data, False)
        self.evm.send(self.vault, _JOIN, pool_id, SENDER, SENDER, request)

    def exit(self, pool_id: bytes, tokens: list[str], data: bytes) -> None:
        """Take tokens out of a pool."""
        request = (tokens, [0] * len(tokens), data, False)
        self.evm.send(self.vault, _EXIT, pool_id, SENDER, SENDER, request)

    def swap(self, kind: int, pool_id: bytes, pair: tuple[str, str], amount: int) -> int:
        """Swap for good; returns the calculated amount."""
        self.evm.send(pair[0], "mint(address,uint256)", SENDER, 2**112)
        self.evm.send(pair[0], "approve(address,uint256)", self.vault, UNLIMITED)
        single = (pool_id, kind, *pair, amount, b"")
        limit = 0 if kind == 0 else UNLIMITED
        funds = (SENDER, False, SENDER, False)
        return self.evm.send(self.vault, _SWAP, single, funds, limit, UNLIMITED)[0]

    def query(self, kind: int, pool_id: bytes, pair: tuple[str, str], amount: int) -> Any:
        """Return what `queryBatchSwap` says the vault would calculate, or the revert's text."""
        funds = (SENDER, False, SENDER, False)
        step = (pool_id, 0, 1, amount, b"")
        try:
            (deltas,) = self.evm.call(self.vault, _QUERY, kind, [step], list(pair), funds)
        except Reverted as revert:
            return revert.reason
        return -deltas[1] if kind == 0 else deltas[0]

    def on_swap(
        self, kind: int, pool: tuple[str, bytes], pair: Any, amount: int, *held: Any
    ) -> Any:
        """Ask a pool as the vault does, with any balances; returns the amount or the revert."""
        request = (kind, *pair, amount, pool[1], 0, ZERO_ADDRESS, ZERO_ADDRESS, b"")
        signature = _MINIMAL if isinstance(held[0], int) else _GENERAL
        types = argument_types(signature.removesuffix("(uint256)"))
        selector = keccak256(signature.removesuffix("(uint256)").encode())[:4]
        data = bytes.fromhex(pool[0][2:]) + selector + encode(types, [request, *held])
        before = self.evm.snapshot()
        try:
            self.evm.set_code(self.vault, self._forwarder)
            return int.from_bytes(self.evm.execute(self.vault, data))
        except Reverted as revert:
            return revert.reason
        finally:
            self.evm.revert(before)
            self.evm.set_code(self.vault, self._code)


def agrees(said: Any, status: int, amount: int) -> bool:
    """Return whether a contract's answer and a kernel's are the same."""
    if isinstance(said, str):
        return Status(status) in STATUSES[said]
    return status == Status.OK and said == amount
