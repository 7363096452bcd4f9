"""The bases of every protocol plug-in, and what they say of a pool.

`Protocol` is a pool's state, the events that change it, the reads that bootstrap it, and its exact
quotes; it never does I/O. `FollowedProtocol` adds what the market needs to find pools by itself
and to search them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.market.memory import MarketMemory
from searcher.market.node import Node
from searcher.market.reads import Answer, ReadCall, Reads, UnreadablePool, carry_out_together
from searcher.market.settings import DexSettings

__all__ = [
    "PROTOCOLS",
    "Announcement",
    "Answer",
    "FollowedProtocol",
    "Pool",
    "Protocol",
    "Quote",
    "QuoteBlock",
    "ReadCall",
    "Reads",
    "Row",
    "UnreadablePool",
]

S = TypeVar("S", bound=Struct)

READ_TOGETHER: Final = 4
"""Pools read at once call by call: enough to fill requests, few enough not to hold up the loop."""


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


class Pool(Struct, frozen=True, gc=False):
    """What the market knows of a pool that it follows, whatever its protocol.

    `id` names it: its address, or `<address>/<0x id>` inside a contract that holds many. `address`
    is who emits its logs. `tokens` stand in the contract's order. `fee_pips` is what its factory
    says of its fee, and `tick_spacing` is 0 where the curve has no ticks.
    """

    id: str
    address: Address
    protocol: str
    dex: str
    tokens: tuple[Address, ...]
    fee_pips: int = 0
    tick_spacing: int = 0

    @property
    def token0(self) -> Address:
        """The first token."""
        return self.tokens[0]

    @property
    def token1(self) -> Address:
        """The second token."""
        return self.tokens[1]


class Row(NamedTuple):
    """A pair of a pool's tokens: the pool's number, the two tokens, their places in the pool."""

    pool: int
    token0: Address
    token1: Address
    place0: int
    place1: int


class Announcement(Struct, frozen=True):
    """What a log says of a new pool.

    `tokens` are empty where only reads tell them. `identity` is what `Protocol.reads` is given.
    """

    id: str
    address: Address
    tokens: tuple[Address, ...]
    fee_pips: int
    tick_spacing: int
    identity: Any


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
    """A protocol whose pools the market finds by their announcements and searches for cycles."""

    kind: ClassVar[int]
    """How its rows lie in the market's memory: PRODUCT, CONCENTRATED or PIECEWISE."""
    curve: ClassVar[CurveKind]
    """What the executor needs to swap through its pools."""
    created_topics: ClassVar[frozenset[str]]
    """The events that announce pools."""
    hot: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """By topic, the opcode of `kernels.log_batches` that applies an event to the arrays. Where
    there are any, the arrays alone hold a pool's state, and `store` and `load` convert it."""

    @abstractmethod
    def check(self, name: str, dex: DexSettings) -> None:
        """Check the settings of a DEX.

        Raises:
            Misconfigured: a setting that this protocol needs is missing, or one it has no use for
                is given.
        """

    @abstractmethod
    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:
        """Return what one of `created_topics` says of a new pool.

        Raises:
            MalformedLog: the log is not that event.
        """

    @abstractmethod
    def identity(self, pool: Pool) -> Any:
        """Return what `reads` needs to read a pool."""

    def pool_key(self, log: Log) -> str:
        """Return the id of the pool that a log is of."""
        return log.address

    def watched(self, state: S) -> tuple[Address, ...]:
        """Return further contracts whose logs change a pool, such as a metapool's base pool."""
        del state
        return ()

    @abstractmethod
    def new(self, pool: Pool) -> S | None:
        """Return the state of a pool at the moment of its creation; None when it must be read.

        Raises:
            ValueError: no pool of this protocol can be so.
        """

    @abstractmethod
    def tokens_of(self, state: S) -> tuple[Address, ...]:
        """Return the tokens that a pool swaps, in the contract's order."""

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[S | str]:
        """Read many pools at exactly `block`: for each its state, or why it could not be read."""
        states: list[S | str] = []
        for begin in range(0, len(pools), READ_TOGETHER):
            reads = [
                self.reads(self.identity(pool)) for pool in pools[begin : begin + READ_TOGETHER]
            ]
            states += await carry_out_together(reads, node, block, batch_calls=batch_calls)
        return states

    @abstractmethod
    def swap_gas(self, quote: Quote) -> int:
        """Return what the swap of a quote takes in gas (an estimate, for ranking)."""

    @abstractmethod
    def funded(self, state: S) -> bool:
        """Return whether the pool has anything to swap."""

    def store(self, memory: MarketMemory, row: int, state: S) -> None:
        """Write a state into the integers of its row; PRODUCT and CONCENTRATED only."""
        raise NotImplementedError(f"{type(self).__name__} stores no {type(state).__name__}")

    def store_volatile(self, memory: MarketMemory, row: int, volatile: Mapping[str, Any]) -> None:
        """Write what `refresh` answered into a row whose state lies in the arrays alone."""
        raise NotImplementedError(f"{type(self).__name__} stores no {sorted(volatile)}")

    def load(self, memory: MarketMemory, row: int, pool: Pool) -> S:
        """Return the state that `store` and the kernels have left in a row."""
        raise NotImplementedError(f"{type(self).__name__} loads no state of {pool.id}")


PROTOCOLS: Final[Registry[Protocol[Any]]] = Registry("searcher.market.protocols", Protocol)
"""One protocol a file: how its pools are read, kept and quoted."""
