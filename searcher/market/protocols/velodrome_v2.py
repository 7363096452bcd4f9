"""Velodrome V2 and Aerodrome: Solidly's curves, solved to the last unit, with a fee for each pool.

Source: Pool and PoolFactory of velodrome-finance/contracts and aerodrome-finance/contracts. The
factory's defaults change without an event, its SetCustomFee says one pool's fee.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from searcher.domain.events import Log
from searcher.domain.units import Address
from searcher.market.decoding import topic_word, words
from searcher.market.protocol import Announcement, ReadCall
from searcher.market.settings import DexSettings
from searcher.market.solidly_pairs import (
    NARROW_SYNC,
    SET_CUSTOM_FEE,
    SET_PAUSE_STATE,
    SYNC,
    SolidlyIdentity,
    SolidlyPairs,
    SolidlyState,
    with_custom_fee,
    with_pause,
)

POOL_CREATED = "0x2128d88d14c80cb081c1252a5acff7a264671bf199ce226b53788fb26065005e"
GET_FEE = "0xcc56b2c5"  # getFee(address,bool)


class VelodromeV2(SolidlyPairs):
    """Pools of Velodrome V2 and Aerodrome: the factory says the fee of each."""

    strict = True
    created_topics = frozenset({POOL_CREATED})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({POOL_CREATED: 1})
    topics = frozenset({SYNC, NARROW_SYNC, SET_CUSTOM_FEE, SET_PAUSE_STATE})
    volatile = frozenset({"fee", "is_paused"})

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode PoolCreated(address idx, address idx, bool idx stable, address, uint256)."""
        pool, _ = words(log, topics=4, data=2)
        return self.pair(log, topic_word(log, 3), pool)

    def watched(self, state: SolidlyState) -> tuple[Address, ...]:
        """Return the factory, whose events set fees and pause."""
        return () if state.factory is None else (state.factory,)

    def fee_calls(self, identity: SolidlyIdentity, *, stable: bool) -> list[ReadCall]:
        """Ask the factory for the pool's fee, its custom one if it has one."""
        pool = identity.pool.removeprefix("0x").rjust(64, "0")
        return [ReadCall(identity.factory, f"{GET_FEE}{pool}{stable:064x}")]

    def apply(self, state: SolidlyState, log: Log) -> SolidlyState:
        """Apply Sync, and what the factory says of fee and pause."""
        if log.topics[0] == SET_CUSTOM_FEE:
            return with_custom_fee(state, log)
        if log.topics[0] == SET_PAUSE_STATE:
            return with_pause(state, log)
        return super().apply(state, log)


PLUGIN = VelodromeV2
