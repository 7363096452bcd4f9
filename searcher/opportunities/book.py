"""The cycles that a strategy may trade, and their search in floats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import structlog
from msgspec import Struct

from searcher.domain.units import Address
from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.cycles import (
    MOST_HOPS,
    RouteArray,
    enumerate_cycles,
    expand,
    refresh,
    screen_all,
    screen_touched,
)
from searcher.market.arrays import PoolArrays
from searcher.market.market import Market
from searcher.opportunities.strategy import Candidate

_log = structlog.get_logger(__name__)

KEPT = 96
"""How many candidates a search keeps: many share pools, and few are confirmed."""

MOST_AMOUNT = float(2**112)

_SEGMENTS = 48


class Scope(Struct, frozen=True):
    """What may be traded, with every name resolved; equal scopes share a book."""

    starts: tuple[Address, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    hops_least: int
    hops_most: int
    pools_allowed: frozenset[Address]
    pools_denied: frozenset[Address]
    tokens_allowed: frozenset[Address]
    tokens_denied: frozenset[Address]
    max_cycles: int

    def allows(self, pool: Address, tokens: Iterable[Address]) -> bool:
        """Return whether a pool and its tokens may be used."""
        if pool in self.pools_denied or (self.pools_allowed and pool not in self.pools_allowed):
            return False
        return all(
            token not in self.tokens_denied
            and (not self.tokens_allowed or token in self.tokens_allowed)
            for token in tokens
        )


class BookStatistics(Struct, frozen=True):
    """The size of a book; `left_out` are cycles beyond `max_cycles`."""

    pools: int
    groups: int
    cycles: int
    left_out: int


class CycleBook:
    """Groups of edges, cycles of groups, and the search over them, for one scope.

    Args:
        market: whose rows it searches.
        scope: what it may trade.
    """

    def __init__(self, market: Market, scope: Scope) -> None:
        self.scope = scope
        self._market = market
        self._topology = -1
        self._stamp = 0
        self._arrays = PoolArrays()
        self._edges_of: dict[tuple[Address, Address], list[int]] = {}
        self._left_out = 0
        self._least = np.array(scope.least, np.float64)
        self._most = np.array(scope.most, np.float64)
        self._top_edges: RouteArray = np.zeros((KEPT, MOST_HOPS), np.int32)
        self._top_cycle: IntArray = np.zeros(KEPT, np.int64)
        self._top_amount: FloatArray = np.zeros(KEPT)
        self._top_worth: FloatArray = np.zeros(KEPT)

    # ---- topology

    def prepare(self) -> bool:
        """List the groups and cycles again if pools have joined the search; return whether so."""
        if self._topology == self._market.topology:
            return False
        self._arrays = PoolArrays()
        for row in range(len(self._market.rows)):
            self._arrays.add(_SEGMENTS)
            self._arrays.draw(self._market.memory, row)
        self._list_groups()
        self._list_cycles()
        self._topology = self._market.topology
        _log.info(
            "cycles listed",
            chain=self._market.chain,
            groups=len(self._best),
            cycles=len(self._routes),
            left_out=self._left_out,
        )
        return True

    def edges(self, token_in: Address, token_out: Address) -> Sequence[int]:
        """Return the edges that swap one token for another."""
        return self._edges_of.get((token_in, token_out), ())

    def _list_groups(self) -> None:
        edges_of: dict[tuple[Address, Address], list[int]] = {}
        self._pools = 0
        for row, (owner, token0, token1, *_) in enumerate(self._market.rows):
            if self._market.why_not(row) or not self.scope.allows(
                self._market.pools[owner].address, (token0, token1)
            ):
                continue
            self._pools += 1
            edges_of.setdefault((token0, token1), []).append(2 * row)
            edges_of.setdefault((token1, token0), []).append(2 * row + 1)
        self._edges_of = edges_of
        number = {token: i for i, token in enumerate(sorted({pair[0] for pair in edges_of}))}
        # Ascending by the two token numbers: a token's neighbours lie together and in order.
        pairs = sorted(edges_of, key=lambda pair: (number[pair[0]], number[pair[1]]))
        self._members = np.array([e for p in pairs for e in edges_of[p]], np.int32)
        self._ptr = _offsets([len(edges_of[pair]) for pair in pairs])
        self._out_token = np.array([number[pair[1]] for pair in pairs], np.int32)
        self._out_group = np.arange(len(pairs), dtype=np.int32)
        degrees = np.bincount([number[pair[0]] for pair in pairs], minlength=len(number))
        self._out_ptr = _offsets(degrees)
        self._best = np.full(len(pairs), DEAD)
        self._group_of_edge = {e: i for i, pair in enumerate(pairs) for e in edges_of[pair]}
        self._all_groups = np.arange(len(pairs), dtype=np.int64)
        known = [(i, number[token]) for i, token in enumerate(self.scope.starts) if token in number]
        self._start_places = np.array([i for i, _ in known], np.int64)
        self._start_tokens = np.array([n for _, n in known], np.int32)

    def _list_cycles(self) -> None:
        room, self._left_out = self.scope.max_cycles, 0
        parts: list[tuple[RouteArray, IntArray, IntArray]] = []
        for hops in range(self.scope.hops_least, self.scope.hops_most + 1):
            total = self._enumerate(hops, 0)[0]
            kept = min(total, room)
            parts.append(self._enumerate(hops, kept)[1:])
            room -= kept
            self._left_out += total - kept
        self._routes = np.concatenate([part[0] for part in parts])
        self._lengths = np.concatenate([part[1] for part in parts])
        # Kernels number the start tokens that have a pool; limits are by the scope's order.
        self._start_of = self._start_places[np.concatenate([part[2] for part in parts])]
        used = self._routes[self._routes >= 0]
        cycle_of = np.repeat(np.arange(len(self._routes), dtype=np.int32), self._lengths)
        self._through = cycle_of[np.argsort(used, kind="stable")]
        self._through_ptr = _offsets(np.bincount(used, minlength=len(self._best)))
        self._stamps = np.zeros(len(self._routes), np.int64)
        self._chosen = np.zeros(len(self._routes), np.int64)
        if self._left_out:
            _log.warning(
                "cycles left out: lower hops_most or raise max_cycles",
                chain=self._market.chain,
                left_out=self._left_out,
            )

    def _enumerate(self, hops: int, room: int) -> tuple[int, RouteArray, IntArray, IntArray]:
        routes = np.full((room, MOST_HOPS), -1, np.int32)
        lengths, start_of = np.zeros(room, np.int64), np.zeros(room, np.int64)
        total = enumerate_cycles(
            self._start_tokens,
            hops,
            self._out_ptr,
            self._out_token,
            self._out_group,
            self._ptr,
            routes,
            lengths,
            start_of,
        )
        return total, routes, lengths, start_of

    # ---- search

    def refresh_all(self) -> None:
        """Bring every group's best rate up to date with the market."""
        for row in range(self._arrays.rows):
            self._arrays.draw(self._market.memory, row)
        self._refresh(self._all_groups)

    def refresh_rows(self, rows: Sequence[int]) -> IntArray:
        """Bring the groups of some rows up to date, and return those groups."""
        # A block or a transaction changes a few rows: a Python set is faster here than an array.
        for row in rows:
            self._arrays.draw(self._market.memory, row)
        edges = (e for row in rows for e in (2 * row, 2 * row + 1))
        found = {self._group_of_edge.get(edge, -1) for edge in edges} - {-1}
        groups = np.array(sorted(found), np.int64)
        self._refresh(groups)
        return groups

    def _refresh(self, groups: IntArray) -> None:
        refresh(groups, self._ptr, self._members, self._arrays.rate, self._best)

    def search(self, least_worth_wei: float) -> list[Candidate]:
        """Search the whole scope; call `refresh_all` before.

        Returns:
            Candidates worth more than `least_worth_wei` before gas, the most valuable first.
        """
        number = screen_all(self._routes, self._lengths, self._best, self._chosen)
        return self._expand(number, (), least_worth_wei)

    def search_through(self, rows: Sequence[int], least_worth_wei: float) -> list[Candidate]:
        """Search the cycles through some rows only; brings their groups up to date itself."""
        groups = self.refresh_rows(rows)
        self._stamp += 1
        number = screen_touched(
            groups,
            self._through_ptr,
            self._through,
            self._routes,
            self._lengths,
            self._best,
            self._stamps,
            self._stamp,
            self._chosen,
        )
        return self._expand(number, rows, least_worth_wei) if number else []

    def statistics(self) -> BookStatistics:
        """Return the size of the book."""
        self.prepare()
        return BookStatistics(self._pools, len(self._best), len(self._routes), self._left_out)

    def _expand(self, number: int, rows: Sequence[int], least: float) -> list[Candidate]:
        arrays = self._arrays
        touched = np.zeros(arrays.rows, np.uint8)
        for row in rows:
            touched[row] = 1
        kept = expand(
            self._chosen,
            number,
            self._routes,
            self._lengths,
            self._start_of,
            self._ptr,
            self._members,
            self._best,
            touched,
            len(rows) > 0,
            self._values(),
            self._least,
            self._most,
            least,
            arrays.rate,
            arrays.gamma,
            arrays.first,
            arrays.count,
            arrays.segments,
            self._top_edges,
            self._top_cycle,
            self._top_amount,
            self._top_worth,
        )
        return [self._candidate(k) for k in range(kept)]

    def _candidate(self, k: int) -> Candidate:
        cycle = int(self._top_cycle[k])
        return Candidate(
            tuple(int(e) for e in self._top_edges[k, : self._lengths[cycle]]),
            self.scope.starts[int(self._start_of[cycle])],
            max(1, int(self._top_amount[k])),
            float(self._top_worth[k]),
        )

    def _values(self) -> FloatArray:
        """Wei of wrapped native per smallest unit of each start token, at the marginal rates."""
        native = self._market.wrapped_native
        return np.array([self._value(token, native) for token in self.scope.starts], np.float64)

    def _value(self, token: Address, native: Address) -> float:
        if token == native:
            return 1.0
        direct = self._best_rate(token, native)
        through = max(
            (
                self._best_rate(token, middle) + self._best_rate(middle, native)
                for middle in self.scope.starts
                if middle not in {token, native}
            ),
            default=DEAD,
        )
        return float(np.exp(max(direct, through)))

    def _best_rate(self, token_in: Address, token_out: Address) -> float:
        edges = self._edges_of.get((token_in, token_out))
        return float(self._best[self._group_of_edge[edges[0]]]) if edges else DEAD


def _offsets(sizes: Sequence[int] | IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
