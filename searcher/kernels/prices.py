"""What every token is worth in the native token, read from the pools, in floats.

A token's price is the median of what its pools say, weighted by their depth, over pools whose other
token was priced before it. Tokens are priced in the order of how wide the way to them is: a token
with one deep and many thin pools gets its price through the deep one.
"""

# Kernels take arrays by position and are one loop each, branches included.
# ruff: noqa: PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import AMOUNT_IN, DEAD, RESERVE_IN, FloatArray, IntArray
from searcher.kernels.memory import (
    CONCENTRATED,
    HERE0,
    HERE1,
    KIND,
    PIECEWISE,
    PRODUCT,
    pieces_of,
    rate,
    real,
    shape,
)

TokenArray = NDArray[np.int32]

UNKNOWN: Final = math.nan
"""The log price of a token that nothing tells the price of."""


@kernel("f8(i8, i8, i8)")
def depth(table: int, row: int, side: int) -> float:
    """Return how deep a row is, in smallest units of the token of a side: its virtual reserve."""
    kind = shape(table)[row, KIND]
    about = real(table)
    if kind == PRODUCT:
        return float(about[row, side])
    if kind == CONCENTRATED:
        price, liquidity = about[row, HERE0], about[row, HERE1]
        if price <= 0.0:
            return 0.0
        return float(liquidity / price if side == 0 else liquidity * price)
    if kind == PIECEWISE:
        pieces = pieces_of(table, row, side)
        if len(pieces) > 1:
            # A flat piece's virtual reserve has no end: what the curve takes until it is dry has.
            return float(min(pieces[0, RESERVE_IN], pieces[len(pieces) - 1, AMOUNT_IN]))
    return 0.0


@kernel("f8(i8, i8)")
def log_mid(table: int, row: int) -> float:
    """Return the log of token1 per token0 between both directions of a row; DEAD without one."""
    rates = rate(table)
    there, back = rates[2 * row], rates[2 * row + 1]
    if min(there, back) == DEAD:
        return DEAD
    return 0.5 * float(there - back)


@kernel("i8(i8, i4, i8[::1], i4[::1], i4[::1], i4[::1], f8[::1], f8[::1], i8[::1], i4[::1])")
def order_by_width(
    table: int,
    native: int,
    ptr: IntArray,
    edges: TokenArray,
    others: TokenArray,
    order: TokenArray,
    width: FloatArray,
    log_price: FloatArray,
    rank: IntArray,
    heap: TokenArray,
) -> int:
    """Order the tokens by the widest way to native, the widest first, and price them on the way.

    Args:
        table: the market's.
        native: number of the wrapped native token.
        ptr: int64[tokens + 1], where a token's edges begin.
        edges: int32[...], the edges that sell a token.
        others: int32[...], the tokens they buy.
        order: int32[tokens], written.
        width: float64[tokens], least depth on the way in wei of native, written.
        log_price: float64[tokens], log of wei per smallest unit along the way, written.
        rank: int64[tokens], place in `order`, or their number for a token without a way, written.
        heap: int32[...], at least as long as `edges` and one more.

    Returns:
        How many tokens have a way.
    """
    tokens = len(rank)
    for token in range(tokens):
        width[token] = 0.0
        log_price[token] = UNKNOWN
        rank[token] = tokens
    width[native] = math.inf
    log_price[native] = 0.0
    heap[0] = native
    size, found = 1, 0
    while size > 0:
        token = heap[0]
        size -= 1
        _sink(heap, size, heap[size], width)
        if rank[token] != tokens:
            continue
        rank[token] = found
        order[found] = token
        found += 1
        for k in range(ptr[token], ptr[token + 1]):
            other, edge = others[k], edges[k]
            if rank[other] != tokens:
                continue
            mid = log_mid(table, edge >> 1)
            if mid == DEAD:
                continue
            deep = depth(table, edge >> 1, edge & 1) * math.exp(log_price[token])
            wide = min(width[token], deep)
            if wide > width[other]:
                width[other] = wide
                # `mid` is token1 per token0, and this edge sells `token`.
                log_price[other] = log_price[token] + (-mid if edge & 1 == 0 else mid)
                _rise(heap, size, other, width)
                size += 1
    return found


@kernel("void(i4[::1], i8, i4, f8[::1])")
def _rise(heap: TokenArray, place: int, token: int, width: FloatArray) -> None:
    """Put a token at the end of a heap, the widest first, and let it rise."""
    while place > 0:
        parent = (place - 1) >> 1
        if width[heap[parent]] >= width[token]:
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = token


@kernel("void(i4[::1], i8, i4, f8[::1])")
def _sink(heap: TokenArray, size: int, token: int, width: FloatArray) -> None:
    """Put a token at the top of a heap of `size` and let it sink."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and width[heap[child + 1]] > width[heap[child]]:
            child += 1
        if width[heap[child]] <= width[token]:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = token


@kernel("void(i8, i8, i8[::1], i4[::1], i4[::1], i4[::1], i8[::1], f8[::1], f8[::1], f8[:,::1])")
def price_in_order(
    table: int,
    known: int,
    ptr: IntArray,
    edges: TokenArray,
    others: TokenArray,
    order: TokenArray,
    rank: IntArray,
    log_price: FloatArray,
    depths: FloatArray,
    scratch: FloatArray,
) -> None:
    """Price tokens as the pools stand, each through those before it.

    Args:
        table: the market's.
        known: how many tokens `order` has; the first is native.
        ptr: int64[tokens + 1], where a token's edges begin.
        edges: int32[...], the edges that sell a token.
        others: int32[...], the tokens they buy.
        order: int32[tokens], from `order_by_width`.
        rank: int64[tokens], each token's place in it.
        log_price: float64[tokens], log of wei per smallest unit, written; UNKNOWN where no pool
            tells.
        depths: float64[tokens], depth of all the pools that told, in wei of native, written.
        scratch: float64[most, 2], as long as the most edges that a token has.
    """
    for token in range(len(rank)):
        log_price[token] = UNKNOWN
        depths[token] = 0.0
    log_price[order[0]] = 0.0
    depths[order[0]] = math.inf
    for place in range(1, known):
        token = order[place]
        told = 0
        total = 0.0
        for k in range(ptr[token], ptr[token + 1]):
            other, edge = others[k], edges[k]
            if rank[other] >= place or not log_price[other] > DEAD:
                continue
            mid = log_mid(table, edge >> 1)
            if mid == DEAD:
                continue
            deep = depth(table, edge >> 1, 1 - (edge & 1)) * math.exp(log_price[other])
            if not deep > 0.0:
                continue
            said = log_price[other] + (mid if edge & 1 == 0 else -mid)
            at = told
            while at > 0 and scratch[at - 1, 0] > said:
                scratch[at, 0], scratch[at, 1] = scratch[at - 1, 0], scratch[at - 1, 1]
                at -= 1
            scratch[at, 0], scratch[at, 1] = said, min(deep, depths[other])
            told += 1
            total += scratch[at, 1]
        if told == 0:
            continue
        below = 0.0
        at = 0
        while at < told - 1 and below + scratch[at, 1] < 0.5 * total:
            below += scratch[at, 1]
            at += 1
        log_price[token] = scratch[at, 0]
        depths[token] = total
