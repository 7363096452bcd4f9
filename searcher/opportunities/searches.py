"""All that searches one scope of a market: its cycles, its joint trades, its long cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from searcher.domain.units import Address
from searcher.kernels.refusal import SwapRefused
from searcher.market.market import Market
from searcher.market.protocol import QuoteBlock
from searcher.opportunities.book import BookStatistics, CycleBook, Scope
from searcher.opportunities.long_cycles import (
    LEAST_HOPS,
    LongCycles,
    LongCyclesStatistics,
    Start,
)
from searcher.opportunities.split_search import Split, Terms
from searcher.opportunities.splitting import SplitStatistics, Splitter, exact_swap
from searcher.opportunities.strategy import Candidate
from searcher.opportunities.swap_order import Swap

SPLIT_HOP_GAS: Final = 30_000
"""What a swap of a split takes beyond one of a cycle: its tokens go through the executor."""

_SIZES_WEI: Final = (1e16, 1e17, 1e18, 1e19)
"""Inputs that long cycles are looked for with, by their worth."""


class EnteringRow(NamedTuple):
    """A row that joins a search; `first` is its pool's first row."""

    row: int
    token0: Address
    token1: Address
    first: int


class SearchStatistics(Struct, frozen=True):
    """What the searches of one scope hold and have done; None for one that is not made."""

    book: BookStatistics
    splits: SplitStatistics | None
    further: LongCyclesStatistics | None


class Searches:
    """The searches of one scope.

    Args:
        market: whose rows they look at.
        scope: what they may trade.
    """

    def __init__(self, market: Market, scope: Scope) -> None:
        self.scope = scope
        self.book = CycleBook(market.memory, scope, native=market.wrapped_native, name=market.chain)
        self._market = market
        self._splitter = Splitter(market.memory) if scope.splits else None
        self._further: LongCycles | None = None
        self._rows: dict[int, EnteringRow] = {}
        self._values: dict[Address, float] = {}

    # ---- rows

    def enter(self, rows: Sequence[EnteringRow]) -> None:
        """Let rows into every search."""
        self.book.enter_all(rows)
        self.book.settle()
        for row in rows:
            self._rows[row.row] = row
            if self._splitter is not None:
                self._splitter.enter(*row)
            if self._further is not None:
                self._further.enter(row.row, row.first, row.token0, row.token1)

    def leave(self, row: int) -> None:
        """Take a row out of every search that it is in."""
        self.book.leave(row)
        if self._rows.pop(row, None) is None:
            return
        if self._splitter is not None:
            self._splitter.leave(row)
        if self._further is not None:
            self._further.leave(row)

    # ---- several ways at once

    def split(
        self,
        changed: Sequence[int] | None,
        rival: Candidate,
        block: QuoteBlock,
        *,
        gas_price_wei: int,
        overhead_gas: int,
    ) -> Split | None:
        """Find the joint trade that leaves more than the best cycle.

        Args:
            changed: rows; None for the whole market.
            rival: the best cycle; what is found begins and ends with its start token.
            block: the block that swaps will be in.
            gas_price_wei: of a unit of gas.
            overhead_gas: of a plan beside its swaps.

        Returns:
            None when there is none of several ways.
        """
        if self._splitter is None:
            return None
        values = {rival.start: self.book.value(rival.start)}
        terms = Terms(values, gas_price_wei=gas_price_wei, overhead_gas=overhead_gas)
        alone = self._swap(block, more_gas=0)
        cycle = self._splitter.cycle(rival.edges, rival.amount_in, terms, alone)
        swap = self._swap(block, more_gas=SPLIT_HOP_GAS)
        found = self._splitter.arbitrage(changed, terms, swap, cycle)
        return None if found is cycle else found

    def _swap(self, block: QuoteBlock, *, more_gas: int) -> Swap:
        """Return the exact swap, with gas to add to each."""
        swap = exact_swap(self._market.memory, self._elsewhere(block))

        def with_more_gas(edge: int, amount: int) -> tuple[int, int] | None:
            swapped = swap(edge, amount)
            return None if swapped is None else (swapped[0], swapped[1] + more_gas)

        return with_more_gas

    def _elsewhere(self, block: QuoteBlock) -> Swap:
        market = self._market

        def quoted(edge: int, amount: int) -> tuple[int, int] | None:
            row = edge >> 1
            try:
                quote = market.quote(row, block, amount, zero_for_one=edge & 1 == 0)
            except SwapRefused:
                return None
            return (quote.realised, market.protocol(row).swap_gas(quote)) if quote.amount else None

        return quoted

    # ---- longer cycles

    def look_further(self, gas_price_wei: int) -> None:
        """Begin to look for cycles that the book does not list, on the market as it is."""
        if self.scope.further_hops_most < LEAST_HOPS:
            return
        starts = self.scope.starts
        self._values = {token: self.book.value(token) for token in starts}
        if self._further is None:
            self._further = LongCycles(
                self._market.memory,
                [self._start(token) for token in starts if self._values[token] > 0.0],
                hops_most=self.scope.further_hops_most,
                hops_least=max(LEAST_HOPS, self.scope.hops_most + 1),
            )
            for row in self._rows.values():
                self._further.enter(row.row, row.first, row.token0, row.token1)
        prices = {t: gas_price_wei / value for t, value in self._values.items() if value > 0.0}
        self._further.restart(prices)

    def advance(self) -> bool:
        """Look a slice further; return whether there is no more to look at."""
        if self._further is None or self._further.is_stale:
            return True
        return self._further.advance()

    def further(self, block: QuoteBlock) -> list[Candidate]:
        """Return what was found by looking further, the most valuable first."""
        if self._further is None or self._further.is_stale:
            return []
        return self._further.candidates(self._market, block, self._values)

    def _start(self, token: Address) -> Start:
        least, most = self.book.limits(token)
        sizes = (wei / self._values[token] for wei in _SIZES_WEI)
        return Start(token, tuple(min(max(s, least, 1.0), most) for s in sizes), least, most)

    def statistics(self) -> SearchStatistics:
        """Return the counters."""
        return SearchStatistics(
            self.book.statistics(),
            None if self._splitter is None else self._splitter.statistics(),
            None if self._further is None else self._further.statistics(),
        )
