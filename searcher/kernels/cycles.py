"""Which cycles there are, kept up to date as pools come and go.

A new pool of a pair that is known becomes one more member; a new pair brings the cycles through it,
found from its own tokens only. Nothing is listed again because of it. The layout is that of
`kernels.book`.
"""

# Kernels take what they depend on by position.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.book import (
    ARENA,
    ARENAS,
    CLOCK,
    COUNT,
    CYCLES,
    CYCLES_ROOM,
    FIRST,
    FREE,
    LISTED,
    MEMBERS,
    MOST_HOPS,
    NEIGHBOURS,
    PAIRED,
    PAIRS,
    PAIRS_ROOM,
    RANK,
    SIZES,
    STARTS,
    THROUGH,
    THROUGH_COUNT,
    THROUGH_FIRST,
    TOKEN0,
    TOKEN1,
    arena,
    bends_of,
    best_of,
    group_of,
    groups_of,
    numbers,
    owners_of,
    pairs_of,
    routes_of,
    scratch_of,
    starts_of,
    tokens_of,
    width,
)
from searcher.kernels.curves import DEAD, IntArray
from searcher.kernels.memory import integers, slot

DONE: Final = 0
FULL: Final = 1
"""There is no room for the cycles of a pair: none of them is kept."""
NO_SPACE: Final = 2
"""An arena is full, or there are more pairs than were reserved."""

_LEAST_SLOT: Final = 4


# ---- lists in arenas


@kernel("i8(i8, i8, i8[::1], i8)")
def _room_for_one(book: int, number: int, owner: IntArray, column: int) -> int:
    """See that a list (FIRST, COUNT, ROOM at `column` of its owner) can take one more entry."""
    first, count, room = owner[column], owner[column + 1], owner[column + 2]
    if count < room:
        return DONE
    wide = width(number)
    held = arena(book, number)
    free = integers(slot(book, FREE) + 8 * SIZES * number, SIZES)
    bigger = max(_LEAST_SLOT, 2 * room)
    size = 0
    while 1 << size < bigger:
        size += 1
    # A free slot's first integer is the next free one of its size; 0 ends the chain.
    place = free[size] - 1
    if place >= 0:
        free[size] = held[wide * place]
    else:
        used = slot(book, ARENA + ARENAS + number)
        if used + bigger > slot(book, ARENA + 2 * ARENAS + number):
            return NO_SPACE
        place = used
        numbers(book)[ARENA + ARENAS + number] = used + bigger
    for i in range(wide * count):
        held[wide * place + i] = held[wide * first + i]
    if room > 0:
        size -= 1
        held[wide * first] = free[size]
        free[size] = first + 1
    owner[column], owner[column + 2] = place, bigger
    return DONE


@kernel("i8(i8, i8, i8)")
def group_between(book: int, token_in: int, token_out: int) -> int:
    """Return the group that swaps one token for another; 0 when no pool ever did."""
    tokens = tokens_of(book)
    near, far, turned = token_in, token_out, 0
    if tokens[far, COUNT] < tokens[near, COUNT]:
        near, far, turned = far, near, 1
    first = 2 * tokens[near, FIRST]
    neighbours = arena(book, NEIGHBOURS)
    for i in range(first, first + 2 * tokens[near, COUNT], 2):
        if neighbours[i] == far:
            return int(neighbours[i + 1]) ^ turned
    return 0


@kernel("i8(i8, i8, i8)")
def _new_pair(book: int, token0: int, token1: int) -> int:
    """Add a pair without pools and return its number; 0 when there is no space."""
    pair = slot(book, PAIRS)
    if pair == slot(book, PAIRS_ROOM):
        return 0
    tokens = tokens_of(book)
    for token in (token0, token1):
        if _room_for_one(book, NEIGHBOURS, tokens[token], FIRST) != DONE:
            return 0
    neighbours = arena(book, NEIGHBOURS)
    for side in range(2):
        here, there = (token0, token1) if side == 0 else (token1, token0)
        at = 2 * (tokens[here, FIRST] + tokens[here, COUNT])
        neighbours[at], neighbours[at + 1] = there, 2 * pair + side
        tokens[here, COUNT] += 1
    pairs = pairs_of(book)
    pairs[pair, TOKEN0], pairs[pair, TOKEN1] = token0, token1
    best_of(book)[2 * pair : 2 * pair + 2] = DEAD
    bends_of(book)[2 * pair : 2 * pair + 2] = np.inf
    numbers(book)[PAIRS] = pair + 1
    return pair


# ---- cycles


@kernel("i8(i8, i8)", inlined=True)
def _token_of(book: int, group: int) -> int:
    """Return the token that a group takes."""
    return int(pairs_of(book)[group >> 1, TOKEN0 + (group & 1)])


@kernel("i8(i8, i8)")
def _keep(book: int, hops: int) -> int:
    """Keep the cycle whose groups stand in the scratch, from its first start token on."""
    scratch = scratch_of(book)
    turn = 0
    for h in range(1, hops):
        if _token_of(book, scratch[h]) < _token_of(book, scratch[turn]):
            turn = h
    start = _token_of(book, scratch[turn])
    if start >= slot(book, STARTS):
        return DONE
    cycle = slot(book, CYCLES)
    if cycle == slot(book, CYCLES_ROOM):
        return FULL
    groups, route = groups_of(book), routes_of(book)[MOST_HOPS * cycle : MOST_HOPS * (cycle + 1)]
    for h in range(MOST_HOPS):
        route[h] = scratch[(turn + h) % hops] if h < hops else 0
    for h in range(hops):
        if _room_for_one(book, THROUGH, groups[route[h]], THROUGH_FIRST) != DONE:
            return NO_SPACE
    through = arena(book, THROUGH)
    for h in range(hops):
        about = groups[route[h]]
        entry = 4 * (about[THROUGH_FIRST] + about[THROUGH_COUNT])
        for k in range(1, MOST_HOPS):
            through[entry + k - 1] = route[(h + k) % hops] if k < hops else 0
        through[entry + MOST_HOPS - 1] = cycle
        about[THROUGH_COUNT] += 1
    starts_of(book)[cycle] = start
    numbers(book)[CYCLES] = cycle + 1
    return DONE


@kernel("i8(i8, i8)")
def _keep_both(book: int, hops: int) -> int:
    """Keep the cycle in the scratch and its reverse."""
    status = _keep(book, hops)
    if status != DONE:
        return status
    scratch = scratch_of(book)
    for h in range(hops // 2):
        scratch[h], scratch[hops - 1 - h] = scratch[hops - 1 - h], scratch[h]
    for h in range(hops):
        scratch[h] ^= 1
    return _keep(book, hops)


@kernel("b1(i8, i8, i8)", inlined=True)
def _over(book: int, group: int, rank: int) -> bool:
    """Return whether a cycle of a pair of some rank may go through a group."""
    about = pairs_of(book)[group >> 1]
    return bool(about[LISTED] != 0 and about[RANK] < rank)


@kernel("i8(i8, i8, i8, i8, i8, i8)")
def _close(book: int, rank: int, first: int, before: int, token: int, hops: int) -> int:
    """Keep the cycles that go on from `first`'s end through one more token, back to `token`.

    With 3 hops they are `first`, a token, back; with 4 the last group `before` is theirs as well:
    `first`, a token, `token`, and `before` back to where `first` begins.
    """
    begin, end = _token_of(book, first), _token_of(book, first ^ 1)
    tokens, neighbours = tokens_of(book), arena(book, NEIGHBOURS)
    near, far = end, token
    if tokens[far, COUNT] < tokens[near, COUNT]:
        near, far = far, near
    at = 2 * tokens[near, FIRST]
    for i in range(at, at + 2 * tokens[near, COUNT], 2):
        middle = neighbours[i]
        if middle in (begin, far) or not _over(book, neighbours[i + 1], rank):
            continue
        other = group_between(book, middle, far)
        if other == 0 or not _over(book, other, rank):
            continue
        to, back = (neighbours[i + 1], other) if near == end else (other ^ 1, neighbours[i + 1] ^ 1)
        scratch = scratch_of(book)
        scratch[0], scratch[1], scratch[2], scratch[3] = first, to, back, before
        status = _keep_both(book, hops)
        if status != DONE:
            return status
    return DONE


@kernel("i8(i8, i8, i8)")
def list_cycles(book: int, pair: int, hops: int) -> int:
    """List the cycles of exactly `hops` hops through a pair and pairs of smaller rank.

    Args:
        book: the book's table.
        pair: the pair.
        hops: 2 to 4.

    Returns:
        DONE; or why not all could be kept, and then none of them is.
    """
    before = slot(book, CYCLES)
    status = _list(book, pair, hops)
    if status != DONE:
        groups, routes = groups_of(book), routes_of(book)
        for cycle in range(before, slot(book, CYCLES)):
            for h in range(MOST_HOPS):
                if routes[MOST_HOPS * cycle + h] != 0:
                    groups[routes[MOST_HOPS * cycle + h], THROUGH_COUNT] -= 1
        numbers(book)[CYCLES] = before
    return status


@kernel("i8(i8, i8, i8)")
def _list(book: int, pair: int, hops: int) -> int:
    about = pairs_of(book)[pair]
    rank = about[RANK]
    group = 2 * pair
    if hops == 2:
        scratch = scratch_of(book)
        scratch[0], scratch[1] = group, group ^ 1
        return _keep(book, hops)
    tokens = tokens_of(book)
    # From the token with fewer neighbours: the other may have thousands.
    if tokens[about[TOKEN0], COUNT] > tokens[about[TOKEN1], COUNT]:
        group ^= 1
    begin, end = _token_of(book, group), _token_of(book, group ^ 1)
    if hops == 3:
        return _close(book, rank, group, 0, begin, hops)
    neighbours = arena(book, NEIGHBOURS)
    at = 2 * tokens[begin, FIRST]
    for i in range(at, at + 2 * tokens[begin, COUNT], 2):
        if neighbours[i] == end or not _over(book, neighbours[i + 1], rank):
            continue
        status = _close(book, rank, group, neighbours[i + 1] ^ 1, neighbours[i], hops)
        if status != DONE:
            return status
    return DONE


# ---- pools that come and go


@kernel("i8(i8, i8, i8, i8, i8)")
def enter(book: int, row: int, token0: int, token1: int, owner: int) -> int:
    """Make a row's two edges members of their groups; lists no cycles.

    Args:
        book: the book's table.
        row: the row, not in the book.
        token0: number of what its edge `2 * row` takes.
        token1: number of what that edge gives.
        owner: the first row of its pool.

    Returns:
        The pair, negative when there is no space.
    """
    group = group_between(book, token0, token1)
    if group == 0:
        group = 2 * _new_pair(book, token0, token1)
        if group == 0:
            return -1
    groups, edges = groups_of(book), group_of(book)
    for side in range(2):
        if _room_for_one(book, MEMBERS, groups[group ^ side], FIRST) != DONE:
            return -1
    members = arena(book, MEMBERS)
    for side in range(2):
        about = groups[group ^ side]
        members[about[FIRST] + about[COUNT]] = 2 * row + side
        about[COUNT] += 1
        edges[2 * row + side] = group ^ side
    owners_of(book)[row] = owner
    return group >> 1


@kernel("i8(i8, i8)")
def leave(book: int, row: int) -> int:
    """Take a row out of its groups; cycles of a group without members stay, and are DEAD.

    Returns:
        Its pair; 0 when the row was not in the book.
    """
    groups, edges, members = groups_of(book), group_of(book), arena(book, MEMBERS)
    pair = int(edges[2 * row]) >> 1
    if pair == 0:
        return 0
    for edge in (2 * row, 2 * row + 1):
        about = groups[edges[edge]]
        last = about[FIRST] + about[COUNT] - 1
        for k in range(about[FIRST], last + 1):
            if members[k] == edge:
                members[k] = members[last]
                break
        about[COUNT] -= 1
        edges[edge] = 0
    return pair


@kernel("i8(i8, i8, i8, i8)")
def list_new(book: int, pair: int, hops_least: int, hops_most: int) -> int:
    """List the cycles that a pair has come to have since it was listed last.

    Returns:
        DONE; or why those of some length could not be kept.
    """
    about = pairs_of(book)[pair]
    if about[LISTED] == 0:
        about[LISTED], about[RANK] = 1, slot(book, CLOCK)
        numbers(book)[CLOCK] += 1
        for hops in range(max(hops_least, 3), hops_most + 1):
            status = list_cycles(book, pair, hops)
            if status != DONE:
                return status
    two = groups_of(book)[2 * pair, COUNT] > 1
    if hops_least == 2 <= hops_most and two and about[PAIRED] == 0:
        status = list_cycles(book, pair, 2)
        if status != DONE:
            return status
        about[PAIRED] = 1
    return DONE


@kernel("i8(i8, i8[::1], i8, i8, i8[::1])")
def list_all(
    book: int, ranked: IntArray, hops_least: int, hops_most: int, admitted: IntArray
) -> int:
    """List every cycle anew: the shorter before the longer, and over pairs in the order given.

    Of each length as many pairs are admitted as there is room for all cycles among them.

    Args:
        book: the book's table.
        ranked: int64[n], the pairs with pools, the most liquid first.
        hops_least: the fewest hops.
        hops_most: the most.
        admitted: int64[5], written: by hops, how many of the pairs.

    Returns:
        DONE, FULL when not all cycles are kept, or NO_SPACE.
    """
    groups, pairs = groups_of(book), pairs_of(book)
    numbers(book)[CYCLES] = 0
    for group in range(2 * slot(book, PAIRS)):
        groups[group, THROUGH_COUNT] = 0
        pairs[group >> 1, LISTED] = pairs[group >> 1, PAIRED] = 0
    for place in range(len(ranked)):
        pairs[ranked[place], RANK] = slot(book, CLOCK) + place
        pairs[ranked[place], LISTED] = 1
    numbers(book)[CLOCK] += len(ranked)
    whole = DONE
    for hops in range(hops_least, hops_most + 1):
        admitted[hops] = 0
        if whole != DONE:
            continue
        for place in range(len(ranked)):
            pair = ranked[place]
            if hops == 2 and groups[2 * pair, COUNT] < 2:
                admitted[hops] += 1
                continue
            whole = list_cycles(book, pair, hops)
            if whole == NO_SPACE:
                return NO_SPACE
            if whole == FULL:
                break
            if hops == 2:
                pairs[pair, PAIRED] = 1
            admitted[hops] += 1
    return whole
