"""A fork of a node's chain, on which plans are carried out for real and then undone.

The executor is installed by state, not by mining, so that the fork's head stays the block under
test and a plan meets the next block's number, time, base fee and coinbase.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.domain.errors import InvariantBroken, NotReady, Retryable
from searcher.domain.events import BlockContext, BlockRef
from searcher.domain.units import Address, Hash32
from searcher.submission.receipts import Receipt, parse_receipt

WORKING_BALANCE_WEI: Final = 10**21
"""What accounts on the fork are given for gas; it exists on the fork alone."""

_ARGUMENTS: Final = (
    "--no-mining",
    "--order",
    "fifo",
    "--no-rate-limit",
    # The cache on disk is keyed by chain id and number: a local chain, or a block near a head that
    # is reorganised later, would be served another chain's state from it.
    "--no-storage-caching",
    # Anvil's own accounts would be given money that they do not have on the chain.
    "--accounts",
    "0",
)
_START_TIMEOUT_S: Final = 120.0
_REQUEST_TIMEOUT_S: Final = 120.0
"""A simulation on a fork waits for every word of state that it reads from the node."""


class AccountState(Struct, frozen=True):
    """Code and storage that transactions left at one address."""

    address: Address
    code: str
    storage: dict[str, str]


class Fork:
    """Anvil, forked from `url`, as an async context manager.

    Args:
        url: the node to fork from, over HTTP.
        block: the first block to stand on.
    """

    def __init__(self, url: str, block: int) -> None:
        self._url = url
        self._anvil = Anvil(
            fork_url=url, fork_block=block, args=_ARGUMENTS, start_timeout_s=_START_TIMEOUT_S
        )
        self._rpc: RpcClient | None = None
        self._installed: list[AccountState] = []
        self._funded: list[Address] = []
        self._turn = asyncio.Lock()
        self._asking = 0
        self._unasked = asyncio.Event()
        self._unasked.set()

    @property
    def rpc(self) -> RpcClient:
        """A client of the fork."""
        assert self._rpc is not None, "the fork is not started"
        return self._rpc

    async def __aenter__(self) -> Self:
        await self._anvil.start()
        self._rpc = RpcClient(self._anvil.http_url, timeout_s=_REQUEST_TIMEOUT_S)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rpc is not None:
            await self._rpc.close()
        await self._anvil.stop()

    async def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return what `RpcClient.batch_settled` does, of the block that is stood on.

        No plan is mined meanwhile: Anvil would answer out of the state that the plan leaves, even
        where the block is named by its hash.
        """
        async with self._turn:
            self._asking += 1
            self._unasked.clear()
        try:
            return await self.rpc.batch_settled(calls)
        finally:
            self._asking -= 1
            if not self._asking:
                self._unasked.set()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let nobody else use the fork: questions that were asked are answered first."""
        async with self._turn:
            await self._unasked.wait()
            yield

    # ---- set-up

    async def fund(self, account: Address) -> None:
        """Give `account` native coins on the fork, now and after every reset."""
        self._funded.append(account)
        await self._call("anvil_setBalance", account, hex(WORKING_BALANCE_WEI))

    async def mine(self, raw: bytes) -> Hash32:
        """Mine one transaction, for set-up before the first reset; returns its hash.

        Raises:
            NotReady: it reverted.
        """
        tx_hash = await self._call("eth_sendRawTransaction", "0x" + raw.hex())
        await self._call("evm_mine")
        receipt = await self._call("eth_getTransactionReceipt", tx_hash)
        if receipt is None or receipt["status"] != "0x1":
            raise NotReady(
                f"the set-up transaction {tx_hash} does not succeed on the fork: check that the "
                "chain's wrapped_native is a contract there"
            )
        return Hash32(tx_hash)

    async def capture(self, tx_hashes: Sequence[Hash32], address: Address) -> None:
        """Remember what mined transactions left at `address`, to install it after every reset."""
        code, storage = "0x", {}
        for tx_hash in tx_hashes:
            diff = await self._call(
                "debug_traceTransaction",
                tx_hash,
                {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
            )
            after = {key.lower(): value for key, value in diff["post"].items()}.get(address, {})
            code = after.get("code", code)
            storage.update(after.get("storage", {}))
        if code == "0x":
            raise NotReady(f"nothing was deployed at {address} on the fork: check its gas limit")
        self._installed.append(AccountState(address, code, storage))

    # ---- blocks

    async def reset(self, block: BlockRef) -> None:
        """Stand on `block` of the forked chain, with what was captured installed on it.

        Raises:
            Retryable: the node does not give the block, or has another under its number by now.
        """
        async with self._alone():
            forking = {"jsonRpcUrl": self._url, "blockNumber": block.number}
            try:
                await self._call("anvil_reset", {"forking": forking})
            except RpcFault as fault:
                (said, *_) = fault.message.splitlines() or [""]
                raise Retryable(
                    f"Anvil cannot fork at block {block.number} ({said}): the node does not give it"
                ) from fault
            if (head := await self._head()) != block.hash:
                raise Retryable(
                    f"block {block.number} is {head} and no more {block.hash}: the chain has been "
                    "reorganised"
                )
            await self.rpc.batch(self._installation())

    async def execute(self, context: BlockContext, raws: Sequence[bytes]) -> list[Receipt | None]:
        """Mine `raws` in order as the block that `context` names, then undo it.

        Returns:
            Each transaction's receipt; None where the block did not take it.

        Raises:
            Rejected: the fork refuses one of them: nonce, funds or fee do not allow it.
            InvariantBroken: the fork does not stand on the context's parent.
        """
        async with self._alone():
            if (head := await self._head()) != context.parent.hash:
                raise InvariantBroken(f"the fork is at {head}, the plan at {context.parent.hash}")
            snapshot = await self._call("evm_snapshot")
            try:
                return await self._mine_block(context, raws)
            finally:
                # A transaction that was sent and not mined would stand in the next plan's way.
                await self._call("anvil_dropAllTransactions")
                await self._call("evm_revert", snapshot)

    async def _mine_block(
        self, context: BlockContext, raws: Sequence[bytes]
    ) -> list[Receipt | None]:
        await self.rpc.batch(
            [
                ("anvil_setCoinbase", [context.coinbase]),
                ("anvil_setNextBlockBaseFeePerGas", [hex(context.base_fee_wei)]),
                ("evm_setBlockGasLimit", [hex(context.gas_limit)]),
                ("evm_setNextBlockTimestamp", [hex(context.timestamp)]),
            ]
        )
        hashes = [await self._call("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
        await self._call("evm_mine")
        mined = await self._call("eth_getBlockByNumber", "latest", False)
        _require_environment(context, mined)
        answers = [await self._call("eth_getTransactionReceipt", each) for each in hashes]
        return [None if answer is None else parse_receipt(answer) for answer in answers]

    def _installation(self) -> list[tuple[str, Sequence[Any]]]:
        calls: list[tuple[str, Sequence[Any]]] = [
            ("anvil_setBalance", [account, hex(WORKING_BALANCE_WEI)]) for account in self._funded
        ]
        for state in self._installed:
            calls.append(("anvil_setCode", [state.address, state.code]))
            calls += [
                ("anvil_setStorageAt", [state.address, slot, value])
                for slot, value in state.storage.items()
            ]
        return calls

    async def _head(self) -> str:
        head = await self._call("eth_getBlockByNumber", "latest", False)
        return str(head["hash"])

    async def _call(self, method: str, *params: Any) -> Any:
        return await self.rpc.call(method, params)


def _require_environment(context: BlockContext, mined: dict[str, Any]) -> None:
    """Make sure that the block was mined as asked: a plan earns what it earns there alone."""
    found = (
        mined["parentHash"],
        int(mined["number"], 16),
        int(mined["timestamp"], 16),
        int(mined.get("baseFeePerGas", "0x0"), 16),
        int(mined["gasLimit"], 16),
        mined["miner"].lower(),
    )
    asked = (
        context.parent.hash,
        context.number,
        context.timestamp,
        context.base_fee_wei,
        context.gas_limit,
        context.coinbase,
    )
    if found != asked:
        raise InvariantBroken(f"the fork mined the block {found}, not {asked}")
