import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain.units import address, checksum, hash32, keccak256

# The four all-mixed examples of EIP-55.
EIP55 = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP55)
def test_checksums_of_eip55(text):
    assert checksum(address(text)) == text


@pytest.mark.parametrize("text", EIP55)
def test_a_wrong_checksum_is_refused_and_the_right_one_named(text):
    wrong = text[:2] + text[2:].swapcase()
    with pytest.raises(ValueError, match=text):
        address(wrong)


@given(st.binary(min_size=20, max_size=20))
def test_lower_and_upper_case_are_the_same_address(raw):
    digits = raw.hex()
    assert address("0x" + digits) == address("0x" + digits.upper()) == "0x" + digits


@pytest.mark.parametrize("text", ["", "0x", "0x" + "0" * 39, "0x" + "g" * 40, "0" * 42])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="40 hex digits"):
        address(text)


def test_what_is_no_hash_is_refused():
    with pytest.raises(ValueError, match="64 hex digits"):
        hash32("0x" + "0" * 40)
    assert hash32("0x" + "AB" * 32) == "0x" + "ab" * 32


def test_keccak_is_not_sha3():
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == empty
