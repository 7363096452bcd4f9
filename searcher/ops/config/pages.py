"""Text made from the settings classes: values as TOML, commented tables, the reference page."""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from searcher.domain.settings import Settings
from searcher.ops.config.references import is_url_key
from searcher.ops.config.schema import ANY_NAME, EACH_ITEM, Key, keys_of
from searcher.ops.redaction import Redactor

_WIDTH = 100
_UNSET = "not set"


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it; None, which TOML cannot say, as `not set`."""
    if value is None:
        return _UNSET
    if isinstance(value, enum.Enum):
        return as_toml(value.value)
    if isinstance(value, str | Path):
        return orjson.dumps(str(value)).decode()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return as_toml(int(value))
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        items = (f"{_key(name)} = {as_toml(item)}" for name, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, tuple | list | frozenset | set):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return str(value)


def shown(name: str, value: Any) -> Any:
    """Return a value as it may be shown: the addresses of services without their credentials."""
    return Redactor()(value) if isinstance(value, str) and is_url_key(name) else value


def facts(key: Key) -> str:
    """Return kind, unit, range and reload class of a key as one phrase."""
    parts = [f"{key.kind} ({key.unit})" if key.unit else key.kind]
    parts += [key.limits] if key.limits else []
    return ", ".join(parts) + f"; {key.reload}"


def comment(key: Key) -> str:
    """Return the comment that stands above a key in a file: why, then the facts."""
    return "\n".join(
        line
        for text in (key.why, facts(key))
        for line in textwrap.wrap(
            text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False
        )
    )


def template(name: str, model: type[Settings]) -> str:
    """Return a flat settings class as TOML: every key with its comment and its default.

    A key without a default, or whose default TOML cannot say, stands in a comment.

    Args:
        name: what `searcher config template` calls it.
        model: the settings class.
    """
    blocks = [_TEMPLATE_HEAD.format(name=name)]
    for key in keys_of(model):
        name = ".".join(key.pattern).replace(ANY_NAME, "NAME")
        if ANY_NAME in key.pattern or EACH_ITEM in key.pattern:
            line = f"# {name} = {as_toml(key.default)}"
        elif key.required:
            line = f"# {name} = …  (required)"
        elif key.default is None:
            line = f"# {name} = …  ({_UNSET})"
        else:
            line = f"{name} = {as_toml(key.default)}"
        blocks.append(f"{comment(key)}\n{line}\n")
    return "\n".join(blocks)


def reference(keys: Iterable[Key], files: Mapping[str, str]) -> str:
    """Return the page of all keys, as Markdown, one section per file and one table per section.

    Args:
        keys: in the order of the files.
        files: the heading of the section by the first name of its keys; "" for the main file.
    """
    page = [_HEAD]
    for section, group in groupby(keys, key=lambda key: _section(key, files)):
        page.append(f"\n## {files[section]}\n\n| key | value | default | reload | why |")
        page.append("|---|---|---|---|---|")
        page += [_row(key) for key in group]
    return "\n".join(page) + "\n"


def _section(key: Key, files: Mapping[str, str]) -> str:
    return key.pattern[0] if len(key.pattern) > 1 and key.pattern[0] in files else ""


def _row(key: Key) -> str:
    default = "required" if key.required else f"`{as_toml(key.default)}`"
    limits = f", {key.limits}" if key.limits else ""
    unit = f" ({key.unit})" if key.unit else ""
    cells: Sequence[str] = (
        f"`{key.name}`",
        f"{key.kind}{unit}{limits}",
        default if default != f"`{_UNSET}`" else _UNSET,
        str(key.reload),
        key.why,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _key(name: Any) -> str:
    text = str(name)
    return text if text.replace("-", "_").isidentifier() else orjson.dumps(text).decode()


_TEMPLATE_HEAD = """\
# Made with `searcher config template {name}`. Change the values; the comments are the
# code's own, and `searcher config explain KEY` says them again.
"""

_HEAD = """\
# Configuration

Made by `searcher config reference` from the settings classes; do not edit.

A process reads `searcher.toml` and the files it names: `chains/<name>.toml`,
`strategies/<name>.toml`, `risk/<name>.toml`. They lie in the folder given by `--config` (or beside
the file given there), else in `./config`, else in `$XDG_CONFIG_HOME/searcher`, else in the package.

**Who wins.** A flag (`--set KEY=VALUE`) over a variable (`SEARCHER__…`) over the file over the
default. The variable of a key is `SEARCHER__` and its names in capitals, joined by two underscores:
`chains.ethereum.node.http_url` is `SEARCHER__CHAINS__ETHEREUM__NODE__HTTP_URL`. A value is text
where the key holds text, else TOML: `--set chains='["ethereum", "bsc"]'`. A variable for a file
that is not enabled is ignored; a flag for one is an error. `searcher config show --origin` tells
where each value comes from.

**References.** A key named `url`, or one that ends in `_url`, may be `env:NAME` or `file:PATH`; so
is every secret. A file that its group or others can read is refused. What a reference names is
never shown.

**Faults** come all at once, each with file, line, column and what to write:

    config/chains/ethereum.toml:12:1: unknown key 'http_ur' in [node]
       12 | http_ur = "env:SEARCHER_ETHEREUM_HTTP_URL"
          | ^^^^^^^
        help: did you mean 'http_url'?

**Where a value comes from** and what a key means:

    $ searcher config show --origin --set log.level=debug
    mode = "observe"                            # config/searcher.toml:5; restart
    log.level = "debug"                         # flag --set log.level; hot
    chains.ethereum.node.max_inflight = 64      # default; restart
    …
    $ searcher config explain node.max_inflight
    chains.<name>.node.max_inflight: requests on their way at once; more wait
      value    whole number (requests)
      range    at least 1, at most 4096
      default  64
      reload   restart

`searcher config check` says in one line what would run, or tells the faults and ends with status 3
([exit codes](exit-codes.md)). `--json` makes one document of `check` and `show`, in which integers
beyond 53 bits are text.

`hot` means that a running daemon can take the change, `restart` that it cannot."""
