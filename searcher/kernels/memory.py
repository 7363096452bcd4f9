"""The market's memory as kernels see it: one address, of a table of addresses.

A numba call pays for every array that it is given (40 ns each); one integer costs nothing. So all
arrays of a market are reached through its table, an int64 array that holds sizes and addresses, and
a kernel makes the views that it needs. Nobody moves an array while the market lives.

**Rows.** A row is a pool's pair of tokens; edge `2 * row` swaps its token0 for its token1, edge
`2 * row + 1` the other way. By row:

- `exact` U256[2 * rows]: the two reserves of a constant product; square-root price (Q64.96) and
  liquidity in range of a concentrated pool.
- `shape` int64[rows, 8]: KIND, TICK, FEE (pips), SPACING, then where the row's ticks or pieces lie:
  FIRST, COUNT, ROOM, and PLACE (see below).
- `real` float64[rows, 8]: the float image: HERE0 and HERE1 (reserves; or square-root price and
  liquidity), KEEP (the share of an input left after the fee), GAS of a swap and CROSSING_GAS of
  each tick crossed, ALIVE (1.0 for a row that may be searched), BEND0 and BEND1 (the least
  curvature of each side: with the marginal rate M no input x gives more than M x / (1 + BEND x)).
- `rate` float64[2 * rows], by edge: log of the marginal rate, DEAD where it must not be used.

**Ticks** of a concentrated pool lie in an arena from FIRST on, COUNT of them with space for ROOM,
PLACE being that of the last one not above the price: `ticks` int64, `gross` uint64[n, 2] (liquidity
gross), `bounds` float64 (square-root price), `depths` float64 (liquidity from the tick to the
next), and `words` U256, from `2 * FIRST` on, as `kernels.ranges` takes them: COUNT prices, then
COUNT net liquidities.

**Pieces** of any other curve lie in `pieces` float64[n, 4] (columns AMOUNT_IN, AMOUNT_OUT,
RESERVE_IN, RESERVE_OUT of `kernels.curves`): those of side 0 from FIRST on, COUNT of them, those of
side 1 from `FIRST + ROOM` on, PLACE of them; fees are in them. Within a piece the output for an
input `x` is `out + ry * u / (rx + u)` with `u = x - in`.

**Undo.** `undo` int64[UNDO_ROOM] is a stack of UNDO_USED words (`kernels.undo`). SCOPE is the
present scope's number, CHANGES how many changes there were. `stamps` int64[rows, 5] says by row in
which scope its image was last saved (SAVED), a batch of logs last changed it (TOUCHED) or held one
that was refused (REFUSED), and the numbers of its last change (CHANGED) and of the last change of
its ticks (POSITIONED).

**Word edges** of a tick spacing (`kernels.ranges.write_edges`) lie in `edges` U256; `edges_of`
int64[2^14, 2] says where and how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.curves import COLUMNS, FloatArray, IntArray
from searcher.kernels.u256 import Words

# ---- the table

ROWS: Final = 0
TICKS_ROOM: Final = 1
PIECES_ROOM: Final = 2
EDGES_ROOM: Final = 3
UNDO_ROOM: Final = 4
UNDO_USED: Final = 5
SCOPE: Final = 6
CHANGES: Final = 7
EXACT: Final = 8
SHAPE: Final = 9
REAL: Final = 10
RATE: Final = 11
TICKS: Final = 12
WORDS: Final = 13
GROSS: Final = 14
BOUNDS: Final = 15
DEPTHS: Final = 16
PIECES: Final = 17
EDGES: Final = 18
EDGES_OF: Final = 19
UNDO: Final = 20
STAMPS: Final = 21
SLOTS: Final = 32

# ---- columns of `shape`

KIND: Final = 0
TICK: Final = 1
FEE: Final = 2
SPACING: Final = 3
FIRST: Final = 4
COUNT: Final = 5
ROOM: Final = 6
PLACE: Final = 7
SHAPE_COLUMNS: Final = 8

# ---- kinds

EMPTY: Final = 0
"""Nothing is known of the row yet."""
PRODUCT: Final = 1
CONCENTRATED: Final = 2
PIECEWISE: Final = 3
"""Any other curve: floats follow its pieces, and its protocol answers exactly."""

# ---- columns of `real`

HERE0: Final = 0
HERE1: Final = 1
KEEP: Final = 2
GAS: Final = 3
CROSSING_GAS: Final = 4
ALIVE: Final = 5
BEND0: Final = 6
BEND1: Final = 7
REAL_COLUMNS: Final = 8

# ---- columns of `stamps`

SAVED: Final = 0
REFUSED: Final = 1
CHANGED: Final = 2
POSITIONED: Final = 3
TOUCHED: Final = 4
STAMP_COLUMNS: Final = 5

MOST_SPACINGS: Final = 1 << 14
LIMBS: Final = 4

_LIMB_BYTES: Final = 8
_WORD_BYTES: Final = 32


def _pointer_to(pointed: Any) -> Any:
    @intrinsic
    def pointer(_context: Any, address: Any) -> Any:
        """Return an address as a pointer."""
        result: Any = cast("Any", types).CPointer(pointed)

        def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(result))

        return result(address), lower

    return pointer


def _prefetch(_context: Any, address: Any) -> Any:
    """Have the processor bring what lies at an address into its caches, without waiting for it."""

    def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cast("Any", cgutils).get_or_insert_function(
            builder.module, kind, "llvm.prefetch.p0"
        )
        # To read, to be kept near, as data.
        flags = [ir.Constant(number, flag) for flag in (0, 3, 1)]
        builder.call(function, [builder.inttoptr(args[0], pointer), *flags])
        return context.get_dummy_value()

    return cast("Any", types).void(address), lower


prefetch: Final[Callable[[int], None]] = cast("Any", intrinsic)(_prefetch)

_i8: Final = _pointer_to(types.int64)
_i4: Final = _pointer_to(types.int32)
_u4: Final = _pointer_to(types.uint32)
_u8: Final = _pointer_to(types.uint64)
_f8: Final = _pointer_to(types.float64)


@kernel("i8(i8, i8)", inlined=True)
def slot(table: int, number: int) -> int:
    """Return a slot of a table of int64: a size, or an array's address."""
    return int(carray(_i8(table), SLOTS)[number])


@kernel("void(i8, i8, i8)", inlined=True)
def set_slot(table: int, number: int, value: int) -> None:
    """Write a slot of a table."""
    carray(_i8(table), SLOTS)[number] = value


@kernel("f8[::1](i8, i8)", inlined=True)
def floats(address: int, size: int) -> FloatArray:
    """Return the float64[size] at an address."""
    return carray(_f8(address), size)


@kernel("f8[:,::1](i8, i8, i8)", inlined=True)
def float_rows(address: int, rows: int, columns: int) -> FloatArray:
    """Return the float64[rows, columns] at an address."""
    return carray(_f8(address), (rows, columns))


@kernel("i8[::1](i8, i8)", inlined=True)
def integers(address: int, size: int) -> IntArray:
    """Return the int64[size] at an address."""
    return carray(_i8(address), size)


@kernel("i8[:,::1](i8, i8, i8)", inlined=True)
def integer_rows(address: int, rows: int, columns: int) -> IntArray:
    """Return the int64[rows, columns] at an address."""
    return carray(_i8(address), (rows, columns))


@kernel("i4[::1](i8, i8)", inlined=True)
def short_integers(address: int, size: int) -> NDArray[np.int32]:
    """Return the int32[size] at an address."""
    return carray(_i4(address), size)


@kernel("u4[::1](i8, i8)", inlined=True)
def numbers_at(address: int, size: int) -> NDArray[np.uint32]:
    """Return the uint32[size] at an address: places in arrays, which need no look at their sign."""
    return carray(_u4(address), size)


@kernel("u8[:,::1](i8, i8)", inlined=True)
def words_at(address: int, size: int) -> Words:
    """Return the U256[size] at an address."""
    return carray(_u8(address), (size, LIMBS))


# ---- rows


@kernel("u8[:,::1](i8)", inlined=True)
def exact(table: int) -> Words:
    """Return U256[2 * rows]."""
    return words_at(slot(table, EXACT), 2 * slot(table, ROWS))


@kernel("i8[:,::1](i8)", inlined=True)
def shape(table: int) -> IntArray:
    """Return int64[rows, 8]."""
    return integer_rows(slot(table, SHAPE), slot(table, ROWS), SHAPE_COLUMNS)


@kernel("f8[:,::1](i8)", inlined=True)
def real(table: int) -> FloatArray:
    """Return float64[rows, 8]."""
    return float_rows(slot(table, REAL), slot(table, ROWS), REAL_COLUMNS)


@kernel("f8[::1](i8)", inlined=True)
def rate(table: int) -> FloatArray:
    """Return float64[2 * rows]."""
    return floats(slot(table, RATE), 2 * slot(table, ROWS))


@kernel("i8[:,::1](i8)", inlined=True)
def stamps(table: int) -> IntArray:
    """Return int64[rows, 5]."""
    return integer_rows(slot(table, STAMPS), slot(table, ROWS), STAMP_COLUMNS)


# ---- arenas


@kernel("i8[::1](i8, i8)", inlined=True)
def ticks_of(table: int, row: int) -> IntArray:
    """Return a concentrated row's ticks."""
    about = shape(table)
    return integers(slot(table, TICKS) + 8 * about[row, FIRST], about[row, COUNT])


@kernel("u8[:,::1](i8, i8)", inlined=True)
def tick_words_of(table: int, row: int) -> Words:
    """Return a concentrated row's tick prices and net liquidities."""
    about = shape(table)
    address = slot(table, WORDS) + 2 * _WORD_BYTES * about[row, FIRST]
    return words_at(address, 2 * about[row, COUNT])


@kernel("u8[:,::1](i8, i8)", inlined=True)
def gross_of(table: int, row: int) -> Words:
    """Return the gross liquidities of a concentrated row's ticks: uint64[n, 2]."""
    about = shape(table)
    address = slot(table, GROSS) + 2 * _LIMB_BYTES * about[row, FIRST]
    return carray(_u8(address), (about[row, COUNT], 2))


@kernel("f8[::1](i8, i8)", inlined=True)
def bounds_of(table: int, row: int) -> FloatArray:
    """Return the square-root prices of a concentrated row's ticks."""
    about = shape(table)
    return floats(slot(table, BOUNDS) + 8 * about[row, FIRST], about[row, COUNT])


@kernel("f8[::1](i8, i8)", inlined=True)
def depths_of(table: int, row: int) -> FloatArray:
    """Return the liquidity from each of a concentrated row's ticks to the next."""
    about = shape(table)
    return floats(slot(table, DEPTHS) + 8 * about[row, FIRST], about[row, COUNT])


@kernel("f8[:,::1](i8, i8, i8)", inlined=True)
def pieces_of(table: int, row: int, side: int) -> FloatArray:
    """Return the pieces of a side of any other row."""
    about = shape(table)
    first, count = about[row, FIRST], about[row, COUNT]
    if side != 0:
        first, count = first + about[row, ROOM], about[row, PLACE]
    return float_rows(slot(table, PIECES) + 8 * COLUMNS * first, count, COLUMNS)


@kernel("u8[:,::1](i8, i8)", inlined=True)
def word_edges_of(table: int, spacing: int) -> Words:
    """Return the word edges of a tick spacing."""
    known = integer_rows(slot(table, EDGES_OF), MOST_SPACINGS, 2)
    address = slot(table, EDGES) + _WORD_BYTES * known[spacing, 0]
    return words_at(address, known[spacing, 1])
