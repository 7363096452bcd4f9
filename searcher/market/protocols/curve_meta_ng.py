"""Curve StableSwap-NG metapools: one coin against the LP token of a base pool.

Sources: curvefi/stableswap-ng, CurveStableSwapMetaNG.vy (v7.0.0), CurveStableSwapNGViews.vy
(1.2.0). A metapool is a pool of two coins whose second rate is the base pool's virtual price. Its
first coin can also be swapped for the base pool's coins, and these for one another: the metapool
then deposits or withdraws one coin there.

Of quotes between the underlying coins `amount` is what get_dy_underlying and get_dx_underlying
say, `realised` what exchange_underlying moves; the view estimates a deposit by calc_token_amount,
and one that is asked for by calc_withdraw_one_coin.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.announcing import AnnouncedPools
from searcher.market.contract_values import answered_words
from searcher.market.curve_factories import (
    META_POOL_DEPLOYED,
    list_grew,
    read_base_pools,
    read_list,
    tables,
    with_address,
)
from searcher.market.curve_ng import (
    ORACLE,
    TOPICS,
    VAULT,
    VOLATILE,
    CurveNgState,
    PreparedPool,
    applied,
    call,
    least,
    made,
    one_address,
    place_of,
    read_fields,
    refreshed,
    unknown,
)
from searcher.market.curve_ng_base import BasePool, LegacyPool
from searcher.market.decoding import MalformedLog, words
from searcher.market.protocol import (
    Announcement,
    Listing,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.stableswap import CurveStableState, accepts, holds_balances
from searcher.market.stableswap_events import TOPICS as LEGACY_TOPICS
from searcher.market.stableswap_events import apply_event
from searcher.market.stableswap_reads import StableIdentity, read_moved, read_plain
from searcher.market.tokens import places

EXCHANGE_UNDERLYING = "0xd013ca23e77a65003c2c659c5442c00c805371b7fc1ebd4c206c41d1536bd90b"
GET_N_COINS = "0x940494f1"  # get_n_coins(address)

_LP = 1
"""The place of the base pool's LP token among the metapool's coins."""
_STEPS = 1_000_000
"""A slope through the base pool is taken over this part of its balance."""


class CurveMetaNgState(CurveNgState, frozen=True, kw_only=True):
    """A metapool; its fields are those of a plain pool, and `base`.

    `coins` are the metapool's own coin and the LP token. `base_pool` is the base pool's whole
    state, or `legacy_base_pool` that of one older than StableSwap-NG. With it, the second of
    `stored_rates` is computed for the block that is quoted; without it, it must be as
    stored_rates() answers, and only the metapool's two coins are quoted.
    """

    base_pool: CurveNgState | None = None
    legacy_base_pool: CurveStableState | None = None

    def __post_init__(self) -> None:
        """Check what a metapool can be."""
        super().__post_init__()
        if len(self.coins) != 2:
            raise ValueError(f"coins: expected 2, found {len(self.coins)}")
        if self.base_pool is not None and self.legacy_base_pool is not None:
            raise ValueError("legacy_base_pool: expected one base pool, found two")
        if set(self.coins) & set(self.underlying[1:]):
            raise ValueError("coins: expected none of the base pool's")

    @property
    def rates_move(self) -> bool:
        """Whether more than the base pool's own events decides the rates."""
        if not self.asset_types or self.asset_types[0] in (ORACLE, VAULT):
            return True
        return not _settled(self)

    @property
    def underlying(self) -> tuple[Address, ...]:
        """The coins of exchange_underlying: the metapool's own, then the base pool's."""
        base = self.base_pool or self.legacy_base_pool
        return self.coins[:1] + (base.coins if base else ())


class CurveMetaNgIdentity(Struct, frozen=True):
    """A metapool's address and its factory's, which knows the types of its coins.

    `base_factory` is the base pool's factory. Without a factory all coins are taken to have moving
    rates and balances. `legacy_base_pool` says what an older base pool runs; without it, such a
    base pool stays unknown.
    """

    pool: Address
    factory: Address | None = None
    base_factory: Address | None = None
    legacy_base_pool: StableIdentity | None = None


class CurveMetaNg(AnnouncedPools[CurveMetaNgState]):
    """StableSwap-NG metapools over base pools of StableSwap-NG, or of the plain pools before it."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveMetaNgState
    Identity = CurveMetaNgIdentity
    created_topics = frozenset({META_POOL_DEPLOYED})
    takes = ("base_pools",)
    usual_gas = 350_000
    topics = TOPICS | LEGACY_TOPICS | {EXCHANGE_UNDERLYING}
    volatile = VOLATILE | {"base_pool", "legacy_base_pool"}

    # ---- how pools are found

    def check(self, name: str, dex: DexSettings) -> None:
        """Check the tables of base pools."""
        super().check(name, dex)
        tables(StableIdentity, name, "base_pools", dex.base_pools)

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  the list decides
        """Decode the factory's event, which does not say the pool."""
        return list_grew(log)

    def lists(self, dex: DexSettings) -> bool:  # noqa: ARG002  every DEX of this protocol does
        """Return True."""
        return True

    def listed(self, dex: DexSettings, first: int) -> Reads[Listing]:
        """Read the factory's metapools, and what each stands on.

        A base pool that is neither the factory's own nor in the settings stays unknown: such a
        metapool swaps its two coins only.
        """
        factory = Address(dex.factory or "")
        listed = yield from read_list(factory, first)
        metas = [p.pool for p in listed if p.is_meta]
        bases = yield from read_base_pools(factory, metas)
        answers = yield [ReadCall(factory, with_address(GET_N_COINS, base)) for base in bases]
        older = {
            i.address: i for i in tables(StableIdentity, dex.protocol, "base_pools", dex.base_pools)
        }
        found = []
        for pool, base, answer in zip(metas, bases, answers, strict=True):
            is_own = answered_words(answer, 1, "get_n_coins(pool)")[0] > 0
            identity = CurveMetaNgIdentity(
                pool, factory, factory if is_own else None, older.get(base)
            )
            found.append(Announcement(pool, pool, identity=identity))
        return Listing(tuple(found), first + len(listed))

    def watched(self, state: CurveMetaNgState) -> tuple[Address, ...]:
        """Return the base pool."""
        base = state.base_pool or state.legacy_base_pool
        return () if base is None else (base.address,)

    def tokens_of(self, state: CurveMetaNgState) -> tuple[Address, ...]:
        """Return both coins, the second the base pool's token, and the base pool's coins."""
        return (*state.coins, *state.underlying[1:])

    def trades(self, state: CurveMetaNgState, token0: Address, token1: Address) -> bool:
        """Return whether one is the metapool's own coin: the others trade in the base pool."""
        del self
        return state.coins[0] in (token0, token1)

    def holdings(self, state: CurveMetaNgState) -> tuple[tuple[Address, float], ...]:
        """Return the balances of its own two coins."""
        return tuple(zip(state.coins, map(float, state.balances), strict=True))

    def funded(self, state: CurveMetaNgState) -> bool:
        """Return whether both coins are there."""
        return all(state.balances)

    # ---- the state of a pool

    def reads(self, identity: CurveMetaNgIdentity) -> Reads[CurveMetaNgState]:
        """Read the metapool, then its base pool; one of an older kind stays unknown."""
        fields = yield from read_fields(identity.pool, identity.factory)
        (answer,) = yield [call(identity.pool, "BASE_POOL()")]
        base_pool = one_address(answer, "BASE_POOL()")
        (kind,) = yield [call(base_pool, "D_ma_time()")]
        legacy = identity.legacy_base_pool
        if not isinstance(kind, str):
            base = yield from read_fields(base_pool, identity.base_factory)
            fields["base_pool"] = made(CurveNgState, **base)
        elif legacy is not None:
            if legacy.address != base_pool:
                raise UnreadablePool(f"its base pool is {base_pool}, not {legacy.address}")
            fields["legacy_base_pool"] = yield from read_plain(legacy)
        return made(CurveMetaNgState, **fields)

    def refresh(self, state: CurveMetaNgState) -> Reads[dict[str, Any]]:
        """Read what moves by itself in the metapool and in its base pool."""
        fields = yield from refreshed(state)
        try:
            if state.base_pool is not None:
                base = yield from refreshed(state.base_pool)
                if base:
                    fields["base_pool"] = replace(state.base_pool, **base)
            if state.legacy_base_pool is not None:
                base = yield from read_moved(state.legacy_base_pool)
                if "balances" in base:
                    base["balances_current"] = True
                if base:
                    fields["legacy_base_pool"] = replace(state.legacy_base_pool, **base)
        except ValueError as error:
            raise UnreadablePool(f"the base pool cannot be in that state: {error}") from error
        return fields

    def apply(self, state: CurveMetaNgState, log: Log) -> CurveMetaNgState:
        """Take the events of the metapool, and those of its base pool."""
        base, legacy = state.base_pool, state.legacy_base_pool
        if base is not None and log.address == base.address:
            return replace(state, base_pool=applied(base, log))
        if legacy is not None and log.address == legacy.address:
            return replace(state, legacy_base_pool=apply_event(legacy, log))
        if log.topics[0] == EXCHANGE_UNDERLYING:
            return _exchanged_underlying(state, log)
        return applied(_priced(state), log)

    def quote_exact_in(
        self,
        state: CurveMetaNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dy or get_dy_underlying, and what the exchange pays."""
        accepts(amount)
        state = self.at(state, block)
        if token_in in state.coins and token_out in state.coins:
            i, j = places(state.coins, token_in, token_out)
            meta = _meta(state, block.timestamp)
            said = meta.get_dy(i, j, amount)
            return Quote(said, meta.exchange(i, j, amount) if amount else 0)
        i, j = places(state.underlying, token_in, token_out)
        if i and j:
            base = _base(state, block.timestamp)
            said = base.get_dy(i - 1, j - 1, amount)
            return Quote(said, base.exchange(i - 1, j - 1, amount) if amount else 0)
        meta, base = _both(state, block.timestamp)
        if i:
            said = meta.get_dy(_LP, 0, base.token_amount(i - 1, amount, deposit=True))
        else:
            said = base.coins_for(meta.get_dy(0, _LP, amount), j - 1)
        return Quote(said, _paid(meta, base, i, j, amount) if amount else 0)

    def quote_exact_out(
        self,
        state: CurveMetaNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dx or get_dx_underlying, and an input that just pays the amount.

        Between two coins of the base pool the view refuses: they are swapped there.
        """
        accepts(amount)
        state = self.at(state, block)
        if token_in in state.coins and token_out in state.coins:
            i, j = places(state.coins, token_in, token_out)
            meta = _meta(state, block.timestamp)
            return Quote(meta.get_dx(i, j, amount), meta.least_in(i, j, amount))
        i, j = places(state.underlying, token_in, token_out)
        if i and j:
            raise SwapRefused(
                Status.UNKNOWN_TOKEN, "both tokens are the base pool's: swap them there"
            )
        meta, base = _both(state, block.timestamp)
        if i:
            said = base.coins_for(meta.get_dx(_LP, 0, amount), i - 1)
            tokens = meta.least_in(_LP, 0, amount)
            given = least(lambda given: base.deposit(i - 1, given), said, tokens)
        else:
            tokens = base.token_amount(j - 1, amount, deposit=False)
            said = meta.get_dx(0, _LP, tokens)
            tokens = least(lambda burnt: base.withdraw(burnt, j - 1), tokens, amount)
            given = meta.least_in(0, _LP, tokens)
        return Quote(said, given)

    def marginal_rate(
        self,
        state: CurveMetaNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope of the exchange; through the base pool over a small step."""
        accepts(amount)
        state = self.at(state, block)
        if token_in in state.coins and token_out in state.coins:
            i, j = places(state.coins, token_in, token_out)
            return _meta(state, block.timestamp).marginal_rate(i, j, amount)
        i, j = places(state.underlying, token_in, token_out)
        if i and j:
            return _base(state, block.timestamp).marginal_rate(i - 1, j - 1, amount)
        meta, base = _both(state, block.timestamp)
        if i:
            held = state.base_pool or state.legacy_base_pool
            assert held is not None  # as above
            step = max(held.balances[i - 1] // _STEPS, 1)
            low = base.deposit(i - 1, amount) if amount else 0
            slope = (base.deposit(i - 1, amount + step) - low) / step
            return slope * meta.marginal_rate(_LP, 0, low)
        tokens = meta.exchange(0, _LP, amount) if amount else 0
        step = max(state.balances[_LP] // _STEPS, 1)
        low = base.withdraw(tokens, j - 1) if tokens else 0
        slope = (base.withdraw(tokens + step, j - 1) - low) / step
        return slope * meta.marginal_rate(0, _LP, amount)


def _meta(state: CurveMetaNgState, timestamp: int) -> PreparedPool:
    """Return the metapool at a time, with the base pool's price then."""
    if state.base_pool is None and state.legacy_base_pool is None:
        return PreparedPool(state, timestamp)
    return _both(state, timestamp)[0]


def _base(state: CurveMetaNgState, timestamp: int) -> BasePool:
    if state.base_pool is not None:
        return PreparedPool(state.base_pool, timestamp)
    assert state.legacy_base_pool is not None  # one of its tokens was found in the state
    return LegacyPool(state.legacy_base_pool, timestamp)


def _both(state: CurveMetaNgState, timestamp: int) -> tuple[PreparedPool, BasePool]:
    base = _base(state, timestamp)
    rates = (state.stored_rates[0], base.virtual_price())
    return PreparedPool(state, timestamp, rates), base


def _paid(meta: PreparedPool, base: BasePool, i: int, j: int, amount: int) -> int:
    """Return what exchange_underlying pays between the metapool's coin and one of the base."""
    if i:
        return meta.swapped(_LP, 0, base.deposit(i - 1, amount))
    return base.withdraw(meta.exchange(0, _LP, amount), j - 1)


def _settled(state: CurveMetaNgState) -> bool:
    """Return whether the base pool's price follows from its events alone."""
    base, legacy = state.base_pool, state.legacy_base_pool
    if base is not None:
        return base.balances_current and not (base.ramps or base.rates_move or base.rebases)
    if legacy is not None:
        return legacy.balances_current and not (
            legacy.ramping or legacy.moving_rates or holds_balances(legacy)
        )
    return False


def _priced(state: CurveMetaNgState) -> CurveMetaNgState:
    """Return the state with the base pool's present price, where that is known without the time."""
    if not _settled(state):
        return state
    try:
        price = _base(state, 0).virtual_price()
    except SwapRefused:
        return state
    return replace(state, stored_rates=(state.stored_rates[0], price))


def _exchanged_underlying(state: CurveMetaNgState, log: Log) -> CurveMetaNgState:
    """Take TokenExchangeUnderlying: it does not say how many LP tokens moved."""
    sold, _, bought, _ = words(log, topics=2, data=4)
    if len(state.underlying) == 1:
        return unknown(state)
    i, j = (place_of(word, len(state.underlying)) for word in (sold, bought))
    if i == j:
        raise MalformedLog(f"coin {i} swapped for itself")
    return state if i and j else unknown(state)


PLUGIN = CurveMetaNg
