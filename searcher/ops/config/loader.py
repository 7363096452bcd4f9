"""Read a configuration once: files, variables and flags in, frozen settings or all faults out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from searcher.domain.registry import did_you_mean
from searcher.domain.settings import Settings
from searcher.ops.config import overrides
from searcher.ops.config.checks import DocumentCheck
from searcher.ops.config.documents import Document, locate, read_document
from searcher.ops.config.overrides import SCOPES, Override
from searcher.ops.config.positions import KeyPath
from searcher.ops.config.problems import ConfigInvalid, Origin, Problem, Source
from searcher.ops.config.schema import Plugged, PluginTable, shape

C = TypeVar("C")

Scope = tuple[str, str]
"""The folder and the name of a file that the main file enables: `("chains", "ethereum")`."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A fault between files: the key it stands at, what is wrong, what to write."""

    path: KeyPath
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Layout(Generic[C]):
    """Which settings class each file has, and how the validated files become one configuration.

    Attributes:
        main: of the main file; it names the files of each folder of `overrides.SCOPES`.
        files: the declared type of the files in each folder of `overrides.SCOPES`.
        names: per folder, the keys whose value names a plug-in, and the plug-in's folder.
        compose: makes the configuration from the folder, the main settings and the files' settings.
        conflicts: finds what is wrong between files that are right each for itself.
    """

    main: type[Settings]
    files: Mapping[str, Any]
    names: Mapping[str, Mapping[tuple[str, ...], str]]
    compose: Callable[[Path, Any, Mapping[Scope, Any]], C]
    conflicts: Callable[[C], Iterable[Conflict]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force: its key, the value (a reference stays one), and where it comes from."""

    path: KeyPath
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Loaded(Generic[C]):
    """A valid configuration, and every value of it with its origin, in the order of the files."""

    config: C
    settings: tuple[Setting, ...]
    secrets: frozenset[str] = field(repr=False)
    """What references named: never to be shown; for the redaction of logs."""

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with any value, for the ledger and the logs."""
        text = "\n".join(f"{s.path!r}={s.value!r}" for s in self.settings)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def load(
    layout: Layout[C],
    *,
    location: str | None,
    flags: Sequence[str],
    environ: Mapping[str, str],
    chains: Sequence[str] = (),
    files: Mapping[Scope, Path] | None = None,
) -> Loaded[C]:
    """Read, overlay and validate a configuration.

    Args:
        layout: the settings classes and how they make one configuration.
        location: folder or main file; None looks in the usual places.
        flags: `KEY=VALUE` texts, strongest.
        environ: the process's variables.
        chains: when given, these chains instead of those that the main file lists.
        files: files that lie elsewhere than in the folder, by what the main file calls them.

    Raises:
        ConfigInvalid: one or more faults, all of them in the message.
        Misconfigured: there is no configuration to read, or it cannot be read.
    """
    given = [*overrides.from_environment(environ), *overrides.from_flags(flags)]
    if chains:
        listed = ", ".join(f'"{name}"' for name in chains)
        given.append(Override(("chains",), f"[{listed}]", Origin(Source.FLAG, "chain names")))
    return _Loading(layout, locate(location, environ), given, environ, files or {}).run()


class _Loading(Generic[C]):
    """The state of one call of `load`."""

    def __init__(
        self,
        layout: Layout[C],
        main_file: Path,
        given: Sequence[Override],
        environ: Mapping[str, str],
        elsewhere: Mapping[Scope, Path],
    ) -> None:
        self._layout = layout
        self._main_file = main_file
        self._folder = main_file.parent
        self._given = given
        self._environ = environ
        self._elsewhere = elsewhere
        self._problems: list[Problem] = []
        self._checks: dict[tuple[str, ...], DocumentCheck] = {}
        self._documents: dict[tuple[str, ...], Document] = {}

    def run(self) -> Loaded[C]:
        main, values = self._read(self._main_file, (), self._layout.main)
        enabled = list(self._enabled())
        files = {scope: self._read_scope(scope, item) for scope, item in enabled}
        self._report_stray([scope for scope, _ in enabled])
        if main is None or None in files.values() or self._problems:
            raise ConfigInvalid(self._problems)
        config = self._layout.compose(self._folder, main, files)
        for conflict in self._layout.conflicts(config):
            self._conflict(conflict)
        if self._problems:
            raise ConfigInvalid(self._problems)
        for scope, settings in files.items():
            values += self._settings(settings, scope)
        secrets = {text for check in self._checks.values() for text in check.followed.values()}
        return Loaded(config, tuple(values), frozenset(secrets))

    def _read(self, path: Path, prefix: tuple[str, ...], kind: Any) -> tuple[Any, list[Setting]]:
        document, problems = read_document(path, prefix)
        self._documents[prefix] = document
        if problems:
            self._problems += problems
            return None, []
        mine = [override for override in self._given if override.scope == prefix]
        origins, faults = overrides.apply(document, kind, mine)
        check = self._checks[prefix] = DocumentCheck(document, origins, self._environ)
        value = check.settings(kind)
        check.names(self._layout.names.get(prefix[0] if prefix else "", {}))
        self._problems += [*faults, *check.problems]
        # The main file's values are listed at once, those of the others behind them.
        return value, self._settings(value, prefix) if value is not None and not prefix else []

    def _enabled(self) -> Iterator[tuple[Scope, KeyPath]]:
        """Yield the files that the main one enables, and the key that names each.

        The raw data is read, so that a fault elsewhere in the main file hides none in the others.
        """
        data = self._documents[()].data
        fields = self._layout.main.model_fields
        for folder in (f for f in SCOPES if f in fields) if () in self._checks else ():
            field = fields[folder]
            names = data.get(
                folder, field.get_default(call_default_factory=True, validated_data={})
            )
            if isinstance(names, str):
                yield (folder, names), (folder,)
            elif isinstance(names, list | tuple):
                for index, name in enumerate(names):
                    if isinstance(name, str):
                        yield (folder, name), (folder, index)

    def _read_scope(self, scope: Scope, item: KeyPath) -> Any:
        folder, name = scope
        known = self._known(folder)
        if name not in known:
            self._report(item, *_no_file(scope, known))
            return None
        if scope in self._documents:
            self._report(item, f"{name!r} is listed twice", "list it once")
            return None
        kind = self._layout.files[folder]
        form = shape(kind)
        if form.plugin is not None and form.plugin.default is None:
            # A file that names no plug-in means the one it is called after.
            kind = _with_default(form.plugin, name)
        path = self._elsewhere.get(scope) or self._folder / folder / f"{name}.toml"
        return self._read(path, scope, kind)[0]

    def _known(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, and of those given for it."""
        beside = {path.stem for path in (self._folder / folder).glob("*.toml")}
        return sorted(beside | {name for where, name in self._elsewhere if where == folder})

    def _report_stray(self, enabled: Sequence[Scope]) -> None:
        """Refuse overrides of files that do not exist, and flags for files not enabled."""
        for override in self._given:
            scope = override.scope
            if not scope or scope in enabled:
                continue
            folder, name = scope
            known = self._known(folder)
            if name not in known:
                what, remedy = _no_file((folder, name), known)
            elif override.origin.source is Source.FLAG:
                what = f"{folder}/{name}.toml is not enabled"
                remedy = f"list {name!r} under {folder!r}, or leave the flag out"
            else:
                continue  # a variable set for another start than this one
            self._problems.append(Problem(override.path, what, remedy, override.origin))

    def _report(self, path: KeyPath, what: str, remedy: str) -> None:
        self._problems.append(self._checks[()].problem(path, what, remedy))

    def _conflict(self, conflict: Conflict) -> None:
        scope = self._scope_of(conflict.path)
        path = conflict.path[len(scope) :]
        self._problems.append(self._checks[scope].problem(path, conflict.what, conflict.remedy))

    def _scope_of(self, path: KeyPath) -> tuple[str, ...]:
        scope = tuple(str(part) for part in path[:2])
        return scope if scope in self._checks else ()

    def _settings(self, value: Any, prefix: tuple[str, ...]) -> list[Setting]:
        check, document = self._checks[prefix], self._documents[prefix]
        found = []
        for path, leaf in leaves(value):
            origin = check.origin(path)
            if origin.source is Source.FILE and not document.holds(path):
                origin = Origin(Source.DEFAULT)
            shown = check.references.get(path, leaf)
            found.append(Setting((*prefix, *path), shown, origin))
        return found


def _no_file(scope: Scope, known: Sequence[str]) -> tuple[str, str]:
    folder, name = scope
    remedy = did_you_mean(name, known) if known else f"{folder}/ is empty: write {name}.toml in it"
    return f"there is no {folder}/{name}.toml", remedy


def _with_default(table: PluginTable, name: str) -> Any:
    return Annotated[Plugged, dataclasses.replace(table, default=name)]


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield (path, value) of every value in a tree of settings; a list of plain values is one."""
    if isinstance(value, Plugged):
        yield (*path, value.selector), value.name
        yield from leaves(value.settings, path)
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, (*path, str(name)))
    elif isinstance(value, tuple | list) and any(_is_table(item) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def _is_table(value: Any) -> bool:
    return isinstance(value, Settings | Plugged | Mapping)
