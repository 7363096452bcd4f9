import pytest

from searcher.devnet.economy import TOKENS, token, units
from searcher.devnet.order_flow.surroundings import PricePath, memory_offset
from searcher.devnet.order_flow.users import VENUES, UserPlan


def test_the_same_seed_makes_the_same_swaps_and_another_seed_others():
    def swaps(seed):
        plan = UserPlan(seed)
        return [swap for block in range(30) for swap in plan.swaps(block)]

    assert swaps(1) == swaps(1)
    assert swaps(1) != swaps(2)


def test_users_reach_every_pool_in_time_and_both_ways():
    plan = UserPlan(3)
    swaps = [swap for block in range(400) for swap in plan.swaps(block)]
    assert all(0.0 <= swap.after <= 0.7 for swap in swaps)
    assert all(swap.amount > 0 and swap.slippage_bps > 0 for swap in swaps)
    traded = {(s.dex, s.fee_pips, s.sold, s.bought) for s in swaps}
    for venue in VENUES:
        for pair in ((venue.base, venue.quote), (venue.quote, venue.base)):
            assert (venue.dex, venue.fee_pips, *pair) in traded


def test_users_lean_against_what_they_have_done():
    plan = UserPlan(5)
    for block in range(2_000):
        plan.swaps(block)
    assert all(abs(usd) < 2_000_000 for usd in plan._net_usd.values())


def test_a_price_path_wanders_but_not_away():
    start = token("WETH").price_e8
    first, second = PricePath(1, "WETH"), PricePath(1, "WETH")
    prices = [first.step() for _ in range(500)]
    assert prices == [second.step() for _ in range(500)]
    assert len(set(prices)) > 400
    assert all(start * 0.9 < price < start * 1.1 for price in prices)


@pytest.mark.parametrize("gas", [10_000, 1_000_000, 9_000_000])
def test_memory_as_far_out_as_said_costs_what_was_asked(gas):
    words = memory_offset(gas) // 32 + 1
    cost = 3 * words + words * words // 512
    assert gas * 0.98 <= cost <= gas


def test_dollars_become_a_tokens_smallest_units():
    assert units("USDC", 5) == 5 * 10**6
    assert units("WETH", 3_000) == 10**18
    assert units("WBTC", 60_000) == 10**8
    assert len({spec.symbol for spec in TOKENS if spec.symbol != "WETH"}) == 6
