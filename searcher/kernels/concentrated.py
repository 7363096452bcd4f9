"""The step maths of concentrated liquidity: prices of ticks, amounts between prices, one step.

Sources: TickMath, SqrtPriceMath and SwapMath of Uniswap v3-core 1.0; PancakeSwap V3, Slipstream,
Algebra and Uniswap V4 compute the same. Prices are square roots of token1 per token0 as Q64.96,
liquidity is a uint128, fees are in hundredths of a basis point.
"""

# Kernels take what a step depends on by position.
# ruff: noqa: PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.reference.uniswap_v3 import (
    FEE_UNIT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_TICK,
    RATIOS,
    ratio_at_tick,
)
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    MAX,
    ONE,
    ZERO,
    Word,
    constant,
    div,
    div_up,
    divmod256,
    divmod512,
    load,
    mul512,
    muldiv_up,
    pack,
    to_float,
    u256,
)

_OK: Final = int(Status.OK)
_OVERFLOW: Final = int(Status.OVERFLOW)
_EMPTY: Final = int(Status.EMPTY_POOL)
_DRY: Final = int(Status.INSUFFICIENT_LIQUIDITY)

_UNIT = constant(FEE_UNIT)
_MOST_PLAIN = constant(2**235)
"""Amounts below this times a fee share stay within 256 bits."""
_FRACTION = constant(2**96 - 1)
_ROUNDED_OFF = constant(2**32 - 1)
_UINT128 = constant(2**128 - 1)
_UINT160 = constant(2**160 - 1)
_END = constant(MAX_SQRT_RATIO)

_LOW_BITS: Final = 8
_LOW_RATIOS: Final = pack(ratio_at_tick(low) for low in range(1 << _LOW_BITS))
"""The contract multiplies bit after bit, lowest first: these are its products of the low bits."""
_HIGH_RATIOS: Final = pack(RATIOS[_LOW_BITS:])
_HIGH_BITS: Final = len(RATIOS) - _LOW_BITS
_LOW_MASK: Final = (1 << _LOW_BITS) - 1

_PER_LOG: Final = 2.0 / math.log(1.0001)
_LOG_Q96: Final = 96.0 * math.log(2.0)


@kernel("U256(i8)")
def sqrt_at_tick(tick: int) -> Word:
    """Return sqrt(1.0001 ** tick) rounded up as TickMath does; 0 outside MIN_TICK..MAX_TICK."""
    magnitude = abs(tick)
    if magnitude > MAX_TICK:
        return ZERO()
    ratio = load(_LOW_RATIOS, magnitude & _LOW_MASK)
    high = magnitude >> _LOW_BITS
    for bit in range(_HIGH_BITS):
        if high >> bit & 1:
            ratio = (ratio * load(_HIGH_RATIOS, bit)) >> np.int64(128)
    if tick > 0:
        ratio = div(MAX(), ratio)
    price = ratio >> np.int64(32)
    if (ratio & _ROUNDED_OFF()) != ZERO():
        price += ONE()
    return price


@kernel("i8(U256)")
def tick_at_sqrt(price: Word) -> int:
    """Return the greatest tick whose price is at most `price`.

    `price` must lie in MIN_SQRT_RATIO..MAX_SQRT_RATIO - 1, where TickMath does not revert.
    """
    estimate = math.floor((math.log(to_float(price)) - _LOG_Q96) * _PER_LOG)
    tick = min(max(estimate, MIN_TICK), MAX_TICK - 1)
    # The float is within a tick of the truth; the exact prices decide.
    while sqrt_at_tick(tick) > price:
        tick -= 1
    while tick < MAX_TICK - 1 and sqrt_at_tick(tick + 1) <= price:
        tick += 1
    return tick


@kernel("UniTuple(U256, 2)(U256, U256, U256)")
def _amount0(low: Word, high: Word, liquidity: Word) -> tuple[Word, Word]:
    """Return `liquidity * 2^96 * (high - low) / high / low`, and what is not 0 if that is rounded.

    The contract divides twice. Rounding down twice, or up twice, is rounding once, so where both
    prices fit 128 bits one division does it. The quotient always fits, for `low` is not 0.
    """
    if high <= _UINT128():
        product = liquidity * (high - low)
        return divmod512(product >> np.int64(160), product << np.int64(96), high * low)
    upper, lower = mul512(liquidity << np.int64(96), high - low)
    whole, rest = divmod512(upper, lower, high)
    amount, remainder = divmod256(whole, low)
    return amount, rest | remainder


@kernel("U256(U256, U256, U256)")
def amount0_down(low: Word, high: Word, liquidity: Word) -> Word:
    """Return the token0 between two prices, rounded down (SqrtPriceMath.getAmount0Delta).

    Nothing overflows for 0 < `low` <= `high`, both uint160.
    """
    return _amount0(low, high, liquidity)[0]


@kernel("U256(U256, U256, U256)")
def amount0_up(low: Word, high: Word, liquidity: Word) -> Word:
    """Return the same, rounded up."""
    amount, rest = _amount0(low, high, liquidity)
    return amount + ONE() if rest != ZERO() else amount


@kernel("UniTuple(U256, 2)(U256, U256, U256)")
def _amount1(low: Word, high: Word, liquidity: Word) -> tuple[Word, Word]:
    """Return `liquidity * (high - low) / 2^96`, and what is not 0 if that is rounded."""
    if high <= _UINT128():
        product = liquidity * (high - low)
        return product >> np.int64(96), product & _FRACTION()
    upper, lower = mul512(liquidity, high - low)
    return (upper << np.int64(160)) | (lower >> np.int64(96)), lower & _FRACTION()


@kernel("U256(U256, U256, U256)")
def amount1_down(low: Word, high: Word, liquidity: Word) -> Word:
    """Return the token1 between two prices, rounded down (SqrtPriceMath.getAmount1Delta)."""
    return _amount1(low, high, liquidity)[0]


@kernel("U256(U256, U256, U256)")
def amount1_up(low: Word, high: Word, liquidity: Word) -> Word:
    """Return the same, rounded up."""
    amount, rest = _amount1(low, high, liquidity)
    return amount + ONE() if rest != ZERO() else amount


@kernel("U256(U256, U256, U256, b1)")
def amount_in_between(price: Word, target: Word, liquidity: Word, zero_for_one: bool) -> Word:
    """Return the input without fee that moves a price to `target`."""
    if zero_for_one:
        return amount0_up(target, price, liquidity)
    return amount1_up(price, target, liquidity)


@kernel("U256(U256, U256, U256, b1)")
def amount_out_between(price: Word, target: Word, liquidity: Word, zero_for_one: bool) -> Word:
    """Return the output of moving a price to `target`."""
    if zero_for_one:
        return amount1_down(target, price, liquidity)
    return amount0_down(price, target, liquidity)


@kernel("Tuple((i8, U256))(U256, U256, U256, b1)")
def price_after_input(
    price: Word, liquidity: Word, amount: Word, zero_for_one: bool
) -> tuple[int, Word]:
    """Return the price after an input without fee (SqrtPriceMath.getNextSqrtPriceFromInput)."""
    if price == ZERO() or liquidity == ZERO():
        return _EMPTY, ZERO()
    if zero_for_one:
        if amount == ZERO():
            return _OK, price
        numerator = liquidity << np.int64(96)
        spilled, product = mul512(amount, price)
        denominator = numerator + product
        # The contract's 256-bit product decides which of its two formulas rounds the price.
        if spilled == ZERO() and denominator >= numerator:
            return _OK, muldiv_up(numerator, price, denominator)[1]
        denominator = div(numerator, price) + amount
        if denominator < amount:
            return _OVERFLOW, ZERO()
        return _OK, div_up(numerator, denominator)
    if amount > _UINT160():
        upper, lower = amount >> np.int64(160), amount << np.int64(96)
        if upper >= liquidity:
            return _OVERFLOW, ZERO()
        moved = divmod512(upper, lower, liquidity)[0]
    else:
        moved = div(amount << np.int64(96), liquidity)
    following = price + moved
    if moved > _UINT160() or following > _UINT160():
        return _OVERFLOW, ZERO()
    return _OK, following


@kernel("Tuple((i8, U256))(U256, U256, U256)")
def _price_after_output1(price: Word, liquidity: Word, amount: Word) -> tuple[int, Word]:
    if amount > _UINT160():
        upper = amount >> np.int64(160)
        if upper >= liquidity:
            return _OVERFLOW, ZERO()
        moved, r = divmod512(upper, amount << np.int64(96), liquidity)
        if r != ZERO():
            moved += ONE()
            if moved == ZERO():
                return _OVERFLOW, ZERO()
    else:
        moved = div_up(amount << np.int64(96), liquidity)
    if price <= moved:
        return _DRY, ZERO()
    return _OK, price - moved


@kernel("Tuple((i8, U256))(U256, U256, U256, b1)")
def price_after_output(
    price: Word, liquidity: Word, amount: Word, zero_for_one: bool
) -> tuple[int, Word]:
    """Return the price after an output (SqrtPriceMath.getNextSqrtPriceFromOutput)."""
    if price == ZERO() or liquidity == ZERO():
        return _EMPTY, ZERO()
    if zero_for_one:
        return _price_after_output1(price, liquidity, amount)
    if amount == ZERO():
        return _OK, price
    numerator = liquidity << np.int64(96)
    spilled, product = mul512(amount, price)
    if spilled != ZERO() or numerator <= product:
        return _DRY, ZERO()
    fits, following = muldiv_up(numerator, price, numerator - product)
    if not fits or following > _UINT160():
        return _OVERFLOW, ZERO()
    return _OK, following


@kernel("U256(U256, i8)")
def less_fee(amount: Word, fee_pips: int) -> Word:
    """Return what an input leaves after the fee, rounded down. The fee is below the whole."""
    share = u256(FEE_UNIT - fee_pips)
    if amount < _MOST_PLAIN():
        return div(amount * share, _UNIT())
    upper, lower = mul512(amount, share)
    return divmod512(upper, lower, _UNIT())[0]


@kernel("U256(U256, i8)")
def fee_on(amount_in: Word, fee_pips: int) -> Word:
    """Return the fee that comes on top of an input taken whole, rounded up.

    Nothing overflows for an input between two prices: at most 224 bits, times a fee below 2^20.
    """
    return div_up(amount_in * u256(fee_pips), u256(FEE_UNIT - fee_pips))


@kernel("Tuple((i8, U256, U256, U256, U256))(U256, U256, U256, U256, i8, b1)")
def step_exact_in(
    price: Word,
    target: Word,
    liquidity: Word,
    remaining: Word,
    fee_pips: int,
    zero_for_one: bool,
) -> tuple[int, Word, Word, Word, Word]:
    """Swap an exact input within one range (SwapMath.computeSwapStep).

    Args:
        price: where it starts.
        target: where it stops at the latest, on the side that `zero_for_one` moves to.
        liquidity: the liquidity in range.
        remaining: the input left, fee included.
        fee_pips: the fee, below FEE_UNIT.
        zero_for_one: whether token0 comes in and the price falls.

    Returns:
        A status, the next price, the input without fee, the output, and the fee.
    """
    less = less_fee(remaining, fee_pips)
    taken = amount_in_between(price, target, liquidity, zero_for_one)
    if less >= taken:
        given = amount_out_between(price, target, liquidity, zero_for_one)
        return _OK, target, taken, given, fee_on(taken, fee_pips)
    status, following = price_after_input(price, liquidity, less, zero_for_one)
    if status != _OK:
        return status, price, ZERO(), ZERO(), ZERO()
    # Rounding never brings it to the target from here: what is left of the input is the fee.
    taken = amount_in_between(price, following, liquidity, zero_for_one)
    given = amount_out_between(price, following, liquidity, zero_for_one)
    return _OK, following, taken, given, remaining - taken


@kernel("Tuple((i8, U256, U256, U256, U256))(U256, U256, U256, U256, i8, b1)")
def step_exact_out(
    price: Word,
    target: Word,
    liquidity: Word,
    remaining: Word,
    fee_pips: int,
    zero_for_one: bool,
) -> tuple[int, Word, Word, Word, Word]:
    """Swap towards an exact output within one range; `remaining` is the output still asked for.

    Returns:
        As `step_exact_in`.
    """
    following = target
    given = amount_out_between(price, target, liquidity, zero_for_one)
    if remaining < given:
        status, following = price_after_output(price, liquidity, remaining, zero_for_one)
        if status != _OK:
            return status, price, ZERO(), ZERO(), ZERO()
        # The price is rounded so that it pays at least what remains, and no more is given.
        given = remaining
    taken = amount_in_between(price, following, liquidity, zero_for_one)
    return _OK, following, taken, given, fee_on(taken, fee_pips)
