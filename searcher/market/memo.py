"""What all quotes of one state in one block share, computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

KEPT: Final = 1024
"""States and blocks whose preparation is kept; the oldest leaves first."""


class Memo(Generic[T]):
    """Keeps what a pure function says of a state in a block, both known by their identity.

    Hashing a state would cost more than most preparations; the very objects that were asked about
    before are known at once, and are kept alive so that their identities are not given away.

    Args:
        compute: the function of a state, a block, and what else it depends on, which is hashed;
            what it raises is not kept.
    """

    def __init__(self, compute: Callable[..., T]) -> None:
        self._compute = compute
        self._kept: dict[tuple[Hashable, ...], tuple[object, object, T]] = {}

    def __call__(self, state: object, block: object, *rest: Hashable) -> T:
        """Return what the function says of these."""
        key = (id(state), id(block), *rest)
        kept = self._kept.get(key)
        if kept is not None:
            return kept[2]
        answer = self._compute(state, block, *rest)
        if len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = state, block, answer
        return answer
