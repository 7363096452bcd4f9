"""Where each key of a TOML document stands, so that an error can point at it.

`tomllib` gives values without places. This scanner walks the same text once and notes line and
column of every table, key and value. It relies on `tomllib` having accepted the text before, so it
decides nothing about syntax: it only has to keep step with strings, comments and brackets.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""The names (and, inside arrays, the indices) that lead to a value."""

_BARE_KEY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ENDS_SCALAR = frozenset(",]}#\n\r")


class Position(NamedTuple):
    """A place in a text: line and column from 1, and how many characters to underline."""

    line: int
    column: int
    length: int


class Places(NamedTuple):
    """The places of keys (or table headers) and of values, by key path."""

    keys: dict[KeyPath, Position]
    values: dict[KeyPath, Position]


def find_places(text: str) -> Places:
    """Return the places of everything in `text`, which must be valid TOML."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._places = Places({}, {})
        self._arrays: Counter[KeyPath] = Counter()

    def scan(self) -> Places:
        table: KeyPath = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._places

    def _header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]` and return the path of the table it opens."""
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._advance(2 if is_array else 1)
        names = self._dotted()
        self._skip_spaces()
        self._advance(2 if is_array else 1)
        path = self._into_arrays(names[:-1])
        if is_array:
            array = (*path, names[-1])
            path = (*array, self._arrays[array])
            self._arrays[array] += 1
        else:
            path = self._into_arrays(names)
        self._note_key(path, start, self._at)
        return path

    def _into_arrays(self, names: list[str]) -> KeyPath:
        """Follow `names` from the root; a name that is an array of tables means its last one."""
        path: KeyPath = ()
        for name in names:
            path = (*path, name)
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        names = self._dotted()
        end = self._at
        path: KeyPath = table
        for name in names:
            path = (*path, name)
            self._note_key(path, start, end)
        self._skip_spaces()
        self._advance(1)  # the equals sign
        self._skip_spaces()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        start, line, line_start = self._at, self._line, self._line_start
        char = self._peek()
        if char in "\"'":
            self._string()
        elif char == "[":
            self._array(path)
        elif char == "{":
            self._inline_table(path)
        else:
            self._scalar()
        ends_same_line = self._line == line
        length = max(1, self._at - start) if ends_same_line else 1
        self._places.values[path] = Position(line, start - line_start + 1, length)

    def _array(self, path: KeyPath) -> None:
        self._advance(1)
        index = 0
        while self._skip_blank() and self._peek() != "]":
            if self._peek() == ",":
                self._advance(1)
                continue
            self._value((*path, index))
            index += 1
        self._advance(1)

    def _inline_table(self, path: KeyPath) -> None:
        self._advance(1)
        while self._skip_blank() and self._peek() != "}":
            if self._peek() == ",":
                self._advance(1)
                continue
            self._pair(path)
        self._advance(1)

    def _scalar(self) -> None:
        """Pass a number, a boolean or a date; a date may hold one space before its time."""
        start = self._at
        while self._at < len(self._text) and self._peek() not in _ENDS_SCALAR:
            self._advance(1)
        taken = self._text[start : self._at]
        self._at -= len(taken) - len(taken.rstrip())

    def _dotted(self) -> list[str]:
        names = [self._name()]
        while True:
            self._skip_spaces()
            if self._peek() != ".":
                # Spaces after the key belong to the equals sign or the bracket.
                while self._text[self._at - 1] in " \t":
                    self._at -= 1
                return names
            self._advance(1)
            names.append(self._name())

    def _name(self) -> str:
        self._skip_spaces()
        start = self._at
        if self._peek() in "\"'":
            self._string()
            # A quoted key has the escapes of a string: the reader of strings decodes it.
            decoded: str = tomllib.loads(f"v = {self._text[start : self._at]}")["v"]
            return decoded
        while self._peek() in _BARE_KEY:
            self._advance(1)
        return self._text[start : self._at]

    def _string(self) -> None:
        quote = self._peek()
        if self._text.startswith(quote * 3, self._at):
            self._multiline_string(quote)
            return
        self._advance(1)
        while self._peek() != quote:
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        self._advance(1)

    def _multiline_string(self, quote: str) -> None:
        self._advance(3)
        while not self._text.startswith(quote * 3, self._at):
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        self._advance(3)
        # Up to two quotes may stand right before the closing three, and belong to the text.
        while self._peek() == quote:
            self._advance(1)

    def _note_key(self, path: KeyPath, start: int, end: int) -> None:
        place = Position(self._line, start - self._line_start + 1, max(1, end - start))
        self._places.keys.setdefault(path, place)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1] or "\0"

    def _advance(self, count: int) -> None:
        for char in self._text[self._at : self._at + count]:
            self._at += 1
            if char == "\n":
                self._line += 1
                self._line_start = self._at

    def _skip_spaces(self) -> None:
        while self._peek() in " \t":
            self._advance(1)

    def _skip_blank(self) -> bool:
        """Pass blanks, line ends and comments; return whether text is left."""
        while self._at < len(self._text):
            char = self._peek()
            if char == "#":
                while self._at < len(self._text) and self._peek() != "\n":
                    self._advance(1)
            elif char in " \t\n\r":
                self._advance(1)
            else:
                return True
        return False
