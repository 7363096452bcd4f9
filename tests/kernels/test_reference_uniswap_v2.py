"""The Python-integer V2 curve against the protocol's own cases and recorded on-chain quotes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from searcher.kernels.reference.uniswap_v2 import MAX_RESERVE, amount_in, amount_out
from searcher.kernels.refusal import SwapRefused

reserves = st.integers(1, MAX_RESERVE)
fees = st.sampled_from([0, 100, 2500, 3000, 10_000])


def test_outputs_equal_the_protocols_own_cases(vectors):
    cases = vectors("uniswap_v2_swap_cases.json")["cases"]
    assert len(cases) == 7
    for amount, has, pays, expected in cases:
        unit = 10**18
        assert amount_out(amount * unit, has * unit, pays * unit, 3000) == int(expected)


def test_outputs_equal_a_forks_router_on_chain(vectors):
    pool = vectors("onchain-quotes/chain_data/8453/pancakeswap_v2_weth_usdbc_block_46875151.json")
    golden = vectors("onchain-quotes/golden/test_pancakeswap_v2_router_get_amounts_out.json")
    fee_pips = pool["fee_numer"] * 1_000_000 // pool["fee_denom"]
    both = (pool["reserves_token0"], pool["reserves_token1"])
    for name, entry in golden["entries"].items():
        _, _, way, amount = name.split("|")
        has, pays = both if way == "WETH->USDbC" else both[::-1]
        if entry["value"] == 0:
            with pytest.raises(SwapRefused, match="nothing"):
                amount_out(int(amount), has, pays, fee_pips)
        else:
            assert amount_out(int(amount), has, pays, fee_pips) == entry["value"], name
    assert len(golden["entries"]) == 24


@given(st.integers(1, MAX_RESERVE), reserves, reserves)
def test_the_fee_in_pips_gives_the_librarys_integers(amount, has, pays):
    assume(has + amount <= MAX_RESERVE)
    library = amount * 997 * pays // (has * 1000 + amount * 997)
    assume(library > 0)
    assert amount_out(amount, has, pays, 3000) == library


@given(st.integers(1, MAX_RESERVE), reserves, reserves, fees)
def test_the_pairs_own_check_holds_and_one_more_would_break_it(amount, has, pays, fee):
    """UniswapV2Pair demands that the product after the fee does not shrink."""
    assume(has + amount <= MAX_RESERVE)
    try:
        out = amount_out(amount, has, pays, fee)
    except SwapRefused:
        return

    def holds(paid):
        left = (has + amount) * 1_000_000 - amount * fee
        return left * (pays - paid) >= has * pays * 1_000_000

    assert holds(out)
    assert not holds(out + 1)


@given(st.integers(1, MAX_RESERVE), reserves, reserves, fees)
def test_the_input_asked_for_is_enough(wanted, has, pays, fee):
    try:
        needed = amount_in(wanted, has, pays, fee)
    except SwapRefused:
        return
    assert amount_out(needed, has, pays, fee) >= wanted


@pytest.mark.parametrize(
    ("amount", "has", "pays", "reason"),
    [
        (0, 1, 1, "not positive"),
        (-1, 1, 1, "not positive"),
        (1, 0, 1, "empty"),
        (1, 1, 0, "empty"),
        (1, MAX_RESERVE, MAX_RESERVE, "uint112"),
        (1, 10**9, 10, "nothing"),
    ],
)
def test_what_the_contract_reverts_is_refused(amount, has, pays, reason):
    with pytest.raises(SwapRefused, match=reason):
        amount_out(amount, has, pays, 3000)


def test_a_pair_never_gives_all_it_holds():
    with pytest.raises(SwapRefused, match="no more"):
        amount_in(10, 10, 10, 3000)
