"""Solidly: volatile and stable pairs with a fixed fee of 1 in 10000.

Source: BaseV1Pair and BaseV1Factory of solidly. A fork with the same pairs and another fixed fee
has it in its pools' states.
"""

from __future__ import annotations

from searcher.market.protocol import ReadCall
from searcher.market.solidly_pairs import SolidlyIdentity, SolidlyPairs

FEE = 1


class Solidly(SolidlyPairs):
    """Pairs of Solidly: the fee is in their code, the factory says whether they are paused."""

    strict = False

    def fee_calls(self, identity: SolidlyIdentity, *, stable: bool) -> list[ReadCall]:
        """Return nothing: no call says it."""
        del identity, stable
        return []

    def fixed_fee(self) -> int:
        """Return 1: amountIn / 10000."""
        return FEE


PLUGIN = Solidly
