"""The laboratory in the background: started by one command, looked at and ended by others.

One supervisor process owns everything and dies on SIGTERM; its state file says which process that
is, by id and start time, so that a recycled id is never mistaken for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from searcher.chains.rpc import RpcClient
from searcher.devnet.laboratory import Laboratory
from searcher.devnet.manifest import Manifest, load
from searcher.domain.errors import NotReady, SearcherError
from searcher.domain.folders import state_folder

_START_TIMEOUT_S: Final = 300.0
_STOP_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.05


class Request(Struct, frozen=True, kw_only=True):
    """What a background laboratory is to be."""

    chains: tuple[str, ...] = ("devnet",)
    seed: int = 1
    block_time_ms: int = 1_000
    flow: bool = True
    ports: dict[str, int] = {}


class Running(Struct, frozen=True):
    """The state file: who runs the laboratory, and what it was asked to be."""

    pid: int
    started: int
    request: Request


class ChainStatus(Struct, frozen=True):
    """One chain: `head` is None when its builder does not answer."""

    name: str
    chain_id: int
    http_url: str
    relay_url: str
    manifest: str
    head: int | None
    bundles: dict[str, int]


class Status(Struct, frozen=True):
    """Whether a laboratory is up, and its chains."""

    up: bool
    pid: int | None
    chains: tuple[ChainStatus, ...]


def laboratory_folder() -> Path:
    """Return where state, manifests and logs are: `$XDG_STATE_HOME/searcher/devnet`."""
    return state_folder() / "devnet"


def manifest_paths(folder: Path | None = None) -> dict[str, Path]:
    """Return the manifest of each running chain by name, empty when nothing is up."""
    folder = folder or laboratory_folder()
    running = _running(folder)
    return {} if running is None else {n: folder / f"{n}.json" for n in running.request.chains}


def up(request: Request, folder: Path | None = None) -> Running:
    """Start a laboratory in the background and return once all its chains seal blocks.

    Raises:
        NotReady: one is up already, or something that it needs is missing.
    """
    folder = folder or laboratory_folder()
    with _locked(folder):
        running = _running(folder)
        if running is not None:
            raise NotReady(
                f"the laboratory is up already (process {running.pid}): "
                "end it with `searcher devnet down` first"
            )
        pid, said = _launch(folder, request)
        try:
            _await_word(said, folder)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise
        finally:
            os.close(said)
        started = _start_time(pid)
        if started is None:
            raise NotReady(f"the laboratory ended at once: see {folder / 'supervisor.log'}")
        running = Running(pid, started, request)
        _state_file(folder).write_bytes(msgspec.json.encode(running))
        return running


def down(folder: Path | None = None) -> bool:
    """End the background laboratory; returns False when none is up."""
    folder = folder or laboratory_folder()
    with _locked(folder):
        running = _running(folder)
        if running is not None:
            os.kill(running.pid, signal.SIGTERM)
            if not _gone(running, _STOP_TIMEOUT_S):
                os.kill(running.pid, signal.SIGKILL)  # the kernel ends its children with it
                _gone(running, _STOP_TIMEOUT_S)
        _state_file(folder).unlink(missing_ok=True)
        return running is not None


async def status(folder: Path | None = None) -> Status:
    """Return what is up and how its chains are."""
    folder = folder or laboratory_folder()
    running = _running(folder)
    if running is None:
        return Status(up=False, pid=None, chains=())
    manifests = [(name, folder / f"{name}.json") for name in running.request.chains]
    chains = await asyncio.gather(*(_chain_status(load(path), path) for _, path in manifests))
    return Status(up=True, pid=running.pid, chains=tuple(chains))


async def _chain_status(manifest: Manifest, path: Path) -> ChainStatus:
    figures: dict[str, Any] = {}
    async with RpcClient(manifest.http_url, timeout_s=3.0) as rpc:
        with contextlib.suppress(SearcherError):
            figures = await rpc.call("devnet_stats")
    return ChainStatus(
        name=manifest.name,
        chain_id=manifest.chain_id,
        http_url=manifest.http_url,
        relay_url=manifest.relay_url,
        manifest=str(path),
        head=figures.get("head"),
        bundles=figures.get("bundles", {}),
    )


def _state_file(folder: Path) -> Path:
    return folder / "state.json"


def _running(folder: Path) -> Running | None:
    """Return what the state file says, if that very process is still alive."""
    try:
        running = msgspec.json.decode(_state_file(folder).read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return running if _start_time(running.pid) == running.started else None


def _start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (proc(5)); None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _gone(running: Running, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)  # only where it is this process's own child
        if _start_time(running.pid) != running.started:
            return True
        # A process that is not this one's child announces its end to nobody: it is looked at.
        time.sleep(_POLL_S)
    return False


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise NotReady(
            f"cannot write to {folder} ({error.strerror}): set XDG_STATE_HOME to another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotReady(
                "another `searcher devnet` command is at work: wait for it to end"
            ) from error
        yield


def _launch(folder: Path, request: Request) -> tuple[int, int]:
    """Start the supervisor in its own session; returns its id and the pipe it speaks through."""
    said, speaks = os.pipe()
    text = msgspec.json.encode(request).decode()
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "searcher.devnet.background", str(folder), text],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, speaks, 1),
                (
                    os.POSIX_SPAWN_OPEN,
                    2,
                    folder / "supervisor.log",
                    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
                    0o644,
                ),
            ],
            setsid=True,
        )
    finally:
        os.close(speaks)
    return pid, said


def _await_word(said: int, folder: Path) -> None:
    """Wait for the supervisor's one line: empty for success, else what is not ready."""
    line = b""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([said], [], [], max(deadline - time.monotonic(), 0))
        part = os.read(said, 4_096) if readable else b""
        if not part:
            raise NotReady(f"the laboratory did not start: see {folder / 'supervisor.log'}")
        line += part
    if trouble := line.decode().strip():
        raise NotReady(trouble)


async def supervise(folder: Path, request: Request) -> None:
    """Run a laboratory until SIGTERM or SIGINT; says on standard output how the start went."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    laboratory = Laboratory(
        request.chains,
        seed=request.seed,
        block_time_ms=request.block_time_ms,
        directory=folder,
        flow=request.flow,
        ports=request.ports,
    )
    start = asyncio.create_task(laboratory.start())
    stop = asyncio.create_task(ended.wait())
    await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        start.cancel()
    try:
        await start
        _say("")
        await stop
    except SearcherError as error:
        _say(" ".join(str(error).split()))
    except asyncio.CancelledError:
        _say("it was ended while it started")
    finally:
        await laboratory.stop()
        for name in request.chains:
            laboratory.manifest_path(name).unlink(missing_ok=True)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _main(arguments: Sequence[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    request = msgspec.json.decode(arguments[1], type=Request)
    asyncio.run(supervise(Path(arguments[0]), request))


if __name__ == "__main__":
    _main(sys.argv[1:])
