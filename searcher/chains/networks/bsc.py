"""BNB Smart Chain's rules."""

from __future__ import annotations

from searcher.chains.network import Network
from searcher.domain.events import BlockHeader


class Bsc(Network):
    """A base fee that is 0 in every block (BEP-226).

    Blocks come every 0.45 s while timestamps are whole seconds, so the next block has its parent's
    timestamp or the second after it. The later one is assumed: nodes refuse to simulate a block
    that is not later than its parent.
    """

    def next_base_fee(self, header: BlockHeader) -> int:  # noqa: ARG002 - the same for any parent
        """Return 0."""
        return 0


PLUGIN = Bsc
