"""What Curve's crypto pools of two and three coins have in common.

Sources: CurveCryptoMathOptimized2 (curvefi/twocrypto-ng) and CurveCryptoMathOptimized3
(curvefi/tricrypto-ng): `_cbrt`, `_geometric_mean`, `_newton_y`, `newton_D`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count
from typing import Final, NoReturn

from searcher.kernels.reference.vyper import div, uint, unsafe_div, wrapped
from searcher.kernels.refusal import Status, SwapRefused

WAD: Final = 10**18
A_MULTIPLIER: Final = 10_000
MIN_GAMMA: Final = 10**10
MIN_D: Final = 10**17
MAX_D: Final = 10**33
FEE_UNIT: Final = 10**10
VIEW_ROUNDS: Final = 5
"""How often the views' get_dx corrects the fee."""
ROUNDS: Final = 255
"""How often the maths contracts iterate before they give up."""
SINGLE_STEPS: Final = 4
"""How often the search for an input goes on by one unit, before its steps double."""

_CBRT_HIGH: Final = 115792089237316195423570985008687907853269
"""From here on a number times 10^36 does not fit 256 bits."""


def cbrt(x: int) -> int:
    """Return the cube root of a fixed-point number of 18 decimals, seven Newton steps deep."""
    if x >= _CBRT_HIGH * 10**18:
        scaled, scale = x, 10**12
    elif x >= _CBRT_HIGH:
        scaled, scale = x * 10**18, 10**6
    else:
        scaled, scale = x * 10**36, 1
    log2 = max(scaled.bit_length() - 1, 0)
    power, rest = divmod(log2, 3)
    root: int = 2**power * 1260**rest // 1000**rest
    for _ in range(7):
        root = unsafe_div(2 * root + unsafe_div(scaled, wrapped(root * root)), 3)
    return wrapped(root * scale)


def geometric_mean(x: tuple[int, int, int]) -> int:
    """Return the geometric mean of three amounts of 18 decimals.

    Raises:
        SwapRefused: a product overflows.
    """
    product = uint(uint(x[0] * x[1]) // 10**18 * x[2]) // 10**18
    return cbrt(product) if product else 0


def newton_y(
    A: int,  # noqa: N803  the contract's name, as gamma and D
    gamma: int,
    D: int,  # noqa: N803
    *,
    start: int,
    total_given: int,
    k0_given: int,
    near: int,
    coins: int,
) -> int:
    """Return the balance that the others leave, by Newton's method.

    Args:
        A: amplification.
        gamma: gamma.
        D: invariant.
        start: where to begin.
        total_given: the sum of the other balances.
        k0_given: their share of K0.
        near: a step of less ends the search.
        coins: how many coins the pool has.

    Raises:
        SwapRefused: an operation overflows, or no convergence.
    """
    y = start
    for _ in range(ROUNDS):
        before = y
        share = uint(uint(k0_given * y) * coins) // D
        total = uint(total_given + y)
        distance = uint(abs(gamma + WAD - share) + 1)
        mul1 = uint(uint(uint(WAD * D) // gamma * distance) // gamma * distance)
        mul1 = uint(mul1 * A_MULTIPLIER) // A
        mul2 = uint(WAD + uint(2 * WAD * share) // distance)
        slope = uint(uint(uint(WAD * y) + uint(total * mul2)) + mul1)
        taken = uint(D * mul2)
        if slope < taken:
            y = before // 2
            continue
        slope -= taken
        prime = div(slope, y)
        minus = div(mul1, prime)
        plus = uint(div(uint(slope + WAD * D), prime) + div(uint(minus * WAD), share))
        minus = uint(minus + uint(WAD * total) // prime)
        y = before // 2 if plus < minus else plus - minus
        if abs(y - before) < max(near, y // 10**14):
            return y
    raise SwapRefused(Status.NO_CONVERGENCE, "the balance does not converge")


def next_D(  # noqa: N802
    A: int,  # noqa: N803  the contract's name, as gamma and D
    gamma: int,
    D: int,  # noqa: N803
    *,
    total: int,
    share: int,
    coins: int,
) -> int:
    """Return the invariant one Newton step on, all checked.

    Args:
        A: amplification.
        gamma: gamma.
        D: the invariant before.
        total: the sum of the balances.
        share: K0 there.
        coins: how many coins the pool has.

    Raises:
        SwapRefused: an operation overflows.
    """
    distance = abs(gamma + WAD - share) + 1
    mul1 = uint(uint(uint(WAD * D) // gamma * distance) // gamma * distance)
    mul1 = uint(mul1 * A_MULTIPLIER) // A
    mul2 = uint(2 * WAD * coins * share) // distance
    slope = uint(total + uint(total * mul2) // WAD)
    slope = uint(slope + div(uint(mul1 * coins), share))
    slope = uint(slope - uint(mul2 * D) // WAD)
    plus = div(uint(D * uint(slope + total)), slope)
    minus = uint(D * D) // slope
    step = uint(D * (mul1 // slope)) // WAD
    if share < WAD:
        minus = uint(minus + uint(step * (WAD - share)) // share)
    else:
        minus = uint(minus - uint(step * (share - WAD)) // share)
    return plus - minus if plus > minus else (minus - plus) // 2


def least_input(pay: Callable[[int], int], estimate: int, wanted: int, *, downwards: bool) -> int:
    """Search for an input that pays `wanted` while one less does not.

    Args:
        pay: what an input pays, or SwapRefused. Too little an input may be refused, and from some
            input on everything is.
        estimate: where the search begins: by single steps, then wider and wider ones.
        wanted: the least output.
        downwards: whether to look for less than an estimate that pays enough; else that is it.

    Raises:
        SwapRefused: no input pays that much.
    """

    def judge(given: int) -> tuple[bool, Status]:
        try:
            paid = pay(given)
        except SwapRefused as refusal:
            return False, refusal.status
        # A legacy view may answer something for nothing, which no exchange pays.
        return paid >= wanted and given > 0, Status.OK

    low = high = estimate
    is_enough, status = judge(estimate)
    widths = chain([1] * SINGLE_STEPS, (2**power for power in count(1)))
    if is_enough:
        while downwards and judge(low)[0]:
            high, low = low, max(low - next(widths), 0)
    else:
        was_taken = status == Status.OK
        while not is_enough and (status == Status.OK or not was_taken):
            low, high = high, high + next(widths)
            if high >> 256:
                raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "no input pays that much")
            is_enough, status = judge(high)
            was_taken = was_taken or status == Status.OK
    while high - low > 1:
        middle = (high + low) // 2
        is_found, here = judge(middle)
        # Between what pays too little and what is refused as too much there may be enough.
        if is_found or (here != Status.OK and not is_enough):
            high, is_enough, status = middle, is_found, here
        else:
            low = middle
    if status != Status.OK:
        raise SwapRefused(status, "every input is too little or refused")
    return high


def unsafe(what: str) -> NoReturn:
    """Refuse what the maths contract asserts not to be.

    Raises:
        SwapRefused: always.
    """
    raise SwapRefused(Status.UNSAFE_VALUES, f"{what} lies outside the maths contract's bounds")
