"""The demonstration: the daemon earns on two local chains, and an independent script proves it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.table import Table

from searcher.chains.rpc import RpcClient
from searcher.devnet.laboratory import Laboratory
from searcher.devnet.manifest import Manifest
from searcher.domain.clock import Clock, SystemClock
from searcher.domain.errors import InvariantBroken, NotReady
from searcher.domain.plan import OutcomeKind
from searcher.domain.units import Address
from searcher.executor.deployment import deploy
from searcher.ledger.reader import LedgerSummary, OpportunityRow
from searcher.ops.config.documents import packaged_folder
from searcher.ops.config.loader import Loaded
from searcher.ops.config.model import Config, load_config
from searcher.ops.daemon import Daemon, assemble
from searcher.ops.demo_report import native
from searcher.ops.local_chain import chain_toml, lend_keys, write_main
from searcher.ops.owner import OwnerSender
from searcher.ops.pipeline import PipelineStatistics
from searcher.submission.signer import LocalSigner

_log = structlog.get_logger(__name__)

CHAINS: Final = ("devnet-a", "devnet-b")
READY_TIMEOUT_S: Final = 60.0
REFRESH_S: Final = 0.5
CHECKOUT: Final = Path(__file__).resolve().parents[2]


class DemoRequest(Struct, frozen=True):
    """What is shown: the market's seed, how many blocks, how fast, and where the results go."""

    seed: int = 1
    blocks: int = 36
    block_time_ms: int = 1_000
    folder: Path = Path("var/demo")
    chains: tuple[str, ...] = CHAINS


class ChainSpan(Struct, frozen=True):
    """The target blocks in which the daemon could trade."""

    first_block: int
    last_block: int


async def run_demo(request: DemoRequest, console: Console) -> dict[str, Any]:
    """Run the whole demonstration and return its summary.

    Raises:
        NotReady: something is missing on this machine.
        InvariantBroken: the ledger and the chain do not agree.
    """
    verifier = CHECKOUT / "scripts" / "verify_demo.py"
    if not verifier.is_file():
        raise NotReady("the demo proves itself with scripts/verify_demo.py: run it in a checkout")
    shutil.rmtree(request.folder, ignore_errors=True)
    config_folder = request.folder / "config"
    _copy_settings(config_folder)
    clock = SystemClock()
    console.print(f"Starting {len(request.chains)} local chains with the protocols' bytecode …")
    async with Laboratory(
        request.chains,
        seed=request.seed,
        block_time_ms=request.block_time_ms,
        directory=(request.folder / "laboratory").resolve(),
    ) as laboratory:
        manifests = laboratory.manifests
        console.print("Deploying the executor contract on each …")
        executors = await _deploy_all(manifests.values(), clock)
        for name, manifest in manifests.items():
            variables = lend_keys(name, manifest.accounts.operators)
            text = chain_toml(manifest, executors[name], variables)
            (config_folder / "chains" / f"{name}.toml").write_text(text)
        ledger = (request.folder / "ledger.sqlite").resolve()
        write_main(config_folder, mode="live", chains=list(manifests), ledger=ledger)
        loaded = load_config(str(config_folder))
        spans, rows, times = await _trade(request, loaded, manifests, clock, console)
        run = await _account(request, manifests, executors, loaded.config, spans, rows)
        run_file = request.folder / "run.json"
        run_file.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
        console.print("Proving the result from the chains alone …")
        report = await _verify(verifier, run_file, request.folder / "report.json", console)
    return _summary(request, report, rows, times)


def _copy_settings(folder: Path) -> None:
    """Take the packaged strategies and limits, as a user's first configuration would."""
    (folder / "chains").mkdir(parents=True)
    for part in ("strategies", "risk"):
        shutil.copytree(packaged_folder() / part, folder / part)


async def _deploy_all(manifests: Iterable[Manifest], clock: Clock) -> dict[str, Address]:
    chosen = list(manifests)
    found = await asyncio.gather(*(_deploy(manifest, clock) for manifest in chosen))
    return {manifest.name: executor for manifest, executor in zip(chosen, found, strict=True)}


async def _deploy(manifest: Manifest, clock: Clock) -> Address:
    owner = LocalSigner(bytes.fromhex(manifest.accounts.owner.key.removeprefix("0x")))
    async with RpcClient(manifest.http_url) as rpc:
        return await deploy(
            rpc,
            OwnerSender(rpc, owner, manifest.chain_id),
            owner=owner.address,
            wrapped_native=manifest.wrapped_native,
            operators=[account.address for account in manifest.accounts.operators],
            clock=clock,
        )


async def _trade(
    request: DemoRequest,
    loaded: Loaded[Config],
    manifests: dict[str, Manifest],
    clock: Clock,
    console: Console,
) -> tuple[dict[str, ChainSpan], dict[str, list[OpportunityRow]], dict[str, list[float]]]:
    """Let the daemon run; returns its span, the ledger's rows and its latencies, by chain."""
    async with await assemble(loaded, clock) as daemon:
        running = asyncio.create_task(daemon.run())
        try:
            spans = await _spans(daemon, running, request.blocks)
            await _watch(daemon, running, spans, console)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error
        reader = daemon.ledger.reader
        rows = {name: await reader.opportunities(name) for name in manifests}
        times = {name: await reader.frame_to_bundle_us(name) for name in manifests}
        return spans, rows, times


async def _spans(daemon: Daemon, running: asyncio.Task[None], blocks: int) -> dict[str, ChainSpan]:
    ready = asyncio.gather(*(p.ready.wait() for p in daemon.pipelines.values()))
    both: tuple[asyncio.Future[Any], ...] = (ready, running)
    done, _ = await asyncio.wait(both, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    if running in done:
        running.result()
    if ready not in done:
        raise NotReady(f"the chains were not ready within {READY_TIMEOUT_S:g} s: try again")
    spans = {}
    for name, pipeline in daemon.pipelines.items():
        first = pipeline.statistics().first_target
        spans[name] = ChainSpan(first, first + blocks - 1)
        pipeline.stop_after(spans[name].last_block)
    return spans


async def _watch(
    daemon: Daemon, running: asyncio.Task[None], spans: dict[str, ChainSpan], console: Console
) -> None:
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            done, _ = await asyncio.wait([running], timeout=REFRESH_S)
            reader = daemon.ledger.reader
            summaries = {name: await reader.summary(name) for name in spans}
            live.update(_table(daemon.statistics(), summaries, spans), refresh=True)
            if done:
                return


def _table(
    statistics: Sequence[PipelineStatistics],
    summaries: dict[str, LedgerSummary],
    spans: dict[str, ChainSpan],
) -> Table:
    table = Table(title="searcher, live on two local chains" if len(spans) > 1 else None)
    for column in ("chain", "block", "found", "simulated", "sent", "landed", "lost"):
        table.add_column(column, justify="left" if column == "chain" else "right")
    table.add_column("profit (ETH)", justify="right")
    for chain in statistics:
        summary, span = summaries[chain.chain], spans[chain.chain]
        done = min(
            max(chain.head - span.first_block + 1, 0), span.last_block - span.first_block + 1
        )
        table.add_row(
            chain.chain,
            f"{done}/{span.last_block - span.first_block + 1}",
            str(chain.found),
            str(chain.simulated),
            str(summary.bundles_sent),
            str(summary.landed),
            str(summary.lost),
            native(summary.profit_wei),
        )
    return table


async def _account(
    request: DemoRequest,
    manifests: dict[str, Manifest],
    executors: dict[str, Address],
    config: Config,
    spans: dict[str, ChainSpan],
    rows: dict[str, list[OpportunityRow]],
) -> dict[str, Any]:
    """Return what the daemon claims, in the form that the independent script reads."""
    chains = []
    for name, manifest in manifests.items():
        async with RpcClient(manifest.http_url) as rpc:
            bundles = await rpc.call("devnet_bundles")
            head = int(await rpc.call("eth_blockNumber"), 16)
        strategies = [plugged.settings.model_dump() for plugged in config.strategies.values()]
        start_tokens = {token for each in strategies for token in each["start_tokens"]}
        chains.append(
            {
                "name": name,
                "chain_id": manifest.chain_id,
                "http_url": manifest.anvil_url,
                "executor": executors[name],
                "operators": [account.address for account in manifest.accounts.operators],
                "wrapped_native": manifest.wrapped_native,
                "coinbase": manifest.coinbase,
                "first_block": spans[name].first_block,
                "last_block": min(spans[name].last_block, head),
                "dexes": msgspec.to_builtins(manifest.dexes),
                "tokens": msgspec.to_builtins(manifest.tokens),
                "start_tokens": sorted(start_tokens) or ["WETH"],
                "most_hops": max(each["hops_most"] for each in strategies),
                "relay_stats": bundles,
                "claims": [_claim(row) for row in rows[name]],
            }
        )
    return {"seed": request.seed, "chains": chains}


def _claim(row: OpportunityRow) -> dict[str, Any]:
    return {
        "id": row.opportunity_id,
        "target_block": row.target_block,
        "behind": list(row.behind),
        "gross_wei": str(row.gross_wei),
        "bid_wei": str(row.bid_wei),
        "own_tx": row.own_hash or None,
        "sent": bool(row.own_hash),
        "outcome": (row.outcome or OutcomeKind.UNRESOLVED).value,
        "reason": row.reason,
        "profit_wei": str(row.profit_wei),
    }


async def _verify(
    script: Path, run_file: Path, report_file: Path, console: Console
) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(run_file),
        "--out",
        str(report_file),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        console.print(said.decode(), style="bold red")
        raise InvariantBroken(
            f"the independent script does not confirm the result: see {report_file} and {run_file}"
        )
    report: dict[str, Any] = json.loads(report_file.read_bytes())
    return report


def _summary(
    request: DemoRequest,
    report: dict[str, Any],
    rows: dict[str, list[OpportunityRow]],
    times: dict[str, list[float]],
) -> dict[str, Any]:
    every_row = [row for some in rows.values() for row in some]
    every_time = [time for some in times.values() for time in some]
    return {
        "seed": request.seed,
        **_figures(report, every_row, every_time),
        "chains": {
            name: _figures(report["chains"][name], rows[name], times[name]) for name in rows
        },
    }


def _figures(
    report: dict[str, Any], rows: Sequence[OpportunityRow], times: Sequence[float]
) -> dict[str, Any]:
    landed = [r for r in rows if r.outcome is OutcomeKind.LANDED]
    lost = [r for r in rows if r.outcome in (OutcomeKind.NOT_LANDED, OutcomeKind.REJECTED)]
    proof = (
        "reachable",
        "reachable_wei",
        "found_wei",
        "found_share",
        "fates_wei",
        "plans_checked",
        "plans_equal",
        "profits_equal",
        "profit_onchain_wei",
    )
    return {
        "blocks": report["blocks"],
        "opportunities": len(rows),
        "bundles_sent": sum(bool(r.own_hash) for r in rows),
        "bundles_landed": len(landed),
        "lost": len(lost),
        "profit_wei": str(sum(r.profit_wei for r in landed)),
        **{key: report[key] for key in proof},
        "frame_to_bundle_us": quantiles(times),
    }


def quantiles(samples: Sequence[float]) -> dict[str, float | int | None]:
    """Return median, 99th percentile (nearest rank) and count."""
    ordered = sorted(samples)
    if not ordered:
        return {"p50": None, "p99": None, "n": 0}

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {"p50": rank(0.50), "p99": rank(0.99), "n": len(ordered)}
