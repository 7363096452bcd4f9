"""How pools come into the market: announced, read, and read again for what no log tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

import structlog

from searcher.domain.errors import Rejected, Retryable
from searcher.domain.events import BlockRef, Log
from searcher.domain.units import Address
from searcher.market.census import Census
from searcher.market.checkpoint import FoundPool
from searcher.market.contents import Contents, Nameless
from searcher.market.decoding import MalformedLog
from searcher.market.discovery import Discovery, Progress, Watch
from searcher.market.filters import (
    NOT_ALLOWED,
    TokenFilter,
    ValueWei,
    Weighed,
    choose,
    rough_values,
)
from searcher.market.journal import Journal
from searcher.market.log_routes import FROZEN, LogRoutes
from searcher.market.node import Node, read_words
from searcher.market.pools import Pools
from searcher.market.protocol import FollowedProtocol, Pool
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
_PATIENCE_BLOCKS: Final = 8
"""How long a pool of unknown tokens is read again, before it is given up."""


class Intake:
    """Takes pools in, and reads what they hold.

    Args:
        chain: its config name.
        dexes: the DEXes to follow, by name.
        protocols: their protocols, by name.
        decimals: of the tokens that the operator named; those that are read are added.
        census: who announces pools.
        finder: collects announcements.
        watch: told how far reading is.
        tokens: which tokens are followed.
        native: the wrapped native coin.
        value_of: prices, to weigh pools by; roughly their own where None.
        discovery: which pools are followed, and how many calls share a request.
        following: what is read for each block.
        pools: where pools are added.
        routes: which family a pool's logs are of.
        states: what they hold.
        standing: what is known against them.
        journal: takes all of it back.

    """

    def __init__(
        self,
        *,
        chain: str,
        dexes: Mapping[str, DexSettings],
        protocols: Mapping[str, FollowedProtocol[Any]],
        decimals: dict[Address, int],
        census: Census,
        finder: Discovery,
        watch: Watch,
        tokens: TokenFilter,
        native: Address,
        value_of: ValueWei | None,
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
        self._census = census
        self._finder = finder
        self._watch = watch
        self._tokens = tokens
        self._native = native
        self._value_of = value_of
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
        self._read = 0
        for announcer in census.announcers:
            pools.slow_down(announcer)

    @property
    def is_behind(self) -> bool:
        """Whether there is something that logs do not tell."""
        return bool(
            self._volatile_pools
            or self._awaited
            or self._nameless
            or self._without_decimals
            or self.leaves_open
        )

    # ---- announcements

    async def find(self, rpc: Node, head: BlockRef, *, not_before: int) -> None:
        """Take in every pool announced from a block up to the head."""
        found = (
            await self._finder.find_since(rpc, head, not_before)
            if not_before
            else await self._finder.find(rpc, head)
        )
        for pool in await self._screened(rpc, head, found):
            self._take_in(pool, again=True)
            await asyncio.sleep(0)  # other chains share this loop

    async def _screened(
        self, rpc: Node, head: BlockRef, found: Sequence[FoundPool]
    ) -> list[FoundPool]:
        """Return the pools worth following, the deepest where there are too many of them.

        All are read once to be weighed, and forgotten; those chosen are read again with the rest.
        """
        wanted = []
        for pool in found:
            objection = self._tokens.objection(pool.tokens) if pool.tokens else ""
            if objection:
                self.not_followed[objection] += 1
            elif pool.id not in self._pools.routes and pool.id not in self._nameless:
                wanted.append(pool)
        room = self._discovery.most_pools - len(self._pools.pools) - len(self._nameless)
        if len(wanted) <= room and not self._discovery.least_liquidity_native:
            return wanted
        weighed = await self._weigh(rpc, head, wanted)
        value_of = self._value_of or rough_values(weighed, self._native)
        settings = self._discovery.model_copy(update={"most_pools": max(0, room)})
        choice = choose(weighed, value_of, settings)
        self.not_followed.update(choice.left_out)
        return [wanted[place] for place in sorted(choice.pools)]

    async def _weigh(self, rpc: Node, head: BlockRef, found: Sequence[FoundPool]) -> list[Weighed]:
        weighed = []
        by_protocol: dict[str, list[int]] = {}
        for place, pool in enumerate(found):
            by_protocol.setdefault(self._dexes[pool.dex].protocol, []).append(place)
        done = 0
        for name, places in by_protocol.items():
            protocol = self._protocol_of[name]
            for begin in range(0, len(places), _READ_AT_ONCE):
                part = places[begin : begin + _READ_AT_ONCE]
                pools = [self._as_pool(found[p], found[p].tokens) for p in part]
                batch = self._discovery.batch_calls
                states = await protocol.read(rpc, pools, head, batch_calls=batch)
                for place, state in zip(part, states, strict=True):
                    if isinstance(state, str):
                        self.not_followed["unreadable when it was weighed"] += 1
                        continue
                    tokens, amounts = zip(*protocol.holdings(state), strict=True)
                    weighed.append(Weighed(place, tokens, amounts))
                done += len(part)
                self._watch(Progress(self._chain, "pools", done, len(found), len(found)))
                await asyncio.sleep(0)
        return weighed

    def announces(self, log: Log) -> bool:
        """Return whether a log is a configured announcer's, and announces a pool."""
        return self._census.announces(log)

    def meet(self, log: Log) -> None:
        """Take in the pools that a log announces, unless they are not to be followed.

        What the log leaves open is read with the next `refresh`.
        """
        for found in self._census.take(log):
            self._take_in(found, again=False)

    def left_out(self) -> dict[str, int]:
        """Return what is not followed, by cause."""
        return dict(self.not_followed + Counter(self._census.statistics().refused))

    def _take_in(self, found: FoundPool, *, again: bool) -> None:
        """Take in a pool; `again` says that it may have been found before."""
        if found.id in self._pools.routes or found.id in self._nameless:
            if not again:
                self.not_followed[f"{found.dex}: a pool announced twice"] += 1
        elif not found.tokens:
            self._wait_for(Nameless(found, self._states.block.number))
            self._journal.note(partial(self._forget_nameless, found.id))
        else:
            try:
                self.add(found, found.tokens)
            except MalformedLog as error:
                self.not_followed[f"{found.dex}: malformed announcement"] += 1
                _log.warning(
                    "announcement skipped", chain=self._chain, dex=found.dex, why=str(error)
                )

    def add(self, found: FoundPool, tokens: tuple[Address, ...]) -> int | None:
        """Add a pool, empty as it was created; return its number unless it is not to be followed.

        Raises:
            MalformedLog: no pool of this protocol can be so.
        """
        objection = self._tokens.objection(tokens)
        if objection:
            self.not_followed[objection] += 1
            return None
        if len(set(tokens)) != len(tokens) or len(tokens) < 2:
            raise MalformedLog(f"a pool of {', '.join(tokens)}")
        full = len(self._pools.pools) >= self._discovery.most_pools
        if full or not self._pools.has_room(len(tokens)):
            self.not_followed["beyond most_pools"] += 1
            return None
        name = self._dexes[found.dex].protocol
        protocol = self._protocol_of[name]
        pool = self._as_pool(found, tokens)
        try:
            state = protocol.new(pool)
        except ValueError as error:
            raise MalformedLog(str(error)) from error
        number = self._pools.add(pool, protocol, self._routes.family(name))
        self._journal.note(self._remove_last)
        for token in tokens:
            if not self._tokens.usable(token) and token not in self._standing.aside:
                self._standing.set_aside(token, NOT_ALLOWED)
            self._standing.meet(token)
            if token not in self._decimals:
                self._without_decimals[token] = None
        self._begin(number, state)
        return number

    def _as_pool(self, found: FoundPool, tokens: tuple[Address, ...]) -> Pool:
        return Pool(
            found.id,
            found.address,
            self._dexes[found.dex].protocol,
            found.dex,
            tokens,
            found.fee_pips,
            found.tick_spacing,
            found.details,
        )

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
        reads = [self._reads_nameless(each) for each in nameless]
        batch = self._discovery.batch_calls
        states = await carry_out_together(reads, rpc, head, batch_calls=batch)
        for each, state in zip(nameless, states, strict=True):
            self._take_nameless(each, state)
        self._read = 0
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
            self._read += len(part)
            total = len(self._pools.pools)
            self._watch(Progress(self._chain, "pools", self._read, total, total))

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

    @property
    def leaves_open(self) -> bool:
        """Whether something was announced that reads have to complete."""
        waiting = self._census.waiting()
        return bool(waiting.announcements or waiting.lists)

    def listed(self) -> dict[str, int]:
        """Return how far the list of each DEX was read, by its name."""
        return self._finder.listed

    def nameless(self) -> list[Nameless]:
        """Return the pools that were announced without their tokens."""
        return list(self._nameless.values())

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
        self._finder.relist(contents.listed)

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
        await self._complete(rpc, block, head)
        awaited, nameless = list(self._awaited), list(self._nameless.values())
        due, left_out = self._due()
        reads = [
            *(self._reads(n) for n in awaited),
            *(self._reads_nameless(each) for each in nameless),
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

    async def _complete(
        self, rpc: Node, block: BlockRef, head: Callable[[], BlockRef | None]
    ) -> None:
        """Take in the pools that announcements have left to reads, if the node answers."""
        waiting = self._census.waiting()
        if not waiting.announcements and not waiting.lists:
            return
        before = self._finder.listed
        try:
            found = await self._finder.complete(rpc, block)
        except (Retryable, Rejected) as error:
            _log.warning("announced pools cannot be read", chain=self._chain, why=str(error))
            return
        if head() is None:
            self._finder.relist(before)
            return  # all of it is found again by whoever rebuilds
        self._journal.note(partial(self._finder.relist, before))
        for pool in found:
            self._take_in(pool, again=True)

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
        found = each.found
        unreadable = isinstance(state, str)
        if unreadable and self._states.block.number < each.since + _PATIENCE_BLOCKS:
            return
        del self._nameless[found.id]
        self._journal.note(partial(self._wait_for, each))
        if unreadable:
            self.not_followed[f"{found.dex}: unreadable"] += 1
            return
        tokens = self._protocol_for(found).tokens_of(state)
        try:
            number = self.add(found, tokens)
        except MalformedLog:
            self.not_followed[f"{found.dex}: unreadable"] += 1
            return
        if number is not None:
            self.take_state(number, state)

    def _forget_nameless(self, pool_id: str) -> None:
        self._nameless.pop(pool_id, None)

    def _wait_for(self, each: Nameless) -> None:
        self._nameless[each.found.id] = each

    def _reads_nameless(self, each: Nameless) -> Reads[Any]:
        protocol = self._protocol_for(each.found)
        return protocol.reads(protocol.identity(each.found))

    def _protocol_for(self, found: FoundPool) -> FollowedProtocol[Any]:
        return self._protocol_of[self._dexes[found.dex].protocol]

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
