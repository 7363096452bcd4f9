"""The tripwire: at every block a few pools are read again from the node, and must be as held.

A pool that differs is out of the search at once, and the cause is looked for in what the node says
of the blocks since the pool last agreed. Nothing heals by itself: what differed once stays set
aside until the market is read anew. A node that answers for another block than it was asked about
is not the pool's fault; it is counted as the node's, and stops the chain when it goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import structlog
from msgspec import Struct
from msgspec.structs import replace

from searcher.chains.blocks import parse_log
from searcher.domain.errors import InvariantBroken, Rejected, Retryable, SearcherError
from searcher.domain.events import BlockRef, Log
from searcher.market.decoding import MalformedLog
from searcher.market.node import Node, read_words
from searcher.market.protocol import FollowedProtocol, Pool
from searcher.market.settings import TripwireSettings

BALANCE_OF: Final = "0x70a08231"

_BATCH_CALLS: Final = 100
_TRIES: Final = 4
"""Draws for each pool that is wanted: what is drawn may be out of the search already."""

_log = structlog.get_logger(__name__)


class Drift(StrEnum):
    """Why a pool is not as the market holds it."""

    MISSED_LOG = "missed log"
    UNHANDLED_REORG = "unhandled reorg"
    SILENT_CHANGE = "storage changed without event"
    LYING_POOL = "pool lies about its reserves"
    UNREADABLE = "pool no longer answers"
    UNEXPLAINED = "cause not found"


class NodeFault(StrEnum):
    """What the node did wrong, while the pool may be right."""

    OTHER_BLOCK = "node answered for another block"
    DIVERGED = "node contradicts itself"
    SILENT = "node does not answer for the block"


class Finding(NamedTuple):
    """A pool that was set aside, by its number, and why."""

    pool: int
    drift: Drift
    why: str


class TripwireStatistics(Struct, frozen=True):
    """Counters since the start: blocks and pools checked, and what came of them by cause."""

    blocks: int
    pools: int
    drifts: dict[str, int]
    node_faults: dict[str, int]
    unchecked: dict[str, int]


class Watched(Protocol):
    """What a market must offer to be checked; `market.market.Market` does."""

    chain: str
    head: BlockRef | None

    @property
    def pools(self) -> list[Pool]:
        """Return all pools, by number."""

    def state(self, number: int) -> Any:
        """Return a pool's exact state."""

    def protocol_of(self, number: int) -> FollowedProtocol[Any]:
        """Return a pool's protocol."""

    def is_searched(self, number: int) -> bool:
        """Return whether any row of a pool is searched."""

    def set_aside(self, token_or_pool: str, reason: str) -> None:
        """Take a pool out of the search."""


class Tripwire:
    """The checks of one chain's market.

    Args:
        market: whose.
        node: the node that is asked.
        settings: how much is checked.
    """

    def __init__(self, market: Watched, node: Node, settings: TripwireSettings) -> None:
        self._market = market
        self._node = node
        self._settings = settings
        self._sampler = _Sampler()
        self._recent: deque[BlockRef] = deque(maxlen=settings.window_blocks + 1)
        self._agreed: dict[int, int] = {}
        self._checking = False
        self._faults_in_a_row = 0
        self._blocks = self._pools = 0
        self._drifts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._unchecked: Counter[str] = Counter()

    def statistics(self) -> TripwireStatistics:
        """Return the counters."""
        return TripwireStatistics(
            self._blocks,
            self._pools,
            dict(self._drifts),
            dict(self._faults),
            dict(self._unchecked),
        )

    def begin(self) -> None:
        """Forget what was: the market was read, or taken up, anew."""
        self._recent.clear()
        self._agreed.clear()
        self.on_block(())

    def on_block(self, changed: Iterable[int]) -> None:
        """Take note of the market's new head, and of the pools that its block changed."""
        head = self._market.head
        if head is None:
            return
        while self._recent and self._recent[-1].number >= head.number:
            unwound = self._recent.pop().number
            self._agreed = {p: number for p, number in self._agreed.items() if number < unwound}
        self._recent.append(head)
        self._sampler.changed(changed)

    async def check(self) -> None:
        """Look at a sample at the market's head; see `findings`.

        Raises:
            InvariantBroken: the node answered for another block again and again.
        """
        await self.findings()

    async def findings(self) -> list[Finding]:
        """Read a sample again at the market's head, and set aside what differs.

        A check that is still under way makes this one pass: the node is slow enough then.

        Raises:
            InvariantBroken: the node answered for another block again and again.
        """
        block = self._market.head
        if block is None or not self._settings.pools:
            return []
        if self._checking:
            self._unchecked["the last check still runs"] += 1
            return []
        self._checking = True
        try:
            async with asyncio.timeout(self._settings.budget_ms / 1000):
                return await self._check(block)
        except TimeoutError:
            self._unchecked["beyond budget_ms"] += 1
        except (Retryable, Rejected) as error:
            self._unchecked[type(error).__name__] += 1
        finally:
            self._checking = False
        return []

    async def _check(self, block: BlockRef) -> list[Finding]:
        sample = self._sample(block)
        # States are immutable, and taken before anything is waited for: they are those of `block`.
        held = {number: self._market.state(number) for number in sample}
        node = _Budget(self._node, self._settings.calls)
        self._blocks += 1
        try:
            found = await self._read(node, sample, block)
            doubtful = [n for n in sample if not self._agrees(n, held[n], found[n])]
            if (
                doubtful
                and len(doubtful) == len(sample)
                and all(isinstance(found[n], str) for n in doubtful)
            ):
                self._faults[NodeFault.SILENT] += 1
                self._sampler.changed(sample)
                return []
            findings = await self._hold_to_balances(node, block, held, doubtful)
        except _BudgetSpent:
            self._unchecked["beyond calls"] += 1
            return []
        self._sampler.changed(doubtful)  # looked at again until it is known what is the matter
        findings += await self._settle(block, held, found, doubtful)
        aside = {finding.pool for finding in findings}
        for number in sample:
            if number not in aside and number not in doubtful:
                self._agreed[number] = block.number
        self._pools += len(sample)
        for finding in findings:
            self._report(block, finding)
        return findings

    def _sample(self, block: BlockRef) -> list[int]:
        """Choose pools: the block's hash decides, which a replay repeats and nobody foresees."""
        draw = random.Random(block.hash)  # noqa: S311  chance that repeats, not a secret
        return self._sampler.draw(
            self._settings.pools, draw, len(self._market.pools), self._market.is_searched
        )

    async def _read(self, node: Node, numbers: Sequence[int], block: BlockRef) -> dict[int, Any]:
        """Return of each pool the state that the node gives at a block, or why there is none."""
        found: dict[int, Any] = {}
        by_protocol: dict[str, list[int]] = {}
        for number in numbers:
            by_protocol.setdefault(self._market.pools[number].protocol, []).append(number)
        for of_protocol in by_protocol.values():
            protocol = self._market.protocol_of(of_protocol[0])
            pools = [self._market.pools[number] for number in of_protocol]
            states = await protocol.read(node, pools, block, batch_calls=_BATCH_CALLS)
            found.update(zip(of_protocol, states, strict=True))
        return found

    def _agrees(self, number: int, held: Any, found: Any) -> bool:
        return _same(self._market.protocol_of(number), held, found)

    # ---- what differs

    async def _settle(
        self,
        block: BlockRef,
        held: Mapping[int, Any],
        found: Mapping[int, Any],
        doubtful: Sequence[int],
    ) -> list[Finding]:
        """Read what differs a second time at the same hash, and find the causes of what still does.

        Raises:
            InvariantBroken: the node gave another answer to the same question too often.
        """
        again = await self._read(self._node, doubtful, block)
        faults, findings = 0, []
        for number in doubtful:
            if self._agrees(number, held[number], again[number]):
                self._faults[NodeFault.OTHER_BLOCK] += 1
                faults += 1
            elif not self._agrees(number, found[number], again[number]):
                self._faults[NodeFault.DIVERGED] += 1
                faults += 1
            else:
                finding = await self._explain(block, number, again[number])
                if finding is not None:
                    findings.append(finding)
        self._count_faults(faults)
        return findings

    def _count_faults(self, faults: int) -> None:
        self._faults_in_a_row = self._faults_in_a_row + 1 if faults else 0
        if self._faults_in_a_row >= self._settings.node_faults:
            raise InvariantBroken(
                f"the node of {self._market.chain} answered for another block than it was asked"
                f" about at {self._faults_in_a_row} blocks in a row: follow another node"
            )

    async def _explain(self, block: BlockRef, number: int, found: Any) -> Finding | None:
        """Return why a pool differs, or None when its block was reorganised away meanwhile."""
        if isinstance(found, str):
            return Finding(number, Drift.UNREADABLE, found)
        gone = await _not_canonical(self._node, [*self._recent, block])
        if block in gone:
            self._unchecked["reorganised meanwhile"] += 1
            return None
        since = self._since(number, block)
        if since is None:
            return Finding(number, Drift.UNEXPLAINED, "it was not watched before this block")
        if gone:
            why = f"block {gone[0].number} {gone[0].hash}, which was applied, is not the node's"
            return Finding(number, Drift.UNHANDLED_REORG, why)
        pool, protocol = self._market.pools[number], self._market.protocol_of(number)
        logs = await _logs_of(self._node, protocol, pool, since, block)
        before = (await self._read(self._node, [number], since))[number]
        return self._judge(number, since, _replayed(protocol, before, logs), found, logs)

    def _judge(
        self, number: int, since: BlockRef, replayed: Any, found: Any, logs: Sequence[Log]
    ) -> Finding:
        """Say which of the causes fits what the node's logs make of the pool since a block."""
        if self._agreed.get(number) == since.number and not logs:
            # Whatever the node says of that block by now: it said then what is held.
            why = f"it emitted nothing since block {since.number}, at which it agreed"
            return Finding(number, Drift.SILENT_CHANGE, why)
        if replayed is None:
            why = f"its state at block {since.number} cannot be read any more"
            return Finding(number, Drift.UNEXPLAINED, why)
        if not self._agrees(number, found, replayed):
            why = f"its {len(logs)} logs since block {since.number} do not lead to what it holds"
            return Finding(number, Drift.SILENT_CHANGE, why)
        if logs:
            why = f"the node has {len(logs)} logs since block {since.number} that lead to its state"
            return Finding(number, Drift.MISSED_LOG, why)
        return Finding(number, Drift.UNEXPLAINED, f"it differs since before block {since.number}")

    def _since(self, number: int, block: BlockRef) -> BlockRef | None:
        """Return the last remembered block at which a pool agreed, or else the oldest one."""
        before = [ref for ref in self._recent if ref.number < block.number]
        agreed = self._agreed.get(number)
        oldest = before[0] if before else None
        return next((ref for ref in before if ref.number == agreed), oldest)

    async def _hold_to_balances(
        self, node: Node, block: BlockRef, held: Mapping[int, Any], doubtful: Sequence[int]
    ) -> list[Finding]:
        """Find pools that agree and say that they hold more than their tokens say."""
        claims = [
            (number, token, reserve)
            for number, state in held.items()
            if number not in doubtful and isinstance(state, TwoReserves)
            for token, reserve in zip(
                self._market.pools[number].tokens, (state.reserve0, state.reserve1), strict=True
            )
        ]
        calls = [
            (token, BALANCE_OF + self._market.pools[number].address[2:].rjust(64, "0"))
            for number, token, _ in claims
        ]
        balances = await read_words(node, calls, block, batch_calls=_BATCH_CALLS)
        findings: dict[int, Finding] = {}
        for (number, token, reserve), balance in zip(claims, balances, strict=True):
            if isinstance(balance, str):
                why = f"balanceOf of {token}: {balance}"
                findings[number] = Finding(number, Drift.UNREADABLE, why)
            elif balance[0] < reserve:
                why = f"its reserve of {token} is {reserve} and it holds {balance[0]}"
                findings[number] = Finding(number, Drift.LYING_POOL, why)
        return list(findings.values())

    def _report(self, block: BlockRef, finding: Finding) -> None:
        pool = self._market.pools[finding.pool]
        self._drifts[finding.drift] += 1
        _log.error(
            "market drifted",
            chain=self._market.chain,
            block=block.number,
            pool=pool.id,
            cause=finding.drift.value,
            why=finding.why,
        )
        self._market.set_aside(pool.id, f"{finding.drift}: {finding.why}")


@runtime_checkable
class TwoReserves(Protocol):
    """A state of a pool that keeps its tokens itself and says how much it has of each."""

    @property
    def reserve0(self) -> int:
        """What it says of the first token."""

    @property
    def reserve1(self) -> int:
        """What it says of the second."""


class _BudgetSpent(SearcherError):
    """A check would ask more of the node than it may."""


class _Budget:
    """A node that answers so many calls and no more."""

    def __init__(self, node: Node, calls: int) -> None:
        self._node = node
        self._left = calls

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Pass one call on."""
        self._spend(1)
        return await self._node.call(method, params)

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Pass many calls on."""
        self._spend(len(calls))
        return await self._node.batch_settled(calls)

    def _spend(self, calls: int) -> None:
        self._left -= calls
        if self._left < 0:
            raise _BudgetSpent("the reads of a block are used up: raise tripwire.calls")


class _Bag:
    """Numbers from which any is drawn at the same cost."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._place: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> None:
        """Put a number in, unless it is there."""
        if number not in self._place:
            self._place[number] = len(self._numbers)
            self._numbers.append(number)

    def discard(self, number: int) -> None:
        """Take a number out, if it is there."""
        place = self._place.pop(number, None)
        if place is None:
            return
        last = self._numbers.pop()
        if last != number:
            self._numbers[place] = last
            self._place[last] = place

    def any(self, draw: random.Random) -> int:
        """Return one of them."""
        return self._numbers[draw.randrange(len(self._numbers))]


class _Sampler:
    """Which pools to check: half that changed since their last check, a quarter never checked."""

    def __init__(self) -> None:
        self._changed = _Bag()
        self._never = _Bag()
        self._known = 0

    def changed(self, pools: Iterable[int]) -> None:
        """Note pools that changed."""
        for pool in pools:
            self._changed.add(pool)

    def draw(
        self, count: int, draw: random.Random, known: int, fit: Callable[[int], bool]
    ) -> list[int]:
        """Return up to `count` different pools out of `known`, all of them fit."""
        for number in range(self._known, known):
            self._never.add(number)
        self._known = known
        chosen: dict[int, None] = {}
        for source, share in ((self._changed, -(-count // 2)), (self._never, -(-count * 3 // 4))):
            for _ in range(_TRIES * count):
                if len(chosen) >= share or not len(source):
                    break
                self._take(source.any(draw), known, fit, chosen)
        for _ in range(_TRIES * count):
            if len(chosen) >= count or not known:
                break
            self._take(draw.randrange(known), known, fit, chosen)
        return list(chosen)

    def _take(
        self, number: int, known: int, fit: Callable[[int], bool], chosen: dict[int, None]
    ) -> None:
        self._changed.discard(number)
        self._never.discard(number)
        if number < known and fit(number):
            chosen[number] = None


def _same(protocol: FollowedProtocol[Any], held: Any, found: Any) -> bool:
    """Return whether two states are the same but for what moves without events."""
    if isinstance(held, str) or isinstance(found, str):
        return bool(held == found)
    if protocol.volatile:
        moving = {name: getattr(held, name) for name in protocol.volatile}
        try:
            found = replace(found, **moving)
        except ValueError:
            return False
    return bool(held == found)


def _replayed(protocol: FollowedProtocol[Any], before: Any, logs: Sequence[Log]) -> Any:
    """Return the state that logs lead to, or None when there is none to begin from."""
    if isinstance(before, str):
        return None
    try:
        for log in logs:
            before = protocol.apply(before, log)
    except MalformedLog as error:
        return str(error)
    return before


async def _not_canonical(node: Node, blocks: Sequence[BlockRef]) -> list[BlockRef]:
    """Return those blocks that the node does not have at their height."""
    calls = [("eth_getBlockByNumber", [hex(block.number), False]) for block in blocks]
    answers = await node.batch_settled(calls)
    return [
        block
        for block, answer in zip(blocks, answers, strict=True)
        if not isinstance(answer, Mapping) or str(answer.get("hash")).lower() != block.hash
    ]


async def _logs_of(
    node: Node, protocol: FollowedProtocol[Any], pool: Pool, since: BlockRef, to: BlockRef
) -> list[Log]:
    """Return a pool's logs above one block up to another, in order."""
    query = {
        "address": pool.address,
        "fromBlock": hex(since.number + 1),
        "toBlock": hex(to.number),
        "topics": [sorted(protocol.topics)],
    }
    answer = await node.call("eth_getLogs", [query])
    try:
        logs = [parse_log(raw) for raw in answer]
    except (TypeError, ValueError) as error:
        raise Rejected(f"eth_getLogs answered something that is no log: {error}") from error
    return [log for log in logs if protocol.pool_key(log) == pool.id]
