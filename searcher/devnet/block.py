"""The block that is being built: what its environment will be."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from searcher.domain.units import Address, Hash32, Uint256

_ELASTICITY: Final = 2
_DENOMINATOR: Final = 8


class NextBlock(Struct, frozen=True):
    """The environment of the block after `parent_hash`."""

    parent_hash: Hash32
    number: int
    timestamp: int
    base_fee_wei: Uint256
    gas_limit: int
    coinbase: Address

    def overrides(self) -> dict[str, str]:
        """Return it as `blockOverrides` of `eth_simulateV1`."""
        return {
            "number": hex(self.number),
            "time": hex(self.timestamp),
            "baseFeePerGas": hex(self.base_fee_wei),
            "gasLimit": hex(self.gas_limit),
            "feeRecipient": self.coinbase,
        }


def next_block(parent: dict[str, Any], coinbase: Address, timestamp_step_s: int) -> NextBlock:
    """Return the environment of the block that follows the header `parent`, a node's JSON."""
    return NextBlock(
        parent_hash=Hash32(parent["hash"]),
        number=int(parent["number"], 16) + 1,
        timestamp=int(parent["timestamp"], 16) + timestamp_step_s,
        base_fee_wei=next_base_fee(
            int(parent["baseFeePerGas"], 16),
            gas_used=int(parent["gasUsed"], 16),
            gas_limit=int(parent["gasLimit"], 16),
        ),
        gas_limit=int(parent["gasLimit"], 16),
        coinbase=coinbase,
    )


def next_base_fee(base_fee_wei: int, *, gas_used: int, gas_limit: int) -> int:
    """Return the base fee after a block (EIP-1559)."""
    target = gas_limit // _ELASTICITY
    if gas_used > target:
        rise = base_fee_wei * (gas_used - target) // target // _DENOMINATOR
        return base_fee_wei + max(rise, 1)
    return base_fee_wei - base_fee_wei * (target - gas_used) // target // _DENOMINATOR
