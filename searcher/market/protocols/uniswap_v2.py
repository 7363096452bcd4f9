"""Uniswap V2 and its forks: constant product, one fee for all pairs of a factory.

Sources: UniswapV2Factory (PairCreated), UniswapV2Pair (Sync, getReserves, swap). A pair swaps
against its stored reserves, and every change of them emits Sync, so Sync alone keeps it exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.domain.plan import CurveKind
from searcher.domain.settings import Settings, knob
from searcher.kernels.curves import write_constant_product
from searcher.kernels.reference.uniswap_v2 import FEE_UNIT, amount_out
from searcher.market.arrays import PoolArrays
from searcher.market.decoding import MalformedLog, address_of, topic_word, unsigned, words
from searcher.market.node import Node, read_words
from searcher.market.protocol import Pool, Protocol, Quote
from searcher.market.settings import DexSettings

PAIR_CREATED = "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
GET_RESERVES = "0x0902f1ac"


class Reserves(NamedTuple):
    """What a pair has stored of both tokens, smallest units."""

    reserve0: int
    reserve1: int


class UniswapV2(Protocol[Reserves]):
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

    curve = CurveKind.CONSTANT_PRODUCT
    created_topic = PAIR_CREATED
    topics = frozenset({SYNC})

    config: Config

    def check(self, name: str, dex: DexSettings) -> None:
        """Demand the fee: pairs do not say it."""
        if dex.fee_pips is None:
            raise Misconfigured(
                f"dexes.{name}.fee_pips is missing: write the fee of its pairs, 3000 for Uniswap V2"
            )

    def announced(self, name: str, dex: DexSettings, log: Log) -> Pool:
        """Decode PairCreated(address indexed, address indexed, address, uint256)."""
        pair, _ = words(log, topics=3, data=2)
        return Pool(
            address=address_of(pair),
            protocol=dex.protocol,
            dex=name,
            token0=address_of(topic_word(log, 1)),
            token1=address_of(topic_word(log, 2)),
            fee_pips=dex.fee_pips or 0,
        )

    def new(self, pool: Pool) -> Reserves:  # noqa: ARG002  every new pair is empty
        """Return empty reserves."""
        return Reserves(0, 0)

    async def read(
        self, node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
    ) -> list[Reserves | str]:
        """Read getReserves of each pair."""
        states: list[Reserves | str] = []
        for begin in range(0, len(pools), batch_calls):
            calls = [(pool.address, GET_RESERVES) for pool in pools[begin : begin + batch_calls]]
            answers = await read_words(node, calls, block, batch_calls=batch_calls)
            states.extend(map(_reserves, answers))
        return states

    def apply(self, pool: Pool, state: Reserves, log: Log) -> Reserves:  # noqa: ARG002  Sync says all
        """Take the reserves of Sync(uint112, uint112): they do not depend on what was before."""
        if log.topics[0] != SYNC:
            raise MalformedLog("a topic that is not a pair's")
        reserve0, reserve1 = words(log, topics=1, data=2)
        return Reserves(unsigned(reserve0, 112), unsigned(reserve1, 112))

    def quote(self, pool: Pool, state: Reserves, amount_in: int, *, zero_for_one: bool) -> Quote:
        """Return UniswapV2Library.getAmountOut with the pair's own limits."""
        has, pays = state if zero_for_one else state[::-1]
        return Quote(amount_out(amount_in, has, pays, pool.fee_pips), self.config.swap_gas)

    def funded(self, state: Reserves) -> bool:
        """Return whether both reserves are there."""
        return state.reserve0 > 0 and state.reserve1 > 0

    def segments(self, pool: Pool) -> int:  # noqa: ARG002  the curve is one piece for every pair
        """Return 1."""
        return 1

    def draw(self, pool: Pool, state: Reserves, row: int, arrays: PoolArrays) -> None:
        """Write one segment a direction."""
        write_constant_product(
            row,
            float(state.reserve0),
            float(state.reserve1),
            1.0 - pool.fee_pips / FEE_UNIT,
            arrays.rate,
            arrays.gamma,
            arrays.first,
            arrays.count,
            arrays.segments,
        )


def _reserves(answer: tuple[int, ...] | str) -> Reserves | str:
    if isinstance(answer, str):
        return answer
    if len(answer) != 3 or answer[0] >> 112 or answer[1] >> 112:
        return "getReserves did not answer two reserves and a time"
    return Reserves(answer[0], answer[1])


PLUGIN = UniswapV2
