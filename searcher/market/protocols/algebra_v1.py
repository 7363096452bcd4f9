"""Algebra V1: concentrated liquidity with a tick table in rows, and a fee that adapts by itself.

Sources: AlgebraPool, TickTable and DataStorageOperator of Algebra V1.0 (QuickSwap V3), V1.9 (Thena)
and V1 with directional fees (Camelot V3). The first swap of a block sets the fee anew, from the
volatility and the volume of the last day. Logs carry no time, so what that needs is volatile; with
the oracle read in the last block, the fee of a later block is computed exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import ZERO_ADDRESS, Address, Uint256
from searcher.kernels.reference.algebra_fee import RING, volume_per_liquidity
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK
from searcher.market import algebra
from searcher.market import concentrated_state as concentrated
from searcher.market.algebra import POOL, announced_pool
from searcher.market.algebra_oracle import AlgebraFeeConfiguration, AlgebraOracle, read_timepoints
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
from searcher.market.ticks import Tick, TickBook
from searcher.market.tokens import places

DIRECTIONAL_FEE = "0x8a89de70856bccec096661388f305b9a75f5f65cb0d8a0e1e803c39dabedb57f"
TICK_SPACING = "0x01413b1d5d4c359e9a0daa7909ecda165f6e8c51fe2ff529d74b22a5a7c02645"
SPACING = "0xd0c93a7c"
MAX_LIQUIDITY = "0x70cf754a"
OPERATOR = "0x29047dfa"
FEE_CONFIG = "0x1e5eb1d0"
FEE_CONFIG_ZTO = "0x824e8e87"
FEE_CONFIG_OTZ = "0x90577ef6"

_SPACED: Final = 11505743598341114571880798222544994
"""maxLiquidityPerTick() where only every 60th tick can be used: V1.0."""
_TICK_WORDS: Final = 8
_FEES: Final = ("fee", "fee_zto", "fee_otz")


class AlgebraV1Version(StrEnum):
    """Which branch a pool's code is of."""

    V1_0 = "1.0"
    """One fee; the tick table counts in tick spacings."""
    V1_9 = "1.9"
    """One fee; the tick table counts single ticks, and the spacing can change."""
    DIRECTIONAL = "directional"
    """As 1.9, with a fee for each direction."""


class AlgebraV1State(Struct, frozen=True, kw_only=True):
    """A pool.

    `sqrt_price_x96`, `tick` and `liquidity` are as `globalState()` and `liquidity()` answer, the
    ticks as `ticks(index)` does: `liquidityDelta` is the net, `liquidityTotal` the gross. Only the
    `ticks` around the price may be given: a quote that leaves them is refused then. `version` says
    which branch the code is of, `tick_spacing` is the contract's: 60 in V1.0. `fee` is the last
    one set, in pips; with directional fees write `fee_zto` (token 0 in) and `fee_otz` (token 1 in)
    instead. Without `oracle` a quote takes these as they are, as the second swap of a block does;
    with it, the fee that the first swap of the quoted block sets. `pool` is the pool's address,
    which only reads need.
    """

    token0: Address
    token1: Address
    sqrt_price_x96: Uint256
    tick: int
    liquidity: Uint256
    ticks: tuple[Tick, ...] = ()
    fee: int | None = None
    fee_zto: int | None = None
    fee_otz: int | None = None
    tick_spacing: int = 60
    version: AlgebraV1Version = AlgebraV1Version.V1_0
    oracle: AlgebraOracle | None = None
    pool: Address = ZERO_ADDRESS

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        if self.token0 == self.token1:
            raise ValueError("token1: expected another token than token0")
        if not 0 < self.tick_spacing < 1 << 15:
            raise ValueError("tick_spacing: expected 1 to 32767")
        directional = self.version is AlgebraV1Version.DIRECTIONAL
        for name in _FEES:
            value, expected = getattr(self, name), directional == (name != "fee")
            if expected != (value is not None):
                must = "expected a fee" if expected else "expected none"
                raise ValueError(f"{name}: {must} in version {self.version}")
            if value is not None and not 0 <= value < 1 << 16:
                raise ValueError(f"{name}: expected a uint16")
        if self.oracle is not None and len(self.oracle.fee_configurations) != 1 + directional:
            raise ValueError(f"oracle: expected {1 + directional} fee_configurations")
        # From 1.9 on positions of an earlier tick spacing may be left.
        concentrated.settle(self, spacing=self.row_unit)

    @property
    def row_unit(self) -> int:
        """How many ticks apart the bits of the tick table are."""
        return self.tick_spacing if self.version is AlgebraV1Version.V1_0 else 1


class AlgebraV1Identity(Struct, frozen=True):
    """A pool's address: it says the rest itself."""

    pool: Address


class AlgebraV1(AnnouncedPools[AlgebraV1State]):
    """Algebra pools before Integral, kept from Initialize, Mint, Burn, Swap and Fee."""

    class Config(Settings):
        """Nothing to set."""

    State = AlgebraV1State
    Identity = AlgebraV1Identity
    created_topics = frozenset({POOL})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({POOL: 1})
    usual_gas = 150_000
    topics = frozenset(
        {
            algebra.INITIALIZE,
            algebra.MINT,
            algebra.BURN,
            algebra.SWAP,
            algebra.FEE,
            DIRECTIONAL_FEE,
            TICK_SPACING,
        }
    )
    volatile = frozenset({*_FEES, "oracle"})

    # ---- how pools are found

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode the factory's Pool."""
        return announced_pool(log)

    def identity(self, pool: Known) -> AlgebraV1Identity:
        """Return the pool's address."""
        return AlgebraV1Identity(pool.address)

    def tokens_of(self, state: AlgebraV1State) -> tuple[Address, ...]:
        """Return both tokens."""
        return state.token0, state.token1

    def holdings(self, state: AlgebraV1State) -> tuple[tuple[Address, float], ...]:
        """Return what lies in all ranges."""
        return concentrated.concentrated_holdings(state, state.token0, state.token1)

    def funded(self, state: AlgebraV1State) -> bool:
        """Return whether there is a price and liquidity somewhere."""
        return bool(state.sqrt_price_x96 and state.ticks)

    # ---- the state of a pool

    def reads(self, identity: AlgebraV1Identity) -> Reads[AlgebraV1State]:
        """Read tokens, price, the rows of the tick table, each tick, and the oracle."""
        pool = identity.pool
        selectors = (
            algebra.TOKEN0,
            algebra.TOKEN1,
            algebra.GLOBAL_STATE,
            algebra.LIQUIDITY,
            SPACING,
            MAX_LIQUIDITY,
        )
        token0, token1, held, depth, apart, most = yield [ReadCall(pool, s) for s in selectors]
        price, tick, fees, _ = _global_state(held)
        (spacing,) = algebra.view(apart, "tickSpacing", 1)
        if not 0 < spacing < 1 << 15:
            raise UnreadablePool(f"tickSpacing answered {spacing}")
        version = AlgebraV1Version.V1_9
        if "fee" not in fees:
            version = AlgebraV1Version.DIRECTIONAL
        elif algebra.view(most, "maxLiquidityPerTick", 1) == (_SPACED,):
            version = AlgebraV1Version.V1_0
        unit = spacing if version is AlgebraV1Version.V1_0 else 1
        found: tuple[Tick, ...] = ()
        if price:
            rows = range(MIN_TICK // unit >> 8, (MAX_TICK // unit >> 8) + 1)
            bits = yield from algebra.read_rows(pool, algebra.TICK_TABLE, rows)
            found = yield from algebra.read_ticks(pool, [b * unit for b in bits], _TICK_WORDS)
        oracle = None
        if price:
            oracle = yield from _oracle(pool, None, directional="fee" not in fees)
        try:
            return AlgebraV1State(
                pool=pool,
                token0=algebra.token(token0, "token0"),
                token1=algebra.token(token1, "token1"),
                sqrt_price_x96=price,
                tick=tick,
                liquidity=algebra.view(depth, "liquidity", 1)[0],
                ticks=found,
                tick_spacing=spacing,
                version=version,
                oracle=oracle,
                **fees,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def refresh(self, state: AlgebraV1State) -> Reads[dict[str, Any]]:
        """Read the fee and the oracle, where the state says whom to ask."""
        if state.pool == ZERO_ADDRESS or not state.sqrt_price_x96:
            return {}
        directional = state.version is AlgebraV1Version.DIRECTIONAL
        oracle = yield from _oracle(state.pool, state.oracle, directional=directional)
        (held,) = yield [ReadCall(state.pool, algebra.GLOBAL_STATE)]
        return {**_global_state(held)[2], "oracle": oracle}

    def apply(self, state: AlgebraV1State, log: Log) -> AlgebraV1State:
        """Apply one event of the pool."""
        topic = log.topics[0]
        if topic == algebra.FEE:
            (fee,) = words(log, topics=1, data=1)
            return _new_timepoint(state, fee=unsigned(fee, 16))
        if topic == DIRECTIONAL_FEE:
            zto, otz = words(log, topics=1, data=2)
            return _new_timepoint(state, fee_zto=unsigned(zto, 16), fee_otz=unsigned(otz, 16))
        if topic == TICK_SPACING:
            (spacing,) = words(log, topics=1, data=1)
            return concentrated.changed(state, tick_spacing=signed(spacing, 24))
        after = algebra.applied(state, log)
        return _with_volume(after, log) if topic == algebra.SWAP else after

    def quote_exact_in(
        self,
        state: AlgebraV1State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what AlgebraPool.swap pays for an exact input that it takes whole."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = self._book(state, block, zero_for_one=zero_for_one)
        answer, crossings = book.exact_in(state, amount, zero_for_one=zero_for_one)
        return Quote(answer, answer, crossings)

    def quote_exact_out(
        self,
        state: AlgebraV1State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what AlgebraPool.swap takes for an exact output that it pays whole."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = self._book(state, block, zero_for_one=zero_for_one)
        answer, crossings = book.exact_out(state, amount, zero_for_one=zero_for_one)
        return Quote(answer, answer, crossings)

    def marginal_rate(
        self,
        state: AlgebraV1State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope at the price that the input leads to."""
        zero_for_one = _zero_for_one(state, token_in, token_out)
        book = self._book(state, block, zero_for_one=zero_for_one)
        return book.marginal_rate(state, amount, zero_for_one=zero_for_one)

    def _book(self, state: AlgebraV1State, block: QuoteBlock, *, zero_for_one: bool) -> TickBook:
        """Return the quotes at the fee that a swap pays as the first of its block."""
        now = self.at(state, block)
        oracle = now.oracle
        if "oracle" not in block.volatile and block.volatile.keys() & set(_FEES):
            oracle = None  # whoever gives the fee alone knows it
        computed = None if oracle is None else oracle.fees(state.tick, block.timestamp)
        if computed is not None:
            fee: int | None = computed[0 if zero_for_one else -1]
        elif now.version is AlgebraV1Version.DIRECTIONAL:
            fee = now.fee_zto if zero_for_one else now.fee_otz
        else:
            fee = now.fee
        assert fee is not None  # __post_init__
        return concentrated.table(state).book(fee, state.row_unit)


def _zero_for_one(state: AlgebraV1State, token_in: Address, token_out: Address) -> bool:
    return places((state.token0, state.token1), token_in, token_out) == (0, 1)


def _new_timepoint(state: AlgebraV1State, **fees: int) -> AlgebraV1State:
    """A fee is set when a timepoint was written; its time is not in the log."""
    oracle = state.oracle
    if oracle is not None:
        oracle = replace(
            oracle,
            timepoint_index=(oracle.timepoint_index + 1) % RING,
            timepoints=tuple(
                t for t in oracle.timepoints if t.index != (oracle.timepoint_index + 1) % RING
            ),
            volume_per_liquidity_in_block=0,
        )
    return concentrated.changed(state, oracle=oracle, **fees)


def _with_volume(state: AlgebraV1State, log: Log) -> AlgebraV1State:
    oracle = state.oracle
    if oracle is None or oracle.volume_per_liquidity_in_block is None:
        return state
    amount0, amount1, *_ = words(log, topics=3, data=5)
    more = volume_per_liquidity(state.liquidity, signed(amount0, 256), signed(amount1, 256))
    volume = (oracle.volume_per_liquidity_in_block + more) % 2**128
    return replace(state, oracle=replace(oracle, volume_per_liquidity_in_block=volume))


def _global_state(answer: Answer) -> tuple[int, int, dict[str, int], int]:
    """Return price, tick, the fees by their fields' names, and the timepoint's index."""
    directional = not isinstance(answer, str) and len(answer) == 8
    price, tick, *rest = algebra.view(answer, "globalState", 8 if directional else 7)
    fees = dict(zip(_FEES[1:] if directional else _FEES[:1], rest, strict=False))
    try:
        return price, signed(tick, 24), fees, rest[len(fees)]
    except MalformedLog as error:
        raise UnreadablePool(f"globalState answered {error}") from error


def _oracle(
    pool: Address, known: AlgebraOracle | None, *, directional: bool
) -> algebra.Asking[AlgebraOracle]:
    """Read what the next fee depends on; `known` has the volume, which no view answers."""
    held, operator = yield [ReadCall(pool, s) for s in (algebra.GLOBAL_STATE, OPERATOR)]
    *_, index = _global_state(held)
    address = algebra.token(operator, "dataStorageOperator")
    selectors = (FEE_CONFIG_ZTO, FEE_CONFIG_OTZ) if directional else (FEE_CONFIG,)
    answers = yield [ReadCall(address, selector) for selector in selectors]
    configurations = []
    for answer in answers:
        alpha1, alpha2, beta1, beta2, gamma1, gamma2, *rest = algebra.view(answer, "feeConfig", 9)
        try:
            configurations.append(
                AlgebraFeeConfiguration(alpha1, alpha2, beta1, beta2, gamma1, gamma2, *rest)
            )
        except ValueError as error:
            raise UnreadablePool(f"feeConfig answered {error}") from error
    timepoints = yield from read_timepoints(address, index)
    same = known is not None and known.timepoint_index == index
    volume = known.volume_per_liquidity_in_block if known is not None and same else None
    return AlgebraOracle(index, timepoints, tuple(configurations), volume)


PLUGIN = AlgebraV1
