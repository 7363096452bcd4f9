"""What the settings classes say about their keys: kind, unit, range, default, when a change counts.

The loader, `config explain`, the templates and the generated page all read the classes through
this module, so that they cannot disagree.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, core_schema

from searcher.domain.registry import Registry
from searcher.domain.settings import Reload, Settings

ANY_NAME = "<name>"
"""Stands in a key's pattern for a name that the operator chooses, such as a token's."""

EACH_ITEM = "[]"
"""Stands in a key's pattern for every item of an array."""


class Range(NamedTuple):
    """How a limit of pydantic reads in front of and behind its number."""

    attribute: str
    words: str


_LIMITS = (
    Range("ge", "at least"),
    Range("gt", "more than"),
    Range("le", "at most"),
    Range("lt", "less than"),
    Range("min_length", "length at least"),
    Range("max_length", "length at most"),
)
_KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Decimal: "number",
    str: "text",
    Path: "path",
}


@dataclass(frozen=True, slots=True)
class Plugged:
    """A plug-in chosen by a table of the configuration, and its validated settings.

    `selector` is the key that chose it, `name` its registered name, `plugin` its class, and
    `settings` an instance of its `Config`.
    """

    selector: str
    name: str
    plugin: type[Any]
    settings: Settings


@dataclass(frozen=True, slots=True)
class PluginTable:
    """Marks a field whose table chooses a plug-in: `Annotated[Plugged, PluginTable(…)]`.

    `package` is the plural folder; `selector` is the key that holds the plug-in's name, and
    `default` is the name when that key is left out.
    """

    package: str
    selector: str = "plugin"
    default: str | None = None

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """The loader makes the choice before pydantic sees the field."""
        return core_schema.is_instance_schema(Plugged)

    def registry(self) -> Registry[object]:
        """Return the registry of the folder; the stage that uses a plug-in checks its base."""
        return Registry(self.package, object)

    def settings_of(self, name: str) -> type[Settings]:
        """Return the `Config` of the plug-in called `name`, a settings class without keys if none.

        Raises:
            Misconfigured: there is no such plug-in.
        """
        config = getattr(self.registry().load(name), "Config", Settings)
        if not (isinstance(config, type) and issubclass(config, Settings)):
            raise TypeError(f"{self.package}.{name}: Config is not a Settings class")
        return config

    def chosen(self, table: Any) -> type[Settings] | None:
        """Return the settings class that `table` chooses, None when it names no plug-in."""
        name = table.get(self.selector, self.default) if isinstance(table, dict) else self.default
        return self.settings_of(name) if name in self.registry().names() else None


class Shape(NamedTuple):
    """The part of a type that the tables follow."""

    settings: type[Settings] | None = None
    plugin: PluginTable | None = None
    items: Any = None
    values: Any = None


def shape(kind: Any) -> Shape:
    """Say whether a value of type `kind` is a table, a plug-in's table, a list or a dictionary."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        table = next((m for m in arguments[1:] if isinstance(m, PluginTable)), None)
        return Shape(plugin=table) if table else shape(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return next((s for s in map(shape, arguments) if s != Shape()), Shape())
    if origin in (list, tuple, frozenset, set):
        return Shape(items=arguments[0])
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return Shape(values=arguments[1])
    if isinstance(kind, type) and issubclass(kind, Settings):
        return Shape(settings=kind)
    return Shape()


def field_type(field: FieldInfo) -> Any:
    """Return a field's type with the plug-in mark that pydantic keeps apart from it."""
    table = next((m for m in field.metadata if isinstance(m, PluginTable)), None)
    return Annotated[field.annotation, table] if table else field.annotation


def kind_at(kind: Any, path: Sequence[str | int], data: Any) -> Any:
    """Return the declared type of the value at `path` in a table `data` of type `kind`.

    `data` decides which plug-in's settings apply; `object` stands for what no class declares.
    """
    for part in path:
        form = shape(kind)
        settings = form.settings
        if form.plugin is not None:
            if part == form.plugin.selector:
                return str
            settings = form.plugin.chosen(data)
        if settings is not None and part in settings.model_fields:
            kind = field_type(settings.model_fields[str(part)])
        elif form.values is not None or form.items is not None:
            kind = form.values or form.items
        else:
            return object
        data = _below(data, part)
    return kind


def known_keys(kind: Any, data: Any) -> list[str]:
    """Return the keys that a table `data` of type `kind` may have; empty when they are free."""
    form = shape(kind)
    if form.plugin is not None:
        chosen = form.plugin.chosen(data)
        return [form.plugin.selector, *(chosen.model_fields if chosen else ())]
    return list(form.settings.model_fields) if form.settings else []


def _below(data: Any, part: str | int) -> Any:
    if isinstance(data, dict):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def holds_text(kind: Any) -> bool:
    """Say whether a value of this type is written as text in TOML (addresses, names, choices)."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return holds_text(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return all(holds_text(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return all(isinstance(a, str) for a in arguments)
    return isinstance(kind, type) and issubclass(kind, str | Path)


def is_number(kind: Any) -> bool:
    """Say whether a value of this type is a number, or nothing."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return is_number(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return all(is_number(a) for a in arguments if a is not type(None))
    return kind in (int, float)


def choices(kind: Any) -> list[str]:
    """Return the closed set of texts that a value of this type may be; empty when it is open."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return choices(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return [c for a in arguments for c in choices(a)]
    if origin is typing.Literal:
        return [str(a) for a in arguments]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    return []


def describe_kind(kind: Any) -> str:
    """Return a type in the operator's words."""
    options = choices(kind)
    if options:
        return "one of " + ", ".join(f'"{option}"' for option in options)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return describe_kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_kind(a) for a in arguments if a is not type(None))
    if origin in (list, tuple, frozenset, set):
        return f"list of {describe_kind(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"table of {describe_kind(arguments[1])} by name"
    if isinstance(kind, type) and issubclass(kind, str):
        return "text"
    return _KINDS.get(kind, getattr(kind, "__name__", str(kind)))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration: its pattern, and what its settings class says of it."""

    pattern: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """The pattern as typed, such as `chains.<name>.node.http_url`."""
        return ".".join(self.pattern).replace(f".{EACH_ITEM}", EACH_ITEM)

    @property
    def why(self) -> str:
        """The operator's one line."""
        return self.field.description or ""

    @property
    def unit(self) -> str:
        """The unit, empty when the value has none."""
        return str(self._extra.get("unit", ""))

    @property
    def reload(self) -> Reload:
        """When a changed value takes effect."""
        return Reload(str(self._extra.get("reload", Reload.RESTART)))

    @property
    def kind(self) -> str:
        """The type in words."""
        return describe_kind(self.field.annotation)

    @property
    def limits(self) -> str:
        """The range in words, empty when there is none."""
        found = []
        for attribute, words in _LIMITS:
            bounds = [getattr(m, attribute, None) for m in self.field.metadata]
            found += [f"{words} {b}" for b in bounds if b is not None]
        return ", ".join(found)

    @property
    def required(self) -> bool:
        """Whether a file, a variable or a flag must give the value."""
        return self.field.is_required()

    @property
    def default(self) -> Any:
        """The value when nothing gives one; None when it is required."""
        value = self.field.get_default(call_default_factory=True, validated_data={})
        return None if value is PydanticUndefined else value

    @property
    def _extra(self) -> Mapping[str, Any]:
        extra = self.field.json_schema_extra
        return extra if isinstance(extra, dict) else {}

    def matches(self, path: tuple[str, ...]) -> bool:
        """Say whether `path` (names, no indices) is this key in some table."""
        return len(path) == len(self._names) and self.ends_like(path)

    def ends_like(self, path: tuple[str, ...]) -> bool:
        """Say whether this key's last names are `path`."""
        ending = self._names[-len(path) :]
        return len(path) == len(ending) and all(
            wanted in (ANY_NAME, given) for wanted, given in zip(ending, path, strict=True)
        )

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(part for part in self.pattern if part != EACH_ITEM)


def keys_of(model: type[Settings], prefix: tuple[str, ...] = ()) -> Iterator[Key]:
    """Yield every key of `model` and of the tables in it, in the order of declaration."""
    for name, field in model.model_fields.items():
        yield from _keys_of_kind(field_type(field), field, (*prefix, name))


def _keys_of_kind(kind: Any, field: FieldInfo, path: tuple[str, ...]) -> Iterator[Key]:
    form = shape(kind)
    if form.settings is not None:
        yield from keys_of(form.settings, path)
    elif form.plugin is not None:
        yield from plugin_keys(form.plugin, path)
    elif form.items is not None and shape(form.items) != Shape():
        yield from _keys_of_kind(form.items, field, (*path, EACH_ITEM))
    elif form.values is not None and shape(form.values) != Shape():
        yield from _keys_of_kind(form.values, field, (*path, ANY_NAME))
    else:
        yield Key(path, field)


def plugin_keys(table: PluginTable, path: tuple[str, ...]) -> Iterator[Key]:
    """Yield the selector's key, then the keys of every installed plug-in, once per name."""
    names = table.registry().names()
    text = " or ".join(f'"{name}"' for name in names) or "none is installed"
    default = PydanticUndefined if table.default is None else table.default
    yield Key((*path, table.selector), _selector_field(default, f"which plug-in: {text}"))
    seen: set[tuple[str, ...]] = set()
    for name in names:
        for key in keys_of(table.settings_of(name), path):
            if key.pattern not in seen:
                seen.add(key.pattern)
                yield key


def _selector_field(default: Any, why: str) -> FieldInfo:
    return FieldInfo(annotation=str, default=default, description=why)
