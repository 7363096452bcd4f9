"""Sends the transactions that build a laboratory chain, many to a block, and checks each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_abi.abi import decode

from searcher.chains.rpc import RpcClient
from searcher.devnet.artifacts import argument_types, calldata
from searcher.devnet.transactions import Account, contract_address
from searcher.domain.errors import NotReady
from searcher.domain.units import WEI_PER_GWEI, Address

_MAX_FEE_WEI: Final = 1_000 * WEI_PER_GWEI
_CREATE_GAS: Final = 9_000_000
_CALL_GAS: Final = 1_000_000
_BUILDING_GAS_LIMIT: Final = 2**40
_BATCH: Final = 100


class Deployer:
    """Queues transactions with known nonces, so that addresses are known before they are mined.

    Args:
        rpc: Anvil itself, with mining switched off.
        account: who deploys; other accounts' transactions can be queued too.
        chain_id: for the signatures.
    """

    def __init__(self, rpc: RpcClient, account: Account, chain_id: int) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._nonces: dict[Address, int] = {}
        self._queue: list[tuple[str, bytes]] = []

    @property
    def address(self) -> Address:
        """Who deploys."""
        return self._account.address

    def create(self, label: str, code: bytes, gas: int = _CREATE_GAS) -> Address:
        """Queue a deployment and return the address it will have."""
        created = contract_address(self.address, self._nonces.get(self.address, 0))
        self._enqueue(f"deploy {label}", self._account, None, code, gas=gas)
        return created

    def call(
        self,
        to: Address,
        signature: str,
        *values: Any,
        sender: Account | None = None,
        value: int = 0,
        gas: int = _CALL_GAS,
    ) -> None:
        """Queue a call of `signature` with its arguments."""
        data = calldata(signature, *values)
        self._enqueue(signature, sender or self._account, to, data, value=value, gas=gas)

    async def flush(self) -> None:
        """Send and mine everything that is queued.

        Raises:
            NotReady: one of the transactions failed; the message says which.
        """
        queue, self._queue = self._queue, []
        hashes: list[str] = []
        for start in range(0, len(queue), _BATCH):
            part = queue[start : start + _BATCH]
            sends = [("eth_sendRawTransaction", ["0x" + raw.hex()]) for _, raw in part]
            hashes += await self._rpc.batch(sends)
        # One block takes them all: where a block is full, Anvil skips a transaction and then throws
        # away its sender's later ones for their nonces.
        await self._rpc.call("evm_setBlockGasLimit", [hex(_BUILDING_GAS_LIMIT)])
        await self._rpc.call("evm_mine")
        for start in range(0, len(hashes), _BATCH):
            part_hashes = hashes[start : start + _BATCH]
            calls = [("eth_getTransactionReceipt", [h]) for h in part_hashes]
            receipts = await self._rpc.batch(calls)
            for (label, _), receipt in zip(queue[start : start + _BATCH], receipts, strict=True):
                if receipt is None or receipt["status"] != "0x1":
                    raise NotReady(f"the laboratory's step {label!r} failed on its chain")

    async def read(
        self, calls: Sequence[tuple[Address, str, Sequence[Any]]], returns: str
    ) -> list[tuple[Any, ...]]:
        """Return the decoded results of several view calls; `returns` is like `(address)`."""
        requests = [
            ("eth_call", [{"to": to, "data": "0x" + calldata(signature, *values).hex()}, "latest"])
            for to, signature, values in calls
        ]
        answers = await self._rpc.batch(requests)
        types = argument_types(returns)
        return [decode(types, bytes.fromhex(answer[2:])) for answer in answers]

    def _enqueue(
        self,
        label: str,
        sender: Account,
        to: Address | None,
        data: bytes,
        *,
        gas: int,
        value: int = 0,
    ) -> None:
        nonce = self._nonces.get(sender.address, 0)
        self._nonces[sender.address] = nonce + 1
        raw = sender.sign(
            chain_id=self._chain_id,
            nonce=nonce,
            to=to,
            gas=gas,
            max_fee_wei=_MAX_FEE_WEI,
            max_priority_fee_wei=WEI_PER_GWEI,
            value=value,
            data=data,
        )
        self._queue.append((label, raw))
