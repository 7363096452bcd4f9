"""A naive rival searcher: it compares one pair on two forks of Uniswap V2 and trades fixed sizes.

It reads each new head, and the public swaps through either router. It knows no other protocol, no
longer cycle, no best size, and it believes that every token arrives in full.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

import aiohttp
import orjson
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from msgspec import Struct

from searcher.chains.rpc import RpcClient
from searcher.devnet import relay_signature
from searcher.devnet.accounts import account
from searcher.devnet.artifacts import calldata
from searcher.devnet.manifest import Manifest, PoolEntry
from searcher.devnet.order_flow.wallet import Wallet
from searcher.domain.units import FEE_PIPS, WEI_PER_NATIVE, Address, keccak256

_SIZES_WEI: Final = tuple(size * WEI_PER_NATIVE for size in (1, 3, 8))
_GAS_EACH: Final = 160_000
_GAS_USED: Final = 230_000
_FAR_FUTURE: Final = 2**40
_ATTENDS: Final = 0.6
"""Share of the chances that it takes: it is not always awake."""
_SWAP: Final = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
_SWAP_SELECTOR: Final = keccak256(_SWAP.encode())[:4].hex()
_SWAP_TYPES: Final = ("uint256", "uint256", "address[]", "address", "uint256")

Reserves = dict[Address, tuple[int, int]]


class Chance(Struct, frozen=True):
    """Wrapped native into one pool and out of the other."""

    profit_wei: int
    amount_wei: int
    between: int
    token: Address
    first: PoolEntry
    second: PoolEntry


class Rival:
    """Bids for what it sees.

    Args:
        rpc: the builder, as a node.
        manifest: the chain.
        seed: of the chain's order flow.
        session: for the relay.
    """

    def __init__(
        self, rpc: RpcClient, manifest: Manifest, seed: int, session: aiohttp.ClientSession
    ) -> None:
        self._rpc = rpc
        self._manifest = manifest
        self._session = session
        self._draw = random.Random(f"rival {seed}")  # noqa: S311 - a market, no secret
        self._account = account("rival")
        self._wallet = Wallet(rpc, self._account, manifest.chain_id)
        self._pairs = list(_shared_pairs(manifest))
        self._reserves: Reserves = {}
        self._block = 0
        self._base_fee_wei = 0
        self._nonce = 0
        self.sent = 0

    async def on_head(self, header: Mapping[str, Any]) -> None:
        """Read the reserves, and bid for the best chance in them."""
        pools = [pool for pair in self._pairs for pool in pair]
        tag = header["number"]
        data = "0x" + calldata("getReserves()").hex()
        answers = await self._rpc.batch(
            [("eth_call", [{"to": pool.address, "data": data}, tag]) for pool in pools]
        )
        self._reserves = {
            pool.address: _reserves(answer) for pool, answer in zip(pools, answers, strict=True)
        }
        self._block = int(tag, 16) + 1
        self._base_fee_wei = int(header["baseFeePerGas"], 16) * 9 // 8 + 1
        self._nonce = await self._wallet.next_nonce()
        await self._bid(self._best(self._reserves), [])

    async def on_pending(self, body: Mapping[str, Any]) -> None:
        """Bid to follow a public swap through one of the two routers."""
        if not self._reserves:
            return
        after = self._after(body)
        if after is not None and (chance := self._best(after)) is not None:
            raw = await self._rpc.call("eth_getRawTransactionByHash", [body["hash"]])
            if raw is not None:
                await self._bid(chance, [raw])

    def _after(self, body: Mapping[str, Any]) -> Reserves | None:
        """Return the reserves behind a swap; None when it is not one that the rival reads."""
        routers = {self._manifest.dexes[dex].router: dex for dex in ("uniswap_v2", "pancake_v2")}
        dex = routers.get(body["to"])
        if dex is None or not body["input"].startswith("0x" + _SWAP_SELECTOR):
            return None
        try:
            values = decode(_SWAP_TYPES, bytes.fromhex(body["input"][10:]))
        except DecodingError:
            return None
        amount, path = values[0], [Address(token) for token in values[2]]
        pools = (pool for pair in self._pairs for pool in pair)
        for pool in pools:
            if pool.dex == dex and {pool.token0, pool.token1} == set(path):
                reserve_in, reserve_out = self._oriented(self._reserves, pool, path[0])
                out = _amount_out(amount, reserve_in, reserve_out, pool.fee_pips)
                moved = (reserve_in + amount, reserve_out - out)
                ordered = moved if path[0] == pool.token0 else moved[::-1]
                return {**self._reserves, pool.address: ordered}
        return None

    def _best(self, reserves: Reserves) -> Chance | None:
        cost = self._base_fee_wei * _GAS_USED
        chances = [c for c in self._chances(reserves) if c.profit_wei > 2 * cost]
        best: dict[Address, Chance] = {}
        for chance in sorted(chances, key=lambda chance: chance.profit_wei):
            best[chance.token] = chance
        # Any of the tokens, or it would chase for ever the one whose profit never arrives.
        return self._draw.choice(list(best.values())) if best else None

    def _chances(self, reserves: Reserves) -> Iterator[Chance]:
        native = self._manifest.wrapped_native
        for pair in self._pairs:
            token = pair[0].token1 if pair[0].token0 == native else pair[0].token0
            for first, second in (pair, pair[::-1]):
                for amount in _SIZES_WEI:
                    between = _amount_out(
                        amount, *self._oriented(reserves, first, native), first.fee_pips
                    )
                    back = _amount_out(
                        between, *self._oriented(reserves, second, token), second.fee_pips
                    )
                    yield Chance(back - amount, amount, between, token, first, second)

    @staticmethod
    def _oriented(reserves: Reserves, pool: PoolEntry, token_in: Address) -> tuple[int, int]:
        reserve0, reserve1 = reserves[pool.address]
        return (reserve0, reserve1) if token_in == pool.token0 else (reserve1, reserve0)

    async def _bid(self, chance: Chance | None, before: list[str]) -> None:
        """Send the two swaps as a bundle, behind `before`; a share of the profit is the tip."""
        if chance is None or self._draw.random() > _ATTENDS:
            return
        left = chance.profit_wei - self._base_fee_wei * _GAS_USED
        tip = int(left * self._draw.uniform(0.6, 0.98)) // _GAS_USED
        native = self._manifest.wrapped_native
        swaps = (
            (chance.first, chance.amount_wei, chance.between, [native, chance.token]),
            (chance.second, chance.between, chance.amount_wei, [chance.token, native]),
        )
        raws = [
            self._wallet.sign(
                self._manifest.dexes[pool.dex].router,
                calldata(_SWAP, amount, least, path, self._wallet.address, _FAR_FUTURE),
                nonce=self._nonce + place,
                gas=_GAS_EACH,
                tip_wei=tip,
                max_fee_wei=self._base_fee_wei + tip,
            )
            for place, (pool, amount, least, path) in enumerate(swaps)
        ]
        bundle = {
            "txs": [*before, *("0x" + raw.hex() for raw in raws)],
            "blockNumber": hex(self._block),
        }
        body = orjson.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_sendBundle", "params": [bundle]}
        )
        signature = relay_signature.sign_body(self._account, body)
        headers = {"Content-Type": "application/json", relay_signature.HEADER: signature}
        async with self._session.post(
            self._manifest.relay_url, data=body, headers=headers
        ) as answer:
            await answer.read()
        self.sent += 1


def _shared_pairs(manifest: Manifest) -> Iterator[tuple[PoolEntry, PoolEntry]]:
    """Return the pairs with wrapped native that both V2 DEXes have."""
    for first in manifest.pools:
        for second in manifest.pools:
            same = (first.token0, first.token1) == (second.token0, second.token1)
            if same and (first.dex, second.dex) == ("uniswap_v2", "pancake_v2"):
                yield first, second


def _reserves(answer: str) -> tuple[int, int]:
    return int(answer[2:66], 16), int(answer[66:130], 16)


def _amount_out(amount: int, reserve_in: int, reserve_out: int, fee_pips: int) -> int:
    paid = amount * (FEE_PIPS - fee_pips)
    return paid * reserve_out // (reserve_in * FEE_PIPS + paid)
