"""Many views in one `eth_call`: our code lent to the node, or Multicall3, or a plain batch.

`contracts/src/CallReader.sol` answers `aggregate3` as Multicall3 (mds1/multicall3) does, with one
difference: it gives each view the same gas, so that a failure is the view's own. Of Multicall3 a
failure without a reason may be want of gas; such a view is asked again by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import structlog
from msgspec import Struct

from searcher.domain.artifacts import artifact
from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.domain.units import Address, keccak256
from searcher.market.node import AGGREGATE3, Node

_log = structlog.get_logger(__name__)

MULTICALL3: Final = Address("0xca11bde05977b3631167028862be2a173976ca11")
"""Where it is on every chain that has it: viem 2.57.20, chains."""

_LENS: Final = Address("0x" + keccak256(b"searcher: where a node runs CallReader")[12:].hex())
_WORD: Final = 32
_LEAST_CALLS: Final = 2
"""One view is asked plainly."""


class Way(StrEnum):
    """How views are asked, best first."""

    LENS = "lens"
    MULTICALL3 = "multicall3"
    PLAIN = "plain"


class ViewRefused(Rejected):
    """A view that was asked with others reverted."""


class MulticallStatistics(Struct, frozen=True):
    """How views are asked now, how many were, in how many requests of each way."""

    way: Way
    views: int
    requests: dict[str, int]


class Multicall:
    """A node whose batches of views of one block become single calls; implements `Node`.

    Args:
        node: whom to ask.
        most_calls: views in one call; halved when the node finds it too much.
        gas: what one call may use; None leaves it to the node.
    """

    def __init__(self, node: Node, *, most_calls: int = 400, gas: int | None = None) -> None:
        self._node = node
        self._most_calls = most_calls
        self._gas = gas
        self._way = Way.LENS
        self._views = 0
        self._requests: Counter[str] = Counter()

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one request, asked as it is."""
        return await self._node.call(method, params)

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return a result per call, in order; a refused one is its exception.

        Raises:
            SearcherError: the node does not answer.
        """
        block = _one_block(calls)
        if block is None:
            return await self._node.batch_settled(calls)
        self._views += len(calls)
        answers: list[Any] = []
        width = self._most_calls
        while len(answers) < len(calls):
            part = calls[len(answers) : len(answers) + width]
            if self._way is Way.PLAIN or len(part) < _LEAST_CALLS:
                self._requests[Way.PLAIN] += 1
                answers += await self._node.batch_settled(part)
                continue
            found = await self._together(part, block)
            if found is not None:
                answers += found
            elif len(part) > _LEAST_CALLS:
                width = len(part) // 2
            else:
                self._step_down()
        return answers

    def statistics(self) -> MulticallStatistics:
        """Return the counters so far."""
        return MulticallStatistics(self._way, self._views, dict(self._requests))

    async def _together(
        self, calls: Sequence[tuple[str, Sequence[Any]]], block: Any
    ) -> list[Any] | None:
        """Return the answers of one call, none when another way is to be taken.

        A node that does not know the state override, or a chain without Multicall3, is noticed by
        its empty answer. None says that the node does not get through so many.
        """
        way = self._way
        self._requests[way] += 1
        try:
            answer = await self._node.call("eth_call", self._params(calls, block))
        except NodeUnreachable:
            raise
        except (Rejected, Retryable):
            # What a node finds too much it refuses or times out on, each in other words.
            return None
        if answer == "0x":
            self._step_down()
            return []
        results = _results(answer, len(calls))
        if results is None:
            return None
        return await self._settled(calls, results, doubtful=way is Way.MULTICALL3)

    async def _settled(
        self,
        calls: Sequence[tuple[str, Sequence[Any]]],
        results: Sequence[tuple[bool, str]],
        *,
        doubtful: bool,
    ) -> list[Any]:
        settled: list[Any] = [
            data if succeeded else ViewRefused(f"it reverted with {data}")
            for succeeded, data in results
        ]
        again = [
            place
            for place, (succeeded, data) in enumerate(results)
            if doubtful and not succeeded and data == "0x"
        ]
        if again:
            self._requests[Way.PLAIN] += 1
            answers = await self._node.batch_settled([calls[place] for place in again])
            for place, answer in zip(again, answers, strict=True):
                settled[place] = answer
        return settled

    def _step_down(self) -> None:
        self._way = Way.MULTICALL3 if self._way is Way.LENS else Way.PLAIN
        _log.info("views are asked in another way", way=self._way.value)

    def _params(self, calls: Sequence[tuple[str, Sequence[Any]]], block: Any) -> list[Any]:
        to = _LENS if self._way is Way.LENS else MULTICALL3
        views = [(params[0]["to"], params[0]["data"]) for _, params in calls]
        call = {"to": to, "data": AGGREGATE3 + _arguments(views)}
        if self._gas is not None:
            call["gas"] = hex(self._gas)
        if self._way is Way.MULTICALL3:
            return [call, block]
        return [call, block, {_LENS: {"code": artifact("CallReader").runtime}}]


def _one_block(calls: Sequence[tuple[str, Sequence[Any]]]) -> Any | None:
    """Return the block of calls that are all plain views of one; None when they are not."""
    block = calls[0][1][1] if calls and len(calls[0][1]) > 1 else None
    for method, params in calls:
        plain = method == "eth_call" and len(params) == 2 and params[1] == block
        if not plain or params[0].keys() != {"to", "data"}:
            return None
    return block


def _arguments(views: Sequence[tuple[str, str]]) -> str:
    """Encode (address target, bool allowFailure, bytes callData)[], failures allowed."""
    heads, tails = [], []
    at = _WORD * len(views)
    for to, data in views:
        body = data[2:]
        size = len(body) // 2
        padded = body.ljust(-(-size // _WORD) * _WORD * 2, "0")
        heads.append(f"{at:064x}")
        tails.append(f"{to[2:]:0>64}{1:064x}{3 * _WORD:064x}{size:064x}{padded}")
        at += len(tails[-1]) // 2
    return f"{_WORD:064x}{len(views):064x}{''.join(heads)}{''.join(tails)}"


def _results(answer: Any, count: int) -> list[tuple[bool, str]] | None:
    """Decode (bool success, bytes returnData)[count]; None when the answer is something else."""
    try:
        raw = bytes.fromhex(answer[2:])
    except (TypeError, ValueError):
        return None
    if _word(raw, 0) != _WORD or _word(raw, _WORD) != count:
        return None
    base = 2 * _WORD
    found = []
    for place in range(count):
        head = _word(raw, base + place * _WORD)
        at = None if head is None else base + head
        if at is None or _word(raw, at + _WORD) != 2 * _WORD:
            return None
        succeeded, size = _word(raw, at), _word(raw, at + 2 * _WORD)
        begin = at + 3 * _WORD
        if succeeded not in (0, 1) or size is None or begin + size > len(raw):
            return None
        found.append((bool(succeeded), "0x" + raw[begin : begin + size].hex()))
    return found


def _word(raw: bytes, at: int) -> int | None:
    """Return the word at a place, None beyond the end."""
    return int.from_bytes(raw[at : at + _WORD], "big") if at + _WORD <= len(raw) else None
