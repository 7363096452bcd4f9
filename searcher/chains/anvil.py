"""Anvil as a child process: found, started on a free port, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from searcher.domain.errors import NotReady

HOST: Final = "127.0.0.1"
_PR_SET_PDEATHSIG: Final = 1
_STOP_GRACE_S: Final = 5.0
_POLL_S: Final = 0.02
_PACKAGE: Final = Path("@foundry-rs/anvil-linux-amd64/bin/anvil")


def find_anvil() -> Path:
    """Return the Anvil binary: `SEARCHER_ANVIL`, then the locked npm package, then `PATH`.

    Raises:
        NotReady: it is in none of the three.
    """
    named = os.environ.get("SEARCHER_ANVIL")
    if named is not None:
        if os.access(named, os.X_OK):
            return Path(named)
        raise NotReady(f"SEARCHER_ANVIL names {named}, which is no program: correct or unset it")
    checkout = Path(__file__).resolve().parents[2]
    for folder in dict.fromkeys((checkout, Path.cwd())):
        locked = folder / "contracts" / "node_modules" / _PACKAGE
        if os.access(locked, os.X_OK):
            return locked
    on_path = shutil.which("anvil")
    if on_path is None:
        raise NotReady("Anvil is not installed: run `make setup`, or set SEARCHER_ANVIL to it")
    return Path(on_path)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def claim_port(port: int) -> None:
    """Check that `port` of 127.0.0.1 can be listened on.

    Raises:
        NotReady: another process listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise NotReady(
                f"port {port} of {HOST} is in use: stop what listens there or choose another port"
            ) from error


def die_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` that has the kernel kill the child when this process dies.

    The library is loaded here, before the fork: a child of a threaded process must not load it.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arrange


async def end_process(process: asyncio.subprocess.Process, ask: signal.Signals) -> None:
    """End a child: the signal `ask`, then SIGKILL after a grace. Does nothing when it has ended."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(ask)
    try:
        async with asyncio.timeout(_STOP_GRACE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class Anvil:
    """One Anvil process, as an async context manager or through `start` and `stop`.

    Args:
        chain_id: what the chain answers to `eth_chainId`; None keeps Anvil's or the fork's own.
        port: where it listens on 127.0.0.1; 0 chooses a free one.
        fork_url: node to fork from.
        fork_block: block to fork at; None is the node's head.
        args: further command-line arguments, such as `--no-mining`.
        log_path: file that takes its output; None keeps it in a temporary file.
        start_timeout_s: how long it may take until it answers.
    """

    def __init__(
        self,
        *,
        chain_id: int | None = None,
        port: int = 0,
        fork_url: str | None = None,
        fork_block: int | None = None,
        args: Sequence[str] = (),
        log_path: Path | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        self._chain_id = chain_id
        self._wanted_port = port
        self._fork_url = fork_url
        self._fork_block = fork_block
        self._args = tuple(args)
        self._log_path = log_path
        self._start_timeout_s = start_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._own_log: Path | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def http_url(self) -> str:
        """Address of its JSON-RPC over HTTP."""
        return f"http://{HOST}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Address of its JSON-RPC over WebSocket."""
        return f"ws://{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            RuntimeError: it is not running.
        """
        if self._process is None:
            raise RuntimeError("Anvil is not started")
        return self._process.pid

    async def start(self) -> Self:
        """Launch the process and return once it answers on its port.

        Raises:
            NotReady: Anvil is missing, the port is in use, or the process ended or stayed silent.
        """
        if self._process is not None:
            raise RuntimeError("Anvil is already started")
        binary = find_anvil()
        if self._wanted_port:
            claim_port(self._wanted_port)
        self._port = self._wanted_port or free_port()
        log_path = self._log_path or self._temporary_log()
        with log_path.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                binary,
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the owner alone, which then stops it
                preexec_fn=die_with_parent(),
            )
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._until_answering(log_path)
        except TimeoutError as error:
            await self.stop()
            raise NotReady(
                f"Anvil did not answer within {self._start_timeout_s:g} s: "
                "check the machine's load, or the node it forks from"
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self

    async def stop(self) -> None:
        """End the process: SIGINT, then SIGKILL after a grace. Does nothing when it is not up."""
        process, self._process = self._process, None
        if process is not None:
            await end_process(process, signal.SIGINT)
        if self._own_log is not None:
            self._own_log.unlink(missing_ok=True)
            self._own_log = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _command(self) -> list[str]:
        command = ["--host", HOST, "--port", str(self._port), "--quiet", *self._args]
        if self._chain_id is not None:
            command += ["--chain-id", str(self._chain_id)]
        if self._fork_url is not None:
            command += ["--fork-url", self._fork_url]
            if self._fork_block is not None:
                command += ["--fork-block-number", str(self._fork_block)]
        return command

    def _temporary_log(self) -> Path:
        handle, name = tempfile.mkstemp(prefix="searcher-anvil-", suffix=".log")
        os.close(handle)
        self._own_log = Path(name)
        return self._own_log

    async def _until_answering(self, log_path: Path) -> None:
        process = self._process
        assert process is not None
        while not await _answers(self._port):
            if process.returncode is not None:
                raise NotReady(f"Anvil ended at once: {_last_line(log_path, process.returncode)}")
            await asyncio.sleep(_POLL_S)


async def _answers(port: int) -> bool:
    # A listening socket is not enough: with a fork URL Anvil binds late but may then still load.
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
    head = (
        f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(head + body)
        await writer.drain()
        return b'"result"' in await reader.read()
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _last_line(log_path: Path, status: int) -> str:
    lines = [line for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit status {status}"
