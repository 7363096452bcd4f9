"""The executor and its encoder against the protocols' real bytecode, on Anvil."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from eth_abi.abi import encode as abi_encode

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.accounts import account
from searcher.devnet.deployment.chain import deploy_chain
from searcher.devnet.packages import fetch
from searcher.domain.clock import SystemClock
from searcher.domain.errors import NotReady, Rejected, Unresolved
from searcher.domain.units import Address, keccak256
from searcher.executor import deployment
from searcher.executor.artifact import explain_revert
from searcher.executor.encoder import encode, with_bid
from searcher.submission.settings import GasSettings
from tests.unit.executor.routes import PAIR, POOL, hop, numbered, opportunity

pytestmark = pytest.mark.devnet

CHAIN_ID = 31337
COINBASE = numbered(0xC01B)
NEW_COINBASE = numbered(0xE3B7)


class Traded(NamedTuple):
    gas: int
    gross_wei: int


class Market:
    """A laboratory chain with an executor, and quotes from the chain itself."""

    def __init__(self, rpc, deployed):
        self.rpc = rpc
        self.deployed = deployed
        self.weth = deployed.wrapped_native
        self.owner = deployed.accounts.owner.address
        self.operator = deployed.accounts.operators[0].address
        self.executor = Address("")
        self.mines = True

    async def send(self, sender, to, data):
        call = {"from": sender, "data": "0x" + data.hex(), "gas": hex(6_000_000)}
        if to is not None:
            call["to"] = to
        tx_hash = await self.rpc.call("eth_sendTransaction", [call])
        if self.mines:
            await self.rpc.call("evm_mine")
        return tx_hash

    async def deploy(self, timeout_s=60.0):
        self.executor = await deployment.deploy(
            self.rpc,
            lambda to, data: self.send(self.owner, to, data),
            owner=self.owner,
            wrapped_native=self.weth,
            operators=[self.operator],
            clock=SystemClock(),
            timeout_s=timeout_s,
        )

    async def mined(self, sender, to, data):
        receipt = await self.rpc.call(
            "eth_getTransactionReceipt", [await self.send(sender, to, data)]
        )
        assert receipt["status"] == "0x1"
        return receipt

    async def read(self, to, signature, kinds=(), values=()):
        data = "0x" + (keccak256(signature.encode())[:4] + abi_encode(kinds, values)).hex()
        answer = await self.rpc.call("eth_call", [{"to": to, "data": data}, "latest"])
        return [int(answer[at : at + 64], 16) for at in range(2, len(answer), 64)]

    async def balance(self, holder):
        return int(await self.rpc.call("eth_getBalance", [holder, "latest"]), 16)

    async def refusal(self, calldata):
        """Return in words why the operator's call would revert."""
        call = {"from": self.operator, "to": self.executor, "data": "0x" + calldata.hex()}
        with pytest.raises(RpcFault) as fault:
            await self.rpc.call("eth_call", [call, "latest"])
        return explain_revert(bytes.fromhex(fault.value.data[2:]))

    async def held(self, token, holder):
        return (await self.read(token, "balanceOf(address)", ["address"], [holder]))[0]

    def token(self, symbol):
        return self.deployed.tokens[symbol].address

    def pool(self, dex, *symbols, fee_pips=None):
        tokens = {self.token(symbol) for symbol in symbols}
        (found,) = (
            pool
            for pool in self.deployed.pools
            if pool.dex == dex
            and {pool.token0, pool.token1} == tokens
            and fee_pips in (None, pool.fee_pips)
        )
        return found

    async def quote(self, pool, token_in, amount_in):
        """Return a hop with what the chain itself says that it gives."""
        token_out = pool.token1 if token_in == pool.token0 else pool.token0
        if pool.protocol == "uniswap_v3":
            amount_out, *_ = await self.read(
                self.deployed.dexes[pool.dex].quoter,
                "quoteExactInputSingle((address,address,uint256,uint24,uint160))",
                ["address", "address", "uint256", "uint24", "uint160"],
                [token_in, token_out, amount_in, pool.fee_pips, 0],
            )
            curve = POOL
        else:
            reserve0, reserve1, _ = await self.read(pool.address, "getReserves()")
            if token_in != pool.token0:
                reserve0, reserve1 = reserve1, reserve0
            paid = amount_in * (1_000_000 - pool.fee_pips)
            amount_out = paid * reserve1 // (reserve0 * 1_000_000 + paid)
            curve = PAIR
        return hop(int(pool.address, 16), curve, (token_in, amount_in), (token_out, amount_out))

    async def route(self, amount, start, *pools):
        hops, token, amount_in = [], start, amount
        for pool in pools:
            hops.append(await self.quote(pool, token, amount_in))
            token, amount_in = hops[-1].token_out, hops[-1].amount_out
        return hops

    async def raise_price(self, pool):
        """Have a user buy enough WETH that the pool becomes dearer than all others."""
        usd = next(t for t in (pool.token0, pool.token1) if t != self.weth)
        sell = await self.quote(pool, usd, (await self.held(usd, pool.address)) // 4)
        user = account("user", 0).address
        if pool.protocol == "uniswap_v3":
            data = abi_encode(
                ["address", "address", "uint24", "address", "uint256"] + ["uint256"] * 3,
                [usd, self.weth, pool.fee_pips, user, 2**40, sell.amount_in, 0, 0],
            )
            arguments = b"address,address,uint24,address,uint256,uint256,uint256,uint160"
            signature = b"exactInputSingle((" + arguments + b"))"
            router = self.deployed.dexes[pool.dex].router
            await self.mined(user, router, keccak256(signature)[:4] + data)
            return
        await self.transfer(user, usd, pool.address, sell.amount_in)
        out = (0, sell.amount_out) if sell.zero_for_one else (sell.amount_out, 0)
        await self.mined(
            user,
            pool.address,
            keccak256(b"swap(uint256,uint256,address,bytes)")[:4]
            + abi_encode(["uint256", "uint256", "address", "bytes"], [*out, user, b""]),
        )

    async def transfer(self, sender, token, to, amount):
        data = keccak256(b"transfer(address,uint256)")[:4]
        await self.mined(sender, token, data + abi_encode(["address", "uint256"], [to, amount]))

    def plan(self, hops, conversion=(), *, least_profit_wei=1, exact=False):
        return encode(
            opportunity(hops, conversion),
            executor=self.executor,
            wrapped_native=self.weth,
            last_block=10**6,
            least_profit_wei=least_profit_wei,
            exact=exact,
            at_ns=0,
        )

    async def trade(self, calldata):
        """Carry a plan out; return its gas and what it gained, told by the chain in two ways."""
        call = {"from": self.operator, "to": self.executor, "data": "0x" + calldata.hex()}
        told = int(await self.rpc.call("eth_call", [call, "latest"]), 16)
        before = await self.held(self.weth, self.executor)
        receipt = await self.mined(self.operator, self.executor, calldata)
        bid = int.from_bytes(calldata[21:33], "big")
        assert await self.held(self.weth, self.executor) - before == told - bid
        return Traded(int(receipt["gasUsed"], 16), told)


@asynccontextmanager
async def market():
    texts = await fetch()
    async with (
        Anvil(chain_id=CHAIN_ID, args=("--no-mining", "--order", "fifo")) as anvil,
        RpcClient(anvil.http_url, timeout_s=60.0) as rpc,
    ):
        deployed = await deploy_chain(rpc, texts, CHAIN_ID)
        await rpc.call("anvil_autoImpersonateAccount", [True])
        await rpc.call("anvil_setCoinbase", [COINBASE])
        await rpc.call("anvil_setBalance", [COINBASE, "0x1"])
        found = Market(rpc, deployed)
        await found.deploy()
        # A pair writes its price sums once for each time at which it trades: the first time costs
        # more, and blocks of one second cost less.
        await rpc.call("anvil_setBlockTimestampInterval", [12])
        for pool in deployed.pools:
            if pool.protocol == "uniswap_v2":
                await found.mined(found.owner, pool.address, keccak256(b"sync()")[:4])
        # An executor at work holds something already, which saves the gas of a first balance.
        await found.transfer(account("user", 0).address, found.weth, found.executor, 1)
        yield found


def shapes(there):
    """Cycles by name: the pool to make dear, then where WETH is sold and what follows."""
    v2 = there.pool("uniswap_v2", "WETH", "USDC")
    fork = there.pool("pancake_v2", "WETH", "USDC")
    v3 = there.pool("uniswap_v3", "WETH", "USDC", fee_pips=500)
    v3_dearer = there.pool("uniswap_v3", "WETH", "USDC", fee_pips=3_000)
    stable = there.pool("uniswap_v3", "USDC", "DAI")
    dai = there.pool("pancake_v2", "WETH", "DAI")
    silent = there.pool("uniswap_v2", "WETH", "NRET")
    silent_fork = there.pool("pancake_v2", "WETH", "NRET")
    return {
        "V2-V2": (v2, fork),
        "fork-V2": (fork, v2),
        "V2-V3": (v2, v3),
        "V3-V2": (v3, v2),
        "V3-V3": (v3_dearer, v3),
        "V2-V3-V2": (v2, stable, dai),
        "a token that returns nothing": (silent, silent_fork),
    }


async def test_cycles_of_every_shape_gain_what_was_computed_to_the_wei(record_testsuite_property):
    async with market() as there:
        for name, pools in shapes(there).items():
            snapshot = await there.rpc.call("evm_snapshot")
            await there.raise_price(pools[0])
            hops = await there.route(10**17, there.weth, *pools)
            gross = hops[-1].amount_out - hops[0].amount_in
            assert gross > 0, name
            plan = there.plan(hops, least_profit_wei=gross, exact=True)
            traded = await there.trade(plan.calldata)
            assert traded.gross_wei == gross, name
            record_testsuite_property(f"gas of {name}", traded.gas)
            await there.rpc.call("evm_revert", [snapshot])


async def test_a_split_gains_what_was_computed_to_the_wei(record_testsuite_property):
    async with market() as there:
        dear, fork = shapes(there)["V2-V2"]
        pools = [
            there.pool("uniswap_v3", "WETH", "USDC", fee_pips=500),
            there.pool("uniswap_v3", "WETH", "USDC", fee_pips=3_000),
        ]
        await there.raise_price(dear)
        usd = there.token("USDC")
        sold = await there.quote(dear, there.weth, 3 * 10**17)
        third = sold.amount_out // 3
        amounts = (third, third, sold.amount_out - 2 * third)
        bought = [
            await there.quote(pool, usd, amount)
            for pool, amount in zip((fork, *pools), amounts, strict=True)
        ]
        plan = there.plan([sold, *bought])
        assert plan.opportunity.is_split
        gross = plan.opportunity.amount_out - plan.opportunity.amount_in
        assert gross > 0
        traded = await there.trade(
            there.plan([sold, *bought], least_profit_wei=gross, exact=True).calldata
        )
        assert traded.gross_wei == gross
        assert await there.held(usd, there.executor) == 0
        record_testsuite_property("gas of a split over three pools", traded.gas)


@pytest.mark.parametrize("kind", ["pool", "pairs"])
async def test_a_cycle_of_another_token_is_converted_to_the_wei(kind):
    async with market() as there:
        dear, cheap = shapes(there)["V2-V2"]
        conversions = {
            "pool": [there.pool("uniswap_v3", "WETH", "USDC", fee_pips=3_000)],
            "pairs": [
                there.pool("pancake_v2", "WBTC", "USDC"),
                there.pool("uniswap_v2", "WETH", "WBTC"),
            ],
        }
        usd = there.token("USDC")
        await there.raise_price(dear)
        hops = await there.route(3 * 10**9, usd, cheap, dear)
        profit = hops[-1].amount_out - hops[0].amount_in
        conversion = await there.route(profit, usd, *conversions[kind])
        traded = await there.trade(there.plan(hops, conversion).calldata)
        assert traded.gross_wei == conversion[-1].amount_out
        assert await there.held(usd, there.executor) == 0


async def test_a_bid_is_paid_out_of_the_gain_for_less_gas_than_is_allowed(
    record_testsuite_property,
):
    async with market() as there:
        pools = shapes(there)["V2-V2"]
        await there.raise_price(pools[0])
        snapshot = await there.rpc.call("evm_snapshot")
        extra = {}
        for coinbase in (COINBASE, NEW_COINBASE):
            gas = []
            for bid_wei in (0, 0xFEDCBA987654):
                hops = await there.route(10**17, there.weth, *pools)
                await there.rpc.call("anvil_setCoinbase", [coinbase])
                before = await there.balance(coinbase)
                calldata = with_bid(there.plan(hops), bid_wei)
                gas.append((await there.trade(calldata)).gas)
                # The tip of our own transaction reaches the coinbase as well.
                assert await there.balance(coinbase) - before >= bid_wei
                await there.rpc.call("evm_revert", [snapshot])
                snapshot = await there.rpc.call("evm_snapshot")
            extra[coinbase] = gas[1] - gas[0]
        record_testsuite_property("gas of a bid", list(extra.values()))
        assert 0 < extra[COINBASE] < extra[NEW_COINBASE] < GasSettings().bid_gas


async def test_what_reverts_is_said_in_words():
    async with market() as there:
        pools = shapes(there)["V2-V2"]
        hops = await there.route(10**17, there.weth, *reversed(pools))
        loss = hops[0].amount_in - hops[-1].amount_out
        assert loss > 0
        assert (await there.refusal(there.plan(hops).calldata)).startswith("TransferFailed: token")
        await there.raise_price(pools[0])
        hops = await there.route(10**17, there.weth, *pools)
        gross = hops[-1].amount_out - hops[0].amount_in
        plan = there.plan(hops, least_profit_wei=gross + 1)
        expected = f"ProfitTooLow: gained {gross}, wanted {gross + 1}"
        assert await there.refusal(plan.calldata) == expected
        plan = there.plan(hops, least_profit_wei=gross - 1, exact=True)
        expected = f"ProfitNotExact: gained {gross}, wanted {gross - 1}"
        assert await there.refusal(plan.calldata) == expected
        plan = there.plan(hops)
        expected = f"BidTooHigh: bid {gross + 1}, gained {gross}"
        assert await there.refusal(with_bid(plan, gross + 1)) == expected
        await there.mined(there.operator, there.executor, deployment.pause_calldata())
        assert await there.refusal(plan.calldata) == "IsPaused"
        await there.mined(there.owner, there.executor, deployment.unpause_calldata())
        await there.trade(plan.calldata)


async def test_the_owner_withdraws_what_was_earned_and_hands_over():
    async with market() as there:
        pools = shapes(there)["V2-V2"]
        await there.raise_price(pools[0])
        hops = await there.route(10**17, there.weth, *pools)
        gross = (await there.trade(there.plan(hops).calldata)).gross_wei
        heir = account("user", 1).address
        before = await there.held(there.weth, heir)
        for data in (
            deployment.withdraw_calldata(there.weth, heir, gross),
            deployment.withdraw_native_calldata(heir, 0),
            deployment.set_operator_calldata(there.operator, allowed=False),
            deployment.offer_ownership_calldata(heir),
        ):
            await there.mined(there.owner, there.executor, data)
        assert await there.held(there.weth, heir) - before == gross
        assert not await deployment.is_operator(there.rpc, there.executor, there.operator)
        await there.mined(heir, there.executor, deployment.take_ownership_calldata())
        assert (await there.read(there.executor, "owner()"))[0] == int(heir, 16)


async def test_an_address_is_proved_to_hold_this_code():
    async with market() as there:
        usd = there.token("USDC")
        assert await deployment.is_operator(there.rpc, there.executor, there.operator)
        await deployment.verify_code(there.rpc, there.executor, wrapped_native=there.weth)
        with pytest.raises(NotReady, match="another wrapped native"):
            await deployment.verify_code(there.rpc, there.executor, wrapped_native=usd)
        with pytest.raises(NotReady, match="holds no code"):
            await deployment.verify_code(there.rpc, COINBASE, wrapped_native=there.weth)
        with pytest.raises(NotReady, match="other code"):
            await deployment.verify_code(there.rpc, usd, wrapped_native=there.weth)


async def test_a_deployment_that_fails_or_is_not_mined_says_so():
    async with market() as there:
        there.weth, weth = COINBASE, there.weth
        with pytest.raises(Rejected, match="reverted"):
            await there.deploy()
        there.weth = weth
        there.mines = False
        with pytest.raises(Unresolved, match="not mined within 0 s"):
            await there.deploy(timeout_s=0.0)
