"""Balancer weighted pools, V2 and V3, in exact integers.

Sources: WeightedMath.sol, BaseMinimalSwapInfoPool.sol, BasePool.sol, Swaps.sol and
BalanceAllocation.sol of balancer-v2-monorepo; WeightedMath.sol, WeightedPool.sol, Vault.sol and
ScalingHelpers.sol of balancer-v3-monorepo.
"""

from __future__ import annotations

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


class Weights(NamedTuple):
    """The weights of a swap's two tokens, 18 decimals, and how the pool takes powers.

    `exact_powers` is false for the pools of 2021, which send exponents of 1, 2 and 4 through the
    logarithm as well.
    """

    weight_in: int
    weight_out: int
    exact_powers: bool = True


class Floors(NamedTuple):
    """The least 18-decimal balances that a V3 pool keeps, since its version of 2026."""

    minimum_in: int
    minimum_out: int


def out_given_in(balance_in: int, balance_out: int, amount: int, weights: Weights) -> int:
    """Return WeightedMath's output for an input after fee, all with 18 decimals."""
    if amount > mul_down(balance_in, MAX_RATIO):
        raise SwapRefused(Status.RATIO_LIMIT, "more than 30 % of the balance of the token in")
    base = div_up(balance_in, add(balance_in, amount))
    exponent = div_down(weights.weight_in, weights.weight_out)
    power = pow_up(base, exponent, exact_powers=weights.exact_powers)
    return mul_down(balance_out, complement(power))


def in_given_out(balance_in: int, balance_out: int, amount: int, weights: Weights) -> int:
    """Return WeightedMath's input before fee for an output, all with 18 decimals."""
    if amount > mul_down(balance_out, MAX_RATIO):
        raise SwapRefused(Status.RATIO_LIMIT, "more than 30 % of the balance of the token out")
    base = div_up(balance_out, sub(balance_out, amount))
    exponent = div_up(weights.weight_out, weights.weight_in)
    power = pow_up(base, exponent, exact_powers=weights.exact_powers)
    return mul_up(balance_in, sub(power, ONE))


def v2_exact_in(amount: int, side_in: V2Side, side_out: V2Side, fee: int, weights: Weights) -> int:
    """Return what the V2 vault pays for exactly `amount`, smallest units.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    given = v2_given_in(amount, side_in, fee)
    out = out_given_in(side_in.upscaled, side_out.upscaled, given, weights)
    return v2_paid(amount, out, side_in, side_out)


def v2_exact_out(amount: int, side_in: V2Side, side_out: V2Side, fee: int, weights: Weights) -> int:
    """Return what the V2 vault takes to pay exactly `amount`, smallest units.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    given = v2_given_out(amount, side_out)
    taken = in_given_out(side_in.upscaled, side_out.upscaled, given, weights)
    return v2_taken(amount, taken, side_in, side_out, fee)


def v3_exact_in(
    amount: int,
    side_in: V3Side,
    side_out: V3Side,
    terms: V3Terms,
    weights: Weights,
    floors: Floors | None = None,
) -> int:
    """Return what the V3 vault pays for exactly `amount`, smallest units.

    Args:
        amount: the input, smallest units.
        side_in: the token in.
        side_out: the token out.
        terms: the vault's terms for the pool.
        weights: of the two tokens.
        floors: the least balances of the two; None for a pool older than they are.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    given, fee = v3_given_in(amount, side_in, terms)
    balance_in = _v3_balance_in(side_in, floors)
    out = out_given_in(balance_in, side_out.live, given, weights)
    _check_floor_out(side_out, out, floors)
    return v3_paid(amount, out, fee, side_in, side_out, terms)


def v3_exact_out(
    amount: int,
    side_in: V3Side,
    side_out: V3Side,
    terms: V3Terms,
    weights: Weights,
    floors: Floors | None = None,
) -> int:
    """Return what the V3 vault takes to pay exactly `amount`, as `v3_exact_in` says."""
    given = v3_given_out(amount, side_out, terms)
    balance_in = _v3_balance_in(side_in, floors)
    taken = in_given_out(balance_in, side_out.live, given, weights)
    _check_floor_out(side_out, given, floors)
    return v3_taken(amount, taken, side_in, side_out, terms)


def _v3_balance_in(side: V3Side, floors: Floors | None) -> int:
    """Return the balance that the curve sees; the version with floors rounds it up."""
    if floors is None:
        return side.live
    balance = add(side.live, 1)
    if balance < floors.minimum_in:
        raise SwapRefused(Status.UNSAFE_VALUES, "the balance of the token in is below its minimum")
    return balance


def _check_floor_out(side: V3Side, amount: int, floors: Floors | None) -> None:
    if floors is not None and sub(side.live, amount) < floors.minimum_out:
        raise SwapRefused(Status.UNSAFE_VALUES, "the balance of the token out would be too small")
