"""The ledger's one writer: many callers, few commits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import structlog
from msgspec import Struct
from sqlalchemy import Table
from sqlalchemy.exc import IntegrityError

from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken
from searcher.ledger.schema import metadata
from searcher.ledger.store import Rows, Store

_MOST_WAITING: Final = 4_096
_MOST_ROWS_PER_COMMIT: Final = 512

_log = structlog.get_logger(__name__)


class WriterStatistics(Struct, frozen=True):
    """Rows and commits so far, rows refused, rows waiting, and flushes to the disk."""

    rows: int
    commits: int
    refused: int
    waiting: int
    flushes: int


class _Row(Struct):
    table: Table
    values: dict[str, Any]
    written: asyncio.Future[None]


class Writer:
    """Commits rows in the order they come, all that wait in one transaction.

    When the queue is full, a caller waits for its place: nothing is dropped. A row that the
    database refuses fails alone, its neighbours are committed.

    Args:
        store: commits the rows and flushes them.
        clock: paces the flushes.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[_Row] = asyncio.Queue(_MOST_WAITING)
        self._dirty = asyncio.Event()
        self._disk_fault: OSError | None = None
        self._rows = self._commits = self._refused = self._flushes = 0
        self._tasks = [
            asyncio.create_task(self._write_forever(), name="ledger-writer"),
            asyncio.create_task(self._flush_forever(), name="ledger-flusher"),
        ]

    async def write(self, table: Table, values: dict[str, Any]) -> None:
        """Return when the row is committed. A cancelled caller's row is committed all the same.

        Raises:
            InvariantBroken: it cannot be written; nothing may be sent on the strength of it.
        """
        if self._disk_fault is not None:
            raise InvariantBroken(
                f"the disk of {self._store.name} refused a flush: {self._disk_fault}; nothing is "
                "sent before it is repaired and the daemon started again"
            )
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Row(table, values, written))
        await written

    async def close(self) -> None:
        """Commit what waits, flush it, and stop."""
        await self._queue.join()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._dirty.is_set():
            await self._flush()

    def statistics(self) -> WriterStatistics:
        """Return the counts so far."""
        return WriterStatistics(
            self._rows, self._commits, self._refused, self._queue.qsize(), self._flushes
        )

    async def _write_forever(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < _MOST_ROWS_PER_COMMIT:
                batch.append(self._queue.get_nowait())
            # A commit that has begun is finished, whoever cancels.
            await asyncio.shield(self._commit(batch))

    async def _commit(self, batch: list[_Row]) -> None:
        try:
            await self._store.commit(_by_table(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            if len(batch) > 1:
                for row in batch:
                    await self._commit([row])
                return
            self._refused += 1
            _settle(batch[0], _refusal(batch[0], error, self._store.name))
        else:
            self._rows += len(batch)
            self._commits += 1
            self._dirty.set()
            for row in batch:
                _settle(row, None)
        for _ in batch:
            self._queue.task_done()

    async def _flush_forever(self) -> None:
        while True:
            await self._dirty.wait()
            # Half the promised time for gathering commits, half for the disk.
            await self._clock.sleep(self._store.flush_ms / 2_000)
            await self._flush()

    async def _flush(self) -> None:
        self._dirty.clear()
        try:
            await self._store.flush()
        except OSError as error:
            self._disk_fault = error
            _log.critical("ledger_flush_failed", store=self._store.name, error=str(error))
        else:
            self._flushes += 1


def _by_table(batch: list[_Row]) -> Rows:
    grouped = (
        (table, [row.values for row in batch if row.table is table])
        for table in metadata.sorted_tables
    )
    return [(table, values) for table, values in grouped if values]


def _settle(row: _Row, error: InvariantBroken | None) -> None:
    if row.written.done():  # its caller was cancelled
        return
    if error is None:
        row.written.set_result(None)
    else:
        row.written.set_exception(error)


def _refusal(row: _Row, error: Exception, name: str) -> InvariantBroken:
    of = row.values.get("opportunity_id", "a run")
    cause = getattr(error, "orig", error)
    if isinstance(error, IntegrityError):
        return InvariantBroken(
            f"{of} is already in the table {row.table.name} of {name}: {cause}; two pipelines "
            "must not use one opportunity id"
        )
    return InvariantBroken(
        f"the ledger {name} cannot be written: {cause}; nothing is sent until it can: free disk "
        "space or repair it, then start again"
    )
