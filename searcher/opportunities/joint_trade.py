"""A joint trade over a set of rows, in floats: the problem that `kernels.splitting` solves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from searcher.kernels.curves import DEAD, FloatArray, IntArray
from searcher.kernels.elimination import FlagArray, ShortArray, join, plan, renumber
from searcher.kernels.reach import mark_joined, spread_prices
from searcher.kernels.splitting import GOODS, KEPT, Found, find_prices, trades
from searcher.market.memory import MarketMemory

_NEW_TIES: Final = 4
_TARGETS: Final = 32
_LEAST_ROOM: Final = 256
"""Room for ties that elimination makes: so many for each given one, and for a small problem."""


AMOUNT: Final = 0
TAKEN_WEI: Final = 1
LEFT_WEI: Final = 2
TIE_WEI: Final = 3
"""Columns of `Optimum.trade`."""


class Goal(NamedTuple):
    """What a joint trade is for; tokens by the number that the splitter gives them.

    `worth_wei` are the tokens that may be kept, and the wei that a smallest unit of each is worth.
    `basket` is what is there to be sold, in smallest units; it is empty for an arbitrage.
    """

    worth_wei: Mapping[int, float]
    basket: Mapping[int, int]


class Optimum(NamedTuple):
    """What prices say of a set of rows.

    `bound_wei` is the value that no joint trade can pass, `apart_wei` by how much the pools' trades
    at these prices fail to match. `edges` int64[n] trade, and `trade` float64[n, 4] is, for each,
    what goes in (smallest units), and in wei: what goes in, what the pool leaves (doing without it
    costs at least as much), and how much more would go in as the logarithm of its price falls.
    `ends` int32[n, 2] are the places of each row's tokens among `tokens` int64[m], which ascend;
    `role` uint8[m] says which of them are KEPT or GOODS, and `log_price` float64[m] their prices.
    """

    found: Found
    steps: int
    bound_wei: float
    apart_wei: float
    edges: IntArray
    trade: FloatArray
    ends: ShortArray
    tokens: IntArray
    role: FlagArray
    log_price: FloatArray


class JointTrade:
    """The joint trades over a set of rows.

    Args:
        memory: where the rows lie.
        rows: int64[n], different ones.
        tokens: int32[n, 2], the numbers of each row's two tokens.
    """

    def __init__(self, memory: MarketMemory, rows: IntArray, tokens: ShortArray) -> None:
        self._memory = memory
        self.rows = rows
        count = len(rows)
        known: IntArray = np.empty(2 * count, np.int64)
        self._local: ShortArray = np.empty((count, 2), np.int32)
        number = renumber(tokens, known, self._local)
        self.tokens = known[:number]
        """The numbers of its tokens, ascending."""
        room = (1 + _NEW_TIES) * count + _LEAST_ROOM
        self._ends: ShortArray = np.empty((room, 2), np.int32)
        self._tie_of: ShortArray = np.empty(count, np.int32)
        degree: ShortArray = np.empty(number, np.int32)
        self._given = join(self._local, self._ends, self._tie_of, degree)
        self._order: ShortArray = np.empty(number, np.int32)
        self._begin: IntArray = np.empty(number + 1, np.int64)
        self._via: ShortArray = np.empty(room, np.int32)
        self._to: ShortArray = np.empty(room, np.int32)
        self._targets: ShortArray = np.empty(_TARGETS * count + _LEAST_ROOM, np.int32)
        self._eliminated, self._ties = plan(
            self._ends,
            self._given,
            degree,
            self._order,
            self._begin,
            self._via,
            self._to,
            self._targets,
        )

    def optimum(
        self,
        goal: Goal,
        log_price: FloatArray,
        *,
        least_wei: float = 0.0,
        tolerance: float = 1e-7,
        most_steps: int = 100,
    ) -> Optimum:
        """Find the prices at which the pools' trades match, and those trades.

        Args:
            goal: what the trade is for.
            log_price: float64[all tokens], log of wei per unit where the search begins, NaN where
                nothing is known; what is found is written there.
            least_wei: what the trade must be worth to be of interest.
            tolerance: the share of its value by which trades may fail to match.
            most_steps: how many steps may be taken.
        """
        prices = log_price[self.tokens]
        basket, floor = np.zeros(len(prices)), np.full(len(prices), DEAD)
        role: FlagArray = np.zeros(len(prices), np.uint8)
        for token, amount in goal.basket.items():
            if (place := self._place(token)) is not None:
                basket[place], role[place] = amount, GOODS
        for token, worth in goal.worth_wei.items():
            if (place := self._place(token)) is not None:
                floor[place], role[place] = math.log(worth), KEPT
                if not prices[place] >= floor[place]:
                    prices[place] = floor[place]
        joined = (role == KEPT).astype(np.uint8)
        rates = self._memory.rate.reshape(-1, 2)[self.rows]
        mark_joined(self._local, rates, joined)
        spread_prices(self._memory.table, self.rows, self._local, prices)
        # What nothing joins with a token that is kept has no price, and no trade is of use.
        lost = (joined == 0) | np.isnan(prices)
        if lost.any():
            rates[lost[self._local].any(axis=1)] = DEAD
            prices[lost], basket[lost] = 0.0, 0.0
        found, steps, bound, apart = find_prices(
            self._memory.table,
            self.rows,
            self._local,
            self._tie_of,
            rates,
            basket,
            floor,
            self._ends,
            self._given,
            self._order,
            self._begin,
            self._via,
            self._to,
            self._targets,
            self._eliminated,
            self._ties,
            least_wei,
            tolerance,
            most_steps,
            prices,
        )
        log_price[self.tokens[~lost]] = prices[~lost]
        side, trade = _responses(self._memory, self.rows, self._local, rates, prices)
        used = np.flatnonzero(trade[:, AMOUNT] > 0.0)
        edges = 2 * self.rows[used] + side[used]
        return Optimum(
            Found(found),
            steps,
            bound,
            apart,
            edges,
            trade[used],
            self._local[used],
            self.tokens,
            role,
            prices,
        )

    def _place(self, token: int) -> int | None:
        place = int(np.searchsorted(self.tokens, token))
        return place if place < len(self.tokens) and self.tokens[place] == token else None


def respond_to(
    memory: MarketMemory, optimum: Optimum, rows: IntArray, tokens: ShortArray
) -> tuple[IntArray, FloatArray]:
    """Say what other rows between an optimum's tokens would trade at its prices.

    Args:
        memory: where the rows lie.
        optimum: whose prices.
        rows: int64[n].
        tokens: int32[n, 2], the numbers of each row's two tokens, which the optimum knows.

    Returns:
        int64[n], the side that each trades or -1, and float64[n, 4], as `Optimum.trade`.
    """
    local = np.searchsorted(optimum.tokens, tokens).astype(np.int32)
    rates = memory.rate.reshape(-1, 2)[rows]
    return _responses(memory, rows, local, rates, optimum.log_price)


def _responses(
    memory: MarketMemory,
    rows: IntArray,
    tokens: ShortArray,
    rates: FloatArray,
    log_price: FloatArray,
) -> tuple[IntArray, FloatArray]:
    side: IntArray = np.empty(len(rows), np.int64)
    trade: FloatArray = np.empty((len(rows), 4))
    trades(memory.table, rows, tokens, rates, log_price, side, trade)
    return side, trade
