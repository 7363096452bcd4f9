"""The best joint trade over many pools and ways at once, as exact swaps in an order that works.

Where several pools and ways share a trade, each takes less and slips less. Prices at which all
pools' trades fit together are found in floats (`joint_trade`); pools that do not pay their gas are
dropped and the rest asked again; what remains is ordered so that every swap's input is there when
its turn comes, and carried out in the contracts' integers. Selling a basket of tokens into one, as
a liquidation needs, is the same search with the basket put in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from searcher.domain.units import Address
from searcher.kernels.curves import FloatArray, IntArray
from searcher.kernels.elimination import FlagArray, ShortArray
from searcher.kernels.hops import ELSEWHERE, exact_hop
from searcher.kernels.memory import CROSSING_GAS, GAS
from searcher.kernels.reach import mark_near, spread_prices, trim, write_depths
from searcher.kernels.refusal import Status
from searcher.market.memory import MarketMemory
from searcher.opportunities.joint_trade import Goal
from searcher.opportunities.split_search import Numbered, Search, Split, Terms
from searcher.opportunities.swap_order import Carried, Leg, Swap

_OK: Final = int(Status.OK)


class SplitStatistics(Struct, frozen=True):
    """Counters since the start; `rows_left_out` were too many for a search, and not the deepest."""

    searches: int
    found: int
    rows_left_out: int


def exact_swap(memory: MarketMemory, elsewhere: Swap) -> Swap:
    """Return the exact swap over a market's memory.

    Args:
        memory: the market's.
        elsewhere: answers for the rows whose integers their protocol keeps.
    """

    def swap(edge: int, amount: int) -> tuple[int, int] | None:
        status, out, crossed = exact_hop(memory.table, edge, amount)
        if status == ELSEWHERE:
            return elsewhere(edge, amount)
        if status != _OK or out == 0:
            return None
        about = memory.real[edge >> 1]
        return out, int(about[GAS] + crossed * about[CROSSING_GAS])

    return swap


class Splitter:
    """Finds joint trades over the rows of one market.

    Args:
        memory: where the rows lie.
        most_rows: how many rows one search takes; of more, the deepest.
        most_hops: how many swaps away from what changed, and what is kept, pools matter.
    """

    def __init__(self, memory: MarketMemory, *, most_rows: int = 1_000, most_hops: int = 4) -> None:
        self._memory = memory
        self._most_rows = most_rows
        self._most_hops = most_hops
        self._number: dict[Address, int] = {}
        self._names: list[Address] = []
        self._tokens: ShortArray = np.full((1, 2), -1, np.int32)
        self._pool: IntArray = np.full(1, -1, np.int64)
        self._log_price: FloatArray = np.full(1, np.nan)
        self._ends: FlagArray = np.zeros(1, np.uint8)
        self._near: FlagArray = np.zeros(1, np.uint8)
        self._searches = self._found = self._left_out = 0

    # ---- rows

    def enter(self, row: int, token0: Address, token1: Address, pool: int) -> None:
        """Take a row into searches; two rows of one pool are never traded in one split."""
        while row >= len(self._tokens):
            self._tokens = np.concatenate((self._tokens, np.full_like(self._tokens, -1)))
            self._pool = np.concatenate((self._pool, np.full_like(self._pool, -1)))
            self._near = np.zeros(len(self._tokens), np.uint8)
        self._tokens[row] = self._token(token0), self._token(token1)
        self._pool[row] = pool

    def leave(self, row: int) -> None:
        """Leave a row out of searches."""
        self._tokens[row] = -1

    def statistics(self) -> SplitStatistics:
        """Return the counters."""
        return SplitStatistics(self._searches, self._found, self._left_out)

    def _holds(self, row: int) -> bool:
        return row < len(self._tokens) and int(self._tokens[row, 0]) >= 0

    def _token(self, token: Address) -> int:
        number = self._number.setdefault(token, len(self._names))
        if number == len(self._names):
            self._names.append(token)
            if number >= len(self._log_price):
                more: FloatArray = np.full(len(self._log_price), np.nan)
                self._log_price = np.concatenate((self._log_price, more))
                self._ends = np.zeros(len(self._log_price), np.uint8)
        return number

    # ---- searches

    def arbitrage(
        self, changed: Iterable[int] | None, terms: Terms, swap: Swap, rival: Split | None = None
    ) -> Split | None:
        """Find the joint trade that leaves most, through or near some rows.

        Args:
            changed: the rows that have changed; None takes the whole market, its deepest rows.
            terms: what is kept, and what gas costs.
            swap: swaps exactly.
            rival: the best single cycle, measured by `cycle`: what is returned is never worse.

        Returns:
            None when nothing pays its gas.
        """
        self._searches += 1
        kept = self._kept(terms)
        dirty = [row for row in changed or () if self._holds(row)]
        if changed is not None and not dirty:
            return rival
        touched = {int(token) for row in dirty for token in self._tokens[row]}
        origins = sorted(touched - kept.keys()) or sorted(touched)
        # A way to what changed and back passes through what changed, so it is two hops shorter.
        reach = self._most_hops - 1 if origins else self._most_hops
        rows = self._component(sorted(kept), origins, reach, dirty)
        return self._best(rows, Goal(kept, {}), terms, swap, rival)

    def sell(
        self, basket: Mapping[Address, int], into: Address, terms: Terms, swap: Swap
    ) -> Split | None:
        """Find the joint trade that gives most of one token for a basket of others.

        Args:
            basket: smallest units of each token; one that is `into` is not sold.
            into: the token that is wanted; its worth must be among the terms.
            terms: what is kept, which must be `into` alone, and what gas costs.
            swap: swaps exactly.

        Returns:
            None when nothing of it can be sold for more than the gas that it takes.

        Raises:
            KeyError: the terms do not say what `into` is worth.
        """
        self._searches += 1
        worth = terms.worth_wei[into]
        kept = {self._token(into): worth}
        goods = {
            self._number[token]: amount
            for token, amount in basket.items()
            if token != into and amount > 0 and token in self._number
        }
        rows = self._component(sorted(kept), sorted(goods), self._most_hops, ())
        return self._best(rows, Goal(kept, goods), terms, swap, None)

    def cycle(self, edges: Sequence[int], amount: int, terms: Terms, swap: Swap) -> Split | None:
        """Carry a single cycle out in exact integers, as a split of one way.

        Returns:
            None when a pool refuses, or it gives less than it takes.
        """
        kept = self._kept(terms)
        start = int(self._tokens[edges[0] >> 1, edges[0] & 1])
        if start not in kept:
            return None
        legs: list[Leg] = []
        through, gas = amount, 0
        for edge in edges:
            swapped = swap(edge, through)
            if swapped is None:
                return None
            legs.append(Leg(edge, through, swapped[0]))
            through = swapped[0]
            gas += swapped[1]
        search = Search(self._memory, self._market(), Goal(kept, {}), terms, swap)
        return search.measured(Carried(tuple(legs), {start: through - amount}, gas), math.inf)

    # ---- which rows

    def _kept(self, terms: Terms) -> dict[int, float]:
        return {
            self._number[token]: worth
            for token, worth in terms.worth_wei.items()
            if token in self._number and worth > 0.0
        }

    def _component(
        self, kept: Sequence[int], origins: Sequence[int], reach: int, dirty: Sequence[int]
    ) -> IntArray:
        """Return the rows that matter; of too many the deepest, and those that changed."""
        rates = self._memory.rate.reshape(-1, 2)[: len(self._tokens)]
        tokens, near = self._tokens[: len(rates)], self._near[: len(rates)]
        first, other = np.array(kept, np.int32), np.array(origins, np.int32)
        mark_near(tokens, rates, first, other, reach, self._ends, near)
        if not dirty:
            self._ends[other] = 1  # goods of a basket: ways begin there
        trim(tokens, self._ends, near)
        rows = np.flatnonzero(near)
        if len(rows) <= self._most_rows:
            return rows
        self._left_out += len(rows) - self._most_rows
        prices = self._log_price.copy()
        prices[first[np.isnan(prices[first])]] = 0.0
        spread_prices(self._memory.table, rows, tokens[rows], prices)
        depth = np.empty(len(rows))
        write_depths(self._memory.table, rows, tokens[rows], prices, depth)
        depth[np.isin(rows, dirty)] = np.inf
        chosen = rows[np.argpartition(-depth, self._most_rows)[: self._most_rows]]
        near[:] = 0
        near[chosen] = 1
        trim(tokens, self._ends, near)
        return np.flatnonzero(near)

    # ---- which pools

    def _best(
        self, rows: IntArray, goal: Goal, terms: Terms, swap: Swap, rival: Split | None
    ) -> Split | None:
        search = Search(self._memory, self._market(), goal, terms, swap)
        if len(rows):
            search.run(rows, None if rival is None else rival.rows)
        best = search.best
        if rival is not None and (best is None or best.net_wei < rival.net_wei):
            best = rival
        self._found += best is not None
        return best

    def _market(self) -> Numbered:
        return Numbered(self._tokens, self._pool, self._names, self._log_price)
