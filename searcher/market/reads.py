"""Reading contracts without I/O: generators that ask for calls, carried out together.

A read is written once, as a generator over the words that views answer; whoever carries it out
decides how many of them share a request.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias, TypeVar

from searcher.domain.events import BlockRef
from searcher.domain.units import Address
from searcher.market.node import Node, read_words

T = TypeVar("T")


class ReadCall(NamedTuple):
    """A contract's view to call, calldata as 0x hex."""

    to: Address
    data: str


Answer: TypeAlias = tuple[int, ...] | str
"""The 32-byte words that a view answered, or why it did not."""

Reads: TypeAlias = Generator[Sequence[ReadCall], Sequence[Answer], T]
"""Reads without I/O: yields the calls it needs, is sent an answer for each, returns what they say.

All calls of one state are answered at one block. It raises `UnreadablePool` when the answers are
not those of such a pool.
"""


class UnreadablePool(ValueError):
    """A contract's answers are not those of a pool of this protocol; the message says which."""


async def carry_out_together(
    reads: Sequence[Reads[T]], node: Node, block: BlockRef, *, batch_calls: int
) -> list[T | str]:
    """Carry out several reads in step, so that their calls share requests.

    Returns:
        For each what it says, or why the pool is unreadable.

    Raises:
        SearcherError: the node does not answer.
    """
    said: list[T | str] = ["" for _ in reads]
    waiting = {i: _advance(generator, None, said, i) for i, generator in enumerate(reads)}
    while running := {i: calls for i, calls in waiting.items() if calls is not None}:
        calls = [call for asked in running.values() for call in asked]
        answers = iter(await read_words(node, calls, block, batch_calls=batch_calls))
        for i, asked in running.items():
            waiting[i] = _advance(reads[i], list(islice(answers, len(asked))), said, i)
    return said


def _advance(
    reads: Reads[T], answers: Sequence[Answer] | None, said: list[T | str], place: int
) -> Sequence[ReadCall] | None:
    """Send a generator its answers; return its next calls, or None when it has ended."""
    try:
        return next(reads) if answers is None else reads.send(answers)
    except StopIteration as stop:
        said[place] = stop.value
    except UnreadablePool as error:
        said[place] = str(error)
    return None
