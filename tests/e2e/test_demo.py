"""`searcher demo`, whole but small, as a newcomer runs it."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from searcher.domain.errors import ExitStatus
from tests.e2e.command import say
from tests.e2e.station import until

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(400)]

CHAINS = ("devnet-a", "devnet-b")
FIELDS = {
    "blocks": int,
    "opportunities": int,
    "reachable": int,
    "bundles_sent": int,
    "bundles_landed": int,
    "lost": int,
    "profit_wei": str,
    "profit_onchain_wei": str,
    "frame_to_bundle_us": dict,
}
SUMMED = ("blocks", "opportunities", "reachable", "bundles_sent", "bundles_landed", "lost")


def marked(mark: str) -> list[int]:
    """Ids of the live processes that were started, at any depth, with `mark` in a variable."""
    found = []
    for variables in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in variables.read_bytes():
                found.append(int(variables.parent.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


async def demo(folder: Path, seed: int, blocks: int) -> dict[str, Any]:
    mark = uuid.uuid4().hex
    arguments = ("demo", "--seed", str(seed), "--blocks", str(blocks), "--folder", str(folder))
    running = asyncio.create_task(say(*arguments, within_s=300, SEARCHER_DEMO_MARK=mark))
    # The demo, two nodes, two builders, two order flows: what is to be gone has been there.
    await until(lambda: running.done() or len(marked(mark)) >= 7, within_s=120)
    said = await running
    assert said.status == ExitStatus.OK, said.err
    assert "Traceback" not in said.err
    assert marked(mark) == []
    summary = json.loads((folder / "summary.json").read_bytes())
    assert str(summary["profit_wei"]) in said.out
    return summary


def check(summary: dict[str, Any], seed: int, blocks: int) -> None:
    assert summary["seed"] == seed
    assert tuple(summary["chains"]) == CHAINS
    parts = [summary["chains"][name] for name in CHAINS]
    for figures in (summary, *parts):
        assert {name: type(figures[name]) for name in FIELDS} == FIELDS
        assert set(figures["frame_to_bundle_us"]) == {"p50", "p99", "n"}
        assert figures["frame_to_bundle_us"]["n"] == figures["bundles_sent"]
        assert figures["profit_wei"] == figures["profit_onchain_wei"]
        assert figures["bundles_sent"] == figures["bundles_landed"] + figures["lost"]
        assert figures["plans_equal"] == figures["plans_checked"] == figures["bundles_landed"]
    for name in SUMMED:
        assert summary[name] == sum(figures[name] for figures in parts)
    assert int(summary["profit_wei"]) == sum(int(figures["profit_wei"]) for figures in parts)
    assert [figures["blocks"] for figures in parts] == [blocks, blocks]


async def test_the_demo_earns_and_proves_it_and_can_be_run_again(tmp_path: Path):
    folder = tmp_path / "demo"
    first = await demo(folder, seed=3, blocks=6)
    check(first, 3, 6)
    assert first["bundles_landed"] > 0
    assert int(first["profit_wei"]) > 0
    check(await demo(folder, seed=4, blocks=2), 4, 2)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 5, 8, 13])
async def test_the_demo_in_full_size(tmp_path: Path, seed: int):
    summary = await demo(tmp_path / "demo", seed=seed, blocks=36)
    check(summary, seed, 36)
    assert summary["bundles_landed"] > 10
    assert summary["found_share"] >= 0.8
