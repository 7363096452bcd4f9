"""Uniswap V2 and its forks: constant product, one fee for all pairs of a factory.

Sources: UniswapV2Factory (PairCreated), UniswapV2Pair (Sync, getReserves, swap), UniswapV2Library.
A pair swaps against its stored reserves, and every change of them emits Sync, so Sync alone keeps
it exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.settings import Settings, knob
from searcher.domain.units import FEE_PIPS, Address, Uint256
from searcher.kernels.log_batches import SYNC as SYNC_CODE
from searcher.kernels.memory import FEE, PRODUCT
from searcher.kernels.reference.uniswap_v2 import MAX_RESERVE
from searcher.kernels.refusal import checked
from searcher.kernels.uniswap_v2 import amount_in, amount_out
from searcher.kernels.uniswap_v2 import marginal_rate as rate_at
from searcher.market.decoding import MalformedLog, address_of, topic_word, unsigned, words
from searcher.market.memory import MarketMemory, value
from searcher.market.node import Node, read_words
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
from searcher.market.tokens import places

PAIR_CREATED = "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
GET_RESERVES = "0x0902f1ac"
TOKEN0 = "0x0dfe1681"
TOKEN1 = "0xd21220a7"


class UniswapV2State(Struct, frozen=True):
    """A pair.

    `token0` and `token1` are its tokens, in that order. `reserve0` and `reserve1` are what it has
    stored of them, in smallest units, as `getReserves()` answers. `fee_pips` is the fee in
    hundredths of a basis point: 3000 (the default) for Uniswap, 2500 for PancakeSwap.
    """

    token0: Address
    token1: Address
    reserve0: Uint256
    reserve1: Uint256
    fee_pips: int = 3000

    def __post_init__(self) -> None:
        """Check what a pair can hold."""
        if self.token0 == self.token1:
            raise ValueError("token1: expected another token than token0")
        for name in ("reserve0", "reserve1"):
            if getattr(self, name) > MAX_RESERVE:
                raise ValueError(f"{name}: expected a uint112")
        if not 0 <= self.fee_pips < FEE_PIPS:
            raise ValueError(f"fee_pips: expected 0 to {FEE_PIPS - 1}, found {self.fee_pips}")


class UniswapV2Identity(Struct, frozen=True):
    """A pair's address, and the fee of its factory's pairs: a pair does not say it."""

    pool: Address
    fee_pips: int = 3000


class UniswapV2(FollowedProtocol[UniswapV2State]):
    """Constant-product pairs announced by a factory and kept from Sync."""

    class Config(Settings):
        """Estimates of what a swap costs."""

        swap_gas: int = knob(
            65_000,
            why="gas of one swap, its token transfers included, for ranking before the proof",
            unit="gas",
            ge=20_000,
            le=1_000_000,
        )

    State = UniswapV2State
    Identity = UniswapV2Identity
    kind = PRODUCT
    curve = CurveKind.CONSTANT_PRODUCT
    created_topics = frozenset({PAIR_CREATED})
    topics = frozenset({SYNC})
    hot: ClassVar[Mapping[str, int]] = MappingProxyType({SYNC: SYNC_CODE})

    config: Config

    # ---- the state of a pair

    def reads(self, identity: UniswapV2Identity) -> Reads[UniswapV2State]:
        """Read tokens and reserves."""
        calls = [ReadCall(identity.pool, data) for data in (TOKEN0, TOKEN1, GET_RESERVES)]
        token0, token1, held = yield calls
        reserves = _reserves(held)
        if isinstance(reserves, str):
            raise UnreadablePool(reserves)
        return UniswapV2State(_token(token0), _token(token1), *reserves, identity.fee_pips)

    def apply(self, state: UniswapV2State, log: Log) -> UniswapV2State:
        """Take the reserves of Sync(uint112, uint112): they do not depend on what was before."""
        if log.topics[0] != SYNC:
            raise MalformedLog("a topic that is not a pair's")
        reserve0, reserve1 = words(log, topics=1, data=2)
        return replace(state, reserve0=unsigned(reserve0, 112), reserve1=unsigned(reserve1, 112))

    def quote_exact_in(
        self,
        state: UniswapV2State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return UniswapV2Library.getAmountOut, within the pair's own limits."""
        reserves = _oriented(self.at(state, block), token_in, token_out)
        status, out = amount_out(amount, *reserves, state.fee_pips)
        if status:
            checked(status)
        return Quote(out, out)

    def quote_exact_out(
        self,
        state: UniswapV2State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return UniswapV2Library.getAmountIn, within the pair's own limits."""
        reserves = _oriented(self.at(state, block), token_in, token_out)
        status, needed = amount_in(amount, *reserves, state.fee_pips)
        checked(status)
        return Quote(needed, needed)

    def marginal_rate(
        self,
        state: UniswapV2State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope of the product curve."""
        reserves = _oriented(self.at(state, block), token_in, token_out)
        status, rate = rate_at(amount, *reserves, state.fee_pips)
        checked(status)
        return rate

    # ---- what the market asks

    def check(self, name: str, dex: DexSettings) -> None:
        """Demand the fee: pairs do not say it."""
        if dex.fee_pips is None:
            raise Misconfigured(
                f"dexes.{name}.fee_pips is missing: write the fee of its pairs, 3000 for Uniswap V2"
            )

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  the log names no DEX
        """Decode PairCreated(address indexed, address indexed, address, uint256)."""
        word, _ = words(log, topics=3, data=2)
        pair, fee_pips = address_of(word), dex.fee_pips or 0
        tokens = address_of(topic_word(log, 1)), address_of(topic_word(log, 2))
        return Announcement(pair, pair, tokens, fee_pips, 0, UniswapV2Identity(pair, fee_pips))

    def identity(self, pool: Pool) -> UniswapV2Identity:
        """Return the pair's address and fee."""
        return UniswapV2Identity(pool.address, pool.fee_pips)

    def new(self, pool: Pool) -> UniswapV2State:
        """Return a pair without reserves."""
        return UniswapV2State(pool.token0, pool.token1, 0, 0, pool.fee_pips)

    def tokens_of(self, state: UniswapV2State) -> tuple[Address, ...]:
        """Return the pair's tokens."""
        return state.token0, state.token1

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[UniswapV2State | str]:
        """Read getReserves of each pair."""
        calls = [(pool.address, GET_RESERVES) for pool in pools]
        answers = await read_words(node, calls, block, batch_calls=batch_calls)
        states: list[UniswapV2State | str] = []
        for pool, answer in zip(pools, answers, strict=True):
            held = _reserves(answer)
            states.append(
                held
                if isinstance(held, str)
                else UniswapV2State(pool.token0, pool.token1, *held, pool.fee_pips)
            )
        return states

    def swap_gas(self, quote: Quote) -> int:  # noqa: ARG002  every swap of a pair costs the same
        """Return the configured estimate."""
        return self.config.swap_gas

    def funded(self, state: UniswapV2State) -> bool:
        """Return whether both reserves are there."""
        return state.reserve0 > 0 and state.reserve1 > 0

    def store(self, memory: MarketMemory, row: int, state: UniswapV2State) -> None:
        """Write reserves and fee."""
        memory.write_product(row, state.reserve0, state.reserve1, state.fee_pips)

    def load(self, memory: MarketMemory, row: int, pool: Pool) -> UniswapV2State:
        """Return a row's reserves and fee."""
        held = memory.exact
        fee_pips = int(memory.shape[row, FEE])
        return UniswapV2State(
            pool.token0, pool.token1, value(held, 2 * row), value(held, 2 * row + 1), fee_pips
        )


def _oriented(state: UniswapV2State, token_in: Address, token_out: Address) -> tuple[int, int]:
    """Return what the pair holds of the token given and of the token got."""
    if token_in == state.token0 and token_out == state.token1:
        return state.reserve0, state.reserve1
    places((state.token0, state.token1), token_in, token_out)  # refuses what is not the pair's
    return state.reserve1, state.reserve0


def _reserves(answer: Answer) -> tuple[int, int] | str:
    if isinstance(answer, str):
        return answer
    if len(answer) != 3 or answer[0] >> 112 or answer[1] >> 112:
        return "getReserves did not answer two reserves and a time"
    return answer[0], answer[1]


def _token(answer: Answer) -> Address:
    if isinstance(answer, str):
        raise UnreadablePool(f"token0 or token1: {answer}")
    if len(answer) != 1 or answer[0] >> 160 or not answer[0]:
        raise UnreadablePool("token0 or token1 did not answer an address")
    return Address(f"0x{answer[0]:040x}")


PLUGIN = UniswapV2
