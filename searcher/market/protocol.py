"""The bases of every protocol plug-in, and what they say of a pool.

`Protocol` is a pool's state, the events that change it, the reads that bootstrap it, and its exact
quotes; it never does I/O. `FollowedProtocol` adds what the market needs to find pools by itself
and to search them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.market.arrays import PoolArrays
from searcher.market.node import Node
from searcher.market.settings import DexSettings

S = TypeVar("S", bound=Struct)
T = TypeVar("T")


class ReadCall(NamedTuple):
    """A contract's view to call, calldata as 0x hex."""

    to: Address
    data: str


Answer: TypeAlias = tuple[int, ...] | str
"""The 32-byte words that a view answered, or why it did not."""

Reads: TypeAlias = Generator[Sequence[ReadCall], Sequence[Answer], T]
"""Reads without I/O: yields the calls it needs, is sent an answer for each, returns what they say.

All calls of one state are answered at one block. It raises `UnreadablePool` when the answers are
not those of such a pool.
"""


class UnreadablePool(ValueError):
    """A contract's answers are not those of a pool of this protocol; the message says which."""


class QuoteBlock(Struct, frozen=True):
    """The block that a quote is for: what a curve may depend on beside its own state.

    `timestamp` is in seconds. `volatile` are values of the state's fields as they hold in that
    block, by field name: those that its protocol declares volatile because they move without
    events; what is not given is taken from the state.
    """

    number: int
    timestamp: int
    volatile: Mapping[str, Any] = {}


class Quote(NamedTuple):
    """An exact answer of a curve, in smallest units.

    `amount` is what the contract's own quote says: the output of an exact input, or the input of
    an exact output. `realised` is what a swap then moves: the same, except where a contract's view
    rounds in another order than its exchange does. `crossings` counts the ticks or bins crossed.
    """

    amount: int
    realised: int
    crossings: int = 0


class Pool(Struct, frozen=True):
    """What the market knows of a pool that it follows, whatever its protocol.

    `tick_spacing` is 0 where the curve has no ticks.
    """

    address: Address
    protocol: str
    dex: str
    token0: Address
    token1: Address
    fee_pips: int
    tick_spacing: int = 0


class Protocol(ABC, Generic[S]):
    """A family of pools: their state, how it is read and kept from logs, and exact quotes.

    A plug-in holds no state of its own; `S` is the exact, immutable state of one of its pools,
    constants and token addresses included.
    """

    Config: ClassVar[type[Settings]]
    State: ClassVar[type[Struct]]
    """`S`: a frozen struct; its docstring says what each field is, in which unit."""
    Identity: ClassVar[type[Struct]]
    """A frozen struct with what must be known to read a pool: its address, or manager and id."""
    topics: ClassVar[frozenset[str]]
    """The events that change a state."""
    volatile: ClassVar[frozenset[str]] = frozenset()
    """The fields of the state that move without events and must be read for each block."""

    def __init__(self, config: Settings) -> None:
        self.config = config

    @abstractmethod
    def reads(self, identity: Any) -> Reads[S]:
        """Return the reads that give a pool's state from nothing but its `Identity`."""

    def refresh(self, state: S) -> Reads[dict[str, Any]]:
        """Return the reads that give the volatile fields of a state, by name."""
        if self.volatile:
            raise NotImplementedError(f"{type(self).__name__} declares {sorted(self.volatile)}")
        del state
        yield from ()  # a generator, as every other is
        return {}

    @abstractmethod
    def apply(self, state: S, log: Log) -> S:
        """Return the state after one of the pool's logs.

        Raises:
            MalformedLog: the log has not the event's shape or contradicts the state.
        """

    def at(self, state: S, block: QuoteBlock) -> S:
        """Return the state with its volatile fields as they hold in `block`.

        Raises:
            ValueError: the block gives a value for a field that is not volatile, or one that the
                state cannot have.
        """
        if not block.volatile:
            return state
        if unknown := block.volatile.keys() - self.volatile:
            raise ValueError(f"{', '.join(sorted(unknown))}: not volatile in {type(self).__name__}")
        return replace(state, **block.volatile)

    @abstractmethod
    def quote_exact_in(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return exactly what the pool pays for `amount` of `token_in`.

        Raises:
            SwapRefused: the contract would revert or not take it all.
        """

    @abstractmethod
    def quote_exact_out(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return exactly what the pool takes to pay `amount` of `token_out`.

        Where the contract has no exact output, it is the least input that pays at least `amount`.

        Raises:
            SwapRefused: the contract would revert.
        """

    @abstractmethod
    def marginal_rate(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> float:
        """Return how much more comes out per unit more in, at an input of `amount`, fee included.

        With an amount of 0 it is the spot price after the fee. Smallest units; for search only.

        Raises:
            SwapRefused: there is no such point on the curve.
        """


class FollowedProtocol(Protocol[S]):
    """A protocol whose pools the market finds by their factory and searches for cycles."""

    curve: ClassVar[CurveKind]
    created_topic: ClassVar[str]
    """The factory's event; token0 and token1 are its first two indexed values."""

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
        """Read many pools at exactly `block`: for each its state, or why it could not be read."""

    @abstractmethod
    def swap_gas(self, quote: Quote) -> int:
        """Return what the swap of a quote takes in gas (an estimate, for ranking)."""

    @abstractmethod
    def funded(self, state: S) -> bool:
        """Return whether the pool has anything to swap."""

    @abstractmethod
    def segments(self, pool: Pool) -> int:
        """Return how many float segments a direction of the pool may need."""

    @abstractmethod
    def draw(self, pool: Pool, state: S, row: int, arrays: PoolArrays) -> None:
        """Write the pool's float curve into its row."""


PROTOCOLS: Final[Registry[Protocol[Any]]] = Registry("searcher.market.protocols", Protocol)
"""One protocol a file: how its pools are read, kept and quoted."""
