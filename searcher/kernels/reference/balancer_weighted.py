"""Balancer weighted pools, V2 and V3, in exact integers.

Sources: WeightedMath.sol, BaseMinimalSwapInfoPool.sol, BasePool.sol, Swaps.sol and
BalanceAllocation.sol of balancer-v2-monorepo; WeightedMath.sol, WeightedPool.sol, Vault.sol and
ScalingHelpers.sol of balancer-v3-monorepo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from searcher.kernels.reference.balancer_fixed_point import (
    ONE,
    add,
    complement,
    div_down,
    div_up,
    mul_down,
    mul_up,
    pow_up,
    sub,
)
from searcher.kernels.reference.balancer_vault import (
    V2Side,
    V3Side,
    V3Terms,
    v2_given_in,
    v2_given_out,
    v2_paid,
    v2_taken,
    v3_given_in,
    v3_given_out,
    v3_paid,
    v3_taken,
)
from searcher.kernels.refusal import Status, SwapRefused

MAX_RATIO: Final = 3 * 10**17
"""The share of a balance, 18 decimals, that one swap may bring or take."""


class V2Weighted(NamedTuple):
    """A weighted pool of the V2 vault; `fee` and `weights` have 18 decimals.

    `exact_powers` is false for the pools of 2021, which send exponents of 1, 2 and 4 through the
    logarithm as well.
    """

    sides: Sequence[V2Side]
    fee: int
    weights: Sequence[int]
    exact_powers: bool = True


class V3Weighted(NamedTuple):
    """A weighted pool of the V3 vault; `weights` have 18 decimals.

    `floors` are the least balances that it keeps, 18 decimals: none before its version of 2026.
    """

    sides: Sequence[V3Side]
    terms: V3Terms
    weights: Sequence[int]
    floors: Sequence[int] = ()

    @property
    def exact_powers(self) -> bool:
        """Every V3 pool multiplies exponents of 1, 2 and 4 out."""
        return True


def exact_in(amount: int, pool: V2Weighted | V3Weighted, i: int, j: int) -> int:
    """Return what the vault pays of token `j` for exactly `amount` of token `i`, smallest units.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    if isinstance(pool, V2Weighted):
        pair = pool.sides[i], pool.sides[j]
        given = v2_given_in(amount, pair[0], pool.fee)
        out = _out_given_in(pair[0].upscaled, pair[1].upscaled, given, _exponents(pool, i, j))
        return v2_paid(amount, out, pair)
    given, fee = v3_given_in(amount, pool.sides[i], pool.terms)
    balance_in, balance_out = _v3_balance_in(pool, i), pool.sides[j].live
    out = _out_given_in(balance_in, balance_out, given, _exponents(pool, i, j))
    _check_floor_out(pool, j, out)
    return v3_paid(amount, out, fee, (pool.sides[i], pool.sides[j]), pool.terms)


def exact_out(amount: int, pool: V2Weighted | V3Weighted, i: int, j: int) -> int:
    """Return what the vault takes of token `i` to pay exactly `amount` of token `j`.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    if isinstance(pool, V2Weighted):
        pair = pool.sides[i], pool.sides[j]
        given = v2_given_out(amount, pair[1])
        taken = _in_given_out(pair[0].upscaled, pair[1].upscaled, given, _exponents(pool, i, j))
        return v2_taken(amount, taken, pair, pool.fee)
    given = v3_given_out(amount, pool.sides[j], pool.terms)
    balance_in, balance_out = _v3_balance_in(pool, i), pool.sides[j].live
    taken = _in_given_out(balance_in, balance_out, given, _exponents(pool, i, j))
    _check_floor_out(pool, j, given)
    return v3_taken(amount, taken, (pool.sides[i], pool.sides[j]), pool.terms)


class _Exponents(NamedTuple):
    weight_in: int
    weight_out: int
    exact_powers: bool


def _exponents(pool: V2Weighted | V3Weighted, i: int, j: int) -> _Exponents:
    return _Exponents(pool.weights[i], pool.weights[j], pool.exact_powers)


def _out_given_in(balance_in: int, balance_out: int, amount: int, weights: _Exponents) -> int:
    """Return WeightedMath's output for an input after fee, all with 18 decimals."""
    if amount > mul_down(balance_in, MAX_RATIO):
        raise SwapRefused(Status.RATIO_LIMIT, "more than 30 % of the balance of the token in")
    base = div_up(balance_in, add(balance_in, amount))
    exponent = div_down(weights.weight_in, weights.weight_out)
    power = pow_up(base, exponent, exact_powers=weights.exact_powers)
    return mul_down(balance_out, complement(power))


def _in_given_out(balance_in: int, balance_out: int, amount: int, weights: _Exponents) -> int:
    """Return WeightedMath's input before fee for an output, all with 18 decimals."""
    if amount > mul_down(balance_out, MAX_RATIO):
        raise SwapRefused(Status.RATIO_LIMIT, "more than 30 % of the balance of the token out")
    base = div_up(balance_out, sub(balance_out, amount))
    exponent = div_up(weights.weight_out, weights.weight_in)
    power = pow_up(base, exponent, exact_powers=weights.exact_powers)
    return mul_up(balance_in, sub(power, ONE))


def _v3_balance_in(pool: V3Weighted, i: int) -> int:
    """Return the balance of the token in that the curve sees; a pool with floors rounds it up."""
    if not pool.floors:
        return pool.sides[i].live
    balance = add(pool.sides[i].live, 1)
    if balance < pool.floors[i]:
        raise SwapRefused(Status.UNSAFE_VALUES, "the balance of the token in is below its minimum")
    return balance


def _check_floor_out(pool: V3Weighted, j: int, amount: int) -> None:
    if pool.floors and sub(pool.sides[j].live, amount) < pool.floors[j]:
        raise SwapRefused(Status.UNSAFE_VALUES, "the balance of the token out would be too small")
