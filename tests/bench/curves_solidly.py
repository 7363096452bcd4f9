"""Solidly's pairs and Liquidity Book for the bench: many quotes in one kernel call."""

# A kernel takes a pair's numbers and a book's arrays one by one.
# ruff: noqa: PLR0917

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import numpy as np

from searcher.kernels import liquidity_book, solidly
from searcher.kernels._jit import kernel
from searcher.kernels.liquidity_book import Ids
from searcher.kernels.reference import liquidity_book as book_reference
from searcher.kernels.reference import solidly as pair_reference
from searcher.kernels.u256 import ZERO, Word, Words, pack, u256

Case = tuple[str, Callable[[], object], int, Callable[[], object], int]

_E18 = 10**18
_STEP = 7_919
_NOW = 1_700_000_000
_CENTRE = 1 << 23

_pair_in, _pair_out = solidly.exact_in, solidly.exact_out
_book_in = liquidity_book.exact_in


@kernel("U256(i8, b1, U256, U256, U256, U256, U256, i8, b1, b1)")
def _pair_loop(
    count: int,
    exact_out: bool,
    amount: Word,
    reserve_in: Word,
    reserve_out: Word,
    scale_in: Word,
    scale_out: Word,
    fee: int,
    stable: bool,
    strict: bool,
) -> Word:
    total = ZERO()
    for i in range(count):
        given = amount + u256(i * _STEP)
        if exact_out:
            total += _pair_out(
                given,
                reserve_in,
                reserve_out,
                scale_in,
                scale_out,
                fee,
                10_000,
                stable,
                strict,
                True,
            )[1]
        else:
            total += _pair_in(
                given,
                reserve_in,
                reserve_out,
                scale_in,
                scale_out,
                fee,
                10_000,
                stable,
                strict,
                True,
            )[1]
    return total


@kernel(
    "U256(i8, U256, b1, i8, i8[::1], i8[::1],"
    " u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1])"
)
def _book_loop(
    count: int,
    amount: Word,
    swap_for_y: bool,
    timestamp: int,
    numbers: Ids,
    ids: Ids,
    reserves_x: Words,
    reserves_y: Words,
    prices: Words,
    whole_for_y: Words,
    whole_for_x: Words,
) -> Word:
    total = ZERO()
    for i in range(count):
        total += _book_in(
            amount + u256(i * _STEP),
            swap_for_y,
            timestamp,
            numbers,
            ids,
            reserves_x,
            reserves_y,
            prices,
            whole_for_y,
            whole_for_x,
        )[1]
    return total


def bench_cases() -> list[Case]:
    """Return (name, many quotes by the kernel, how many, some by the reference, how many)."""
    plain = (10**25, 8 * 10**24, _E18, _E18, 5)
    narrow = (10**13, 8 * 10**24, 10**6, _E18, 5)
    return [
        _pair_case("solidly volatile in", plain, stable=False, strict=True),
        _pair_case("solidly stable in", plain, stable=True, strict=False),
        _pair_case("velodrome v2 stable in", plain, stable=True, strict=True),
        _pair_case("velodrome v2 stable in, 6 decimals", narrow, stable=True, strict=True),
        _pair_case("velodrome v2 stable out", plain, stable=True, strict=True, exact_out=True),
        *(
            _book_case(f"liquidity book in, {bins} bins, {way}", bins, swap_for_y=way == "to y")
            for bins in (1, 2, 11, 31)
            for way in ("to y", "to x")
        ),
    ]


def _pair_case(
    name: str,
    numbers: tuple[int, ...],
    *,
    stable: bool,
    strict: bool,
    exact_out: bool = False,
) -> Case:
    reserve_in, reserve_out, scale_in, scale_out, fee = numbers
    pair = pair_reference.Pair(
        reserve_in, reserve_out, scale_in, scale_out, fee, 10_000, stable, strict
    )
    amount = (reserve_out if exact_out else reserve_in) // 4_096
    ask = pair_reference.exact_out if exact_out else pair_reference.exact_in
    return (
        name,
        lambda: _pair_loop(2_000, exact_out, amount, *numbers, stable, strict),
        2_000,
        lambda: [ask(pair, amount + i * _STEP) for i in range(50)],
        50,
    )


def _book_case(name: str, bins: int, *, swap_for_y: bool) -> Case:
    size = 10**21
    held = tuple(
        book_reference.Bin(_CENTRE + i, size if i >= 0 else 0, size if i <= 0 else 0)
        for i in range(-60, 61)
    )
    fees = book_reference.Fees(
        5_000, 30, 600, 5_000, 40_000, 1_000, 350_000, 50_000, 20_000, _CENTRE + 3, _NOW - 60
    )
    pair = book_reference.Pair(_CENTRE, 10, held, fees)
    numbers = np.array([pair.active_id, pair.bin_step, *astuple(fees), 0], np.int64)
    ids = np.array([b.id for b in held], np.int64)
    x, y = pack(b.reserve_x for b in held), pack(b.reserve_y for b in held)
    prices, for_y, for_x = (np.zeros((len(held), 4), np.uint64) for _ in range(3))
    liquidity_book.prepare(ids, x, y, pair.bin_step, prices, for_y, for_x)
    amount = _reaching(pair, bins, swap_for_y=swap_for_y)
    arrays = (ids, x, y, prices, for_y, for_x)
    return (
        name,
        lambda: _book_loop(1_000, amount, swap_for_y, _NOW, numbers, *arrays),
        1_000,
        lambda: [
            book_reference.swap_out(pair, amount + i * _STEP, swap_for_y=swap_for_y, timestamp=_NOW)
            for i in range(20)
        ],
        20,
    )


def _reaching(pair: book_reference.Pair, bins: int, *, swap_for_y: bool) -> int:
    """Return an input that ends in the middle of the bin of that number."""
    size = 10**21
    wanted = (bins - 1) * size + size // 2
    return book_reference.swap_in(pair, wanted, swap_for_y=swap_for_y, timestamp=_NOW).amount
