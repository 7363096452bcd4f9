"""Which pools of a joint trade are worth their gas, and what it is in exact integers.

Gas is paid for each pool, however little goes through it, so the best joint trade before gas has
too many pools. Of a pool it is known what it leaves at the prices found, and by how much prices
must move for the others to take its part over: where both together are below its gas, it goes, and
the rest is asked again. What remains is tried without each of the pools that matter least, and with
each of those that were left out and would now leave more than their gas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from searcher.domain.units import Address
from searcher.kernels.curves import FloatArray, IntArray
from searcher.kernels.elimination import ShortArray
from searcher.kernels.memory import GAS
from searcher.kernels.splitting import write_margins
from searcher.market.memory import MarketMemory
from searcher.opportunities.joint_trade import (
    AMOUNT,
    LEFT_WEI,
    TAKEN_WEI,
    Goal,
    JointTrade,
    Optimum,
    respond_to,
)
from searcher.opportunities.swap_order import Carried, Flow, Leg, Swap, carry_out

_TRIED: Final = 8
"""So many pools are tried without, and so many with, at a time."""
_MANY: Final = 24
_MOST_AT_ONCE: Final = 2
_FEWER_AT_ONCE: Final = 4
"""Of many pools that fail half are dropped at once, of fewer a quarter."""
_ROUNDS: Final = 200
"""A bound on the searches over sets of pools; each drops or adds one at least."""


class Terms(Struct, frozen=True):
    """What a trade is measured by.

    `worth_wei` are the tokens that may be kept, and what a smallest unit of each is worth.
    `overhead_gas` is what a plan takes beside its swaps, of which there may be `most_legs`.
    """

    worth_wei: Mapping[Address, float]
    gas_price_wei: int = 0
    overhead_gas: int = 0
    most_legs: int = 24


class Split(Struct, frozen=True):
    """A joint trade in exact integers: swaps in order, and what they come to.

    `gains` is what there is more of each token that is kept, and `dust` of any other; of none there
    is less in the end. `loans` is the most that is owed of a token on the way, which flash swaps
    lend: a start token, or one of a circle whose profit is changed into a start token. `gross_wei`
    is the gains' worth, rounded down; `bound_wei` is what no joint trade over the same pools can
    pass, before gas.
    """

    legs: tuple[Leg, ...]
    gains: dict[Address, int]
    dust: dict[Address, int]
    loans: dict[Address, int]
    gross_wei: int
    gas: int
    net_wei: int
    bound_wei: float

    @property
    def rows(self) -> frozenset[int]:
        """The rows that it goes through."""
        return frozenset(leg.edge >> 1 for leg in self.legs)


class Numbered(NamedTuple):
    """Rows and tokens by number.

    `tokens` int32[rows, 2], `pool` int64[rows] (which pool a row is of), `names` of the tokens, and
    `log_price` float64[tokens], log of wei per unit as last found, or NaN.
    """

    tokens: ShortArray
    pool: IntArray
    names: Sequence[Address]
    log_price: FloatArray


class Search:
    """One search for the set of pools that leaves most after gas.

    Args:
        memory: where the rows lie.
        market: their tokens and pools.
        goal: what the trade is for.
        terms: what gas costs.
        swap: swaps exactly.
    """

    def __init__(
        self, memory: MarketMemory, market: Numbered, goal: Goal, terms: Terms, swap: Swap
    ) -> None:
        self._memory = memory
        self._market = market
        self._goal = goal
        self._terms = terms
        self._swap = swap
        self._rounds = 0
        self.best: Split | None = None
        """The best trade so far that pays its gas."""

    def run(self, rows: IntArray, also: Collection[int] | None) -> None:
        """Search among rows; `also` is a set of rows to begin from beside the best before gas."""
        overhead_wei = self._terms.overhead_gas * self._terms.gas_price_wei
        whole = JointTrade(self._memory, rows, self._market.tokens[rows])
        optimum = whole.optimum(
            self._goal,
            self._market.log_price,
            least_wei=0.0 if self._goal.basket else overhead_wei,
        )
        if len(optimum.edges) == 0 or optimum.bound_wei <= overhead_wei:
            return
        self._improve(self._pruned(optimum), rows)
        if also:
            self._improve(self._optimum(np.array(sorted(also), np.int64)), rows)

    # ---- sets of pools

    def _optimum(self, rows: IntArray) -> Optimum:
        self._rounds += 1
        trade = JointTrade(self._memory, rows, self._market.tokens[rows])
        return trade.optimum(self._goal, self._market.log_price.copy())

    def _pruned(self, optimum: Optimum) -> Optimum:
        """Drop pools that are not worth their gas, the fewer the less is left of them.

        Returns:
            Of all sets on the way that are small enough, that which leaves most after gas.
        """
        best = None
        while len(optimum.edges) and self._rounds < _ROUNDS:
            optimum = self._one_row_a_pool(optimum)
            margin = self._margin(optimum)
            failing = int(np.count_nonzero(margin < 0.0))
            above = len(margin) - self._terms.most_legs
            if above <= 0 and (best is None or self._at_most(optimum) > self._at_most(best)):
                best = optimum
            if failing == 0 and above <= 0:
                break
            part = failing // (_MOST_AT_ONCE if failing > _MANY else _FEWER_AT_ONCE)
            dropped = max(part, min(above, len(margin) // 8), 1)
            kept = np.argsort(margin, kind="stable")[dropped:]
            optimum = self._optimum(np.sort(optimum.edges[kept] >> 1))
        return optimum if best is None else best

    def _improve(self, optimum: Optimum, rows: IntArray) -> None:
        """Leave pools out and take pools in, one at a time, as long as that leaves more."""
        now = self._settled(optimum)
        while now is not None and self._rounds < _ROUNDS:
            split, optimum = now
            if split.net_wei > (0 if self.best is None else self.best.net_wei):
                self.best = split
            now = self._changed(split, optimum, rows)

    def _changed(
        self, split: Split, optimum: Optimum, rows: IntArray
    ) -> tuple[Split, Optimum] | None:
        """Return what a better set than this has: without one of its pools, or with another."""
        used = optimum.edges >> 1
        # Without a pool at least what it leaves is lost, and with one at most that is won.
        spare = optimum.trade[:, LEFT_WEI] < self._cost(optimum)
        order = np.argsort(self._margin(optimum), kind="stable")
        sets = [np.delete(used, place) for place in order[spare[order]][:_TRIED]]
        if len(used) < self._terms.most_legs:
            sets += [np.append(used, row) for row in self._wanted(optimum, rows)]
        for chosen in sets:
            tried = self._optimum(np.sort(chosen))
            if self._at_most(tried) > split.net_wei:
                found = self._settled(tried)
                if found is not None and found[0].net_wei > split.net_wei:
                    return found
        return None

    def _at_most(self, optimum: Optimum) -> float:
        """Return what an optimum leaves after gas at most: ticks that are crossed cost more."""
        overhead_wei = self._terms.overhead_gas * self._terms.gas_price_wei
        return optimum.bound_wei - float(self._cost(optimum).sum()) - overhead_wei

    def _settled(self, optimum: Optimum) -> tuple[Split, Optimum] | None:
        """Carry an optimum out exactly, without the pools that refuse or cannot be put in order."""
        while len(optimum.edges) and self._rounds < _ROUNDS:
            optimum = self._one_row_a_pool(optimum)
            carried = carry_out(
                self._flows(optimum), self._goal.worth_wei, self._goal.basket, self._swap
            )
            if isinstance(carried, Carried):
                split = self.measured(carried, optimum.bound_wei)
                return None if split is None else (split, optimum)
            optimum = self._optimum(np.sort(optimum.edges[optimum.edges != carried] >> 1))
        return None

    def _one_row_a_pool(self, optimum: Optimum) -> Optimum:
        """Keep, of the rows of one pool that trade, the one that leaves most."""
        while self._rounds < _ROUNDS:
            rows = optimum.edges >> 1
            if len(set(self._market.pool[rows].tolist())) == len(rows):
                return optimum
            order = np.argsort(-optimum.trade[:, LEFT_WEI], kind="stable")
            _, first = np.unique(self._market.pool[rows[order]], return_index=True)
            optimum = self._optimum(np.sort(rows[order[first]]))
        return optimum

    # ---- what a pool is worth

    def _cost(self, optimum: Optimum) -> FloatArray:
        """Return each pool's gas, in wei."""
        gas = self._memory.real[optimum.edges >> 1, GAS]
        return np.asarray(gas * float(self._terms.gas_price_wei), np.float64)

    def _margin(self, optimum: Optimum) -> FloatArray:
        """Estimate what doing without each pool would cost beyond its gas, in wei."""
        margin: FloatArray = np.empty(len(optimum.edges))
        cost = self._cost(optimum)
        write_margins(optimum.ends, optimum.role, optimum.trade, cost, margin)
        return margin

    def _wanted(self, optimum: Optimum, rows: IntArray) -> Sequence[int]:
        """Return rows between the same tokens that would leave more than their gas, best first."""
        used = optimum.edges >> 1
        held = np.isin(self._market.tokens[rows], optimum.tokens).all(axis=1)
        free = rows[held & ~np.isin(self._market.pool[rows], self._market.pool[used])]
        side, trade = respond_to(self._memory, optimum, free, self._market.tokens[free])
        gas = self._memory.real[free, GAS] * float(self._terms.gas_price_wei)
        margin = np.where(side >= 0, trade[:, LEFT_WEI] - gas, -1.0)
        best = np.argsort(-margin, kind="stable")[:_TRIED]
        return [int(free[k]) for k in best if margin[k] > 0.0]

    # ---- exact

    def _flows(self, optimum: Optimum) -> list[Flow]:
        tokens = self._market.tokens[optimum.edges >> 1]
        flows = []
        for edge, (token0, token1), trade in zip(
            optimum.edges.tolist(), tokens.tolist(), optimum.trade.tolist(), strict=True
        ):
            way = (token1, token0) if edge & 1 else (token0, token1)
            flows.append(Flow(edge, *way, trade[AMOUNT], trade[TAKEN_WEI], trade[LEFT_WEI]))
        return flows

    def measured(self, carried: Carried, bound_wei: float) -> Split | None:
        """Return swaps with their gains, or None when there is less of a token in the end."""
        worth, names = self._goal.worth_wei, self._market.names
        if min(carried.balances.values(), default=0) < 0:
            return None
        gains = {token: carried.balances.get(token, 0) for token in worth}
        gross_wei = int(sum(Fraction(worth[token]) * gain for token, gain in gains.items()))
        gas = carried.gas + self._terms.overhead_gas
        return Split(
            legs=carried.legs,
            gains={names[token]: gain for token, gain in gains.items()},
            dust={
                names[token]: amount
                for token, amount in carried.balances.items()
                if amount and token not in worth
            },
            loans={names[token]: amount for token, amount in self._loans(carried.legs).items()},
            gross_wei=gross_wei,
            gas=gas,
            net_wei=gross_wei - gas * self._terms.gas_price_wei,
            bound_wei=bound_wei,
        )

    def _loans(self, legs: Sequence[Leg]) -> dict[int, int]:
        held = defaultdict(int, self._goal.basket)
        lent: dict[int, int] = {}
        for leg in legs:
            tokens = self._market.tokens[leg.edge >> 1]
            token_in, token_out = int(tokens[leg.edge & 1]), int(tokens[1 - (leg.edge & 1)])
            held[token_in] -= leg.amount_in
            if held[token_in] < 0:
                lent[token_in] = max(lent.get(token_in, 0), -held[token_in])
            held[token_out] += leg.amount_out
        return lent
