import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain.events import BlockContext, BlockRef
from searcher.domain.plan import Verdict
from searcher.domain.units import ZERO_ADDRESS, Hash32, OpportunityId
from searcher.submission.bids import choose_bid, choose_terms
from searcher.submission.settings import BidSettings, GasSettings

WEI = st.integers(0, 10**24)
SHARE = st.integers(0, 10_000)
POLICY = st.builds(BidSettings, floor_wei=WEI, cap_wei=st.none() | WEI)


def verdict(gross_wei, gas_used, base_fee_wei):
    parent = BlockRef(9, Hash32("0x" + "01" * 32))
    context = BlockContext(parent, 10, 1_700_000_000, base_fee_wei, 30_000_000, ZERO_ADDRESS)
    return Verdict(OpportunityId("a-9-0"), "test", context, True, gas_used, gross_wei, "", at_ns=1)


@pytest.mark.parametrize(
    ("share_bps", "policy", "expected"),
    [
        (5_000, {}, 400),
        (0, {}, 0),
        (10_000, {}, 700),  # the least profit of 100 stays
        (100, {"floor_wei": 300}, 300),
        (100, {"floor_wei": 701}, None),
        (9_000, {"cap_wei": 50}, 50),
        (100, {"floor_wei": 900, "cap_wei": 50}, 50),
    ],
)
def test_bid_is_a_share_of_the_surplus_within_its_limits(share_bps, policy, expected):
    assert expected == choose_bid(
        gross_wei=1_000,
        gas_cost_wei=200,
        least_profit_wei=100,
        share_bps=share_bps,
        settings=BidSettings(**policy),
    )


@given(WEI, WEI, WEI, SHARE, POLICY)
def test_no_bid_ever_eats_the_least_profit(gross, gas, least, share, policy):
    bid = choose_bid(
        gross_wei=gross,
        gas_cost_wei=gas,
        least_profit_wei=least,
        share_bps=share,
        settings=policy,
    )

    if bid is None:
        lowest = (
            policy.floor_wei if policy.cap_wei is None else min(policy.floor_wei, policy.cap_wei)
        )
        assert gross - gas - lowest < least
    else:
        assert bid >= 0
        assert gross - gas - bid >= least
        assert policy.cap_wei is None or bid <= policy.cap_wei


@given(
    gross=WEI,
    gas_used=st.integers(21_000, 10**7),
    base_fee=st.integers(0, 10**12),
    least=WEI,
    share=SHARE,
    policy=POLICY,
)
def test_terms_add_up(*, gross, gas_used, base_fee, least, share, policy):
    gas = GasSettings(priority_fee_wei=3)

    terms = choose_terms(
        verdict(gross, gas_used, base_fee),
        share_bps=share,
        least_profit_wei=least,
        bid=policy,
        gas=gas,
    )

    assert terms.max_fee_wei == base_fee + 3
    assert terms.gas_limit >= gas_used + gas.bid_gas
    assert terms.profit_wei == gross - terms.bid_wei - terms.gas_cost_wei
    assert terms.gas_cost_wei == (gas_used + gas.bid_gas) * terms.max_fee_wei
    assert terms.refusal or terms.profit_wei >= least
    assert not terms.refusal or terms.bid_wei == 0


def test_a_refusal_has_its_figures():
    terms = choose_terms(
        verdict(10, 21_000, 7),
        share_bps=5_000,
        least_profit_wei=1,
        bid=BidSettings(),
        gas=GasSettings(bid_gas=0),
    )

    assert "10 wei gross less 147000 wei gas" in terms.refusal
    assert terms.bid_wei == 0
