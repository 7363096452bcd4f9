"""What a pool gives, in exact integers: constant product and concentrated liquidity.

Written from the contracts themselves (Uniswap v2-core and v2-periphery, v3-core) and from nothing
of the daemon, so that an error in the daemon's maths cannot hide behind the same error here.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

PIPS = 1_000_000
Q96 = 1 << 96
MIN_TICK = -887_272
MAX_TICK = 887_272
MIN_SQRT_PRICE = 4_295_128_739
MAX_SQRT_PRICE = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342

# sqrt(1.0001)^-(2^i) in Q128, for i = 1..19 (v3-core, TickMath.getSqrtRatioAtTick).
_TICK_FACTORS = (
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)


@dataclass(frozen=True)
class Pool:
    """A pool's constants. `fee_pips` is in hundredths of a basis point; addresses lower case."""

    address: str
    dex: str
    protocol: str
    token0: str
    token1: str
    fee_pips: int
    tick_spacing: int = 0


@dataclass(frozen=True)
class Segment:
    """A stretch of a curve with constant liquidity, in floats, for search only.

    After `start_in` of input has gone in and `start_out` has come out, the pool trades like a
    constant-product pool with these virtual reserves.
    """

    start_in: float
    start_out: float
    reserve_in: float
    reserve_out: float


@dataclass(frozen=True)
class ConstantProduct:
    """A Uniswap V2 pair's reserves, in smallest units."""

    reserve0: int
    reserve1: int

    def quote(self, pool: Pool, zero_for_one: bool, amount_in: int) -> int | None:
        """Give the most that the pair lets out for `amount_in`, None for nothing at all.

        V2-periphery's getAmountOut counts the fee in thousandths; pips are the same number
        scaled, and the scale cancels exactly in the floor division.
        """
        reserve_in, reserve_out = (
            (self.reserve0, self.reserve1) if zero_for_one else (self.reserve1, self.reserve0)
        )
        if amount_in <= 0 or reserve_in == 0 or reserve_out == 0:
            return None
        kept = amount_in * (PIPS - pool.fee_pips)
        amount_out = kept * reserve_out // (reserve_in * PIPS + kept)
        return amount_out or None

    def segments(self, pool: Pool, zero_for_one: bool) -> tuple[Segment, ...]:
        """Give the curve in floats; empty when the pair holds nothing."""
        del pool
        if self.reserve0 == 0 or self.reserve1 == 0:
            return ()
        near, far = (
            (self.reserve0, self.reserve1) if zero_for_one else (self.reserve1, self.reserve0)
        )
        return (Segment(0.0, 0.0, float(near), float(far)),)


@dataclass(frozen=True)
class Concentrated:
    """A Uniswap V3 pool: price, active liquidity, and what each initialised tick adds to it.

    `net` maps a tick to liquidityNet and `gross` to liquidityGross; a tick is initialised while
    its gross is above zero, even when its net is zero.
    """

    sqrt_price: int
    tick: int
    liquidity: int
    net: Mapping[int, int] = field(default_factory=dict)
    gross: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def ticks(self) -> list[int]:
        """The initialised ticks in ascending order."""
        return sorted(self.gross)

    def next_tick(self, tick: int, spacing: int, zero_for_one: bool) -> tuple[int, bool]:
        """Find the next initialised tick within one bitmap word, or the word's edge.

        V3-core, TickBitmap.nextInitializedTickWithinOneWord. A swap stops at the edge of every
        256-tick word even if nothing is there, and each stop rounds: leaving the edges out gives
        amounts that are wrong by some wei.
        """
        compressed = tick // spacing
        if zero_for_one:
            edge = (compressed >> 8 << 8) * spacing
            at = bisect_right(self.ticks, compressed * spacing) - 1
            if at >= 0 and self.ticks[at] >= edge:
                return self.ticks[at], True
            return edge, False
        edge = ((compressed + 1 >> 8 << 8) + 255) * spacing
        at = bisect_left(self.ticks, (compressed + 1) * spacing)
        if at < len(self.ticks) and self.ticks[at] <= edge:
            return self.ticks[at], True
        return edge, False

    def swap(
        self, pool: Pool, zero_for_one: bool, amount_in: int, limit: int | None = None
    ) -> tuple[int, int, int]:
        """Swap an exact input as UniswapV3Pool.swap does.

        Returns what went in, what came out, and the price afterwards. Less than `amount_in` goes
        in when the price reaches `limit` (the end of the curve when None).
        """
        if limit is None:
            limit = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        price, tick, liquidity = self.sqrt_price, self.tick, self.liquidity
        remaining, given = amount_in, 0
        while remaining > 0 and price != limit:
            found, initialised = self.next_tick(tick, pool.tick_spacing, zero_for_one)
            found = min(max(found, MIN_TICK), MAX_TICK)
            edge = sqrt_price_at(found)
            target = max(edge, limit) if zero_for_one else min(edge, limit)
            price, used, out, fee = swap_step(price, target, liquidity, remaining, pool.fee_pips)
            remaining -= used + fee
            given += out
            if price == edge:
                if initialised:
                    liquidity += -self.net[found] if zero_for_one else self.net[found]
                tick = found - 1 if zero_for_one else found
        return amount_in - remaining, given, price

    def quote(self, pool: Pool, zero_for_one: bool, amount_in: int) -> int | None:
        """Give the output for `amount_in`; None when the pool cannot take all of it."""
        if amount_in <= 0 or self.sqrt_price == 0:
            return None
        taken, given, _ = self.swap(pool, zero_for_one, amount_in)
        return given if taken == amount_in and given > 0 else None

    def segments(self, pool: Pool, zero_for_one: bool) -> tuple[Segment, ...]:
        """Give the curve in floats, one segment for each stretch of constant liquidity."""
        if self.sqrt_price == 0:
            return ()
        keep = 1 - pool.fee_pips / PIPS
        price = self.sqrt_price / Q96
        liquidity = self.liquidity
        if zero_for_one:
            path = self.ticks[: bisect_right(self.ticks, self.tick)][::-1]
        else:
            path = self.ticks[bisect_right(self.ticks, self.tick) :]
        segments: list[Segment] = []
        total_in = total_out = 0.0
        for tick in path:
            edge = sqrt_price_at(tick) / Q96
            if liquidity > 0 and edge != price:
                by_price, by_inverse = liquidity * price, liquidity / price
                near, far = (by_inverse, by_price) if zero_for_one else (by_price, by_inverse)
                segments.append(Segment(total_in, total_out, near, far))
                moved_price = liquidity * abs(edge - price)
                moved_inverse = liquidity * abs(1 / edge - 1 / price)
                into, out = (
                    (moved_inverse, moved_price) if zero_for_one else (moved_price, moved_inverse)
                )
                total_in += into / keep
                total_out += out
            price = edge
            liquidity += -self.net[tick] if zero_for_one else self.net[tick]
        # Behind the last tick there is nothing to buy: input buys nothing more.
        return (*segments, Segment(total_in, total_out, 1.0, 0.0)) if segments else ()


State = ConstantProduct | Concentrated


@lru_cache(maxsize=65_536)
def sqrt_price_at(tick: int) -> int:
    """Give sqrt(1.0001^tick) in Q96, rounded up (v3-core, TickMath.getSqrtRatioAtTick)."""
    size = abs(tick)
    ratio = 0xFFFCB933BD6FAD37AA2D162D1A594001 if size & 1 else 1 << 128
    for bit, factor in enumerate(_TICK_FACTORS, start=1):
        if size >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = ((1 << 256) - 1) // ratio
    return -(-ratio >> 32)


def _up(numerator: int, denominator: int) -> int:
    """Divide and round up."""
    return -(-numerator // denominator)


def amount0_between(price_a: int, price_b: int, liquidity: int, *, round_up: bool) -> int:
    """Give the token0 between two prices (v3-core, SqrtPriceMath.getAmount0Delta)."""
    low, high = min(price_a, price_b), max(price_a, price_b)
    top = (liquidity << 96) * (high - low)
    return _up(_up(top, high), low) if round_up else top // high // low


def amount1_between(price_a: int, price_b: int, liquidity: int, *, round_up: bool) -> int:
    """Give the token1 between two prices (v3-core, SqrtPriceMath.getAmount1Delta)."""
    top = liquidity * abs(price_a - price_b)
    return _up(top, Q96) if round_up else top // Q96


def price_after_input(price: int, liquidity: int, amount_in: int, zero_for_one: bool) -> int:
    """Give the price after an input without fee (SqrtPriceMath.getNextSqrtPriceFromInput)."""
    if not zero_for_one:
        return price + (amount_in << 96) // liquidity
    if amount_in == 0:
        return price
    weight = liquidity << 96
    product = amount_in * price
    # The contract takes a less exact path once its 256-bit words would overflow.
    if product < 1 << 256 and weight + product < 1 << 256:
        return _up(weight * price, weight + product)
    return _up(weight, weight // price + amount_in)


def swap_step(
    price: int, target: int, liquidity: int, remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    """Swap within one price range, exact input (v3-core, SwapMath.computeSwapStep).

    Returns the price afterwards, the input without fee, the output and the fee.
    """
    zero_for_one = price >= target
    spendable = remaining * (PIPS - fee_pips) // PIPS
    if zero_for_one:
        to_target = amount0_between(target, price, liquidity, round_up=True)
    else:
        to_target = amount1_between(price, target, liquidity, round_up=True)
    reached = (
        target
        if spendable >= to_target
        else price_after_input(price, liquidity, spendable, zero_for_one)
    )
    if zero_for_one:
        used = (
            to_target
            if reached == target
            else amount0_between(reached, price, liquidity, round_up=True)
        )
        out = amount1_between(reached, price, liquidity, round_up=False)
    else:
        used = (
            to_target
            if reached == target
            else amount1_between(price, reached, liquidity, round_up=True)
        )
        out = amount0_between(price, reached, liquidity, round_up=False)
    fee = remaining - used if reached != target else _up(used * fee_pips, PIPS - fee_pips)
    return reached, used, out, fee


def spot_log_rate(pool: Pool, segment: Segment) -> float:
    """Give the logarithm of what one unit buys at the margin, fee included."""
    return math.log(segment.reserve_out / segment.reserve_in * (1 - pool.fee_pips / PIPS))
