"""Finding pools: announcements in ranges that the node will answer, lists, and what completes them.

What is found is written down range by range, so that a bootstrap that is killed, or whose budget is
spent, goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.domain.events import BlockRef, Log
from searcher.domain.units import Address
from searcher.market.census import Census, LogQuery
from searcher.market.checkpoint import FORMAT, Checkpoint, FoundPool, Scope, Step
from searcher.market.node import Node
from searcher.market.settings import DiscoverySettings

_GROWTH: Final = 2
"""After a range that was answered the next is so many times as wide, up to the setting."""


class Progress(Struct, frozen=True):
    """How far a bootstrap is.

    `done` of `total` are blocks while pools are looked for (`what` is "blocks"), pools while their
    states are read ("pools"). `pools` is how many were found so far, `requests` how many the node
    was asked.
    """

    chain: str
    what: str
    done: int
    total: int
    pools: int
    requests: int = 0


Watch = Callable[[Progress], None]


class LogRange(NamedTuple):
    """The logs of blocks `begin` to `end`, in the chain's order."""

    begin: int
    end: int
    logs: list[Log]


async def announcements(
    node: Node,
    queries: Callable[[int], Sequence[LogQuery]],
    blocks: range,
    settings: DiscoverySettings,
) -> AsyncIterator[LogRange]:
    """Yield the logs that were asked for, a range of blocks at a time.

    Args:
        node: whom to ask.
        queries: given the last block of a range, whose logs are asked for, and which.
        blocks: where to look.
        settings: how many blocks to ask for at once; fewer where the node finds it too many.

    Raises:
        Rejected: the node refuses even a single block, or answers something that is no log.
        Retryable: the node does not answer.
    """
    begin, width = blocks.start, settings.log_range_blocks
    while begin < blocks.stop:
        end = min(begin + width, blocks.stop) - 1
        try:
            logs = [log for query in queries(end) for log in await _logs(node, query, begin, end)]
        except NodeUnreachable:
            raise
        except (Rejected, Retryable):
            # Nodes refuse or time out on a range with too much in it, each in other words.
            if begin == end:
                raise
            width = (end - begin + 1) // 2
            continue
        yield LogRange(begin, end, logs)
        begin, width = end + 1, min(_GROWTH * width, settings.log_range_blocks)


async def _block(node: Node, number: int) -> BlockRef | None:
    """Return the block of a height as the node knows it, None when it knows none."""
    answer = await node.call("eth_getBlockByNumber", [hex(number), False])
    try:
        return None if answer is None else BlockRef(number, answer["hash"].lower())
    except (KeyError, TypeError, AttributeError) as error:
        raise Rejected(f"eth_getBlockByNumber answered no block: {error!r}") from error


async def _logs(node: Node, query: LogQuery, begin: int, end: int) -> list[Log]:
    asked = {
        "fromBlock": hex(begin),
        "toBlock": hex(end),
        "address": list(query.announcers),
        "topics": list(query.topics),
    }
    answer = await node.call("eth_getLogs", [asked])
    if not isinstance(answer, list):
        raise Rejected("eth_getLogs did not answer a list: use another node")
    return [_log(entry) for entry in answer]


class Discovery:
    """Finds every pool of a chain's DEXes up to a block.

    Args:
        chain: the chain's config name.
        chain_id: its EIP-155 id.
        census: its announcers.
        settings: how pools are looked for.
        tokens: only pools of these are wanted; None for any.
        folder: where what was found is written down; None keeps nothing.
        watch: told of every step.
    """

    def __init__(
        self,
        chain: str,
        chain_id: int,
        census: Census,
        settings: DiscoverySettings,
        *,
        tokens: AbstractSet[Address] | None = None,
        folder: Path | None = None,
        watch: Watch = lambda _: None,
    ) -> None:
        self._tokens = tokens
        self._scope = Scope(FORMAT, chain, chain_id, _digest(census, tokens))
        self._census = census
        self._settings = settings
        self._path = None if folder is None else folder / f"{chain}.found"
        self._watch = watch
        self._listed: dict[str, int] = {}

    async def find(self, node: Node, head: BlockRef) -> list[FoundPool]:
        """Return every pool that is announced, listed or configured up to `head`.

        What an earlier call wrote down is not asked for again, but for the last `rescan_blocks`,
        which a reorganisation may have replaced.

        Raises:
            SearcherError: the node does not answer, or the budget is spent; what was found so far
                is kept where there is a folder.
        """
        if self._path is None:
            return await self._find(node, head, None, 0)
        with Checkpoint(self._path, self._scope) as checkpoint:
            anchor = checkpoint.anchor
            if anchor is not None and await _block(node, anchor.number) != anchor:
                checkpoint.restart()
                self._listed.clear()
            self._listed.update(checkpoint.listed)
            return await self._find(node, head, checkpoint, 0)

    async def find_since(self, node: Node, head: BlockRef, first_block: int) -> list[FoundPool]:
        """Return every pool that was announced from a block on, or that a list has since.

        Nothing is written down: who knows the pools before has them from `find` and from logs.

        Raises:
            SearcherError: the node does not answer.
        """
        return await self._find(node, head, None, first_block)

    async def complete(self, node: Node, block: BlockRef) -> list[FoundPool]:
        """Return the pools that announcements since have left to reads.

        Raises:
            SearcherError: the node does not answer; call again.
        """
        batch_calls = self._settings.batch_calls
        found = await self._census.complete(node, block, batch_calls=batch_calls)
        names = sorted(self._census.waiting().lists)
        if names:
            more, places = await self._census.read_lists(
                node, block, self._listed, batch_calls=batch_calls, names=names
            )
            found += more
            self._listed.update(places)
        return found

    @property
    def listed(self) -> dict[str, int]:
        """How far the list of each DEX was read, by its name."""
        return dict(self._listed)

    def relist(self, listed: dict[str, int]) -> None:
        """Go back to an earlier `listed`, of a block that is the head again."""
        self._listed = dict(listed)

    async def _find(
        self, node: Node, head: BlockRef, checkpoint: Checkpoint | None, not_before: int
    ) -> list[FoundPool]:
        pools = {} if checkpoint is None else dict(checkpoint.pools)
        first = max(self._census.first_block, not_before)
        if checkpoint is not None and checkpoint.last_block >= first:
            first = max(first, checkpoint.last_block + 1 - self._settings.rescan_blocks)

        anchor = None
        if checkpoint is not None:
            anchor = await _block(node, max(0, head.number - self._settings.rescan_blocks))

        def keep(step: Step) -> None:
            new = tuple(pool for pool in step.pools if pool.id not in pools)
            pools.update((pool.id, pool) for pool in new)
            if checkpoint is not None:
                checkpoint.add(Step(step.last_block, new, step.listed, anchor))

        batch_calls = self._settings.batch_calls
        found, places = await self._census.read_lists(
            node, head, self._listed, batch_calls=batch_calls
        )
        self._listed.update(places)
        before = -1 if checkpoint is None else checkpoint.last_block
        keep(Step(before, tuple(found), places))
        blocks = range(first, head.number + 1)
        queries = partial(self._census.queries, self._tokens)
        if not queries(head.number):
            return list(pools.values())
        async for part in announcements(node, queries, blocks, self._settings):
            announced = [pool for log in part.logs for pool in self._census.take(log)]
            announced += await self._census.complete(node, head, batch_calls=batch_calls)
            keep(Step(part.end, tuple(announced)))
            done = part.end + 1 - blocks.start
            self._watch(
                Progress(self._scope.chain, "blocks", done, max(1, len(blocks)), len(pools))
            )
        return list(pools.values())


def _digest(census: Census, tokens: AbstractSet[Address] | None) -> str:
    """Return a hash of everything that decides what is found."""
    wanted = "any" if tokens is None else ",".join(sorted(tokens))
    text = f"{census.digest} {wanted}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


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
