"""Errors, named by their remedy.

SearcherError
 +- Retryable        try again, within a budget
 +- Rejected         the other side's final no
 +- Unresolved       the outcome is unknown until the chain answers
 +- Misconfigured    the operator must act: where, and what to write instead
 +- NotReady         the machine lacks something: what, and how to get it
 +- InvariantBroken  stop this chain
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """What a process of this project says when it ends. Documented in docs/exit-codes.md."""

    OK = 0
    FAULT = 1
    USAGE = 2
    CONFIG = 3
    PREFLIGHT = 4
    LIMIT = 5
    NODE_UNREACHABLE = 6
    REFUSED = 7
    TEMPORARY = 75
    INTERRUPTED = 130
    TERMINATED = 143


class SearcherError(Exception):
    """Base of all errors that the project raises on purpose.

    The message is one sentence that says what happened and, after a colon or a semicolon, what to
    do. `exit_status` is what a command ends with when nothing handles the error.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.FAULT


class Retryable(SearcherError):
    """A passing failure (connection lost, rate limit): try again within a budget."""

    exit_status = ExitStatus.TEMPORARY


class NodeUnreachable(Retryable):
    """A node does not answer at its address."""

    exit_status = ExitStatus.NODE_UNREACHABLE


class Rejected(SearcherError):
    """The other side said no and will say no again: do not retry."""


class Unresolved(SearcherError):
    """A request may or may not have taken effect: only the chain can tell."""

    exit_status = ExitStatus.TEMPORARY


class Misconfigured(SearcherError):
    """The operator's input is wrong; the message names file, line, key and what to write."""

    exit_status = ExitStatus.CONFIG


class NotReady(SearcherError):
    """The machine or the chain lacks something that must be there before a start."""

    exit_status = ExitStatus.PREFLIGHT


class LimitTripped(SearcherError):
    """A risk limit or breaker ended the run."""

    exit_status = ExitStatus.LIMIT


class InvariantBroken(SearcherError):
    """What must always hold does not: this chain stops trading."""
