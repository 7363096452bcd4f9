"""Concentrated liquidity, as Uniswap V3 pools compute it, exact to the wei.

Source: UniswapV3Pool.swap, TickMath, TickBitmap, SqrtPriceMath and SwapMath of v3-core 1.0. A swap
stops at the edges of tick-bitmap words even where no tick is initialised; rounding happens there,
so leaving the stops out gives other integers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from searcher.kernels.refusal import Status, SwapRefused

MIN_TICK: Final = -887272
MAX_TICK: Final = 887272
MIN_SQRT_RATIO: Final = 4295128739
MAX_SQRT_RATIO: Final = 1461446703485210103287273052203988822378723970342
FEE_UNIT: Final = 1_000_000
Q96: Final = 2**96
U256: Final = 2**256
MAX_AMOUNT: Final = 2**255 - 1
MAX_PRICE: Final = 2**160 - 1

_LOG_Q96: Final = math.log(Q96)
_LOG_BASE: Final = math.log(1.0001)

RATIOS: Final = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
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
"""sqrt(1.0001) ** -(2**k) as Q128, k = 0..19: the constants of TickMath.getSqrtRatioAtTick."""


@dataclass(frozen=True, slots=True)
class TickTable:
    """The initialised ticks of a pool, ascending; the three tuples run in parallel.

    `net` is what crossing the tick upwards adds to the liquidity, `gross` what refers to it.
    """

    index: tuple[int, ...] = ()
    net: tuple[int, ...] = ()
    gross: tuple[int, ...] = ()

    def changed(self, tick: int, *, net: int, gross: int) -> TickTable:
        """Return the table with `net` and `gross` added at one tick.

        A tick whose gross becomes zero is no longer initialised and leaves the table.

        Raises:
            ValueError: the gross would become negative.
        """
        at = bisect_right(self.index, tick)
        known = at > 0 and self.index[at - 1] == tick
        start = at - 1 if known else at
        new_gross = gross + (self.gross[start] if known else 0)
        new_net = net + (self.net[start] if known else 0)
        if new_gross < 0:
            raise ValueError(f"tick {tick} would hold {new_gross} of liquidity")
        keep = new_gross > 0
        return TickTable(
            self.index[:start] + ((tick,) if keep else ()) + self.index[at:],
            self.net[:start] + ((new_net,) if keep else ()) + self.net[at:],
            self.gross[:start] + ((new_gross,) if keep else ()) + self.gross[at:],
        )


@dataclass(frozen=True, slots=True)
class ConcentratedState:
    """What a pool's swaps depend on. `sqrt_price_x96` is 0 before the pool is initialised."""

    sqrt_price_x96: int = 0
    liquidity: int = 0
    tick: int = 0
    ticks: TickTable = TickTable()


class SwapResult(NamedTuple):
    """Signed amounts as the pool sees them: positive comes in, negative goes out."""

    amount0: int
    amount1: int
    sqrt_price_x96: int
    liquidity: int
    tick: int
    crossed: int


@lru_cache(maxsize=1 << 16)
def sqrt_at_tick(tick: int) -> int:
    """Return sqrt(1.0001 ** tick) as Q64.96, rounded up as TickMath does.

    Raises:
        ValueError: outside MIN_TICK..MAX_TICK.
    """
    if not MIN_TICK <= tick <= MAX_TICK:
        raise ValueError(f"tick {tick} is outside {MIN_TICK}..{MAX_TICK}")
    ratio = ratio_at_tick(abs(tick))
    if tick > 0:
        ratio = (U256 - 1) // ratio
    return -(-ratio >> 32)


def ratio_at_tick(magnitude: int) -> int:
    """Return sqrt(1.0001) ** -magnitude as Q128, rounded down after each factor."""
    ratio = 1 << 128
    for bit, factor in enumerate(RATIOS):
        if magnitude >> bit & 1:
            ratio = ratio * factor >> 128
    return ratio


def tick_at_sqrt(sqrt_price_x96: int) -> int:
    """Return the greatest tick whose price is at most `sqrt_price_x96`.

    Raises:
        ValueError: outside MIN_SQRT_RATIO..MAX_SQRT_RATIO - 1.
    """
    if not MIN_SQRT_RATIO <= sqrt_price_x96 < MAX_SQRT_RATIO:
        raise ValueError(f"sqrt price {sqrt_price_x96} is outside TickMath's range")
    tick = math.floor(2 * (math.log(sqrt_price_x96) - _LOG_Q96) / _LOG_BASE)
    tick = min(max(tick, MIN_TICK), MAX_TICK)
    # The float estimate is within a tick of the truth; the exact table decides.
    while sqrt_at_tick(tick) > sqrt_price_x96:
        tick -= 1
    while tick < MAX_TICK and sqrt_at_tick(tick + 1) <= sqrt_price_x96:
        tick += 1
    return tick


def amount0_delta(low: int, high: int, liquidity: int, *, round_up: bool) -> int:
    """Return the token0 between two prices (SqrtPriceMath.getAmount0Delta)."""
    numerator = (liquidity << 96) * (high - low)
    if round_up:
        by_high = -(-numerator // high)
        return -(-by_high // low)
    return numerator // high // low


def amount1_delta(low: int, high: int, liquidity: int, *, round_up: bool) -> int:
    """Return the token1 between two prices (SqrtPriceMath.getAmount1Delta)."""
    product = liquidity * (high - low)
    return -(-product >> 96) if round_up else product >> 96


def price_after_input(price: int, liquidity: int, amount: int, *, zero_for_one: bool) -> int:
    """Return the price after `amount` came in (SqrtPriceMath.getNextSqrtPriceFromInput).

    Raises:
        SwapRefused: the contract's integers overflow, or there is no price or liquidity.
    """
    _check_range(price, liquidity)
    if not zero_for_one:
        following = price + (amount << 96) // liquidity
        if following > MAX_PRICE:
            raise SwapRefused(Status.OVERFLOW, "the price leaves uint160")
        return following
    if amount == 0:
        return price
    numerator = liquidity << 96
    product = amount * price
    # The contract's 256-bit product decides which of its two formulas rounds the price.
    if product < U256 and numerator + product < U256:
        return -(-numerator * price // (numerator + product))
    denominator = numerator // price + amount
    if denominator >= U256:
        raise SwapRefused(Status.OVERFLOW, "the amount leaves uint256")
    return -(-numerator // denominator)


def price_after_output(price: int, liquidity: int, amount: int, *, zero_for_one: bool) -> int:
    """Return the price after `amount` went out (SqrtPriceMath.getNextSqrtPriceFromOutput).

    Raises:
        SwapRefused: the range does not hold that much, the contract's integers overflow, or there
            is no price or liquidity.
    """
    _check_range(price, liquidity)
    if zero_for_one:
        quotient = -(-(amount << 96) // liquidity)
        if quotient >= U256:
            raise SwapRefused(Status.OVERFLOW, "the change of price leaves uint256")
        if price <= quotient:
            raise SwapRefused(
                Status.INSUFFICIENT_LIQUIDITY, "the range holds less token1 than is asked for"
            )
        return price - quotient
    if amount == 0:
        return price
    numerator = liquidity << 96
    product = amount * price
    if product >= U256 or numerator <= product:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, "the range holds less token0 than is asked for"
        )
    following = -(-numerator * price // (numerator - product))
    if following > MAX_PRICE:
        raise SwapRefused(Status.OVERFLOW, "the price leaves uint160")
    return following


def swap_step(
    price: int, target: int, liquidity: int, remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    """Swap within one range (SwapMath.computeSwapStep).

    Args:
        price: where it starts, Q64.96.
        target: where it stops at the latest; below `price` means token0 comes in.
        liquidity: the liquidity in range.
        remaining: positive for an exact input, negative for an exact output.
        fee_pips: the pool's fee.

    Returns:
        The next price, the input without fee, the output, and the fee.
    """
    zero_for_one = price >= target
    exact_in = remaining >= 0
    low, high = (target, price) if zero_for_one else (price, target)
    delta_in, delta_out = (
        (amount0_delta, amount1_delta) if zero_for_one else (amount1_delta, amount0_delta)
    )
    if exact_in:
        less_fee = remaining * (FEE_UNIT - fee_pips) // FEE_UNIT
        whole = delta_in(low, high, liquidity, round_up=True)
        reached = less_fee >= whole
        following = (
            target
            if reached
            else price_after_input(price, liquidity, less_fee, zero_for_one=zero_for_one)
        )
    else:
        whole = delta_out(low, high, liquidity, round_up=False)
        reached = -remaining >= whole
        following = (
            target
            if reached
            else price_after_output(price, liquidity, -remaining, zero_for_one=zero_for_one)
        )
    arrived = following == target
    low, high = (following, price) if zero_for_one else (price, following)
    taken = delta_in(low, high, liquidity, round_up=True)
    given = delta_out(low, high, liquidity, round_up=False)
    if not exact_in:
        given = min(given, -remaining)
    if exact_in and not arrived:
        return following, taken, given, remaining - taken
    return following, taken, given, -(-taken * fee_pips // (FEE_UNIT - fee_pips))


def swap(
    state: ConcentratedState,
    *,
    zero_for_one: bool,
    amount: int,
    fee_pips: int,
    tick_spacing: int,
    price_limit_x96: int | None = None,
) -> SwapResult:
    """Swap until the amount is used up or the price limit is met (UniswapV3Pool.swap).

    Args:
        state: the pool before the swap.
        zero_for_one: whether token0 comes in.
        amount: positive for an exact input, negative for an exact output.
        fee_pips: the pool's fee.
        tick_spacing: the pool's tick spacing.
        price_limit_x96: where to stop; the furthest the contract allows when left out.

    Raises:
        SwapRefused: the pool would revert.
    """
    limit = checked_limit(state, amount, price_limit_x96, zero_for_one=zero_for_one)
    end = _walk(state, amount, limit, fee_pips, tick_spacing, zero_for_one=zero_for_one)
    amount0, amount1 = (end.used, end.other) if zero_for_one == (amount > 0) else end[1::-1]
    tick = tick_at_sqrt(end.price) if end.between_ticks else end.tick
    return SwapResult(amount0, amount1, end.price, end.liquidity, tick, end.crossed)


def quote_exact_in(
    state: ConcentratedState,
    *,
    zero_for_one: bool,
    amount_in: int,
    fee_pips: int,
    tick_spacing: int,
) -> tuple[int, int]:
    """Return what a pool pays for exactly `amount_in`, and how many ticks it crosses.

    Raises:
        SwapRefused: the pool would revert, or run dry before it has taken it all.
    """
    _check_positive(amount_in)
    limit = checked_limit(state, amount_in, None, zero_for_one=zero_for_one)
    end = _walk(state, amount_in, limit, fee_pips, tick_spacing, zero_for_one=zero_for_one)
    if end.used != amount_in:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {end.used} of {amount_in}"
        )
    return -end.other, end.crossed


def quote_exact_out(
    state: ConcentratedState,
    *,
    zero_for_one: bool,
    amount_out: int,
    fee_pips: int,
    tick_spacing: int,
) -> tuple[int, int]:
    """Return what a pool takes to pay exactly `amount_out`, and how many ticks it crosses.

    Raises:
        SwapRefused: the pool would revert, or run dry before it has paid it all.
    """
    _check_positive(amount_out)
    limit = checked_limit(state, -amount_out, None, zero_for_one=zero_for_one)
    end = _walk(state, -amount_out, limit, fee_pips, tick_spacing, zero_for_one=zero_for_one)
    if end.used != -amount_out:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, f"the pool runs dry after {-end.used} of {amount_out}"
        )
    return end.other, end.crossed


class _End(NamedTuple):
    """Where a swap ended; `tick` is stale when the price came to rest between two ticks."""

    used: int
    other: int
    price: int
    liquidity: int
    tick: int
    crossed: int
    between_ticks: bool


def _walk(
    state: ConcentratedState,
    amount: int,
    limit: int,
    fee_pips: int,
    spacing: int,
    *,
    zero_for_one: bool,
) -> _End:
    """Step from stop to stop; a stop is an initialised tick, a word's edge, or the limit."""
    table = state.ticks
    price, liquidity, tick = state.sqrt_price_x96, state.liquidity, state.tick
    place = bisect_right(table.index, tick) - (1 if zero_for_one else 0)
    remaining, other, crossed, between = amount, 0, 0, False
    while remaining != 0 and price != limit:
        stop, initialised = next_tick(table.index, place, tick, spacing, zero_for_one=zero_for_one)
        if not (initialised or 0 <= place < len(table.index)):
            check_outside(liquidity, tick)
        start, stop_price = price, sqrt_at_tick(stop)
        target = max(stop_price, limit) if zero_for_one else min(stop_price, limit)
        price, taken, given, fee = swap_step(price, target, liquidity, remaining, fee_pips)
        if amount > 0:
            remaining -= taken + fee
            other -= given
        else:
            remaining += given
            other += taken + fee
        if price == stop_price:
            if initialised:
                liquidity += -table.net[place] if zero_for_one else table.net[place]
                check_liquidity(liquidity, stop)
                place += -1 if zero_for_one else 1
                crossed += 1
            tick = stop - 1 if zero_for_one else stop
        elif price != start:
            between = True
    return _End(amount - remaining, other, price, liquidity, tick, crossed, between)


def checked_limit(
    state: ConcentratedState, amount: int, limit: int | None, *, zero_for_one: bool
) -> int:
    """Return the price to stop at: `limit`, or the furthest allowed when it is None.

    Raises:
        SwapRefused: the pool reverts before it steps.
    """
    if amount == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is zero")
    if not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        raise SwapRefused(Status.OVERFLOW, "the amount does not fit int256")
    if state.sqrt_price_x96 == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the pool is not initialised")
    if limit is None:
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
    if zero_for_one:
        allowed = MIN_SQRT_RATIO < limit < state.sqrt_price_x96
    else:
        allowed = state.sqrt_price_x96 < limit < MAX_SQRT_RATIO
    if not allowed:
        raise SwapRefused(
            Status.PRICE_LIMIT, "the price limit is already passed or outside the curve"
        )
    return limit


def _check_positive(amount: int) -> None:
    if amount <= 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is not positive")


def _check_range(price: int, liquidity: int) -> None:
    if price == 0 or liquidity == 0:
        raise SwapRefused(Status.EMPTY_POOL, "the range has no price or no liquidity")


def next_tick(
    ticks: tuple[int, ...], place: int, tick: int, spacing: int, *, zero_for_one: bool
) -> tuple[int, bool]:
    """TickBitmap.nextInitializedTickWithinOneWord; `place` is the next tick in the table.

    Without a spacing there are no words: the next tick, or the end of the curve.
    """
    if zero_for_one:
        edge = (tick // spacing >> 8 << 8) * spacing if spacing else MIN_TICK
        if place >= 0 and ticks[place] >= edge:
            return ticks[place], True
        return max(edge, MIN_TICK), False
    edge = ((tick // spacing + 1 >> 8 << 8) + 255) * spacing if spacing else MAX_TICK
    if place < len(ticks) and ticks[place] <= edge:
        return ticks[place], True
    return min(edge, MAX_TICK), False


def check_outside(liquidity: int, tick: int) -> None:
    """Refuse liquidity beyond the first or last tick: some ticks are not given.

    Raises:
        SwapRefused: there is some.
    """
    if liquidity:
        raise SwapRefused(
            Status.BAD_STATE,
            f"liquidity outside the ticks, at tick {tick}: these are not all of the pool's",
        )


def check_liquidity(liquidity: int, tick: int) -> None:
    """Refuse ticks that bring the liquidity out of uint128.

    Raises:
        SwapRefused: they do.
    """
    if not 0 <= liquidity < 1 << 128:
        raise SwapRefused(
            Status.BAD_STATE, f"liquidity leaves uint128 at tick {tick}: the state is not a pool's"
        )
