"""The exact side: candidates as routes, in the contracts' integers.

Most candidates come with their amounts; what goes through a curve that only its protocol knows is
sized and quoted here. No search in integers follows for the others: it would gain less than 1e-9 of
the profit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from searcher.domain.plan import Hop
from searcher.domain.units import BPS, WEI_PER_GWEI, Address
from searcher.kernels.refusal import SwapRefused
from searcher.market.market import Market
from searcher.market.protocol import Quote, QuoteBlock
from searcher.opportunities.book import CycleBook
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.split_search import Split
from searcher.opportunities.strategy import Candidate, Route

Refine: TypeAlias = Callable[..., tuple[int, Sequence[Quote]]]
"""Sizes a cycle by exact quotes: `(market, block, edges, amount, *, least, most)`, all amounts in
smallest units of its start token, to the best input and the quote of each hop; none when nothing
pays."""


class Evaluator:
    """Turns candidates into routes on the market's state of this moment, overlays included.

    Args:
        market: whose exact states are asked.
        book: where conversions to wrapped native are looked up.
        config: what a route must earn.
        block: the target block.
        gas_price_wei: its base fee and the priority fee.
        refine: sizes cycles through curves that floats only draw; without it they go as drawn.
    """

    def __init__(
        self,
        market: Market,
        book: CycleBook,
        config: CycleSettings,
        block: QuoteBlock,
        *,
        gas_price_wei: int,
        refine: Refine | None = None,
    ) -> None:
        self._market = market
        self.block = block
        self._book = book
        self._config = config
        self.gas_price_wei = gas_price_wei
        self._refine = refine
        self.overhead_gas = config.overhead_gas
        self.least_profit_wei = int(config.least_profit_gwei * WEI_PER_GWEI)

    def confirm(self, candidate: Candidate) -> Route | None:
        """Return the route of a candidate, or None when integers find that it does not pay."""
        try:
            hops, gas = self._hops(candidate)
        except SwapRefused:
            return None
        if not hops:
            return None
        profit = hops[-1].amount_out - hops[0].amount_in
        gas += self.overhead_gas
        return self._route(hops, candidate.start, profit, self._rows(candidate.edges), gas)

    def confirm_split(self, split: Split, start: Address) -> Route | None:
        """Return the route of a joint trade that gains `start`, or None when it does not pay.

        One without a swap that sells `start` only changes other tokens round: no plan begins so.
        """
        hops = [self._hop(leg.edge, leg.amount_in, leg.amount_out) for leg in split.legs]
        hops.sort(key=lambda hop: hop.token_in != start)  # stable: it is there from the beginning
        if hops[0].token_in != start:
            return None
        rows = self._rows([leg.edge for leg in split.legs])
        return self._route(hops, start, split.gains[start], rows, split.gas)

    def _route(
        self, hops: Sequence[Hop], start: Address, profit: int, rows: frozenset[int], gas: int
    ) -> Route | None:
        """Return swaps with the conversion of their profit, or None when both do not pay."""
        if profit <= 0:
            return None
        conversion: list[Hop] = []
        if start != self._market.wrapped_native:
            best = self._convert(start, profit, rows)
            if best is None:
                return None
            edges, conversion, more_gas = best
            gas += more_gas
            rows |= self._rows(edges)
            profit = conversion[-1].amount_out
        net_wei = profit - gas * self.gas_price_wei
        if not self._pays(profit, net_wei):
            return None
        return Route(tuple(hops), tuple(conversion), rows, profit, gas, net_wei)

    def _rows(self, edges: Sequence[int]) -> frozenset[int]:
        """Return the rows of all pools that edges go through: those of one pool share a state."""
        market = self._market
        return frozenset(r for e in edges for r in market.rows_of(market.rows[e >> 1].pool))

    def _hops(self, candidate: Candidate) -> tuple[list[Hop], int]:
        """Return a candidate's swaps in integers and their gas; none when nothing pays."""
        edges, amount = candidate.edges, candidate.amount_in
        if candidate.amounts:
            gas = candidate.gas - self.overhead_gas
            return self._chained(edges, amount, candidate.amounts), gas
        if self._refine is None:
            return self._walk(edges, amount)
        least, most = self._book.limits(candidate.start)
        amount, quotes = self._refine(
            self._market, self.block, edges, amount, least=least, most=most
        )
        if not quotes:
            return [], 0
        hops = self._chained(edges, amount, [quote.realised for quote in quotes])
        swaps = zip(edges, quotes, strict=True)
        return hops, sum(self._market.protocol(e >> 1).swap_gas(quote) for e, quote in swaps)

    def _pays(self, gross_wei: int, net_wei: int) -> bool:
        if net_wei <= 0 or net_wei < self.least_profit_wei:
            return False
        return (gross_wei - net_wei) * BPS <= gross_wei * self._config.gas_share_bps

    def _walk(self, edges: Sequence[int], amount: int) -> tuple[list[Hop], int]:
        """Swap an amount along edges: each hop takes exactly what the one before it gave.

        Raises:
            SwapRefused: a pool would revert.
        """
        outs: list[int] = []
        gas, goes_in = 0, amount
        for edge in edges:
            row = edge >> 1
            quote = self._market.quote(row, self.block, goes_in, zero_for_one=edge & 1 == 0)
            gas += self._market.protocol(row).swap_gas(quote)
            goes_in = quote.realised
            outs.append(goes_in)
        return self._chained(edges, amount, outs), gas

    def _chained(self, edges: Sequence[int], amount: int, outs: Sequence[int]) -> list[Hop]:
        """Return the hops of an amount whose outputs are known."""
        return [
            self._hop(edge, goes_in, out)
            for edge, goes_in, out in zip(edges, (amount, *outs), outs, strict=False)
        ]

    def _hop(self, edge: int, amount_in: int, amount_out: int) -> Hop:
        row, zero_for_one = edge >> 1, edge & 1 == 0
        pool, (_, token0, token1, *_) = self._market.pool_of(row), self._market.rows[row]
        return Hop(
            pool=pool.address,
            protocol=pool.protocol,
            curve=self._market.protocol(row).curve,
            token_in=token0 if zero_for_one else token1,
            token_out=token1 if zero_for_one else token0,
            zero_for_one=zero_for_one,
            fee_pips=self._market.fee_pips(row),
            amount_in=amount_in,
            amount_out=amount_out,
        )

    def _convert(
        self, token: Address, amount: int, used: frozenset[int]
    ) -> tuple[tuple[int, ...], list[Hop], int] | None:
        """Return the way to wrapped native that gives most after its gas, through unused pools."""
        best: tuple[int, tuple[int, ...], list[Hop], int] | None = None
        for edges in self._ways(token):
            if any(edge >> 1 in used or self._market.why_not(edge >> 1) for edge in edges):
                continue
            try:
                hops, gas = self._walk(edges, amount)
            except SwapRefused:
                continue
            net = hops[-1].amount_out - gas * self.gas_price_wei
            if best is None or net > best[0]:
                best = (net, edges, hops, gas)
        return None if best is None else best[1:]

    def _ways(self, token: Address) -> Iterator[tuple[int, ...]]:
        native = self._market.wrapped_native
        for edge in self._book.edges(token, native):
            yield (edge,)
        for middle in self._book.scope.starts:
            if middle not in {token, native}:
                for first in self._book.edges(token, middle):
                    for second in self._book.edges(middle, native):
                        yield (first, second)
