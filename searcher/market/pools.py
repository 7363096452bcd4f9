"""What pools there are: their numbers, their rows, and to which of them a log belongs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from searcher.domain.units import Address
from searcher.kernels.memory import KIND
from searcher.market.memory import MarketMemory
from searcher.market.protocol import FollowedProtocol, Pool, Quote, Row

SLOW: Final = -1
"""The route of an address whose logs are looked at one by one."""
FAMILY_BITS: Final = 6
FAMILY_MASK: Final = (1 << FAMILY_BITS) - 1
_NO_QUOTE: Final = Quote(0, 0)
_ONE_CROSSING: Final = Quote(0, 0, 1)


class Pools:
    """The pools of a market.

    `routes` leads from an emitter's address, and from a pool's id, to the pool's first row and its
    family (`row << FAMILY_BITS | family`), or is SLOW where an address has no pool of its own.

    Args:
        memory: where rows lie.
    """

    def __init__(self, memory: MarketMemory) -> None:
        self.pools: list[Pool] = []
        self.rows: list[Row] = []
        self.routes: dict[str, int] = {}
        self.rows_of_token: dict[Address, list[int]] = {}
        self.watchers: dict[Address, list[int]] = {}
        """Pools that a foreign contract's logs change too, by that contract."""
        self.hosts: dict[Address, list[FollowedProtocol[Any]]] = {}
        """Contracts that hold many pools, and of which protocols these are."""
        self._memory = memory
        self._first_row = array("q")

    def row(self, pool_id: str) -> int | None:
        """Return a pool's first row, if the pool is known."""
        route = self.routes.get(pool_id)
        return None if route is None or route == SLOW else route >> FAMILY_BITS

    def number(self, pool_id: str) -> int | None:
        """Return a pool's number, if it is known."""
        row = self.row(pool_id)
        return None if row is None else self.rows[row].pool

    def rows_of(self, number: int) -> range:
        """Return a pool's rows."""
        first = self._first_row[number]
        tokens = len(self.pools[number].tokens)
        return range(first, first + tokens * (tokens - 1) // 2)

    def has_room(self, tokens: int) -> bool:
        """Return whether a pool of so many tokens can be added."""
        wanted = tokens * (tokens - 1) // 2
        return self._memory.rows + wanted <= self._memory.most_rows

    def add(self, pool: Pool, protocol: FollowedProtocol[Any], family: int) -> int:
        """Add a pool with an empty row for each pair of its tokens; return its number."""
        memory, first = self._memory, self._memory.rows
        swap_gas = protocol.swap_gas(_NO_QUOTE)
        crossing_gas = protocol.swap_gas(_ONE_CROSSING) - swap_gas
        number = self._know(pool, protocol, family, first)
        for _ in range(first, len(self.rows)):
            row = memory.add()
            memory.shape[row, KIND] = protocol.kind
            memory.set_gas(row, swap_gas, crossing_gas)
        return number

    def resume(
        self,
        pools: Iterable[Pool],
        protocols: Mapping[str, FollowedProtocol[Any]],
        families: Mapping[str, int],
    ) -> None:
        """Know pools whose rows lie in the memory already, in this order.

        Args:
            pools: all of them, by number.
            protocols: by name.
            families: how their logs are applied, by protocol.
        """
        for pool in pools:
            name = pool.protocol
            self._know(pool, protocols[name], families[name], len(self.rows))

    def _know(self, pool: Pool, protocol: FollowedProtocol[Any], family: int, first: int) -> int:
        """Give a pool its number, and its pairs of tokens the rows from `first` on."""
        number, tokens = len(self.pools), pool.tokens
        self.pools.append(pool)
        self._first_row.append(first)
        row = first
        for place0, place1 in combinations(range(len(tokens)), 2):
            self.rows.append(Row(number, tokens[place0], tokens[place1], place0, place1))
            self.rows_of_token.setdefault(tokens[place0], []).append(row)
            self.rows_of_token.setdefault(tokens[place1], []).append(row)
            row += 1
        self.set_family(number, family)
        if pool.id != pool.address:
            self.slow_down(pool.address)
            hosted = self.hosts.setdefault(pool.address, [])
            if protocol not in hosted:
                hosted.append(protocol)
        return number

    def remove_last(self) -> None:
        """Take back what the last `add` did."""
        pool, first = self.pools.pop(), self._first_row.pop()
        while len(self.rows) > first:
            for token in self.rows.pop()[1:3]:
                rows = self.rows_of_token[token]
                rows.pop()
                if not rows:
                    del self.rows_of_token[token]
            self._memory.remove_last()
        del self.routes[pool.id]

    def family(self, number: int) -> int:
        """Return how the logs of a pool are applied."""
        return self.routes[self.pools[number].id] & FAMILY_MASK

    def set_family(self, number: int, family: int) -> None:
        """Say how the logs of a pool are applied."""
        route = self._first_row[number] << FAMILY_BITS | family
        self.routes[self.pools[number].id] = route

    def slow_down(self, contract: Address) -> None:
        """Have the logs of a contract that is no pool looked at one by one."""
        self.routes.setdefault(contract, SLOW)

    def watch(self, number: int, contract: Address) -> None:
        """Have a contract's logs change a pool too."""
        self.slow_down(contract)
        self.watchers.setdefault(contract, []).append(number)

    def unwatch(self, number: int, contract: Address) -> None:
        """Take back what `watch` did."""
        self.watchers[contract].remove(number)
