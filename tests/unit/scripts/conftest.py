"""The scripts are no package of ours: they are found by their path, as a person runs them."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest_asyncio

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient
from searcher.devnet import packages
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.deployment.chain import deploy_chain
from searcher.devnet.manifest import Deployed
from searcher.devnet.transactions import Account

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

CHAIN_ID = 31_337
GWEI = 10**9
ETHER = 10**18
EXECUTOR = "0x00000000000000000000000000000000000e5ec0"
COINBASE = "0x000000000000000000000000000000000c01bba5"
# Carries out the calls that its input lists, each as address, value, length and bytes; reverts
# when one fails. What the executor does is not the matter here, only what its calls leave behind.
EXECUTOR_CODE = (
    "0x5f"  # the place of the next call in the input
    "5b80361115602d57"  # behind the end: stop
    "806040013580826060015f37"  # its length; its bytes to memory
    "5f5f825f856020013586355af1"  # its value and address; call
    "15602f57"  # failed: revert
    "01606001600156"  # on to the next
    "5b005b5f5ffd"
)


class Chain:
    """One laboratory chain whose blocks the test makes by hand."""

    def __init__(self, rpc: RpcClient, url: str, deployed: Deployed) -> None:
        self.rpc = rpc
        self.url = url
        self.deployed = deployed

    def token(self, symbol: str) -> str:
        return self.deployed.tokens[symbol].address

    async def head(self) -> int:
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def send(self, who: Account, to: str, data: bytes, *, tip_gwei: int = 0) -> str:
        nonce = int(await self.rpc.call("eth_getTransactionCount", [who.address, "pending"]), 16)
        raw = who.sign(
            chain_id=CHAIN_ID,
            nonce=nonce,
            to=to,
            gas=700_000,
            max_fee_wei=100 * GWEI,
            max_priority_fee_wei=tip_gwei * GWEI,
            data=data,
        )
        return await self.rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()])

    async def swap(self, user: int | Account, dex: str, path: Sequence[str], amount: int) -> str:
        """Send a user's swap of an exact input through the DEX's own router."""
        who = account("user", user) if isinstance(user, int) else user
        tokens = [self.token(symbol) for symbol in path]
        data = self.swap_data(dex, who.address, tokens, amount, 3000)
        return await self.send(who, self.deployed.dexes[dex].router, data)

    def swap_data(
        self, dex: str, user: str, tokens: Sequence[str], amount: int, fee_pips: int
    ) -> bytes:
        if self.deployed.dexes[dex].protocol == "uniswap_v2":
            return calldata(
                "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
                *(amount, 0, tokens, user, 2**40),
            )
        return calldata(
            "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
            (*tokens, fee_pips, user, 2**40, amount, 0, 0),
        )

    async def earn(self, operator: int, gross_wei: int, bid_wei: int) -> str:
        """Send an operator's call that brings the executor `gross_wei` and pays the bid of it."""
        weth = self.token("WETH")
        gift = calldata(
            "transferFrom(address,address,uint256)", account("spare").address, EXECUTOR, gross_wei
        )
        calls = [(weth, 0, gift)]
        if bid_wei:
            calls += [(weth, 0, calldata("withdraw(uint256)", bid_wei)), (COINBASE, bid_wei, b"")]
        data = b"".join(
            int(to, 16).to_bytes(32) + value.to_bytes(32) + len(body).to_bytes(32) + body
            for to, value, body in calls
        )
        return await self.send(account("operator", operator), EXECUTOR, data)

    async def mine(self) -> int:
        await self.rpc.call("evm_mine")
        return await self.head()

    async def receipt(self, tx_hash: str) -> dict[str, Any]:
        receipt = await self.rpc.call("eth_getTransactionReceipt", [tx_hash])
        assert receipt is not None
        assert receipt["status"] == "0x1"
        return receipt

    def run(self, first: int, last: int, claims: list[dict[str, Any]]) -> dict[str, Any]:
        """Describe a run on this chain, as the demo does."""
        deployed = self.deployed
        return {
            "name": "lab",
            "chain_id": CHAIN_ID,
            "http_url": self.url,
            "executor": EXECUTOR,
            "operators": [entry.address for entry in deployed.accounts.operators],
            "wrapped_native": deployed.wrapped_native,
            "coinbase": COINBASE,
            "first_block": first,
            "last_block": last,
            "dexes": {
                name: {
                    "protocol": dex.protocol,
                    "factory": dex.factory,
                    "fee_pips": dex.fee_pips,
                    "first_block": dex.first_block,
                }
                for name, dex in deployed.dexes.items()
            },
            "tokens": {
                name: {"address": token.address, "decimals": token.decimals, "quirk": None}
                for name, token in deployed.tokens.items()
            },
            "start_tokens": ["WETH", "USDC"],
            "most_hops": 3,
            "claims": claims,
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain() -> AsyncIterator[Chain]:
    """The laboratory's market on an Anvil that mines when told to."""
    args = ("--no-mining", "--order", "fifo", "--base-fee", str(GWEI))
    async with (
        Anvil(chain_id=CHAIN_ID, args=args) as anvil,
        RpcClient(anvil.http_url, timeout_s=60.0) as rpc,
    ):
        deployed = await deploy_chain(rpc, await packages.fetch(), CHAIN_ID)
        await rpc.call("anvil_setCode", [EXECUTOR, EXECUTOR_CODE])
        await rpc.call("anvil_setCoinbase", [COINBASE])
        await rpc.call("evm_setBlockGasLimit", [hex(30_000_000)])
        made = Chain(rpc, anvil.http_url, deployed)
        allow = calldata("approve(address,uint256)", EXECUTOR, 2**256 - 1)
        await made.send(account("spare"), made.token("WETH"), allow)
        await made.mine()
        await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
        yield made
