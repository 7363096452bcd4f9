"""What all states of concentrated pools have in common: their checks, and what events make of them.

A state here is a frozen struct with `sqrt_price_x96`, `tick`, `liquidity` and `ticks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import numpy as np
from msgspec.structs import force_setattr, replace

from searcher.domain.units import Address
from searcher.kernels.concentrated import sqrt_at_tick
from searcher.kernels.reference.uniswap_v3 import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    Q96,
)
from searcher.market.decoding import MalformedLog, signed, unsigned
from searcher.market.ticks import TickTable

S = TypeVar("S", bound=Any)


def settle(state: Any, *, spacing: int) -> None:
    """Check that price, liquidity and ticks fit each other, and make the ticks a table.

    To be called from a state's `__post_init__`.

    Args:
        state: the state.
        spacing: what all ticks must be multiples of.

    Raises:
        ValueError: the field, and what was expected.
    """
    _check_price(state)
    if not isinstance(state.ticks, TickTable):
        try:
            force_setattr(state, "ticks", TickTable(state.ticks))
        except ValueError as error:
            raise ValueError(f"ticks: {error}") from error
    ticks = table(state)
    stray = ticks.stray(spacing)
    if stray is not None:
        raise ValueError(f"ticks: {stray} is not a multiple of the tick spacing of {spacing}")
    if state.liquidity >> 128:
        raise ValueError("liquidity: expected a uint128")
    if ticks.whole and state.liquidity != ticks.depth_at(state.tick):
        raise ValueError(
            f"liquidity: {state.liquidity} where the ticks add up to {ticks.depth_at(state.tick)}"
        )


def _check_price(state: Any) -> None:
    price = state.sqrt_price_x96
    if not price:
        if state.tick or state.liquidity or state.ticks:
            raise ValueError("sqrt_price_x96: 0 for a pool that has a tick or liquidity")
        return
    if not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO:
        raise ValueError(
            f"sqrt_price_x96: expected {MIN_SQRT_RATIO} to {MAX_SQRT_RATIO - 1}, found {price}"
        )
    # A swap that ends on a tick from above is already below it.
    inside = MIN_TICK - 1 <= state.tick < MAX_TICK and (
        sqrt_at_tick(state.tick) <= price <= sqrt_at_tick(state.tick + 1)
    )
    if not inside:
        raise ValueError(f"tick: {state.tick} is not the tick of sqrt_price_x96 {price}")


def table(state: Any) -> TickTable:
    """Return the ticks of a settled state."""
    return cast("TickTable", state.ticks)


def set_places(bits: int, row: int) -> Iterator[int]:
    """Yield the places whose bits are set in a row of 256, lowest first."""
    rest = bits
    while rest:
        low = rest & -rest
        yield row * 256 + low.bit_length() - 1
        rest ^= low


def initialised(state: S, price: int, tick: int) -> S:
    """Return the state after an Initialize, from its log's words."""
    if state.sqrt_price_x96:
        raise MalformedLog("an Initialize of a pool that has a price")
    if not price:
        raise MalformedLog("a price of 0")
    return changed(state, sqrt_price_x96=price, tick=signed(tick, 24))


def swapped(state: S, price: int, liquidity: int, tick: int) -> S:
    """Return the state after a Swap, from the words that say where it ended."""
    if not state.sqrt_price_x96:
        raise MalformedLog("a Swap in a pool without a price")
    if not price:
        raise MalformedLog("a price of 0")
    return changed(
        state, sqrt_price_x96=price, liquidity=unsigned(liquidity, 128), tick=signed(tick, 24)
    )


def positioned(state: S, lower: int, upper: int, amount: int) -> S:
    """Return the state after liquidity was added to a range, or taken when it is negative."""
    if not MIN_TICK <= lower < upper <= MAX_TICK:
        raise MalformedLog(f"a position from tick {lower} to {upper}")
    if amount == 0:
        return state  # only settles fees
    try:
        ticks = state.ticks.positioned(lower, upper, amount)
    except ValueError as error:
        raise MalformedLog(f"a position that cannot be there: {error}") from error
    inside = lower <= state.tick < upper
    return changed(state, liquidity=state.liquidity + (amount if inside else 0), ticks=ticks)


def changed(state: S, **fields: Any) -> S:
    """Return the state with some fields changed.

    Raises:
        MalformedLog: the state refuses them.
    """
    try:
        return replace(state, **fields)
    except ValueError as error:
        raise MalformedLog(f"a log that contradicts the state: {error}") from error


def concentrated_holdings(
    state: Any, token0: Address, token1: Address
) -> tuple[tuple[Address, float], ...]:
    """Return what lies in all ranges of a pool, fees left out (Uniswap V3's whitepaper, 6.29)."""
    ticks, price = table(state), state.sqrt_price_x96 / Q96
    if not len(ticks) or not price:
        return (token0, 0.0), (token1, 0.0)
    lower, upper = ticks.bounds[:-1], ticks.bounds[1:]
    depths = ticks.depths[: len(lower)]
    here = np.clip(price, lower, upper)
    held0 = float(np.sum(depths * (1.0 / here - 1.0 / upper)))
    held1 = float(np.sum(depths * (here - lower)))
    return (token0, held0), (token1, held1)
