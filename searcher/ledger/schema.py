"""The tables of the ledger.

Every row carries `record`, the whole struct as the codec's JSON; the other columns are what queries
select by. Amounts of wei are TEXT in decimal and are added up in Python, never in SQL. Opportunity
ids repeat across runs, so everything is keyed by run and opportunity.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION: Final = 1

metadata: Final = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_wall_ns", BigInteger, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("version", Text, nullable=False),
)


def _stage(name: str, *columns: Column[str] | Column[int] | Column[bool]) -> Table:
    """Return the table of one stage: its rows in the order they were written."""
    return Table(
        name,
        metadata,
        Column("seq", Integer, primary_key=True),
        Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
        Column("opportunity_id", Text, nullable=False),
        *columns,
        Column("at_ns", BigInteger, nullable=False),
        Column("wall_ns", BigInteger, nullable=False),
        Column("record", Text, nullable=False),
        Index(f"{name}_by_opportunity", "run_id", "opportunity_id"),
    )


opportunities = _stage(
    "opportunities",
    Column("chain", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("parent_number", BigInteger, nullable=False),
    Column("target_block", BigInteger, nullable=False),
    Column("gross_wei", Text, nullable=False),
    Column("net_wei", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
)
opportunities.append_constraint(UniqueConstraint("run_id", "opportunity_id"))

plans = _stage("plans")

verdicts = _stage(
    "verdicts",
    Column("succeeded", Boolean, nullable=False),
    Column("realised_wei", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

decisions = _stage(
    "decisions",
    Column("approved", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
)

bundles = _stage(
    "bundles",
    Column("own_hash", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("target_block", BigInteger, nullable=False),
    Column("bid_wei", Text, nullable=False),
)
bundles.append_constraint(UniqueConstraint("run_id", "own_hash"))

submissions = _stage(
    "submissions",
    Column("relay", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("latency_ns", BigInteger, nullable=False),
)

outcomes = _stage(
    "outcomes",
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("gas_cost_wei", Text, nullable=False),
    Column("profit_wei", Text, nullable=False),
    Column("final", Boolean, nullable=False),
)
