"""The builder of one local chain: it owns the public pool and the bundles, and seals the blocks.

Anvil executes and stores; what is in a block, and in which order, is decided here. Anvil therefore
never sees a transaction before its block is sealed, and a bundle never leaks through Anvil's pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.block import NextBlock, next_block
from searcher.devnet.bundles import BundleBook, Fate
from searcher.devnet.faults import FaultBoard, FaultKind
from searcher.devnet.public_pool import AccountState, PoolStatistics, PublicPool
from searcher.devnet.sealing import Chosen, choose, transactions_of
from searcher.devnet.transactions import SignedTransaction
from searcher.devnet.turnstile import Turnstile
from searcher.domain.errors import Retryable
from searcher.domain.units import Address

_log: Final = structlog.get_logger(__name__)


class BuilderSettings(Struct, frozen=True, kw_only=True):
    """What one builder process is told when it starts.

    `block_time_ms` of 0 seals only on `devnet_mine`.
    """

    name: str
    anvil_url: str
    chain_id: int
    coinbase: Address
    block_time_ms: int
    timestamp_step_s: int
    port: int = 0


class BuilderStatistics(Struct, frozen=True):
    """What the builder has done since it started.

    `mismatches` counts blocks that did not come out as they were put together: it stays 0.
    """

    head: int
    blocks: int
    late_blocks: int
    mismatches: int
    bundle_transactions: int
    public_transactions: int
    bundles: dict[str, int]
    faults: dict[str, int]
    pool: PoolStatistics


class Listener(Protocol):
    """Who is told what is public."""

    def announce_pending(self, transactions: Iterable[SignedTransaction]) -> None:
        """Transactions became executable."""

    async def announce_head(self, block: dict[str, Any]) -> None:
        """A block was sealed; `block` is its JSON, without transaction bodies."""


class Builder:
    """Pool, bundles and blocks of one chain.

    Args:
        anvil: the executing node, its mining switched off.
        settings: the chain's own.
        listener: is told of public transactions and of heads.
    """

    def __init__(self, anvil: RpcClient, settings: BuilderSettings, listener: Listener) -> None:
        self._anvil = anvil
        self._settings = settings
        self._listener = listener
        self.pool = PublicPool(settings.chain_id)
        self.book = BundleBook(settings.chain_id)
        self.turnstile = Turnstile()
        self.faults = FaultBoard()
        self._head: dict[str, Any] = {}
        self._sealing = asyncio.Lock()
        self._running = asyncio.Event()
        self._running.set()
        self._blocks = self._late = self._mismatches = 0
        self._bundle_transactions = self._public_transactions = 0

    @property
    def head_number(self) -> int:
        """Number of the chain's head."""
        return int(self._head["number"], 16)

    def next_block(self, parent: dict[str, Any] | None = None) -> NextBlock:
        """Return the environment of the block after `parent`, or after the head."""
        settings = self._settings
        return next_block(parent or self._head, settings.coinbase, settings.timestamp_step_s)

    async def open(self) -> None:
        """Read the head."""
        self._head = await self._anvil.call("eth_getBlockByNumber", ["latest", False])

    async def run(self) -> None:
        """Seal a block every `block_time_ms`, on a fixed grid, until cancelled."""
        interval = self._settings.block_time_ms / 1_000
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += interval
            if (behind := loop.time() - due) > 0:
                self._late += 1
                due += behind
            await asyncio.sleep(due - loop.time())
            await self._running.wait()
            try:
                await self.seal()
            except Retryable as error:
                _log.error("block_not_sealed", chain=self._settings.name, error=str(error))

    def set_running(self, *, running: bool) -> None:
        """Go on or pause sealing by the clock; `seal` works in both."""
        if running:
            self._running.set()
        else:
            self._running.clear()

    async def submit(self, transaction: SignedTransaction) -> None:
        """Take a transaction into the public pool.

        Raises:
            PoolRefused: it breaks a rule of the pool.
        """
        (state,) = await self._states([transaction.sender])
        gas_limit = int(self._head["gasLimit"], 16)
        fresh = self.pool.add(transaction, state, gas_limit=gas_limit)
        self._listener.announce_pending(fresh)

    async def seal(self) -> int:
        """Put a block together, have it mined, settle bundles and pool; returns its number."""
        async with self._sealing:
            block = self.next_block()
            chosen = await choose(self._anvil, self.book, self.pool, block)
            if chosen and self.faults.take(FaultKind.SEALED_BUT_NOT_LANDED):
                for entry in chosen:
                    self._close(entry, Fate.SEALED_BUT_NOT_LANDED)
                chosen = []
            chosen = await self._send_bundles(chosen)
            taken = transactions_of(chosen)
            public = self.pool.select(
                base_fee_wei=block.base_fee_wei,
                gas=block.gas_limit - sum(transaction.gas for transaction in taken),
                taken=taken,
            )
            public = await self._send_public(public)
            await self._mine(block, [*taken, *public])
            for entry in chosen:
                self._close(entry, Fate.LANDED)
            self.book.expire(block.number)
            self._blocks += 1
            self._bundle_transactions += len(taken)
            self._public_transactions += len(public)
            self._listener.announce_pending(await self._settle_pool())
            await self._listener.announce_head(self._head)
            return block.number

    def statistics(self) -> BuilderStatistics:
        """Return the counters since the start."""
        return BuilderStatistics(
            head=self.head_number,
            blocks=self._blocks,
            late_blocks=self._late,
            mismatches=self._mismatches,
            bundle_transactions=self._bundle_transactions,
            public_transactions=self._public_transactions,
            bundles=self.book.counts(),
            faults=self.faults.happened(),
            pool=self.pool.statistics(),
        )

    async def _mine(self, block: NextBlock, transactions: list[SignedTransaction]) -> None:
        async with self.turnstile.mining():
            await self._anvil.call("evm_mine")
        mined = await self._anvil.call("eth_getBlockByNumber", ["latest", False])
        expected = (
            block.parent_hash,
            block.number,
            block.timestamp,
            block.base_fee_wei,
            block.coinbase,
            [transaction.hash for transaction in transactions],
        )
        found = (
            mined["parentHash"],
            int(mined["number"], 16),
            int(mined["timestamp"], 16),
            int(mined["baseFeePerGas"], 16),
            mined["miner"].lower(),
            mined["transactions"],
        )
        if found != expected:
            self._mismatches += 1
            _log.error("block_differs", chain=self._settings.name, expected=expected, found=found)
            await self._anvil.call("anvil_dropAllTransactions")
        self._head = mined

    async def _send_bundles(self, chosen: list[Chosen]) -> list[Chosen]:
        """Hand the bundles to Anvil; one that it refuses is taken back whole."""
        landed = []
        for entry in chosen:
            sent: list[SignedTransaction] = []
            for transaction in entry.bundle.transactions:
                if not await self._send(transaction):
                    break
                sent.append(transaction)
            if len(sent) == len(entry.bundle.transactions):
                landed.append(entry)
                continue
            for transaction in sent:
                await self._anvil.call("anvil_dropTransaction", [transaction.hash])
            self._close(entry, Fate.NO_FUNDS, "the node refused one of its transactions")
        return landed

    async def _send_public(self, selected: list[SignedTransaction]) -> list[SignedTransaction]:
        sent: list[SignedTransaction] = []
        refused: set[Address] = set()
        for transaction in selected:
            # Behind a refused transaction its sender's next ones would only wait in Anvil's pool.
            if transaction.sender in refused:
                continue
            if await self._send(transaction):
                sent.append(transaction)
            else:
                refused.add(transaction.sender)
        return sent

    async def _send(self, transaction: SignedTransaction) -> bool:
        try:
            await self._anvil.call("eth_sendRawTransaction", ["0x" + transaction.raw.hex()])
        except RpcFault as fault:
            _log.warning(
                "transaction_refused",
                chain=self._settings.name,
                transaction=transaction.hash,
                error=fault.message,
            )
            return False
        return True

    async def _settle_pool(self) -> list[SignedTransaction]:
        senders = self.pool.senders()
        states = await self._states(senders)
        return self.pool.settle(dict(zip(senders, states, strict=True)))

    async def _states(self, accounts: list[Address]) -> list[AccountState]:
        calls = [
            (method, [who, "latest"])
            for who in accounts
            for method in ("eth_getTransactionCount", "eth_getBalance")
        ]
        answers = [int(answer, 16) for answer in await self._anvil.batch(calls)]
        return [AccountState(*answers[i : i + 2]) for i in range(0, len(answers), 2)]

    def _close(self, entry: Chosen, fate: Fate, detail: str = "") -> None:
        self.book.close(entry.bundle, fate, detail, payment_wei=entry.payment_wei)
