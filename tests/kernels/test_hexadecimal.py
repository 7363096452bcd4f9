"""Words from hexadecimal digits, against Python's own parser."""

from __future__ import annotations

import random

import numpy as np
import pytest

from searcher.kernels.hexadecimal import DIGITS, are_hex, word_at

HEX = b"0123456789abcdefABCDEF"


def held(characters, before=0):
    return np.frombuffer(b"x" * before + bytes(characters), np.uint8)


def test_words_are_what_their_digits_say():
    rng = random.Random(1)
    for _ in range(2_000):
        characters = bytes(rng.choices(HEX, k=DIGITS))
        # Words stand behind "0x": they are not aligned.
        text = held(characters, before=2)
        assert word_at(text.ctypes.data + 2) == (True, int(characters, 16))


@pytest.mark.parametrize("place", [0, 1, 7, 8, 31, 62, 63])
def test_any_other_character_is_noticed_wherever_it_stands(place):
    for character in range(256):
        text = held(b"0" * 2 * DIGITS).copy()
        text[DIGITS + place] = character
        fits = character in HEX
        address = text.ctypes.data
        assert are_hex(address, 2) == fits
        assert are_hex(address, 1)
        read, word = word_at(address + DIGITS)
        assert read == fits
        if fits:
            assert word == int(chr(character), 16) << 4 * (DIGITS - 1 - place)
