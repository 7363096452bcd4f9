"""The exact side: a candidate evaluated once in the contracts' integers.

No search in integers follows: moving the float's input by integers gains less than 1.5e-13 of the
profit, which is below the price of one unit of gas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from searcher.domain.plan import Hop
from searcher.domain.units import BPS, WEI_PER_GWEI, Address
from searcher.kernels.refusal import SwapRefused
from searcher.market.market import Market
from searcher.market.protocol import QuoteBlock
from searcher.opportunities.book import CycleBook
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.strategy import Candidate, Route


class Evaluator:
    """Turns candidates into routes on the market's state of this moment, overlays included.

    Args:
        market: whose exact states are asked.
        book: where conversions to wrapped native are looked up.
        config: what a route must earn.
        block: the target block.
        gas_price_wei: its base fee and the priority fee.
    """

    def __init__(
        self,
        market: Market,
        book: CycleBook,
        config: CycleSettings,
        block: QuoteBlock,
        gas_price_wei: int,
    ) -> None:
        self._market = market
        self._block = block
        self._book = book
        self._config = config
        self._gas_price_wei = gas_price_wei
        self._least_profit_wei = int(config.least_profit_gwei * WEI_PER_GWEI)

    def least_worth_wei(self) -> int:
        """Return what a route must leave before gas to be worth an evaluation."""
        return self._config.overhead_gas * self._gas_price_wei + self._least_profit_wei

    def confirm(self, candidate: Candidate) -> Route | None:
        """Return the route of a candidate, or None when integers find that it does not pay."""
        try:
            hops, gas = self._walk(candidate.edges, candidate.start, candidate.amount_in)
        except SwapRefused:
            return None
        profit = hops[-1].amount_out - candidate.amount_in
        if profit <= 0:
            return None
        rows = candidate.rows
        conversion: list[Hop] = []
        if candidate.start != self._market.wrapped_native:
            best = self._convert(candidate.start, profit, rows)
            if best is None:
                return None
            edges, conversion, more_gas = best
            gas += more_gas
            rows |= {edge >> 1 for edge in edges}
            profit = conversion[-1].amount_out
        gas += self._config.overhead_gas
        net_wei = profit - gas * self._gas_price_wei
        if not self._pays(profit, net_wei):
            return None
        return Route(candidate, tuple(hops), tuple(conversion), rows, profit, gas, net_wei)

    def _pays(self, gross_wei: int, net_wei: int) -> bool:
        if net_wei <= 0 or net_wei < self._least_profit_wei:
            return False
        return (gross_wei - net_wei) * BPS <= gross_wei * self._config.gas_share_bps

    def _walk(self, edges: Sequence[int], token: Address, amount: int) -> tuple[list[Hop], int]:
        """Swap an amount along edges: each hop takes exactly what the one before it gave.

        Raises:
            SwapRefused: a pool would revert.
        """
        hops: list[Hop] = []
        gas = 0
        for edge in edges:
            row, zero_for_one = edge >> 1, edge & 1 == 0
            pool, (_, token0, token1, *_) = self._market.pool_of(row), self._market.rows[row]
            quote = self._market.quote(row, self._block, amount, zero_for_one=zero_for_one)
            protocol = self._market.protocol(row)
            following = token1 if zero_for_one else token0
            hops.append(
                Hop(
                    pool=pool.address,
                    protocol=pool.protocol,
                    curve=protocol.curve,
                    token_in=token,
                    token_out=following,
                    zero_for_one=zero_for_one,
                    fee_pips=self._market.fee_pips(row),
                    amount_in=amount,
                    amount_out=quote.realised,
                )
            )
            gas += protocol.swap_gas(quote)
            token, amount = following, quote.realised
        return hops, gas

    def _convert(
        self, token: Address, amount: int, used: frozenset[int]
    ) -> tuple[tuple[int, ...], list[Hop], int] | None:
        """Return the way to wrapped native that gives most after its gas, through unused pools."""
        best: tuple[int, tuple[int, ...], list[Hop], int] | None = None
        for edges in self._ways(token):
            if any(edge >> 1 in used or self._market.why_not(edge >> 1) for edge in edges):
                continue
            try:
                hops, gas = self._walk(edges, token, amount)
            except SwapRefused:
                continue
            net = hops[-1].amount_out - gas * self._gas_price_wei
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
