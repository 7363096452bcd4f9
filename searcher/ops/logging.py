"""Logs: one line per notable thing, coloured for a terminal, JSON for everything else.

Stages make their loggers with `structlog.get_logger(__name__)` and configure nothing. `configure`
is called once, by the command that starts a daemon; lines of libraries that use the standard
logging come out in the same form, from WARNING upwards.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from searcher.domain.settings import Reload, Settings, knob
from searcher.ops import exact_json
from searcher.ops.redaction import HIDDEN, Redactor

_SECRET_NAMES = frozenset({"authorization", "passphrase", "password", "private_key", "secret"})


class LogSettings(Settings):
    """What is logged, and how it looks: the `[log]` table."""

    level: Literal["debug", "info", "warning", "error"] = knob(
        "info", why="lines below this level are not written", reload=Reload.HOT
    )
    form: Literal["auto", "pretty", "json"] = knob(
        "auto", why="pretty for a terminal, json for a collector; auto looks at where it goes"
    )


def configure(
    settings: LogSettings, *, secrets: Collection[str] = (), stream: TextIO | None = None
) -> None:
    """Set up structlog and the standard logging for this process.

    Args:
        settings: level and form.
        secrets: texts that are masked in every line.
        stream: where lines go; standard error when left out, since standard output is for results.
    """
    target = stream or sys.stderr
    pretty = settings.form == "pretty" or (settings.form == "auto" and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _Redaction(Redactor(secrets)),
        structlog.dev.ConsoleRenderer(colors=target.isatty()) if pretty else _json_line,
    ]
    if not pretty:
        shared.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("searcher").setLevel(settings.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Redaction:
    """Masks secrets in all values of a line, and hides values whose name says what they are."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {
            name: HIDDEN if name in _SECRET_NAMES else self._clean(value)
            for name, value in event.items()
        }

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, BaseException):
            return self._redact(str(value))
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        return value


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return exact_json.dumps(event)
