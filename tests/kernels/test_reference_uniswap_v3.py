"""The Python-integer V3 curve against the protocol's own snapshots and recorded on-chain quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.kernels.reference.uniswap_v3 import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    ConcentratedState,
    TickTable,
    quote_exact_in,
    quote_exact_out,
    sqrt_at_tick,
    swap,
    tick_at_sqrt,
)
from searcher.kernels.refusal import Status, SwapRefused

SPACING = 60
FEE = 3000


def table_of(positions):
    table = TickTable()
    for lower, upper, liquidity in positions:
        table = table.changed(lower, net=liquidity, gross=liquidity)
        table = table.changed(upper, net=-liquidity, gross=liquidity)
    return table


def pool_at(price, positions):
    tick = tick_at_sqrt(price)
    liquidity = sum(size for low, high, size in positions if low <= tick < high)
    return ConcentratedState(price, liquidity, tick, table_of(positions))


def vector_pool(case):
    pool = case["pool"]
    positions = [(p["tick_lower"], p["tick_upper"], int(p["liquidity"])) for p in pool["positions"]]
    return pool_at(int(pool["starting_sqrt_price_x96"]), positions)


def test_sqrt_at_tick_equals_the_contracts_snapshots(vectors):
    snapshots = vectors("uniswap_v3_tickmath.json")
    checked = 0
    for name, value in snapshots.items():
        words = name.split()
        if words[1] == "#getSqrtRatioAtTick" and words[4] == "result":
            assert sqrt_at_tick(int(words[3])) == int(value), name
            checked += 1
        elif words[1] == "#getTickAtSqrtRatio" and words[4] == "result":
            assert tick_at_sqrt(int(words[3])) == int(value), name
            checked += 1
    assert checked >= 40


def test_sqrt_at_tick_at_its_ends():
    assert sqrt_at_tick(MIN_TICK) == MIN_SQRT_RATIO
    assert sqrt_at_tick(MAX_TICK) == MAX_SQRT_RATIO
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(ValueError, match="outside"):
            sqrt_at_tick(tick)


@given(st.integers(MIN_TICK, MAX_TICK - 1), st.integers(0, 2**64))
def test_tick_at_sqrt_is_the_greatest_tick_not_above(tick, step):
    low, high = sqrt_at_tick(tick), sqrt_at_tick(tick + 1)
    price = low + step % (high - low)
    assert tick_at_sqrt(price) == tick


@pytest.mark.parametrize("price", [MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1])
def test_tick_at_sqrt_at_its_ends(price):
    tick = tick_at_sqrt(price)
    assert sqrt_at_tick(tick) <= price < sqrt_at_tick(tick + 1)


def test_swaps_equal_the_contracts_snapshots(vectors):
    cases = vectors("uniswap_v3_swap_vectors.json.gz")
    refused = 0
    for case in cases:
        expected, given_ = case["expected"], case["swap"]
        limit = given_["sqrt_price_limit_x96"]
        arguments = {
            "zero_for_one": given_["zero_for_one"],
            "amount": _amount(given_),
            "fee_pips": case["pool"]["fee"],
            "tick_spacing": case["pool"]["tick_spacing"],
            "price_limit_x96": None if limit is None else int(limit),
        }
        if "swapError" in expected:
            with pytest.raises(SwapRefused):
                swap(vector_pool(case), **arguments)
            refused += 1
            continue
        result = swap(vector_pool(case), **arguments)
        assert result.amount0 == int(expected["amount0Delta"]), case["id"]
        assert result.amount1 == int(expected["amount1Delta"]), case["id"]
        assert result.tick == expected["tickAfter"], case["id"]
    assert (len(cases), refused) == (240, 50)


def _amount(swap_case):
    amount = int(swap_case["amount_specified"])
    return -abs(amount) if swap_case["kind"] == "exact_out" else amount


def test_quotes_equal_the_contract_on_mainnet(vectors):
    state_file = vectors("onchain-quotes/chain_data/1/uniswap_v3_wbtc_weth_block_24407242.json")
    golden = vectors("onchain-quotes/golden/test_cached_calculations_v3_wbtc_weth.json")
    scalars = state_file["scalars"]
    ticks = sorted((int(t), v[1], v[0]) for t, v in state_file["tick_data"].items())
    state = ConcentratedState(
        scalars["sqrt_price_x96"],
        scalars["liquidity"],
        scalars["tick"],
        TickTable(*(tuple(column) for column in zip(*ticks, strict=True))),
    )
    checked = 0
    for name, entry in golden["entries"].items():
        _, method, way, amount = name.split("|")
        zero_for_one = way == "WBTC->WETH"
        exact_in = method == "quoteExactInputSingle"
        if not exact_in and method != "quoteExactOutputSingle":
            continue
        result = swap(
            state,
            zero_for_one=zero_for_one,
            amount=int(amount) if exact_in else -int(amount),
            fee_pips=scalars["fee"],
            tick_spacing=scalars["tick_spacing"],
        )
        taken, paid = (
            (result.amount0, -result.amount1) if zero_for_one else (result.amount1, -result.amount0)
        )
        assert (paid if exact_in else taken) == entry["value"], name
        checked += 1
    assert checked >= 40


def test_a_swap_stops_at_the_edge_of_a_bitmap_word():
    """One range over many words: leaving the stops out would round fewer times."""
    positions = [(-887220, 887220, 10**18)]
    state = pool_at(sqrt_at_tick(0), positions)
    amount = 3 * 10**18
    whole = swap(state, zero_for_one=True, amount=amount, fee_pips=FEE, tick_spacing=SPACING)
    one_word = swap(state, zero_for_one=True, amount=amount, fee_pips=FEE, tick_spacing=20000)
    assert whole.tick < -15360
    assert whole.crossed == one_word.crossed == 0
    assert whole.amount1 != one_word.amount1
    assert abs(whole.amount1 - one_word.amount1) < 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": 0}, "zero"),
        ({"amount": 2**255}, "int256"),
        ({"price_limit_x96": MAX_SQRT_RATIO}, "limit"),
        ({"price_limit_x96": MIN_SQRT_RATIO}, "limit"),
    ],
)
def test_what_the_contract_reverts_is_refused(change, reason):
    state = pool_at(sqrt_at_tick(0), [(-600, 600, 10**18)])
    call = {"zero_for_one": True, "amount": 10**15, "fee_pips": FEE, "tick_spacing": SPACING}
    with pytest.raises(SwapRefused, match=reason):
        swap(state, **(call | change))


def test_an_uninitialised_pool_refuses():
    with pytest.raises(SwapRefused, match="not initialised"):
        quote_exact_in(
            ConcentratedState(),
            zero_for_one=True,
            amount_in=1,
            fee_pips=FEE,
            tick_spacing=SPACING,
        )


def test_a_quote_that_the_pool_cannot_take_whole_is_refused():
    state = pool_at(sqrt_at_tick(0), [(-600, 600, 10**18)])
    with pytest.raises(SwapRefused, match="runs dry"):
        quote_exact_in(
            state, zero_for_one=True, amount_in=10**18, fee_pips=FEE, tick_spacing=SPACING
        )
    with pytest.raises(SwapRefused, match="runs dry"):
        quote_exact_out(
            state, zero_for_one=True, amount_out=10**18, fee_pips=FEE, tick_spacing=SPACING
        )


def test_a_quote_that_rounds_to_nothing_is_nothing():
    state = pool_at(sqrt_at_tick(0), [(-600, 600, 10**18)])
    call = {"zero_for_one": True, "fee_pips": FEE, "tick_spacing": SPACING}
    assert quote_exact_in(state, amount_in=1, **call) == (0, 0)
    taken, _ = quote_exact_out(state, amount_out=1, **call)
    assert quote_exact_in(state, amount_in=taken, **call)[0] >= 1


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_that_is_not_positive_is_refused(amount):
    state = pool_at(sqrt_at_tick(0), [(-600, 600, 10**18)])
    call = {"zero_for_one": True, "fee_pips": FEE, "tick_spacing": SPACING}
    for quote, name in ((quote_exact_in, "amount_in"), (quote_exact_out, "amount_out")):
        with pytest.raises(SwapRefused) as refused:
            quote(state, **{name: amount}, **call)
        assert refused.value.status is Status.ZERO_AMOUNT


ticks = st.integers(-100, 100).map(lambda n: n * SPACING)
sizes = st.integers(10**6, 10**24)
positions_ = st.lists(
    st.tuples(ticks, ticks, sizes).filter(lambda p: p[0] < p[1]), min_size=1, max_size=6
)


@given(positions_, st.integers(-3000, 3000), st.integers(1, 10**24), st.booleans())
def test_swapping_back_never_gains(positions, tick, amount, zero_for_one):
    state = pool_at(sqrt_at_tick(tick), positions)
    there = swap(
        state, zero_for_one=zero_for_one, amount=amount, fee_pips=FEE, tick_spacing=SPACING
    )
    taken, paid = (
        (there.amount0, -there.amount1) if zero_for_one else (there.amount1, -there.amount0)
    )
    assert 0 <= taken <= amount
    assert paid >= 0
    if paid == 0:
        return
    after = ConcentratedState(there.sqrt_price_x96, there.liquidity, there.tick, state.ticks)
    back = swap(
        after, zero_for_one=not zero_for_one, amount=paid, fee_pips=FEE, tick_spacing=SPACING
    )
    returned = -back.amount0 if zero_for_one else -back.amount1
    assert returned <= taken


@given(positions_)
def test_taking_positions_away_again_leaves_no_tick(positions):
    table = table_of(positions)
    assert list(table.index) == sorted(set(table.index))
    assert sum(table.net) == 0
    for lower, upper, liquidity in positions:
        table = table.changed(lower, net=-liquidity, gross=-liquidity)
        table = table.changed(upper, net=liquidity, gross=-liquidity)
    assert table == TickTable()
    with pytest.raises(ValueError, match="would hold"):
        table.changed(0, net=-1, gross=-1)
