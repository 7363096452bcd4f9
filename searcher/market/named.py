"""Tokens by the names that the operator gave them."""

from __future__ import annotations

from collections.abc import Mapping

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.domain.units import Address, address
from searcher.market.settings import TokenSettings


def named_token(name: str, tokens: Mapping[str, TokenSettings], chain: str) -> Address:
    """Return the address of a token that the operator named, or wrote as an address.

    Raises:
        Misconfigured: no token has that name.
    """
    if name in tokens:
        return Address(tokens[name].address)
    if name.startswith("0x"):
        try:
            return address(name)
        except ValueError as error:
            raise Misconfigured(str(error)) from error
    raise Misconfigured(f"chain {chain} has no token called {name!r}: {did_you_mean(name, tokens)}")
