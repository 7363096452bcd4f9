"""Balancer V3's pools against the vault and pools compiled from their published sources."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from tests.conformance.answering import answered
from tests.conformance.balancer_v3 import BalancerV3, agrees
from tests.conformance.evm import SENDER, LocalEvm

E18 = 10**18
DECIMALS = (18, 6, 8, 18, 0, 18, 17, 12)
SIZES = [250, pytest.param(5_000, marks=pytest.mark.full)]
CURVES = {"balancer_v3_weighted": 8, "balancer_v3_stable": 5}
NOW = QuoteBlock(19_000_000, 1_700_000_000)
EDGES = (0, 1, 10**6, 2**128 - 1, 2**128, 2**255 - 1, 2**255, 2**256 - 1)


@pytest.fixture(scope="module")
def balancer():
    return BalancerV3(LocalEvm())


@pytest.fixture(scope="module")
def tokens(balancer):
    """Tokens in ascending order with their decimals."""
    made = {balancer.evm.token(decimals=d): d for d in DECIMALS}
    return dict(sorted(made.items()))


def weights_of(rng, count):
    if count == 2 and rng.random() < 0.5:
        return rng.choice(([E18 // 2, E18 // 2], [8 * 10**17, 2 * 10**17]))
    parts = [rng.randrange(1, 40) for _ in range(count)]
    free = E18 - count * 10**16
    weights = [10**16 + free * part // sum(parts) for part in parts]
    weights[0] += E18 - sum(weights)
    return weights


def opened(balancer, tokens, name, rng):
    """Open a random pool; returns it, its tokens and their rate providers."""
    held = sorted(rng.sample(list(tokens), rng.randrange(2, CURVES[name] + 1)))
    if name == "balancer_v3_weighted":
        weights = weights_of(rng, len(held))
        pool = balancer.weighted(weights, [10**18 if rng.random() < 0.3 else 10**6] * len(held))
        amounts = [rng.randrange(10**3, 10**10) * 10 ** tokens[token] for token in held]
    else:
        pool = balancer.stable(rng.choice((1, 100, 5_000, 50_000)))
        amounts = [rng.randrange(10**5, 10**8) * 10 ** tokens[token] for token in held]
    rates = [rng.choice((0, rng.randrange(E18 // 2, 2 * E18))) for _ in held]
    providers = [balancer.rate_provider(rate) for rate in rates]
    fees = [rng.choice((10**13, 10**15, 5 * 10**16)), E18 // 2, E18 // 10]
    balancer.open(pool, held, providers, fees, amounts)
    return pool, held, [provider for provider, rate in zip(providers, rates, strict=True) if rate]


def amount_for(rng, balance):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(EDGES)
    if kind == 1:
        return rng.randrange(2 ** rng.randrange(1, 140))
    return rng.randrange(balance // 3 + 1)


def quoted(protocol, kind, state, pair, amount):
    quote = protocol.quote_exact_in if kind == 0 else protocol.quote_exact_out
    try:
        return int(Status.OK), quote(state, NOW, *pair, amount).amount
    except SwapRefused as refusal:
        return int(refusal.status), 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CURVES)
def test_quotes_are_what_the_vault_does(balancer, tokens, name, size):
    rng, seen = random.Random(f"{name} {size}"), Counter()
    protocol = PROTOCOLS.load(name)
    protocol = protocol(protocol.Config())
    pools = 2 + size // 40
    for _ in range(pools):
        pool, held, providers = opened(balancer, tokens, name, rng)
        identity = protocol.Identity(pool, balancer.vault)
        for _ in range(4):
            for provider in providers:
                # Rates mostly rise, and the vault takes its share before the next swap.
                factor = rng.choice((1000, 1001, 1030, 999))
                (rate,) = balancer.evm.call(provider, "getRate()(uint256)")
                balancer.evm.send(provider, "set(uint256)", rate * factor // 1000 + 1)
            state = answered(balancer.evm, protocol.reads(identity))
            for _ in range(size // pools // 4 + 1):
                kind = rng.randrange(2)
                i, j = rng.sample(range(len(held)), 2)
                pair = (held[i], held[j])
                amount = amount_for(rng, state.balances_raw[(i, j)[kind]])
                said = balancer.swap(kind, pool, pair, amount, keep=False)
                got = quoted(protocol, kind, state, pair, amount)
                assert agrees(said, *got), (said, got, kind, pair, amount, state)
                seen[got[0]] += 1
            balancer.swap(0, pool, pair, state.balances_raw[i] // 7, keep=True)
    assert seen[Status.OK] > size // 3
    assert seen.keys() >= {Status.ZERO_AMOUNT, Status.OVERFLOW}


@pytest.mark.parametrize("name", CURVES)
def test_events_keep_a_state_equal_to_the_vaults(balancer, tokens, name):
    rng = random.Random(name)
    protocol = PROTOCOLS.load(name)
    protocol = protocol(protocol.Config())
    evm = balancer.evm
    pool, held, _ = opened(balancer, tokens, name, rng)
    identity = protocol.Identity(pool, balancer.vault)
    state = answered(evm, protocol.reads(identity))
    steps = ["swap in", "swap out", "add", "remove all", "remove one", "fee", "recovery"]
    for number in range(28):
        step = steps[number % len(steps)]
        if step.startswith("swap"):
            i, j = rng.sample(range(len(held)), 2)
            kind = int(step == "swap out")
            amount = 1 + state.balances_raw[(i, j)[kind]] // rng.randrange(5, 50)
            balancer.swap(kind, pool, (held[i], held[j]), amount, keep=True)
        elif step == "add":
            amounts = [balance // rng.randrange(9, 99) for balance in state.balances_raw]
            add = "add(address,address[],uint256[])"
            evm.send(balancer.desk, add, pool, held, amounts)
        elif step.startswith("remove"):
            single = len(held) if step == "remove all" else 0
            remove = "remove(address,address[],uint256,uint256)"
            evm.send(balancer.desk, remove, pool, held, 11, single)
        elif step == "fee":
            fee = rng.randrange(10**13, 10**16)
            evm.send(balancer.vault, "setStaticSwapFeePercentage(address,uint256)", pool, fee)
        else:
            turn = "disable" if state.is_pool_in_recovery_mode else "enable"
            evm.send(balancer.vault, f"{turn}RecoveryMode(address)", pool)
        logs = [log for log in evm.logs() if log.topics[0] in protocol.topics]
        assert logs, step
        for log in logs:
            state = protocol.apply(state, log)
        read = answered(evm, protocol.reads(identity))
        assert state == read, step


def test_a_paused_pool_and_an_amplification_in_motion():
    balancer = BalancerV3(LocalEvm())
    evm, protocol = balancer.evm, PROTOCOLS.load("balancer_v3_stable")
    protocol = protocol(protocol.Config())
    held = evm.tokens(2)
    pool = balancer.stable(100)
    balancer.open(pool, held, [balancer.rate_provider(0)] * 2, [10**15, 0, 0], [10**24, 2 * 10**24])
    state = answered(evm, protocol.reads(protocol.Identity(pool, balancer.vault)))
    start = evm.timestamp
    evm.send(pool, "startAmplificationParameterUpdate(uint256,uint256)", 173, start + 3 * 86_400)
    for log in evm.logs():
        if log.topics[0] in protocol.topics:
            state = protocol.apply(state, log)
    for passed in (0, 1, 77_777, 3 * 86_400, 4 * 86_400):
        evm.set_block(timestamp=start + passed)
        said = balancer.swap(0, pool, tuple(held), 10**23, keep=False)
        assert (
            said == protocol.quote_exact_in(state, QuoteBlock(0, start + passed), *held, 10**23)[0]
        )
    evm.send(balancer.vault, "pausePool(address)", pool, sender=SENDER)
    (log,) = evm.logs()
    state = protocol.apply(state, log)
    assert quoted(protocol, 0, state, held, 10**23)[0] == Status.PAUSED
    hooked = replace(state, is_pool_paused=False, should_call_after_swap=True)
    assert quoted(protocol, 0, hooked, held, 10**23)[0] == Status.UNMODELLED
