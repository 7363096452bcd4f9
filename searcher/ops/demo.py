"""The demonstration: the daemon earns on two local chains, and an independent script proves it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.live import Live

from searcher.chains.rpc import RpcClient
from searcher.devnet.laboratory import Laboratory
from searcher.devnet.manifest import Manifest
from searcher.domain.clock import SystemClock
from searcher.domain.errors import InvariantBroken, NotReady
from searcher.domain.plan import OutcomeKind
from searcher.domain.units import Address
from searcher.executor.deployment import deploy
from searcher.ledger.reader import OpportunityRow
from searcher.opportunities.settings import CycleSettings
from searcher.ops.config.documents import packaged_folder
from searcher.ops.config.model import Config, load_config
from searcher.ops.daemon import Daemon, assemble
from searcher.ops.demo_report import ChainProgress, progress_table
from searcher.ops.local_chain import chain_toml, lend_keys, write_main
from searcher.ops.owner import OwnerSender
from searcher.submission.signer import LocalSigner

READY_TIMEOUT_S: Final = 60.0
REFRESH_S: Final = 0.5
VERIFIER: Final = Path(__file__).resolve().parents[2] / "scripts" / "verify_demo.py"
PROVED_FIGURES: Final = (
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


class DemoRequest(Struct, frozen=True):
    """What is shown: the market's seed, how many blocks, how fast, and where the results go."""

    seed: int = 1
    blocks: int = 36
    block_time_ms: int = 1_000
    folder: Path = Path("var/demo")
    chains: tuple[str, ...] = ("devnet-a", "devnet-b")


def prepare(folder: Path) -> None:
    """Remove what an earlier run left in `folder`, and nothing else.

    Raises:
        NotReady: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("laboratory", "config"):
            shutil.rmtree(folder / part, ignore_errors=True)
        for pattern in ("ledger.sqlite*", "run.json", "report.json", "summary.json", "daemon.log"):
            for leftover in folder.glob(pattern):
                leftover.unlink()
    except OSError as error:
        raise NotReady(
            f"{error.filename or folder} cannot be written ({error.strerror}): name another folder"
        ) from error


class ChainResult(Struct, frozen=True):
    """What one chain's pipeline did.

    `first_block` and `last_block` are the target blocks in which it could trade.
    """

    first_block: int
    last_block: int
    rows: list[OpportunityRow]
    frame_to_bundle_us: list[float]


class Demonstration:
    """One run of the demo.

    Args:
        request: what is shown.
        console: takes the progress; standard output is left to the result.
    """

    def __init__(self, request: DemoRequest, console: Console) -> None:
        self._request = request
        self._console = console
        self._clock = SystemClock()
        self._manifests: dict[str, Manifest] = {}
        self._executors: dict[str, Address] = {}
        self._results: dict[str, ChainResult] = {}
        self._searched: dict[str, Any] = {}

    async def run(self) -> dict[str, Any]:
        """Run the whole demonstration and return its summary.

        Raises:
            NotReady: something is missing on this machine.
            InvariantBroken: the ledger and the chains do not agree.
        """
        if not VERIFIER.is_file():
            raise NotReady(
                "the demo proves itself with scripts/verify_demo.py: run it in a checkout"
            )
        folder = self._request.folder
        self._say("Starting local chains with the protocols' own bytecode (first time: fetching)")
        async with Laboratory(
            self._request.chains,
            seed=self._request.seed,
            block_time_ms=self._request.block_time_ms,
            directory=folder / "laboratory",
        ) as laboratory:
            self._manifests = laboratory.manifests
            self._say("Deploying the executor contract")
            await asyncio.gather(*(self._deploy(each) for each in self._manifests.values()))
            self._write_config(folder / "config")
            await self._trade(folder / "config")
            self._say("Proving the result from the chains alone")
            report = await self._prove(folder)
        return self._summary(report)

    def _say(self, text: str) -> None:
        self._console.print(f"{text} …", highlight=False)

    # ---- setting up

    async def _deploy(self, manifest: Manifest) -> None:
        owner = LocalSigner(bytes.fromhex(manifest.accounts.owner.key.removeprefix("0x")))
        async with RpcClient(manifest.http_url) as rpc:
            self._executors[manifest.name] = await deploy(
                rpc,
                OwnerSender(rpc, owner, manifest.chain_id),
                owner=owner.address,
                wrapped_native=manifest.wrapped_native,
                operators=[account.address for account in manifest.accounts.operators],
                clock=self._clock,
            )

    def _write_config(self, folder: Path) -> None:
        """Write what a user would write, with the packaged strategies and limits as they are."""
        (folder / "chains").mkdir(parents=True)
        for part in ("strategies", "risk"):
            shutil.copytree(packaged_folder() / part, folder / part)
        for name, manifest in self._manifests.items():
            variables = lend_keys(name, manifest.accounts.operators)
            text = chain_toml(manifest, self._executors[name], variables)
            (folder / "chains" / f"{name}.toml").write_text(text)
        ledger = (self._request.folder / "ledger.sqlite").resolve()
        write_main(folder, mode="live", chains=list(self._manifests), ledger=ledger)

    # ---- trading

    async def _trade(self, config_folder: Path) -> None:
        loaded = load_config(str(config_folder))
        self._searched = _searched(loaded.config)
        async with await assemble(loaded, self._clock) as daemon:
            running = asyncio.create_task(daemon.run())
            try:
                spans = await self._set_spans(daemon, running)
                await self._show_until_done(daemon, running, spans)
                await running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            reader = daemon.ledger.reader
            for name, (first, last) in spans.items():
                rows = await reader.opportunities(name)
                times = await reader.frame_to_bundle_us(name)
                self._results[name] = ChainResult(first, last, rows, times)

    async def _set_spans(
        self, daemon: Daemon, running: asyncio.Task[None]
    ) -> dict[str, tuple[int, int]]:
        """Wait until every chain trades, and tell each where to end."""
        ready = asyncio.gather(*(p.ready.wait() for p in daemon.pipelines.values()))
        both: tuple[asyncio.Future[Any], ...] = (ready, running)
        done, _ = await asyncio.wait(
            both, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if running in done:
            running.result()
        if ready not in done:
            raise NotReady(f"the chains were not ready within {READY_TIMEOUT_S:g} s: try again")
        spans = {}
        for name, pipeline in daemon.pipelines.items():
            first = pipeline.statistics().first_target
            spans[name] = (first, first + self._request.blocks - 1)
            pipeline.stop_after(spans[name][1])
        return spans

    async def _show_until_done(
        self, daemon: Daemon, running: asyncio.Task[None], spans: dict[str, tuple[int, int]]
    ) -> None:
        reader = daemon.ledger.reader
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                await asyncio.wait([running], timeout=REFRESH_S)
                progress = [
                    ChainProgress(each, await reader.summary(each.chain), *spans[each.chain])
                    for each in daemon.statistics()
                ]
                live.update(progress_table(progress), refresh=True)
                if running.done():
                    return

    # ---- proving

    async def _prove(self, folder: Path) -> dict[str, Any]:
        """Have the independent script judge what the daemon claims.

        Raises:
            InvariantBroken: it does not agree.
        """
        run_file, report_file = folder / "run.json", folder / "report.json"
        chains = [await self._claims(manifest) for manifest in self._manifests.values()]
        account = {"seed": self._request.seed, "chains": chains}
        run_file.write_bytes(msgspec.json.format(msgspec.json.encode(account), indent=1))
        command = (str(VERIFIER), str(run_file), "--out", str(report_file), "--self-check", "20")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, said = await process.communicate()
        if process.returncode != 0:
            self._console.print(said.decode().strip(), style="red", highlight=False)
            raise InvariantBroken(
                f"the independent script does not confirm the result: compare {run_file} with "
                f"{report_file}"
            )
        report: dict[str, Any] = json.loads(report_file.read_bytes())
        return report

    async def _claims(self, manifest: Manifest) -> dict[str, Any]:
        """Return what the daemon claims of a chain, in the form that the script reads."""
        name, result = manifest.name, self._results[manifest.name]
        async with RpcClient(manifest.http_url) as rpc:
            bundles = await rpc.call("devnet_bundles")
        return {
            "name": name,
            "chain_id": manifest.chain_id,
            "http_url": manifest.anvil_url,
            "executor": self._executors[name],
            "operators": [account.address for account in manifest.accounts.operators],
            "wrapped_native": manifest.wrapped_native,
            "coinbase": manifest.coinbase,
            "first_block": result.first_block,
            "last_block": result.last_block,
            "dexes": msgspec.to_builtins(manifest.dexes),
            "tokens": msgspec.to_builtins(manifest.tokens),
            **self._searched,
            "relay_stats": bundles,
            "claims": [_claim(row) for row in result.rows],
        }

    def _summary(self, report: dict[str, Any]) -> dict[str, Any]:
        results = self._results
        everything = ChainResult(
            0,
            0,
            [row for result in results.values() for row in result.rows],
            [time for result in results.values() for time in result.frame_to_bundle_us],
        )
        return {
            "seed": self._request.seed,
            **_figures(report, everything),
            "chains": {
                name: _figures(report["chains"][name], result) for name, result in results.items()
            },
        }


def _searched(config: Config) -> dict[str, Any]:
    """Return which cycles the strategies look for: the brute force looks for the same ones."""
    every = [
        s.settings for s in config.strategies.values() if isinstance(s.settings, CycleSettings)
    ]
    tokens = {token for settings in every for token in settings.start_tokens}
    return {
        "start_tokens": sorted(tokens) or ["WETH"],
        "most_hops": max(settings.hops_most for settings in every),
    }


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


def _figures(report: dict[str, Any], result: ChainResult) -> dict[str, Any]:
    rows = result.rows
    landed = [r for r in rows if r.outcome is OutcomeKind.LANDED]
    lost = [r for r in rows if r.outcome in (OutcomeKind.NOT_LANDED, OutcomeKind.REJECTED)]
    return {
        "blocks": report["blocks"],
        "opportunities": len(rows),
        "bundles_sent": sum(bool(r.own_hash) for r in rows),
        "bundles_landed": len(landed),
        "lost": len(lost),
        "profit_wei": str(sum(r.profit_wei for r in landed)),
        **{key: report[key] for key in PROVED_FIGURES},
        "frame_to_bundle_us": quantiles(result.frame_to_bundle_us),
    }


def quantiles(samples: Sequence[float]) -> dict[str, float | int | None]:
    """Return median, 99th percentile (nearest rank) and count."""
    ordered = sorted(samples)
    if not ordered:
        return {"p50": None, "p99": None, "n": 0}

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {"p50": rank(0.50), "p99": rank(0.99), "n": len(ordered)}
