"""Balancer stable pools, V2 and V3, in exact integers.

Sources: StableMath.sol, StablePoolAmplification.sol and ComposableStablePool.sol of
balancer-v2-monorepo, with StableMath.sol as it was before June 2022 for the older pools;
StableMath.sol, StablePool.sol and Vault.sol of balancer-v3-monorepo. Balances have 18 decimals and
leave out the pool's own token; an amplification has 3 decimals (AMP_PRECISION).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

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


class V2Stable(NamedTuple):
    """A stable pool of the V2 vault, without its own token.

    `fee` has 18 decimals, `amp` is the amplification of the moment with 3.
    """

    sides: Sequence[V2Side]
    fee: int
    amp: int
    edition: StableMath = StableMath.V2

    @property
    def balances(self) -> list[int]:
        """The balances that the curve sees."""
        return [side.upscaled for side in self.sides]


class V3Stable(NamedTuple):
    """A stable pool of the V3 vault; `amp` is the amplification of the moment, 3 decimals.

    `bounded` says whether it is of the version, of 2026, that refuses too unequal balances.
    """

    sides: Sequence[V3Side]
    terms: V3Terms
    amp: int
    bounded: bool = False

    @property
    def balances(self) -> list[int]:
        """The balances that the curve sees."""
        return [side.live for side in self.sides]

    @property
    def edition(self) -> StableMath:
        """All V3 pools share one StableMath."""
        return StableMath.V3


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
    amp: int, balances: Sequence[int], d: int, place: int, *, edition: StableMath
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


def exact_in(amount: int, pool: V2Stable | V3Stable, i: int, j: int) -> int:
    """Return what the vault pays of token `j` for exactly `amount` of token `i`, smallest units.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    if isinstance(pool, V2Stable):
        given = v2_given_in(amount, pool.sides[i], pool.fee)
        out = _out_given_in(pool, i, j, given)
        return v2_paid(amount, out, (pool.sides[i], pool.sides[j]))
    given, fee = v3_given_in(amount, pool.sides[i], pool.terms)
    out = _out_given_in(pool, i, j, given)
    _check_imbalance(pool, i, j, (given, out))
    return v3_paid(amount, out, fee, (pool.sides[i], pool.sides[j]), pool.terms)


def exact_out(amount: int, pool: V2Stable | V3Stable, i: int, j: int) -> int:
    """Return what the vault takes of token `i` to pay exactly `amount` of token `j`.

    Raises:
        SwapRefused: the pool or the vault would revert.
    """
    if isinstance(pool, V2Stable):
        given = v2_given_out(amount, pool.sides[j])
        taken = _in_given_out(pool, i, j, given)
        return v2_taken(amount, taken, (pool.sides[i], pool.sides[j]), pool.fee)
    given = v3_given_out(amount, pool.sides[j], pool.terms)
    taken = _in_given_out(pool, i, j, given)
    _check_imbalance(pool, i, j, (taken, given))
    return v3_taken(amount, taken, (pool.sides[i], pool.sides[j]), pool.terms)


def _out_given_in(pool: V2Stable | V3Stable, i: int, j: int, amount: int) -> int:
    held = pool.balances
    d = invariant(pool.amp, held, pool.edition)
    before = held[j]
    held[i] = add(held[i], amount)
    return sub(sub(before, token_balance(pool.amp, held, d, j, edition=pool.edition)), 1)


def _in_given_out(pool: V2Stable | V3Stable, i: int, j: int, amount: int) -> int:
    held = pool.balances
    d = invariant(pool.amp, held, pool.edition)
    if amount > held[j]:
        raise SwapRefused(Status.INSUFFICIENT_LIQUIDITY, "the pool does not hold what is asked for")
    held[j] -= amount
    return add(sub(token_balance(pool.amp, held, d, i, edition=pool.edition), held[i]), 1)


def _check_imbalance(pool: V3Stable, i: int, j: int, amounts: tuple[int, int]) -> None:
    if not pool.bounded:
        return
    live = pool.balances
    largest = max(*live, add(live[i], amounts[0]))
    least = min(*live, sub(live[j], amounts[1]))
    if div(largest, least) >= MAX_IMBALANCE:
        raise SwapRefused(Status.UNSAFE_VALUES, "one balance would be 10,000 times another")
