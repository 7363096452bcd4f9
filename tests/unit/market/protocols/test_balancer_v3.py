"""Balancer V3's states, events, reads and refusals; that they are exact, its own code tells."""

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

Weighted, Stable = (PROTOCOLS.load(f"balancer_v3_{name}") for name in ("weighted", "stable"))
A, B = ("0x" + digit * 40 for digit in "ab")
POOL, VAULT, OTHER = ("0x" + digit * 40 for digit in "123")
ONE = 10**18
NOW = QuoteBlock(1, 1_700_000_000)
COMMON = {
    "tokens": [A, B],
    "balances_raw": [10**24, 2 * 10**12],
    "decimals": [18, 6],
    "static_swap_fee_percentage": 10**15,
    "aggregate_swap_fee_percentage": ONE // 2,
    "pool": POOL,
    "vault": VAULT,
}
WEIGHTED = COMMON | {"normalized_weights": [ONE // 2, ONE // 2]}
STABLE = COMMON | {"amplification_parameter": 200_000}


@pytest.fixture
def weighted():
    return Weighted(Weighted.Config())


@pytest.fixture
def stable():
    return Stable(Stable.Config())


@pytest.fixture
def state():
    return state_from(Weighted.State, WEIGHTED)


def indexed(value):
    return f"0x{value[2:]:0>64}" if isinstance(value, str) else f"0x{value:064x}"


def event(address, signature, *topics, types=(), values=()):
    first = "0x" + keccak256(signature.encode()).hex()
    return Log(address, (first, *map(indexed, topics)), "0x" + encode(types, values).hex())


def swapped(token_in, token_out, *values, address=VAULT, pool=POOL):
    signature = "Swap(address,address,address,uint256,uint256,uint256,uint256)"
    types = ("uint256",) * 4
    return event(address, signature, pool, token_in, token_out, types=types, values=values)


def resized(name, amounts, fees):
    signature = f"Liquidity{name}(address,address,uint8,uint256,uint256[],uint256[])"
    types = ("uint256", "uint256[]", "uint256[]")
    return event(VAULT, signature, POOL, OTHER, 1, types=types, values=(9, amounts, fees))


BROKEN = [
    ({"tokens": [A]}, "tokens: expected two"),
    ({"balances_raw": [1]}, "balances_raw: expected 2 entries"),
    ({"balances_raw": []}, "balances_raw: expected 2 entries"),
    ({"balances_raw": [2**128, 1]}, r"balances_raw\[0\]: expected a uint128"),
    ({"decimals": []}, "decimals: expected them or decimal_scaling_factors"),
    ({"decimals": [], "decimal_scaling_factors": [1, 0]}, r"decimal_scaling_factors\[1\]"),
    ({"decimals": [], "decimal_scaling_factors": [1, 2 * ONE]}, r"decimal_scaling_factors\[1\]"),
    ({"token_rates": [ONE, 0]}, "token_rates: expected no rate of 0"),
    ({"static_swap_fee_percentage": ONE}, "static_swap_fee_percentage: expected a share"),
    ({"aggregate_yield_fee_percentage": ONE + 1}, "aggregate_yield_fee_percentage: expected"),
    ({"pays_yield_fees": [True, False]}, "last_balances_live_scaled18: missing"),
]
BROKEN_WEIGHTED = [
    ({"normalized_weights": []}, "normalized_weights: expected one entry"),
    ({"normalized_weights": [ONE // 2, ONE // 4]}, "normalized_weights: expected a sum"),
    ({"min_token_balances": [1]}, "min_token_balances: expected 2 entries"),
]
BROKEN_STABLE = [({"amplification_parameter": 200}, "amplification_parameter: expected")]


@pytest.mark.parametrize(("change", "message"), BROKEN + BROKEN_WEIGHTED)
def test_a_malformed_weighted_state_says_which_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(Weighted.State, WEIGHTED | change)


@pytest.mark.parametrize(("change", "message"), BROKEN + BROKEN_STABLE)
def test_a_malformed_stable_state_says_which_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(Stable.State, STABLE | change)


@pytest.mark.parametrize(("kind", "most"), [(Weighted, 8), (Stable, 5)])
def test_a_pool_has_a_most_of_tokens(kind, most):
    count = most + 1
    many = {
        "tokens": [f"0x{n:040x}" for n in range(count)],
        "balances_raw": [1] * count,
        "decimals": [18] * count,
        "normalized_weights": [ONE // count] * count,
    }
    raw = (WEIGHTED if kind is Weighted else STABLE) | many
    if kind is Stable:
        del raw["normalized_weights"]
    with pytest.raises(MalformedState, match=f"tokens: expected 2 to {most}"):
        state_from(kind.State, raw)


@pytest.mark.parametrize(
    ("amount", "change", "status"),
    [
        (0, {}, Status.ZERO_AMOUNT),
        (10**5, {}, Status.TOO_SMALL),
        (4 * 10**23, {}, Status.RATIO_LIMIT),
        (10**21, {"is_pool_initialized": False}, Status.EMPTY_POOL),
        (10**21, {"is_pool_paused": True}, Status.PAUSED),
        (10**21, {"is_vault_paused": True}, Status.PAUSED),
        (10**21, {"should_call_before_swap": True}, Status.UNMODELLED),
        (10**21, {"should_call_compute_dynamic_swap_fee": True}, Status.UNMODELLED),
        (10**21, {"min_token_balances": (ONE, 3 * 10**24)}, Status.UNSAFE_VALUES),
    ],
)
def test_refusals_by_name(weighted, state, amount, change, status):
    with pytest.raises(SwapRefused) as refused:
        weighted.quote_exact_in(replace(state, **change), NOW, A, B, amount)
    assert refused.value.status is status


def test_rates_of_the_block_move_the_live_balances(weighted, state):
    plain = weighted.quote_exact_in(state, NOW, A, B, 10**21).amount
    doubled = QuoteBlock(1, 1, {"token_rates": (2 * ONE, ONE)})
    # Twice the worth of what is there and of what comes: the share stays the same.
    assert weighted.quote_exact_in(state, doubled, A, B, 10**21).amount == pytest.approx(plain)
    paying = replace(
        state,
        aggregate_yield_fee_percentage=ONE // 10,
        pays_yield_fees=(True, False),
        last_balances_live_scaled18=(10**24, 2 * 10**24),
    )
    assert weighted.quote_exact_in(paying, NOW, A, B, 10**21).amount == plain
    # A tenth of the yield leaves before the swap: there is less of the token, it pays more.
    assert weighted.quote_exact_in(paying, doubled, A, B, 10**21).amount > plain
    calm = replace(paying, is_pool_in_recovery_mode=True)
    assert weighted.quote_exact_in(calm, doubled, A, B, 10**21).amount == pytest.approx(plain)


def test_the_vaults_events_move_balances(weighted, state):
    state = weighted.apply(state, swapped(A, B, 1000, 5, 10**15, 101))
    assert state.balances_raw == (10**24 + 950, 2 * 10**12 - 5)
    state = weighted.apply(state, resized("Added", [100, 10], [7, 0]))
    assert state.balances_raw == (10**24 + 1047, 2 * 10**12 + 5)
    state = weighted.apply(state, resized("Removed", [47, 5], [10, 2]))
    assert state.balances_raw == (10**24 + 995, 2 * 10**12 - 1)
    calm = replace(state, is_pool_in_recovery_mode=True)
    calm = weighted.apply(calm, swapped(A, B, 1000, 0, 10**15, 101))
    assert calm.balances_raw[0] == 10**24 + 1995


@pytest.mark.parametrize(
    ("signature", "value", "name", "expected"),
    [
        (
            "SwapFeePercentageChanged(address,uint256)",
            10**15 + 1,
            "static_swap_fee_percentage",
            10**15,
        ),
        (
            "AggregateSwapFeePercentageChanged(address,uint256)",
            ONE,
            "aggregate_swap_fee_percentage",
            ONE,
        ),
        (
            "AggregateYieldFeePercentageChanged(address,uint256)",
            0,
            "aggregate_yield_fee_percentage",
            0,
        ),
        ("PoolPausedStateChanged(address,bool)", 1, "is_pool_paused", True),
        ("PoolRecoveryModeStateChanged(address,bool)", 1, "is_pool_in_recovery_mode", True),
    ],
)
def test_what_the_vault_says_of_the_pool(state, signature, value, name, expected):
    log = event(VAULT, signature, POOL, types=("uint256",), values=(value,))
    assert getattr(Weighted(Weighted.Config()).apply(state, log), name) == expected


def test_the_vault_pauses_all_its_pools(weighted, state):
    log = event(VAULT, "VaultPausedStateChanged(bool)", types=("bool",), values=(True,))
    assert weighted.apply(state, log).is_vault_paused


@pytest.mark.parametrize(
    "log",
    [
        swapped(A, OTHER, 1, 1, 1, 1),
        swapped(A, B, 1, 2 * 10**12 + 1, 1, 1),
        swapped(A, B, 2**128, 1, 1, 1),
        swapped(A, B, 1, 1, 1, 1, address=OTHER),
        swapped(A, B, 1, 1, 1, 1, pool=OTHER),
        resized("Added", [1], [1, 2]),
        resized("Removed", [2**200, 0], [0, 0]),
        event(
            VAULT,
            "SwapFeePercentageChanged(address,uint256)",
            POOL,
            types=("uint256",),
            values=(2 * ONE,),
        ),
        event(OTHER, "AmpUpdateStopped(uint256)", types=("uint256",), values=(1000,)),
        event(POOL, "Nothing()"),
    ],
)
def test_an_impossible_event_is_refused(weighted, stable, state, log):
    for protocol, of in ((weighted, state), (stable, state_from(Stable.State, STABLE))):
        with pytest.raises(MalformedLog):
            protocol.apply(of, log)


def test_an_amplification_follows_its_ramp(stable):
    state = state_from(Stable.State, STABLE)
    values = (200_000, 400_000, NOW.timestamp, NOW.timestamp + 100)
    signature = "AmpUpdateStarted(uint256,uint256,uint256,uint256)"
    started = stable.apply(state, event(POOL, signature, types=("uint256",) * 4, values=values))
    assert started.amp_ramp == AmpRamp(*values)
    fixed = replace(state, amplification_parameter=300_000)
    middle = QuoteBlock(1, NOW.timestamp + 50)
    want = stable.quote_exact_out(fixed, NOW, A, B, 10**9)
    assert stable.quote_exact_out(started, middle, A, B, 10**9) == want
    log = event(POOL, "AmpUpdateStopped(uint256)", types=("uint256",), values=(300_000,))
    assert stable.apply(started, log) == fixed
    with pytest.raises(MalformedLog, match="impossible"):
        stable.apply(state, event(POOL, signature, types=("uint256",) * 4, values=(1, 1, 1, 1)))
    with pytest.raises(SwapRefused) as refused:
        stable.quote_exact_in(started, QuoteBlock(1, 1), A, B, 10**21)
    assert refused.value.status is Status.BAD_STATE


HELD = (
    *(0x80, 0xE0, 0x1C0, 0x220),
    *(2, int(A, 16), int(B, 16)),
    *(2, 0, 0, 0, 1, int(OTHER, 16), 1),
    *(2, 5 * ONE, 6 * 10**6),
    *(2, 5 * ONE, 7 * ONE),
)
RATES = (0x40, 0xA0, 2, 1, 10**12, 2, ONE, ONE + 3)
CONFIG = (0, 0, 0, 0, 10**15, ONE // 2, ONE // 10, 0, 0, 1, 1, 0, 1)
HOOKS = (0,) * 11
FIRST = [HELD, RATES, CONFIG, HOOKS, (0,), (10**6,)]


def read(protocol, answers):
    reads = protocol.reads(protocol.Identity(POOL, VAULT))
    next(reads)
    with pytest.raises(StopIteration) as stop:
        reads.send(answers)
    return stop.value.value


def test_reads_of_a_weighted_pool(weighted):
    weights = (0x20, 2, ONE // 2, ONE // 2)
    state = read(weighted, [*FIRST, weights, "it reverted"])
    assert (state.tokens, state.balances_raw) == ((A, B), (5 * ONE, 6 * 10**6))
    assert (state.decimal_scaling_factors, state.token_rates) == ((1, 10**12), (ONE, ONE + 3))
    assert (state.pays_yield_fees, state.last_balances_live_scaled18[1]) == ((False, True), 7 * ONE)
    assert state.static_swap_fee_percentage == 10**15
    assert state.is_pool_initialized
    assert state.is_pool_in_recovery_mode
    assert not state.is_pool_paused
    assert not state.is_vault_paused
    floored = read(weighted, [*FIRST, weights, (0x20, 2, 10**6, 10**12)])
    assert floored == replace(state, min_token_balances=(10**6, 10**12))
    hooks = (0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 5)
    hooked = read(weighted, [*FIRST[:3], hooks, *FIRST[4:], weights, "it reverted"])
    assert hooked.should_call_before_swap
    assert hooked.should_call_after_swap
    assert hooked.should_call_compute_dynamic_swap_fee


def test_reads_of_a_stable_pool(stable):
    state = read(stable, [*FIRST, (1000, 2000, 5, 9, 1000), (3 * ONE,)])
    assert state.amp_ramp == AmpRamp(1000, 2000, 5, 9)
    assert not state.limits_imbalance
    assert read(stable, [*FIRST, (1000, 2000, 5, 9, 1000), "reverted"]).limits_imbalance


@pytest.mark.parametrize("place", range(7))
def test_answers_of_something_else_are_refused(weighted, place):
    weights = (0x20, 2, ONE // 2, ONE // 2)
    for wrong in ("it reverted", (), (0x21, 0x21, 0x21, 0x21), (0x20, 5)):
        answers = [*FIRST, weights, "it reverted"]
        if place in (4, 5) and wrong:
            continue  # one word is what these answer
        answers[place] = wrong
        reads = weighted.reads(weighted.Identity(POOL, VAULT))
        next(reads)
        with pytest.raises(UnreadablePool):
            reads.send(answers)


def test_a_refresh_reads_what_moves_without_events(weighted, state):
    reads = weighted.refresh(state)
    assert len(next(reads)) == 2
    with pytest.raises(StopIteration) as stop:
        reads.send([HELD, RATES])
    assert stop.value.value == {
        "balances_raw": (5 * ONE, 6 * 10**6),
        "last_balances_live_scaled18": (5 * ONE, 7 * ONE),
        "token_rates": (ONE, ONE + 3),
    }
    assert stop.value.value.keys() == weighted.volatile
    with pytest.raises(UnreadablePool, match="pool and vault"):
        next(weighted.refresh(replace(state, pool=None)))
