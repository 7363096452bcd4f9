"""Event logs by slicing their hex; a shape that is not the event's is refused, never guessed."""

from __future__ import annotations

from collections.abc import Sequence

from searcher.domain.events import Log
from searcher.domain.units import Address

_WORD = 64


class MalformedLog(ValueError):
    """A log has a known topic and not that event's shape, or contradicts the pool's state."""


def words(log: Log, *, topics: int, data: int) -> tuple[int, ...]:
    """Return the words of a log's data as unsigned integers.

    Args:
        log: the log.
        topics: how many topics the event has, its signature included.
        data: how many words of data it has.

    Raises:
        MalformedLog: it has another shape.
    """
    text = log.data
    if len(log.topics) != topics or len(text) != 2 + data * _WORD:
        raise MalformedLog(
            f"{len(log.topics)} topics and {len(text) // 2 - 1} bytes instead of {topics} and"
            f" {data * _WORD // 2}"
        )
    return tuple(_hex(text[i : i + _WORD]) for i in range(2, len(text), _WORD))


def log_words(log: Log, topics: int) -> tuple[int, ...]:
    """Return the data of an event with arrays as words.

    Raises:
        MalformedLog: it has another number of topics, or no whole words.
    """
    body = log.data[2:]
    if len(log.topics) != topics or len(body) % 64:
        raise MalformedLog(f"{len(log.topics)} topics and {len(body) // 2} bytes")
    if not (body.isascii() and (body.isalnum() or not body)):
        raise MalformedLog("data that is not hex")
    try:
        return tuple(int(body[i : i + 64], 16) for i in range(0, len(body), 64))
    except ValueError as error:
        raise MalformedLog("data that is not hex") from error


def log_array(words: Sequence[int], place: int) -> tuple[int, ...]:
    """Return the array that the word at `place` of an event's data points to.

    Raises:
        MalformedLog: it does not lie within the data.
    """
    found = array_at(words, place)
    if found is None:
        raise MalformedLog("an array that does not lie within the data")
    return found


def array_at(words: Sequence[int], place: int) -> tuple[int, ...] | None:
    """Return the array that the word at `place` points to; None when it lies not within."""
    if place >= len(words) or words[place] % 32:
        return None
    begin = words[place] // 32
    if begin >= len(words) or begin + 1 + words[begin] > len(words):
        return None
    return tuple(words[begin + 1 : begin + 1 + words[begin]])


def topic_word(log: Log, place: int) -> int:
    """Return an indexed value as an unsigned integer.

    Raises:
        MalformedLog: the topic is not 32 bytes of hex.
    """
    topic = log.topics[place]
    if len(topic) != 2 + _WORD:
        raise MalformedLog(f"a topic of {len(topic) // 2 - 1} bytes")
    return _hex(topic[2:])


def address_of(word: int) -> Address:
    """Return the address in a word.

    Raises:
        MalformedLog: the upper 12 bytes are not zero.
    """
    if word >> 160:
        raise MalformedLog("a word that is not an address")
    return Address(f"0x{word:040x}")


def unsigned(word: int, bits: int) -> int:
    """Return an unsigned integer of `bits` bits.

    Raises:
        MalformedLog: it does not fit.
    """
    if word >> bits:
        raise MalformedLog(f"a value beyond uint{bits}")
    return word


def signed(word: int, bits: int) -> int:
    """Return a two's complement integer of `bits` bits, sign-extended to 256.

    Raises:
        MalformedLog: it does not fit.
    """
    value = word - (1 << 256) if word >> 255 else word
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise MalformedLog(f"a value beyond int{bits}")
    return value


def _hex(digits: str) -> int:
    # int() would also take signs, spaces, underscores and other scripts' digits.
    if not (digits.isascii() and digits.isalnum()):
        raise MalformedLog("a word that is not hex")
    try:
        return int(digits, 16)
    except ValueError as error:
        raise MalformedLog("a word that is not hex") from error
