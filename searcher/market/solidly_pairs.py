"""Solidly's pairs and their descendants: one state, one curve, and whom they ask for their fee.

Sources: BaseV1Pair (Solidly), Pair and PairFactory (Velodrome V1), Pool and PoolFactory
(Velodrome V2, Aerodrome). A pair swaps against its stored reserves, and every change of them emits
Sync. Fee and pause belong to the factory, which changes them without an event, or with one that
does not say enough: both are read for each block.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels import solidly as kernel
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.market.announcing import AnnouncedPools, pool_address, tokens_of_words
from searcher.market.contract_values import answered_words, uint256
from searcher.market.decoding import MalformedLog, address_of, topic_word, words
from searcher.market.protocol import (
    Announcement,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.tokens import places

PAIR_CREATED: Final = "0xc4805696c66d7cf352fc1d6bb633ad5ee82f6cb577c453024b6e0eb8306c6fc9"
"""PairCreated(address indexed, address indexed, bool stable, address pair, uint256)."""
SYNC: Final = "0xcf2aa50876cdfbb541206f89af0ee78d44a2abf8d328e37fa4917f982149848a"
"""Sync(uint256,uint256)."""
NARROW_SYNC: Final = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
"""Sync(uint112,uint112), of forks that kept Uniswap's event."""
SET_CUSTOM_FEE: Final = "0xae468ce586f9a87660fdffc1448cee942042c16ae2f02046b134b5224f31936b"
"""SetCustomFee(address indexed pool, uint256 fee), of the factory."""
SET_PAUSE_STATE: Final = "0x0d76538efc408318a051137c2720a9e82902acdbd46b802d488b74ca3a09a116"
"""SetPauseState(bool state), of the factory."""

METADATA: Final = "0x392f37e9"
IS_PAUSED: Final = "0xb187bd26"
ZERO_FEE: Final = 420
"""What a factory's custom fee is when it means none, 0 meaning that there is no custom fee."""
MOST_DECIMALS: Final = 77
"""10 ** 77 is the last power of ten that a pair can hold."""


class SolidlyState(Struct, frozen=True):
    """A pair.

    `reserve0` and `reserve1` are what it has stored of its tokens, in smallest units; `decimals0`
    and `decimals1` are the tokens' own, such as 6 or 18 (`metadata()` answers 10 to their power).
    `stable` tells the stable from the volatile curve.

    `fee` is what is taken from an input, in parts of `fee_denominator`, 10000 if left out: Solidly
    takes 1; Velodrome's factories answer it (`getFee`). `is_paused` says that the factory lets
    nobody swap. `pool` and `factory` are the contracts; a quote does not need them, following the
    pair does.
    """

    token0: Address
    token1: Address
    reserve0: Uint256
    reserve1: Uint256
    stable: bool
    fee: int
    decimals0: int = 18
    decimals1: int = 18
    fee_denominator: int = 10_000
    is_paused: bool = False
    pool: Address | None = None
    factory: Address | None = None

    def __post_init__(self) -> None:
        """Check what a pair can be."""
        if self.token0 == self.token1:
            raise ValueError("token1: expected another token than token0")
        for name in ("decimals0", "decimals1"):
            found = getattr(self, name)
            if not 0 <= found <= MOST_DECIMALS:
                raise ValueError(
                    f"{name}: expected the token's decimals, such as 18, found {found}"
                    " (metadata() answers 10 to their power)"
                )
        if not 0 < self.fee_denominator < 2**63:
            raise ValueError(f"fee_denominator: expected 1 to 2^63 - 1, not {self.fee_denominator}")
        if not 0 <= self.fee <= self.fee_denominator:
            raise ValueError(
                f"fee: expected 0 to fee_denominator, which is {self.fee_denominator},"
                f" found {self.fee}"
            )


class SolidlyIdentity(Struct, frozen=True):
    """A pair's address and that of its factory, which pairs do not say everywhere."""

    pool: Address
    factory: Address


class SolidlyPairs(AnnouncedPools[SolidlyState]):
    """What all of them share; a plug-in says how they solve and whom they ask for the fee."""

    class Config(Settings):
        """Nothing to set: a pair and its factory say everything."""

    State = SolidlyState
    Identity = SolidlyIdentity
    created_topics = frozenset({PAIR_CREATED})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({PAIR_CREATED: 1})
    topics = frozenset({SYNC, NARROW_SYNC})
    usual_gas = 110_000
    volatile = frozenset({"is_paused"})

    strict: ClassVar[bool]
    """Whether a stable pair solves for y as Velodrome V2 does."""

    # ---- how pairs are found

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode PairCreated."""
        stable, pair, _ = words(log, topics=3, data=3)
        return self.pair(log, stable, pair)

    def pair(self, log: Log, stable: int, pair: int) -> Announcement:
        """Return a pair that its factory announces, the first two indexed values its tokens.

        Raises:
            MalformedLog: the values are not those of a pair.
        """
        if stable > 1:
            raise MalformedLog("a pair neither stable nor volatile")
        address = pool_address(pair)
        tokens = tokens_of_words(topic_word(log, 1), topic_word(log, 2))
        return Announcement(
            address, address, tokens, identity=SolidlyIdentity(address, log.address)
        )

    def tokens_of(self, state: SolidlyState) -> tuple[Address, ...]:
        """Return both tokens."""
        return state.token0, state.token1

    def holdings(self, state: SolidlyState) -> tuple[tuple[Address, float], ...]:
        """Return the reserves."""
        return (state.token0, float(state.reserve0)), (state.token1, float(state.reserve1))

    def funded(self, state: SolidlyState) -> bool:
        """Return whether both reserves are there."""
        return state.reserve0 > 0 and state.reserve1 > 0

    # ---- the state of a pair

    @abstractmethod
    def fee_calls(self, identity: SolidlyIdentity, *, stable: bool) -> list[ReadCall]:
        """Return the call that says the fee, or nothing where it is fixed."""

    def fixed_fee(self) -> int:
        """Return the fee where no call says it."""
        raise NotImplementedError(f"{type(self).__name__} has no fixed fee")

    def reads(self, identity: SolidlyIdentity) -> Reads[SolidlyState]:
        """Read the pair's metadata, then what its factory says of it."""
        (answer,) = yield [ReadCall(identity.pool, METADATA)]
        found = answered_words(answer, 7, "metadata()")
        if found[4] > 1 or found[5] >> 160 or found[6] >> 160:
            raise UnreadablePool("metadata() did not answer a kind and two tokens")
        moving = yield from self._moving(identity, stable=bool(found[4]))
        try:
            return SolidlyState(
                token0=address_of(found[5]),
                token1=address_of(found[6]),
                reserve0=found[2],
                reserve1=found[3],
                stable=bool(found[4]),
                decimals0=_digits(found[0]),
                decimals1=_digits(found[1]),
                pool=identity.pool,
                factory=identity.factory,
                **moving,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def refresh(self, state: SolidlyState) -> Reads[dict[str, Any]]:
        """Read again what the factory says.

        Raises:
            UnreadablePool: the state does not name pool and factory.
        """
        if state.pool is None or state.factory is None:
            raise UnreadablePool("the state names no pool or no factory: write both")
        identity = SolidlyIdentity(state.pool, state.factory)
        moving = yield from self._moving(identity, stable=state.stable)
        return {name: value for name, value in moving.items() if name in self.volatile}

    def _moving(self, identity: SolidlyIdentity, *, stable: bool) -> Reads[dict[str, Any]]:
        calls = self.fee_calls(identity, stable=stable)
        paused, *fees = yield [ReadCall(identity.factory, IS_PAUSED), *calls]
        (is_paused,) = answered_words(paused, 1, "isPaused()")
        fee = answered_words(fees[0], 1, "getFee")[0] if fees else self.fixed_fee()
        return {"is_paused": bool(is_paused), "fee": fee}

    def apply(self, state: SolidlyState, log: Log) -> SolidlyState:
        """Take the reserves of Sync: they do not depend on what was before."""
        if log.topics[0] not in {SYNC, NARROW_SYNC}:
            raise MalformedLog("a topic that is not a pair's")
        reserve0, reserve1 = words(log, topics=1, data=2)
        return replace(state, reserve0=reserve0, reserve1=reserve1)

    def quote_exact_in(
        self,
        state: SolidlyState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return getAmountOut, and how much of it swap's own check of k lets go."""
        pair = self._oriented(state, block, token_in, token_out)
        status, quoted, realised = kernel.exact_in(uint256(amount), *pair)
        checked(status)
        return Quote(quoted, realised)

    def quote_exact_out(
        self,
        state: SolidlyState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return the least input: by getAmountOut, and by swap's own check of k."""
        pair = self._oriented(state, block, token_in, token_out)
        status, quoted, realised = kernel.exact_out(uint256(amount), *pair)
        checked(status)
        return Quote(quoted, realised)

    def marginal_rate(
        self,
        state: SolidlyState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope of the curve."""
        pair = self._oriented(state, block, token_in, token_out)
        if not (pair[0] and pair[1]):
            raise SwapRefused(Status.EMPTY_POOL, "the pair is empty on one side or both")
        status, rate = kernel.marginal_rate(uint256(amount), *pair)
        checked(status)
        return rate

    def _oriented(
        self, state: SolidlyState, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> tuple[int, int, int, int, int, int, bool, bool, bool]:
        """Return the kernel's arguments for one direction."""
        there, back = places((state.token0, state.token1), token_in, token_out)
        state = self.at(state, block)
        if state.is_paused:
            raise SwapRefused(Status.PAUSED, "the factory lets nobody swap")
        reserves = (state.reserve0, state.reserve1)
        scales = (10**state.decimals0, 10**state.decimals1)
        return (
            reserves[there],
            reserves[back],
            scales[there],
            scales[back],
            state.fee,
            state.fee_denominator,
            state.stable,
            self.strict,
            there == 0,
        )


def with_custom_fee(state: SolidlyState, log: Log) -> SolidlyState:
    """Apply the factory's SetCustomFee, which may be of another pool.

    A fee of 0 says that the default is back, without saying what it is: `fee` is volatile.
    """
    (fee,) = words(log, topics=2, data=1)
    if state.pool is None:
        raise MalformedLog("a SetCustomFee for a state that does not name its pool")
    if address_of(topic_word(log, 1)) != state.pool or fee == 0:
        return state
    fee = 0 if fee == ZERO_FEE else fee
    if fee > state.fee_denominator:
        raise MalformedLog(f"a fee of {fee} in {state.fee_denominator}")
    return replace(state, fee=fee)


def with_pause(state: SolidlyState, log: Log) -> SolidlyState:
    """Apply the factory's SetPauseState."""
    (is_paused,) = words(log, topics=1, data=1)
    if is_paused > 1:
        raise MalformedLog("a pause that is neither on nor off")
    return replace(state, is_paused=bool(is_paused))


def _digits(scale: int) -> int:
    digits = len(str(scale)) - 1
    if scale != 10**digits:
        raise UnreadablePool(f"metadata() answered a scale of {scale}, which is no power of ten")
    return digits
