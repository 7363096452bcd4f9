"""Balancer V2 states on real pools: what reads say, what events keep, and what both quote."""

from __future__ import annotations

import random

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from searcher.domain.units import ZERO_ADDRESS, Hash32
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from tests.conformance.answering import answered
from tests.conformance.balancer_v2 import E18, BalancerV2, agrees
from tests.conformance.evm import SENDER, LocalEvm
from tests.conformance.test_balancer_v2_bytecode import STABLE, WEIGHTED, create_stable

INIT, EXACT_TOKENS_IN, EXACT_BPT_IN_FOR_ALL = 0, 1, 1
VOLATILE = ("amplification_parameter", "token_rates", "rate_expiries", "provider_rates")
RATED = tuple(name for name in STABLE if not name.startswith("StablePoolFactory"))


def plugin(name):
    kind = PROTOCOLS.load(name)
    return kind(kind.Config())


@pytest.fixture
def balancer():
    return BalancerV2(LocalEvm())


def filled(balancer, name, *, rated=False):
    """Create a pool of a factory and fill it; returns its protocol, identity and first state."""
    held = sorted(balancer.evm.token(decimals=d) for d in (18, 6, 8))
    if name in WEIGHTED:
        protocol = plugin("balancer_v2_weighted")
        weights = [E18 // 2, E18 // 4, E18 // 4]
        more = [] if name.endswith("V1") else [[ZERO_ADDRESS] * 3]
        factory = balancer.factory(name)
        made = balancer.create(
            factory, WEIGHTED[name], "W", "W", held, weights, *more, 10**15, SENDER
        )
    else:
        protocol = plugin("balancer_v2_stable")
        held = held[:2] if name == "MetaStablePoolFactory" else held
        rates = [11 * E18 // 10, *[0] * (len(held) - 1)] if rated else [0] * len(held)
        made = create_stable(balancer, name, held, (150, 10**15), rates)
    identity = protocol.Identity(Hash32("0x" + made[1].hex()), balancer.vault)
    (tokens, _, _) = balancer.evm.call(
        balancer.vault, "getPoolTokens(bytes32)(address[],uint256[],uint256)", made[1]
    )
    amounts = [
        0 if token == made[0] else 10**6 * 10 ** balancer.evm.call(token, "decimals()(uint8)")[0]
        for token in tokens
    ]
    data = encode(["uint256", "uint256[]"], [INIT, amounts])
    balancer.join(made[1], list(tokens), amounts, data)
    return protocol, identity, answered(balancer.evm, protocol.reads(identity))


def applied(balancer, protocol, state, *, least=1):
    """Apply the events of the last call that the protocol asks for."""
    logs = [log for log in balancer.evm.logs() if log.topics[0] in protocol.topics]
    assert len(logs) >= least
    for log in logs:
        state = protocol.apply(state, log)
    return state


def settled(state):
    """Leave out what is declared volatile, or in no view."""
    if hasattr(state, "amp_ramp"):
        return replace(
            state,
            amplification_parameter=1000,
            amp_ramp=None,
            token_rates=(),
            rate_expiries=(),
            provider_rates=(),
        )
    return state


def others(state, own):
    return [token for token in state.tokens if token != own]


@pytest.mark.parametrize("name", [*WEIGHTED, *STABLE])
def test_events_keep_a_state_equal_to_the_vaults(balancer, name):
    protocol, identity, state = filled(balancer, name)
    rng, evm, pool = random.Random(name), balancer.evm, identity.pool
    pool_id = bytes.fromhex(identity.pool_id[2:])
    swappable = others(state, pool)
    steps = ["swap in", "swap out", "fee"]
    if pool not in state.tokens:
        steps += ["join", "exit"]
    for number in range(3 * len(steps)):
        step = steps[number % len(steps)]
        if step.startswith("swap"):
            pair = tuple(rng.sample(swappable, 2))
            kind = int(step == "swap out")
            amount = state.balances[state.tokens.index(pair[kind])] // rng.randrange(9, 99)
            quote = protocol.quote_exact_out if kind else protocol.quote_exact_in
            want = quote(state, QuoteBlock(0, evm.timestamp), *pair, amount).amount
            assert balancer.swap(kind, pool_id, pair, amount) == want
        elif step == "fee":
            evm.send(pool, "setSwapFeePercentage(uint256)", rng.randrange(10**13, 10**16))
        elif step == "join":
            amounts = [balance // rng.randrange(9, 99) for balance in state.balances]
            data = encode(["uint256", "uint256[]", "uint256"], [EXACT_TOKENS_IN, amounts, 0])
            balancer.join(pool_id, list(state.tokens), amounts, data)
        else:
            (share,) = evm.call(pool, "balanceOf(address)(uint256)", SENDER)
            data = encode(["uint256", "uint256"], [EXACT_BPT_IN_FOR_ALL, share // 7])
            balancer.exit(pool_id, list(state.tokens), data)
        state = applied(balancer, protocol, state)
        assert settled(state) == settled(answered(evm, protocol.reads(identity))), step


@pytest.mark.parametrize("name", [*WEIGHTED, *STABLE])
def test_reads_tell_the_versions_apart(balancer, name):
    _, identity, state = filled(balancer, name)
    if name in WEIGHTED:
        assert state.pow_version.value == ("v1" if name.endswith("FactoryV1") else "v2")
    else:
        assert state.invariant_version is {
            "StablePoolFactoryV1": type(state.invariant_version).V1,
            "MetaStablePoolFactory": type(state.invariant_version).V1,
            "StablePhantomPoolFactory": type(state.invariant_version).V1,
        }.get(name, type(state.invariant_version).V2)
        assert (state.bpt_index >= 0) == (identity.pool in state.tokens)


@pytest.mark.parametrize("name", RATED)
def test_cached_rates_expire(balancer, name):
    protocol, identity, state = filled(balancer, name, rated=True)
    evm, pool_id = balancer.evm, bytes.fromhex(identity.pool_id[2:])
    pair = tuple(others(state, identity.pool)[:2])
    (providers,) = evm.call(identity.pool, "getRateProviders()(address[])")
    provider = next(found for found in providers if int(found, 16))
    for passed in (0, 10_800, 10_801, 30_000):
        # The provider moves on, the pool looks after 10,800 seconds only.
        evm.send(provider, "set(uint256)", 11 * E18 // 10 + passed * 10**12)
        evm.set_block(timestamp=1_700_000_000 + passed)
        block = QuoteBlock(0, evm.timestamp, answered(evm, protocol.refresh(state)))
        for kind, quote in enumerate((protocol.quote_exact_in, protocol.quote_exact_out)):
            said = balancer.query(kind, pool_id, pair, 10**11)
            assert agrees(said, Status.OK, quote(state, block, *pair, 10**11).amount)
    unknown = replace(state, provider_rates=())
    if name != "StablePhantomPoolFactory":  # which scales before it looks at its caches
        with pytest.raises(SwapRefused, match="expired"):
            protocol.quote_exact_in(unknown, QuoteBlock(0, evm.timestamp), *pair, 10**11)
    # The next swap writes the new rate down, and says so.
    before = state.token_rates
    balancer.swap(0, pool_id, pair, 10**11)
    state = applied(balancer, protocol, state, least=2)
    assert state.token_rates != before
    read = answered(evm, protocol.reads(identity))
    assert (state.token_rates, state.balances) == (read.token_rates, read.balances)
    block = QuoteBlock(0, evm.timestamp)
    said = balancer.query(0, pool_id, pair, 10**12)
    assert agrees(said, Status.OK, protocol.quote_exact_in(state, block, *pair, 10**12).amount)


def test_ramps_pauses_and_the_pools_own_token(balancer):
    protocol, identity, state = filled(balancer, "ComposableStablePoolFactoryV3")
    evm, pool = balancer.evm, identity.pool
    pool_id = bytes.fromhex(identity.pool_id[2:])
    pair = tuple(others(state, pool)[:2])
    start = evm.timestamp
    ramp = "startAmplificationParameterUpdate(uint256,uint256)"
    evm.send(pool, ramp, 290, start + 7 * 86_400)
    state = applied(balancer, protocol, state)
    for passed in (1, 99_999, 6 * 86_400):
        evm.set_block(timestamp=start + passed)
        want = protocol.quote_exact_in(state, QuoteBlock(0, start + passed), *pair, 10**11).amount
        assert balancer.query(0, pool_id, pair, 10**11) == want
    evm.send(pool, "stopAmplificationParameterUpdate()")
    state = applied(balancer, protocol, state)
    assert state == answered(evm, protocol.reads(identity))
    now = QuoteBlock(0, evm.timestamp)
    with pytest.raises(SwapRefused, match="join or an exit"):
        protocol.quote_exact_in(state, now, pair[0], pool, 10**11)
    for contract, signature in ((pool, "pause()"), (balancer.vault, "setPaused(bool)")):
        balancer.permit(contract, signature)
        evm.send(contract, signature, *([True] if contract == balancer.vault else []))
        state = applied(balancer, protocol, state)
        assert state == answered(evm, protocol.reads(identity))
        with pytest.raises(SwapRefused, match="paused"):
            protocol.quote_exact_in(state, now, *pair, 10**11)
    assert (state.paused, state.vault_paused) == (True, True)
