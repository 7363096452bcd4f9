"""The public pool of pending transactions, with the rules of an ordinary node (geth).

A transaction whose nonce follows on is executable; one after a gap waits in the queue. One below
the base fee stays and is passed over. A replacement must raise both fees by a tenth. When the pool
is full, the transaction that pays least goes: first from the queue, then from the executable ones.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from searcher.devnet.transactions import SignedTransaction
from searcher.domain.errors import Rejected
from searcher.domain.units import Address, Hash32

_BUMP_PERCENT: Final = 10
_QUEUE_PER_SENDER: Final = 64
_TRANSACTION_GAS_CAP: Final = 2**24
"""EIP-7825."""
_MAX_BYTES: Final = 128 * 1024


class PoolRefused(Rejected):
    """The pool does not take a transaction; the text is what a node answers."""


class AccountState(Struct, frozen=True):
    """An account on the head's state."""

    nonce: int
    balance_wei: int


class PoolStatistics(Struct, frozen=True):
    """What the pool took and let go, since the start."""

    added: int
    replaced: int
    refused: dict[str, int]
    evicted: dict[str, int]
    executable: int
    queued: int


class PublicPool:
    """Pending transactions by sender and nonce.

    Args:
        chain_id: transactions of other chains are refused.
        capacity: how many it holds before the cheapest go.
    """

    def __init__(self, chain_id: int, *, capacity: int = 4_096) -> None:
        self._chain_id = chain_id
        self._capacity = capacity
        self._senders: dict[Address, dict[int, SignedTransaction]] = {}
        self._by_hash: dict[Hash32, SignedTransaction] = {}
        self._arrival: dict[Hash32, int] = {}
        self._states: dict[Address, AccountState] = {}
        self._announced: set[Hash32] = set()
        self._order = itertools.count()
        self._refused: Counter[str] = Counter()
        self._evicted: Counter[str] = Counter()
        self._added = self._replaced = 0

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    def get(self, transaction_hash: str) -> SignedTransaction | None:
        """Return a transaction of the pool by its hash."""
        return self._by_hash.get(Hash32(transaction_hash))

    def senders(self) -> list[Address]:
        """Return everybody who has a transaction here."""
        return list(self._senders)

    def add(
        self, transaction: SignedTransaction, state: AccountState, *, gas_limit: int
    ) -> list[SignedTransaction]:
        """Take a transaction and return those that became executable by it, to be announced.

        Args:
            transaction: what was sent.
            state: its sender on the head's state.
            gas_limit: the block's.

        Raises:
            PoolRefused: a rule is broken.
        """
        self._states[transaction.sender] = state
        try:
            self._check(transaction, state, gas_limit)
            self._check_replacement(transaction)
            self._check_money(transaction, state)
            self._make_room(transaction)
        except PoolRefused as refusal:
            self._refused[str(refusal).partition(":")[0]] += 1
            raise
        held = self._senders.setdefault(transaction.sender, {})
        old = held.get(transaction.nonce)
        if old is not None:
            self._forget(old)
            self._replaced += 1
        self._senders.setdefault(transaction.sender, {})[transaction.nonce] = transaction
        self._by_hash[transaction.hash] = transaction
        self._arrival[transaction.hash] = next(self._order)
        self._added += 1
        return self._fresh(transaction.sender)

    def settle(self, states: Mapping[Address, AccountState]) -> list[SignedTransaction]:
        """Follow the chain to a new head.

        Drops what was mined or cannot be paid any more, and returns what became executable.
        """
        fresh = []
        for sender, state in states.items():
            self._states[sender] = state
            for transaction in list(self._senders.get(sender, {}).values()):
                if transaction.nonce < state.nonce:
                    self._forget(transaction)
                elif transaction.cost_wei > state.balance_wei:
                    self._evict(transaction, "insufficient funds")
            fresh += self._fresh(sender)
        return fresh

    def pending_nonce(self, sender: Address, mined_nonce: int) -> int:
        """Return the nonce after the sender's last executable transaction."""
        held = self._senders.get(sender, {})
        nonce = mined_nonce
        while nonce in held:
            nonce += 1
        return nonce

    def select(
        self,
        *,
        base_fee_wei: int,
        gas: int,
        taken: Iterable[SignedTransaction] = (),
    ) -> list[SignedTransaction]:
        """Return what fits a block: by effective tip, then arrival, each sender's in nonce order.

        Args:
            base_fee_wei: of the block; who offers less is passed over.
            gas: what is left of the block's gas; each counts with its gas limit.
            taken: transactions that stand in the block already; their senders go on after them.
        """
        nonces = {sender: state.nonce for sender, state in self._states.items()}
        for transaction in taken:
            nonces[transaction.sender] = transaction.nonce + 1
        heads: list[tuple[int, int, SignedTransaction]] = []

        def offer(sender: Address) -> None:
            transaction = self._senders.get(sender, {}).get(nonces.get(sender, 0))
            if transaction is not None:
                tip = transaction.effective_tip_wei(base_fee_wei)
                if tip >= 0:
                    heapq.heappush(heads, (-tip, self._arrival[transaction.hash], transaction))

        for sender in self._senders:
            offer(sender)
        chosen = []
        while heads:
            _, _, transaction = heapq.heappop(heads)
            if transaction.gas > gas:
                continue  # its sender's later ones cannot go without it
            gas -= transaction.gas
            chosen.append(transaction)
            nonces[transaction.sender] = transaction.nonce + 1
            offer(transaction.sender)
        return chosen

    def content(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what `txpool_content` shows."""
        shown: dict[str, dict[str, dict[str, Any]]] = {"pending": {}, "queued": {}}
        for sender, held in self._senders.items():
            executable = {transaction.nonce for transaction in self._run(sender)}
            for nonce in sorted(held):
                kind = "pending" if nonce in executable else "queued"
                shown[kind].setdefault(sender, {})[str(nonce)] = held[nonce].to_json()
        return shown

    def counts(self) -> tuple[int, int]:
        """Return how many are executable, and how many queue behind a gap."""
        executable = sum(len(self._run(sender)) for sender in self._senders)
        return executable, len(self._by_hash) - executable

    def statistics(self) -> PoolStatistics:
        """Return the counters since the start."""
        executable, queued = self.counts()
        return PoolStatistics(
            added=self._added,
            replaced=self._replaced,
            refused=dict(self._refused),
            evicted=dict(self._evicted),
            executable=executable,
            queued=queued,
        )

    def _check(self, transaction: SignedTransaction, state: AccountState, gas_limit: int) -> None:
        if transaction.hash in self._by_hash:
            raise PoolRefused("already known")
        if transaction.chain_id not in (None, self._chain_id):
            raise PoolRefused(
                f"invalid chain id for signer: have {transaction.chain_id} want {self._chain_id}"
            )
        if len(transaction.raw) > _MAX_BYTES:
            raise PoolRefused("oversized data")
        if transaction.max_priority_fee_wei > transaction.max_fee_wei:
            raise PoolRefused("max priority fee per gas higher than max fee per gas")
        if transaction.gas > gas_limit:
            raise PoolRefused("exceeds block gas limit")
        if transaction.gas > _TRANSACTION_GAS_CAP:
            raise PoolRefused("transaction gas limit too high")
        if transaction.gas < transaction.intrinsic_gas:
            raise PoolRefused(
                f"intrinsic gas too low: have {transaction.gas}, want {transaction.intrinsic_gas}"
            )
        if transaction.nonce < state.nonce:
            raise PoolRefused(
                f"nonce too low: next nonce {state.nonce}, tx nonce {transaction.nonce}"
            )
        if transaction.nonce >= state.nonce + _QUEUE_PER_SENDER:
            raise PoolRefused("nonce too far in the future")

    def _check_replacement(self, transaction: SignedTransaction) -> None:
        old = self._senders.get(transaction.sender, {}).get(transaction.nonce)
        if old is None:
            return
        for new_fee, old_fee in (
            (transaction.max_fee_wei, old.max_fee_wei),
            (transaction.max_priority_fee_wei, old.max_priority_fee_wei),
        ):
            if new_fee <= old_fee or new_fee * 100 < old_fee * (100 + _BUMP_PERCENT):
                raise PoolRefused("replacement transaction underpriced")

    def _check_money(self, transaction: SignedTransaction, state: AccountState) -> None:
        others = sum(
            held.cost_wei
            for nonce, held in self._senders.get(transaction.sender, {}).items()
            if nonce != transaction.nonce
        )
        if transaction.cost_wei + others > state.balance_wei:
            raise PoolRefused(
                "insufficient funds for gas * price + value: "
                f"balance {state.balance_wei}, queued cost {others}, tx cost {transaction.cost_wei}"
            )

    def _make_room(self, transaction: SignedTransaction) -> None:
        if len(self._by_hash) < self._capacity:
            return
        executable = {held.hash for sender in self._senders for held in self._run(sender)}
        worst = min(
            self._by_hash.values(),
            key=lambda held: (
                held.hash in executable,
                held.max_fee_wei,
                -held.nonce,
            ),
        )
        if worst.hash in executable and worst.max_fee_wei >= transaction.max_fee_wei:
            raise PoolRefused("txpool is full")
        self._evict(worst, "pool full")

    def _run(self, sender: Address) -> list[SignedTransaction]:
        """Return the sender's executable transactions."""
        held = self._senders.get(sender, {})
        state = self._states.get(sender)
        nonce = state.nonce if state else 0
        run = []
        while nonce in held:
            run.append(held[nonce])
            nonce += 1
        return run

    def _fresh(self, sender: Address) -> list[SignedTransaction]:
        fresh = [held for held in self._run(sender) if held.hash not in self._announced]
        self._announced.update(held.hash for held in fresh)
        return fresh

    def _evict(self, transaction: SignedTransaction, cause: str) -> None:
        self._evicted[cause] += 1
        self._forget(transaction)

    def _forget(self, transaction: SignedTransaction) -> None:
        del self._by_hash[transaction.hash]
        del self._arrival[transaction.hash]
        self._announced.discard(transaction.hash)
        held = self._senders[transaction.sender]
        del held[transaction.nonce]
        if not held:
            del self._senders[transaction.sender]
