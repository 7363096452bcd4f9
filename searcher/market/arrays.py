"""The float side of the market: the arrays that kernels search, one row a pool."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from searcher.kernels.curves import COLUMNS, DEAD, FloatArray, IntArray

_ROWS: Final = 256
_SEGMENTS: Final = 4096


class RowImage(NamedTuple):
    """A copy of everything that the arrays hold of a row."""

    row: int
    rate: FloatArray
    gamma: FloatArray
    counts: IntArray
    segments: FloatArray


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

    def image(self, row: int) -> RowImage:
        """Copy a row."""
        edges = slice(2 * row, 2 * row + 2)
        return RowImage(
            row,
            self.rate[edges].copy(),
            self.gamma[edges].copy(),
            self.count[edges].copy(),
            self.segments[self._span(row)].copy(),
        )

    def restore(self, image: RowImage) -> None:
        """Write a copy back, byte for byte."""
        edges = slice(2 * image.row, 2 * image.row + 2)
        self.rate[edges] = image.rate
        self.gamma[edges] = image.gamma
        self.count[edges] = image.counts
        self.segments[self._span(image.row)] = image.segments

    def _span(self, row: int) -> slice:
        begin = int(self.first[2 * row])
        return slice(begin, 2 * int(self.first[2 * row + 1]) - begin)
