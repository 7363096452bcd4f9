"""A fork of a node's chain, on which plans are carried out for real and then undone.

The executor is installed by state, not by mining, so that the fork's head stays the block under
test and a plan meets the next block's number, time, base fee and coinbase.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient
from searcher.domain.errors import InvariantBroken, NotReady
from searcher.domain.events import BlockContext
from searcher.domain.units import Address

WORKING_BALANCE_WEI = 10**21
"""What accounts on the fork are given for gas; it exists on the fork alone."""


class AccountState(Struct, frozen=True):
    """Code and storage that transactions left at one address."""

    address: Address
    code: str
    storage: dict[str, str]


class Executed(Struct, frozen=True):
    """What a transaction did in the block that was mined for it."""

    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    logs: tuple[dict[str, Any], ...]


class Fork:
    """Anvil, forked from `url`; nothing is ever sent to `url` but reads.

    Args:
        url: the node to fork from, over HTTP.
        block: the first block to stand on.
    """

    def __init__(self, url: str, block: int) -> None:
        self._url = url
        self._anvil = Anvil(
            fork_url=url,
            fork_block=block,
            args=("--no-mining", "--order", "fifo", "--no-rate-limit"),
            start_timeout_s=120.0,
        )
        self._rpc: RpcClient | None = None
        self._installed: list[AccountState] = []
        self._funded: list[Address] = []
        self._turn = asyncio.Lock()

    @property
    def rpc(self) -> RpcClient:
        """A client of the fork."""
        assert self._rpc is not None, "the fork is not started"
        return self._rpc

    async def __aenter__(self) -> Self:
        await self._anvil.start()
        self._rpc = RpcClient(self._anvil.http_url, timeout_s=60.0)
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

    async def fund(self, account: Address) -> None:
        """Give `account` native coins on the fork, now and after every reset."""
        self._funded.append(account)
        await self._call("anvil_setBalance", account, hex(WORKING_BALANCE_WEI))

    async def capture(self, tx_hashes: Sequence[str], address: Address) -> None:
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

    async def mine(self, raw: str) -> dict[str, Any]:
        """Mine one transaction and return its receipt; for set-up before a reset."""
        tx_hash = await self._call("eth_sendRawTransaction", raw)
        await self._call("evm_mine")
        receipt: dict[str, Any] = await self._call("eth_getTransactionReceipt", tx_hash)
        if receipt["status"] != "0x1":
            raise NotReady(f"a set-up transaction reverted on the fork: {tx_hash}")
        return receipt

    async def reset(self, block: int) -> None:
        """Stand on `block` of the forked chain, with what was captured installed on it."""
        async with self._turn:
            await self._call(
                "anvil_reset", {"forking": {"jsonRpcUrl": self._url, "blockNumber": block}}
            )
            for account in self._funded:
                await self._call("anvil_setBalance", account, hex(WORKING_BALANCE_WEI))
            for state in self._installed:
                await self._call("anvil_setCode", state.address, state.code)
                for slot, value in state.storage.items():
                    await self._call("anvil_setStorageAt", state.address, slot, value)

    async def execute(self, context: BlockContext, raws: Sequence[bytes]) -> list[Executed]:
        """Mine `raws` in order as the block `context` names, then undo it.

        Returns:
            One result for each transaction.

        Raises:
            InvariantBroken: the fork does not stand on the context's parent.
        """
        async with self._turn:
            head = await self._call("eth_getBlockByNumber", "latest", False)
            if head["hash"] != context.parent.hash:
                raise InvariantBroken(
                    f"the fork stands on {head['hash']}, the plan on {context.parent.hash}"
                )
            snapshot = await self._call("evm_snapshot")
            try:
                return await self._mine_block(context, raws)
            finally:
                await self._call("evm_revert", snapshot)

    async def _mine_block(self, context: BlockContext, raws: Sequence[bytes]) -> list[Executed]:
        await self._call("anvil_setCoinbase", context.coinbase)
        await self._call("anvil_setNextBlockBaseFeePerGas", hex(context.base_fee_wei))
        await self._call("evm_setNextBlockTimestamp", hex(context.timestamp))
        hashes = [await self._call("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
        await self._call("evm_mine")
        receipts = [await self._call("eth_getTransactionReceipt", each) for each in hashes]
        return [_executed(each) for each in receipts]

    async def _call(self, method: str, *params: Any) -> Any:
        return await self.rpc.call(method, params)


def _executed(receipt: dict[str, Any] | None) -> Executed:
    if receipt is None:
        return Executed(False, 0, 0, ())
    return Executed(
        succeeded=receipt["status"] == "0x1",
        gas_used=int(receipt["gasUsed"], 16),
        effective_gas_price_wei=int(receipt["effectiveGasPrice"], 16),
        logs=tuple(receipt["logs"]),
    )
