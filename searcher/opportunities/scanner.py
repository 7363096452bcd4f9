"""From a changed market to opportunities: search, confirm, choose, name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.events import BlockContext, PendingEffects, PendingTx
from searcher.domain.plan import CurveKind, Opportunity
from searcher.domain.units import Address, OpportunityId
from searcher.kernels.memory import ALIVE
from searcher.market.market import Market
from searcher.market.protocol import QuoteBlock
from searcher.market.standing import MarketDelta
from searcher.opportunities.book import MOST_AMOUNT, Scope
from searcher.opportunities.choice import InclusionOdds, Option, Priority, choose
from searcher.opportunities.exact import Evaluator, Refine
from searcher.opportunities.searches import EnteringRow, Searches, SearchStatistics
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.strategy import Candidate, Route, Strategy, Trigger

_NUMBERS_KEPT = 1024
_BEHIND = 16
"""How many candidates are kept behind a pending transaction: one is taken."""
_MANY_ROWS = 1_000
"""From so many changed rows on, refreshing every group is as fast."""


class ScannerStatistics(Struct, frozen=True):
    """Counters since the start; `refused` is by cause."""

    blocks: int
    pending: int
    candidates: int
    opportunities: dict[str, int]
    refused: dict[str, int]
    searches: list[SearchStatistics]


class Scanner:
    """Runs the strategies over one market.

    Args:
        market: what is searched.
        strategies: in the order in which they are asked.
        clock: stamps what is found.
        priority_fee_wei: what a plan's gas costs on top of the base fee.
        refine: sizes cycles through curves that floats only draw.
        odds: how likely plans are to land.
        run: the ledger's number of this run: a restart on one head finds the same again, and its
            opportunities must not be mistaken for those before.

    Raises:
        Misconfigured: a strategy names a token that the chain does not have.
    """

    def __init__(
        self,
        market: Market,
        strategies: Sequence[Strategy],
        *,
        clock: Clock,
        priority_fee_wei: int = 0,
        run: int = 0,
        refine: Refine | None = None,
        odds: InclusionOdds | None = None,
    ) -> None:
        self._market = market
        self._odds = odds or InclusionOdds()
        self._priority_fee_wei = priority_fee_wei
        self._run = run
        self._refine = refine
        self._topology = -1
        self._known = np.zeros(market.memory.most_rows, bool)
        self._clock = clock
        self._searches: dict[Scope, Searches] = {}
        self._strategies = [
            (strategy, self._searches_of(scope_of(market, strategy.config)))
            for strategy in strategies
        ]
        self._taken: frozenset[int] = frozenset()
        self._sequence: dict[int, int] = {}
        self._blocks = self._pending = self._candidates = 0
        self._found: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def follow(self, delta: MarketDelta) -> None:
        """Bring the books up to date with the market; `on_block` does so with its own delta.

        Every other delta of the market must come here too, in order: of a block that was not
        searched or was taken back, of values read, of tokens proven.
        """
        left = [row for row in delta.left if self._known[row]]
        for row in left:
            # Its number may be another pair's by now: that one enters below.
            self._known[row] = False
            for searches in self._searches.values():
                searches.leave(row)
        self._let_in()
        for searches in self._searches.values():
            if len(delta.rows) > _MANY_ROWS:
                searches.book.refresh_all()
            else:
                searches.book.refresh_rows(delta.rows)

    def _let_in(self) -> None:
        """Let rows into the books that have joined the market's search."""
        market = self._market
        if market.topology != self._topology:
            rows = len(market.rows)
            alive = market.memory.real[:rows, ALIVE] != 0.0
            entered: list[EnteringRow] = []
            for row in np.flatnonzero(alive & ~self._known[:rows]).tolist():
                number, token0, token1, *_ = market.rows[row]
                entered.append(EnteringRow(row, token0, token1, market.rows_of(number).start))
                self._known[row] = True
            for searches in self._searches.values():
                searches.enter([row for row in entered if self._allowed(searches.scope, row)])
            self._topology = market.topology

    def _allowed(self, scope: Scope, row: EnteringRow) -> bool:
        if scope.only_executable and self._market.protocol(row.row).curve is CurveKind.OTHER:
            return False
        pool = self._market.pool_of(row.row)
        return scope.allows((pool.id, pool.address), (row.token0, row.token1))

    def on_block(
        self, delta: MarketDelta, context: BlockContext, received_ns: int
    ) -> list[Opportunity]:
        """Search the whole market as the block left it.

        Returns:
            Opportunities that share no pool within a strategy, the greatest net first.
        """
        self._blocks += 1
        self.follow(delta)
        if not self._current(delta.parent == context.parent, context):
            return []
        found: list[tuple[Strategy, Route]] = []
        for strategy, searches in self._of(Trigger.BLOCK):
            evaluator = self._evaluator(strategy, searches, context)
            candidates = searches.book.search()
            self._candidates += len(candidates)
            routes = strategy.choose(candidates, evaluator.confirm)
            routes = self._with_split(routes, candidates, searches, evaluator, None)
            found += [(strategy, route) for route in routes]
        chosen = self._chosen(found)
        self._taken = frozenset(row for _, route in chosen for row in route.rows)
        return [self._named(s, route, context, (), received_ns) for s, route in chosen]

    def look_further(self, context: BlockContext) -> bool:
        """Begin to look for cycles that blocks are not searched for; return whether there may be.

        `advance` goes on with it, a slice at a time, as long as the market stands on the context's
        parent; `further` says what there is.
        """
        if not self._current(True, context):
            return False
        price = self._gas_price_wei(context)
        for _, searches in self._of(Trigger.BLOCK):
            searches.look_further(price)
        return any(not searches.advance() for _, searches in self._of(Trigger.BLOCK))

    def advance(self) -> bool:
        """Look a slice further; return whether there is no more to look at."""
        return all(searches.advance() for _, searches in self._of(Trigger.BLOCK))

    def further(self, context: BlockContext, received_ns: int) -> list[Opportunity]:
        """Return what was found by looking further, through pools that nothing else has taken."""
        if not self._current(True, context):
            return []
        found: list[tuple[Strategy, Route]] = []
        for strategy, searches in self._of(Trigger.BLOCK):
            evaluator = self._evaluator(strategy, searches, context)
            candidates = searches.further(evaluator.block)
            self._candidates += len(candidates)
            free = [c for c in candidates if self._taken.isdisjoint(c.rows)]
            found += [(strategy, r) for r in strategy.choose(free, evaluator.confirm)]
        chosen = [
            (strategy, route)
            for strategy, route in self._chosen(found, at_least=Priority.BACKGROUND)
            if self._taken.isdisjoint(route.rows)
        ]
        return [self._named(s, route, context, (), received_ns) for s, route in chosen]

    def _chosen(
        self, found: Sequence[tuple[Strategy, Route]], at_least: int = 0
    ) -> list[tuple[Strategy, Route]]:
        """Choose, of what strategies found, what goes together, by their priorities."""
        options = [
            Option(
                self._odds.expected_wei(route.net_wei),
                max(strategy.config.priority, at_least),
                route.rows,
            )
            for strategy, route in found
        ]
        return [found[place] for place in choose(options).places]

    def _with_split(
        self,
        routes: list[Route],
        candidates: Sequence[Candidate],
        searches: Searches,
        evaluator: Evaluator,
        changed: Sequence[int] | None,
    ) -> list[Route]:
        """Put the best joint trade in the place of the routes that it beats."""
        if not candidates:
            return routes
        best = candidates[0]
        split = searches.split(
            changed,
            best,
            evaluator.block,
            gas_price_wei=evaluator.gas_price_wei,
            overhead_gas=evaluator.overhead_gas,
        )
        route = None if split is None else evaluator.confirm_split(split, best.start)
        if route is None:
            return routes
        every = [*routes, route]
        places = choose([Option(float(r.net_wei), 0, r.rows) for r in every]).places
        return [every[place] for place in places]

    def on_pending(self, effects: PendingEffects, context: BlockContext) -> list[Opportunity]:
        """Search what a pending transaction would open, on the state behind it."""
        self._pending += 1
        if not effects.succeeded:
            self._refused["the transaction fails"] += 1
            return []
        if not self._current(effects.parent == context.parent, context):
            return []
        self._let_in()
        found: list[Opportunity] = []
        for strategy, searches in self._of(Trigger.PENDING):
            found += [
                self._named(strategy, route, context, (effects.tx,), effects.tx.received_ns)
                for route in self._behind(strategy, searches, effects, context)
            ]
        return found

    def statistics(self) -> ScannerStatistics:
        """Return the counters."""
        return ScannerStatistics(
            self._blocks,
            self._pending,
            self._candidates,
            dict(self._found),
            dict(sum((s.book.refused for s in self._searches.values()), self._refused.copy())),
            [searches.statistics() for searches in self._searches.values()],
        )

    def _behind(
        self,
        strategy: Strategy,
        searches: Searches,
        effects: PendingEffects,
        context: BlockContext,
    ) -> list[Route]:
        evaluator = self._evaluator(strategy, searches, context)
        book = searches.book
        rows: tuple[int, ...] = ()
        try:
            with self._market.overlay(effects) as delta:
                rows = delta.rows
                if not rows:
                    return []
                candidates = book.search_through(rows, _BEHIND)
                self._candidates += len(candidates)
                routes = strategy.choose(candidates, evaluator.confirm)
                routes = self._with_split(routes, candidates, searches, evaluator, rows)
                return routes[:1]
        finally:
            # The overlay is off by now: the book's best rates follow.
            book.refresh_rows(rows)

    def _of(self, trigger: Trigger) -> list[tuple[Strategy, Searches]]:
        return [(s, searches) for s, searches in self._strategies if s.trigger == trigger]

    def _current(self, consistent: bool, context: BlockContext) -> bool:
        """Return whether the market stands on the context's parent; count it when not."""
        if consistent and self._market.head == context.parent:
            return True
        self._refused["another parent than the market's head"] += 1
        return False

    def _gas_price_wei(self, context: BlockContext) -> int:
        return context.base_fee_wei + self._priority_fee_wei

    def _evaluator(
        self, strategy: Strategy, searches: Searches, context: BlockContext
    ) -> Evaluator:
        config = strategy.config
        evaluator = Evaluator(
            self._market,
            searches.book,
            config,
            QuoteBlock(context.number, context.timestamp),
            gas_price_wei=self._gas_price_wei(context),
            refine=self._refine,
        )
        searches.book.price(
            gas_price_wei=evaluator.gas_price_wei,
            overhead_gas=config.overhead_gas,
            least_worth_wei=evaluator.least_profit_wei,
        )
        return evaluator

    def _searches_of(self, scope: Scope) -> Searches:
        if scope not in self._searches:
            self._searches[scope] = Searches(self._market, scope)
        return self._searches[scope]

    def _named(
        self,
        strategy: Strategy,
        route: Route,
        context: BlockContext,
        behind: tuple[PendingTx, ...],
        received_ns: int,
    ) -> Opportunity:
        self._found[strategy.name] += 1
        return Opportunity(
            id=self._next_id(context.parent.number),
            chain=self._market.chain,
            strategy=strategy.name,
            parent=context.parent,
            target_block=context.number,
            behind=behind,
            hops=route.hops,
            conversion=route.conversion,
            gross_wei=route.gross_wei,
            gas_estimate=route.gas_estimate,
            net_wei=route.net_wei,
            received_ns=received_ns,
            at_ns=self._clock.monotonic_ns(),
        )

    def _next_id(self, parent: int) -> OpportunityId:
        # Counted per height and not per hash: after a reorg a height's ids go on, never repeat.
        sequence = self._sequence.get(parent, 0)
        self._sequence[parent] = sequence + 1
        if len(self._sequence) > _NUMBERS_KEPT:
            del self._sequence[min(self._sequence)]
        return OpportunityId(f"{self._market.chain}-{self._run}-{parent}-{sequence}")


def scope_of(market: Market, config: CycleSettings) -> Scope:
    """Resolve a strategy's names on a chain.

    Raises:
        Misconfigured: the chain has no token of that name.
    """
    names = config.start_tokens
    starts = tuple(map(market.token, names)) or (market.wrapped_native,)
    limits = {market.token(name): limit for name, limit in config.amounts.items()}

    def smallest(token: Address, amount: Decimal | None, default: float) -> float:
        decimals = market.decimals(token)
        if amount is None or decimals is None:
            return default
        return min(float(amount * 10**decimals), MOST_AMOUNT)

    return Scope(
        starts=starts,
        least=tuple(smallest(t, limits[t].least if t in limits else None, 0.0) for t in starts),
        most=tuple(
            smallest(t, limits[t].most if t in limits else None, MOST_AMOUNT) for t in starts
        ),
        hops_least=config.hops_least,
        hops_most=config.hops_most,
        pools_allowed=frozenset(map(Address, config.pools_allowed)),
        pools_denied=frozenset(map(Address, config.pools_denied)),
        tokens_allowed=frozenset(map(market.token, config.tokens_allowed)),
        tokens_denied=frozenset(map(market.token, config.tokens_denied)),
        max_cycles=config.max_cycles,
        splits=config.splits,
        further_hops_most=config.further_hops_most,
        only_executable=config.only_executable,
    )
