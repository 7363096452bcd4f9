"""A chain in memory: V2 and V3 pools that emit the contracts' logs and answer a node's requests.

Its V3 pools move by the reference curve, which is itself checked against the protocol's vectors;
the shapes of logs and answers are the contracts' own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from msgspec.structs import replace

from searcher.domain.errors import Rejected
from searcher.domain.events import (
    BlockApplied,
    BlockContext,
    BlockHeader,
    BlockRef,
    Log,
    PendingEffects,
    PendingTx,
)
from searcher.domain.ports import TokenProof
from searcher.domain.units import ZERO_ADDRESS, Address, Hash32, keccak256
from searcher.kernels.reference import uniswap_v2, uniswap_v3
from searcher.kernels.reference.uniswap_v3 import ConcentratedState
from searcher.market.market import Market
from searcher.market.settings import DexSettings, DiscoverySettings, TokenSettings

CHAIN = "testchain"
SPACINGS = {500: 10, 3000: 60}


def address(number):
    return Address(f"0x{number:040x}")


WETH, USDC, DAI, WBTC, UNNAMED = (address(0xA0 + n) for n in range(5))
TOKENS = {
    "WETH": TokenSettings(address=WETH, decimals=18),
    "USDC": TokenSettings(address=USDC, decimals=6),
    "DAI": TokenSettings(address=DAI, decimals=18),
    "WBTC": TokenSettings(address=WBTC, decimals=8),
}
DECIMALS = {WETH: 18, USDC: 6, DAI: 18, WBTC: 8, UNNAMED: 18}
FACTORIES = {"v2": address(0xF2), "fork": address(0xF4), "v3": address(0xF3)}
DEXES = {
    "v2": DexSettings(protocol="uniswap_v2", factory=FACTORIES["v2"], fee_pips=3000),
    "fork": DexSettings(protocol="uniswap_v2", factory=FACTORIES["fork"], fee_pips=2500),
    "v3": DexSettings(protocol="uniswap_v3", factory=FACTORIES["v3"]),
}


def topic(signature):
    return "0x" + keccak256(signature.encode()).hex()


def selector(signature):
    return topic(signature)[:10]


def word(value):
    return f"{(int(value, 16) if isinstance(value, str) else value) % 2**256:064x}"


def data(*values):
    return "0x" + "".join(map(word, values))


@dataclasses.dataclass
class FakePool:
    token0: Address
    token1: Address
    fee_pips: int
    reserves: tuple[int, int] | None = None
    curve: ConcentratedState | None = None

    @property
    def spacing(self):
        return SPACINGS[self.fee_pips]


def make_market(dexes=None, **discovery):
    """A market of the world's DEXes, or of others given as tables."""
    return Market(
        CHAIN,
        wrapped_native=WETH,
        tokens=TOKENS,
        dexes={name: DexSettings(**dex) for name, dex in dexes.items()} if dexes else DEXES,
        discovery=DiscoverySettings(**discovery),
    )


def prove_all(market):
    market.mark_proven([TokenProof(token, sound=True, reason="") for token, _ in market.unproven()])


class World:
    """Build up a block with the actions, then `seal` it. It is a `market.node.Node` as well."""

    def __init__(self):
        self.pools: dict[Address, FakePool] = {}
        self.created = 0
        self.headers = [self._header(0, Hash32("0x" + "00" * 32))]
        self.logs: list[Log] = []
        self.sealed: list[tuple[Log, ...]] = [()]
        self.states = {self.headers[0].hash: {}}
        self.requests: list[str] = []
        self.most_logs = 10_000
        self.broken: set[Address] = set()

    # ---- actions

    def create_v2(self, dex, token_a, token_b, amount_a=0, amount_b=0):
        pool = self._new_address()
        (token0, reserve0), (token1, reserve1) = sorted([(token_a, amount_a), (token_b, amount_b)])
        self._emit(
            FACTORIES[dex],
            (topic("PairCreated(address,address,address,uint256)"), token0, token1),
            data(pool, len(self.pools) + 1),
        )
        self.pools[pool] = FakePool(token0, token1, DEXES[dex].fee_pips, reserves=(0, 0))
        if reserve0:
            self.sync(pool, reserve0, reserve1)
        return pool

    def create_v3(self, token0, token1, fee_pips=3000, tick=None, positions=()):
        pool = self._new_address()
        token0, token1 = sorted((token0, token1))
        self._emit(
            FACTORIES["v3"],
            (
                topic("PoolCreated(address,address,uint24,int24,address)"),
                token0,
                token1,
                hex(fee_pips),
            ),
            data(SPACINGS[fee_pips], pool),
        )
        self.pools[pool] = FakePool(token0, token1, fee_pips, curve=ConcentratedState())
        if tick is not None:
            self.initialize(pool, tick)
        for lower, upper, liquidity in positions:
            self.mint(pool, lower, upper, liquidity)
        return pool

    def sync(self, pool, reserve0, reserve1):
        self.pools[pool].reserves = (reserve0, reserve1)
        self._emit(pool, (topic("Sync(uint112,uint112)"),), data(reserve0, reserve1))

    def initialize(self, pool, tick):
        price = uniswap_v3.sqrt_at_tick(tick)
        self.pools[pool].curve = ConcentratedState(price, 0, tick)
        self._emit(pool, (topic("Initialize(uint160,int24)"),), data(price, tick))

    def mint(self, pool, lower, upper, liquidity):
        self._position(pool, lower, upper, liquidity)
        signature = "Mint(address,address,int24,int24,uint128,uint256,uint256)"
        self._emit(pool, (topic(signature), WETH, lower, upper), data(WETH, liquidity, 1, 1))

    def burn(self, pool, lower, upper, liquidity):
        self._position(pool, lower, upper, -liquidity)
        signature = "Burn(address,int24,int24,uint128,uint256,uint256)"
        self._emit(pool, (topic(signature), WETH, lower, upper), data(liquidity, 1, 1))

    def swap(self, pool, amount_in, *, zero_for_one):
        """Swap an exact input, or as much of it as the pool takes; return the output."""
        fake = self.pools[pool]
        if fake.reserves is not None:
            has, pays = fake.reserves if zero_for_one else fake.reserves[::-1]
            out = uniswap_v2.amount_out(amount_in, has, pays, fake.fee_pips)
            after = (has + amount_in, pays - out)
            self.sync(pool, *(after if zero_for_one else after[::-1]))
            return out
        result = uniswap_v3.swap(
            fake.curve,
            zero_for_one=zero_for_one,
            amount=amount_in,
            fee_pips=fake.fee_pips,
            tick_spacing=fake.spacing,
        )
        fake.curve = ConcentratedState(
            result.sqrt_price_x96, result.liquidity, result.tick, fake.curve.ticks
        )
        signature = "Swap(address,address,int256,int256,uint160,uint128,int24)"
        self._emit(pool, (topic(signature), WETH, WETH), data(*result[:5]))
        return -(result.amount1 if zero_for_one else result.amount0)

    def emit_raw(self, log):
        self.logs.append(replace(log, log_index=len(self.logs)))

    def seal(self):
        """Close the block under construction."""
        parent = self.headers[-1]
        header = self._header(parent.number + 1, parent.hash)
        self.headers.append(header)
        self.sealed.append(tuple(self.logs))
        self.logs = []
        self.states[header.hash] = {a: dataclasses.replace(p) for a, p in self.pools.items()}
        return self.applied(header, self.sealed[-1])

    @staticmethod
    def applied(header, logs):
        """A block as it comes from the chain."""
        return BlockApplied(CHAIN, header, logs, received_ns=1, at_ns=2)

    def pending(self, act, *, succeeded=True):
        """Run actions as a pending transaction would on the head: logs come out, nothing stays."""
        kept = {a: dataclasses.replace(p) for a, p in self.pools.items()}
        before, self.logs = self.logs, []
        act()
        logs, self.logs, self.pools = tuple(self.logs), before, kept
        tx = PendingTx(
            chain=CHAIN,
            hash=Hash32("0x" + "77" * 32),
            raw=b"\x02",
            sender=WETH,
            to=WETH,
            nonce=0,
            value=0,
            gas=1,
            max_fee_wei=1,
            max_priority_fee_wei=1,
            data=b"",
            tx_type=2,
            received_ns=3,
        )
        return PendingEffects(tx, self.head, succeeded, 1, logs, at_ns=4)

    @property
    def head(self) -> BlockRef:
        return self.headers[-1].ref

    def context(self, base_fee_wei=10**9):
        header = self.headers[-1]
        return BlockContext(
            header.ref, header.number + 1, header.timestamp + 12, base_fee_wei, 30_000_000, WETH
        )

    # ---- as a node

    async def call(self, method: str, params: Any = ()) -> Any:
        self.requests.append(method)
        if method == "eth_call":  # only the lens asks so, and this node knows no state overrides
            raise Rejected("too many arguments, want at most 2")
        assert method == "eth_getLogs"
        (query,) = params
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        found = []
        for number in range(first, min(last + 1, len(self.sealed))):
            found += [
                {
                    "address": log.address,
                    "topics": list(log.topics),
                    "data": log.data,
                    "logIndex": hex(log.log_index),
                }
                for log in self.sealed[number]
                if log.address in query["address"] and _matches(log, query["topics"])
            ]
        if len(found) > self.most_logs:
            raise Rejected("query returned more than 10000 results")
        return found

    async def batch_settled(self, calls: Any) -> list[Any]:
        self.requests.append(f"batch of {len(calls)}")
        return [self._eth_call(*params) for method, params in calls if method == "eth_call"]

    def _eth_call(self, call, block):
        to, name, argument = call["to"], call["data"][:10], call["data"][10:]
        if to in self.broken:
            return Rejected("execution reverted")
        if name == selector("decimals()"):
            return data(DECIMALS.get(to, 18))
        pool = self.states[block["blockHash"]].get(to)
        if pool is None:
            return "0x"
        if pool.reserves is not None:
            assert name == selector("getReserves()")
            return data(*pool.reserves, 1)
        signed = int(argument, 16) if argument else 0
        signed -= 2**256 if signed >> 255 else 0
        curve = pool.curve
        if name == selector("slot0()"):
            return data(curve.sqrt_price_x96, curve.tick, 0, 1, 1, 0, 1)
        if name == selector("liquidity()"):
            return data(curve.liquidity)
        if name == selector("tickBitmap(int16)"):
            bits = 0
            for tick in curve.ticks.index:
                place = tick // pool.spacing
                bits |= (place >> 8 == signed) << (place & 255)
            return data(bits)
        assert name == selector("ticks(int24)")
        at = curve.ticks.index.index(signed)
        return data(curve.ticks.gross[at], curve.ticks.net[at], 0, 0, 0, 0, 0, 1)

    # ---- inside

    def _new_address(self):
        # Counted on over a reorg: pools of two branches never share an address.
        self.created += 1
        return address(0x1000 + self.created)

    def _position(self, pool, lower, upper, change):
        curve = self.pools[pool].curve
        table = curve.ticks.changed(lower, net=change, gross=change)
        table = table.changed(upper, net=-change, gross=change)
        inside = change if lower <= curve.tick < upper else 0
        self.pools[pool].curve = dataclasses.replace(
            curve, ticks=table, liquidity=curve.liquidity + inside
        )

    def _emit(self, emitter, topics, payload):
        first, *rest = topics
        indexed = tuple("0x" + word(value) for value in rest)
        self.logs.append(Log(emitter, (first, *indexed), payload, len(self.logs)))

    def _header(self, number, parent):
        seed = f"{number}{parent}{id(self)}".encode()
        return BlockHeader(
            number,
            Hash32("0x" + keccak256(seed).hex()),
            parent,
            1_700_000_000 + 12 * number,
            10**9,
            30_000_000,
            0,
            ZERO_ADDRESS,
        )

    def fork(self, number):
        """Drop the blocks above a height, as a reorg does; the next seal makes another one."""
        del self.headers[number + 1 :], self.sealed[number + 1 :]
        kept = self.states[self.headers[-1].hash]
        self.pools = {a: dataclasses.replace(p) for a, p in kept.items()}


def _matches(log, topics):
    return all(
        place < len(log.topics) and log.topics[place] in wanted
        for place, wanted in enumerate(topics)
        if wanted
    )
