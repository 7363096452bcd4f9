"""Slipstream (Velodrome, Aerodrome): Uniswap V3's curve, keyed by tick spacing, with a moving fee.

Sources: CLFactory (PoolCreated, getSwapFee), CLPool (slot0, ticks and its events), and the modules
behind `fee()` of aerodrome-finance/slipstream. A pool's `fee()` is what its factory's module says
at that moment: it may follow the oracle and the time without an event, so it is read for each
block. A module may give a discount to who sends the transaction; what is read is without one.
Liquidity that is staked in a gauge swaps like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from searcher.domain.events import BlockRef, Log
from searcher.market.concentrated import Shape, carry_out_together
from searcher.market.concentrated_pools import (
    BURN,
    FEE,
    INITIALIZE,
    MINT,
    UNKNOWN_FEE,
    ConcentratedPoolIdentity,
    ConcentratedPools,
    ConcentratedPoolState,
    ConcentratedSettings,
    announced_pool,
)
from searcher.market.decoding import signed, topic_word, words
from searcher.market.node import Node
from searcher.market.protocol import Pool, ReadCall, Reads, UnreadablePool
from searcher.market.settings import DexSettings

POOL_CREATED = "0xab0d57f0df537bb25e80245ef7748fa62353808c54d6e528a9dd20887aed9ac2"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"

_TOGETHER = 4
"""Pools read at once: enough to fill requests, few enough not to hold up the loop."""


class Slipstream(ConcentratedPools):
    """Velodrome's and Aerodrome's concentrated-liquidity pools, their fee read for each block."""

    class Config(ConcentratedSettings):
        """What a swap costs (estimates), and how far the float curve and tables reach."""

    created_topic = POOL_CREATED
    topics = frozenset({INITIALIZE, MINT, BURN, SWAP})
    volatile = frozenset({"fee"})
    swap_topic = SWAP
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

    def announced(self, name: str, dex: DexSettings, log: Log) -> Pool:
        """Decode PoolCreated(address idx, address idx, int24 idx, address); it says no fee."""
        (pool,) = words(log, topics=4, data=1)
        return announced_pool(
            name,
            dex,
            log,
            pool=pool,
            tick_spacing=signed(topic_word(log, 3), 24),
            fee_pips=UNKNOWN_FEE,
        )

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[ConcentratedPoolState | str]:
        """Read fee, price, liquidity and every initialised tick, call by call."""
        states: list[ConcentratedPoolState | str] = []
        for begin in range(0, len(pools), _TOGETHER):
            reads = [
                self.reads(ConcentratedPoolIdentity(pool.address))
                for pool in pools[begin : begin + _TOGETHER]
            ]
            states += await carry_out_together(reads, node, block, batch_calls=batch_calls)
        return states


PLUGIN = Slipstream
