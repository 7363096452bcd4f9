"""Quotes of a pool with many ranges, by table and by stepping, and the building of its tables."""

# The loops take what a quote takes, by position.
# ruff: noqa: PLR0917

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.concentrated import tick_at_sqrt
from searcher.kernels.reference import uniswap_v3 as reference
from searcher.kernels.u256 import ZERO, constant, load, pack, store
from searcher.kernels.uniswap_v3 import (
    COUNT,
    ENDED,
    MARKS,
    PLANES,
    begin_table,
    exact_in,
    exact_out,
    extend_table,
    swap,
)
from searcher.market.ticks import MOST_ROWS, Tick, TickTable, edges_of

FEE = 500
SPACING = 10
RANGES = 1_000
AMOUNTS = 512
REFERENCE = 32

_FLOOR = constant(reference.MIN_SQRT_RATIO + 1)


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
    amounts, price, liquidity, tick, fee, spacing, way, row, taken, given, ticks, words, edges, sums, marks
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
    amounts, price, liquidity, tick, fee, spacing, way, row, taken, given, ticks, words, edges, sums, marks
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


@kernel("U256(u8[:,::1], U256, U256, i8, i8, i8, i8[::1], u8[:,::1], u8[:,::1])")
def many_steps(amounts, price, liquidity, tick, fee, spacing, ticks, words, edges):
    total = ZERO()
    for i in range(len(amounts)):
        total += swap(
            load(amounts, i),
            True,
            price,
            liquidity,
            tick,
            _FLOOR(),
            fee,
            spacing,
            True,
            ticks,
            words,
            edges,
        )[2]
    return total


def pool(ranges=RANGES):
    """A pool with a range of liquidity at nearly every spacing around its price."""
    rng = random.Random(5)
    table = TickTable()
    for low in range(-ranges // 2, ranges // 2):
        width = rng.randint(1, 8)
        table = table.positioned(low * SPACING, (low + width) * SPACING, rng.randint(1, 10**20))
    price = reference.sqrt_at_tick(0) + 12345678901234567
    return table, Price(price, table.depth_at(0), 0)


def spread(sums, marks, plane, whole):
    """Amounts that end in every part of a table."""
    rng = random.Random(6)
    rows = (len(marks) - MARKS) // 2
    last = load_row(sums, plane * rows + int(marks[COUNT]) - 1)
    return [rng.randrange(1, whole + last // 2) for _ in range(AMOUNTS)]


def load_row(words, row):
    return int.from_bytes(words[row].tobytes(), "little")
