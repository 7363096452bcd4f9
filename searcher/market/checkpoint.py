"""The file that lets a killed bootstrap go on: what was found, and up to which block.

Frames are appended and flushed to the disk, each with the digest of all before it, so that at
whatever moment a kill comes, what the file holds up to its last whole frame is true. A frame is 8
bytes of length, 32 of digest, and a body in msgpack; the first says what was looked for, and where.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec
import structlog
from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef
from searcher.domain.units import Address

_log = structlog.get_logger(__name__)

FORMAT: Final = 1
_HEAD: Final = struct.Struct(">Q32s")
_MOST_BYTES: Final = 1 << 30
"""A length beyond it is not a frame's."""


class Scope(Struct, frozen=True):
    """What a bootstrap looks for; a file of another scope says nothing to it.

    `digest` is that of the DEXes' settings: their factories, first blocks and lists.
    """

    format: int
    chain: str
    chain_id: int
    digest: str


class FoundPool(Struct, frozen=True):
    """A pool that was announced and completed, as `Announcement` has it, and whose it is.

    `details` is its identity as JSON.
    """

    dex: str
    id: str
    address: Address
    tokens: tuple[Address, ...]
    fee_pips: int
    tick_spacing: int
    details: str


class Step(Struct, frozen=True):
    """What one request brought: the last block it covers, and how far each list was read.

    `anchor` is a block that was there meanwhile: where another is in its place, it is another
    chain.
    """

    last_block: int
    pools: tuple[FoundPool, ...] = ()
    listed: dict[str, int] = {}
    anchor: BlockRef | None = None


class Checkpoint:
    """A bootstrap's file, open for appending.

    Args:
        path: where it lies; its folder is made.
        scope: what is looked for.

    Raises:
        Misconfigured: the file cannot be read or written.
    """

    def __init__(self, path: Path, scope: Scope) -> None:
        self.path = path
        self.pools: dict[str, FoundPool] = {}
        """By id, in the order of their announcement."""
        self.last_block = -1
        """Every block up to here has been looked at; -1 for none."""
        self.listed: dict[str, int] = {}
        """How far the list of each DEX was read, by its name."""
        self.anchor: BlockRef | None = None
        """A block of the chain that all of it was found on."""
        self._scope = scope
        self._digest = bytes(32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._restore()
        except OSError as error:
            raise Misconfigured(
                f"{path} cannot be used ({error.strerror}): make its folder writable, or set"
                " discovery.folder to another"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, step: Step) -> None:
        """Append what was found, so that it survives the process and the machine."""
        self._append(msgspec.msgpack.encode(step))
        self._take(step)

    def restart(self) -> None:
        """Forget everything: it was found on another chain."""
        _log.warning("a bootstrap of another chain is begun anew", file=str(self.path))
        self.pools.clear()
        self.listed.clear()
        self.last_block, self.anchor = -1, None
        self._begin()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def _restore(self) -> None:
        """Take what the file holds up to its last whole frame, and cut off the rest."""
        bodies = self._frames(self._file)
        end = 0
        first = next(bodies, None)
        if first is not None and _scope_of(first[0]) == self._scope:
            end = first[1]
            for body, at in bodies:
                try:
                    self._take(msgspec.msgpack.decode(body, type=Step))
                except msgspec.MsgspecError:
                    break
                end = at
        size = self._file.seek(0, os.SEEK_END)
        if not end:
            if size:
                _log.warning("a bootstrap of another scope is begun anew", file=str(self.path))
            self._begin()
            return
        if end < size:
            _log.warning(
                "the end of a bootstrap's file is torn", file=str(self.path), lost=size - end
            )
            self._file.truncate(end)
        self._file.seek(end)

    def _begin(self) -> None:
        self._digest = bytes(32)
        self._file.truncate(0)
        self._file.seek(0)
        self._append(msgspec.msgpack.encode(self._scope))

    def _frames(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the body and the end of each frame whose digest is right, until one is not."""
        file.seek(0)
        digest = bytes(32)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, claimed = _HEAD.unpack(head)
            body = file.read(min(length, _MOST_BYTES))
            if len(body) != length or _chained(digest, body) != claimed:
                return
            digest = self._digest = claimed
            yield body, file.tell()

    def _append(self, body: bytes) -> None:
        self._digest = _chained(self._digest, body)
        try:
            self._file.write(_HEAD.pack(len(body), self._digest) + body)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Misconfigured(
                f"{self.path} cannot be written ({error.strerror}): make room on its disk"
            ) from error

    def _take(self, step: Step) -> None:
        self.last_block = max(self.last_block, step.last_block)
        self.listed.update(step.listed)
        self.anchor = step.anchor or self.anchor
        for pool in step.pools:
            self.pools.setdefault(pool.id, pool)


def _chained(before: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(before + body, digest_size=32).digest()


def _scope_of(body: bytes) -> Scope | None:
    try:
        return msgspec.msgpack.decode(body, type=Scope)
    except msgspec.MsgspecError:
        return None
