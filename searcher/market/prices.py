"""What tokens are worth in the native token, from the market itself, guarded against one block.

A price here values: it ranks, filters and limits. What a plan earns is never taken from it: a
plan's profit is swapped to wrapped native in exact integers, or is in wrapped native already.

The guard: beside the price of the moment stands its average over time (of logarithms, weighted by
seconds with a window that forgets exponentially). Who moves a pool for one block moves the average
by the block's share of the window. What is counted as gain is worth the lesser of both, what is
counted as cost the greater, and a token whose two prices lie apart, or that was not seen for a
whole window, is not trusted.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

import numpy as np

from searcher.domain.events import BlockRef
from searcher.domain.settings import Reload, Settings, knob
from searcher.domain.units import BPS, Address
from searcher.kernels.curves import FloatArray, IntArray
from searcher.kernels.prices import TokenArray, order_by_width, price_in_order
from searcher.market.memory import MarketMemory


class PriceSettings(Settings):
    """How tokens are valued in the native token."""

    window_s: int = knob(
        1_800,
        why="how fast the average of a price forgets: a change has counted for 63 % after this",
        unit="seconds",
        ge=1,
        le=1_000_000,
        reload=Reload.HOT,
    )
    most_deviation_bps: int = knob(
        500,
        why="how far a price may lie from its average and still be trusted",
        unit="bps",
        ge=1,
        le=BPS,
        reload=Reload.HOT,
    )
    reorder_blocks: int = knob(
        64,
        why="how often the pools that tell a token's price are chosen anew",
        unit="blocks",
        ge=1,
        le=100_000,
    )


class Price(NamedTuple):
    """A token's price in wei of wrapped native per smallest unit.

    `depth_wei` is the depth of the pools that tell it. `trusted` is False while the two prices
    lie apart or the token has not been priced for a whole window.
    """

    spot: float
    average: float
    depth_wei: float
    trusted: bool

    @property
    def as_gain(self) -> float:
        """What a unit is worth to someone who gets it."""
        return min(self.spot, self.average)

    @property
    def as_cost(self) -> float:
        """What a unit is worth to someone who gives it."""
        return max(self.spot, self.average)


class _Past(NamedTuple):
    """The averages before a block was observed."""

    before: BlockRef | None
    timestamp: int
    average: FloatArray
    since: IntArray


_NEVER: Final = -1


class PriceBook:
    """The prices of all tokens of one market, observed once a block.

    Args:
        memory: the market's.
        native: the wrapped native token.
        settings: window and guard.
        kept_blocks: how many blocks can be taken back.
    """

    def __init__(
        self, memory: MarketMemory, native: Address, settings: PriceSettings, *, kept_blocks: int
    ) -> None:
        self._memory = memory
        self._settings = settings
        self._number: dict[Address, int] = {native: 0}
        self._tokens_of: dict[int, tuple[int, int]] = {}
        self._spot: FloatArray = np.zeros(1)
        self._depth: FloatArray = np.full(1, math.inf)
        self._average: FloatArray = np.zeros(1)
        self._since: IntArray = np.full(1, _NEVER, np.int64)
        self._order: TokenArray = np.zeros(1, np.int32)
        self._rank: IntArray = np.zeros(1, np.int64)
        self._known = 1
        self._head: BlockRef | None = None
        self._timestamp = 0
        self._until_reorder = 0
        self._changed = True
        self._past: deque[_Past] = deque(maxlen=kept_blocks)

    def enter(self, row: int, token0: Address, token1: Address) -> None:
        """Let a row tell prices."""
        numbers = [self._number.setdefault(t, len(self._number)) for t in (token0, token1)]
        self._tokens_of[row] = (numbers[0], numbers[1])
        self._changed = True

    def leave(self, row: int) -> None:
        """Let a row tell none any more."""
        del self._tokens_of[row]
        self._changed = True

    def observe(self, block: BlockRef, timestamp: int) -> None:
        """Price every token on the market as it stands behind a block; `timestamp` in seconds."""
        if self._changed:
            self._list_edges()
        if self._until_reorder == 0:
            self._reorder()
        self._until_reorder -= 1
        self._past.append(
            _Past(self._head, self._timestamp, self._average.copy(), self._since.copy())
        )
        price_in_order(
            self._memory.table,
            self._known,
            self._ptr,
            self._edges,
            self._others,
            self._order,
            self._rank,
            self._spot,
            self._depth,
            self._scratch,
        )
        self._average_in(timestamp)
        self._head, self._timestamp = block, timestamp

    def unwind(self, to: BlockRef) -> None:
        """Forget what was observed behind `to`; all of it when that block was not observed here.

        Prices of the moment stay until the next block is observed.
        """
        while self._head is not None and self._head != to:
            if not self._past:
                self._head = None
                self._average[:] = math.nan
                self._since[:] = _NEVER
                return
            past = self._past.pop()
            # Tokens that joined meanwhile were not known then.
            self._average[:] = math.nan
            self._since[:] = _NEVER
            self._average[: len(past.average)] = past.average
            self._since[: len(past.since)] = past.since
            self._head, self._timestamp = past.before, past.timestamp

    def price(self, token: Address) -> Price | None:
        """Return a token's price, or None when nothing tells it."""
        number = self._number.get(token)
        if number is None or number >= len(self._spot) or math.isnan(self._spot[number]):
            return None
        spot, average = float(self._spot[number]), float(self._average[number])
        since = int(self._since[number])
        apart = abs(math.expm1(abs(spot - average))) * BPS > self._settings.most_deviation_bps
        old = number == 0 or (
            since != _NEVER and self._timestamp - since >= self._settings.window_s
        )
        return Price(
            math.exp(spot), math.exp(average), float(self._depth[number]), old and not apart
        )

    def gain_wei(self, token: Address, amount: int) -> float:
        """Return what an amount is worth to get, in wei; 0.0 when nothing tells."""
        price = self.price(token)
        return 0.0 if price is None else amount * price.as_gain

    def cost_wei(self, token: Address, amount: int) -> float:
        """Return what an amount is worth to give, in wei; infinite when nothing tells."""
        price = self.price(token)
        return math.inf if price is None else amount * price.as_cost

    # ---- the pools that tell

    def _list_edges(self) -> None:
        tokens = len(self._number)
        rows = np.fromiter(self._tokens_of, np.int64, len(self._tokens_of))
        ends = np.array(list(self._tokens_of.values()), np.int32).reshape(-1, 2)
        sold = np.concatenate([ends[:, 0], ends[:, 1]])
        by_token = np.argsort(sold, kind="stable")
        self._edges = np.concatenate([2 * rows, 2 * rows + 1]).astype(np.int32)[by_token]
        self._others = np.concatenate([ends[:, 1], ends[:, 0]])[by_token]
        degrees = np.bincount(sold, minlength=tokens)
        self._ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(degrees, dtype=np.int64)])
        self._scratch: FloatArray = np.zeros((int(degrees.max(initial=1)), 2))
        self._grow(tokens)
        self._changed = False
        self._until_reorder = 0

    def _grow(self, tokens: int) -> None:
        more = tokens - len(self._spot)
        self._spot = np.concatenate([self._spot, np.full(more, math.nan)])
        self._depth = np.concatenate([self._depth, np.zeros(more)])
        self._average = np.concatenate([self._average, np.full(more, math.nan)])
        self._since = np.concatenate([self._since, np.full(more, _NEVER, np.int64)])

    def _reorder(self) -> None:
        tokens = len(self._spot)
        self._order, self._rank = np.zeros(tokens, np.int32), np.zeros(tokens, np.int64)
        self._known = order_by_width(
            self._memory.table,
            0,
            self._ptr,
            self._edges,
            self._others,
            self._order,
            np.zeros(tokens),
            np.zeros(tokens),
            self._rank,
            np.zeros(len(self._edges) + 1, np.int32),
        )
        self._until_reorder = self._settings.reorder_blocks

    def _average_in(self, timestamp: int) -> None:
        priced = ~np.isnan(self._spot)
        first = priced & np.isnan(self._average)
        self._average[first] = self._spot[first]
        self._since[first] = timestamp
        # A token that nothing priced meanwhile begins anew.
        self._average[~priced] = math.nan
        self._since[~priced] = _NEVER
        seconds = max(timestamp - self._timestamp, 0) if self._head is not None else 0
        share = -math.expm1(-seconds / self._settings.window_s)
        self._average[priced] += share * (self._spot[priced] - self._average[priced])
