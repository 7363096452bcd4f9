"""Liquidity Book 2.1 and 2.2 in exact Python integers.

Source: LBPair (getSwapOut, getSwapIn, swap), BinHelper.getAmounts, PriceHelper, FeeHelper,
PairParameterHelper, Uint128x128Math and Uint256x256Math of joe-v2. Liquidity lies in bins of one
price each, `(1 + bin_step / 10_000) ** (id - 2**23)` of token Y for one of token X. A swap empties
one bin after the other; each one it enters may raise the fee, which falls again with time.

2.2 adds to 2.1 hooks, which are not quoted, and a limit on what a bin may hold.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from searcher.kernels.refusal import Status, SwapRefused

SCALE: Final = 1 << 128
MAX_UINT128: Final = SCALE - 1
MAX_UINT256: Final = 2**256 - 1
PRECISION: Final = 10**18
BASIS_POINTS: Final = 10_000
MAX_FEE: Final = PRECISION // 10
MAX_ID: Final = 2**24 - 1
MAX_VOLATILITY: Final = 2**20 - 1
MAX_TIME: Final = 2**40 - 1
ZERO_EXPONENT_ID: Final = 1 << 23
MAX_LIQUIDITY_PER_BIN: Final = (
    65251743116719673010965625540244653191619923014385985379600384103134737
)


class Bin(NamedTuple):
    """What a bin holds, in smallest units, protocol fees left out (getBin)."""

    id: int
    reserve_x: int
    reserve_y: int


@dataclass(frozen=True, slots=True)
class Fees:
    """What the fee depends on: getStaticFeeParameters and getVariableFeeParameters."""

    base_factor: int
    filter_period: int
    decay_period: int
    reduction_factor: int
    variable_fee_control: int
    protocol_share: int
    max_volatility_accumulator: int
    volatility_accumulator: int
    volatility_reference: int
    id_reference: int
    time_of_last_update: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair; `bins` ascend by id, and `limited` says that it is of 2.2."""

    active_id: int
    bin_step: int
    bins: tuple[Bin, ...]
    fees: Fees
    limited: bool = False


class Filled(NamedTuple):
    """What a swap moves, its fee included in what comes in, and how many bins it takes from."""

    amount: int
    fee: int
    bins: int


def swap_out(pair: Pair, amount: int, *, swap_for_y: bool, timestamp: int) -> Filled:
    """Return what a pair pays for exactly `amount` (getSwapOut).

    Args:
        pair: the pair.
        amount: of token X if `swap_for_y`, else of token Y, in smallest units.
        swap_for_y: whether token Y goes out.
        timestamp: the time of the block, in seconds.

    Raises:
        SwapRefused: the contract reverts, or does not take it all.
    """
    left = _narrow(amount)
    references = _references(pair, timestamp)
    out = paid = entered = 0
    for here in _bins(pair, swap_for_y=swap_for_y):
        if left == 0 and here.id != pair.active_id:
            break
        taken, given, fee = _fill(pair, here, left, references, swap_for_y=swap_for_y)
        if taken:
            left -= taken
            out = _narrow(out + given)
            paid += fee
            entered += 1
        if left == 0:
            return Filled(out, paid, entered)
    if left == 0:
        return Filled(0, 0, 0)
    raise SwapRefused(
        Status.INSUFFICIENT_LIQUIDITY, f"the bins run dry after {amount - left} of {amount}"
    )


def swap_in(pair: Pair, amount: int, *, swap_for_y: bool, timestamp: int) -> Filled:
    """Return what a pair takes to pay exactly `amount` (getSwapIn).

    The contract cuts a bin's input to 128 bits without a check; its swap reverts there, and so
    does this.

    Raises:
        SwapRefused: the contract reverts, or does not hold that much.
    """
    left = _narrow(amount)
    references = _references(pair, timestamp)
    needed = paid = entered = 0
    for here in _bins(pair, swap_for_y=swap_for_y):
        if left == 0 and here.id != pair.active_id:
            break
        given = min(left, here.reserve_y if swap_for_y else here.reserve_x)
        price = price_of(here.id, pair.bin_step)
        taken = _narrow(_input_for(price, given, swap_for_y=swap_for_y))
        fee = _fee_on(taken, _total_fee(pair, here.id, references))
        needed = _narrow(needed + taken + fee)
        paid += fee
        left -= given
        entered += given > 0
        if left == 0:
            return Filled(needed, paid, entered)
    if left == 0:
        return Filled(0, 0, 0)
    raise SwapRefused(
        Status.INSUFFICIENT_LIQUIDITY, f"the bins pay {amount - left} of {amount} and run dry"
    )


def price_of(bin_id: int, bin_step: int) -> int:
    """Return the price of a bin, 128.128 fixed point (PriceHelper.getPriceFromId).

    Raises:
        SwapRefused: the power is beyond what the contract can express.
    """
    exponent = bin_id - ZERO_EXPONENT_ID
    if exponent == 0:
        return SCALE
    invert = exponent < 0
    power, squared = abs(exponent), SCALE + (bin_step << 128) // BASIS_POINTS
    result = 0
    if power < 1 << 20:
        result = SCALE
        if squared > MAX_UINT128:
            squared = MAX_UINT256 // squared
            invert = not invert
        for bit in range(20):
            if power >> bit & 1:
                result = result * squared >> 128
            squared = squared * squared >> 128
    if result == 0:
        raise SwapRefused(Status.PRICE_LIMIT, f"bin {bin_id} has no price at step {bin_step}")
    return MAX_UINT256 // result if invert else result


def _bins(pair: Pair, *, swap_for_y: bool) -> Iterator[Bin]:
    """Yield the bins that hold what goes out, from the active one on, in the order of a swap."""
    ids = [entry.id for entry in pair.bins]
    if swap_for_y:
        ordered = pair.bins[: bisect_right(ids, pair.active_id)][::-1]
    else:
        ordered = pair.bins[bisect_left(ids, pair.active_id) :]
    for entry in ordered:
        # The outermost ids are the contract's marks for "no further bin".
        if entry.id in {0, MAX_ID} and entry.id != pair.active_id:
            continue
        if entry.reserve_y if swap_for_y else entry.reserve_x:
            yield entry


def _references(pair: Pair, timestamp: int) -> tuple[int, int]:
    """Return id and volatility that the fee is counted from at that time (updateReferences)."""
    fees = pair.fees
    elapsed = timestamp - fees.time_of_last_update
    if elapsed < 0 or timestamp > MAX_TIME:
        raise SwapRefused(Status.OVERFLOW, "the time lies before the pair's last update")
    if elapsed < fees.filter_period:
        return fees.id_reference, fees.volatility_reference
    if elapsed >= fees.decay_period:
        return pair.active_id, 0
    reference = fees.volatility_accumulator * fees.reduction_factor // BASIS_POINTS
    if reference > MAX_VOLATILITY:
        raise SwapRefused(Status.UNSAFE_VALUES, "a volatility beyond its 20 bits")
    return pair.active_id, reference


def _total_fee(pair: Pair, bin_id: int, references: tuple[int, int]) -> int:
    """Return base and variable fee in a bin, in parts of 1e18."""
    fees = pair.fees
    id_reference, volatility_reference = references
    volatility = volatility_reference + abs(bin_id - id_reference) * BASIS_POINTS
    volatility = min(volatility, fees.max_volatility_accumulator)
    total = fees.base_factor * pair.bin_step * 10**10
    total += ((volatility * pair.bin_step) ** 2 * fees.variable_fee_control + 99) // 100
    if total > MAX_FEE:
        raise SwapRefused(Status.UNSAFE_VALUES, "a fee of more than a tenth")
    return total


def _fill(
    pair: Pair, here: Bin, left: int, references: tuple[int, int], *, swap_for_y: bool
) -> tuple[int, int, int]:
    """Return what a bin takes with its fee, what it gives, and the fee (BinHelper.getAmounts)."""
    price = price_of(here.id, pair.bin_step)
    reserve = here.reserve_y if swap_for_y else here.reserve_x
    whole = _narrow(_input_for(price, reserve, swap_for_y=swap_for_y))
    total_fee = _total_fee(pair, here.id, references)
    fee = _fee_on(whole, total_fee)
    taken, given = _narrow(whole + fee), reserve
    if left < taken:
        taken = left
        fee = -(-taken * total_fee // PRECISION)
        net = taken - fee
        given = net * price >> 128 if swap_for_y else (net << 128) // price
        given = min(_narrow(given), reserve)
    kept = taken if pair.limited else taken - fee * pair.fees.protocol_share // BASIS_POINTS
    x, y = (kept, -given) if swap_for_y else (-given, kept)
    _check_room(pair, price, here.reserve_x + x, here.reserve_y + y)
    return taken, given, fee


def _check_room(pair: Pair, price: int, x: int, y: int) -> None:
    """Refuse what a bin cannot hold: 2.2 looks before protocol fees leave it, 2.1 after."""
    _narrow(x)
    _narrow(y)
    if not pair.limited:
        return
    liquidity = price * x + (y << 128)
    if liquidity > MAX_UINT256:
        raise SwapRefused(Status.OVERFLOW, "a bin's liquidity would exceed uint256")
    if liquidity > MAX_LIQUIDITY_PER_BIN:
        raise SwapRefused(Status.UNSAFE_VALUES, "a bin would hold more than the contract lets it")


def _input_for(price: int, out: int, *, swap_for_y: bool) -> int:
    """Return the input without fee for `out` of a bin, rounded up."""
    return -(-(out << 128) // price) if swap_for_y else -(-out * price >> 128)


def _fee_on(amount: int, total_fee: int) -> int:
    """Return the fee that comes on top of an amount (FeeHelper.getFeeAmount)."""
    return -(-amount * total_fee // (PRECISION - total_fee))


def _narrow(value: int) -> int:
    if not 0 <= value <= MAX_UINT128:
        raise SwapRefused(Status.OVERFLOW, "a number beyond uint128")
    return value
