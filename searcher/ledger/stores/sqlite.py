"""The ledger in one SQLite file."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event, insert, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from searcher.domain.errors import Misconfigured
from searcher.domain.settings import Settings, knob
from searcher.ledger.store import Rows, Store

_PRAGMAS: Final = (
    # The write-ahead log lets reports read while the daemon writes.
    "PRAGMA journal_mode = WAL",
    # A commit reaches the operating system and so survives the process; the disk gets it by
    # `flush`, which is one fsync for many commits instead of one for each.
    "PRAGMA synchronous = NORMAL",
    # A checkpoint waits for the disk, so it is made beside the writer, not by it: see `flush`.
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
)

_CHECKPOINT_BYTES: Final = 4 << 20
"""The size from which the write-ahead log is folded into the database."""


class SqliteStore(Store):
    """One file and its write-ahead log beside it; for one daemon and any number of readers.

    A commit survives the death of the process at once, and a loss of power after `flush_ms`. What
    a loss of power takes is the newest commits; the file stays whole, and the chain's nonces tell
    what was sent. A lock file keeps a second writer out. Commits run on one thread of their own,
    a whole transaction per visit, which takes a third of the time of a visit per statement.
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
        self._log_path = Path(f"{self._path}-wal")
        self._engine: AsyncEngine | None = None
        self._lock: int | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._connection: Connection | None = None  # used on that thread alone

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

    async def commit(self, rows: Rows) -> None:
        """Insert rows in one transaction, on the writer's thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, rows)

    async def flush(self) -> None:
        """Flush the write-ahead log to the disk, and fold it into the database when it is long."""
        await asyncio.to_thread(self._fsync)

    async def close(self) -> None:
        """Close the connections; the last one folds the log into the database."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _fsync(self) -> None:
        # SQLite's locks are on the database and the shared memory file; closing any descriptor of
        # those would take the process's locks away. The log has none.
        try:
            descriptor = os.open(self._log_path, os.O_RDONLY)
        except FileNotFoundError:
            return  # nothing was written, or all of it is in the database
        try:
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size >= _CHECKPOINT_BYTES:
            self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            with closing(sqlite3.connect(self._path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise OSError(f"checkpoint: {error}") from error

    def _insert(self, rows: Rows) -> None:
        if self._connection is None:
            engine = create_engine(f"sqlite:///{self._path}")
            event.listen(engine, "connect", _prepare)
            self._connection = engine.connect()
        with self._connection.begin():
            for table, values in rows:
                self._connection.execute(insert(table), values)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection.engine.dispose()
            self._connection = None

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
