"""Quotes of a pool with many ranges, by table and by stepping, and the building of its tables."""

# The loops take what a quote takes, by position.
# ruff: noqa: PLR0917

from __future__ import annotations

import random
from functools import partial
from typing import NamedTuple

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.reference import uniswap_v3 as reference
from searcher.kernels.u256 import ZERO, load, pack, unpack
from searcher.kernels.uniswap_v3 import (
    COUNT,
    MARKS,
    PLANES,
    begin_table,
    exact_in,
    exact_out,
    extend_table,
)
from searcher.market.ticks import MOST_ROWS, TickTable, edges_of

FEE = 500
SPACING = 10
RANGES = 1_000
AMOUNTS = 512
REFERENCE = 32


class Price(NamedTuple):
    """A place on the curve."""

    sqrt_price_x96: int
    liquidity: int
    tick: int


@kernel(
    "U256(u8[:,::1], U256, U256, i8, i8, i8, b1, i8, U256, U256,"
    " i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])"
)
def many_in(
    amounts,
    price,
    liquidity,
    tick,
    fee,
    spacing,
    way,
    row,
    taken,
    given,
    ticks,
    words,
    edges,
    sums,
    marks,
):
    total = ZERO()
    for i in range(len(amounts)):
        total += exact_in(
            load(amounts, i),
            price,
            liquidity,
            tick,
            fee,
            spacing,
            way,
            row,
            taken,
            given,
            ticks,
            words,
            edges,
            sums,
            marks,
        )[1]
    return total


@kernel(
    "U256(u8[:,::1], U256, U256, i8, i8, i8, b1, i8, U256, U256,"
    " i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])"
)
def many_out(
    amounts,
    price,
    liquidity,
    tick,
    fee,
    spacing,
    way,
    row,
    taken,
    given,
    ticks,
    words,
    edges,
    sums,
    marks,
):
    total = ZERO()
    for i in range(len(amounts)):
        total += exact_out(
            load(amounts, i),
            price,
            liquidity,
            tick,
            fee,
            spacing,
            way,
            row,
            taken,
            given,
            ticks,
            words,
            edges,
            sums,
            marks,
        )[1]
    return total


def pool(ranges=RANGES):
    """A pool with positions that begin at every spacing around its price."""
    rng = random.Random(5)
    table = TickTable()
    for low in range(-ranges // 2, ranges // 2):
        width = rng.randint(1, 8)
        table = table.positioned(low * SPACING, (low + width) * SPACING, rng.randint(1, 10**20))
    price = reference.sqrt_at_tick(0) + 12345678901234567
    return table, Price(price, table.depth_at(0), 0)


def full_book(table, at, *, zero_for_one):
    """Quotes by a table of the most rows, and the head of a price in it."""
    book = table.book(FEE, SPACING)
    head = book.head(at, zero_for_one=zero_for_one)
    while len(book.table(zero_for_one=zero_for_one)[0]) < PLANES * MOST_ROWS:
        book.lengthen(zero_for_one=zero_for_one)
    return book, head


def bench_cases():
    """Return (name, quotes in one kernel call, how many, quotes by the reference, how many)."""
    table, at = pool()
    ticks, words = table.arrays
    edges = edges_of(SPACING)
    state = reference.ConcentratedState(
        *at,
        reference.TickTable(
            table.indices,
            tuple(tick.liquidity_net for tick in table),
            tuple(tick.liquidity_gross for tick in table),
        ),
    )
    rng = random.Random(6)
    cases = []
    for zero_for_one in (True, False):
        book, head = full_book(table, at, zero_for_one=zero_for_one)
        sums, marks = book.table(zero_for_one=zero_for_one)
        rows = (len(marks) - MARKS) // 2
        last = int(marks[COUNT]) - 1
        way = "down" if zero_for_one else "up"
        most_in = 0
        for name, fast, slow, plane in (
            ("in", many_in, reference.quote_exact_in, 0),
            ("out", many_out, reference.quote_exact_out, rows),
        ):
            whole = unpack(sums[plane + head.row : plane + last + 1])
            most = whole[-1] - whole[0]
            most_in = most if plane == 0 else most_in
            amounts = [rng.randrange(1, most) for _ in range(AMOUNTS)]
            arguments = (*at, FEE, SPACING, zero_for_one, *head[1:], ticks, words, edges)
            cases.append(
                (
                    f"concentrated exact {name} {way}, {last} segments",
                    partial(fast, pack(amounts), *arguments, sums, marks),
                    AMOUNTS,
                    partial(_by_reference, slow, state, amounts[:REFERENCE], zero_for_one),
                    REFERENCE,
                )
            )
        cases.append(
            (
                f"concentrated table {way}, a segment",
                partial(_build, zero_for_one, at, (ticks, words), edges, rows),
                last,
                partial(_by_reference, reference.quote_exact_in, state, [most_in], zero_for_one),
                last,
            )
        )
    return cases


def _build(zero_for_one, at, table, edges, rows):
    """Write a table of a direction from nothing."""
    sums, marks = np.zeros((PLANES * rows, 4), np.uint64), np.zeros(MARKS + 2 * rows, np.int64)
    ticks, words = table
    begin_table(at.tick, at.liquidity, 1, SPACING, zero_for_one, ticks, words, sums, marks)
    extend_table(FEE, SPACING, zero_for_one, ticks, words, edges, sums, marks)
    return int(marks[COUNT])


def _by_reference(quote, state, amounts, zero_for_one):
    name = "amount_in" if quote is reference.quote_exact_in else "amount_out"
    for amount in amounts:
        quote(
            state,
            zero_for_one=zero_for_one,
            fee_pips=FEE,
            tick_spacing=SPACING,
            **{name: amount},
        )
