"""Secrets by reference: config says where a secret is, never what it is."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from searcher.domain.errors import Misconfigured

_REFERENCE: Final = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)\Z")


def _reference(text: str) -> str:
    if not _REFERENCE.match(text):
        raise ValueError("not a reference to a secret: write env:NAME or file:PATH")
    return text


SecretReference = Annotated[str, AfterValidator(_reference)]
"""`env:NAME` or `file:PATH`."""


def read_secret(reference: str) -> str:
    """Return what `reference` points at, without the line end of a file.

    Raises:
        Misconfigured: the variable is not set, the file is missing, or others may read it.
    """
    kind, _, where = _reference(reference).partition(":")
    if kind == "env":
        return read_variable(where)
    return read_private_file(Path(where).expanduser()).rstrip("\r\n")


def read_variable(name: str) -> str:
    """Return a set, non-empty environment variable.

    Raises:
        Misconfigured: it is not set.
    """
    value = os.environ.get(name, "")
    if not value:
        raise Misconfigured(f"the environment variable {name} is not set: export it before a start")
    return value


def read_private_file(path: Path) -> str:
    """Return the text of a file that only its owner can read.

    The permissions are those of the opened file, so that it cannot be exchanged in between.

    Raises:
        Misconfigured: missing, not text, or open to the group or to others.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise Misconfigured(
                    f"{path} can be read by others than its owner: run chmod 600 {path}"
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text file"
        raise Misconfigured(f"{path} cannot be read: {cause}") from None
