"""How pools come into the market: announced, read, and read again for what no log tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

import structlog
from msgspec.structs import replace

from searcher.domain.errors import Misconfigured, Rejected, Retryable
from searcher.domain.events import BlockRef, Log
from searcher.domain.units import Address
from searcher.market.contents import Contents, Nameless
from searcher.market.decoding import MalformedLog
from searcher.market.discovery import announcements, factories_of
from searcher.market.journal import Journal
from searcher.market.log_routes import FROZEN, LogRoutes
from searcher.market.node import Node, read_words
from searcher.market.pools import Pools
from searcher.market.protocol import Announcement, FollowedProtocol, Pool
from searcher.market.reads import Reads, carry_out_together
from searcher.market.settings import DexSettings, DiscoverySettings, FollowingSettings
from searcher.market.standing import Standing
from searcher.market.states import States

_log = structlog.get_logger(__name__)

DECIMALS: Final = "0x313ce567"
NOT_READ: Final = "volatile fields not read"
NOT_THERE_YET: Final = "not read yet"
_READ_AT_ONCE: Final = 4096
"""Pools whose states are Python objects at the same time, while they are read."""
_ATTEMPTS: Final = 8
"""Blocks in which a pool of unknown tokens is read again, before it is given up."""


class Intake:
    """Takes pools in, and reads what they hold.

    Args:
        chain: its config name.
        dexes: the DEXes to follow, by name.
        protocols: their protocols, by name.
        decimals: of the tokens that the operator named; those that are read are added.
        wrapped_native: a token that counts as named.
        discovery: which pools are followed, and how many calls share a request.
        following: what is read for each block.
        pools: where pools are added.
        routes: which family a pool's logs are of.
        states: what they hold.
        standing: what is known against them.
        journal: takes all of it back.

    Raises:
        Misconfigured: the settings of a DEX do not fit its protocol.
    """

    def __init__(
        self,
        *,
        chain: str,
        dexes: Mapping[str, DexSettings],
        protocols: Mapping[str, FollowedProtocol[Any]],
        decimals: dict[Address, int],
        wrapped_native: Address,
        discovery: DiscoverySettings,
        following: FollowingSettings,
        pools: Pools,
        routes: LogRoutes,
        states: States,
        standing: Standing,
        journal: Journal,
    ) -> None:
        self.not_followed: Counter[str] = Counter()
        self._chain = chain
        self._dexes = dexes
        self._protocol_of = protocols
        self._decimals = decimals
        self._configured = frozenset({*decimals, wrapped_native})
        self._discovery = discovery
        self._following = following
        self._pools = pools
        self._routes = routes
        self._states = states
        self._standing = standing
        self._journal = journal
        self._without_decimals: dict[Address, None] = {}
        self._volatile_pools: list[int] = []
        self._refreshed: dict[int, int] = {}
        self._awaited: dict[int, None] = {}
        self._nameless: dict[str, Nameless] = {}
        self._factories: dict[Address, tuple[str, DexSettings]] = {}
        for name, dex in dexes.items():
            protocols[dex.protocol].check(name, dex)
            factory = Address(dex.factory)
            if factory in self._factories:
                raise Misconfigured(
                    f"dexes.{name}.factory is that of {self._factories[factory][0]}"
                    " too: leave one of them out"
                )
            self._factories[factory] = (name, dex)
            pools.slow_down(factory)

    @property
    def is_behind(self) -> bool:
        """Whether there is something that logs do not tell."""
        return bool(
            self._volatile_pools or self._awaited or self._nameless or self._without_decimals
        )

    # ---- announcements

    async def find(self, rpc: Node, head: BlockRef, *, not_before: int) -> None:
        """Take in every pool announced from a block up to the head."""
        factories = factories_of(
            ((d, self._protocol_of[d.protocol].created_topics) for d in self._dexes.values()),
            not_before=not_before,
        )
        only = sorted(self._configured) if self._discovery.only_configured_tokens else None
        async for log in announcements(rpc, factories, head.number, only, self._discovery):
            self.meet(log, again=True)
            await asyncio.sleep(0)  # other chains share this loop

    def announces(self, log: Log) -> bool:
        """Return whether a log is a configured factory's, and announces a pool."""
        found = self._factories.get(log.address)
        if found is None or not log.topics:
            return False
        return log.topics[0] in self._protocol_of[found[1].protocol].created_topics

    def meet(self, log: Log, *, again: bool) -> None:
        """Take in the pool that a factory's log announces, unless it is not to be followed.

        Args:
            log: the announcement.
            again: whether it may have been read before.
        """
        name, dex = self._factories[log.address]
        try:
            said = self._protocol_of[dex.protocol].announced(name, dex, log)
            if said.id in self._pools.routes or said.id in self._nameless:
                if not again:
                    self.not_followed[f"{name}: a pool announced twice"] += 1
            elif not said.tokens:
                self._wait_for(Nameless(name, dex.protocol, said))
                self._journal.note(partial(self._forget_nameless, said.id))
            else:
                self.add(name, dex.protocol, said, said.tokens)
        except MalformedLog as error:
            self.not_followed[f"{name}: malformed announcement"] += 1
            _log.warning("announcement skipped", chain=self._chain, dex=name, why=str(error))

    def add(
        self, dex: str, name: str, said: Announcement, tokens: tuple[Address, ...]
    ) -> int | None:
        """Add a pool, empty as it was created; return its number unless it is not to be followed.

        Raises:
            MalformedLog: no pool of this protocol can be so.
        """
        if self._discovery.only_configured_tokens and not self._configured.issuperset(tokens):
            self.not_followed["a token that is not configured"] += 1
            return None
        if len(set(tokens)) != len(tokens) or len(tokens) < 2:
            raise MalformedLog(f"a pool of {', '.join(tokens)}")
        full = len(self._pools.pools) >= self._discovery.most_pools
        if full or not self._pools.has_room(len(tokens)):
            self.not_followed["beyond most_pools"] += 1
            return None
        protocol = self._protocol_of[name]
        pool = Pool(said.id, said.address, name, dex, tokens, said.fee_pips, said.tick_spacing)
        try:
            state = protocol.new(pool)
        except ValueError as error:
            raise MalformedLog(str(error)) from error
        number = self._pools.add(pool, protocol, self._routes.family(name))
        self._journal.note(self._remove_last)
        for token in tokens:
            self._standing.meet(token)
            if token not in self._decimals:
                self._without_decimals[token] = None
        self._begin(number, state)
        return number

    def _begin(self, number: int, state: Any) -> None:
        """Give a pool its first state, or wait for it to be read."""
        volatile = bool(self._protocol(number).volatile)
        if volatile:
            self._volatile_pools.append(number)
        if state is None:
            self._awaited[number] = None
            self._standing.mark(self._standing.unread, number, NOT_THERE_YET)
        else:
            self._states.put(number, state)
            if volatile:
                self._standing.mark(self._standing.unread, number, NOT_READ)
        for row in self._pools.rows_of(number):
            self._standing.stand(row)
            self._standing.changes.rows.add(row)

    def _remove_last(self) -> None:
        number = len(self._pools.pools) - 1
        for row in self._pools.rows_of(number):
            self._standing.give_up(row)
        tokens = self._pool(number).tokens
        self._states.remove(number)
        self._awaited.pop(number, None)
        self._refreshed.pop(number, None)
        if self._volatile_pools and self._volatile_pools[-1] == number:
            self._volatile_pools.pop()
        self._pools.remove_last()
        for token in tokens:
            self._standing.part(token)

    # ---- reading

    async def read_all(self, rpc: Node, head: BlockRef) -> None:
        """Read every pool at exactly `head`, and the decimals that are not known."""
        nameless = list(self._nameless.values())
        reads = [self._protocol_of[e.protocol].reads(e.announcement.identity) for e in nameless]
        batch = self._discovery.batch_calls
        states = await carry_out_together(reads, rpc, head, batch_calls=batch)
        for each, state in zip(nameless, states, strict=True):
            self._take_nameless(each, state)
        for name in self._protocol_of:
            await self.read_pools(rpc, head, name)
        await self._read_decimals(rpc, head)

    async def read_pools(self, rpc: Node, head: BlockRef, name: str) -> None:
        """Read every pool of a protocol at exactly `head`."""
        protocol = self._protocol_of[name]
        numbers = [n for n, pool in enumerate(self._pools.pools) if pool.protocol == name]
        for begin in range(0, len(numbers), _READ_AT_ONCE):
            part = numbers[begin : begin + _READ_AT_ONCE]
            states = await protocol.read(
                rpc,
                [self._pools.pools[n] for n in part],
                head,
                batch_calls=self._discovery.batch_calls,
            )
            for number, state in zip(part, states, strict=True):
                self.take_state(number, state)
                await asyncio.sleep(0)

    def take_state(self, number: int, state: Any) -> None:
        """Take what a pool was read to hold, or why it could not be read."""
        if isinstance(state, str):
            self.set_broken(number, state)
            return
        if number in self._awaited:
            del self._awaited[number]
            self._journal.note(partial(self._awaited.__setitem__, number, None))
        self._states.put(number, state)
        self._set_family(number, self._routes.family(self._pool(number).protocol))
        self._standing.mark(self._standing.broken, number, "")
        self._standing.mark(self._standing.unread, number, "")
        self._standing.changes.rows.update(self._pools.rows_of(number))

    # ---- as a value

    def awaited(self) -> list[int]:
        """Return the pools still to be read, by number."""
        return list(self._awaited)

    def nameless(self) -> list[Nameless]:
        """Return copies of the pools that were announced without their tokens."""
        return [replace(each) for each in self._nameless.values()]

    def resume(self, contents: Contents) -> None:
        """Wait for what another market waited for, which held the same pools.

        Values of a block are not known: their pools are out of the search until they are read.
        """
        self._decimals.update(contents.decimals)
        self._without_decimals = {
            token: None
            for token in self._pools.rows_of_token
            if token not in self._decimals and token not in contents.aside
        }
        for number in contents.broken:
            self._pools.set_family(number, FROZEN)
        moving = {name for name, protocol in self._protocol_of.items() if protocol.volatile}
        self._volatile_pools = [
            number for number, pool in enumerate(contents.pools) if pool.protocol in moving
        ]
        for number in self._volatile_pools:
            self._standing.mark(self._standing.unread, number, NOT_READ)
        for number in contents.awaited:
            self._awaited[number] = None
            self._standing.mark(self._standing.unread, number, NOT_THERE_YET)
        for each in contents.nameless:
            self._wait_for(each)

    async def _read_decimals(self, rpc: Node, head: BlockRef) -> None:
        unknown = list(self._without_decimals)
        answers = await read_words(
            rpc,
            [(token, DECIMALS) for token in unknown],
            head,
            batch_calls=self._discovery.batch_calls,
        )
        self._without_decimals.clear()
        for token, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, str):
                self._set_aside(token, f"decimals: {answer}")
            elif answer[0] > 77:
                self._set_aside(token, f"decimals of {answer[0]}")
            else:
                self._decimals[token] = answer[0]

    async def refresh(
        self, rpc: Node, block: BlockRef, head: Callable[[], BlockRef | None]
    ) -> None:
        """Read what the logs of `block` do not tell; see `Market.refresh_volatile`.

        Args:
            rpc: the node.
            block: where to read.
            head: returns the market's head: what was read of another block is dropped.
        """
        awaited, nameless = list(self._awaited), list(self._nameless.values())
        due, left_out = self._due()
        reads = [
            *(self._reads(n) for n in awaited),
            *(self._protocol_of[e.protocol].reads(e.announcement.identity) for e in nameless),
            *(self._protocol(n).refresh(self._states.get(n)) for n in due),
        ]
        try:
            await self._read_decimals(rpc, block)
            said = await carry_out_together(
                reads, rpc, block, batch_calls=self._discovery.batch_calls
            )
        except (Retryable, Rejected) as error:
            said = [str(error)] * len(reads)
        if head() != block:
            return
        answers = iter(said)
        for number, state in zip(awaited, islice(answers, len(awaited)), strict=True):
            if not isinstance(state, str):
                self.take_state(number, state)
        for each, state in zip(nameless, islice(answers, len(nameless)), strict=True):
            self._take_nameless(each, state)
        for number, values in zip(due, answers, strict=True):
            self._take_volatile(number, values, block)
        for number in left_out:
            why = f"{NOT_READ}: more pools than volatile_pools"
            self._standing.mark(self._standing.unread, number, why)

    def _due(self) -> tuple[list[int], list[int]]:
        """Return the pools whose volatile values are to be read, and those beyond the budget."""
        held = self._standing.broken.keys() | self._awaited.keys()
        pools = [n for n in self._volatile_pools if n not in held]
        pools.sort(key=lambda number: self._refreshed.get(number, -1))
        most = self._following.volatile_pools
        return pools[:most], pools[most:]

    def _take_volatile(self, number: int, values: Any, block: BlockRef) -> None:
        why = f"{NOT_READ}: {values}" if isinstance(values, str) else ""
        if not why:
            try:
                if self._states.set_volatile(number, values):
                    self._standing.changes.rows.update(self._pools.rows_of(number))
                self._refreshed[number] = block.number
            except ValueError as error:
                why = f"{NOT_READ}: {error}"
        self._standing.mark(self._standing.unread, number, why)

    def _take_nameless(self, each: Nameless, state: Any) -> None:
        """Take in a pool that was announced without its tokens, if it could be read."""
        each.attempts += 1
        if isinstance(state, str):
            if each.attempts >= _ATTEMPTS:
                del self._nameless[each.announcement.id]
                self.not_followed[f"{each.dex}: unreadable"] += 1
            return
        del self._nameless[each.announcement.id]
        self._journal.note(partial(self._wait_for, each))
        tokens = self._protocol_of[each.protocol].tokens_of(state)
        try:
            number = self.add(each.dex, each.protocol, each.announcement, tokens)
        except MalformedLog:
            self.not_followed[f"{each.dex}: unreadable"] += 1
            return
        if number is not None:
            self.take_state(number, state)

    def _forget_nameless(self, pool_id: str) -> None:
        self._nameless.pop(pool_id, None)

    def _wait_for(self, each: Nameless) -> None:
        self._nameless[each.announcement.id] = each

    def _reads(self, number: int) -> Reads[Any]:
        return self._protocol(number).reads(self._protocol(number).identity(self._pool(number)))

    def _pool(self, number: int) -> Pool:
        return self._pools.pools[number]

    def _protocol(self, number: int) -> FollowedProtocol[Any]:
        return self._protocol_of[self._pool(number).protocol]

    def _set_aside(self, token: Address, why: str) -> None:
        _log.warning("set aside", chain=self._chain, what=token, why=why)
        self._standing.set_aside(token, why)

    def set_broken(self, number: int, why: str, *, quietly: bool = False) -> None:
        """Take a pool out of the search until it is read again; its logs are not applied."""
        if not quietly:
            pool = self._pool(number).id
            _log.warning("pool set aside", chain=self._chain, pool=pool, why=why)
        self._set_family(number, FROZEN)
        self._standing.mark(self._standing.broken, number, why)
        self._standing.changes.rows.update(self._pools.rows_of(number))

    def _set_family(self, number: int, family: int) -> None:
        old = self._pools.family(number)
        if old != family:
            self._pools.set_family(number, family)
            self._journal.note(partial(self._pools.set_family, number, old))
