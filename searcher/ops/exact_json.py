"""JSON for people and collectors, in which no integer loses a digit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

_LARGEST_EXACT: Final = 2**53
"""Above this, a JSON number is no longer exact in every reader."""


def dumps(value: Any, *, pretty: bool = False) -> str:
    """Return `value` as JSON; integers beyond 53 bits are text, and so is what JSON cannot say."""
    option = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if pretty else 0)
    return orjson.dumps(_exact(value), default=str, option=option).decode()


def _exact(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_EXACT:
        return str(value)
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_exact(item) for item in value]
    return value
