"""What the adaptive fee of an Algebra V1 pool is computed from, and how it is read.

Source: DataStorageOperator (timepoints, feeConfig) and AlgebraPool (globalState) of V1.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from searcher.domain.units import Address, Uint256
from searcher.kernels.reference.algebra_fee import (
    RING,
    WINDOW,
    FeeConfiguration,
    MissingTimepointError,
    Timepoint,
    next_fees,
)
from searcher.market.decoding import MalformedLog, signed, unsigned
from searcher.market.protocol import Answer, ReadCall, UnreadablePool

TIMEPOINTS: Final = "0x74eceae6"

_AHEAD: Final = 64
"""Timepoints read beyond the one that begins the window, which moves there as time goes on."""
_AT_ONCE: Final = 16
"""Places that a search looks at in one round."""


class AlgebraFeeConfiguration(Struct, frozen=True):
    """The nine numbers of `feeConfig()`: two sigmoids of volatility, one of volume, the floor.

    `alpha1 + alpha2 + base_fee` is the highest fee, in pips.
    """

    alpha1: int
    alpha2: int
    beta1: int
    beta2: int
    gamma1: int
    gamma2: int
    volume_beta: int
    volume_gamma: int
    base_fee: int

    def __post_init__(self) -> None:
        """Check what the contract checks."""
        for name in ("alpha1", "alpha2", "gamma1", "gamma2", "volume_gamma", "base_fee"):
            if not 0 <= getattr(self, name) < 1 << 16:
                raise ValueError(f"{name}: expected a uint16")
        for name in ("beta1", "beta2", "volume_beta"):
            if not 0 <= getattr(self, name) < 1 << 32:
                raise ValueError(f"{name}: expected a uint32")
        if self.alpha1 + self.alpha2 + self.base_fee >= 1 << 16:
            raise ValueError("alpha1: with alpha2 and base_fee more than a uint16")
        for name in ("gamma1", "gamma2", "volume_gamma"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name}: expected more than 0")


class AlgebraTimepoint(Struct, frozen=True):
    """One of `timepoints(index)`, without the liquidity accumulator, which no fee depends on."""

    index: int
    block_timestamp: int
    tick_cumulative: int
    volatility_cumulative: Uint256
    average_tick: int
    volume_per_liquidity_cumulative: Uint256

    def __post_init__(self) -> None:
        """Check the contract's widths."""
        if not 0 <= self.index < RING:
            raise ValueError(f"index: expected 0 to {RING - 1}")
        if not 0 <= self.block_timestamp < 1 << 32:
            raise ValueError("block_timestamp: expected a uint32")
        if not -(1 << 55) <= self.tick_cumulative < 1 << 55:
            raise ValueError("tick_cumulative: expected an int56")
        if self.volatility_cumulative >= 1 << 88:
            raise ValueError("volatility_cumulative: expected a uint88")
        if not -(1 << 23) <= self.average_tick < 1 << 23:
            raise ValueError("average_tick: expected an int24")
        if self.volume_per_liquidity_cumulative >= 1 << 144:
            raise ValueError("volume_per_liquidity_cumulative: expected a uint144")


class AlgebraOracle(Struct, frozen=True):
    """What the fee of the next timepoint depends on.

    `timepoint_index` is in the pool's `globalState()`. `timepoints` are those that may be asked
    for: the last two, the oldest, and those around one day before the block of a quote; one at
    `timepoint_index` + 1 says that the ring of 65,536 has gone round (then the one after it is
    needed, too).
    `fee_configurations` has one for both directions, or one for token 0 in and one for token 1 in.
    `volume_per_liquidity_in_block` is of the swaps since the last timepoint; no view of the pool
    answers it, and it is null where it is not known.
    """

    timepoint_index: int
    timepoints: tuple[AlgebraTimepoint, ...]
    fee_configurations: tuple[AlgebraFeeConfiguration, ...]
    volume_per_liquidity_in_block: Uint256 | None = None

    def __post_init__(self) -> None:
        """Check how many there are."""
        if not 0 <= self.timepoint_index < RING:
            raise ValueError(f"timepoint_index: expected 0 to {RING - 1}")
        if len({t.index for t in self.timepoints}) != len(self.timepoints):
            raise ValueError("timepoints: expected each index once")
        if len(self.fee_configurations) not in (1, 2):
            raise ValueError("fee_configurations: expected one, or one for each direction")

    def fees(self, tick: int, timestamp: int) -> tuple[int, ...] | None:
        """Return what the first swap of a block will set, or None where that is not known.

        None also where the pool has its timepoint of that very time: the fee stays.
        """
        return _fees(self, tick, timestamp)


@lru_cache(maxsize=1024)
def _fees(oracle: AlgebraOracle, tick: int, timestamp: int) -> tuple[int, ...] | None:
    # A tenth of a millisecond and more, and the same for all quotes of a pool in a block.
    if oracle.volume_per_liquidity_in_block is None:
        return None
    known = {
        t.index: Timepoint(
            t.block_timestamp,
            t.tick_cumulative,
            t.volatility_cumulative,
            t.average_tick,
            t.volume_per_liquidity_cumulative,
        )
        for t in oracle.timepoints
    }
    try:
        return next_fees(
            known,
            oracle.timepoint_index,
            timestamp=timestamp,
            tick=tick,
            volume_per_liquidity=oracle.volume_per_liquidity_in_block,
            configurations=tuple(FeeConfiguration(*astuple(c)) for c in oracle.fee_configurations),
        )
    except MissingTimepointError:
        return None


_Reading = Generator[Sequence[ReadCall], Sequence[Answer], tuple[AlgebraTimepoint, ...]]


def read_timepoints(operator: Address, index: int) -> _Reading:
    """Return the reads of the timepoints that the next fee depends on.

    Args:
        operator: the pool's DataStorageOperator.
        index: the last timepoint's.
    """
    around = sorted({index, (index - 1) % RING, (index + 1) % RING, (index + 2) % RING, 0})
    found = yield from _timepoints(operator, around)
    if index not in found:
        raise UnreadablePool(f"timepoint {index} is not initialised")
    oldest = (index + 1) % RING if (index + 1) % RING in found else 0
    begin = (found[index].block_timestamp - WINDOW) % 2**32
    low, high = 0, (index - oldest) % RING
    # Find the last timepoint at or before the window's begin; the oldest where there is none.
    while high - low > 1:
        step = max((high - low) // (_AT_ONCE + 1), 1)
        places = list(range(low + step, high, step))[:_AT_ONCE]
        looked = yield from _timepoints(operator, [(oldest + p) % RING for p in places])
        found |= looked
        for place in places:
            at = looked.get((oldest + place) % RING)
            if at is None:
                raise UnreadablePool("the timepoints have a gap")
            if _before(at.block_timestamp, begin, found[index].block_timestamp):
                low = place
            else:
                high = place
                break
    ahead = [(oldest + p) % RING for p in range(low, (index - oldest) % RING + 1)][:_AHEAD]
    found |= yield from _timepoints(operator, [i for i in ahead if i not in found])
    wanted = {*around, *ahead}
    return tuple(found[i] for i in sorted(wanted & found.keys()))


def _timepoints(
    operator: Address, indexes: Sequence[int]
) -> Generator[Sequence[ReadCall], Sequence[Answer], dict[int, AlgebraTimepoint]]:
    if not indexes:
        return {}
    answers = yield [ReadCall(operator, f"{TIMEPOINTS}{i:064x}") for i in indexes]
    found = {}
    for index, answer in zip(indexes, answers, strict=True):
        if isinstance(answer, str):
            raise UnreadablePool(f"timepoints({index}): {answer}")
        if len(answer) != 7:
            raise UnreadablePool(f"timepoints({index}) did not answer 7 words")
        initialized, timestamp, ticks, _, volatility, average, volume = answer
        if initialized:
            try:
                found[index] = AlgebraTimepoint(
                    index,
                    timestamp,
                    signed(ticks, 56),
                    unsigned(volatility, 88),
                    signed(average, 24),
                    unsigned(volume, 144),
                )
            except (MalformedLog, ValueError) as error:
                raise UnreadablePool(f"timepoints({index}) answered {error}") from error
    return found


def _before(moment: int, limit: int, now: int) -> bool:
    """Compare two times of at most 2^32 seconds ago."""
    return (now - moment) % 2**32 >= (now - limit) % 2**32
