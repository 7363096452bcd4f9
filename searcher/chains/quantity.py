"""Numbers as nodes write them in JSON: 0x-prefixed hex (execution-apis, `QUANTITY`)."""

from __future__ import annotations

from typing import Any


def quantity(value: Any, *, bits: int = 256) -> int:
    """Return the number that a node wrote down.

    Args:
        value: what stands in the JSON.
        bits: the width that it must fit; unsigned.

    Raises:
        ValueError: not a string of 0x and hex digits, or too large.
    """
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"{value!r} is no quantity: it would be 0x and hex digits")
    number = int(value, 16)
    if number >> bits:
        raise ValueError(f"{value[:20]}… does not fit {bits} bits")
    return number
