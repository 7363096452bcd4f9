"""Solidly's pairs and their descendants in exact Python integers: volatile and stable.

Source: BaseV1Pair of Solidly, Pair of Velodrome V1, Pool of Velodrome V2 and Aerodrome
(getAmountOut, swap, _k, _f, _d, _get_y). They share the arithmetic but for one thing: the older
ones stop Newton's iteration at a step of at most 1, wherever that is; the newer ones (`strict`)
go on to the least y that keeps k, and revert when 255 rounds do not find it.

A volatile pair keeps x*y, a stable one x*y*(x*x + y*y) on amounts scaled to 18 decimals. A fork
that takes another fee, or another part of it, differs in `fee` and `fee_unit` only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from searcher.kernels.refusal import Status, SwapRefused

WORD: Final = 2**256
E18: Final = 10**18
ROUNDS: Final = 255


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair as one direction of it sees it.

    Attributes:
        reserve_in: what the pair holds of the token that comes in, in smallest units.
        reserve_out: the same of the token that goes out.
        scale_in: 10 ** decimals of the token that comes in.
        scale_out: 10 ** decimals of the token that goes out.
        fee: taken from the input, in parts of `fee_unit`.
        fee_unit: the whole that the fee is a part of.
        stable: whether it keeps the stable curve.
        strict: whether it solves for y as Velodrome V2 and Aerodrome do.
        zero_for_one: whether token0 comes in; the strict solver looks at it.
    """

    reserve_in: int
    reserve_out: int
    scale_in: int
    scale_out: int
    fee: int
    fee_unit: int = 10_000
    stable: bool = False
    strict: bool = True
    zero_for_one: bool = True


class Swap(NamedTuple):
    """What the contract's view says, and what its swap, which checks k itself, lets through."""

    quoted: int
    realised: int


def exact_in(pair: Pair, amount: int) -> Swap:
    """Return what a pair pays for exactly `amount`.

    `quoted` is getAmountOut. `realised` is the greatest output, not above it, that swap's own
    check of k lets through: the older solver stops up to a few units short of the curve, so that a
    swap which asks for all of its answer reverts. 0 means that swap pays nothing, as it does for no
    input, whatever getAmountOut says and k would let go.

    Raises:
        SwapRefused: getAmountOut would revert.
    """
    quoted = amount_out(pair, amount)
    net = _after_fee(pair, amount)
    top = min(quoted, pair.reserve_out - 1)
    if amount == 0 or top <= 0:
        return Swap(quoted, 0)
    if not _kept(pair, net, top):
        top = max(_least_from(lambda out: not _kept(pair, net, out), top) - 1, 0)
    return Swap(quoted, top)


def exact_out(pair: Pair, amount: int) -> Swap:
    """Return the least input for which a pair pays at least `amount`.

    `quoted` goes by getAmountOut, `realised` by swap's check of k. Both are least in that one unit
    less is not enough. (The stable curve's integers run flat where a pair holds less than about
    one whole token of either side; there getAmountOut is not monotone, and a still smaller input
    may happen to be enough.)

    Raises:
        SwapRefused: no input is enough, or the contract would revert at it.
    """
    if amount <= 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the amount is not positive")
    if amount >= pair.reserve_out:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "the pair holds no more than is asked for")
    if pair.fee >= pair.fee_unit:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "the fee takes the whole input")
    net = max(_least_kept(pair, amount), 1)
    realised = before_fee(pair, net)
    if not pair.stable:
        amount_out(pair, realised)  # refuses what the contract's own integers cannot hold
        return Swap(realised, realised)
    quoted = _least_from(lambda given: _pays(pair, given, amount), realised)
    return Swap(quoted, realised)


def amount_out(pair: Pair, amount: int) -> int:
    """Return what getAmountOut answers for `amount`.

    Raises:
        SwapRefused: it would revert.
    """
    net = _after_fee(pair, amount)
    if not pair.stable:
        return _divided(_word(net * pair.reserve_out), _word(pair.reserve_in + net))
    kept = _k(pair, pair.reserve_in, pair.reserve_out)
    x = _scaled(pair.reserve_in, pair.scale_in)
    y = _scaled(pair.reserve_out, pair.scale_out)
    x0 = _word(_scaled(net, pair.scale_in) + x)
    solve = _strict_y if pair.strict else _loose_y
    out = _word(y - solve(pair, x0, kept, y))
    return _word(out * pair.scale_out) // E18


def before_fee(pair: Pair, net: int) -> int:
    """Return the least input of which at least `net` is left after the fee.

    Raises:
        SwapRefused: it exceeds 256 bits.
    """
    if net == 0:
        return 0
    # input - floor(input * fee / unit) = ceil(input * (unit - fee) / unit)
    return _word((net - 1) * pair.fee_unit // (pair.fee_unit - pair.fee) + 1)


def _after_fee(pair: Pair, amount: int) -> int:
    return _word(_word(amount) - _word(amount * pair.fee) // pair.fee_unit)


def _k(pair: Pair, x: int, y: int) -> int:
    """Return _k of balances in smallest units; it is symmetric but for the scales."""
    if not pair.stable:
        return _word(x * y)
    return _f(_scaled(x, pair.scale_in), _scaled(y, pair.scale_out))


def _f(x: int, y: int) -> int:
    """Return the stable invariant of scaled amounts: _k, and the strict solver's _f."""
    product = _word(x * y) // E18
    squares = _word(_word(x * x) // E18 + _word(y * y) // E18)
    return _word(product * squares) // E18


def _loose_f(x: int, y: int) -> int:
    """Return the same as the older solver rounds it."""
    cubed_y = _word(_word(y * y) // E18 * y) // E18
    cubed_x = _word(_word(x * x) // E18 * x) // E18
    return _word(_word(x * cubed_y) // E18 + _word(cubed_x * y) // E18)


def _d(x: int, y: int) -> int:
    """Return how fast the invariant grows with y."""
    square = _word(y * y) // E18
    linear = _word(_word(3 * x) * square) // E18
    return _word(linear + _word(_word(x * x) // E18 * x) // E18)


def _loose_y(pair: Pair, x: int, kept: int, y: int) -> int:
    del pair
    for _ in range(ROUNDS):
        k = _loose_f(x, y)
        before = y
        step = _divided(_word(abs(kept - k) * E18), _d(x, y))
        y = _word(y + step if k < kept else y - step)
        if abs(y - before) <= 1:
            break
    return y


def _strict_y(pair: Pair, x: int, kept: int, y: int) -> int:
    for _ in range(ROUNDS):
        k = _f(x, y)
        step = _divided(_word(abs(kept - k) * E18), _d(x, y))
        if k < kept:
            if step == 0:
                if _strict_k(pair, x, _word(y + 1)) > kept:
                    return y + 1
                step = 1
            y = _word(y + step)
        else:
            if step == 0:
                if k == kept or _f(x, _word(y - 1)) < kept:
                    return y
                step = 1
            y = _word(y - step)
    raise SwapRefused(Status.NO_CONVERGENCE, "the pair's solver does not settle in 255 rounds")


def _strict_k(pair: Pair, x: int, y: int) -> int:
    """Return _k as the strict solver calls it.

    It hands scaled amounts, in the order in and out, to a function that takes balances in the
    order token0 and token1, and so scales them once more, perhaps by the other token's decimals.
    """
    first, second = pair.scale_in, pair.scale_out
    if not pair.zero_for_one:
        first, second = second, first
    return _f(_scaled(x, first), _scaled(y, second))


def _kept(pair: Pair, net: int, out: int) -> bool:
    """Return whether swap lets `out` go for `net` of input after the fee."""
    try:
        before = _k(pair, pair.reserve_in, pair.reserve_out)
        return _k(pair, _word(pair.reserve_in + net), pair.reserve_out - out) >= before
    except SwapRefused:
        return False


def _least_kept(pair: Pair, out: int) -> int:
    """Return the least input after fee for which swap lets `out` go.

    Raises:
        SwapRefused: the contract's integers do not hold it.
    """
    before = _k(pair, pair.reserve_in, pair.reserve_out)

    def enough(net: int) -> bool:
        try:
            return _k(pair, _word(pair.reserve_in + net), pair.reserve_out - out) >= before
        except SwapRefused:
            return True  # beyond the integers: enough, if it were possible

    net = _least_from(enough, 0)
    _k(pair, _word(pair.reserve_in + net), pair.reserve_out - out)  # refuses the impossible
    return net


def _pays(pair: Pair, amount: int, out: int) -> bool:
    """Return whether getAmountOut answers at least `out`; one that reverts does not."""
    try:
        return amount_out(pair, amount) >= out
    except SwapRefused:
        return False


def _least_from(holds: Callable[[int], bool], start: int) -> int:
    """Return a number at which it holds, while it does not at one less.

    Strides double from `start`, down where it holds and up where it does not; then bisection.

    Raises:
        SwapRefused: it holds nowhere up to 256 bits.
    """
    stride = 1
    low = high = start
    if holds(start):
        while True:
            if high == 0:
                return 0
            low = max(high - stride, 0)
            if not holds(low):
                break
            high, stride = low, stride * 2
    else:
        while True:
            high = _word(low + stride)
            if holds(high):
                break
            low, stride = high, stride * 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _scaled(amount: int, scale: int) -> int:
    return _word(amount * E18) // scale


def _word(value: int) -> int:
    if not 0 <= value < WORD:
        raise SwapRefused(Status.OVERFLOW, "a number beyond uint256 or below zero")
    return value


def _divided(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise SwapRefused(Status.OVERFLOW, "a division by zero")
    return dividend // divisor
