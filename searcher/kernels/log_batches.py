"""The hot events of a block, decoded from their hex and applied to the market's memory in order.

Sources: UniswapV2Pair (Sync), UniswapV3Pool and PancakeV3Pool (Initialize, Mint, Burn, Swap). Each
event is decoded and checked exactly as its protocol's `apply` does; one that does not fit changes
nothing, and no later event of its row in the same scope is looked at.

**Text** of an event: its data as the node sent it (0x and hex), and behind a Mint's or Burn's the
topics of its two ticks. **Code**: `row << OPCODE_BITS | opcode`.
"""

# One loop over events of several kinds, branches included.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.concentrated import sqrt_at_tick
from searcher.kernels.curves import IntArray
from searcher.kernels.hops import write_image
from searcher.kernels.memory import (
    PLACE,
    REFUSED,
    SCOPE,
    TICK,
    TOUCHED,
    exact,
    shape,
    slot,
    stamps,
    tick_words_of,
    ticks_of,
)
from searcher.kernels.positions import (
    FITS,
    GROSS_UNKNOWN,
    NET_LEFT,
    NO_PRICE,
    NO_RANGE,
    NO_ROOM,
    OFF_SPACING,
    TOO_MUCH_HELD,
    TOO_MUCH_TAKEN,
    is_range,
    shift_position,
    why_not_position,
)
from searcher.kernels.ranges import HIGHEST, LOWEST, UINT128, place_above
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK
from searcher.kernels.u256 import ZERO, Word, constant, from_limbs, limb, load, negate, store
from searcher.kernels.undo import MOST_WORDS, has_room, save, save_position

TextArray = NDArray[np.uint8]

# ---- opcodes

MISSHAPEN: Final = 0
"""An event of another shape than its topic says; it has no text."""
SYNC: Final = 1
SWAP_V3: Final = 2
SWAP_V3_LONG: Final = 3
"""PancakeSwap V3's, with two words more."""
MINT: Final = 4
BURN: Final = 5
INITIALIZE: Final = 6
OPCODE_BITS: Final = 3

TOPICS: Final = (0, 1, 3, 3, 4, 4, 1)
"""How many topics an opcode's event has."""
DATA_WORDS: Final = (0, 2, 5, 7, 4, 3, 2)
"""How many words of data it has."""

# ---- causes

SKIPPED: Final = -1
"""An event of a row that refused one before."""
NO_SHAPE: Final = 8
NO_HEX: Final = 9
NO_UINT112: Final = 10
NO_UINT128: Final = 11
NO_INT24: Final = 12
NO_SUCH_PRICE: Final = 13
ANOTHER_TICK: Final = 14
ANOTHER_LIQUIDITY: Final = 15
PRICED_ALREADY: Final = 16

CAUSES: Final = {
    NO_SHAPE: "a number of topics or a size of data that is not the event's",
    NO_HEX: "a word that is not hex",
    NO_UINT112: "a value beyond uint112",
    NO_UINT128: "a value beyond uint128",
    NO_INT24: "a value beyond int24",
    NO_SUCH_PRICE: "a price that no pool has",
    ANOTHER_TICK: "a tick that is not the price's",
    ANOTHER_LIQUIDITY: "a liquidity that the ticks do not add up to",
    PRICED_ALREADY: "an Initialize of a pool that has a price",
    NO_PRICE: "an event in a pool without a price",
    NO_RANGE: "a position between ticks that no pool has",
    TOO_MUCH_TAKEN: "a position with less liquidity than is taken",
    TOO_MUCH_HELD: "a position with more liquidity than a tick can hold",
    GROSS_UNKNOWN: "a position at a tick whose gross liquidity is not known",
    OFF_SPACING: "a position off the tick spacing",
    NET_LEFT: "a position at a tick that keeps net liquidity without gross",
}
"""What a cause says to a person."""

# ---- what `apply_logs` answers

DONE: Final = 0
SLOT_FULL: Final = 1
UNDO_FULL: Final = 2

NEXT: Final = 0
TEXT_AT: Final = 1
ROWS_TOUCHED: Final = 2
PROGRESS: Final = 3

_WORD: Final = 64
_PREFIX: Final = 2
_TOPIC: Final = _PREFIX + _WORD
_OPCODE_MASK: Final = (1 << OPCODE_BITS) - 1
_NO_DIGIT: Final = np.uint64(16)
_DIGIT: Final = np.uint64(15)
_DIGIT_BITS: Final = np.uint64(4)
_ZERO: Final = np.uint64(0)


def _digits() -> NDArray[np.uint64]:
    values = np.full(256, 16, np.uint64)
    for digit, character in enumerate("0123456789abcdef"):
        values[ord(character)] = values[ord(character.upper())] = digit
    return values


_DIGITS: Final = _digits()
_TEXT_SIZES: Final = np.array(
    [
        0
        if op == MISSHAPEN
        else _PREFIX + _WORD * words + (2 * _TOPIC if op in {MINT, BURN} else 0)
        for op, words in enumerate(DATA_WORDS)
    ],
    np.int64,
)
_UINT112 = constant(2**112 - 1)
_INT24_END = constant(2**23)
_INT24_BEGIN = constant(2**256 - 2**23)


@kernel("Tuple((b1, U256))(u1[::1], i8)")
def word_at(text: TextArray, at: int) -> tuple[bool, Word]:
    """Return whether 64 characters are hex, and the word that they write."""
    seen = _ZERO
    limbs = (_ZERO, _ZERO, _ZERO, _ZERO)
    for place in range(4):
        value = _ZERO
        for k in range(16):
            digit = _DIGITS[text[at + 16 * place + k]]
            seen |= digit
            value = (value << _DIGIT_BITS) | (digit & _DIGIT)
        limbs = (limbs[1], limbs[2], limbs[3], value)
    return seen & _NO_DIGIT == _ZERO, from_limbs(limbs[0], limbs[1], limbs[2], limbs[3])


@kernel("b1(u1[::1], i8, i8)")
def _are_hex(text: TextArray, at: int, words: int) -> bool:
    """Return whether words are hex."""
    seen = _ZERO
    for k in range(at, at + words * _WORD):
        seen |= _DIGITS[text[k]]
    return bool(seen & _NO_DIGIT == _ZERO)


@kernel("Tuple((b1, i8))(U256)")
def _int24(word: Word) -> tuple[bool, int]:
    """Return whether a word is an int24, sign-extended, and its value."""
    fits = word < _INT24_END() or word >= _INT24_BEGIN()
    return fits, int(np.int64(limb(word, 0)))


@kernel("i8(U256, U256)")
def _price_and_tick(price: Word, tick: Word) -> int:
    """Return the cause why a pool cannot stand at a price and a tick, or 0."""
    fits, index = _int24(tick)
    if not fits:
        return NO_INT24
    if price < LOWEST() or price >= HIGHEST():
        return NO_SUCH_PRICE
    # A swap that ends on a tick from above is already below it.
    if index < MIN_TICK - 1 or index >= MAX_TICK:
        return ANOTHER_TICK
    if price < sqrt_at_tick(index) or price > sqrt_at_tick(index + 1):
        return ANOTHER_TICK
    return FITS


@kernel("i8(i8, i8, u1[::1], i8)")
def _sync(table: int, row: int, text: TextArray, at: int) -> int:
    first, reserve0 = word_at(text, at)
    second, reserve1 = word_at(text, at + _WORD)
    if not (first and second):
        return NO_HEX
    if reserve0 > _UINT112() or reserve1 > _UINT112():
        return NO_UINT112
    save(table, row)
    held = exact(table)
    store(held, 2 * row, reserve0)
    store(held, 2 * row + 1, reserve1)
    return FITS


@kernel("i8(i8, i8, u1[::1], i8, i8)")
def _swap(table: int, row: int, text: TextArray, at: int, words: int) -> int:
    first, price = word_at(text, at + 2 * _WORD)
    second, liquidity = word_at(text, at + 3 * _WORD)
    third, tick = word_at(text, at + 4 * _WORD)
    if not (first and second and third and _are_hex(text, at, 2)):
        return NO_HEX
    if words > 5 and not _are_hex(text, at + 5 * _WORD, words - 5):
        return NO_HEX
    held = exact(table)
    if load(held, 2 * row) == ZERO():
        return NO_PRICE
    if liquidity > UINT128():
        return NO_UINT128
    cause = _price_and_tick(price, tick)
    if cause != FITS:
        return cause
    about = shape(table)
    _, index = _int24(tick)
    ticks = ticks_of(table, row)
    nets = tick_words_of(table, row)
    count = len(ticks)
    here = about[row, PLACE]
    there = place_above(ticks, index) - 1
    depth = load(held, 2 * row + 1)
    for place in range(here + 1, there + 1):
        depth += load(nets, count + place)
    for place in range(here, there, -1):
        depth -= load(nets, count + place)
    if depth != liquidity:
        return ANOTHER_LIQUIDITY
    save(table, row)
    store(held, 2 * row, price)
    store(held, 2 * row + 1, liquidity)
    about[row, TICK] = index
    about[row, PLACE] = there
    return FITS


@kernel("i8(i8, i8, u1[::1], i8)")
def _initialize(table: int, row: int, text: TextArray, at: int) -> int:
    first, price = word_at(text, at)
    second, tick = word_at(text, at + _WORD)
    if not (first and second):
        return NO_HEX
    held = exact(table)
    if load(held, 2 * row) != ZERO():
        return PRICED_ALREADY
    cause = _price_and_tick(price, tick)
    if cause != FITS:
        return cause
    save(table, row)
    store(held, 2 * row, price)
    shape(table)[row, TICK] = _int24(tick)[1]
    shape(table)[row, PLACE] = -1
    return FITS


@kernel("i8(i8, i8, u1[::1], i8, b1)")
def _position(table: int, row: int, text: TextArray, at: int, minted: bool) -> int:
    words = 4 if minted else 3
    whole = _are_hex(text, at, words)
    _, amount = word_at(text, at + (_WORD if minted else 0))
    behind = at + words * _WORD + _PREFIX
    first, low = word_at(text, behind)
    second, high = word_at(text, behind + _TOPIC)
    if not (whole and first and second):
        return NO_HEX
    if amount > UINT128():
        return NO_UINT128
    low_fits, lower = _int24(low)
    high_fits, upper = _int24(high)
    if not (low_fits and high_fits):
        return NO_INT24
    if not is_range(lower, upper):
        return NO_RANGE
    if amount == ZERO():
        return FITS  # only settles fees
    change = amount if minted else negate(amount)
    cause = why_not_position(table, row, lower, upper, change)
    if cause != FITS:
        return cause
    save(table, row)
    save_position(table, row, lower, upper, change)
    shift_position(table, row, lower, upper, change)
    return FITS


@kernel("i8(i8, i8, i8, u1[::1], i8)")
def _apply(table: int, row: int, opcode: int, text: TextArray, at: int) -> int:
    """Apply one event, its data at `at` behind the prefix.

    Returns:
        The cause why it does not fit, 0 when it does.
    """
    if opcode == SYNC:
        return _sync(table, row, text, at)
    if opcode == SWAP_V3:
        return _swap(table, row, text, at, 5)
    if opcode == SWAP_V3_LONG:
        return _swap(table, row, text, at, 7)
    if opcode == MINT:
        return _position(table, row, text, at, True)
    if opcode == BURN:
        return _position(table, row, text, at, False)
    if opcode == INITIALIZE:
        return _initialize(table, row, text, at)
    return NO_SHAPE


@kernel("i8(i8, i8[::1], u1[::1], i8[::1], i8[::1], i8[::1])")
def apply_logs(
    table: int,
    codes: IntArray,
    text: TextArray,
    causes: IntArray,
    touched: IntArray,
    progress: IntArray,
) -> int:
    """Apply events in order, saving what each changes, and draw the rows that changed.

    Args:
        table: the market's.
        codes: int64[n], row and opcode of each event.
        text: uint8[...], their texts one behind the other, ASCII.
        causes: int64[n], written: why an event was refused, 0 when it was applied.
        touched: int64[>= n], written: the rows that were changed, each once.
        progress: int64[3], zeros at first: the next event, where its text begins, and how many rows
            were touched.

    Returns:
        DONE; or, before the next event and having drawn nothing, SLOT_FULL when its row's slot
        must be moved to a larger one first, or UNDO_FULL when the undo stack has no room.
    """
    seen = stamps(table)
    scope = slot(table, SCOPE)
    while progress[NEXT] < len(codes):
        i = progress[NEXT]
        row, opcode = codes[i] >> OPCODE_BITS, codes[i] & _OPCODE_MASK
        if not has_room(table, MOST_WORDS):
            return UNDO_FULL
        if seen[row, REFUSED] == scope:
            causes[i] = SKIPPED
        else:
            cause = _apply(table, row, opcode, text, progress[TEXT_AT] + _PREFIX)
            if cause == NO_ROOM:
                return SLOT_FULL
            causes[i] = cause
            if cause != FITS:
                seen[row, REFUSED] = scope
            elif seen[row, TOUCHED] != scope:
                seen[row, TOUCHED] = scope
                touched[progress[ROWS_TOUCHED]] = row
                progress[ROWS_TOUCHED] += 1
        progress[TEXT_AT] += _TEXT_SIZES[opcode]
        progress[NEXT] = i + 1
    for k in range(progress[ROWS_TOUCHED]):
        write_image(table, touched[k])
    return DONE
