"""The market's journal: what each of the last blocks changed, and how to take it back exactly.

What kernels change is taken back by the records of `kernels.undo`, what Python changes by a
function that was noted when it did; both in exactly the opposite order, the arenas' slots included,
so that a block taken back leaves every array as it was, to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from msgspec import Struct

from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockRef
from searcher.kernels import memory as layout
from searcher.kernels.undo import (
    IMAGE,
    IMAGE_WORDS,
    MOVED,
    MOVED_WORDS,
    POSITION,
    POSITION_WORDS,
    has_room,
    save,
    take_back,
)
from searcher.market.memory import MarketMemory, Taken

Step = Callable[[], None]
"""Takes one change of Python's back."""

_SIZES: Final = {IMAGE: IMAGE_WORDS, POSITION: POSITION_WORDS, MOVED: MOVED_WORDS}
_FULL: Final = "the undo of one block does not fit: rebuild the market from the node"


class _Block(Struct):
    """A block: what the head was before it, the undo words, and steps with their place in these."""

    before: BlockRef
    timestamp: int
    words: bytes
    steps: list[tuple[int, Step]]


class JournalStatistics(Struct, frozen=True):
    """How many blocks can be taken back, and the bytes of their records."""

    blocks: int
    undo_bytes: int


class Journal:
    """Undo of the last blocks, and of the overlays over them.

    Args:
        memory: the market's arrays.
        blocks: how many blocks can be taken back.
    """

    def __init__(self, memory: MarketMemory, blocks: int) -> None:
        self._memory = memory
        self._kept: deque[_Block] = deque(maxlen=blocks - 1)
        self._open: _Block | None = None
        self._steps: list[tuple[int, Step]] = []
        self._overlays = 0
        self._scope = 0
        self._enter()

    # ---- noting

    def begin(self, before: BlockRef, timestamp: int) -> None:
        """Begin a block on top of `before`, which had a timestamp; the last one is kept.

        Raises:
            InvariantBroken: an overlay lies over the market.
        """
        if self._overlays:
            raise InvariantBroken("a block was to be applied under an overlay: take it off first")
        if self._open is not None:
            self._open.words = self._memory.undo[: self._used].tobytes()
            self._kept.append(self._open)
        self._steps = []
        self._memory.set_number(layout.UNDO_USED, 0)
        self._open = _Block(before, timestamp, b"", self._steps)
        self._enter()

    def forget(self) -> None:
        """Forget all blocks: the state was read anew."""
        self._kept.clear()
        self._open = None
        self._steps = []
        self._memory.set_number(layout.UNDO_USED, 0)
        self._enter()

    @property
    def records(self) -> bool:
        """Whether there is a block or an overlay that can be taken back."""
        return self._open is not None or self._overlays > 0

    def note(self, step: Step) -> None:
        """Note how to take back what was just changed."""
        if self.records:
            self._steps.append((self._used, step))

    def save(self, row: int) -> bool:
        """Save a row's image before Python changes it; return whether it is the scope's first time.

        Raises:
            InvariantBroken: the undo stack is full.
        """
        if not has_room(self._memory.table, IMAGE_WORDS):
            raise InvariantBroken(_FULL)
        return save(self._memory.table, row)

    def make_room(self, row: int, size: int) -> None:
        """Have a row's slot hold at least `size` ticks, or pieces a side."""
        memory = self._memory
        if size <= memory.shape[row, layout.ROOM]:
            return
        if not has_room(memory.table, MOVED_WORDS):
            raise InvariantBroken(_FULL)
        old, room, taken = memory.move_slot(row, size)
        used = self._used
        memory.undo[used : used + MOVED_WORDS] = (row, old, room, *taken, MOVED)
        memory.set_number(layout.UNDO_USED, used + MOVED_WORDS)

    # ---- taking back

    def parents(self) -> list[BlockRef]:
        """Return the blocks that the market can be taken back to, oldest first."""
        blocks = [*self._kept, self._open] if self._open is not None else []
        return [block.before for block in blocks]

    def rows(self) -> set[int]:
        """Return the rows whose images the last block saved."""
        words, at, rows = self._memory.undo, self._used, set()
        while at > 0:
            at -= _SIZES[int(words[at - 1])]
            rows.add(int(words[at]))
        return rows

    def take_back_block(self) -> tuple[BlockRef, int]:
        """Take the last block back; return the head that is left, and its timestamp.

        Raises:
            InvariantBroken: no block is left, or an overlay lies over the market.
        """
        block = self._open
        if block is None or self._overlays:
            raise InvariantBroken("no block can be taken back: rebuild the market from the node")
        self._back_to(0, 0)
        self._open = self._kept.pop() if self._kept else None
        self._steps = self._open.steps if self._open is not None else []
        words = np.frombuffer(self._open.words if self._open is not None else b"", np.int64)
        self._memory.undo[: len(words)] = words
        self._memory.set_number(layout.UNDO_USED, len(words))
        self._enter()
        return block.before, block.timestamp

    @contextmanager
    def overlay(self) -> Iterator[None]:
        """Take back what happens inside."""
        used, steps, scope = self._used, len(self._steps), self._memory.number(layout.SCOPE)
        self._overlays += 1
        self._enter()
        try:
            yield
        finally:
            self._back_to(used, steps)
            self._overlays -= 1
            self._memory.set_number(layout.SCOPE, scope)

    def statistics(self) -> JournalStatistics:
        """Return how much is kept."""
        size = sum(len(block.words) for block in self._kept) + 8 * self._used
        return JournalStatistics(len(self.parents()), size)

    @property
    def _used(self) -> int:
        return self._memory.number(layout.UNDO_USED)

    def _enter(self) -> None:
        """Begin a scope: the next change of each row saves its image."""
        self._scope += 1
        self._memory.set_number(layout.SCOPE, self._scope)

    def _back_to(self, used: int, steps: int) -> None:
        while len(self._steps) > steps:
            mark, step = self._steps.pop()
            self._words_back_to(mark)
            step()
        self._words_back_to(used)

    def _words_back_to(self, mark: int) -> None:
        memory = self._memory
        while not take_back(memory.table, mark):
            begin = self._used - MOVED_WORDS
            row, old, room, first, taken, again, _ = memory.undo[
                begin : begin + MOVED_WORDS
            ].tolist()
            memory.move_slot_back(row, old, room, Taken(first, taken, again=bool(again)))
            memory.set_number(layout.UNDO_USED, begin)
