"""The adaptive fee of Algebra V1: what the first swap of a block will pay.

Source: DataStorageOperator, DataStorage, AdaptiveFee and Sqrt of the V1 branches (Solidity 0.7:
their arithmetic wraps, and so does this one). The first swap of a block writes a timepoint with
the block's time and then sets the fee from the volatility and the volume of the last day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

WINDOW: Final = 86_400
"""Seconds over which volatility and volume are averaged."""
RING: Final = 65_536
"""Timepoints that the contract keeps; after them it overwrites the oldest."""

_MAX_VOLUME_PER_LIQUIDITY: Final = 100_000 << 64
_UINT16_MAX: Final = 2**16 - 1


class Timepoint(NamedTuple):
    """What the contract wrote at one moment, as far as the fee depends on it.

    `block_timestamp` is in seconds modulo 2^32; `tick_cumulative` is signed (int56),
    `volatility_cumulative` below 2^88, `volume_per_liquidity_cumulative` below 2^144.
    """

    block_timestamp: int
    tick_cumulative: int
    volatility_cumulative: int
    average_tick: int
    volume_per_liquidity_cumulative: int


class FeeConfiguration(NamedTuple):
    """The two sigmoids of volatility and the one of volume (AdaptiveFee.Configuration)."""

    alpha1: int
    alpha2: int
    beta1: int
    beta2: int
    gamma1: int
    gamma2: int
    volume_beta: int
    volume_gamma: int
    base_fee: int


class MissingTimepointError(LookupError):
    """The fee depends on a timepoint that is not given; `index` says on which."""

    def __init__(self, index: int) -> None:
        super().__init__(f"timepoint {index} is not given")
        self.index = index


def next_fees(
    timepoints: Mapping[int, Timepoint],
    index: int,
    *,
    timestamp: int,
    tick: int,
    volume_per_liquidity: int,
    configurations: tuple[FeeConfiguration, ...],
) -> tuple[int, ...] | None:
    """Return the fee in pips that the first swap at `timestamp` sets, for each configuration.

    Args:
        timepoints: timepoints by index; those written so far that are asked for must be given:
            the last two, the oldest, and the two around `timestamp` - `WINDOW`. One at
            `index` + 1 says that the ring has gone round.
        index: the last timepoint's (globalState.timepointIndex).
        timestamp: seconds, of the block of the swap.
        tick: the pool's tick before the swap.
        volume_per_liquidity: of the swaps since the last timepoint (volumePerLiquidityInBlock).
        configurations: one, or one for each direction.

    Returns:
        None where the pool has written a timepoint at this very time: the fee stays.

    Raises:
        MissingTimepointError: the timepoints given do not suffice.
    """
    store = _Store(timepoints)
    now = timestamp % 2**32
    if store[index].block_timestamp == now:
        return None
    written = store.write(index, now, tick, volume_per_liquidity)
    volatility, volume = store.averages(now, tick, written)
    return tuple(_fee(volatility // 15, volume, c) for c in configurations)


def volume_per_liquidity(liquidity: int, amount0: int, amount1: int) -> int:
    """Return what a swap adds (DataStorageOperator.calculateVolumePerLiquidity).

    Args:
        liquidity: in range after the swap.
        amount0: the signed change of the pool's token 0.
        amount1: likewise of token 1.
    """
    volume = math.isqrt(abs(amount0)) * math.isqrt(abs(amount1))
    shifted = (2**256 - 1 if volume >= 2**192 else volume << 64) // max(liquidity, 1)
    return min(shifted, _MAX_VOLUME_PER_LIQUIDITY)


class _Store(dict[int, Timepoint]):
    """The contract's ring of timepoints; an index that was not given is missing, not empty."""

    def __missing__(self, index: int) -> Timepoint:
        raise MissingTimepointError(index)

    def oldest(self, index: int) -> int:
        following = (index + 1) % RING
        return following if following in self else 0

    def write(self, index: int, now: int, tick: int, volume: int) -> int:
        """DataStorage.write: add the timepoint of a new moment, return its index."""
        oldest = self.oldest(index)
        last = self[index]
        average = _int(self._average_tick(now, tick, index, oldest), 24)
        before = tick if index == oldest else self._tick_before(index)
        written = (index + 1) % RING
        self[written] = _following(last, now, tick, before, average=average, volume=volume)
        return written

    def averages(self, now: int, tick: int, index: int) -> tuple[int, int]:
        """DataStorage.getAverages: volatility per second, and volume per liquidity."""
        oldest = self.oldest(index)
        first, end = self[oldest], self[index]
        if _lte(first.block_timestamp, (now - WINDOW) % 2**32, now):
            first, seconds = self._at(now, WINDOW, tick, index, oldest), WINDOW
        else:
            seconds = (now - first.block_timestamp) % 2**32
        volatility = (end.volatility_cumulative - first.volatility_cumulative) % 2**88
        volume = end.volume_per_liquidity_cumulative - first.volume_per_liquidity_cumulative
        return volatility // seconds, volume % 2**144 >> 57

    def _at(self, now: int, ago: int, tick: int, index: int, oldest: int) -> Timepoint:
        """DataStorage.getSingleTimepoint: the accumulators at a moment of the past."""
        target = (now - ago) % 2**32
        last = self[index]
        if _lte(last.block_timestamp, target, now):
            if last.block_timestamp == target:
                return last
            average = _int(self._average_tick(now, tick, index, oldest), 24)
            before = tick if index == oldest else self._tick_before(index)
            return _following(last, target, tick, before, average=average, volume=0)
        left, right = self._around(target, now, index, oldest)
        if target in (right.block_timestamp, left.block_timestamp):
            return right if target == right.block_timestamp else left
        span = (right.block_timestamp - left.block_timestamp) % 2**32
        part = (target - left.block_timestamp) % 2**32
        ticks = _int(right.tick_cumulative - left.tick_cumulative, 56)
        volatility = (right.volatility_cumulative - left.volatility_cumulative) % 2**88
        volume = right.volume_per_liquidity_cumulative - left.volume_per_liquidity_cumulative
        return Timepoint(
            target,
            _int(left.tick_cumulative + _truncated(ticks, span) * part, 56),
            (left.volatility_cumulative + volatility // span * part) % 2**88,
            left.average_tick,
            (left.volume_per_liquidity_cumulative + volume % 2**144 // span * part) % 2**144,
        )

    def _around(
        self, target: int, now: int, index: int, oldest: int
    ) -> tuple[Timepoint, Timepoint]:
        """DataStorage.binarySearch, among the timepoints that are given."""
        count = (index - oldest) % RING
        places = sorted((i - oldest) % RING for i in self if (i - oldest) % RING <= count)
        low, high = 0, len(places) - 1
        while low < high:
            middle = (low + high + 1) // 2
            given = self[(oldest + places[middle]) % RING]
            if _lte(given.block_timestamp, target, now):
                low = middle
            else:
                high = middle - 1
        at = (oldest + places[low]) % RING
        left, right = self[at], self[(at + 1) % RING]
        if not _lte(target, right.block_timestamp, now):
            raise MissingTimepointError((at + 2) % RING)
        return left, right

    def _average_tick(self, now: int, tick: int, index: int, oldest: int) -> int:
        """DataStorage._getAverageTick: over the window, or as far back as there is."""
        first, last = self[oldest], self[index]
        begin = (now - WINDOW) % 2**32
        if not _lte(first.block_timestamp, begin, now):
            if last.block_timestamp == first.block_timestamp:
                return tick
            return _slope(first, last)
        if _lte(last.block_timestamp, begin, now):
            # Before the first timepoint the ring holds what is not initialised.
            return tick if index == oldest else self._tick_before(index)
        start = self._at(now, WINDOW, tick, index, oldest)
        seconds = (last.block_timestamp - now + WINDOW) % 2**32
        return _truncated(_int(last.tick_cumulative - start.tick_cumulative, 56), seconds)

    def _tick_before(self, index: int) -> int:
        """The average tick between the last timepoint and the one before it."""
        return _int(_slope(self[(index - 1) % RING], self[index]), 24)


def _slope(first: Timepoint, last: Timepoint) -> int:
    return _truncated(
        _int(last.tick_cumulative - first.tick_cumulative, 56),
        (last.block_timestamp - first.block_timestamp) % 2**32,
    )


def _following(
    last: Timepoint, time: int, tick: int, before: int, *, average: int, volume: int
) -> Timepoint:
    """DataStorage.createNewTimepoint."""
    seconds = (time - last.block_timestamp) % 2**32
    volatility = _volatility(seconds, before, tick, last.average_tick, average)
    return Timepoint(
        time,
        _int(last.tick_cumulative + tick * seconds, 56),
        (last.volatility_cumulative + volatility) % 2**88,
        average,
        (last.volume_per_liquidity_cumulative + volume) % 2**144,
    )


def _volatility(seconds: int, tick0: int, tick1: int, average0: int, average1: int) -> int:
    """DataStorage._volatilityOnRange: the sum of squared distances from the average."""
    k = (tick1 - tick0) - (average1 - average0)
    b = (tick0 - average0) * seconds
    squares = seconds * (seconds + 1) * (2 * seconds + 1)
    sequence = seconds * (seconds + 1)
    whole = k * k * squares + 6 * b * k * sequence + 6 * seconds * b * b
    return _truncated(whole, 6 * seconds * seconds) % 2**88


def _fee(volatility: int, volume: int, c: FeeConfiguration) -> int:
    """AdaptiveFee.getFee."""
    both = _sigmoid(volatility, c.gamma1, c.alpha1, c.beta1) + _sigmoid(
        volatility, c.gamma2, c.alpha2, c.beta2
    )
    rise = _sigmoid(volume, c.volume_gamma, min(both, _UINT16_MAX), c.volume_beta)
    return (c.base_fee + rise) % 2**16


def _sigmoid(x: int, gamma: int, alpha: int, beta: int) -> int:
    """AdaptiveFee.sigmoid: alpha / (1 + e^((beta - x) / gamma))."""
    distance = abs(x - beta)
    if distance >= 6 * gamma:
        return alpha if x > beta else 0
    unit = gamma**8
    rise = _exp(distance, gamma)
    return alpha * (rise if x > beta else unit) // (unit + rise)


def _exp(x: int, gamma: int) -> int:
    """AdaptiveFee.exp: e^(x / gamma) * gamma^8 as a series of nine terms."""
    total = 0
    for n in range(9):
        total += x**n * gamma ** (8 - n) // math.factorial(n)
    return total


def _truncated(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def _int(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> bits - 1 else value


def _lte(a: int, b: int, now: int) -> bool:
    """DataStorage.lteConsideringOverflow."""
    return a <= b if (a > now) == (b > now) else a > now
