"""What reading a market may cost: a steady pace, a total, and patience with a node in trouble.

Hosted nodes sell compute units and cut off who takes too many at once; a bootstrap of a large chain
takes tens of thousands of calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.errors import LimitTripped, NodeUnreachable, Retryable
from searcher.domain.settings import Settings, knob
from searcher.market.node import AGGREGATE3, Node

_NS: Final = 1_000_000_000


class BudgetSettings(Settings):
    """What reading the whole market may ask of the node: the `[discovery.budget]` table."""

    units_per_second: float = knob(
        0.0,
        why="calls in a second, or units where method_units weighs them; 0 for as fast as it goes",
        unit="calls or units",
        ge=0,
        le=1_000_000,
    )
    most_units: int = knob(
        0,
        why="calls, or units, of one reading; beyond it stops, to go on at the next start; 0 for"
        " no end",
        unit="calls or units",
        ge=0,
    )
    method_units: dict[str, int] = knob(
        {}, why="what a call of a method counts, by its name; 1 for those not named"
    )
    attempts: int = knob(
        6, why="tries of a request that the node does not answer", unit="requests", ge=1, le=100
    )
    first_wait_ms: int = knob(
        250, why="wait before the second try; twice as long each time", unit="ms", ge=1, le=60_000
    )
    longest_wait_ms: int = knob(
        30_000, why="no wait is longer than this", unit="ms", ge=1, le=600_000
    )


class BudgetSpent(LimitTripped):
    """A reading has used up what it may ask: what it found is kept, the next start goes on."""


class BudgetStatistics(Struct, frozen=True):
    """Requests and their units so far, tries that failed, and time spent waiting."""

    requests: int
    units: int
    repeated: int
    waited_ns: int


class BudgetedNode:
    """A node, asked no more and no faster than a budget allows; implements `market.node.Node`.

    Args:
        node: whom to ask.
        settings: the budget.
        clock: its time, and the way to wait.
    """

    def __init__(self, node: Node, settings: BudgetSettings, clock: Clock) -> None:
        self._node = node
        self._settings = settings
        self._clock = clock
        self._free_ns = clock.monotonic_ns()
        self._requests = self._units = self._repeated = self._waited_ns = 0

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one request.

        Raises:
            BudgetSpent: the budget does not allow it.
            Retryable: the node does not answer, for `attempts` times. What may be too much for it,
                a range of logs or many views in one call, is tried twice: a smaller part may do.
            Rejected: the node refuses it.
        """
        large = _is_large(method, params)
        for attempt in range(self._settings.attempts):
            await self._take([method])
            try:
                return await self._node.call(method, params)
            except Retryable as error:
                few = large and not isinstance(error, NodeUnreachable)
                await self._wait_after(error, attempt, 2 if few else self._settings.attempts)
        raise AssertionError("the last attempt returns or raises")

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return a result per call, in order; a refused one is its exception.

        Raises:
            BudgetSpent, Retryable, Rejected: as for `call`.
        """
        for attempt in range(self._settings.attempts):
            await self._take([method for method, _ in calls])
            try:
                return await self._node.batch_settled(calls)
            except Retryable as error:
                await self._wait_after(error, attempt, self._settings.attempts)
        raise AssertionError("the last attempt returns or raises")

    def statistics(self) -> BudgetStatistics:
        """Return the counters so far."""
        return BudgetStatistics(self._requests, self._units, self._repeated, self._waited_ns)

    async def _take(self, methods: Sequence[str]) -> None:
        """Count a request, and wait until the pace allows it."""
        settings = self._settings
        units = units_of(methods, settings.method_units)
        if settings.most_units and self._units + units > settings.most_units:
            raise BudgetSpent(
                f"the budget of {settings.most_units} units is spent: start again to go on, or"
                " raise discovery.budget.most_units"
            )
        self._units += units
        self._requests += 1
        if not settings.units_per_second:
            return
        now = self._clock.monotonic_ns()
        begin = max(now, self._free_ns)
        self._free_ns = begin + int(units * _NS / settings.units_per_second)
        await self._wait(begin - now)

    async def _wait_after(self, error: Retryable, attempt: int, attempts: int) -> None:
        settings = self._settings
        if attempt + 1 >= attempts:
            raise error
        self._repeated += 1
        wait_ms = min(settings.first_wait_ms << attempt, settings.longest_wait_ms)
        await self._wait(wait_ms * 1_000_000)

    async def _wait(self, span_ns: int) -> None:
        if span_ns > 0:
            self._waited_ns += span_ns
            await self._clock.sleep(span_ns / _NS)


def units_of(methods: Sequence[str], method_units: Mapping[str, int]) -> int:
    """Return what calls of these methods count."""
    return sum(method_units.get(method, 1) for method in methods)


def _is_large(method: str, params: Sequence[Any]) -> bool:
    """Return whether logs of more than one block are asked for, or many views in one call."""
    first = params[0] if params else {}
    if method == "eth_getLogs":
        return bool(first.get("fromBlock") != first.get("toBlock"))
    return method == "eth_call" and (len(params) > 2 or first["data"].startswith(AGGREGATE3))
