"""`searcher run` as a process: it ends as it is told, and a killed one is taken up again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from tests.e2e.station import Household, Station, ended

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(240)]

LONGEST_STOP_S = 5.0


async def test_a_signal_ends_it_within_five_seconds_and_the_next_run_settles_the_rest(
    station: Station, household: Household
):
    ledger = household.ledger
    first_block = await station.head()
    for run, (number, status) in enumerate(
        [(signal.SIGTERM, ExitStatus.TERMINATED), (signal.SIGINT, ExitStatus.INTERRUPTED)], 1
    ):
        daemon = await household.start()
        try:
            await household.until_sent(daemon, run)
            assert await ended(daemon, number) == (status, pytest.approx(0, abs=LONGEST_STOP_S))
        finally:
            if daemon.returncode is None:
                daemon.kill()
                await daemon.wait()
        assert ledger.unrecorded() == []
        assert "Traceback" not in household.said()
    await household.settle()
    assert ledger.open() == []
    assert {row["run_id"] for row in ledger.intents()} >= {1, 2}
    await _agrees(station, household, first_block)


async def test_a_killed_daemon_leaves_nothing_undeclared_and_is_taken_up_again(
    station: Station, household: Household
):
    ledger = household.ledger
    first_block = await station.head()
    daemon = await household.start()
    await household.until_sent(daemon, 1, at_least=3)
    status, _ = await ended(daemon, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert ledger.open()
    await household.settle()
    assert ledger.open() == []
    await _agrees(station, household, first_block)


async def test_a_stopped_daemon_begins_again_from_its_snapshot(
    station: Station, household: Household, tmp_path: Path
):
    household.replace(
        f"chains/{station.manifest.name}.toml",
        "every_minutes = 0\non_stop = false",
        f'folder = "{tmp_path / "snapshots"}"',
    )
    began = []
    for _ in range(2):
        async with household.daemon() as (daemon, running):
            (pipeline,) = daemon.pipelines.values()
            async with asyncio.timeout(60):
                await pipeline.ready.wait()
            pipeline.stop_after(pipeline.statistics().first_target + 1)
            await running
            began.append(pipeline._snapshots.statistics())
            assert pipeline._tripwire.statistics().blocks > 0
            assert pipeline._tripwire.statistics().drifts == {}
            assert pipeline.statistics().state == "stopped"
    first, second = began
    assert (first.restored, first.failed) == (0, {})
    assert second.restored == first.block > 0
    assert second.refused == {}


async def test_a_signal_ends_a_start_that_waits_for_a_silent_node(
    station: Station, household: Household
):
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        household.replace(
            f"chains/{station.manifest.name}.toml",
            f'"{station.manifest.http_url}"',
            f'"http://127.0.0.1:{port}"',
        )
        daemon = await household.start()
        async with asyncio.timeout(30):
            await connected.wait()
        status, seconds = await ended(daemon, signal.SIGTERM)
    assert (status, seconds) == (
        ExitStatus.TERMINATED,
        pytest.approx(0, abs=LONGEST_STOP_S),
    )
    assert household.ledger.intents() == []


async def _agrees(station: Station, household: Household, first_block: int) -> None:
    """Ledger and chain tell the same: no transaction of ours but the declared, and the profit."""
    last_block = await station.head()
    mined = await station.operators_transactions(first_block + 1, last_block)
    rows = household.ledger.intents()
    assert mined <= {row["own_hash"] for row in rows}
    assert mined == {row["own_hash"] for row in rows if row["kind"] == "landed"}
    earned = await station.wealth_wei(last_block) - await station.wealth_wei(first_block)
    assert earned == household.ledger.profit_wei()
