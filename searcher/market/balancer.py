"""What Balancer's protocols share whatever their vault: ramps, arrays of words, quotes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

from searcher.domain.units import Address, Uint256
from searcher.kernels.reference.balancer_fixed_point import ONE
from searcher.kernels.reference.balancer_stable import AMP_PRECISION, amplification
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words
from searcher.market.announcing import AnnouncedPools
from searcher.market.decoding import array_at
from searcher.market.protocol import Answer, Quote, QuoteBlock, UnreadablePool

AMP_UPDATE_STARTED: Final = "0x1835882ee7a34ac194f717a35e09bb1d24c82a3b9d854ab6c9749525b714cdf2"
"""AmpUpdateStarted(uint256 startValue, uint256 endValue, uint256 startTime, uint256 endTime)"""
AMP_UPDATE_STOPPED: Final = "0xa0d01593e47e69d07e0ccd87bece09411e07dd1ed40ca8f2e7af2976542a0233"
"""AmpUpdateStopped(uint256 currentValue)"""
DECIMALS: Final = "0x313ce567"

S = TypeVar("S", bound=Struct)

Curve: TypeAlias = Callable[[int, Words, int, int], tuple[int, Any]]
"""A kernel's entry point: amount, pool, places of the tokens in and out -> status and answer."""


class Curves(NamedTuple):
    """The kernels of a family."""

    exact_in: Curve
    exact_out: Curve
    marginal_rate: Curve


class AmpRamp(Struct, frozen=True):
    """A change of the amplification over time, as AmpUpdateStarted says it.

    It goes evenly from `start_value` at `start_time` to `end_value` at `end_time`. The values have
    3 decimals (200 is 200000), the times are seconds.
    """

    start_value: Uint256
    end_value: Uint256
    start_time: int
    end_time: int

    def __post_init__(self) -> None:
        """Check that it goes forward."""
        if not 0 <= self.start_time <= self.end_time:
            raise ValueError("end_time: expected a time not before start_time")
        for name in ("start_value", "end_value"):
            check_amplification(name, getattr(self, name))


def check_amplification(name: str, value: int) -> None:
    """Raise ValueError unless an amplification is one, with its 3 decimals."""
    if not AMP_PRECISION <= value < 2**64:
        raise ValueError(f"{name}: expected at least {AMP_PRECISION} (3 decimals), found {value}")


def check_lengths(count: int, **lists: Sequence[Any]) -> None:
    """Raise ValueError for a list that is neither empty nor of one entry a token."""
    for name, values in lists.items():
        if values and len(values) != count:
            raise ValueError(f"{name}: expected {count} entries, one a token, found {len(values)}")


def check_tokens(tokens: Sequence[Address]) -> None:
    """Raise ValueError unless these can be the tokens of a pool."""
    if len(tokens) < 2:
        raise ValueError(f"tokens: expected two or more, found {len(tokens)}")
    if len(set(tokens)) != len(tokens):
        raise ValueError("tokens: expected every token once")


def check_share(name: str, value: int) -> None:
    """Raise ValueError unless a share with 18 decimals is below the whole."""
    if not 0 <= value < ONE:
        raise ValueError(f"{name}: expected a share with 18 decimals below {ONE}, found {value}")


def check_weights(weights: Sequence[int]) -> None:
    """Raise ValueError unless these can be the weights of a whole pool, 18 decimals."""
    for place, weight in enumerate(weights):
        if not ONE // 100 <= weight < ONE:
            raise ValueError(
                f"normalized_weights[{place}]: expected {ONE // 100} (1 %) to {ONE - ONE // 100}"
            )
    # Pools whose weights move store them rounded; their sum is not always exactly 1.
    if abs(sum(weights) - ONE) > ONE // 1000:
        raise ValueError(f"normalized_weights: expected a sum of {ONE}, found {sum(weights)}")


def check_decimals(decimals: Sequence[int]) -> None:
    """Raise ValueError for a token that Balancer does not take."""
    for place, value in enumerate(decimals):
        if not 0 <= value <= 18:
            raise ValueError(f"decimals[{place}]: expected 0 to 18, found {value}")


def amplification_at(ramp: AmpRamp | None, value: int, block: QuoteBlock) -> int:
    """Return the amplification in a block: from its ramp if that is known, else `value`."""
    if ramp is None:
        return value
    return amplification(
        ramp.start_value, ramp.end_value, ramp.start_time, ramp.end_time, block.timestamp
    )


class BalancerPools(AnnouncedPools[S]):
    """What the pools of both vaults do alike: a plug-in's vault makes them ready, kernels quote."""

    curves: ClassVar[Curves]
    needs = ("vault", "factories")

    @abstractmethod
    def ready(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> tuple[Words, tuple[int, int]]:
        """Return the pool as kernels see it in a block, and there the places of two tokens.

        Raises:
            SwapRefused: the vault does not swap them, or not now.
        """

    def quote_exact_in(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return what the vault's `swap` of a given input pays."""
        return _exact(self.curves.exact_in, amount, *self.ready(state, block, token_in, token_out))

    def quote_exact_out(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return what the vault's `swap` of a given output takes."""
        return _exact(self.curves.exact_out, amount, *self.ready(state, block, token_in, token_out))

    def marginal_rate(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> float:
        """Return the slope of the curve, fee, scaling and rates included."""
        pool, pair = self.ready(state, block, token_in, token_out)
        if amount < 0 or amount >> 256:
            raise SwapRefused(Status.OVERFLOW, "the amount is not one of 256 bits")
        status, rate = self.curves.marginal_rate(amount, pool, *pair)
        checked(status)
        return float(rate)


def _exact(curve: Curve, amount: int, pool: Words, pair: tuple[int, int]) -> Quote:
    if amount <= 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the vault swaps no amount of zero")
    if amount >> 256:
        raise SwapRefused(Status.OVERFLOW, "the amount exceeds 256 bits")
    status, answer = curve(amount, pool, *pair)
    checked(status)
    return Quote(answer, answer)


# ---- arrays in answers


def answer_words(answer: Answer, what: str, least: int = 1) -> tuple[int, ...]:
    """Return a view's answer, at least so many words.

    Raises:
        UnreadablePool: it has not answered, or less.
    """
    if isinstance(answer, str):
        raise UnreadablePool(f"{what}: {answer}")
    if len(answer) < least:
        raise UnreadablePool(f"{what}: {len(answer)} words instead of {least}")
    return answer


def answer_array(
    answer: Answer, what: str, *, place: int = 0, count: int | None = None
) -> tuple[int, ...]:
    """Return the array that the word at `place` of an answer points to.

    Raises:
        UnreadablePool: there is none, or it has not `count` entries.
    """
    found = array_at(answer_words(answer, what), place)
    if found is None or (count is not None and len(found) != count):
        raise UnreadablePool(f"{what}: not the array that was expected")
    return found
