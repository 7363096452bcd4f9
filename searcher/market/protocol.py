"""The base of every protocol plug-in, and what it says of a pool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, NamedTuple, TypeVar

from msgspec import Struct

from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.market.arrays import PoolArrays
from searcher.market.node import Node
from searcher.market.settings import DexSettings

S = TypeVar("S")


class Pool(Struct, frozen=True):
    """What never changes of a pool. `tick_spacing` is 0 where the curve has no ticks."""

    address: Address
    protocol: str
    dex: str
    token0: Address
    token1: Address
    fee_pips: int
    tick_spacing: int = 0


class Quote(NamedTuple):
    """An exact answer of a curve: what comes out, and the gas that the swap takes (estimate)."""

    amount_out: int
    gas: int


class Protocol(ABC, Generic[S]):
    """A family of pools: how they are found, read, kept from logs, and quoted.

    It holds no state of its own; `S` is the exact, immutable state of one of its pools.
    """

    Config: ClassVar[type[Settings]]
    curve: ClassVar[CurveKind]
    created_topic: ClassVar[str]
    """The factory's event; token0 and token1 are its first two indexed values."""
    topics: ClassVar[frozenset[str]]
    """The events of a pool that change its state."""

    def __init__(self, config: Settings) -> None:
        self.config = config

    @abstractmethod
    def check(self, name: str, dex: DexSettings) -> None:
        """Check the settings of a DEX.

        Raises:
            Misconfigured: a setting that this protocol needs is missing, or one it has no use for
                is given.
        """

    @abstractmethod
    def announced(self, name: str, dex: DexSettings, log: Log) -> Pool:
        """Return the pool that the factory announces.

        Raises:
            MalformedLog: the log is not that event.
        """

    @abstractmethod
    def new(self, pool: Pool) -> S:
        """Return the state of a pool at the moment of its creation."""

    @abstractmethod
    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[S | str]:
        """Read pools at exactly `block`: for each its state, or why it could not be read."""

    @abstractmethod
    def apply(self, pool: Pool, state: S, log: Log) -> S:
        """Return the state after one of the pool's logs.

        Raises:
            MalformedLog: the log has not the event's shape or contradicts the state.
        """

    @abstractmethod
    def quote(self, pool: Pool, state: S, amount_in: int, *, zero_for_one: bool) -> Quote:
        """Return exactly what the pool pays for `amount_in`.

        Raises:
            SwapRefused: the contract would revert or not take it all.
        """

    @abstractmethod
    def funded(self, state: S) -> bool:
        """Return whether the pool has anything to swap."""

    @abstractmethod
    def segments(self, pool: Pool) -> int:
        """Return how many float segments a direction of the pool may need."""

    @abstractmethod
    def draw(self, pool: Pool, state: S, row: int, arrays: PoolArrays) -> None:
        """Write the pool's float curve into its row."""


PROTOCOLS: Final[Registry[Protocol[object]]] = Registry("searcher.market.protocols", Protocol)
