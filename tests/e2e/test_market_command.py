"""`searcher market` against a laboratory chain: from the node, into a snapshot, and from that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import say
from tests.e2e.station import Household, Station

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(240)]


async def test_a_market_is_read_kept_and_looked_at(
    station: Station, household: Household, tmp_path: Path
):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    config = ("--config", str(household.folder))

    none = await say("market", "status", *config, **state)
    assert none.status == 4
    assert "`searcher market snapshot --live`" in none.sentence

    live = await say("market", "status", "--live", "--json", *config, **state)
    assert live.status == 0, live.err
    status = json.loads(live.out)
    assert status["searched"] > 0
    assert status["tokens_proven"] > 0
    assert 0 < status["block"]["number"] <= await station.head()
    assert {each["dex"] for each in status["dexes"]} <= set(station.manifest.dexes)
    assert status["tripwire"]["pools"] > 0
    assert status["tripwire"]["drifts"] == []

    out = tmp_path / "state" / "searcher" / "snapshots" / station.manifest.name / "mine.snapshot"
    made = await say("market", "snapshot", "--live", "--out", str(out), "--json", *config, **state)
    assert made.status == 0, made.err
    written = json.loads(made.out)
    assert (written["path"], written["written"]) == (str(out), True)

    kept = await say("market", "status", "--json", *config, **state)
    assert kept.status == 0, kept.err
    again = json.loads(kept.out)
    assert again["block"] == written["block"]
    assert again["snapshot"] == {"path": written["path"], "bytes": written["bytes"]}
    assert {k: again[k] for k in ("pools", "rows", "tokens")} == {
        k: status[k] for k in ("pools", "rows", "tokens")
    }

    around = await say("market", "paths", "WETH", "WETH", "--hops", "2", "--json", *config, **state)
    assert around.status == 0, around.err
    hop = json.loads(around.out)["paths"][0]["hops"][0]
    held = await say("market", "pool", hop["pool"], "--state", *config, **state)
    file = tmp_path / "pool.json"
    file.write_text(held.out)
    quoted = await say(
        "quote", "--protocol", hop["protocol"], "--state", str(file), "--json",
        "--in", hop["token_in"]["address"], "--out", hop["token_out"]["address"],
        "--amount", hop["amount_in"],
    )  # fmt: skip
    assert quoted.status == 0, quoted.err
    assert json.loads(quoted.out)["quote"] == hop["amount_out"]
