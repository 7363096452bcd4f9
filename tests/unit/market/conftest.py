"""A world with a pool of each kind."""

from __future__ import annotations

import pytest

from tests.unit.market.world import DAI, USDC, WETH, World, make_market, prove_all

POSITIONS = [(-887220, 887220, 10**21), (-1200, 1200, 10**22), (-600, 60, 3 * 10**21)]


@pytest.fixture
def world():
    world = World()
    world.create_v2("v2", WETH, DAI, 10**21, 10**21)
    world.create_v2("fork", WETH, DAI, 10**21, 10**21)
    world.create_v3(WETH, DAI, 3000, 0, POSITIONS)
    world.create_v2("v2", WETH, USDC, 10**21, 3 * 10**12)
    world.seal()
    return world


@pytest.fixture
async def market(world):
    market = make_market()
    await market.bootstrap(world, world.head)
    prove_all(market)
    return market
