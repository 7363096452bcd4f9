"""The brute force: every cycle over every pool of a state, sized, and the best by net value.

Floats find the size, since each curve is concave and so is a chain of them: the best input is
where the marginal rate of the whole cycle crosses one. Exact integers say what it is worth.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from verify.curves import PIPS, Pool, Segment, State

# What a plan costs in gas, fitted to executor plans mined on the protocols' real bytecode (two V2
# swaps 138,000; V2 and V3 152,000 to 174,000, more where ticks are crossed; four V2 swaps 227,000).
# The base is the transaction itself with calldata, checks and bid; a conversion is a swap too.
GAS_BASE = 50_000
GAS_SWAP = {"uniswap_v2": 45_000, "uniswap_v3": 70_000}

BISECTIONS = 44
EXACT_TRIES = 12

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Step:
    """One pool in one direction."""

    pool: Pool
    zero_for_one: bool

    @property
    def token_in(self) -> str:
        """The token that the pool takes."""
        return self.pool.token0 if self.zero_for_one else self.pool.token1

    @property
    def token_out(self) -> str:
        """The token that the pool gives."""
        return self.pool.token1 if self.zero_for_one else self.pool.token0


@dataclass(frozen=True)
class Best:
    """The best cycle on a state: exact amounts in smallest units, value in wei.

    `gross_wei` is in wrapped native; `net_wei` is less the estimated gas at the block's base fee.
    """

    route: tuple[Step, ...]
    conversion: Step | None
    amount_in: int
    gross_wei: int
    gas_estimate: int
    net_wei: int

    @property
    def pools(self) -> frozenset[str]:
        """Every pool that it trades with, the conversion's included."""
        used = {step.pool.address for step in self.route}
        return frozenset(used | ({self.conversion.pool.address} if self.conversion else set()))


class Universe:
    """The steps and cycles that a set of pools allows; it depends on no state."""

    def __init__(
        self,
        pools: Iterable[Pool],
        *,
        start_tokens: Sequence[str],
        wrapped_native: str,
        most_hops: int,
    ) -> None:
        self.pools = tuple(pools)
        self.wrapped_native = wrapped_native
        self.steps = tuple(Step(p, way) for p in self.pools for way in (True, False))
        self._gas = np.array([GAS_SWAP[step.pool.protocol] for step in self.steps], dtype=float)
        self._by_token: dict[str, list[int]] = {}
        for index, step in enumerate(self.steps):
            self._by_token.setdefault(step.token_in, []).append(index)
        starts = dict.fromkeys(start_tokens)
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for cycle in chain.from_iterable(self._cycles(start, most_hops) for start in starts):
            by_length.setdefault(len(cycle), []).append(cycle)
        self.cycles: tuple[Ints, ...] = tuple(
            np.array(by_length[n], dtype=np.intp) for n in sorted(by_length)
        )

    def _cycles(self, start: str, most_hops: int) -> Iterable[tuple[int, ...]]:
        """Walk every way from `start` back to it that uses no pool and no other token twice."""
        open_routes: list[tuple[int, ...]] = [()]
        while open_routes:
            route = open_routes.pop()
            token = self.steps[route[-1]].token_out if route else start
            passed = {self.steps[i].token_in for i in route}
            pools = {i // 2 for i in route}
            for index in self._by_token.get(token, ()):
                if index // 2 in pools:
                    continue
                out = self.steps[index].token_out
                if out == start and route:
                    yield (*route, index)
                elif out not in passed and out != start and len(route) + 1 < most_hops:
                    open_routes.append((*route, index))

    @cached_property
    def count(self) -> int:
        """How many cycles there are."""
        return sum(len(c) for c in self.cycles)

    def best(
        self,
        states: Mapping[str, State],
        base_fee: int,
        *,
        touched: frozenset[str] | None = None,
    ) -> Best | None:
        """Find the cycle with the best net value above zero, None when there is none.

        With `touched`, only cycles that trade with one of those pools count.
        """
        table = Table(self.steps, states)
        winner: Best | None = None
        for route, amount in self._sized(table, touched, base_fee):
            priced = self._priced(states, route, amount, base_fee)
            if priced and priced.net_wei > 0 and (not winner or priced.net_wei > winner.net_wei):
                winner = priced
        return winner

    def _sized(
        self, table: Table, touched: frozenset[str] | None, base_fee: int
    ) -> Iterable[tuple[tuple[Step, ...], int]]:
        """Size every cycle that pays at the margin; gives the most valuable and their inputs."""
        wanted = np.array([touched is None or p.address in touched for p in self.pools])
        worth = self._native_rates(table)
        ranked: list[tuple[float, tuple[int, ...], float]] = []
        for cycles in self.cycles:
            pays = table.log_rate[cycles].sum(axis=1) > 0
            chosen = cycles[pays & wanted[cycles // 2].any(axis=1)]
            amounts = table.optimal_inputs(chosen)
            gains = table.through(chosen, amounts)[0] - amounts
            gas = GAS_BASE + self._gas[chosen].sum(axis=1)
            values = gains * worth[chosen[:, 0]] - gas * float(base_fee)
            ranked.extend(
                (float(values[at]), tuple(chosen[at].tolist()), float(amounts[at]))
                for at in np.flatnonzero(values > 0)
            )
        for _, cycle, amount in heapq.nlargest(EXACT_TRIES, ranked):
            yield tuple(self.steps[i] for i in cycle), int(amount)

    def _native_rates(self, table: Table) -> Floats:
        """Give for each step what its input token is worth at most, in wrapped native."""
        rates = {self.wrapped_native: 1.0}
        for step, rate in zip(self.steps, np.exp(table.log_rate), strict=True):
            if step.token_out == self.wrapped_native:
                rates[step.token_in] = max(rates.get(step.token_in, 0.0), float(rate))
        return np.array([rates.get(step.token_in, 0.0) for step in self.steps])

    def _priced(
        self, states: Mapping[str, State], route: tuple[Step, ...], amount: int, base_fee: int
    ) -> Best | None:
        out: int | None = amount
        for step in route:
            if out is None:
                return None
            out = states[step.pool.address].quote(step.pool, step.zero_for_one, out)
        if out is None or out <= amount:
            return None
        gas = GAS_BASE + sum(GAS_SWAP[step.pool.protocol] for step in route)
        gain, conversion = out - amount, None
        if route[0].token_in != self.wrapped_native:
            converted = self._converted(states, route, gain)
            if converted is None:
                return None
            gain, conversion = converted
            gas += GAS_SWAP[conversion.pool.protocol]
        return Best(route, conversion, amount, gain, gas, gain - gas * base_fee)

    def _converted(
        self, states: Mapping[str, State], route: tuple[Step, ...], gain: int
    ) -> tuple[int, Step] | None:
        """Sell a gain for wrapped native in the best single pool that the cycle leaves alone."""
        used = {step.pool.address for step in route}
        best: tuple[int, Step] | None = None
        for index in self._by_token.get(route[0].token_in, ()):
            step = self.steps[index]
            if step.token_out != self.wrapped_native or step.pool.address in used:
                continue
            state = states.get(step.pool.address)
            got = state.quote(step.pool, step.zero_for_one, gain) if state else None
            if got and (best is None or got > best[0]):
                best = (got, step)
        return best


class Table:
    """One state's curves as float arrays, one row a step, one column a segment."""

    def __init__(self, steps: Sequence[Step], states: Mapping[str, State]) -> None:
        curves: list[tuple[Segment, ...]] = []
        for step in steps:
            state = states.get(step.pool.address)
            curves.append(state.segments(step.pool, step.zero_for_one) if state else ())
        shape = (len(curves), max((len(c) for c in curves), default=0) or 1)
        self.start_in: Floats = np.full(shape, np.inf)
        self.start_out: Floats = np.zeros(shape)
        self.reserve_in: Floats = np.ones(shape)
        self.reserve_out: Floats = np.zeros(shape)
        self.keep: Floats = np.array([1 - s.pool.fee_pips / PIPS for s in steps])
        for row, segments in enumerate(curves):
            for column, segment in enumerate(segments):
                self.start_in[row, column] = segment.start_in
                self.start_out[row, column] = segment.start_out
                self.reserve_in[row, column] = segment.reserve_in
                self.reserve_out[row, column] = segment.reserve_out
        self.start_in[:, 0] = 0.0
        with np.errstate(divide="ignore"):
            self.log_rate: Floats = np.log(
                self.reserve_out[:, 0] / self.reserve_in[:, 0] * self.keep
            )
        depth = np.where(np.isfinite(self.start_in), self.start_in, 0.0).max(axis=1)
        # A cycle's best input is never near ten times what a pool holds: there one unit buys
        # less than a hundredth of what the first one did.
        self.most_in: Floats = np.maximum(depth, 10 * self.reserve_in[:, 0])

    def step(self, rows: Ints, amounts: Floats) -> tuple[Floats, Floats]:
        """Give what comes out of each row's curve for its amount, and the marginal rate there."""
        columns = (self.start_in[rows] <= amounts[:, None]).sum(axis=1) - 1
        reserve_in = self.reserve_in[rows, columns]
        reserve_out = self.reserve_out[rows, columns]
        kept = (amounts - self.start_in[rows, columns]) * self.keep[rows]
        depth = reserve_in + kept
        out = self.start_out[rows, columns] + reserve_out * kept / depth
        return out, self.keep[rows] * reserve_in * reserve_out / (depth * depth)

    def through(self, cycles: Ints, amounts: Floats) -> tuple[Floats, Floats]:
        """Give what comes out of whole cycles, and the marginal rate of each there."""
        rate = np.ones_like(amounts)
        for hop in range(cycles.shape[1]):
            amounts, slope = self.step(cycles[:, hop], amounts)
            rate = rate * slope
        return amounts, rate

    def optimal_inputs(self, cycles: Ints) -> Floats:
        """Bisect, in the logarithm of the input, for a marginal rate of one."""
        low = np.zeros(len(cycles))
        high = np.log(self.most_in[cycles[:, 0]])
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            more = self.through(cycles, np.exp(middle))[1] > 1
            low = np.where(more, middle, low)
            high = np.where(more, high, middle)
        return np.exp(low)
