"""Sums over a moving span of time."""

from __future__ import annotations

from collections import deque


class MovingSum:
    """The sum of named amounts that are younger than a span.

    Every operation takes constant time, amortised.

    Args:
        span_ns: how long an amount counts.
    """

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._amounts: dict[str, tuple[int, int]] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._total = 0

    def put(self, name: str, amount: int, at_ns: int) -> None:
        """Count `amount` under `name` from `at_ns` on, in place of what the name had."""
        self.drop(name)
        self._amounts[name] = (at_ns, amount)
        self._order.append((at_ns, name))
        self._total += amount

    def drop(self, name: str) -> None:
        """Count nothing under `name` any more."""
        _, amount = self._amounts.pop(name, (0, 0))
        self._total -= amount

    def total(self, now_ns: int) -> int:
        """Return the sum of what is younger than the span."""
        while self._order and self._order[0][0] <= now_ns - self._span_ns:
            at_ns, name = self._order.popleft()
            if self._amounts.get(name, (None, 0))[0] == at_ns:
                self.drop(name)
        return self._total
