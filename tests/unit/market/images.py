"""Everything that a market's arrays hold, to the bit, as far as it can be looked at."""

from __future__ import annotations

from searcher.kernels import memory as layout


def bytes_of(memory):
    """Of every row what it holds, where its slot lies, and the arenas' free places."""
    rows = memory.rows
    held = [
        memory.exact[: 2 * rows].tobytes(),
        memory.shape[:rows].tobytes(),
        memory.real[:rows].tobytes(),
        memory.rate[: 2 * rows].tobytes(),
    ]
    for row in range(rows):
        if memory.shape[row, layout.KIND] != layout.PRODUCT:
            held += [array.tobytes() for array in memory.slot_image(row).arrays]
    slots = [
        (slots.used, sorted((room, free) for room, free in slots._free.items() if free))
        for slots in (memory.tick_slots, memory.piece_slots)
    ]
    return b"".join(held), repr(slots)
