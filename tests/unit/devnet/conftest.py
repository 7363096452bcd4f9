"""One laboratory chain for all tests of this folder; its blocks are sealed by the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest_asyncio

from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.laboratory import Laboratory
from searcher.devnet.manifest import Manifest
from searcher.devnet.relay_signature import sign_body
from searcher.devnet.transactions import Account, decode
from searcher.domain.units import Address

GWEI = 10**9


class Scene:
    """A chain, and short ways to act on it."""

    def __init__(self, manifest: Manifest, rpc: RpcClient, session: aiohttp.ClientSession) -> None:
        self.manifest = manifest
        self.rpc = rpc
        self.session = session

    def token(self, symbol: str) -> Address:
        return self.manifest.tokens[symbol].address

    async def nonce(self, who: Account) -> int:
        return int(await self.rpc.call("eth_getTransactionCount", [who.address, "pending"]), 16)

    async def sign(self, who: Account, to: str | None = None, data: bytes = b"", **fields) -> str:
        nonce = fields.pop("nonce", None)
        raw = who.sign(
            chain_id=fields.pop("chain_id", self.manifest.chain_id),
            nonce=await self.nonce(who) if nonce is None else nonce,
            to=to or who.address,
            data=data,
            gas=fields.pop("gas", 400_000),
            max_fee_wei=fields.pop("max_fee_wei", 100 * GWEI),
            max_priority_fee_wei=fields.pop("tip_wei", GWEI),
            value=fields.pop("value", 0),
        )
        assert not fields
        return "0x" + raw.hex()

    async def send(self, raw: str) -> str:
        return await self.rpc.call("eth_sendRawTransaction", [raw])

    async def mine(self) -> dict[str, Any]:
        number = await self.rpc.call("devnet_mine")
        return await self.rpc.call("eth_getBlockByNumber", [number, False])

    async def head(self) -> int:
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def receipt(self, raw: str) -> dict[str, Any] | None:
        return await self.rpc.call(
            "eth_getTransactionReceipt", [decode(bytes.fromhex(raw[2:])).hash]
        )

    async def relay(
        self, method: str, parameter: Any, signer: Account | None = None, **post
    ) -> dict[str, Any]:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": [parameter]})
        headers = {"X-Flashbots-Signature": sign_body(signer or account("spare", 3), body)}
        async with self.session.post(
            self.manifest.relay_url, data=body, headers=headers, **post
        ) as answer:
            return await answer.json()

    async def bundle(self, *raws: str, signer: Account | None = None, **fields) -> str:
        """Send a bundle for the next block and return its hash."""
        block = fields.pop("block", None) or await self.head() + 1
        parameter = {"txs": list(raws), "blockNumber": hex(block), **fields}
        answer = await self.relay("eth_sendBundle", parameter, signer)
        return answer["result"]["bundleHash"]

    async def record(self, bundle_hash: str) -> dict[str, Any]:
        """Return what became of the last bundle with this hash."""
        return (await self.rpc.call("devnet_bundles", [bundle_hash]))[-1]

    async def view(self, to: str, signature: str, *values: Any) -> bytes:
        data = "0x" + calldata(signature, *values).hex()
        return bytes.fromhex(
            (await self.rpc.call("eth_call", [{"to": to, "data": data}, "latest"]))[2:]
        )

    async def balance(self, symbol: str, holder: str) -> int:
        return int.from_bytes(await self.view(self.token(symbol), "balanceOf(address)", holder))

    async def native(self, holder: str) -> int:
        return int(await self.rpc.call("eth_getBalance", [holder, "latest"]), 16)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def laboratory() -> AsyncIterator[Laboratory]:
    async with Laboratory(["devnet-a"], block_time_ms=0, flow=False) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connected(laboratory: Laboratory) -> AsyncIterator[Scene]:
    manifest = laboratory.manifests["devnet-a"]
    async with (
        RpcClient(manifest.http_url) as rpc,
        aiohttp.ClientSession() as session,
    ):
        yield Scene(manifest, rpc, session)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(connected: Scene) -> AsyncIterator[Scene]:
    """The chain with an empty pool and no fault; afterwards every block came out as planned."""
    await connected.rpc.call("devnet_clearFaults")
    await connected.mine()
    yield connected
    await connected.rpc.call("devnet_clearFaults")
    assert (await connected.rpc.call("devnet_stats"))["mismatches"] == 0
