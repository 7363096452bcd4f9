"""Slipstream (Velodrome, Aerodrome): Uniswap V3's curve, keyed by tick spacing, with a moving fee.

Sources: CLFactory (PoolCreated, getSwapFee), CLPool (slot0, ticks and its events), and the modules
behind `fee()` of aerodrome-finance/slipstream. A pool's `fee()` is what its factory's module says
at that moment: it may follow the oracle and the time without an event, so it is read for each
block. A module may give a discount to who sends the transaction; what is read is without one.
Liquidity that is staked in a gauge swaps like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searcher.domain.events import Log
from searcher.kernels import memory as layout
from searcher.kernels.log_batches import SWAP_V3
from searcher.market.concentrated import Shape
from searcher.market.concentrated_pools import (
    BURN,
    FEE,
    INITIALIZE,
    MINT,
    UNKNOWN_FEE,
    ConcentratedPools,
    ConcentratedPoolState,
    ConcentratedSettings,
    announced_pool,
    hot_events,
)
from searcher.market.decoding import signed, topic_word, words
from searcher.market.memory import MarketMemory
from searcher.market.protocol import Announcement, ReadCall, Reads, UnreadablePool
from searcher.market.settings import DexSettings

POOL_CREATED = "0xab0d57f0df537bb25e80245ef7748fa62353808c54d6e528a9dd20887aed9ac2"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"


class Slipstream(ConcentratedPools):
    """Velodrome's and Aerodrome's concentrated-liquidity pools, their fee read for each block."""

    class Config(ConcentratedSettings):
        """What a swap costs (estimates), and how far tables reach."""

    created_topics = frozenset({POOL_CREATED})
    topics = frozenset({INITIALIZE, MINT, BURN, SWAP})
    volatile = frozenset({"fee"})
    swap_topic = SWAP
    hot = hot_events(SWAP, SWAP_V3)
    swap_words = 5
    shape = Shape(6, 10, "Slipstream's")

    config: Config

    def refresh(self, state: ConcentratedPoolState) -> Reads[dict[str, Any]]:
        """Read the fee."""
        (answer,) = yield [ReadCall(state.pool, FEE)]
        if isinstance(answer, str):
            raise UnreadablePool(f"fee(): {answer}")
        if len(answer) != 1 or answer[0] >= UNKNOWN_FEE:
            raise UnreadablePool("fee() did not answer a fee")
        return {"fee": answer[0]}

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  the log names no DEX
        """Decode PoolCreated(address idx, address idx, int24 idx, address); it says no fee."""
        (pool,) = words(log, topics=4, data=1)
        spacing = signed(topic_word(log, 3), 24)
        return announced_pool(log, pool=pool, tick_spacing=spacing, fee_pips=UNKNOWN_FEE)

    def store_volatile(self, memory: MarketMemory, row: int, volatile: Mapping[str, Any]) -> None:
        """Write the fee."""
        memory.shape[row, layout.FEE] = volatile["fee"]


PLUGIN = Slipstream
