"""Reads beside mining: Anvil answers from the block being mined when asked for its head by hash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

LONGEST_WAIT_S: Final = 0.5
"""A read that takes longer does not hold up the chain."""


class Turnstile:
    """Lets many read at once, and has the one who mines wait until nobody does.

    A node's answer for a block by its hash never changes, and a daemon may rely on it. Anvil holds
    one state, and a read that overlaps `evm_mine` sees the next block's under the old hash.
    """

    def __init__(self) -> None:
        self._reading = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read for as long as this is entered; waits while a block is mined."""
        while not self._open.is_set():
            await self._open.wait()
        self._reading += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._reading -= 1
            if not self._reading:
                self._empty.set()

    @contextlib.asynccontextmanager
    async def mining(self) -> AsyncIterator[None]:
        """Mine alone; waits for the reads that have begun."""
        self._open.clear()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT_S):
                    await self._empty.wait()
            yield
        finally:
            self._open.set()
