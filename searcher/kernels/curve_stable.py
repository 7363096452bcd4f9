"""Curve's stableswap before StableSwap-NG, as kernels: the twin of `reference.curve_stable`.

A pool is one array of 256-bit words, uint64[5 + 3n, 4] for n coins, in the order of `layout`:
A, fee, off-peg fee multiplier, supply of the liquidity token, the invariant D; then n rates, n
balances and n scaled balances. `prepare` computes D and the scaled balances, which no trade
depends on; every other kernel wants a prepared pool. `rules` are the bits of `rule_bits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from searcher.kernels._jit import kernel
from searcher.kernels.reference.curve_stable import (
    D_EACH_PLUS_ONE,
    D_PRODUCT,
    FEE_UNIT,
    PRECISION,
    ROUNDS,
    Pool,
    Rules,
)
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    MAX,
    ONE,
    U256,
    ZERO,
    Word,
    Words,
    add_checked,
    constant,
    div,
    div_up,
    load,
    mul_checked,
    pack,
    select,
    store,
    to_float,
    u256,
)

__all__ = [
    "U256",
    "exact_in",
    "exact_out",
    "layout",
    "marginal_rate",
    "prepare",
    "rule_bits",
]

AMP: Final = 0
FEE: Final = 1
OFFPEG: Final = 2
SUPPLY: Final = 3
INVARIANT: Final = 4
HEAD: Final = 5
"""Rows before the rates."""

PLUS_ONE: Final = 1
PRODUCT: Final = 2
HUNDREDFOLD: Final = 4
SETTLES: Final = 8
BY_MULTIPLIER: Final = 16
QUOTE_LESS_ONE: Final = 32
QUOTE_FEE_ON_TOKENS: Final = 64
EXCHANGE_LESS_ONE: Final = 128

OK: Final = int(Status.OK)
ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
EMPTY_POOL: Final = int(Status.EMPTY_POOL)
INSUFFICIENT: Final = int(Status.INSUFFICIENT_LIQUIDITY)
OVERFLOW: Final = int(Status.OVERFLOW)
UNSETTLED: Final = int(Status.NO_CONVERGENCE)
TOO_SMALL: Final = int(Status.TOO_SMALL)

UNIT = constant(PRECISION)
FEES = constant(FEE_UNIT)
HUNDRED = constant(100)


def rule_bits(rules: Rules) -> int:
    """Return rules as the kernels take them.

    Raises:
        ValueError: an A precision that no contract has.
    """
    if rules.a_precision not in (1, 100):
        raise ValueError(f"a_precision: {rules.a_precision} instead of 1 or 100")
    return (
        PLUS_ONE * (rules.d_form == D_EACH_PLUS_ONE)
        | PRODUCT * (rules.d_form == D_PRODUCT)
        | HUNDREDFOLD * (rules.a_precision == 100)
        | SETTLES * rules.settles
        | BY_MULTIPLIER * rules.by_multiplier
        | QUOTE_LESS_ONE * rules.quote_less_one
        | QUOTE_FEE_ON_TOKENS * rules.quote_fee_on_tokens
        | EXCHANGE_LESS_ONE * rules.exchange_less_one
    )


def layout(pool: Pool) -> Words:
    """Return a pool as the array that kernels take, not yet prepared."""
    head: Sequence[int] = (pool.amp, pool.fee, pool.offpeg_fee_multiplier, pool.supply, 0)
    return pack([*head, *pool.rates, *pool.balances, *([0] * len(pool.balances))])


# ---- the words' arithmetic as the contracts check it


@kernel("Tuple((b1, U256))(U256, U256, U256)")
def ratio(a: Word, b: Word, below: Word) -> tuple[bool, Word]:
    """Return whether `a * b / below` does not revert, and it."""
    fits, product = mul_checked(a, b)
    if not fits or below == ZERO():
        return False, ZERO()
    return True, div(product, below)


@kernel("i8(u8[:, ::1])")
def coins(pool: Words) -> int:
    """Return how many coins a pool has."""
    count: int = (pool.shape[0] - HEAD) // 3
    return count


@kernel("U256(i8)")
def precision(rules: int) -> Word:
    """Return what A is multiplied by."""
    return HUNDRED() if rules & HUNDREDFOLD else ONE()


@kernel("Tuple((b1, U256))(U256, U256, i8)")
def scale(amount: Word, rate: Word, rules: int) -> tuple[bool, Word]:
    """Return whether a scaled amount fits, and it."""
    if rules & BY_MULTIPLIER:
        if rate == UNIT():
            return True, amount
        return mul_checked(amount, div(rate, UNIT()))
    return ratio(amount, rate, UNIT())


@kernel("Tuple((b1, U256))(U256, U256, i8)")
def unscale(value: Word, rate: Word, rules: int) -> tuple[bool, Word]:
    """Return whether an amount in smallest units can be had, and it."""
    if rules & BY_MULTIPLIER:
        if rate == UNIT():
            return True, value
        return ratio(value, ONE(), div(rate, UNIT()))
    return ratio(value, UNIT(), rate)


# ---- the invariant


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256, i8)")
def product_term(words: Words, first: int, n: int, d: Word, rules: int) -> tuple[int, Word]:
    """Return D_P: `D^(n+1) / (n^n * product of the balances)`, in the contract's order."""
    count, power, d_p = u256(n), ONE(), d
    for k in range(n):
        x, fits = load(words, first + k), True
        if rules & PRODUCT:
            power = power * count
        else:
            fits, x = mul_checked(x, count)
            if rules & PLUS_ONE:
                x = x + ONE()
        fits_too, product = mul_checked(d_p, d)
        if fits and x == ZERO():
            return EMPTY_POOL, ZERO()
        if not (fits and fits_too):
            return OVERFLOW, ZERO()
        d_p = div(product, x)
    return OK, (div(d_p, power) if rules & PRODUCT else d_p)


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, U256, i8)")
def get_d(words: Words, first: int, n: int, amp: Word, rules: int) -> tuple[int, Word]:  # noqa: C901  the contract's own steps
    """Return the invariant of `n` scaled balances that stand in rows from `first`."""
    total = ZERO()
    for k in range(n):
        fits, total = add_checked(total, load(words, first + k))
        if not fits:
            return OVERFLOW, ZERO()
    if total == ZERO():
        return OK, ZERO()
    count = u256(n)
    fits, ann = mul_checked(amp, count)
    fits_too, weighted = mul_checked(ann, total)
    if not (fits and fits_too) or ann < precision(rules):
        return OVERFLOW, ZERO()
    slope = ann - precision(rules)
    if rules & HUNDREDFOLD:
        weighted = div(weighted, HUNDRED())
    d = total
    for _ in range(ROUNDS):
        status, d_p = product_term(words, first, n, d, rules)
        if status != OK:
            return status, ZERO()
        fits, shares = mul_checked(d_p, count)
        fits_too, above = add_checked(weighted, shares)
        fits_all, above = mul_checked(above, d)
        if not (fits and fits_too and fits_all):
            return OVERFLOW, ZERO()
        fits, below = mul_checked(slope, d)
        if rules & HUNDREDFOLD:
            below = div(below, HUNDRED())
        fits_too, shares = add_checked(shares, d_p)
        fits_all, below = add_checked(below, shares)
        if not (fits and fits_too and fits_all):
            return OVERFLOW, ZERO()
        if below == ZERO():
            return EMPTY_POOL, ZERO()
        previous = d
        d = div(above, below)
        if select(d > previous, d - previous, previous - d) <= ONE():
            return OK, d
    return (UNSETTLED if rules & SETTLES else OK), d


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, i8, U256, i8, U256, U256, i8)")
def get_y(  # noqa: C901, PLR0912, PLR0917  the contract's own steps, by place
    words: Words, first: int, n: int, i: int, x: Word, j: int, amp: Word, d: Word, rules: int
) -> tuple[int, Word]:
    """Return what coin `j` must hold, scaled, when coin `i` holds `x`.

    The others hold what stands in rows from `first`; with an `i` of -1 all but `j` do.
    """
    count = u256(n)
    fits, ann = mul_checked(amp, count)
    fits_too, ann_count = mul_checked(ann, count)
    if not (fits and fits_too):
        return OVERFLOW, ZERO()
    c, total = d, ZERO()
    for k in range(n):
        if k != j:
            held = x if k == i else load(words, first + k)
            fits, total = add_checked(total, held)
            fits_too, below = mul_checked(held, count)
            fits_all, c = mul_checked(c, d)
            if fits and fits_too and below == ZERO():
                return EMPTY_POOL, ZERO()
            if not (fits and fits_too and fits_all):
                return OVERFLOW, ZERO()
            c = div(c, below)
    fits, c = mul_checked(c, d)
    fits_too, c = mul_checked(c, precision(rules))
    fits_all, b = mul_checked(d, precision(rules))
    if not (fits and fits_too and fits_all):
        return OVERFLOW, ZERO()
    if ann == ZERO():
        return EMPTY_POOL, ZERO()
    c = div(c, ann_count)
    fits, b = add_checked(total, div(b, ann))
    if not fits:
        return OVERFLOW, ZERO()
    y = d
    for _ in range(ROUNDS):
        fits, above = mul_checked(y, y)
        fits_too, above = add_checked(above, c)
        fits_all, below = add_checked(y, y)
        if not (fits and fits_too and fits_all):
            return OVERFLOW, ZERO()
        fits, below = add_checked(below, b)
        if not fits or below < d:
            return OVERFLOW, ZERO()
        if below == d:
            return EMPTY_POOL, ZERO()
        previous = y
        y = div(above, below - d)
        if select(y > previous, y - previous, previous - y) <= ONE():
            return OK, y
    return (UNSETTLED if rules & SETTLES else OK), y


@kernel("i8(u8[:, ::1], i8)")
def prepare(pool: Words, rules: int) -> int:
    """Compute the scaled balances and the invariant into a pool's array; return the status."""
    n = coins(pool)
    for k in range(n):
        fits, x = scale(load(pool, HEAD + n + k), load(pool, HEAD + k), rules)
        if not fits:
            return OVERFLOW
        store(pool, HEAD + 2 * n + k, x)
    status, d = get_d(pool, HEAD + 2 * n, n, load(pool, AMP), rules)
    store(pool, INVARIANT, d)
    return status


# ---- quotes


@kernel("Tuple((i8, U256))(U256, U256, U256, U256)")
def dynamic_fee(first: Word, second: Word, fee: Word, multiplier: Word) -> tuple[int, Word]:
    """Return the fee of a pool that charges more the further two coins are apart."""
    if multiplier <= FEES():
        return OK, fee
    fits, total = add_checked(first, second)
    fits_too, near = mul_checked((multiplier - FEES()) * u256(np.int64(4)), first)
    if not (fits and fits_too):
        return OVERFLOW, ZERO()
    fits, near = mul_checked(near, second)
    fits_too, square = mul_checked(total, total)
    if not (fits and fits_too):
        return OVERFLOW, ZERO()
    if square == ZERO():
        return EMPTY_POOL, ZERO()
    return OK, div(multiplier * fee, div(near, square) + FEES())


@kernel("Tuple((b1, U256))(U256, U256)")
def less_fee(value: Word, fee: Word) -> tuple[bool, Word]:
    """Return whether an amount less its fee can be had, and it."""
    fits, charged = ratio(value, fee, FEES())
    return fits, value - charged


@kernel("Tuple((i8, U256, U256))(u8[:, ::1], i8, i8, U256, U256)")
def pays(pool: Words, rules: int, j: int, y: Word, fee: Word) -> tuple[int, Word, Word]:
    """Return what view and exchange pay of coin `j`, which shall hold `y`, scaled, before fees."""
    held = load(pool, HEAD + 2 * coins(pool) + j)
    less = ONE() if rules & QUOTE_LESS_ONE else ZERO()
    less_too = ONE() if rules & EXCHANGE_LESS_ONE else ZERO()
    if held < y or held - y < less or held - y < less_too:
        empty = load(pool, INVARIANT) == ZERO()
        return (EMPTY_POOL if empty else TOO_SMALL), ZERO(), ZERO()
    rate = load(pool, HEAD + j)
    fits, paid = less_fee(held - y - less_too, fee)
    fits_too, paid = unscale(paid, rate, rules)
    if not (fits and fits_too):
        return OVERFLOW, ZERO(), ZERO()
    if rules & QUOTE_FEE_ON_TOKENS:
        fits, seen = unscale(held - y - less, rate, rules)
        fits_too, seen = less_fee(seen, fee)
    elif less == less_too:
        return OK, paid, paid
    else:
        fits, seen = less_fee(held - y - less, fee)
        fits_too, seen = unscale(seen, rate, rules)
    if not (fits and fits_too):
        return OVERFLOW, ZERO(), ZERO()
    return OK, seen, paid


@kernel("Tuple((i8, U256))(U256, U256, U256, U256, U256, U256)")
def swap_fee(  # noqa: PLR0917  kernels take arguments by place
    before: Word, after: Word, held: Word, left: Word, fee: Word, multiplier: Word
) -> tuple[int, Word]:
    """Return the fee for what the sold and the bought coin hold before and after, scaled."""
    if multiplier == ZERO():
        return OK, fee
    fits, first = add_checked(before, after)
    fits_too, second = add_checked(held, left)
    if not (fits and fits_too):
        return OVERFLOW, ZERO()
    one = np.int64(1)
    return dynamic_fee(first >> one, second >> one, fee, multiplier)


@kernel("Tuple((i8, U256, U256))(u8[:, ::1], i8, i8, i8, U256)")
def exact_in(pool: Words, rules: int, i: int, j: int, amount: Word) -> tuple[int, Word, Word]:
    """Return (status, what get_dy says, what exchange pays) for `amount` of coin `i`."""
    n = coins(pool)
    xp = HEAD + 2 * n
    before = load(pool, xp + i)
    fits, sold = scale(amount, load(pool, HEAD + i), rules)
    fits_too, x = add_checked(before, sold)
    if not (fits and fits_too):
        return OVERFLOW, ZERO(), ZERO()
    d = load(pool, INVARIANT)
    status, y = get_y(pool, xp, n, i, x, j, load(pool, AMP), d, rules)
    if status != OK:
        return status, ZERO(), ZERO()
    held, fee = load(pool, xp + j), load(pool, FEE)
    status, fee = swap_fee(before, x, held, y, fee, load(pool, OFFPEG))
    if status != OK:
        return status, ZERO(), ZERO()
    return pays(pool, rules, j, y, fee)


@kernel("U256(U256, U256, U256)")
def probe(low: Word, high: Word, step: Word) -> Word:
    """Return the next input to try: `low` pays too little (0: none known), `high` enough (MAX)."""
    if high == MAX():
        return select(MAX() - low > step, low + step, MAX() - ONE())
    if low == ZERO():
        return select(high > step, high - step, high >> np.int64(1))
    return low + ((high - low) >> np.int64(1))


@kernel("Tuple((b1, U256))(U256, U256)")
def before_fee(paid: Word, fee: Word) -> tuple[bool, Word]:
    """Return whether there is one, and the least amount that leaves `paid` of it after the fee."""
    if fee >= FEES() or paid == ZERO():
        return False, ZERO()
    fits, amount = ratio(paid - ONE(), FEES(), FEES() - fee)
    return fits, amount + ONE()


@kernel("U256(u8[:, ::1], i8, i8, i8, U256, i8)")
def estimate(pool: Words, rules: int, i: int, j: int, amount: Word, exchange: int) -> Word:  # noqa: PLR0917  kernels take arguments by place
    """Return an input near the least that pays `amount`; 1 where it is beyond the curve.

    Where the fee is constant it is exact but for what Newton's iteration rounds.
    """
    n = coins(pool)
    xp = HEAD + 2 * n
    held, fee, rate = load(pool, xp + j), load(pool, FEE), load(pool, HEAD + j)
    on_tokens = exchange == 0 and rules & QUOTE_FEE_ON_TOKENS
    less = rules & (EXCHANGE_LESS_ONE if exchange else QUOTE_LESS_ONE)
    fits, fits_too, fits_all, room = True, True, True, amount
    if on_tokens:
        fits, room = before_fee(room, fee)
    fits_too, product = mul_checked(room, rate)
    room = div_up(product, UNIT())
    if not on_tokens:
        fits_all, room = before_fee(room, fee)
    if less:
        room = room + ONE()
    if not (fits and fits_too and fits_all) or room > held:
        return ONE()
    left = held - room + ONE()
    status, x = get_y(pool, xp, n, j, left, i, load(pool, AMP), load(pool, INVARIANT), rules)
    before = load(pool, xp + i)
    if status != OK or x < before:
        return ONE()
    fits, guess = ratio(x - before, UNIT(), load(pool, HEAD + i))
    return select(fits, guess, ZERO()) + ONE()


@kernel("Tuple((i8, U256))(u8[:, ::1], i8, i8, i8, U256, U256, i8)")
def least_input(  # noqa: PLR0917  kernels take arguments by place
    pool: Words, rules: int, i: int, j: int, amount: Word, guess: Word, exchange: int
) -> tuple[int, Word]:
    """Return the least input for which view (0) or exchange (1) pays at least `amount`."""
    low, high, step = ZERO(), MAX(), ONE()
    x, reached, refusal = guess, False, INSUFFICIENT
    while True:
        status, seen, paid = exact_in(pool, rules, i, j, x)
        if (seen if exchange == 0 else paid) >= amount and status == OK:
            high, reached = x, True
        elif status in (OK, TOO_SMALL):
            low = x
        else:
            high, reached, refusal = x, False, status
        if high - low <= ONE():
            break
        x = probe(low, high, step)
        step = step << np.int64(1)
    if reached:
        return OK, high
    return (refusal if low == ZERO() else INSUFFICIENT), ZERO()


@kernel("Tuple((i8, U256, U256))(u8[:, ::1], i8, i8, i8, U256)")
def exact_out(pool: Words, rules: int, i: int, j: int, amount: Word) -> tuple[int, Word, Word]:
    """Return (status, least inputs for which get_dy says, and exchange pays, `amount` or more)."""
    if amount == ZERO():
        return ZERO_AMOUNT, ZERO(), ZERO()
    guess = estimate(pool, rules, i, j, amount, 0)
    status, seen = least_input(pool, rules, i, j, amount, guess, 0)
    if status != OK:
        return status, ZERO(), ZERO()
    same = bool(rules & QUOTE_LESS_ONE) == bool(rules & EXCHANGE_LESS_ONE)
    if same and not rules & QUOTE_FEE_ON_TOKENS:
        return OK, seen, seen
    guess = estimate(pool, rules, i, j, amount, 1)
    status, paid = least_input(pool, rules, i, j, amount, guess, 1)
    return status, seen, paid


@kernel("Tuple((i8, f8))(u8[:, ::1], i8, i8, i8, U256)")
def marginal_rate(pool: Words, rules: int, i: int, j: int, amount: Word) -> tuple[int, float]:
    """Return (status, smallest units of coin `j` per one more of coin `i`), fee included."""
    n = coins(pool)
    xp = HEAD + 2 * n
    fits, sold = scale(amount, load(pool, HEAD + i), rules)
    fits_too, x = add_checked(load(pool, xp + i), sold)
    if not (fits and fits_too):
        return OVERFLOW, 0.0
    d, amp = load(pool, INVARIANT), load(pool, AMP)
    status, y = get_y(pool, xp, n, i, x, j, amp, d, rules)
    if status != OK:
        return status, 0.0
    if y == ZERO() or d == ZERO():
        return EMPTY_POOL, 0.0
    ann = to_float(amp) / to_float(precision(rules)) * n
    part = to_float(d)
    for k in range(n):
        held = y if k == j else (x if k == i else load(pool, xp + k))
        part = part / to_float(held) * to_float(d) / n
    slope = (ann + part / to_float(x)) / (ann + part / to_float(y))
    fee = to_float(load(pool, FEE)) / 1e10
    bought = slope * (1.0 - fee)
    excess = to_float(load(pool, OFFPEG)) / 1e10 - 1.0
    if excess > 0.0:
        # The fee moves with the averages of both coins before and after.
        before, held_before = to_float(load(pool, xp + i)), to_float(load(pool, xp + j))
        first, second = (before + to_float(x)) / 2.0, (held_before + to_float(y)) / 2.0
        total = first + second
        below = excess * 4.0 * first * second / total / total + 1.0
        turn = excess * 2.0 * (second - first) * (second + slope * first) / total**3
        fee = (excess + 1.0) * fee / below
        bought = slope * (1.0 - fee) + (held_before - to_float(y)) * fee / below * turn
    return OK, bought * to_float(load(pool, HEAD + i)) / to_float(load(pool, HEAD + j))
