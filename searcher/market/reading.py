"""Carrying out a protocol's reads on a node, all at one block."""

from __future__ import annotations

from typing import TypeVar

from searcher.domain.events import BlockRef
from searcher.market.node import Node, read_words
from searcher.market.protocol import Reads

T = TypeVar("T")


async def carry_out(reads: Reads[T], node: Node, block: BlockRef, *, batch_calls: int = 100) -> T:
    """Answer a protocol's reads on the state of exactly `block`, and return what they say.

    Raises:
        UnreadablePool: the answers are not those of a pool of that protocol.
        Retryable: the node does not answer.
    """
    try:
        calls = next(reads)
        while True:
            answers = await read_words(node, calls, block, batch_calls=batch_calls)
            calls = reads.send(answers)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration is not generic
