"""The market over real singletons and factories: found, read, and kept exact from logs alone."""

from __future__ import annotations

import random

import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from searcher.domain.errors import Rejected
from searcher.domain.events import BlockApplied, BlockHeader, BlockRef
from searcher.domain.units import ZERO_ADDRESS, Address
from searcher.kernels.reference.uniswap_v3 import Q96
from searcher.market.market import Market
from searcher.market.multicall import MULTICALL3
from searcher.market.protocol import PROTOCOLS
from searcher.market.settings import DexSettings, DiscoverySettings, TokenSettings
from tests.conformance.answering import answered
from tests.conformance.balancer_v2 import BalancerV2
from tests.conformance.concentrated_pools import AlgebraPool, V4Pools, a_price, positions
from tests.conformance.evm import SENDER, LocalEvm, Reverted
from tests.conformance.test_announcements_bytecode import _WEIGHTED
from tests.conformance.test_solidly_bytecode import CREATE, Aerodrome
from tests.unit.market.world import PatientClock

CHAIN = "local"


def reference(number):
    return BlockRef(number, f"0x{number:064x}")


class EvmNode:
    """A node over the local EVM: what it has sealed it answers for, without an archive."""

    def __init__(self, evm: LocalEvm) -> None:
        self.evm = evm
        self.number = 0
        self._sealed = []
        self._logs = []

    def take(self) -> None:
        """Put the last transaction into the block that is being built."""
        self._logs += self.evm.logs()

    def seal(self) -> BlockApplied:
        """End a block."""
        self.number += 1
        logs = tuple(replace(log, log_index=index) for index, log in enumerate(self._logs))
        self._logs = []
        self._sealed.append((self.number, logs))
        header = BlockHeader(
            number=self.number,
            hash=reference(self.number).hash,
            parent_hash=reference(self.number - 1).hash,
            timestamp=self.evm.timestamp,
            base_fee_wei=0,
            gas_limit=30_000_000,
            gas_used=0,
            coinbase=ZERO_ADDRESS,
        )
        return BlockApplied(CHAIN, header, logs, 0, 0)

    @property
    def head(self) -> BlockRef:
        return reference(self.number)

    async def call(self, method, params=()):
        if method == "eth_getLogs":
            return self._answer_logs(params[0])
        assert method == "eth_call"
        override = params[2] if len(params) > 2 else {}
        before = self.evm.snapshot()
        try:
            for address, put in override.items():
                self.evm.set_code(address, bytes.fromhex(put["code"][2:]))
            data = bytes.fromhex(params[0]["data"][2:])
            return "0x" + self.evm.execute(params[0]["to"], data).hex()
        except Reverted as error:
            raise Rejected(f"execution reverted: {error.reason}") from error
        finally:
            self.evm.revert(before)

    async def batch_settled(self, calls):
        settled = []
        for method, params in calls:
            try:
                settled.append(await self.call(method, params))
            except Rejected as refused:
                settled.append(refused)
        return settled

    def _answer_logs(self, query):
        begin, end = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [
            {
                "address": log.address,
                "topics": list(log.topics),
                "data": log.data,
                "logIndex": hex(index),
            }
            for number, logs in self._sealed
            if begin <= number <= end
            for index, log in enumerate(logs)
            if log.address in query["address"]
            and all(
                wanted is None or (at < len(log.topics) and log.topics[at] in wanted)
                for at, wanted in enumerate(query["topics"])
            )
        ]


def market_of(tokens, **dexes):
    return Market(
        CHAIN,
        wrapped_native=Address(tokens[0]),
        tokens={f"T{n}": TokenSettings(address=t, decimals=18) for n, t in enumerate(tokens)},
        dexes={name: DexSettings(**dex) for name, dex in dexes.items()},
        discovery=DiscoverySettings(only_configured_tokens=False),
        clock=PatientClock(),
    )


def check(market, evm):
    """Every pool that is known is what a fresh reading says, but for what moves by itself."""
    assert market.statistics().malformed == {}
    for number, pool in enumerate(market.pools):
        protocol, state = market.protocol_of(number), market.state(number)
        assert state is not None
        fresh = answered(evm, protocol.reads(protocol.identity(pool)))
        for name in state.__struct_fields__:
            if name not in protocol.volatile:
                assert getattr(state, name) == getattr(fresh, name), (pool.id, name)


@pytest.fixture
def v4():
    return V4Pools(LocalEvm())


@pytest.fixture
def balancer():
    balancer = BalancerV2(LocalEvm())
    return balancer, balancer.factory("WeightedPoolFactoryV3")


@pytest.fixture
def aerodrome():
    return Aerodrome()


async def test_uniswap_v4_is_followed(v4):
    node, rng = EvmNode(v4.evm), random.Random("followed v4")
    market = market_of(v4.tokens, v4={"protocol": "uniswap_v4", "factory": v4.manager})
    keys = [v4.key(3000, 60), v4.key(500, 10)]
    for key in keys:
        v4.initialize(key, Q96)
        node.take()
        v4.modify(key, -6000, 6000, 10**21)
        node.take()
    node.seal()
    await market.bootstrap(node, node.head)
    assert len(market.pools) == 2
    check(market, v4.evm)
    keys.append(v4.key(100, 1))
    v4.initialize(keys[-1], Q96)
    node.take()
    for _ in range(6):
        for _ in range(4):
            key = rng.choice(keys)
            if rng.random() < 0.4 or key is keys[-1]:
                v4.modify(key, -60 * rng.randrange(1, 90), 60 * rng.randrange(1, 90), 10**20)
            else:
                v4.swap(key, int(10 ** rng.uniform(15, 19)), zero_for_one=rng.random() < 0.5)
            node.take()
        market.apply(node.seal())
        check(market, v4.evm)
    assert len(market.pools) == 3


async def test_balancer_v2_is_followed_through_its_vault(balancer):
    balancer, factory = balancer
    evm, node = balancer.evm, EvmNode(balancer.evm)
    held = evm.tokens(3)
    dex = {"protocol": "balancer_v2_weighted", "vault": balancer.vault, "factories": [factory]}
    market = market_of(held, balancer=dex)
    weights = [10**18 // 2, 10**18 // 4, 10**18 // 4]
    pools = []

    def create():
        evm.send(factory, _WEIGHTED, "W", "W", held, weights, [ZERO_ADDRESS] * 3, 10**15, SENDER)
        created = evm.logs()
        node.take()
        own = next("0x" + log.topics[1][-40:] for log in created if log.address == factory)
        (pool_id,) = evm.call(own, "getPoolId()(bytes32)")
        amounts = [10**22, 2 * 10**22, 3 * 10**22]
        balancer.join(pool_id, held, amounts, encode(["uint256", "uint256[]"], [0, amounts]))
        node.take()
        pools.append((own, pool_id))

    create()
    node.seal()
    await market.bootstrap(node, node.head)
    assert [pool.tokens for pool in market.pools] == [tuple(held)]
    assert len(market.rows) == 3
    check(market, evm)
    create()
    market.apply(node.seal())
    await market.refresh_volatile(node, node.head)
    assert len(market.pools) == 2
    check(market, evm)
    for own, pool_id in pools:
        # Each log of the vault about one pool leaves the other as it is.
        balancer.swap(0, pool_id, (held[0], held[1]), 10**20)
        node.take()
        balancer.permit(own, "setSwapFeePercentage(uint256)")
        evm.send(own, "setSwapFeePercentage(uint256)", 7 * 10**15)
        node.take()
        market.apply(node.seal())
        check(market, evm)
    balancer.permit(balancer.vault, "setPaused(bool)")
    evm.send(balancer.vault, "setPaused(bool)", True)
    node.take()
    market.apply(node.seal())
    check(market, evm)
    assert all(market.state(number).vault_paused for number in range(2))


async def test_aerodrome_is_followed_with_its_factory(aerodrome):
    evm, node = aerodrome.evm, EvmNode(aerodrome.evm)
    tokens = evm.tokens(2)
    dex = {"protocol": "velodrome_v2", "factory": aerodrome.factory}
    market = market_of(tokens, aerodrome=dex)
    made = []
    for stable in (False, True):
        made.append(evm.send(aerodrome.factory, CREATE, *tokens, stable)[0])
        node.take()
    node.seal()
    await market.bootstrap(node, node.head)
    assert {pool.id for pool in market.pools} == set(made)
    for pool in made:
        for token in tokens:
            evm.send(token, "mint(address,uint256)", pool, 10**20)
        evm.send(pool, "sync()")
        node.take()
        evm.send(aerodrome.factory, "setCustomFee(address,uint256)", pool, 33)
        node.take()
        market.apply(node.seal())
        await market.refresh_volatile(node, node.head)
        check(market, evm)
    assert [market.state(n).reserve0 for n in range(2)] == [10**20] * 2
    # Nobody has deployed Multicall3 here: the views were answered by code lent for the call.
    assert evm.code(MULTICALL3) == b""


@pytest.fixture
def integral():
    return AlgebraPool.integral(LocalEvm())


def test_holdings_of_a_concentrated_pool_are_the_tokens_in_it(integral):
    kind = PROTOCOLS.load("algebra_integral")
    protocol = kind(kind.Config())
    rng = random.Random("holdings")
    integral.initialize(a_price(rng))
    (_, tick, *_) = integral.evm.call(
        integral.address, "globalState()(uint160,int24,uint16,uint8,uint16,bool)"
    )
    for lower, upper, liquidity in positions(rng, tick, 60):
        integral.mint(lower, upper, liquidity)
    state = answered(integral.evm, protocol.reads(protocol.Identity(integral.address)))
    for token, held in protocol.holdings(state):
        (balance,) = integral.evm.call(token, "balanceOf(address)(uint256)", integral.address)
        assert held == pytest.approx(balance, rel=1e-6)
    assert state.ticks
