"""An account of the order flow with its nonce."""

from __future__ import annotations

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.transactions import Account
from searcher.domain.units import Address


class Wallet:
    """Signs and sends for one account; its nonce follows the node's after a refusal.

    Args:
        rpc: the builder.
        account: whose.
        chain_id: for the signatures.
    """

    def __init__(self, rpc: RpcClient, account: Account, chain_id: int) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._nonce: int | None = None
        self.refused = 0

    @property
    def address(self) -> Address:
        """The account's address."""
        return self._account.address

    async def next_nonce(self) -> int:
        """Return the nonce after the last transaction that the node knows of."""
        count = await self._rpc.call("eth_getTransactionCount", [self.address, "pending"])
        return int(count, 16)

    def sign(
        self,
        to: Address,
        data: bytes,
        *,
        nonce: int,
        gas: int,
        tip_wei: int,
        max_fee_wei: int,
    ) -> bytes:
        """Return a signed transaction without sending it."""
        return self._account.sign(
            chain_id=self._chain_id,
            nonce=nonce,
            to=to,
            gas=gas,
            max_fee_wei=max_fee_wei,
            max_priority_fee_wei=tip_wei,
            data=data,
        )

    async def send(
        self, to: Address, data: bytes, *, gas: int, tip_wei: int, max_fee_wei: int
    ) -> bool:
        """Send a transaction to the public pool; returns whether the node took it."""
        if self._nonce is None:
            self._nonce = await self.next_nonce()
        nonce, self._nonce = self._nonce, self._nonce + 1
        raw = self.sign(to, data, nonce=nonce, gas=gas, tip_wei=tip_wei, max_fee_wei=max_fee_wei)
        try:
            await self._rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()])
        except RpcFault:
            self.refused += 1
            self._nonce = None
            return False
        return True
