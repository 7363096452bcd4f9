"""Curve's stableswap before StableSwap-NG: every arithmetic of its plain pools and metapools.

Sources: curvefi/curve-contract (pool-templates and pools), curvefi/curve-factory
(implementations). All of them solve the same invariant; they differ in the order of divisions, in
what they do when Newton's iteration does not settle, and in where a view or an exchange rounds.
`Rules` names those differences; which contract has which is in `searcher.market.stableswap`.

Amounts and balances are in smallest units; what is `scaled` is brought to 18 decimals by a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from searcher.kernels.refusal import Status, SwapRefused

WORD: Final = 1 << 256
PRECISION: Final = 10**18
FEE_UNIT: Final = 10**10
"""Fees are in units of 1e-10."""
ROUNDS: Final = 255

D_EACH: Final = 0
"""`D_P = D_P * D / (x * N)` for each coin."""
D_EACH_PLUS_ONE: Final = 1
"""`D_P = D_P * D / (x * N + 1)` for each coin: an empty one does not divide by zero."""
D_PRODUCT: Final = 2
"""`D_P = D_P * D / x` for each coin, then `/ N ** N`."""


class Rules(NamedTuple):
    """The arithmetic of one contract; the defaults are those of a two-coin factory pool.

    `a_precision` is what A is multiplied by inside (1 or 100). `settles` says that the contract
    reverts when an iteration has not settled after 255 rounds; otherwise it goes on with what it
    has. `by_multiplier`: whole-number multipliers (`rate / 1e18`) scale, not rates.
    `quote_less_one`, `exchange_less_one`: the view, or the exchange, gives one scaled unit less
    than the invariant allows. `quote_fee_on_tokens`: the view takes the fee after it has come back
    to smallest units; the exchange always before. `recomputes_balances`: the exchange stores what
    the scaled balances come back to, instead of adding and subtracting what moved.
    """

    d_form: int = D_PRODUCT
    a_precision: int = 100
    settles: bool = True
    by_multiplier: bool = False
    quote_less_one: bool = True
    quote_fee_on_tokens: bool = False
    exchange_less_one: bool = True
    recomputes_balances: bool = False


class Pool(NamedTuple):
    """The numbers of a pool at one moment.

    `rates` bring a balance to 18 decimals: 10^(36 - decimals), times the price of one whole token
    in lending pools. `amp` is A as the contract keeps it (times `a_precision`). `supply` is that
    of its liquidity token; 0 where nobody needs it. An `offpeg_fee_multiplier` of 0 means a
    constant fee.
    """

    balances: tuple[int, ...]
    rates: tuple[int, ...]
    amp: int
    fee: int
    admin_fee: int = 0
    offpeg_fee_multiplier: int = 0
    supply: int = 0
    rules: Rules = Rules()


def fits(value: int) -> int:
    """Return a number that must fit uint256."""
    if value >= WORD:
        raise SwapRefused(Status.OVERFLOW, "a number exceeds uint256")
    return value


def subtract(a: int, b: int) -> int:
    """Return a difference that must not be negative."""
    if b > a:
        raise SwapRefused(Status.OVERFLOW, "a difference is negative")
    return a - b


def ratio(above: int, below: int) -> int:
    """Return a quotient of a number that must fit uint256, rounded down."""
    if below == 0:
        raise SwapRefused(Status.EMPTY_POOL, "a division by zero: a coin is missing")
    return fits(above) // below


def amplification(initial: int, future: int, begin: int, end: int, now: int) -> int:
    """Return A at a time, as it moves in a straight line from `initial` to `future`.

    Raises:
        SwapRefused: the contract reverts, because `now` lies before `begin`.
    """
    if now >= end:
        return future
    elapsed = subtract(now, begin)
    if future > initial:
        return fits(initial + fits((future - initial) * elapsed) // (end - begin))
    return initial - fits((initial - future) * elapsed) // (end - begin)


def scaled(pool: Pool, balances: Sequence[int]) -> list[int]:
    """Return balances brought to 18 decimals."""
    return [_scale(pool, k, balance) for k, balance in enumerate(balances)]


def get_d(xp: Sequence[int], amp: int, rules: Rules) -> int:
    """Return the invariant: the sum of the scaled balances if they were equal.

    Raises:
        SwapRefused: a coin is missing, or the contract's arithmetic reverts.
    """
    n = len(xp)
    total = fits(sum(xp))
    if total == 0:
        return 0
    ann = fits(amp * n)
    weighted = fits(ann * total) // rules.a_precision
    d = total
    for _ in range(ROUNDS):
        d_p = d
        for x in xp:
            if rules.d_form == D_PRODUCT:
                d_p = ratio(d_p * d, x)
            else:
                d_p = ratio(d_p * d, fits(x * n + (rules.d_form == D_EACH_PLUS_ONE)))
        if rules.d_form == D_PRODUCT:
            d_p //= n**n
        above = fits(fits(weighted + fits(d_p * n)) * d)
        below = fits(subtract(ann, rules.a_precision) * d) // rules.a_precision
        previous, d = d, ratio(above, fits(below + fits((n + 1) * d_p)))
        if abs(d - previous) <= 1:
            return d
    return _unsettled(d, rules)


def get_y(xp: Sequence[int], j: int, amp: int, d: int, rules: Rules) -> int:
    """Return what coin `j` must hold, scaled, for the invariant to be `d`.

    The contracts' get_y and get_y_D: the other coins are taken from `xp`, into which get_y has put
    what coin i holds after the swap.

    Raises:
        SwapRefused: a coin is missing, or the contract's arithmetic reverts.
    """
    n = len(xp)
    ann = fits(amp * n)
    c, total = d, 0
    for k, x in enumerate(xp):
        if k != j:
            total = fits(total + x)
            c = ratio(c * d, fits(x * n))
    c = ratio(fits(fits(c * d) * rules.a_precision), fits(ann * n))
    b = fits(total + ratio(d * rules.a_precision, ann))
    y = d
    for _ in range(ROUNDS):
        above = fits(fits(y * y) + c)
        previous, y = y, ratio(above, subtract(fits(fits(2 * y) + b), d))
        if abs(y - previous) <= 1:
            return y
    return _unsettled(y, rules)


def dynamic_fee(first: int, second: int, fee: int, multiplier: int) -> int:
    """Return the fee of a pool that charges more the further two coins are apart (Aave pools)."""
    if multiplier <= FEE_UNIT:
        return fee
    total = fits(first + second)
    near = fits(fits((multiplier - FEE_UNIT) * 4 * first) * second)
    return ratio(multiplier * fee, ratio(near, fits(total * total)) + FEE_UNIT)


def exact_in(pool: Pool, i: int, j: int, amount: int) -> tuple[int, int]:
    """Return what get_dy says for `amount` of coin `i`, and what exchange then pays of coin `j`.

    Raises:
        SwapRefused: one of them would revert.
    """
    xp, x, y, d = _moved(pool, i, j, amount)
    return pays(pool, j, xp[j] - y, _swap_fee(pool, (xp[i], x), (xp[j], y)), d)


def exchange(pool: Pool, i: int, j: int, amount: int) -> tuple[int, tuple[int, ...]]:
    """Return what exchange pays, and the balances that the pool then keeps for its liquidity.

    Raises:
        SwapRefused: it would revert.
    """
    xp, x, y, d = _moved(pool, i, j, amount)
    room = _less(xp[j] - y, d, less_one=pool.rules.exchange_less_one)
    fee = fits(room * _swap_fee(pool, (xp[i], x), (xp[j], y))) // FEE_UNIT
    admin = fits(fee * pool.admin_fee) // FEE_UNIT
    paid, balances = unscaled(pool, j, room - fee), list(pool.balances)
    if pool.rules.recomputes_balances:
        balances[i] = unscaled(pool, i, x)
        balances[j] = unscaled(pool, j, fits(y + fee - admin))
    else:
        balances[i] = fits(balances[i] + amount)
        balances[j] = subtract(balances[j], paid + unscaled(pool, j, admin))
    return paid, tuple(balances)


def pays(pool: Pool, j: int, room: int, fee: int, d: int) -> tuple[int, int]:
    """Return what view and exchange pay of coin `j` where the invariant leaves `room`, scaled."""
    rules = pool.rules
    seen = _less(room, d, less_one=rules.quote_less_one)
    if rules.quote_fee_on_tokens:
        seen = unscaled(pool, j, seen)
        seen -= fits(fee * seen) // FEE_UNIT
    else:
        seen = unscaled(pool, j, seen - fits(fee * seen) // FEE_UNIT)
    paid = _less(room, d, less_one=rules.exchange_less_one)
    return seen, unscaled(pool, j, paid - fits(fee * paid) // FEE_UNIT)


def exact_out(pool: Pool, i: int, j: int, amount: int) -> tuple[int, int]:
    """Return the least inputs for which get_dy says, and exchange pays, at least `amount`.

    Raises:
        SwapRefused: no input does.
    """
    if amount == 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "nothing is asked for")
    return (
        least_input(lambda x: exact_in(pool, i, j, x)[0], amount),
        least_input(lambda x: exact_in(pool, i, j, x)[1], amount),
    )


def least_input(pay: Callable[[int], int], amount: int) -> int:
    """Return the least input for which `pay`, which never falls, gives at least `amount`.

    Raises:
        SwapRefused: no input does.
    """

    def enough(x: int) -> bool:
        """Say whether `x` pays it, or is already more than the contract can calculate with."""
        try:
            return pay(x) >= amount
        except SwapRefused as refused:
            return refused.status is not Status.TOO_SMALL

    high = 1
    while high < WORD and not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    if high >= WORD or (pay(high) if low == 0 else _paid(pay, high)) < amount:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "no input pays so much")
    return high


def unscaled(pool: Pool, k: int, value: int) -> int:
    """Return a scaled amount of coin `k` in smallest units, rounded down."""
    if pool.rules.by_multiplier:
        return ratio(value, pool.rates[k] // PRECISION)
    return ratio(value * PRECISION, pool.rates[k])


def _moved(pool: Pool, i: int, j: int, amount: int) -> tuple[list[int], int, int, int]:
    """Return the scaled balances, what both coins must hold after a sale, and the invariant."""
    xp = scaled(pool, pool.balances)
    d = get_d(xp, pool.amp, pool.rules)
    x = fits(xp[i] + _scale(pool, i, amount))
    return xp, x, get_y([*xp[:i], x, *xp[i + 1 :]], j, pool.amp, d, pool.rules), d


def _paid(pay: Callable[[int], int], x: int) -> int:
    """Return what `x` pays; nothing where it is more than the contract can calculate with."""
    try:
        return pay(x)
    except SwapRefused:
        return 0


def _swap_fee(pool: Pool, sold: tuple[int, int], bought: tuple[int, int]) -> int:
    """Return the fee for balances before and after, scaled, of both coins."""
    if pool.offpeg_fee_multiplier == 0:
        return pool.fee
    first, second = fits(sum(sold)) // 2, fits(sum(bought)) // 2
    return dynamic_fee(first, second, pool.fee, pool.offpeg_fee_multiplier)


def _scale(pool: Pool, k: int, amount: int) -> int:
    if pool.rules.by_multiplier:
        return fits(amount * (pool.rates[k] // PRECISION))
    return fits(amount * pool.rates[k]) // PRECISION


def _less(room: int, d: int, *, less_one: bool) -> int:
    if room < less_one:
        if d == 0:
            raise SwapRefused(Status.EMPTY_POOL, "the pool holds nothing")
        raise SwapRefused(Status.TOO_SMALL, "so small an input buys less than nothing")
    return room - less_one


def _unsettled(value: int, rules: Rules) -> int:
    if rules.settles:
        raise SwapRefused(Status.NO_CONVERGENCE, "the iteration has not settled in 255 rounds")
    return value
