from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.chains.framing import JsonSplitter

texts = st.text(alphabet='ab"\\{}[]\n\u00e9', max_size=6)
values = texts | st.integers(-9, 9) | st.none() | st.lists(texts, max_size=2)
messages = st.lists(
    st.dictionaries(texts, values | st.dictionaries(texts, values, max_size=2), max_size=3),
    max_size=4,
)


@settings(deadline=None)
@given(messages, st.sampled_from(["", "\n", " \r\n\t"]), st.integers(1, 40))
def test_messages_come_out_whole_however_the_bytes_arrive(expected, between, size):
    sent = between.join(json.dumps(message, ensure_ascii=False) for message in expected).encode()
    splitter = JsonSplitter(10**6)
    got = [m for i in range(0, len(sent), size) for m in splitter.feed(sent[i : i + size])]
    assert [json.loads(message) for message in got] == expected


def test_a_message_without_end_is_given_up():
    splitter = JsonSplitter(100)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        splitter.feed(b'{"a":"' + b"x" * 200)


def test_a_stray_closing_bracket_is_refused():
    with pytest.raises(ValueError, match="never opened"):
        JsonSplitter(100).feed(b"}")
