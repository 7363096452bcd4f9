"""The owner's transactions: creating the executor, naming operators, withdrawing."""

from __future__ import annotations

from searcher.chains.rpc import RpcClient
from searcher.domain.units import Address, Hash32
from searcher.submission.signer import Signer
from searcher.submission.transactions import DynamicFeeTransaction

GAS_MARGIN_BPS = 12_000
"""Gas limit over the node's estimate, in basis points of it."""

FEE_HEADROOM = 2
"""The fee cap is this many base fees, so that the transaction outlives a few full blocks."""

LEAST_PRIORITY_FEE_WEI = 100_000_000


class OwnerSender:
    """Signs and sends one transaction after the other with the owner's key.

    Args:
        rpc: a node of the chain; transactions go to its public pool.
        signer: the owner's key.
        chain_id: what the signature binds them to.
    """

    def __init__(self, rpc: RpcClient, signer: Signer, chain_id: int) -> None:
        self._rpc = rpc
        self._signer = signer
        self._chain_id = chain_id
        self._nonce: int | None = None

    async def __call__(self, to: Address | None, data: bytes) -> Hash32:
        """Send `data` to `to`, or create a contract of it; returns the transaction's hash."""
        signed = await self.sign(to, data)
        return Hash32(await self._rpc.call("eth_sendRawTransaction", ["0x" + signed.hex()]))

    async def sign(self, to: Address | None, data: bytes) -> bytes:
        """Return the next transaction, signed; its nonce counts as used."""
        me = self._signer.address
        if self._nonce is None:
            count = await self._rpc.call("eth_getTransactionCount", [me, "pending"])
            self._nonce = int(count, 16)
        request = {"from": me, "data": "0x" + data.hex()} | ({"to": to} if to else {})
        estimate, block, tip = await self._rpc.batch(
            [
                ("eth_estimateGas", [request]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
            ]
        )
        priority_fee_wei = max(int(tip, 16), LEAST_PRIORITY_FEE_WEI)
        tx = DynamicFeeTransaction(
            chain_id=self._chain_id,
            nonce=self._nonce,
            max_priority_fee_wei=priority_fee_wei,
            max_fee_wei=FEE_HEADROOM * int(block.get("baseFeePerGas", "0x0"), 16)
            + priority_fee_wei,
            gas_limit=int(estimate, 16) * GAS_MARGIN_BPS // 10_000,
            to=to,
            value_wei=0,
            data=data,
        )
        signature = await self._signer.sign_transaction_hash(tx.signing_hash())
        self._nonce += 1
        return tx.signed(signature).raw
