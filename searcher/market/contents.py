"""What a market holds beside its arrays, as a value: what a snapshot keeps of it."""

from __future__ import annotations

from msgspec import Struct

from searcher.domain.events import BlockRef
from searcher.domain.units import Address
from searcher.market.protocol import Announcement, Pool


class Nameless(Struct):
    """A pool that was announced without its tokens, and how often it was read in vain."""

    dex: str
    protocol: str
    announcement: Announcement
    attempts: int = 0


class Contents(Struct, frozen=True):
    """What a market holds beside its arrays.

    `states` are the exact states of the pools whose state the arrays do not hold, by the pool's
    number; `awaited` are pools still to be read, by number, `nameless` those that were announced
    without their tokens. `aside` says why a token or pool (by id) is out of the search, `broken`
    why a pool's state is not to be trusted, by its number. Values that are read anew for each block
    are not among them.
    """

    head: BlockRef
    pools: list[Pool]
    states: dict[int, Struct]
    awaited: list[int]
    nameless: list[Nameless]
    decimals: dict[Address, int]
    sound: set[Address]
    aside: dict[str, str]
    broken: dict[int, str]
