"""Why a curve gives no amount: the named statuses of kernels and references.

A kernel returns the number, a reference raises `SwapRefused` with it, and both name what the
contract's revert means. This module knows neither numba nor numpy.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What a curve says of an amount; everything but `OK` is a refusal."""

    OK = 0
    ZERO_AMOUNT = 1
    """The contract demands more than nothing."""
    EMPTY_POOL = 2
    """No reserves, no price, or no supply: nothing to swap against."""
    INSUFFICIENT_LIQUIDITY = 3
    """The pool does not hold what is asked for, or runs dry before it has taken it all."""
    OVERFLOW = 4
    """The contract's arithmetic reverts: beyond its integers, below zero, or division by zero."""
    NO_CONVERGENCE = 5
    """The contract's iteration does not settle within its rounds and reverts."""
    UNSAFE_VALUES = 6
    """The contract's own bounds on parameters, balances or results are not met."""
    RATIO_LIMIT = 7
    """More than the share of a balance that the contract lets through in one swap."""
    PRICE_LIMIT = 8
    """The price is at, or the swap would need to pass, the end of the curve."""
    TOO_SMALL = 9
    """Below the least amount that the contract trades, or rounded to nothing where it reverts."""
    INVARIANT_BROKEN = 10
    """The contract's check of its own invariant fails after the swap."""
    PAUSED = 11
    """The pool or its vault does not let anybody swap."""
    UNMODELLED = 12
    """Code of somebody else decides the amount (hooks, plug-ins): the pool is not quoted."""
    UNKNOWN_TOKEN = 13
    """The pool does not hold that token."""
    SAME_TOKEN = 14
    """A token cannot be swapped for itself."""
    BAD_STATE = 15
    """The state contradicts itself: no pool of this kind can be in it."""


class SwapRefused(ValueError):
    """The contract would revert, or not take the whole amount; the message says why.

    Where a contract would carry out a part and stop at the end of its curve, `taken` is how much
    of the input that part takes and `given` what it pays.
    """

    def __init__(
        self, status: Status, why: str, *, taken: int | None = None, given: int | None = None
    ) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.taken = taken
        self.given = given

    def __str__(self) -> str:
        return f"{self.status.name}: {self.why}"


EXPLANATIONS = {
    Status.OK: "the swap is possible",
    Status.ZERO_AMOUNT: "the amount is zero",
    Status.EMPTY_POOL: "the pool is empty",
    Status.INSUFFICIENT_LIQUIDITY: "the pool does not hold enough for the whole amount",
    Status.OVERFLOW: "the contract's arithmetic would revert",
    Status.NO_CONVERGENCE: "the contract's iteration would not converge",
    Status.UNSAFE_VALUES: "a value lies outside the contract's own bounds",
    Status.RATIO_LIMIT: "more than the share of the balance that one swap may move",
    Status.PRICE_LIMIT: "the end of the price curve",
    Status.TOO_SMALL: "less than the contract trades",
    Status.INVARIANT_BROKEN: "the contract's check of its invariant would fail",
    Status.PAUSED: "the pool is paused",
    Status.UNMODELLED: "another contract's code decides the amount",
    Status.UNKNOWN_TOKEN: "the pool does not hold that token",
    Status.SAME_TOKEN: "a token cannot be swapped for itself",
    Status.BAD_STATE: "the state contradicts itself",
}


def checked(status: int) -> None:
    """Raise what a kernel's status means, unless it is `OK`.

    Raises:
        SwapRefused: the status is a refusal.
    """
    if status != Status.OK:
        named = Status(status)
        raise SwapRefused(named, EXPLANATIONS[named])
