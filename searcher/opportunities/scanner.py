"""From a changed market to opportunities: search, confirm, choose, name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.events import BlockContext, PendingEffects, PendingTx
from searcher.domain.plan import Opportunity
from searcher.domain.units import Address, OpportunityId
from searcher.market.market import Market
from searcher.market.protocol import QuoteBlock
from searcher.market.standing import MarketDelta
from searcher.opportunities.book import MOST_AMOUNT, BookStatistics, CycleBook, Scope
from searcher.opportunities.exact import Evaluator
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.strategy import Route, Strategy, Trigger

_NUMBERS_KEPT = 1024


class ScannerStatistics(Struct, frozen=True):
    """Counters since the start; `refused` is by cause."""

    blocks: int
    pending: int
    candidates: int
    opportunities: dict[str, int]
    refused: dict[str, int]
    books: list[BookStatistics]


class Scanner:
    """Runs the strategies over one market.

    Args:
        market: what is searched.
        strategies: in the order in which they are asked.
        clock: stamps what is found.
        priority_fee_wei: what a plan's gas costs on top of the base fee.
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
    ) -> None:
        self._market = market
        self._priority_fee_wei = priority_fee_wei
        self._run = run
        self._clock = clock
        self._books: dict[Scope, CycleBook] = {}
        self._strategies = [
            (strategy, self._book(scope_of(market, strategy.config))) for strategy in strategies
        ]
        self._sequence: dict[int, int] = {}
        self._blocks = self._pending = self._candidates = 0
        self._found: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def on_block(
        self, delta: MarketDelta, context: BlockContext, received_ns: int
    ) -> list[Opportunity]:
        """Search the whole market as the block left it.

        Returns:
            Opportunities that share no pool within a strategy, the greatest net first.
        """
        self._blocks += 1
        if not self._current(delta.parent == context.parent, context):
            return []
        found: list[Opportunity] = []
        for strategy, book in self._of(Trigger.BLOCK):
            book.refresh_all()
            evaluator = self._evaluator(strategy, book, context)
            candidates = book.search(evaluator.least_worth_wei())
            self._candidates += len(candidates)
            found += [
                self._named(strategy, route, context, (), received_ns)
                for route in strategy.choose(candidates, evaluator.confirm)
            ]
        return found

    def on_pending(self, effects: PendingEffects, context: BlockContext) -> list[Opportunity]:
        """Search what a pending transaction would open, on the state behind it."""
        self._pending += 1
        if not effects.succeeded:
            self._refused["the transaction fails"] += 1
            return []
        if not self._current(effects.parent == context.parent, context):
            return []
        found: list[Opportunity] = []
        for strategy, book in self._of(Trigger.PENDING):
            found += [
                self._named(strategy, route, context, (effects.tx,), effects.tx.received_ns)
                for route in self._behind(strategy, book, effects, context)
            ]
        return found

    def statistics(self) -> ScannerStatistics:
        """Return the counters."""
        return ScannerStatistics(
            self._blocks,
            self._pending,
            self._candidates,
            dict(self._found),
            dict(self._refused),
            [book.statistics() for book in self._books.values()],
        )

    def _behind(
        self, strategy: Strategy, book: CycleBook, effects: PendingEffects, context: BlockContext
    ) -> list[Route]:
        evaluator = self._evaluator(strategy, book, context)
        rows: tuple[int, ...] = ()
        try:
            with self._market.overlay(effects) as delta:
                rows = delta.rows
                if not rows:
                    return []
                candidates = book.search_through(rows, evaluator.least_worth_wei())
                self._candidates += len(candidates)
                return strategy.choose(candidates, evaluator.confirm)
        finally:
            # The overlay is off by now: the book's best rates follow.
            book.refresh_rows(rows)

    def _of(self, trigger: Trigger) -> list[tuple[Strategy, CycleBook]]:
        chosen = [(s, book) for s, book in self._strategies if s.trigger == trigger]
        for _, book in chosen:
            if book.prepare():
                book.refresh_all()
        return chosen

    def _current(self, consistent: bool, context: BlockContext) -> bool:
        """Return whether the market stands on the context's parent; count it when not."""
        if consistent and self._market.head == context.parent:
            return True
        self._refused["another parent than the market's head"] += 1
        return False

    def _evaluator(self, strategy: Strategy, book: CycleBook, context: BlockContext) -> Evaluator:
        gas_price_wei = context.base_fee_wei + self._priority_fee_wei
        block = QuoteBlock(context.number, context.timestamp)
        return Evaluator(self._market, book, strategy.config, block, gas_price_wei)

    def _book(self, scope: Scope) -> CycleBook:
        return self._books.setdefault(scope, CycleBook(self._market, scope))

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
    )
