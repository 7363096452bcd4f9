"""What a market holds, put into a snapshot's sections and taken out of them again.

The arrays lie in the file as they lie in memory. The journal is not written: a reorg that goes
further back than the snapshot's block makes the daemon begin from the snapshot before it, of which
one is always kept.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from searcher.domain.codec import from_msgpack, to_msgpack
from searcher.domain.units import Address
from searcher.kernels import memory as layout
from searcher.market.contents import Contents, Nameless
from searcher.market.copying import Extent, MemoryCopy, fits, lay_out
from searcher.market.memory import MarketMemory
from searcher.market.protocol import Announcement, Pool
from searcher.market.protocol import Protocol as PoolProtocol
from searcher.market.snapshot_file import Bytes, Cause, Section, SnapshotFile, digest_of

T = TypeVar("T")

_TOGETHER: Final = 256
"""Records that are encoded at once: well below a millisecond."""
_POOLS: Final = "pools"
_STATES: Final = "states"
_NAMELESS: Final = "nameless"
_TOKENS: Final = "tokens"
_STANDING: Final = "standing"
_EXTENT: Final = "extent"


class TokenRecord(Struct, frozen=True, array_like=True):
    """What is known of a token: its decimals, if they were read, and whether it was proven."""

    address: Address
    decimals: int | None
    sound: bool


class _StateRecord(Struct, frozen=True, array_like=True):
    pool: int
    protocol: str
    state: bytes


class _NamelessRecord(Struct, frozen=True, array_like=True):
    dex: str
    protocol: str
    id: str
    address: Address
    fee_pips: int
    tick_spacing: int
    identity: bytes
    attempts: int


class _Standing(Struct, frozen=True):
    awaited: list[int]
    aside: dict[str, str]
    broken: dict[int, str]


def sections_of(contents: Contents, sections: list[Section]) -> Iterator[None]:
    """Append the sections of a market's contents, a bit of the work for each step."""
    yield from _listed(_POOLS, contents.pools, sections)
    states: list[_StateRecord] = []
    for number, state in contents.states.items():
        protocol = contents.pools[number].protocol
        states.append(_StateRecord(number, protocol, to_msgpack(state)))
        yield
    yield from _listed(_STATES, states, sections)
    yield from _listed(_NAMELESS, [_record_of(each) for each in contents.nameless], sections)
    tokens: list[TokenRecord] = []
    for address in chain(contents.decimals, contents.sound - contents.decimals.keys()):
        decimals, sound = contents.decimals.get(address), address in contents.sound
        tokens.append(TokenRecord(address, decimals, sound))
        if len(tokens) % _TOGETHER == 0:
            yield
    yield from _listed(_TOKENS, tokens, sections)
    standing = _Standing(contents.awaited, contents.aside, contents.broken)
    sections.append((_STANDING, [msgspec.msgpack.encode(standing)]))


def sections_of_copy(copy: MemoryCopy) -> list[Section]:
    """Return the sections of a copied memory."""
    arrays: list[Section] = [(name, [part.data]) for name, part in copy.parts.items()]
    return [(_EXTENT, [msgspec.msgpack.encode(copy.extent)]), *arrays]


def _listed(name: str, records: Sequence[Struct], sections: list[Section]) -> Iterator[None]:
    """Append a section with one msgpack array, encoded in parts."""
    parts: list[Bytes] = [b"\xdd" + len(records).to_bytes(4, "big")]  # array 32
    encode = msgspec.msgpack.Encoder().encode
    for begin in range(0, len(records), _TOGETHER):
        chunk = records[begin : begin + _TOGETHER]
        # The chunk's own head has one byte for up to 15 records, and three for up to 65,535.
        parts.append(encode(chunk)[1 if len(chunk) < 16 else 3 :])
        yield
    sections.append((name, parts))


def read_contents(file: SnapshotFile, followed: Mapping[str, type[PoolProtocol[Any]]]) -> Contents:
    """Return the contents that a verified file holds.

    Args:
        file: of a market that followed the same protocols.
        followed: these, by name.

    Raises:
        SnapshotRefused: they are not what this version writes.
    """
    pools = _decoded(file, _POOLS, list[Pool])
    _share_names(pools)
    states = {
        record.pool: _state(file, record, followed)
        for record in _decoded(file, _STATES, list[_StateRecord])
    }
    nameless = [
        _nameless(file, record, followed)
        for record in _decoded(file, _NAMELESS, list[_NamelessRecord])
    ]
    tokens = _decoded(file, _TOKENS, list[TokenRecord])
    standing = _decoded(file, _STANDING, _Standing)
    return Contents(
        file.heading.block,
        pools,
        states,
        standing.awaited,
        nameless,
        {t.address: t.decimals for t in tokens if t.decimals is not None},
        {t.address for t in tokens if t.sound},
        standing.aside,
        standing.broken,
    )


def read_memory(file: SnapshotFile, memory: MarketMemory) -> None:
    """Write the arrays that a verified file holds into an empty memory.

    Raises:
        SnapshotRefused: they do not fit; nothing was written.
    """
    extent = _decoded(file, _EXTENT, Extent)
    if not fits(memory, extent):
        why = f"its {extent.rows} rows and what they hold do not fit this market"
        raise file.refused(Cause.OTHER_CONFIGURATION, why)
    lay_out(memory, extent, file.copy_into)


def _decoded(file: SnapshotFile, name: str, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(file.section(name), type=kind)
    except msgspec.MsgspecError as error:
        raise file.refused(Cause.OTHER_VERSION, f"section {name}: {error}") from error


def _state(
    file: SnapshotFile, record: _StateRecord, followed: Mapping[str, type[PoolProtocol[Any]]]
) -> Struct:
    kind = followed[record.protocol].State
    return _struct(file, kind, record.state, f"the state of pool {record.pool}")


def _struct(file: SnapshotFile, kind: type[Struct], raw: bytes, what: str) -> Struct:
    try:
        return from_msgpack(kind, raw)
    except ValueError as error:
        raise file.refused(Cause.OTHER_VERSION, f"{what}: {error}") from error


def _record_of(nameless: Nameless) -> _NamelessRecord:
    said = nameless.announcement
    return _NamelessRecord(
        nameless.dex,
        nameless.protocol,
        said.id,
        said.address,
        said.fee_pips,
        said.tick_spacing,
        to_msgpack(said.identity),
        nameless.attempts,
    )


def _nameless(
    file: SnapshotFile, record: _NamelessRecord, followed: Mapping[str, type[PoolProtocol[Any]]]
) -> Nameless:
    kind = followed[record.protocol].Identity
    identity = _struct(file, kind, record.identity, f"the identity of {record.id}")
    said = Announcement(
        record.id, record.address, (), record.fee_pips, record.tick_spacing, identity
    )
    return Nameless(record.dex, record.protocol, said, record.attempts)


def _share_names(pools: Sequence[Pool]) -> None:
    """Let pools share the texts that they have in common, as those that are announced do."""
    known: dict[str, str] = {}
    share = known.setdefault
    for pool in pools:
        force_setattr(pool, "tokens", tuple([share(token, token) for token in pool.tokens]))
        force_setattr(pool, "protocol", share(pool.protocol, pool.protocol))
        force_setattr(pool, "dex", share(pool.dex, pool.dex))
        if pool.id == pool.address:
            force_setattr(pool, "id", pool.address)


# ---- what a snapshot can be read by


def schema_of(followed: Mapping[str, type[PoolProtocol[Any]]]) -> str:
    """Return a digest of how pools, states and arrays are laid out.

    Args:
        followed: the protocols of the chain's DEXes, by name.
    """
    constants = {k: v for k, v in vars(layout).items() if k.isupper() and isinstance(v, int)}
    states = {name: _fields(kind.State) for name, kind in sorted(followed.items())}
    identities = {name: _fields(kind.Identity) for name, kind in sorted(followed.items())}
    kinds = (Pool, TokenRecord, _StateRecord, _NamelessRecord, _Standing, Extent)
    records = [_fields(kind) for kind in kinds]
    return digest_of(sorted(constants.items()), states, identities, records)


@cache
def _fields(kind: type[Struct]) -> list[tuple[str, Any]]:
    """Return a struct's fields with their types, those of structs inside them included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(name, _described(hints[name])) for name in kind.__struct_fields__]


def _described(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _fields(hint)
    if inner := typing.get_args(hint):
        return [str(typing.get_origin(hint)), *map(_described, inner)]
    return str(hint)
