"""The brute force against slower and simpler searches."""

import math
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
from verify.curves import Concentrated, ConstantProduct, Pool, State
from verify.search import GAS_BASE, GAS_SWAP, Step, Table, Universe

NATIVE, GOLD, TIN = "0x01", "0x02", "0x03"
DEPTH = 10**21


def pair(name: str, token0: str, token1: str, fee_pips: int = 3000) -> Pool:
    return Pool(name, "dex", "uniswap_v2", token0, token1, fee_pips)


def ranged(name: str, token0: str, token1: str) -> Pool:
    return Pool(name, "dex", "uniswap_v3", token0, token1, 500, 10)


def around(tick: int, liquidity: int) -> Concentrated:
    """A pool of three nested positions about `tick`, so that swaps cross ticks."""
    net: dict[int, int] = {}
    gross: dict[int, int] = {}
    base = tick // 10 * 10
    for width, size in ((20, liquidity), (200, 2 * liquidity), (20_000, liquidity)):
        for at, sign in ((base - width, 1), (base + width, -1)):
            net[at] = net.get(at, 0) + sign * size
            gross[at] = gross.get(at, 0) + size
    price = int(math.sqrt(1.0001**tick) * (1 << 96)) + 1
    return Concentrated(price, tick, 4 * liquidity, net, gross)


POOLS = (
    pair("a", NATIVE, GOLD),
    pair("b", NATIVE, GOLD, 2500),
    ranged("c", NATIVE, GOLD),
    pair("d", GOLD, TIN),
    ranged("e", NATIVE, TIN),
    pair("f", NATIVE, TIN),
)


@st.composite
def markets(draw: st.DrawFn) -> dict[str, State]:
    """States around a common price, each off by up to three per cent."""
    states: dict[str, State] = {}
    for pool in POOLS:
        off = draw(st.integers(-300, 300))
        if pool.protocol == "uniswap_v3":
            states[pool.address] = around(off, draw(st.integers(10**18, 10**22)))
        else:
            depth = draw(st.integers(10**18, 10**23))
            states[pool.address] = ConstantProduct(depth, int(depth * 1.0001**off))
    return states


def value(states: dict[str, State], route: tuple[Step, ...], amount: int) -> int:
    out: int | None = amount
    for step in route:
        if out is None:
            return -amount
        out = states[step.pool.address].quote(step.pool, step.zero_for_one, out)
    return (out or 0) - amount


def slow_best(states: dict[str, State], base_fee: int, touched: frozenset[str]) -> int:
    """Try every ordering of pools, sized in exact integers by narrowing in on the peak."""
    best = 0
    for length in (2, 3):
        for chosen in permutations(POOLS, length):
            if touched and not touched & {p.address for p in chosen}:
                continue
            token, route = NATIVE, []
            for pool in chosen:
                if token not in {pool.token0, pool.token1}:
                    break
                route.append(Step(pool, token == pool.token0))
                token = route[-1].token_out
            if len(route) < length or token != NATIVE:
                continue
            steps = tuple(route)
            low, high = 1, 10**25
            while high - low > max(2, low // 10**6):
                third = (high - low) // 3
                left, right = low + third, high - third
                if value(states, steps, left) < value(states, steps, right):
                    low = left
                else:
                    high = right
            gas = GAS_BASE + sum(GAS_SWAP[s.pool.protocol] for s in steps)
            best = max(best, value(states, steps, (low + high) // 2) - gas * base_fee)
    return best


def universe(*starts: str, most_hops: int = 3) -> Universe:
    return Universe(
        POOLS, start_tokens=starts or (NATIVE,), wrapped_native=NATIVE, most_hops=most_hops
    )


@settings(max_examples=8, deadline=None)
@given(
    markets(),
    st.sampled_from([0, 10**9, 10**12]),
    st.sampled_from([frozenset[str](), frozenset("c"), frozenset("df")]),
)
def test_finds_what_a_slow_exact_search_finds(states, base_fee, touched):
    slow = slow_best(states, base_fee, touched)
    best = universe().best(states, base_fee, touched=touched or None)
    fast = best.net_wei if best else 0
    # Either may miss the peak by its own grain; nothing near a millionth may be missing.
    assert fast >= slow - slow // 10**6 - 1000
    assert fast <= slow + slow // 10**3 + 10**6
    if best:
        assert best.gross_wei == value(states, best.route, best.amount_in)
        assert best.net_wei == best.gross_wei - best.gas_estimate * base_fee
        assert not touched or touched & best.pools


def test_cycles_are_all_orders_that_return():
    expected = 0
    for length in (2, 3):
        for chosen in permutations(POOLS, length):
            token, passed = NATIVE, set()
            for pool in chosen:
                if token in passed or token not in {pool.token0, pool.token1}:
                    break
                passed.add(token)
                token = pool.token1 if token == pool.token0 else pool.token0
            else:
                expected += token == NATIVE
    assert universe().count == expected
    assert universe(most_hops=2).count == 3 * 2 + 2 * 1


@settings(max_examples=60, deadline=None)
@given(markets(), st.floats(0, 1))
def test_float_curves_follow_the_exact_ones(states, share):
    steps = universe().steps
    table = Table(steps, states)
    for row, step in enumerate(steps):
        amount = max(10**9, int(10**21 * share**4))
        exact = states[step.pool.address].quote(step.pool, step.zero_for_one, amount)
        if exact is None:
            continue
        got, slope = table.step(_one(row), _float(amount))
        assert math.isclose(got[0], exact, rel_tol=1e-9, abs_tol=1e4)
        assert slope[0] >= 0


def _one(row: int):
    import numpy as np

    return np.array([row], dtype=np.intp)


def _float(amount: int):
    import numpy as np

    return np.array([float(amount)])


def test_a_gain_in_another_token_is_sold_in_a_pool_that_the_cycle_leaves_alone():
    states: dict[str, State] = {
        "a": ConstantProduct(DEPTH, 2 * DEPTH),
        "b": ConstantProduct(DEPTH, DEPTH),
        "f": ConstantProduct(DEPTH, DEPTH),
    }
    pools = [p for p in POOLS if p.address in "abf"]
    found = Universe(pools, start_tokens=[GOLD], wrapped_native=NATIVE, most_hops=2)
    assert found.count == 2
    # Both pools that trade gold for native are in the cycle: nowhere is left to sell the gain.
    assert found.best(states, 0) is None
    spare = pair("g", GOLD, NATIVE)
    states["g"] = ConstantProduct(DEPTH, DEPTH)
    wider = Universe([*pools, spare], start_tokens=[GOLD], wrapped_native=NATIVE, most_hops=2)
    best = wider.best(states, 10**9)
    assert best is not None
    assert best.conversion is not None
    assert best.conversion.pool.address not in {s.pool.address for s in best.route}
    gain = value(states, best.route, best.amount_in)
    sold = states[best.conversion.pool.address].quote(
        best.conversion.pool, best.conversion.zero_for_one, gain
    )
    assert best.gross_wei == sold
    assert best.gas_estimate == GAS_BASE + 3 * GAS_SWAP["uniswap_v2"]


def test_an_even_market_offers_nothing():
    states: dict[str, State] = {
        p.address: around(0, DEPTH) if p.protocol == "uniswap_v3" else ConstantProduct(DEPTH, DEPTH)
        for p in POOLS
    }
    assert universe().best(states, 0) is None
    assert (
        Universe([], start_tokens=[NATIVE], wrapped_native=NATIVE, most_hops=3).best({}, 0) is None
    )
