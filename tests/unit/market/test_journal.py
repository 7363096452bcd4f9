"""Reorganisations at random: a market taken back and led on is the market that was never wrong."""

from __future__ import annotations

import random

import pytest

from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockRef
from searcher.kernels.memory import ALIVE
from searcher.market.protocol import QuoteBlock
from searcher.market.standing import MarketDelta, joined
from tests.unit.market.branches import Tree, follow, new_market
from tests.unit.market.images import bytes_of

DEEPEST = 64


def everything(market):
    """All that a market is, in arrays, structs, registry and standing."""
    pools = market._pools
    return {
        "arrays": bytes_of(market.memory),
        "states": [market.state(n) for n in range(len(market.pools))],
        "volatile": dict(market._states._volatile),
        "pools": list(market.pools),
        "rows": list(market.rows),
        "routes": {a: r for a, r in pools.routes.items() if r >= 0},
        "tokens": {token: list(rows) for token, rows in pools.rows_of_token.items()},
        "watchers": {where: list(n) for where, n in pools.watchers.items() if n},
        "standing": [market.why_not(row) for row in range(len(market.rows))],
        "unproven": sorted(market._standing.unproven),
        "head": market.head,
        "drawn for": market._states.block,
        "waiting": sorted(market._intake._nameless),
        "awaited": sorted(market._intake._awaited),
    }


def begin(market, tree):
    """Stand on the root, as after a bootstrap that found no pool."""
    market.head = tree.root.ref
    market._states.block = QuoteBlock(1, 0)


class Follower:
    """A market on a tree's branch, and what each block looked like when it was applied."""

    def __init__(self, tree, depth=DEEPEST):
        self.tree = tree
        self.market = new_market(depth)
        begin(self.market, tree)
        self.at = tree.root
        self.images = {tree.root.ref: everything(self.market)}
        self.searched = {}

    async def take(self, node):
        self.hear(joined(*await follow(self.market, self.tree, node)))
        self.at = node
        self.images[node.ref] = everything(self.market)

    def back(self, node):
        self.hear(self.market.unwind(node.ref))
        self.at = node
        assert everything(self.market) == self.images[node.ref]

    def hear(self, delta):
        """Follow the deltas as a cycle book does: rows that leave, then rows that enter."""
        for row in delta.left:
            del self.searched[row]
        for row in delta.entered:
            assert row not in self.searched
            self.searched[row] = self.market.rows[row]
        alive = {
            row: self.market.rows[row]
            for row in range(len(self.market.rows))
            if self.market.memory.real[row, ALIVE]
        }
        assert self.searched == alive

    def overlay(self):
        before = everything(self.market)
        with self.market.overlay(self.tree.pending(self.at)):
            pass
        assert everything(self.market) == before


async def rebuilt(tree, node):
    """A fresh market, fed the canonical chain."""
    market = new_market()
    begin(market, tree)
    for each in node.path():
        await follow(market, tree, each)
    return everything(market)


def truly(market, node):
    """Whether a market holds what the protocols make of a branch's logs."""
    for number, pool in enumerate(market.pools):
        state = market.state(number)
        assert (pool.id in node.broken) >= (number in market._standing.broken)
        if state is None or pool.id in node.broken:
            continue  # one that was read only after its bad log is not broken
        true = node.states[pool.id]
        for name in ("reserve0", "sqrt_price_x96", "tick", "liquidity", "ticks", "balances"):
            assert getattr(state, name, None) == getattr(true, name, None)


async def reorganise(seed, reorgs, rebuild_each):
    """Follow a tree through reorganisations of any depth; return their depths.

    After each, the market is what it was when the ancestor was its head; after each of the last of
    `rebuild_each` it is also compared with a market that was never on another branch.
    """
    rng = random.Random(seed)
    tree = Tree(rng)
    follower = Follower(tree)
    # At first the pools come, so that the branches part among living ones.
    for _ in range(12):
        await follower.take(tree.grow(follower.at, logs=6))
    for _ in range(rng.randrange(DEEPEST)):
        await follower.take(tree.grow(follower.at))
    depths = []
    for n in range(reorgs):
        deep = rng.choice((1, 1, 1, 2, 2, 3, 5, 8, rng.randrange(1, DEEPEST + 1)))
        depth = min(deep, follower.at.number)
        depths.append(depth)
        follower.back(follower.at.ancestor(depth))
        for _ in range(rng.choice((depth, depth + 1))):
            await follower.take(tree.grow(follower.at))
        if rng.random() < 0.3:
            follower.overlay()
        truly(follower.market, follower.at)
        if n % rebuild_each == rebuild_each - 1:
            assert everything(follower.market) == await rebuilt(tree, follower.at)
    return depths


async def run(seeds, reorgs, rebuild_each):
    depths = [d for seed in seeds for d in await reorganise(seed, reorgs, rebuild_each)]
    assert len(depths) == len(seeds) * reorgs
    assert min(depths) == 1
    assert max(depths) > DEEPEST - 8
    return depths


async def test_after_any_reorganisation_the_market_is_what_a_rebuild_gives():
    assert len(await run(range(10), 100, 25)) == 1_000


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_after_ten_thousand_reorganisations_it_always_is():
    assert len(await run(range(100, 300), 50, 1)) == 10_000


async def test_what_is_deeper_than_the_journal_is_refused_and_changes_nothing():
    tree = Tree(random.Random(7))
    follower = Follower(tree, depth=3)
    for _ in range(5):
        await follower.take(tree.grow(follower.at, logs=6))
    before = everything(follower.market)
    with pytest.raises(InvariantBroken, match="not among the last 3 applied: rebuild"):
        follower.market.unwind(follower.at.ancestor(4).ref)
    stranger = tree.grow(follower.at.ancestor(1))
    assert not follower.market.can_unwind(stranger.ref)
    assert everything(follower.market) == before
    follower.back(follower.at.ancestor(3))
    assert not follower.market.can_unwind(follower.at.parent.ref)


async def test_a_block_cannot_be_applied_or_taken_back_under_an_overlay():
    tree = Tree(random.Random(3))
    follower = Follower(tree)
    for _ in range(3):
        await follower.take(tree.grow(follower.at, logs=6))
    following = tree.grow(follower.at, logs=6)
    with follower.market.overlay(tree.pending(follower.at)):
        with pytest.raises(InvariantBroken, match="under an overlay"):
            follower.market.apply(following.block)
        with pytest.raises(InvariantBroken, match="no block can be taken back"):
            follower.market.unwind(follower.at.parent.ref)
    await follower.take(following)
    assert everything(follower.market) == await rebuilt(tree, follower.at)


async def test_the_journal_stays_small():
    tree = Tree(random.Random(5))
    follower = Follower(tree)
    for _ in range(150):
        await follower.take(tree.grow(follower.at))
    kept = follower.market._journal.statistics()
    assert kept.blocks == DEEPEST
    # An image of a row has 28 words; most events save one row.
    assert 0 < kept.undo_bytes < DEEPEST * 10 * 28 * 8


def test_deltas_that_follow_each_other_make_one():
    def delta(rows=(), entered=(), left=()):
        return MarketDelta(BlockRef(1, "0x1"), rows, entered, left)

    assert joined(delta((3,), (3,)), delta((1,), (1,), (3,))) == delta((1, 3), (1,))
    # Row 5 left, and its number was given to another pair.
    assert joined(delta((), (), (5,)), delta((5,), (5,))) == delta((5,), (5,), (5,))
    assert joined(delta((), (5,)), delta((), (), (5,)), delta((), (5,))) == delta((), (5,))
