"""Curve's metapools: a coin against the liquidity token of a plain pool, its base pool.

Sources: SwapTemplateMeta and the pools made from it (curvefi/curve-contract), MetaUSD, MetaBTC
and their Balances (curvefi/curve-factory). The base pool's token counts at its virtual price.
Metapools of the factory ask for it each time; own metapools keep it for ten minutes, so their
price depends on the block's time. Between the metapool's coin and a coin of the base pool
`Quote.amount` is get_dy_underlying, which estimates the base pool's fee, and `Quote.realised` is
what exchange_underlying pays through a real deposit or withdrawal.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.errors import Misconfigured
from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels.curve_meta import underlying_in, underlying_out, virtual_price
from searcher.kernels.curve_stable import exact_in, exact_out
from searcher.kernels.curve_stable import marginal_rate as rate_at
from searcher.kernels.reference.curve_stable import FEE_UNIT, Pool, amplification
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words
from searcher.market.announcing import AnnouncedPools
from searcher.market.curve_factories import (
    META_POOL_DEPLOYED,
    check_contracts,
    contract_of,
    list_grew,
    read_base_pools,
    read_list,
    tables,
)
from searcher.market.decoding import MalformedLog
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
from searcher.market.stableswap import (
    ARITHMETIC,
    Arithmetic,
    Contract,
    CurveStableState,
    accepts,
    check_parameters,
    numbers,
    prepared,
    rules_of,
    told_balances,
)
from searcher.market.stableswap_events import (
    PRICED,
    REPLAYED,
    TOPICS,
    apply_event,
)
from searcher.market.stableswap_reads import (
    StableIdentity,
    indexed,
    read_moved,
    read_plain,
    selector,
    word,
)
from searcher.market.tokens import places

CACHE_SECONDS = 600
"""How long an own metapool keeps the base pool's virtual price."""
PROBE = 10**6
"""The share of an amount that a slope through two pools is taken over."""


class MetaContract(Enum):
    """The contract that a metapool runs.

    `factory`: MetaUSD and MetaBTC. `factory_balances`: the same for rebasing coins. `own`:
    SwapTemplateMeta: ust, usdp and later. `own_2020`: gusd, husd, usdk, usdn, linkusd, musd, rsv,
    dusd, tbtc, bbtc, obtc, pbtc. `rai`: its own, whose `rate_multiplier` is a redemption price
    that moves.
    """

    FACTORY = "factory"
    FACTORY_BALANCES = "factory_balances"
    OWN = "own"
    OWN_2020 = "own_2020"
    RAI = "rai"


class CurveMetaState(Struct, frozen=True):
    """A metapool, its fields as the contract's views answer them.

    `address` is the metapool's own. `coins` and `balances` are those of its own coin and of the
    base pool's token, in smallest units. `rate_multiplier` brings its own coin to 18 decimals:
    10^(36 - decimals). `future_a`, `initial_a` and their times `future_a_time` and
    `initial_a_time` (seconds since 1970) are those of the contract's storage, A multiplied by 100;
    without a ramp `future_a` alone is enough. `fee` and `admin_fee` (the share of the fee that is
    the owner's) are in units of 1e-10. `total_supply`, in smallest units, is that of the metapool's
    own LP token; no quote needs it, only deposits and withdrawals that are followed do.

    `base_pool` is the base pool's state, its `total_supply` included. `base_virtual_price` (18
    decimals) and `base_cache_updated` (seconds since 1970) are what a metapool that is not the
    factory's has cached, and when. `contract` says what the metapool runs; `arithmetic` replaces
    what that implies. `is_killed` says that its owner has stopped swaps. `balances_current` is
    False after an event that logs alone cannot follow: such a pool needs `balances` with the block.
    """

    address: Address
    coins: tuple[Address, Address]
    balances: tuple[Uint256, Uint256]
    future_a: Uint256
    fee: int
    base_pool: CurveStableState
    rate_multiplier: Uint256 = 10**18
    contract: MetaContract = MetaContract.FACTORY
    arithmetic: Arithmetic | None = None
    initial_a: Uint256 = 0
    initial_a_time: int = 0
    future_a_time: int = 0
    admin_fee: int = FEE_UNIT // 2
    base_virtual_price: Uint256 = 0
    base_cache_updated: int = 0
    total_supply: Uint256 = 0
    is_killed: bool = False
    balances_current: bool = True

    def __post_init__(self) -> None:
        if self.rate_multiplier == 0:
            raise ValueError("rate_multiplier: expected 10^(36 - decimals), found 0")
        check_parameters(self.future_a, self.fee, self.admin_fee)
        if self.future_a_time and self.future_a_time < self.initial_a_time:
            raise ValueError("future_a_time: expected not before initial_a_time")
        if len({*self.coins, *self.base_coins}) != 2 + len(self.base_coins):
            raise ValueError("coins: expected none that the base pool holds, and no two alike")

    @property
    def base_coins(self) -> tuple[Address, ...]:
        """The coins that the metapool reaches through the base pool."""
        return self.base_pool.underlying_coins or self.base_pool.coins

    @property
    def caches(self) -> bool:
        """Whether the metapool keeps the base pool's virtual price."""
        return self.contract not in (MetaContract.FACTORY, MetaContract.FACTORY_BALANCES)


class MetaIdentity(Struct, frozen=True):
    """What must be known to read a metapool: what it runs, and its base pool's identity."""

    address: Address
    base_pool: StableIdentity
    contract: MetaContract = MetaContract.FACTORY


class OwnMetapool(Struct, frozen=True):
    """A metapool that no factory tells of: what it runs, and which of the base pools is below."""

    address: Address
    base_pool: Address
    contract: MetaContract = MetaContract.OWN


class CurveMeta(AnnouncedPools[CurveMetaState]):
    """Metapools, and the coins of their base pools through them."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveMetaState
    Identity = MetaIdentity
    created_topics = frozenset({META_POOL_DEPLOYED})
    needs = ("base_pools",)
    takes = ("factory", "contracts", "pools")
    usual_gas = 350_000
    topics = TOPICS
    volatile = frozenset(
        {"balances", "base_pool", "base_virtual_price", "base_cache_updated", "rate_multiplier"}
    )

    # ---- how pools are found

    def check(self, name: str, dex: DexSettings) -> None:
        """Check the names of contracts, the tables of pools and of base pools."""
        super().check(name, dex)
        known = {i.address for i in tables(StableIdentity, name, "base_pools", dex.base_pools)}
        for place, pool in enumerate(tables(OwnMetapool, name, "pools", dex.pools)):
            if pool.base_pool not in known:
                raise Misconfigured(
                    f"dexes.{name}.pools[{place}].base_pool is {pool.base_pool}: write it in"
                    " base_pools too"
                )
        check_contracts(name, dex.contracts, MetaContract)

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode MetaPoolDeployed, which does not say the pool."""
        return list_grew(log)

    def lists(self, dex: DexSettings) -> bool:  # noqa: ARG002  every DEX of this protocol does
        """Return True."""
        return True

    def listed(self, dex: DexSettings, first: int) -> Reads[Listing]:
        """Return the settings' own metapools, and read the factory's."""
        name = dex.protocol
        bases = {i.address: i for i in tables(StableIdentity, name, "base_pools", dex.base_pools)}
        own = tables(OwnMetapool, name, "pools", dex.pools) if not first else ()
        found = [_announcement(p.address, bases[p.base_pool], p.contract) for p in own]
        if dex.factory is None:
            return Listing(tuple(found), 1)
        factory = Address(dex.factory)
        listed = yield from read_list(factory, first)
        metas = [p for p in listed if p.is_meta]
        below = yield from read_base_pools(factory, [p.pool for p in metas])
        refused: dict[str, str] = {}
        for pool, base in zip(metas, below, strict=True):
            contract = contract_of(pool, dex.contracts)
            if contract is None:
                refused[pool.pool] = f"the implementation {pool.implementation} is not known"
            elif base not in bases:
                refused[pool.pool] = f"its base pool {base} is not in base_pools"
            else:
                found.append(_announcement(pool.pool, bases[base], MetaContract(contract)))
        return Listing(tuple(found), first + len(listed), refused)

    def watched(self, state: CurveMetaState) -> tuple[Address, ...]:
        """Return the base pool."""
        return (state.base_pool.address,)

    def tokens_of(self, state: CurveMetaState) -> tuple[Address, ...]:
        """Return both coins, the second the base pool's token, and the base pool's coins."""
        return (*state.coins, *state.base_coins)

    def trades(self, state: CurveMetaState, token0: Address, token1: Address) -> bool:
        """Return whether one is the metapool's own coin: the others trade in the base pool."""
        del self
        return state.coins[0] in (token0, token1)

    def holdings(self, state: CurveMetaState) -> tuple[tuple[Address, float], ...]:
        """Return the balances of its own two coins."""
        return tuple(zip(state.coins, map(float, state.balances), strict=True))

    def funded(self, state: CurveMetaState) -> bool:
        """Return whether both coins are there."""
        return all(state.balances)

    # ---- the state of a pool

    def reads(self, identity: MetaIdentity) -> Reads[CurveMetaState]:
        """Return the reads of the base pool and of the metapool."""
        base = yield from read_plain(identity.base_pool)
        inner = yield from read_plain(
            StableIdentity(identity.address, Contract.META, identity.base_pool.lp_token)
        )
        if len(inner.coins) != 2:
            raise UnreadablePool(f"{identity.address} holds {len(inner.coins)} coins, not two")
        moved = yield from _cached(identity.address, identity.contract)
        try:
            return CurveMetaState(
                address=identity.address,
                coins=(inner.coins[0], inner.coins[1]),
                balances=(inner.balances[0], inner.balances[1]),
                future_a=inner.future_a,
                fee=inner.fee,
                base_pool=base,
                rate_multiplier=moved.get("rate_multiplier", inner.rates[0]),
                contract=identity.contract,
                initial_a=inner.initial_a,
                initial_a_time=inner.initial_a_time,
                future_a_time=inner.future_a_time,
                admin_fee=inner.admin_fee,
                base_virtual_price=moved.get("base_virtual_price", 0),
                base_cache_updated=moved.get("base_cache_updated", 0),
                total_supply=inner.total_supply,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def refresh(self, state: CurveMetaState) -> Reads[dict[str, Any]]:
        """Return the reads of balances and cache, and of what moved in the base pool."""
        held = yield [
            ReadCall(state.address, indexed("balances(uint256)", place)) for place in (0, 1)
        ]
        moved: dict[str, Any] = {"balances": tuple(word(a, "balances(i)") for a in held)}
        moved |= yield from _cached(state.address, state.contract)
        below = yield from read_moved(state.base_pool)
        if below:
            if "balances" in below:
                below["balances_current"] = True
            moved["base_pool"] = replace(state.base_pool, **below)
        return moved

    def apply(self, state: CurveMetaState, log: Log) -> CurveMetaState:
        """Follow the metapool's events and its base pool's, by the address of the log.

        A swap moves balances by a virtual price that the log does not tell, and what asks for
        that price may renew the cache: after either they must be read.
        """
        if log.address == state.base_pool.address:
            return replace(state, base_pool=apply_event(state.base_pool, log))
        if not log.topics or log.topics[0] not in TOPICS:
            raise MalformedLog("a topic that is not a metapool's")
        known = state.balances_current and log.topics[0] not in REPLAYED
        inner = apply_event(replace(_inner(state), balances_current=known), log)
        if state.caches and log.topics[0] in PRICED:
            inner = replace(inner, balances_current=False)
        return replace(
            state,
            balances=inner.balances,
            future_a=inner.future_a,
            initial_a=inner.initial_a,
            initial_a_time=inner.initial_a_time,
            future_a_time=inner.future_a_time,
            fee=inner.fee,
            admin_fee=inner.admin_fee,
            total_supply=inner.total_supply,
            balances_current=inner.balances_current,
        )

    def at(self, state: CurveMetaState, block: QuoteBlock) -> CurveMetaState:
        """Return the state as it holds in a block; balances that come with it are current."""
        return told_balances(super().at(state, block), block)

    def quote_exact_in(
        self,
        state: CurveMetaState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dy and exchange, or their underlying twins."""
        accepts(amount)
        i, j, below = _places(state, token_in, token_out)
        meta, base = _pools(self.at(state, block), block, below=below)
        if base is None:
            status, seen, paid = exact_in(*meta, i, j, amount)
        else:
            by_rate = state.contract is MetaContract.RAI
            status, seen, paid = underlying_in(*meta, *base, i, j, amount, by_rate)
        checked(status)
        return Quote(seen, paid)

    def quote_exact_out(
        self,
        state: CurveMetaState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return the least inputs for which the view says, and the exchange pays, `amount`."""
        accepts(amount)
        i, j, below = _places(state, token_in, token_out)
        meta, base = _pools(self.at(state, block), block, below=below)
        if base is None:
            status, seen, paid = exact_out(*meta, i, j, amount)
        else:
            by_rate = state.contract is MetaContract.RAI
            status, seen, paid = underlying_out(*meta, *base, i, j, amount, by_rate)
        checked(status)
        return Quote(seen, paid)

    def marginal_rate(
        self,
        state: CurveMetaState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope; through both pools over a millionth of what is held."""
        accepts(amount)
        i, j, below = _places(state, token_in, token_out)
        meta, base = _pools(self.at(state, block), block, below=below)
        if base is None:
            status, rate = rate_at(*meta, i, j, amount)
            checked(status)
            return rate
        sold = state.balances[0] if i == 0 else state.base_pool.balances[i - 1]
        step = max(sold // PROBE, 1)
        first = amount or step
        low, high = (
            self.quote_exact_in(state, block, token_in, token_out, x).amount
            for x in (first, first + step)
        )
        return (high - low) / step


def _inner(state: CurveMetaState) -> CurveStableState:
    """Return a metapool as the plain pool of two coins that it also is."""
    return CurveStableState(
        address=state.address,
        coins=state.coins,
        balances=state.balances,
        future_a=state.future_a,
        fee=state.fee,
        rates=(state.rate_multiplier, max(state.base_virtual_price, 1)),
        contract=Contract.META_2020 if _is_2020(state) else Contract.META,
        arithmetic=_arithmetic(state),
        initial_a=state.initial_a,
        initial_a_time=state.initial_a_time,
        future_a_time=state.future_a_time,
        admin_fee=state.admin_fee,
        total_supply=state.total_supply,
        is_killed=state.is_killed,
    )


def _is_2020(state: CurveMetaState) -> bool:
    return state.contract is MetaContract.OWN_2020


def _arithmetic(state: CurveMetaState) -> Arithmetic:
    """Return how a metapool calculates."""
    if state.arithmetic is not None:
        return state.arithmetic
    kind = Contract.META_2020 if _is_2020(state) else Contract.META
    held = state.contract is MetaContract.FACTORY_BALANCES
    return replace(ARITHMETIC[kind], holds_balances=held)


def _places(state: CurveMetaState, token_in: Address, token_out: Address) -> tuple[int, int, bool]:
    """Return the places of two coins, and whether they are underlying ones."""
    if {token_in, token_out} <= set(state.coins):
        return (*places(state.coins, token_in, token_out), False)
    underlying = (state.coins[0], *state.base_coins)
    if state.coins[1] in (token_in, token_out):
        raise SwapRefused(
            Status.UNKNOWN_TOKEN, "the base pool's token trades against the metapool's coin only"
        )
    return (*places(underlying, token_in, token_out), True)


def _pools(
    state: CurveMetaState, block: QuoteBlock, *, below: bool
) -> tuple[tuple[Words, int], tuple[Words, int] | None]:
    """Return a metapool as it holds in a block, prepared, and its base pool if a swap passes it."""
    if state.is_killed:
        raise SwapRefused(Status.PAUSED, "the metapool was killed by its owner")
    if not state.balances_current:
        raise SwapRefused(Status.UNMODELLED, "a swap has moved balances in a way logs do not tell")
    fresh = not state.caches or block.timestamp > state.base_cache_updated + CACHE_SECONDS
    base, price = None, state.base_virtual_price
    if fresh or below:
        base = prepared(numbers(state.base_pool, block))
    if fresh and base is not None:
        status, price = virtual_price(base[0])
        checked(status)
    begin, end = state.initial_a_time, state.future_a_time
    meta = Pool(
        balances=state.balances,
        rates=(state.rate_multiplier, price),
        amp=amplification(state.initial_a, state.future_a, begin, end, block.timestamp),
        fee=state.fee,
        admin_fee=state.admin_fee,
        rules=rules_of(Contract.META, _arithmetic(state), 2),
    )
    return prepared(meta), base if below else None


def _cached(address: Address, contract: MetaContract) -> Reads[dict[str, Any]]:
    """Return the reads of what an own metapool keeps of its base pool, and of RAI's price."""
    if contract in (MetaContract.FACTORY, MetaContract.FACTORY_BALANCES):
        return {}
    views = ("base_virtual_price", "base_cache_updated")
    answers = yield [ReadCall(address, selector(f"{view}()")) for view in views]
    moved: dict[str, Any] = {
        view: word(answer, f"{view}()") for view, answer in zip(views, answers, strict=True)
    }
    if contract is MetaContract.RAI:
        snap = yield [ReadCall(address, selector("redemption_price_snap()"))]
        at = Address(f"0x{word(snap[0], 'redemption_price_snap()'):040x}")
        price = yield [ReadCall(at, selector("snappedRedemptionPrice()"))]
        moved["rate_multiplier"] = word(price[0], "snappedRedemptionPrice()") // 10**9
    return moved


def _announcement(pool: Address, base: StableIdentity, contract: MetaContract) -> Announcement:
    return Announcement(pool, pool, identity=MetaIdentity(pool, base, contract))


PLUGIN = CurveMeta
