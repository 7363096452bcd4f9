"""Every protocol is used once, by somebody's transaction."""

import itertools

import pytest
from eth_abi.abi import decode

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.deployment.chain import deploy_chain
from searcher.devnet.manifest import Deployed
from searcher.devnet.packages import fetch

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="session")]

TRADER = account("user", 1)
ONE = 10**18
FAR = 2**40


async def landed(scene, who, to, signature, *values):
    data = calldata(signature, *values)
    raw = await scene.sign(who, to, data, gas=900_000)
    await scene.send(raw)
    await scene.mine()
    receipt = await scene.receipt(raw)
    assert receipt["status"] == "0x1"
    return receipt


async def reserves(scene, pool):
    answer = await scene.view(pool.address, "getReserves()")
    return decode(["uint112", "uint112", "uint32"], answer)[:2]


@pytest.mark.parametrize(("dex", "left_of_1000"), [("uniswap_v2", 997), ("pancake_v2", 998)])
async def test_a_v2_swap_gives_what_its_fee_leaves(scene, dex, left_of_1000):
    weth, dai = scene.token("WETH"), scene.token("DAI")
    pool = next(
        p for p in scene.manifest.pools if p.dex == dex and {p.token0, p.token1} == {weth, dai}
    )
    assert pool.fee_pips == (1_000 - left_of_1000) * 1_000
    ordered = await reserves(scene, pool)
    held, sold = ordered if pool.token0 == weth else ordered[::-1]
    paid = ONE * left_of_1000
    expected = paid * sold // (held * 1_000 + paid)
    before = await scene.balance("DAI", TRADER.address)
    await landed(
        scene,
        TRADER,
        scene.manifest.dexes[dex].router,
        "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
        ONE,
        expected,
        [weth, dai],
        TRADER.address,
        FAR,
    )
    assert await scene.balance("DAI", TRADER.address) - before == expected


async def test_a_v3_swap_crosses_ticks_and_gives_what_was_quoted(scene):
    dex = scene.manifest.dexes["uniswap_v3"]
    weth, usdc = scene.token("WETH"), scene.token("USDC")
    amount = 60 * ONE
    quoted = await scene.view(
        dex.quoter,
        "quoteExactInputSingle((address,address,uint256,uint24,uint160))",
        (weth, usdc, amount, 500, 0),
    )
    expected, _, crossed, _ = decode(["uint256", "uint160", "uint32", "uint256"], quoted)
    assert crossed >= 1
    before = await scene.balance("USDC", TRADER.address)
    await landed(
        scene,
        TRADER,
        dex.router,
        "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
        (weth, usdc, 500, TRADER.address, FAR, amount, expected, 0),
    )
    assert await scene.balance("USDC", TRADER.address) - before == expected


async def test_balancer_swaps(scene):
    pool = scene.manifest.balancer
    weth, dai = scene.token("WETH"), scene.token("DAI")
    await landed(scene, TRADER, weth, "approve(address,uint256)", pool.vault, 2**256 - 1)
    before = await scene.balance("DAI", TRADER.address)
    await landed(
        scene,
        TRADER,
        pool.vault,
        "swap((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),"
        "uint256,uint256)",
        (bytes.fromhex(pool.pool_id[2:]), 0, weth, dai, ONE, b""),
        (TRADER.address, False, TRADER.address, False),
        0,
        FAR,
    )
    got = await scene.balance("DAI", TRADER.address) - before
    assert 2_900 * ONE < got < 3_000 * ONE


async def test_aave_lends_and_its_feeds_decide_whose_loan_is_sound(scene):
    aave = scene.manifest.aave
    borrower = account("user", 9)

    async def health():
        answer = await scene.view(aave.pool, "getUserAccountData(address)", borrower.address)
        return decode(["uint256"] * 6, answer)[5]

    sound = await health()
    assert ONE < sound < 1.1 * ONE
    receipt = await landed(
        scene,
        borrower,
        aave.pool,
        "borrow(address,uint256,uint256,uint16,address)",
        scene.token("USDC"),
        10**6,
        2,
        0,
        borrower.address,
    )
    assert receipt["logs"]
    assert await health() < sound
    feed = aave.feeds["WETH"]
    await landed(scene, account("oracle"), feed, "updateAnswer(int256)", 2_700 * 10**8)
    assert await health() < ONE
    await landed(scene, account("oracle"), feed, "updateAnswer(int256)", 3_000 * 10**8)


async def test_the_odd_tokens_are_odd(scene):
    receiver = account("spare", 2).address
    for symbol, sent, arrives in (("FEE", 10_000, 9_900), ("NRET", 10_000, 10_000)):
        before = await scene.balance(symbol, receiver)
        await landed(
            scene, TRADER, scene.token(symbol), "transfer(address,uint256)", receiver, sent
        )
        assert await scene.balance(symbol, receiver) - before == arrives
    transfer = "0x" + calldata("transfer(address,uint256)", receiver, 1).hex()
    for symbol, answer in (("USDC", "0x" + "00" * 31 + "01"), ("NRET", "0x")):
        call = {"from": TRADER.address, "to": scene.token(symbol), "data": transfer}
        assert await scene.rpc.call("eth_call", [call, "latest"]) == answer


async def test_multicall_and_permit2_answer_at_their_addresses(scene):
    manifest = scene.manifest
    answer = await scene.view(manifest.multicall3, "getChainId()")
    assert int.from_bytes(answer) == manifest.chain_id
    assert len(await scene.view(manifest.permit2, "DOMAIN_SEPARATOR()")) == 32


async def test_two_chains_are_equal_and_nothing_can_be_earned_before_anybody_trades():
    texts = await fetch()
    found = []
    for chain_id in (1_001, 1_002):
        async with (
            Anvil(chain_id=chain_id, args=("--no-mining",)) as anvil,
            RpcClient(anvil.http_url, timeout_s=60.0) as rpc,
        ):
            deployed = await deploy_chain(rpc, texts, chain_id)
            found.append(deployed)
            prices = await native_prices(rpc, deployed)
    assert found[0] == found[1]
    assert len(found[0].pools) >= 12
    by_token = itertools.groupby(sorted(prices), key=lambda entry: entry[0])
    for symbol, group in by_token:
        quoted = [price for _, price in group]
        # The cheapest fee of a V2 pool is 0.2 %: prices agree far better than that.
        assert max(quoted) / min(quoted) < 1.0001, symbol


async def native_prices(rpc: RpcClient, deployed: Deployed) -> list[tuple[str, float]]:
    """Return the raw price in wrapped native of each token at each pool."""
    native = deployed.wrapped_native
    symbols = {entry.address: symbol for symbol, entry in deployed.tokens.items()}
    prices = []
    for pool in deployed.pools:
        if native not in (pool.token0, pool.token1):
            continue
        name = "getReserves()" if pool.protocol == "uniswap_v2" else "slot0()"
        data = "0x" + calldata(name).hex()
        answer = await rpc.call("eth_call", [{"to": pool.address, "data": data}, "latest"])
        first, second = int(answer[2:66], 16), int(answer[66:130], 16)
        ratio = second / first if pool.protocol == "uniswap_v2" else (first / 2**96) ** 2
        other = pool.token1 if pool.token0 == native else pool.token0
        prices.append((symbols[other], ratio if other == pool.token0 else 1 / ratio))
    return prices
