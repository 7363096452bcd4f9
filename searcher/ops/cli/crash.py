"""What is left behind by an error that nobody expected."""

from __future__ import annotations

import os
import platform
import time
import traceback
from pathlib import Path

from searcher import __version__
from searcher.domain.folders import state_folder
from searcher.ops.redaction import Redactor


def report(error: BaseException, *, show: bool) -> str:
    """Write `error` with its traceback to a crash file and return what to tell the operator.

    Credentials in URLs are masked. A file that cannot be written changes the text, never the way
    the process ends.
    """
    redact = Redactor()
    trace = redact("".join(traceback.format_exception(error)))
    head = f"searcher {__version__}, Python {platform.python_version()}\n"
    try:
        path = _write(head + trace)
        where = f"the details are in {path}"
    except OSError as failure:
        where = f"no details were written ({failure.strerror}); SEARCHER_TRACEBACK=1 shows them"
    kind = type(error).__name__
    summary = f"an unexpected error, which is a defect of searcher: {kind}: {redact(str(error))}"
    return f"{trace if show else ''}{summary}\n{where}"


def _write(text: str) -> Path:
    folder = state_folder() / "crashes"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
