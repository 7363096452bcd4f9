"""Balancer V2's pools against their own bytecode, of every year that npm has."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from eth_abi.abi import encode

from searcher.domain.units import ZERO_ADDRESS
from searcher.kernels import balancer_stable, balancer_weighted
from searcher.kernels.reference.balancer_stable import StableMath, V2Stable, amplification
from searcher.kernels.reference.balancer_vault import V2_MAX_BALANCE, V2Side
from searcher.kernels.reference.balancer_weighted import V2Weighted
from searcher.kernels.refusal import Status, SwapRefused
from tests.conformance.balancer_v2 import E18, BalancerV2, agrees
from tests.conformance.evm import SENDER, LocalEvm

DECIMALS = (18, 6, 8, 18, 12, 0, 18, 17)
WEIGHTED_CURVES = (balancer_weighted.exact_in, balancer_weighted.exact_out)
STABLE_CURVES = (balancer_stable.exact_in, balancer_stable.exact_out)
SIZES = [250, pytest.param(2_500, marks=pytest.mark.full)]
_PLAIN = "create(string,string,address[],uint256[],uint256,address)"
_RATED = "create(string,string,address[],uint256[],address[],uint256,address)"
WEIGHTED = {"WeightedPoolFactoryV1": _PLAIN} | dict.fromkeys(
    ("WeightedPoolFactoryV2", "WeightedPoolFactoryV3"), _RATED
)
_STABLE = "create(string,string,address[],uint256,uint256,address)"
_META = "create(string,string,address[],uint256,address[],uint256[],uint256,bool,address)"
_PHANTOM = "create(string,string,address[],uint256,address[],uint256[],uint256,address)"
_COMPOSABLE = "create(string,string,address[],uint256,address[],uint256[],bool[],uint256,address)"
_COMPOSABLE_V3 = "create(string,string,address[],uint256,address[],uint256[],bool,uint256,address)"


@pytest.fixture(scope="module")
def balancer():
    return BalancerV2(LocalEvm())


@pytest.fixture(scope="module")
def tokens(balancer):
    """Tokens in ascending order with their decimals."""
    made = {balancer.evm.token(decimals=d): d for d in DECIMALS}
    return dict(sorted(made.items()))


def weights_of(rng, count):
    if count == 2 and rng.random() < 0.6:
        return list(
            rng.choice([(E18 // 2, E18 // 2), (8 * 10**17, 2 * 10**17), (10**16, 99 * 10**16)])
        )
    parts = [rng.randrange(1, 50) for _ in range(count)]
    free = E18 - count * 10**16
    weights = [10**16 + free * part // sum(parts) for part in parts]
    weights[-1] += E18 - sum(weights)
    return weights


def amount_for(rng, balance):
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice((1, 2, 10**6, V2_MAX_BALANCE, 2**128, 2**255, 2**256 - 1))
    if kind == 1:
        return max(1, balance * 3 // 10 + rng.randrange(-2, 3))
    if kind == 2:
        return 1 + rng.randrange(2 ** rng.randrange(1, 120))
    return 1 + rng.randrange(max(1, balance * 3 // 10))


def vault_lets_it(kind, amount, answer, sides):
    """Return whether the vault, which a pool alone does not know, takes the swap."""
    amount_in, amount_out = (amount, answer) if kind == 0 else (answer, amount)
    return sides[0].balance + amount_in <= V2_MAX_BALANCE and amount_out <= sides[1].balance


def compare(kind, said, got, amount, sides):
    if got[0] in (Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY) and isinstance(said, int):
        assert not vault_lets_it(kind, amount, said, sides)
        return Status.OK
    assert agrees(said, *got), (said, got, amount, sides)
    return got[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_pools_of_two_to_eight_tokens(balancer, tokens, name, size):
    rng = random.Random(name)
    factory = balancer.factory(name)
    seen = Counter()
    pools = 14
    for number in range(pools):
        count = 2 + number // 2
        held = sorted(rng.sample(list(tokens), count))
        weights = weights_of(rng, count)
        fee = rng.choice((10**12, 3 * 10**15, 10**17, rng.randrange(10**12, 10**17)))
        rates = [] if WEIGHTED[name] == _PLAIN else [[ZERO_ADDRESS] * count]
        made = balancer.create(
            factory, WEIGHTED[name], "W", "W", held, weights, *rates, fee, SENDER
        )
        exact = name != "WeightedPoolFactoryV1"
        for _ in range(1 + size // pools):
            sides = [
                V2Side(rng.randrange(2 ** rng.randrange(10, 111)), 10 ** (36 - tokens[token]))
                for token in held
            ]
            pool = balancer_weighted.packed(V2Weighted(sides, fee, weights, exact))
            i, j = rng.sample(range(count), 2)
            pair, both = (held[i], held[j]), (sides[i], sides[j])
            balances = [side.balance for side in both]
            for kind, curve in enumerate(WEIGHTED_CURVES):
                amount = amount_for(rng, balances[kind])
                if not exact:
                    # In 2021 factors were whole numbers: scaling such an amount did not overflow.
                    amount = min(amount, 2**130)
                said = balancer.on_swap(kind, made, pair, amount, *balances)
                seen[compare(kind, said, curve(amount, pool, i, j), amount, both)] += 1
    assert seen[Status.OK] > size
    assert seen[Status.RATIO_LIMIT] > size // 10
    assert seen[Status.OVERFLOW] or name == "WeightedPoolFactoryV1"


def test_weighted_swaps_through_the_vault(balancer, tokens):
    rng = random.Random(5)
    held = list(tokens)[:3]
    weights = weights_of(rng, 3)
    factory = balancer.factory("WeightedPoolFactoryV3")
    none = [ZERO_ADDRESS] * 3
    made = balancer.create(factory, _RATED, "W", "W", held, weights, none, 10**15, SENDER)
    amounts = [5_000_000 * 10 ** tokens[token] + 77 for token in held]
    balancer.join(made[1], held, amounts, encode(["uint256", "uint256[]"], [0, amounts]))
    sides = [V2Side(a, 10 ** (36 - tokens[token])) for a, token in zip(amounts, held, strict=True)]
    pool = balancer_weighted.packed(V2Weighted(sides, 10**15, weights))
    edges = (0, 1, V2_MAX_BALANCE, 2**255 - 1, 2**255, 2**256 - 1)
    seen = Counter()
    for number in range(200):
        kind = number % 2
        i, j = rng.sample(range(3), 2)
        amount = edges[number // 2] if number < 12 else amount_for(rng, amounts[(i, j)[kind]])
        said = balancer.query(kind, made[1], (held[i], held[j]), amount)
        status, answer = WEIGHTED_CURVES[kind](amount, pool, i, j)
        assert agrees(said, status, answer), (said, status, answer, amount)
        seen[status] += 1
    assert seen.keys() >= {Status.OK, Status.ZERO_AMOUNT, Status.RATIO_LIMIT, Status.OVERFLOW}


STABLE = {
    "StablePoolFactoryV1": (_STABLE, StableMath.V2_ROUNDED_UP),
    "MetaStablePoolFactory": (_META, StableMath.V2_ROUNDED_UP),
    "StablePhantomPoolFactory": (_PHANTOM, StableMath.V2_ROUNDED_UP),
    "StablePoolFactoryV2": (_STABLE, StableMath.V2),
    "ComposableStablePoolFactoryV1": (_COMPOSABLE, StableMath.V2),
    "ComposableStablePoolFactoryV2": (_COMPOSABLE, StableMath.V2),
    "ComposableStablePoolFactoryV3": (_COMPOSABLE, StableMath.V2),
}


def create_stable(balancer, name, held, terms, rates):
    """Create a stable pool; a rate of 0 is a token without a provider."""
    signature, _ = STABLE[name]
    amp, fee = terms
    factory = balancer.factory(name)
    providers = [balancer.rate_provider(rate) if rate else ZERO_ADDRESS for rate in rates]
    durations = [10_800 if rate else 0 for rate in rates]
    more = {
        _STABLE: [],
        _META: [providers, durations],
        _PHANTOM: [providers, durations],
        _COMPOSABLE: [providers, durations, [False] * len(held)],
    }[signature]
    more += [fee] + ([False] if signature == _META else [])
    return balancer.create(factory, signature, "S", "S", held, amp, *more, SENDER)


def rates_for(rng, name, count):
    if STABLE[name][0] == _STABLE:
        return [0] * count
    return [rng.choice((0, rng.randrange(9 * 10**17, 12 * 10**17))) for _ in range(count)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STABLE)
def test_stable_pools(balancer, tokens, name, size):
    rng = random.Random(name)
    edition = STABLE[name][1]
    seen = Counter()
    pools = 8
    for number in range(pools):
        most = {"MetaStablePoolFactory": 2, "StablePhantomPoolFactory": 4}.get(name, 5)
        count = min(2 + number // 2, most)
        held = sorted(rng.sample(list(tokens), count))
        amp = rng.choice((1, 50, 200, 5000))
        fee = rng.choice((10**12, 4 * 10**14, 10**17))
        rates = rates_for(rng, name, count)
        made = create_stable(balancer, name, held, (amp, fee), rates)
        own = made[0] if _has_own_token(name) else None
        order = sorted([*held, own]) if own else held
        for _ in range(1 + size // pools):
            wild = rng.random() < 0.2
            sides = [
                V2Side(
                    rng.randrange(1, 2 ** rng.randrange(2, 100))
                    if wild
                    else rng.randrange(10**5, 10**7) * 10 ** tokens[token],
                    10 ** (36 - tokens[token]) * (rate or E18) // E18,
                )
                for token, rate in zip(held, rates, strict=True)
            ]
            i, j = rng.sample(range(count), 2)
            balances = [sides[held.index(t)].balance if t != own else 2**111 for t in order]
            pool = balancer_stable.packed(V2Stable(sides, fee, amp * 1000, edition))
            places = (balances, order.index(held[i]), order.index(held[j]))
            for kind in range(2):
                amount = amount_for(rng, sides[(i, j)[kind]].balance)
                said = balancer.on_swap(kind, made, (held[i], held[j]), amount, *places)
                got = STABLE_CURVES[kind](amount, pool, i, j)
                seen[compare(kind, said, got, amount, (sides[i], sides[j]))] += 1
    assert seen[Status.OK] > size
    assert seen[Status.OVERFLOW]


def _has_own_token(name):
    return "Composable" in name or "Phantom" in name


def test_an_amplification_moves_with_the_time_of_the_block():
    balancer = BalancerV2(LocalEvm())
    held = balancer.evm.tokens(2)
    made = create_stable(balancer, "ComposableStablePoolFactoryV3", held, (100, 10**15), [0, 0])
    start = balancer.evm.timestamp
    end = start + 3 * 86_400 + 7
    balancer.evm.send(made[0], "startAmplificationParameterUpdate(uint256,uint256)", 173, end)
    for now in (start, start + 1, start + 77_777, end - 1, end, end + 5):
        balancer.evm.set_block(timestamp=now)
        view = "getAmplificationParameter()(uint256,bool,uint256)"
        value, moving, precision = balancer.evm.call(made[0], view)
        assert (value, precision) == (amplification(100_000, 173_000, start, end, now), 1000)
        assert moving == (now < end)
    with pytest.raises(SwapRefused, match="older"):
        amplification(100_000, 173_000, start, end, start - 1)
