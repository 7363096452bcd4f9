"""Balancer V3 stable pools.

Sources: StablePool.sol and StableMath.sol of balancer-v3-monorepo, as first deployed in 2024 and
with the limit on unequal balances of 2026.
"""

from __future__ import annotations

from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Uint256
from searcher.kernels.balancer_stable import exact_in, exact_out, marginal_rate, packed
from searcher.kernels.reference.balancer_fixed_point import ONE
from searcher.kernels.reference.balancer_stable import V3Stable
from searcher.kernels.reference.balancer_vault import V3Side, V3Terms
from searcher.kernels.u256 import Words
from searcher.market.balancer import (
    AMP_UPDATE_STARTED,
    AMP_UPDATE_STOPPED,
    AmpRamp,
    Curves,
    amplification_at,
    answer_words,
    check_amplification,
)
from searcher.market.balancer_v3 import (
    VAULT_EVENTS,
    VOLATILE,
    BalancerV3,
    BalancerV3Identity,
    BalancerV3State,
    built,
    read_held,
)
from searcher.market.decoding import MalformedLog, words
from searcher.market.protocol import QuoteBlock, Reads

GET_AMPLIFICATION_STATE = "0x21da5e19"
COMPUTE_INVARIANT = "0x984de9e8"
_MOST_TOKENS = 5
_UNEQUAL = 10**6
"""How many times one balance is another in the question that tells the versions apart."""


class BalancerV3StableState(BalancerV3State, frozen=True, kw_only=True):
    """A stable pool of the V3 vault.

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

    `amplification_parameter` is the value of the pool's `getAmplificationParameter()` (3 decimals:
    200 is 200000); where `amp_ramp` is known (`getAmplificationState()`), that decides.
    `limits_imbalance` is true for a pool that refuses to let one balance become 10,000 times
    another.
    """

    amplification_parameter: Uint256
    amp_ramp: AmpRamp | None = None
    limits_imbalance: bool = False

    def __post_init__(self) -> None:
        """Check what a stable pool can be."""
        super().__post_init__()
        if len(self.tokens) > _MOST_TOKENS:
            raise ValueError(f"tokens: expected 2 to {_MOST_TOKENS}, found {len(self.tokens)}")
        check_amplification("amplification_parameter", self.amplification_parameter)


class BalancerV3Stable(BalancerV3[BalancerV3StableState]):
    """Stable pools of the V3 vault without hooks in their swaps."""

    class Config(Settings):
        """Nothing to set."""

    State = BalancerV3StableState
    topics = VAULT_EVENTS | {AMP_UPDATE_STARTED, AMP_UPDATE_STOPPED}
    volatile = VOLATILE
    usual_gas = 180_000
    curves = Curves(exact_in, exact_out, marginal_rate)

    def words(
        self, state: BalancerV3StableState, block: QuoteBlock, sides: list[V3Side], terms: V3Terms
    ) -> Words:
        """Return the pool at the block's amplification."""
        amp = amplification_at(state.amp_ramp, state.amplification_parameter, block)
        return packed(V3Stable(sides, terms, amp, state.limits_imbalance))

    def apply_own(self, state: BalancerV3StableState, log: Log) -> BalancerV3StableState:
        """Apply an event of the amplification."""
        kind = log.topics[0]
        try:
            if kind == AMP_UPDATE_STARTED:
                return replace(state, amp_ramp=AmpRamp(*words(log, topics=1, data=4)))
            if kind == AMP_UPDATE_STOPPED:
                (value,) = words(log, topics=1, data=1)
                return replace(state, amp_ramp=None, amplification_parameter=value)
        except ValueError as error:
            raise MalformedLog(f"an event that leads to an impossible state: {error}") from error
        raise MalformedLog(f"{kind} is not an event of a stable pool")

    def reads(self, identity: BalancerV3Identity) -> Reads[BalancerV3StableState]:
        """Read the vault's word on the pool, and its amplification.

        Whether it limits unequal balances is told by whether it calculates an invariant of such.
        """
        question = f"{COMPUTE_INVARIANT}{64:064x}{0:064x}{2:064x}{ONE:064x}{ONE * _UNEQUAL:064x}"
        held, (ramp, unequal) = yield from read_held(identity, (GET_AMPLIFICATION_STATE, question))
        start, end, begins, ends = answer_words(ramp, "getAmplificationState", 5)[:4]
        return built(
            BalancerV3StableState,
            held,
            amplification_parameter=end,
            amp_ramp=AmpRamp(start, end, begins, ends),
            limits_imbalance=isinstance(unequal, str),
        )


PLUGIN = BalancerV3Stable
