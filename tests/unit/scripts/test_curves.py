"""The proof's own curves against what the protocols' real bytecode answered."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from verify.curves import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    Concentrated,
    ConstantProduct,
    Pool,
    sqrt_price_at,
)

ROOT = Path(__file__).resolve().parents[3]


def vectors(name: str) -> Any:
    folder = Path(os.environ.get("SEARCHER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}: set SEARCHER_TEST_DATA")
    path = folder / "math-vectors" / name
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def pool(protocol: str, fee_pips: int, spacing: int = 0) -> Pool:
    return Pool("0xaa", "dex", protocol, "0x01", "0x02", fee_pips, spacing)


def concentrated(price: int, tick: int, positions: list[tuple[int, int, int]]) -> Concentrated:
    net: dict[int, int] = {}
    gross: dict[int, int] = {}
    for lower, upper, liquidity in positions:
        for at, sign in ((lower, 1), (upper, -1)):
            net[at] = net.get(at, 0) + sign * liquidity
            gross[at] = gross.get(at, 0) + liquidity
    active = sum(size for lower, upper, size in positions if lower <= tick < upper)
    return Concentrated(price, tick, active, net, gross)


def test_tick_prices_are_the_contracts():
    results = {
        int(name.split(" tick ")[1].split()[0]): int(value)
        for name, value in vectors("uniswap_v3_tickmath.json").items()
        if "getSqrtRatioAtTick" in name and " result " in name
    }
    assert len(results) > 10
    assert {tick: sqrt_price_at(tick) for tick in results} == results
    assert sqrt_price_at(MIN_TICK) == MIN_SQRT_PRICE
    assert sqrt_price_at(MAX_TICK) == MAX_SQRT_PRICE


def test_constant_product_is_the_routers():
    cases = vectors("uniswap_v2_swap_cases.json")["cases"]
    for amount, reserve_in, reserve_out, expected in cases:
        for way in (True, False):
            reserves = (reserve_in, reserve_out) if way else (reserve_out, reserve_in)
            state = ConstantProduct(*(r * 10**18 for r in reserves))
            quoted = state.quote(pool("uniswap_v2", 3000), way, amount * 10**18)
            assert quoted == int(expected)


def test_concentrated_swaps_are_the_contracts():
    checked = 0
    for case in vectors("uniswap_v3_swap_vectors.json.gz"):
        swap, expected = case["swap"], case["expected"]
        if swap["kind"] != "exact_in" or "amount0Delta" not in expected:
            continue
        setting = case["pool"]
        state = concentrated(
            int(setting["starting_sqrt_price_x96"]),
            expected["tickBefore"],
            [(p["tick_lower"], p["tick_upper"], int(p["liquidity"])) for p in setting["positions"]],
        )
        limit = swap["sqrt_price_limit_x96"]
        taken, given, _ = state.swap(
            pool("uniswap_v3", setting["fee"], setting["tick_spacing"]),
            swap["zero_for_one"],
            int(swap["amount_specified"]),
            int(limit) if limit else None,
        )
        deltas = [int(expected["amount0Delta"]), int(expected["amount1Delta"])]
        ours = [taken, -given] if swap["zero_for_one"] else [-given, taken]
        assert ours == deltas, case["id"]
        checked += 1
    assert checked >= 80


def test_concentrated_quotes_are_a_mainnet_pools():
    setting = vectors("onchain-quotes/chain_data/1/uniswap_v3_wbtc_weth_block_24407242.json")
    golden = vectors("onchain-quotes/golden/test_cached_calculations_v3_wbtc_weth.json")
    scalars = setting["scalars"]
    state = Concentrated(
        scalars["sqrt_price_x96"],
        scalars["tick"],
        scalars["liquidity"],
        {int(t): row[1] for t, row in setting["tick_data"].items()},
        {int(t): row[0] for t, row in setting["tick_data"].items()},
    )
    the_pool = pool("uniswap_v3", scalars["fee"], scalars["tick_spacing"])
    checked = 0
    for name, entry in golden["entries"].items():
        _, method, way, amount = name.split("|")
        if method != "quoteExactInputSingle" or "value" not in entry:
            continue
        given = state.swap(the_pool, way == "WBTC->WETH", int(amount))[1]
        assert given == entry["value"], name
        checked += 1
    assert checked >= 10


def test_a_pool_that_cannot_take_it_all_gives_no_quote():
    state = concentrated(1 << 96, 0, [(-60, 60, 10**18)])
    the_pool = pool("uniswap_v3", 3000, 60)
    assert state.quote(the_pool, True, 10**12) is not None
    assert state.quote(the_pool, True, 10**19) is None
    assert Concentrated(0, 0, 0).quote(the_pool, True, 1) is None
    assert ConstantProduct(0, 0).quote(pool("uniswap_v2", 3000), True, 1) is None
