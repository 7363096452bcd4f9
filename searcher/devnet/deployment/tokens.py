"""The tokens, and who holds them at the start."""

from __future__ import annotations

from typing import Final

from searcher.devnet.accounts import SPARES, USERS, account
from searcher.devnet.artifacts import Artifacts, with_arguments
from searcher.devnet.deployer import Deployer
from searcher.devnet.economy import FEE_TOKEN_BPS, NATIVE_SYMBOL, TOKENS, TokenSpec, units
from searcher.devnet.transactions import Account
from searcher.domain.units import Address

_DEPLOYER_USD: Final = 100_000_000
_USER_USD: Final = 30_000_000
UNLIMITED: Final = 2**256 - 1


def deploy_tokens(deployer: Deployer, artifacts: Artifacts) -> dict[str, Address]:
    """Queue all tokens and the deployer's own stock of them; returns addresses by symbol."""
    return {spec.symbol: _deploy(deployer, artifacts, spec) for spec in TOKENS}


def fund(deployer: Deployer, tokens: dict[str, Address]) -> None:
    """Queue stocks of every token for the deployer, the users, the rival and the spare accounts."""
    _give(deployer, tokens, account("deployer"), _DEPLOYER_USD)
    holders = [account("user", n) for n in range(USERS)] + [account("rival")]
    for holder in holders + [account("spare", n) for n in range(SPARES)]:
        _give(deployer, tokens, holder, _USER_USD)


def approve_all(
    deployer: Deployer, tokens: dict[str, Address], spender: Address, holders: list[Account]
) -> None:
    """Queue the holders' unlimited allowances of every token for `spender`."""
    for holder in holders:
        for token in tokens.values():
            deployer.call(
                token, "approve(address,uint256)", spender, UNLIMITED, sender=holder, gas=100_000
            )


def _deploy(deployer: Deployer, artifacts: Artifacts, spec: TokenSpec) -> Address:
    code = artifacts.creation(spec.contract)
    if spec.contract == "WETH9":
        return deployer.create(spec.symbol, code)
    types, values = ["string", "uint8"], [spec.symbol, spec.decimals]
    if spec.contract == "FeeToken":
        types, values = [*types, "uint256"], [*values, FEE_TOKEN_BPS]
    return deployer.create(spec.symbol, with_arguments(code, types, values))


def _give(deployer: Deployer, tokens: dict[str, Address], holder: Account, usd: int) -> None:
    for symbol, token in tokens.items():
        amount = units(symbol, usd)
        if symbol == NATIVE_SYMBOL:
            deployer.call(token, "deposit()", sender=holder, value=amount, gas=100_000)
        else:
            deployer.call(token, "mint(address,uint256)", holder.address, amount, gas=100_000)
