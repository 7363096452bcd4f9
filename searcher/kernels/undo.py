"""What takes changes of the market's memory back: a stack of records, each with its size on top.

A **scope** is a block or an overlay. The first change of a row in a scope saves the row's image; a
position saves itself, for the same position with the negated amount undoes it. Records, in words of
int64 before the kind on top:

- IMAGE: row, then 8 of `exact`, 8 of `shape`, 8 of `real`, 2 of `rate` (floats by their bits).
- POSITION: row, lower, upper, and the amount (4 limbs).
- MOVED: row, old first and room, new first and room, and whether the new slot was in use before:
  ticks or pieces were moved to another slot, which whoever gave the slot undoes.

Whether a row is searched (`real[row, ALIVE]`) belongs to its standing and not to its image: an
image taken back keeps it.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.curves import DEAD
from searcher.kernels.hops import write_rates
from searcher.kernels.memory import (
    ALIVE,
    CHANGED,
    CHANGES,
    EXACT,
    LIMBS,
    POSITIONED,
    RATE,
    REAL,
    REAL_COLUMNS,
    SAVED,
    SCOPE,
    SHAPE_COLUMNS,
    UNDO,
    UNDO_ROOM,
    UNDO_USED,
    integers,
    rate,
    real,
    set_slot,
    shape,
    slot,
    stamps,
    words_at,
)
from searcher.kernels.positions import shift_position
from searcher.kernels.u256 import Word, load, negate, store

IMAGE: Final = 1
POSITION: Final = 2
MOVED: Final = 3

_EXACT_WORDS: Final = 2 * LIMBS
_RATES: Final = 2
IMAGE_WORDS: Final = 1 + _EXACT_WORDS + SHAPE_COLUMNS + REAL_COLUMNS + _RATES + 1
POSITION_WORDS: Final = 3 + LIMBS + 1
MOVED_WORDS: Final = 6 + 1
MOST_WORDS: Final = IMAGE_WORDS + POSITION_WORDS
"""What the undo of one log takes at most."""


@kernel("void(i8, i8)")
def note_change(table: int, row: int) -> None:
    """Give a row's change its number."""
    number = slot(table, CHANGES) + 1
    set_slot(table, CHANGES, number)
    stamps(table)[row, CHANGED] = number


@kernel("b1(i8, i8)")
def save(table: int, row: int) -> bool:
    """Save a row's image before it changes, once a scope; return whether it was the first time."""
    note_change(table, row)
    seen = stamps(table)
    if seen[row, SAVED] == slot(table, SCOPE):
        return False
    seen[row, SAVED] = slot(table, SCOPE)
    used = slot(table, UNDO_USED)
    record = integers(slot(table, UNDO) + 8 * used, IMAGE_WORDS)
    held = integers(slot(table, EXACT) + 8 * _EXACT_WORDS * row, _EXACT_WORDS)
    about = shape(table)
    image = integers(slot(table, REAL) + 8 * REAL_COLUMNS * row, REAL_COLUMNS)
    rates = integers(slot(table, RATE) + 8 * _RATES * row, _RATES)
    record[0] = row
    at = 1
    for k in range(_EXACT_WORDS):
        record[at + k] = held[k]
    at += _EXACT_WORDS
    for k in range(SHAPE_COLUMNS):
        record[at + k] = about[row, k]
    at += SHAPE_COLUMNS
    for k in range(REAL_COLUMNS):
        record[at + k] = image[k]
    at += REAL_COLUMNS
    for k in range(_RATES):
        record[at + k] = rates[k]
    record[IMAGE_WORDS - 1] = IMAGE
    set_slot(table, UNDO_USED, used + IMAGE_WORDS)
    return True


@kernel("void(i8, i8, i8, i8, U256)")
def save_position(table: int, row: int, lower: int, upper: int, amount: Word) -> None:
    """Record a position that is about to be shifted; the row's image is saved already."""
    used = slot(table, UNDO_USED)
    record = integers(slot(table, UNDO) + 8 * used, POSITION_WORDS)
    record[0], record[1], record[2] = row, lower, upper
    store(words_at(slot(table, UNDO) + 8 * (used + 3), 1), 0, amount)
    record[POSITION_WORDS - 1] = POSITION
    set_slot(table, UNDO_USED, used + POSITION_WORDS)
    stamps(table)[row, POSITIONED] = slot(table, CHANGES)


@kernel("b1(i8, i8)")
def has_room(table: int, words: int) -> bool:
    """Return whether the stack takes so many words more."""
    return slot(table, UNDO_USED) + words <= slot(table, UNDO_ROOM)


@kernel("void(i8, i8)")
def _restore(table: int, at: int) -> None:
    """Write the image back whose record begins at a word of the stack."""
    record = integers(slot(table, UNDO) + 8 * at, IMAGE_WORDS)
    row = record[0]
    held = integers(slot(table, EXACT) + 8 * _EXACT_WORDS * row, _EXACT_WORDS)
    about = shape(table)
    image = integers(slot(table, REAL) + 8 * REAL_COLUMNS * row, REAL_COLUMNS)
    rates = integers(slot(table, RATE) + 8 * _RATES * row, _RATES)
    alive = real(table)[row, ALIVE]
    place = 1
    for k in range(_EXACT_WORDS):
        held[k] = record[place + k]
    place += _EXACT_WORDS
    for k in range(SHAPE_COLUMNS):
        about[row, k] = record[place + k]
    place += SHAPE_COLUMNS
    for k in range(REAL_COLUMNS):
        image[k] = record[place + k]
    place += REAL_COLUMNS
    for k in range(_RATES):
        rates[k] = record[place + k]
    was_alive = real(table)[row, ALIVE]
    real(table)[row, ALIVE] = alive
    if alive == 0.0:
        rate(table)[2 * row] = DEAD
        rate(table)[2 * row + 1] = DEAD
    elif was_alive != alive:
        write_rates(table, row)
    note_change(table, row)


@kernel("b1(i8, i8)")
def take_back(table: int, mark: int) -> bool:
    """Take records back until `mark` words are left, or a MOVED lies on top.

    Returns:
        Whether it is done; otherwise whoever moved the slot moves it back and calls again.
    """
    stack = integers(slot(table, UNDO), slot(table, UNDO_ROOM))
    while slot(table, UNDO_USED) > mark:
        used = slot(table, UNDO_USED)
        kind = stack[used - 1]
        if kind == MOVED:
            return False
        if kind == IMAGE:
            _restore(table, used - IMAGE_WORDS)
            set_slot(table, UNDO_USED, used - IMAGE_WORDS)
        else:
            at = used - POSITION_WORDS
            row = stack[at]
            amount = load(words_at(slot(table, UNDO) + 8 * (at + 3), 1), 0)
            shift_position(table, row, stack[at + 1], stack[at + 2], negate(amount))
            note_change(table, row)
            stamps(table)[row, POSITIONED] = slot(table, CHANGES)
            set_slot(table, UNDO_USED, at)
    return True
