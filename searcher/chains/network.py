"""What a network's rules say about the block that comes next."""

from __future__ import annotations

from abc import ABC, abstractmethod

from searcher.domain.events import BlockContext, BlockHeader
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings
from searcher.domain.units import Address


class Network(ABC):
    """The rules of a chain; one file in `searcher.chains.networks` per rule set."""

    class Config(Settings):
        """A network's rules have no knobs of their own; what varies is in `ChainRules`."""

    @abstractmethod
    def next_base_fee(self, header: BlockHeader) -> int:
        """Return the base fee in wei of the block on top of `header`."""

    def next_context(
        self, header: BlockHeader, *, coinbase: Address, block_time_ms: int
    ) -> BlockContext:
        """Return the environment of the block on top of `header`.

        The gas limit is the parent's: a proposer may move it by 1/1024, which no plan depends on.

        Args:
            header: the parent.
            coinbase: who is assumed to be paid; the real one is not known before the block is.
            block_time_ms: the chain's time between blocks. Timestamps are whole seconds: it is
                rounded down, and a block is at least one second after its parent.
        """
        return BlockContext(
            parent=header.ref,
            number=header.number + 1,
            timestamp=header.timestamp + max(1, block_time_ms // 1000),
            base_fee_wei=self.next_base_fee(header),
            gas_limit=header.gas_limit,
            coinbase=coinbase,
        )


def networks() -> Registry[Network]:
    """Return the registry of `searcher.chains.networks`."""
    return Registry("searcher.chains.networks", Network)
