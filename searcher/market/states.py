"""The exact states of pools: in the market's arrays where kernels keep them, structs elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from searcher.domain.units import Address
from searcher.kernels.curves import COLUMNS, FloatArray
from searcher.kernels.hops import write_image, write_rates
from searcher.kernels.memory import CHANGED, CONCENTRATED, PIECEWISE
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.journal import Journal
from searcher.market.memory import MarketMemory
from searcher.market.pools import Pools
from searcher.market.protocol import FollowedProtocol, Pool, QuoteBlock

PieceMaker: TypeAlias = Callable[
    [FollowedProtocol[Any], Any, QuoteBlock, Address, Address], FloatArray
]
"""Returns the pieces float64[n, 4] of a curve from one token to another; see `kernels.memory`."""

_NOTHING: Final[FloatArray] = np.empty((0, COLUMNS))
_LOADED_KEPT: Final = 4096
"""States made from arrays that are kept, until so many pools were asked for."""


class States:
    """What each pool of a market holds, and its float image.

    Args:
        pools: which there are.
        memory: where arrays and images lie.
        journal: takes changes back.
        protocols: by name.
        pieces: draws curves that have no closed form.
    """

    def __init__(
        self,
        pools: Pools,
        memory: MarketMemory,
        journal: Journal,
        protocols: Mapping[str, FollowedProtocol[Any]],
        pieces: PieceMaker,
    ) -> None:
        self.block = QuoteBlock(0, 0)
        """The block that images are drawn for: the one behind the head."""
        self._pools = pools
        self._memory = memory
        self._journal = journal
        self._protocols = protocols
        self._pieces = pieces
        self._structs: dict[int, Any] = {}
        self._volatile: dict[int, Mapping[str, Any]] = {}
        self._loaded: dict[int, tuple[int, Any]] = {}

    def structs(self) -> dict[int, Any]:
        """Return a copy of the states that no array holds, by the pool's number."""
        return dict(self._structs)

    def resume(self, structs: dict[int, Any]) -> None:
        """Hold the states of pools whose images lie in the memory already."""
        for number, state in structs.items():
            self._replace(number, state)

    def is_funded(self, number: int) -> bool:
        """Return whether a pool is known to hold something to swap."""
        state = self.get(number)
        protocol = self._protocols[self._pools.pools[number].protocol]
        return state is not None and protocol.funded(state)

    def get(self, number: int) -> Any:
        """Return a pool's state; None when it was not read yet."""
        pool = self._pools.pools[number]
        protocol = self._protocols[pool.protocol]
        if not protocol.hot:
            return self._structs.get(number)
        row = self._pools.rows_of(number)[0]
        version = int(self._memory.stamps[row, CHANGED])
        known = self._loaded.get(row)
        if known is not None and known[0] == version:
            return known[1]
        if len(self._loaded) >= _LOADED_KEPT:
            self._loaded.clear()
        state = protocol.load(self._memory, row, pool)
        self._loaded[row] = (version, state)
        return state

    def known(self, number: int) -> Any:
        """Return a pool's state.

        Raises:
            SwapRefused: it was not read yet.
        """
        state = self.get(number)
        if state is None:
            raise SwapRefused(Status.BAD_STATE, "the pool was not read yet")
        return state

    def at(self, number: int, block: QuoteBlock) -> QuoteBlock:
        """Return a block with the volatile values of a pool that were read last."""
        volatile = self._volatile.get(number)
        return QuoteBlock(block.number, block.timestamp, volatile) if volatile else block

    def put(self, number: int, state: Any) -> None:
        """Replace a pool's state and draw it; its volatile values are the state's own again."""
        pool = self._pools.pools[number]
        self._forget_volatile(number)
        if self._protocols[pool.protocol].hot:
            self._store(self._pools.rows_of(number)[0], pool, state)
            return
        self._replace(number, state)
        self.draw(number)

    def follow(self, number: int, state: Any) -> None:
        """Take a struct that logs have led to, and draw it; volatile values stay."""
        self._replace(number, state)
        self.draw(number)

    def remove(self, number: int) -> None:
        """Forget a pool that is removed."""
        self._structs.pop(number, None)
        self._volatile.pop(number, None)

    def set_volatile(self, number: int, values: Mapping[str, Any]) -> bool:
        """Take the volatile values of this block; return whether the curve was drawn again.

        Raises:
            ValueError: the state cannot have them.
        """
        pool = self._pools.pools[number]
        protocol = self._protocols[pool.protocol]
        state = self.get(number)
        block = QuoteBlock(self.block.number, self.block.timestamp, values)
        if protocol.hot:
            if protocol.at(state, block) == state:
                return False
            row = self._pools.rows_of(number)[0]
            self._journal.save(row)
            protocol.store_volatile(self._memory, row, values)
            write_image(self._memory.table, row)
            return True
        if self._volatile.get(number) == values:
            return False
        protocol.at(state, block)
        self._journal.note(partial(self._put_volatile, number, self._volatile.get(number)))
        self._volatile[number] = values
        self.draw(number)
        return True

    def draw(self, number: int) -> None:
        """Write the images of a pool whose state is a struct."""
        pool = self._pools.pools[number]
        protocol, state = self._protocols[pool.protocol], self._structs[number]
        block = self.at(number, self.block)
        for row in self._pools.rows_of(number):
            if protocol.kind != PIECEWISE:
                self._store(row, pool, protocol.at(state, block))
                continue
            _, token0, token1, *_ = self._pools.rows[row]
            sides = (_NOTHING, _NOTHING)
            if protocol.trades(state, token0, token1):
                sides = (
                    self._pieces(protocol, state, block, token0, token1),
                    self._pieces(protocol, state, block, token1, token0),
                )
            self._about_to_write(row, max(map(len, sides)))
            self._memory.write_pieces(row, sides)
            write_rates(self._memory.table, row)

    def _store(self, row: int, pool: Pool, state: Any) -> None:
        protocol = self._protocols[pool.protocol]
        self._about_to_write(row, len(state.ticks) if protocol.kind == CONCENTRATED else 0)
        protocol.store(self._memory, row, state)
        write_image(self._memory.table, row)

    def _about_to_write(self, row: int, size: int) -> None:
        """Have what a row holds come back when the block is taken back."""
        if not self._journal.records:
            self._memory.changed(row, ticks=True)
            return
        self._journal.save(row)
        self._journal.make_room(row, size)
        image = self._memory.slot_image(row)
        self._journal.note(partial(self._memory.restore_slot, image))

    def _replace(self, number: int, state: Any) -> None:
        old = self._structs.get(number)
        self._structs[number] = state
        self._journal.note(partial(self._put_struct, number, old))
        protocol = self._protocols[self._pools.pools[number].protocol]
        if old is None:
            for contract in protocol.watched(state):
                self._pools.watch(number, contract)
                self._journal.note(partial(self._pools.unwatch, number, contract))

    def _put_struct(self, number: int, state: Any) -> None:
        if state is None:
            self._structs.pop(number, None)
        else:
            self._structs[number] = state

    def _forget_volatile(self, number: int) -> None:
        values = self._volatile.pop(number, None)
        if values is not None:
            self._journal.note(partial(self._put_volatile, number, values))

    def _put_volatile(self, number: int, values: Mapping[str, Any] | None) -> None:
        if values is None:
            self._volatile.pop(number, None)
        else:
            self._volatile[number] = values
