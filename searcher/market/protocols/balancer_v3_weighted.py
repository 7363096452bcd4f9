"""Balancer V3 weighted pools: every swap keeps the product of balances to the power of weights.

Sources: WeightedPool.sol and WeightedMath.sol of balancer-v3-monorepo, as first deployed in 2024
and with the least balances of 2026.
"""

from __future__ import annotations

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Uint256
from searcher.kernels.balancer_weighted import exact_in, exact_out, marginal_rate, packed
from searcher.kernels.reference.balancer_vault import V3Side, V3Terms
from searcher.kernels.reference.balancer_weighted import V3Weighted
from searcher.kernels.u256 import Words
from searcher.market.balancer import Curves, answer_array, check_lengths, check_weights
from searcher.market.balancer_v3 import (
    VAULT_EVENTS,
    VOLATILE,
    BalancerV3,
    BalancerV3Identity,
    BalancerV3State,
    built,
    read_held,
)
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import QuoteBlock, Reads

GET_NORMALIZED_WEIGHTS = "0xf89f27ed"
GET_FLOORS = "0xd67f280b"
"""getMinTokenBalances()"""
_MOST_TOKENS = 8


class BalancerV3WeightedState(BalancerV3State, frozen=True, kw_only=True):
    """A weighted pool of the V3 vault.

    `tokens`, `balances_raw` (smallest units), `pays_yield_fees` and `last_balances_live_scaled18`
    (18 decimals) are as `getPoolTokenInfo(pool)` of the vault answers; `decimal_scaling_factors`
    (whole: 1 for a token of 18 decimals; or give `decimals`) and `token_rates` (18 decimals, 1e18
    for all if left out) as `getPoolTokenRates(pool)`. `static_swap_fee_percentage`,
    `aggregate_swap_fee_percentage` and `aggregate_yield_fee_percentage` (18 decimals),
    `is_pool_initialized`, `is_pool_paused` and `is_pool_in_recovery_mode` are as
    `getPoolConfig(pool)`, `is_vault_paused` is `isVaultPaused()` and `minimum_trade_amount` (18
    decimals) is `getMinimumTradeAmount()`. Of `getHooksConfig(pool)`, each of
    `should_call_before_swap`, `should_call_after_swap` and `should_call_compute_dynamic_swap_fee`
    stops all quotes. With `pool` and `vault` given, events of others are refused.

    `normalized_weights` are the pool's `getNormalizedWeights()`, 18 decimals. `min_token_balances`
    are its `getMinTokenBalances()`, 18 decimals: left out for a pool that has no such view.
    """

    normalized_weights: tuple[Uint256, ...]
    min_token_balances: tuple[Uint256, ...] = ()

    def __post_init__(self) -> None:
        """Check what a weighted pool can be."""
        super().__post_init__()
        if not self.normalized_weights:
            raise ValueError("normalized_weights: expected one entry a token, found none")
        if len(self.tokens) > _MOST_TOKENS:
            raise ValueError(f"tokens: expected 2 to {_MOST_TOKENS}, found {len(self.tokens)}")
        check_lengths(len(self.tokens), normalized_weights=self.normalized_weights)
        check_lengths(len(self.tokens), min_token_balances=self.min_token_balances)
        check_weights(self.normalized_weights)


class BalancerV3Weighted(BalancerV3[BalancerV3WeightedState]):
    """Weighted pools of the V3 vault without hooks in their swaps."""

    class Config(Settings):
        """Nothing to set."""

    State = BalancerV3WeightedState
    topics = VAULT_EVENTS
    volatile = VOLATILE
    usual_gas = 150_000
    curves = Curves(exact_in, exact_out, marginal_rate)

    def words(
        self,
        state: BalancerV3WeightedState,
        block: QuoteBlock,  # noqa: ARG002  weights do not move
        sides: list[V3Side],
        terms: V3Terms,
    ) -> Words:
        """Return the pool with its weights."""
        return packed(V3Weighted(sides, terms, state.normalized_weights, state.min_token_balances))

    def apply_own(self, state: BalancerV3WeightedState, log: Log) -> BalancerV3WeightedState:
        """Refuse: a weighted pool has no events of its own that matter."""
        del state
        raise MalformedLog(f"{log.topics[0]} is not an event of a weighted pool")

    def reads(self, identity: BalancerV3Identity) -> Reads[BalancerV3WeightedState]:
        """Read the vault's word on the pool, its weights and least balances."""
        held, (weights, floors) = yield from read_held(
            identity, (GET_NORMALIZED_WEIGHTS, GET_FLOORS)
        )
        return built(
            BalancerV3WeightedState,
            held,
            normalized_weights=answer_array(weights, "getNormalizedWeights"),
            min_token_balances=()
            if isinstance(floors, str)
            else answer_array(floors, "getMinTokenBalances"),
        )


PLUGIN = BalancerV3Weighted
