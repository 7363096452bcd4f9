from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.reference.curve_meta import underlying_in, virtual_price
from searcher.kernels.reference.curve_stable import Pool, Rules, exact_in
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols.curve_meta import (
    CurveMeta,
    CurveMetaState,
    MetaContract,
    MetaIdentity,
)
from searcher.market.stableswap import Contract, numbers
from searcher.market.stableswap_events import TOKEN_EXCHANGE, topic
from searcher.market.stableswap_reads import StableIdentity, indexed, selector
from searcher.market.state import MalformedState, state_from

META, BASE, OWN, LP, A, B, C = ("0x" + f"{k:02x}" * 20 for k in range(0x21, 0x28))
TIME = 1_700_000_000
NOW = QuoteBlock(number=1, timestamp=TIME)
PROTOCOL = CurveMeta(CurveMeta.Config())
RAW = {
    "address": META,
    "coins": [OWN, LP],
    "balances": [10**14, 9 * 10**25],
    "rate_multiplier": 10**30,
    "future_a": 20_000,
    "fee": 4_000_000,
    "base_pool": {
        "address": BASE,
        "coins": [A, B, C],
        "balances": ["27137121100372139339642768", 27662471158553, "108298644409129"],
        "decimals": [18, 6, 6],
        "future_a": 4000,
        "fee": 1500000,
        "admin_fee": 10**10,
        "contract": "3pool",
        "total_supply": "156839057351449476746953842",
    },
}


def metapool(**changes):
    return state_from(CurveMetaState, RAW | changes)


def pools(state, price=None):
    base = numbers(state.base_pool, NOW)
    rates = (state.rate_multiplier, price or virtual_price(base))
    rules = Rules(0)
    return Pool(state.balances, rates, 20_000, 4_000_000, 5 * 10**9, rules=rules), base


def word(value):
    return f"{value % 2**256:064x}"


def log(address, signature_topic, *values):
    return Log(address, (signature_topic, "0x" + word(9)), "0x" + "".join(map(word, values)))


def carry(reads, answers):
    try:
        calls = next(reads)
        while True:
            calls = reads.send([answers.get((c.to, c.data), "execution reverted") for c in calls])
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(("i", "j"), [(0, 1), (1, 0), (0, 3), (2, 0), (1, 3)])
def test_underlying_coins_go_through_the_base_pool(i, j):
    state = metapool()
    tokens = (OWN, A, B, C)
    amount = (10**12, 10**23, 10**12, 10**12)[i]
    expected = underlying_in(*pools(state), i, j, amount)
    assert PROTOCOL.quote_exact_in(state, NOW, tokens[i], tokens[j], amount) == (*expected, 0)
    out = PROTOCOL.quote_exact_out(state, NOW, tokens[i], tokens[j], expected[0])
    assert out.amount <= amount
    again = PROTOCOL.quote_exact_in(state, NOW, tokens[i], tokens[j], out.amount)
    assert again.amount >= expected[0]
    rate = PROTOCOL.marginal_rate(state, NOW, tokens[i], tokens[j], amount)
    assert rate == pytest.approx(expected[0] / amount, rel=1e-2)


def test_coins_of_the_metapool_trade_in_it():
    state = metapool()
    expected = exact_in(pools(state)[0], 0, 1, 10**12)
    assert PROTOCOL.quote_exact_in(state, NOW, OWN, LP, 10**12) == (*expected, 0)
    assert PROTOCOL.marginal_rate(state, NOW, OWN, LP, 0) == pytest.approx(
        expected[0] / 10**12, rel=1e-2
    )


@pytest.mark.parametrize(("age", "kept"), [(0, True), (600, True), (601, False)])
def test_own_metapools_keep_the_virtual_price_for_ten_minutes(age, kept):
    cached = 10**18
    state = metapool(contract="own", base_virtual_price=cached, base_cache_updated=TIME - age)
    expected = exact_in(pools(state, cached if kept else None)[0], 0, 1, 10**12)
    assert PROTOCOL.quote_exact_in(state, NOW, OWN, LP, 10**12).amount == expected[0]
    fresh = metapool(base_virtual_price=cached, base_cache_updated=TIME)
    assert (
        PROTOCOL.quote_exact_in(fresh, NOW, OWN, LP, 10**12).amount
        == (exact_in(pools(state)[0], 0, 1, 10**12)[0])
    )


def test_refusals():
    for state, tokens, status in (
        (metapool(), (LP, A), Status.UNKNOWN_TOKEN),
        (metapool(), (OWN, META), Status.UNKNOWN_TOKEN),
        (metapool(), (OWN, OWN), Status.UNKNOWN_TOKEN),
        (metapool(is_killed=True), (OWN, LP), Status.PAUSED),
        (metapool(balances_current=False), (OWN, LP), Status.UNMODELLED),
        (metapool(balances=[0, 0]), (OWN, LP), Status.EMPTY_POOL),
    ):
        if tokens == (OWN, OWN):
            status = Status.SAME_TOKEN
        with pytest.raises(SwapRefused) as refused:
            PROTOCOL.quote_exact_in(state, NOW, *tokens, 10**12)
        assert refused.value.status is status


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rate_multiplier": 0}, "rate_multiplier"),
        ({"coins": [OWN, A]}, "coins: expected none that the base pool holds"),
        ({"coins": [OWN]}, "expected 2 entries"),
        ({"base_pool": {"address": BASE}}, "base_pool.coins: missing"),
        ({"contract": "owned"}, "own"),
    ],
)
def test_malformed_states(changes, what):
    with pytest.raises(MalformedState, match=what):
        metapool(**changes)


def test_events_of_both_pools():
    state = metapool()
    swapped = PROTOCOL.apply(state, log(META, TOKEN_EXCHANGE, 0, 1, 1, 1))
    assert not swapped.balances_current
    add = topic("AddLiquidity(address,uint256[2],uint256[2],uint256,uint256)")
    grown = PROTOCOL.apply(state, log(META, add, 5, 7, 2, 2, 1, 55))
    assert grown.balances == (state.balances[0] + 4, state.balances[1] + 6)
    assert grown.total_supply == 55
    # The deposit may have renewed an own metapool's cache.
    own = replace(state, contract=MetaContract.OWN)
    assert not PROTOCOL.apply(own, log(META, add, 5, 7, 2, 2, 1, 55)).balances_current
    below = topic("AddLiquidity(address,uint256[3],uint256[3],uint256,uint256)")
    deeper = PROTOCOL.apply(state, log(BASE, below, 5, 6, 7, 0, 0, 0, 1, 99))
    assert deeper.base_pool.total_supply == 99
    assert deeper.base_pool.balances[2] == state.base_pool.balances[2] + 7
    assert deeper.balances == state.balances
    with pytest.raises(MalformedLog):
        PROTOCOL.apply(state, log(META, "0x" + "00" * 32))


def test_reads_and_refresh():
    found = {}
    for pool, coins, balances, amp in (
        (BASE, (A, B), (10**24, 10**12), 4000),
        (META, (OWN, LP), (10**14, 10**26), 20_000),
    ):
        for k in (0, 1):
            found[pool, indexed("coins(uint256)", k)] = (int(coins[k], 16),)
            found[pool, indexed("balances(uint256)", k)] = (balances[k],)
        for view, value in (("A()", amp), ("future_A()", amp), ("fee()", 1), ("admin_fee()", 2)):
            found[pool, selector(view)] = (value,)
        found[pool, selector("totalSupply()")] = (10**24,)
    for coin, decimals in ((A, 18), (B, 6), (OWN, 6), (LP, 18)):
        found[coin, selector("decimals()")] = (decimals,)
    found[LP, selector("totalSupply()")] = (10**24,)
    found[META, selector("base_virtual_price()")] = (10**18 + 1,)
    found[META, selector("base_cache_updated()")] = (TIME,)
    identity = MetaIdentity(
        META, StableIdentity(BASE, Contract.THREE_POOL, lp_token=LP), MetaContract.OWN
    )
    state = carry(PROTOCOL.reads(identity), found)
    assert (state.coins, state.balances) == ((OWN, LP), (10**14, 10**26))
    assert (state.rate_multiplier, state.base_pool.total_supply) == (10**30, 10**24)
    assert (state.base_virtual_price, state.base_cache_updated) == (10**18 + 1, TIME)
    moved = carry(PROTOCOL.refresh(state), found)
    assert moved == {
        "balances": (10**14, 10**26),
        "base_virtual_price": 10**18 + 1,
        "base_cache_updated": TIME,
    }
    stale = replace(state, base_pool=replace(state.base_pool, balances_current=False))
    assert carry(PROTOCOL.refresh(stale), found)["base_pool"].balances_current


def test_the_redemption_price_is_read():
    found = {
        (META, selector("base_virtual_price()")): (10**18,),
        (META, selector("base_cache_updated()")): (TIME,),
        (META, selector("redemption_price_snap()")): (int(C, 16),),
        (C, selector("snappedRedemptionPrice()")): (3 * 10**27 + 5,),
        (META, indexed("balances(uint256)", 0)): (1,),
        (META, indexed("balances(uint256)", 1)): (2,),
    }
    moved = carry(PROTOCOL.refresh(metapool(contract="rai")), found)
    assert moved["rate_multiplier"] == 3 * 10**18
