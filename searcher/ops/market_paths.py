"""The best ways from one token to another through a market: found in floats, told in integers.

The search goes hop by hop. Of every token the best ways to it are followed on, KEPT of them after
each hop, which do not return to a token or a pool: more coming in never gives less, so a better way
is lost only where all that were kept cross the rest of it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from searcher.domain.units import Address, Int256, Uint256
from searcher.kernels.curves import DEAD
from searcher.kernels.hops import hop
from searcher.kernels.refusal import SwapRefused
from searcher.ops.market_view import MarketView, TokenName

MOST_HOPS: Final = 4
KEPT: Final = 32
"""Ways to each token that are followed on."""
_ASKED: Final = 20
"""Ways that are asked for exactly, for each that is wanted."""


class HopRecord(Struct, frozen=True):
    """One swap of a path; `fee_pips` is None where its curve has no fixed one."""

    pool: str
    dex: str
    protocol: str
    fee_pips: int | None
    token_in: TokenName
    token_out: TokenName
    amount_in: Uint256
    amount_out: Uint256


class PathRecord(Struct, frozen=True):
    """A path and exactly what it gives; `profit` is what a cycle gives beyond what it takes."""

    hops: tuple[HopRecord, ...]
    amount_out: Uint256
    profit: Int256 | None


class PathsRecord(Struct, frozen=True):
    """The best paths found, the best first.

    Gas is not counted. `refused` paths looked as good, and a contract on them would revert.
    """

    block: int
    token_in: TokenName
    token_out: TokenName
    amount_in: Uint256
    paths: tuple[PathRecord, ...]
    refused: int


class _Way(NamedTuple):
    amount: float
    edges: tuple[int, ...]
    tokens: tuple[Address, ...]


def best_paths(
    view: MarketView, token_in: Address, token_out: Address, amount: int, *, hops: int, limit: int
) -> PathsRecord:
    """Return the paths that give most; the cycles, where both tokens are the same.

    Args:
        view: of the market.
        token_in: what is given.
        token_out: what is got.
        amount: smallest units given.
        hops: the most swaps of a path, at most MOST_HOPS.
        limit: how many paths are wanted.
    """
    found: list[PathRecord] = []
    refused = 0
    complete = _Search(view, token_in, token_out, hops).complete(float(amount))
    for way in heapq.nlargest(_ASKED * limit, complete):
        try:
            found.append(_exactly(view, way, amount, cyclic=token_in == token_out))
        except SwapRefused:
            refused += 1
    found.sort(key=lambda path: (-path.amount_out, len(path.hops)))
    return PathsRecord(
        view.head.number + 1,
        view.named(token_in),
        view.named(token_out),
        amount,
        tuple(found[:limit]),
        refused,
    )


class _Search:
    def __init__(self, view: MarketView, start: Address, end: Address, hops: int) -> None:
        self._market = view.market
        self._start = start
        self._end = end
        self._hops = hops
        self._edges: dict[Address, list[tuple[int, Address]]] = defaultdict(list)
        rates = self._market.memory.rate
        for row in view.searched_rows():
            about = self._market.rows[row]
            for edge, sold, bought in (
                (2 * row, about.token0, about.token1),
                (2 * row + 1, about.token1, about.token0),
            ):
                if rates[edge] != DEAD:
                    self._edges[sold].append((edge, bought))
        self._near = self._reach()

    def _reach(self) -> list[set[Address]]:
        """Return the tokens from which the end is no more than 0, 1, ... hops away."""
        sellers: dict[Address, set[Address]] = defaultdict(set)
        for sold, edges in self._edges.items():
            for _, bought in edges:
                sellers[bought].add(sold)
        near = [{self._end}]
        for _ in range(self._hops):
            near.append(near[-1].union(*(sellers[token] for token in near[-1])))
        return near

    def complete(self, amount: float) -> Iterator[_Way]:
        """Yield the ways that reach the end."""
        ways = {self._start: [_Way(amount, (), (self._start,))]}
        for left in range(self._hops - 1, -1, -1):
            longer: dict[Address, list[_Way]] = defaultdict(list)
            for token, reached in ways.items():
                for edge, bought in self._edges[token]:
                    if bought != self._end and bought not in self._near[left]:
                        continue
                    longer[bought] += self._through(edge, bought, reached)
            yield from longer.pop(self._end, ())
            ways = {token: heapq.nlargest(KEPT, found) for token, found in longer.items()}

    def _through(self, edge: int, bought: Address, ways: list[_Way]) -> Iterator[_Way]:
        rows, table = self._market.rows, self._market.memory.table
        pool = rows[edge >> 1].pool
        for way in ways:
            if bought in way.tokens and bought != self._end:
                continue
            if any(rows[used >> 1].pool == pool for used in way.edges):
                continue
            out, slope, _ = hop(table, edge, way.amount)
            if out >= 1.0 and slope > 0.0:  # beyond the end of a curve nothing more is taken
                yield _Way(out, (*way.edges, edge), (*way.tokens, bought))


def _exactly(view: MarketView, way: _Way, amount: int, *, cyclic: bool) -> PathRecord:
    """Return a path with what each contract on it pays.

    Raises:
        SwapRefused: one of them would revert.
    """
    market, given = view.market, amount
    hops = []
    for edge in way.edges:
        row, side = edge >> 1, edge & 1
        about = market.rows[row]
        pool = market.pools[about.pool]
        got = market.quote(
            row, market.next_block(about.pool), given, zero_for_one=side == 0
        ).realised
        sold, bought = (about.token0, about.token1) if side == 0 else (about.token1, about.token0)
        hops.append(
            HopRecord(
                pool.id,
                pool.dex,
                pool.protocol,
                view.fee_pips(about.pool, pool),
                view.named(sold),
                view.named(bought),
                given,
                got,
            )
        )
        given = got
    return PathRecord(tuple(hops), given, given - amount if cyclic else None)
