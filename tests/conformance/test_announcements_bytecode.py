"""What factories, vaults and managers really emit, and whom every later log is found to be of."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from searcher.domain.units import ZERO_ADDRESS, Address, keccak256
from searcher.kernels.reference.uniswap_v3 import Q96
from searcher.market.announcing import details_of
from searcher.market.census import Census
from searcher.market.checkpoint import FoundPool
from searcher.market.protocol import PROTOCOLS
from searcher.market.settings import DexSettings
from tests.conformance.answering import answered
from tests.conformance.balancer_v2 import BalancerV2
from tests.conformance.balancer_v3 import BalancerV3
from tests.conformance.concentrated_pools import V4Pools
from tests.conformance.evm import SENDER, LocalEvm, artifact, solidity
from tests.conformance.test_solidly_bytecode import CREATE, Aerodrome

_MAKER = Address("0x" + "a1" * 20)
_HOST = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Host {
    function make(address factory, bytes calldata data) external returns (bytes32 made) {
        (bool done, bytes memory answer) = factory.call(data);
        require(done);
        made = abi.decode(answer, (bytes32));
    }
    fallback(bytes calldata) external returns (bytes memory) { return abi.encode(0); }
}
"""
"""Makes custom pools without a plug-in."""
_WEIGHTED = "create(string,string,address[],uint256[],address[],uint256,address)"
_STABLE = "create(string,string,address[],uint256,address[],uint256[],bool[],uint256,address)"


def protocol_of(name):
    kind = PROTOCOLS.load(name)
    return kind(kind.Config())


def census_of(protocol, **settings):
    dex = DexSettings(protocol=protocol, **settings)
    return Census("test", {"dex": dex}, {"dex": protocol_of(protocol)}), dex


def announced(evm, census, protocol, dex):
    """The pools of the logs of the last transaction, completed where the log says less."""
    pools = [pool for log in evm.logs() for pool in census.take(log)]
    for _, said in census.waiting().announcements:
        whole = answered(evm, protocol.completed(dex, said))
        pools.append(
            FoundPool("dex", whole.id, whole.address, whole.tokens, 0, 0, details_of(whole))
        )
    assert census.statistics().refused == {}
    return pools


def read(evm, protocol, pool):
    """A found pool's state; its tokens are those announced, if any were."""
    state = answered(evm, protocol.reads(protocol.identity(pool)))
    assert set(pool.tokens) <= set(protocol.tokens_of(state))
    return state


def followed(evm, protocol, pool, state):
    """The state after the last transaction's logs, found by the keys that the protocol gives."""
    keys = {pool.id, *protocol.watched(state)}
    applied = 0
    for log in evm.logs():
        if log.topics[0] in protocol.topics and protocol.pool_key(log) in keys:
            state = protocol.apply(state, log)
            applied += 1
    return state, applied


def test_uniswap_v4():
    v4 = V4Pools(LocalEvm())
    evm, protocol = v4.evm, protocol_of("uniswap_v4")
    census, dex = census_of("uniswap_v4", factory=v4.manager)
    for key in (v4.key(3000, 60), v4.key(100, 1, ether=True)):
        initialised = v4.initialize(key, Q96)
        (pool,) = announced(evm, census, protocol, dex)
        assert pool.tokens == key[:2]
        assert (pool.fee_pips, pool.tick_spacing) == key[2:4]
        state = protocol.new(pool)
        (own,) = (log for log in initialised if protocol.pool_key(log) == pool.id)
        state = protocol.apply(state, own)
        assert state == read(evm, protocol, pool)
        assert not protocol.funded(state)
        v4.modify(key, -6000, 6000, 10**20)
        state, applied = followed(evm, protocol, pool, state)
        assert applied == 1
        v4.swap(key, 10**18, zero_for_one=True)
        state, applied = followed(evm, protocol, pool, state)
        assert applied == 1
        assert state == read(evm, protocol, pool)
        assert protocol.funded(state)


def test_uniswap_v4_leaves_pools_to_their_hooks():
    v4 = V4Pools(LocalEvm())
    census, _ = census_of("uniswap_v4", factory=v4.manager)
    for fee, hooks in ((0x800000, 1 << 13), (3000, 1 << 7)):
        host = Address(f"0x{hooks:040x}")
        # beforeInitialize answers its own selector, whatever it is asked.
        v4.evm.set_code(host, bytes.fromhex("5f355f5260205ff3"))
        key = (*v4.key(fee, 60)[:4], host)
        v4.initialize(key, Q96)
        assert [census.take(log) for log in v4.evm.logs()] == [[]] * len(v4.evm.logs())
    assert census.statistics().refused == {
        "dex: hooks are told of its swaps": 1,
        "dex: hooks set its fee": 1,
    }


def test_algebra_integral():
    evm, protocol = LocalEvm(), protocol_of("algebra_integral")
    # Factory and deployer must know each other's address: the second is made after the first.
    nested = b"\xd6\x94" + bytes.fromhex(_MAKER[2:]) + b"\x01"
    factory = Address("0x" + keccak256(nested)[12:].hex())
    args = encode(["address"], [factory])
    deployer = evm.deploy(
        artifact("AlgebraIntegralPoolDeployer").creation, args=args, sender=_MAKER
    )
    args = encode(["address"], [deployer])
    made = evm.deploy(artifact("AlgebraIntegralFactory").creation, args=args, sender=_MAKER)
    assert made == factory
    census, dex = census_of("algebra_integral", factory=factory)
    token0, token1 = evm.tokens(2)
    (plain,) = evm.send(factory, "createPool(address,address,bytes)(address)", token0, token1, b"")
    logs = evm.logs()
    (pool,) = announced(evm, census, protocol, dex)
    assert (pool.id, pool.address, pool.tokens) == (plain, plain, (token0, token1))
    state = read(evm, protocol, pool)
    assert not protocol.funded(state)
    evm.send(plain, "initialize(uint160)", Q96)
    state, applied = followed(evm, protocol, pool, state)
    assert applied
    assert state == read(evm, protocol, pool)
    # V1's factory emits the same event (IAlgebraFactory of v1.0.0, v1.9-ve3,3 and directional).
    older, _ = census_of("algebra_v1", factory=factory)
    assert [p.id for log in logs for p in older.take(log)] == [plain]
    role = keccak256(b"CUSTOM_POOL_DEPLOYER")
    custom = "createCustomPool(address,address,address,address,bytes)(address)"
    host = evm.deploy(solidity({"Host.sol": _HOST})["Host"])
    evm.send(factory, "grantRole(bytes32,address)", role, host, sender=_MAKER)
    data = keccak256(custom.removesuffix("(address)").encode())[:4] + encode(
        ["address", "address", "address", "address", "bytes"], [host, SENDER, token0, token1, b""]
    )
    (special,) = evm.send(host, "make(address,bytes)(address)", factory, data)
    # Some versions emit Pool too: it is the same pool.
    (pool,) = set(announced(evm, census, protocol, dex))
    assert (pool.id, pool.tokens) == (special, (token0, token1))
    assert read(evm, protocol, pool).pool == special


def test_velodrome_v2():
    aerodrome = Aerodrome()
    evm, protocol = aerodrome.evm, aerodrome.protocol
    census, dex = census_of("velodrome_v2", factory=aerodrome.factory)
    tokens = evm.tokens(2)
    for stable in (False, True):
        (made,) = evm.send(aerodrome.factory, CREATE, *tokens, stable)
        (pool,) = announced(evm, census, protocol, dex)
        assert (pool.id, pool.tokens) == (made, tuple(tokens))
        state = read(evm, protocol, pool)
        assert (state.stable, state.factory) == (stable, aerodrome.factory)
        for token in tokens:
            evm.send(token, "mint(address,uint256)", made, 10**20)
        evm.send(made, "sync()")
        state, applied = followed(evm, protocol, pool, state)
        assert applied == 1
        evm.send(aerodrome.factory, "setCustomFee(address,uint256)", made, 17)
        state, applied = followed(evm, protocol, pool, state)
        assert (applied, state.fee) == (1, 17)
        assert state == read(evm, protocol, pool)


@pytest.mark.parametrize("kind", ["balancer_v2_weighted", "balancer_v2_stable"])
def test_balancer_v2(kind):
    balancer, protocol = BalancerV2(LocalEvm()), protocol_of(kind)
    evm, held = balancer.evm, balancer.evm.tokens(3)
    none = [ZERO_ADDRESS] * 3
    if kind == "balancer_v2_weighted":
        factory = balancer.factory("WeightedPoolFactoryV3")
        more = (_WEIGHTED, "W", "W", held, [10**18 // 2, 10**18 // 4, 10**18 // 4], none)
    else:
        factory = balancer.factory("ComposableStablePoolFactoryV3")
        more = (_STABLE, "S", "S", held, 200, none, [0] * 3, [False] * 3)
    census, dex = census_of(kind, vault=balancer.vault, factories=[factory])
    evm.send(factory, *more, 10**15, SENDER)
    created = evm.logs()
    (pool,) = announced(evm, census, protocol, dex)
    pool_id = pool.id.partition("/")[2]
    assert pool.address == balancer.vault
    assert set(held) <= set(pool.tokens)
    state = read(evm, protocol, pool)
    assert not protocol.funded(state)
    amounts = [10**22 if token in held else 2**110 for token in pool.tokens]
    data = encode(["uint256", "uint256[]"], [0, amounts])
    balancer.join(bytes.fromhex(pool_id[2:]), list(pool.tokens), amounts, data)
    state, applied = followed(evm, protocol, pool, state)
    assert applied
    assert state.balances == read(evm, protocol, pool).balances
    own = Address(pool_id[:42])
    balancer.permit(own, "setSwapFeePercentage(uint256)")
    evm.send(own, "setSwapFeePercentage(uint256)", 5 * 10**15)
    state, applied = followed(evm, protocol, pool, state)
    assert (applied, state.swap_fee_percentage) == (1, 5 * 10**15)
    balancer.permit(balancer.vault, "setPaused(bool)")
    evm.send(balancer.vault, "setPaused(bool)", True)
    state, applied = followed(evm, protocol, pool, state)
    assert (applied, state.vault_paused) == (1, True)
    # A pool of the same vault by another factory's hand is nobody's.
    others, _ = census_of(kind, vault=balancer.vault, factories=["0x" + "fe" * 20])
    assert not any(others.announces(log) for log in created)


@pytest.mark.parametrize("kind", ["balancer_v3_weighted", "balancer_v3_stable"])
def test_balancer_v3(kind):
    balancer, protocol = BalancerV3(LocalEvm()), protocol_of(kind)
    evm, held = balancer.evm, balancer.evm.tokens(3)
    weights = [10**18 // 2, 10**18 // 4, 10**18 // 4]
    weighted = kind == "balancer_v3_weighted"
    made = balancer.weighted(weights, [10**6] * 3) if weighted else balancer.stable(100)
    census, dex = census_of(kind, vault=balancer.vault, factories=[balancer.desk])
    other, _ = census_of(kind, vault=balancer.vault, factories=["0x" + "fe" * 20])
    register = "register(address,address[],address[],uint256[3])"
    evm.send(balancer.desk, register, made, held, [ZERO_ADDRESS] * 3, [10**15, 0, 0])
    assert [pool for log in evm.logs() for pool in other.take(log)] == []
    (pool,) = announced(evm, census, protocol, dex)
    assert pool.tokens == tuple(held)
    assert pool.id == f"{balancer.vault}/0x{made[2:]:0>64}"
    amounts = [10**22] * 3
    evm.send(balancer.desk, "initialize(address,address[],uint256[])", made, held, amounts)
    state = read(evm, protocol, pool)
    assert protocol.funded(state)
    balancer.swap(0, made, (held[0], held[1]), 10**20, keep=True)
    state, applied = followed(evm, protocol, pool, state)
    assert applied == 1
    assert state == read(evm, protocol, pool)
    if not weighted:
        start = "startAmplificationParameterUpdate(uint256,uint256)"
        evm.send(made, start, 173, evm.timestamp + 3 * 86_400)
        state, applied = followed(evm, protocol, pool, state)
        assert applied == 1
        assert state.amp_ramp == read(evm, protocol, pool).amp_ramp
