"""Balancer stable pools, V2 and V3, in exact integers.

Sources: StableMath.sol, StablePoolAmplification.sol and ComposableStablePool.sol of
balancer-v2-monorepo, with StableMath.sol as it was before June 2022 for the older pools;
StableMath.sol, StablePool.sol and Vault.sol of balancer-v3-monorepo. Balances have 18 decimals and
leave out the pool's own token; an amplification has 3 decimals (AMP_PRECISION).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from searcher.kernels.reference.balancer_fixed_point import add, div, div_up_raw, mul, sub
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

AMP_PRECISION: Final = 1000
MAX_IMBALANCE: Final = 10_000
"""What V3 pools since 2026 let the largest balance be of the smallest: less than this."""
_ROUNDS: Final = 255


class StableMath(Enum):
    """The editions of StableMath, by what they are found in."""

    V2_ROUNDED_UP = "v2_rounded_up"
    """StablePool of 2021, MetaStablePool and StablePhantomPool: an invariant rounded up."""
    V2 = "v2"
    """StablePool of 2022 and ComposableStablePool: Curve's way to the invariant."""
    V3 = "v3"
    """V3 StablePool: the same invariant, a token's balance with more precision."""


def amplification(start: int, end: int, start_time: int, end_time: int, now: int) -> int:
    """Return the amplification of a ramp at a time, 3 decimals; times in seconds."""
    if now >= end_time:
        return end
    if now < start_time:
        # unsigned time differences would wrap: no block is older than the ramp that it holds.
        raise SwapRefused(Status.BAD_STATE, "the block is older than the amplification's ramp")
    moved = abs(end - start) * (now - start_time) // (end_time - start_time)
    return start + moved if end > start else start - moved


def invariant(amp: int, balances: Sequence[int], edition: StableMath) -> int:
    """Return the invariant D of a pool, 18 decimals.

    Raises:
        SwapRefused: the contract reverts, or does not converge.
    """
    total = 0
    for balance in balances:
        total = add(total, balance)
    if total == 0:
        return 0
    step = _invariant_rounded_up if edition is StableMath.V2_ROUNDED_UP else _invariant_as_curve
    d = total
    for _ in range(_ROUNDS):
        previous = d
        d = step(mul(amp, len(balances)), balances, total, d)
        if abs(d - previous) <= 1:
            return d
    raise SwapRefused(Status.NO_CONVERGENCE, "the invariant does not settle in 255 rounds")


def _invariant_as_curve(ann: int, balances: Sequence[int], total: int, d: int) -> int:
    n = len(balances)
    product = d
    for balance in balances:
        product = div(mul(product, d), mul(balance, n))
    above = mul(add(mul(ann, total) // AMP_PRECISION, mul(product, n)), d)
    below = add(mul(sub(ann, AMP_PRECISION), d) // AMP_PRECISION, mul(n + 1, product))
    return div(above, below)


def _invariant_rounded_up(ann: int, balances: Sequence[int], total: int, d: int) -> int:
    n = len(balances)
    product = mul(balances[0], n)
    for balance in balances[1:]:
        product = div_up_raw(mul(mul(product, balance), n), d)
    above = add(mul(mul(n, d), d), div_up_raw(mul(mul(ann, total), product), AMP_PRECISION))
    below = add(mul(n + 1, d), mul(sub(ann, AMP_PRECISION), product) // AMP_PRECISION)
    return div_up_raw(above, below)


def token_balance(
    amp: int, balances: Sequence[int], d: int, place: int, edition: StableMath
) -> int:
    """Return the balance of one token at which the invariant is `d` with all others as they are.

    Raises:
        SwapRefused: the contract reverts, or does not converge.
    """
    n = len(balances)
    ann = mul(amp, n)
    total, product = balances[0], mul(balances[0], n)
    for balance in balances[1:]:
        product = div(mul(mul(product, balance), n), d)
        total = add(total, balance)
    total -= balances[place]
    squared = mul(d, d)
    if edition is StableMath.V3:
        c = mul(div_up_raw(mul(squared, AMP_PRECISION), mul(ann, product)), balances[place])
        b = add(total, div(mul(d, AMP_PRECISION), ann))
    else:
        c = mul(mul(div_up_raw(squared, mul(ann, product)), AMP_PRECISION), balances[place])
        b = add(total, mul(div(d, ann), AMP_PRECISION))
    y = div_up_raw(add(squared, c), add(d, b))
    for _ in range(_ROUNDS):
        previous = y
        y = div_up_raw(add(mul(y, y), c), sub(add(mul(y, 2), b), d))
        if abs(y - previous) <= 1:
            return y
    raise SwapRefused(Status.NO_CONVERGENCE, "a balance does not settle in 255 rounds")


def out_given_in(
    amp: int, balances: Sequence[int], i: int, j: int, amount: int, edition: StableMath
) -> int:
    """Return StableMath's output of token `j` for an input of token `i` after fee."""
    d = invariant(amp, balances, edition)
    held = list(balances)
    held[i] = add(held[i], amount)
    return sub(sub(balances[j], token_balance(amp, held, d, j, edition)), 1)


def in_given_out(
    amp: int, balances: Sequence[int], i: int, j: int, amount: int, edition: StableMath
) -> int:
    """Return StableMath's input of token `i`, before fee, for an output of token `j`."""
    d = invariant(amp, balances, edition)
    if amount > balances[j]:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "the pool does not hold what is asked for")
    held = list(balances)
    held[j] -= amount
    return add(sub(token_balance(amp, held, d, i, edition), balances[i]), 1)


def v2_exact_in(
    amount: int,
    sides: Sequence[V2Side],
    i: int,
    j: int,
    fee: int,
    amp: int,
    edition: StableMath = StableMath.V2,
) -> int:
    """Return what the V2 vault pays of token `j` for exactly `amount` of token `i`.

    Args:
        amount: the input, smallest units.
        sides: the pool's tokens, without its own.
        i: the place of the token in.
        j: the place of the token out.
        fee: the swap fee, 18 decimals.
        amp: the amplification of the moment, 3 decimals.
        edition: which StableMath the pool holds.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    given = v2_given_in(amount, sides[i], fee)
    out = out_given_in(amp, [side.upscaled for side in sides], i, j, given, edition)
    return v2_paid(amount, out, sides[i], sides[j])


def v2_exact_out(
    amount: int,
    sides: Sequence[V2Side],
    i: int,
    j: int,
    fee: int,
    amp: int,
    edition: StableMath = StableMath.V2,
) -> int:
    """Return what the V2 vault takes of token `i` to pay exactly `amount`, as `v2_exact_in`."""
    given = v2_given_out(amount, sides[j])
    taken = in_given_out(amp, [side.upscaled for side in sides], i, j, given, edition)
    return v2_taken(amount, taken, sides[i], sides[j], fee)


def v3_exact_in(
    amount: int,
    sides: Sequence[V3Side],
    i: int,
    j: int,
    terms: V3Terms,
    amp: int,
    *,
    bounded: bool = False,
) -> int:
    """Return what the V3 vault pays of token `j` for exactly `amount` of token `i`.

    Args:
        amount: the input, smallest units.
        sides: the pool's tokens.
        i: the place of the token in.
        j: the place of the token out.
        terms: the vault's terms for the pool.
        amp: the amplification of the moment, 3 decimals.
        bounded: whether the pool is of the version that refuses too unequal balances.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    given, fee = v3_given_in(amount, sides[i], terms)
    live = [side.live for side in sides]
    out = out_given_in(amp, live, i, j, given, StableMath.V3)
    if bounded:
        _check_imbalance(live, i, j, given, out)
    return v3_paid(amount, out, fee, sides[i], sides[j], terms)


def v3_exact_out(
    amount: int,
    sides: Sequence[V3Side],
    i: int,
    j: int,
    terms: V3Terms,
    amp: int,
    *,
    bounded: bool = False,
) -> int:
    """Return what the V3 vault takes of token `i` to pay exactly `amount`, as `v3_exact_in`."""
    given = v3_given_out(amount, sides[j], terms)
    live = [side.live for side in sides]
    taken = in_given_out(amp, live, i, j, given, StableMath.V3)
    if bounded:
        _check_imbalance(live, i, j, taken, given)
    return v3_taken(amount, taken, sides[i], sides[j], terms)


def _check_imbalance(live: Sequence[int], i: int, j: int, amount_in: int, amount_out: int) -> None:
    largest = max(*live, add(live[i], amount_in))
    least = min(*live, sub(live[j], amount_out))
    if div(largest, least) >= MAX_IMBALANCE:
        raise SwapRefused(Status.UNSAFE_VALUES, "one balance would be 10,000 times another")
