"""What protocols share whose pools have no place of their own in the market's arrays.

A log says as much as its event has: a pool whole, a pool whose tokens or id only reads tell, or no
more than that the factory's list has grown. `Census` puts the three together.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct

from searcher.domain.plan import CurveKind
from searcher.domain.units import Address
from searcher.kernels.memory import PIECEWISE
from searcher.market.decoding import MalformedLog, address_of
from searcher.market.protocol import Announcement, FollowedProtocol, Known, Pool, Quote

S = TypeVar("S", bound=Struct)


class AnnouncedPools(FollowedProtocol[S]):
    """The base of protocols that are searched along pieces, and that no executor's adapter has."""

    kind: ClassVar[int] = PIECEWISE
    curve = CurveKind.OTHER
    usual_gas: ClassVar[int]
    """Gas of a swap, its token transfers included: an estimate, for ranking before the proof."""

    def identity(self, pool: Known) -> Any:
        """Return the identity that the announcement had."""
        return msgspec.json.decode(pool.details, type=self.Identity)

    def new(self, pool: Pool) -> S | None:
        """Return None: the state must be read."""
        del pool
        return None

    def swap_gas(self, quote: Quote) -> int:
        """Return the usual gas."""
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
