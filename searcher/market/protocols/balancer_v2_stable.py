"""Balancer V2 stable pools: StablePool, MetaStablePool, StablePhantomPool and ComposableStablePool.

Sources: StableMath.sol, StablePoolAmplification.sol, ComposableStablePool.sol,
ComposableStablePoolRates.sol and PriceRateCache.sol of balancer-v2-monorepo, and their
predecessors of 2021 in its history. The pool's own token stands among its tokens since
StablePhantomPool; swaps of it are joins and exits, which are not quoted.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum
from typing import Any

from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels.balancer_stable import exact_in, exact_out, marginal_rate, packed
from searcher.kernels.reference.balancer_fixed_point import ONE
from searcher.kernels.reference.balancer_stable import StableMath, V2Stable
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.u256 import Words
from searcher.market.balancer import (
    AMP_UPDATE_STARTED,
    AMP_UPDATE_STOPPED,
    AmpRamp,
    Curves,
    amplification_at,
    answer_array,
    answer_words,
    check_amplification,
    check_lengths,
)
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
from searcher.market.decoding import MalformedLog, topic_word, words
from searcher.market.protocol import Answer, QuoteBlock, ReadCall, Reads, UnreadablePool

CACHED_BY_PLACE = "0xb77a83204ca282e08dc3a65b0a1ca32ea4e6875c38ef0bf5bf75e52a67354fac"
"""TokenRateCacheUpdated(uint256 indexed tokenIndex, uint256 rate), of composable pools."""
CACHED_BY_ADDRESS = "0xcfed57d90913b5ee1895919dcccaff83a9f7a842d912ef137272e5fc6123aa86"
"""TokenRateCacheUpdated(address indexed token, uint256 rate), of phantom pools."""
PRICE_CACHED = "0xc1a224b14823b63c7711127f125fbf592434682f38881ebb61408747a303affc"
"""PriceRateCacheUpdated(address indexed token, uint256 rate), of meta-stable pools."""
_RATE_EVENTS = frozenset({CACHED_BY_PLACE, CACHED_BY_ADDRESS, PRICE_CACHED})

GET_AMPLIFICATION_PARAMETER = "0x6daccffa"
GET_BPT_INDEX = "0x82687a56"
GET_RATE_PROVIDERS = "0x238a2d59"
GET_CACHE = "0x7f1260d1"
"""getTokenRateCache(address)"""
GET_PRICE_CACHE = "0xb867ee5a"
"""getPriceRateCache(address)"""
GET_RATE = "0x679aefce"
IN_RECOVERY_MODE = "0xb35056b8"
_MOST_TOKENS = 5
_MAX_RATE = 2**128 - 1


class InvariantVersion(Enum):
    """Which StableMath a pool holds: `v1` that of 2021, `v2` that since June 2022."""

    V1 = "v1"
    V2 = "v2"


_EDITIONS = {
    InvariantVersion.V1: StableMath.V2_ROUNDED_UP,
    InvariantVersion.V2: StableMath.V2,
}


class BalancerV2StableState(BalancerV2State, frozen=True, kw_only=True):
    """A stable pool.

    `tokens` and `balances` are as `Vault.getPoolTokens` answers, smallest units, the pool's own
    token included where it is among them: `bpt_index` is its place (`getBptIndex()`), -1 without.
    `amplification_parameter` is the value of `getAmplificationParameter()` (3 decimals: 200 is
    200000); where `amp_ramp` is known, that decides. `swap_fee_percentage` is
    `getSwapFeePercentage()`, 18 decimals.

    Either `scaling_factors` are `getScalingFactors()`, rates included, or `decimals` are the
    tokens' and `token_rates` the rates that the pool has cached (`getTokenRateCache` or
    `getPriceRateCache`, 18 decimals; 1e18 for a token without a provider, and for all if left out).
    A swap after the second `rate_expiries` (0: it never expires) takes `provider_rates`, what the
    providers say in that block (0: unknown); StablePhantomPool takes them one swap later.

    `managed` is the part of each balance that asset managers hold. `invariant_version` is `v1` for
    StablePool of 2021, MetaStablePool and StablePhantomPool, `v2` (the default) for what came
    later. `paused` and `vault_paused` are the pool's and the vault's `getPausedState()`. With
    `pool_id` and `vault` given, events of others are refused.
    """

    amplification_parameter: Uint256
    token_rates: tuple[Uint256, ...] = ()
    rate_expiries: tuple[int, ...] = ()
    provider_rates: tuple[Uint256, ...] = ()
    amp_ramp: AmpRamp | None = None
    bpt_index: int = -1
    invariant_version: InvariantVersion = InvariantVersion.V2

    def __post_init__(self) -> None:
        """Check what a stable pool can be."""
        super().__post_init__()
        count = len(self.tokens)
        if not -1 <= self.bpt_index < count:
            raise ValueError(f"bpt_index: expected -1 to {count - 1}, found {self.bpt_index}")
        if not 2 <= count - (self.bpt_index >= 0) <= _MOST_TOKENS:
            raise ValueError(f"tokens: expected 2 to {_MOST_TOKENS} beside the pool's own")
        check_amplification("amplification_parameter", self.amplification_parameter)
        _check_rates(self)


def _check_rates(state: BalancerV2StableState) -> None:
    count = len(state.tokens)
    for name in ("token_rates", "rate_expiries", "provider_rates"):
        values = getattr(state, name)
        check_lengths(count, **{name: values})
        if values and state.scaling_factors:
            raise ValueError(f"{name}: scaling_factors contain the rates: expected only one")
    for name in ("token_rates", "provider_rates"):
        for place, rate in enumerate(getattr(state, name)):
            if not 0 <= rate <= _MAX_RATE:
                raise ValueError(f"{name}[{place}]: expected a rate with 18 decimals, uint128")
    if 0 in state.token_rates:
        raise ValueError("token_rates: expected no rate of 0")
    for place, expiry in enumerate(state.rate_expiries):
        if expiry < 0:
            raise ValueError(f"rate_expiries[{place}]: expected a time in seconds, or 0")


class BalancerV2Stable(BalancerV2[BalancerV2StableState]):
    """Stable pools of the V2 vault, with rates, ramps and their own token among the tokens."""

    class Config(Settings):
        """Nothing to set."""

    State = BalancerV2StableState
    topics = (
        frozenset(
            {SWAP, POOL_BALANCE_CHANGED, POOL_BALANCE_MANAGED, SWAP_FEE_CHANGED, PAUSED_CHANGED}
        )
        | {AMP_UPDATE_STARTED, AMP_UPDATE_STOPPED}
        | _RATE_EVENTS
    )
    volatile = frozenset(
        {
            "amplification_parameter",
            "scaling_factors",
            "token_rates",
            "rate_expiries",
            "provider_rates",
        }
    )
    usual_gas = 140_000
    curves = Curves(exact_in, exact_out, marginal_rate)

    def pool(
        self, state: BalancerV2StableState, block: QuoteBlock, pair: tuple[int, int]
    ) -> tuple[Words, tuple[int, int]]:
        """Return all tokens but the pool's own, at the block's amplification and rates."""
        own = state.bpt_index
        if own in pair:
            raise SwapRefused(
                Status.UNMODELLED, "a swap of the pool's own token is a join or an exit"
            )
        rates = () if state.scaling_factors else _rates(state, block.timestamp)
        held = [side for place, side in enumerate(sides(state, rates)) if place != own]
        words = packed(
            V2Stable(
                held,
                state.swap_fee_percentage,
                amplification_at(state.amp_ramp, state.amplification_parameter, block),
                _EDITIONS[state.invariant_version],
            )
        )
        i, j = (place - (0 <= own < place) for place in pair)
        return words, (i, j)

    # ---- events

    def apply_own(self, state: BalancerV2StableState, log: Log) -> BalancerV2StableState:
        """Apply an event of the amplification or of a rate cache."""
        kind = log.topics[0]
        try:
            if kind == AMP_UPDATE_STARTED:
                return replace(state, amp_ramp=AmpRamp(*words(log, topics=1, data=4)))
            if kind == AMP_UPDATE_STOPPED:
                (value,) = words(log, topics=1, data=1)
                return replace(state, amp_ramp=None, amplification_parameter=value)
            if kind in _RATE_EVENTS:
                return _with_rate(state, log)
        except ValueError as error:
            raise MalformedLog(f"an event that leads to an impossible state: {error}") from error
        raise MalformedLog(f"{kind} is not an event of a stable pool")

    # ---- reads

    def reads(self, identity: BalancerV2Identity) -> Reads[BalancerV2StableState]:
        """Read balances, amplification, fee and rates.

        A ramp's times are in no view: while one runs, the amplification is volatile. Pools since
        June 2022 have a recovery mode, by which their StableMath is known.
        """
        held, (amp, own, recovery) = yield from read_held(
            identity, (GET_AMPLIFICATION_PARAMETER, GET_BPT_INDEX, IN_RECOVERY_MODE)
        )
        version = InvariantVersion.V1 if isinstance(recovery, str) else InvariantVersion.V2
        rates = yield from _read_rates(identity.pool, held.tokens)
        more = {
            "amplification_parameter": answer_words(amp, "getAmplificationParameter", 3)[0],
            "bpt_index": -1 if isinstance(own, str) else own[0],
            "invariant_version": version,
        }
        return built(BalancerV2StableState, held, **more, **rates)

    def refresh(self, state: BalancerV2StableState) -> Reads[dict[str, Any]]:
        """Read the amplification and the rates again."""
        if state.pool_id is None:
            raise UnreadablePool("a state without its pool_id cannot be read again")
        pool = Address(state.pool_id[:42])
        amp, factors = yield [
            ReadCall(pool, GET_AMPLIFICATION_PARAMETER),
            ReadCall(pool, GET_SCALING_FACTORS),
        ]
        moved: dict[str, Any] = {
            "amplification_parameter": answer_words(amp, "getAmplificationParameter", 3)[0]
        }
        if state.scaling_factors:
            count = len(state.tokens)
            moved["scaling_factors"] = answer_array(factors, "getScalingFactors", count=count)
            return moved
        rates = yield from _read_rates(pool, state.tokens)
        return moved | rates


def _rates(state: BalancerV2StableState, timestamp: int) -> tuple[int, ...]:
    """Return each token's rate at a time: the cached one, or the provider's where that expired."""
    count = len(state.tokens)
    cached = state.token_rates or (ONE,) * count
    expiries = state.rate_expiries or (0,) * count
    fresh = state.provider_rates
    # A phantom pool scales first and looks at its caches then: its swaps go by the rates before.
    lags = state.invariant_version is InvariantVersion.V1 and state.bpt_index >= 0
    rates = []
    for place in range(count):
        rate = cached[place]
        if 0 < expiries[place] < timestamp and not lags:
            if not fresh or not fresh[place]:
                raise SwapRefused(
                    Status.UNMODELLED,
                    "a cached rate has expired and provider_rates do not say the next",
                )
            rate = fresh[place]
        rates.append(rate)
    return tuple(rates)


def _with_rate(state: BalancerV2StableState, log: Log) -> BalancerV2StableState:
    (rate,) = words(log, topics=2, data=1)
    which = topic_word(log, 1)
    if log.topics[0] != CACHED_BY_PLACE:
        token = Address(f"0x{which:040x}")
        if token not in state.tokens:
            raise MalformedLog(f"a token that the pool does not hold: {token}")
        which = state.tokens.index(token)
    if which >= len(state.tokens):
        raise MalformedLog(f"a token at place {which} of {len(state.tokens)}")
    if state.scaling_factors:
        raise MalformedLog("a state with scaling_factors cannot follow rates: give it decimals")
    count = len(state.tokens)
    cached = _changed(state.token_rates or (ONE,) * count, which, rate)
    # The next expiry is not in the event. Until it is read, the provider's word is this one.
    fresh = _changed(state.provider_rates or cached, which, rate)
    return replace(state, token_rates=cached, provider_rates=fresh)


def _changed(values: Sequence[int], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _read_rates(
    pool: Address, tokens: Sequence[Address]
) -> Generator[Sequence[ReadCall], Sequence[Answer], dict[str, Any]]:
    """Read the rate caches and what the providers say; a pool without providers has neither."""
    (listed,) = yield [ReadCall(pool, GET_RATE_PROVIDERS)]
    if isinstance(listed, str):
        return {}
    providers = answer_array(listed, "getRateProviders", count=len(tokens))
    rated = [place for place, provider in enumerate(providers) if provider]
    answers = yield [
        call
        for place in rated
        for call in (
            ReadCall(pool, f"{GET_CACHE}{tokens[place][2:]:0>64}"),
            ReadCall(pool, f"{GET_PRICE_CACHE}{tokens[place][2:]:0>64}"),
            ReadCall(Address(f"0x{providers[place]:040x}"), GET_RATE),
        )
    ]
    rates, fresh, expiries = [ONE] * len(tokens), [ONE] * len(tokens), [0] * len(tokens)
    for at, place in enumerate(rated):
        by_token, by_price, said = answers[3 * at : 3 * at + 3]
        cache = by_price if isinstance(by_token, str) else by_token
        # rate, then in later pools the rate of the last join or exit, duration, expiry
        found = answer_words(cache, "getTokenRateCache", 3)
        rates[place], expiries[place] = found[0], found[-1]
        # A provider that does not answer stops every swap that must ask it.
        fresh[place] = 0 if isinstance(said, str) else said[0]
    return {
        "token_rates": tuple(rates),
        "rate_expiries": tuple(expiries),
        "provider_rates": tuple(fresh),
    }


PLUGIN = BalancerV2Stable
