"""Words of 32 bytes from the 64 hexadecimal digits that a node writes for them.

Eight characters are taken at once, as the bytes of one uint64: no byte of the sums below carries
into the next.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from searcher.kernels._jit import kernel
from searcher.kernels.u256 import Word, from_limbs

DIGITS: Final = 64
"""Characters of a word."""

_ONES: Final = np.uint64(0x0101010101010101)
_LOW: Final = np.uint64(0x0F0F0F0F0F0F0F0F)
_SIX: Final = np.uint64(0x0606060606060606)
_SIXTEEN: Final = np.uint64(0x1010101010101010)
_KIND: Final = np.uint64(0xD0D0D0D0D0D0D0D0)
_NINE: Final = np.uint64(9)
_LETTERS: Final = np.uint64(0x30)
_BYTES: Final = np.uint64(0x00FF00FF00FF00FF)
_PAIRS: Final = np.uint64(0x0000FFFF0000FFFF)
_FOURS: Final = np.uint64(0xFFFFFFFF)
_B4, _B5, _B6, _B8, _B16, _B32 = (np.uint64(bits) for bits in (4, 5, 6, 8, 16, 32))
_ZERO: Final = np.uint64(0)


def _loader() -> Any:
    @intrinsic
    def eight(_context: Any, address: Any) -> Any:
        """Return the eight bytes at an address, of any alignment."""

        def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            return builder.load(place, align=1)

        return cast("Any", types).uint64(address), lower

    return eight


_eight: Final = _loader()


@kernel("UniTuple(u8, 2)(i8)", inlined=True)
def _four_bytes(address: int) -> tuple[Any, Any]:
    """Return the value of eight digits, and what is not 0 when one of them is no digit.

    A digit's byte is 0x30 to 0x39, 0x41 to 0x46, or 0x61 to 0x66: its bit 6 says that it is a
    letter, and its value is its low half, and 9 more for a letter.
    """
    text = _eight(address)
    letter = (text >> _B6) & _ONES
    value = (text & _LOW) + letter * _NINE
    wrong = value & _SIXTEEN
    wrong |= ((value + _SIX) >> _B4 & _ONES) ^ letter
    wrong |= (text & _KIND) ^ (_SIXTEEN + letter * _LETTERS)
    wrong |= ~((text >> _B5) | letter) & _ONES
    value = (value << _B4 | value >> _B8) & _BYTES
    value = (value << _B8 | value >> _B16) & _PAIRS
    return (value << _B16 | value >> _B32) & _FOURS, wrong


@kernel("Tuple((b1, U256))(i8)")
def word_at(address: int) -> tuple[bool, Word]:
    """Return whether the 64 characters at an address are hex digits, and the word they write."""
    v0, w0 = _four_bytes(address)
    v1, w1 = _four_bytes(address + 8)
    v2, w2 = _four_bytes(address + 16)
    v3, w3 = _four_bytes(address + 24)
    v4, w4 = _four_bytes(address + 32)
    v5, w5 = _four_bytes(address + 40)
    v6, w6 = _four_bytes(address + 48)
    v7, w7 = _four_bytes(address + 56)
    word = from_limbs(v0 << _B32 | v1, v2 << _B32 | v3, v4 << _B32 | v5, v6 << _B32 | v7)
    return w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7 == _ZERO, word


@kernel("b1(i8, i8)")
def are_hex(address: int, words: int) -> bool:
    """Return whether all characters of some words are hex digits."""
    wrong = _ZERO
    for at in range(address, address + words * DIGITS, 8):
        wrong |= _four_bytes(at)[1]
    return bool(wrong == _ZERO)
