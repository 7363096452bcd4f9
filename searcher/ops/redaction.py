"""Keep credentials out of what people and files get to see."""

from __future__ import annotations

import re
from collections.abc import Collection

from searcher.chains.rpc import redact_url

HIDDEN = "***"
_URL = re.compile(r"\b(?:https?|wss?)://[^\s\"'<>]+")
_SHORTEST_SECRET = 6
"""Shorter values are words of the language more often than secrets."""


class Redactor:
    """Masks known secrets wherever they stand in a text, and the credentials of every URL.

    Args:
        secrets: values that must not be shown, such as what references of the configuration named.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        # Longest first: one secret may be a part of another.
        known = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return `text` fit to be shown."""
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        return _URL.sub(lambda match: redact_url(match[0]), text) if "://" in text else text
