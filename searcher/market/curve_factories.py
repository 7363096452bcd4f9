"""Lists of Curve's factories: most events announce that a pool is there, and not which.

Sources: Factory.vy and FactorySidechains.vy of curve-factory, CurveStableSwapFactoryNG.vy of
stableswap-ng, TwocryptoFactory.vy of twocrypto-ng, CurveTricryptoFactory.vy and its L2 twin of
tricrypto-ng. `pool_list(i)` names pools in the order of their creation, and never forgets one. An
implementation is known by its address: who runs another is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.events import Log
from searcher.domain.registry import did_you_mean
from searcher.domain.units import Address, address
from searcher.market.contract_values import answered_words
from searcher.market.decoding import MalformedLog, log_words
from searcher.market.protocol import Announcement, ReadCall, Reads, UnreadablePool
from searcher.market.state import MalformedState, state_from

S = TypeVar("S", bound=Struct)

PLAIN_POOL_DEPLOYED: Final = "0x5b4a28c940282b5bf183df6a046b8119cf6edeb62859f75e835eb7ba834cce8d"
"""PlainPoolDeployed(address[4] coins, uint256 A, uint256 fee, address deployer)"""
PLAIN_POOL_DEPLOYED_NG: Final = "0xd1d60d4611e4091bb2e5f699eeb79136c21ac2305ad609f3de569afc3471eecc"
"""PlainPoolDeployed(address[] coins, uint256 A, uint256 fee, address deployer)"""
META_POOL_DEPLOYED: Final = "0x01f31cd2abdeb4e5e10ba500f2db0f937d9e8c735ab04681925441b4ea37eda5"
"""MetaPoolDeployed(address coin, address base_pool, uint256 A, uint256 fee, address deployer)"""
_LEAST_WORDS: Final = {PLAIN_POOL_DEPLOYED: 7, PLAIN_POOL_DEPLOYED_NG: 5, META_POOL_DEPLOYED: 5}

POOL_COUNT: Final = "0x956aae3a"
POOL_LIST: Final = "0x3a1d5d8e"  # pool_list(uint256)
IS_META: Final = "0xe4d332a9"  # is_meta(address)
GET_IMPLEMENTATION: Final = "0x510d98a4"  # get_implementation_address(address)
GET_BASE_POOL: Final = "0x6f20d6dd"  # get_base_pool(address)
MOST_POOLS: Final = 1_000_000
"""More than any factory has made; a count beyond it is not a factory's."""


class Listed(NamedTuple):
    """A pool of a factory's list; `implementation` is 0 where the factory has forgotten it."""

    pool: Address
    is_meta: bool
    implementation: Address


def list_grew(log: Log) -> Announcement:
    """Return the announcement of a factory whose list has a new pool.

    Raises:
        MalformedLog: the log has another shape than the event.
    """
    found = log_words(log, topics=1)
    if len(found) < _LEAST_WORDS[log.topics[0]]:
        raise MalformedLog(f"{len(found)} words of a pool's deployment")
    return Announcement("", log.address)


def read_pools(factory: Address, first: int) -> Reads[list[Address]]:
    """Return the reads of a factory's pools from place `first` on.

    Raises:
        UnreadablePool: the contract does not answer as a factory.
    """
    (answer,) = yield [ReadCall(factory, POOL_COUNT)]
    (length,) = answered_words(answer, 1, "pool_count()")
    if length > MOST_POOLS:
        raise UnreadablePool(f"pool_count() answered {length}")
    places = range(first, length)
    answers = yield [ReadCall(factory, f"{POOL_LIST}{place:064x}") for place in places]
    return [one_address(answer, "pool_list(i)") for answer in answers]


def read_list(factory: Address, first: int) -> Reads[list[Listed]]:
    """Return the reads of a stableswap factory's pools from place `first` on, and what they are.

    Raises:
        UnreadablePool: the contract does not answer as a factory.
    """
    pools = yield from read_pools(factory, first)
    kinds = yield [
        ReadCall(factory, with_address(view, pool))
        for pool in pools
        for view in (IS_META, GET_IMPLEMENTATION)
    ]
    return [
        Listed(
            pool,
            bool(answered_words(kinds[2 * k], 1, "is_meta(pool)")[0]),
            one_address(kinds[2 * k + 1], "get_implementation_address(pool)"),
        )
        for k, pool in enumerate(pools)
    ]


def read_base_pools(factory: Address, pools: Sequence[Address]) -> Reads[list[Address]]:
    """Return the reads of what metapools of a factory stand on."""
    answers = yield [ReadCall(factory, with_address(GET_BASE_POOL, pool)) for pool in pools]
    return [one_address(answer, "get_base_pool(pool)") for answer in answers]


def contract_of(pool: Listed, contracts: Mapping[str, str]) -> str | None:
    """Return the name that the settings give a pool's implementation, None for an unknown one."""
    known = {implementation.lower(): name for implementation, name in contracts.items()}
    return known.get(pool.implementation)


def check_contracts(name: str, contracts: Mapping[str, str], known: type[Enum]) -> None:
    """Check the implementations that a DEX's settings name.

    Raises:
        Misconfigured: no address, or no contract of `known`.
    """
    names = [str(member.value) for member in known]
    for implementation, contract in contracts.items():
        try:
            address(implementation)
        except ValueError as error:
            raise Misconfigured(f"dexes.{name}.contracts: {error}") from error
        if contract not in names:
            raise Misconfigured(
                f"dexes.{name}.contracts has no contract {contract!r}:"
                f" {did_you_mean(contract, names)}"
            )


def tables(kind: type[S], name: str, key: str, raw: Sequence[Mapping[str, Any]]) -> tuple[S, ...]:
    """Return what the tables of a DEX's settings say.

    Raises:
        Misconfigured: a field is missing, unknown, or not what it must be.
    """
    found = []
    for place, table in enumerate(raw):
        try:
            found.append(state_from(kind, dict(table), f"dexes.{name}.{key}[{place}]"))
        except MalformedState as error:
            raise Misconfigured(f"{error}: correct the table") from error
    return tuple(found)


def one_address(answer: Any, view: str) -> Address:
    """Return the address that a view answered.

    Raises:
        UnreadablePool: it answered none.
    """
    (found,) = answered_words(answer, 1, view)
    if found >> 160:
        raise UnreadablePool(f"{view} did not answer an address")
    return Address(f"0x{found:040x}")


def with_address(view: str, of: Address) -> str:
    """Return calldata of a view of one address."""
    return f"{view}{of[2:]:0>64}"
