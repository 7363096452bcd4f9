"""Reading concentrated pools: through the lens, or call by call where a node does not run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import structlog

from searcher.domain.events import BlockRef
from searcher.market.decoding import MalformedLog, signed, unsigned
from searcher.market.lens import LensRefused, Reading, Tick, bitmap_words, read_through_lens
from searcher.market.node import Node, read_words
from searcher.market.protocol import Pool

SLOT0 = "0x3850c7bd"
LIQUIDITY = "0x1a686502"
TICK_BITMAP = "0x5339c296"
TICKS = "0xf30dba93"

_log = structlog.get_logger(__name__)

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
        _log.warning("pools are read call by call", pools=len(pools) - done, why=str(error))
        async for reading in read_plainly(node, pools[done:], block, batch_calls=batch_calls):
            yield reading


async def read_plainly(
    node: Node, pools: Sequence[Pool], block: BlockRef, *, batch_calls: int
) -> AsyncIterator[Reading | str]:
    """Yield the same as `read_concentrated`, by calls that every node answers.

    Raises:
        SearcherError: as for `read_concentrated`.
    """
    for begin in range(0, len(pools), _TOGETHER):
        together = pools[begin : begin + _TOGETHER]
        for reading in await _read_together(node, together, block, batch_calls):
            yield reading


async def _read_together(
    node: Node, pools: Sequence[Pool], block: BlockRef, batch_calls: int
) -> list[Reading | str]:
    """Read price and liquidity, then the words of the tick bitmaps, then each set tick."""
    heads = await read_words(
        node,
        [(p.address, data) for p in pools for data in (SLOT0, LIQUIDITY)],
        block,
        batch_calls=batch_calls,
    )
    found = [_head(*heads[2 * i : 2 * i + 2]) for i in range(len(pools))]
    # A pool without a price has no positions.
    priced = [i for i, head in enumerate(found) if isinstance(head, Reading) and head.price]
    places = [(i, word) for i in priced for word in bitmap_words(pools[i])]
    bitmaps = await read_words(
        node,
        [(pools[i].address, _with_int(TICK_BITMAP, word)) for i, word in places],
        block,
        batch_calls=batch_calls,
    )
    asked: list[tuple[int, int]] = []
    for (i, word), answer in zip(places, bitmaps, strict=True):
        if isinstance(answer, str):
            found[i] = f"tickBitmap({word}): {answer}"
        else:
            asked += [(i, tick) for tick in _set_ticks(answer[0], word, pools[i].tick_spacing)]
    answers = await read_words(
        node,
        [(pools[i].address, _with_int(TICKS, tick)) for i, tick in asked],
        block,
        batch_calls=batch_calls,
    )
    for (i, tick), answer in zip(asked, answers, strict=True):
        reading, held = found[i], _tick(tick, answer)
        if isinstance(held, str):
            found[i] = held
        elif isinstance(reading, Reading):
            reading.ticks.append(held)
    return found


def _head(slot0: tuple[int, ...] | str, liquidity: tuple[int, ...] | str) -> Reading | str:
    if isinstance(slot0, str) or isinstance(liquidity, str):
        return f"slot0 and liquidity: {slot0 if isinstance(slot0, str) else liquidity}"
    if len(slot0) != 7 or len(liquidity) != 1:
        return "slot0 or liquidity has another shape than Uniswap V3's"
    return Reading(slot0[0], slot0[1], liquidity[0], [])


def _tick(tick: int, answer: tuple[int, ...] | str) -> Tick | str:
    if isinstance(answer, str):
        return f"ticks({tick}): {answer}"
    if len(answer) != 8:
        return f"ticks({tick}) has another shape than Uniswap V3's"
    try:
        return Tick(tick, signed(answer[1], 128), unsigned(answer[0], 128))
    except MalformedLog as error:
        return f"ticks({tick}) answered {error}"


def _set_ticks(bits: int, word: int, spacing: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield (word * 256 + low.bit_length() - 1) * spacing
        bits ^= low


def _with_int(selector: str, value: int) -> str:
    return f"{selector}{value % (1 << 256):064x}"
