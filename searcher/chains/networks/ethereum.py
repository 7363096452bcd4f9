"""Ethereum's rules, and those of every chain that follows EIP-1559 with its parameters."""

from __future__ import annotations

from typing import Final

from searcher.chains.network import Network
from searcher.domain.events import BlockHeader

_ELASTICITY: Final = 2
_CHANGE_DENOMINATOR: Final = 8


class Ethereum(Network):
    """The base fee of EIP-1559: up to an eighth up or down per block."""

    def next_base_fee(self, header: BlockHeader) -> int:
        """Return the base fee that EIP-1559 gives the next block, exact to the wei."""
        base, target = header.base_fee_wei, header.gas_limit // _ELASTICITY
        if header.gas_used == target:
            return base
        step = base * abs(header.gas_used - target) // target // _CHANGE_DENOMINATOR
        if header.gas_used > target:
            return base + max(step, 1)
        return base - step


PLUGIN = Ethereum
