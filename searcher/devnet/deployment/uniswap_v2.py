"""Uniswap V2 and a fork of it, PancakeSwap V2, each with a router."""

from __future__ import annotations

from typing import Final

from searcher.devnet.artifacts import Artifacts, patched, with_arguments
from searcher.devnet.deployer import Deployer
from searcher.devnet.economy import PAIRS, units
from searcher.devnet.manifest import DexEntry, PoolEntry
from searcher.domain.units import ZERO_ADDRESS, Address, keccak256

PROTOCOL: Final = "uniswap_v2"
_FEE_PIPS: Final = {"uniswap_v2": 3_000, "pancake_v2": 2_000}
_PUSH2_997: Final = bytes.fromhex("6103e5")
_PUSH2_998: Final = bytes.fromhex("6103e6")


def deploy_factories(
    deployer: Deployer, artifacts: Artifacts, wrapped_native: Address, first_block: int
) -> dict[str, DexEntry]:
    """Queue both factories with their routers.

    The fork has no router on npm that carries its pair's hash, so it gets Uniswap's with two
    constants of the library changed: the hash that pair addresses come from, computed from the
    pairs' own bytecode, and the share of the input that is left after the fee, in thousandths.
    """
    router = artifacts.creation("UniswapV2Router02")
    forked = patched(
        router,
        keccak256(artifacts.creation("UniswapV2Pair")),
        keccak256(artifacts.creation("PancakePair")),
    )
    forked = patched(forked, _PUSH2_997, _PUSH2_998)
    dexes = {}
    for dex, factory_name, router_code in (
        ("uniswap_v2", "UniswapV2Factory", router),
        ("pancake_v2", "PancakeFactory", forked),
    ):
        factory = deployer.create(
            factory_name,
            with_arguments(artifacts.creation(factory_name), ["address"], [ZERO_ADDRESS]),
        )
        arguments = [factory, wrapped_native]
        dexes[dex] = DexEntry(
            protocol=PROTOCOL,
            factory=factory,
            router=deployer.create(
                f"router of {dex}", with_arguments(router_code, ["address", "address"], arguments)
            ),
            fee_pips=_FEE_PIPS[dex],
            first_block=first_block,
        )
    return dexes


def create_pairs(
    deployer: Deployer, dexes: dict[str, DexEntry], tokens: dict[str, Address]
) -> None:
    """Queue the creation of every pair."""
    for pair in PAIRS:
        deployer.call(
            dexes[pair.dex].factory,
            "createPair(address,address)",
            tokens[pair.base],
            tokens[pair.quote],
            gas=4_000_000,
        )


async def fill_pairs(
    deployer: Deployer, dexes: dict[str, DexEntry], tokens: dict[str, Address]
) -> list[PoolEntry]:
    """Queue every pair's first liquidity and return the pools.

    A token that takes a fee arrives short: the deposit is raised so that the price is right.
    """
    found = await deployer.read(
        [
            (
                dexes[pair.dex].factory,
                "getPair(address,address)",
                (tokens[pair.base], tokens[pair.quote]),
            )
            for pair in PAIRS
        ],
        "(address)",
    )
    pools = []
    for pair, (address,) in zip(PAIRS, found, strict=True):
        for symbol in (pair.base, pair.quote):
            amount = units(symbol, pair.depth_usd)
            if symbol == "FEE":
                amount = amount * 100 // 99
            deployer.call(tokens[symbol], "transfer(address,uint256)", address, amount)
        deployer.call(address, "mint(address)", deployer.address)
        token0, token1 = sorted((tokens[pair.base], tokens[pair.quote]))
        fee_pips = dexes[pair.dex].fee_pips
        pools.append(PoolEntry(Address(address), PROTOCOL, pair.dex, token0, token1, fee_pips))
    return pools
