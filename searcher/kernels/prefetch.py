"""Asking for memory before it is needed.

A row of a large market is in no cache when its log comes, and a load that misses takes as long as
two hundred instructions. Loads asked for some logs ahead come while the logs before are applied.
"""

from __future__ import annotations

from typing import Any, Final, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

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
    shape,
    slot,
)

_LIMB_BYTES: Final = 8
_WORD_BYTES: Final = LIMBS * _LIMB_BYTES
_FOR_WRITING: Final = 1
_KEEP: Final = 3
_DATA: Final = 1


def _asker() -> Any:
    @intrinsic
    def ask(_context: Any, address: Any) -> Any:
        """Have the cache line of an address loaded; any address is allowed."""

        def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
            prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            place = builder.inttoptr(args[0], pointer)
            builder.call(prefetch, [place, *(number(n) for n in (_FOR_WRITING, _KEEP, _DATA))])
            return context.get_dummy_value()

        return cast("Any", types).void(address), lower

    return ask


_ask: Final = _asker()


@kernel("void(i8, i8)")
def ask_for_row(table: int, row: int) -> None:
    """Ask for what every event of a row changes."""
    _ask(slot(table, SHAPE) + _LIMB_BYTES * SHAPE_COLUMNS * row)
    _ask(slot(table, EXACT) + 2 * _WORD_BYTES * row)
    _ask(slot(table, REAL) + _LIMB_BYTES * REAL_COLUMNS * row)
    _ask(slot(table, STAMPS) + _LIMB_BYTES * STAMP_COLUMNS * row)


@kernel("void(i8, i8)")
def ask_for_ticks(table: int, row: int) -> None:
    """Ask for a concentrated row's ticks about its price; what says where they lie is there."""
    about = shape(table)
    count, place = about[row, COUNT], about[row, PLACE]
    at = about[row, FIRST] + place
    _ask(slot(table, TICKS) + _LIMB_BYTES * at)
    _ask(slot(table, DEPTHS) + _LIMB_BYTES * at)
    _ask(slot(table, WORDS) + _WORD_BYTES * (2 * about[row, FIRST] + count + place))
