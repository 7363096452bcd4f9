"""From a frame to the bytes of a bundle: the daemon on one laboratory chain, stage by stage.

First the parts that need no other process, hot and cold; then the daemon as it runs, with its
ledger as the clock: every stage writes when it was reached.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from searcher.devnet.laboratory import Laboratory
from searcher.domain.clock import SystemClock
from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockContext
from searcher.domain.plan import Opportunity, Plan
from searcher.executor.encoder import encode, with_bid
from searcher.ledger.reader import StageTimes
from searcher.market.market import MarketDelta
from searcher.ops.config.model import load_config
from searcher.ops.daemon import assemble
from searcher.ops.logging import LogSettings, configure
from searcher.ops.pipeline import ChainPipeline
from searcher.submission.signer import LocalSigner
from searcher.submission.transactions import DynamicFeeTransaction
from tests.bench.figures import Figure, timed
from tests.e2e.station import Household, Station, make_station

BLOCKS = 30
SEED = 1
HOT = 300
US = "us"

Stage = Callable[[StageTimes], int | None]

STAGES: dict[str, tuple[Stage, Stage, str]] = {
    "frame to found": (
        lambda t: t.received_ns,
        lambda t: t.found_ns,
        (
            "the block's logs or the user's execution by the node, the market's update, search, "
            "sizing, exact confirmation"
        ),
    ),
    "found to planned": (
        lambda t: t.found_ns,
        lambda t: t.planned_ns,
        "the wait for its turn on the loop, encoding",
    ),
    "planned to judged": (
        lambda t: t.planned_ns,
        lambda t: t.judged_ns,
        "the proof: eth_simulateV1 on the node, over HTTP, among all that it does at the time",
    ),
    "judged to decided": (lambda t: t.judged_ns, lambda t: t.decided_ns, "bid and risk"),
    "decided to bundle": (
        lambda t: t.decided_ns,
        lambda t: t.bundle_ready_ns,
        "the wait for the lanes of the new block, nonce, bid word, signature",
    ),
    "frame to bundle": (
        lambda t: t.received_ns,
        lambda t: t.bundle_ready_ns,
        (
            "all of the above; for a backrun from the frame that made it worth a look: the"
            " transaction's own, or that of the block that came while it waited"
        ),
    ),
    "bundle to answered": (
        lambda t: t.bundle_ready_ns,
        lambda t: t.answered_ns,
        "the intent written to the ledger, and the relay's answer over HTTP",
    ),
}
"""Between which two stages, and what happens there."""


def measure() -> list[Figure]:
    """Run everything once; about 45 s."""
    configure(LogSettings(level="error"))
    return uvloop.run(_measure())


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="searcher-bench-") as folder:
        async with Laboratory(["bench"], seed=SEED) as laboratory:
            station = await make_station(laboratory.manifests["bench"])
            parts = await _parts(station, station.household(Path(folder) / "parts", mode="observe"))
            return parts + await _stages(station, station.household(Path(folder) / "stages"))


# ---- the parts that need no other process


async def _parts(station: Station, household: Household) -> list[Figure]:
    async with await assemble(load_config(str(household.folder)), SystemClock()) as daemon:
        (pipeline,) = daemon.pipelines.values()
        delta, context, cold = await _stand_where_it_pays(pipeline)
        scanner, market = pipeline._scanner, pipeline._market
        (opportunity, *_) = scanner.on_block(delta, context, 0)
        row = market.row(opportunity.hops[0].pool)
        one = MarketDelta(delta.parent, (row,))
        size = f"{len(market.pools)} pools"
        strategy, book = next((s, b) for s, b in scanner._strategies if s.name == "arbitrage")
        evaluator = scanner._evaluator(strategy, book, context)
        candidate = book.search()[0]
        figures = [
            Figure.of(
                "scan, cold",
                cold,
                US,
                f"the first search of a new market of {size}: its cycles listed as well",
            ),
            Figure.of(
                "scan, hot",
                timed(lambda: scanner.on_block(one, context, 0), times=HOT),
                US,
                f"a whole block's search of {size}, with sizing and exact confirmation",
            ),
            Figure.of(
                "exact confirmation, hot",
                timed(lambda: evaluator.confirm(candidate), times=HOT),
                US,
                f"{len(candidate.edges)} swaps in integers",
            ),
        ]
        return figures + await _encoding_and_signing(station, opportunity, context)


async def _stand_where_it_pays(
    pipeline: ChainPipeline,
) -> tuple[MarketDelta, BlockContext, list[float]]:
    """Read the market block by block until there is something to find; returns the first search."""
    cold: list[float] = []
    for _ in range(BLOCKS):
        header = await pipeline._sources.blocks.latest()
        delta = await pipeline._stand_on(header)
        context = pipeline._require_context()
        begun = time.perf_counter_ns()
        found = pipeline._scanner.on_block(delta, context, 0)
        cold = cold or [(time.perf_counter_ns() - begun) / 1_000]
        if found:
            return delta, context, cold
        await asyncio.sleep(0.5)
    raise InvariantBroken(f"nothing to find in {BLOCKS} looks: choose another seed")


async def _encoding_and_signing(
    station: Station, opportunity: Opportunity, context: BlockContext
) -> list[Figure]:
    def plan() -> Plan:
        return encode(
            opportunity,
            executor=station.executor,
            wrapped_native=station.manifest.wrapped_native,
            last_block=context.number,
            least_profit_wei=opportunity.gross_wei,
            exact=True,
            at_ns=0,
        )

    encoding = timed(plan, times=HOT)
    planned = plan()
    key = station.manifest.accounts.operators[0].key
    signer = LocalSigner(bytes.fromhex(key.removeprefix("0x")))

    async def sign(bid_wei: int) -> Any:
        tx = DynamicFeeTransaction(
            chain_id=station.manifest.chain_id,
            nonce=1,
            max_priority_fee_wei=0,
            max_fee_wei=context.base_fee_wei,
            gas_limit=500_000,
            to=planned.executor,
            value_wei=0,
            data=with_bid(planned, bid_wei),
        )
        return tx.signed(await signer.sign_transaction_hash(tx.signing_hash()))

    signing = []
    for bid_wei in range(HOT):
        begun = time.perf_counter_ns()
        await sign(bid_wei)
        signing.append((time.perf_counter_ns() - begun) / 1_000)
    return [
        Figure.of("encode, cold", encoding[:1], US, "as hot, the first time in this process"),
        Figure.of("encode, hot", encoding[1:], US, "an opportunity to calldata"),
        Figure.of("sign, cold", signing[:1], US, "as hot, the first time in this process"),
        Figure.of(
            "sign, hot",
            signing[1:],
            US,
            "bid word, RLP, keccak, ECDSA and the bytes of a type-2 transaction",
        ),
    ]


# ---- the daemon as it runs


async def _stages(station: Station, household: Household) -> list[Figure]:
    async with household.daemon() as (daemon, running):
        (pipeline,) = daemon.pipelines.values()
        pipeline.stop_after(pipeline.statistics().first_target + BLOCKS - 1)
        await running
        reader = daemon.ledger.reader
        rows = await reader.opportunities(station.manifest.name)
        times = await reader.stage_times(station.manifest.name)
    strategy_of = {row.opportunity_id: row.strategy for row in rows}
    figures = []
    for strategy in sorted(set(strategy_of.values())):
        own = [t for t in times if strategy_of[t.opportunity_id] == strategy]
        figures += [
            Figure.of(f"{strategy}: {name}", _spans(own, begin, end), US, includes)
            for name, (begin, end, includes) in STAGES.items()
        ]
    return figures


def _spans(
    times: Sequence[StageTimes],
    begin: Stage,
    end: Stage,
) -> list[float]:
    pairs = ((begin(each), end(each)) for each in times)
    return [(b - a) / 1_000 for a, b in pairs if a is not None and b is not None]
