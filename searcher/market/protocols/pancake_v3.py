"""PancakeSwap V3: Uniswap V3's pools with their own Swap event.

Sources: PancakeV3Factory, PancakeV3PoolDeployer and PancakeV3Pool of pancake-v3-contracts. A Swap
says the protocol's share of the fee too. That share (`slot0().feeProtocol`, a uint32 here) and the
liquidity-mining pool that a pool may call (`lmPool`) change no amount.
"""

from __future__ import annotations

from searcher.kernels.log_batches import SWAP_V3_LONG
from searcher.market.concentrated_pools import (
    BURN,
    INITIALIZE,
    MINT,
    LensPools,
    LensSettings,
    hot_events,
)

POOL_CREATED = "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"
SWAP = "0x19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83"


class PancakeV3(LensPools):
    """PancakeSwap's concentrated-liquidity pools, kept from their events."""

    class Config(LensSettings):
        """What a swap costs (estimates), how far tables reach, how pools are read."""

    created_topics = frozenset({POOL_CREATED})
    topics = frozenset({INITIALIZE, MINT, BURN, SWAP})
    swap_topic = SWAP
    hot = hot_events(SWAP, SWAP_V3_LONG)
    swap_words = 7

    config: Config


PLUGIN = PancakeV3
