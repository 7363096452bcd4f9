"""What the laboratory's market consists of: tokens, their prices, and how deep each pool is.

All pools of a pair start at one price, so that nothing can be earned before somebody has traded.
Depths are dollars on each side.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NATIVE_SYMBOL: Final = "WETH"


class TokenSpec(Struct, frozen=True):
    """A token: `price_e8` is dollars with 8 decimals, as Chainlink feeds count them."""

    symbol: str
    contract: str
    decimals: int
    price_e8: int
    quirk: str = ""


class PairSpec(Struct, frozen=True):
    """A constant-product pool, `depth_usd` on each side."""

    dex: str
    base: str
    quote: str
    depth_usd: int


class RangeSpec(Struct, frozen=True):
    """A position of a concentrated pool: `width_bps` to either side of `centre_bps`."""

    width_bps: int
    depth_usd: int
    centre_bps: int = 0


class ConcentratedSpec(Struct, frozen=True):
    """A Uniswap V3 pool and the positions laid over each other in it."""

    base: str
    quote: str
    fee_pips: int
    positions: tuple[RangeSpec, ...]


TOKENS: Final = (
    TokenSpec("WETH", "WETH9", 18, 3_000 * 10**8),
    TokenSpec("USDC", "PlainToken", 6, 10**8),
    TokenSpec("DAI", "PlainToken", 18, 10**8),
    TokenSpec("WBTC", "PlainToken", 8, 60_000 * 10**8),
    TokenSpec("LINK", "PlainToken", 18, 15 * 10**8),
    TokenSpec("FEE", "FeeToken", 18, 2 * 10**8, quirk="fee on transfer, 100 bps"),
    TokenSpec("NRET", "SilentToken", 6, 10**8, quirk="transfers return nothing"),
)
FEE_TOKEN_BPS: Final = 100

PAIRS: Final = (
    PairSpec("uniswap_v2", "WETH", "USDC", 3_000_000),
    PairSpec("uniswap_v2", "WETH", "DAI", 1_800_000),
    PairSpec("uniswap_v2", "WETH", "WBTC", 1_500_000),
    PairSpec("uniswap_v2", "WETH", "LINK", 900_000),
    PairSpec("uniswap_v2", "WETH", "NRET", 900_000),
    PairSpec("uniswap_v2", "WETH", "FEE", 600_000),
    PairSpec("pancake_v2", "WETH", "USDC", 2_100_000),
    PairSpec("pancake_v2", "WETH", "DAI", 1_500_000),
    PairSpec("pancake_v2", "WETH", "LINK", 750_000),
    PairSpec("pancake_v2", "WETH", "NRET", 750_000),
    PairSpec("pancake_v2", "WETH", "FEE", 450_000),
    PairSpec("pancake_v2", "WBTC", "USDC", 900_000),
)

_LAYERS: Final = (
    RangeSpec(9_000, 400_000),
    RangeSpec(1_000, 250_000),
    RangeSpec(300, 150_000),
    RangeSpec(150, 100_000, centre_bps=120),
    RangeSpec(150, 100_000, centre_bps=-120),
)
"""A wide position that always has liquidity, and narrow ones whose edges swaps cross."""

CONCENTRATED: Final = (
    ConcentratedSpec("WETH", "USDC", 500, _LAYERS),
    ConcentratedSpec("WETH", "USDC", 3_000, _LAYERS),
    ConcentratedSpec("WETH", "DAI", 3_000, _LAYERS),
    ConcentratedSpec("WETH", "WBTC", 3_000, _LAYERS),
    ConcentratedSpec("WETH", "NRET", 500, _LAYERS),
    ConcentratedSpec("LINK", "WETH", 3_000, _LAYERS),
    ConcentratedSpec("USDC", "DAI", 500, _LAYERS),
)

WEIGHTED: Final = (("WETH", 80), ("DAI", 20))
"""The Balancer pool's tokens with their weights in percent."""
WEIGHTED_DEPTH_USD: Final = 1_500_000
WEIGHTED_FEE_PIPS: Final = 3_000

LENT: Final = ("WETH", "USDC", "DAI", "WBTC")
"""The tokens of the Aave market."""

_BY_SYMBOL: Final = {token.symbol: token for token in TOKENS}


def token(symbol: str) -> TokenSpec:
    """Return the token called `symbol`."""
    return _BY_SYMBOL[symbol]


def units(symbol: str, usd: int) -> int:
    """Return the amount of a token, in its smallest units, that is worth `usd` dollars."""
    spec = _BY_SYMBOL[symbol]
    scale: int = 10 ** (8 + spec.decimals)
    return usd * scale // spec.price_e8
