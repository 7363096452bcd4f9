"""Which pools are worth following: named tokens, enough liquidity, and the deepest of them first.

What is left out is counted by cause, and may come back: liquidity is weighed again whenever the
market is.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from msgspec import Struct

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.domain.units import WEI_PER_NATIVE, Address, address
from searcher.market.settings import DiscoverySettings

ValueWei = Callable[[Address, int], float | None]
"""What an amount of a token, in smallest units, is worth in wei; None when no price is known."""

NOT_ALLOWED = "a token that is not allowed"
DENIED = "a token that is denied"
TOO_FEW = "fewer than two tokens that are allowed"
_PAIR: Final = 2
_HOPS: Final = 2
"""From the native coin to a token that is traded against a token that is traded against it."""


class Weighed(NamedTuple):
    """A pool's number, and what it holds: tokens and their amounts in smallest units."""

    pool: int
    tokens: Sequence[Address]
    amounts: Sequence[float]


class Choice(Struct, frozen=True):
    """Which pools are followed, deepest first, and how many are not, by cause."""

    pools: tuple[int, ...]
    left_out: dict[str, int]


class TokenFilter:
    """The operator's word on tokens.

    Args:
        tokens: the tokens that the operator named, by name.
        settings: which of them, or of all, are allowed and denied.

    Raises:
        Misconfigured: a list names a token that is neither named nor an address.
    """

    def __init__(self, tokens: Mapping[str, Address], settings: DiscoverySettings) -> None:
        self._denied = _resolved("tokens_denied", settings.tokens_denied, tokens)
        allowed = _resolved("tokens_allowed", settings.tokens_allowed, tokens)
        if settings.only_configured_tokens:
            allowed |= set(tokens.values())
        self._allowed: AbstractSet[Address] | None = allowed or None
        if settings.only_configured_tokens and not allowed:
            self._allowed = frozenset()

    @property
    def allowed(self) -> AbstractSet[Address] | None:
        """The only tokens that are followed; None for any that is not denied."""
        return None if self._allowed is None else frozenset(self._allowed - self._denied)

    def objection(self, tokens: Sequence[Address]) -> str:
        """Return why a pool of these tokens is not followed; empty when it is.

        A pool of many tokens is followed when two of them may be: its other rows are not searched.
        """
        if sum(map(self.usable, tokens)) >= _PAIR:
            return ""
        if len(tokens) > _PAIR:
            return TOO_FEW
        return DENIED if self._denied.intersection(tokens) else NOT_ALLOWED

    def usable(self, token: Address) -> bool:
        """Return whether a row may have this token."""
        return token not in self._denied and (self._allowed is None or token in self._allowed)


def value_wei(pool: Weighed, value_of: ValueWei) -> float | None:
    """Return what a pool offers, in wei: as many times its worst token as it has tokens.

    A pool is as deep as its shallower side: a heap of a token with a price that nobody pays counts
    for no more than what is held against it. A token without a price counts as nothing; with no
    price at all the pool's worth is not known (None).
    """
    values = [value_of(t, int(a)) for t, a in zip(pool.tokens, pool.amounts, strict=True)]
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) < len(values):
        # Against a token without a price, what is held of the others bounds what can be had.
        return min(known) * len(known)
    return min(known) * len(values)


def rough_values(pools: Iterable[Weighed], native: Address) -> ValueWei:
    """Return prices as they follow from what pools hold, for choosing among pools alone.

    A token is worth what the pool with the most of a token of known price holds against it: first
    of the native coin, then of those. It is rough where a curve is not a constant product's, and
    nobody trades on it.

    Args:
        pools: what each holds.
        native: the wrapped native coin, worth itself.
    """
    prices = {native: 1.0}
    pairs = [p for p in pools if len(p.tokens) >= _PAIR]
    for _ in range(_HOPS):
        best: dict[Address, tuple[float, float]] = {}
        for pool in pairs:
            known = [
                amount * prices[token]
                for token, amount in zip(pool.tokens, pool.amounts, strict=True)
                if token in prices
            ]
            deepest = max(known, default=0.0)
            for token, amount in zip(pool.tokens, pool.amounts, strict=True):
                if token not in prices and amount > 0 and deepest > best.get(token, (0.0, 0))[0]:
                    best[token] = (deepest, deepest / amount)
        prices |= {token: price for token, (_, price) in best.items()}

    def value_of(token: Address, amount: int) -> float | None:
        return amount * prices[token] if token in prices else None

    return value_of


def choose(
    pools: Iterable[Weighed],
    value_of: ValueWei,
    settings: DiscoverySettings,
    *,
    proven: Callable[[Address], bool] = lambda _: True,
) -> Choice:
    """Choose the deepest pools.

    Args:
        pools: what each holds.
        value_of: prices, in the native coin.
        settings: the least liquidity and the most pools.
        proven: whether a token moves at face value; a pool with fewer than two such tokens takes
            nobody's place.

    Returns:
        The chosen ones, deepest first; pools of the same depth in the order of their numbers.
    """
    left_out: Counter[str] = Counter()
    least_wei = settings.least_liquidity_native * WEI_PER_NATIVE
    worthy: list[tuple[float, int]] = []
    for pool in pools:
        if sum(proven(token) for token in pool.tokens) < _PAIR:
            left_out["tokens that are not proven"] += 1
            continue
        worth = value_wei(pool, value_of)
        if worth is None and least_wei > 0:
            left_out["liquidity of no known price"] += 1
        elif worth is not None and worth < least_wei:
            left_out["less than least_liquidity_native"] += 1
        else:
            worthy.append((-(worth or 0.0), pool.pool))
    if len(worthy) > settings.most_pools:
        left_out["beyond most_pools"] = len(worthy) - settings.most_pools
    chosen = heapq.nsmallest(settings.most_pools, worthy)
    return Choice(tuple(pool for _, pool in chosen), dict(left_out))


def _resolved(key: str, names: Iterable[str], tokens: Mapping[str, Address]) -> set[Address]:
    found = set()
    for name in names:
        if name in tokens:
            found.add(tokens[name])
            continue
        try:
            found.add(address(name))
        except ValueError as error:
            hint = did_you_mean(name, tokens)
            raise Misconfigured(
                f"discovery.{key} has {name!r}, neither a token of [tokens] nor an address: {hint}"
            ) from error
    return found
