"""The market's memory: arrays of all pools, each at one address as long as the market lives.

Space is reserved whole and taken page by page as it is written: reserved pages that nobody touched
cost nothing, so nothing is copied when the market grows. The layout is that of `kernels.memory`.
"""

from __future__ import annotations

import mmap
import sys
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from searcher.domain.errors import InvariantBroken
from searcher.kernels import memory as layout
from searcher.kernels.curves import COLUMNS, DEAD, FloatArray, IntArray
from searcher.kernels.memory import (
    ALIVE,
    CONCENTRATED,
    COUNT,
    CROSSING_GAS,
    FEE,
    FIRST,
    GAS,
    KIND,
    LIMBS,
    PLACE,
    REAL_COLUMNS,
    ROOM,
    SHAPE_COLUMNS,
    SPACING,
    TICK,
)
from searcher.kernels.positions import describe_ticks
from searcher.kernels.ranges import words_of_edges, write_edges
from searcher.kernels.u256 import Words, pack, unpack
from searcher.market.ticks import Tick, TickTable

_LEAST_SLOT: Final = 8
"""Ticks or pieces of the smallest slot; each next size is twice the one before."""
_TICKS_A_ROW: Final = 256
_PIECES_A_ROW: Final = 64
_EDGES_ROOM: Final = 1 << 18
"""Word edges of all tick spacings together: spacing 1 has 13,864, and their sum converges."""
_UNDO_A_ROW: Final = 64
_UNDO_ROOM: Final = 1 << 20
_TABLES_KEPT: Final = 1024
"""Tick tables kept as Python objects, with what quotes derive from them: some 30 kB each."""
_NO_RESERVE: Final = 0x4000 if sys.platform == "linux" else 0


def reserve(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros whose pages are taken when they are first written.

    Raises:
        OSError: the system has not even so much address space.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), dtype).reshape(shape)


class Taken(NamedTuple):
    """A slot: where it begins, what it holds, and whether it was in use before."""

    first: int
    room: int
    again: bool


class SlotImage(NamedTuple):
    """A copy of a row's ticks or pieces, COUNT and PLACE included."""

    row: int
    sizes: tuple[int, int]
    arrays: tuple[NDArray[Any], ...]


class Slots:
    """Places in an arena, of sizes that are powers of two; those given back are used again."""

    def __init__(self, name: str, room: int) -> None:
        self._name = name
        self.room = room
        self._free: dict[int, list[int]] = {}
        self.used = 0

    def free(self) -> dict[int, list[int]]:
        """Return a copy of the places that were given back, by size."""
        return {size: list(places) for size, places in self._free.items() if places}

    def resume(self, used: int, free: dict[int, list[int]]) -> None:
        """Stand where another arena stood: what it had used, and what was free of that."""
        self.used, self._free = used, free

    def take(self, size: int) -> Taken:
        """Return where a slot for at least `size` begins, and how much it holds.

        Raises:
            InvariantBroken: the arena is full.
        """
        room = max(_LEAST_SLOT, 1 << (size - 1).bit_length()) if size else _LEAST_SLOT
        if free := self._free.get(room):
            return Taken(free.pop(), room, again=True)
        if self.used + room > self.room:
            raise InvariantBroken(
                f"the market's arena of {self._name} is full at {self.used}: raise most_pools"
            )
        first = self.used
        self.used += room
        return Taken(first, room, again=False)

    def give(self, first: int, room: int) -> None:
        """Take a slot back."""
        if room:
            self._free.setdefault(room, []).append(first)

    def exchange_back(self, old_first: int, old_room: int, taken: Taken) -> None:
        """Undo that a slot was taken and the old one given back, these being the last to be so."""
        if old_room:
            last = self._free[old_room].pop()
            assert last == old_first
        if taken.again:
            self._free[taken.room].append(taken.first)
        else:
            self.used -= taken.room
            assert self.used == taken.first


class MarketMemory:
    """The arrays of one market, and the table through which kernels reach them.

    Args:
        most_rows: how many rows there can be.
    """

    def __init__(self, most_rows: int) -> None:
        self.rows = 0
        self.most_rows = most_rows
        ticks, pieces = most_rows * _TICKS_A_ROW, most_rows * _PIECES_A_ROW
        self.exact: Words = reserve((2 * most_rows, LIMBS), np.uint64)
        self.shape: IntArray = reserve((most_rows, SHAPE_COLUMNS), np.int64)
        self.real: FloatArray = reserve((most_rows, REAL_COLUMNS), np.float64)
        self.rate: FloatArray = reserve((2 * most_rows,), np.float64)
        self.ticks: IntArray = reserve((ticks,), np.int64)
        self.words: Words = reserve((2 * ticks, LIMBS), np.uint64)
        self.gross: NDArray[np.uint64] = reserve((ticks, 2), np.uint64)
        self.bounds: FloatArray = reserve((ticks,), np.float64)
        self.depths: FloatArray = reserve((ticks,), np.float64)
        self.pieces: FloatArray = reserve((pieces, COLUMNS), np.float64)
        self.undo: IntArray = reserve((_UNDO_A_ROW * most_rows + _UNDO_ROOM,), np.int64)
        self.stamps: IntArray = reserve((most_rows, layout.STAMP_COLUMNS), np.int64)
        self.edges: Words = reserve((_EDGES_ROOM, LIMBS), np.uint64)
        self.edges_of: IntArray = reserve((layout.MOST_SPACINGS, 2), np.int64)
        self.tick_slots = Slots("ticks", ticks)
        self.piece_slots = Slots("pieces", pieces)
        self.edges_used = 0
        self._tables: OrderedDict[int, tuple[int, TickTable]] = OrderedDict()
        self._table: IntArray = np.zeros(layout.SLOTS, np.int64)
        self._table[layout.ROWS] = most_rows
        self._table[layout.TICKS_ROOM] = ticks
        self._table[layout.PIECES_ROOM] = pieces
        self._table[layout.EDGES_ROOM] = _EDGES_ROOM
        self._table[layout.UNDO_ROOM] = len(self.undo)
        for name, array in {**self.arrays(), "undo": self.undo, "stamps": self.stamps}.items():
            self._table[getattr(layout, name.upper())] = array.ctypes.data
        self.table = int(self._table.ctypes.data)
        """What kernels are given; valid as long as this object lives."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return by name, whole, the arrays that hold what pools hold."""
        return {
            "exact": self.exact,
            "shape": self.shape,
            "real": self.real,
            "rate": self.rate,
            "ticks": self.ticks,
            "words": self.words,
            "gross": self.gross,
            "bounds": self.bounds,
            "depths": self.depths,
            "pieces": self.pieces,
            "edges": self.edges,
            "edges_of": self.edges_of,
        }

    def parts(self) -> dict[str, NDArray[Any]]:
        """Return the used part of each of these; what lies behind was never written."""
        rows, ticks, pieces = self.rows, self.tick_slots.used, self.piece_slots.used
        used = {"exact": 2 * rows, "shape": rows, "real": rows, "rate": 2 * rows}
        used |= {"ticks": ticks, "words": 2 * ticks, "gross": ticks, "bounds": ticks}
        used |= {"depths": ticks, "pieces": pieces, "edges": self.edges_used}
        return {name: array[: used.get(name)] for name, array in self.arrays().items()}

    def number(self, place: int) -> int:
        """Return a number of the table: one of the layout's sizes or counters."""
        return int(self._table[place])

    def set_number(self, place: int, number: int) -> None:
        """Write a number of the table."""
        self._table[place] = number

    def add(self) -> int:
        """Add an empty row and return its number.

        Raises:
            InvariantBroken: there is no room for another.
        """
        if self.rows == self.most_rows:
            raise InvariantBroken(f"the market holds {self.rows} rows already: raise most_pools")
        row = self.rows
        self.rows += 1
        self.shape[row] = 0
        self.real[row] = 0.0
        self.exact[2 * row : 2 * row + 2] = 0
        self.rate[2 * row : 2 * row + 2] = DEAD
        self.stamps[row] = 0
        self.changed(row, ticks=True)
        return row

    def changed(self, row: int, *, ticks: bool = False) -> None:
        """Give a change of a row (or of its ticks) that no kernel made its number."""
        number = self.number(layout.CHANGES) + 1
        self.set_number(layout.CHANGES, number)
        self.stamps[row, layout.CHANGED] = number
        if ticks:
            self.stamps[row, layout.POSITIONED] = number

    def remove_last(self) -> None:
        """Take the last row away, and its place in an arena."""
        self.free(self.rows - 1)
        self.rows -= 1

    def set_gas(self, row: int, swap_gas: int, crossing_gas: int = 0) -> None:
        """Say what a swap through a row takes, and each tick that it crosses."""
        self.real[row, GAS] = swap_gas
        self.real[row, CROSSING_GAS] = crossing_gas

    def set_alive(self, row: int, *, alive: bool) -> None:
        """Say whether a row may be searched; its rates are to be written again after it."""
        self.real[row, ALIVE] = float(alive)

    def free(self, row: int) -> None:
        """Give a row's place in an arena back."""
        about = self.shape[row]
        if about[ROOM]:
            slots, sides = self._slots_of(row)
            slots.give(int(about[FIRST]), sides * int(about[ROOM]))
        about[[FIRST, COUNT, ROOM, PLACE]] = 0

    def move_slot(self, row: int, size: int) -> tuple[int, int, Taken]:
        """Move a row's ticks or pieces to a slot that holds at least `size` a side.

        Returns:
            Where the old slot began, its room, and the new one, for `move_slot_back`.
        """
        about = self.shape[row]
        old, room = int(about[FIRST]), int(about[ROOM])
        slots, sides = self._slots_of(row)
        taken = slots.take(sides * max(size, int(about[COUNT])))
        self._copy_slot(row, taken.first, taken.room // sides)
        slots.give(old, sides * room)
        return old, sides * room, taken

    def move_slot_back(self, row: int, old: int, room: int, taken: Taken) -> None:
        """Undo `move_slot`, before anything that was done earlier is undone."""
        slots, sides = self._slots_of(row)
        self._copy_slot(row, old, room // sides)
        slots.exchange_back(old, room, taken)

    def slot_image(self, row: int) -> SlotImage:
        """Copy a row's ticks or pieces."""
        sizes = (int(self.shape[row, COUNT]), int(self.shape[row, PLACE]))
        return SlotImage(row, sizes, tuple(array.copy() for array in self._slot_views(row)))

    def restore_slot(self, image: SlotImage) -> None:
        """Write a copy back; the row's slot is as large as when it was made."""
        self.shape[image.row, [COUNT, PLACE]] = image.sizes
        for view, array in zip(self._slot_views(image.row), image.arrays, strict=True):
            view[:] = array
        self.changed(image.row, ticks=True)

    def _slots_of(self, row: int) -> tuple[Slots, int]:
        """Return the arena of a row's slot, and how many sides it holds."""
        if self.shape[row, KIND] == CONCENTRATED:
            return self.tick_slots, 1
        return self.piece_slots, 2

    def _slot_views(self, row: int) -> tuple[NDArray[Any], ...]:
        about = self.shape[row]
        first, count = int(about[FIRST]), int(about[COUNT])
        if about[KIND] == CONCENTRATED:
            flat = (self.ticks, self.gross, self.bounds, self.depths)
            words = self.words[2 * first : 2 * (first + count)]
            return (*(array[first : first + count] for array in flat), words)
        behind = first + int(about[ROOM])
        return (
            self.pieces[first : first + count],
            self.pieces[behind : behind + int(about[PLACE])],
        )

    def _copy_slot(self, row: int, first: int, room: int) -> None:
        image = self.slot_image(row)
        self.shape[row, [FIRST, ROOM]] = first, room
        self.restore_slot(image)

    def know_spacing(self, spacing: int) -> None:
        """Have the word edges of a tick spacing; 0 has none."""
        if not spacing or self.edges_of[spacing, 1]:
            return
        size = 2 * words_of_edges(spacing)
        if self.edges_used + size > _EDGES_ROOM:
            raise InvariantBroken("the market's arena of word edges is full")
        first = self.edges_used
        write_edges(spacing, self.edges[first : first + size])
        self.edges_of[spacing] = first, size
        self.edges_used += size

    def write_product(self, row: int, reserve0: int, reserve1: int, fee_pips: int) -> None:
        """Write a constant product's integers; `kernels.hops.write_image` makes them visible."""
        self.shape[row, KIND] = layout.PRODUCT
        self.shape[row, FEE] = fee_pips
        self.exact[2 * row] = limbs(reserve0)
        self.exact[2 * row + 1] = limbs(reserve1)

    def write_price(self, row: int, sqrt_price_x96: int, liquidity: int, tick: int) -> None:
        """Write where a concentrated pool stands."""
        self.exact[2 * row] = limbs(sqrt_price_x96)
        self.exact[2 * row + 1] = limbs(liquidity)
        self.shape[row, TICK] = tick

    def write_ticks(self, row: int, table: TickTable, *, fee_pips: int, spacing: int) -> None:
        """Write a concentrated pool's fee, spacing and ticks."""
        about = self.shape[row]
        count = len(table)
        about[KIND], about[FEE], about[SPACING] = CONCENTRATED, fee_pips, spacing
        if count > about[ROOM]:
            self.free(row)
            about[FIRST], about[ROOM], _ = self.tick_slots.take(count)
        self.know_spacing(spacing)
        first = int(about[FIRST])
        held = slice(first, first + count)
        about[COUNT] = count
        self.ticks[held], self.words[2 * first : 2 * (first + count)] = table.arrays
        self.gross[held] = pack([tick.liquidity_gross for tick in table])[:, :2]
        describe_ticks(self.table, row)
        self.changed(row, ticks=True)

    def tick_table(self, row: int) -> TickTable:
        """Return a concentrated pool's ticks as quotes in Python take them.

        It is the same object until the ticks change; those asked for last are kept.
        """
        version = int(self.stamps[row, layout.POSITIONED])
        known = self._tables.get(row)
        if known is not None and known[0] == version:
            self._tables.move_to_end(row)
            return known[1]
        table = self._read_ticks(row)
        self._tables[row] = (version, table)
        if len(self._tables) > _TABLES_KEPT:
            self._tables.popitem(last=False)
        return table

    def _read_ticks(self, row: int) -> TickTable:
        indices, gross, _, _, words = self._slot_views(row)
        count = len(indices)
        nets = (n - (n >> 255 << 256) for n in unpack(words[count:]))
        grosses = (int(high) << 64 | int(low) for low, high in gross)
        table = TickTable(map(Tick, indices.tolist(), nets, grosses))
        # The arena moves on: what the table is asked for is what it held when it was made.
        vars(table)["arrays"] = (indices.copy(), words.copy())
        return table

    def write_pieces(self, row: int, sides: tuple[FloatArray, FloatArray]) -> None:
        """Write the pieces of both sides of any other curve: float64[n, 4] each."""
        about = self.shape[row]
        about[KIND] = layout.PIECEWISE
        most = max(map(len, sides))
        if most > about[ROOM]:
            self.free(row)
            first, room, _ = self.piece_slots.take(2 * most)
            about[FIRST], about[ROOM] = first, room // 2
        first, room = int(about[FIRST]), int(about[ROOM])
        about[COUNT], about[PLACE] = len(sides[0]), len(sides[1])
        for side, pieces in enumerate(sides):
            self.pieces[first + side * room : first + side * room + len(pieces)] = pieces


def limbs(value: int) -> NDArray[np.uint64]:
    """Return a non-negative integer of 256 bits as uint64[4], least significant first."""
    return np.frombuffer(value.to_bytes(32, "little"), np.uint64)


def value(words: Words, place: int) -> int:
    """Return a U256 of an array as an integer."""
    return int.from_bytes(words[place].tobytes(), "little")
