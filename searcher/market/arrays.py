"""The float side of the market: the arrays that kernels search, one row a pool."""

from __future__ import annotations

from typing import Final

import numpy as np

from searcher.kernels.curves import (
    COLUMNS,
    DEAD,
    FloatArray,
    IntArray,
    write_concentrated,
    write_constant_product,
)
from searcher.kernels.memory import (
    ALIVE,
    CONCENTRATED,
    COUNT,
    FIRST,
    HERE0,
    HERE1,
    KEEP,
    KIND,
    PLACE,
    PRODUCT,
)
from searcher.market.memory import MarketMemory

_ROWS: Final = 256
_SEGMENTS: Final = 4096


class PoolArrays:
    """Two edges a row (`2 * row` is token0 for token1) and their segments; see kernels.curves.

    Rows are only ever added. Growth replaces the arrays, so nobody keeps one of them.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.rate: FloatArray = np.full(2 * _ROWS, DEAD)
        self.gamma: FloatArray = np.zeros(2 * _ROWS)
        self.first: IntArray = np.zeros(2 * _ROWS, np.int64)
        self.count: IntArray = np.zeros(2 * _ROWS, np.int64)
        self.segments: FloatArray = np.zeros((_SEGMENTS, COLUMNS))
        self._used = 0

    def add(self, room: int) -> int:
        """Add a row whose edges may have `room` segments each; return its number."""
        row = self.rows
        if 2 * row == len(self.rate):
            self.rate = np.concatenate([self.rate, np.full(2 * row, DEAD)])
            self.gamma = np.concatenate([self.gamma, np.zeros(2 * row)])
            self.first = np.concatenate([self.first, np.zeros(2 * row, np.int64)])
            self.count = np.concatenate([self.count, np.zeros(2 * row, np.int64)])
        while self._used + 2 * room > len(self.segments):
            self.segments = np.concatenate([self.segments, np.zeros_like(self.segments)])
        self.first[2 * row] = self._used
        self.first[2 * row + 1] = self._used + room
        self._used += 2 * room
        self.rows += 1
        return row

    def kill(self, row: int) -> None:
        """Take both directions of a row out of every search."""
        self.rate[2 * row : 2 * row + 2] = DEAD

    def draw(self, memory: MarketMemory, row: int) -> None:
        """Draw a row of the market's memory."""
        about = memory.shape[row]
        places = (self.rate, self.gamma, self.first, self.count, self.segments)
        keep = float(memory.real[row, KEEP])
        here0, here1 = memory.real[row, [HERE0, HERE1]]
        if about[KIND] == PRODUCT:
            write_constant_product(row, here0, here1, keep, *places)
        elif about[KIND] == CONCENTRATED:
            held = slice(int(about[FIRST]), int(about[FIRST] + about[COUNT]))
            bounds, depths = memory.bounds[held].copy(), memory.depths[held].copy()
            place = int(about[PLACE])
            room = int(self.first[2 * row + 1] - self.first[2 * row])
            write_concentrated(row, here0, place, keep, bounds, depths, room, *places)
        if not memory.real[row, ALIVE]:
            self.kill(row)
