"""What else happens on a chain: the oracle reports prices, and others want block space."""

from __future__ import annotations

import math
import random
from typing import Final

from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.economy import LENT, token
from searcher.devnet.manifest import Manifest
from searcher.devnet.order_flow.wallet import Wallet
from searcher.domain.units import WEI_PER_GWEI

_STEP: Final = 0.004
_PULL: Final = 0.02
_GAS: Final = 120_000
_MOVING: Final = tuple(symbol for symbol in LENT if token(symbol).price_e8 != 10**8)

_BULK_FEE_WEI: Final = WEI_PER_GWEI
_BULK_PARTS: Final = 2
_BULK_SHARE: Final = 0.6
"""Share of the block's gas limit that bulk demand takes: more than half, so the base fee rises."""


class PricePath:
    """A price that wanders and is drawn back to where it started; the seed decides all of it.

    Args:
        seed: of the chain's order flow.
        symbol: the token's.
    """

    def __init__(self, seed: int, symbol: str) -> None:
        self._draw = random.Random(f"oracle {seed} {symbol}")  # noqa: S311 - a market, no secret
        self._start = token(symbol).price_e8
        self._offset = 0.0

    def step(self) -> int:
        """Return the next price, in dollars with 8 decimals."""
        self._offset += self._draw.gauss(0.0, _STEP) - _PULL * self._offset
        return round(self._start * math.exp(self._offset))


class Oracle:
    """Reports one token's price in each block, in turns.

    Args:
        rpc: the builder.
        manifest: the chain.
        seed: of the chain's order flow.
    """

    def __init__(self, rpc: RpcClient, manifest: Manifest, seed: int) -> None:
        self._wallet = Wallet(rpc, account("oracle"), manifest.chain_id)
        self._feeds = manifest.aave.feeds
        self._paths = {symbol: PricePath(seed, symbol) for symbol in _MOVING}

    async def report(self, block: int, base_fee_wei: int) -> None:
        """Send the report for the block that is `block` after the first."""
        symbol = _MOVING[block % len(_MOVING)]
        await self._wallet.send(
            self._feeds[symbol],
            calldata("updateAnswer(int256)", self._paths[symbol].step()),
            gas=_GAS,
            tip_wei=WEI_PER_GWEI,
            max_fee_wei=2 * base_fee_wei + WEI_PER_GWEI,
        )


class BulkDemand:
    """Buys block space while it costs no more than 1 gwei, which keeps the base fee near that.

    Without it blocks would be almost empty and the base fee would fall to nothing.

    Args:
        rpc: the builder.
        manifest: the chain.
    """

    def __init__(self, rpc: RpcClient, manifest: Manifest) -> None:
        self._rpc = rpc
        self._wallet = Wallet(rpc, account("bulk"), manifest.chain_id)
        self._burner = manifest.burner

    async def renew(self, gas_limit: int) -> None:
        """Send new orders when the last were filled; unfilled ones wait in the pool."""
        calls = [
            ("eth_getTransactionCount", [self._wallet.address, tag])
            for tag in ("latest", "pending")
        ]
        mined, pending = await self._rpc.batch(calls)
        if mined != pending:
            return
        gas = int(gas_limit * _BULK_SHARE) // _BULK_PARTS
        for _ in range(_BULK_PARTS):
            await self._wallet.send(
                self._burner,
                memory_offset(gas - 30_000).to_bytes(32, "big"),
                gas=gas,
                tip_wei=1,
                max_fee_wei=_BULK_FEE_WEI,
            )


def memory_offset(gas: int) -> int:
    """Return how far out a word of memory must be read for its expansion to cost about `gas`.

    Memory of n words costs 3n + n^2/512 gas.
    """
    words = (math.isqrt(9 * 512 * 512 + 4 * 512 * gas) - 3 * 512) // 2
    return max(words - 1, 0) * 32
