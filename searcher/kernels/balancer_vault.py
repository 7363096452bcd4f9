"""What Balancer's vaults do around a curve, as kernels, and how kernels see a pool.

Sources: as `searcher.kernels.reference.balancer_vault` names them. A pool is one array of words:
`HEADER` rows of its own and `FIELDS` rows for each token, packed once per state and good for
swaps between any two of its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from searcher.kernels._jit import kernel
from searcher.kernels.balancer_fixed_point import (
    UNIT,
    by_1e18,
    complement,
    div_down,
    div_up,
    mul_down,
    mul_up,
)
from searcher.kernels.reference.balancer_vault import V2Side, V3Side, V3Terms
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import (
    ONE,
    ZERO,
    Word,
    Words,
    add_checked,
    constant,
    load,
    mul_checked,
    pack,
    to_float,
)
from searcher.kernels.u256 import div_up as quotient_up

_OK: Final = int(Status.OK)
_ZERO_AMOUNT: Final = int(Status.ZERO_AMOUNT)
_ILLIQUID: Final = int(Status.INSUFFICIENT_LIQUIDITY)
_OVERFLOW: Final = int(Status.OVERFLOW)
_TOO_SMALL: Final = int(Status.TOO_SMALL)

# Rows of a pool: which vault (2 or 3), its fees and least trade, and four that the curve names.
VAULT: Final = 0
FEE: Final = 1
AGGREGATE_FEE: Final = 2
MINIMUM_TRADE: Final = 3
CURVE: Final = 4
HEADER: Final = 8

# Rows of a token, from `HEADER + FIELDS * place`: the balance that the curve sees, what the vault
# holds in smallest units and what of it cannot be paid out, scaling and rate, and two that the
# curve names. V2's scaling has 18 decimals and contains the rate.
LIVE: Final = 0
RAW: Final = 1
MANAGED: Final = 2
SCALING: Final = 3
RATE: Final = 4
TOKEN: Final = 5
FIELDS: Final = 7

_V2 = constant(2)
_V2_MAX_BALANCE = constant(2**112 - 1)
_V3_MAX_BALANCE = constant(2**128 - 1)

Extra = tuple[int, int]
"""A token's two rows that the curve names."""


def v2_pool(
    sides: Sequence[V2Side], fee: int, curve: Sequence[int], extra: Sequence[Extra]
) -> Words:
    """Return a pool of the V2 vault as words.

    Args:
        sides: its tokens.
        fee: its swap fee, 18 decimals.
        curve: the four header rows that the curve names.
        extra: for each token the two rows that the curve names.

    Raises:
        SwapRefused: a balance does not fit 256 bits with 18 decimals.
    """
    rows = [2, fee, 0, 0, *curve]
    for side, more in zip(sides, extra, strict=True):
        rows += [side.upscaled, side.balance, side.managed, side.scaling, 10**18, *more]
    return pack(rows)


def v3_pool(
    sides: Sequence[V3Side], terms: V3Terms, curve: Sequence[int], extra: Sequence[Extra]
) -> Words:
    """Return a pool of the V3 vault as words, with arguments as `v2_pool` takes them."""
    rows = [3, *terms, *curve]
    for side, more in zip(sides, extra, strict=True):
        rows += [side.live, side.raw, 0, side.scaling, side.rate, *more]
    return pack(rows)


@kernel("U256(u8[:,::1], i8, i8)")
def token_word(pool: Words, place: int, field: int) -> Word:
    """Return a word of the token at a place."""
    return load(pool, HEADER + FIELDS * place + field)


@kernel("b1(u8[:,::1])")
def is_v3(pool: Words) -> bool:
    """Return whether the pool is one of the V3 vault."""
    return bool(load(pool, VAULT) != _V2())


@kernel("U256(U256)")
def _rate_up(rate: Word) -> Word:
    """Return a rate one unit up, unless it is a whole number."""
    return rate if by_1e18(rate) * UNIT() == rate else rate + ONE()


@kernel("Tuple((b1, U256))(u8[:,::1], i8, U256)")
def _factor(pool: Words, place: int, rate: Word) -> tuple[bool, Word]:
    return mul_checked(token_word(pool, place, SCALING), rate)


@kernel("Tuple((i8, U256, U256))(U256, u8[:,::1], i8)")
def given_in(amount: Word, pool: Words, i: int) -> tuple[int, Word, Word]:
    """Return the input that the curve sees, with 18 decimals, and V3's fee on it."""
    if amount == ZERO():
        return _ZERO_AMOUNT, ZERO(), ZERO()
    fee_share = load(pool, FEE)
    scaling = token_word(pool, i, SCALING)
    if not is_v3(pool):
        fits, fee = mul_up(amount, fee_share)
        if not fits or fee > amount:
            return _OVERFLOW, ZERO(), ZERO()
        fits, given = mul_down(amount - fee, scaling)
        return (_OK if fits else _OVERFLOW), given, ZERO()
    fits, scaled = mul_checked(amount, scaling)
    fits_too, scaled = mul_down(scaled, token_word(pool, i, RATE))
    fits_fee, fee = mul_up(scaled, fee_share)
    if not (fits and fits_too and fits_fee) or fee > scaled:
        return _OVERFLOW, ZERO(), ZERO()
    given = scaled - fee
    return (_OK if given >= load(pool, MINIMUM_TRADE) else _TOO_SMALL), given, fee


@kernel("Tuple((i8, U256))(U256, u8[:,::1], i8)")
def given_out(amount: Word, pool: Words, j: int) -> tuple[int, Word]:
    """Return the output that the curve sees, with 18 decimals."""
    if amount == ZERO():
        return _ZERO_AMOUNT, ZERO()
    scaling = token_word(pool, j, SCALING)
    if not is_v3(pool):
        fits, given = mul_down(amount, scaling)
        return (_OK if fits else _OVERFLOW), given
    fits, scaled = mul_checked(amount, scaling)
    fits_too, given = mul_up(scaled, _rate_up(token_word(pool, j, RATE)))
    if not (fits and fits_too):
        return _OVERFLOW, ZERO()
    return (_OK if given >= load(pool, MINIMUM_TRADE) else _TOO_SMALL), given


@kernel("i8(U256, U256, U256, u8[:,::1], i8, i8)")
def _settle(  # noqa: PLR0917  kernels are called by position
    amount_in: Word, amount_out: Word, fee: Word, pool: Words, i: int, j: int
) -> int:
    """Return whether the vault can book a swap; `fee` has 18 decimals and matters to V3 only."""
    fits, held = add_checked(token_word(pool, i, RAW), amount_in)
    if not fits:
        return _OVERFLOW
    raw_out = token_word(pool, j, RAW)
    if not is_v3(pool):
        if held > _V2_MAX_BALANCE():
            return _OVERFLOW
        return _ILLIQUID if amount_out > raw_out - token_word(pool, j, MANAGED) else _OK
    if fee != ZERO():
        fits, factor = _factor(pool, i, token_word(pool, i, RATE))
        fits_fee, fee_raw = div_down(fee, factor)
        fits_share, share = mul_down(fee_raw, load(pool, AGGREGATE_FEE))
        if not (fits and fits_fee and fits_share) or share > held:
            return _OVERFLOW
        held = held - share
    fits, live_in = mul_checked(held, token_word(pool, i, SCALING))
    fits_in, live_in = mul_down(live_in, token_word(pool, i, RATE))
    if not (fits and fits_in):
        return _OVERFLOW
    if amount_out > raw_out:
        return _ILLIQUID
    fits, live_out = mul_checked(raw_out - amount_out, token_word(pool, j, SCALING))
    fits_out, live_out = mul_down(live_out, token_word(pool, j, RATE))
    most = _V3_MAX_BALANCE()
    if not (fits and fits_out) or held > most or live_in > most or live_out > most:
        return _OVERFLOW
    return _OK


@kernel("Tuple((i8, U256))(U256, U256, U256, u8[:,::1], i8, i8)")
def paid(  # noqa: PLR0917  kernels are called by position
    amount: Word, calculated: Word, fee: Word, pool: Words, i: int, j: int
) -> tuple[int, Word]:
    """Return the output in smallest units of what the curve calculated, after the vault's checks.

    `amount` is the input in smallest units; `fee` is the second number of `given_in`.
    """
    fits = True
    factor = token_word(pool, j, SCALING)
    if is_v3(pool):
        if calculated < load(pool, MINIMUM_TRADE):
            return _TOO_SMALL, ZERO()
        fits, factor = _factor(pool, j, _rate_up(token_word(pool, j, RATE)))
    fits_out, out = div_down(calculated, factor)
    if not (fits and fits_out):
        return _OVERFLOW, ZERO()
    return _settle(amount, out, fee, pool, i, j), out


@kernel("Tuple((i8, U256))(U256, U256, u8[:,::1], i8, i8)")
def taken(amount: Word, calculated: Word, pool: Words, i: int, j: int) -> tuple[int, Word]:
    """Return the input in smallest units, fee added, for an output of `amount`."""
    fee_share = load(pool, FEE)
    left = complement(fee_share)
    if left == ZERO():
        return _OVERFLOW, ZERO()
    if not is_v3(pool):
        fits, net = div_up(calculated, token_word(pool, i, SCALING))
        fits_too, gross = div_up(net, left)
        if not (fits and fits_too):
            return _OVERFLOW, ZERO()
        return _settle(gross, amount, ZERO(), pool, i, j), gross
    if calculated < load(pool, MINIMUM_TRADE):
        return _TOO_SMALL, ZERO()
    fits, product = mul_checked(calculated, fee_share)
    fee = quotient_up(product, left)
    fits_sum, total = add_checked(calculated, fee)
    fits_factor, factor = _factor(pool, i, token_word(pool, i, RATE))
    fits_in, gross = div_up(total, factor)
    if not (fits and fits_sum and fits_factor and fits_in):
        return _OVERFLOW, ZERO()
    return _settle(gross, amount, fee, pool, i, j), gross


@kernel("f8(u8[:,::1], i8)")
def scale(pool: Words, place: int) -> float:
    """Return what a token's smallest unit is worth to the curve, with 18 decimals."""
    scaling = to_float(token_word(pool, place, SCALING))
    return scaling * to_float(token_word(pool, place, RATE)) if is_v3(pool) else scaling
