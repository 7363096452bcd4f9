"""The best paths through random markets, against every path that there is."""

from __future__ import annotations

import random

import pytest

from searcher.kernels.reference import uniswap_v2
from searcher.ops.market_paths import best_paths
from searcher.ops.market_view import MarketView
from tests.unit.market.world import DAI, TOKENS, UNNAMED, USDC, WBTC, WETH, World, make_market

NATIVE = 10**18
NAMES = {name: token.address for name, token in TOKENS.items()}


async def random_view(seed):
    """A market of pools between five tokens worth the same, at prices that lie 2 % apart."""
    draw, world = random.Random(seed), World()
    for _ in range(24):
        tokens = draw.sample([WETH, DAI, USDC, WBTC, UNNAMED], 2)
        depth = round(10 ** draw.uniform(19, 23))
        dex = draw.choice(["v2", "fork"])
        world.create_v2(dex, *tokens, depth, round(depth * draw.uniform(0.98, 1.02)))
    world.seal()
    market = make_market(only_configured_tokens=False)
    await market.bootstrap(world, world.head)
    for token, _ in market.unproven():
        market._standing.judge(token, "")
    return world, MarketView(market, NAMES)


def every_output(world, token, end, amount, *, hops, seen=(), used=()):
    """Yield what each path without a repeated token or pool gives, by the reference."""
    if not hops:
        return
    for address, pool in world.pools.items():
        if address in used or token not in {pool.token0, pool.token1}:
            continue
        forth = token == pool.token0
        other = pool.token1 if forth else pool.token0
        out = uniswap_v2.amount_out(
            amount, *(pool.reserves if forth else pool.reserves[::-1]), pool.fee_pips
        )
        if other == end:
            yield out, (*used, address)
        elif other not in {*seen, token}:
            yield from every_output(
                world, other, end, out, hops=hops - 1, seen=(*seen, token), used=(*used, address)
            )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("end", [DAI, WETH])
async def test_they_are_the_best_there_are(seed, end):
    world, view = await random_view(seed)
    amount = 3 * NATIVE
    found = best_paths(view, WETH, end, amount, hops=3, limit=10)
    exact = [(path.amount_out, tuple(hop.pool for hop in path.hops)) for path in found.paths]
    every = sorted(every_output(world, WETH, end, amount, hops=3), reverse=True)
    assert len(every) > 10
    assert sorted(exact, reverse=True) == every[:10]
    assert found.refused == 0


async def test_nothing_has_no_path():
    _, view = await random_view(0)
    assert best_paths(view, WETH, DAI, 0, hops=3, limit=10).paths == ()


async def test_what_a_pool_would_refuse_is_counted():
    world, view = await random_view(1)
    # Uniswap V2's reserves are 112 bits wide: more than that overflows in the pair.
    found = best_paths(view, WETH, DAI, 2**112, hops=2, limit=10)
    assert found.paths == ()
    assert found.refused > 0
    assert world.pools
