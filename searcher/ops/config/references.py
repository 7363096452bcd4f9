"""Values that stand elsewhere: `env:NAME` is a variable, `file:PATH` a file only its owner reads.

A key that holds an address of a service (`url`, or a name that ends in `_url`) may be a reference
and is replaced by what it names when the configuration is loaded, since such addresses often carry
an access key. Keys of the signers are references too, but are read by the signer that needs them,
never by the loader.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from searcher.domain.errors import Misconfigured
from searcher.submission.secret_reference import read_private_file

_REFERENCE = re.compile(r"(env|file):(.+)\Z", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def is_reference(text: str) -> bool:
    """Say whether `text` points elsewhere instead of being the value."""
    return _REFERENCE.match(text) is not None


def is_url_key(name: str) -> bool:
    """Say whether a key of this name holds the address of a service."""
    return name == "url" or name.endswith("_url")


def read_reference(reference: str, environ: Mapping[str, str]) -> str:
    """Return what `reference` names, without the surrounding white space of a file.

    Raises:
        Misconfigured: the variable is not set, or the file is absent, empty, or readable by others.
            The message never holds the value.
    """
    match = _REFERENCE.match(reference)
    if match is None:
        raise Misconfigured(f"{reference!r} is no reference: write env:NAME or file:PATH")
    kind, target = match.groups()
    return _from_environment(target, environ) if kind == "env" else _from_file(target)


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not _NAME.match(name):
        raise Misconfigured(f"{name!r} is no name of a variable: write env:NAME")
    value = environ.get(name, "").strip()
    if not value:
        raise Misconfigured(f"the variable {name} is not set: export it, or write the value here")
    return value


def _from_file(name: str) -> str:
    path = Path(os.path.expandvars(name)).expanduser()
    value = read_private_file(path).strip()
    if not value:
        raise Misconfigured(f"{path} is empty: put the value in it")
    return value
