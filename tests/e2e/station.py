"""A laboratory chain with our executor on it, and the daemon beside it, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from searcher.chains.rpc import RpcClient
from searcher.devnet.manifest import Manifest
from searcher.domain.clock import SystemClock
from searcher.domain.units import Address
from searcher.executor.deployment import deploy
from searcher.ops.config.documents import packaged_folder
from searcher.ops.config.model import load_config
from searcher.ops.daemon import Daemon, assemble
from searcher.ops.local_chain import chain_toml, lend_keys, write_main
from searcher.ops.owner import OwnerSender
from searcher.submission.signer import LocalSigner

ROOT = Path(__file__).parents[2]
PROGRAM = "from searcher.ops.cli import main; main()"
BALANCE_OF = "0x70a08231"

Row = dict[str, Any]


def environment(**variables: str) -> dict[str, str]:
    """The variables of a child process that runs this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


async def until(
    holds: Callable[[], Awaitable[Any] | Any], *, within_s: float = 45.0, what: str = ""
) -> Any:
    """Wait for a condition and return its (true) value; the deadline is there for a hung run."""
    deadline = time.monotonic() + within_s
    while True:
        value = holds()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or holds}"
        await asyncio.sleep(0.02)


class LedgerFile:
    """The ledger as a stranger sees it: the file, through SQLite alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str, *values: Any) -> list[Row]:
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as opened:
            opened.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in opened.execute(query, values)]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # the daemon is about to create them
                    return []
                raise

    def count(self, table: str) -> int:
        return sum(row["n"] for row in self.rows(f"select count(*) n from {table}"))

    def intents(self) -> list[Row]:
        """Every bundle that may have left, with the newest outcome of it, if there is one."""
        return self.rows(
            """select b.run_id, b.opportunity_id, b.own_hash, b.target_block, b.sender, b.nonce,
                      o.kind, o.reason, o.profit_wei, o.final
               from bundles b left join outcomes o on o.seq = (
                   select max(seq) from outcomes x
                   where x.run_id = b.run_id and x.opportunity_id = b.opportunity_id)
               order by b.seq"""
        )

    def unrecorded(self) -> list[Row]:
        return [row for row in self.intents() if row["kind"] is None]

    def open(self) -> list[Row]:
        """The bundles whose fate is not known yet.

        One that missed its block is settled, though it is final only when its nonce is used up.
        """
        return [row for row in self.intents() if row["kind"] in (None, "unresolved")]

    def profit_wei(self) -> int:
        return sum(int(row["profit_wei"]) for row in self.intents() if row["kind"] == "landed")

    def last(self, table: str) -> int:
        (row,) = self.rows(f"select coalesce(max(seq), 0) seq from {table}")
        return row["seq"]


@dataclass
class Household:
    """One configuration folder with its ledger."""

    folder: Path
    ledger: LedgerFile
    variables: dict[str, str] = field(default_factory=dict)

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    async def start(self, *arguments: str, live: bool = True) -> asyncio.subprocess.Process:
        """Start `searcher run` on it."""
        command = ["run", "--config", str(self.folder), *(["--live"] if live else []), *arguments]
        state = self.folder.parent / "state"
        with (self.folder.parent / "daemon.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROGRAM,
                *command,
                cwd=ROOT,
                env=environment(XDG_STATE_HOME=str(state), **self.variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def until_sent(
        self, daemon: asyncio.subprocess.Process, run: int, *, at_least: int = 1
    ) -> None:
        """Wait until a run has given so many bundles to the relay."""

        def sent() -> bool:
            query = "select count(*) n from submissions where run_id = ?"
            return sum(row["n"] for row in self.ledger.rows(query, run)) >= at_least

        await until(lambda: daemon.returncode is not None or sent(), what="bundles are sent")
        assert daemon.returncode is None, self.said()

    def said(self) -> str:
        return (self.folder.parent / "daemon.log").read_text()

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[tuple[Daemon, asyncio.Task[None]]]:
        """Run the daemon inside the test, ready; what ended it is raised at the end."""
        async with await assemble(load_config(str(self.folder)), SystemClock()) as daemon:
            running = asyncio.create_task(daemon.run())
            try:
                pipelines = daemon.pipelines.values()
                await until(
                    lambda: running.done() or all(p.ready.is_set() for p in pipelines),
                    what="the daemon is ready",
                )
                if running.done():
                    running.result()
                yield daemon, running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            if not running.cancelled():
                running.result()

    async def settle(self) -> None:
        """Run until everything that was ever sent is final."""
        async with self.daemon() as (daemon, running):
            for pipeline in daemon.pipelines.values():
                pipeline.stop_after(pipeline.statistics().head + 1)
            async with asyncio.timeout(45):
                await running


@dataclass
class Station:
    """A laboratory chain, our executor on it, and the variables that hold the operators' keys."""

    manifest: Manifest
    executor: Address
    variables: list[str]

    def household(
        self, folder: Path, *, mode: str = "live", urls: Mapping[str, str] | None = None
    ) -> Household:
        """Write a configuration of this chain, as an operator would have it.

        `urls` replaces addresses of the manifest: http_url, ws_url or relay_url.
        """
        config = folder / "config"
        (config / "chains").mkdir(parents=True)
        for part in ("strategies", "risk"):
            shutil.copytree(packaged_folder() / part, config / part)
        manifest = self.manifest
        text = chain_toml(manifest, self.executor, self.variables)
        for name, url in (urls or {}).items():
            text = text.replace(f'"{getattr(manifest, name)}"', f'"{url}"')
        (config / "chains" / f"{manifest.name}.toml").write_text(text)
        ledger = folder / "ledger.sqlite"
        write_main(config, mode=mode, chains=[manifest.name], ledger=ledger)
        return Household(config, LedgerFile(ledger))

    @asynccontextmanager
    async def node(self) -> AsyncIterator[RpcClient]:
        """The builder, which also answers as a node."""
        async with RpcClient(self.manifest.http_url) as rpc:
            yield rpc

    async def head(self) -> int:
        async with self.node() as rpc:
            return int(await rpc.call("eth_blockNumber"), 16)

    async def happened(self, fault: str) -> int:
        async with self.node() as rpc:
            return (await rpc.call("devnet_stats"))["faults"].get(fault, 0)

    async def operators_transactions(self, first: int, last: int) -> set[str]:
        """Hashes of what the operators have on the chain in these blocks."""
        operators = {account.address for account in self.manifest.accounts.operators}
        async with RpcClient(self.manifest.anvil_url) as rpc:
            calls = [("eth_getBlockByNumber", [hex(n), True]) for n in range(first, last + 1)]
            blocks = await rpc.batch(calls)
        return {
            tx["hash"]
            for block in blocks
            for tx in block["transactions"]
            if tx["from"].lower() in operators
        }

    async def wealth_wei(self, block: int) -> int:
        """What executor and operators hold, wrapped or not, after a block."""
        operators = [account.address for account in self.manifest.accounts.operators]
        at = hex(block)
        balance = {
            "to": self.manifest.wrapped_native,
            "data": BALANCE_OF + self.executor[2:].rjust(64, "0"),
        }
        async with RpcClient(self.manifest.anvil_url) as rpc:
            held = await rpc.batch(
                [
                    ("eth_call", [balance, at]),
                    *(("eth_getBalance", [who, at]) for who in (self.executor, *operators)),
                ]
            )
        return sum(int(amount, 16) for amount in held)


async def make_station(manifest: Manifest) -> Station:
    """Deploy the executor as its owner would, and lend the operators' keys to this process."""
    owner = LocalSigner(bytes.fromhex(manifest.accounts.owner.key.removeprefix("0x")))
    async with RpcClient(manifest.http_url) as rpc:
        executor = await deploy(
            rpc,
            OwnerSender(rpc, owner, manifest.chain_id),
            owner=owner.address,
            wrapped_native=manifest.wrapped_native,
            operators=[account.address for account in manifest.accounts.operators],
            clock=SystemClock(),
        )
    return Station(manifest, executor, lend_keys(manifest.name, manifest.accounts.operators))


async def ended(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[int, float]:
    """Send a signal; return the status that the process ended with, and after how many seconds."""
    begun = time.monotonic()
    process.send_signal(number)
    async with asyncio.timeout(30):
        status = await process.wait()
    return status, time.monotonic() - begun


def summary(path: Path) -> Any:
    return json.loads(path.read_bytes())
