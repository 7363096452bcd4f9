"""Everything that a chain's pools hold: exact states, their float image, and what is set aside.

One writer, the chain's pipeline. A block is applied whole or not at all, and can be taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from msgspec.structs import replace

from searcher.domain.clock import Clock, SystemClock
from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockApplied, BlockRef, Log, PendingEffects
from searcher.domain.ports import TokenProof
from searcher.domain.registry import Registry
from searcher.domain.units import Address
from searcher.kernels.memory import ALIVE, FEE
from searcher.market.budget import BudgetedNode
from searcher.market.census import Census
from searcher.market.contents import Contents, followed_digest
from searcher.market.decoding import MalformedLog
from searcher.market.discovery import Discovery, Progress, Watch
from searcher.market.filters import TokenFilter, ValueWei
from searcher.market.followed import followed_by, no_pieces
from searcher.market.intake import Intake
from searcher.market.journal import Journal
from searcher.market.log_routes import LogRoutes
from searcher.market.memory import MarketMemory
from searcher.market.multicall import Multicall
from searcher.market.named import named_token
from searcher.market.node import Node
from searcher.market.pools import Pools
from searcher.market.protocol import (
    PROTOCOLS,
    FollowedProtocol,
    Pool,
    Protocol,
    Quote,
    QuoteBlock,
    Row,
)
from searcher.market.settings import (
    DexSettings,
    DiscoverySettings,
    FollowingSettings,
    TokenSettings,
)
from searcher.market.standing import Changes, MarketDelta, Standing
from searcher.market.states import PieceMaker, States
from searcher.market.views import MarketStatistics, PoolView

_log = structlog.get_logger(__name__)

_ROWS_TO_SPARE: Final = 1024
"""Rows beyond two a pool, for those of many tokens."""


class Market:
    """The pools of one chain.

    Args:
        chain: its config name.
        wrapped_native: the token that profit is counted in.
        tokens: the tokens that the operator named, by name.
        dexes: the DEXes to follow, by name.
        discovery: how pools are looked for.
        following: how far back blocks can be taken, and what is read for each.
        chain_id: the chain's EIP-155 id, which what is written down is for.
        folder: where pools that were found are written down, to go on after a kill; None keeps
            nothing.
        watch: told how far a bootstrap is.
        clock: paces a bootstrap; the machine's when None.
        value_of: prices that pools are weighed by where there are too many; roughly their own where
            None.
        protocols: the registry of protocols.
        pieces: draws curves that have no closed form; without it they are never found.

    Raises:
        Misconfigured: an unknown protocol, or a DEX whose settings do not fit its protocol.
    """

    def __init__(
        self,
        chain: str,
        *,
        wrapped_native: Address,
        tokens: Mapping[str, TokenSettings],
        dexes: Mapping[str, DexSettings],
        discovery: DiscoverySettings | None = None,
        following: FollowingSettings | None = None,
        chain_id: int = 0,
        folder: Path | None = None,
        watch: Watch = lambda _: None,
        clock: Clock | None = None,
        value_of: ValueWei | None = None,
        protocols: Registry[Protocol[Any]] = PROTOCOLS,
        pieces: PieceMaker | None = None,
    ) -> None:
        self.chain = chain
        self.wrapped_native = wrapped_native
        self.head: BlockRef | None = None
        self._tokens = dict(tokens)
        self._dexes = dict(dexes)
        self._discovery = discovery or DiscoverySettings()
        self._following = following or FollowingSettings()
        self._protocol_of = {
            dex.protocol: followed_by(name, dex.protocol, protocols) for name, dex in dexes.items()
        }
        self.memory = MarketMemory(2 * self._discovery.most_pools + _ROWS_TO_SPARE)
        self._journal = Journal(self.memory, self._following.reorg_depth)
        self._pools = Pools(self.memory)
        self._routes = LogRoutes(self._pools, self._protocol_of)
        self._states = States(
            self._pools, self.memory, self._journal, self._protocol_of, pieces or no_pieces
        )
        self._standing = Standing(self._pools, self.memory, self._journal)
        self._decimals = {Address(t.address): t.decimals for t in tokens.values()}
        self._clock = clock or SystemClock()
        self._watch = watch
        self._budgeted: BudgetedNode | None = None
        named = {name: Address(token.address) for name, token in tokens.items()}
        self._filter = TokenFilter({**named, "wrapped native": wrapped_native}, self._discovery)
        census = Census(chain, dexes, {n: self._protocol_of[d.protocol] for n, d in dexes.items()})
        self._intake = Intake(
            chain=chain,
            dexes=dexes,
            protocols=self._protocol_of,
            decimals=self._decimals,
            census=census,
            finder=Discovery(
                chain,
                chain_id,
                census,
                self._discovery,
                tokens=self._filter.allowed,
                folder=folder,
                watch=self._tell,
            ),
            watch=self._tell,
            tokens=self._filter,
            native=wrapped_native,
            value_of=value_of,
            discovery=self._discovery,
            following=self._following,
            pools=self._pools,
            routes=self._routes,
            states=self._states,
            standing=self._standing,
            journal=self._journal,
        )
        self._cold: list[tuple[int, Log]] = []
        self._malformed: Counter[str] = Counter()
        self._blocks = self._unwound = self._logs = self._overlays = 0

    @property
    def pools(self) -> list[Pool]:
        """All pools, by number."""
        return self._pools.pools

    @property
    def rows(self) -> list[Row]:
        """All rows: pairs of a pool's tokens."""
        return self._pools.rows

    @property
    def topology(self) -> int:
        """Grows whenever a row joins the search: what was derived from the rows is old then."""
        return self._standing.topology

    # ---- reading the chain

    async def bootstrap(self, rpc: Node, head: BlockRef, *, timestamp: int = 0) -> MarketDelta:
        """Find every pool up to `head` and read its state there.

        Args:
            rpc: the node.
            head: the block.
            timestamp: its time, in seconds: curves that move with time are drawn for it.

        Raises:
            Retryable: the node does not answer: nothing is searched until it is called again.
            Rejected: the node refuses what is asked.
        """
        return await self._read(rpc, head, timestamp, not_before=0)

    async def rebuild(self, rpc: Node, head: BlockRef, *, timestamp: int = 0) -> MarketDelta:
        """Read every state again at `head`, where the blocks up to it cannot be applied.

        Pools announced within the last `rescan_blocks` are looked for again; a pool that is no
        longer there is set aside.
        """
        known = min(self.head.number if self.head else 0, head.number)
        not_before = max(0, known - self._discovery.rescan_blocks)
        return await self._read(rpc, head, timestamp, not_before=not_before)

    async def _read(
        self, rpc: Node, head: BlockRef, timestamp: int, *, not_before: int
    ) -> MarketDelta:
        self.head = None
        self._journal.forget()
        self._states.block = QuoteBlock(head.number + 1, timestamp)
        budgeted = self._budgeted = BudgetedNode(rpc, self._discovery.budget, self._clock)
        node = Multicall(budgeted, most_calls=self._discovery.batch_calls)
        await self._intake.find(node, head, not_before=not_before)
        await self._intake.read_all(node, head)
        self.head = head
        self._standing.changes.rows.update(range(len(self.rows)))
        _log.info(
            "market read",
            chain=self.chain,
            block=head.number,
            pools=len(self.pools),
            set_aside=len(self._standing.broken),
            units=budgeted.statistics().units,
            requests=budgeted.statistics().requests,
        )
        return self._standing.changes.delta(head)

    def _tell(self, step: Progress) -> None:
        requests = self._budgeted.statistics().requests if self._budgeted else 0
        self._watch(replace(step, requests=requests))

    @property
    def is_behind(self) -> bool:
        """Whether the logs of the head do not tell everything: `refresh_volatile` is due."""
        return self._intake.is_behind

    async def refresh_volatile(self, rpc: Node, block: BlockRef) -> MarketDelta:
        """Read what the logs of the head do not tell: moving values, and pools just announced.

        A pool whose values cannot be read, or are beyond the budget, is out of the search until a
        later block's can. Whoever searches waits for this after each block: values of an older
        block are never searched on.

        Args:
            rpc: the node.
            block: the head.

        Returns:
            What changed; nothing of what was read when the head has moved meanwhile.
        """
        await self._intake.refresh(rpc, block, lambda: self.head)
        return self._standing.changes.delta(block)

    # ---- following the chain

    def apply(self, block: BlockApplied) -> MarketDelta:
        """Apply a block's logs, whole or not at all, and return what they changed.

        A log that is not what its topic says is counted and sets its pool aside until a rebuild.

        Raises:
            InvariantBroken: the block does not build on the head, or its logs do not ascend.
        """
        if self.head is None or block.header.parent_hash != self.head.hash:
            raise InvariantBroken(
                f"block {block.header.number} of {block.chain} does not build on the market's head:"
                " rebuild the market from the node"
            )
        self._journal.begin(self.head, self._states.block.timestamp)
        try:
            self.head = block.header.ref
            self._states.block = QuoteBlock(self.head.number + 1, block.header.timestamp)
            self._logs += self._play(block.logs)
        except BaseException:
            self._step_back()
            raise
        self._blocks += 1
        return self._standing.changes.delta(self.head)

    def can_unwind(self, to: BlockRef) -> bool:
        """Return whether `to` is the head, or a block below it that the journal goes back to."""
        return self.head is not None and (to == self.head or to in self._journal.parents())

    def unwind(self, to: BlockRef) -> MarketDelta:
        """Take blocks back until `to` is the head again, exactly as it was.

        Raises:
            InvariantBroken: `to` is none of the blocks below that the journal holds.
        """
        if not self.can_unwind(to):
            raise InvariantBroken(
                f"block {to.number} of {self.chain} is not among the last"
                f" {self._following.reorg_depth} applied: rebuild the market from the node"
            )
        rows: set[int] = set()
        while self.head != to:
            rows |= self._journal.rows()
            self._step_back()
            self._unwound += 1
        self._standing.changes.rows.update(row for row in rows if row < len(self.rows))
        return self._standing.changes.delta(to)

    def _step_back(self) -> None:
        self.head, timestamp = self._journal.take_back_block()
        self._states.block = QuoteBlock(self.head.number + 1, timestamp)

    @contextmanager
    def overlay(self, effects: PendingEffects) -> Iterator[MarketDelta]:
        """Lay a pending transaction's logs over the market, and take them off again exactly.

        Nothing is laid when the transaction fails or was executed on another block than the head.
        A pool with a log that cannot be understood is out of the search meanwhile. Pools that the
        transaction creates are not looked at.
        """
        if self.head is None or effects.parent != self.head or not effects.succeeded:
            yield MarketDelta(effects.parent, ())
            return
        self._overlays += 1
        standing = self._standing
        kept, standing.changes = standing.changes, Changes()
        try:
            with self._journal.overlay():
                self._play(effects.logs, pending=True)
                yield MarketDelta(self.head, standing.changes.delta(self.head).rows)
        finally:
            standing.changes = kept

    def _play(self, logs: Iterable[Log], *, pending: bool = False) -> int:
        """Apply logs and return how many counted."""
        self._cold = []
        slow = self._slow_pending if pending else self._slow
        foreign = self._routes.sort(logs, slow, ordered=not pending)
        hot = self._routes.apply(self.memory, self._journal)
        self._standing.changes.rows.update(hot.rows)
        for row, why in hot.refused.items():
            self._refuse(self.rows[row].pool, why, pending=pending)
        if foreign and not pending:
            self._intake.not_followed["a log of a pool that is not followed"] += foreign
        return hot.applied + (self._apply_cold(pending=pending) if self._cold else 0)

    def _slow(self, log: Log) -> None:
        """Look at a log alone: it may announce a pool, or change those whose state is a struct."""
        if self._intake.announces(log):
            self._intake.meet(log)
        self._slow_pending(log)

    def _slow_pending(self, log: Log) -> None:
        for number in self._concerned(log):
            if log.topics[0] in self.protocol_of(number).topics:
                self._cold.append((number, log))

    def _concerned(self, log: Log) -> list[int]:
        """Return the pools that a log may change, those whose logs are not applied left out."""
        # A vault's log about one pool is not the others', though all watch the vault.
        watchers = (
            n
            for n in self._pools.watchers.get(log.address, ())
            if self.protocol_of(n).pool_key(log) == log.address
        )
        numbers = [self._pools.number(log.address), *watchers]
        for protocol in self._pools.hosts.get(log.address, ()):
            number = self._pools.number(protocol.pool_key(log))
            if number is not None and self.protocol_of(number) is protocol:
                numbers.append(number)
        aside = self._standing.broken
        return [n for n in numbers if n is not None and n not in aside]

    def _apply_cold(self, *, pending: bool) -> int:
        states: dict[int, Any] = {}
        refused: dict[int, str] = {}
        applied = 0
        for number, log in self._cold:
            state = states[number] if number in states else self._states.get(number)
            if number in refused or state is None:
                continue  # a pool that is not read yet is read with all its logs
            applied += 1
            try:
                states[number] = self.protocol_of(number).apply(state, log)
            except MalformedLog as error:
                refused[number] = str(error)
        for number, state in states.items():
            self._states.follow(number, state)
            self._standing.changes.rows.update(self.rows_of(number))
        for number, why in refused.items():
            self._refuse(number, why, pending=pending)
        return applied

    def _refuse(self, number: int, why: str, *, pending: bool) -> None:
        text = f"a log that does not fit: {why}"
        if not pending:
            self._malformed[text] += 1
        self._intake.set_broken(number, text, quietly=pending)

    # ---- as a value

    def followed(self) -> Mapping[str, type[Protocol[Any]]]:
        """Return the protocols of its DEXes by name."""
        return {name: type(protocol) for name, protocol in self._protocol_of.items()}

    def configuration(self) -> str:
        """Return a digest of what decides which pools are followed, and how they are drawn."""
        return followed_digest(
            self.wrapped_native, self._tokens, self._dexes, self._discovery, self._protocol_of
        )

    @property
    def leaves_open(self) -> bool:
        """Whether something was announced that only reads complete: no contents tell of that."""
        return self._intake.leaves_open

    def contents(self) -> Contents:
        """Return what it holds beside its arrays, in containers of the caller's own.

        Raises:
            InvariantBroken: it was not read yet.
        """
        return Contents(
            head=self._require_head(),
            timestamp=self._states.block.timestamp,
            pools=list(self.pools),
            states=self._states.structs(),
            awaited=self._intake.awaited(),
            nameless=self._intake.nameless(),
            listed=self._intake.listed(),
            decimals=dict(self._decimals),
            sound=set(self._standing.sound),
            aside=dict(self._standing.aside),
            broken=dict(self._standing.broken),
        )

    def take_up(self, contents: Contents, fill: Callable[[MarketMemory], None]) -> None:
        """Hold these contents, and the arrays that `fill` writes, instead of nothing.

        Values that are read for each block are not known: their pools are out of the search until
        `refresh_volatile` has read them. No block can be taken back.

        Args:
            contents: what `contents` returned.
            fill: writes the arrays that belong to it into the empty memory.

        Raises:
            InvariantBroken: it holds something already.
        """
        if self.pools or self.head is not None:
            raise InvariantBroken(
                f"the market of {self.chain} holds {len(self.pools)} pools: a snapshot is taken up"
                " by an empty one"
            )
        fill(self.memory)
        families = {name: self._routes.family(name) for name in self._protocol_of}
        self._pools.resume(contents.pools, self._protocol_of, families)
        self._states.block = QuoteBlock(contents.head.number + 1, contents.timestamp)
        self._states.resume(contents.states)
        self._standing.resume(contents.sound, contents.aside, contents.broken)
        self._intake.resume(contents)
        self._standing.changes = Changes()
        self.head = contents.head

    def whole(self) -> MarketDelta:
        """Return a delta as if everything had just come: for who begins to follow the market."""
        self._standing.changes = Changes()
        rows = range(len(self.rows))
        searched = np.flatnonzero(self.memory.real[: len(rows), ALIVE]).tolist()
        return MarketDelta(self._require_head(), tuple(rows), tuple(searched))

    # ---- what is searched

    def set_aside(self, token_or_pool: str, reason: str) -> None:
        """Take a token's pools, or one pool, out of the search, until the process ends."""
        _log.warning("set aside", chain=self.chain, what=token_or_pool, why=reason)
        self._standing.set_aside(token_or_pool, reason)

    def unproven(self) -> list[tuple[Address, Address]]:
        """Return the tokens not yet proven, each with a pool that holds some."""
        found, good, rows_of = [], self._standing.is_good, self._pools.rows_of_token
        for token in self._standing.unproven:
            holders = (self.rows[row].pool for row in rows_of.get(token, ()))
            holder = next((n for n in holders if good(n) and self._states.is_funded(n)), None)
            if holder is not None:
                found.append((token, self.pools[holder].address))
        return found

    def mark_proven(self, proofs: Sequence[TokenProof]) -> MarketDelta:
        """Let the pools of sound tokens into the search, and set the others aside.

        A proof holds on the head: it is taken back with it.
        """
        for proof in proofs:
            reason = "" if proof.sound else proof.reason or "not proven"
            if reason:
                _log.warning("set aside", chain=self.chain, what=proof.token, why=reason)
            self._standing.judge(proof.token, reason)
        return self._standing.changes.delta(self._require_head())

    def why_not(self, row: int) -> str:
        """Return why a row is not searched, or an empty text."""
        return self._standing.why_not(row)

    def views(self) -> list[PoolView]:
        """Return every pool with the reason why none of its rows is searched."""
        return [self._view(number, pool) for number, pool in enumerate(self.pools)]

    def statistics(self) -> MarketStatistics:
        """Return the counters."""
        reasons = Counter(view.set_aside for view in self.views())
        searched = reasons.pop("", 0)
        return MarketStatistics(
            pools=len(self.pools),
            searched=searched,
            set_aside=dict(reasons),
            blocks=self._blocks,
            unwound=self._unwound,
            logs=self._logs,
            malformed=dict(self._malformed),
            not_followed=self._intake.left_out(),
            overlays=self._overlays,
            undo_bytes=self._journal.statistics().undo_bytes,
        )

    def _view(self, number: int, pool: Pool) -> PoolView:
        rows = self.rows_of(number)
        reasons = [self.why_not(row) for row in rows]
        return PoolView(rows[0], pool, reasons[0] if all(reasons) else "")

    # ---- asking

    def state(self, number: int) -> Any:
        """Return a pool's exact state: immutable, of its protocol's own type; None if not read."""
        return self._states.get(number)

    def next_block(self, number: int) -> QuoteBlock:
        """Return the block that a pool's curve is drawn for, with the values read for it."""
        return self._states.at(number, self._states.block)

    def quote(self, row: int, block: QuoteBlock, amount_in: int, *, zero_for_one: bool) -> Quote:
        """Return exactly what a pool pays.

        Args:
            row: which pair of a pool's tokens.
            block: which block it is for; volatile values that were read are added to it.
            amount_in: smallest units.
            zero_for_one: whether the row's token0 comes in.

        Raises:
            SwapRefused: the contract would revert, or the pool was not read yet.
        """
        number, token0, token1, *_ = self.rows[row]
        tokens = (token0, token1) if zero_for_one else (token1, token0)
        state = self._states.known(number)
        at = self._states.at(number, block)
        return self.protocol_of(number).quote_exact_in(state, at, *tokens, amount_in)

    def fee_pips(self, row: int) -> int:
        """Return the fee of a row's pool: of this block where it moves, and else as announced."""
        if self.protocol(row).hot:
            return int(self.memory.shape[row, FEE])
        return self.pool_of(row).fee_pips

    def pool_of(self, row: int) -> Pool:
        """Return a row's pool."""
        return self.pools[self.rows[row].pool]

    def rows_of(self, number: int) -> range:
        """Return a pool's rows."""
        return self._pools.rows_of(number)

    def protocol(self, row: int) -> FollowedProtocol[Any]:
        """Return the protocol of a row's pool."""
        return self.protocol_of(self.rows[row].pool)

    def protocol_of(self, number: int) -> FollowedProtocol[Any]:
        """Return a pool's protocol."""
        return self._protocol_of[self.pools[number].protocol]

    def is_searched(self, number: int) -> bool:
        """Return whether any row of a pool is searched."""
        return not all(map(self.why_not, self.rows_of(number)))

    def row(self, pool_id: str) -> int | None:
        """Return a pool's first row, if it is followed."""
        return self._pools.row(pool_id)

    def number(self, pool_id: str) -> int | None:
        """Return a pool's number, if it is followed."""
        return self._pools.number(pool_id)

    def decimals(self, token: Address) -> int | None:
        """Return a token's decimals, if they are known."""
        return self._decimals.get(token)

    def token(self, name: str) -> Address:
        """Return the address of a token that the operator named, or wrote as an address.

        Raises:
            Misconfigured: no token has that name.
        """
        return named_token(name, self._tokens, self.chain)

    def _require_head(self) -> BlockRef:
        if self.head is None:
            raise InvariantBroken(f"the market of {self.chain} was not read yet: bootstrap it")
        return self.head
