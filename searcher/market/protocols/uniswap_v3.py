"""Uniswap V3: concentrated liquidity, kept from Initialize, Mint, Burn and Swap.

Sources: UniswapV3Factory (PoolCreated), UniswapV3Pool and TickBitmap of v3-core 1.0.
"""

from __future__ import annotations

from searcher.kernels.log_batches import SWAP_V3
from searcher.market.concentrated_pools import (
    BURN,
    INITIALIZE,
    MINT,
    LensPools,
    LensSettings,
    hot_events,
)

POOL_CREATED = "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"


class UniswapV3(LensPools):
    """Concentrated-liquidity pools announced by a factory and kept from their events."""

    class Config(LensSettings):
        """What a swap costs (estimates), how far tables reach, how pools are read."""

    created_topics = frozenset({POOL_CREATED})
    topics = frozenset({INITIALIZE, MINT, BURN, SWAP})
    swap_topic = SWAP
    hot = hot_events(SWAP, SWAP_V3)
    swap_words = 5

    config: Config


PLUGIN = UniswapV3
