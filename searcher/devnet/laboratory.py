"""The laboratory as a whole: per chain an Anvil, the builder in front of it, and the order flow.

Every process it starts dies with it; nothing it did not start is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog

from searcher.chains.anvil import HOST, Anvil, claim_port, die_with_parent, end_process
from searcher.chains.rpc import RpcClient
from searcher.devnet.builder import BuilderSettings
from searcher.devnet.deployment.chain import deploy_chain
from searcher.devnet.manifest import Deployed, Manifest, save
from searcher.devnet.packages import fetch
from searcher.domain.errors import Misconfigured, NotReady
from searcher.domain.units import WEI_PER_GWEI, Address

_log: Final = structlog.get_logger(__name__)

COINBASE: Final = Address("0x000000000000000000000000000000000c01bba5")
FIRST_CHAIN_ID: Final = 31_337
GAS_LIMIT: Final = 30_000_000
FIRST_BASE_FEE_WEI: Final = WEI_PER_GWEI
_START_TIMEOUT_S: Final = 30.0
_ANVIL_ARGUMENTS: Final = (
    "--no-mining",
    "--order",
    "fifo",
    "--gas-limit",
    str(GAS_LIMIT),
    "--accounts",
    "1",
    "--no-request-size-limit",
)


class Child:
    """A Python process of the laboratory, which dies with this one.

    Args:
        module: what `python -m` runs.
        arguments: its arguments.
        log_path: file that takes its errors.
    """

    def __init__(self, module: str, arguments: Sequence[str], log_path: Path) -> None:
        self._module = module
        self._arguments = arguments
        self._log_path = log_path
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id, once started."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> str:
        """Start it and return the first line it prints.

        Raises:
            NotReady: it ends, or says nothing, before that.
        """
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                line = await self._process.stdout.readline()
        if not line:
            await self.stop()
            raise NotReady(f"{self._module} did not start: see {self._log_path}")
        return line.decode().strip()

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after a grace."""
        if self._process is not None:
            await end_process(self._process, signal.SIGTERM)


class Laboratory:
    """The local chains, as an async context manager.

    Args:
        chains: their names; the first has chain id 31337, each further one the next.
        seed: of the order flow; chain number i gets `seed + i`.
        block_time_ms: how often a block is sealed; 0 seals only on `devnet_mine`.
        directory: where manifests and logs go; None makes a temporary one.
        flow: whether users trade; off, only what is sent from outside happens.
        ports: per chain name the builder's port; a chain left out gets a free one.
    """

    def __init__(
        self,
        chains: Sequence[str] = ("devnet-a", "devnet-b"),
        *,
        seed: int = 1,
        block_time_ms: int = 1_000,
        directory: Path | None = None,
        flow: bool = True,
        ports: dict[str, int] | None = None,
    ) -> None:
        if len(set(chains)) != len(chains) or not chains:
            raise Misconfigured("the laboratory's chains need names, each its own")
        self._chains = tuple(chains)
        self._seed = seed
        self._block_time_ms = block_time_ms
        self._flow = flow
        self._ports = ports or {}
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="searcher-laboratory-"))
        self.manifests: dict[str, Manifest] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> Self:
        """Fetch, deploy, and start everything; returns when every chain seals blocks.

        Raises:
            NotReady: something is missing on this machine, or a port is in use.
        """
        for port in self._ports.values():
            claim_port(port)
        _make(self.directory)
        try:
            await self._start_chains()
        except BaseException:
            await self.stop()
            raise
        return self

    async def stop(self) -> None:
        """End every process, the order flow first, and remove a temporary directory."""
        await self._stack.aclose()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def manifest_path(self, name: str) -> Path:
        """Return where the manifest of a chain is."""
        return self.directory / f"{name}.json"

    async def _start_chains(self) -> None:
        texts = await fetch()
        starts = [
            self._start_chain(name, FIRST_CHAIN_ID + number, texts)
            for number, name in enumerate(self._chains)
        ]
        # All are awaited before a failure is raised: none may still be starting when all stop.
        settled = await asyncio.gather(*starts, return_exceptions=True)
        failures = [outcome for outcome in settled if isinstance(outcome, BaseException)]
        if failures:
            raise failures[0]
        # They come up in any order; whoever shows them shows them as they were asked for.
        self.manifests = {name: self.manifests[name] for name in self._chains}

    async def _start_chain(self, name: str, chain_id: int, texts: dict[str, str]) -> None:
        anvil = Anvil(
            chain_id=chain_id,
            args=_ANVIL_ARGUMENTS,
            log_path=self.directory / f"{name}.anvil.log",
        )
        await self._stack.enter_async_context(anvil)
        step_s = max(1, round(self._block_time_ms / 1_000))
        async with RpcClient(anvil.http_url, timeout_s=60.0) as rpc:
            deployed = await deploy_chain(rpc, texts, chain_id)
            first_block = await _open_for_trade(rpc, step_s)
        settings = BuilderSettings(
            name=name,
            anvil_url=anvil.http_url,
            chain_id=chain_id,
            coinbase=COINBASE,
            block_time_ms=self._block_time_ms,
            timestamp_step_s=step_s,
            port=self._ports.get(name, 0),
        )
        builder = Child(
            "searcher.devnet.server",
            [msgspec.json.encode(settings).decode()],
            self.directory / f"{name}.builder.log",
        )
        self._stack.push_async_callback(builder.stop)
        port = int(await builder.start())
        manifest = _manifest(settings, deployed, port, first_block)
        self.manifests[name] = manifest
        save(manifest, self.manifest_path(name))
        if self._flow:
            await self._start_flow(manifest)
        _log.info("laboratory_chain_up", chain=name, url=manifest.http_url)

    async def _start_flow(self, manifest: Manifest) -> None:
        seed = self._seed + self._chains.index(manifest.name)
        flow = Child(
            "searcher.devnet.order_flow",
            [str(self.manifest_path(manifest.name)), str(seed)],
            self.directory / f"{manifest.name}.flow.log",
        )
        self._stack.push_async_callback(flow.stop)
        await flow.start()


async def _open_for_trade(rpc: RpcClient, timestamp_step_s: int) -> int:
    """Give the chain its everyday rules and return its first ordinary block's number."""
    await rpc.call("anvil_setCoinbase", [COINBASE])
    await rpc.call("evm_setBlockGasLimit", [hex(GAS_LIMIT)])
    await rpc.call("anvil_setBlockTimestampInterval", [timestamp_step_s])
    await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(FIRST_BASE_FEE_WEI)])
    await rpc.call("evm_mine")
    return int(await rpc.call("eth_blockNumber"), 16)


def _manifest(
    settings: BuilderSettings, deployed: Deployed, port: int, first_block: int
) -> Manifest:
    http_url = f"http://{HOST}:{port}"
    fields = {name: getattr(deployed, name) for name in Deployed.__struct_fields__}
    return Manifest(
        **fields,
        name=settings.name,
        chain_id=settings.chain_id,
        http_url=http_url,
        ws_url=f"ws://{HOST}:{port}",
        relay_url=f"{http_url}/relay",
        anvil_url=settings.anvil_url,
        coinbase=settings.coinbase,
        block_time_ms=settings.block_time_ms,
        timestamp_step_s=settings.timestamp_step_s,
        first_block=first_block,
    )


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"cannot write to {directory} ({error.strerror}): choose another") from error
    if not os.access(directory, os.W_OK):
        raise NotReady(f"cannot write to {directory}: choose another directory")
