"""A snapshot's file: a heading, and sections of bytes that are whole or refused.

    preamble   magic, format, where the index lies, how long it is, its SHA-256: 64 bytes
    sections   one after another, nothing between them
    index      msgpack: the heading, and of each section its name, place, size and SHA-256

Every byte of a file is under a digest or decides where one is looked for, so whatever is changed,
missing or added is noticed. SHA-256 is the digest because processors have instructions for it: it
is three times as fast as BLAKE2b where they do. Nothing is compressed: zlib at its fastest makes
45 MB a second of a market's arrays a quarter smaller, and any disk is faster than that.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeAlias

import msgspec
from msgspec import Struct

from searcher.domain.errors import Rejected
from searcher.domain.events import BlockRef

SUFFIX: Final = ".snapshot"
FORMAT: Final = 1
"""To be raised when a section comes to mean something else under the same name and shape."""

_MAGIC: Final = b"\x89market\n"
_PREAMBLE: Final = struct.Struct("<8sQQQ32s")
_PART: Final = ".part"
_CHUNK: Final = 1 << 22
"""Bytes that are written and digested at once: both let other threads run meanwhile."""
_VERIFIERS: Final = 4

Bytes: TypeAlias = bytes | memoryview
Section: TypeAlias = tuple[str, Sequence[Bytes]]
"""A name, and what stands under it: pieces that are written one after another."""


class Cause(StrEnum):
    """Why a snapshot is refused."""

    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    CORRUPTED = "corrupted"
    OTHER_VERSION = "written by another version"
    OTHER_CHAIN = "of another chain"
    OTHER_CONFIGURATION = "of another configuration"
    NOT_CONNECTED = "does not connect to the chain"
    TOO_OLD = "too far behind the chain"


class SnapshotRefused(Rejected):
    """A snapshot is not what the market can begin from; `cause` is what it is counted under."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Heading(Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot is of.

    `genesis` is the hash of the chain's block 0, empty where the node did not say. `configuration`
    digests what decides which pools are followed, `schema` how pools, states and arrays are laid
    out. `block` is the block whose state it is.
    """

    chain: str
    chain_id: int
    genesis: str
    block: BlockRef
    configuration: str
    schema: str


class _Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    begin: int
    size: int
    digest: bytes


class _Index(Struct, frozen=True, forbid_unknown_fields=True):
    heading: Heading
    sections: tuple[_Entry, ...]


def write(path: Path, heading: Heading, sections: Iterable[Section]) -> int:
    """Write a snapshot so that at every moment there is the whole file or none; return its size.

    It is written beside its place, brought to the disk, and then renamed.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with part.open("w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # says that somebody is still writing it
            size = _write_all(file, heading, sections)
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return size


def _write_all(file: BinaryIO, heading: Heading, sections: Iterable[Section]) -> int:
    file.write(bytes(_PREAMBLE.size))
    at, written = _PREAMBLE.size, []
    for name, pieces in sections:
        digest, size = hashlib.sha256(), 0
        for view in map(_plain, pieces):
            for begin in range(0, len(view), _CHUNK):
                chunk = view[begin : begin + _CHUNK]
                file.write(chunk)
                digest.update(chunk)
            size += len(view)
        written.append(_Entry(name, at, size, digest.digest()))
        at += size
    index = msgspec.msgpack.encode(_Index(heading, tuple(written)))
    file.write(index)
    file.seek(0)
    digest_of_index = hashlib.sha256(index).digest()
    file.write(_PREAMBLE.pack(_MAGIC, FORMAT, at, len(index), digest_of_index))
    file.flush()
    os.fsync(file.fileno())
    return at + len(index)


def _plain(data: Bytes) -> memoryview:
    """Return data as single bytes; what has none cannot be cast."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def stored(folder: Path) -> list[Path]:
    """Return the snapshots of a folder, the last written first."""
    with contextlib.suppress(FileNotFoundError):
        found = [(path.stat().st_mtime_ns, path) for path in folder.glob(f"*{SUFFIX}")]
        return [path for _, path in sorted(found, reverse=True)]
    return []


def prune(folder: Path, keep: int) -> None:
    """Remove all but the last `keep` snapshots, and what writers that died left behind."""
    for path in stored(folder)[keep:]:
        path.unlink(missing_ok=True)
    for part in folder.glob(f".*{_PART}"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)


class SnapshotFile:
    """A snapshot opened for reading; its index is verified, its sections when `verify` is called.

    Args:
        path: the file.

    Raises:
        SnapshotRefused: it is not a whole snapshot of this format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < _PREAMBLE.size:
                    raise self._refused(Cause.TRUNCATED, f"it has only {size} bytes")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise self._refused(Cause.UNREADABLE, error.strerror or str(error)) from error
        try:
            index = self._index(size)
        except SnapshotRefused:
            self._map.close()
            raise
        self.heading = index.heading
        self._sections = {section.name: section for section in index.sections}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def verify(self) -> None:
        """Hold every section against its digest.

        Raises:
            SnapshotRefused: one differs.
        """
        # The digests let the threads run side by side.
        with ThreadPoolExecutor(_VERIFIERS) as threads:
            sound = threads.map(self._is_sound, self._sections.values())
            for section, whole in zip(self._sections.values(), sound, strict=True):
                if not whole:
                    raise self._refused(Cause.CORRUPTED, f"section {section.name} is damaged")

    def section(self, name: str) -> bytes:
        """Return a section.

        Raises:
            SnapshotRefused: there is none of that name.
        """
        with self._view(self._known(name)) as view:
            return bytes(view)

    def size_of(self, name: str) -> int:
        """Return how many bytes a section has.

        Raises:
            SnapshotRefused: there is none of that name.
        """
        return self._known(name).size

    def copy_into(self, name: str, target: memoryview) -> None:
        """Write a section to where it belongs, which is exactly as long.

        Raises:
            SnapshotRefused: there is none of that name, or it has another size.
        """
        section = self._known(name)
        if section.size != target.nbytes:
            why = f"section {name} has {section.size} bytes instead of {target.nbytes}"
            raise self._refused(Cause.CORRUPTED, why)
        if section.size:
            with self._view(section) as view:
                _plain(target)[:] = view

    def refused(self, cause: Cause, what: str) -> SnapshotRefused:
        """Return the refusal of this file."""
        return self._refused(cause, what)

    def _refused(self, cause: Cause, what: str) -> SnapshotRefused:
        return SnapshotRefused(cause, f"the snapshot {self.path} is {cause}: {what}")

    def _index(self, size: int) -> _Index:
        magic, number, begin, length, digest = _PREAMBLE.unpack_from(self._map)
        if magic != _MAGIC:
            raise self._refused(Cause.CORRUPTED, "it does not begin as a snapshot does")
        if number != FORMAT:
            why = f"its format is {number} and this version reads {FORMAT}"
            raise self._refused(Cause.OTHER_VERSION, why)
        if begin + length != size or begin < _PREAMBLE.size:
            why = f"its index should end at byte {begin + length} and the file ends at {size}"
            raise self._refused(Cause.TRUNCATED, why)
        raw = self._map[begin:size]
        if hashlib.sha256(raw).digest() != digest:
            raise self._refused(Cause.CORRUPTED, "its index is damaged")
        try:
            index = msgspec.msgpack.decode(raw, type=_Index)
        except msgspec.MsgspecError as error:
            raise self._refused(Cause.OTHER_VERSION, f"its index is another: {error}") from error
        at = _PREAMBLE.size
        for section in index.sections:
            if section.begin != at or section.size < 0:
                raise self._refused(Cause.CORRUPTED, f"section {section.name} is misplaced")
            at += section.size
        if at != begin:
            raise self._refused(Cause.CORRUPTED, "its sections do not fill it")
        return index

    def _known(self, name: str) -> _Entry:
        section = self._sections.get(name)
        if section is None:
            raise self._refused(Cause.OTHER_VERSION, f"it has no section {name}")
        return section

    @contextlib.contextmanager
    def _view(self, section: _Entry) -> Iterator[memoryview]:
        with memoryview(self._map) as whole, whole[section.begin :][: section.size] as view:
            yield view

    def _is_sound(self, section: _Entry) -> bool:
        digest = hashlib.sha256()
        with self._view(section) as view:
            for begin in range(0, len(view), _CHUNK):
                digest.update(view[begin : begin + _CHUNK])
        return digest.digest() == section.digest


def digest_of(*parts: Any) -> str:
    """Return a short digest of plain values, for a heading."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
