"""The cycles that a strategy may trade, and their search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog
from msgspec import Struct
from numpy.typing import NDArray

from searcher.domain.errors import InvariantBroken
from searcher.domain.units import Address
from searcher.kernels import book as layout
from searcher.kernels import cycles, scan
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.hops import ELSEWHERE
from searcher.kernels.liquidity import value_pairs
from searcher.kernels.refusal import Status
from searcher.kernels.sizing import EdgeArray
from searcher.kernels.u256 import Words
from searcher.market.memory import MarketMemory, reserve, value
from searcher.opportunities.strategy import Candidate

_log = structlog.get_logger(__name__)

KEPT: Final = layout.TOP_ROOM
"""The most candidates that a search keeps."""

MOST_AMOUNT: Final = float(2**112)

_FLOAT_ERROR: Final = 1e-9
_MANY: Final = 1_000
_SLACK: Final = 16
"""Entries of an arena for each that can be in use: slots are half full, and moved from."""


class Scope(Struct, frozen=True):
    """What may be traded, with every name resolved; equal scopes share a book."""

    starts: tuple[Address, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    hops_least: int
    hops_most: int
    pools_allowed: frozenset[str]
    pools_denied: frozenset[str]
    tokens_allowed: frozenset[Address]
    tokens_denied: frozenset[Address]
    max_cycles: int
    splits: bool = True
    further_hops_most: int = 0
    only_executable: bool = True

    def allows(self, pool: Iterable[str], tokens: Iterable[Address]) -> bool:
        """Return whether a pool, under any of its names, and its tokens may be used."""
        names = set(pool)
        if names & self.pools_denied or (self.pools_allowed and not names & self.pools_allowed):
            return False
        return all(
            token not in self.tokens_denied
            and (not self.tokens_allowed or token in self.tokens_allowed)
            for token in tokens
        )


class BookStatistics(Struct, frozen=True):
    """The size of a book; `pairs_left_out` are too thin for all cycles to be kept."""

    rows: int
    pairs: int
    cycles: int
    pairs_left_out: int


class CycleBook:
    """Groups of edges, cycles of groups, and the search over them, for one scope.

    Rows enter and leave one by one. When there are more cycles than `scope.max_cycles`, the longer
    ones are left out first, and of those of one length the ones through the thinnest pairs.

    Args:
        memory: the market's.
        scope: what may be traded.
        native: the wrapped native token, in which liquidity is counted.
        name: the chain, for the log.
    """

    def __init__(
        self, memory: MarketMemory, scope: Scope, *, native: Address, name: str = ""
    ) -> None:
        self.scope = scope
        self.refused: Counter[str] = Counter()
        """Candidates that floats found and integers did not confirm, by cause."""
        self._memory = memory
        self._market = memory.table
        self._native = native
        self._name = name
        self._number = {token: i for i, token in enumerate(scope.starts)}
        self._rows = 0
        self._lengths_whole = scope.hops_most
        """Up to how many hops every cycle is kept."""
        self._least_kept = 0.0
        self._late: set[int] = set()
        """Pairs that have come since the ranking, without their longest cycles."""
        self._ranking_due = False
        self._left_out = 0
        self._reserve(memory.most_rows, scope)

    def _reserve(self, rows: int, scope: Scope) -> None:
        pairs, tokens, edges = rows + 1, 2 * rows + len(scope.starts), 2 * rows
        top = layout.TOP_ROOM
        begin, self._top_begin, end = layout.float_places(len(scope.starts))
        self._pair: IntArray = reserve((pairs, layout.PAIR_COLUMNS), np.int64)
        self._group: IntArray = reserve((2 * pairs, layout.GROUP_COLUMNS), np.int64)
        self._best: FloatArray = reserve((4 * pairs,), np.float64)
        self._group_of: layout.Numbers = reserve((edges + rows,), np.uint32)
        self._route: layout.Numbers = reserve((scope.max_cycles, layout.MOST_HOPS), np.uint32)
        self._start: layout.Numbers = reserve((scope.max_cycles,), np.uint32)
        self._rows_in: IntArray = reserve((rows,), np.int64)
        self._floats: FloatArray = np.zeros(end)
        self._limits = self._floats[begin : self._top_begin].reshape(-1, layout.START_COLUMNS)
        self._top = self._floats[self._top_begin :].reshape(top, layout.TOP_FLOATS)
        self._shorts: EdgeArray = np.zeros(top * (layout.TOP_SHORTS + 1) + layout.SCRATCH, np.int32)
        self._top_route = self._shorts[: top * layout.TOP_SHORTS].reshape(top, layout.TOP_SHORTS)
        self._order = self._shorts[top * layout.TOP_SHORTS :][:top]
        self._amounts: Words = np.zeros((top * layout.AMOUNTS, 4), np.uint64)
        entries = (edges, edges, layout.MOST_HOPS * scope.max_cycles)
        rooms = [_SLACK * max(count, _SLACK) for count in entries]
        self._arenas: list[layout.Numbers] = [
            reserve((room << number,), np.uint32) for number, room in enumerate(rooms)
        ]
        self._others = {
            layout.TOKEN: reserve((tokens, layout.TOKEN_COLUMNS), np.int64),
            layout.CHOSEN: reserve((scope.max_cycles,), np.uint32),
            layout.STAMPS: reserve((rows,), np.int64),
            layout.FREE: np.zeros(layout.ARENAS * layout.SIZES, np.int64),
        }
        self._table: IntArray = np.zeros(32, np.int64)
        self._table[layout.TOKENS_ROOM : layout.CYCLES_ROOM + 1] = (
            tokens,
            pairs,
            edges,
            scope.max_cycles,
        )
        self._table[layout.STARTS], self._table[layout.PAIRS] = len(scope.starts), 1
        arrays: dict[int, NDArray[Any]] = {
            layout.PAIR: self._pair,
            layout.GROUP: self._group,
            layout.GROUP_OF: self._group_of,
            layout.BEST: self._best,
            layout.ROUTE: self._route,
            layout.START: self._start,
            layout.ROWS_IN: self._rows_in,
            layout.FLOATS: self._floats,
            layout.SHORTS: self._shorts,
            layout.AMOUNTS_OUT: self._amounts,
            **self._others,
        }
        for place, array in arrays.items():
            self._table[place] = array.ctypes.data
        for number, (held, room) in enumerate(zip(self._arenas, rooms, strict=True)):
            self._table[layout.ARENA + number] = held.ctypes.data
            self._table[layout.ARENA + 2 * layout.ARENAS + number] = room
        self._limits[:, layout.LEAST], self._limits[:, layout.MOST] = scope.least, scope.most
        self._limits[:, layout.VALUE] = 1.0
        self.table = int(self._table.ctypes.data)
        """What kernels are given; valid as long as this object lives."""

    # ---- topology

    def enter(self, row: int, token0: Address, token1: Address, owner: int | None = None) -> None:
        """Let a row into the search; nothing happens when it is there already.

        Args:
            row: its number: edge `2 * row` swaps its token0 for its token1.
            token0: its token0.
            token1: its token1.
            owner: the first row of its pool, where that has several: no cycle takes two of them,
                for they share a state.

        Raises:
            InvariantBroken: there is no space for another pair.
        """
        if self._group_of[2 * row]:
            return
        numbers = self._numbered(token0), self._numbered(token1)
        pair = cycles.enter(self.table, row, *numbers, row if owner is None else owner)
        self._check(fits=pair >= 0)
        self._rows += 1
        scan.refresh_row(self._market, self.table, row)
        if self._ranking_due:
            return
        new = not self._pair[pair, layout.LISTED]
        most = self._lengths_whole
        status = cycles.list_new(self.table, pair, self.scope.hops_least, most)
        self._check(fits=status != cycles.NO_SPACE)
        self._ranking_due = status == cycles.FULL
        if new and most < self.scope.hops_most:
            self._late.add(pair)

    def enter_all(self, rows: Iterable[tuple[int, Address, Address, int]]) -> None:
        """Let many rows in, so that what is searched together lies together.

        Args:
            rows: for each what `enter` takes.
        """
        place = {token: f"{i:08}" for i, token in enumerate(self.scope.starts)}

        def tokens(row: tuple[int, Address, Address, int]) -> list[str]:
            return sorted(place.get(token, token) for token in row[1:3])

        entering = sorted(rows, key=tokens)
        # So many are listed faster together than one after the other.
        self._ranking_due |= len(entering) > _MANY
        for row in entering:
            self.enter(*row)

    def leave(self, row: int) -> None:
        """Take a row out of the search; nothing happens when it is not in it."""
        pair = cycles.leave(self.table, row)
        if pair:
            self._rows -= 1
            for group in (2 * pair, 2 * pair + 1):
                scan.refresh_group(self._market, self.table, group)

    def settle(self) -> None:
        """Choose the cycles to keep again, if those that came do not fit; call before searching."""
        if not self._ranking_due and self._late:
            worth = self._worth()
            self._ranking_due = any(worth[pair] > self._least_kept for pair in self._late)
            self._left_out += len(self._late)
            self._late.clear()
        if self._ranking_due:
            self._rank()

    def _rank(self) -> None:
        """List all cycles anew: in the order of the pairs if all fit, and else by liquidity."""
        self._ranking_due, self._left_out = False, 0
        self._late.clear()
        pairs = np.flatnonzero(self._group[: 2 * int(self._table[layout.PAIRS]) : 2, layout.COUNT])
        least, most = self.scope.hops_least, self.scope.hops_most
        admitted = self._list(pairs)
        if admitted[most] < len(pairs):
            worth = self._worth()
            # Equal pairs go by their tokens' addresses, and so never by when they came.
            place = {token: i for i, token in enumerate(sorted(self._number))}
            by_address = np.array([place[token] for token in self._number], np.int64)
            tokens = np.sort(by_address[self._pair[pairs][:, : layout.TOKEN1 + 1]], axis=1)
            pairs = pairs[np.lexsort((tokens[:, 1], tokens[:, 0], -worth[pairs]))]
            admitted = self._list(pairs)
            self._left_out = len(pairs) - int(admitted[most])
            _log.warning(
                "cycles left out: lower hops_most or raise max_cycles",
                chain=self._name,
                cycles=int(self._table[layout.CYCLES]),
                pairs_left_out=self._left_out,
            )
        whole = [h for h in range(least, most + 1) if admitted[h] == len(pairs)]
        self._lengths_whole = max(whole, default=least - 1)
        if self._lengths_whole < most:
            kept = int(admitted[self._lengths_whole + 1])
            self._least_kept = float(worth[pairs[kept - 1]]) if kept else np.inf

    def _list(self, pairs: IntArray) -> IntArray:
        """List the cycles over pairs in this order; return how many are admitted, by hops."""
        admitted = np.zeros(layout.MOST_HOPS + 1, np.int64)
        least, most = self.scope.hops_least, self.scope.hops_most
        status = cycles.list_all(self.table, pairs, least, most, admitted)
        self._check(fits=status != cycles.NO_SPACE)
        return admitted

    def _worth(self) -> FloatArray:
        """Return the native locked in each pair."""
        native = self._numbered(self._native)
        pairs, tokens = int(self._table[layout.PAIRS]), len(self._number)
        worth = np.zeros(pairs)
        value_pairs(self._market, self.table, native, np.zeros(tokens), np.zeros(tokens), worth)
        return worth

    def _numbered(self, token: Address) -> int:
        return self._number.setdefault(token, len(self._number))

    def _check(self, *, fits: bool) -> None:
        if not fits:
            raise InvariantBroken(
                f"the book of {self._name} is full at {self._rows} pools: raise most_pools"
            )

    def edges(self, token_in: Address, token_out: Address) -> Sequence[int]:
        """Return the edges that swap one token for another."""
        group = self._between(token_in, token_out)
        first, count = self._group[group, [layout.FIRST, layout.COUNT]]
        return [int(edge) for edge in self._arenas[layout.MEMBERS][first : first + count]]

    def limits(self, start: Address) -> tuple[float, float]:
        """Return the least and the most of a start token that a cycle may take."""
        place = self.scope.starts.index(start)
        return self.scope.least[place], self.scope.most[place]

    def best_rate(self, token_in: Address, token_out: Address) -> float:
        """Return the log of the best marginal rate between two tokens, DEAD without a pool."""
        group = self._between(token_in, token_out)
        return float(self._best[group]) if group else DEAD

    def _between(self, token_in: Address, token_out: Address) -> int:
        if token_in not in self._number or token_out not in self._number:
            return 0
        numbers = self._number[token_in], self._number[token_out]
        return int(cycles.group_between(self.table, *numbers))

    # ---- search

    def price(
        self,
        *,
        gas_price_wei: int,
        overhead_gas: int,
        least_worth_wei: int,
        values: Mapping[Address, float] | None = None,
    ) -> None:
        """Say by what candidates are ranked from now on.

        Args:
            gas_price_wei: of a unit of gas.
            overhead_gas: of a plan beside its swaps.
            least_worth_wei: what a candidate must leave after its gas.
            values: wei of wrapped native for a smallest unit, by start token; the market's own
                marginal rates where left out.
        """
        self._floats[[layout.GAS_PRICE, layout.OVERHEAD_GAS, layout.LEAST_WORTH]] = (
            gas_price_wei,
            overhead_gas,
            # Floats do not turn down what integers may find to be just enough.
            least_worth_wei * (1.0 - _FLOAT_ERROR),
        )
        for place, token in enumerate(self.scope.starts):
            given = None if values is None else values.get(token)
            self._limits[place, layout.VALUE] = self.value(token) if given is None else given

    def refresh_all(self) -> None:
        """Bring every group's best rate up to date with the market."""
        scan.refresh_all(self._market, self.table)

    def refresh_rows(self, rows: Sequence[int]) -> None:
        """Bring the groups of some rows up to date."""
        self._rows_in[: len(rows)] = rows
        scan.refresh_rows(self._market, self.table, len(rows))

    def search(self, wanted: int = KEPT) -> list[Candidate]:
        """Search the whole scope; call `refresh_all` before.

        Returns:
            Candidates, those worth most first; without amounts where a protocol must be asked.
        """
        return self._candidates(scan.search_all(self._market, self.table, wanted, wanted))

    def search_through(self, rows: Sequence[int], wanted: int = KEPT) -> list[Candidate]:
        """Search the cycles through some rows only; brings their groups up to date itself."""
        self._rows_in[: len(rows)] = rows
        kept = scan.search_rows(self._market, self.table, len(rows), wanted, wanted)
        return self._candidates(kept)

    def statistics(self) -> BookStatistics:
        """Return the size of the book."""
        pairs, listed = self._table[[layout.PAIRS, layout.CYCLES]]
        return BookStatistics(self._rows, int(pairs) - 1, int(listed), self._left_out)

    def _candidates(self, kept: int) -> list[Candidate]:
        found = []
        for place in self._order[:kept].tolist():
            route = self._top_route[place].tolist()
            status, hops, start = route[layout.TOP_STATUS : layout.TOP_START + 1]
            worth, amount, _, gas = self._top[place].tolist()
            amounts: tuple[int, ...] = ()
            if status == Status.OK:
                first = place * layout.AMOUNTS
                amounts = tuple(value(self._amounts, first + h) for h in range(hops + 1))
            elif status != ELSEWHERE:
                cause = "leaves nothing" if status == scan.LOSES else Status(status).name
                self.refused[cause] += 1
                continue
            size = amounts[0] if amounts else max(1, int(amount))
            edges, token = tuple(route[:hops]), self.scope.starts[start]
            found.append(Candidate(edges, token, size, worth, int(gas), amounts[1:]))
        return sorted(found, key=lambda candidate: -candidate.worth_wei)

    def value(self, token: Address) -> float:
        """Return wei of wrapped native per smallest unit, at the marginal rates."""
        if token == self._native:
            return 1.0
        direct = self.best_rate(token, self._native)
        through = max(
            (
                self.best_rate(token, middle) + self.best_rate(middle, self._native)
                for middle in self.scope.starts
                if middle not in {token, self._native}
            ),
            default=DEAD,
        )
        return float(np.exp(max(direct, through)))
