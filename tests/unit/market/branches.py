"""A tree of blocks that grows at random, and a market that follows one branch or another of it.

Beside the pools whose states lie in arrays there are *baskets*: three tokens at a moving rate,
announced without their tokens, changed by a contract that is not theirs as well, and drawn in
pieces. They take every path that pools of other curves take.
"""

# A basket has the methods of its base, and needs few of their arguments.
# ruff: noqa: ARG002

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import BlockApplied, BlockHeader, Log, PendingEffects
from searcher.domain.ports import TokenProof
from searcher.domain.settings import Settings
from searcher.domain.units import ZERO_ADDRESS, Address, keccak256
from searcher.kernels.memory import PIECEWISE
from searcher.market.concentrated_pools import FEE
from searcher.market.decoding import MalformedLog, words
from searcher.market.market import Market
from searcher.market.protocol import (
    PROTOCOLS,
    Announcement,
    FollowedProtocol,
    Pool,
    Quote,
    ReadCall,
    UnreadablePool,
)
from searcher.market.settings import DexSettings, DiscoverySettings, FollowingSettings
from tests.unit.market.histories import Writer, data, followed, protocol_of, topics
from tests.unit.market.world import address

TOKENS = [address(0xA0 + n) for n in range(8)]
TAXED = TOKENS[7]
"""The one token that no proof finds sound."""
BASKETS = address(0xFB)
ORACLE = address(0xFA)
CREATED, HELD, SCALED = ("0x" + f"{n:064x}" for n in (0xC1, 0xC2, 0xC3))
DEXES = {
    "v2": {"protocol": "uniswap_v2", "factory": address(0xF2), "fee_pips": 3000},
    "fork": {"protocol": "uniswap_v2", "factory": address(0xF4), "fee_pips": 2500},
    "v3": {"protocol": "uniswap_v3", "factory": address(0xF3)},
    "cake": {"protocol": "pancake_v3", "factory": address(0xF5)},
    "slip": {"protocol": "slipstream", "factory": address(0xF6)},
    "baskets": {"protocol": "basket", "factory": BASKETS},
}


class BasketState(Struct, frozen=True):
    tokens: tuple[Address, ...]
    balances: tuple[int, ...]
    scale: int
    rate: int
    pool: Address


class BasketIdentity(Struct, frozen=True):
    pool: Address


class Basket(FollowedProtocol[BasketState]):
    Config = Settings
    State = BasketState
    Identity = BasketIdentity
    kind = PIECEWISE
    created_topics = frozenset({CREATED})
    topics = frozenset({HELD, SCALED})
    volatile = frozenset({"rate"})

    def check(self, name, dex):
        pass

    def announced(self, name, dex, log):
        (pool,) = words(log, topics=1, data=1)
        where = address(pool)
        return Announcement(where, where, (), 0, 0, BasketIdentity(where))

    def identity(self, pool):
        return BasketIdentity(pool.address)

    def reads(self, identity):
        (answer,) = yield [ReadCall(identity.pool, "0xba5e0000")]
        if isinstance(answer, str):
            raise UnreadablePool(answer)
        tokens = tuple(address(token) for token in answer[:3])
        return BasketState(tokens, answer[3:6], answer[6], answer[7], identity.pool)

    def refresh(self, state):
        (answer,) = yield [ReadCall(state.pool, "0x00007a7e")]
        if isinstance(answer, str):
            raise UnreadablePool(answer)
        return {"rate": answer[0]}

    def watched(self, state):
        return (ORACLE,)

    def new(self, pool):
        return None

    def tokens_of(self, state):
        return state.tokens

    def apply(self, state, log):
        if log.topics[0] == SCALED:
            return replace(state, scale=words(log, topics=1, data=1)[0])
        place, balance = words(log, topics=1, data=2)
        if place > 2:
            raise MalformedLog("a token that is not there")
        held = list(state.balances)
        held[place] = balance
        return replace(state, balances=tuple(held))

    def quote_exact_in(self, state, block, token_in, token_out, amount):
        return Quote(amount, amount)

    quote_exact_out = quote_exact_in

    def marginal_rate(self, state, block, token_in, token_out, amount):
        return 1.0

    def swap_gas(self, quote):
        return 100_000

    def funded(self, state):
        return all(state.balances)


def basket_pieces(protocol, state, block, token_in, token_out):
    """As many pieces as the balance says, so that slots grow and shrink."""
    state = protocol.at(state, block)
    has, pays = (state.balances[state.tokens.index(token)] for token in (token_in, token_out))
    count = has % 23
    rows = [[n, n, has + state.rate + 1.0, pays + state.scale + block.number] for n in range(count)]
    return np.array(rows, np.float64).reshape(-1, 4)


class Known:
    """The registry of protocols, and baskets."""

    def load(self, name):
        return Basket if name == "basket" else PROTOCOLS.load(name)

    def names(self):
        return [*PROTOCOLS.names(), "basket"]


def new_market(depth=64):
    return Market(
        "tree",
        wrapped_native=TOKENS[0],
        tokens={},
        dexes={name: DexSettings(**dex) for name, dex in DEXES.items()},
        discovery=DiscoverySettings(only_configured_tokens=False, most_pools=500),
        following=FollowingSettings(reorg_depth=depth),
        protocols=Known(),
        pieces=basket_pieces,
    )


@dataclass
class Node:
    """A block of the tree, and what is true behind it."""

    block: BlockApplied
    parent: Node | None
    states: dict[str, Any]
    dexes: dict[str, str]
    broken: frozenset[str]

    @property
    def ref(self):
        return self.block.header.ref

    @property
    def number(self):
        return self.block.header.number

    def ancestor(self, depth):
        node = self
        for _ in range(depth):
            node = node.parent
        return node

    def path(self):
        """The blocks from the root's first child up to this one."""
        node, found = self, []
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]


@dataclass
class Tree:
    """Grows blocks at random, and answers for each of them as a node."""

    rng: Any
    created: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self):
        self.protocols = {dex: self._protocol(said["protocol"]) for dex, said in DEXES.items()}
        self.root = self._sealed(None, [], {}, {}, frozenset())

    def grow(self, parent, logs=None):
        """Return a random block on top of another."""
        states, dexes, broken = dict(parent.states), dict(parent.dexes), set(parent.broken)
        count = self.rng.choice((0, 1, 2, 2, 3, 5)) if logs is None else logs
        written = []
        for _ in range(count):
            written += self._event(states, dexes, broken)
        return self._sealed(parent, written, states, dexes, frozenset(broken))

    def pending(self, node):
        """Return a random transaction's effects on a block."""
        states, dexes, broken = dict(node.states), dict(node.dexes), set(node.broken)
        logs = []
        for _ in range(self.rng.randrange(1, 6)):
            logs += self._event(states, dexes, broken)
        return PendingEffects(None, node.ref, True, 1, tuple(logs), 0)

    # ---- as a node

    async def call(self, method, params=()):
        raise AssertionError(method)

    async def batch_settled(self, calls):
        return [self._answer(*params) for _, params in calls]

    def _answer(self, call, at):
        node = self.nodes[at["blockHash"]]
        seed = keccak256(f"{node.ref.hash}{call['to']}".encode())
        if call["data"] == "0x313ce567":
            return data(18)
        if call["data"] == FEE:
            # What moves without a log is another on each branch, and sometimes nobody tells it.
            return "0x" if seed[0] < 16 else data(seed[1])
        if call["data"] == "0x00007a7e":
            return "0x" if seed[0] < 16 else data(seed[1] // 64)
        state = node.states[call["to"]]
        return "0x" if seed[0] < 64 else data(*state.tokens, *state.balances, state.scale, 1)

    # ---- inside

    def _protocol(self, name):
        return Basket(Settings()) if name == "basket" else protocol_of(name)

    def _event(self, states, dexes, broken):
        rng = self.rng
        kind = rng.random()
        if kind < 0.06 or not states:
            return self._create(states, dexes)
        where = rng.choice(list(states))
        protocol = self.protocols[dexes[where]]
        if kind < 0.1:
            log = Log(ORACLE, (SCALED,), data(rng.randrange(10**6)))
            self._follow(states, dexes, broken, log, [w for w in states if dexes[w] == "baskets"])
            return [log]
        if isinstance(protocol, Basket):
            place = 3 if kind < 0.105 else rng.randrange(3)
            log = Log(where, (HELD,), data(place, rng.randrange(10**6)))
        else:
            writer = Writer(protocol, where)
            log = (writer.spoil if kind < 0.105 else writer.write)(rng, states[where])
        self._follow(states, dexes, broken, log, [where])
        return [log]

    def _follow(self, states, dexes, broken, log, pools):
        for where in pools:
            protocol = self.protocols[dexes[where]]
            if where in broken or not log.topics or log.topics[0] not in protocol.topics:
                continue
            states[where], why = followed(protocol, states[where], log)
            if why:
                broken.add(where)

    def _create(self, states, dexes):
        self.created += 1
        where, rng = address(0x1000 + self.created), self.rng
        dex = rng.choice(list(DEXES))
        factory = DEXES[dex]["factory"]
        (created,) = self.protocols[dex].created_topics
        dexes[where] = dex
        if dex == "baskets":
            tokens = tuple(rng.sample(TOKENS, 3))
            balances = tuple(rng.randrange(10**6) for _ in range(3))
            states[where] = BasketState(tokens, balances, 1, 1, where)
            return [Log(factory, (created,), data(where))]
        pair = sorted(rng.sample(TOKENS, 2))
        values = {"v2": (where, 1), "fork": (where, 1), "slip": (where,)}.get(dex, (60, where))
        third = {"slip": [60], "v3": [500], "cake": [500]}.get(dex, [])
        fee = 1_000_000 if dex == "slip" else DEXES[dex].get("fee_pips", 500)
        pool = Pool(where, where, "p", dex, tuple(pair), fee, 60)
        states[where] = self.protocols[dex].new(pool)
        return [Log(factory, topics(created, *pair, *third), data(*values))]

    def _sealed(self, parent, logs, states, dexes, broken):
        number = parent.number + 1 if parent else 0
        before = parent.ref.hash if parent else "0x" + "00" * 32
        own = "0x" + keccak256(f"{number}{before}{len(self.nodes)}".encode()).hex()
        header = BlockHeader(number, own, before, 12 * number, 1, 10**7, 0, ZERO_ADDRESS)
        ordered = tuple(replace(log, log_index=i) for i, log in enumerate(logs))
        node = Node(BlockApplied("tree", header, ordered, 1, 2), parent, states, dexes, broken)
        self.nodes[own] = node
        return node


async def follow(market, tree, node):
    """Do with a block what a pipeline does."""
    deltas = [market.apply(node.block)]
    if market.is_behind:
        deltas.append(await market.refresh_volatile(tree, node.ref))
    unproven = market.unproven()
    if unproven:
        proofs = [
            TokenProof(token, sound=token != TAXED, reason="" if token != TAXED else "it is taxed")
            for token, _ in unproven
        ]
        deltas.append(market.mark_proven(proofs))
    return deltas
