"""The one way in which structs leave the process and come back.

A field annotated `Uint256` or `Int256` becomes a decimal string in records for JSON and SQL, and
32 bytes big-endian (two's complement for `Int256`) in msgpack; msgspec, orjson and SQLite would
each overflow or lose it otherwise. A plain `int` that does not fit msgpack's 64 bits becomes 32
bytes two's complement there. Everything else follows msgspec.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec

from searcher.domain.units import I256_BITS, U256_BITS

T = TypeVar("T", bound=msgspec.Struct)
_Convert = Callable[[Any], Any]


def to_record(value: msgspec.Struct) -> dict[str, Any]:
    """Return a dict for JSON or SQL: integers of 256 bits as decimal strings, bytes as 0x hex."""
    return typing.cast("dict[str, Any]", _outward(type(value), text=True)(value))


def from_record(kind: type[T], record: dict[str, Any]) -> T:
    """Rebuild a struct from `to_record`'s dict.

    Raises:
        ValueError: a field is missing, unknown or of the wrong shape.
    """
    return typing.cast("T", _checked(kind, record, text=True))


def to_json(value: msgspec.Struct) -> bytes:
    """Encode a struct as one JSON object."""
    return msgspec.json.encode(to_record(value))


def from_json(kind: type[T], data: bytes | str) -> T:
    """Decode `to_json`'s bytes."""
    return from_record(kind, msgspec.json.decode(data, type=dict[str, Any]))


def to_msgpack(value: msgspec.Struct) -> bytes:
    """Encode a struct as one msgpack map, 256-bit integers as 32 bytes."""
    return msgspec.msgpack.encode(_outward(type(value), text=False)(value))


def from_msgpack(kind: type[T], data: bytes) -> T:
    """Decode `to_msgpack`'s bytes."""
    return typing.cast(
        "T", _checked(kind, msgspec.msgpack.decode(data, type=dict[str, Any]), text=False)
    )


def _checked(kind: type[msgspec.Struct], record: dict[str, Any], *, text: bool) -> Any:
    try:
        return _inward(kind, text=text)(record)
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def _same(value: Any) -> Any:
    return value


@cache
def _outward(kind: Any, *, text: bool) -> _Convert:
    return _converter(kind, text=text, out=True)


@cache
def _inward(kind: Any, *, text: bool) -> _Convert:
    return _converter(kind, text=text, out=False)


def _converter(kind: Any, *, text: bool, out: bool) -> _Convert:
    origin, args = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        bits = next((a for a in args[1:] if a in (U256_BITS, I256_BITS)), None)
        if bits is None:
            return _converter(args[0], text=text, out=out)
        return _integer(signed=bits == I256_BITS, text=text, out=out)
    if isinstance(kind, typing.NewType):
        return _converter(kind.__supertype__, text=text, out=out)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (a for a in args if a is not types.NoneType)
        convert = _converter(inner, text=text, out=out)
        return lambda v: None if v is None else convert(v)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        convert = _converter(args[0], text=text, out=out)
        return (lambda v: [convert(i) for i in v]) if out else lambda v: tuple(map(convert, v))
    if origin is tuple:
        return _row([_converter(a, text=text, out=out) for a in args], out=out)
    return _plain(kind, text=text, out=out)


def _plain(kind: Any, *, text: bool, out: bool) -> _Convert:
    """Convert what has no parts that its type names in brackets."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind, text=text, out=out)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda v: v.value) if out else kind
    if kind is bytes and text:
        return (lambda v: "0x" + v.hex()) if out else lambda v: bytes.fromhex(v[2:])
    if kind is int and not text:
        return _wide if out else _from_wide
    if kind in (int, str, float, bool, bytes):
        return _same if out else lambda v: msgspec.convert(v, kind)
    raise TypeError(f"the codec has no form for {kind!r}")


def _integer(*, signed: bool, text: bool, out: bool) -> _Convert:
    low, high = (-(2**255), 2**255) if signed else (0, 2**256)

    def check(value: int) -> int:
        if not low <= value < high:
            raise ValueError(f"{value} does not fit 256 bits")
        return value

    if text:
        return (lambda v: str(check(v))) if out else lambda v: check(int(v, 10))
    if out:
        return lambda v: check(v).to_bytes(32, "big", signed=signed)
    return lambda v: int.from_bytes(v, "big", signed=signed)


def _wide(value: int) -> int | bytes:
    fits = -(1 << 63) <= value < 1 << 64
    return value if fits else _INT256_OUT(value)


def _from_wide(raw: Any) -> int:
    if type(raw) is int:
        return raw
    return _INT256_IN(raw) if isinstance(raw, bytes) else msgspec.convert(raw, int)


_INT256_OUT: Final = _integer(signed=True, text=False, out=True)
_INT256_IN: Final = _integer(signed=True, text=False, out=False)


def _row(converts: list[_Convert], *, out: bool) -> _Convert:
    """Convert a tuple of exactly as many parts as its type names."""

    def convert(parts: Any) -> Any:
        if len(parts) != len(converts):
            raise ValueError(f"expected {len(converts)} entries, found {len(parts)}")
        made = [each(part) for each, part in zip(converts, parts, strict=True)]
        return made if out else tuple(made)

    return convert


def _struct(kind: type[msgspec.Struct], *, text: bool, out: bool) -> _Convert:
    hints = typing.get_type_hints(kind, include_extras=True)
    parts = {name: _converter(hints[name], text=text, out=out) for name in kind.__struct_fields__}
    if out:
        return lambda v: {name: convert(getattr(v, name)) for name, convert in parts.items()}

    def build(record: dict[str, Any]) -> Any:
        if len(record) != len(parts) and (unknown := record.keys() - parts.keys()):
            raise ValueError(f"not a {kind.__name__}: unknown {', '.join(sorted(unknown))}")
        return kind(**{name: convert(record[name]) for name, convert in parts.items()})

    return build
