"""Reading concentrated pools: through the lens, or call by call where a node does not run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple

from searcher.domain.events import BlockRef
from searcher.domain.units import Address
from searcher.market.decoding import MalformedLog, signed, unsigned
from searcher.market.lens import LensRefused, Reading, Tick, bitmap_words, read_through_lens
from searcher.market.node import Node
from searcher.market.protocol import Answer, Pool, ReadCall, Reads, UnreadablePool
from searcher.market.reads import carry_out_together

SLOT0 = "0x3850c7bd"
LIQUIDITY = "0x1a686502"
TICK_BITMAP = "0x5339c296"
TICKS = "0xf30dba93"


class Shape(NamedTuple):
    """How many words the views of a family's pools answer, and whose they are."""

    slot0: int
    tick: int
    whose: str


UNISWAP: Final = Shape(7, 8, "Uniswap V3's")

_TOGETHER: Final = 4
"""Pools read at once call by call: enough to fill requests, few enough not to hold up the loop."""


async def read_concentrated(
    node: Node, pools: Sequence[Pool], block: BlockRef, *, gas: int, batch_calls: int
) -> AsyncIterator[Reading | str]:
    """Yield of each pool, in order, what it holds at exactly `block`, or why it does not say so.

    Both ways give the same readings; the lens needs a call for many pools where plain reading
    needs hundreds for one.

    Args:
        node: whom to ask.
        pools: pools in the shape of Uniswap V3's.
        block: where to read.
        gas: what one call of the lens may use.
        batch_calls: how many plain calls go into one request.

    Raises:
        Retryable: the node does not answer.
        Rejected: it refuses even plain calls.
    """
    done = 0
    try:
        async for reading in read_through_lens(node, pools, block, gas=gas):
            yield reading
            done += 1
    except LensRefused as error:
        import structlog  # noqa: PLC0415  a quote from a file logs nothing and would wait for it

        log = structlog.get_logger(__name__)
        log.warning("pools are read call by call", pools=len(pools) - done, why=str(error))
        async for reading in read_plainly(node, pools[done:], block, batch_calls=batch_calls):
            yield reading


async def read_plainly(
    node: Node,
    pools: Sequence[Pool],
    block: BlockRef,
    *,
    batch_calls: int,
    shape: Shape = UNISWAP,
) -> AsyncIterator[Reading | str]:
    """Yield the same as `read_concentrated`, by calls that every node answers.

    Raises:
        SearcherError: as for `read_concentrated`.
    """
    for begin in range(0, len(pools), _TOGETHER):
        reads = [
            pool_reads(pool.address, pool.tick_spacing, shape)
            for pool in pools[begin : begin + _TOGETHER]
        ]
        for reading in await carry_out_together(reads, node, block, batch_calls=batch_calls):
            yield reading


def pool_reads(pool: Address, spacing: int, shape: Shape) -> Reads[Reading]:
    """Return the reads of price and liquidity, of the tick bitmap's words, and of each set tick."""
    slot0, liquidity = yield [ReadCall(pool, SLOT0), ReadCall(pool, LIQUIDITY)]
    if isinstance(slot0, str) or isinstance(liquidity, str):
        why = slot0 if isinstance(slot0, str) else liquidity
        raise UnreadablePool(f"slot0 and liquidity: {why}")
    if len(slot0) != shape.slot0 or len(liquidity) != 1:
        raise UnreadablePool(f"slot0 or liquidity has another shape than {shape.whose}")
    if not slot0[0]:
        return Reading(slot0[0], slot0[1], liquidity[0], [])  # without a price, no positions
    places = bitmap_words(spacing)
    bitmaps = yield [ReadCall(pool, _with_int(TICK_BITMAP, word)) for word in places]
    asked: list[int] = []
    for word, answer in zip(places, bitmaps, strict=True):
        if isinstance(answer, str):
            raise UnreadablePool(f"tickBitmap({word}): {answer}")
        if len(answer) != 1:
            raise UnreadablePool(f"tickBitmap({word}) answered {len(answer)} words")
        asked += _set_ticks(answer[0], word, spacing)
    answers = yield [ReadCall(pool, _with_int(TICKS, tick)) for tick in asked]
    ticks = [_tick(tick, answer, shape) for tick, answer in zip(asked, answers, strict=True)]
    return Reading(slot0[0], slot0[1], liquidity[0], ticks)


def _tick(tick: int, answer: Answer, shape: Shape) -> Tick:
    if isinstance(answer, str):
        raise UnreadablePool(f"ticks({tick}): {answer}")
    if len(answer) != shape.tick:
        raise UnreadablePool(f"ticks({tick}) has another shape than {shape.whose}")
    try:
        return Tick(tick, signed(answer[1], 128), unsigned(answer[0], 128))
    except MalformedLog as error:
        raise UnreadablePool(f"ticks({tick}) answered {error}") from error


def _set_ticks(bits: int, word: int, spacing: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield (word * 256 + low.bit_length() - 1) * spacing
        bits ^= low


def _with_int(selector: str, value: int) -> str:
    return f"{selector}{value % (1 << 256):064x}"
