"""The ledger: every opportunity, decision, submission and outcome, written as it happens."""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec import Struct
from sqlalchemy import Table, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from searcher.domain.clock import Clock
from searcher.domain.codec import to_record
from searcher.domain.errors import Misconfigured
from searcher.domain.plan import (
    Decision,
    Mode,
    Opportunity,
    Outcome,
    Plan,
    SignedBundle,
    Submission,
    Verdict,
)
from searcher.ledger import schema
from searcher.ledger.reader import LedgerReader
from searcher.ledger.store import Store
from searcher.ledger.writer import Writer, WriterStatistics
from searcher.submission.inclusion import OpenBundle


class RunJournal:
    """The journal of one run. Each call returns when its row survives the process.

    Args:
        writer: commits the rows.
        run_id: what the rows are keyed by, with the opportunity's id.
        clock: gives the wall time of each row.
    """

    def __init__(self, writer: Writer, run_id: int, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self.run_id = run_id

    async def found(self, opportunity: Opportunity) -> None:
        """Record an opportunity."""
        record = to_record(opportunity)
        columns = ("chain", "strategy", "target_block", "gross_wei", "net_wei", "received_ns")
        values = {name: record[name] for name in columns}
        values["parent_number"] = opportunity.parent.number
        await self._write(schema.opportunities, opportunity.id, record, values)

    async def planned(self, plan: Plan) -> None:
        """Record the plan made of an opportunity, which has its own row."""
        record = to_record(plan)
        del record["opportunity"]
        await self._write(schema.plans, plan.opportunity.id, record, {})

    async def judged(self, verdict: Verdict) -> None:
        """Record the simulation's verdict."""
        await self._write_with(schema.verdicts, verdict, "succeeded", "realised_wei", "reason")

    async def decided(self, decision: Decision) -> None:
        """Record risk's decision."""
        await self._write_with(schema.decisions, decision, "approved", "reason")

    async def intend(self, bundle: SignedBundle) -> None:
        """Record what is about to be sent."""
        columns = ("own_hash", "sender", "nonce", "target_block", "bid_wei")
        await self._write_with(schema.bundles, bundle, *columns)

    async def submitted(self, submission: Submission) -> None:
        """Record a relay's answer."""
        columns = ("relay", "state", "reason", "latency_ns")
        await self._write_with(schema.submissions, submission, *columns)

    async def ended(self, outcome: Outcome) -> None:
        """Record an outcome; the newest of an opportunity is the one that holds."""
        record = to_record(outcome)
        values = {name: record[name] for name in ("kind", "reason", "profit_wei", "final")}
        values["gas_cost_wei"] = str(outcome.gas_used * outcome.effective_gas_price_wei)
        await self._write(schema.outcomes, outcome.opportunity_id, record, values)

    async def _write_with(self, table: Table, value: Struct, *columns: str) -> None:
        record = to_record(value)
        values = {name: record[name] for name in columns}
        await self._write(table, record["opportunity_id"], record, values)

    async def _write(
        self, table: Table, opportunity_id: str, record: dict[str, Any], values: dict[str, Any]
    ) -> None:
        values |= {
            "run_id": self.run_id,
            "opportunity_id": opportunity_id,
            "at_ns": record["at_ns"],
            "wall_ns": self._clock.wall_ns(),
            "record": msgspec.json.encode(record).decode(),
        }
        await self._writer.write(table, values)


class Ledger(RunJournal):
    """An open ledger, and the journal of the run that opened it.

    Made by `open`; `close` it, or use it as an asynchronous context manager.
    """

    def __init__(
        self, store: Store, reader: LedgerReader, writer: Writer, run_id: int, clock: Clock
    ) -> None:
        super().__init__(writer, run_id, clock)
        self.reader = reader
        self._store = store

    @classmethod
    async def open(
        cls, store: Store, *, mode: Mode, config_hash: str, version: str, clock: Clock
    ) -> Self:
        """Open the ledger in `store`, create it when it is new, and begin a run.

        Args:
            store: where it is kept.
            mode: what it records; a ledger has one mode for all its life.
            config_hash: of the configuration that the run uses.
            version: of the program.
            clock: gives the wall times.

        Raises:
            Misconfigured: it is of another mode, or was written by a newer version.
        """
        engine = await store.open(read_only=False)
        try:
            await _require_schema(engine, store.name, mode)
            run_id = await _begin_run(
                engine,
                {
                    "started_wall_ns": clock.wall_ns(),
                    "config_hash": config_hash,
                    "mode": mode.value,
                    "version": version,
                },
            )
        except BaseException:
            await store.close()
            raise
        writer = Writer(store, clock)
        return cls(store, LedgerReader(engine), writer, run_id, clock)

    async def open_bundles(self, chain: str) -> list[OpenBundle]:
        """Return what earlier runs sent on `chain` and no final outcome was recorded of."""
        return [
            OpenBundle(
                plan=left.plan,
                bundle=left.bundle,
                submissions=left.submissions,
                outcome=left.outcome,
                journal=RunJournal(self._writer, left.run_id, self._clock),
            )
            for left in await self.reader.not_final(chain)
        ]

    async def close(self) -> None:
        """Commit and flush what waits, and close the store."""
        await self._writer.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def statistics(self) -> WriterStatistics:
        """Return the writer's counts."""
        return self._writer.statistics()


async def open_reader(store: Store) -> LedgerReader:
    """Open the ledger in `store` for reading alone, beside a daemon that may be writing it.

    The caller closes the store.

    Raises:
        Misconfigured: it is not there, or no ledger that this version reads.
    """
    engine = await store.open(read_only=True)
    try:
        await _require_version(engine, store.name)
    except BaseException:
        await store.close()
        raise
    return LedgerReader(engine)


async def _require_schema(engine: AsyncEngine, name: str, mode: Mode) -> None:
    """Create the tables in an empty database, or hold an existing one to version and mode."""
    async with engine.begin() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        if not tables:
            await connection.run_sync(schema.metadata.create_all)
            facts = {"schema_version": str(schema.SCHEMA_VERSION), "mode": mode.value}
            rows = [{"key": key, "value": value} for key, value in facts.items()]
            await connection.execute(insert(schema.meta), rows)
    recorded = await _require_version(engine, name)
    if recorded["mode"] != mode.value:
        raise Misconfigured(
            f"the ledger {name} records mode {recorded['mode']!r} and this run is {mode.value!r}: "
            "give each mode a ledger of its own"
        )


async def _require_version(engine: AsyncEngine, name: str) -> dict[str, str]:
    try:
        async with engine.connect() as connection:
            rows = await connection.execute(select(schema.meta))
            recorded = {row.key: row.value for row in rows}
        version = int(recorded["schema_version"])
    except (SQLAlchemyError, KeyError, ValueError):
        raise Misconfigured(
            f"{name} is a database, but not a ledger: give the path of a ledger or of a new file"
        ) from None
    if version > schema.SCHEMA_VERSION:
        raise Misconfigured(
            f"the ledger {name} has schema {version} and this program knows "
            f"{schema.SCHEMA_VERSION}: install the newer version that wrote it"
        )
    return recorded


async def _begin_run(engine: AsyncEngine, values: dict[str, Any]) -> int:
    async with engine.begin() as connection:
        result = await connection.execute(insert(schema.runs), values)
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])
