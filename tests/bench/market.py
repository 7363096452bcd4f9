"""The market at the size of a mainnet: from an update to confirmed candidates.

Hot means that the market and the book were used just before, on other pools; cold that 64 MiB of
other memory were written before, so that nothing of them lies in the processor's caches. Updates
move a pool's price by 0.1 % (one standard deviation) in either direction, and are undone between
two samples, outside of what is timed. Every sample is one call from Python, its clock included:
see the figure of a call that does nothing.
"""

# The call that does nothing takes what an update takes.
# ruff: noqa: PLR0917, ARG001

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from searcher.kernels import book as layout
from searcher.kernels import scan
from searcher.kernels._jit import direct, kernel
from searcher.kernels.reference.uniswap_v3 import tick_at_sqrt
from searcher.kernels.sizing import EdgeArray, exact_near, size
from searcher.kernels.u256 import Word, Words
from searcher.market.memory import MarketMemory, value
from searcher.opportunities.book import CycleBook, Scope
from tests.bench import market_long_cycles, market_snapshot, market_splitting, market_state
from tests.bench.figures import Figure
from tests.bench.market_universe import HUBS, Universe, draw_ranges, make

US: Final = "us"
MOVE: Final = 0.001
UPDATES: Final = 20_000
COLD: Final = 400
BLOCKS: Final = 100
LOGS, TOUCHED = 500, 200
SIZED: Final = 400
GAS_PRICE_WEI: Final = 10**9
OVERHEAD_GAS: Final = 75_000
MOST_CYCLES: Final = 4_000_000
_OTHER: Final = np.zeros(64 * 2**20 // 8)

Update = tuple[int, int, int, int]


@kernel("i8(i8, i8, i8, U256, U256, i8, i8)")
def _nothing(table: int, book: int, row: int, first: Word, second: Word, tick: int, k: int) -> int:
    return row


@kernel("void(i8, i4[:,::1], i8[::1], f8[::1])")
def _size_all(table: int, edges: EdgeArray, hops: Any, amounts: Any) -> None:
    for i in range(len(hops)):
        amounts[i] = size(table, edges[i], hops[i], 0.0, 2.0**112)[0]


@kernel("void(i8, i4[:,::1], i8[::1], f8[::1], u8[:,::1])")
def _confirm_all(table: int, edges: EdgeArray, hops: Any, amounts: Any, out: Words) -> None:
    for i in range(len(hops)):
        exact_near(table, edges[i], hops[i], amounts[i], out)


def measure() -> list[Figure]:
    """Run everything once; about two minutes with compiled kernels."""
    universe = make()
    book, entering = _book(universe, 3)
    figures = [*_sizes(universe, book, entering, 3), *_whole(universe, book)]
    figures += _updates(universe, book)
    figures += _blocks(universe, book)
    figures += _sizing()
    four, entering = _book(universe, 4)
    figures += _sizes(universe, four, entering, 4)
    figures += _timed("screen all, 4 hops", lambda: scan.screen(four.table), 50, "every cycle")
    return figures


def parts() -> dict[str, object]:
    """Measure the market's other parts, each by itself; about five minutes."""
    each = (market_state, market_snapshot, market_splitting, market_long_cycles)
    return {module.__name__.rpartition("_")[2]: module.measure() for module in each}


def _book(universe: Universe, hops: int) -> tuple[CycleBook, float]:
    scope = Scope(
        starts=tuple(map(universe.address, range(HUBS))),
        least=(0.0,) * HUBS,
        most=(2.0**112,) * HUBS,
        hops_least=2,
        hops_most=hops,
        pools_allowed=frozenset(),
        pools_denied=frozenset(),
        tokens_allowed=frozenset(),
        tokens_denied=frozenset(),
        max_cycles=MOST_CYCLES,
    )
    book = CycleBook(universe.memory, scope, native=universe.address(0))
    begun = time.perf_counter()
    book.enter_all(
        (row, universe.address(a), universe.address(b), row)
        for row, (a, b) in enumerate(universe.tokens.tolist())
    )
    book.settle()
    took = time.perf_counter() - begun
    book.refresh_all()
    book.price(gas_price_wei=GAS_PRICE_WEI, overhead_gas=OVERHEAD_GAS, least_worth_wei=0)
    return book, took


def _sizes(universe: Universe, book: CycleBook, took: float, hops: int) -> list[Figure]:
    about = book.statistics()
    members = book._group[:, layout.COUNT]
    routes = book._route[: about.cycles].astype(np.int64)
    counts = np.where(routes > 0, members[routes], 1).astype(np.float64)
    two = routes[:, 2] == 0
    counts[two, 1] -= 1
    name = f"{hops} hops"
    return [
        Figure.of(f"pools, {name}", [about.rows], "pools", f"{universe.real_pools} as recorded"),
        Figure.of(f"cycles of pairs, {name}", [about.cycles], "cycles", "of 2 hops and more"),
        Figure.of(
            f"cycles of pools, {name}", [float(counts.prod(axis=1).sum())], "cycles", "directed"
        ),
        Figure.of(f"all pools enter, {name}", [took * 1e3], "ms", "one by one, cycles listed"),
    ]


def _whole(universe: Universe, book: CycleBook) -> list[Figure]:
    table = universe.memory.table
    return [
        *_timed("screen all, 3 hops", lambda: scan.screen(book.table), 300, "every cycle"),
        *_timed(
            "search all, 3 hops",
            lambda: scan.search_all(table, book.table, 96, 96),
            300,
            "screened, expanded, sized and confirmed; groups up to date",
        ),
        *_timed(
            "refresh all", lambda: scan.refresh_all(table, book.table), 20, "best rates, all groups"
        ),
    ]


# ---- single updates


def _updates(universe: Universe, book: CycleBook) -> list[Figure]:
    rng = np.random.default_rng(7)
    table = universe.memory.table
    calls = {
        "a call that does nothing": (direct(_nothing), (3,)),
        "detection": (direct(scan.detect), ()),
        "update to top three": (direct(scan.update), (3,)),
    }
    figures = []
    for drawn, odds in (("uniform", None), ("by activity", universe.activity)):
        rows = rng.choice(len(universe.tokens), UPDATES, p=odds).tolist()
        moves = np.exp(rng.normal(0, MOVE, UPDATES)).tolist()
        for name, (call, more) in calls.items():
            samples, held = _play(universe, book, call, more, rows, moves)
            what = f"{drawn}, {MOVE:.1%} moves"
            figures += _spread(f"{name}, {drawn}, hot", samples, what)
            if name == "update to top three":
                found = [t for t, k in zip(samples, held, strict=True) if k]
                share = 100 * len(found) / len(samples)
                figures += _spread(f"{name}, {drawn}, hot, of those that find any", found, what)
                figures.append(
                    Figure.of(f"updates that find any, {drawn}", [share], "%", "worth their gas")
                )
            samples, _ = _play(universe, book, call, more, rows[:COLD], moves[:COLD], before=_trash)
            figures += _spread(f"{name}, {drawn}, cold", samples, what)
        assert scan.search_all(table, book.table, 96, 96) >= 0
    return figures


def _play(
    universe: Universe,
    book: CycleBook,
    call: Callable[..., Any],
    more: tuple[int, ...],
    rows: Sequence[int],
    moves: Sequence[float],
    before: Callable[[], None] | None = None,
) -> tuple[list[float], list[bool]]:
    """Time each update; between two of them it is undone."""
    tables = universe.memory.table, book.table
    clock = time.perf_counter_ns
    write = direct(scan.detect)
    samples, found = [], []
    for row, move in zip(rows, moves, strict=True):
        was, new = _state(universe, row, 1.0), _state(universe, row, move)
        if before is not None:
            before()
        begun = clock()
        kept = call(*tables, *new, *more)
        samples.append((clock() - begun) / 1_000)
        found.append(bool(kept))
        write(*tables, *was)
    return samples, found


def _state(universe: Universe, row: int, move: float) -> Update:
    """A pool's integers after its price has moved by a factor."""
    first, second = (value(universe.memory.exact, 2 * row + k) for k in range(2))
    if not universe.concentrated[row]:
        return row, int(first / move**0.5), int(second * move**0.5), 0
    price = first if move == 1.0 else int(first * move**0.5)
    memory = universe.memory
    start, count = (int(memory.shape[row, k]) for k in (4, 5))
    tick = tick_at_sqrt(price)
    place = int(np.searchsorted(memory.ticks[start : start + count], tick, "right")) - 1
    return row, price, int(memory.depths[start + place]) if place >= 0 else 0, tick


# ---- blocks


def _blocks(universe: Universe, book: CycleBook) -> list[Figure]:
    rng = np.random.default_rng(8)
    tables = universe.memory.table, book.table
    samples = {"hot": [], "cold": []}
    write = direct(scan.write)
    for number in range(BLOCKS):
        rows = rng.choice(len(universe.tokens), TOUCHED, p=universe.activity, replace=False)
        which = [*rows.tolist(), *rng.choice(rows, LOGS - TOUCHED).tolist()]
        moves = np.exp(rng.normal(0, MOVE, LOGS)).tolist()
        before = [_state(universe, row, 1.0) for row in rows.tolist()]
        logs = [_state(universe, row, move) for row, move in zip(which, moves, strict=True)]
        kind = ("hot", "cold")[number % 2]
        if kind == "cold":
            _trash()
        begun = time.perf_counter_ns()
        for log in logs:
            write(tables[0], *log)
        book.search_through(rows.tolist())
        samples[kind].append((time.perf_counter_ns() - begun) / 1_000)
        for state in before:
            write(tables[0], *state)
        book.refresh_rows(rows.tolist())
    what = f"{LOGS} logs on {TOUCHED} pools, decoded, to Python's candidates"
    return [f for kind, taken in samples.items() for f in _spread(f"a block, {kind}", taken, what)]


# ---- sizing


def _sizing() -> list[Figure]:
    """Cycles of two or three hops, most with a V3 pool of 30 positions, that pay 0.3 to 3 %."""
    rng = np.random.default_rng(9)
    memory = MarketMemory(3 * SIZED)
    edges, hops = np.zeros((SIZED, 4), np.int32), rng.choice([2, 3], SIZED).astype(np.int64)
    for cycle in range(SIZED):
        rates = [10 ** rng.uniform(-2, 2) for _ in range(hops[cycle] - 1)]
        rates.append((1.006 + rng.uniform(0.003, 0.03)) / np.prod(rates))
        depth = 10 ** rng.uniform(20, 22)
        for place, rate in enumerate(rates):
            row, held = memory.add(), depth * rng.uniform(0.5, 2)
            memory.set_alive(row, alive=True)
            edges[cycle, place] = 2 * row
            if rng.random() < 0.6 or place == 0:
                root, middle = rate**0.5, held * rate**0.5
                draw_ranges(memory, row, rng, fee=3_000, root=root, depth=middle)
            else:
                memory.write_product(row, int(held), int(held * rate), 3_000)
            scan.write_image(memory.table, row)
            depth *= rate
    amounts, out = np.zeros(SIZED), np.zeros((5, 4), np.uint64)
    table = memory.table
    _size_all(table, edges, hops, amounts)
    _confirm_all(table, edges, hops, amounts, out)
    many = f"one of {SIZED} in a kernel call, 2 and 3 hops, mixed"
    sized = [t / SIZED for t in _samples(lambda: _size_all(table, edges, hops, amounts), 200)]
    exact = [
        t / SIZED for t in _samples(lambda: _confirm_all(table, edges, hops, amounts, out), 200)
    ]
    return [
        Figure.of("size a mixed cycle", sized, US, many),
        Figure.of("confirm a mixed cycle in integers", exact, US, many),
    ]


# ---- figures


def _samples(action: Callable[[], Any], times: int) -> list[float]:
    samples = []
    for _ in range(times):
        begun = time.perf_counter_ns()
        action()
        samples.append((time.perf_counter_ns() - begun) / 1_000)
    return samples


def _timed(name: str, action: Callable[[], Any], times: int, includes: str) -> list[Figure]:
    action()
    return _spread(name, _samples(action, times), includes)


def _spread(name: str, samples: Sequence[float], includes: str) -> list[Figure]:
    """A figure with median and p99, and one more for p99.9 where there are samples for it."""
    figures = [Figure.of(name, samples, US, includes)]
    if len(samples) >= 1_000:
        high = sorted(samples)[int(0.999 * len(samples))]
        figures.append(Figure.of(f"{name}, p99.9", [high], US, includes))
    return figures


def _trash() -> None:
    _OTHER[:] += 1.0
