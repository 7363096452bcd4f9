from __future__ import annotations

import pytest

from searcher.domain.events import Log
from searcher.kernels.reference.curve_stable import D_EACH, D_PRODUCT
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import QuoteBlock, UnreadablePool
from searcher.market.protocols.curve_stable import CurveStable
from searcher.market.stableswap import Contract, CurveStableState, RateSource, rules_of
from searcher.market.stableswap_events import TOKEN_EXCHANGE, topic
from searcher.market.stableswap_reads import ETHER, StableIdentity, indexed, selector
from searcher.market.state import MalformedState, state_from

POOL, A, B, C, TOKEN = ("0x" + f"{k:02x}" * 20 for k in (0x11, 0xAA, 0xBB, 0xCC, 0x77))
NOW = QuoteBlock(number=1, timestamp=1_700_000_000)
PROTOCOL = CurveStable(CurveStable.Config())
RAW = {
    "address": POOL,
    "coins": [A, B, C],
    "balances": ["27137121100372139339642768", 27662471158553, "108298644409129"],
    "decimals": [18, 6, 6],
    "future_a": 4000,
    "fee": 1500000,
    "admin_fee": 10**10,
    "contract": "3pool",
    "total_supply": "156839057351449476746953842",
}


def tripool(**changes):
    return state_from(CurveStableState, RAW | changes)


def word(value):
    return f"{value % 2**256:064x}"


def log(signature_topic, *values, indexed_values=1):
    topics = (signature_topic, *("0x" + word(9),) * indexed_values)
    return Log(POOL, topics, "0x" + "".join(map(word, values)))


def carry(reads, answers):
    """Answer reads out of a dict of (address, calldata); what it lacks does not answer."""
    try:
        calls = next(reads)
        while True:
            calls = reads.send([answers.get((c.to, c.data), "execution reverted") for c in calls])
    except StopIteration as stop:
        return stop.value


def test_a_state_from_a_dict_quotes_what_the_contract_said():
    # Mainnet block 24407242: get_dy(0, 1, ...) of 3pool.
    quote = PROTOCOL.quote_exact_in(tripool(), NOW, A, B, 271371211003721406218240)
    assert quote.amount == 271332968007
    assert abs(quote.realised - quote.amount) <= 1
    back = PROTOCOL.quote_exact_out(tripool(), NOW, A, B, 271332968007)
    assert back.amount <= 271371211003721406218240
    assert PROTOCOL.quote_exact_in(tripool(), NOW, A, B, back.amount).amount >= 271332968007
    assert PROTOCOL.quote_exact_in(tripool(), NOW, A, B, back.realised).realised >= 271332968007
    assert PROTOCOL.marginal_rate(tripool(), NOW, A, B, 0) == pytest.approx(1e-12, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"coins": [A]}, "coins: expected 2 to 8"),
        ({"coins": [A, A, B]}, "coins: expected different"),
        ({"balances": [1, 2]}, "balances: expected 3"),
        ({"decimals": [18, 6]}, "decimals: expected 3"),
        ({"decimals": [18, 6, 40]}, "decimals: expected 0 to 36"),
        ({"rates": [1, 2, 0]}, "rates: expected more than zero"),
        ({"fee": 10**10 + 1}, "fee: expected 0 to 1e10"),
        ({"future_a": 0}, "future_a: expected more than zero"),
        ({"contract": "4pool"}, "3pool"),
        ({"future_a_time": 5, "initial_a_time": 6}, "future_a_time"),
        ({"underlying_coins": [A]}, "underlying_coins: expected 3"),
        ({"arithmetic": {"a_precision": 10}}, "a_precision: expected 1 or 100"),
        ({"offpeg_fee_multiplier": -1}, "offpeg_fee_multiplier"),
        ({"balances": [1, 2, -1]}, r"balances\[2\]"),
    ],
)
def test_malformed_states_say_what_was_expected(changes, what):
    with pytest.raises(MalformedState, match=what):
        tripool(**changes)


def test_the_factorys_two_coin_pools_have_their_own_form():
    assert rules_of(Contract.FACTORY, None, 2).d_form == D_PRODUCT
    assert rules_of(Contract.FACTORY, None, 3).d_form == D_EACH
    assert rules_of(Contract.FACTORY_2021, None, 2).d_form == D_EACH
    assert tripool(arithmetic={"d_form": "product"}).arithmetic.a_precision == 100


def test_refusals():
    for state, tokens, status in (
        (tripool(), (A, A), Status.SAME_TOKEN),
        (tripool(), (A, TOKEN), Status.UNKNOWN_TOKEN),
        (tripool(is_killed=True), (A, B), Status.PAUSED),
        (tripool(balances_current=False), (A, B), Status.UNMODELLED),
        (tripool(balances=[0, 0, 0]), (A, B), Status.EMPTY_POOL),
    ):
        with pytest.raises(SwapRefused) as refused:
            PROTOCOL.quote_exact_in(state, NOW, *tokens, 10**18)
        assert refused.value.status is status
    with pytest.raises(SwapRefused):
        PROTOCOL.quote_exact_in(tripool(), NOW, A, B, 2**256)


def test_what_comes_with_the_block_goes_before_the_state():
    state = tripool(balances_current=False)
    block = QuoteBlock(number=1, timestamp=NOW.timestamp, volatile={"balances": tripool().balances})
    quote = PROTOCOL.quote_exact_in(state, block, A, B, 10**20)
    assert quote == PROTOCOL.quote_exact_in(tripool(), NOW, A, B, 10**20)
    dearer = QuoteBlock(
        number=1, timestamp=NOW.timestamp, volatile={"rates": (2 * 10**18, 10**30, 10**30)}
    )
    assert PROTOCOL.quote_exact_in(tripool(), dearer, A, B, 10**20).amount > quote.amount


def test_underlying_coins_trade_as_the_pools_own():
    raw = {"contract": "aave", "offpeg_fee_multiplier": 2 * 10**10, "future_a": 200_000}
    state = tripool(**raw, underlying_coins=[TOKEN, POOL, ETHER])
    assert PROTOCOL.quote_exact_in(state, NOW, TOKEN, POOL, 10**20) == PROTOCOL.quote_exact_in(
        state, NOW, A, B, 10**20
    )
    with pytest.raises(SwapRefused):
        PROTOCOL.quote_exact_in(state, NOW, TOKEN, B, 10**20)


# ---- events


def test_liquidity_events_move_balances_and_supply():
    state = tripool(admin_fee=5 * 10**9)
    amounts, fees = (10**18, 10**6, 0), (10, 21, 7)
    add = topic("AddLiquidity(address,uint256[3],uint256[3],uint256,uint256)")
    after = PROTOCOL.apply(state, log(add, *amounts, *fees, 1, 99))
    assert after.total_supply == 99
    assert after.balances == tuple(
        b + a - f // 2 for b, a, f in zip(state.balances, amounts, fees, strict=True)
    )
    remove = topic("RemoveLiquidityImbalance(address,uint256[3],uint256[3],uint256,uint256)")
    after = PROTOCOL.apply(state, log(remove, *amounts, *fees, 1, 98))
    assert after.balances == tuple(
        b - a - f // 2 for b, a, f in zip(state.balances, amounts, fees, strict=True)
    )
    plain = topic("RemoveLiquidity(address,uint256[3],uint256[3],uint256)")
    after = PROTOCOL.apply(state, log(plain, *amounts, 0, 0, 0, 97))
    assert after.balances[1] == state.balances[1] - 10**6
    with pytest.raises(MalformedLog, match="more than the pool holds"):
        PROTOCOL.apply(state, log(plain, 0, 0, 2**200, 0, 0, 0, 97))
    two = topic("RemoveLiquidity(address,uint256[2],uint256[2],uint256)")
    with pytest.raises(MalformedLog, match="2 coins"):
        PROTOCOL.apply(state, log(two, 0, 0, 0, 0, 97))


def test_parameters_follow_their_events():
    state = PROTOCOL.apply(
        tripool(),
        log(topic("RampA(uint256,uint256,uint256,uint256)"), 1, 2, 3, 4, indexed_values=0),
    )
    assert (state.initial_a, state.future_a) == (1, 2)
    assert (state.initial_a_time, state.future_a_time) == (3, 4)
    assert state.ramping
    stopped = PROTOCOL.apply(
        state, log(topic("StopRampA(uint256,uint256)"), 5, 6, indexed_values=0)
    )
    assert not stopped.ramping
    assert stopped.future_a == 5
    fees = PROTOCOL.apply(state, log(topic("NewFee(uint256,uint256)"), 7, 8, indexed_values=0))
    assert (fees.fee, fees.admin_fee) == (7, 8)
    with pytest.raises(MalformedLog, match="fee"):
        PROTOCOL.apply(state, log(topic("ApplyNewFee(uint256)"), 10**11, indexed_values=0))


def test_what_cannot_be_replayed_makes_balances_unknown():
    swap = log(TOKEN_EXCHANGE, 0, 10**18, 1, 999_000)
    for state in (
        tripool(future_a_time=9, initial_a=5000),
        tripool(contract="aave"),
        tripool(rate_sources=["yearn", "fixed", "fixed"]),
        tripool(balances_current=False),
    ):
        assert not PROTOCOL.apply(state, swap).balances_current
    assert not PROTOCOL.apply(
        tripool(), log(topic("RemoveLiquidityOne(address,uint256,uint256)"), 10**18, 5)
    ).balances_current


def test_logs_that_are_none_of_a_pools():
    with pytest.raises(MalformedLog):
        PROTOCOL.apply(tripool(), log("0x" + "00" * 32))
    with pytest.raises(MalformedLog):
        PROTOCOL.apply(tripool(), Log(POOL, (), "0x"))
    with pytest.raises(MalformedLog, match="coins"):
        PROTOCOL.apply(tripool(), log(TOKEN_EXCHANGE, 0, 1, 3, 1))
    with pytest.raises(MalformedLog, match="paid"):
        PROTOCOL.apply(tripool(), log(TOKEN_EXCHANGE, 0, 10**20, 1, 1))


# ---- reads


def answers(kind="uint256", **extra):
    found = {
        (POOL, selector("A()")): (4000,),
        (POOL, selector("initial_A()")): (5000,),
        (POOL, selector("future_A()")): (4000,),
        (POOL, selector("initial_A_time()")): (3,),
        (POOL, selector("future_A_time()")): (4,),
        (POOL, selector("fee()")): (1500000,),
        (POOL, selector("admin_fee()")): (10**10,),
        (POOL, selector("lp_token()")): (int(TOKEN, 16),),
        (TOKEN, selector("totalSupply()")): (77,),
        (A, selector("decimals()")): (18,),
        (B, selector("decimals()")): (6,),
    }
    for k, (coin, balance) in enumerate(((A, 10**24), (B, 10**12))):
        found[POOL, indexed(f"coins({kind})", k)] = (int(coin, 16),)
        found[POOL, indexed(f"balances({kind})", k)] = (balance,)
    return found | extra


def test_reads_give_a_state():
    identity = StableIdentity(POOL, Contract.THREE_POOL)
    state = carry(PROTOCOL.reads(identity), answers())
    assert (state.coins, state.balances, state.rates) == (
        (A, B),
        (10**24, 10**12),
        (10**18, 10**30),
    )
    assert (state.initial_a, state.future_a, state.future_a_time) == (5000, 4000, 4)
    assert (state.lp_token, state.total_supply) == (TOKEN, 77)


def test_reads_of_the_oldest_pools():
    found = answers("int128")
    for view in ("initial_A()", "future_A()", "initial_A_time()", "future_A_time()"):
        del found[POOL, selector(view)]
    found[A, selector("getPricePerFullShare()")] = (11 * 10**17,)
    identity = StableIdentity(
        POOL, Contract.COMPOUND, rate_sources=(RateSource.YEARN, RateSource.FIXED)
    )
    state = carry(PROTOCOL.reads(identity), found)
    assert state.future_a == 4000
    assert state.rates == (11 * 10**17, 10**30)
    moved = carry(PROTOCOL.refresh(state), found)
    assert moved == {"rates": (11 * 10**17, 10**30)}


def test_refresh_reads_only_what_has_moved():
    identity = StableIdentity(POOL, Contract.THREE_POOL)
    state = carry(PROTOCOL.reads(identity), answers())
    found = answers()
    found[POOL, selector("A_precise()")] = (4000,)
    assert carry(PROTOCOL.refresh(state), found) == {"initial_a": 4000}
    stale = PROTOCOL.apply(state, log(TOKEN_EXCHANGE, 0, 10**18, 1, 999_000))
    assert carry(PROTOCOL.refresh(stale), found) == {
        "balances": (10**24, 10**12),
        "initial_a": 4000,
    }


@pytest.mark.parametrize(
    ("missing", "what"),
    [("fee()", "fee"), ("lp_token()", "totalSupply")],
)
def test_answers_of_something_else(missing, what):
    found = answers()
    del found[POOL, selector(missing)]
    with pytest.raises(UnreadablePool, match=what):
        carry(PROTOCOL.reads(StableIdentity(POOL, Contract.THREE_POOL)), found)
    with pytest.raises(UnreadablePool, match="0 coins"):
        carry(PROTOCOL.reads(StableIdentity(POOL)), {})
