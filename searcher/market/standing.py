"""Which rows are searched, and why the others are not."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from msgspec import Struct

from searcher.domain.events import BlockRef
from searcher.domain.units import Address
from searcher.kernels.hops import write_rates
from searcher.kernels.memory import ALIVE
from searcher.market.journal import Journal
from searcher.market.memory import MarketMemory
from searcher.market.pools import Pools

_MISSING: Final = object()


class MarketDelta(Struct, frozen=True):
    """What changed since the delta before it, rows ascending.

    `rows` are those whose curve changed, `left` those that left the search and `entered` those that
    joined it. A row in both left first: its number was given to another pair, or it came back.
    """

    parent: BlockRef
    rows: tuple[int, ...]
    entered: tuple[int, ...] = ()
    left: tuple[int, ...] = ()


def joined(*deltas: MarketDelta) -> MarketDelta:
    """Return deltas that followed each other as one, on the last one's head."""
    rows: set[int] = set()
    entered: set[int] = set()
    left: set[int] = set()
    for delta in deltas:
        rows.update(delta.rows)
        left.update(set(delta.left) - entered)
        entered -= set(delta.left)
        entered.update(delta.entered)
    return MarketDelta(deltas[-1].parent, *(tuple(sorted(part)) for part in (rows, entered, left)))


class Changes:
    """Rows that changed, entered or left since the last delta was made."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.entered: set[int] = set()
        self.left: set[int] = set()

    def delta(self, head: BlockRef) -> MarketDelta:
        """Return what has gathered, and begin anew."""
        parts = [tuple(sorted(part)) for part in (self.rows, self.entered, self.left)]
        self.rows, self.entered, self.left = set(), set(), set()
        return MarketDelta(head, *parts)


class Standing:
    """What is known against rows: of their tokens, of their pools for good, of this block.

    Args:
        pools: the pools.
        memory: where a row's standing is told to kernels.
        journal: takes back what was learnt on a block that is taken back.
    """

    def __init__(self, pools: Pools, memory: MarketMemory, journal: Journal) -> None:
        self.changes = Changes()
        self.topology = 0
        """Grows whenever a row joins the search, or its number is given up."""
        self.aside: dict[str, str] = {}
        """Tokens and pools (by id) set aside, and why."""
        self.broken: dict[int, str] = {}
        """Pools whose state is not known until they are read again, and why."""
        self.unread: dict[int, str] = {}
        """Pools with values of this block that could not be read, and why."""
        self.sound: set[Address] = set()
        self.unproven: dict[Address, None] = {}
        self._pools = pools
        self._memory = memory
        self._journal = journal

    def resume(self, sound: set[Address], aside: dict[str, str], broken: dict[int, str]) -> None:
        """Know what was known against pools whose rows lie in the memory already."""
        self.sound, self.aside, self.broken = sound, aside, broken
        for token in self._pools.rows_of_token:
            self.meet(token)
        self.topology += 1

    def is_good(self, number: int) -> bool:
        """Return whether nothing is known against a pool's state, or against the pool."""
        return number not in self.broken and self._pools.pools[number].id not in self.aside

    def why_not(self, row: int) -> str:
        """Return why a row is not searched, or an empty text."""
        number, token0, token1, *_ = self._pools.rows[row]
        why = self.broken.get(number) or self.unread.get(number)
        if why:
            return why
        if self.aside:
            for subject in (self._pools.pools[number].id, token0, token1):
                if subject in self.aside:
                    return self.aside[subject]
        if token0 in self.sound and token1 in self.sound:
            return ""
        return "its tokens are not proven yet"

    def stand(self, row: int) -> None:
        """Tell kernels whether a row is searched, and write its rates."""
        alive = not self.why_not(row)
        if alive != bool(self._memory.real[row, ALIVE]):
            self._memory.set_alive(row, alive=alive)
            self.changes.rows.add(row)
            if alive:
                self.changes.entered.add(row)
                self.topology += 1
            else:
                self._leave(row)
        write_rates(self._memory.table, row)

    def give_up(self, row: int) -> None:
        """Say that a row is about to be removed."""
        if self._memory.real[row, ALIVE]:
            self._leave(row)
        self.changes.rows.discard(row)
        self.topology += 1

    def part(self, token: Address) -> None:
        """Take note that a pool of a token was removed."""
        if token not in self._pools.rows_of_token:
            self.unproven.pop(token, None)

    def meet(self, token: Address) -> None:
        """Take note of a token that a pool has."""
        if token not in self.sound and token not in self.aside:
            self.unproven[token] = None

    def set_aside(self, token_or_pool: str, reason: str) -> None:
        """Take a token's rows, or one pool's, out of the search until the process ends."""
        self.aside[token_or_pool] = reason
        self.sound.discard(Address(token_or_pool))
        self.unproven.pop(Address(token_or_pool), None)
        for row in self._concerned(token_or_pool):
            self.stand(row)

    def judge(self, token: Address, reason: str) -> None:
        """Take the proof of a token, sound when there is no reason against it."""
        if token in self.aside:
            return
        was = token in self.sound
        if reason:
            self.set_aside(token, reason)
        else:
            self.sound.add(token)
            self.unproven.pop(token, None)
            for row in self._concerned(token):
                self.stand(row)
        self._journal.note(partial(self._unjudge, token, reason, was))

    def mark(self, marks: dict[int, str], number: int, why: str) -> None:
        """Write into `broken` or `unread` what is known against a pool; nothing if it is empty."""
        old: Any = marks.get(number, _MISSING)
        if old == why or (not why and old is _MISSING):
            return
        _put(marks, number, why or _MISSING)
        self._journal.note(partial(self._unmark, marks, number, old))
        self._stand_all(number)

    def _unmark(self, marks: dict[int, str], number: int, old: Any) -> None:
        _put(marks, number, old)
        self._stand_all(number)

    def _unjudge(self, token: Address, reason: str, was_sound: bool) -> None:
        if reason and self.aside.get(token) == reason:
            del self.aside[token]
        if was_sound:
            self.sound.add(token)
        else:
            self.sound.discard(token)
            self.meet(token)
        for row in self._concerned(token):
            self.stand(row)

    def _stand_all(self, number: int) -> None:
        for row in self._pools.rows_of(number):
            self.stand(row)

    def _concerned(self, token_or_pool: str) -> list[int]:
        rows = list(self._pools.rows_of_token.get(Address(token_or_pool), ()))
        number = self._pools.number(token_or_pool)
        return rows if number is None else [*rows, *self._pools.rows_of(number)]

    def _leave(self, row: int) -> None:
        if row in self.changes.entered:
            self.changes.entered.discard(row)
        else:
            self.changes.left.add(row)


def _put(marks: dict[int, str], number: int, value: Any) -> None:
    if value is _MISSING:
        marks.pop(number, None)
    else:
        marks[number] = value
