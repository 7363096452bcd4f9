"""Small universes of pools in both their exact and their float form, and a brute-force search."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, permutations, product

from searcher.domain.units import Address
from searcher.kernels import book as layout
from searcher.kernels.hops import write_image
from searcher.kernels.reference import uniswap_v2, uniswap_v3
from searcher.kernels.refusal import SwapRefused
from searcher.market.memory import MarketMemory
from searcher.market.ticks import Tick, TickTable
from searcher.opportunities.book import CycleBook, Scope

SWAP_GAS = 60_000
CROSSING_GAS = 22_000


@dataclass
class ConstantProduct:
    token0: int
    token1: int
    reserve0: int
    reserve1: int
    fee_pips: int = 3000

    def quote(self, amount, *, zero_for_one):
        both = (self.reserve0, self.reserve1)
        has, pays = both if zero_for_one else both[::-1]
        try:
            return uniswap_v2.amount_out(amount, has, pays, self.fee_pips)
        except SwapRefused:
            return 0

    def draw(self, row, memory):
        memory.write_product(row, self.reserve0, self.reserve1, self.fee_pips)


@dataclass
class Concentrated:
    token0: int
    token1: int
    tick: int
    positions: list[tuple[int, int, int]]
    fee_pips: int = 3000
    spacing: int = 60
    within: float = 0.0
    state: uniswap_v3.ConcentratedState = field(init=False)

    def __post_init__(self):
        table = uniswap_v3.TickTable()
        for low, high, size in self.positions:
            table = table.changed(low, net=size, gross=size)
            table = table.changed(high, net=-size, gross=size)
        liquidity = sum(size for low, high, size in self.positions if low <= self.tick < high)
        low, high = uniswap_v3.sqrt_at_tick(self.tick), uniswap_v3.sqrt_at_tick(self.tick + 1)
        price = low + int((high - 1 - low) * self.within)
        self.state = uniswap_v3.ConcentratedState(price, liquidity, self.tick, table)

    def quote(self, amount, *, zero_for_one):
        try:
            return uniswap_v3.quote_exact_in(
                self.state,
                zero_for_one=zero_for_one,
                amount_in=amount,
                fee_pips=self.fee_pips,
                tick_spacing=self.spacing,
            )[0]
        except SwapRefused:
            return 0

    def draw(self, row, memory):
        ticks = self.state.ticks
        held = zip(ticks.index, ticks.net, ticks.gross, strict=True)
        table = TickTable(Tick(*map(int, tick)) for tick in held)
        memory.write_ticks(row, table, fee_pips=self.fee_pips, spacing=self.spacing)
        memory.write_price(row, self.state.sqrt_price_x96, self.state.liquidity, self.tick)


def memory_of(pools):
    """A market's memory with these pools as its rows, all of them alive."""
    memory = MarketMemory(len(pools) + 64)
    for pool in pools:
        row = memory.add()
        memory.set_gas(row, SWAP_GAS, CROSSING_GAS)
        memory.set_alive(row, alive=True)
        pool.draw(row, memory)
        write_image(memory.table, row)
    return memory


def token(number):
    """An address for a token of these universes; they ascend with the numbers."""
    return Address(f"0x{number:040x}")


def scope(starts, hops_most=3, *, hops_least=2, max_cycles=10_000, least=0.0, most=2.0**112):
    return Scope(
        starts=tuple(map(token, starts)),
        least=(least,) * len(starts),
        most=(most,) * len(starts),
        hops_least=hops_least,
        hops_most=hops_most,
        pools_allowed=frozenset(),
        pools_denied=frozenset(),
        tokens_allowed=frozenset(),
        tokens_denied=frozenset(),
        max_cycles=max_cycles,
    )


def book_of(memory, pools, scope_):
    """A book over all rows of a memory, ready to be searched at no cost for gas."""
    book = CycleBook(memory, scope_, native=scope_.starts[0])
    book.enter_all((r, token(p.token0), token(p.token1), r) for r, p in enumerate(pools))
    book.settle()
    book.refresh_all()
    book.price(gas_price_wei=0, overhead_gas=0, least_worth_wei=0)
    return book


def cycles_of(book):
    """Every cycle of a book that has pools, as its tokens in order."""
    names = {number: address for address, number in book._number.items()}
    listed = set()
    for route in book._route[: book.statistics().cycles].tolist():
        groups = [group for group in route if group]
        counts = [book._group[group, layout.COUNT] for group in groups]
        if min(counts) > (1 if len(groups) == 2 else 0):
            stops = tuple(int(names[int(book._pair[g >> 1, g & 1])], 16) for g in groups)
            assert stops not in listed
            listed.add(stops)
    return listed


def exact_out(pools, edges, amount):
    """What a cycle gives in exact integers; 0 when a pool refuses."""
    for edge in edges:
        if amount == 0:
            return 0
        amount = pools[edge >> 1].quote(amount, zero_for_one=edge & 1 == 0)
    return amount


def exact_best(pools, edges, most):
    """The best input and profit by ternary search in integers, and a look around."""
    low, high = 1, most
    while high - low > 8:
        third = (high - low) // 3
        left, right = low + third, high - third
        if exact_out(pools, edges, left) - left < exact_out(pools, edges, right) - right:
            low = left
        else:
            high = right
    return max((exact_out(pools, edges, x) - x, x) for x in range(low, high + 1))


def every_cycle(pools, start, hops_most):
    """All cycles over distinct tokens and pools from one token, as tuples of edges."""
    tokens = {t for pool in pools for t in (pool.token0, pool.token1)} - {start}
    edges = {}
    for row, pool in enumerate(pools):
        edges.setdefault((pool.token0, pool.token1), []).append(2 * row)
        edges.setdefault((pool.token1, pool.token0), []).append(2 * row + 1)
    for hops in range(2, hops_most + 1):
        for middle in permutations(sorted(tokens), hops - 1):
            stops = (start, *middle, start)
            ways = [edges.get(pair, []) for pair in pairwise(stops)]
            for cycle in product(*ways):
                if len({edge >> 1 for edge in cycle}) == hops:
                    yield cycle
