"""Finding pools: the factories' events, asked for in ranges that the node will answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.domain.events import Log
from searcher.domain.units import Address
from searcher.market.node import Node
from searcher.market.settings import DexSettings, DiscoverySettings


async def announcements(
    node: Node,
    factories: Mapping[Address, tuple[frozenset[str], int]],
    last_block: int,
    tokens: Sequence[Address] | None,
    settings: DiscoverySettings,
) -> AsyncIterator[Log]:
    """Yield the factories' announcements in the chain's order.

    Args:
        node: whom to ask.
        factories: of each factory the events' topics and the first block to look at.
        last_block: the last block to look at.
        tokens: only pools of two of these; of any when None.
        settings: how many blocks to ask for at once.

    Raises:
        Rejected: the node refuses even a single block.
        Retryable: the node does not answer.
    """
    if not factories:
        return
    topics: list[Any] = [sorted({topic for topics, _ in factories.values() for topic in topics})]
    if tokens is not None:
        padded = ["0x" + "0" * 24 + token[2:] for token in tokens]
        topics += [padded, padded]
    begin, width = min(first for _, first in factories.values()), settings.log_range_blocks
    while begin <= last_block:
        end = min(begin + width - 1, last_block)
        query = {
            "fromBlock": hex(begin),
            "toBlock": hex(end),
            "address": list(factories),
            "topics": topics,
        }
        try:
            answer = await node.call("eth_getLogs", [query])
        except NodeUnreachable:
            raise
        except (Rejected, Retryable):
            # Nodes refuse or time out on a range with too much in it, each in other words.
            if begin == end:
                raise
            width = (end - begin + 1) // 2
            continue
        if not isinstance(answer, list):
            raise Rejected("eth_getLogs did not answer a list: use another node")
        for entry in answer:
            log = _log(entry)
            if log.address in factories and not factories[log.address][0].isdisjoint(
                log.topics[:1]
            ):
                yield log
        begin, width = end + 1, min(2 * width, settings.log_range_blocks)


def factories_of(
    dexes: Iterable[tuple[DexSettings, frozenset[str]]], *, not_before: int = 0
) -> dict[Address, tuple[frozenset[str], int]]:
    """Return the events' topics and the first block to look at of each factory."""
    return {
        Address(dex.factory): (topics, max(dex.first_block, not_before)) for dex, topics in dexes
    }


def _log(entry: Any) -> Log:
    try:
        return Log(
            address=Address(entry["address"].lower()),
            topics=tuple(topic.lower() for topic in entry["topics"]),
            data=entry["data"],
            log_index=int(entry["logIndex"], 16),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Rejected(f"eth_getLogs answered something that is no log: {error!r}") from error
