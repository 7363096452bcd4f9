"""A book of cycles as kernels see it: one address, of a table of sizes and addresses.

**Tokens** are numbered from 0 on, the start tokens first, in order of preference: a cycle begins at
its token with the smallest number. **Pairs** of tokens are numbered from 1 on; pair 0 stands for
nothing. A **group** is a pair in one direction, `2 * pair` from its token 0 to its token 1 and
`2 * pair + 1` back; its members are the edges of the market that swap one for the other. A cycle is
kept as its groups, and can pay only if the best member of each does.

- `token` int64[tokens, 4]: where its neighbours lie: FIRST, COUNT, ROOM.
- `pair` int64[pairs, 8]: TOKEN0, TOKEN1; RANK: cycles of a pair are listed over pairs of smaller
  rank, so that each is listed by its last pair; LISTED: whether they are; PAIRED: whether the way
  out and back is, which takes two pools.
- `group` int64[groups, 8]: where its members lie and how many cycles go through it.
- `group_of` uint32[edges]: an edge's group, 0 for those not in the book; and behind them
  `owner` uint32[rows]: the first row of a row's pool, for rows of one pool share its state.
- `best` float64[groups]: the best rate among its members; 0.0 for the groups of pair 0; and behind
  them `bend` float64[groups]: a curvature (`kernels.hops.front`) that no member is below.
- `route` uint32[cycles, 4]: its groups from its start on, 0 behind the last; `start`
  uint32[cycles]: its start token.
- Arenas of uint32, in slots whose sizes are powers of two: MEMBERS (edges), NEIGHBOURS (a token,
  and the group that leads there), THROUGH (the other groups of a cycle, 0 for none, and the cycle).
- What a search leaves: see `kernels.scan`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import FloatArray, IntArray
from searcher.kernels.memory import (
    SLOTS,
    float_rows,
    floats,
    integer_rows,
    integers,
    numbers_at,
    short_integers,
    slot,
    words_at,
)
from searcher.kernels.sizing import EdgeArray
from searcher.kernels.u256 import Words

Numbers = NDArray[np.uint32]

MOST_HOPS: Final = 4
SCRATCH: Final = 8
TOP_ROOM: Final = 96
"""How many candidates a search can keep: many share pools, and few are taken."""
AMOUNTS: Final = MOST_HOPS + 1

# ---- the table: numbers, then addresses

TOKENS_ROOM: Final = 0
PAIRS_ROOM: Final = 1
EDGES_ROOM: Final = 2
CYCLES_ROOM: Final = 3
STARTS: Final = 4
PAIRS: Final = 5
CYCLES: Final = 6
CLOCK: Final = 7
"""Grows with every search and every ranking: what is later has the greater number."""
KEPT: Final = 8
TOKEN: Final = 9
PAIR: Final = 10
GROUP: Final = 11
GROUP_OF: Final = 12
BEST: Final = 13
ROUTE: Final = 14
START: Final = 15
CHOSEN: Final = 16
STAMPS: Final = 17
FREE: Final = 18
ARENA: Final = 19
"""Three arenas: their addresses, then how much of each is used, then how much each holds."""
ROWS_IN: Final = 28
FLOATS: Final = 29
SHORTS: Final = 30
AMOUNTS_OUT: Final = 31

# ---- columns

FIRST: Final = 0
COUNT: Final = 1
ROOM: Final = 2
THROUGH_FIRST: Final = 3
THROUGH_COUNT: Final = 4
THROUGH_ROOM: Final = 5
TOKEN_COLUMNS: Final = 4
GROUP_COLUMNS: Final = 8

TOKEN0: Final = 0
TOKEN1: Final = 1
RANK: Final = 2
LISTED: Final = 3
PAIRED: Final = 4
PAIR_COLUMNS: Final = 8

# ---- arenas

MEMBERS: Final = 0
NEIGHBOURS: Final = 1
THROUGH: Final = 2
ARENAS: Final = 3
SIZES: Final = 40
"""Sizes of slots: powers of two."""

# ---- a search's numbers, float64

GAS_PRICE: Final = 0
"""Wei for a unit of gas."""
OVERHEAD_GAS: Final = 1
"""Gas of a plan beside its swaps."""
LEAST_WORTH: Final = 2
"""Wei that a candidate must leave after its gas."""
PARAMETERS: Final = 8
VALUE: Final = 0
"""Of a start token: wei of wrapped native for a smallest unit."""
LEAST: Final = 1
MOST: Final = 2
START_COLUMNS: Final = 4
TOP_WORTH: Final = 0
"""Of a kept candidate: wei that it leaves after its gas."""
TOP_AMOUNT: Final = 1
TOP_LEFT: Final = 2
TOP_GAS: Final = 3
TOP_FLOATS: Final = 4
TOP_STATUS: Final = 4
"""In the integers of a kept candidate, behind its edges."""
TOP_HOPS: Final = 5
TOP_START: Final = 6
TOP_SHORTS: Final = 8


def float_places(starts: int) -> tuple[int, int, int]:
    """Return where start tokens and kept candidates begin in a search's floats, and their end."""
    top = PARAMETERS + START_COLUMNS * starts
    return PARAMETERS, top, top + TOP_FLOATS * TOP_ROOM


@kernel("i8[::1](i8)", inlined=True)
def numbers(book: int) -> IntArray:
    """Return the table itself, to write its numbers."""
    return integers(book, SLOTS)


@kernel("i8[:,::1](i8)", inlined=True)
def tokens_of(book: int) -> IntArray:
    """Return int64[tokens, 4]."""
    return integer_rows(slot(book, TOKEN), slot(book, TOKENS_ROOM), TOKEN_COLUMNS)


@kernel("i8[:,::1](i8)", inlined=True)
def pairs_of(book: int) -> IntArray:
    """Return int64[pairs, 8]."""
    return integer_rows(slot(book, PAIR), slot(book, PAIRS_ROOM), PAIR_COLUMNS)


@kernel("i8[:,::1](i8)", inlined=True)
def groups_of(book: int) -> IntArray:
    """Return int64[groups, 8]."""
    return integer_rows(slot(book, GROUP), 2 * slot(book, PAIRS_ROOM), GROUP_COLUMNS)


@kernel("u4[::1](i8)", inlined=True)
def group_of(book: int) -> Numbers:
    """Return uint32[edges]."""
    return numbers_at(slot(book, GROUP_OF), slot(book, EDGES_ROOM))


@kernel("u4[::1](i8)", inlined=True)
def owners_of(book: int) -> Numbers:
    """Return uint32[rows], the first row of each row's pool."""
    edges = slot(book, EDGES_ROOM)
    return numbers_at(slot(book, GROUP_OF) + 4 * edges, edges >> 1)


@kernel("f8[::1](i8)", inlined=True)
def best_of(book: int) -> FloatArray:
    """Return float64[groups]."""
    return floats(slot(book, BEST), 2 * slot(book, PAIRS_ROOM))


@kernel("f8[::1](i8)", inlined=True)
def bends_of(book: int) -> FloatArray:
    """Return float64[groups], the least curvatures."""
    groups = 2 * slot(book, PAIRS_ROOM)
    return floats(slot(book, BEST) + 8 * groups, groups)


@kernel("u4[::1](i8)", inlined=True)
def routes_of(book: int) -> Numbers:
    """Return uint32[cycles * 4]."""
    return numbers_at(slot(book, ROUTE), MOST_HOPS * slot(book, CYCLES_ROOM))


@kernel("u4[::1](i8)", inlined=True)
def starts_of(book: int) -> Numbers:
    """Return uint32[cycles]."""
    return numbers_at(slot(book, START), slot(book, CYCLES_ROOM))


@kernel("u4[::1](i8, i8)", inlined=True)
def arena(book: int, number: int) -> Numbers:
    """Return an arena's integers."""
    size = slot(book, ARENA + 2 * ARENAS + number) * width(number)
    return numbers_at(slot(book, ARENA + number), size)


@kernel("i8(i8)", inlined=True)
def width(number: int) -> int:
    """Return how many integers an entry of an arena has."""
    return 1 << number


@kernel("u4[::1](i8)", inlined=True)
def chosen_of(book: int) -> Numbers:
    """Return uint32[cycles], the cycles chosen by screening."""
    return numbers_at(slot(book, CHOSEN), slot(book, CYCLES_ROOM))


@kernel("i8[::1](i8)", inlined=True)
def stamps_of(book: int) -> IntArray:
    """Return int64[rows]: when a row was last looked at, and as the how manieth."""
    return integers(slot(book, STAMPS), slot(book, EDGES_ROOM) >> 1)


@kernel("i8[::1](i8)", inlined=True)
def rows_in(book: int) -> IntArray:
    """Return int64[rows]: those that a search is to go through."""
    return integers(slot(book, ROWS_IN), slot(book, EDGES_ROOM) >> 1)


@kernel("f8[::1](i8)", inlined=True)
def parameters_of(book: int) -> FloatArray:
    """Return float64[8]: what a search depends on beside the market."""
    return floats(slot(book, FLOATS), PARAMETERS)


@kernel("f8[:,::1](i8)", inlined=True)
def limits_of(book: int) -> FloatArray:
    """Return float64[starts, 4]: what a start token is worth, and least and most of it."""
    address = slot(book, FLOATS) + 8 * PARAMETERS
    return float_rows(address, slot(book, STARTS), START_COLUMNS)


@kernel("f8[:,::1](i8)", inlined=True)
def top_floats(book: int) -> FloatArray:
    """Return float64[96, 4]: worth, input, what is left, and gas of the candidates kept."""
    address = slot(book, FLOATS) + 8 * (PARAMETERS + START_COLUMNS * slot(book, STARTS))
    return float_rows(address, TOP_ROOM, TOP_FLOATS)


@kernel("i4[::1](i8, i8)", inlined=True)
def top_route(book: int, place: int) -> EdgeArray:
    """Return int32[8] of a candidate: its edges, its status, its hops, its start token."""
    return short_integers(slot(book, SHORTS) + 4 * TOP_SHORTS * place, TOP_SHORTS)


@kernel("i4[::1](i8)", inlined=True)
def order_of(book: int) -> EdgeArray:
    """Return int32[96]: the places of the candidates kept, the most worth first."""
    return short_integers(slot(book, SHORTS) + 4 * TOP_SHORTS * TOP_ROOM, TOP_ROOM)


@kernel("i4[::1](i8)", inlined=True)
def scratch_of(book: int) -> EdgeArray:
    """Return int32[8] for whoever is at work."""
    address = slot(book, SHORTS) + 4 * (TOP_SHORTS + 1) * TOP_ROOM
    return short_integers(address, SCRATCH)


@kernel("u8[:,::1](i8, i8)", inlined=True)
def amounts_of(book: int, place: int) -> Words:
    """Return U256[5] of a candidate: what goes into it, and what each hop gives."""
    return words_at(slot(book, AMOUNTS_OUT) + 32 * AMOUNTS * place, AMOUNTS)
