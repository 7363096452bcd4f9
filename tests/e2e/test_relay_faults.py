"""The relay fails in every way it knows; the daemon never takes a failure for an outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from searcher.devnet.faults import FaultKind
from tests.e2e.station import Household, Row, Station, until

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(240)]

RELAY_TIMEOUT_MS = 400
LATE_MS = 2 * RELAY_TIMEOUT_MS

OF_FAULTY_BUNDLES = """
    select s.seq, s.opportunity_id, s.state, s.reason,
           (select kind from outcomes o where o.opportunity_id = s.opportunity_id
            order by seq desc limit 1) kind,
           (select reason from outcomes o where o.opportunity_id = s.opportunity_id
            order by seq desc limit 1) why
    from submissions s where s.seq > ?
"""

SIGNS: dict[FaultKind, Callable[[Row], bool]] = {
    FaultKind.REFUSE: lambda row: (
        row["state"] == "rejected"
        and "refused" in row["reason"]
        and row["kind"] == "rejected"
        and "every relay refused" in row["why"]
    ),
    FaultKind.TIME_OUT: lambda row: (
        row["state"] == "unresolved"
        and "no answer within" in row["reason"]
        and row["kind"] == "not_landed"
    ),
    FaultKind.HTTP_5XX: lambda row: (
        row["state"] == "unresolved" and "503" in row["reason"] and row["kind"] == "not_landed"
    ),
    # The relay took it and was silent for too long: only the chain can tell what became of it.
    FaultKind.ANSWER_LATE: lambda row: (
        row["state"] == "unresolved"
        and "no answer within" in row["reason"]
        and row["kind"] == "landed"
    ),
    FaultKind.DROP: lambda row: row["state"] == "acknowledged" and row["kind"] == "not_landed",
    FaultKind.SEALED_BUT_NOT_LANDED: lambda row: (
        row["state"] == "acknowledged" and row["kind"] == "not_landed"
    ),
}
"""How each fault shows in the ledger, once the chain has settled what it left open."""


async def test_every_fault_of_the_relay_ends_in_an_outcome_and_the_profit_stays_exact(
    station: Station, household: Household
):
    chain = f"chains/{station.manifest.name}.toml"
    household.replace(
        chain, 'plugin = "flashbots"', f'plugin = "flashbots"\ntimeout_ms = {RELAY_TIMEOUT_MS}'
    )
    ledger = household.ledger
    first_block = await station.head()
    since: dict[FaultKind, int] = {}
    async with household.daemon() as (daemon, running), station.node() as node:
        (pipeline,) = daemon.pipelines.values()
        await until(lambda: ledger.count("submissions"), what="bundles are sent")
        for kind in FaultKind:
            since[kind] = ledger.last("submissions")
            # Not so and so many times: the rival's bundles meet the fault as well as ours.
            await node.call("devnet_setFault", [{"kind": kind, "delay_ms": LATE_MS}])
            await until(
                lambda kind=kind: (
                    running.done()
                    or any(map(SIGNS[kind], ledger.rows(OF_FAULTY_BUNDLES, since[kind])))
                ),
                what=f"{kind} is in the ledger",
            )
            assert not running.done()
            assert await station.happened(kind)
            await node.call("devnet_clearFaults", [kind])
        statistics = pipeline.statistics()
        assert statistics.state == "active"
        pipeline.stop_after(statistics.head + 2)
        await running
    assert ledger.open() == []
    last_block = await station.head()
    earned = await station.wealth_wei(last_block) - await station.wealth_wei(first_block)
    assert earned == ledger.profit_wei()
    mined = await station.operators_transactions(first_block + 1, last_block)
    assert mined == {row["own_hash"] for row in ledger.intents() if row["kind"] == "landed"}
