"""The base of every store: an SQL database that the ledger writes to and reads from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from searcher.domain.settings import Settings

Rows = Sequence[tuple[Table, list[dict[str, Any]]]]
"""Rows to insert, by table, in the order of the tables."""


class Store(ABC):
    """Where a ledger is kept.

    A plug-in's constructor takes its `Config`. A commit must survive the death of the process;
    `flush` makes what is committed survive a loss of power.
    """

    Config: ClassVar[type[Settings]]

    flush_ms: int
    """Within how many milliseconds the ledger flushes what it committed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How messages call it: a path or an address without credentials."""

    @abstractmethod
    async def open(self, *, read_only: bool) -> AsyncEngine:
        """Return the engine for set-up and reading.

        Raises:
            Misconfigured: not there, no ledger, or written by another process.
        """

    @abstractmethod
    async def commit(self, rows: Rows) -> None:
        """Insert rows in one transaction, all or none, after `open` for writing.

        Raises:
            SQLAlchemyError: the database refused.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Return when everything committed so far is on the disk.

        Raises:
            OSError: the disk refused.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close every connection and let go of the database."""
