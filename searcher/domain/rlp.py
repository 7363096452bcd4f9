"""Recursive length prefix, the serialisation of transactions and headers.

Source: Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence

RlpItem = bytes | Sequence["RlpItem"]


def encode(item: RlpItem) -> bytes:
    """Encode bytes, or a (nested) sequence of bytes.

    Integers are the caller's matter: minimal big-endian bytes, empty for zero.
    """
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    body = b"".join([encode(part) for part in item])
    return _prefix(len(body), 0xC0) + body


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(size),)) + size
