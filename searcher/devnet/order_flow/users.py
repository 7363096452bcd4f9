"""Users who swap: which pool, which way, how much, drawn from the seed and the block alone."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from eth_abi.abi import decode
from msgspec import Struct

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.accounts import USERS, account
from searcher.devnet.artifacts import calldata
from searcher.devnet.economy import CONCENTRATED, PAIRS, units
from searcher.devnet.manifest import Manifest
from searcher.devnet.order_flow.wallet import Wallet
from searcher.domain.units import BPS, WEI_PER_GWEI, Address

_FAR_FUTURE: Final = 2**40
_FEWEST_SWAPS: Final = 2
_MOST_SWAPS: Final = 5
_SENT_WITHIN: Final = 0.7
"""Share of the block's time in which users send."""
_V2_SHARE: Final = (0.003, 0.03)
_V3_SHARE: Final = (0.02, 0.22)
"""Bounds of a swap's size as a share of the pool's money on one side; V3's is concentrated."""
_LEAN_USD: Final = 400_000
"""Net flow at which users of a pair surely trade the other way: prices stay near their start."""
_GAS: Final = 450_000
_V2_SWAP: Final = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
_V2_SWAP_FEE: Final = (
    "swapExactTokensForTokensSupportingFeeOnTransferTokens"
    "(uint256,uint256,address[],address,uint256)"
)
_V2_QUOTE: Final = "getAmountsOut(uint256,address[])"
_V3_SWAP: Final = (
    "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
)
_V3_QUOTE: Final = "quoteExactInputSingle((address,address,uint256,uint24,uint160))"


class Swap(Struct, frozen=True):
    """One user's intention; `after` is when it is sent, as a share of the block's time."""

    after: float
    user: int
    dex: str
    sold: str
    bought: str
    fee_pips: int
    amount: int
    slippage_bps: int
    tip_wei: int


class Venue(Struct, frozen=True):
    """A pool as users see it."""

    dex: str
    base: str
    quote: str
    fee_pips: int
    depth_usd: int


VENUES: Final = tuple(
    [Venue(pair.dex, pair.base, pair.quote, 0, pair.depth_usd) for pair in PAIRS]
    + [
        Venue(
            "uniswap_v3",
            spec.base,
            spec.quote,
            spec.fee_pips,
            sum(position.depth_usd for position in spec.positions),
        )
        for spec in CONCENTRATED
    ]
)


class UserPlan:
    """Draws each block's swaps; the same seed and blocks give the same swaps.

    Args:
        seed: of the chain's order flow.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._net_usd: Counter[tuple[str, str]] = Counter()
        self._turn = 0

    def swaps(self, block: int) -> list[Swap]:
        """Return what users send for the block that is `block` after the first, by time."""
        draw = random.Random(f"users {self._seed} {block}")  # noqa: S311 - a market, no secret
        count = draw.randint(_FEWEST_SWAPS, _MOST_SWAPS)
        return sorted((self._swap(draw) for _ in range(count)), key=lambda swap: swap.after)

    def _swap(self, draw: random.Random) -> Swap:
        venue = draw.choice(VENUES)
        low, high = _V3_SHARE if venue.fee_pips else _V2_SHARE
        usd = round(venue.depth_usd * draw.uniform(low, high))
        pair = (venue.base, venue.quote)
        lean = max(-0.5, min(0.5, self._net_usd[pair] / (2 * _LEAN_USD)))
        sells_base = draw.random() < 0.5 - lean
        self._net_usd[pair] += usd if sells_base else -usd
        sold, bought = pair if sells_base else pair[::-1]
        self._turn += 1
        return Swap(
            after=draw.uniform(0.0, _SENT_WITHIN),
            user=self._turn % USERS,
            dex=venue.dex,
            sold=sold,
            bought=bought,
            fee_pips=venue.fee_pips,
            amount=units(sold, usd),
            slippage_bps=draw.randint(50, 300),
            tip_wei=draw.randint(WEI_PER_GWEI // 10, 2 * WEI_PER_GWEI),
        )


class Users:
    """Sends swaps from the users' accounts, each limited by a quote at the time of sending.

    Args:
        rpc: the builder.
        manifest: the chain.
    """

    def __init__(self, rpc: RpcClient, manifest: Manifest) -> None:
        self._rpc = rpc
        self._manifest = manifest
        self._wallets = [Wallet(rpc, account("user", n), manifest.chain_id) for n in range(USERS)]
        self.unquoted = 0

    async def send(self, swap: Swap, base_fee_wei: int) -> None:
        """Quote a swap and send it; one that cannot be quoted is left out."""
        wallet = self._wallets[swap.user]
        try:
            quoted = await self._quote(swap)
        except RpcFault:
            self.unquoted += 1
            return
        least = quoted * (BPS - swap.slippage_bps) // BPS
        await wallet.send(
            self._manifest.dexes[swap.dex].router,
            self._calldata(swap, least, wallet.address),
            gas=_GAS,
            tip_wei=swap.tip_wei,
            max_fee_wei=2 * base_fee_wei + swap.tip_wei,
        )

    async def _quote(self, swap: Swap) -> int:
        dex = self._manifest.dexes[swap.dex]
        sold, bought = self._address(swap.sold), self._address(swap.bought)
        if not swap.fee_pips:
            data = calldata(_V2_QUOTE, swap.amount, [sold, bought])
            (amounts,) = decode(["uint256[]"], await self._view(dex.router, data))
            out = int(amounts[-1])
            # A quote knows nothing of the token's own fee; who trades it allows for it.
            return out * 97 // 100 if "FEE" in (swap.sold, swap.bought) else out
        assert dex.quoter is not None
        data = calldata(_V3_QUOTE, (sold, bought, swap.amount, swap.fee_pips, 0))
        answer = await self._view(dex.quoter, data)
        return int(decode(["uint256", "uint160", "uint32", "uint256"], answer)[0])

    def _calldata(self, swap: Swap, least: int, receiver: Address) -> bytes:
        sold, bought = self._address(swap.sold), self._address(swap.bought)
        if swap.fee_pips:
            order = (sold, bought, swap.fee_pips, receiver, _FAR_FUTURE, swap.amount, least, 0)
            return calldata(_V3_SWAP, order)
        signature = _V2_SWAP_FEE if "FEE" in (swap.sold, swap.bought) else _V2_SWAP
        return calldata(signature, swap.amount, least, [sold, bought], receiver, _FAR_FUTURE)

    async def _view(self, to: Address, data: bytes) -> bytes:
        answer = await self._rpc.call("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"])
        return bytes.fromhex(answer[2:])

    def _address(self, symbol: str) -> Address:
        return self._manifest.tokens[symbol].address
