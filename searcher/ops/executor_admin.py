"""What the owner does with the executor: deploy it, look at it, take its earnings out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from searcher.chains.rpc import RpcClient, check_chain
from searcher.domain.clock import Clock
from searcher.domain.errors import Misconfigured, NotReady
from searcher.domain.registry import Registry
from searcher.domain.units import Address, Hash32, Uint256, address, checksum, whole_tokens
from searcher.executor.deployment import (
    deploy,
    is_operator,
    verify_code,
    withdraw_calldata,
    withdraw_native_calldata,
)
from searcher.ops.config.model import ChainSettings
from searcher.ops.owner import OwnerSender
from searcher.submission.signer import Signer

BALANCE_OF: Final = "0x70a08231"
NATIVE: Final = "native"


class OwnerKey(Struct, frozen=True):
    """Where the owner's key is: in a keystore with a passphrase by reference, or in a variable."""

    keystore: Path | None = None
    passphrase: str = ""
    variable: str = ""

    def signer(self) -> Signer:
        """Return the signer.

        Raises:
            Misconfigured: neither or both are given, or the key cannot be used.
        """
        if bool(self.keystore) == bool(self.variable):
            raise Misconfigured(
                "the owner's key is needed: give --owner-keystore with --passphrase, or "
                "--owner-variable"
            )
        registry = Registry("searcher.submission.signers", Signer)
        if self.keystore:
            values = {"path": self.keystore, "passphrase": self.passphrase}
            plugin = registry.load("keystore")
        else:
            values = {"variable": self.variable}
            plugin = registry.load("environment")
        try:
            settings = plugin.Config(**values)
        except ValueError as error:
            raise Misconfigured(
                "the owner's key cannot be read: --passphrase takes env:NAME or file:PATH, "
                "--owner-variable the name of a variable"
            ) from error
        make: Any = plugin  # a plug-in takes its own Config, which the base does not name
        signer: Signer = make(settings)
        return signer


class Holding(Struct, frozen=True):
    """What the executor holds of one token, in its smallest unit."""

    token: str
    amount: Uint256
    decimals: int


class ExecutorStatus(Struct, frozen=True):
    """The executor of a chain, its operators as configured, and what it holds."""

    executor: Address
    operators: dict[Address, bool]
    holdings: tuple[Holding, ...]


class ExecutorAdmin:
    """The owner's side of one chain.

    Args:
        chain: the chain's configuration.
        rpc: its node.
        clock: paces waits.
    """

    def __init__(self, chain: ChainSettings, rpc: RpcClient, clock: Clock) -> None:
        self._chain = chain
        self._rpc = rpc
        self._clock = clock
        self._wrapped = Address(chain.tokens[chain.chain.wrapped_native].address)

    async def deploy(self, owner: Signer, operators: tuple[Address, ...]) -> Address:
        """Create the executor and name its operators; returns its address."""
        await self._check_chain()
        return await deploy(
            self._rpc,
            self._sender(owner),
            owner=owner.address,
            wrapped_native=self._wrapped,
            operators=operators,
            clock=self._clock,
        )

    async def status(self, operators: tuple[Address, ...]) -> ExecutorStatus:
        """Prove the code, and read roles and balances.

        Raises:
            NotReady: the address does not hold this version's executor.
        """
        await self._check_chain()
        executor = self._executor()
        await verify_code(self._rpc, executor, wrapped_native=self._wrapped)
        allowed = {each: await is_operator(self._rpc, executor, each) for each in operators}
        native = int(await self._rpc.call("eth_getBalance", [executor, "latest"]), 16)
        holdings = [Holding(NATIVE, native, 18)]
        for name, token in self._chain.tokens.items():
            data = BALANCE_OF + executor[2:].rjust(64, "0")
            answer = await self._rpc.call(
                "eth_call", [{"to": token.address, "data": data}, "latest"]
            )
            if int(answer, 16):
                holdings.append(Holding(name, int(answer, 16), token.decimals))
        return ExecutorStatus(executor, allowed, tuple(holdings))

    async def withdraw(self, owner: Signer, token: str, to: Address) -> tuple[Hash32, int]:
        """Send all that the executor holds of `token` ("native" for the coin) to `to`.

        Returns:
            The transaction's hash, and the amount in the token's smallest unit.

        Raises:
            NotReady: it holds none.
            Misconfigured: the chain has no such token.
        """
        held = {each.token: each.amount for each in (await self.status(())).holdings}
        if token != NATIVE and token not in self._chain.tokens:
            raise Misconfigured(
                f"{self._chain.chain.name} has no token {token!r}: "
                f"write native or one of {', '.join(self._chain.tokens)}"
            )
        amount = held.get(token, 0)
        if not amount:
            raise NotReady(f"the executor holds no {token}: there is nothing to withdraw")
        if token == NATIVE:
            data = withdraw_native_calldata(to, amount)
        else:
            data = withdraw_calldata(Address(self._chain.tokens[token].address), to, amount)
        return await self._sender(owner)(self._executor(), data), amount

    async def _check_chain(self) -> None:
        await check_chain(self._rpc, self._chain.chain.chain_id)

    def _sender(self, owner: Signer) -> OwnerSender:
        return OwnerSender(self._rpc, owner, self._chain.chain.chain_id)

    def _executor(self) -> Address:
        if self._chain.executor is None:
            raise Misconfigured(
                f"chains.{self._chain.chain.name} names no executor: deploy one with "
                "`searcher executor deploy` and write its address under [executor]"
            )
        return Address(self._chain.executor.address)


def parse_operator(text: str) -> Address:
    """Return an operator's address.

    Raises:
        Misconfigured: it is none.
    """
    try:
        return address(text)
    except ValueError as error:
        raise Misconfigured(str(error)) from error


def amount_text(holding: Holding) -> str:
    """Write a holding in whole tokens, exactly."""
    return f"{whole_tokens(holding.amount, holding.decimals)} {holding.token}"


def executor_table(executor: Address) -> str:
    """Return what the operator writes into the chain's file."""
    return f'[executor]\naddress = "{checksum(executor)}"'
