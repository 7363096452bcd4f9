"""The base of every strategy plug-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple

from msgspec import Struct

from searcher.domain.plan import Hop
from searcher.domain.registry import Registry
from searcher.domain.units import Address, Uint256
from searcher.opportunities.settings import CycleSettings


class Trigger(StrEnum):
    """What makes a strategy look."""

    BLOCK = "block"
    PENDING = "pending"


class Candidate(NamedTuple):
    """A cycle that search finds profitable.

    `edges` are its directed rows (twice the row, plus one when token1 goes in), `amount_in` is in
    smallest units of `start`, `worth_wei` what it leaves in wrapped native after its gas, and `gas`
    that of its swaps and of a plan. `amounts` is what each hop gives in the contracts' integers;
    it is empty when one of them is a protocol's own to say.
    """

    edges: tuple[int, ...]
    start: Address
    amount_in: int
    worth_wei: float
    gas: int = 0
    amounts: tuple[int, ...] = ()

    @property
    def rows(self) -> frozenset[int]:
        """The rows it goes through."""
        return frozenset(edge >> 1 for edge in self.edges)


class Route(Struct, frozen=True):
    """What exact integers confirm, with all rows of the pools that it touches.

    `hops` and `conversion` are those of an `Opportunity`.
    """

    hops: tuple[Hop, ...]
    conversion: tuple[Hop, ...]
    rows: frozenset[int]
    gross_wei: Uint256
    gas_estimate: int
    net_wei: int


Confirm = Callable[[Candidate], Route | None]


class Strategy(ABC):
    """Decides which of the cycles found it takes.

    Args:
        config: its knobs.
        name: that of the file with these knobs, under which it is recorded; the plug-in's own when
            it is left out.
    """

    Config: ClassVar[type[CycleSettings]] = CycleSettings
    trigger: ClassVar[Trigger]

    def __init__(self, config: CycleSettings, name: str = "") -> None:
        self.config = config
        self.name = name or type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate], confirm: Confirm) -> list[Route]:
        """Choose routes that may all be sent.

        Args:
            candidates: what float search found, the most valuable first.
            confirm: evaluates one in exact integers; None when it does not pay.
        """


STRATEGIES: Final = Registry("searcher.opportunities.strategies", Strategy)
