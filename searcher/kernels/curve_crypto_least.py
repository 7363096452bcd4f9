"""The least input of a crypto pool that pays an amount, where its views only estimate it, or not.

`maths`, `harmonic` and the rows are those of `curve_twocrypto` or, with three coins,
`curve_tricrypto`. What a pool pays is not monotonic to the wei, because the maths contracts round:
"least" means here that one smallest unit less does not pay enough. The exact twin of the search is
`least_input` in reference/curve_crypto.py.
"""

# Kernels are called by place.
# ruff: noqa: PLR0917

from __future__ import annotations

import math
from typing import Final

import numpy as np

from searcher.kernels import curve_tricrypto as three
from searcher.kernels import curve_twocrypto as two
from searcher.kernels._jit import kernel
from searcher.kernels.curve_crypto import FEE_UNIT, OK, curvature, slope
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    MAX,
    ONE,
    ZERO,
    Word,
    Words,
    from_float,
    load,
    select,
    to_float,
)

TWO_COINS: Final = 11
"""How many rows a pool of two coins has."""
SINGLE_STEPS: Final = 4
"""So many times the search goes on by one unit, before its steps double."""
FLOAT_ROUNDS: Final = 24
EXACT_ROUNDS: Final = 4
CLOSE: Final = 1e-12
"""From steps of this share of a balance on floats have found what they can."""
EDGES: Final = 16
LINES: Final = 8
"""So many times a point is sought by a straight line, before in the middle."""
AT_RANDOM: Final = 0.1
"""What a legacy pool rounds from one input to the next, in shares of 10^-18 D."""
PRECISE: Final = 1e3
"""A miss of so many times what is rounded is put right by one step, to within that."""

_INSUFFICIENT: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_HALF: Final = np.int64(1)


@kernel("Tuple((b1, i8))(u8[:,::1], i8, i8, i8, i8, U256, U256)")
def _pays(
    pool: Words, maths: int, harmonic: int, i: int, j: int, wanted: Word, dx: Word
) -> tuple[bool, int]:
    """Return whether an input pays enough, and its status."""
    if pool.shape[0] == TWO_COINS:
        status, dy = two.exact_in(pool, maths, harmonic, i, dx)
    else:
        status, dy = three.exact_in(pool, maths, i, j, dx)
    # A legacy view may answer something for nothing, which no exchange pays.
    return bool(status == OK and dy >= wanted and dx != ZERO()), status


@kernel("Tuple((i8, U256))(u8[:,::1], i8, i8, i8, i8, U256, U256, b1)")
def least_input_from(
    pool: Words,
    maths: int,
    harmonic: int,
    i: int,
    j: int,
    wanted: Word,
    estimate: Word,
    downwards: bool,
) -> tuple[int, Word]:
    """Return an input that pays `wanted` while one less does not, searched for from an estimate.

    Args:
        pool: the pool.
        maths: which contract solves it.
        harmonic: how a pool of two coins weighs its fee.
        i: the coin that goes in.
        j: the coin that goes out.
        wanted: the least output.
        estimate: where the search begins: by single steps, then wider and wider ones.
        downwards: whether to look for less than an estimate that pays enough; else that is it.
    """
    low = high = estimate
    enough, status = _pays(pool, maths, harmonic, i, j, wanted, estimate)
    step, steps = ONE(), 0
    if enough:
        found = downwards
        while found:
            high = low
            low -= select(low > step, step, low)
            steps += 1
            step = step if steps < SINGLE_STEPS else step + step
            found, _ = _pays(pool, maths, harmonic, i, j, wanted, low)
    else:
        was_taken = status == OK
        while not enough and (status == OK or not was_taken):
            if step > MAX() - high:
                return _INSUFFICIENT, ZERO()
            low = high
            high += step
            steps += 1
            step = step if steps < SINGLE_STEPS else step + step
            enough, status = _pays(pool, maths, harmonic, i, j, wanted, high)
            was_taken = was_taken or status == OK
    while high > low and high - low > ONE():
        middle = low + ((high - low) >> _HALF)
        found, here = _pays(pool, maths, harmonic, i, j, wanted, middle)
        # Between what pays too little and what is refused as too much there may be enough.
        if found or (here != OK and not enough):
            high, enough, status = middle, found, here
        else:
            low = middle
    return status, (high if status == OK else ZERO())


@kernel("f8(u8[:,::1], i8, f8, f8, f8)")
def _fee(pool: Words, harmonic: int, x_in: float, x_out: float, x_rest: float) -> float:
    """Return the fee as a share: whole parts of 1e-10, as the contract's."""
    if pool.shape[0] == TWO_COINS:
        _, fee, _ = two.balance_and_fee(pool, harmonic, x_in, x_out)
    else:
        _, fee, _ = three.balance_and_fee(pool, x_in, x_out, x_rest)
    return math.floor(fee * FEE_UNIT) / FEE_UNIT


@kernel("UniTuple(f8, 4)(u8[:,::1], i8, i8)")
def _values(pool: Words, i: int, j: int) -> tuple[float, float, float, float]:
    """Return `xp` of coin `i`, of `j` and of the third coin, or 0, and that of one unit of `i`."""
    if pool.shape[0] == TWO_COINS:
        one_in, one_out, rest = two.unit(pool, i), two.unit(pool, j), 0.0
    else:
        k = 3 - i - j
        one_in, one_out = three.unit(pool, i), three.unit(pool, j)
        rest = to_float(load(pool, k)) * three.unit(pool, k)
    return to_float(load(pool, i)) * one_in, to_float(load(pool, j)) * one_out, rest, one_in


@kernel("UniTuple(f8, 2)(u8[:,::1], i8, i8, i8, f8)")
def _guess(pool: Words, harmonic: int, i: int, j: int, part: float) -> tuple[float, float]:
    """Return about what pays a part of coin `j`'s balance by the crypto maths, as `xp`.

    The second is by how much coin `j` falls per unit of coin `i` there, both as `xp`. Both are 0
    where floats find nothing. The invariant is solved for the balance of coin `i`, in units of D,
    by Newton's method, while the fee settles: K N^N (S/D - 1) + K0 - 1 = 0.
    """
    first, fold = (5, 4.0) if pool.shape[0] == TWO_COINS else (8, 27.0)
    x_in, x_out, x_rest, one_in = _values(pool, i, j)
    amplification, gamma = to_float(load(pool, first)), to_float(load(pool, first + 1)) / 1e18
    invariant = to_float(load(pool, first + 2))
    if not (x_in > 0.0 and x_out > 0.0 and one_in > 0.0 and invariant > 0.0):
        return 0.0, 0.0
    pull_unit = amplification / 10_000.0 * gamma * gamma
    start, held, rest = x_in / invariant, x_out / invariant, x_rest / invariant
    if first > 5:
        fold *= rest
    u, v, closeness = start, held, 1.0
    for _ in range(FLOAT_ROUNDS):
        fee = _fee(pool, harmonic, u, v, rest)
        v = held * (1.0 - part / (1.0 - fee))
        if not (0.0 <= fee < 1.0 and v > 0.0):
            return 0.0, 0.0
        k0 = fold * u * v
        apart = gamma + 1.0 - k0
        pull = pull_unit * k0 / (apart * apart)
        excess = u + v + rest - 1.0
        steepness = pull * ((1.0 + 2.0 * k0 / apart) * excess / u + 1.0) + fold * v
        step = (pull * excess + k0 - 1.0) / steepness
        u -= step
        if not u > 0.0:
            return 0.0, 0.0
        # Newton's steps shrink to what doubles hold; the first that does not shrink was the last.
        if abs(step) >= closeness and closeness < CLOSE * u:
            near, far = curvature(k0, amplification, gamma, 1.0)
            return (u - start) * invariant, slope(u, v, near, far)
        closeness = abs(step)
    return 0.0, 0.0


@kernel("Tuple((b1, f8))(u8[:,::1], i8, i8, i8, i8, U256, U256)")
def _short(
    pool: Words, maths: int, harmonic: int, i: int, j: int, wanted: Word, dx: Word
) -> tuple[bool, float]:
    """Return whether an input is taken, and how much its output misses `wanted` by, as `xp`.

    It is enough exactly when that is not above 0.
    """
    if pool.shape[0] == TWO_COINS:
        status, dy, short = two.shortfall(pool, maths, harmonic, i, dx, wanted)
    else:
        status, dy, short = three.shortfall(pool, maths, i, j, dx, wanted)
    good = bool(status == OK and dx != ZERO())
    return good, min(short, 0.0) if dy >= wanted else max(short, 1.0)


@kernel("U256(u8[:,::1], i8, i8, U256, b1)")
def _edge(pool: Words, i: int, j: int, dx: Word, enough: bool) -> Word:
    """Return the nearest input below, or above, at which K0 of what is given rounds up.

    There a legacy pool's output leaps by most of what it rounds.
    """
    more = ZERO() if enough else ONE()
    if pool.shape[0] == TWO_COINS:
        return two.least_with(pool, i, two.k0_given(pool, i, dx) + more)
    return three.least_with(pool, i, j, three.k0_given(pool, i, j, dx) + more)


@kernel("U256(U256, U256, f8, f8, i8)")
def _middle(low: Word, high: Word, short: float, over: float, tries: int) -> Word:
    """Return an input between two, where a straight line says; after some tries, half-way."""
    part = short / (short - over) if tries < LINES else 0.5
    middle = low + from_float(to_float(high - low) * part)
    middle = select(middle > low, middle, low + ONE())
    return select(middle < high, middle, high - ONE())


@kernel("Tuple((b1, U256))(u8[:,::1], i8, i8, i8, i8, U256)")
def sought(  # noqa: C901, PLR0912  a caller of the maths compiles all of it again
    pool: Words, maths: int, harmonic: int, i: int, j: int, wanted: Word
) -> tuple[bool, Word]:
    """Return whether an input of a legacy pool was found that pays while one less does not; it.

    The input that floats say is put right by exact quotes to what the contract rounds, some 10^-18
    of D. That has two parts. K0 of what is given leaps at some inputs, and so does the output: they
    are known, and tried from both sides. From one input to the next the output rounds at random:
    where it misses by no more than that, or between two leaps, pairs of neighbours are tried.
    """
    held, is_two = load(pool, j), pool.shape[0] == TWO_COINS
    if wanted == ZERO() or wanted >= held:
        return False, ZERO()
    moved, descent = _guess(pool, harmonic, i, j, to_float(wanted) / to_float(held))
    if not (moved > 0.0 and descent > 0.0):
        return False, ZERO()
    one = two.unit(pool, i) if is_two else three.unit(pool, i)
    rounding = to_float(load(pool, 7 if is_two else 10)) * 1e-18
    x, miss, rounds = from_float(moved / one), math.inf, 0
    while miss > PRECISE * rounding + descent * one:
        good, short = _short(pool, maths, harmonic, i, j, wanted, x)
        miss = abs(short)
        step, rounds = from_float(miss / descent / one), rounds + 1
        if not good or rounds > EXACT_ROUNDS or (short < 0.0 and x <= step):
            return False, ZERO()
        x = x - step if short < 0.0 else x + step

    good, short = _short(pool, maths, harmonic, i, j, wanted, x)
    for _ in range(EDGES):
        enough = short <= 0.0
        if good and abs(short) < AT_RANDOM * rounding:
            beside = x - ONE() if enough else x + ONE()
            good, there = _short(pool, maths, harmonic, i, j, wanted, beside)
            if good and enough != (there <= 0.0):
                return True, (x if enough else beside)
            x, short = beside, there
        edge = _edge(pool, i, j, x, enough)
        if not good or edge == ZERO():
            return False, ZERO()
        first, second = (edge - ONE(), edge) if enough else (edge, edge - ONE())
        good, there = _short(pool, maths, harmonic, i, j, wanted, first)
        if not good or enough == (there <= 0.0):
            x, short = first, there
            continue
        last = short
        if second != x:
            good, last = _short(pool, maths, harmonic, i, j, wanted, second)
        if not good:
            return False, ZERO()
        if enough == (last <= 0.0):
            return True, edge
        # From here on the answer lies between `low`, which is too little, and `high`.
        low, high, under, over = (second, x, last, short) if enough else (x, second, short, last)
        tries = 0
        while high - low > ONE():
            x = _middle(low, high, under, over, tries)
            good, short = _short(pool, maths, harmonic, i, j, wanted, x)
            enough, tries = short <= 0.0, tries + 1
            beside = x - ONE() if enough else x + ONE()
            good_too, there = _short(pool, maths, harmonic, i, j, wanted, beside)
            if not (good and good_too):
                return False, ZERO()
            if enough != (there <= 0.0):
                return True, (x if enough else beside)
            if enough:
                high, over = beside, there
            else:
                low, under = beside, there
        return True, high
    return False, ZERO()
