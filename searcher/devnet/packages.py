"""The protocols' compiled contracts: fetched from npm at pinned versions, proven by sha512.

Some of these packages may not be redistributed, so none of them is committed: `packages.json` pins
name, version, hash and the few files wanted of each, and a cache outside the checkout keeps those.
Nothing of an archive is read before its hash is found equal to the pin.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from searcher.domain.errors import NotReady

_FETCH_TIMEOUT_S: Final = 300.0
_AT_ONCE: Final = 4


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pin: `files` maps a contract's name to its path inside the package."""

    name: str
    version: str
    sha512: str
    files: dict[str, str]

    @property
    def folder(self) -> str:
        """The name of its folder in the cache, unlike that of any pin of other files."""
        plain = self.name.lstrip("@").replace("/", "-")
        wanted = hashlib.sha256(msgspec.json.encode(sorted(self.files.items()))).hexdigest()
        return f"{plain}-{self.version}-{self.sha512[:16]}-{wanted[:8]}"


def pinned() -> list[Package]:
    """Return the committed pins."""
    text = resources.files("searcher.devnet").joinpath("packages.json").read_bytes()
    return msgspec.json.decode(text, type=list[Package])


def cache_folder() -> Path:
    """Return where fetched files are kept: `$XDG_CACHE_HOME/searcher/protocols`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "searcher" / "protocols"


def find_npm() -> Path:
    """Return npm: beside the running Python, where the locked Node.js puts it, or on `PATH`.

    Raises:
        NotReady: it is in neither.
    """
    beside = Path(sys.executable).parent / "npm"
    if os.access(beside, os.X_OK):
        return beside
    on_path = shutil.which("npm")
    if on_path is None:
        raise NotReady("npm is not installed: run `make setup`, which brings Node.js")
    return Path(on_path)


async def fetch(
    packages: Sequence[Package] | None = None, cache: Path | None = None
) -> dict[str, str]:
    """Return the wanted files' text by contract name, fetching what the cache lacks.

    Two processes may do this at once: each fetches into its own folder and moves it into place
    whole; whoever comes second finds the same content there already.

    Raises:
        NotReady: npm is missing or fails, a hash differs, or a file is not in its package.
    """
    packages = pinned() if packages is None else packages
    cache = cache_folder() if cache is None else cache
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ensure(package: Package) -> None:
        if not (cache / package.folder).is_dir():
            async with gate:
                await _fetch_one(package, cache)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_failure_of(ensure(package))) for package in packages]
    failures = [failure for task in tasks if (failure := task.result()) is not None]
    if failures:
        raise failures[0]
    return {
        name: (cache / package.folder / f"{name}{Path(path).suffix}").read_text()
        for package in packages
        for name, path in package.files.items()
    }


async def _failure_of(work: Coroutine[None, None, None]) -> NotReady | None:
    # Returned, not raised: one sentence for the user, where a task group would raise a group.
    try:
        await work
    except NotReady as error:
        return error
    return None


async def _fetch_one(package: Package, cache: Path) -> None:
    with _scratch_beside(cache) as name:
        scratch = Path(name)
        archive = await _pack(package, scratch)
        found = hashlib.sha512(archive).hexdigest()
        if found != package.sha512:
            raise NotReady(
                f"{package.name}@{package.version} has sha512 {found[:16]}… but "
                f"{package.sha512[:16]}… is pinned: nothing of it was used; "
                "check where npm fetches from"
            )
        ready = scratch / "ready"
        ready.mkdir()
        for contract, content in _extract(archive, package).items():
            (ready / contract).write_bytes(content)
        with contextlib.suppress(FileExistsError, OSError):
            ready.rename(cache / package.folder)
        if not (cache / package.folder).is_dir():
            raise NotReady(
                f"cannot write {cache / package.folder}: check its permissions and space"
            )


def _scratch_beside(cache: Path) -> tempfile.TemporaryDirectory[str]:
    cache.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache)


async def _pack(package: Package, scratch: Path) -> bytes:
    npm = find_npm()
    search = f"{npm.parent}{os.pathsep}{os.environ.get('PATH', '')}"  # npm looks for node there
    process = await asyncio.create_subprocess_exec(
        npm,
        "pack",
        "--silent",
        "--ignore-scripts",
        "--pack-destination",
        scratch,
        f"{package.name}@{package.version}",
        cwd=scratch,
        env={**os.environ, "PATH": search},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_FETCH_TIMEOUT_S):
            _, complaint = await process.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise NotReady(
                f"npm did not fetch {package.name}@{package.version} within "
                f"{_FETCH_TIMEOUT_S:g} s: check the connection to the npm registry"
            ) from error
        raise
    archive = _only_archive(scratch)
    if process.returncode != 0 or archive is None:
        lines = complaint.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {process.returncode}"
        raise NotReady(
            f"npm cannot fetch {package.name}@{package.version} ({reason}): "
            "check the connection to the npm registry"
        )
    return archive


def _only_archive(scratch: Path) -> bytes | None:
    archives = list(scratch.glob("*.tgz"))
    return archives[0].read_bytes() if len(archives) == 1 else None


def _extract(archive: bytes, package: Package) -> Mapping[str, bytes]:
    """Return file name in the cache -> content; only named members are read, none is unpacked."""
    wanted = {
        f"package/{path}": f"{name}{Path(path).suffix}" for name, path in package.files.items()
    }
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if member.name in wanted and (stream := tar.extractfile(member)) is not None:
                contents[wanted[member.name]] = stream.read()
                if len(contents) == len(wanted):
                    break
    if missing := set(wanted.values()) - contents.keys():
        raise NotReady(
            f"{package.name}@{package.version} lacks {', '.join(sorted(missing))}: "
            "correct its pin in packages.json"
        )
    return contents
