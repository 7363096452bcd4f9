"""Recursive Length Prefix, Ethereum's encoding of transactions (yellow paper, appendix B).

Items are `bytes` and sequences of items. Integers are bytes without leading zeros: `encode_int`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Item: TypeAlias = "bytes | Sequence[Item]"

EMPTY: Final = b"\x80"
"""The encoding of the empty string, which is also that of the integer 0."""


def encode(item: Item) -> bytes:
    """Return the encoding of bytes or of a list, nested to any depth."""
    if isinstance(item, bytes):
        return encode_bytes(item)
    return wrap(b"".join(map(encode, item)))


def encode_bytes(value: bytes) -> bytes:
    """Return the encoding of a string of bytes."""
    size = len(value)
    if size == 1 and value[0] < 0x80:
        return value
    return _prefix(0x80, size) + value


def encode_int(value: int) -> bytes:
    """Return the encoding of a non-negative integer.

    Raises:
        OverflowError: `value` is negative.
    """
    if 0 < value < 0x80:
        return bytes((value,))
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def wrap(payload: bytes) -> bytes:
    """Return the encoding of a list whose items' encodings, one after the other, are `payload`."""
    return _prefix(0xC0, len(payload)) + payload


def decode(data: bytes) -> Item:
    """Return the item that `data` encodes; lists come back as Python lists.

    Raises:
        ValueError: `data` is not exactly one item in its one canonical encoding.
    """
    item, end = _read(data, 0, len(data))
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the encoded item")
    return item


def _prefix(offset: int, size: int) -> bytes:
    if size < 56:
        return bytes((offset + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(length),)) + length


def _read(data: bytes, at: int, limit: int) -> tuple[Item, int]:
    """Return the item that starts at `at` and the index behind it; nothing reaches `limit`."""
    if at >= limit:
        raise ValueError("the encoding ends where an item should begin")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    offset = 0x80 if first < 0xC0 else 0xC0
    start, end = _span(data, at, offset, limit)
    if offset == 0x80:
        if end - start == 1 and data[start] < 0x80:
            raise ValueError("a single byte below 0x80 encodes itself")
        return data[start:end], end
    items: list[Item] = []
    while start < end:
        item, start = _read(data, start, end)
        items.append(item)
    return items, end


def _span(data: bytes, at: int, offset: int, limit: int) -> tuple[int, int]:
    """Return where the payload of the item at `at` starts and ends."""
    size, start = data[at] - offset, at + 1
    if size > 55:
        width = size - 55
        length = data[start : start + width]
        size, start = int.from_bytes(length, "big"), start + width
        if start > limit or size < 56 or length[0] == 0:
            raise ValueError("a length is cut off or not in its shortest form")
    if start + size > limit:
        raise ValueError("an item is longer than the bytes that hold it")
    return start, start + size
