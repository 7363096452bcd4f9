"""From heads as they arrive to blocks in order, each with logs that are proven complete.

A node announces a head before its log index may know the block, announces some heads twice and
some not at all, and changes its mind. What leaves here is a chain: every block's parent is the
block before it, or a `ChainReorganised` stands between them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import structlog
from msgspec import Struct

from searcher.chains.channel import Channel
from searcher.chains.quantity import quantity
from searcher.domain.clock import Clock
from searcher.domain.errors import Rejected, Retryable
from searcher.domain.events import BlockApplied, BlockHeader, ChainReorganised, Log
from searcher.domain.units import Hash32, address, hash32, keccak256

T = TypeVar("T")

_BLOOM_DIGITS: Final = 512
_LEAST_GAS_LIMIT: Final = 5000
"""No block may have less (yellow paper, section 4.3.4); the base fee rule divides by half of it."""
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.5
_REMEMBERED: Final = 256
"""Applied blocks whose repeated announcement is recognised."""

_log = structlog.get_logger(__name__)


class Requests(Protocol):
    """What is needed of a node: `RpcClient` is one."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one call."""


class Head(Struct, frozen=True):
    """A header as announced, with the bloom filter of its block's logs as an integer."""

    header: BlockHeader
    logs_bloom: int
    received_ns: int


class AssemblerStatistics(Struct, frozen=True):
    """What became of heads: announced again or superseded, filled in, applied, reorganised.

    `too_deep` counts the reorganisations without an ancestor among the blocks applied last.
    `failed_attempts` counts by cause the requests for logs and parents that were asked again.
    """

    applied: int
    reorganised: int
    too_deep: int
    repeated: int
    superseded: int
    filled: int
    failed_attempts: dict[str, int]


def parse_header(raw: Mapping[str, Any]) -> BlockHeader:
    """Return the header in a node's block or `newHeads` JSON.

    Raises:
        ValueError: a field is missing or malformed, as in a block that is still pending.
    """
    try:
        header = BlockHeader(
            number=quantity(raw["number"], bits=63),
            hash=hash32(raw["hash"]),
            parent_hash=hash32(raw["parentHash"]),
            timestamp=quantity(raw["timestamp"], bits=63),
            base_fee_wei=quantity(raw.get("baseFeePerGas") or "0x0"),
            gas_limit=quantity(raw["gasLimit"], bits=63),
            gas_used=quantity(raw["gasUsed"], bits=63),
            coinbase=address(raw["miner"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a block header: {error!r}") from error
    if header.gas_limit < _LEAST_GAS_LIMIT or header.gas_used > header.gas_limit:
        raise ValueError(f"not a block header: {header.gas_used} of {header.gas_limit} gas used")
    return header


def parse_head(raw: Mapping[str, Any], received_ns: int) -> Head:
    """Return the header with its bloom filter.

    Raises:
        ValueError: as for `parse_header`, or the bloom filter is malformed.
    """
    header = parse_header(raw)
    bloom = raw.get("logsBloom")
    if not isinstance(bloom, str) or len(bloom) != 2 + _BLOOM_DIGITS:
        raise ValueError("not a block header: logsBloom is not 256 bytes")
    return Head(header, int(bloom, 16), received_ns)


def parse_log(raw: Mapping[str, Any]) -> Log:
    """Return the log in a node's JSON.

    Raises:
        ValueError: a field is missing or malformed, or the node has taken the log back.
    """
    try:
        where, topics, data = raw["address"], tuple(raw["topics"]), raw["data"]
        if raw.get("removed"):
            raise ValueError("the node has taken this log back")
        if len(where) != 42 or any(len(topic) != 66 for topic in topics) or data[:2] != "0x":
            raise ValueError("not a log: an address, a topic or the data is malformed")
        return Log(
            address=where.lower(),
            topics=tuple(topic.lower() for topic in topics),
            data=data,
            log_index=quantity(raw["logIndex"], bits=63),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a log: {error!r}") from error


def logs_bloom(logs: Iterable[Log]) -> int:
    """Return the bloom filter of `logs` as an integer (yellow paper, section 4.3.1)."""
    bloom = 0
    for log in logs:
        bloom |= _bloom_bits(log.address)
        for topic in log.topics:
            bloom |= _bloom_bits(topic)
    return bloom


def complete_logs(head: Head, raw_logs: Any) -> tuple[Log, ...]:
    """Return a block's logs from a node's answer, complete.

    They are taken for complete when all name this block, are numbered from 0 without a gap, and
    make up exactly the bloom filter that the header, and so its hash, commits to. What that cannot
    show is an answer cut off behind a log after which every address and topic repeats.

    Raises:
        Unproven: they are not.
    """
    try:
        if any(raw["blockHash"].lower() != head.header.hash for raw in raw_logs):
            raise Unproven("foreign_block")
        logs = tuple(map(parse_log, raw_logs))
        bloom = logs_bloom(logs)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unproven("malformed") from error
    if any(log.log_index != i for i, log in enumerate(logs)):
        raise Unproven("log_missing")
    if bloom != head.logs_bloom:
        raise Unproven("bloom_differs")
    return logs


@lru_cache(maxsize=1 << 14)
def _bloom_bits(item: str) -> int:
    digest = keccak256(bytes.fromhex(item[2:]))
    pairs = (int.from_bytes(digest[i : i + 2], "big") & 2047 for i in (0, 2, 4))
    bits = 0
    for bit in pairs:
        bits |= 1 << bit
    return bits


class _Superseded(Exception):
    """A newer head waits: what was being asked for may have been reorganised away."""


class Unproven(Exception):
    """An answer that does not prove itself; its text is the cause it is counted under."""


class BlockAssembler:
    """The blocks of one chain, in order.

    Args:
        chain: the chain's config name.
        rpc: requests to the node that announces the heads.
        heads: where they arrive.
        clock: time of the process.
        gap_depth: how many missed blocks are fetched by walking back along parent hashes; a head
            further away is reported as a reorganisation without an ancestor, because the remedy is
            the same.
        reorg_depth: how many applied blocks a new branch may replace and still be followed from the
            ancestor that it shares with them.
        patience_s: how often a node that fails to give a block which it announced is complained
            about in the log; it is asked on until it does, or until a newer head arrives.
    """

    def __init__(
        self,
        chain: str,
        rpc: Requests,
        heads: Channel[Head],
        *,
        clock: Clock,
        gap_depth: int = 64,
        reorg_depth: int = 64,
        patience_s: float = 10.0,
    ) -> None:
        self._chain = chain
        self._rpc = rpc
        self._heads = heads
        self._clock = clock
        self._gap_depth = gap_depth
        self._patience_ns = int(patience_s * 1e9)
        self._applied: deque[BlockHeader] = deque(maxlen=reorg_depth + 1)
        self._recent: deque[Hash32] = deque(maxlen=_REMEMBERED)
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    async def latest(self) -> BlockHeader:
        """Return the node's head, to begin from.

        Raises:
            SearcherError: as for `RpcClient.call`; `Retryable` when the answer is no block.
        """
        raw = await self._rpc.call("eth_getBlockByNumber", ["latest", False])
        try:
            return parse_header(raw)
        except (ValueError, AttributeError) as error:
            raise Retryable(f"the node of {self._chain} gave no head: {error}") from error

    async def blocks(
        self, after: BlockHeader | None = None
    ) -> AsyncIterator[BlockApplied | ChainReorganised]:
        """Iterate over what happens on top of `after`, without end.

        A `BlockApplied` is the child of the block before it. After a `ChainReorganised` the
        consumer takes its state back to the ancestor, or reads it anew at the head where there is
        none; what follows builds on that. Without `after` the first announced head is applied. An
        unreachable node makes it wait.

        Raises:
            Misconfigured: the node refuses the credentials or has no such address.
        """
        self._applied.clear()
        self._recent.clear()
        if after is not None:
            self._applied.append(after)
            self._recent.extend((after.parent_hash, after.hash))
        while True:
            head = await self._heads.get()
            if head.header.hash in self._recent:
                self._counts["repeated"] += 1
                continue
            try:
                path = await self._path(head)
                if self._applied and (path is None or not self._follows(path[0])):
                    yield self._reorganise(head, path)
                for step in path or ():
                    yield self._apply(step, await self._insist(self._logs, step), head.received_ns)
            except _Superseded:
                self._counts["superseded"] += 1

    def statistics(self) -> AssemblerStatistics:
        """Return the counters so far."""
        return AssemblerStatistics(
            applied=self._counts["applied"],
            reorganised=self._counts["reorganised"],
            too_deep=self._counts["too_deep"],
            repeated=self._counts["repeated"],
            superseded=self._counts["superseded"],
            filled=self._counts["filled"],
            failed_attempts=dict(self._failures),
        )

    async def _path(self, head: Head) -> list[Head] | None:
        """Return the heads up to `head` that follow one of the applied blocks, oldest first.

        The walk goes back along parent hashes; nothing is assumed from block numbers but its end.
        None when it meets no applied block within its bounds.
        """
        path = [head]
        known = {header.hash for header in self._applied}
        while known and path[-1].header.parent_hash not in known:
            number = path[-1].header.number
            ahead = number > self._applied[-1].number + 1
            if number <= self._applied[0].number + 1 or (ahead and len(path) > self._gap_depth):
                return None
            path.append(await self._insist(self._parent, path[-1]))
        self._counts["filled"] += len(path) - 1
        return path[::-1]

    def _follows(self, head: Head) -> bool:
        return head.header.parent_hash == self._applied[-1].hash

    def _apply(self, head: Head, logs: tuple[Log, ...], received_ns: int) -> BlockApplied:
        self._applied.append(head.header)
        self._recent.append(head.header.hash)
        self._counts["applied"] += 1
        return BlockApplied(self._chain, head.header, logs, received_ns, self._clock.monotonic_ns())

    def _reorganise(self, head: Head, path: Sequence[Head] | None) -> ChainReorganised:
        """Go back to the applied block that a path follows, or on to the head without a path."""
        abandoned = self._applied[-1]
        if path is None:
            self._counts["too_deep"] += 1
            self._applied.clear()
            self._applied.append(head.header)
        else:
            while not self._follows(path[0]):
                self._applied.pop()
        base = self._applied[-1]
        _log.warning(
            "chain_reorganised",
            chain=self._chain,
            abandoned=abandoned.number,
            abandoned_hash=abandoned.hash,
            head=head.header.number,
            head_hash=head.header.hash,
            ancestor=base.number if path else None,
        )
        self._recent.clear()
        self._recent.extend(header.hash for header in self._applied)
        self._counts["reorganised"] += 1
        ancestor = base.ref if path else None
        now_ns = self._clock.monotonic_ns()
        return ChainReorganised(self._chain, abandoned.ref, base, now_ns, ancestor)

    async def _parent(self, child: Head) -> Head:
        wanted = child.header.parent_hash
        raw = await self._rpc.call("eth_getBlockByHash", [wanted, False])
        if raw is None:
            raise Unproven("unknown_block")
        try:
            head = parse_head(raw, child.received_ns)
        except (ValueError, AttributeError) as error:
            raise Unproven("malformed") from error
        if head.header.hash != wanted or head.header.number != child.header.number - 1:
            raise Unproven("foreign_block")
        return head

    async def _logs(self, head: Head) -> tuple[Log, ...]:
        """Return the block's logs, complete."""
        raw_logs = await self._rpc.call("eth_getLogs", [{"blockHash": head.header.hash}])
        return complete_logs(head, raw_logs)

    async def _insist(self, ask: Callable[[Head], Awaitable[T]], head: Head) -> T:
        """Ask until the answer proves itself, however long the node is away.

        Raises:
            _Superseded: an attempt failed and a newer head waits.
        """
        complain_ns = self._clock.monotonic_ns() + self._patience_ns
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await ask(head)
            except Unproven as unproven:
                cause, words = str(unproven), ""
            except (Retryable, Rejected) as refused:
                cause, words = type(refused).__name__, str(refused)
            self._failures[cause] += 1
            if len(self._heads):
                raise _Superseded
            if self._clock.monotonic_ns() >= complain_ns:
                complain_ns += self._patience_ns
                number = head.header.number
                _log.warning(
                    "block_incomplete", chain=self._chain, block=number, cause=cause, words=words
                )
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
