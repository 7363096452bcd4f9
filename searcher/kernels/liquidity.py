"""What lies in the pairs of a book, in the native token: which of them to keep when not all can be.

A token's price is that of the deepest pool that joins it to a token priced before. A pair counts at
most what its tokens' prices rest on: two worthless tokens stay worthless however much of them a
pool holds. For ranking only.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917, C901

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.book import (
    COUNT,
    FIRST,
    MEMBERS,
    PAIRS,
    TOKEN0,
    TOKEN1,
    arena,
    groups_of,
    pairs_of,
)
from searcher.kernels.curves import RESERVE_IN, FloatArray
from searcher.kernels.memory import (
    CONCENTRATED,
    HERE0,
    HERE1,
    KIND,
    PIECEWISE,
    pieces_of,
    rate,
    real,
    shape,
    slot,
)

_ROUNDS: Final = 3


@kernel("UniTuple(f8, 2)(i8, i8)")
def reserves(table: int, row: int) -> tuple[float, float]:
    """Return a row's reserves, or those of the constant product that it is like at its price."""
    about, kind = real(table)[row], shape(table)[row, KIND]
    first, second = about[HERE0], about[HERE1]
    if kind == CONCENTRATED:
        return (second / first, second * first) if first > 0.0 else (0.0, 0.0)
    if kind == PIECEWISE:
        sides = pieces_of(table, row, 0), pieces_of(table, row, 1)
        if len(sides[0]) == 0 or len(sides[1]) == 0:
            return 0.0, 0.0
        return sides[0][0, RESERVE_IN], sides[1][0, RESERVE_IN]
    return first, second


@kernel("void(i8, i8, i8, f8[::1], f8[::1], f8[::1])")
def value_pairs(
    table: int, book: int, native: int, price: FloatArray, depth: FloatArray, worth: FloatArray
) -> None:
    """Value every pair of a book.

    Args:
        table: the market's.
        book: the book's.
        native: number of the wrapped native token.
        price: float64[tokens], written: in native, 0.0 for what has none.
        depth: float64[tokens], written: how much native a token's price rests on.
        worth: float64[pairs], written: native in each pair's pools.
    """
    groups, pairs, members = groups_of(book), pairs_of(book), arena(book, MEMBERS)
    known = np.zeros(len(price))
    for token in range(len(price)):
        price[token] = depth[token] = 0.0
    price[native], depth[native] = 1.0, math.inf
    known[native] = 1.0
    for turn in range(_ROUNDS + 1):
        for pair in range(1, slot(book, PAIRS)):
            group = groups[2 * pair]
            token0, token1 = pairs[pair, TOKEN0], pairs[pair, TOKEN1]
            total = 0.0
            for k in range(group[FIRST], group[FIRST] + group[COUNT]):
                edge = members[k]
                if not rate(table)[edge] > -math.inf:
                    continue
                held0, held1 = reserves(table, edge >> 1)
                if edge & 1 == 1:
                    held0, held1 = held1, held0
                if held0 <= 0.0 or held1 <= 0.0:
                    continue
                worth0, worth1 = held0 * known[token0], held1 * known[token1]
                total += worth0 + worth1 if min(worth0, worth1) > 0.0 else 0.0
                # A token is priced once, in the round after its first neighbour was.
                if known[token1] == 0.0 and min(worth0, depth[token0]) > depth[token1]:
                    price[token1], depth[token1] = worth0 / held1, min(worth0, depth[token0])
                if known[token0] == 0.0 and min(worth1, depth[token1]) > depth[token0]:
                    price[token0], depth[token0] = worth1 / held0, min(worth1, depth[token1])
            if turn == _ROUNDS:
                worth[pair] = min(total, depth[token0], depth[token1])
        for token in range(len(price)):
            known[token] = price[token]
