"""The market and its curves against the protocols' real bytecode, while users trade."""

from __future__ import annotations

import pytest
import pytest_asyncio

from searcher.chains.blocks import parse_header, parse_log
from searcher.chains.rpc import RpcClient
from searcher.devnet.laboratory import Laboratory
from searcher.domain.events import BlockApplied
from searcher.domain.units import keccak256
from searcher.kernels.reference.uniswap_v3 import swap
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.concentrated import read_plainly
from searcher.market.decoding import signed
from searcher.market.market import Market
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols import uniswap_v2, uniswap_v3
from searcher.market.settings import DexSettings, TokenSettings
from tests.kernels.concentrated_pools import curve_of

pytestmark = pytest.mark.devnet

CHAIN = "devnet-a"
BLOCKS = 12
AMOUNTS = [1, 997, 10**6, 10**9, 10**12, 10**15, 10**17, 10**18, 10**20, 10**23]
GET_AMOUNTS_OUT = "getAmountsOut(uint256,address[])"
QUOTE = "quoteExactInputSingle((address,address,uint256,uint24,uint160))"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laboratory():
    async with Laboratory([CHAIN], block_time_ms=400) as laboratory:
        yield laboratory.manifests[CHAIN]


def market_of(manifest):
    dexes = {
        name: DexSettings(
            protocol=dex.protocol,
            factory=dex.factory,
            first_block=dex.first_block,
            fee_pips=dex.fee_pips or None,
        )
        for name, dex in manifest.dexes.items()
    }
    tokens = {
        name: TokenSettings(address=token.address, decimals=token.decimals)
        for name, token in manifest.tokens.items()
    }
    return Market(manifest.name, wrapped_native=manifest.wrapped_native, tokens=tokens, dexes=dexes)


async def header_of(rpc, number):
    answer = await rpc.call("eth_getBlockByNumber", [number, False])
    return parse_header(answer) if answer else None


async def block_of(rpc, number):
    """The block of this height with its logs, as soon as it is there."""
    while (header := await header_of(rpc, hex(number))) is None:
        await rpc.call("eth_blockNumber")
    logs = await rpc.call("eth_getLogs", [{"blockHash": header.hash}])
    return BlockApplied(CHAIN, header, tuple(map(parse_log, logs)), 0, 0)


def calldata(signature, *values):
    words = (int(v, 16) if isinstance(v, str) else v for v in values)
    return "0x" + keccak256(signature.encode())[:4].hex() + "".join(f"{w:064x}" for w in words)


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_market_is_the_chain_block_after_block(laboratory):
    async with RpcClient(laboratory.http_url) as rpc:
        market, again = market_of(laboratory), market_of(laboratory)
        first = await header_of(rpc, "latest")
        await market.bootstrap(rpc, first.ref)
        assert {p.address for p in market.pools} == {p.address for p in laboratory.pools}
        assert {(p.address, p.fee_pips) for p in market.pools} == {
            (p.address, p.fee_pips) for p in laboratory.pools
        }
        swaps = 0
        for number in range(first.number + 1, first.number + 1 + BLOCKS):
            block = await block_of(rpc, number)
            swaps += check_swaps(market, block.logs)
            market.apply(block)
        assert swaps > 0
        assert market.statistics().malformed == {}
        await again.bootstrap(rpc, market.head)
        rows = range(len(market.pools))
        assert [market.state(row) for row in rows] == [again.state(row) for row in rows]
        for row in rows:
            assert market.memory.exact[2 * row : 2 * row + 2].tobytes() == (
                again.memory.exact[2 * row : 2 * row + 2].tobytes()
            )
            assert market.memory.real[row].tobytes() == again.memory.real[row].tobytes()
            held, read = market.memory.slot_image(row), again.memory.slot_image(row)
            assert [a.tobytes() for a in held.arrays] == [a.tobytes() for a in read.arrays]


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_pools_are_read_by_a_call_and_hold_what_plain_calls_say(laboratory):
    async with RpcClient(laboratory.http_url) as rpc:
        market = market_of(laboratory)
        head = (await header_of(rpc, "latest")).ref
        before = rpc.statistics()
        await market.bootstrap(rpc, head)
        after = rpc.statistics()
        # Announcements, all pairs together, and all concentrated pools in one call.
        assert after.requests - before.requests == 3
        rows = [r for r, pool in enumerate(market.pools) if pool.protocol == "uniswap_v3"]
        pools = [market.pools[row] for row in rows]
        plain = read_plainly(rpc, pools, head, batch_calls=400)
        readings = [reading async for reading in plain]
    assert rows
    for row, (price, tick, liquidity, ticks) in zip(rows, readings, strict=True):
        curve = curve_of(market.state(row))
        assert (curve.sqrt_price_x96, curve.liquidity) == (price, liquidity)
        assert curve.tick == signed(tick, 24)
        table = zip(curve.ticks.index, curve.ticks.net, curve.ticks.gross, strict=True)
        assert list(table) == ticks


def check_swaps(market, logs):
    """Compute each swap that the pools report from the state before it, all five words."""
    states, checked = {}, 0
    for log in logs:
        row = market.row(log.address)
        if row is None or log.topics[0] not in market.protocol(row).topics:
            continue
        pool, state = market.pools[row], states.get(row, market.state(row))
        if log.topics[0] == uniswap_v3.SWAP:
            words = [signed(int(log.data[i : i + 64], 16), 256) for i in range(2, 322, 64)]
            zero_for_one = words[0] > 0
            result = swap(
                curve_of(state),
                zero_for_one=zero_for_one,
                amount=words[0] if zero_for_one else words[1],
                fee_pips=pool.fee_pips,
                tick_spacing=pool.tick_spacing,
            )
            assert list(result[:5]) == words
            checked += 1
        states[row] = market.protocol(row).apply(state, log)
    return checked


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_quotes_are_what_the_contracts_answer(laboratory):
    async with RpcClient(laboratory.http_url) as rpc:
        market = market_of(laboratory)
        header = await header_of(rpc, "latest")
        await market.bootstrap(rpc, header.ref)
        at = {"blockHash": header.hash}
        block = QuoteBlock(header.number, header.timestamp)
        asked = [
            (row, amount, zero_for_one)
            for row in range(len(market.pools))
            for amount in AMOUNTS
            for zero_for_one in (True, False)
        ]
        calls = [("eth_call", [question(laboratory, market, *ask), at]) for ask in asked]
        answers = await rpc.batch_settled(calls)
        refusals = []
        for (row, amount, zero_for_one), answer in zip(asked, answers, strict=True):
            pool = market.pools[row]
            try:
                quote = market.quote(row, block, amount, zero_for_one=zero_for_one)
            except SwapRefused as refusal:
                refusals.append((refusal, pool, amount, answer))
                continue
            assert isinstance(answer, str), (pool, amount, answer)
            assert quote.amount == answered(pool, answer), (pool, amount)
        assert len(refusals) < len(asked) // 2
        for refusal, pool, amount, answer in refusals:
            assert explained(refusal, pool, answer), (pool, amount, refusal, answer)


def question(laboratory, market, row, amount, zero_for_one):
    pool = market.pools[row]
    dex = laboratory.dexes[pool.dex]
    token_in, token_out = (pool.token0, pool.token1) if zero_for_one else (pool.token1, pool.token0)
    if pool.protocol == "uniswap_v3":
        arguments = (token_in, token_out, amount, pool.fee_pips, 0)
        return {"to": dex.quoter, "data": calldata(QUOTE, *arguments)}
    data = calldata(GET_AMOUNTS_OUT, amount, 64, 2, token_in, token_out)
    return {"to": dex.router, "data": data}


def answered(pool, answer):
    """The output: first of the quoter's words, last of the router's amounts."""
    return int(answer[2:66] if pool.protocol == "uniswap_v3" else answer[-64:], 16)


def explained(refusal, pool, answer):
    """Whether a contract that answers all the same answers nothing, or took less than it all."""
    if not isinstance(answer, str) or answered(pool, answer) == 0:
        return True
    return refusal.status in {Status.INSUFFICIENT_LIQUIDITY, Status.OVERFLOW}


def test_events_are_those_that_the_market_knows():
    assert uniswap_v2.UniswapV2.topics | uniswap_v3.UniswapV3.topics == {
        uniswap_v2.SYNC,
        uniswap_v3.INITIALIZE,
        uniswap_v3.MINT,
        uniswap_v3.BURN,
        uniswap_v3.SWAP,
    }
