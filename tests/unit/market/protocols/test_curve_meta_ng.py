"""StableSwap-NG metapools: their state, their events, their base pools of either age."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import keccak256
from searcher.kernels.reference import curve_meta as legacy
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, Quote, QuoteBlock, UnreadablePool
from searcher.market.stableswap import numbers
from searcher.market.stableswap_reads import StableIdentity
from searcher.market.state import MalformedState, state_from

CurveMetaNg = PROTOCOLS.load("curve_meta_ng")
META, BASE = "0x" + "0e" * 20, "0x" + "0f" * 20
OWN, A, B, OTHER = ("0x" + digit * 40 for digit in "abcd")
BLOCK = QuoteBlock(1, 1_700_000_000)
WHO = "0x" + "01".rjust(64, "0")
POOL = {
    "address": BASE,
    "coins": [A, B],
    "balances": [8 * 10**24, 9 * 10**12],
    "decimals": [18, 6],
    "future_a": 20_000,
    "fee": 1_000_000,
    "offpeg_fee_multiplier": 2 * 10**10,
    "total_supply": 168 * 10**23,
    "asset_types": [0, 0],
}
OLD = {k: v for k, v in POOL.items() if k not in ("asset_types", "offpeg_fee_multiplier")}
RAW = {
    "address": META,
    "coins": [OWN, BASE],
    "balances": [10**12, 10**24],
    "stored_rates": [10**30, 10**18],
    "future_a": 50_000,
    "fee": 4_000_000,
    "offpeg_fee_multiplier": 2 * 10**10,
    "total_supply": 2 * 10**24,
    "asset_types": [0, 0],
    "base_pool": POOL,
}
BASE_NUMBERS = reference.NgPool(
    (8 * 10**24, 9 * 10**12), (10**18, 10**30), 20_000, 1_000_000, 2 * 10**10, 168 * 10**23
)


@pytest.fixture
def protocol():
    return CurveMetaNg(CurveMetaNg.Config())


@pytest.fixture
def state():
    return state_from(CurveMetaNg.State, RAW)


@pytest.fixture
def old():
    raw = {k: v for k, v in RAW.items() if k != "base_pool"}
    return state_from(CurveMetaNg.State, raw | {"legacy_base_pool": OLD})


def meta_numbers(price):
    return reference.NgPool(
        (10**12, 10**24), (10**30, price), 50_000, 4_000_000, 2 * 10**10, 2 * 10**24
    )


def event(address, signature, types, *values):
    topics = ("0x" + keccak256(signature.encode()).hex(), WHO)
    return Log(address, topics, "0x" + encode(types, values).hex())


def exchanged(address, i, dx, j, dy, *, name="TokenExchange"):
    types = ("int128", "uint256", "int128", "uint256")
    return event(address, f"{name}(address,{','.join(types)})", types, i, dx, j, dy)


def test_the_base_pools_price_is_computed_not_taken(protocol, state):
    price = reference.virtual_price(BASE_NUMBERS)
    assert price != 10**18
    meta = meta_numbers(price)
    assert protocol.quote_exact_in(state, BLOCK, OWN, BASE, 10**9) == Quote(
        reference.get_dy(meta, 0, 1, 10**9), reference.exchange(meta, 0, 1, 10**9)[0]
    )
    assert protocol.quote_exact_out(state, BLOCK, BASE, OWN, 10**9) == Quote(
        reference.get_dx(meta, 1, 0, 10**9), reference.least_in(meta, 1, 0, 10**9)
    )


def test_without_its_base_pool_only_the_two_coins_are_quoted(protocol, state):
    alone = replace(state, base_pool=None)
    meta = meta_numbers(10**18)
    quote = protocol.quote_exact_in(alone, BLOCK, OWN, BASE, 10**9)
    assert quote.amount == reference.get_dy(meta, 0, 1, 10**9)
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(alone, BLOCK, OWN, A, 10**9)
    assert refused.value.status is Status.UNKNOWN_TOKEN


def test_an_older_base_pool_deposits_and_pays_by_its_own_rules(protocol, old):
    base = numbers(old.legacy_base_pool, BLOCK)
    meta = meta_numbers(legacy.virtual_price(base))
    view = reference.NgPool(base.balances, base.rates, base.amp, base.fee, 0, base.supply)
    dx = 10**21
    estimate = reference.calc_token_amount(view, (dx, 0), deposit=True)
    minted = legacy.add_liquidity(base, (dx, 0))[0]
    assert protocol.quote_exact_in(old, BLOCK, A, OWN, dx) == Quote(
        reference.get_dy(meta, 1, 0, estimate), reference.exchange(meta, 1, 0, minted)[0]
    )
    tokens = reference.exchange(meta, 0, 1, 10**9)[0]
    paid = legacy.withdraw_one(base, 1, tokens)[0]
    assert protocol.quote_exact_in(old, BLOCK, OWN, B, 10**9) == Quote(paid, paid)
    burnt = reference.calc_token_amount(view, (0, 10**9), deposit=False)
    asked = protocol.quote_exact_out(old, BLOCK, OWN, B, 10**9)
    assert asked.amount == reference.get_dx(meta, 0, 1, burnt)
    assert protocol.quote_exact_in(old, BLOCK, OWN, B, asked.realised).realised >= 10**9
    assert protocol.quote_exact_in(old, BLOCK, OWN, B, asked.realised - 1).realised < 10**9
    swap = protocol.quote_exact_in(old, BLOCK, A, B, dx)
    assert 0 < swap.amount == swap.realised


@pytest.mark.parametrize("which", ["state", "old"])
def test_slopes_through_the_base_pool_are_those_of_the_quotes(protocol, request, which):
    pool = request.getfixturevalue(which)
    for token_in, token_out, amount in ((A, OWN, 10**22), (OWN, B, 10**10), (A, B, 10**22)):
        rate = protocol.marginal_rate(pool, BLOCK, token_in, token_out, amount)
        low, high = (
            protocol.quote_exact_in(pool, BLOCK, token_in, token_out, x).realised
            for x in (amount * 99 // 100, amount * 101 // 100)
        )
        assert rate == pytest.approx((high - low) / (amount / 50), rel=1e-3)
        assert protocol.marginal_rate(pool, BLOCK, token_in, token_out, 0) >= rate


def test_tokens_that_cannot_be_swapped_here_are_refused(protocol, state):
    for tokens in ((OWN, OTHER), (BASE, A), (B, BASE)):
        with pytest.raises(SwapRefused) as refused:
            protocol.quote_exact_in(state, BLOCK, *tokens, 10**18)
        assert refused.value.status is Status.UNKNOWN_TOKEN
    with pytest.raises(SwapRefused, match="swap them there"):
        protocol.quote_exact_out(state, BLOCK, A, B, 10**9)


def test_an_exchange_at_the_base_pools_price_moves_balances_exactly(protocol, state):
    meta = meta_numbers(reference.virtual_price(BASE_NUMBERS))
    dy, share = reference.exchange(meta, 0, 1, 10**9)
    after = protocol.apply(state, exchanged(META, 0, 10**9, 1, dy))
    assert after.balances == (10**12 + 10**9, 10**24 - dy - share)
    assert after.balances_current
    alone = replace(state, base_pool=None)
    assert not protocol.apply(alone, exchanged(META, 0, 10**9, 1, dy)).balances_current


def test_the_base_pools_events_reach_its_state(protocol, state, old):
    dy, share = reference.exchange(BASE_NUMBERS, 0, 1, 10**21)
    after = protocol.apply(state, exchanged(BASE, 0, 10**21, 1, dy))
    assert after.base_pool.balances == (8 * 10**24 + 10**21, 9 * 10**12 - dy - share)
    assert after.balances == state.balances
    paid = protocol.quote_exact_in(old, BLOCK, A, B, 10**21).realised
    moved = protocol.apply(old, exchanged(BASE, 0, 10**21, 1, paid))
    assert moved.legacy_base_pool.balances[0] == 8 * 10**24 + 10**21


def test_a_swap_of_underlying_coins_leaves_the_balances_to_be_read(protocol, state):
    def underlying(i, j):
        return exchanged(META, i, 10**9, j, 10**9, name="TokenExchangeUnderlying")

    assert not protocol.apply(state, underlying(0, 2)).balances_current
    assert protocol.apply(state, underlying(1, 2)) == state
    assert not protocol.apply(replace(state, base_pool=None), underlying(0, 2)).balances_current
    for i, j in ((1, 1), (0, 3), (-1, 0)):
        with pytest.raises(MalformedLog):
            protocol.apply(state, underlying(i, j))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coins": [OWN, BASE, A], "balances": [1, 1, 1], "stored_rates": [1, 1, 1]}, "coins"),
        ({"coins": [A, BASE]}, "coins: expected none of the base pool's"),
        ({"legacy_base_pool": OLD}, "legacy_base_pool: expected one base pool"),
        ({"base_pool": POOL | {"fee": -1}}, r"base_pool\.fee: expected"),
        ({"base_pool": {}}, r"base_pool\.address: missing"),
    ],
)
def test_a_malformed_state_names_its_field(change, message):
    with pytest.raises(MalformedState, match=message):
        state_from(CurveMetaNg.State, RAW | {"asset_types": []} | change)


def test_a_base_pool_of_another_address_is_not_taken(protocol):
    def answer(call):
        if call.data == "0x" + keccak256(b"N_COINS()")[:4].hex():
            return (2,)
        if call.data == "0x" + keccak256(b"BASE_POOL()")[:4].hex():
            return (int(BASE, 16),)
        if call.data.startswith("0x" + keccak256(b"coins(uint256)")[:4].hex()):
            return (int(call.data, 16) % 2 + 5,)
        if call.data in {
            "0x" + keccak256(name)[:4].hex() for name in (b"get_balances()", b"stored_rates()")
        }:
            return (32, 2, 10**18, 10**18)
        return "no" if call.to == BASE else (100,)

    def drive(reads):
        calls = next(reads)
        while True:
            calls = reads.send([answer(call) for call in calls])

    reads = protocol.reads(protocol.Identity(META, legacy_base_pool=StableIdentity(OTHER)))
    with pytest.raises(UnreadablePool, match="its base pool is"):
        drive(reads)
