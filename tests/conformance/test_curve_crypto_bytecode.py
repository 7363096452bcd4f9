"""Crypto pools against contracts: doubles of pool, maths and views, in Vyper, on the local EVM.

Curve publishes no bytecode in a registry. The doubles were written from the published sources, not
from this project's arithmetic, so that what both share is the source alone.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from searcher.kernels.reference import curve_tricrypto as three
from searcher.kernels.reference import curve_twocrypto as two
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from tests.conformance.evm import LocalEvm, Reverted, vyper
from tests.kernels.crypto_pools import TOP, amount, three_coins, two_coins

BLOCK = QuoteBlock(number=19_000_000, timestamp=1_700_000_000)
COINS = ["0x" + digit * 40 for digit in "abc"]
VERSIONS = {
    two.Maths.V2_0_0: "v2.0.0",
    two.Maths.V2_1_0: "v2.1.0",
    two.Maths.STABLESWAP: "v2.1.0d",
    two.Maths.LEGACY: "legacy",
}
SET_TWO = (
    "set(uint256,bool,uint256[2],uint256[2],uint256,uint256,uint256,uint256,uint256[3],bool)()"
)
SET_THREE = "set(bool,uint256[3],uint256[3],uint256[2],uint256,uint256,uint256,uint256[3],bool)()"


class TwoCoins:
    """The two-coin protocol and its double."""

    name = "curve_twocrypto_ng"
    source = "curve_twocrypto.vy"
    pairs = ((0, 1), (1, 0))
    draw = staticmethod(two_coins)

    @staticmethod
    def fields(pool):
        return {"version": VERSIONS[pool.maths]}

    @staticmethod
    def settings(pool, ramps):
        head = (SET_TWO, int(pool.maths), pool.harmonic_fee, pool.balances, pool.precisions)
        fees = (pool.mid_fee, pool.out_fee, pool.fee_gamma)
        return (*head, pool.price_scale, pool.A, pool.gamma, pool.D, fees, ramps)

    @staticmethod
    def asked(function, i, _j, x):
        return f"{function}(uint256,uint256)(uint256)", i, x

    @staticmethod
    def has_get_dx(pool):
        return pool.maths != two.Maths.LEGACY

    @staticmethod
    def exchanged(i, _j, x, scale):
        return "exchange(uint256,uint256,uint256)(uint256)", i, x, scale

    @staticmethod
    def shift(rng, scale):
        return int(scale * rng.uniform(0.999, 1.001))


class ThreeCoins:
    """The three-coin protocol and its double."""

    name = "curve_tricrypto_ng"
    source = "curve_tricrypto.vy"
    pairs = tuple(itertools.permutations(range(3), 2))
    draw = staticmethod(three_coins)

    @staticmethod
    def fields(pool):
        return {"version": "legacy" if pool.maths == three.Maths.LEGACY else "v2.0.0"}

    @staticmethod
    def settings(pool, ramps):
        head = (SET_THREE, pool.maths == three.Maths.LEGACY, pool.balances, pool.precisions)
        fees = (pool.mid_fee, pool.out_fee, pool.fee_gamma)
        return (*head, pool.price_scale, pool.A, pool.gamma, pool.D, fees, ramps)

    @staticmethod
    def asked(function, i, j, x):
        return f"{function}(uint256,uint256,uint256)(uint256)", i, j, x

    @staticmethod
    def has_get_dx(pool):
        return pool.maths != three.Maths.LEGACY

    @staticmethod
    def exchanged(i, j, x, scale):
        return "exchange(uint256,uint256,uint256,uint256[2])(uint256)", i, j, x, scale

    @staticmethod
    def shift(rng, scale):
        return tuple(int(price * rng.uniform(0.999, 1.001)) for price in scale)


REVERTS = {Status.OVERFLOW, Status.UNSAFE_VALUES, Status.ZERO_AMOUNT, Status.NO_CONVERGENCE}
FAMILIES = [TwoCoins, ThreeCoins]


def deployed(family):
    evm = LocalEvm(number=BLOCK.number, timestamp=BLOCK.timestamp)
    creation = vyper(Path(__file__).with_name(family.source).read_text())
    return evm, evm.deploy(creation)


def state_of(family, pool, ramps):
    kind = PROTOCOLS.load(family.name)
    # A pool that ramps for ever: whatever the version's idea of time, D is computed anew.
    return kind(kind.Config()), kind.State(
        address="0x" + "0f" * 20,
        coins=tuple(COINS[: len(pool.balances)]),
        balances=pool.balances,
        precisions=pool.precisions,
        price_scale=pool.price_scale,
        D=pool.D,
        mid_fee=pool.mid_fee,
        out_fee=pool.out_fee,
        fee_gamma=pool.fee_gamma,
        A=pool.A,
        gamma=pool.gamma,
        future_A_gamma_time=2**40 if ramps else 0,
        **family.fields(pool),
    )


def answer(ask, *args):
    try:
        return ask(*args)[0]
    except Reverted:
        return None


def quoted(quote, *args):
    try:
        return quote(*args).amount
    except SwapRefused as refusal:
        if refusal.status in REVERTS:
            return None
        raise


def compare(family, seed, quotes):
    evm, double = deployed(family)
    rng = random.Random(seed)
    seen = Counter()
    while seen.total() < quotes:
        pool = family.draw(rng)
        if not (pool.A and pool.gamma):  # no state can be without
            continue
        ramps = rng.random() < 0.2
        protocol, state = state_of(family, pool, ramps)
        evm.send(double, *family.settings(pool, ramps))
        for i, j in rng.sample(family.pairs, 2):
            tokens = COINS[i], COINS[j]
            dx = amount(rng, pool.balances[i], 2)
            ours = quoted(protocol.quote_exact_in, state, BLOCK, *tokens, dx)
            theirs = answer(evm.call, double, *family.asked("get_dy", i, j, dx))
            assert ours == theirs, (pool, ramps, i, j, dx)
            seen[ours is None] += 1
            dy = amount(rng, pool.balances[j], 0.01)
            theirs = answer(evm.call, double, *family.asked("get_dx", i, j, dy))
            if not family.has_get_dx(pool):
                continue
            ours = estimated(protocol, state, i, j, dy)
            assert ours == theirs, (pool, ramps, i, j, dy)
            seen[ours is None] += 1
    return seen


def estimated(protocol, state, i, j, dy):
    """Return the get_dx of a quote; its realised part may be refused where get_dx is not."""
    tokens = COINS[i], COINS[j]
    try:
        return protocol.quote_exact_out(state, BLOCK, *tokens, dy).amount
    except SwapRefused:
        try:
            now = protocol.at(state, BLOCK)
            status, dx = protocol.kernel_out(protocol.packed(now), now, i, j, dy)
        except SwapRefused:
            return None
        return dx if status == Status.OK else None


@pytest.mark.parametrize("family", FAMILIES)
def test_quotes_are_the_contracts(family):
    seen = compare(family, 3, 1000)
    assert seen[False] > 500
    assert seen[True] > 100


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_quotes_are_the_contracts_at_length(family):
    compare(family, 4, 10_000)


@pytest.mark.parametrize("family", FAMILIES)
def test_exchanges_are_followed_from_their_events(family):
    evm, double = deployed(family)
    rng = random.Random(5)
    followed = 0
    while followed < 150:
        pool = family.draw(rng)
        if not (pool.A and pool.gamma and family.has_get_dx(pool)):
            continue
        protocol, state = state_of(family, pool, ramps=False)
        evm.send(double, *family.settings(pool, False))
        for _ in range(8):
            i, j = rng.choice(family.pairs)
            dx = int(state.balances[i] * 10 ** rng.uniform(-6, -1))
            scale = state.price_scale
            if rng.random() < 0.5:
                scale = family.shift(rng, scale)
            try:
                evm.send(double, *family.exchanged(i, j, dx, scale))
            except Reverted:
                break
            (event,) = evm.logs()
            state = protocol.apply(state, event)
            assert not state.is_stale
            assert evm.call(double, "D()(uint256)") == (state.D,)
            places = range(len(state.balances))
            held = [evm.call(double, "balances(uint256)(uint256)", k)[0] for k in places]
            assert tuple(held) == state.balances
            assert state.price_scale == scale
            followed += 1


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exchange_that_the_state_would_not_make_is_refused(family):
    evm, double = deployed(family)
    rng = random.Random(6)
    refused = 0
    while refused < 10:
        pool = family.draw(rng)
        if not (pool.A and pool.gamma and family.has_get_dx(pool)):
            continue
        protocol, state = state_of(family, pool, ramps=False)
        evm.send(double, *family.settings(pool, False))
        i, j = rng.choice(family.pairs)
        dx = pool.balances[i] // 1000
        if answer(evm.send, double, *family.exchanged(i, j, dx, pool.price_scale)) is None:
            continue
        (event,) = evm.logs()
        if int(event.data[2 + 3 * 64 : 2 + 4 * 64], 16) < 1000:
            continue
        elsewhere = replace(state, balances=tuple(b * 101 // 100 for b in state.balances))
        with pytest.raises(MalformedLog, match="an exchange that"):
            protocol.apply(elsewhere, event)
        refused += 1


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exchange_of_the_realised_input_pays_what_was_asked(family):
    evm, double = deployed(family)
    rng = random.Random(8)
    estimates = Counter()
    exchanged = 0
    while estimates.total() < 300:
        pool = family.draw(rng)
        if not (pool.A and pool.gamma):
            continue
        protocol, state = state_of(family, pool, ramps=False)
        evm.send(double, *family.settings(pool, False))
        i, j = rng.choice(family.pairs)
        wanted = amount(rng, pool.balances[j], 0.01)
        try:
            quote = protocol.quote_exact_out(state, BLOCK, COINS[i], COINS[j], wanted)
        except SwapRefused:
            continue

        def paid(given, i=i, j=j):
            if not given:
                return 0  # whatever a legacy view says, no exchange takes it
            return answer(evm.call, double, *family.asked("get_dy", i, j, given)) or 0

        out = paid(quote.realised)
        assert out >= wanted, (pool, i, j, wanted)
        # After it has paid, an exchange brings D up to date, which far off balance may revert.
        asked = family.exchanged(i, j, quote.realised, pool.price_scale)
        moved = answer(evm.call, double, *asked)
        assert moved in {None, out}
        exchanged += moved is not None
        says_enough = family.has_get_dx(pool) and paid(quote.amount) >= wanted
        if says_enough:
            assert quote.realised == quote.amount
        else:
            assert paid(quote.realised - 1) < wanted, (pool, i, j, wanted)
        estimates[says_enough] += 1
    assert min(estimates[False], estimates[True]) > 30, estimates
    assert exchanged > 200, exchanged


def test_legacy_pools_of_two_pay_nothing_for_nothing():
    """Whatever their view says of it."""
    evm, double = deployed(TwoCoins)
    rng = random.Random(9)
    found = 0
    while found < 10:
        pool = two_coins(rng)
        if pool.maths != two.Maths.LEGACY or not (pool.A and pool.gamma):
            continue
        protocol, state = state_of(TwoCoins, pool, ramps=False)
        evm.send(double, *TwoCoins.settings(pool, False))
        said = answer(evm.call, double, *TwoCoins.asked("get_dy", 0, 1, 0))
        if not said:
            continue
        assert protocol.quote_exact_in(state, BLOCK, *COINS[:2], 0) == (said, 0, 0)
        with pytest.raises(Reverted):
            evm.call(double, *TwoCoins.exchanged(0, 1, 0, pool.price_scale))
        found += 1


def test_legacy_pools_take_the_least_that_pays_enough():
    rng = random.Random(7)
    found = 0
    while found < 10:
        pool = two_coins(rng)
        if pool.maths != two.Maths.LEGACY or not (pool.A and pool.gamma):
            continue
        protocol, state = state_of(TwoCoins, pool, ramps=False)
        wanted = pool.balances[1] // 1000
        try:
            quote = protocol.quote_exact_out(state, BLOCK, *COINS[:2], wanted)
            less = protocol.quote_exact_in(state, BLOCK, *COINS[:2], quote.amount - 1).amount
        except SwapRefused:
            continue
        paid = protocol.quote_exact_in(state, BLOCK, *COINS[:2], quote.realised).amount
        assert quote.amount == quote.realised
        assert less < wanted <= paid
        found += 1


def test_the_largest_numbers_of_a_state_are_refused_as_by_the_contract():
    evm, double = deployed(TwoCoins)
    pool = two.TwocryptoPool(
        two.Maths.V2_1_0, False, (TOP, TOP), (TOP, TOP), TOP, TOP, TOP, TOP, TOP, TOP, TOP
    )
    protocol, state = state_of(TwoCoins, pool, ramps=False)
    evm.send(double, *TwoCoins.settings(pool, False))
    with pytest.raises(Reverted):
        evm.call(double, *TwoCoins.asked("get_dy", 0, 1, 1))
    with pytest.raises(SwapRefused, match="OVERFLOW"):
        protocol.quote_exact_in(state, BLOCK, *COINS[:2], 1)
