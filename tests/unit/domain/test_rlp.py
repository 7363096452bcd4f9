from __future__ import annotations

import pytest
import rlp as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.domain import rlp

items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6))


@settings(deadline=None)
@given(items)
def test_encodes_and_decodes_as_the_reference_does(item):
    encoded = rlp.encode(item)
    assert encoded == oracle.encode(item)
    assert rlp.decode(encoded) == item


@settings(deadline=None)
@given(st.integers(0, 2**256 - 1))
def test_an_integer_has_no_leading_zeros(value):
    assert rlp.encode_int(value) == oracle.encode(value)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_536])
def test_lengths_on_both_sides_of_each_form(size):
    value = b"\xff" * size
    assert rlp.decode(rlp.encode(value)) == value
    assert rlp.encode([value]) == oracle.encode([value])


def test_a_negative_integer_has_no_encoding():
    with pytest.raises(OverflowError):
        rlp.encode_int(-1)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_only_the_canonical_encoding_is_read(data):
    try:
        item = rlp.decode(data)
    except ValueError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "data",
    ["", "81", "8101", "b801", "b80161", "b9", "c1", "c281", "0000", "f800", "bf" + "ff" * 8],
)
def test_what_is_cut_off_or_not_canonical_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        rlp.decode(bytes.fromhex(data))
