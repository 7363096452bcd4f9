"""Balancer V2 weighted pools: every swap keeps the product of balances to the power of weights.

Sources: WeightedPool.sol, WeightedMath.sol and BaseWeightedPool.sol of balancer-v2-monorepo, in
all four versions of the factory, and the first one's WeightedPool2Tokens.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Uint256
from searcher.kernels.balancer_weighted import exact_in, exact_out, marginal_rate, packed
from searcher.kernels.reference.balancer_weighted import V2Weighted
from searcher.kernels.u256 import Words
from searcher.market.balancer import Curves, answer_array, check_lengths, check_weights
from searcher.market.balancer_v2 import (
    GET_SCALING_FACTORS,
    PAUSED_CHANGED,
    POOL_BALANCE_CHANGED,
    POOL_BALANCE_MANAGED,
    SWAP,
    SWAP_FEE_CHANGED,
    BalancerV2,
    BalancerV2Identity,
    BalancerV2State,
    built,
    read_held,
    sides,
)
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import QuoteBlock, Reads

GET_NORMALIZED_WEIGHTS = "0xf89f27ed"


class PowVersion(Enum):
    """How a pool takes powers: `v1` always by the logarithm, `v2` multiplies 1, 2 and 4 out."""

    V1 = "v1"
    V2 = "v2"


class BalancerV2WeightedState(BalancerV2State, frozen=True, kw_only=True):
    """A weighted pool.

    `tokens` and `balances` are as `Vault.getPoolTokens` answers, smallest units.
    `normalized_weights` are `getNormalizedWeights()` and `swap_fee_percentage` is
    `getSwapFeePercentage()`, both with 18 decimals. Either `decimals` are the tokens', or
    `scaling_factors` are `getScalingFactors()` (18 decimals: 1e18 for a token of 18).

    `managed` is the part of each balance that asset managers hold (`Vault.getPoolTokenInfo`), which
    cannot be paid out. `pow_version` is `v1` for pools of the first factory, of 2021, and `v2` (the
    default) for later ones. `paused` and `vault_paused` are the pool's and the vault's
    `getPausedState()`. With `pool_id` and `vault` given, events of others are refused.
    """

    normalized_weights: tuple[Uint256, ...]
    pow_version: PowVersion = PowVersion.V2

    def __post_init__(self) -> None:
        """Check what a weighted pool can be."""
        super().__post_init__()
        if not self.normalized_weights:
            raise ValueError("normalized_weights: expected one entry a token, found none")
        check_lengths(len(self.tokens), normalized_weights=self.normalized_weights)
        check_weights(self.normalized_weights)


class BalancerV2Weighted(BalancerV2[BalancerV2WeightedState]):
    """Weighted pools of the V2 vault, of any number of tokens."""

    class Config(Settings):
        """Nothing to set."""

    State = BalancerV2WeightedState
    topics = frozenset(
        {SWAP, POOL_BALANCE_CHANGED, POOL_BALANCE_MANAGED, SWAP_FEE_CHANGED, PAUSED_CHANGED}
    )
    usual_gas = 110_000
    curves = Curves(exact_in, exact_out, marginal_rate)

    def pool(
        self,
        state: BalancerV2WeightedState,
        block: QuoteBlock,  # noqa: ARG002  nothing of a weighted pool moves with time
        pair: tuple[int, int],
    ) -> tuple[Words, tuple[int, int]]:
        """Return the two tokens of the swap: the others do not matter to it."""
        both = sides(state)
        words = packed(
            V2Weighted(
                [both[place] for place in pair],
                state.swap_fee_percentage,
                [state.normalized_weights[place] for place in pair],
                state.pow_version is PowVersion.V2,
            )
        )
        return words, (0, 1)

    def apply_own(self, state: BalancerV2WeightedState, log: Log) -> BalancerV2WeightedState:
        """Refuse: there are no further events."""
        del state
        raise MalformedLog(f"{log.topics[0]} is not an event of a weighted pool")

    def reads(self, identity: BalancerV2Identity) -> Reads[BalancerV2WeightedState]:
        """Read balances, weights and fee.

        The first factory's pools, which have no `getScalingFactors`, take powers their own way.
        """
        held, (weights, factors) = yield from read_held(
            identity, (GET_NORMALIZED_WEIGHTS, GET_SCALING_FACTORS)
        )
        own: dict[str, Any] = {
            "normalized_weights": answer_array(weights, "getNormalizedWeights"),
            "pow_version": PowVersion.V1 if isinstance(factors, str) else PowVersion.V2,
        }
        return built(BalancerV2WeightedState, held, **own)


PLUGIN = BalancerV2Weighted
