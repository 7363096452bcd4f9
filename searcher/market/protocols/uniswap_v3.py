"""Uniswap V3: concentrated liquidity, kept from Initialize, Mint, Burn and Swap.

Sources: UniswapV3Factory (PoolCreated), UniswapV3Pool (slot0, liquidity, tickBitmap, ticks and its
events). Collect and Flash move tokens without moving price or liquidity, and the protocol's share
of the fee does not change what a swap pays.
"""

from __future__ import annotations

import asyncio
import dataclasses
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.settings import Settings, knob
from searcher.kernels.curves import FloatArray, write_concentrated
from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    Q96,
    ConcentratedState,
    TickTable,
    quote_exact_in,
    sqrt_at_tick,
)
from searcher.market.arrays import PoolArrays
from searcher.market.concentrated import read_concentrated
from searcher.market.decoding import (
    MalformedLog,
    address_of,
    signed,
    topic_word,
    unsigned,
    words,
)
from searcher.market.lens import LEAST_GAS, Reading
from searcher.market.node import Node
from searcher.market.protocol import Pool, Protocol, Quote
from searcher.market.settings import DexSettings

POOL_CREATED = "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"
INITIALIZE = "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95"
MINT = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
BURN = "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"


@dataclass(frozen=True, slots=True)
class PoolState:
    """The exact curve, and what is derived from its tick table alone.

    `depth` is the liquidity from each initialised tick to the next, `bounds` and `depths` the same
    table in floats: square-root prices and liquidities.
    """

    curve: ConcentratedState
    depth: tuple[int, ...] = field(compare=False)
    bounds: FloatArray = field(compare=False)
    depths: FloatArray = field(compare=False)

    @property
    def place(self) -> int:
        """The range that holds the price; -1 below all initialised ticks."""
        return bisect_right(self.curve.ticks.index, self.curve.tick) - 1

    def moved(self, curve: ConcentratedState) -> PoolState:
        """Return the state on another curve with the same tick table."""
        return dataclasses.replace(self, curve=curve)


def state_of(curve: ConcentratedState) -> PoolState:
    """Derive what the tick table says, and check it against the liquidity in range.

    Raises:
        MalformedLog: the ticks and the liquidity contradict each other.
    """
    depth = tuple(accumulate(curve.ticks.net))
    if depth and (depth[-1] != 0 or min(depth) < 0):
        raise MalformedLog("ticks whose liquidities do not add up")
    state = PoolState(
        curve,
        depth,
        np.array([sqrt_at_tick(t) / Q96 for t in curve.ticks.index], np.float64),
        np.array(depth, np.float64),
    )
    _check_depth(state)
    return state


class UniswapV3(Protocol[PoolState]):
    """Concentrated-liquidity pools announced by a factory and kept from their events."""

    class Config(Settings):
        """What a swap costs (estimates), how far the float curve reaches, how pools are read."""

        swap_gas: int = knob(
            95_000,
            why="gas of a swap within one range, its token transfers included",
            unit="gas",
            ge=20_000,
            le=1_000_000,
        )
        crossing_gas: int = knob(
            22_000, why="gas of each initialised tick crossed", unit="gas", ge=0, le=1_000_000
        )
        segments: int = knob(
            48,
            why="ranges a direction that the float search sees; exact quotes see all",
            unit="ranges",
            ge=2,
            le=4096,
        )
        read_gas: int = knob(
            16_000_000,
            why="what one call may use that reads pools; below the most a transaction may, 2^24",
            unit="gas",
            ge=LEAST_GAS,
            le=1_000_000_000,
        )

    curve = CurveKind.CONCENTRATED
    created_topic = POOL_CREATED
    topics = frozenset({INITIALIZE, MINT, BURN, SWAP})

    config: Config

    def check(self, name: str, dex: DexSettings) -> None:
        """Refuse a fee: each pool has its own."""
        if dex.fee_pips is not None:
            raise Misconfigured(
                f"dexes.{name}.fee_pips has no meaning: {dex.protocol} pools carry their own fee,"
                " leave it out"
            )

    def announced(self, name: str, dex: DexSettings, log: Log) -> Pool:
        """Decode PoolCreated(address idx, address idx, uint24 idx, int24, address)."""
        spacing, pool = words(log, topics=4, data=2)
        fee_pips, tick_spacing = topic_word(log, 3), signed(spacing, 24)
        if fee_pips >= FEE_UNIT or tick_spacing <= 0:
            raise MalformedLog(f"a fee of {fee_pips} and a tick spacing of {tick_spacing}")
        return Pool(
            address=address_of(pool),
            protocol=dex.protocol,
            dex=name,
            token0=address_of(topic_word(log, 1)),
            token1=address_of(topic_word(log, 2)),
            fee_pips=fee_pips,
            tick_spacing=tick_spacing,
        )

    def new(self, pool: Pool) -> PoolState:  # noqa: ARG002  every new pool is the same
        """Return a pool without price or liquidity."""
        return state_of(ConcentratedState())

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[PoolState | str]:
        """Read price, liquidity and every initialised tick."""
        readings = read_concentrated(
            node, pools, block, gas=self.config.read_gas, batch_calls=batch_calls
        )
        states = []
        async for reading in readings:
            states.append(reading if isinstance(reading, str) else _read_state(reading))
            await asyncio.sleep(0)  # other chains share this loop
        return states

    def apply(self, pool: Pool, state: PoolState, log: Log) -> PoolState:
        """Apply one event of the pool."""
        topic = log.topics[0]
        if topic == SWAP:
            return _swapped(state, log)
        if topic == MINT:
            _, amount, _, _ = words(log, topics=4, data=4)
            return _positioned(pool, state, log, unsigned(amount, 128))
        if topic == BURN:
            amount, _, _ = words(log, topics=4, data=3)
            return _positioned(pool, state, log, -unsigned(amount, 128))
        if topic == INITIALIZE:
            price, tick = words(log, topics=1, data=2)
            if state.curve.sqrt_price_x96:
                raise MalformedLog("an Initialize of a pool that has a price")
            return state_of(ConcentratedState(_price(price), 0, _tick(tick)))
        raise MalformedLog("a topic that is not a pool's")

    def quote(self, pool: Pool, state: PoolState, amount_in: int, *, zero_for_one: bool) -> Quote:
        """Return what UniswapV3Pool.swap pays for an exact input that it takes whole."""
        out, crossed = quote_exact_in(
            state.curve,
            zero_for_one=zero_for_one,
            amount_in=amount_in,
            fee_pips=pool.fee_pips,
            tick_spacing=pool.tick_spacing,
        )
        return Quote(out, self.config.swap_gas + crossed * self.config.crossing_gas)

    def funded(self, state: PoolState) -> bool:
        """Return whether the pool has a price and liquidity somewhere."""
        return state.curve.sqrt_price_x96 > 0 and bool(state.curve.ticks.index)

    def segments(self, pool: Pool) -> int:  # noqa: ARG002  the same room for every pool
        """Return the configured reach."""
        return self.config.segments

    def draw(self, pool: Pool, state: PoolState, row: int, arrays: PoolArrays) -> None:
        """Write a segment for each range of liquidity, nearest first."""
        write_concentrated(
            row,
            state.curve.sqrt_price_x96 / Q96,
            state.place,
            1.0 - pool.fee_pips / FEE_UNIT,
            state.bounds,
            state.depths,
            self.config.segments,
            arrays.rate,
            arrays.gamma,
            arrays.first,
            arrays.count,
            arrays.segments,
        )


def _swapped(state: PoolState, log: Log) -> PoolState:
    _, _, price, liquidity, tick = words(log, topics=3, data=5)
    if not state.curve.sqrt_price_x96:
        raise MalformedLog("a Swap in a pool without a price")
    moved = state.moved(
        ConcentratedState(_price(price), unsigned(liquidity, 128), _tick(tick), state.curve.ticks)
    )
    _check_depth(moved)
    return moved


def _positioned(pool: Pool, state: PoolState, log: Log, amount: int) -> PoolState:
    lower, upper = signed(topic_word(log, 2), 24), signed(topic_word(log, 3), 24)
    if not MIN_TICK <= lower < upper <= MAX_TICK:
        raise MalformedLog(f"a position from tick {lower} to {upper}")
    if lower % pool.tick_spacing or upper % pool.tick_spacing:
        raise MalformedLog(f"a position off the tick spacing of {pool.tick_spacing}")
    if amount == 0:
        return state  # a burn of nothing only settles fees
    curve = state.curve
    try:
        ticks = curve.ticks.changed(lower, net=amount, gross=amount)
        ticks = ticks.changed(upper, net=-amount, gross=amount)
    except ValueError as error:
        raise MalformedLog(f"a Burn of liquidity that is not there: {error}") from error
    inside = lower <= curve.tick < upper
    return state_of(
        ConcentratedState(
            curve.sqrt_price_x96, curve.liquidity + (amount if inside else 0), curve.tick, ticks
        )
    )


def _check_depth(state: PoolState) -> None:
    """The liquidity in range must be what the ticks below add up to: a missed log shows here."""
    expected = state.depth[state.place] if state.place >= 0 else 0
    if state.curve.liquidity != expected:
        raise MalformedLog(
            f"a liquidity of {state.curve.liquidity} where the ticks add up to {expected}"
        )


def _price(word: int) -> int:
    if not MIN_SQRT_RATIO <= word < MAX_SQRT_RATIO:
        raise MalformedLog("a price outside the curve")
    return word


def _tick(word: int) -> int:
    tick = signed(word, 24)
    # A swap down to the very end of the curve stores MIN_TICK - 1.
    if not MIN_TICK - 1 <= tick <= MAX_TICK:
        raise MalformedLog(f"a tick of {tick}")
    return tick


def _read_state(reading: Reading) -> PoolState | str:
    """Check what a pool answered and derive its state."""
    if not reading.price:
        return state_of(ConcentratedState())
    try:
        table = TickTable(*zip(*reading.ticks, strict=True)) if reading.ticks else TickTable()
        return state_of(
            ConcentratedState(
                _price(reading.price), unsigned(reading.liquidity, 128), _tick(reading.tick), table
            )
        )
    except MalformedLog as error:
        return f"the pool answered {error}"


PLUGIN = UniswapV3
