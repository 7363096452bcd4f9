"""Deploying the executor, its owner's calls, and the proof that an address holds this very code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import structlog

from searcher.domain.clock import Clock
from searcher.domain.errors import NotReady, Rejected, Unresolved
from searcher.domain.units import Address, Hash32, address, keccak256
from searcher.executor.artifact import artifact

_log = structlog.get_logger(__name__)
_POLL_S: Final = 0.2


class Rpc(Protocol):
    """What is needed of a node."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one JSON-RPC call."""


Send = Callable[[Address | None, bytes], Awaitable[Hash32]]
"""Sign and send a transaction of the owner, (to, data) -> its hash; `to` None creates."""


def deployment_calldata(*, owner: Address, wrapped_native: Address) -> bytes:
    """Return the init code that creates the executor of `owner`."""
    return bytes.fromhex(artifact().bytecode[2:]) + _words(owner, wrapped_native)


def set_operator_calldata(operator: Address, *, allowed: bool) -> bytes:
    """Return the owner's call that lets an address execute plans, or forbids it."""
    return _call("setOperator(address,bool)", operator, allowed)


def pause_calldata() -> bytes:
    """Return the call, of the owner or an operator, that stops execution."""
    return _call("pause()")


def unpause_calldata() -> bytes:
    """Return the owner's call that lets operators execute again."""
    return _call("unpause()")


def withdraw_calldata(token: Address, to: Address, amount: int) -> bytes:
    """Return the owner's call that sends `amount` smallest units of an ERC-20 to `to`."""
    return _call("withdraw(address,address,uint256)", token, to, amount)


def withdraw_native_calldata(to: Address, amount_wei: int) -> bytes:
    """Return the owner's call that sends native coin to `to`."""
    return _call("withdrawNative(address,uint256)", to, amount_wei)


def offer_ownership_calldata(to: Address) -> bytes:
    """Return the owner's call that offers ownership to `to`."""
    return _call("offerOwnership(address)", to)


def take_ownership_calldata() -> bytes:
    """Return the call by which the address that was offered ownership takes it."""
    return _call("takeOwnership()")


async def deploy(
    rpc: Rpc,
    send: Send,
    *,
    owner: Address,
    wrapped_native: Address,
    operators: Sequence[Address] = (),
    clock: Clock,
    timeout_s: float = 120.0,
) -> Address:
    """Create the executor, name its operators, and prove its code; return its address.

    Args:
        rpc: a node of the chain.
        send: signs with the owner's key and sends.
        owner: the address of that key.
        wrapped_native: the chain's wrapped native token.
        operators: who may execute plans.
        clock: paces the wait for receipts.
        timeout_s: how long each transaction may take to be mined.

    Raises:
        Rejected: a transaction reverted.
        Unresolved: a transaction was not mined in time; it may still be.
        NotReady: the address does not hold the code that was sent.
    """
    created = await _mined(
        rpc,
        await send(None, deployment_calldata(owner=owner, wrapped_native=wrapped_native)),
        clock,
        timeout_s,
    )
    executor = address(created["contractAddress"])
    await verify_code(rpc, executor, wrapped_native=wrapped_native)
    hashes = [await send(executor, set_operator_calldata(o, allowed=True)) for o in operators]
    for tx_hash in hashes:
        await _mined(rpc, tx_hash, clock, timeout_s)
    _log.info("executor deployed", executor=executor, owner=owner, operators=list(operators))
    return executor


async def verify_code(rpc: Rpc, executor: Address, *, wrapped_native: Address) -> None:
    """Prove that `executor` holds this version's code, made for `wrapped_native`.

    Raises:
        NotReady: it holds no code, another code, or another wrapped native token.
    """
    code = bytes.fromhex((await rpc.call("eth_getCode", [executor, "latest"]))[2:])
    if not code:
        raise NotReady(f"{executor} holds no code: deploy the executor on this chain first")
    found, values = _split_immutables(code)
    if keccak256(found).hex() != artifact().runtime_keccak256[2:]:
        raise NotReady(
            f"{executor} holds other code than this version's executor: deploy it again, or run "
            "the version that deployed it"
        )
    expected = int(wrapped_native, 16)
    if any(int.from_bytes(value, "big") != expected for value in values):
        raise NotReady(
            f"the executor {executor} was deployed for another wrapped native token than "
            f"{wrapped_native}: correct the chain's wrapped_native or deploy it again"
        )


async def is_operator(rpc: Rpc, executor: Address, account: Address) -> bool:
    """Return whether `account` may execute plans."""
    data = "0x" + _call("operators(address)", account).hex()
    answer = await rpc.call("eth_call", [{"to": executor, "data": data}, "latest"])
    return int(answer, 16) == 1


def _call(signature: str, *arguments: Address | int) -> bytes:
    return keccak256(signature.encode())[:4] + _words(*arguments)


def _words(*arguments: Address | int) -> bytes:
    """Return the ABI form of addresses, unsigned integers and booleans: a word each."""
    values = (int(a, 16) if isinstance(a, str) else int(a) for a in arguments)
    return b"".join(value.to_bytes(32, "big") for value in values)


def _split_immutables(code: bytes) -> tuple[bytes, list[bytes]]:
    """Return the code with zeros where immutables lie, and what lay there."""
    blank = bytearray(code)
    values = []
    for place in artifact().immutables:
        end = place.start + place.length
        values.append(code[place.start : end])
        if end <= len(blank):
            blank[place.start : end] = bytes(place.length)
    return bytes(blank), values


async def _mined(rpc: Rpc, tx_hash: Hash32, clock: Clock, timeout_s: float) -> dict[str, Any]:
    """Return the receipt of a transaction that succeeded."""
    deadline_ns = clock.monotonic_ns() + int(timeout_s * 1e9)
    while True:
        receipt: dict[str, Any] | None = await rpc.call("eth_getTransactionReceipt", [tx_hash])
        if receipt is not None:
            break
        if clock.monotonic_ns() >= deadline_ns:
            raise Unresolved(
                f"{tx_hash} was not mined within {timeout_s:g} s: look it up before sending again"
            )
        await clock.sleep(_POLL_S)
    if int(receipt["status"], 16) != 1:
        raise Rejected(
            f"{tx_hash} was mined and reverted: check that it was signed by the owner and that "
            "wrapped_native is a contract of this chain"
        )
    return receipt
