"""Balancer V2's states, events, reads and refusals; that they are exact, real pools tell."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import keccak256
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.balancer import AmpRamp
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

Weighted, Stable = (PROTOCOLS.load(f"balancer_v2_{name}") for name in ("weighted", "stable"))
A, B, C = ("0x" + digit * 40 for digit in "abc")
POOL, VAULT, OTHER = ("0x" + digit * 40 for digit in "123")
POOL_ID = POOL + "0002" + "0" * 19 + "7"
ONE = 10**18
NOW = QuoteBlock(1, 1_700_000_000)
COMMON = {
    "tokens": [A, B, C],
    "balances": [10**24, 2 * 10**12, "3000000000000"],
    "decimals": [18, 6, 6],
    "swap_fee_percentage": 10**15,
    "pool_id": POOL_ID,
    "vault": VAULT,
}
WEIGHTED = COMMON | {"normalized_weights": [ONE // 2, ONE // 4, ONE // 4]}
STABLE = COMMON | {"amplification_parameter": 200_000}


@pytest.fixture
def weighted():
    return Weighted(Weighted.Config())


@pytest.fixture
def stable():
    return Stable(Stable.Config())


def topic(signature):
    return "0x" + keccak256(signature.encode()).hex()


def indexed(value):
    return f"0x{value[2:]:0>64}" if isinstance(value, str) else f"0x{value:064x}"


def event(address, signature, *topics, types=(), values=()):
    data = "0x" + encode(types, values).hex()
    return Log(address, (topic(signature), *map(indexed, topics)), data)


def swapped(token_in, token_out, *amounts, address=VAULT, pool_id=POOL_ID):
    signature = "Swap(bytes32,address,address,uint256,uint256)"
    types = ("uint256", "uint256")
    return event(address, signature, pool_id, token_in, token_out, types=types, values=amounts)


def changed(tokens, deltas, fees):
    signature = "PoolBalanceChanged(bytes32,address,address[],int256[],uint256[])"
    types = ("address[]", "int256[]", "uint256[]")
    return event(VAULT, signature, POOL_ID, OTHER, types=types, values=(tokens, deltas, fees))


def managed(token, *deltas):
    signature = "PoolBalanceManaged(bytes32,address,address,int256,int256)"
    types = ("int256", "int256")
    return event(VAULT, signature, POOL_ID, OTHER, token, types=types, values=deltas)


BROKEN = [
    ({"tokens": [A]}, "tokens: expected two"),
    ({"tokens": [A, A, C]}, "tokens: expected every token once"),
    ({"balances": [1, 2]}, "balances: expected 3 entries"),
    ({"balances": []}, "balances: expected 3 entries"),
    ({"balances": [2**112, 1, 1]}, r"balances\[0\]: expected a uint112"),
    ({"decimals": [18, 6, 19]}, r"decimals\[2\]: expected 0 to 18"),
    ({"decimals": []}, "decimals: expected them or scaling_factors"),
    ({"scaling_factors": [ONE, ONE, ONE]}, "decimals: expected them or scaling_factors"),
    ({"decimals": [], "scaling_factors": [ONE, 0, ONE]}, r"scaling_factors\[1\]"),
    ({"managed": [10**24 + 1, 0, 0]}, r"managed\[0\]: expected at most"),
    ({"swap_fee_percentage": ONE}, "swap_fee_percentage: expected a share"),
]
BROKEN_WEIGHTED = [
    ({"normalized_weights": [ONE // 2, ONE // 2]}, "normalized_weights: expected 3 entries"),
    ({"normalized_weights": []}, "normalized_weights: expected one entry"),
    ({"normalized_weights": [ONE // 2, ONE // 2, 1]}, r"normalized_weights\[2\]: expected"),
    ({"normalized_weights": [ONE // 4] * 3}, "normalized_weights: expected a sum"),
    ({"pow_version": "v3"}, "pow_version: 'v3' is unknown"),
    ({"weights": [1]}, "weights: there is no such field"),
]
BROKEN_STABLE = [
    ({"amplification_parameter": 200}, "amplification_parameter: expected at least 1000"),
    ({"bpt_index": 3}, "bpt_index: expected -1 to 2"),
    ({"token_rates": [ONE]}, "token_rates: expected 3 entries"),
    ({"token_rates": [ONE, 0, ONE]}, "token_rates: expected no rate of 0"),
    ({"provider_rates": [ONE, 2**128, ONE]}, r"provider_rates\[1\]: expected a rate"),
    ({"rate_expiries": [0, -1, 0]}, r"rate_expiries\[1\]: expected a time"),
    (
        {"decimals": [], "scaling_factors": [ONE] * 3, "token_rates": [ONE] * 3},
        "token_rates: scaling_factors contain",
    ),
    (
        {"amp_ramp": {"start_value": 1, "end_value": 1000, "start_time": 0, "end_time": 1}},
        "amp_ramp.start_value: expected at least 1000",
    ),
    (
        {"amp_ramp": {"start_value": 1000, "end_value": 1000, "start_time": 2, "end_time": 1}},
        "amp_ramp.end_time: expected",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN + BROKEN_WEIGHTED)
def test_a_malformed_weighted_state_says_which_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(Weighted.State, WEIGHTED | change)


@pytest.mark.parametrize(("change", "message"), BROKEN + BROKEN_STABLE)
def test_a_malformed_stable_state_says_which_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(Stable.State, STABLE | change)


def test_two_tokens_beside_the_pools_own_are_the_least():
    two = {"tokens": [A, B], "balances": [1, 1], "decimals": [18, 18], "bpt_index": 0}
    with pytest.raises(MalformedState, match="beside the pool's own"):
        state_from(Stable.State, STABLE | two)


def test_decimals_and_scaling_factors_say_the_same(weighted):
    state = state_from(Weighted.State, WEIGHTED)
    factors = {"decimals": [], "scaling_factors": [ONE, 10**30, 10**30]}
    other = state_from(Weighted.State, WEIGHTED | factors)
    for quote in (weighted.quote_exact_in, weighted.quote_exact_out):
        assert quote(state, NOW, A, B, 10**9) == quote(other, NOW, A, B, 10**9)
    assert weighted.marginal_rate(state, NOW, A, B, 0) == pytest.approx(4e-12 * 0.999, rel=1e-9)


@pytest.mark.parametrize(
    ("amount", "change", "status"),
    [
        (0, {}, Status.ZERO_AMOUNT),
        (-1, {}, Status.ZERO_AMOUNT),
        (2**256, {}, Status.OVERFLOW),
        (4 * 10**23, {}, Status.RATIO_LIMIT),
        (1, {"paused": True}, Status.PAUSED),
        (1, {"vault_paused": True}, Status.PAUSED),
        (10**22, {"managed": (0, 2 * 10**12, 0)}, Status.INSUFFICIENT_LIQUIDITY),
    ],
)
def test_refusals_by_name(weighted, amount, change, status):
    state = replace(state_from(Weighted.State, WEIGHTED), **change)
    with pytest.raises(SwapRefused) as refused:
        weighted.quote_exact_in(state, NOW, A, B, amount)
    assert refused.value.status is status


def test_an_unknown_token_and_the_same_twice(weighted):
    state = state_from(Weighted.State, WEIGHTED)
    for pair, status in (((A, OTHER), Status.UNKNOWN_TOKEN), ((A, A), Status.SAME_TOKEN)):
        with pytest.raises(SwapRefused) as refused:
            weighted.quote_exact_in(state, NOW, *pair, 1)
        assert refused.value.status is status


def test_the_vaults_events_move_balances(weighted):
    state = state_from(Weighted.State, WEIGHTED)
    state = weighted.apply(state, swapped(A, B, 7, 5))
    assert state.balances == (10**24 + 7, 2 * 10**12 - 5, 3 * 10**12)
    state = weighted.apply(state, changed([A, B, C], [100, -10, 0], [3, 1, 2]))
    assert state.balances == (10**24 + 104, 2 * 10**12 - 16, 3 * 10**12 - 2)
    state = weighted.apply(state, managed(C, -500, 510))
    assert state.balances[2] == 3 * 10**12 + 8
    assert state.managed == (0, 0, 510)


@pytest.mark.parametrize(
    "log",
    [
        swapped(A, OTHER, 1, 1),
        swapped(A, B, 1, 2 * 10**12 + 1),
        swapped(A, B, 2**112, 1),
        swapped(A, B, 1, 1, address=OTHER),
        swapped(A, B, 1, 1, pool_id="0x" + "9" * 64),
        changed([A, B], [1], [1]),
        changed([A, B, C], [-(2**200), 0, 0], [0, 0, 0]),
        managed(A, 0, -1),
        event(OTHER, "SwapFeePercentageChanged(uint256)", types=("uint256",), values=(1,)),
        event(POOL, "SwapFeePercentageChanged(uint256)", types=("uint256",), values=(ONE,)),
        event(POOL, "Nothing()"),
        Log(VAULT, (topic("Swap(bytes32,address,address,uint256,uint256)"), POOL_ID), "0x"),
        Log(VAULT, (changed([A], [1], [1]).topics[0], POOL_ID, indexed(OTHER)), "0x" + "f" * 64),
        Log(VAULT, (changed([A], [1], [1]).topics[0], POOL_ID, indexed(OTHER)), "0x" + "g" * 64),
        Log(VAULT, (changed([A], [1], [1]).topics[0], POOL_ID, indexed(OTHER)), "0x12"),
    ],
)
def test_an_impossible_event_is_refused(weighted, log):
    with pytest.raises(MalformedLog):
        weighted.apply(state_from(Weighted.State, WEIGHTED), log)


def test_pauses_are_the_pools_or_the_vaults(stable):
    state = state_from(Stable.State, STABLE)
    for whose, name in ((POOL, "paused"), (VAULT, "vault_paused")):
        for paused in (True, False):
            log = event(whose, "PausedStateChanged(bool)", types=("bool",), values=(paused,))
            state = stable.apply(state, log)
            assert getattr(state, name) is paused


def test_an_amplification_follows_its_ramp(stable):
    state = state_from(Stable.State, STABLE)
    values = (200_000, 400_000, NOW.timestamp, NOW.timestamp + 100)
    signature = "AmpUpdateStarted(uint256,uint256,uint256,uint256)"
    started = stable.apply(state, event(POOL, signature, types=("uint256",) * 4, values=values))
    assert started.amp_ramp == AmpRamp(*values)
    middle = QuoteBlock(1, NOW.timestamp + 50)
    fixed = replace(state, amplification_parameter=300_000)
    assert stable.quote_exact_in(started, middle, A, B, ONE) == stable.quote_exact_in(
        fixed, NOW, A, B, ONE
    )
    log = event(POOL, "AmpUpdateStopped(uint256)", types=("uint256",), values=(300_000,))
    assert stable.apply(started, log) == fixed
    # A value read again counts where no ramp is known.
    read = QuoteBlock(1, 1, {"amplification_parameter": 300_000})
    assert stable.quote_exact_in(state, read, A, B, ONE) == stable.quote_exact_in(
        fixed, NOW, A, B, ONE
    )


@pytest.mark.parametrize(
    ("signature", "which"),
    [
        ("TokenRateCacheUpdated(uint256,uint256)", 1),
        ("TokenRateCacheUpdated(address,uint256)", B),
        ("PriceRateCacheUpdated(address,uint256)", B),
    ],
)
def test_a_cached_rate_is_taken_from_its_event(stable, signature, which):
    state = state_from(Stable.State, STABLE)
    after = stable.apply(
        state, event(POOL, signature, which, types=("uint256",), values=(2 * ONE,))
    )
    assert after.token_rates == (ONE, 2 * ONE, ONE)
    halved = stable.quote_exact_in(after, NOW, A, B, 10**21).amount
    assert halved == pytest.approx(
        stable.quote_exact_in(state, NOW, A, B, 10**21).amount / 2, rel=0.1
    )
    for wrong in (OTHER if isinstance(which, str) else 3,):
        with pytest.raises(MalformedLog):
            stable.apply(state, event(POOL, signature, wrong, types=("uint256",), values=(ONE,)))
    with pytest.raises(MalformedLog):
        stable.apply(state, event(POOL, signature, which, types=("uint256",), values=(0,)))
    factors = replace(state, decimals=(), scaling_factors=(ONE, 10**30, 10**30))
    with pytest.raises(MalformedLog, match="decimals"):
        stable.apply(factors, event(POOL, signature, which, types=("uint256",), values=(ONE,)))


def test_rates_expire_and_scaling_factors_are_read_again(stable):
    cached = {"token_rates": [ONE, ONE, ONE], "provider_rates": [ONE, 2 * ONE, 0]}
    state = state_from(
        Stable.State, STABLE | cached | {"rate_expiries": [0, NOW.timestamp, NOW.timestamp]}
    )
    later = QuoteBlock(1, NOW.timestamp + 1)
    before = stable.quote_exact_in(state, NOW, A, B, 10**21)
    with pytest.raises(SwapRefused, match="expired"):
        stable.quote_exact_in(state, later, A, B, 10**21)
    known = replace(state, provider_rates=(ONE, 2 * ONE, ONE))
    assert stable.quote_exact_in(known, later, A, B, 10**21).amount < before.amount
    factors = replace(
        state_from(Stable.State, STABLE), decimals=(), scaling_factors=(ONE, 10**30, 10**30)
    )
    assert stable.quote_exact_in(factors, NOW, A, B, 10**21) == before
    moved = QuoteBlock(1, 1, {"scaling_factors": (ONE, 2 * 10**30, 10**30)})
    assert stable.quote_exact_in(factors, moved, A, B, 10**21).amount < before.amount


def test_the_pools_own_token_is_not_quoted(stable):
    state = state_from(Stable.State, STABLE | {"bpt_index": 1})
    with pytest.raises(SwapRefused) as refused:
        stable.quote_exact_in(state, NOW, A, B, 10**9)
    assert refused.value.status is Status.UNMODELLED
    assert stable.quote_exact_in(state, NOW, A, C, 10**21).amount > 0


def read(protocol, answers):
    """Carry out the reads of a pool with canned answers, one list a round."""
    reads = protocol.reads(protocol.Identity(POOL_ID, VAULT))
    next(reads)
    for batch in answers:
        try:
            reads.send(batch)
        except StopIteration as stop:
            return stop.value
    raise AssertionError("more is asked")


def words(*values):
    return tuple(values)


HELD = words(0x60, 0xC0, 0, 2, int(A, 16), int(B, 16), 2, 5 * ONE, 6 * ONE)
FIRST = [HELD, words(10**15), words(0, 9, 9), words(1, 9, 9)]
PARTS = [words(ONE, 4 * ONE, 1, 0), words(18), words(6 * ONE, 0, 1, 0), words(6)]


def test_reads_of_a_weighted_pool(weighted):
    weights = words(0x20, 2, ONE // 2, ONE // 2)
    state = read(weighted, [[*FIRST, weights, "it reverted"], PARTS])
    assert state.tokens == (A, B)
    assert (state.balances, state.managed) == ((5 * ONE, 6 * ONE), (4 * ONE, 0))
    assert (state.decimals, state.pow_version.value) == ((18, 6), "v1")
    assert (state.paused, state.vault_paused) == (False, True)
    assert (state.pool_id, state.vault) == (POOL_ID, VAULT)
    newer = read(weighted, [[*FIRST, weights, words(0x20, 2, ONE, 10**30)], PARTS])
    assert newer == replace(state, pow_version=type(state.pow_version).V2)


@pytest.mark.parametrize(
    "answers",
    [
        [["no", *FIRST[1:], words(0x20, 0), words(1)]],
        [[words(0x21, 0x20, 0), *FIRST[1:], words(0x20, 0), words(1)]],
        [[words(0x60, 0x60, 0, 9), *FIRST[1:], words(0x20, 0), words(1)]],
        [[words(0x60, 0xA0, 0, 1, 2**200, 1, 5), *FIRST[1:], words(0x20, 0), words(1)]],
        [[*FIRST, words(0x20, 2, ONE // 2, ONE // 2), words(1)], [*PARTS[:3], "no"]],
        [[*FIRST, words(0x20, 2, ONE // 2, ONE), words(1)], PARTS],
        [[*FIRST, "no", words(1)], PARTS],
    ],
)
def test_answers_of_something_else_are_refused(weighted, answers):
    with pytest.raises(UnreadablePool):
        read(weighted, answers)


def test_reads_of_a_stable_pool_with_rates(stable):
    own = [words(200_000, 0, 1000), "it reverted", words(0)]
    providers = words(0x20, 2, 0, int(OTHER, 16))
    caches = [words(ONE + 5, ONE, 60, 77), "it reverted", words(ONE + 9)]
    state = read(stable, [[*FIRST, *own], PARTS, [providers], caches])
    assert state.token_rates == (ONE, ONE + 5)
    assert state.provider_rates == (ONE, ONE + 9)
    assert state.rate_expiries == (0, 77)
    assert (state.bpt_index, state.invariant_version.value) == (-1, "v2")
    silent = ["it reverted", words(ONE + 5, 60, 77), "it reverted"]
    state = read(stable, [[*FIRST, own[0], "no", "no"], PARTS, [providers], silent])
    assert (state.provider_rates, state.rate_expiries) == ((ONE, 0), (0, 77))
    assert state.invariant_version.value == "v1"


def test_a_refresh_needs_to_know_the_pool(stable):
    state = state_from(Stable.State, STABLE | {"pool_id": None})
    with pytest.raises(UnreadablePool, match="pool_id"):
        next(stable.refresh(state))
    factors = {"decimals": [], "scaling_factors": [ONE, 10**30, 10**30]}
    reads = stable.refresh(state_from(Stable.State, STABLE | factors))
    assert len(next(reads)) == 2
    with pytest.raises(StopIteration) as stop:
        reads.send([words(300_000, 1, 1000), words(0x20, 3, ONE, 10**30, 2 * 10**30)])
    assert stop.value.value == {
        "amplification_parameter": 300_000,
        "scaling_factors": (ONE, 10**30, 2 * 10**30),
    }
