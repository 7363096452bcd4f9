"""What a running laboratory chain consists of, as one JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from searcher.domain.errors import NotReady
from searcher.domain.units import Address, Hash32


class TokenEntry(Struct, frozen=True):
    """A token; `quirk` says how its transfers differ from the standard, empty when they do not."""

    address: Address
    decimals: int
    quirk: str
    feed: Address | None = None


class DexEntry(Struct, frozen=True):
    """A DEX; `fee_pips` is 0 where each pool has its own."""

    protocol: str
    factory: Address
    router: Address
    fee_pips: int
    first_block: int
    quoter: Address | None = None


class PoolEntry(Struct, frozen=True):
    """A pool of one of the DEXes."""

    address: Address
    protocol: str
    dex: str
    token0: Address
    token1: Address
    fee_pips: int


class BalancerEntry(Struct, frozen=True):
    """The Balancer V2 vault with its weighted pool."""

    vault: Address
    pool: Address
    pool_id: Hash32
    tokens: tuple[Address, ...]
    fee_pips: int


class AaveEntry(Struct, frozen=True):
    """The Aave V3 market; feeds by token symbol."""

    provider: Address
    pool: Address
    oracle: Address
    data_provider: Address
    feeds: dict[str, Address]


class AccountEntry(Struct, frozen=True):
    """A funded account of the local chain, with its (publicly known) key."""

    address: Address
    key: str


class Accounts(Struct, frozen=True):
    """The accounts that a user of the laboratory may use; the order flow has others."""

    owner: AccountEntry
    operators: tuple[AccountEntry, ...]
    spare: tuple[AccountEntry, ...]


class Deployed(Struct, frozen=True):
    """What stands on the chain; equal on every laboratory chain."""

    wrapped_native: Address
    tokens: dict[str, TokenEntry]
    dexes: dict[str, DexEntry]
    pools: tuple[PoolEntry, ...]
    balancer: BalancerEntry
    aave: AaveEntry
    multicall3: Address
    permit2: Address
    burner: Address
    accounts: Accounts


class Manifest(Deployed, frozen=True, kw_only=True):
    """A running chain.

    The next block's environment is known beforehand: its timestamp is its parent's plus
    `timestamp_step_s`, its beneficiary is `coinbase`, its base fee follows EIP-1559, and its gas
    limit is its parent's. `relay_url` takes the bundles; `anvil_url` goes round the builder, and
    is for administration only.
    """

    name: str
    chain_id: int
    http_url: str
    ws_url: str
    relay_url: str
    anvil_url: str
    coinbase: Address
    block_time_ms: int
    timestamp_step_s: int
    first_block: int


def load(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        NotReady: there is none, or it is of another version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise NotReady(f"there is no {path}: start it with `searcher devnet up`") from error
    except msgspec.MsgspecError as error:
        raise NotReady(
            f"{path} is of another version ({error}): run `searcher devnet up`"
        ) from error


def save(manifest: Manifest, path: Path) -> None:
    """Write a manifest whole or not at all."""
    scratch = path.with_suffix(".part")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    scratch.replace(path)
