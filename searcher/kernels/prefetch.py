"""Asking for memory before it is needed.

A row of a large market is in no cache when its log comes, and a load that misses takes as long as
two hundred instructions. Loads asked for some logs ahead come while the logs before are applied.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.memory import (
    COUNT,
    DEPTHS,
    EXACT,
    FIRST,
    LIMBS,
    PLACE,
    REAL,
    REAL_COLUMNS,
    SHAPE,
    SHAPE_COLUMNS,
    STAMP_COLUMNS,
    STAMPS,
    TICKS,
    WORDS,
    prefetch,
    shape,
    slot,
)

_LIMB_BYTES: Final = 8
_WORD_BYTES: Final = LIMBS * _LIMB_BYTES


@kernel("void(i8, i8)")
def ask_for_row(table: int, row: int) -> None:
    """Ask for what every event of a row changes."""
    prefetch(slot(table, SHAPE) + _LIMB_BYTES * SHAPE_COLUMNS * row)
    prefetch(slot(table, EXACT) + 2 * _WORD_BYTES * row)
    prefetch(slot(table, REAL) + _LIMB_BYTES * REAL_COLUMNS * row)
    prefetch(slot(table, STAMPS) + _LIMB_BYTES * STAMP_COLUMNS * row)


@kernel("void(i8, i8)")
def ask_for_ticks(table: int, row: int) -> None:
    """Ask for a concentrated row's ticks about its price; what says where they lie is there."""
    about = shape(table)
    count, place = about[row, COUNT], about[row, PLACE]
    at = about[row, FIRST] + place
    prefetch(slot(table, TICKS) + _LIMB_BYTES * at)
    prefetch(slot(table, DEPTHS) + _LIMB_BYTES * at)
    prefetch(slot(table, WORDS) + _WORD_BYTES * (2 * about[row, FIRST] + count + place))
