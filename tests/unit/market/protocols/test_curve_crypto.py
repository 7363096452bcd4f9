"""Crypto pools of two and three coins: their states, events, ramps and reads."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import keccak256
from searcher.kernels.reference import curve_tricrypto as three
from searcher.kernels.reference import curve_twocrypto as two
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market import curve_crypto as family
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

WAD = 10**18
POOL = "0x" + "0f" * 20
MATH = "0x" + "0e" * 20
COINS = ["0x" + digit * 40 for digit in "abc"]
BLOCK = QuoteBlock(19_000_000, 1_700_000_000)
A, GAMMA = 400_000, 145 * 10**12
PACKED = A << 128 | GAMMA
TWO_RAW = {
    "address": POOL,
    "coins": COINS[:2],
    "balances": [str(5_000_000 * WAD), 2_000 * WAD],
    "precisions": [1, 1],
    "price_scale": 2500 * WAD,
    "D": 10_000_000 * WAD,
    "mid_fee": 26_000_000,
    "out_fee": 45_000_000,
    "fee_gamma": 230 * 10**12,
    "A": A,
    "gamma": GAMMA,
}
THREE_RAW = {
    **TWO_RAW,
    "coins": COINS,
    "balances": [6_000_000 * 10**6, 100 * 10**8, 2_400 * WAD],
    "precisions": [10**12, 10**10, 1],
    "price_scale": [60_000 * WAD, 2_500 * WAD],
    "D": 18_000_000 * WAD,
    "A": 1_707_629,
    "gamma": 11_809_167_828_997,
}
CASES = [("curve_twocrypto_ng", TWO_RAW), ("curve_tricrypto_ng", THREE_RAW)]


def made(name):
    kind = PROTOCOLS.load(name)
    return kind(kind.Config())


@pytest.fixture(params=CASES, ids=["two", "three"])
def pool(request):
    """A protocol and a state of one of its pools."""
    name, raw = request.param
    protocol = made(name)
    return protocol, state_from(protocol.State, raw)


@pytest.fixture
def twos():
    protocol = made("curve_twocrypto_ng")
    return protocol, state_from(protocol.State, TWO_RAW)


def event(signature, *values, indexed=0):
    topic = "0x" + keccak256(signature.encode()).hex()
    marks = tuple(f"0x{n:064x}" for n in range(indexed))
    return Log(POOL, (topic, *marks), "0x" + "".join(f"{value:064x}" for value in values))


def exchange(i, dx, j, dy, scale):
    name = "TokenExchange(address,uint256,uint256,uint256,uint256,uint256,uint256)"
    return event(name, i, dx, j, dy, 0, scale, indexed=1)


def packed_scale(state):
    scale = state.price_scale
    return scale[1] << 128 | scale[0] if isinstance(scale, tuple) else scale


# ---- states


def test_what_is_left_out_has_its_default(twos):
    _, state = twos
    assert (state.version, state.math_version, state.is_stale) == ("v2.1.0", None, False)
    assert state.future_A_gamma == state.last_timestamp == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"coins": [COINS[0]] * 2}, "state.coins: expected different tokens"),
        ({"coins": COINS}, "state.coins: expected 2 entries, found 3"),
        ({"precisions": [1, 0]}, "state.precisions: expected more than 0"),
        ({"price_scale": 0}, "state.price_scale: expected more than 0"),
        ({"A": 0}, "state.A: expected A and gamma, or"),
        ({"future_A_gamma": PACKED}, "state.initial_A_gamma: expected together with"),
        (
            {
                "future_A_gamma": PACKED,
                "initial_A_gamma": PACKED,
                "initial_A_gamma_time": 3,
                "future_A_gamma_time": 2,
            },
            "state.future_A_gamma_time: expected at or after",
        ),
        ({"version": "v3.0.0"}, "state.version: 'v3.0.0' is unknown"),
        ({"version": "legacy", "math_version": "v2.1.0"}, "state.math_version: expected 'legacy'"),
        ({"D": -1}, "state.D: expected an unsigned integer"),
        ({"fee_gama": 1}, "state.fee_gama: there is no such field"),
    ],
)
def test_a_malformed_state_names_the_field(twos, fields, message):
    protocol, _ = twos
    with pytest.raises(MalformedState) as caught:
        state_from(protocol.State, {**TWO_RAW, **fields})
    assert str(caught.value).startswith(message)


def test_a_missing_field_is_named(twos):
    protocol, _ = twos
    raw = {name: value for name, value in TWO_RAW.items() if name != "D"}
    with pytest.raises(MalformedState, match=r"state\.D: missing"):
        state_from(protocol.State, raw)


# ---- quotes


def test_a_quote_is_the_references(pool):
    protocol, state = pool
    dx = state.balances[0] // 1000
    quote = protocol.quote_exact_in(state, BLOCK, COINS[0], COINS[1], dx)
    assert quote.amount == quote.realised == expected(state, dx)
    back = protocol.quote_exact_out(state, BLOCK, COINS[0], COINS[1], quote.amount)
    assert back.amount == pytest.approx(dx, rel=1e-6)
    assert back.realised >= back.amount
    paid, less = (
        protocol.quote_exact_in(state, BLOCK, COINS[0], COINS[1], given).amount
        for given in (back.realised, back.realised - 1)
    )
    assert paid >= quote.amount
    assert back.realised == back.amount or less < quote.amount
    rate = protocol.marginal_rate(state, BLOCK, COINS[0], COINS[1], 0)
    assert rate == pytest.approx(quote.amount / dx, rel=1e-2)


@pytest.mark.parametrize(
    ("tokens", "amount", "status"),
    [
        ((COINS[0], COINS[0]), 1, Status.SAME_TOKEN),
        ((COINS[0], POOL), 1, Status.UNKNOWN_TOKEN),
        ((COINS[0], COINS[1]), 0, Status.ZERO_AMOUNT),
        ((COINS[0], COINS[1]), 2**256 - 1, Status.OVERFLOW),
        ((COINS[0], COINS[1]), 2**256, Status.OVERFLOW),
        ((COINS[0], COINS[1]), -1, Status.OVERFLOW),
    ],
)
def test_what_cannot_be_swapped_is_refused_by_name(pool, tokens, amount, status):
    protocol, state = pool
    for quote in (protocol.quote_exact_in, protocol.quote_exact_out):
        with pytest.raises(SwapRefused) as caught:
            quote(state, BLOCK, *tokens, amount)
        assert caught.value.status == status


def test_dust_gives_nothing_or_is_refused_as_the_view_does(pool):
    protocol, state = pool
    high = COINS.index(state.coins[-1])
    assert protocol.quote_exact_in(state, BLOCK, COINS[0], COINS[1], 10**3).amount >= 0
    with pytest.raises(SwapRefused, match="OVERFLOW"):
        # One wei of the dearest coin buys what the maths' own rounding takes away.
        protocol.quote_exact_in(replace(state, D=state.D * 2), BLOCK, COINS[high], COINS[0], 1)


def test_an_unknown_maths_contract_is_not_quoted(twos):
    protocol, state = twos
    state = replace(state, math_version="other")
    with pytest.raises(SwapRefused) as caught:
        protocol.quote_exact_in(state, BLOCK, *COINS[:2], WAD)
    assert caught.value.status == Status.UNMODELLED


def test_the_stableswap_maths_belong_to_the_newest_pools(twos):
    protocol, state = twos
    named = replace(state, version="v2.1.0d", A=20_000_000)
    known = replace(state, math_version="v0.1.0", A=20_000_000)
    quotes = [protocol.quote_exact_in(s, BLOCK, *COINS[:2], WAD) for s in (named, known)]
    assert quotes[0] == quotes[1] != protocol.quote_exact_in(state, BLOCK, *COINS[:2], WAD)


# ---- ramps


def ramping(state, **fields):
    return replace(
        state,
        initial_A_gamma=state.A << 128 | state.gamma,
        initial_A_gamma_time=1000,
        future_A_gamma=(2 * state.A) << 128 | state.gamma // 2,
        future_A_gamma_time=2000,
        **fields,
    )


def test_a_and_gamma_follow_the_time_of_the_block(pool):
    protocol, state = pool
    state = ramping(state)
    early = protocol.at(state, QuoteBlock(1, 1250))
    assert early.A == (state.A * 750 + 2 * state.A * 250) // 1000
    assert early.gamma == (state.gamma * 750 + state.gamma // 2 * 250) // 1000
    late = protocol.at(state, QuoteBlock(1, 2000))
    assert (late.A, late.gamma) == (2 * state.A, state.gamma // 2)


def test_the_invariant_is_computed_anew_while_a_ramp_lasts(pool):
    protocol, state = pool
    state = ramping(replace(state, D=state.D + 10**20))
    assert protocol.at(state, QuoteBlock(1, 2000)).D == state.D
    assert protocol.at(state, QuoteBlock(1, 1999)).D != state.D


def test_before_its_ramp_a_pool_reverts(pool):
    protocol, state = pool
    with pytest.raises(SwapRefused, match="before the ramp"):
        protocol.at(ramping(state), QuoteBlock(1, 999))


def test_the_newest_pools_ramp_until_they_exchange(twos):
    protocol, state = twos
    state = ramping(replace(state, version="v2.1.0d", D=state.D + 10**20), last_timestamp=1999)
    assert protocol.at(state, QuoteBlock(1, 5000)).D != state.D
    assert protocol.at(replace(state, last_timestamp=2000), QuoteBlock(1, 5000)).D == state.D


def test_legacy_pools_ramp_until_they_say_otherwise(pool):
    protocol, state = pool
    state = ramping(replace(state, version="legacy", D=state.D + 10**20))
    assert protocol.at(state, QuoteBlock(1, 5000)).D != state.D
    over = replace(state, future_A_gamma_time=0)
    assert protocol.at(over, QuoteBlock(1, 5000)).D == state.D
    assert protocol.at(over, QuoteBlock(1, 5000)).A == 2 * state.A


# ---- events


def test_topics_are_those_of_the_sources():
    signatures = [
        "TokenExchange(address,uint256,uint256,uint256,uint256,uint256,uint256)",
        "TokenExchange(address,uint256,uint256,uint256,uint256)",
        "RemoveLiquidityOne(address,uint256,uint256,uint256,uint256,uint256)",
        "RemoveLiquidityOne(address,uint256,uint256,uint256)",
        "NewParameters(uint256,uint256,uint256,uint256,uint256,uint256)",
        "NewParameters(uint256,uint256,uint256,uint256,uint256,uint256,uint256)",
        "RampAgamma(uint256,uint256,uint256,uint256,uint256,uint256)",
        "StopRampA(uint256,uint256,uint256)",
        "ClaimAdminFee(address,uint256)",
    ]
    for n, name in ((2, "curve_twocrypto_ng"), (3, "curve_tricrypto_ng")):
        own = [
            f"AddLiquidity(address,uint256[{n}],uint256,uint256,uint256)",
            f"AddLiquidity(address,uint256[{n}],uint256,uint256)",
            f"RemoveLiquidity(address,uint256[{n}],uint256)",
            f"ClaimAdminFee(address,uint256[{n}])",
        ]
        if n == 2:
            own += [
                "RemoveLiquidityImbalance(address,uint256,uint256[2],uint256,uint256)",
                "Donation(address,uint256[2])",
                "SetPeriphery(address,address)",
            ]
        expected_topics = {"0x" + keccak256(s.encode()).hex() for s in signatures + own}
        assert PROTOCOLS.load(name).topics == expected_topics


def test_an_exchange_moves_balances_and_invariant(pool):
    protocol, state = pool
    dx = state.balances[0] // 100
    dy = expected(state, dx)
    after = protocol.apply(state, exchange(0, dx, 1, dy, packed_scale(state)))
    assert after.balances[0] == state.balances[0] + dx
    assert after.balances[1] == state.balances[1] - dy
    assert after.price_scale == state.price_scale
    assert after.D > 0
    assert after.D != state.D
    assert not after.is_stale


def test_an_exchange_that_contradicts_the_state_is_refused(pool):
    protocol, state = pool
    dx = state.balances[0] // 100
    dy = expected(state, dx)
    scale = packed_scale(state)
    with pytest.raises(MalformedLog, match="where the state pays"):
        protocol.apply(state, exchange(0, dx, 1, dy + 1, scale))
    with pytest.raises(MalformedLog, match="an exchange of coin 1 for 1"):
        protocol.apply(state, exchange(1, dx, 1, dy, scale))
    with pytest.raises(MalformedLog, match="an exchange of coin 0 for 3"):
        protocol.apply(state, exchange(0, dx, 3, dy, scale))
    with pytest.raises(MalformedLog, match="the state refuses"):
        protocol.apply(state, exchange(0, 0, 1, 0, scale))
    with pytest.raises(MalformedLog, match="instead of"):
        protocol.apply(state, event("StopRampA(uint256,uint256,uint256)", 1, 2))


def test_whether_a_ramp_lasts_a_log_does_not_say(pool):
    protocol, state = pool
    state = replace(ramping(state), last_timestamp=1500)
    dx = state.balances[0] // 100
    log = exchange(0, dx, 1, 1, packed_scale(state))
    assert protocol.apply(state, log).is_stale
    over = replace(state, last_timestamp=2000)
    dy = expected(protocol.at(over, QuoteBlock(1, 2000)), dx)
    assert not protocol.apply(over, exchange(0, dx, 1, dy, packed_scale(state))).is_stale


def test_fees_and_ramps_are_set_by_their_events(twos):
    protocol, state = twos
    six = "NewParameters(uint256,uint256,uint256,uint256,uint256,uint256)"
    new = protocol.apply(state, event(six, 1, 2, 3, 4, 5, 6))
    assert (new.mid_fee, new.out_fee, new.fee_gamma) == (1, 2, 3)
    seven = "NewParameters(uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
    new = protocol.apply(state, event(seven, 1, 2, 3, 4, 5, 6, 7))
    assert (new.mid_fee, new.out_fee, new.fee_gamma) == (1, 2, 3)
    legacy = replace(state, version="legacy")
    new = protocol.apply(legacy, event(seven, 1, 2, 3, 4, 5, 6, 7))
    assert (new.mid_fee, new.out_fee, new.fee_gamma) == (2, 3, 4)

    ramp = "RampAgamma(uint256,uint256,uint256,uint256,uint256,uint256)"
    ramped = protocol.apply(state, event(ramp, A, 2 * A, GAMMA, GAMMA // 2, 1000, 2000))
    assert protocol.at(ramped, QuoteBlock(1, 1500)).A == (A + 2 * A) // 2
    stopped = protocol.apply(ramped, event("StopRampA(uint256,uint256,uint256)", A, GAMMA, 1500))
    assert protocol.at(stopped, QuoteBlock(1, 1600)).A == A
    with pytest.raises(MalformedLog, match="beyond 128 bits"):
        protocol.apply(state, event(ramp, A, 1 << 128, GAMMA, GAMMA, 1000, 2000))
    moved = protocol.apply(state, event("SetPeriphery(address,address)", 1, 2))
    assert moved.math_version == "other"


def test_what_logs_do_not_tell_leaves_the_state_stale(pool):
    protocol, state = pool
    telling = {family.EXCHANGED, family.NEW_PARAMETERS, family.NEW_PARAMETERS_7}
    telling |= {family.RAMP, family.STOP_RAMP}
    telling |= {"0x" + keccak256(b"SetPeriphery(address,address)").hex()}
    for topic in protocol.topics - telling:
        stale = protocol.apply(state, Log(POOL, (topic,), "0x"))
        with pytest.raises(SwapRefused, match="BAD_STATE") as caught:
            protocol.quote_exact_in(stale, BLOCK, *COINS[:2], WAD)
        assert caught.value.status == Status.BAD_STATE
        log = exchange(0, 1, 1, 1, packed_scale(state))
        assert protocol.apply(stale, log).is_stale
        read = {name: getattr(state, name) for name in ("balances", "price_scale", "D")}
        read["balances"] = list(read["balances"])
        again = QuoteBlock(BLOCK.number, BLOCK.timestamp, read)
        dx = state.balances[0] // 1000
        quote = protocol.quote_exact_in(stale, again, *COINS[:2], dx)
        assert quote == protocol.quote_exact_in(state, BLOCK, *COINS[:2], dx)
    with pytest.raises(MalformedLog, match="not a crypto pool's"):
        protocol.apply(state, Log(POOL, ("0x" + "12" * 32,), "0x"))


# ---- reads


class Contract:
    """Answers views as a pool of a state would, and its MATH."""

    def __init__(self, state, **views):
        scale = state.price_scale
        self.views = {
            "version()": short("v2.1.0" if len(state.coins) == 2 else "v2.0.0"),
            "MATH()": (int(MATH, 16),),
            "precisions()": state.precisions,
            "D()": (state.D,),
            "last_timestamp()": (state.last_timestamp,),
            "last_prices_timestamp()": "no such view",
            "initial_A_gamma()": (PACKED,),
            "future_A_gamma()": (PACKED,),
            "initial_A_gamma_time()": (0,),
            "future_A_gamma_time()": (0,),
            "mid_fee()": (state.mid_fee,),
            "out_fee()": (state.out_fee,),
            "fee_gamma()": (state.fee_gamma,),
        }
        for k, coin in enumerate(state.coins):
            self.views[f"coins(uint256)#{k}"] = (int(coin, 16),)
            self.views[f"balances(uint256)#{k}"] = (state.balances[k],)
        for k, price in enumerate(scale if isinstance(scale, tuple) else ()):
            self.views[f"price_scale(uint256)#{k}"] = (price,)
        if not isinstance(scale, tuple):
            self.views["price_scale()"] = (scale,)
        self.maths = short("v2.1.0")
        self.views |= views

    def answer(self, call):
        if call.to == MATH:
            return self.maths
        for view, words in self.views.items():
            name, _, place = view.partition("#")
            data = "0x" + keccak256(name.encode())[:4].hex()
            if call.data == (data + f"{int(place):064x}" if place else data):
                return words
        return "no such view"

    def carry_out(self, reads):
        try:
            calls = next(reads)
            while True:
                calls = reads.send([self.answer(call) for call in calls])
        except StopIteration as stop:
            return stop.value


def short(text):
    return 32, len(text), int.from_bytes(text.encode().ljust(32, b"\0"), "big")


def test_a_pool_is_read_whole(pool):
    protocol, state = pool
    state = replace(state, last_timestamp=77)
    read = Contract(state).carry_out(protocol.reads(protocol.Identity(POOL)))
    ramps = {"initial_A_gamma": PACKED, "future_A_gamma": PACKED, "A": 0, "gamma": 0}
    if len(state.coins) == 2:
        ramps["math_version"] = "v2.1.0"
    assert read == replace(state, **ramps)
    assert protocol.at(read, BLOCK).A == A


def test_what_moves_is_read_again(pool):
    protocol, state = pool
    values = Contract(replace(state, D=5)).carry_out(protocol.refresh(state))
    assert set(values) == protocol.volatile
    stale = replace(state, is_stale=True)
    assert replace(stale, **values) == replace(state, D=5)


def test_a_second_time_above_the_first_is_left_out(pool):
    protocol, state = pool
    views = {"last_timestamp()": (9 << 128 | 8,)}
    assert Contract(state, **views).carry_out(protocol.refresh(state))["last_timestamp"] == 8
    for nothing in ("no such view", ()):
        views = {"last_timestamp()": nothing, "last_prices_timestamp()": (7,)}
        assert Contract(state, **views).carry_out(protocol.refresh(state))["last_timestamp"] == 7


def test_maths_of_another_version_are_known_as_such(twos):
    protocol, state = twos
    contract = Contract(state)
    for version, named in (("v2.0.0", "v2.0.0"), ("v0.1.0", "v0.1.0"), ("v9.9.9", "other")):
        contract.maths = short(version)
        read = contract.carry_out(protocol.reads(protocol.Identity(POOL)))
        assert read.math_version == named


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"version()": short("v7.0.0")}, "version 'v7.0.0'"),
        ({"version()": "reverted"}, "version: expected a short text"),
        ({"D()": "reverted"}, "D: expected one number"),
        ({"precisions()": (1,)}, "precisions: expected"),
        ({"coins(uint256)#1": (1 << 200,)}, "coins: a word that is not an address"),
        ({"coins(uint256)#1": (int(COINS[0], 16),)}, "coins: expected different tokens"),
    ],
)
def test_what_is_no_such_pool_is_not_read(pool, views, message):
    protocol, state = pool
    with pytest.raises(UnreadablePool, match=message):
        Contract(state, **views).carry_out(protocol.reads(protocol.Identity(POOL)))


def test_a_pool_without_maths_is_not_read(twos):
    protocol, state = twos
    with pytest.raises(UnreadablePool, match="MATH: expected an address"):
        Contract(state, **{"MATH()": "x"}).carry_out(protocol.reads(protocol.Identity(POOL)))


def expected(state, dx):
    """Return what the reference pays of the second coin for `dx` of the first."""
    common = {
        "balances": state.balances,
        "precisions": state.precisions,
        "price_scale": state.price_scale,
        "A": state.A,
        "gamma": state.gamma,
        "D": state.D,
        "mid_fee": state.mid_fee,
        "out_fee": state.out_fee,
        "fee_gamma": state.fee_gamma,
    }
    if len(state.coins) == 2:
        pool = two.TwocryptoPool(maths=two.Maths.V2_1_0, harmonic_fee=False, **common)
        return two.get_dy(pool, 0, dx)
    return three.get_dy(three.TricryptoPool(maths=three.Maths.V2_0_0, **common), 0, 1, dx)
