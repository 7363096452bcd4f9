"""Which of many opportunities are taken together: those that exclude each other share a pool.

What pays first changes what the other was proven on, so of two that share a pool at most one is
taken. The choice goes by priority first and by expected profit second: within one priority it is
the set of the greatest sum that has no two members in conflict (a maximum-weight independent set),
found exactly in groups of conflicts as large as they occur, and by the best of two bounded ways in
larger ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from msgspec import Struct

MOST_STEPS: Final = 500
"""Branches looked at in one group of conflicts before the best set so far is taken: about 3 ms."""


class Priority(IntEnum):
    """Whose turn comes first when two strategies want the same pool."""

    LIQUIDATION = 0
    ARBITRAGE = 1
    BACKGROUND = 2


class InclusionOdds(Struct, frozen=True):
    """How likely a plan is to land, as calibrated; frozen for as long as the daemon runs.

    `constant` is a share from 0 to 1, the same for all plans.
    """

    constant: float = 1.0

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0.0 <= self.constant <= 1.0:
            raise ValueError(f"constant: expected a share from 0 to 1, found {self.constant}")

    def expected_wei(self, net_wei: int) -> float:
        """Return what is left on average of a plan that leaves `net_wei` if it lands."""
        return net_wei * self.constant


class Option(NamedTuple):
    """One of the opportunities to choose from.

    `worth` is its expected profit in wei; what is worth nothing is never chosen. `pools` are
    numbers of the pools that it touches.
    """

    worth: float
    priority: int
    pools: frozenset[int]


class Choice(NamedTuple):
    """The places of what is chosen, and whether a better set is ruled out within each priority."""

    places: list[int]
    proven: bool


def choose(options: Sequence[Option], *, most_steps: int = MOST_STEPS) -> Choice:
    """Choose options of which no two share a pool.

    Args:
        options: in any order; equal input gives equal output.
        most_steps: how far the exact search of one group of conflicts goes.

    Returns:
        Their places, by priority and then by worth, the greatest first.
    """
    taken: set[int] = set()
    chosen: list[int] = []
    proven = True
    for priority in sorted({option.priority for option in options}):
        places = [
            place
            for place, option in enumerate(options)
            if option.priority == priority and option.worth > 0.0
            if taken.isdisjoint(option.pools)
        ]
        best: list[int] = []
        for group in _groups(options, places):
            found = _Group(options, group, most_steps).best()
            best += found.places
            proven &= found.proven
        chosen += sorted(best, key=lambda place: (-options[place].worth, place))
        taken.update(*(options[place].pools for place in best))
    return Choice(chosen, proven)


def _groups(options: Sequence[Option], places: Sequence[int]) -> list[list[int]]:
    """Split options into groups such that conflicts lie within a group."""
    group_of_pool: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for place in places:
        met = sorted({group_of_pool[p] for p in options[place].pools if p in group_of_pool})
        number = met[0] if met else place
        members = groups.setdefault(number, [])
        members.append(place)
        for other in met[1:]:
            joined = groups.pop(other)
            members += joined
            group_of_pool.update(
                (pool, number) for member in joined for pool in options[member].pools
            )
        group_of_pool.update((pool, number) for pool in options[place].pools)
    return list(groups.values())


class _Group:
    """The exact search in one group: take or leave, the most valuable first, bounded from above.

    Of all options that touch one pool at most one is taken. So each is put under the most wanted
    of its pools, and what can still be added is worth no more than the best under every pool.
    """

    def __init__(self, options: Sequence[Option], places: Sequence[int], most_steps: int) -> None:
        wanted = Counter(pool for place in places for pool in options[place].pools)
        self._bit = {pool: 1 << n for n, pool in enumerate(wanted)}
        self._places = sorted(places, key=lambda place: (-options[place].worth, place))
        self._worth = [options[place].worth for place in self._places]
        self._pools = [sum(self._bit[p] for p in options[place].pools) for place in self._places]
        self._under = [
            self._bit[max(options[place].pools, key=lambda pool: (wanted[pool], pool))]
            if options[place].pools
            else 0
            for place in self._places
        ]
        self._steps = most_steps
        self._found: list[int] = []
        self._found_worth = 0.0

    def best(self) -> Choice:
        """Return the best set, and whether it is proven to be."""
        # Two quick sets first: whatever the steps allow, the answer is no worse than these.
        ranks = range(len(self._places))
        for order in (ranks, sorted(ranks, key=self._by_share)):
            picked: list[int] = []
            taken = 0
            for rank in order:
                if not taken & self._pools[rank]:
                    picked.append(rank)
                    taken |= self._pools[rank]
            self._keep(picked)
        self._search(0, [], 0, 0.0)
        return Choice([self._places[rank] for rank in self._found], self._steps >= 0)

    def _by_share(self, rank: int) -> tuple[float, int]:
        return -self._worth[rank] / max(self._pools[rank].bit_count(), 1), rank

    def _keep(self, picked: Sequence[int]) -> None:
        worth = sum(self._worth[rank] for rank in picked)
        if worth > self._found_worth:
            self._found, self._found_worth = list(picked), worth

    def _search(self, rank: int, picked: list[int], taken: int, worth: float) -> None:
        while rank < len(self._places):
            self._steps -= 1
            if self._steps < 0 or worth + self._bound(rank, taken) <= self._found_worth:
                return
            if not taken & self._pools[rank]:
                self._search(
                    rank + 1,
                    [*picked, rank],
                    taken | self._pools[rank],
                    worth + self._worth[rank],
                )
            rank += 1
        self._keep(picked)

    def _bound(self, rank: int, taken: int) -> float:
        seen = 0
        total = 0.0
        for later in range(rank, len(self._places)):
            under = self._under[later]
            # They come by worth: the first under a pool is the best one.
            if not (taken & self._pools[later] or seen & under):
                total += self._worth[later]
                seen |= under
        return total
