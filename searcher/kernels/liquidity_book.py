"""Liquidity Book 2.1 and 2.2 on exact 256-bit integers.

The integers are those of `reference.liquidity_book`, which names the sources. What a bin needs and
does not depend on the time is prepared once for a state: its price, and the input without fee that
empties it. A swap is then a walk with two multiplications and a division a bin.

A book is `ids` (int64, ascending), `reserves_x`, `reserves_y`, and what `prepare` writes: `prices`,
`whole_for_y`, `whole_for_x` (all uint64[n, 4], limbs least significant first); `numbers` is int64
with the places below. `timestamp` is the block's, in seconds.
"""

# A book's arrays are arguments, as everywhere in kernels.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searcher.kernels._jit import kernel
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    MAX,
    ONE,
    ZERO,
    Word,
    Words,
    constant,
    div,
    div_up,
    load,
    mul512,
    mul_checked,
    select,
    store,
    to_float,
    u256,
)

Ids: TypeAlias = NDArray[np.int64]

ACTIVE_ID: Final = 0
BIN_STEP: Final = 1
BASE_FACTOR: Final = 2
FILTER_PERIOD: Final = 3
DECAY_PERIOD: Final = 4
REDUCTION_FACTOR: Final = 5
VARIABLE_FEE_CONTROL: Final = 6
PROTOCOL_SHARE: Final = 7
MAX_VOLATILITY_ACCUMULATOR: Final = 8
VOLATILITY_ACCUMULATOR: Final = 9
VOLATILITY_REFERENCE: Final = 10
ID_REFERENCE: Final = 11
TIME_OF_LAST_UPDATE: Final = 12
LIMITED: Final = 13
"""Places in `numbers`; the last one is 1 for a pair of 2.2, which limits what a bin holds."""

OK: Final = int(Status.OK)
INSUFFICIENT_LIQUIDITY: Final = int(Status.INSUFFICIENT_LIQUIDITY)
OVERFLOW: Final = int(Status.OVERFLOW)
UNSAFE_VALUES: Final = int(Status.UNSAFE_VALUES)
PRICE_LIMIT: Final = int(Status.PRICE_LIMIT)

_SCALE = constant(1 << 128)
_MAX_128 = constant((1 << 128) - 1)
_PRECISION = constant(10**18)
_MAX_FEE = constant(10**17)
_BASE_UNIT = constant(10**10)
_HUNDRED = constant(100)
_ALMOST_HUNDRED = constant(99)
_BASIS_POINTS = constant(10_000)
_MAX_LIQUIDITY = constant(65251743116719673010965625540244653191619923014385985379600384103134737)
_BASIS: Final = 10_000
_CENTRE: Final = 1 << 23
_LAST_ID: Final = (1 << 24) - 1
_LAST_TIME: Final = (1 << 40) - 1
_LAST_VOLATILITY: Final = (1 << 20) - 1


@kernel("U256(i8, i8)")
def price_of(bin_id: int, bin_step: int) -> Word:
    """Return the price of a bin, 128.128 fixed point; 0 where the contract has none."""
    exponent = bin_id - _CENTRE
    if exponent == 0:
        return _SCALE()
    power = abs(exponent)
    if power >> 20:
        return ZERO()
    # The base is above 1, so the contract powers its inverse.
    base = _SCALE() + div(u256(bin_step) << np.int64(128), _BASIS_POINTS())
    squared = div(MAX(), base)
    result = _SCALE()
    while power:
        if power & 1:
            result = (result * squared) >> np.int64(128)
        squared = (squared * squared) >> np.int64(128)
        power >>= 1
    if result == ZERO():
        return ZERO()
    return div(MAX(), result) if exponent > 0 else result


@kernel("U256(U256, U256, b1)")
def _input_for(price: Word, out: Word, swap_for_y: bool) -> Word:
    """Return the input without fee for `out` of a bin, rounded up."""
    if swap_for_y:
        return div_up(out << np.int64(128), price)
    high, low = mul512(out, price)
    whole = (high << np.int64(128)) | (low >> np.int64(128))
    return whole + ONE() if (low & _MAX_128()) != ZERO() else whole


@kernel("U256(U256, U256, b1)")
def _output_for(price: Word, net: Word, swap_for_y: bool) -> Word:
    """Return what a bin gives for an input without fee, rounded down."""
    if swap_for_y:
        high, low = mul512(net, price)
        return (high << np.int64(128)) | (low >> np.int64(128))
    return div(net << np.int64(128), price)


@kernel("void(i8[::1], u8[:,::1], u8[:,::1], i8, u8[:,::1], u8[:,::1], u8[:,::1])")
def prepare(
    ids: Ids,
    reserves_x: Words,
    reserves_y: Words,
    bin_step: int,
    prices: Words,
    whole_for_y: Words,
    whole_for_x: Words,
) -> None:
    """Write each bin's price and the inputs without fee that empty it of Y and of X."""
    for k in range(len(ids)):
        price = price_of(ids[k], bin_step)
        store(prices, k, price)
        if price != ZERO():
            store(whole_for_y, k, _input_for(price, load(reserves_y, k), True))
            store(whole_for_x, k, _input_for(price, load(reserves_x, k), False))


@kernel("Tuple((i8, i8, i8))(i8[::1], i8)")
def _references(numbers: Ids, timestamp: int) -> tuple[int, int, int]:
    """Return a status, and the id and volatility that the fee is counted from at that time."""
    elapsed = timestamp - numbers[TIME_OF_LAST_UPDATE]
    if elapsed < 0 or timestamp > _LAST_TIME:
        return OVERFLOW, 0, 0
    if elapsed < numbers[FILTER_PERIOD]:
        return OK, numbers[ID_REFERENCE], numbers[VOLATILITY_REFERENCE]
    if elapsed >= numbers[DECAY_PERIOD]:
        return OK, numbers[ACTIVE_ID], 0
    reference = numbers[VOLATILITY_ACCUMULATOR] * numbers[REDUCTION_FACTOR] // _BASIS
    if reference > _LAST_VOLATILITY:
        return UNSAFE_VALUES, 0, 0
    return OK, numbers[ACTIVE_ID], reference


@kernel("Tuple((i8, U256))(i8[::1], i8, i8, i8)")
def _total_fee(
    numbers: Ids, bin_id: int, id_reference: int, volatility_reference: int
) -> tuple[int, Word]:
    """Return a status, and base and variable fee in a bin in parts of 1e18."""
    volatility = volatility_reference + abs(bin_id - id_reference) * _BASIS
    volatility = min(volatility, numbers[MAX_VOLATILITY_ACCUMULATOR])
    step = numbers[BIN_STEP]
    total = u256(numbers[BASE_FACTOR] * step) * _BASE_UNIT()
    moved = u256(volatility * step)
    varied = moved * moved * u256(numbers[VARIABLE_FEE_CONTROL])
    total += div(varied + _ALMOST_HUNDRED(), _HUNDRED())
    return (OK if total <= _MAX_FEE() else UNSAFE_VALUES), total


@kernel("U256(U256, U256)")
def _fee_on(amount: Word, total_fee: Word) -> Word:
    """Return the fee that comes on top of an amount below 2^128."""
    return div_up(amount * total_fee, _PRECISION() - total_fee)


@kernel("i8(i8[::1], u8[:,::1], i8, i8, b1)")
def _from(ids: Ids, reserves: Words, place: int, active_id: int, swap_for_y: bool) -> int:
    """Return the place of the next bin with reserves, itself included; -1 if there is none.

    The outermost ids are the contract's marks for "no further bin".
    """
    step = -1 if swap_for_y else 1
    while 0 <= place < len(ids):
        marks_end = ids[place] == 0 or ids[place] == _LAST_ID
        if load(reserves, place) != ZERO() and (not marks_end or ids[place] == active_id):
            return place
        place += step
    return -1


@kernel("i8(i8[::1], u8[:,::1], i8, b1)")
def _first(ids: Ids, reserves: Words, active_id: int, swap_for_y: bool) -> int:
    """Return the place of the first bin that a swap takes from, -1 if there is none."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < active_id:
            low = middle + 1
        else:
            high = middle
    if swap_for_y and (low == len(ids) or ids[low] != active_id):
        low -= 1
    return _from(ids, reserves, low, active_id, swap_for_y)


@kernel("i8(i8[::1], U256, U256, U256, U256, U256, U256, b1)")
def _room(
    numbers: Ids,
    price: Word,
    reserve_in: Word,
    reserve_out: Word,
    taken: Word,
    given: Word,
    fee: Word,
    swap_for_y: bool,
) -> int:
    """Return a refusal of what the bin cannot hold, or OK."""
    held = reserve_in + taken
    if not numbers[LIMITED]:
        if held > _MAX_128():
            held -= div(fee * u256(numbers[PROTOCOL_SHARE]), _BASIS_POINTS())
        return OK if held <= _MAX_128() else OVERFLOW
    if held > _MAX_128():
        return OVERFLOW
    rest = reserve_out - given
    x, y = (held, rest) if swap_for_y else (rest, held)
    fits, value = mul_checked(price, x)
    liquidity = value + (y << np.int64(128))
    if not fits or liquidity < value:
        return OVERFLOW
    return OK if liquidity <= _MAX_LIQUIDITY() else UNSAFE_VALUES


@kernel("Tuple((i8, U256, U256))(i8[::1], i8, i8, i8, U256, U256)")
def _emptied(
    numbers: Ids,
    bin_id: int,
    id_reference: int,
    volatility_reference: int,
    price: Word,
    whole: Word,
) -> tuple[int, Word, Word]:
    """Return a status, the fee's parts of 1e18 in a bin, and the input that empties it."""
    if price == ZERO() or whole > _MAX_128():
        return PRICE_LIMIT if price == ZERO() else OVERFLOW, ZERO(), ZERO()
    status, total_fee = _total_fee(numbers, bin_id, id_reference, volatility_reference)
    if status != OK:
        return status, ZERO(), ZERO()
    gross = whole + _fee_on(whole, total_fee)
    return (OK if gross <= _MAX_128() else OVERFLOW), total_fee, gross


@kernel(
    "Tuple((i8, U256, U256, i8))(U256, b1, i8, i8[::1], i8[::1],"
    " u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1])"
)
def exact_in(
    amount: Word,
    swap_for_y: bool,
    timestamp: int,
    numbers: Ids,
    ids: Ids,
    reserves_x: Words,
    reserves_y: Words,
    prices: Words,
    whole_for_y: Words,
    whole_for_x: Words,
) -> tuple[int, Word, Word, int]:
    """Return a status, the output for an exact input, the fee, and how many bins it takes from."""
    status, id_reference, volatility_reference = _references(numbers, timestamp)
    if status != OK or amount > _MAX_128():
        return OVERFLOW if status == OK else status, ZERO(), ZERO(), 0
    active_id, step = numbers[ACTIVE_ID], -1 if swap_for_y else 1
    reserves, others = (reserves_y, reserves_x) if swap_for_y else (reserves_x, reserves_y)
    wholes = whole_for_y if swap_for_y else whole_for_x
    left, out, paid, entered = amount, ZERO(), ZERO(), 0
    k = _first(ids, reserves, active_id, swap_for_y)
    while k >= 0 and (left != ZERO() or (entered == 0 and ids[k] == active_id)):
        price, whole, reserve = load(prices, k), load(wholes, k), load(reserves, k)
        status, total_fee, taken = _emptied(
            numbers, ids[k], id_reference, volatility_reference, price, whole
        )
        if status != OK:
            return status, ZERO(), ZERO(), 0
        fee, given, last = taken - whole, reserve, left < taken
        if last:
            taken = left
            fee = div_up(taken * total_fee, _PRECISION())
            given = _output_for(price, taken - fee, swap_for_y)
            if given > _MAX_128():
                return OVERFLOW, ZERO(), ZERO(), 0
            given = select(given < reserve, given, reserve)
        status = _room(numbers, price, load(others, k), reserve, taken, given, fee, swap_for_y)
        out += given
        if status != OK or out > _MAX_128():
            return OVERFLOW if status == OK else status, ZERO(), ZERO(), 0
        left -= taken
        paid += fee
        entered += taken != ZERO()
        if last:
            break
        k = _from(ids, reserves, k + step, active_id, swap_for_y)
    if left != ZERO():
        return INSUFFICIENT_LIQUIDITY, ZERO(), ZERO(), 0
    return OK, out, paid, entered


@kernel(
    "Tuple((i8, U256, U256, i8))(U256, b1, i8, i8[::1], i8[::1],"
    " u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1])"
)
def exact_out(
    amount: Word,
    swap_for_y: bool,
    timestamp: int,
    numbers: Ids,
    ids: Ids,
    reserves_x: Words,
    reserves_y: Words,
    prices: Words,
    whole_for_y: Words,
    whole_for_x: Words,
) -> tuple[int, Word, Word, int]:
    """Return a status, the input for an exact output, the fee, and how many bins it takes from."""
    status, id_reference, volatility_reference = _references(numbers, timestamp)
    if status != OK or amount > _MAX_128():
        return OVERFLOW if status == OK else status, ZERO(), ZERO(), 0
    active_id, step = numbers[ACTIVE_ID], -1 if swap_for_y else 1
    reserves = reserves_y if swap_for_y else reserves_x
    wholes = whole_for_y if swap_for_y else whole_for_x
    left, needed, paid, entered = amount, ZERO(), ZERO(), 0
    k = _first(ids, reserves, active_id, swap_for_y)
    while k >= 0 and (left != ZERO() or (entered == 0 and ids[k] == active_id)):
        price, whole, reserve = load(prices, k), load(wholes, k), load(reserves, k)
        last = left <= reserve
        given = left if last else reserve
        if left < reserve and price != ZERO():
            whole = _input_for(price, given, swap_for_y)
        status, _, gross = _emptied(
            numbers, ids[k], id_reference, volatility_reference, price, whole
        )
        needed += gross
        if status == OK and needed > _MAX_128():
            status = OVERFLOW
        if status != OK:
            return status, ZERO(), ZERO(), 0
        paid += gross - whole
        left -= given
        entered += given != ZERO()
        if last:
            break
        k = _from(ids, reserves, k + step, active_id, swap_for_y)
    if left != ZERO():
        return INSUFFICIENT_LIQUIDITY, ZERO(), ZERO(), 0
    return OK, needed, paid, entered


@kernel(
    "Tuple((i8, f8))(U256, b1, i8, i8[::1], i8[::1],"
    " u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u8[:,::1])"
)
def marginal_rate(
    amount: Word,
    swap_for_y: bool,
    timestamp: int,
    numbers: Ids,
    ids: Ids,
    reserves_x: Words,
    reserves_y: Words,
    prices: Words,
    whole_for_y: Words,
    whole_for_x: Words,
) -> tuple[int, float]:
    """Return a status and what the bin pays per unit that the next unit of input would enter."""
    status, id_reference, volatility_reference = _references(numbers, timestamp)
    if status != OK or amount > _MAX_128():
        return OVERFLOW if status == OK else status, 0.0
    active_id, step = numbers[ACTIVE_ID], -1 if swap_for_y else 1
    reserves = reserves_y if swap_for_y else reserves_x
    wholes = whole_for_y if swap_for_y else whole_for_x
    left = amount
    k = _first(ids, reserves, active_id, swap_for_y)
    while k >= 0:
        price = load(prices, k)
        status, total_fee, gross = _emptied(
            numbers, ids[k], id_reference, volatility_reference, price, load(wholes, k)
        )
        if status != OK:
            return status, 0.0
        if left < gross:
            rate = to_float(price) / 2.0**128
            keeps = 1.0 - to_float(total_fee) / 1e18
            return OK, keeps * (rate if swap_for_y else 1.0 / rate)
        left -= gross
        k = _from(ids, reserves, k + step, active_id, swap_for_y)
    return INSUFFICIENT_LIQUIDITY, 0.0
