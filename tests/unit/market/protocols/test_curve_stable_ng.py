"""Plain StableSwap-NG pools: their state, their events, their reads, their quotes."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import keccak256
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.curve_ng import amplification
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, Quote, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

CurveStableNg = PROTOCOLS.load("curve_stable_ng")
POOL, FACTORY = "0x" + "0f" * 20, "0x" + "fa" * 20
A, B, C = ("0x" + digit * 40 for digit in "abc")
NOW = 1_700_000_000
BLOCK = QuoteBlock(1, NOW)
WHO = "0x" + "01".rjust(64, "0")
RAW = {
    "address": POOL,
    "coins": [A, B],
    "balances": [str(8 * 10**24), 9 * 10**12],
    "decimals": [18, 6],
    "future_a": 20_000,
    "fee": 1_000_000,
    "offpeg_fee_multiplier": "20000000000",
    "total_supply": str(16 * 10**24),
    "asset_types": [0, 0],
}
NUMBERS = reference.NgPool(
    (8 * 10**24, 9 * 10**12), (10**18, 10**30), 20_000, 1_000_000, 2 * 10**10, 16 * 10**24
)
EVENTS = {
    "TokenExchange": ("int128", "uint256", "int128", "uint256"),
    "AddLiquidity": ("uint256[]", "uint256[]", "uint256", "uint256"),
    "RemoveLiquidity": ("uint256[]", "uint256[]", "uint256"),
    "RemoveLiquidityOne": ("int128", "uint256", "uint256", "uint256"),
    "RemoveLiquidityImbalance": ("uint256[]", "uint256[]", "uint256", "uint256"),
    "RampA": ("uint256",) * 4,
    "StopRampA": ("uint256",) * 2,
    "ApplyNewFee": ("uint256",) * 2,
}
OWNERS = {"RampA", "StopRampA", "ApplyNewFee"}


@pytest.fixture
def protocol():
    return CurveStableNg(CurveStableNg.Config())


@pytest.fixture
def state():
    return state_from(CurveStableNg.State, RAW)


def log(name, *values):
    types = EVENTS[name]
    who = () if name in OWNERS else ("address",)
    topic = "0x" + keccak256(f"{name}({','.join((*who, *types))})".encode()).hex()
    return Log(POOL, (topic, *([WHO] if who else [])), "0x" + encode(types, values).hex())


def test_the_events_are_those_of_the_contract(protocol):
    empty = {"int128": 0, "uint256": 0, "uint256[]": []}
    topics = {log(name, *(empty[t] for t in types)).topics[0] for name, types in EVENTS.items()}
    assert topics == protocol.topics


def test_decimals_give_the_rates_of_plain_tokens(state):
    assert state.stored_rates == (10**18, 10**30)


def test_a_quote_says_what_view_and_exchange_give(protocol, state):
    quote = protocol.quote_exact_in(state, BLOCK, A, B, 10**21)
    assert quote == Quote(
        reference.get_dy(NUMBERS, 0, 1, 10**21), reference.exchange(NUMBERS, 0, 1, 10**21)[0]
    )
    asked = protocol.quote_exact_out(state, BLOCK, A, B, 10**9)
    assert asked == Quote(
        reference.get_dx(NUMBERS, 0, 1, 10**9), reference.least_in(NUMBERS, 0, 1, 10**9)
    )
    rate = protocol.marginal_rate(state, BLOCK, A, B, 10**21)
    assert rate == pytest.approx(quote.realised / 10**21, rel=1e-3)


def test_nothing_pays_nothing_where_the_view_says_so(protocol, state):
    # What the rounds leave of a balance decides whether the view answers or reverts.
    assert protocol.quote_exact_in(state, BLOCK, A, B, 0) == Quote(0, 0)
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(replace(state, balances=(10**24, 10**12)), BLOCK, A, B, 0)
    assert refused.value.status is Status.TOO_SMALL


@pytest.mark.parametrize("amount", [-1, 1 << 256])
def test_an_amount_that_no_contract_can_be_given_is_refused(protocol, state, amount):
    for quote in (protocol.quote_exact_in, protocol.quote_exact_out, protocol.marginal_rate):
        with pytest.raises(SwapRefused) as refused:
            quote(state, BLOCK, A, B, amount)
        assert refused.value.status is Status.OVERFLOW


def test_a_moves_with_the_blocks_time(protocol, state):
    ramp = replace(
        state,
        initial_a=1_000,
        initial_a_time=NOW - 500,
        future_a=2_000,
        future_a_time=NOW + 500,
    )
    assert amplification(ramp, NOW + 99) == 1_599
    assert amplification(ramp, NOW + 500) == amplification(ramp, NOW + 10**6) == 2_000
    quote = protocol.quote_exact_in(ramp, QuoteBlock(1, NOW + 99), A, B, 3 * 10**24)
    # The view takes A() * 100.
    assert quote.amount == reference.get_dy(NUMBERS._replace(amp=1_500), 0, 1, 3 * 10**24)
    assert quote.realised == reference.exchange(NUMBERS._replace(amp=1_599), 0, 1, 3 * 10**24)[0]
    assert quote.amount < quote.realised
    with pytest.raises(SwapRefused):
        protocol.quote_exact_in(ramp, QuoteBlock(1, NOW - 501), A, B, 10**21)


def test_a_block_brings_rates_and_balances(protocol, state):
    given = QuoteBlock(1, NOW, {"stored_rates": (11 * 10**17, 10**30)})
    moved = NUMBERS._replace(rates=(11 * 10**17, 10**30))
    assert protocol.quote_exact_in(state, given, A, B, 10**21).amount == reference.get_dy(
        moved, 0, 1, 10**21
    )


@pytest.mark.parametrize(
    ("tokens", "status"),
    [((A, A), Status.SAME_TOKEN), ((A, C), Status.UNKNOWN_TOKEN), ((C, A), Status.UNKNOWN_TOKEN)],
)
def test_tokens_that_cannot_be_swapped_are_refused(protocol, state, tokens, status):
    for quote in (protocol.quote_exact_in, protocol.quote_exact_out, protocol.marginal_rate):
        with pytest.raises(SwapRefused) as refused:
            quote(state, BLOCK, *tokens, 10**18)
        assert refused.value.status is status


def test_an_exchange_moves_both_balances_and_the_admins_share(protocol, state):
    dy, share = reference.exchange(NUMBERS, 0, 1, 10**21)
    assert share > 0
    after = protocol.apply(state, log("TokenExchange", 0, 10**21, 1, dy))
    assert after == replace(state, balances=(8 * 10**24 + 10**21, 9 * 10**12 - dy - share))
    with pytest.raises(MalformedLog, match=f"it pays {dy}"):
        protocol.apply(state, log("TokenExchange", 0, 10**21, 1, dy + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"asset_types": ()},
        {"asset_types": (0, 2)},
        {"initial_a": 10_000, "initial_a_time": NOW, "future_a_time": NOW + 10**6},
    ],
)
def test_what_a_log_cannot_say_is_not_guessed(protocol, state, change):
    pool = replace(state, **change)
    dy, _ = reference.exchange(NUMBERS, 0, 1, 10**21)
    after = protocol.apply(pool, log("TokenExchange", 0, 10**21, 1, dy))
    assert not after.balances_current
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(after, BLOCK, A, B, 10**18)
    assert refused.value.status is Status.BAD_STATE
    known = QuoteBlock(1, NOW, {"balances": pool.balances, "balances_current": True})
    assert protocol.quote_exact_in(after, known, A, B, 10**18).amount > 0


def test_rates_that_moved_since_leave_balances_unknown(protocol, state):
    pool = replace(state, asset_types=(1, 0))
    dy, share = reference.exchange(NUMBERS, 0, 1, 10**21)
    after = protocol.apply(pool, log("TokenExchange", 0, 10**21, 1, dy))
    assert after.balances == (8 * 10**24 + 10**21, 9 * 10**12 - dy - share)
    assert not protocol.apply(pool, log("TokenExchange", 0, 10**21, 1, dy + 5)).balances_current


def test_liquidity_moves_balances_less_half_of_each_fee(protocol, state):
    added = protocol.apply(state, log("AddLiquidity", [100, 200], [11, 20], 5, 17 * 10**24))
    assert added.balances == (8 * 10**24 + 95, 9 * 10**12 + 190)
    assert added.total_supply == 17 * 10**24
    first = protocol.apply(state, log("AddLiquidity", [100, 200], [], 5, 6))
    assert first.balances == (8 * 10**24 + 100, 9 * 10**12 + 200)
    taken = protocol.apply(state, log("RemoveLiquidityImbalance", [100, 200], [11, 20], 5, 6))
    assert taken.balances == (8 * 10**24 - 105, 9 * 10**12 - 210)
    even = protocol.apply(state, log("RemoveLiquidity", [100, 200], [], 6))
    assert even.balances == (8 * 10**24 - 100, 9 * 10**12 - 200)
    dy, share = reference.remove_liquidity_one_coin(NUMBERS, 10**22, 1)
    one = protocol.apply(state, log("RemoveLiquidityOne", 1, 10**22, dy, 6))
    assert one.balances == (8 * 10**24, 9 * 10**12 - dy - share)
    assert one.total_supply == taken.total_supply == even.total_supply == 6


def test_owners_change_a_and_the_fee(protocol, state):
    ramp = protocol.apply(state, log("RampA", 20_000, 30_000, NOW, NOW + 10**6))
    assert (ramp.initial_a, ramp.future_a, ramp.future_a_time) == (20_000, 30_000, NOW + 10**6)
    still = protocol.apply(ramp, log("StopRampA", 25_000, NOW + 5))
    assert (still.ramps, still.future_a) == (False, 25_000)
    fee = protocol.apply(state, log("ApplyNewFee", 77, 10**10))
    assert (fee.fee, fee.offpeg_fee_multiplier) == (77, 10**10)
    with pytest.raises(MalformedLog):
        protocol.apply(state, log("ApplyNewFee", 10**10, 10**10))


@pytest.mark.parametrize(
    "bad",
    [
        log("TokenExchange", 0, 1, 2, 1),
        log("TokenExchange", -1, 1, 0, 1),
        log("RemoveLiquidity", [1], [], 6),
        log("RemoveLiquidity", [10**30, 1], [], 6),
        log("AddLiquidity", [1, 1], [1], 5, 6),
        replace(log("AddLiquidity", [1, 1], [], 5, 6), data="0x" + "ff" * 128),
        replace(log("AddLiquidity", [1, 1], [], 5, 6), data="0x"),
        replace(log("StopRampA", 1, 1), topics=("0x" + "00" * 32,)),
    ],
)
def test_logs_of_another_shape_are_refused(protocol, state, bad):
    with pytest.raises(MalformedLog):
        protocol.apply(state, bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coins": [A]}, "coins: expected 2 to 8"),
        ({"coins": [A, A]}, "coins: expected different"),
        ({"balances": [1]}, "balances: expected 2"),
        ({"balances": [1, -1]}, r"balances\[1\]: expected an unsigned"),
        ({"decimals": [18]}, "stored_rates: expected 2"),
        ({"decimals": []}, "stored_rates: expected 2"),
        ({"decimals": [18, 19]}, "stored_rates: expected 2"),
        ({"stored_rates": [1]}, "stored_rates: expected 2"),
        ({"asset_types": [0]}, "asset_types: expected 2"),
        ({"asset_types": [0, 4]}, "asset_types: expected each"),
        ({"fee": 10**10}, "fee: expected 0 to"),
        ({"offpeg_fee_multiplier": 10**15}, "offpeg_fee_multiplier: expected"),
        ({"future_a": 0}, "future_a: expected at least 1"),
        ({"future_a_time": 5}, "initial_a: expected"),
        ({"initial_a": 5, "initial_a_time": 9, "future_a_time": 5}, "future_a_time: expected"),
        ({"initial_a_time": -1}, "initial_a_time: expected"),
        ({"A": 100}, "there is no such field"),
    ],
)
def test_a_malformed_state_names_its_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(CurveStableNg.State, RAW | change)


def driven(reads, answers):
    """Answer reads by calldata; what is not known is refused."""
    try:
        calls = next(reads)
        while True:
            calls = reads.send([answers.get((call.to, call.data), "no") for call in calls])
    except StopIteration as stop:
        return stop.value


def view(signature, *arguments):
    words = "".join(f"{a:064x}" for a in arguments)
    return "0x" + keccak256(signature.encode())[:4].hex() + words


def answers(**changed):
    numbers = {
        "N_COINS": 2,
        "A_precise": 20_000,
        "fee": 1_000_000,
        "offpeg_fee_multiplier": 2 * 10**10,
        "totalSupply": 16 * 10**24,
        "initial_A": 10_000,
        "future_A": 20_000,
        "initial_A_time": NOW - 10**6,
        "future_A_time": NOW - 10**5,
    } | changed
    given = {(POOL, view(f"{name}()")): (value,) for name, value in numbers.items()}
    given |= {(POOL, view("coins(uint256)", k)): (int(c, 16),) for k, c in enumerate((A, B))}
    given[POOL, view("get_balances()")] = (32, 2, 8 * 10**24, 9 * 10**12)
    given[POOL, view("stored_rates()")] = (32, 2, 10**18, 10**30)
    given[FACTORY, view("get_pool_asset_types(address)", int(POOL, 16))] = (32, 2, 0, 0)
    return given


def test_reads_give_the_state_and_leave_out_a_ramp_that_is_over(protocol, state):
    read = driven(protocol.reads(protocol.Identity(POOL, FACTORY)), answers())
    assert read == replace(state, decimals=(), initial_a=20_000)
    unknown = driven(protocol.reads(protocol.Identity(POOL)), answers(A_precise=19_999))
    assert unknown.ramps
    assert unknown.rates_move
    assert unknown.rebases


@pytest.mark.parametrize(
    "wrong",
    [
        {(POOL, view("N_COINS()")): (9,)},
        {(POOL, view("N_COINS()")): "no"},
        {(POOL, view("fee()")): (1, 2)},
        {(POOL, view("fee()")): (10**12,)},
        {(POOL, view("get_balances()")): (32, 3, 1, 1)},
        {(POOL, view("stored_rates()")): "no"},
        {(POOL, view("coins(uint256)", 1)): (1 << 200,)},
        {(POOL, view("coins(uint256)", 1)): (int(A, 16),)},
    ],
)
def test_answers_of_no_such_pool_are_refused(protocol, wrong):
    with pytest.raises(UnreadablePool):
        driven(protocol.reads(protocol.Identity(POOL, FACTORY)), answers() | wrong)


def test_only_what_moves_is_read_again(protocol, state):
    assert driven(protocol.refresh(state), {}) == {}
    fields = driven(protocol.refresh(replace(state, asset_types=())), answers())
    assert fields.keys() == {"balances", "balances_current", "stored_rates"}
    lost = replace(state, balances_current=False)
    block = QuoteBlock(1, NOW, driven(protocol.refresh(lost), answers()))
    assert protocol.at(lost, block) == state
    ramp = replace(state, initial_a=1, initial_a_time=1, future_a_time=NOW)
    over = driven(protocol.refresh(ramp), answers())
    assert over == {"initial_a": 20_000, "initial_a_time": 0, "future_a_time": 0}
    assert driven(protocol.refresh(ramp), answers(A_precise=19_999)) == {}
    assert over.keys() | fields.keys() <= protocol.volatile
