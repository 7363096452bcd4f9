"""A bounded queue from one producer to one consumer that says what it does when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Overflow(StrEnum):
    """What gives way when an item meets a full channel.

    `DROP_OLDEST` loses the item that has waited longest. `KEEP_NEWEST` loses everything that waits
    and keeps the new item: for streams in which the newest item leads to all the others.
    """

    DROP_OLDEST = "drop_oldest"
    KEEP_NEWEST = "keep_newest"


class ChannelStatistics(Struct, frozen=True):
    """What a channel has carried: `put` = `taken` + `dropped` + `waiting`."""

    put: int
    taken: int
    dropped: int
    waiting: int


class Channel(Generic[T]):
    """Items in order of arrival, at most `capacity` of them; iterate to take them, without end."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._filled = asyncio.Event()
        self._put = self._taken = self._dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item, at the cost of waiting ones when the channel is full."""
        self._put += 1
        if len(self._items) >= self._capacity:
            if self._overflow is Overflow.DROP_OLDEST:
                self._items.popleft()
                self._dropped += 1
            else:
                self._dropped += len(self._items)
                self._items.clear()
        self._items.append(item)
        self._filled.set()

    async def get(self) -> T:
        """Take the oldest item, as soon as there is one."""
        await self.wait()
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Take the oldest item.

        Raises:
            IndexError: none is waiting.
        """
        item = self._items.popleft()
        self._taken += 1
        return item

    async def wait(self) -> None:
        """Return as soon as an item is waiting, without taking it."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            yield await self.get()

    def statistics(self) -> ChannelStatistics:
        """Return the counters so far."""
        return ChannelStatistics(self._put, self._taken, self._dropped, len(self._items))
