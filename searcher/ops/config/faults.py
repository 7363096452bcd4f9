"""Turn what pydantic says of a value into the fault and the remedy that an operator is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from searcher.domain.registry import did_you_mean
from searcher.ops.config.positions import KeyPath
from searcher.ops.config.problems import dotted

_EXPECTED: Mapping[str, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": 'text in quotes: "text"',
    "list": "a list: [a, b]",
    "tuple": "a list: [a, b]",
    "frozen_set": "a list: [a, b]",
    "set": "a list: [a, b]",
    "dict": "a table",
    "model": "a table",
    "mapping": "a table",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def unknown_key(path: KeyPath, known: list[str]) -> tuple[str, str]:
    """Return fault and remedy for a key that no settings class has."""
    return f"unknown key {path[-1]!r} in {_table(path)}", did_you_mean(str(path[-1]), known)


def missing_key(path: KeyPath, why: str) -> tuple[str, str]:
    """Return fault and remedy for a required key that nothing gives."""
    explained = f" ({why})" if why else ""
    return f"{path[-1]!r} is missing in {_table(path)}", f"write {path[-1]} = …{explained}"


def wrong_value(error: ErrorDetails, path: KeyPath, *, unit: str, hide: bool) -> tuple[str, str]:
    """Return fault and remedy for a value that its key does not take; `hide` keeps it untold."""
    name, shown = dotted(path[-1:]), "…" if hide else _cut(error["input"])
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        number = f"{context[bound]} {unit}".rstrip()
        return f"{name} = {shown} is out of range", f"write {words} {number}"
    if kind in ("enum", "literal_error"):
        options = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        remedy = did_you_mean(str(error["input"]), options)
        return f"{name} = {shown} is not known", remedy
    if kind == "value_error":
        what, colon, remedy = str(context["error"]).partition(": ")
        return f"{name}: {what}", remedy if colon else "correct the value"
    expected = _EXPECTED.get(kind.removesuffix("_type").removesuffix("_parsing"))
    if expected is not None:
        return f"{name} = {shown} has the wrong type", f"write {expected}"
    return f"{name} = {shown} is refused", error["msg"][:1].lower() + error["msg"][1:]


def wrong_type(path: KeyPath, value: Any, expected: str) -> tuple[str, str]:
    """Return fault and remedy for a value of a type that its key does not take."""
    return f"{dotted(path[-1:])} = {_cut(value)} has the wrong type", f"write {expected}"


def real_path(data: Any, location: tuple[int | str, ...]) -> KeyPath:
    """Return pydantic's location without the parts that name types instead of keys."""
    path: KeyPath = ()
    last = len(location) - 1
    for index, part in enumerate(location):
        if _leads_on(data, part):
            data = data[part]
        elif not (isinstance(data, dict) and index == last):
            continue
        else:
            data = None
        path = (*path, part)
    return path


def _leads_on(data: Any, part: int | str) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _table(path: KeyPath) -> str:
    return f"[{dotted(path[:-1])}]" if len(path) > 1 else "the file"


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
