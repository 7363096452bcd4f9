"""The initialised ticks of a concentrated pool, and the tables that answer its quotes.

Memory of a pool: 72 bytes a tick, and 144 bytes a row of a table. Tables exist only in directions
that were quoted; they begin with `FIRST_ROWS` rows (9 kB a direction), double whenever a quote
runs behind their last row, and end at `MOST_ROWS` (147 kB); a swap that goes further is stepped
through from the last row on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from msgspec import Struct

from searcher.kernels.curves import FloatArray
from searcher.kernels.ranges import Ticks, swap, words_of_edges, write_edges, write_prices
from searcher.kernels.reference.uniswap_v3 import (
    MAX_AMOUNT,
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    Q96,
    sqrt_at_tick,
)
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words, pack
from searcher.kernels.uniswap_v3 import (
    ENDED,
    MARKS,
    PLANES,
    begin_table,
    exact_in,
    exact_out,
    extend_table,
    head,
    marginal_rate,
)

FIRST_ROWS: Final = 64
MOST_ROWS: Final = 1024
"""Bounds of the tables; with a tick spacing of 1 a whole curve would have thousands of rows."""
_BEHIND: Final = 16
"""Stops kept behind the price, so that a table still serves when the price turns back."""
_FEES: Final = 2
"""Fees that tables are kept for: the last one read, and one that is asked about."""
_MAX_LIQUIDITY: Final = 2**128 - 1


class Tick(Struct, frozen=True):
    """An initialised tick, as the pool's `ticks(index)` answers.

    `liquidity_net` is what crossing it upwards adds to the liquidity. `liquidity_gross` is the
    liquidity of all positions that begin or end there; it may be left out (0) where no events are
    applied: no quote depends on it.
    """

    index: int
    liquidity_net: int
    liquidity_gross: int = 0

    def __post_init__(self) -> None:
        """Check what a tick can hold."""
        if not MIN_TICK <= self.index <= MAX_TICK:
            raise ValueError(f"index: expected {MIN_TICK} to {MAX_TICK}, found {self.index}")
        if not 0 <= self.liquidity_gross <= _MAX_LIQUIDITY:
            raise ValueError("liquidity_gross: expected a uint128")
        if abs(self.liquidity_net) > (self.liquidity_gross or _MAX_LIQUIDITY >> 1):
            raise ValueError("liquidity_net: expected an int128 of at most liquidity_gross")


class Priced(Protocol):
    """What a quote depends on beside the ticks; `sqrt_price_x96` is 0 without a price."""

    @property
    def sqrt_price_x96(self) -> int:
        """The price, Q64.96."""

    @property
    def liquidity(self) -> int:
        """The liquidity in range."""

    @property
    def tick(self) -> int:
        """The tick."""


class Head(NamedTuple):
    """Where a price stands in a table: see `kernels.uniswap_v3.head`."""

    where: tuple[int, int, int]
    row: int
    whole_in: int
    whole_out: int


_NO_HEAD: Final = Head((-1, -1, 0), 0, 0, 0)
QuoteKernel: TypeAlias = Callable[..., tuple[int, int, int, bool]]


class TickTable(tuple[Tick, ...]):  # noqa: SLOT001  what is derived lies in its __dict__
    """The initialised ticks, ascending, with everything that is derived from them alone.

    It is immutable; states that share it share its arrays and tables.

    Raises:
        ValueError: they do not ascend.
    """

    def __new__(cls, ticks: Iterable[Tick] = ()) -> Self:
        """Check the ticks, unless they are a table already."""
        if isinstance(ticks, cls):
            return ticks
        table = super().__new__(cls, ticks)
        for here, following in zip(table.indices, table.indices[1:], strict=False):
            if here >= following:
                raise ValueError(f"expected ascending ticks, found {following} after {here}")
        return table

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """The ticks."""
        return tuple(tick.index for tick in self)

    @cached_property
    def depth(self) -> tuple[int, ...]:
        """The liquidity from each tick to the next, when there is none below the first."""
        return tuple(accumulate(tick.liquidity_net for tick in self))

    @cached_property
    def whole(self) -> bool:
        """Whether these can be all ticks of a pool: above the last one no liquidity is left."""
        return not self or self.depth[-1] == 0

    @cached_property
    def bounds(self) -> FloatArray:
        """The ticks' square-root prices as floats."""
        return np.array([sqrt_at_tick(tick) / Q96 for tick in self.indices], np.float64)

    @cached_property
    def depths(self) -> FloatArray:
        """`depth` as floats."""
        return np.array(self.depth, np.float64)

    @cached_property
    def _spacings(self) -> set[int]:
        return set()

    @cached_property
    def _books(self) -> dict[tuple[int, int, int], TickBook]:
        return {}

    @cached_property
    def arrays(self) -> tuple[Ticks, Words]:
        """The ticks as kernels take them: int64[n], and U256[2n] of prices and net liquidities."""
        ticks = np.array(self.indices, np.int64)
        words = pack([0] * len(self) + [tick.liquidity_net for tick in self])
        write_prices(ticks, words)
        return ticks, words

    def place(self, tick: int) -> int:
        """Return the place of the last tick that is not above `tick`; -1 when there is none."""
        return bisect_right(self.indices, tick) - 1

    def depth_at(self, tick: int) -> int:
        """Return the liquidity that the ticks add up to at a tick."""
        place = self.place(tick)
        return self.depth[place] if place >= 0 else 0

    def stray(self, spacing: int) -> int | None:
        """Return a tick that is not a multiple of the tick spacing, if there is one."""
        if spacing not in self._spacings:
            for tick in self.indices:
                if tick % spacing:
                    return tick
            self._spacings.add(spacing)
        return None

    def positioned(self, lower: int, upper: int, liquidity: int) -> TickTable:
        """Return the table with a position's liquidity added, or taken when it is negative.

        Raises:
            ValueError: there is not so much to take, or a tick's gross liquidity is not known.
        """
        ticks = list(self)
        for index, net in ((lower, liquidity), (upper, -liquidity)):
            at = bisect_right(ticks, index, key=_index) - 1
            known = at >= 0 and ticks[at].index == index
            old = ticks[at] if known else Tick(index, 0)
            if known and not old.liquidity_gross:
                raise ValueError(f"the gross liquidity of tick {index} is not known")
            gross = old.liquidity_gross + liquidity
            if gross < 0:
                raise ValueError(f"tick {index} would hold {gross} of liquidity")
            if not gross and old.liquidity_net + net:
                raise ValueError(f"tick {index} would keep net liquidity without gross")
            place = slice(at, at + 1) if known else slice(at + 1, at + 1)
            ticks[place] = [Tick(index, old.liquidity_net + net, gross)] if gross else []
        return TickTable(ticks)

    def book(self, fee: int, spacing: int, most_rows: int = MOST_ROWS) -> TickBook:
        """Return the quotes at a fee; the tables of the fees asked for last are kept."""
        key = (fee, spacing, most_rows)
        book = self._books.get(key)
        if book is None:
            while len(self._books) >= _FEES:
                del self._books[next(iter(self._books))]
            book = self._books[key] = TickBook(self, *key)
        return book


def _index(tick: Tick) -> int:
    return tick.index


@lru_cache(maxsize=64)
def edges_of(spacing: int) -> Words:
    """Return the prices of all word edges of a tick spacing: 444 kB for 1, 7 kB for 60."""
    edges = np.zeros((2 * words_of_edges(spacing) if spacing else 0, 4), np.uint64)
    if spacing:
        write_edges(spacing, edges)
    return edges


class TickBook:
    """The quotes of one tick table, fee and tick spacing, by a table a direction.

    Args:
        table: the ticks.
        fee: in hundredths of a basis point.
        spacing: the tick spacing; 0 where swaps stop at initialised ticks only.
        most_rows: how long a table may grow.
    """

    def __init__(self, table: TickTable, fee: int, spacing: int, most_rows: int) -> None:
        self.ticks, self.words = table.arrays
        self._fee = fee
        self._spacing = spacing
        self._edges = edges_of(spacing)
        self._most_rows = most_rows
        self._tables = [_unwritten(1), _unwritten(1)]
        self._heads = [_NO_HEAD, _NO_HEAD]

    def exact_in(self, at: Priced, amount: int, *, zero_for_one: bool) -> tuple[int, int]:
        """Return what a pool pays for exactly `amount`, and how many ticks it crosses.

        Raises:
            SwapRefused: the pool would revert, or run dry before it has taken it all.
        """
        try:
            return self.quote(exact_in, at, amount, zero_for_one=zero_for_one)
        except SwapRefused as refusal:
            raise self._partial(refusal, at, amount, True, zero_for_one) from None

    def exact_out(self, at: Priced, amount: int, *, zero_for_one: bool) -> tuple[int, int]:
        """Return what a pool takes to pay exactly `amount`, and how many ticks it crosses.

        Raises:
            SwapRefused: the pool would revert, or run dry before it has paid it all.
        """
        try:
            return self.quote(exact_out, at, amount, zero_for_one=zero_for_one)
        except SwapRefused as refusal:
            raise self._partial(refusal, at, amount, False, zero_for_one) from None

    def quote(
        self, kernel: QuoteKernel, at: Priced, amount: int, *, zero_for_one: bool
    ) -> tuple[int, int]:
        """Return what a kernel with the arguments and results of `exact_in` answers.

        Raises:
            SwapRefused: it does.
        """
        _check_amount(amount)
        where, row, whole_in, whole_out = self.head(at, zero_for_one=zero_for_one)
        status, answer, crossed, beyond = kernel(
            amount,
            *where,
            self._fee,
            self._spacing,
            zero_for_one,
            row,
            whole_in,
            whole_out,
            self.ticks,
            self.words,
            self._edges,
            *self._tables[zero_for_one],
        )
        if beyond:
            self.lengthen(zero_for_one=zero_for_one)
        checked(status)
        return answer, crossed

    def _partial(
        self, refusal: SwapRefused, at: Priced, amount: int, exact_in: bool, zero_for_one: bool
    ) -> SwapRefused:
        """Return a refusal with what the pool would do until it runs dry."""
        if refusal.status != Status.INSUFFICIENT_LIQUIDITY:
            return refusal
        status, taken, given, *_ = swap(
            amount,
            exact_in,
            at.sqrt_price_x96,
            at.liquidity,
            at.tick,
            MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1,
            self._fee,
            self._spacing,
            zero_for_one,
            self.ticks,
            self.words,
            self._edges,
        )
        if status != Status.OK:
            return refusal
        why = f"the pool takes {taken} and pays {given}, and is dry then"
        return SwapRefused(refusal.status, why, taken=taken, given=given)

    def marginal_rate(self, at: Priced, amount: int, *, zero_for_one: bool) -> float:
        """Return how much more comes out per unit more in, at an input of `amount`.

        Raises:
            SwapRefused: there is no such point on the curve.
        """
        _check_amount(amount)
        status, rate = marginal_rate(
            amount,
            at.sqrt_price_x96,
            at.liquidity,
            at.tick,
            self._fee,
            self._spacing,
            zero_for_one,
            self.ticks,
            self.words,
            self._edges,
        )
        checked(status)
        return rate

    def head(self, at: Priced, *, zero_for_one: bool) -> Head:
        """Return where a pool's price stands in the table of a direction, which is made to fit."""
        known = self._heads[zero_for_one]
        where = (at.sqrt_price_x96, at.liquidity, at.tick)
        if known.where == where:
            return known
        answer = head(*where, self._fee, zero_for_one, *self._tables[zero_for_one])
        if answer[0] < 0:
            self._begin(at, zero_for_one)
            answer = head(*where, self._fee, zero_for_one, *self._tables[zero_for_one])
        found = Head(where, max(answer[0], 0), *answer[1:])
        self._heads[zero_for_one] = found
        return found

    def table(self, *, zero_for_one: bool) -> tuple[Words, Ticks]:
        """Return a direction's table, as it is now."""
        return self._tables[zero_for_one]

    def lengthen(self, *, zero_for_one: bool) -> None:
        """Double the table of a direction, within its bound."""
        sums, marks = self._tables[zero_for_one]
        old = len(sums) // PLANES
        rows = min(2 * old, self._most_rows)
        if marks[ENDED] or rows == old:
            return
        longer, further = _unwritten(rows)
        longer.reshape(PLANES, rows, -1)[:, :old] = sums.reshape(PLANES, old, -1)
        further[:MARKS] = marks[:MARKS]
        further[MARKS:].reshape(-1, rows)[:, :old] = marks[MARKS:].reshape(-1, old)
        self._tables[zero_for_one] = (longer, further)
        self._extend(zero_for_one)

    def _begin(self, at: Priced, zero_for_one: bool) -> None:
        """Write a table anew, around a price."""
        sums, marks = _unwritten(min(FIRST_ROWS, self._most_rows))
        status = begin_table(
            at.tick,
            at.liquidity,
            _BEHIND,
            self._spacing,
            zero_for_one,
            self.ticks,
            self.words,
            sums,
            marks,
        )
        self._tables[zero_for_one] = (sums, marks)
        if status == Status.OK:
            self._extend(zero_for_one)

    def _extend(self, zero_for_one: bool) -> None:
        extend_table(
            self._fee,
            self._spacing,
            zero_for_one,
            self.ticks,
            self.words,
            self._edges,
            *self._tables[zero_for_one],
        )


def _unwritten(rows: int) -> tuple[Words, Ticks]:
    return np.zeros((PLANES * rows, 4), np.uint64), np.zeros(MARKS + 2 * rows, np.int64)


def _check_amount(amount: int) -> None:
    # Kernels take what fits 256 bits; what no pool takes is refused before.
    if amount < 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is negative")
    if amount > MAX_AMOUNT:
        raise SwapRefused(Status.OVERFLOW, "the amount does not fit int256")
