"""What a market holds beside its arrays, as a value: what a snapshot keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from searcher.domain.events import BlockRef
from searcher.domain.units import Address
from searcher.market.protocol import Announcement, Pool, Protocol
from searcher.market.settings import DexSettings, DiscoverySettings, TokenSettings
from searcher.market.snapshot_file import digest_of

_HOW_NOT_WHICH: Final = {"log_range_blocks", "batch_calls", "rescan_blocks"}
"""Settings of discovery that change how pools are looked for, and not which are found."""


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


def followed_digest(
    wrapped_native: Address,
    tokens: Mapping[str, TokenSettings],
    dexes: Mapping[str, DexSettings],
    discovery: DiscoverySettings,
    protocols: Mapping[str, Protocol[Any]],
) -> str:
    """Return a digest of what decides which pools are followed, and how they are drawn.

    Args:
        wrapped_native: a token that counts as named.
        tokens: the others, by name.
        dexes: the DEXes, by name.
        discovery: how pools are looked for; a setting that is new counts until it is named above.
        protocols: those of the DEXes, by name.
    """
    return digest_of(
        wrapped_native,
        {name: token.model_dump() for name, token in sorted(tokens.items())},
        {name: dex.model_dump() for name, dex in sorted(dexes.items())},
        discovery.model_dump(exclude=_HOW_NOT_WHICH),
        {name: protocol.config.model_dump() for name, protocol in sorted(protocols.items())},
    )
