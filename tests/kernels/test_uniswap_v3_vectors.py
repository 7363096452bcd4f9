"""The kernels against the protocol's own snapshots, recorded quotes and real pools' ticks."""

from __future__ import annotations

import gzip
import json
import os
import random
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from math import ceil, isqrt
from pathlib import Path

import pytest

from searcher.kernels.concentrated import amount0_down, amount0_up, amount1_down, amount1_up
from searcher.kernels.reference import uniswap_v3 as reference
from searcher.kernels.reference.uniswap_v3 import (
    MAX_TICK,
    MIN_TICK,
    Q96,
    sqrt_at_tick,
    tick_at_sqrt,
)
from searcher.kernels.refusal import Status
from tests.kernels.concentrated_pools import market_ticks, pool_at
from tests.kernels.test_uniswap_v3 import at, said, swap_by_kernel

ROOT = Path(__file__).parents[2]
FEES = {"Lowest": 100, "Low": 500, "Medium": 3000, "High": 10000}


def test_swaps_equal_the_contracts_snapshots(vectors):
    cases = vectors("uniswap_v3_swap_vectors.json.gz")
    refused = 0
    for case in cases:
        expected, asked, setting = case["expected"], case["swap"], case["pool"]
        positions = [
            (p["tick_lower"], p["tick_upper"], int(p["liquidity"])) for p in setting["positions"]
        ]
        limit = asked["sqrt_price_limit_x96"]
        amount = int(asked["amount_specified"])
        result = swap_by_kernel(
            pool_at(int(setting["starting_sqrt_price_x96"]), positions),
            -abs(amount) if asked["kind"] == "exact_out" else amount,
            zero_for_one=asked["zero_for_one"],
            fee_pips=setting["fee"],
            tick_spacing=setting["tick_spacing"],
            price_limit_x96=None if limit is None else int(limit),
        )
        if "swapError" in expected:
            assert isinstance(result, Status), case["id"]
            refused += 1
            continue
        assert result.amount0 == int(expected["amount0Delta"]), case["id"]
        assert result.amount1 == int(expected["amount1Delta"]), case["id"]
        assert result.tick == expected["tickAfter"], case["id"]
    assert (len(cases), refused) == (240, 50)


def test_quotes_equal_the_contract_on_mainnet(vectors):
    setting = vectors("onchain-quotes/chain_data/1/uniswap_v3_wbtc_weth_block_24407242.json")
    golden = vectors("onchain-quotes/golden/test_cached_calculations_v3_wbtc_weth.json")
    scalars = setting["scalars"]
    ticks = sorted((int(t), v[1], v[0]) for t, v in setting["tick_data"].items())
    pool = reference.ConcentratedState(
        scalars["sqrt_price_x96"],
        scalars["liquidity"],
        scalars["tick"],
        reference.TickTable(*(tuple(column) for column in zip(*ticks, strict=True))),
    )
    book = market_ticks(pool.ticks).book(scalars["fee"], scalars["tick_spacing"])
    quotes = {"quoteExactInputSingle": book.exact_in, "quoteExactOutputSingle": book.exact_out}
    rule = {"fee_pips": scalars["fee"], "tick_spacing": scalars["tick_spacing"]}
    dry = 0
    for name, entry in golden["entries"].items():
        _, method, way, amount = name.split("|")
        way = {"zero_for_one": way == "WBTC->WETH"}
        answer = said(quotes[method], at(pool), int(amount), **way)
        if answer is Status.INSUFFICIENT_LIQUIDITY:
            # This quoter was given a price limit, and so answers for the part that is possible.
            exact_in = method == "quoteExactInputSingle"
            result = swap_by_kernel(pool, int(amount) if exact_in else -int(amount), **rule, **way)
            given, taken = sorted((result.amount0, result.amount1))
            assert (taken if exact_in else -given) < int(amount)
            answer = (-given if exact_in else taken, result.crossed)
            dry += 1
        assert answer[0] == entry["value"], name
    assert len(golden["entries"]) == 80
    assert 0 < dry < 12


def real_pools():
    """Pools of mainnet with all their ticks; no test is collected for them without the data."""
    folder = Path(os.environ.get("SEARCHER_TEST_DATA") or ROOT / ".." / "shared" / "data")
    path = folder / "pool-state" / "tycho_serialized_state.json.gz"
    if not path.is_file():
        return []
    found = json.loads(gzip.decompress(path.read_bytes()))
    return [s["state"]["state"] for s in found if s["state"]["protocol"] == "UniswapV3State"]


@pytest.mark.usefixtures("vectors")
def test_quotes_of_real_pools_are_the_references():
    pools = real_pools()
    rng = random.Random(19)
    crossings = 0
    for raw in pools:
        ticks = [(t["index"], int(t["net_liquidity"])) for t in raw["ticks"]["ticks"]]
        table = reference.TickTable(
            tuple(index for index, _ in ticks),
            tuple(net for _, net in ticks),
            tuple(abs(net) for _, net in ticks),
        )
        pool = reference.ConcentratedState(
            int(raw["sqrt_price"], 16), int(raw["liquidity"]), raw["tick"], table
        )
        rule = {"fee_pips": FEES[raw["fee"]], "tick_spacing": raw["ticks"]["tick_spacing"]}
        book = market_ticks(table).book(rule["fee_pips"], rule["tick_spacing"])
        for _ in range(8):
            amount = int(10 ** rng.uniform(0, 24))
            way = {"zero_for_one": rng.random() < 0.5}
            expected = said(reference.quote_exact_in, pool, amount_in=amount, **rule, **way)
            assert said(book.exact_in, at(pool), amount, **way) == expected
            crossings += 0 if isinstance(expected, Status) else expected[1]
            expected = said(reference.quote_exact_out, pool, amount_out=amount, **rule, **way)
            assert said(book.exact_out, at(pool), amount, **way) == expected
    assert len(pools) == 17
    assert crossings > 100


# ---- v3-core's arbitrage scenarios, played by the kernel's swaps

FEE, SPACING = 3000, 60
LOWEST, HIGHEST = ceil(MIN_TICK / SPACING) * SPACING, MAX_TICK // SPACING * SPACING
MOST_LIQUIDITY = (2**128 - 1) // ((HIGHEST - LOWEST) // SPACING + 1)
ENDLESS = 2**255 - 1
DECIMALS = 60


def five_digits(value):
    """decimal.js's toPrecision(5), without exponents for small numbers."""
    if not value:
        return "0.0000"
    rounded = Context(prec=5, rounding=ROUND_HALF_UP).plus(value)
    exponent = rounded.adjusted()
    digits = str(rounded.scaleb(-exponent).quantize(Decimal("1.0000")))
    if exponent >= 5:
        return f"{digits}e+{exponent}"
    return f"{rounded.quantize(Decimal(1).scaleb(exponent - 4)):f}"


def token_amount(amount):
    return five_digits(Decimal(amount) / 10**18)


def price_text(sqrt_price_x96):
    with localcontext(prec=DECIMALS):
        return five_digits((Decimal(sqrt_price_x96) / Q96) ** 2)


def encoded_price(reserve1, reserve0):
    """The root of a ratio as Q64.96; the spec's library keeps 20 decimals of the quotient."""
    with localcontext(prec=DECIMALS) as context:
        ratio = (Decimal(reserve1) / Decimal(reserve0)).quantize(
            Decimal(1).scaleb(-20), context=context
        )
        return int(ratio.sqrt().quantize(Decimal(1).scaleb(-20)) * Q96)


def shifted(sqrt_price_x96, pips):
    return isqrt(sqrt_price_x96**2 * (1_000_000 + pips) // 1_000_000)


class Scenario:
    """A pool of one full-range position that somebody swaps in, and others around it."""

    def __init__(self, liquidity):
        self.positions = [(LOWEST, HIGHEST, liquidity)]
        self.pool = pool_at(Q96, self.positions)

    def swap(self, amount, limit=None, *, zero_for_one, keep=False):
        result = swap_by_kernel(
            self.pool,
            amount,
            zero_for_one=zero_for_one,
            fee_pips=FEE,
            tick_spacing=SPACING,
            price_limit_x96=limit,
        )
        if keep:
            self.pool = reference.ConcentratedState(*result[2:5], self.pool.ticks)
        return result

    def position(self, lower, upper, liquidity):
        """Add a position, or take one away; what it takes, rounded as the pool does."""
        price = self.pool.sqrt_price_x96
        low, high = sqrt_at_tick(lower), sqrt_at_tick(upper)
        middle = min(max(price, low), high)
        up = liquidity > 0
        size = abs(liquidity)
        amount0 = (amount0_up if up else amount0_down)(middle, high, size)
        amount1 = (amount1_up if up else amount1_down)(low, middle, size)
        table = self.pool.ticks.changed(lower, net=liquidity, gross=liquidity)
        table = table.changed(upper, net=-liquidity, gross=liquidity)
        inside = lower <= self.pool.tick < upper
        self.pool = reference.ConcentratedState(
            price, self.pool.liquidity + (liquidity if inside else 0), self.pool.tick, table
        )
        return amount0, amount1


def execution_price(result):
    return encoded_price(result.amount1, -result.amount0)


def delta(result, **more):
    return {
        "delta0": token_amount(result.amount0),
        "delta1": token_amount(result.amount1),
        **more,
    }


def not_sandwiched(scenario, amount, _true_price):
    result = scenario.swap(amount, zero_for_one=True, keep=True)
    return {
        "executionPrice": price_text(execution_price(result)),
        "amount0Delta": token_amount(result.amount0),
        "amount1Delta": token_amount(result.amount1),
        "priceAfter": price_text(scenario.pool.sqrt_price_x96),
    }


def sandwiched(scenario, amount, true_price):
    price = execution_price(scenario.swap(amount, zero_for_one=True))
    first = ceil(tick_at_sqrt(shifted(price, FEE)) / SPACING) * SPACING
    before = scenario.swap(ENDLESS, sqrt_at_tick(first), zero_for_one=True, keep=True)
    minted = scenario.position(first - SPACING, first, MOST_LIQUIDITY)
    user = scenario.swap(amount, zero_for_one=True, keep=True)
    burnt = scenario.position(first - SPACING, first, -MOST_LIQUIDITY)
    goal = shifted(true_price, -FEE)
    behind = scenario.swap(ENDLESS, goal, zero_for_one=False, keep=True)
    return {
        "sandwichedPrice": price_text(execution_price(user)),
        "frontrun": delta(before, executionPrice=price_text(execution_price(before))),
        "mint": dict(zip(("amount0", "amount1"), map(token_amount, minted), strict=True)),
        "burn": dict(zip(("amount0", "amount1"), map(token_amount, burnt), strict=True)),
        "backrun": delta(behind, executionPrice=price_text(execution_price(behind))),
        "finalPrice": price_text(scenario.pool.sqrt_price_x96),
    }


def backrun(scenario, amount, true_price):
    scenario.swap(amount, zero_for_one=True, keep=True)
    behind = scenario.swap(ENDLESS, shifted(true_price, -FEE), zero_for_one=False, keep=True)
    gain0, gain1 = -behind.amount0, -behind.amount1
    value = true_price**2 * gain0 // 2**192 + gain1
    return {
        "arbBalanceDelta0": token_amount(gain0),
        "arbBalanceDelta1": token_amount(gain1),
        "profit": {"final": token_amount(value)},
        "backrun": delta(behind, executionPrice=price_text(execution_price(behind))),
        "finalPrice": price_text(scenario.pool.sqrt_price_x96),
    }


PLAYS = {
    "not sandwiched": not_sandwiched,
    "sandwiched with swap": sandwiched,
    "backrun to true price": backrun,
}


def test_arbitrage_scenarios_equal_the_contracts_snapshots(vectors):
    """All but the fees that the sandwich's own position collects: the model keeps none."""
    snapshots = vectors("uniswap_v3_arbitrage_snapshots.json.gz")
    for name, expected in snapshots.items():
        liquidity = int(Decimal(name.split("liquidity of ")[1].split()[0]) * 10**18)
        ratio = (98, 100) if "true price of 0.98" in name else (101, 100)
        play = next(play for title, play in PLAYS.items() if title in name)
        found = play(Scenario(liquidity), 10 * 10**18, encoded_price(*ratio))
        assert {key: expected[key] for key in found} == found, name
    assert len(snapshots) == 48
