"""What the market asks of a protocol whose pools are announced by factories, vaults or a file.

A log says as much as its event has: a pool whole, a pool whose tokens or id only reads tell, or no
more than that the factory's list has grown. `Census` puts the three together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.events import Log
from searcher.domain.units import Address
from searcher.kernels.memory import PIECEWISE
from searcher.market.decoding import MalformedLog, address_of
from searcher.market.protocol import Protocol as PoolProtocol
from searcher.market.protocol import Quote, Reads
from searcher.market.settings import DexSettings

S = TypeVar("S", bound=Struct)


class Announcement(Struct, frozen=True):
    """A pool as a factory, a list or a file tells of it.

    `id` is the pool's address, or `<manager>/<0x id>` for a pool inside a contract that holds many;
    it is empty where only reads tell it. `address` emits the pool's logs. `tokens` is empty where
    only the pool's state names them. `identity` is what the protocol's `reads` need.
    """

    id: str
    address: Address
    tokens: tuple[Address, ...] = ()
    fee_pips: int = 0
    tick_spacing: int = 0
    identity: Any = None


class Listing(NamedTuple):
    """What a list of pools says from some place on.

    `length` is how many it has by now: where to go on the next time. `refused` are pools that it
    names and that cannot be followed, each with the reason.
    """

    announcements: tuple[Announcement, ...]
    length: int
    refused: Mapping[str, str] = {}


class NotTaken(ValueError):
    """A pool is announced, and nothing can be known of its swaps; the message says why."""


class Known(Protocol):
    """The part of a followed pool that identifies it."""

    @property
    def id(self) -> str:
        """Its id, as announced."""

    @property
    def address(self) -> Address:
        """Who emits its logs."""

    @property
    def details(self) -> str:
        """Its identity as JSON, empty where the rest of the pool says it all."""


class AnnouncedPools(PoolProtocol[S]):
    """The base of protocols whose pools are found by themselves, whatever their curve."""

    kind: ClassVar[int] = PIECEWISE
    created_topics: ClassVar[frozenset[str]]
    """Events of `announcers` that tell of pools."""
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """The events of `created_topics` with two tokens indexed: by topic, the place of the first."""
    needs: ClassVar[tuple[str, ...]] = ("factory",)
    """Keys of a DEX's settings that must be given."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Keys that may be."""
    usual_gas: ClassVar[int]
    """Gas of a swap, its token transfers included: an estimate, for ranking before the proof."""

    def check(self, name: str, dex: DexSettings) -> None:
        """Check the settings of a DEX.

        Raises:
            Misconfigured: a setting that this protocol needs is missing, or one it has no use for
                is given.
        """
        for key in self.needs:
            if not getattr(dex, key):
                why = DexSettings.model_fields[key].description
                raise Misconfigured(f"dexes.{name}.{key} is missing: write {why}")
        known = {"protocol", "first_block", *self.needs, *self.takes}
        for key in DexSettings.model_fields:
            if key not in known and getattr(dex, key) not in (None, (), {}):
                raise Misconfigured(
                    f"dexes.{name}.{key} has no meaning for {dex.protocol}: leave it out"
                )

    def announcers(self, dex: DexSettings) -> tuple[Address, ...]:
        """Return the contracts whose events tell of a DEX's pools."""
        return (Address(dex.factory),) if dex.factory else ()

    @abstractmethod
    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement | None:
        """Return what an announcer's log tells of a pool; None when it is not of this DEX.

        Raises:
            MalformedLog: the log is not that event.
            NotTaken: it is a pool that cannot be followed.
        """

    def lists(self, dex: DexSettings) -> bool:
        """Return whether pools of this DEX are found in a list, and not by events alone."""
        del dex
        return False

    def listed(self, dex: DexSettings, first: int) -> Reads[Listing]:
        """Return the reads that give the pools of the DEX's list, from place `first` on."""
        del dex
        yield from ()  # a generator, as every other is
        return Listing((), first)

    def completed(self, dex: DexSettings, announcement: Announcement) -> Reads[Announcement]:
        """Return the reads that give what an announcement without id leaves open.

        Raises:
            UnreadablePool: it is not a pool of this DEX, or does not answer as one.
        """
        del dex
        yield from ()
        return announcement

    def identity(self, pool: Known) -> Any:
        """Return what `reads` needs to know of a pool."""
        return msgspec.json.decode(pool.details, type=self.Identity)

    def pool_key(self, log: Log) -> str:
        """Return the id of the pool that a log is of, or who emitted a log that is of none."""
        return log.address

    def watched(self, state: S) -> tuple[Address, ...]:
        """Return further contracts whose logs change a pool: a base pool, a factory."""
        del state
        return ()

    def new(self, pool: Known) -> S | None:
        """Return the state of a pool at its creation, None when it must be read."""
        del pool
        return None

    @abstractmethod
    def tokens_of(self, state: S) -> tuple[Address, ...]:
        """Return the tokens that a pool swaps for one another."""

    def trades(self, state: S, token0: Address, token1: Address) -> bool:
        """Return whether two of the pool's tokens are swapped for one another, and only by it."""
        del state, token0, token1
        return True

    @abstractmethod
    def funded(self, state: S) -> bool:
        """Return whether the pool has anything to swap."""

    def swap_gas(self, quote: Quote) -> int:
        """Return what the swap of a quote takes in gas (an estimate, for ranking)."""
        del quote
        return self.usual_gas


def details_of(announcement: Announcement) -> str:
    """Return an announcement's identity as a pool carries it, see `AnnouncedPools.identity`."""
    if announcement.identity is None:
        return ""
    return msgspec.json.encode(announcement.identity).decode()


def tokens_of_words(*words: int) -> tuple[Address, ...]:
    """Return the tokens that words of a log name.

    Raises:
        MalformedLog: one is no address, or two are the same.
    """
    found = tuple(address_of(word) for word in words)
    if len(set(found)) != len(found):
        raise MalformedLog("a pool of a token with itself")
    return found


def pool_address(word: int) -> Address:
    """Return the pool's address in a word of a log.

    Raises:
        MalformedLog: it is no address, or nobody's.
    """
    found = address_of(word)
    if not int(found, 16):
        raise MalformedLog("a pool at the zero address")
    return found
