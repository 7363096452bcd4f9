"""A chain's market begun from its newest fit snapshot, and the blocks since."""

from __future__ import annotations

from typing import Final

import structlog

from searcher.chains.catching_up import missed_blocks
from searcher.chains.rpc import RpcClient
from searcher.domain.clock import Clock
from searcher.domain.events import BlockHeader
from searcher.market.market import Market
from searcher.market.snapshots import Snapshots
from searcher.market.standing import MarketDelta

MOST_ATTEMPTS: Final = 5
"""Tries to reach the head, each from where the last one ended; then the market is read anew."""

_log = structlog.get_logger(__name__)


class WarmStart:
    """Begins a market that holds nothing.

    Args:
        market: which.
        snapshots: what it may begin from.
        rpc: the chain's node.
        clock: time of the process.
    """

    def __init__(self, market: Market, snapshots: Snapshots, rpc: RpcClient, clock: Clock) -> None:
        self._market = market
        self._snapshots = snapshots
        self._rpc = rpc
        self._clock = clock
        self._at: BlockHeader | None = None
        self._attempts = 0

    async def stand_on(self, header: BlockHeader) -> MarketDelta | None:
        """Bring the market to `header` from a snapshot.

        Returns:
            All that the market holds then, or None: it is to be read from the node.

        Raises:
            Retryable: the node does not give the blocks; call again with its newest head.
        """
        if self._at is None:
            if self._market.head is not None or self._market.pools:
                return None
            self._at = await self._snapshots.restore(self._rpc, header)
            if self._at is None:
                return None
        self._attempts += 1
        if self._attempts > MOST_ATTEMPTS:
            _log.warning("chain not caught up", chain=self._market.chain, block=self._at.number)
            self._at = None
            return None
        async for block in missed_blocks(
            self._market.chain, self._rpc, self._at, header, self._clock
        ):
            self._market.apply(block)
            self._at = block.header
        self._at = None
        if self._market.is_behind:
            await self._market.refresh_volatile(self._rpc, header.ref)
        return self._market.whole()
