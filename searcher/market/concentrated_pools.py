"""What pools of concentrated liquidity have in common: their state, its events, reads and quotes.

Sources: UniswapV3Pool (slot0, liquidity, tickBitmap, ticks and its events); PancakeV3Pool and
Slipstream's CLPool are the same but for what their plug-ins say. Collect and Flash move tokens
without moving price or liquidity, and a protocol's share of the fee changes no swap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.settings import Settings, knob
from searcher.domain.units import FEE_PIPS, ZERO_ADDRESS, Address, Uint256
from searcher.kernels import log_batches
from searcher.kernels import memory as layout
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.concentrated import UNISWAP, Shape, pool_reads, read_concentrated
from searcher.market.concentrated_state import initialised, positioned, settle, swapped, table
from searcher.market.decoding import MalformedLog, address_of, signed, topic_word, unsigned, words
from searcher.market.lens import LEAST_GAS, Reading
from searcher.market.memory import MarketMemory, value
from searcher.market.node import Node
from searcher.market.protocol import (
    Announcement,
    Answer,
    FollowedProtocol,
    Pool,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.ticks import MOST_ROWS, Tick, TickBook, TickTable
from searcher.market.tokens import places

INITIALIZE = "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95"
MINT = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
BURN = "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"

TOKEN0 = "0x0dfe1681"
TOKEN1 = "0xd21220a7"
FEE = "0xddca3f43"
TICK_SPACING = "0xd0c93a7c"

MOST_SPACING = 16_383
"""Factories refuse a tick spacing of 2^14."""
UNKNOWN_FEE = FEE_PIPS
"""The whole of an input: the fee of a pool whose fee was not read yet."""


class ConcentratedPoolState(Struct, frozen=True, kw_only=True):
    """A pool of concentrated liquidity; the names are those of the contract's views.

    `fee` is in hundredths of a basis point; 1000000 says that it is not known, and nothing is
    quoted. `tick_spacing` is what all initialised ticks are multiples of. `sqrt_price_x96` and
    `tick` are the first two values of `slot0()`; the price is 0 before the pool is initialised.
    `liquidity` is what is in range. `ticks` are the initialised ticks, ascending, each with
    `index`, `liquidity_net` and `liquidity_gross`; only those around the price may be given, and a
    quote that leaves them is refused then. `pool` is the pool's address, which only reads need.
    """

    token0: Address
    token1: Address
    fee: int
    tick_spacing: int
    sqrt_price_x96: Uint256
    tick: int
    liquidity: Uint256
    ticks: tuple[Tick, ...] = TickTable()
    pool: Address = ZERO_ADDRESS

    def __post_init__(self) -> None:
        """Check what a pool can hold."""
        if self.token0 == self.token1:
            raise ValueError("token1: expected another token than token0")
        if not 0 <= self.fee <= UNKNOWN_FEE:
            raise ValueError(f"fee: expected 0 to {UNKNOWN_FEE}, found {self.fee}")
        if not 0 < self.tick_spacing <= MOST_SPACING:
            raise ValueError(
                f"tick_spacing: expected 1 to {MOST_SPACING}, found {self.tick_spacing}"
            )
        settle(self, spacing=self.tick_spacing)

    @property
    def table(self) -> TickTable:
        """The ticks, with what is derived from them."""
        return table(self)


class ConcentratedPoolIdentity(Struct, frozen=True):
    """A pool's address."""

    pool: Address


class ConcentratedSettings(Settings):
    """What a swap costs (estimates), and how far tables reach."""

    swap_gas: int = knob(
        95_000,
        why="gas of a swap within one range, its token transfers included",
        unit="gas",
        ge=20_000,
        le=1_000_000,
    )
    crossing_gas: int = knob(
        22_000, why="gas of each initialised tick crossed", unit="gas", ge=0, le=1_000_000
    )
    table_rows: int = knob(
        MOST_ROWS,
        why="stops a direction that exact quotes keep sums of, 144 bytes each; beyond they step",
        unit="stops",
        ge=32,
        le=16_384,
    )


class LensSettings(ConcentratedSettings):
    """What a swap costs (estimates), how far tables reach, how pools are read."""

    read_gas: int = knob(
        16_000_000,
        why="what one call may use that reads pools; below the most a transaction may, 2^24",
        unit="gas",
        ge=LEAST_GAS,
        le=1_000_000_000,
    )


class ConcentratedPools(FollowedProtocol[ConcentratedPoolState]):
    """The base of the protocols whose pools are Uniswap V3's but for details."""

    State = ConcentratedPoolState
    Identity = ConcentratedPoolIdentity
    kind = layout.CONCENTRATED
    curve = CurveKind.CONCENTRATED

    swap_topic: ClassVar[str]
    swap_words: ClassVar[int]
    """How many words of data a Swap has; price, liquidity and tick are the third to fifth."""
    shape: ClassVar[Shape] = UNISWAP
    """How the pool's views answer."""

    config: ConcentratedSettings

    # ---- the state of a pool

    def reads(self, identity: ConcentratedPoolIdentity) -> Reads[ConcentratedPoolState]:
        """Read tokens, fee and spacing, then price, liquidity and every initialised tick."""
        views = (TOKEN0, TOKEN1, FEE, TICK_SPACING)
        answers = yield [ReadCall(identity.pool, view) for view in views]
        token0, token1, fee, spacing = map(
            _word, ("token0", "token1", "fee", "tickSpacing"), answers
        )
        if not 0 < spacing <= MOST_SPACING:
            raise UnreadablePool(f"tickSpacing() answered {spacing}")
        reading = yield from pool_reads(identity.pool, spacing, self.shape)
        try:
            return state_of(
                reading, address_of(token0), address_of(token1), fee, spacing, identity.pool
            )
        except MalformedLog as error:
            raise UnreadablePool(f"token0() or token1() answered {error}") from error

    def apply(self, state: ConcentratedPoolState, log: Log) -> ConcentratedPoolState:
        """Apply one event of the pool."""
        topic = log.topics[0]
        if topic == self.swap_topic:
            return swapped(state, *words(log, topics=3, data=self.swap_words)[2:5])
        if topic == MINT:
            _, amount, _, _ = words(log, topics=4, data=4)
            return _positioned(state, log, unsigned(amount, 128))
        if topic == BURN:
            amount, _, _ = words(log, topics=4, data=3)
            return _positioned(state, log, -unsigned(amount, 128))
        if topic == INITIALIZE:
            return initialised(state, *words(log, topics=1, data=2))
        raise MalformedLog("a topic that is not a pool's")

    def quote_exact_in(
        self,
        state: ConcentratedPoolState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what the pool's swap pays for an exact input that it takes whole."""
        book, zero_for_one = self._book(state, block, token_in, token_out)
        out, crossed = book.exact_in(state, amount, zero_for_one=zero_for_one)
        return Quote(out, out, crossed)

    def quote_exact_out(
        self,
        state: ConcentratedPoolState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what the pool's swap takes to pay exactly that output."""
        book, zero_for_one = self._book(state, block, token_in, token_out)
        taken, crossed = book.exact_out(state, amount, zero_for_one=zero_for_one)
        return Quote(taken, taken, crossed)

    def marginal_rate(
        self,
        state: ConcentratedPoolState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the price after the swap of an input, fee included."""
        book, zero_for_one = self._book(state, block, token_in, token_out)
        return book.marginal_rate(state, amount, zero_for_one=zero_for_one)

    def _book(
        self, state: ConcentratedPoolState, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> tuple[TickBook, bool]:
        place_in, _ = places((state.token0, state.token1), token_in, token_out)
        fee = self.at(state, block).fee
        if not 0 <= fee < FEE_PIPS:
            raise SwapRefused(Status.BAD_STATE, "the pool's fee is not known: read it first")
        return state.table.book(fee, state.tick_spacing, self.config.table_rows), place_in == 0

    # ---- what the market asks

    def check(self, name: str, dex: DexSettings) -> None:
        """Refuse a fee: each pool has its own."""
        if dex.fee_pips is not None:
            raise Misconfigured(
                f"dexes.{name}.fee_pips has no meaning: {dex.protocol} pools carry their own fee,"
                " leave it out"
            )

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  the log names no DEX
        """Decode PoolCreated(address idx, address idx, uint24 idx, int24, address)."""
        spacing, pool = words(log, topics=4, data=2)
        fee_pips = topic_word(log, 3)
        if fee_pips >= FEE_PIPS:
            raise MalformedLog(f"a fee of {fee_pips}")
        return announced_pool(log, pool=pool, tick_spacing=signed(spacing, 24), fee_pips=fee_pips)

    def identity(self, pool: Pool) -> ConcentratedPoolIdentity:
        """Return the pool's address."""
        return ConcentratedPoolIdentity(pool.address)

    def new(self, pool: Pool) -> ConcentratedPoolState:
        """Return a pool without price or liquidity."""
        return ConcentratedPoolState(
            token0=pool.token0,
            token1=pool.token1,
            fee=pool.fee_pips,
            tick_spacing=pool.tick_spacing,
            sqrt_price_x96=0,
            tick=0,
            liquidity=0,
            pool=pool.address,
        )

    def tokens_of(self, state: ConcentratedPoolState) -> tuple[Address, ...]:
        """Return the pool's tokens."""
        return state.token0, state.token1

    def swap_gas(self, quote: Quote) -> int:
        """Return the configured estimate for the ticks that a quote crosses."""
        return self.config.swap_gas + quote.crossings * self.config.crossing_gas

    def funded(self, state: ConcentratedPoolState) -> bool:
        """Return whether the pool has a price and liquidity somewhere."""
        return state.sqrt_price_x96 > 0 and bool(state.ticks)

    def store(self, memory: MarketMemory, row: int, state: ConcentratedPoolState) -> None:
        """Write price, liquidity and ticks."""
        memory.write_ticks(row, state.table, fee_pips=state.fee, spacing=state.tick_spacing)
        memory.write_price(row, state.sqrt_price_x96, state.liquidity, state.tick)

    def load(self, memory: MarketMemory, row: int, pool: Pool) -> ConcentratedPoolState:
        """Return what a row holds."""
        about = memory.shape[row]
        return ConcentratedPoolState(
            token0=pool.token0,
            token1=pool.token1,
            fee=int(about[layout.FEE]),
            tick_spacing=int(about[layout.SPACING]),
            sqrt_price_x96=value(memory.exact, 2 * row),
            tick=int(about[layout.TICK]),
            liquidity=value(memory.exact, 2 * row + 1),
            ticks=memory.tick_table(row),
            pool=pool.address,
        )


class LensPools(ConcentratedPools):
    """The base of those among them whose views the lens knows: they answer as Uniswap V3's."""

    config: LensSettings

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[ConcentratedPoolState | str]:
        """Read price, liquidity and every initialised tick."""
        import asyncio  # noqa: PLC0415  a quote from a file waits for nothing

        readings = read_concentrated(
            node, pools, block, gas=self.config.read_gas, batch_calls=batch_calls
        )
        states: list[ConcentratedPoolState | str] = []
        async for reading in readings:
            states.append(
                reading if isinstance(reading, str) else followed_state(reading, pools[len(states)])
            )
            await asyncio.sleep(0)  # other chains share this loop
        return states


def announced_pool(log: Log, *, pool: int, tick_spacing: int, fee_pips: int) -> Announcement:
    """Return a pool whose factory announces its tokens as the first two indexed values.

    Raises:
        MalformedLog: no pool has that tick spacing or these addresses.
    """
    if not 0 < tick_spacing <= MOST_SPACING:
        raise MalformedLog(f"a tick spacing of {tick_spacing}")
    where = address_of(pool)
    tokens = address_of(topic_word(log, 1)), address_of(topic_word(log, 2))
    return Announcement(
        where, where, tokens, fee_pips, tick_spacing, ConcentratedPoolIdentity(where)
    )


def followed_state(reading: Reading, pool: Pool) -> ConcentratedPoolState | str:
    """Return the state of a pool that the market follows, or why its answers make none."""
    try:
        return state_of(
            reading, pool.token0, pool.token1, pool.fee_pips, pool.tick_spacing, pool.address
        )
    except UnreadablePool as error:
        return str(error)


def state_of(  # noqa: PLR0917  what a pool says, in the order of its views
    reading: Reading, token0: Address, token1: Address, fee: int, spacing: int, pool: Address
) -> ConcentratedPoolState:
    """Return the state that a pool's answers make.

    Raises:
        UnreadablePool: they contradict each other.
    """
    try:
        state = ConcentratedPoolState(
            token0=token0,
            token1=token1,
            fee=fee,
            tick_spacing=spacing,
            sqrt_price_x96=reading.price,
            tick=signed(reading.tick, 24),
            liquidity=reading.liquidity,
            ticks=TickTable(Tick(*tick) for tick in reading.ticks),
            pool=pool,
        )
    except ValueError as error:
        raise UnreadablePool(f"the pool answered {error}") from error
    if not state.table.whole:
        raise UnreadablePool("the pool answered ticks above which liquidity is left")
    return state


def _positioned(state: ConcentratedPoolState, log: Log, amount: int) -> ConcentratedPoolState:
    lower, upper = signed(topic_word(log, 2), 24), signed(topic_word(log, 3), 24)
    return positioned(state, lower, upper, amount)


def hot_events(swap_topic: str, swap_code: int) -> Mapping[str, int]:
    """Return the opcodes of a family's events, by topic."""
    return MappingProxyType(
        {
            INITIALIZE: log_batches.INITIALIZE,
            MINT: log_batches.MINT,
            BURN: log_batches.BURN,
            swap_topic: swap_code,
        }
    )


def _word(view: str, answer: Answer) -> int:
    if isinstance(answer, str):
        raise UnreadablePool(f"{view}(): {answer}")
    if len(answer) != 1:
        raise UnreadablePool(f"{view}() answered {len(answer)} words")
    return answer[0]
