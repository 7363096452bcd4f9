"""Curve's stableswap pools before StableSwap-NG: which contract calculates how, and their state.

Sources: curvefi/curve-contract and curvefi/curve-factory. The arithmetic itself is in
`searcher.kernels.curve_stable`; its exact twin says what each rule means.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from searcher.domain.units import Address, Uint256
from searcher.kernels.curve_stable import layout, prepare, rule_bits
from searcher.kernels.reference.curve_stable import (
    D_EACH,
    D_EACH_PLUS_ONE,
    D_PRODUCT,
    FEE_UNIT,
    Pool,
    Rules,
    amplification,
)
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words
from searcher.market.protocol import QuoteBlock

S = TypeVar("S", bound=Struct)

COINS: Final = range(2, 9)
"""How many coins a pool can hold."""
MAX_DECIMALS: Final = 36


class DForm(Enum):
    """How an iteration for D divides: `each` coin by `x * N`, or by `x * N + 1`, or by `x`."""

    EACH = "each"
    EACH_PLUS_ONE = "each_plus_one"
    PRODUCT = "product"


_D_FORMS: Final = {
    DForm.EACH: D_EACH,
    DForm.EACH_PLUS_ONE: D_EACH_PLUS_ONE,
    DForm.PRODUCT: D_PRODUCT,
}


class Contract(Enum):
    """The contract that a pool runs, which decides its arithmetic; by name of source or pool.

    `factory`: Plain2/3/4 Basic, ETH, EMA and Price of the factory since July 2021, and its
    copies on other chains. `factory_2021`: the factory's first plain pools. `factory_balances`:
    Plain2/3/4 Balances, for rebasing coins and coins with a fee. `factory_optimized`:
    Plain2/3/4 Optimized, 18 decimals only. `base`: SwapTemplateBase (eurs and later own pools).
    `eth`: SwapTemplateEth (seth, link, frxeth). `steth`. `3pool`: 3pool and hbtc. `ren`: ren and
    sbtc. `pax`. `compound`: compound, usdt, y, busd and susd. `aave`: aave and saave.
    `template_a`: SwapTemplateA. `reth`: reth and aeth. `lending`: ib, idle, yv2. `template_y`:
    SwapTemplateY. `meta`: SwapTemplateMeta (ust, usdp and later), and metapools of the factory;
    `meta_2020`: gusd, husd, usdk, usdn, linkusd, musd, rsv, dusd, tbtc, bbtc, obtc, pbtc.
    """

    FACTORY = "factory"
    FACTORY_2021 = "factory_2021"
    FACTORY_BALANCES = "factory_balances"
    FACTORY_OPTIMIZED = "factory_optimized"
    BASE = "base"
    ETH = "eth"
    STETH = "steth"
    THREE_POOL = "3pool"
    REN = "ren"
    PAX = "pax"
    COMPOUND = "compound"
    AAVE = "aave"
    TEMPLATE_A = "template_a"
    RETH = "reth"
    LENDING = "lending"
    TEMPLATE_Y = "template_y"
    META = "meta"
    META_2020 = "meta_2020"


class Arithmetic(Struct, frozen=True):
    """An arithmetic by its parts, for a contract that is none of `Contract`.

    `d_form`: see `DForm`. `a_precision`: what A is multiplied by in storage (1 or 100). `settles`:
    it reverts when an iteration has not settled after 255 rounds. `by_multiplier`: balances are
    scaled by whole multipliers (`rate / 1e18`). `quote_less_one`, `exchange_less_one`: get_dy,
    exchange take one scaled unit off. `quote_fee_on_tokens`: get_dy takes the fee after it has
    divided by the rate. `recomputes_balances`: exchange stores the scaled balances divided by the
    rates. `holds_balances`: balances are what the pool holds less admin fees, not stored.
    """

    d_form: DForm = DForm.PRODUCT
    a_precision: int = 100
    settles: bool = True
    by_multiplier: bool = False
    quote_less_one: bool = True
    quote_fee_on_tokens: bool = False
    exchange_less_one: bool = True
    recomputes_balances: bool = False
    holds_balances: bool = False

    def __post_init__(self) -> None:
        if self.a_precision not in (1, 100):
            raise ValueError(f"a_precision: expected 1 or 100, found {self.a_precision}")


_EACH: Final = Arithmetic(DForm.EACH)
_OLD: Final = Arithmetic(DForm.EACH, 1, settles=False, quote_fee_on_tokens=True)
_AAVE: Final = Arithmetic(
    DForm.EACH_PLUS_ONE,
    by_multiplier=True,
    quote_less_one=False,
    quote_fee_on_tokens=True,
    exchange_less_one=False,
    holds_balances=True,
)

ARITHMETIC: Final[Mapping[Contract, Arithmetic]] = {
    Contract.FACTORY: _EACH,
    Contract.FACTORY_2021: _EACH,
    Contract.FACTORY_BALANCES: Arithmetic(DForm.EACH, holds_balances=True),
    Contract.FACTORY_OPTIMIZED: Arithmetic(DForm.EACH, by_multiplier=True),
    Contract.BASE: _EACH,
    Contract.ETH: Arithmetic(DForm.EACH, by_multiplier=True),
    Contract.STETH: Arithmetic(DForm.EACH_PLUS_ONE, by_multiplier=True, holds_balances=True),
    Contract.THREE_POOL: _OLD,
    Contract.REN: _OLD,
    Contract.PAX: Arithmetic(
        DForm.EACH,
        1,
        settles=False,
        quote_fee_on_tokens=True,
        exchange_less_one=False,
        recomputes_balances=True,
    ),
    Contract.COMPOUND: Arithmetic(
        DForm.EACH_PLUS_ONE,
        1,
        settles=False,
        quote_less_one=False,
        quote_fee_on_tokens=True,
        exchange_less_one=False,
        recomputes_balances=True,
    ),
    Contract.AAVE: _AAVE,
    Contract.TEMPLATE_A: Arithmetic(
        DForm.EACH,
        by_multiplier=True,
        quote_less_one=False,
        quote_fee_on_tokens=True,
        exchange_less_one=False,
        holds_balances=True,
    ),
    Contract.RETH: Arithmetic(DForm.EACH, quote_less_one=False, recomputes_balances=True),
    Contract.LENDING: _EACH,
    Contract.TEMPLATE_Y: Arithmetic(DForm.EACH, recomputes_balances=True),
    Contract.META: _EACH,
    Contract.META_2020: Arithmetic(DForm.EACH, settles=False),
}
"""The arithmetic of each contract; the factory's two-coin pools use `product` instead of `each`."""

_SHORT_FOR_TWO: Final = frozenset(
    {Contract.FACTORY, Contract.FACTORY_BALANCES, Contract.FACTORY_OPTIMIZED}
)


class RateSource(Enum):
    """Where a coin's rate comes from: `fixed` by its decimals, a view of the coin, or elsewhere.

    `yearn`: getPricePerFullShare(). `reth`: getExchangeRate(). `aeth`: ratio(). `given`: a view
    that accrues by the block or an oracle; it must come with the block, as `rates`.
    """

    FIXED = "fixed"
    YEARN = "yearn"
    RETH = "reth"
    AETH = "aeth"
    GIVEN = "given"


class CurveStableState(Struct, frozen=True):
    """A plain pool, its fields as the contract's views answer them.

    `address` is the pool's own. `coins` and `balances` are `coins(i)` and `balances(i)`, in
    smallest units. `decimals` are the coins' own; or give `rates`: what brings a balance to 18
    decimals, times 1e18, which is 10^(36 - decimals), in lending pools times the price of a whole
    token. `future_a`, `initial_a` and their times `future_a_time` and `initial_a_time` (seconds
    since 1970) are those of the contract's storage, A multiplied by its precision (100, in
    contracts of 2020 1); without a ramp `future_a` alone is enough. `fee`, `admin_fee` and
    `offpeg_fee_multiplier` are in units of 1e-10, the last 0 for a constant fee. `total_supply` is
    that of `lp_token` (None: the pool is its own), in smallest units, which only metapools on top
    need. `underlying_coins` are the coins of an Aave pool's tokens, which trade by the same
    arithmetic. `contract` says what it runs; `arithmetic` replaces what that implies.
    `rate_sources` are one a coin, none for fixed rates. `is_killed` says that the owner has stopped
    swaps. `balances_current` is False after an event that logs alone cannot follow: such a pool
    needs `balances` with the block.
    """

    address: Address
    coins: tuple[Address, ...]
    balances: tuple[Uint256, ...]
    future_a: Uint256
    fee: int
    decimals: tuple[int, ...] = ()
    rates: tuple[Uint256, ...] = ()
    contract: Contract = Contract.FACTORY
    arithmetic: Arithmetic | None = None
    initial_a: Uint256 = 0
    initial_a_time: int = 0
    future_a_time: int = 0
    admin_fee: int = FEE_UNIT // 2
    offpeg_fee_multiplier: int = 0
    lp_token: Address | None = None
    total_supply: Uint256 = 0
    underlying_coins: tuple[Address, ...] = ()
    rate_sources: tuple[RateSource, ...] = ()
    is_killed: bool = False
    balances_current: bool = True

    def __post_init__(self) -> None:
        n = len(self.coins)
        if n not in COINS:
            raise ValueError(f"coins: expected {COINS[0]} to {COINS[-1]} of them, found {n}")
        if len(set(self.coins)) != n:
            raise ValueError("coins: expected different ones")
        if not self.rates:
            check_decimals("decimals", self.decimals, n)
            force_setattr(self, "rates", tuple(10 ** (36 - d) for d in self.decimals))
        for name in ("balances", "rates"):
            check_count(name, getattr(self, name), n)
        for name in ("underlying_coins", "rate_sources"):
            if getattr(self, name):
                check_count(name, getattr(self, name), n)
        if 0 in self.rates:
            raise ValueError("rates: expected more than zero")
        check_parameters(self.future_a, self.fee, self.admin_fee)
        if not 0 <= self.offpeg_fee_multiplier <= 2**62:
            raise ValueError("offpeg_fee_multiplier: expected units of 1e-10, at most 2^62")
        if self.future_a_time and self.future_a_time < self.initial_a_time:
            raise ValueError("future_a_time: expected not before initial_a_time")

    @property
    def ramping(self) -> bool:
        """Whether A may still be moving; a past end cannot be seen from here."""
        return self.future_a_time != 0 and self.initial_a != self.future_a

    @property
    def moving_rates(self) -> bool:
        """Whether rates move without events."""
        return any(source is not RateSource.FIXED for source in self.rate_sources)


def check_count(name: str, values: tuple[Any, ...], count: int) -> None:
    """Demand one value a coin.

    Raises:
        ValueError: there are more or fewer.
    """
    if len(values) != count:
        raise ValueError(f"{name}: expected {count}, one a coin, found {len(values)}")


def check_decimals(name: str, decimals: tuple[int, ...], count: int) -> None:
    """Demand one number of decimals a coin.

    Raises:
        ValueError: there are more or fewer, or one is out of bounds.
    """
    check_count(name, decimals, count)
    if not all(0 <= d <= MAX_DECIMALS for d in decimals):
        raise ValueError(f"{name}: expected 0 to {MAX_DECIMALS}, found {list(decimals)}")


def check_parameters(future_a: int, fee: int, admin_fee: int) -> None:
    """Demand an A and fees that a pool can have.

    Raises:
        ValueError: which one it is.
    """
    if future_a == 0:
        raise ValueError("future_a: expected more than zero")
    for name, value in (("fee", fee), ("admin_fee", admin_fee)):
        if not 0 <= value <= FEE_UNIT:
            raise ValueError(f"{name}: expected 0 to 1e10, in units of 1e-10, found {value}")


def rules_of(contract: Contract, arithmetic: Arithmetic | None, coins: int) -> Rules:
    """Return how a contract calculates."""
    parts = arithmetic or ARITHMETIC[contract]
    form = _D_FORMS[parts.d_form]
    if arithmetic is None and coins == 2 and contract in _SHORT_FOR_TWO:
        form = D_PRODUCT
    return Rules(
        d_form=form,
        a_precision=parts.a_precision,
        settles=parts.settles,
        by_multiplier=parts.by_multiplier,
        quote_less_one=parts.quote_less_one,
        quote_fee_on_tokens=parts.quote_fee_on_tokens,
        exchange_less_one=parts.exchange_less_one,
        recomputes_balances=parts.recomputes_balances,
    )


def holds_balances(state: CurveStableState) -> bool:
    """Return whether a pool's balances are what it holds, so that transfers alone move them."""
    return (state.arithmetic or ARITHMETIC[state.contract]).holds_balances


def told_balances(state: S, block: QuoteBlock) -> S:
    """Return a pool's state with balances that came with the block taken for current."""
    return replace(state, balances_current=True) if "balances" in block.volatile else state


def numbers(state: CurveStableState, block: QuoteBlock) -> Pool:
    """Return the numbers of a state as it holds in `block`, whose time decides A.

    Raises:
        SwapRefused: swaps are switched off, or balances are needed with the block.
    """
    if state.is_killed:
        raise SwapRefused(Status.PAUSED, "the pool was killed by its owner")
    if not state.balances_current:
        raise SwapRefused(
            Status.UNMODELLED, "an event has changed balances in a way logs do not tell"
        )
    begin, end = state.initial_a_time, state.future_a_time
    return Pool(
        balances=state.balances,
        rates=state.rates,
        amp=amplification(state.initial_a, state.future_a, begin, end, block.timestamp),
        fee=state.fee,
        admin_fee=state.admin_fee,
        offpeg_fee_multiplier=state.offpeg_fee_multiplier,
        supply=state.total_supply,
        rules=rules_of(state.contract, state.arithmetic, len(state.coins)),
    )


def prepared(pool: Pool) -> tuple[Words, int]:
    """Return a pool as kernels take it, and its rules.

    Raises:
        SwapRefused: the contract cannot calculate an invariant.
    """
    words, rules = layout(pool), rule_bits(pool.rules)
    checked(prepare(words, rules))
    return words, rules


def accepts(amount: int) -> None:
    """Demand an amount that a contract can be given.

    Raises:
        SwapRefused: it is none.
    """
    if not 0 <= amount < 1 << 256:
        raise SwapRefused(Status.OVERFLOW, "an amount that is no uint256")
