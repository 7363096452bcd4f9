"""One `eth_call` that reads many concentrated pools: our code, lent to the node for the call.

`contracts/src/PoolReader.sol` is never deployed. The call's state override puts its code at an
address that nobody uses; there it asks the pools themselves and packs their answers.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, NamedTuple

from searcher.domain.artifacts import artifact
from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.domain.events import BlockRef
from searcher.domain.units import keccak256
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK
from searcher.market.node import Node
from searcher.market.protocol import Pool

LEAST_GAS: Final = 1_000_000
"""With less than this the lens may not get through a single tick; see its RESERVE_GAS."""
MOST_POOLS: Final = 128
"""Pools one call asks for; gas is what usually ends a call earlier."""

_ADDRESS: Final = "0x" + keccak256(b"searcher: where a node runs PoolReader")[12:].hex()
_READ: Final = keccak256(b"read((address,int24,int24,int24)[])")[:4].hex()

# The record of PoolReader.sol: status, place, price, tick, liquidity, count; then the ticks.
_HEAD: Final = struct.Struct(">Bi32s32s32sI")
_TICK: Final = struct.Struct(">iqQQQ")
_WHOLE, _UNFINISHED = 0, 1
_REFUSED: Final = {2: "slot0()", 3: "liquidity()", 4: "tickBitmap({})", 5: "ticks({})"}


class Tick(NamedTuple):
    """An initialised tick; `net` and `gross` are liquidities, see `TickTable`."""

    tick: int
    net: int
    gross: int


class Reading(NamedTuple):
    """What a pool answered, its three words unchecked; `ticks` ascend, none without a price."""

    price: int
    tick: int
    liquidity: int
    ticks: list[Tick]


class LensRefused(Rejected):
    """The node does not run the lens, or not as asked: ask the pools plainly."""


def bitmap_words(spacing: int) -> range:
    """Return the words of a tick bitmap that can hold ticks of a spacing."""
    return range(MIN_TICK // spacing >> 8, (MAX_TICK // spacing >> 8) + 1)


async def read_through_lens(
    node: Node, pools: Sequence[Pool], block: BlockRef, *, gas: int
) -> AsyncIterator[Reading | str]:
    """Yield of each pool, in order, what it holds or why it does not answer as a V3-type pool.

    Args:
        node: whom to ask.
        pools: concentrated pools.
        block: named by its hash (EIP-1898): all calls read the state of exactly this block.
        gas: what one call may use; halved when the node refuses or gives up on it.

    Raises:
        LensRefused: the node refuses, or gives up on, even `LEAST_GAS`, or answers something else;
            the pools that were yielded stand.
        NodeUnreachable: no node is there.
        NotReady: the lens's artifact is missing or damaged.
    """
    done, place = 0, _first_place(pools[0]) if pools else 0
    ticks: list[Tick] = []
    while done < len(pools):
        asked = pools[done : done + MOST_POOLS]
        try:
            answer = await node.call("eth_call", _params(asked, place, block, gas))
        except NodeUnreachable:
            raise
        except (Rejected, Retryable) as error:
            # What a node finds too much it refuses or times out on, each in other words.
            if gas > LEAST_GAS:
                gas = max(gas // 2, LEAST_GAS)
                continue
            raise LensRefused(f"the node does not get through the pool reader: {error}") from error
        began = (done, place)
        for record in _records(answer, len(asked)):
            ticks.extend(record.reading.ticks)
            if record.status == _UNFINISHED:
                place = record.place
                break
            yield (
                record.reading._replace(ticks=ticks)
                if record.status == _WHOLE
                else f"{_REFUSED[record.status].format(record.place)} reverted or has another"
                " shape than Uniswap V3's"
            )
            done, ticks = done + 1, []
            place = _first_place(pools[done]) if done < len(pools) else 0
        if done == began[0] and place <= began[1]:
            raise LensRefused(f"the pool reader gets nowhere with a gas of {gas}")


class _Record(NamedTuple):
    """One pool's part of an answer; `place` is where to go on, or what was refused."""

    status: int
    place: int
    reading: Reading


def _first_place(pool: Pool) -> int:
    return bitmap_words(pool.tick_spacing)[0] * 256


def _params(pools: Sequence[Pool], place: int, block: BlockRef, gas: int) -> list[Any]:
    """Return the parameters of an `eth_call` that reads pools, the first from `place` on."""
    words = [32, len(pools)]
    for pool in pools:
        first = place if pool is pools[0] else _first_place(pool)
        last = bitmap_words(pool.tick_spacing)[-1] * 256
        words += [int(pool.address, 16), pool.tick_spacing, first, last]
    data = "".join(f"{word % (1 << 256):064x}" for word in words)
    call = {"to": _ADDRESS, "data": f"0x{_READ}{data}", "gas": hex(gas)}
    return [call, {"blockHash": block.hash}, {_ADDRESS: {"code": artifact("PoolReader").runtime}}]


def _records(answer: Any, most: int) -> Iterator[_Record]:
    """Yield the records of an answer.

    Raises:
        LensRefused: it is not what the lens answers about at most that many pools.
    """
    packed = _packed(answer)
    at = count = 0
    while at < len(packed):
        try:
            status, place, price, tick, liquidity, ticks = _HEAD.unpack_from(packed, at)
            at += _HEAD.size
            body = packed[at : at + ticks * _TICK.size]
            found = [
                Tick(index, net_high << 64 | net_low, gross_high << 64 | gross_low)
                for index, net_high, net_low, gross_high, gross_low in _TICK.iter_unpack(body)
            ]
        except struct.error:
            raise _unknown() from None
        at += len(body)
        count += 1
        known = (
            status == _WHOLE or status in _REFUSED or (status == _UNFINISHED and at == len(packed))
        )
        if not known or len(found) != ticks or count > most:
            raise _unknown()
        price, tick, liquidity = (int.from_bytes(w, "big") for w in (price, tick, liquidity))
        yield _Record(status, place, Reading(price, tick, liquidity, found))


def _packed(answer: Any) -> bytes:
    """Return the one `bytes` value that an answer holds."""
    if answer == "0x":
        raise LensRefused("the node does not take the state override of an eth_call")
    try:
        raw = bytes.fromhex(answer[2:])
        size = int.from_bytes(raw[32:64], "big")
    except (TypeError, ValueError):
        raise _unknown() from None
    if int.from_bytes(raw[:32], "big") != 32 or len(raw) != 64 + -(-size // 32) * 32:
        raise _unknown()
    return raw[64 : 64 + size]


def _unknown() -> LensRefused:
    return LensRefused("the node answered the pool reader's call with something else")
