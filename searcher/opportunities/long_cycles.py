"""Cycles of five hops and more, searched for between blocks while nothing else is to be done.

Their number forbids a list of them, so they are found by a relaxation over the market's memory
(`kernels.long_cycles`), a slice at a time on the loop's own thread: the memory has one writer, and
what it holds must not change under a search. A slice takes about a millisecond; whoever drives the
search lets the loop run between two of them, and begins anew when the market has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from searcher.domain.errors import InvariantBroken
from searcher.domain.units import Address
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.long_cycles import CURSOR, FOUND, MOST_HOPS, Numbers, search_slice
from searcher.kernels.memory import CROSSING_GAS, GAS
from searcher.market.memory import MarketMemory
from searcher.market.protocol import Quote, QuoteBlock
from searcher.opportunities.numeric_sizing import Curves, refine
from searcher.opportunities.strategy import Candidate

LEAST_HOPS: Final = 5
"""What is shorter the book lists."""
SLICE: Final = 100_000
"""The work of a slice, in rows looked at: about a millisecond."""
KEPT: Final = 32
"""How many cycles a search keeps for each start token."""

_LEFT_OUT: Final = -1


class Start(NamedTuple):
    """A token where cycles begin: the inputs to search with and the limits of what may go in."""

    token: Address
    sizes: tuple[float, ...]
    least: float
    most: float


class LongCycle(NamedTuple):
    """A cycle that the search found: its edges, and what it leaves of an input after gas."""

    edges: tuple[int, ...]
    start: Start
    amount: float
    net: float


class _Labels(NamedTuple):
    """What a search writes down by number of hops and token; see `kernels.long_cycles`."""

    back: FloatArray
    worth: FloatArray
    amounts: FloatArray
    gas: FloatArray
    edges: Numbers

    @classmethod
    def of(cls, hops_most: int, tokens: int) -> _Labels:
        """Return space for so many tokens."""
        back, worth, amounts, gas = (np.empty((hops_most + 1, tokens)) for _ in range(4))
        return cls(back, worth, amounts, gas, np.empty((hops_most + 1, tokens), np.int32))

    @property
    def tokens(self) -> int:
        """For how many tokens there is space."""
        return int(self.back.shape[1])


class LongCyclesStatistics(Struct, frozen=True):
    """Counters since the start; `interrupted` searches ended before they were through."""

    rows: int
    tokens: int
    finished: int
    interrupted: int
    slices: int
    found: int


class LongCycles:
    """The search of one scope.

    Args:
        memory: the market's.
        starts: where cycles begin.
        hops_most: the longest cycle wanted, up to 8.
        hops_least: the shortest.

    Raises:
        ValueError: lengths or sizes that cannot be searched.
    """

    def __init__(
        self,
        memory: MarketMemory,
        starts: Sequence[Start],
        *,
        hops_most: int = MOST_HOPS,
        hops_least: int = LEAST_HOPS,
    ) -> None:
        if not 2 <= hops_least <= hops_most <= MOST_HOPS:
            raise ValueError(f"expected 2 to {MOST_HOPS} hops, found {hops_least} to {hops_most}")
        if not all(size > 0.0 for start in starts for size in start.sizes):
            raise ValueError("expected sizes of more than nothing")
        self._memory = memory
        self._starts = tuple(starts)
        self._hops = (hops_least, hops_most)
        self._number: dict[Address, int] = {}
        self._tokens: Numbers = np.full((memory.most_rows, 2), _LEFT_OUT, np.int32)
        self._pools: Numbers = np.zeros(memory.most_rows, np.int32)
        self._entered = 0
        self._cursor: IntArray = np.zeros(CURSOR, np.int64)
        self._edges: Numbers = np.zeros((KEPT, MOST_HOPS), np.int32)
        self._lengths: IntArray = np.zeros(KEPT, np.int64)
        self._amounts: FloatArray = np.zeros(KEPT)
        self._nets: FloatArray = np.zeros(KEPT)
        self._labels = _Labels.of(hops_most, 0)
        self._stale = False
        self._gas_prices: tuple[float, ...] = ()
        self._place = len(self._starts)
        self._found: list[LongCycle] = []
        self._begun = self._finished = self._slices = self._found_ever = 0
        for start in self._starts:
            self._numbered(start.token)

    # ---- topology

    def enter(self, row: int, pool: int, token0: Address, token1: Address) -> None:
        """Let a row take part; the search under way is over."""
        self._entered += self._tokens[row, 0] == _LEFT_OUT
        self._tokens[row] = self._numbered(token0), self._numbered(token1)
        self._pools[row] = pool
        self._stale = True

    def leave(self, row: int) -> None:
        """Leave a row out; the search under way is over."""
        self._entered -= self._tokens[row, 0] != _LEFT_OUT
        self._tokens[row] = _LEFT_OUT
        self._stale = True

    def _numbered(self, token: Address) -> int:
        return self._number.setdefault(token, len(self._number))

    # ---- the search

    def restart(self, gas_prices: Mapping[Address, float]) -> None:
        """Begin a search of the market as it is now.

        Args:
            gas_prices: what a unit of gas costs in smallest units of each start token; tokens
                that are left out have no price, and nothing begins there.
        """
        if len(self._number) > self._labels.tokens:
            self._labels = _Labels.of(self._hops[1], 2 * len(self._number))
        self._stale = False
        self._gas_prices = tuple(gas_prices.get(start.token, DEAD) for start in self._starts)
        self._place = 0
        self._cursor[:] = 0
        self._found = []
        self._begun += 1

    @property
    def is_stale(self) -> bool:
        """Whether rows have come or gone since the search began: it must begin anew."""
        return self._stale

    def advance(self, work: int = SLICE) -> bool:
        """Do a slice of the search; return whether it is over.

        Raises:
            InvariantBroken: the rows have changed since the search began.
        """
        if self._place == len(self._starts):
            return True
        if self._stale:
            raise InvariantBroken("rows came or went under a search of long cycles: restart it")
        start, gas_price = self._starts[self._place], self._gas_prices[self._place]
        self._slices += 1
        if gas_price == DEAD or self._slice(start, gas_price, work):
            self._collect(start)
            self._place += 1
            self._cursor[:] = 0
            self._finished += self._place == len(self._starts)
        return self._place == len(self._starts)

    async def run(self) -> None:
        """Search to the end, and let the loop run after each slice."""
        while not self.advance():  # noqa: ASYNC110  nothing is awaited: others are to run
            await asyncio.sleep(0)

    def _slice(self, start: Start, gas_price: float, work: int) -> bool:
        labels = self._labels
        return search_slice(
            self._memory.table,
            self._tokens,
            self._pools,
            self._memory.rows,
            self._number[start.token],
            np.array(start.sizes, np.float64),
            gas_price,
            *self._hops,
            labels.back,
            labels.worth,
            labels.amounts,
            labels.gas,
            labels.edges,
            self._cursor,
            work,
            self._edges,
            self._lengths,
            self._amounts,
            self._nets,
        )

    def _collect(self, start: Start) -> None:
        for k in range(int(self._cursor[FOUND])):
            edges = tuple(int(edge) for edge in self._edges[k, : self._lengths[k]])
            amount, net = float(self._amounts[k]), float(self._nets[k])
            self._found.append(LongCycle(edges, start, amount, net))
        self._found_ever += int(self._cursor[FOUND])

    # ---- what it found

    def found(self) -> tuple[LongCycle, ...]:
        """Return the cycles of the start tokens that are through, best first for each of them."""
        return tuple(self._found)

    def candidates(
        self, market: Curves, block: QuoteBlock, values: Mapping[Address, float]
    ) -> list[Candidate]:
        """Return what was found, sized by exact quotes, the most valuable first.

        Args:
            market: the market that was searched.
            block: the block that swaps will be in.
            values: wei of wrapped native per smallest unit of each start token.
        """
        sized = []
        for cycle in self._found:
            start = cycle.start
            amount, quotes = refine(
                market, block, cycle.edges, cycle.amount, least=start.least, most=start.most
            )
            if quotes:
                gas = self._gas(cycle.edges, quotes)
                left = quotes[-1].realised - amount - gas * self._gas_price(start)
                worth_wei = left * values[start.token]
                sized.append(Candidate(cycle.edges, start.token, amount, worth_wei, gas))
        return sorted(sized, key=lambda candidate: -candidate.worth_wei)

    def _gas(self, edges: Sequence[int], quotes: Sequence[Quote]) -> int:
        """Return what the swaps of a cycle take."""
        real = self._memory.real
        rows = (edge >> 1 for edge in edges)
        swaps = zip(rows, quotes, strict=True)
        return int(sum(real[r, GAS] + q.crossings * real[r, CROSSING_GAS] for r, q in swaps))

    def _gas_price(self, start: Start) -> float:
        return self._gas_prices[self._starts.index(start)]

    def statistics(self) -> LongCyclesStatistics:
        """Return the counters."""
        under_way = self._place < len(self._starts)
        return LongCyclesStatistics(
            self._entered,
            len(self._number),
            self._finished,
            self._begun - self._finished - under_way,
            self._slices,
            self._found_ever,
        )
