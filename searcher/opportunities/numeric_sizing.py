"""How much to put into a cycle whose curves have no closed form: by exact quotes and their slopes.

What a cycle leaves is concave in its input, but for fees that fall: it lies below the tangents of
any two points, and where these meet bounds what may still be gained. The search closes a bracket
around the input where the slope is 1 until that bound is within the rounding of the contracts'
integers. Where curves have no tangent to give (a pool refuses, a fee falls, a bin ends in between)
the bracket is halved; where slopes are refused, or the bound does not close, golden sections
settle it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from searcher.domain.units import Address
from searcher.kernels.curves import DEAD
from searcher.kernels.hops import exact_hop, hop
from searcher.kernels.memory import KIND, PIECEWISE
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.market.memory import MarketMemory
from searcher.market.protocol import Protocol as PoolProtocol
from searcher.market.protocol import Quote, QuoteBlock

MOST_STEPS: Final = 80
"""Evaluations of a cycle at most, the golden sections left out."""
_GAIN: Final = 2e-11
"""The share of what a cycle leaves that is not worth another evaluation."""
_ROUNDING: Final = 0.25
"""The share of what all hops may round away that is not worth another evaluation either."""
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_GOLDEN_STEPS: Final = 60
_STRIDE: Final = 8.0
"""How far a step goes at most while only one end of the bracket is known: a factor."""
_NEAR: Final = 0.05
"""Which share of an input is a small step."""
_TOO_SMALL: Final = {Status.ZERO_AMOUNT, Status.TOO_SMALL}


class Row(Protocol):
    """A pair of tokens of a pool."""

    @property
    def pool(self) -> int:
        """The pool's number."""

    @property
    def token0(self) -> Address:
        """What goes in through the even edge."""

    @property
    def token1(self) -> Address:
        """What comes out of it."""


class Curves(Protocol):
    """What sizing asks of a market."""

    memory: MarketMemory

    @property
    def rows(self) -> Sequence[Any]:
        """All rows: pairs of a pool's tokens."""

    def state(self, pool: int) -> Any:
        """Return a pool's exact state."""

    def protocol(self, row: int) -> PoolProtocol[Any]:
        """Return a row's protocol."""


class Sized(NamedTuple):
    """The best input of a cycle, and the exact quote of each hop; 0 and none when nothing pays."""

    amount: int
    quotes: tuple[Quote, ...]


class _Point(NamedTuple):
    """What a cycle does with an input.

    `left` is the output less the input, `slope` how much more comes out per unit more in, and
    `grain` what the roundings of all hops may be worth in the end.
    """

    amount: int
    left: int
    slope: float
    grain: float
    quotes: tuple[Quote, ...]


class _Refusal(NamedTuple):
    """An input that does not get through, and whether it is too small for that."""

    amount: int
    small: bool


def refine(
    market: Curves,
    block: QuoteBlock,
    edges: Sequence[int],
    amount: float,
    *,
    least: float,
    most: float,
) -> Sized:
    """Find the input that leaves the most in exact integers.

    Args:
        market: the market, overlays included.
        block: the block that the swaps will be in.
        edges: the directed pools in order, no pool twice.
        amount: where to begin: what float search found, smallest units of the start token.
        least: the smallest input allowed.
        most: the largest input allowed.
    """
    return _Search(market, block, edges, least, most).best(amount)


class _Search:
    """The search of one cycle: the bracket, and the best point so far."""

    def __init__(
        self, market: Curves, block: QuoteBlock, edges: Sequence[int], least: float, most: float
    ) -> None:
        self._market = market
        self._block = block
        self._edges = edges
        self._floor, self._ceiling = max(1, math.ceil(least)), int(most)
        self._low: _Point | _Refusal | None = None
        self._high: _Point | _Refusal | None = None
        self._best: _Point | None = None
        self._last: list[_Point] = []
        self._widths: list[int] = []

    def best(self, amount: float) -> Sized:
        """Return the best input."""
        if self._floor > self._ceiling:
            return Sized(0, ())
        following = self._within(amount)
        for _ in range(MOST_STEPS):
            found = self._look(following)
            if isinstance(found, _Point) and math.isnan(found.slope):
                self._enclose(found)
                self._settle()
                break
            if self._gap() <= self._enough() or self._top - self._bottom <= 2:
                break
            following = self._within(self._following())
        else:
            self._settle()
        best = self._best
        if best is None or best.left <= 0:
            return Sized(0, ())
        return Sized(best.amount, best.quotes)

    # ---- one input

    def _look(self, amount: int) -> _Point | _Refusal:
        """Evaluate an input and move the bracket."""
        found = self._at(amount)
        if isinstance(found, _Refusal):
            rising = found.small
        else:
            rising = found.slope > 1.0
            self._last = [*self._last[-1:], found]
            if self._best is None or found.left > self._best.left:
                self._best = found
        if rising:
            self._low = found
        else:
            self._high = found
        self._widths.append(self._top - self._bottom)
        return found

    def _at(self, amount: int) -> _Point | _Refusal:
        slope, grain, moving = 1.0, 0.0, amount
        quotes = []
        try:
            for edge in self._edges:
                quote, rate = self._hop(edge, moving)
                slope, grain, moving = slope * rate, grain * rate + 1.0, quote.realised
                quotes.append(quote)
        except SwapRefused as refusal:
            return _Refusal(amount, refusal.status in _TOO_SMALL)
        if not moving:
            return _Refusal(amount, small=True)
        return _Point(amount, moving - amount, slope, grain, tuple(quotes))

    def _hop(self, edge: int, amount: int) -> tuple[Quote, float]:
        """Return the exact quote of an edge and its slope, which is no number when it is refused.

        Raises:
            SwapRefused: the contract would revert.
        """
        memory = self._market.memory
        if memory.shape[edge >> 1, KIND] != PIECEWISE:
            status, out, crossed = exact_hop(memory.table, edge, amount)
            checked(status)
            return Quote(out, out, crossed), hop(memory.table, edge, float(amount))[1]
        row = self._market.rows[edge >> 1]
        protocol = self._market.protocol(edge >> 1)
        tokens = (row.token0, row.token1) if edge & 1 == 0 else (row.token1, row.token0)
        asked = (self._market.state(row.pool), self._block, *tokens)
        quote = protocol.quote_exact_in(*asked, amount)
        try:
            return quote, protocol.marginal_rate(*asked, amount)
        except SwapRefused:
            return quote, math.nan

    # ---- where to go on

    @property
    def _bottom(self) -> int:
        """The greatest input known to lie below the best, or one too small."""
        return self._floor - 1 if self._low is None else self._low.amount

    @property
    def _top(self) -> int:
        """The smallest input known to lie above the best, or one too great."""
        return self._ceiling + 1 if self._high is None else self._high.amount

    def _within(self, amount: float) -> int:
        return max(self._bottom + 1, min(self._top - 1, int(min(amount, self._ceiling))))

    def _gap(self) -> float:
        """Return how much more than the best point any input may leave, where curves are concave.

        It follows from slopes alone: amounts carry the contracts' rounding.
        """
        low, high = self._low, self._high
        if isinstance(low, _Point):
            rise = low.slope - 1.0
            if not isinstance(high, _Point):
                return rise * (self._top - 1 - low.amount)
            fall = 1.0 - high.slope
            return rise * fall / (rise + fall) * (high.amount - low.amount)
        if isinstance(high, _Point):
            return (1.0 - high.slope) * (high.amount - self._bottom - 1)
        return math.inf

    def _enough(self) -> float:
        best = self._best
        return 0.0 if best is None else max(_ROUNDING * best.grain, _GAIN * best.left)

    def _following(self) -> float:
        """Return the next input to look at."""
        low, high = self._low, self._high
        if low is None or high is None:
            return self._outwards()
        steps = len(self._widths)
        if not (isinstance(low, _Point) and isinstance(high, _Point)) or (
            steps > 2 and 2 * self._widths[-1] > self._widths[-3]
        ):
            return self._halfway()
        if steps % 2:
            return self._where_tangents_meet(low, high)
        return self._beyond(self._best_guess(), 2.0)

    def _outwards(self) -> float:
        """Look for the other end of the bracket."""
        low, high = self._low, self._high
        if isinstance(low, _Point):
            guess = self._beyond(self._best_guess(), 1.5)
            return min(guess, low.amount * _STRIDE) if guess > low.amount else low.amount * _STRIDE
        if isinstance(high, _Point):
            guess = self._beyond(self._best_guess(), 1.5)
            return max(guess, high.amount / _STRIDE) if guess > 0 else high.amount / _STRIDE
        return low.amount * _STRIDE if low is not None else self._top / _STRIDE

    def _best_guess(self) -> float:
        """Return where G = 1 / sqrt(slope), which is linear in the input for most cycles, is 1."""
        here = self._last[-1]
        if here.slope <= 0.0:
            return self._halfway()
        level = 1.0 / math.sqrt(here.slope)
        if len(self._last) > 1 and self._last[0].slope > 0.0:
            there = self._last[0]
            rise = level - 1.0 / math.sqrt(there.slope)
            if rise:
                return here.amount + (1.0 - level) * (here.amount - there.amount) / rise
        bend = self._bend(here)
        return here.amount + (math.sqrt(here.slope) - 1.0) / bend if bend > 0.0 else math.inf

    def _bend(self, point: _Point) -> float:
        """Return the curvature N of the cycle's float image."""
        slope, bend, amount = 1.0, 0.0, point.amount
        for edge, quote in zip(self._edges, point.quotes, strict=True):
            _, rate, curvature = hop(self._market.memory.table, edge, float(amount))
            bend += slope * curvature
            slope *= rate
            amount = quote.realised
        return bend

    def _beyond(self, guess: float, factor: float) -> float:
        """Return a near guess with its step prolonged: the other end of the bracket follows."""
        here = self._last[-1].amount
        if abs(guess - here) < _NEAR * min(here, self._top - self._bottom):
            return here + factor * (guess - here)
        return guess

    def _where_tangents_meet(self, low: _Point, high: _Point) -> float:
        width = high.amount - low.amount
        share = (high.left - low.left + (1.0 - high.slope) * width) / (low.slope - high.slope)
        return low.amount + share

    def _halfway(self) -> float:
        bottom, top = self._bottom, self._top
        if top > _STRIDE * max(bottom, 1):
            return math.sqrt(max(bottom, 1)) * math.sqrt(top)
        return (bottom + top) // 2

    def _enclose(self, found: _Point) -> None:
        """Set the bracket around the best input in sight, by what is left alone."""
        self._low = self._high = None
        for factor in (_STRIDE, 1.0 / _STRIDE):
            here, left = found.amount, float(found.left)
            while (there := self._within(here * factor)) != here:
                if (other := self._left(there)) <= left:
                    break
                here, left = there, other
        best = found if self._best is None else self._best
        self._low = _Refusal(self._within(best.amount / _STRIDE) - 1, small=True)
        self._high = _Refusal(self._within(best.amount * _STRIDE) + 1, small=False)

    def _settle(self) -> None:
        """Look for the best input by golden sections, by what is left alone."""
        low, high = self._bottom + 1, self._top - 1
        for _ in range(_GOLDEN_STEPS):
            reach = int(_GOLDEN * (high - low))
            left, right = high - reach, low + reach
            if left >= right:
                break
            if self._left(left) >= self._left(right):
                high = right
            else:
                low = left

    def _left(self, amount: int) -> float:
        found = self._at(amount)
        if isinstance(found, _Refusal):
            return DEAD
        if self._best is None or found.left > self._best.left:
            self._best = found
        return found.left
