"""Algebra Integral: concentrated liquidity with its ticks in a list, and plug-ins that set the fee.

Sources: AlgebraPool, SwapCalculation, TickTree, TickManagement and Plugins of Integral 1.0, 1.1 and
1.2 (both of 1.2's forms: the published packages put the fees of a swap into an event of their own).
A plug-in cannot touch amounts but through the fee. With a dynamic fee the pool asks it in `fee()`,
which is volatile; one that says nothing there, or that may set a fee for each swap without the
dynamic-fee flag, leaves the pool unmodelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final

from msgspec import Struct

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import FEE_PIPS, ZERO_ADDRESS, Address, Uint256
from searcher.kernels.reference.algebra import NO_ROWS
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market import algebra
from searcher.market import concentrated_state as concentrated
from searcher.market.algebra import CUSTOM_POOL, POOL, announced_pool
from searcher.market.announcing import AnnouncedPools
from searcher.market.decoding import MalformedLog, signed, unsigned, words
from searcher.market.protocol import (
    Announcement,
    Answer,
    Known,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.ticks import Tick
from searcher.market.tokens import places

SWAP_WITH_FEES = "0x121cb44ee54098b1a04743c487e7460d8dd429b27f88b1f4d4767396e1a59f79"
SWAP_FEE = "0x9443903d84c9719611bd4bba871daaf18a3950d00d5d78b1a2fa701f76df54ff"
BURN_WITH_FEE = "0x932214d4a69c27c086643126ed97c32681da179064c678836c173f99bd13ca01"
PLUGIN_CONFIG = "0x3a6271b36c1b44bd6a0a0d56230602dc6919b7c17af57254306fadf5fee69dc3"
FEE = "0xddca3f43"
PLUGIN_FEE_PENDING = "0xa1eded87"
TREE_ROOT = "0x578b9a36"
SECOND_LAYER = "0xd8619037"

BEFORE_SWAP: Final = 1
DYNAMIC_FEE: Final = 1 << 7

_ROW_OFFSET: Final = 3466
"""TickTree.SECOND_LAYER_OFFSET: the row of the lowest tick becomes 0."""
_TICK_WORDS: Final = 6
_MAX_RESERVE: Final = 2**128 - 1


class AlgebraIntegralVersion(StrEnum):
    """Whether a plug-in can set the fee of the very swap that it is told of."""

    V1_1 = "1.1"
    """Integral 1.0 and 1.1: it cannot but through `setFee`, which the dynamic-fee flag allows."""
    V1_2 = "1.2"
    """Integral 1.2: it answers an override and a share of its own."""


class AlgebraIntegralState(Struct, frozen=True, kw_only=True):
    """A pool.

    `sqrt_price_x96`, `tick` and `plugin_config` are as `globalState()` answers, `liquidity` as
    `liquidity()`, the ticks as `ticks(index)`: `liquidityDelta` is the net, `liquidityTotal` the
    gross. `fee` is what `fee()` answers, in pips; null where the plug-in does not say it.
    `plugin_fee` is what the plug-in of version 1.2 takes on top, as the last swap's event had it.
    Only the ticks around the price may be given: a quote that leaves them is refused. `pool` is
    the pool's address, which only reads need.
    """

    token0: Address
    token1: Address
    sqrt_price_x96: Uint256
    tick: int
    liquidity: Uint256
    fee: int | None
    ticks: tuple[Tick, ...] = ()
    plugin_config: int = 0
    plugin_fee: int = 0
    version: AlgebraIntegralVersion = AlgebraIntegralVersion.V1_2
    pool: Address = ZERO_ADDRESS

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        if self.token0 == self.token1:
            raise ValueError("token1: expected another token than token0")
        if self.fee is not None and not 0 <= self.fee < 1 << 24:
            raise ValueError("fee: expected a uint24")
        if not 0 <= self.plugin_fee < 1 << 24:
            raise ValueError("plugin_fee: expected a uint24")
        if not 0 <= self.plugin_config < 1 << 8:
            raise ValueError("plugin_config: expected a uint8")
        concentrated.settle(self, spacing=1)


class AlgebraIntegralIdentity(Struct, frozen=True):
    """A pool's address: it says the rest itself."""

    pool: Address


class AlgebraIntegral(AnnouncedPools[AlgebraIntegralState]):
    """Integral pools, kept from their own events and those of their plug-in's doing."""

    class Config(Settings):
        """Nothing to set."""

    State = AlgebraIntegralState
    Identity = AlgebraIntegralIdentity
    created_topics = frozenset({POOL, CUSTOM_POOL})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({POOL: 1, CUSTOM_POOL: 2})
    usual_gas = 150_000
    topics = frozenset(
        {
            algebra.INITIALIZE,
            algebra.MINT,
            algebra.BURN,
            algebra.SWAP,
            algebra.FEE,
            SWAP_WITH_FEES,
            SWAP_FEE,
            BURN_WITH_FEE,
            PLUGIN_CONFIG,
        }
    )
    volatile = frozenset({"fee"})

    # ---- how pools are found

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode the factory's Pool or CustomPool: both are its pools."""
        return announced_pool(log)

    def identity(self, pool: Known) -> AlgebraIntegralIdentity:
        """Return the pool's address."""
        return AlgebraIntegralIdentity(pool.address)

    def tokens_of(self, state: AlgebraIntegralState) -> tuple[Address, ...]:
        """Return both tokens."""
        return state.token0, state.token1

    def holdings(self, state: AlgebraIntegralState) -> tuple[tuple[Address, float], ...]:
        """Return what lies in all ranges."""
        return concentrated.concentrated_holdings(state, state.token0, state.token1)

    def funded(self, state: AlgebraIntegralState) -> bool:
        """Return whether there is a price and liquidity somewhere."""
        return bool(state.sqrt_price_x96 and state.ticks)

    # ---- the state of a pool

    def reads(self, identity: AlgebraIntegralIdentity) -> Reads[AlgebraIntegralState]:
        """Read tokens, price and fee, the three layers of the tick tree, and each tick."""
        pool = identity.pool
        selectors = (
            algebra.TOKEN0,
            algebra.TOKEN1,
            algebra.GLOBAL_STATE,
            algebra.LIQUIDITY,
            TREE_ROOT,
            FEE,
            PLUGIN_FEE_PENDING,
        )
        answers = yield [ReadCall(pool, selector) for selector in selectors]
        token0, token1, held, depth, root, fee, pending = answers
        price, tick, _, config, _, _ = algebra.view(held, "globalState", 6)
        (nodes,) = algebra.view(root, "tickTreeRoot", 1)
        branches = [bit for bit in range(32) if nodes >> bit & 1]
        rows = yield from algebra.read_rows(pool, SECOND_LAYER, branches)
        leaves = yield from algebra.read_rows(
            pool, algebra.TICK_TABLE, [row - _ROW_OFFSET for row in rows]
        )
        found = yield from algebra.read_ticks(pool, leaves, _TICK_WORDS)
        newer = not isinstance(pending, str)
        try:
            return AlgebraIntegralState(
                pool=pool,
                token0=algebra.token(token0, "token0"),
                token1=algebra.token(token1, "token1"),
                sqrt_price_x96=price,
                tick=signed(tick, 24),
                liquidity=algebra.view(depth, "liquidity", 1)[0],
                ticks=found,
                fee=_said(fee),
                plugin_config=config,
                version=AlgebraIntegralVersion.V1_2 if newer else AlgebraIntegralVersion.V1_1,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def refresh(self, state: AlgebraIntegralState) -> Reads[dict[str, Any]]:
        """Read the fee, where a plug-in may move it."""
        if not state.plugin_config & DYNAMIC_FEE:
            return {}
        (answer,) = yield [ReadCall(state.pool, FEE)]
        return {"fee": _said(answer)}

    def apply(self, state: AlgebraIntegralState, log: Log) -> AlgebraIntegralState:
        """Apply one event of the pool."""
        topic = log.topics[0]
        if topic == algebra.FEE:
            (fee,) = words(log, topics=1, data=1)
            return concentrated.changed(state, fee=unsigned(fee, 16))
        if topic == PLUGIN_CONFIG:
            (config,) = words(log, topics=1, data=1)
            return concentrated.changed(state, plugin_config=unsigned(config, 8))
        if topic == SWAP_FEE:
            override, plugin = words(log, topics=2, data=2)
            return _charged(state, override, plugin)
        if topic == SWAP_WITH_FEES:
            _, _, price, liquidity, tick, override, plugin = words(log, topics=3, data=7)
            after = concentrated.swapped(state, price, liquidity, tick)
            return _charged(after, override, plugin)
        if topic == BURN_WITH_FEE:
            amount, _, _, _ = words(log, topics=4, data=4)
            return algebra.positioned(state, log, -unsigned(amount, 128))
        return algebra.applied(state, log)

    def quote_exact_in(
        self,
        state: AlgebraIntegralState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what AlgebraPool.swap pays for an exact input that it takes whole."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = concentrated.table(state).book(_fee(self.at(state, block)), NO_ROWS)
        answer, crossings = book.exact_in(state, amount, zero_for_one=zero_for_one)
        _check_reserve(amount)
        return Quote(answer, answer, crossings)

    def quote_exact_out(
        self,
        state: AlgebraIntegralState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what AlgebraPool.swap takes for an exact output that it pays whole."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = concentrated.table(state).book(_fee(self.at(state, block)), NO_ROWS)
        answer, crossings = book.exact_out(state, amount, zero_for_one=zero_for_one)
        _check_reserve(answer)
        return Quote(answer, answer, crossings)

    def marginal_rate(
        self,
        state: AlgebraIntegralState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope at the price that the input leads to."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = concentrated.table(state).book(_fee(self.at(state, block)), NO_ROWS)
        return book.marginal_rate(state, amount, zero_for_one=zero_for_one)


def _zero_for_one(state: AlgebraIntegralState, token_in: Address, token_out: Address) -> bool:
    return places((state.token0, state.token1), token_in, token_out) == (0, 1)


def _fee(state: AlgebraIntegralState) -> int:
    """Return the fee of the quoted swap.

    Raises:
        SwapRefused: a plug-in decides it and does not say, or it is 100 % or more.
    """
    fee = state.fee
    told = state.plugin_config & BEFORE_SWAP
    newer = state.version is AlgebraIntegralVersion.V1_2
    if fee is None or (told and newer and not state.plugin_config & DYNAMIC_FEE):
        raise SwapRefused(Status.UNMODELLED, "a plug-in sets the fee of each swap")
    if told and newer:
        fee += state.plugin_fee
    if fee >= FEE_PIPS:
        raise SwapRefused(Status.UNSAFE_VALUES, f"a fee of {fee} pips: the pool reverts")
    return fee


def _check_reserve(amount_in: int) -> None:
    """Refuse what the pool's reserves cannot count: they are uint128."""
    if amount_in > _MAX_RESERVE:
        raise SwapRefused(Status.OVERFLOW, "the input does not fit the pool's uint128 reserves")


def _charged(state: AlgebraIntegralState, override: int, plugin: int) -> AlgebraIntegralState:
    """Take over the fees of a swap; an override of 0 leaves the pool's own."""
    fee = unsigned(override, 24) or state.fee
    return concentrated.changed(state, fee=fee, plugin_fee=unsigned(plugin, 24))


def _said(answer: Answer) -> int | None:
    """Return what `fee()` answered, or nothing where the plug-in does not answer."""
    if isinstance(answer, str):
        return None
    (fee,) = algebra.view(answer, "fee", 1)
    try:
        return unsigned(fee, 16)
    except MalformedLog as error:
        raise UnreadablePool(f"fee answered {error}") from error


PLUGIN = AlgebraIntegral
