"""Search over pools of mainnet as they were recorded, with all their ticks."""

from __future__ import annotations

import gzip
import json
import os
from itertools import count
from pathlib import Path

import pytest

from searcher.kernels.reference import uniswap_v3
from tests.kernels.universe import (
    Concentrated,
    ConstantProduct,
    book_of,
    every_cycle,
    exact_best,
    memory_of,
    scope,
    token,
)

ROOT = Path(__file__).parents[2]
FEES = {"Lowest": 100, "Low": 500, "Medium": 3_000, "High": 10_000}
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
GAS_PRICE = 10**9
OVERHEAD = 75_000


class Ranged(Concentrated):
    """A recorded V3 pool."""

    def __init__(self, pair, raw):
        self.token0, self.token1 = pair
        self.fee_pips, self.spacing = FEES[raw["fee"]], raw["ticks"]["tick_spacing"]
        ticks = [(t["index"], int(t["net_liquidity"])) for t in raw["ticks"]["ticks"]]
        table = uniswap_v3.TickTable(
            tuple(index for index, _ in ticks),
            tuple(net for _, net in ticks),
            tuple(abs(net) for _, net in ticks),
        )
        self.tick = raw["tick"]
        self.state = uniswap_v3.ConcentratedState(
            int(raw["sqrt_price"], 16), int(raw["liquidity"]), raw["tick"], table
        )

    def swapped(self, amount, *, zero_for_one):
        """Somebody swaps through it."""
        rule = {"fee_pips": self.fee_pips, "tick_spacing": self.spacing}
        after = uniswap_v3.swap(self.state, amount=amount, zero_for_one=zero_for_one, **rule)
        self.tick = after.tick
        self.state = uniswap_v3.ConcentratedState(
            after.sqrt_price_x96, after.liquidity, after.tick, self.state.ticks
        )


@pytest.fixture
def market():
    """The pools, and the numbers of their tokens: WETH is 0."""
    folder = Path(os.environ.get("SEARCHER_TEST_DATA") or ROOT / ".." / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}: set SEARCHER_TEST_DATA")
    path = folder / "pool-state" / "tycho_serialized_state.json.gz"
    found = json.loads(gzip.decompress(path.read_bytes()))
    numbers = count(1)
    number = {WETH: 0}
    pools = []
    for entry in found:
        addresses = sorted(t["address"] for t in entry["tokens"])
        pair = [number.setdefault(a, 0 if a == WETH else next(numbers)) for a in addresses]
        raw = entry["state"]["state"]
        if entry["state"]["protocol"] == "UniswapV2State":
            reserves = (int(raw[f"reserve{k}"], 16) for k in range(2))
            pools.append(ConstantProduct(*pair, *reserves))
        else:
            pools.append(Ranged(pair, raw))
    assert len(pools) == 19
    return pools, number


def search(pools, gas_price_wei=GAS_PRICE):
    book = book_of(memory_of(pools), pools, scope([0], 4))
    book.price(gas_price_wei=gas_price_wei, overhead_gas=OVERHEAD, least_worth_wei=0)
    return book.search()


def brute_force(pools):
    """Every cycle that leaves something in integers, by what it leaves."""
    cycles = every_cycle(pools, 0, 4)
    found = {cycle: exact_best(pools, cycle, 10**22)[0] for cycle in cycles}
    return {cycle: left for cycle, left in found.items() if left > 0}


def deeper(pools, number):
    """The row of the deeper of two pools of USDC and WETH."""
    pair = (number[USDC], 0)
    (row,) = (r for r, p in enumerate(pools) if (p.token0, p.token1) == pair and p.fee_pips == 500)
    return row


def test_the_market_as_recorded_holds_nothing_even_were_gas_free(market):
    pools, _ = market
    assert search(pools) == []
    assert search(pools, gas_price_wei=0) == []
    assert brute_force(pools) == {}


def test_a_swap_that_moves_a_pool_opens_the_right_cycle(market):
    pools, number = market
    # A buyer of WETH sends 5 million USDC, which is token0.
    row = deeper(pools, number)
    pools[row].swapped(5_000_000 * 10**6, zero_for_one=True)
    found = search(pools)
    best = brute_force(pools)
    assert {c.edges for c in found} <= best.keys()
    first = max(best, key=best.__getitem__)
    assert found[0].edges == first
    assert found[0].start == token(0)
    # WETH goes into the pool where it has become dear, and comes back from where it has not.
    assert first[0] == 2 * row + 1
    amount = found[0].amount_in
    for edge, out in zip(first, found[0].amounts, strict=True):
        amount = pools[edge >> 1].quote(amount, zero_for_one=edge & 1 == 0)
        assert out == amount
    left = amount - found[0].amount_in
    assert best[first] * (1 - 1e-9) <= left <= best[first]
    assert found[0].worth_wei == pytest.approx(left - found[0].gas * GAS_PRICE)
    for candidate in found:
        assert row in {edge >> 1 for edge in candidate.edges}


def test_a_swap_too_small_to_pay_for_gas_opens_nothing(market):
    pools, number = market
    row = deeper(pools, number)
    pools[row].swapped(1_000 * 10**6, zero_for_one=True)
    assert search(pools) == []
