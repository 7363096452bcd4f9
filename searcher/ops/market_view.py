"""What a person sees of a market: as records, from its arrays, states and standing alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from searcher.domain.codec import to_record
from searcher.domain.errors import Misconfigured, NotReady
from searcher.domain.events import BlockRef
from searcher.domain.registry import did_you_mean
from searcher.domain.units import WEI_PER_NATIVE, Address, Uint256
from searcher.kernels.memory import ALIVE
from searcher.kernels.prices import depth
from searcher.kernels.refusal import SwapRefused
from searcher.market.market import Market
from searcher.market.prices import PriceBook
from searcher.market.protocol import Pool, QuoteBlock
from searcher.market.settings import PriceSettings
from searcher.market.tripwire import TripwireStatistics

_LEAST_ALIKE: Final = 6
"""Characters that an unknown pool must share with one for that to be named: 0x and four digits."""


class Count(Struct, frozen=True):
    """How often something is the case."""

    name: str
    number: int


class DexCount(Struct, frozen=True):
    """The pools of one DEX, and how many of them are searched."""

    dex: str
    protocol: str
    pools: int
    searched: int


class SnapshotRecord(Struct, frozen=True):
    """A snapshot's file."""

    path: str
    bytes: int


class TripwireRecord(Struct, frozen=True):
    """What a check of some pools against the node found, by cause."""

    pools: int
    drifts: tuple[Count, ...]
    node_faults: tuple[Count, ...]
    unchecked: tuple[Count, ...]


class StatusRecord(Struct, frozen=True):
    """A market as a whole.

    `age_s` is how long ago its block was made. `set_aside` says why pools are not searched, the
    most frequent cause first. `array_bytes` is what the used parts of its arrays take.
    `not_followed` counts announcements, by cause. `tripwire` is None where no node was asked.
    """

    chain: str
    chain_id: int
    live: bool
    block: BlockRef
    timestamp: int
    age_s: int
    pools: int
    rows: int
    searched: int
    dexes: tuple[DexCount, ...]
    set_aside: tuple[Count, ...]
    tokens: int
    tokens_proven: int
    tokens_set_aside: int
    tokens_unproven: int
    array_bytes: int
    snapshot: SnapshotRecord | None
    not_followed: tuple[Count, ...]
    tripwire: TripwireRecord | None


class TokenName(Struct, frozen=True):
    """A token, the name that the operator gave it (or none), and its decimals if they are known."""

    address: Address
    name: str
    decimals: int | None


class PoolRecord(Struct, frozen=True):
    """A pool in a list.

    `fee_pips` is None where its curve has no fixed one. `depth_wei` is what its deepest pair holds
    on one side, None where nothing prices its tokens. `set_aside` says why it is not searched.
    """

    id: str
    protocol: str
    dex: str
    tokens: tuple[TokenName, ...]
    fee_pips: int | None
    depth_wei: Uint256 | None
    set_aside: str


class PairRecord(Struct, frozen=True):
    """A pair of a pool's tokens.

    `rate01` is how much of token1 a unit of token0 gives, `rate10` the other way, fee included, in
    smallest units for no input; None where the pool does not swap.
    """

    token0: TokenName
    token1: TokenName
    rate01: float | None
    rate10: float | None
    depth_wei: Uint256 | None
    set_aside: str


class PoolDetail(Struct, frozen=True):
    """Everything of one pool; `block` is the one that rates are for."""

    pool: PoolRecord
    tick_spacing: int
    block: int
    timestamp: int
    pairs: tuple[PairRecord, ...]


class Listing(Struct, frozen=True):
    """The deepest pools of a choice behind a block, and how many there are in it."""

    block: BlockRef
    chosen: int
    pools: tuple[PoolRecord, ...]


class Choice(Struct, frozen=True):
    """Which pools are listed: those with all of `tokens`, of a DEX, of a protocol, set aside."""

    tokens: tuple[str, ...] = ()
    dex: str = ""
    protocol: str = ""
    set_aside: bool = False


class MarketView:
    """Looks at a market that holds a block.

    Args:
        market: which.
        names: the tokens that the operator named, by name.
    """

    def __init__(self, market: Market, names: Mapping[str, Address]) -> None:
        self.market = market
        self._names = {token: name for name, token in names.items()}
        self._prices: PriceBook | None = None

    @property
    def head(self) -> BlockRef:
        """The block whose state it is."""
        assert self.market.head is not None, "an open market has a head"
        return self.market.head

    @property
    def prices(self) -> PriceBook:
        """What its tokens are worth behind this one block."""
        if self._prices is None:
            market = self.market
            settings = PriceSettings()
            book = PriceBook(market.memory, market.wrapped_native, settings, kept_blocks=1)
            for row in self.searched_rows():
                about = market.rows[row]
                book.enter(row, about.token0, about.token1)
            book.observe(self.head, 0)
            self._prices = book
        return self._prices

    def searched_rows(self) -> list[int]:
        """Return the rows that are searched."""
        alive: list[int] = np.flatnonzero(
            self.market.memory.real[: self.market.memory.rows, ALIVE]
        ).tolist()
        return alive

    def token(self, name: str) -> Address:
        """Return a token by its name or its address.

        Raises:
            Misconfigured: no token has that name, or no pool has that token.
        """
        token = self.market.token(name)
        if not any(token in pool.tokens for pool in self.market.pools):
            raise Misconfigured(
                f"no pool of {self.market.chain} has {self.label(token)}: `searcher market pools`"
                " shows those that are followed"
            )
        return token

    def named(self, token: Address) -> TokenName:
        """Return a token with what is known of it."""
        return TokenName(token, self._names.get(token, ""), self.market.decimals(token))

    def label(self, token: Address) -> str:
        """Return what a person calls a token."""
        return label(self.named(token))

    # ---- the whole

    def status(
        self,
        *,
        chain_id: int,
        now_s: int,
        live: bool,
        snapshot: Path | None,
        tripwire: TripwireStatistics | None,
    ) -> StatusRecord:
        """Describe the market as a whole.

        Args:
            chain_id: its chain's.
            now_s: the time, in seconds.
            live: whether it stands on the node's head.
            snapshot: the newest snapshot, or the one that it was taken from.
            tripwire: counters of a check against the node.
        """
        market, counters = self.market, self.market.statistics()
        contents = market.contents()
        tokens = {token for pool in market.pools for token in pool.tokens}
        proven = len(tokens & contents.sound)
        aside = len(tokens & contents.aside.keys())
        return StatusRecord(
            chain=market.chain,
            chain_id=chain_id,
            live=live,
            block=self.head,
            timestamp=contents.timestamp,
            age_s=max(now_s - contents.timestamp, 0),
            pools=counters.pools,
            rows=len(market.rows),
            searched=counters.searched,
            dexes=self._dexes(),
            set_aside=_counts(counters.set_aside),
            tokens=len(tokens),
            tokens_proven=proven,
            tokens_set_aside=aside,
            tokens_unproven=len(tokens) - proven - aside,
            array_bytes=sum(part.nbytes for part in market.memory.parts().values()),
            snapshot=SnapshotRecord(str(snapshot), snapshot.stat().st_size) if snapshot else None,
            not_followed=_counts(counters.not_followed),
            tripwire=_tripwire(tripwire) if tripwire else None,
        )

    def _dexes(self) -> tuple[DexCount, ...]:
        pools: Counter[tuple[str, str]] = Counter()
        searched: Counter[tuple[str, str]] = Counter()
        for number, pool in enumerate(self.market.pools):
            pools[pool.dex, pool.protocol] += 1
            searched[pool.dex, pool.protocol] += self.market.is_searched(number)
        return tuple(DexCount(*dex, n, searched[dex]) for dex, n in pools.most_common())

    # ---- pools

    def listing(self, choice: Choice, limit: int) -> Listing:
        """Return the deepest pools of a choice, those of unknown depth last.

        Raises:
            Misconfigured: an unknown token, DEX or protocol.
        """
        chosen = list(self._chosen(choice))
        depths = {number: self._depth_wei(number) for number in chosen}
        chosen.sort(key=lambda number: (-(depths[number] or 0.0), number))
        records = [self._record(number, depths[number]) for number in chosen[:limit]]
        return Listing(self.head, len(chosen), tuple(records))

    def _chosen(self, choice: Choice) -> Iterator[int]:
        pools = self.market.pools
        tokens = {self.token(name) for name in choice.tokens}
        _require("DEX", choice.dex, {pool.dex for pool in pools})
        _require("protocol", choice.protocol, {pool.protocol for pool in pools})
        for number, pool in enumerate(pools):
            if (
                tokens <= set(pool.tokens)
                and choice.dex in {"", pool.dex}
                and choice.protocol in {"", pool.protocol}
                and not (choice.set_aside and self.market.is_searched(number))
            ):
                yield number

    def number(self, pool_id: str) -> int:
        """Return the number of a pool by its address or id.

        Raises:
            Misconfigured: no pool is called so; the message has the one that looks most like it.
        """
        wanted = pool_id.strip().lower()
        number = self.market.number(wanted)
        if number is not None:
            return number
        inside = [pool.id for pool in self.market.pools if pool.address == wanted]
        if inside:
            raise Misconfigured(
                f"{pool_id} holds {len(inside)} pools: write the id of one, such as {inside[0]}"
            )
        ids = (pool.id for pool in self.market.pools)
        alike = max(ids, key=lambda each: _shared(each, wanted), default="")
        hint = "`searcher market pools` shows those that there are"
        if _shared(alike, wanted) >= _LEAST_ALIKE:
            hint = f"did you mean {alike}?"
        raise Misconfigured(f"{self.market.chain} follows no pool {pool_id}: {hint}")

    def detail(self, number: int) -> PoolDetail:
        """Return everything of a pool beside its state."""
        market, block = self.market, self.market.next_block(number)
        return PoolDetail(
            self._record(number, self._depth_wei(number)),
            market.pools[number].tick_spacing,
            block.number,
            block.timestamp,
            tuple(self._pair(row, block) for row in market.rows_of(number)),
        )

    def state_file(self, number: int) -> dict[str, Any]:
        """Return a pool's state as `searcher quote --state` reads it, for `ops.exact_json`.

        Raises:
            NotReady: it was not read yet.
        """
        market, block = self.market, self.market.next_block(number)
        state = market.state(number)
        if state is None:
            raise NotReady(
                f"the state of {market.pools[number].id} was not read yet: ask the node with --live"
            )
        return {
            "state": to_record(market.protocol_of(number).at(state, block)),
            "block": {"number": block.number, "timestamp": block.timestamp},
        }

    def _record(self, number: int, depth_wei: float | None) -> PoolRecord:
        pool = self.market.pools[number]
        reasons = [self.market.why_not(row) for row in self.market.rows_of(number)]
        return PoolRecord(
            pool.id,
            pool.protocol,
            pool.dex,
            tuple(map(self.named, pool.tokens)),
            self.fee_pips(number, pool),
            None if depth_wei is None else round(depth_wei),
            reasons[0] if all(reasons) else "",
        )

    def fee_pips(self, number: int, pool: Pool) -> int | None:
        """Return a pool's fee, or None where the curve decides it swap by swap."""
        fee = self.market.fee_pips(self.market.rows_of(number)[0])
        return fee if fee or self.market.protocol_of(number).hot or pool.fee_pips else None

    def _pair(self, row: int, block: QuoteBlock) -> PairRecord:
        about, worth = self.market.rows[row], self._row_depth_wei(row)
        return PairRecord(
            self.named(about.token0),
            self.named(about.token1),
            self._rate(row, block, about.token0, about.token1),
            self._rate(row, block, about.token1, about.token0),
            None if worth is None else round(worth),
            self.market.why_not(row),
        )

    def _rate(
        self, row: int, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> float | None:
        number = self.market.rows[row].pool
        state = self.market.state(number)
        if state is None:
            return None
        protocol = self.market.protocol_of(number)
        try:
            rate = protocol.marginal_rate(state, block, token_in, token_out, 0)
        except SwapRefused:
            return None
        return rate if 0.0 < rate < math.inf else None

    def _depth_wei(self, number: int) -> float | None:
        depths = [self._row_depth_wei(row) for row in self.market.rows_of(number)]
        return max((each for each in depths if each is not None), default=None)

    def _row_depth_wei(self, row: int) -> float | None:
        """Return the lesser worth of a row's two sides, of those whose token has a price."""
        about, table = self.market.rows[row], self.market.memory.table
        worth = []
        for side, token in enumerate((about.token0, about.token1)):
            price = self.prices.price(token)
            if price is not None:
                worth.append(depth(table, row, side) * price.spot)
        return min((each for each in worth if math.isfinite(each)), default=None)


def label(token: TokenName) -> str:
    """Return what a person calls a token: its name, or the ends of its address."""
    return token.name or f"{token.address[:6]}…{token.address[-4:]}"


def worth_of_native(view: MarketView, token: Address) -> int:
    """Return how much of a token is worth one whole native coin, at least 1.

    Raises:
        Misconfigured: nothing tells what it is worth.
    """
    price = view.prices.price(token)
    if price is None or price.spot <= 0.0:
        raise Misconfigured(
            f"nothing tells what {view.label(token)} is worth: name an amount with --amount"
        )
    return max(round(WEI_PER_NATIVE / price.spot), 1)


def _counts(numbers: Mapping[str, int]) -> tuple[Count, ...]:
    return tuple(Count(name, number) for name, number in Counter(numbers).most_common())


def _tripwire(statistics: TripwireStatistics) -> TripwireRecord:
    causes: Sequence[Mapping[str, int]] = (
        statistics.drifts,
        statistics.node_faults,
        statistics.unchecked,
    )
    return TripwireRecord(statistics.pools, *map(_counts, causes))


def _require(what: str, name: str, known: Collection[str]) -> None:
    if name and name not in known:
        raise Misconfigured(f"no pool has the {what} {name!r}: {did_you_mean(name, known)}")


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
