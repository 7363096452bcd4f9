"""The lens and plain calls read the same of Uniswap's own pools, whatever gas a call may use."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
import pytest_asyncio

from searcher.chains.anvil import Anvil
from searcher.chains.blocks import parse_header
from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import Artifacts
from searcher.devnet.deployer import Deployer
from searcher.devnet.deployment.tokens import UNLIMITED, deploy_tokens
from searcher.devnet.deployment.uniswap_v3 import deploy_factory
from searcher.devnet.packages import fetch
from searcher.domain.units import ZERO_ADDRESS, Address
from searcher.market.concentrated import read_concentrated, read_plainly
from searcher.market.lens import LEAST_GAS, MOST_POOLS, read_through_lens
from searcher.market.protocol import Pool

pytestmark = pytest.mark.devnet

CHAIN_ID = 31337
GAS = 16_000_000
SPACINGS = {100: 1, 500: 10, 3_000: 60}
POSITIONS = 60
MINT = "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
PRICE_ONE = 2**96


class Chain(NamedTuple):
    rpc: RpcClient
    deployer: Deployer
    manager: Address
    tokens: tuple[Address, Address]
    pools: list[Pool]

    def mint(self, draw: random.Random, pool: Pool) -> None:
        """Queue a position around the price; every third one begins where the grid does."""
        end = 887_272 // pool.tick_spacing
        reach = draw.choice([end // 40, 20])
        low, high = sorted(draw.sample(range(-reach, reach + 1), 2))
        if draw.randrange(3) == 0:
            low = -end
        grid = (pool.fee_pips, low * pool.tick_spacing, high * pool.tick_spacing)
        amounts = (draw.randrange(10**15, 10**18), draw.randrange(10**15, 10**18), 0, 0)
        self.deployer.call(
            self.manager, MINT, (*self.tokens, *grid, *amounts, self.deployer.address, 2**40)
        )

    async def head(self):
        return parse_header(await self.rpc.call("eth_getBlockByNumber", ["latest", False])).ref


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain():
    texts = await fetch()
    async with (
        Anvil(chain_id=CHAIN_ID, args=("--no-mining", "--order", "fifo")) as anvil,
        RpcClient(anvil.http_url, timeout_s=60.0) as rpc,
    ):
        artifacts, who = Artifacts(texts), account("deployer")
        await rpc.call("anvil_setBalance", [who.address, hex(10**24)])
        deployer = Deployer(rpc, who, CHAIN_ID)
        symbols = deploy_tokens(deployer, artifacts)
        dex, manager = deploy_factory(deployer, artifacts, symbols["WETH"], 0)
        token0, token1 = sorted((symbols["DAI"], symbols["LINK"]))
        for token in (token0, token1):
            deployer.call(token, "mint(address,uint256)", deployer.address, 10**30)
            deployer.call(token, "approve(address,uint256)", manager, UNLIMITED)
        deployer.call(dex.factory, "enableFeeAmount(uint24,int24)", 100, 1)
        # The fourth pool never gets a price.
        for fee in (*SPACINGS, 10_000):
            create = "createPool(address,address,uint24)"
            deployer.call(dex.factory, create, token0, token1, fee, gas=6_000_000)
        await deployer.flush()
        asked = [
            (dex.factory, "getPool(address,address,uint24)", (token0, token1, fee))
            for fee in (*SPACINGS, 10_000)
        ]
        found = await deployer.read(asked, "(address)")
        pools = [
            Pool(
                pool,
                Address(pool),
                "uniswap_v3",
                "own",
                (token0, token1),
                fee,
                SPACINGS.get(fee, 200),
            )
            for (pool,), fee in zip(found, (*SPACINGS, 10_000), strict=True)
        ]
        chain = Chain(rpc, deployer, manager, (token0, token1), pools)
        draw = random.Random(20)
        for pool in pools[:3]:
            deployer.call(pool.address, "initialize(uint160)", PRICE_ONE)
            for _ in range(POSITIONS):
                chain.mint(draw, pool)
        await deployer.flush()
        yield chain


async def gathered(readings):
    return [reading async for reading in readings]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("gas", [GAS, LEAST_GAS])
async def test_the_lens_reads_what_plain_calls_read(chain, gas):
    head = await chain.head()
    plain = await gathered(read_plainly(chain.rpc, chain.pools, head, batch_calls=400))
    before = chain.rpc.statistics().calls
    seen = await gathered(read_through_lens(chain.rpc, chain.pools, head, gas=gas))
    calls = chain.rpc.statistics().calls - before
    assert seen == plain
    assert [len(reading.ticks) > POSITIONS for reading in seen] == [True, True, True, False]
    assert seen[3].price == 0
    # The gas is what decides how many calls it takes: 22 million for the finest pool's bitmap.
    assert calls <= 4 if gas == GAS else calls > 30


@pytest.mark.asyncio(loop_scope="module")
async def test_pools_that_are_none_are_refused_one_by_one(chain):
    head = await chain.head()
    good = chain.pools[2]
    others = [
        Pool(where, Address(where), "uniswap_v3", "own", tuple(chain.tokens), 3_000, 60)
        for where in (chain.tokens[0], chain.manager, ZERO_ADDRESS, "0x" + "77" * 20)
    ]
    asked = [others[0], good, *others[1:], good]
    plain = await gathered(read_plainly(chain.rpc, asked, head, batch_calls=400))
    seen = await gathered(read_through_lens(chain.rpc, asked, head, gas=GAS))
    assert [type(reading) for reading in seen] == [type(reading) for reading in plain]
    assert seen[1] == seen[-1] == plain[1]
    assert all(seen[i].startswith("slot0() reverted or has another shape") for i in (0, 2, 3, 4))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_block_that_is_no_longer_the_head_is_read_as_it_was(chain):
    then = await chain.head()
    before = await gathered(read_plainly(chain.rpc, chain.pools, then, batch_calls=400))
    draw = random.Random(21)
    for pool in chain.pools[:3]:
        chain.mint(draw, pool)
    await chain.deployer.flush()
    now = await chain.head()
    assert await gathered(read_through_lens(chain.rpc, chain.pools, then, gas=GAS)) == before
    after = await gathered(read_through_lens(chain.rpc, chain.pools, now, gas=GAS))
    assert all(a != b for a, b in zip(after[:3], before[:3], strict=True))


@pytest.mark.asyncio(loop_scope="module")
async def test_more_pools_than_one_call_takes_are_all_read_in_order(chain):
    head = await chain.head()
    asked = [chain.pools[n % 2 + 2] for n in range(2 * MOST_POOLS + 1)]
    seen = await gathered(
        read_concentrated(chain.rpc, asked, head, gas=30_000_000, batch_calls=400)
    )
    assert len(seen) == len(asked)
    assert seen[0] != seen[1]
    assert seen == [seen[n % 2] for n in range(len(asked))]
