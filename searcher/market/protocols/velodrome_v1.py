"""Velodrome V1: Solidly's pairs with one fee for all stable and one for all volatile pairs.

Source: Pair and PairFactory of velodrome-finance/v1. Its forks (Thena and others) are the same.
"""

from __future__ import annotations

from searcher.market.protocol import ReadCall
from searcher.market.solidly_pairs import SolidlyIdentity, SolidlyPairs

GET_FEE = "0x512b45ea"  # getFee(bool)


class VelodromeV1(SolidlyPairs):
    """Pairs of Velodrome V1: the factory says the fee of each kind, and whether all are paused."""

    strict = False
    volatile = frozenset({"fee", "is_paused"})

    def fee_calls(self, identity: SolidlyIdentity, *, stable: bool) -> list[ReadCall]:
        """Ask the factory for the fee of the pair's kind."""
        return [ReadCall(identity.factory, GET_FEE + f"{stable:064x}")]


PLUGIN = VelodromeV1
