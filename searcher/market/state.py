"""Pool states from plain dicts: what a person writes in a file, checked field by field.

Integers may be written as numbers, decimal strings or 0x hex; addresses in any case (a checksum,
where there is one, must be right). Nothing is guessed: an unknown field, a missing one, or a value
of the wrong kind is refused with its path and what was expected.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, NewType, TypeVar, Union, get_args, get_origin

import msgspec

from searcher.domain.registry import did_you_mean
from searcher.domain.units import I256_BITS, U256_BITS, Address, Hash32, address, hash32

S = TypeVar("S", bound=msgspec.Struct)
_TEXTS: dict[Any, tuple[Callable[[str], Any], str]] = {
    Address: (address, "an address: 0x and 40 hex digits"),
    Hash32: (hash32, "a hash: 0x and 64 hex digits"),
}
_Read = Callable[[str, Any], Any]


class MalformedState(ValueError):
    """A field of a state is missing, unknown, or not what it must be; the message has its path."""


def state_from(kind: type[S], raw: Any, path: str = "state") -> S:
    """Build a pool's state from a plain dict.

    Args:
        kind: the protocol's state, a frozen struct whose `__post_init__` raises ValueError for
            values that contradict each other.
        raw: the dict, as `json.loads` gives it.
        path: what the whole is called in errors.

    Raises:
        MalformedState: which field, what was expected, what was found.
    """
    return typing.cast("S", _reader(kind)(path, raw))


@cache
def _reader(kind: Any) -> _Read:
    origin, args = get_origin(kind), get_args(kind)
    if kind in _TEXTS:
        return _parsed(*_TEXTS[kind])
    if origin is Annotated:
        return _annotated(args)
    if isinstance(kind, NewType):
        return _reader(kind.__supertype__)
    if origin in (Union, types.UnionType):
        (inner,) = (a for a in args if a is not types.NoneType)
        read = _reader(inner)
        return lambda path, raw: None if raw is None else read(path, raw)
    if origin is tuple:
        return _sequence(args)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if kind is int:
        return lambda path, raw: _integer(path, raw, "an integer")
    if kind in (bool, str):
        return _plain(kind)
    raise TypeError(f"a state cannot have a field of {kind!r}")


def _annotated(args: tuple[Any, ...]) -> _Read:
    if U256_BITS in args[1:]:
        return _bounded(0, 2**256 - 1, "an unsigned integer below 2^256")
    if I256_BITS in args[1:]:
        return _bounded(-(2**255), 2**255 - 1, "an integer of at most 256 bits")
    return _reader(args[0])


def _bounded(low: int, high: int, expected: str) -> _Read:
    def read(path: str, raw: Any) -> int:
        value = _integer(path, raw, expected)
        if not low <= value <= high:
            raise MalformedState(f"{path}: expected {expected}, found {raw!r}")
        return value

    return read


def _integer(path: str, raw: Any, expected: str) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.isascii() and "_" not in raw and raw == raw.strip():
        try:
            return int(raw, 16 if raw.lower().lstrip("-").startswith("0x") else 10)
        except ValueError:
            pass
    raise MalformedState(f"{path}: expected {expected}, found {raw!r}")


def _parsed(parse: Callable[[str], Any], expected: str) -> _Read:
    def read(path: str, raw: Any) -> Any:
        if not isinstance(raw, str):
            raise MalformedState(f"{path}: expected {expected}, found {raw!r}")
        try:
            return parse(raw)
        except ValueError as error:
            raise MalformedState(f"{path}: expected {expected}: {error}") from error

    return read


def _plain(kind: type) -> _Read:
    expected = {bool: "true or false", str: "a text"}[kind]

    def read(path: str, raw: Any) -> Any:
        if not isinstance(raw, kind):
            raise MalformedState(f"{path}: expected {expected}, found {raw!r}")
        return raw

    return read


def _enum(kind: type[Enum]) -> _Read:
    names = [str(member.value) for member in kind]

    def read(path: str, raw: Any) -> Enum:
        try:
            return kind(raw)
        except ValueError:
            raise MalformedState(
                f"{path}: {raw!r} is unknown: {did_you_mean(str(raw), names)}"
            ) from None

    return read


def _sequence(args: tuple[Any, ...]) -> _Read:
    """Read `tuple[X, ...]`, or a tuple of exactly as many parts as it names."""
    endless = len(args) == 2 and args[1] is Ellipsis
    readers = [_reader(a) for a in (args[:1] if endless else args)]

    def read(path: str, raw: Any) -> tuple[Any, ...]:
        if not isinstance(raw, (list, tuple)):
            raise MalformedState(f"{path}: expected a list, found {raw!r}")
        if not endless and len(raw) != len(readers):
            raise MalformedState(f"{path}: expected {len(readers)} entries, found {len(raw)}")
        each = readers * len(raw) if endless else readers
        return tuple(r(f"{path}[{i}]", v) for i, (r, v) in enumerate(zip(each, raw, strict=True)))

    return read


def _struct(kind: type[msgspec.Struct]) -> _Read:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    readers = {name: _reader(hints[name]) for name in fields}

    def read(path: str, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise MalformedState(f"{path}: expected an object, found {raw!r}")
        for name in raw:
            if name not in fields:
                raise MalformedState(
                    f"{path}.{name}: there is no such field: {did_you_mean(str(name), fields)}"
                )
        for name, field in fields.items():
            if field.required and name not in raw:
                raise MalformedState(f"{path}.{name}: missing")
        values = {
            name: readers[name](f"{path}.{name}", raw[name]) for name in fields if name in raw
        }
        try:
            return kind(**values)
        except ValueError as error:
            raise MalformedState(f"{path}.{error}") from error

    return read
