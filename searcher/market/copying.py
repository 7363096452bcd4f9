"""A copy of a living market's arrays as they are at one moment, without halting the market for it.

The arrays of 100,000 pools are copied in about a tenth of a second, which is too long for a loop
that trades. So they are copied slice by slice while blocks go on being applied; the rows whose
stamps say that they changed meanwhile are copied again; when few are left they are copied in one
step, and that step's moment is the copy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from searcher.kernels.memory import (
    ALIVE,
    CHANGED,
    CHANGES,
    CONCENTRATED,
    FIRST,
    KIND,
    POSITIONED,
    ROOM,
)
from searcher.market.memory import MarketMemory, reserve

SLICE_BYTES: Final = 1 << 19
"""Copied at once: a fifth of a millisecond."""
MOST_AT_ONCE: Final = 64
"""Rows that are copied again in one step."""

_OF_A_ROW: Final[Mapping[str, int]] = {"exact": 2, "shape": 1, "real": 1, "rate": 2}
_OF_A_TICK: Final[Mapping[str, int]] = {
    "ticks": 1,
    "words": 2,
    "gross": 1,
    "bounds": 1,
    "depths": 1,
}
_OF_A_PIECE: Final[Mapping[str, int]] = {"pieces": 1}


class Arena(Struct, frozen=True):
    """Which part of an arena is used, and the places in it that are free, by size."""

    used: int
    free: dict[int, list[int]]


class Extent(Struct, frozen=True):
    """How much of a memory's arrays is used."""

    rows: int
    ticks: Arena
    pieces: Arena
    edges: int


class MemoryCopy:
    """A copy in the making; `parts` and `extent` are right after `complete`.

    Args:
        memory: what is copied.
    """

    def __init__(self, memory: MarketMemory) -> None:
        self._live = memory
        self._source = memory.arrays()
        self._arrays = {
            name: reserve(array.shape, array.dtype) for name, array in self._source.items()
        }
        self._since = memory.number(CHANGES)
        self.parts: dict[str, NDArray[Any]] = {}
        self.extent = extent_of(memory)

    def slices(self) -> Iterator[None]:
        """Copy everything, a slice for each step."""
        for name, part in self._live.parts().items():
            target = self._arrays[name]
            step = max(1, SLICE_BYTES // max(1, part[:1].nbytes))
            for begin in range(0, len(part), step):
                end = min(begin + step, len(part))
                target[begin:end] = part[begin:end]
                yield
        # What changes while the changed rows are copied again is little, but may be too much yet.
        while len(rows := self._changed()) > MOST_AT_ONCE:
            self._since = self._live.number(CHANGES)
            for begin in range(0, len(rows), MOST_AT_ONCE):
                self._again(rows[begin : begin + MOST_AT_ONCE])
                yield

    def complete(self) -> None:
        """Copy the last changed rows, and say what is used: this is the copy's moment."""
        self._again(self._changed())
        live, used = self._live, self._live.parts()
        # Whether rows are searched is no change of theirs, and is written all over.
        self._arrays["rate"][: 2 * live.rows] = live.rate[: 2 * live.rows]
        self._arrays["real"][: live.rows, ALIVE] = live.real[: live.rows, ALIVE]
        for name in ("edges", "edges_of"):
            self._arrays[name][: len(used[name])] = used[name]
        self.parts = {name: self._arrays[name][: len(part)] for name, part in used.items()}
        self.extent = extent_of(live)

    def _changed(self) -> list[int]:
        """Return the rows that changed since they were last copied."""
        stamps = self._live.stamps[: self._live.rows, CHANGED]
        return np.flatnonzero(stamps > self._since).tolist()

    def _again(self, rows: Sequence[int]) -> None:
        """Copy rows again, with what they have in an arena."""
        for row in rows:
            if row >= self._live.rows:
                continue  # unwound meanwhile
            self._copy(_OF_A_ROW, row, 1)
            about = self._live.shape[row]
            first, room = int(about[FIRST]), int(about[ROOM])
            if about[KIND] == CONCENTRATED:
                self._copy(_OF_A_TICK, first, room)
            else:
                self._copy(_OF_A_PIECE, first, 2 * room)

    def _copy(self, arrays: Mapping[str, int], first: int, count: int) -> None:
        for name, each in arrays.items():
            place = slice(each * first, each * (first + count))
            self._arrays[name][place] = self._source[name][place]


def extent_of(memory: MarketMemory) -> Extent:
    """Return how much of a memory is used now."""
    return Extent(
        memory.rows,
        Arena(memory.tick_slots.used, memory.tick_slots.free()),
        Arena(memory.piece_slots.used, memory.piece_slots.free()),
        memory.edges_used,
    )


def lay_out(memory: MarketMemory, extent: Extent, fill: Callable[[str, memoryview], None]) -> None:
    """Make an empty memory hold what a copy held.

    Args:
        memory: an empty memory with room for it; see `fits`.
        extent: how much is used.
        fill: writes the array of a name to where it belongs.
    """
    memory.set_number(CHANGES, memory.number(CHANGES) + 1)
    memory.stamps[: extent.rows, [CHANGED, POSITIONED]] = memory.number(CHANGES)
    memory.rows, memory.edges_used = extent.rows, extent.edges
    memory.tick_slots.resume(extent.ticks.used, extent.ticks.free)
    memory.piece_slots.resume(extent.pieces.used, extent.pieces.free)
    for name, part in memory.parts().items():
        fill(name, part.data)


def fits(memory: MarketMemory, extent: Extent) -> bool:
    """Return whether a memory has room for what a copy held."""
    return (
        extent.rows <= memory.most_rows
        and extent.ticks.used <= memory.tick_slots.room
        and extent.pieces.used <= memory.piece_slots.room
        and extent.edges <= len(memory.edges)
    )
