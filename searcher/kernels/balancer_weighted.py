"""Balancer weighted pools, V2 and V3, as kernels.

Sources: as `searcher.kernels.reference.balancer_weighted` names them. A pool is the array that
`packed` makes of it.
"""

from __future__ import annotations

from typing import Final

from searcher.kernels import balancer_vault as vault
from searcher.kernels._jit import kernel
from searcher.kernels.balancer_fixed_point import (
    UNIT,
    complement,
    div_down,
    div_up,
    mul_down,
    mul_up,
    pow_up,
)
from searcher.kernels.balancer_vault import (
    CURVE,
    FEE,
    LIVE,
    TOKEN,
    given_in,
    given_out,
    paid,
    scale,
    taken,
    token_word,
)
from searcher.kernels.reference.balancer_weighted import V2Weighted, V3Weighted
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    add_checked,
    constant,
    load,
    to_float,
)

_OK: Final = int(Status.OK)
_EMPTY: Final = int(Status.EMPTY_POOL)
_OVERFLOW: Final = int(Status.OVERFLOW)
_UNSAFE: Final = int(Status.UNSAFE_VALUES)
_RATIO: Final = int(Status.RATIO_LIMIT)

# Header rows: whether exponents of 1, 2 and 4 are multiplied out, whether balances have floors.
_EXACT_POWERS: Final = CURVE
_FLOORED: Final = CURVE + 1
# Token rows.
_WEIGHT: Final = TOKEN
_FLOOR: Final = TOKEN + 1

_MAX_RATIO = constant(3 * 10**17)


def packed(pool: V2Weighted | V3Weighted) -> Words:
    """Return a weighted pool as words.

    Raises:
        SwapRefused: a balance does not fit 256 bits with 18 decimals.
    """
    floors = pool.floors if isinstance(pool, V3Weighted) else ()
    extra = list(zip(pool.weights, floors or [0] * len(pool.weights), strict=True))
    curve = (int(pool.exact_powers), int(bool(floors)), 0, 0)
    if isinstance(pool, V2Weighted):
        return vault.v2_pool(pool.sides, pool.fee, curve, extra)
    return vault.v3_pool(pool.sides, pool.terms, curve, extra)


@kernel("Tuple((i8, U256))(u8[:,::1], i8)")
def _balance_in(pool: Words, i: int) -> tuple[int, Word]:
    """Return the balance of the token in that the curve sees; a floored pool rounds it up."""
    live = token_word(pool, i, LIVE)
    if load(pool, _FLOORED) == ZERO():
        return _OK, live
    live = live + ONE()
    return (_UNSAFE if live < token_word(pool, i, _FLOOR) else _OK), live


@kernel("i8(u8[:,::1], i8, U256)")
def _floor_out(pool: Words, j: int, amount: Word) -> int:
    """Return whether the token out keeps its least balance."""
    if load(pool, _FLOORED) == ZERO():
        return _OK
    live = token_word(pool, j, LIVE)
    if amount > live:
        return _OVERFLOW
    return _UNSAFE if live - amount < token_word(pool, j, _FLOOR) else _OK


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8, i8)")
def exact_in(amount: Word, pool: Words, i: int, j: int) -> tuple[int, Word]:
    """Return what the vault pays of token `j` for exactly `amount` of token `i`."""
    status, given, fee = given_in(amount, pool, i)
    if status != _OK:
        return status, ZERO()
    status, balance_in = _balance_in(pool, i)
    if status != _OK:
        return status, ZERO()
    fits, most = mul_down(balance_in, _MAX_RATIO())
    if not fits:
        return _OVERFLOW, ZERO()
    if given > most:
        return _RATIO, ZERO()
    fits, denominator = add_checked(balance_in, given)
    fits_base, base = div_up(balance_in, denominator)
    fits_exponent, exponent = div_down(token_word(pool, i, _WEIGHT), token_word(pool, j, _WEIGHT))
    if not (fits and fits_base and fits_exponent):
        return _OVERFLOW, ZERO()
    status, power = pow_up(base, exponent, load(pool, _EXACT_POWERS) != ZERO())
    if status != _OK:
        return status, ZERO()
    fits, out = mul_down(token_word(pool, j, LIVE), complement(power))
    if not fits:
        return _OVERFLOW, ZERO()
    status = _floor_out(pool, j, out)
    if status != _OK:
        return status, ZERO()
    return paid(amount, out, fee, pool, i, j)


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8, i8)")
def exact_out(amount: Word, pool: Words, i: int, j: int) -> tuple[int, Word]:
    """Return what the vault takes of token `i` to pay exactly `amount` of token `j`."""
    status, given = given_out(amount, pool, j)
    if status != _OK:
        return status, ZERO()
    status, balance_in = _balance_in(pool, i)
    if status != _OK:
        return status, ZERO()
    balance_out = token_word(pool, j, LIVE)
    fits, most = mul_down(balance_out, _MAX_RATIO())
    if not fits:
        return _OVERFLOW, ZERO()
    if given > most:
        return _RATIO, ZERO()
    fits_base, base = div_up(balance_out, balance_out - given)
    fits_exponent, exponent = div_up(token_word(pool, j, _WEIGHT), token_word(pool, i, _WEIGHT))
    if not (fits_base and fits_exponent):
        return _OVERFLOW, ZERO()
    status, power = pow_up(base, exponent, load(pool, _EXACT_POWERS) != ZERO())
    if status != _OK:
        return status, ZERO()
    if power < UNIT():
        return _OVERFLOW, ZERO()
    fits, net = mul_up(balance_in, power - UNIT())
    if not fits:
        return _OVERFLOW, ZERO()
    status = _floor_out(pool, j, given)
    if status != _OK:
        return status, ZERO()
    return taken(amount, net, pool, i, j)


@kernel("Tuple((i8, f8))(U256, u8[:,::1], i8, i8)")
def marginal_rate(amount: Word, pool: Words, i: int, j: int) -> tuple[int, float]:
    """Return how much more comes out per unit more in, at an input of `amount`, after the fee."""
    kept = 1.0 - to_float(load(pool, FEE)) * 1e-18
    balance_in = to_float(token_word(pool, i, LIVE))
    balance_out = to_float(token_word(pool, j, LIVE))
    weight_out = to_float(token_word(pool, j, _WEIGHT))
    scale_out = scale(pool, j)
    if not (balance_in > 0.0 and balance_out > 0.0 and weight_out > 0.0 and scale_out > 0.0):
        return _EMPTY, 0.0
    given = to_float(amount) * kept * scale(pool, i) * 1e-18
    if given > 0.3 * balance_in:
        return _RATIO, 0.0
    ratio = to_float(token_word(pool, i, _WEIGHT)) / weight_out
    base = balance_in / (balance_in + given)
    slope = balance_out * ratio * base**ratio / (balance_in + given)
    return _OK, slope * kept * scale(pool, i) / scale_out
