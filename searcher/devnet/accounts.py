"""The laboratory's accounts: known keys, the same on every local chain, worth nothing elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Final

from searcher.devnet.transactions import Account
from searcher.domain.units import keccak256

OPERATORS: Final = 12
SPARES: Final = 4
USERS: Final = 10


@cache
def account(role: str, number: int = 0) -> Account:
    """Return the account number `number` of `role`; its key is a hash of both."""
    return Account(keccak256(f"searcher laboratory {role} {number}".encode()))


def everyone() -> list[Account]:
    """Return every account that holds native money at the start."""
    singles = [account(role) for role in ("deployer", "owner", "rival", "oracle", "bulk")]
    groups = (("operator", OPERATORS), ("spare", SPARES), ("user", USERS))
    return singles + [account(role, n) for role, count in groups for n in range(count)]
