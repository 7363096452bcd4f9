"""Everything that a chain's pools hold: exact states, their float image, and what is set aside.

One writer, the chain's pipeline. A block is applied whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

import structlog
from msgspec import Struct

from searcher.domain.errors import InvariantBroken, Misconfigured
from searcher.domain.events import BlockApplied, BlockRef, Log, PendingEffects
from searcher.domain.ports import TokenProof
from searcher.domain.registry import Registry, did_you_mean
from searcher.domain.units import Address, address
from searcher.market.arrays import PoolArrays
from searcher.market.decoding import MalformedLog
from searcher.market.discovery import announcements, factories_of
from searcher.market.node import Node, read_words
from searcher.market.protocol import (
    PROTOCOLS,
    FollowedProtocol,
    Pool,
    Protocol,
    Quote,
    QuoteBlock,
)
from searcher.market.settings import DexSettings, DiscoverySettings, TokenSettings

_log = structlog.get_logger(__name__)

DECIMALS = "0x313ce567"


class MarketDelta(Struct, frozen=True):
    """The rows that a block or a pending transaction changed, ascending."""

    parent: BlockRef
    rows: tuple[int, ...]
    added: int = 0


class PoolView(Struct, frozen=True):
    """A pool as a person asks for it; `set_aside` is why it is not searched, empty when it is."""

    row: int
    pool: Pool
    set_aside: str


class MarketStatistics(Struct, frozen=True):
    """Counters since the start; `ignored` and `malformed` are by cause."""

    pools: int
    searched: int
    set_aside: dict[str, int]
    blocks: int
    logs: int
    malformed: dict[str, int]
    not_followed: dict[str, int]
    overlays: int


class Market:
    """The pools of one chain.

    Args:
        chain: its config name.
        wrapped_native: the token that profit is counted in.
        tokens: the tokens that the operator named, by name.
        dexes: the DEXes to follow, by name.
        discovery: how pools are looked for.
        protocols: the registry of protocols.

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
        protocols: Registry[Protocol[Any]] = PROTOCOLS,
    ) -> None:
        self.chain = chain
        self.wrapped_native = wrapped_native
        self.arrays = PoolArrays()
        self.pools: list[Pool] = []
        self.head: BlockRef | None = None
        self.topology = 0
        """Grows whenever a pool joins the search: what was derived from the rows is old then."""
        self._tokens = dict(tokens)
        self._dexes = dict(dexes)
        self._discovery = discovery or DiscoverySettings()
        self._states: list[Any] = []
        self._row_of: dict[Address, int] = {}
        self._rows_of_token: dict[Address, list[int]] = {}
        self._decimals = {Address(t.address): t.decimals for t in tokens.values()}
        self._sound: set[Address] = set()
        self._aside: dict[Address, str] = {}
        self._stale: dict[int, str] = {}
        self._malformed: Counter[str] = Counter()
        self._not_followed: Counter[str] = Counter()
        self._blocks = self._logs = self._overlays = 0
        self._protocol_of = {
            dex.protocol: _followed(name, dex.protocol, protocols)
            for name, dex in self._dexes.items()
        }
        self._factories: dict[Address, tuple[str, DexSettings]] = {}
        for name, dex in self._dexes.items():
            self._protocol_of[dex.protocol].check(name, dex)
            if Address(dex.factory) in self._factories:
                raise Misconfigured(
                    f"dexes.{name}.factory is that of {self._factories[Address(dex.factory)][0]}"
                    " too: leave one of them out"
                )
            self._factories[Address(dex.factory)] = (name, dex)

    # ---- reading the chain

    async def bootstrap(self, rpc: Node, head: BlockRef) -> MarketDelta:
        """Find every pool up to `head` and read its state there.

        Raises:
            Retryable: the node does not answer: nothing is kept of the states, call again.
            Rejected: the node refuses what is asked.
        """
        return await self._read(rpc, head, not_before=0)

    async def rebuild(self, rpc: Node, head: BlockRef) -> MarketDelta:
        """Read every state again at `head`, after a reorg or whenever the logs were not complete.

        Pools announced within the last `rescan_blocks` are looked for again; a pool that is no
        longer there is set aside.
        """
        known = self.head.number if self.head else 0
        not_before = max(0, min(known, head.number) - self._discovery.rescan_blocks)
        return await self._read(rpc, head, not_before=not_before)

    async def _read(self, rpc: Node, head: BlockRef, *, not_before: int) -> MarketDelta:
        before = len(self.pools)
        self.head = None
        factories = factories_of(
            ((d, self._protocol_of[d.protocol].created_topic) for d in self._dexes.values()),
            not_before=not_before,
        )
        only = self._configured() if self._discovery.only_configured_tokens else None
        async for log in announcements(rpc, factories, head.number, only, self._discovery):
            pool = self._announced(log)
            if pool is not None:
                self._add(pool)
                await asyncio.sleep(0)  # other chains share this loop
        states = await self._read_states(rpc, head)
        await self._read_decimals(rpc, head)
        self._stale.clear()
        for row, state in states.items():
            if isinstance(state, str):
                self._stale[row] = state
                _log.warning(
                    "pool set aside", chain=self.chain, pool=self.pools[row].address, why=state
                )
            else:
                self._states[row] = state
        for row in range(len(self.pools)):
            self._draw(row)
            await asyncio.sleep(0)
        self.head = head
        self.topology += 1
        _log.info(
            "market read",
            chain=self.chain,
            block=head.number,
            pools=len(self.pools),
            set_aside=len(self._stale),
        )
        return MarketDelta(head, tuple(range(len(self.pools))), len(self.pools) - before)

    async def _read_states(self, rpc: Node, head: BlockRef) -> dict[int, Any]:
        states: dict[int, Any] = {}
        for name, protocol in self._protocol_of.items():
            rows = [r for r, pool in enumerate(self.pools) if pool.protocol == name]
            pools = [self.pools[r] for r in rows]
            read = await protocol.read(rpc, pools, head, batch_calls=self._discovery.batch_calls)
            states.update(zip(rows, read, strict=True))
        return states

    async def _read_decimals(self, rpc: Node, head: BlockRef) -> None:
        unknown = [t for t in self._rows_of_token if t not in self._decimals]
        answers = await read_words(
            rpc,
            [(token, DECIMALS) for token in unknown],
            head,
            batch_calls=self._discovery.batch_calls,
        )
        for token, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, str):
                self.set_aside(token, f"decimals: {answer}")
            elif answer[0] > 77:
                self.set_aside(token, f"decimals of {answer[0]}")
            else:
                self._decimals[token] = answer[0]

    # ---- following the chain

    def apply(self, block: BlockApplied) -> MarketDelta:
        """Apply a block's logs and return the rows it changed.

        A log that is not what its topic says is counted and sets its pool aside until a rebuild.

        Raises:
            InvariantBroken: the block does not build on the head.
        """
        if self.head is None or block.header.parent_hash != self.head.hash:
            raise InvariantBroken(
                f"block {block.header.number} of {block.chain} does not build on the market's head:"
                " rebuild the market from the node"
            )
        before = len(self.pools)
        for log in block.logs:
            pool = self._announcement(log)
            if pool is not None:
                self._add(pool)
        states, refused, applied = self._replay(block.logs)
        for row, state in states.items():
            self._states[row] = state
        for row, why in refused.items():
            self._stale[row] = why
            self._malformed[why] += 1
            _log.warning("pool set aside", chain=self.chain, pool=self.pools[row].address, why=why)
        rows = sorted({*states, *refused, *range(before, len(self.pools))})
        for row in rows:
            self._draw(row)
        self.head = block.header.ref
        self._blocks += 1
        self._logs += applied
        return MarketDelta(self.head, tuple(rows), len(self.pools) - before)

    @contextmanager
    def overlay(self, effects: PendingEffects) -> Iterator[MarketDelta]:
        """Lay a pending transaction's logs over the market, and take them off again exactly.

        Nothing is laid when the transaction fails or was executed on another block than the head.
        A pool with a log that cannot be understood is out of the search meanwhile.
        """
        if self.head is None or effects.parent != self.head or not effects.succeeded:
            yield MarketDelta(effects.parent, ())
            return
        states, refused, _ = self._replay(effects.logs)
        rows = sorted({*states, *refused})
        images = [self.arrays.image(row) for row in rows]
        kept = {row: self._states[row] for row in rows}
        stale = {row: self._stale.get(row) for row in rows}
        self._overlays += 1
        try:
            for row in rows:
                if row in refused:
                    self._stale[row] = refused[row]
                else:
                    self._states[row] = states[row]
                self._draw(row)
            yield MarketDelta(self.head, tuple(rows))
        finally:
            for image in images:
                self.arrays.restore(image)
                self._states[image.row] = kept[image.row]
                before = stale[image.row]
                if before is None:
                    self._stale.pop(image.row, None)
                else:
                    self._stale[image.row] = before

    def _replay(self, logs: Iterable[Log]) -> tuple[dict[int, Any], dict[int, str], int]:
        """Return new states and refusals by row, and how many logs counted; changes nothing."""
        states: dict[int, Any] = {}
        refused: dict[int, str] = {}
        applied = 0
        for log in logs:
            row = self._row_of.get(log.address)
            if row is None or row in refused or row in self._stale or not log.topics:
                continue
            protocol = self.protocol(row)
            if log.topics[0] not in protocol.topics:
                continue
            applied += 1
            state = states[row] if row in states else self._states[row]
            try:
                states[row] = protocol.apply(state, log)
            except MalformedLog as error:
                refused[row] = f"a log that does not fit: {error}"
                states.pop(row, None)
        return states, refused, applied

    # ---- what is searched

    def set_aside(self, token_or_pool: Address, reason: str) -> None:
        """Take a token's pools, or one pool, out of the search, until the process ends."""
        self._aside[token_or_pool] = reason
        self._sound.discard(token_or_pool)
        _log.warning("set aside", chain=self.chain, what=token_or_pool, why=reason)
        rows = list(self._rows_of_token.get(token_or_pool, ()))
        if token_or_pool in self._row_of:
            rows.append(self._row_of[token_or_pool])
        for row in rows:
            self._draw(row)

    def unproven(self) -> list[tuple[Address, Address]]:
        """Return the tokens not yet proven, each with a pool that holds some."""
        found = []
        for token, rows in self._rows_of_token.items():
            if token in self._sound or token in self._aside:
                continue
            holder = next((r for r in rows if self._funded(r)), None)
            if holder is not None:
                found.append((token, self.pools[holder].address))
        return found

    def mark_proven(self, proofs: Sequence[TokenProof]) -> None:
        """Let the pools of sound tokens into the search, and set the others aside."""
        rows: set[int] = set()
        for proof in proofs:
            if not proof.sound:
                self.set_aside(proof.token, proof.reason)
            elif proof.token not in self._aside:
                self._sound.add(proof.token)
                rows.update(self._rows_of_token.get(proof.token, ()))
        for row in sorted(rows):
            self._draw(row)
        self.topology += 1

    def why_not(self, row: int) -> str:
        """Return why a row is not searched, or an empty text."""
        pool = self.pools[row]
        if row in self._stale:
            return self._stale[row]
        for subject in (pool.address, pool.token0, pool.token1):
            if subject in self._aside:
                return self._aside[subject]
        if pool.token0 in self._sound and pool.token1 in self._sound:
            return ""
        return "its tokens are not proven yet"

    def views(self) -> list[PoolView]:
        """Return every pool with the reason why it is not searched."""
        return [PoolView(row, pool, self.why_not(row)) for row, pool in enumerate(self.pools)]

    def statistics(self) -> MarketStatistics:
        """Return the counters."""
        reasons = Counter(view.set_aside for view in self.views())
        searched = reasons.pop("", 0)
        return MarketStatistics(
            len(self.pools),
            searched,
            dict(reasons),
            self._blocks,
            self._logs,
            dict(self._malformed),
            dict(self._not_followed),
            self._overlays,
        )

    # ---- asking

    def state(self, row: int) -> Any:
        """Return a row's exact state: immutable, of its protocol's own type."""
        return self._states[row]

    def quote(self, row: int, block: QuoteBlock, amount_in: int, *, zero_for_one: bool) -> Quote:
        """Return exactly what a pool pays.

        Raises:
            SwapRefused: the contract would revert.
        """
        pool = self.pools[row]
        tokens = (pool.token0, pool.token1) if zero_for_one else (pool.token1, pool.token0)
        return self.protocol(row).quote_exact_in(self._states[row], block, *tokens, amount_in)

    def protocol(self, row: int) -> FollowedProtocol[Any]:
        """Return a row's protocol."""
        return self._protocol_of[self.pools[row].protocol]

    def row(self, pool: Address) -> int | None:
        """Return a pool's row, if it is followed."""
        return self._row_of.get(pool)

    def decimals(self, token: Address) -> int | None:
        """Return a token's decimals, if they are known."""
        return self._decimals.get(token)

    def token(self, name: str) -> Address:
        """Return the address of a token that the operator named, or wrote as an address.

        Raises:
            Misconfigured: no token has that name.
        """
        if name in self._tokens:
            return Address(self._tokens[name].address)
        if name.startswith("0x"):
            try:
                return address(name)
            except ValueError as error:
                raise Misconfigured(str(error)) from error
        raise Misconfigured(
            f"chain {self.chain} has no token called {name!r}: {did_you_mean(name, self._tokens)}"
        )

    # ---- rows

    def _configured(self) -> list[Address]:
        named = [Address(t.address) for t in self._tokens.values()]
        return sorted({*named, self.wrapped_native})

    def _announcement(self, log: Log) -> Pool | None:
        found = self._factories.get(log.address)
        if found is None or not log.topics:
            return None
        if log.topics[0] != self._protocol_of[found[1].protocol].created_topic:
            return None
        return self._announced(log)

    def _announced(self, log: Log) -> Pool | None:
        """Return the pool that a factory's log announces, unless it is not to be followed."""
        name, dex = self._factories[log.address]
        try:
            pool = self._protocol_of[dex.protocol].announced(name, dex, log)
        except MalformedLog as error:
            self._not_followed[f"{name}: malformed announcement"] += 1
            _log.warning("announcement skipped", chain=self.chain, dex=name, why=str(error))
            return None
        if pool.address in self._row_of:
            return None
        if self._discovery.only_configured_tokens and not {pool.token0, pool.token1}.issubset(
            self._configured()
        ):
            self._not_followed["a token that is not configured"] += 1
            return None
        if len(self.pools) >= self._discovery.most_pools:
            self._not_followed["beyond most_pools"] += 1
            return None
        return pool

    def _add(self, pool: Pool) -> None:
        protocol = self._protocol_of[pool.protocol]
        row = self.arrays.add(protocol.segments(pool))
        self.pools.append(pool)
        self._states.append(protocol.new(pool))
        self._row_of[pool.address] = row
        for token in (pool.token0, pool.token1):
            self._rows_of_token.setdefault(token, []).append(row)
        self.topology += 1

    def _draw(self, row: int) -> None:
        """Bring a row's float image up to date with its exact state and its standing."""
        pool = self.pools[row]
        self._protocol_of[pool.protocol].draw(pool, self._states[row], row, self.arrays)
        if self.why_not(row):
            self.arrays.kill(row)

    def _funded(self, row: int) -> bool:
        if row in self._stale or self.pools[row].address in self._aside:
            return False
        return self._protocol_of[self.pools[row].protocol].funded(self._states[row])


def _followed(dex: str, protocol: str, protocols: Registry[Protocol[Any]]) -> FollowedProtocol[Any]:
    kind = protocols.load(protocol)
    if not _can_be_followed(kind):
        followed = [name for name in protocols.names() if _can_be_followed(protocols.load(name))]
        raise Misconfigured(
            f"dexes.{dex}.protocol is {protocol!r}, whose pools are quoted and not followed: write"
            f" one of {', '.join(followed)}"
        )
    return kind(kind.Config())


def _can_be_followed(kind: type[Protocol[Any]]) -> TypeGuard[type[FollowedProtocol[Any]]]:
    """Return whether factories announce its pools and logs alone keep them exact."""
    return issubclass(kind, FollowedProtocol) and not kind.volatile
