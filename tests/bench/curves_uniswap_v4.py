"""Quotes of Uniswap V4 and of both Algebras, on the pool that Uniswap V3's are measured on."""

# The loop takes what a quote takes, by position.
# ruff: noqa: PLR0917

from __future__ import annotations

import random
from functools import partial

from searcher.kernels._jit import kernel
from searcher.kernels.reference import algebra
from searcher.kernels.reference import uniswap_v3 as plain
from searcher.kernels.reference import uniswap_v4 as reference
from searcher.kernels.u256 import ZERO, load, pack, unpack
from searcher.kernels.uniswap_v3 import COUNT
from searcher.kernels.uniswap_v4 import exact_in, swap_fee
from searcher.market.ticks import MOST_ROWS, edges_of
from tests.bench.curves_concentrated import many_in, pool

FEE = 500
PROTOCOL_FEE = 100 | 100 << 12
SPACING = 10
AMOUNTS = 512
REFERENCE = 32


@kernel(
    "U256(u8[:,::1], U256, U256, i8, i8, i8, b1, i8, U256, U256,"
    " i8[::1], u8[:,::1], u8[:,::1], u8[:,::1], i8[::1])"
)
def many_v4(
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
            swap_fee(fee, PROTOCOL_FEE, way),
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


def bench_cases():
    """Return (name, quotes in one kernel call, how many, quotes by the reference, how many)."""
    table, at = pool()
    state = plain.ConcentratedState(
        *at,
        plain.TickTable(
            table.indices,
            tuple(tick.liquidity_net for tick in table),
            tuple(tick.liquidity_gross for tick in table),
        ),
    )
    rng = random.Random(7)
    combined = swap_fee(FEE, PROTOCOL_FEE, True)
    cases = []
    for name, loop, fee, charged, unit, slow in (
        (
            "uniswap v4",
            many_v4,
            FEE,
            combined,
            SPACING,
            partial(reference.quote_exact_in, fee_pips=combined, tick_spacing=SPACING),
        ),
        (
            "algebra v1.9",
            many_in,
            FEE,
            FEE,
            1,
            partial(algebra.quote_exact_in, fee_pips=FEE, row_unit=1),
        ),
        (
            "algebra integral",
            many_in,
            FEE,
            FEE,
            algebra.NO_ROWS,
            partial(algebra.quote_exact_in, fee_pips=FEE, row_unit=algebra.NO_ROWS),
        ),
    ):
        book = table.book(charged, unit)
        head = book.head(at, zero_for_one=True)
        for _ in range(MOST_ROWS.bit_length()):
            book.lengthen(zero_for_one=True)
        sums, marks = book.table(zero_for_one=True)
        last = int(marks[COUNT]) - 1
        whole = unpack(sums[head.row : last + 1])
        amounts = [rng.randrange(1, whole[-1] - whole[0]) for _ in range(AMOUNTS)]
        arguments = (*at, fee, unit, True, *head[1:], book.ticks, book.words, edges_of(unit))
        cases.append(
            (
                f"{name} exact in, {last} segments",
                partial(loop, pack(amounts), *arguments, sums, marks),
                AMOUNTS,
                partial(_by_reference, slow, state, amounts[:REFERENCE]),
                REFERENCE,
            )
        )
    return cases


def _by_reference(quote, state, amounts):
    for amount in amounts:
        quote(state, zero_for_one=True, amount=amount)
