"""A whole laboratory chain: every protocol, every account, one starting price."""

from __future__ import annotations

from typing import Final

from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import OPERATORS, SPARES, USERS, account, everyone
from searcher.devnet.artifacts import Artifacts
from searcher.devnet.deployer import Deployer
from searcher.devnet.deployment import balancer, uniswap_v2, uniswap_v3
from searcher.devnet.deployment.aave import AaveMarket
from searcher.devnet.deployment.tokens import approve_all, deploy_tokens, fund
from searcher.devnet.economy import TOKENS
from searcher.devnet.manifest import AccountEntry, Accounts, Deployed, TokenEntry
from searcher.devnet.transactions import Account
from searcher.domain.units import WEI_PER_NATIVE, Address

MULTICALL3: Final = Address("0xca11bde05977b3631167028862be2a173976ca11")
PERMIT2: Final = Address("0x000000000022d473030f116ddee9f6b43ac78ba3")
BURNER: Final = Address("0x00000000000000000000000000000000000b0b00")
_BURNER_CODE: Final = bytes.fromhex("6000355100")
"""Reads one word of memory as far out as calldata says: gas by the square, work almost none."""

_RICH_WEI: Final = 1_000_000 * WEI_PER_NATIVE
_OPERATOR_WEI: Final = 100 * WEI_PER_NATIVE


async def deploy_chain(rpc: RpcClient, texts: dict[str, str], chain_id: int) -> Deployed:
    """Build the market on an empty Anvil whose mining is switched off.

    Args:
        rpc: Anvil itself.
        texts: the protocols' files, from `packages.fetch`.
        chain_id: the chain's own id, for signatures.

    Raises:
        NotReady: a step failed, or a package does not hold what it should.
    """
    artifacts = Artifacts(texts)
    await _prepare(rpc, artifacts)
    deployer = Deployer(rpc, account("deployer"), chain_id)
    first_block = int(await rpc.call("eth_blockNumber"), 16) + 1

    tokens = deploy_tokens(deployer, artifacts)
    fund(deployer, tokens)
    dexes = uniswap_v2.deploy_factories(deployer, artifacts, tokens["WETH"], first_block)
    uniswap_v2.create_pairs(deployer, dexes, tokens)
    v3, manager = uniswap_v3.deploy_factory(deployer, artifacts, tokens["WETH"], first_block)
    uniswap_v3.create_pools(deployer, manager, tokens)
    vault, pool_factory = balancer.deploy_vault(deployer, artifacts, tokens)
    market = AaveMarket(deployer, artifacts, tokens)
    market.deploy()
    await deployer.flush()

    pools = await uniswap_v2.fill_pairs(deployer, dexes, tokens)
    pools += await uniswap_v3.list_pools(deployer, v3, tokens)
    dexes[uniswap_v3.DEX] = v3
    weighted = await balancer.fill_pool(deployer, rpc, vault, pool_factory, tokens)
    await market.list_reserves()
    traders = [account("user", n) for n in range(USERS)] + [account("rival")]
    for dex in dexes.values():
        approve_all(deployer, tokens, dex.router, traders)
    lending = market.fill()
    await deployer.flush()

    return Deployed(
        wrapped_native=tokens["WETH"],
        tokens={
            spec.symbol: TokenEntry(
                tokens[spec.symbol], spec.decimals, spec.quirk, lending.feeds[spec.symbol]
            )
            for spec in TOKENS
        },
        dexes=dexes,
        pools=tuple(pools),
        balancer=weighted,
        aave=lending,
        multicall3=MULTICALL3,
        permit2=PERMIT2,
        burner=BURNER,
        accounts=_accounts(),
    )


async def _prepare(rpc: RpcClient, artifacts: Artifacts) -> None:
    """Give every account its money, and place the contracts that have one address everywhere."""
    operators = {account("operator", n).address for n in range(OPERATORS)}
    calls: list[tuple[str, list[str]]] = [
        (
            "anvil_setBalance",
            [who.address, hex(_OPERATOR_WEI if who.address in operators else _RICH_WEI)],
        )
        for who in everyone()
    ]
    # What a creation returns is the code it leaves: Multicall3 is published as creation code.
    creation = "0x" + artifacts.embedded("Multicall3").hex()
    runtime = await rpc.call("eth_call", [{"data": creation}, "latest"])
    for place, code in (
        (MULTICALL3, runtime),
        (PERMIT2, "0x" + artifacts.embedded("Permit2").hex()),
        (BURNER, "0x" + _BURNER_CODE.hex()),
    ):
        calls.append(("anvil_setCode", [place, code]))
    await rpc.batch(calls)


def _accounts() -> Accounts:
    def entry(who: Account) -> AccountEntry:
        return AccountEntry(who.address, who.key_hex)

    return Accounts(
        owner=entry(account("owner")),
        operators=tuple(entry(account("operator", n)) for n in range(OPERATORS)),
        spare=tuple(entry(account("spare", n)) for n in range(SPARES)),
    )
