"""The blocks between one that was applied long ago and the chain's head, many at once.

Behind a head that is announced, `BlockAssembler` walks back parent by parent. Over thousands of
blocks that would take thousands of round trips; here blocks are asked for by number, a window at a
time, and every one must name the one before it as its parent, so that the way is the same. The logs
of each are asked for by its hash and proven complete as the assembler proves them; an answer of
logs filtered over a range could not be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from searcher.chains.blocks import Head, Unproven, complete_logs, parse_head
from searcher.domain.clock import Clock
from searcher.domain.errors import Retryable
from searcher.domain.events import BlockApplied, BlockHeader

WINDOW: Final = 32
"""Blocks whose headers, and then whose logs, are asked for in one request."""
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


class Batches(Protocol):
    """What is needed of a node: `RpcClient` is one."""

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return a result per request, in order; a refused one is its exception."""


async def missed_blocks(
    chain: str, rpc: Batches, after: BlockHeader, to: BlockHeader, clock: Clock
) -> AsyncIterator[BlockApplied]:
    """Yield the blocks above `after` up to `to`, in order, each with its complete logs.

    Raises:
        Retryable: the node does not answer, does not give a block or its logs even when asked
            again, or was reorganised: what was yielded stands on `after`.
    """
    parent = after
    while parent.number < to.number:
        last = min(parent.number + WINDOW, to.number)
        async for block in _window(chain, rpc, parent, last, clock):
            yield block
            parent = block.header
    if parent.hash != to.hash:
        raise Retryable(
            f"block {to.number} of {chain} changed while the blocks below it were fetched: begin"
            " again from the head"
        )


async def _window(
    chain: str, rpc: Batches, parent: BlockHeader, last: int, clock: Clock
) -> AsyncIterator[BlockApplied]:
    """Yield the blocks above `parent` up to a number; what is not proven is asked for again."""
    cause = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            await clock.sleep(_PAUSE_S * 2**attempt)
        received_ns = clock.monotonic_ns()
        try:
            heads = await _heads(rpc, parent, last, received_ns)
            wanted = [("eth_getLogs", [{"blockHash": head.header.hash}]) for head in heads]
            for head, raw in zip(heads, await rpc.batch_settled(wanted), strict=True):
                logs = complete_logs(head, raw)
                yield BlockApplied(chain, head.header, logs, received_ns, clock.monotonic_ns())
                parent = head.header
        except Unproven as unproven:
            cause = str(unproven)
            continue
        return
    raise Retryable(
        f"the node of {chain} does not give block {parent.number + 1} whole ({cause}): begin again"
    )


async def _heads(rpc: Batches, parent: BlockHeader, last: int, received_ns: int) -> list[Head]:
    numbers = range(parent.number + 1, last + 1)
    answers = await rpc.batch_settled(
        [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
    )
    heads: list[Head] = []
    for answer in answers:
        try:
            head = parse_head(answer, received_ns)
        except (ValueError, TypeError, AttributeError) as error:
            raise Unproven("malformed" if answer is not None else "unknown_block") from error
        if head.header.parent_hash != parent.hash:
            raise Unproven("foreign_block")
        heads.append(head)
        parent = head.header
    return heads
