"""Numbers as contracts take and give them: the bounds of an amount, the shape of an answer."""

from __future__ import annotations

from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import Answer, UnreadablePool


def uint256(amount: int) -> int:
    """Return an amount that a contract can be asked for.

    Raises:
        SwapRefused: it is negative or beyond 256 bits.
    """
    if not 0 <= amount < 2**256:
        raise SwapRefused(Status.OVERFLOW, "an amount beyond uint256 or below zero")
    return amount


def answered_words(answer: Answer, count: int, what: str) -> tuple[int, ...]:
    """Return the words that a view answered.

    Args:
        answer: the words, or why there are none.
        count: how many the view has.
        what: the view's name, for the message.

    Raises:
        UnreadablePool: it answered nothing, or something else.
    """
    if isinstance(answer, str):
        raise UnreadablePool(f"{what}: {answer}")
    if len(answer) != count:
        raise UnreadablePool(f"{what} answered {len(answer)} words instead of {count}")
    return answer
