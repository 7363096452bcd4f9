"""Where one JSON message ends and the next begins, on a socket that carries them back to back."""

from __future__ import annotations

import re
from typing import Final

_MARK: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class JsonSplitter:
    """Cuts a stream of bytes into JSON objects and arrays, with or without white space between.

    Args:
        longest: bytes a message may have; a longer one is given up.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = b""
        self._scanned = 0
        self._depth = 0
        self._start = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the messages that `chunk` completes.

        Raises:
            ValueError: a message is longer than allowed, or brackets close that never opened; the
                stream cannot be read on from here.
        """
        self._buffer += chunk
        messages: list[bytes] = []
        while (mark := _MARK.search(self._buffer, self._scanned)) is not None:
            sign = mark.group()
            if sign == b'"':
                end = _STRING_END.match(self._buffer, mark.end())
                if end is None:
                    self._scanned = mark.start()
                    break
                self._scanned = end.end()
                continue
            self._scanned = mark.end()
            self._count(sign, mark.start())
            if self._depth == 0:
                messages.append(self._buffer[self._start : self._scanned])
                self._start = self._scanned
        else:
            self._scanned = len(self._buffer)
        self._forget()
        return messages

    def _count(self, sign: bytes, at: int) -> None:
        if sign in b"{[":
            if self._depth == 0:
                self._start = at
            self._depth += 1
            return
        self._depth -= 1
        if self._depth < 0:
            raise ValueError("a bracket closes that never opened")

    def _forget(self) -> None:
        """Drop what was handed out, and what stands between messages."""
        used = self._start if self._depth else self._scanned
        self._buffer = self._buffer[used:]
        self._scanned -= used
        self._start = 0
        if len(self._buffer) > self._longest:
            raise ValueError(f"a message is longer than {self._longest} bytes")
