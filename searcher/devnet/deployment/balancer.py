"""Balancer V2: the vault, and a weighted pool with liquidity."""

from __future__ import annotations

from typing import Final

from eth_abi.abi import encode

from searcher.chains.rpc import RpcClient
from searcher.devnet.artifacts import Artifacts, with_arguments
from searcher.devnet.deployer import Deployer
from searcher.devnet.deployment.tokens import UNLIMITED
from searcher.devnet.economy import WEIGHTED, WEIGHTED_DEPTH_USD, WEIGHTED_FEE_PIPS, units
from searcher.devnet.manifest import BalancerEntry
from searcher.domain.units import FEE_PIPS, ZERO_ADDRESS, Address, Hash32, keccak256

_ONE: Final = 10**18
_POOL_CREATED: Final = "0x" + keccak256(b"PoolCreated(address)").hex()
_CREATE: Final = "create(string,string,address[],uint256[],address[],uint256,address)"
_JOIN: Final = "joinPool(bytes32,address,address,(address[],uint256[],bytes,bool))"
_INIT: Final = 0


def deploy_vault(
    deployer: Deployer, artifacts: Artifacts, tokens: dict[str, Address]
) -> tuple[Address, Address]:
    """Queue the vault and a weighted pool; returns the vault and the pool's factory."""
    authorizer = deployer.create(
        "Authorizer",
        with_arguments(artifacts.creation("Authorizer"), ["address"], [deployer.address]),
    )
    vault = deployer.create(
        "Vault",
        with_arguments(
            artifacts.creation("Vault"),
            ["address", "address", "uint256", "uint256"],
            [authorizer, tokens["WETH"], 0, 0],
        ),
    )
    fees = deployer.create(
        "ProtocolFeePercentagesProvider",
        with_arguments(
            artifacts.creation("ProtocolFeePercentagesProvider"),
            ["address", "uint256", "uint256"],
            [vault, _ONE, _ONE],
        ),
    )
    factory = deployer.create(
        "WeightedPoolFactory",
        with_arguments(
            artifacts.creation("WeightedPoolFactory"),
            ["address", "address", "string", "string"],
            [vault, fees, "{}", "{}"],
        ),
        gas=14_000_000,
    )
    weights = _weights(tokens)
    deployer.call(
        factory,
        _CREATE,
        "Weighted pool",
        "WEIGHTED",
        list(weights),
        [weight * _ONE // 100 for _, weight in weights.values()],
        [ZERO_ADDRESS] * len(weights),
        WEIGHTED_FEE_PIPS * _ONE // FEE_PIPS,
        deployer.address,
        gas=9_000_000,
    )
    return vault, factory


async def fill_pool(
    deployer: Deployer,
    rpc: RpcClient,
    vault: Address,
    factory: Address,
    tokens: dict[str, Address],
) -> BalancerEntry:
    """Queue the pool's first liquidity and return the pool."""
    (created,) = await rpc.call(
        "eth_getLogs", [{"address": factory, "topics": [_POOL_CREATED], "fromBlock": "0x0"}]
    )
    pool = Address("0x" + created["topics"][1][-40:])
    ((pool_id,),) = await deployer.read([(pool, "getPoolId()", ())], "(bytes32)")
    weights = _weights(tokens)
    amounts = [
        units(symbol, WEIGHTED_DEPTH_USD * weight // 100) for symbol, weight in weights.values()
    ]
    for token in weights:
        deployer.call(token, "approve(address,uint256)", vault, UNLIMITED)
    join = encode(["uint256", "uint256[]"], [_INIT, amounts])
    deployer.call(
        vault,
        _JOIN,
        pool_id,
        deployer.address,
        deployer.address,
        (list(weights), amounts, join, False),
    )
    return BalancerEntry(
        vault=vault,
        pool=pool,
        pool_id=Hash32("0x" + pool_id.hex()),
        tokens=tuple(weights),
        fee_pips=WEIGHTED_FEE_PIPS,
    )


def _weights(tokens: dict[str, Address]) -> dict[Address, tuple[str, int]]:
    by_address = {tokens[symbol]: (symbol, weight) for symbol, weight in WEIGHTED}
    return dict(sorted(by_address.items()))
