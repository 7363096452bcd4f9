"""The ledger in one SQLite file."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from searcher.domain.errors import Misconfigured
from searcher.domain.settings import Settings, knob
from searcher.ledger.store import Store

_PRAGMAS: Final = (
    # The write-ahead log lets reports read while the daemon writes.
    "PRAGMA journal_mode = WAL",
    # A commit reaches the operating system and so survives the process; the disk gets it by
    # `flush`, which is one fsync for many commits instead of one for each.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
)


class SqliteStore(Store):
    """One file and its write-ahead log beside it; for one daemon and any number of readers.

    A commit survives the death of the process at once, and a loss of power after `flush_ms`. What
    a loss of power takes is the newest commits; the file stays whole, and the chain's nonces tell
    what was sent. A lock file keeps a second writer out.
    """

    class Config(Settings):
        """Where the file is."""

        path: Path = knob(why="the ledger's file; it is created when it is missing")
        flush_ms: int = knob(
            50, why="how much of the newest a loss of power may take", unit="ms", ge=1, le=1_000
        )

    def __init__(self, config: Config) -> None:
        self._path = config.path.expanduser()
        self.flush_ms = config.flush_ms
        self._engine: AsyncEngine | None = None
        self._lock: int | None = None

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    async def open(self, *, read_only: bool) -> AsyncEngine:
        """Open the file, and lock it against a second writer unless it is only read."""
        if read_only:
            if not self._path.exists():
                raise Misconfigured(f"there is no ledger at {self._path}: check the path")
            address = f"file:{quote(str(self._path))}?mode=ro&uri=true"
        else:
            self._take_lock()
            address = str(self._path)
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{address}")
        if not read_only:
            event.listen(self._engine.sync_engine, "connect", _prepare)
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT count(*) FROM sqlite_master"))
        except (DatabaseError, sqlite3.Error) as error:
            await self.close()
            raise Misconfigured(
                f"{self._path} cannot be opened as a ledger: {getattr(error, 'orig', error)}; "
                "give another path, or restore the file from a backup"
            ) from None
        return self._engine

    async def flush(self) -> None:
        """Flush the write-ahead log's file to the disk."""
        await asyncio.to_thread(self._fsync)

    async def close(self) -> None:
        """Close the connections; the last one folds the log into the file."""
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _fsync(self) -> None:
        # The log's file has no locks of its own (they are on the database and the shared memory
        # file), so opening and closing it here takes none away.
        for path in (self._path.with_name(self._path.name + "-wal"), self._path):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # folded into the database, which comes next
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return

    def _take_lock(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Misconfigured(
                f"the ledger {self._path} cannot be written: {error.strerror}; give a path in a "
                "folder of your own"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise Misconfigured(
                f"another process writes the ledger {self._path}: stop it, or give another path"
            ) from None


def _prepare(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


PLUGIN = SqliteStore
