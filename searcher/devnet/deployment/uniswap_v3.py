"""Uniswap V3: factory, position manager, router, quoter, and pools with overlapping positions."""

from __future__ import annotations

import math
from typing import Final

from searcher.devnet.artifacts import Artifacts, with_arguments
from searcher.devnet.deployer import Deployer
from searcher.devnet.deployment.tokens import UNLIMITED
from searcher.devnet.economy import CONCENTRATED, ConcentratedSpec, RangeSpec, token, units
from searcher.devnet.manifest import DexEntry, PoolEntry
from searcher.domain.units import BPS, ZERO_ADDRESS, Address

DEX: Final = "uniswap_v3"
_MAX_TICK: Final = 887_272
_FAR_FUTURE: Final = 2**40
_SPACING: Final = {500: 10, 3_000: 60}
_CREATE_POOL: Final = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)"
_MINT: Final = (
    "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
)


def deploy_factory(
    deployer: Deployer, artifacts: Artifacts, wrapped_native: Address, first_block: int
) -> tuple[DexEntry, Address]:
    """Queue the contracts; returns the DEX and its position manager."""
    factory = deployer.create("UniswapV3Factory", artifacts.creation("UniswapV3Factory"))

    def beside(name: str, *more: Address) -> Address:
        arguments = [factory, wrapped_native, *more]
        code = with_arguments(artifacts.creation(name), ["address"] * len(arguments), arguments)
        return deployer.create(name, code)

    manager = beside("NonfungiblePositionManager", ZERO_ADDRESS)
    dex = DexEntry(
        protocol="uniswap_v3",
        factory=factory,
        router=beside("SwapRouter"),
        fee_pips=0,
        first_block=first_block,
        quoter=beside("QuoterV2"),
    )
    return dex, manager


def create_pools(deployer: Deployer, manager: Address, tokens: dict[str, Address]) -> None:
    """Queue every pool at its starting price, and its positions."""
    for address in tokens.values():
        deployer.call(address, "approve(address,uint256)", manager, UNLIMITED)
    for spec in CONCENTRATED:
        first, second = _ordered(spec, tokens)
        price = _sqrt_price(first, second)
        deployer.call(
            manager,
            _CREATE_POOL,
            tokens[first],
            tokens[second],
            spec.fee_pips,
            price,
            gas=6_000_000,
        )
        for position in spec.positions:
            lower, upper = _ticks(price, position, _SPACING[spec.fee_pips])
            deployer.call(
                manager,
                _MINT,
                (
                    tokens[first],
                    tokens[second],
                    spec.fee_pips,
                    lower,
                    upper,
                    units(first, position.depth_usd),
                    units(second, position.depth_usd),
                    0,
                    0,
                    deployer.address,
                    _FAR_FUTURE,
                ),
            )


async def list_pools(
    deployer: Deployer, dex: DexEntry, tokens: dict[str, Address]
) -> list[PoolEntry]:
    """Return the pools, once they are mined."""
    keys = [
        (min(pair), max(pair), spec.fee_pips)
        for spec in CONCENTRATED
        for pair in ((tokens[spec.base], tokens[spec.quote]),)
    ]
    found = await deployer.read(
        [(dex.factory, "getPool(address,address,uint24)", key) for key in keys], "(address)"
    )
    return [
        PoolEntry(Address(address), dex.protocol, DEX, a, b, fee)
        for (address,), (a, b, fee) in zip(found, keys, strict=True)
    ]


def _ordered(spec: ConcentratedSpec, tokens: dict[str, Address]) -> tuple[str, str]:
    first, second = sorted((spec.base, spec.quote), key=lambda symbol: tokens[symbol])
    return first, second


def _sqrt_price(first: str, second: str) -> int:
    """Return the square root of raw token1 per token0, in Q64.96."""
    a, b = token(first), token(second)
    numerator = a.price_e8 * 10**b.decimals
    denominator = b.price_e8 * 10**a.decimals
    return math.isqrt((numerator << 192) // denominator)


def _ticks(sqrt_price: int, position: RangeSpec, spacing: int) -> tuple[int, int]:
    """Return a position's bounds, on the grid and around the pool's price."""
    per_tick = math.log(1.0001)
    tick = 2 * (math.log(sqrt_price) - 96 * math.log(2)) / per_tick
    centre = tick + math.log1p(position.centre_bps / BPS) / per_tick
    up = math.log1p(position.width_bps / BPS) / per_tick
    limit = _MAX_TICK // spacing * spacing
    lower = max(-limit, math.floor((centre - up) / spacing) * spacing)
    return lower, min(limit, math.ceil((centre + up) / spacing) * spacing)
