import asyncio
import sqlite3
import sys

import msgspec
import pytest

from searcher.domain.codec import from_json
from searcher.domain.errors import InvariantBroken, Misconfigured
from searcher.domain.plan import Mode, Opportunity, OutcomeKind, SubmissionState
from searcher.ledger.ledger import open_reader


async def record_all(ledger, words, opportunity, *outcomes):
    await ledger.found(opportunity)
    await ledger.planned(words.plan(opportunity))
    await ledger.judged(words.verdict(opportunity))
    await ledger.decided(words.decision(opportunity))
    await ledger.intend(words.bundle(opportunity))
    await ledger.submitted(words.submission(opportunity))
    for outcome in outcomes:
        await ledger.ended(outcome)


async def test_a_whole_life_is_told_as_one_row(ledger, words):
    opportunity = words.opportunity(behind=(words.pending(),))
    outcome = words.outcome(opportunity, final=True)
    await record_all(ledger, words, opportunity, outcome)

    (row,) = await ledger.reader.opportunities()

    assert row.opportunity_id == opportunity.id
    assert (row.chain, row.strategy, row.target_block) == ("devnet", "arbitrage", 10)
    assert (row.verdict, row.decision) == ("proved", "approved")
    assert row.own_hash == words.bundle(opportunity).own_hash
    assert (row.gross_wei, row.bid_wei) == (10**16, 4 * 10**15)
    assert (row.outcome, row.final) == (OutcomeKind.LANDED, True)
    assert row.profit_wei == row.gross_wei - row.bid_wei - row.gas_cost_wei == outcome.profit_wei


async def test_records_keep_every_bit(ledger, words, path):
    opportunity = words.opportunity(behind=(words.pending(),), gross_wei=2**256 - 1)
    await ledger.found(opportunity)

    with sqlite3.connect(path) as raw:
        ((record, gross),) = raw.execute("SELECT record, gross_wei FROM opportunities")
    raw.close()

    assert from_json(Opportunity, record) == opportunity
    assert gross == str(2**256 - 1)


async def test_summary_adds_up_exactly(ledger, words):
    huge = 2**200
    cases = [
        ("landed", {"profit_wei": huge}),
        ("landed", {"profit_wei": huge + 1}),
        ("landed", {"profit_wei": -150_000 * 10**9, "reason": "reverted"}),
        ("not_landed", {"reason": "outbid: pool 0x1 was touched by transaction 0x2 in the block"}),
        ("not_landed", {"reason": "not included"}),
        ("rejected", {}),
        ("unresolved", {}),
        ("skipped", {}),
    ]
    for n, (kind, fields) in enumerate(cases):
        opportunity = words.opportunity(n)
        if kind == "skipped":
            await ledger.found(opportunity)
            await ledger.ended(words.outcome(opportunity, OutcomeKind.SKIPPED))
        else:
            outcome = words.outcome(opportunity, OutcomeKind(kind), **fields)
            await record_all(ledger, words, opportunity, outcome)

    found = await ledger.reader.summary("devnet")

    assert found.opportunities == 8
    assert found.bundles_sent == 7
    assert (found.landed, found.reverted, found.lost, found.outbid) == (2, 1, 3, 1)
    assert (found.rejected, found.open, found.skipped) == (1, 1, 1)
    assert found.profit_wei == 2 * huge + 1 - 150_000 * 10**9
    assert (found.gross_wei, found.bids_wei) == (2 * 10**16, 8 * 10**15)
    assert found.gas_wei == 3 * 150_000 * 10**9
    assert (await ledger.reader.summary("elsewhere")).opportunities == 0


async def test_the_newest_outcome_holds_and_the_older_are_kept(ledger, words, path):
    opportunity = words.opportunity()
    history = [
        words.outcome(opportunity),
        words.outcome(opportunity, OutcomeKind.UNRESOLVED, reason="reorg"),
        words.outcome(opportunity, OutcomeKind.NOT_LANDED),
    ]
    await record_all(ledger, words, opportunity, *history)

    summary = await ledger.reader.summary()

    assert (summary.landed, summary.lost, summary.profit_wei) == (0, 1, 0)
    with sqlite3.connect(path) as raw:
        kinds = [kind for (kind,) in raw.execute("SELECT kind FROM outcomes ORDER BY seq")]
    raw.close()
    assert kinds == ["landed", "unresolved", "not_landed"]


async def test_times_of_the_stages(ledger, words):
    await record_all(ledger, words, words.opportunity())
    await ledger.found(words.opportunity(1))

    whole, bare = await ledger.reader.stage_times()

    assert msgspec.structs.astuple(whole)[2:] == (1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000)
    assert msgspec.structs.astuple(bare)[2:] == (1_000, 2_000, None, None, None, None, None)
    assert await ledger.reader.frame_to_bundle_us() == [5.0]


async def test_runs_do_not_mix_their_ids(open_ledger, words):
    async with await open_ledger() as first:
        await record_all(first, words, words.opportunity(), words.outcome())
    async with await open_ledger() as second:
        await second.found(words.opportunity())

        assert second.run_id == first.run_id + 1
        assert (await second.reader.summary(run_id=second.run_id)).landed == 0
        assert (await second.reader.summary(run_id=first.run_id)).landed == 1
        assert (await second.reader.summary()).opportunities == 2


async def test_what_was_left_open_is_taken_over_under_its_own_run(open_ledger, words):
    final = words.opportunity(0)
    doubtful = words.opportunity(1, behind=(words.pending(),))
    silent = words.opportunity(2)
    async with await open_ledger() as first:
        await record_all(first, words, final, words.outcome(final, final=True))
        await record_all(first, words, doubtful, words.outcome(doubtful))
        await record_all(first, words, silent)
        await first.submitted(
            words.submission(silent, relay="relay-b", state=SubmissionState.UNRESOLVED)
        )
    async with await open_ledger() as second:
        left = await second.open_bundles("devnet")

        assert [o.bundle for o in left] == [words.bundle(doubtful), words.bundle(silent)]
        assert [o.plan for o in left] == [words.plan(doubtful), words.plan(silent)]
        assert [o.outcome for o in left] == [words.outcome(doubtful), None]
        assert [len(o.submissions) for o in left] == [1, 2]
        await left[1].journal.ended(words.outcome(silent, OutcomeKind.NOT_LANDED, final=True))
        assert len(await second.open_bundles("devnet")) == 1
        assert (await second.reader.summary(run_id=second.run_id)).lost == 0
        assert await second.open_bundles("elsewhere") == []


async def test_spent_gas_is_found_again_for_the_limits(ledger, words):
    await record_all(ledger, words, words.opportunity(0), words.outcome(words.opportunity(0)))
    await record_all(ledger, words, words.opportunity(1))

    (spent,) = await ledger.reader.spent_since(0, "devnet")

    assert spent.gas_cost_wei == 150_000 * 10**9
    assert await ledger.reader.spent_since(spent.wall_ns, "devnet") == []


async def test_concurrent_rows_share_commits(ledger, words):
    await asyncio.gather(*(ledger.found(words.opportunity(n)) for n in range(200)))

    counts = ledger.statistics()
    assert counts.rows == 200
    assert counts.commits < 20


async def test_a_refused_row_fails_alone(ledger, words):
    results = await asyncio.gather(
        *(ledger.found(words.opportunity(n)) for n in (0, 1, 1, 2)), return_exceptions=True
    )

    assert [type(r) for r in results] == [type(None), type(None), InvariantBroken, type(None)]
    assert "devnet-9-1 is already in the table opportunities" in str(results[2])
    assert (await ledger.reader.summary()).opportunities == 3
    assert ledger.statistics().refused == 1


async def test_a_cancelled_callers_row_is_written_all_the_same(open_ledger, words):
    async with await open_ledger() as ledger:
        task = asyncio.create_task(ledger.found(words.opportunity()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with await open_ledger() as again:
        assert (await again.reader.summary()).opportunities == 1


async def test_what_is_committed_is_flushed_by_itself(ledger, words):
    await ledger.found(words.opportunity())

    async with asyncio.timeout(10):
        while ledger.statistics().flushes == 0:  # noqa: ASYNC110 - the disk gives no event
            await asyncio.sleep(0.001)


async def test_a_long_log_is_folded_into_the_database(open_ledger, words, path, monkeypatch):
    async with await open_ledger() as ledger:
        monkeypatch.setattr(sys.modules[type(ledger._store).__module__], "_CHECKPOINT_BYTES", 1)
        await asyncio.gather(*(ledger.found(words.opportunity(n)) for n in range(200)))
        before = path.stat().st_size
        await ledger._store.flush()

        assert path.stat().st_size > before + 100_000
        await ledger.found(words.opportunity(200))
        assert (await ledger.reader.summary()).opportunities == 201


async def test_every_fault_of_the_database_reaches_the_caller(ledger, words, monkeypatch):
    async def fail(_):
        raise RuntimeError("the thread is gone")

    monkeypatch.setattr(ledger._store, "commit", fail)
    with pytest.raises(InvariantBroken, match="the thread is gone; nothing is sent"):
        await ledger.found(words.opportunity())


async def test_a_disk_that_refuses_a_flush_stops_the_writing(ledger, words, monkeypatch):
    async def refuse():
        raise OSError("input/output error")

    monkeypatch.setattr(ledger._store, "flush", refuse)

    async def write_until_refused():
        for n in range(1_000_000):
            await ledger.found(words.opportunity(n))

    with pytest.raises(InvariantBroken, match="input/output error"):
        await asyncio.wait_for(write_until_refused(), 10)


async def test_a_ledger_never_mixes_modes(open_ledger):
    async with await open_ledger(Mode.SIMULATE):
        pass

    with pytest.raises(Misconfigured, match="mode 'simulate' and this run is 'live'"):
        await open_ledger(Mode.LIVE)


@pytest.mark.usefixtures("ledger")
async def test_a_second_writer_is_kept_out(open_ledger):
    with pytest.raises(Misconfigured, match="another process writes"):
        await open_ledger()


async def test_a_newer_schema_is_refused(open_ledger, path):
    async with await open_ledger():
        pass
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    raw.close()

    with pytest.raises(Misconfigured, match="has schema 2"):
        await open_ledger()


async def test_what_is_no_ledger_is_refused_and_left_alone(open_ledger, path):
    path.write_text("these are my notes, not a database at all\n" * 100)
    with pytest.raises(Misconfigured, match="cannot be opened as a ledger"):
        await open_ledger()
    assert path.read_text().startswith("these are my notes")


async def test_a_foreign_database_is_refused(open_ledger, path):
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE mine (x)")
    raw.close()

    with pytest.raises(Misconfigured, match="not a ledger"):
        await open_ledger()


async def test_a_folder_that_cannot_be_made_is_told(open_ledger, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(Misconfigured, match="cannot be written"):
        await open_ledger(where=tmp_path / "file" / "ledger.sqlite")


async def test_a_reader_works_beside_the_writer(ledger, words, store_at, path):
    await ledger.found(words.opportunity())
    store = store_at(path)
    reader = await open_reader(store)

    assert (await reader.summary()).opportunities == 1
    await ledger.found(words.opportunity(1))
    assert (await reader.summary()).opportunities == 2
    await store.close()


async def test_reading_a_ledger_that_is_not_there_creates_none(store_at, tmp_path):
    with pytest.raises(Misconfigured, match="there is no ledger"):
        await open_reader(store_at(tmp_path / "none.sqlite"))
    assert list(tmp_path.iterdir()) == []
