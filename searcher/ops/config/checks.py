"""Validate one document against its declared type, collecting every fault with its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import Registry, did_you_mean
from searcher.domain.settings import Settings
from searcher.ops.config import faults
from searcher.ops.config.documents import Document
from searcher.ops.config.positions import KeyPath
from searcher.ops.config.problems import Origin, Problem
from searcher.ops.config.references import is_reference, is_url_key, read_reference
from searcher.ops.config.schema import (
    ANY_NAME,
    Plugged,
    PluginTable,
    field_type,
    is_number,
    kind_at,
    known_keys,
    shape,
)
from searcher.ops.redaction import Redactor


class DocumentCheck:
    """The check of one document; `problems` holds what it found, `references` what it followed.

    Args:
        document: the file, with the overrides already laid over its data.
        origins: of the keys that were laid over.
        environ: where `env:` references are looked up.
    """

    def __init__(
        self,
        document: Document,
        origins: Mapping[tuple[str, ...], Origin],
        environ: Mapping[str, str],
    ) -> None:
        self._document = document
        self._origins = origins
        self._environ = environ
        self.followed: dict[KeyPath, str] = {}
        self._refused: set[KeyPath] = set()
        self.problems: list[Problem] = []
        self.references: dict[KeyPath, str] = {}

    def settings(self, kind: Any) -> Any:
        """Return the document as an instance of `kind`, or None when anything is wrong with it."""
        data = self._follow(self._document.data, ())
        form = shape(kind)
        value = (
            self._plug(form.plugin, data, ())
            if form.plugin
            else self._validate(form.settings or Settings, data, ())
        )
        return None if self.problems else value

    def names(self, patterns: Mapping[tuple[str, ...], str]) -> None:
        """Check that the values at `patterns` name plug-ins of the folders given with them."""
        for pattern, package in patterns.items():
            registry = Registry(package, object)
            for path, name in _matching(self._document.data, pattern, ()):
                if isinstance(name, str) and name not in registry.names():
                    hint = did_you_mean(name, registry.names())
                    self.report(path, f"there is no {registry.kind} called {name!r}", hint)

    def report(
        self, path: KeyPath, what: str, remedy: str, *, of_key: bool = False, hide: bool = False
    ) -> None:
        """Note a fault at `path` (inside the document); `hide` keeps the value out of its line."""
        problem = self.problem(path, what, remedy, of_key=of_key)
        if hide:
            origin = dataclasses.replace(problem.origin, line=_without_value(problem.origin.line))
            problem = dataclasses.replace(problem, origin=origin)
        self.problems.append(problem)

    def problem(self, path: KeyPath, what: str, remedy: str, *, of_key: bool = False) -> Problem:
        """Return a fault at `path` (inside the document); what a reference named is masked."""
        for place, value in self.followed.items():
            shown = self.references[place]
            what, remedy = what.replace(value, shown), remedy.replace(value, shown)
        full = (*self._document.prefix, *path)
        redact = Redactor()
        return Problem(full, redact(what), redact(remedy), self.origin(path, of_key=of_key))

    def origin(self, path: KeyPath, *, of_key: bool = False) -> Origin:
        """Return where the value at `path` comes from, which may be an override."""
        for length in range(len(path), 0, -1):
            override = self._origins.get(tuple(str(part) for part in path[:length]))
            if override is not None:
                return override
        if not self._document.holds(path):
            for name, override in self._origins.items():
                if name[: len(path)] == path:
                    return override
        return self._document.origin(path, of_key=of_key)

    def _follow(self, value: Any, path: KeyPath) -> Any:
        """Replace references under URL keys by what they name."""
        if isinstance(value, dict):
            return {key: self._follow(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._follow(item, (*path, index)) for index, item in enumerate(value)]
        if not (path and isinstance(value, str) and is_reference(value)):
            return value
        if not is_url_key(str(path[-1])):
            return value
        self.references[path] = value
        try:
            self.followed[path] = read_reference(value, self._environ)
        except Misconfigured as error:
            what, _, remedy = str(error).partition(": ")
            self._refused.add(path)
            self.report(path, f"{path[-1]}: {what}", remedy)
            return value
        return self.followed[path]

    def _validate(self, model: type[Settings], data: Any, path: KeyPath) -> Settings | None:
        plugged = self._plug_below(model, data, path)
        try:
            return model.model_validate(plugged)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._explain(model, data, path, detail)
        return None

    def _explain(
        self, model: type[Settings], data: Any, path: KeyPath, error: ErrorDetails
    ) -> None:
        inside = faults.real_path(data, error["loc"])
        full = (*path, *inside)
        if any(full[: len(refused)] == refused for refused in self._refused):
            return
        table = kind_at(model, inside[:-1], data)
        owner = shape(table).settings
        field = owner.model_fields.get(str(inside[-1])) if owner and inside else None
        # Only text can be a secret pasted by mistake; a number out of range is worth showing.
        hide = (
            owner is not None
            and owner.model_config.get("hide_input_in_errors", False)
            and isinstance(error["input"], str)
        )
        if error["type"] == "extra_forbidden":
            what, remedy = faults.unknown_key(full, known_keys(table, data))
        elif error["type"] == "missing":
            what, remedy = faults.missing_key(full, (field and field.description) or "")
        else:
            extra = field.json_schema_extra if field else None
            unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
            what, remedy = faults.wrong_value(error, full or ("the file",), unit=unit, hide=hide)
        of_key = error["type"] in ("extra_forbidden", "missing")
        self.report(full, what, remedy, of_key=of_key, hide=hide and not of_key)

    def _plug_below(self, kind: Any, data: Any, path: KeyPath) -> Any:
        """Return `data` with the tables that choose a plug-in replaced by the validated choice."""
        form = shape(kind)
        if form.plugin is not None:
            return self._plug(form.plugin, data, path)
        if isinstance(data, dict) and form.settings is not None:
            fields = form.settings.model_fields
            data = {**_left_out(form.settings), **data}
            kinds = {key: field_type(fields[key]) for key in data if key in fields}
        elif isinstance(data, dict) and form.values is not None:
            kinds = dict.fromkeys(data, form.values)
        elif isinstance(data, list) and form.items is not None:
            items = [
                self._plug_below(form.items, v, (*path, index)) for index, v in enumerate(data)
            ]
            return [item for item in items if item is not None]
        elif is_number(kind) and isinstance(data, bool | str):
            # pydantic would take true for 1 and "1" for 1: in a file each is a slip.
            self.report(path, *faults.wrong_type(path, data, "a number without quotes"))
            self._refused.add(path)
            return None
        else:
            return data
        done = {
            key: self._plug_below(kinds.get(key), item, (*path, key)) for key, item in data.items()
        }
        return {key: item for key, item in done.items() if item is not None}

    def _plug(self, table: PluginTable, data: Any, path: KeyPath) -> Plugged | None:
        """Return the plug-in that `data` chooses; None when something is wrong, which is noted."""
        before = len(self.problems)
        if not isinstance(data, dict):
            self.report(path, f"{path[-1]} = {data!r} has the wrong type", "write a table")
        elif table.selector not in data and table.default is None:
            names = ", ".join(f'"{name}"' for name in table.registry().names())
            self.report(
                (*path, table.selector),
                f"{table.selector!r} is missing",
                f"write {table.selector} = one of {names}",
            )
        else:
            plugged = self._load(table, data, path)
            if plugged is not None and len(self.problems) == before:
                return plugged
        self._refused.add(path)
        return None

    def _load(self, table: PluginTable, data: dict[str, Any], path: KeyPath) -> Plugged | None:
        name = data.get(table.selector, table.default)
        try:
            plugin = table.registry().load(str(name))
            model = table.settings_of(str(name))
        except Misconfigured as error:
            what, _, remedy = str(error).partition(": ")
            self.report((*path, table.selector), what, remedy)
            return None
        own = {key: value for key, value in data.items() if key != table.selector}
        settings = self._validate(model, own, path)
        return None if settings is None else Plugged(table.selector, str(name), plugin, settings)


def _without_value(line: str) -> str:
    name, equals, _ = line.partition("=")
    return f"{name}{equals} …" if equals else "…"


def _left_out(model: type[Settings]) -> dict[str, Any]:
    """Return an empty table for each plug-in that has a default and need not be written."""
    tables = {name: shape(field_type(field)).plugin for name, field in model.model_fields.items()}
    return {name: {} for name, table in tables.items() if table and table.default}


def _matching(data: Any, pattern: tuple[str, ...], path: KeyPath) -> Iterable[tuple[KeyPath, Any]]:
    """Yield (path, value) for every key of `data` that fits `pattern`."""
    if not pattern:
        yield path, data
    elif isinstance(data, dict):
        names = list(data) if pattern[0] == ANY_NAME else [pattern[0]]
        for name in names:
            if name in data:
                yield from _matching(data[name], pattern[1:], (*path, name))
