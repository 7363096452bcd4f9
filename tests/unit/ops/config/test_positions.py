from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.ops.config.positions import KeyPath, find_places

DOCUMENT = '''\
# a comment with "quotes" and [brackets]
mode = "a # b"
a.b . c = 1 # trailing
[ t . "u.v" ]
k = [1, {x = 2, "q.w" = [3]}, """
two" lines"""] # after
d = 1979-05-27 07:32:00
  s = 'C:\\path\\'
[[s]]
n = 1
[s.p]
z = \'\'\'x\'\'\'
[[s]]
n = """a\\"""b"""
'''


def leaves(data: Any, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(data, dict):
        return [p for key, value in data.items() for p in leaves(value, (*path, key))]
    if isinstance(data, list):
        return [p for at, value in enumerate(data) for p in leaves(value, (*path, at))]
    return [path]


def test_every_value_has_a_place_and_no_other_has():
    places = find_places(DOCUMENT)
    found = {p for p in places.values if not any(q[: len(p)] == p != q for q in places.values)}
    assert found == set(leaves(tomllib.loads(DOCUMENT)))


@pytest.mark.parametrize(
    ("path", "line", "column", "length"),
    [
        (("mode",), 2, 8, 7),
        (("a", "b", "c"), 3, 11, 1),
        (("t", "u.v", "k", 1, "q.w", 0), 5, 26, 1),
        (("t", "u.v", "k", 2), 5, 31, 1),
        (("t", "u.v", "d"), 7, 5, 19),
        (("t", "u.v", "s"), 8, 7, 10),
        (("s", 1, "n"), 14, 5, 12),
    ],
)
def test_values_are_placed(path: KeyPath, line: int, column: int, length: int):
    assert find_places(DOCUMENT).values[path] == (line, column, length)


def test_keys_and_headers_are_placed():
    keys = find_places(DOCUMENT).keys
    assert keys["a", "b", "c"] == (3, 1, 7)
    assert keys["t", "u.v"] == (4, 1, 13)
    assert keys["s", 0, "p"] == (11, 1, 5)
    assert keys["s", 1] == (13, 1, 5)


def test_windows_line_ends_keep_the_lines():
    assert find_places("a = 1\r\nb = 2\r\n").values["b",] == (2, 5, 1)


NAMES = st.sampled_from(["a", "bc", "d-e", "f_g", '"h.i"', "'j k'", '"\\u00e9"'])
SCALARS = st.sampled_from(
    ["1", "-0.5", "true", '"x#]"', "'y}'", '"\\"q"', "1979-05-27", '"""m\n"n"""', "0xff"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[ {' , '.join(items)} ]"),
        st.lists(inner, max_size=3).map(lambda items: "[\n# c\n" + ",\n".join(items) + "]"),
        st.dictionaries(NAMES, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{k} = {v}" for k, v in table.items()) + "}"
        ),
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)


@given(TABLES, st.dictionaries(NAMES, TABLES, max_size=3), st.lists(TABLES, max_size=3))
def test_any_document_is_followed_to_its_end(
    top: dict[str, str], tables: dict[str, dict[str, str]], items: list[dict[str, str]]
):
    def pairs(table: dict[str, str]) -> str:
        return "".join(f"{key} = {value}\n" for key, value in table.items())

    text = pairs(top)
    text += "".join(f"[t.{name}]\n{pairs(table)}" for name, table in tables.items())
    text += "".join(f"[[z.items]]\n{pairs(table)}" for table in items)
    data = tomllib.loads(text)
    places = find_places(text).values
    lines = text.splitlines()
    assert set(leaves(data)) <= set(places)
    for path in leaves(data):
        line, column, length = places[path]
        assert lines[line - 1][column - 1 : column - 1 + length].strip()
