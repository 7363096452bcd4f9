"""What Balancer's vaults and pools do around a curve: scaling, fees, checks. Exact integers.

Sources: Swaps.sol, BalanceAllocation.sol, BaseMinimalSwapInfoPool.sol and BaseGeneralPool.sol of
balancer-v2-monorepo; Vault.sol, ScalingHelpers.sol and PackedTokenBalance.sol of
balancer-v3-monorepo. A curve works on balances and amounts with 18 decimals.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from searcher.kernels.reference.balancer_fixed_point import (
    ONE,
    add,
    complement,
    div_down,
    div_up,
    div_up_raw,
    mul,
    mul_down,
    mul_up,
    sub,
)
from searcher.kernels.refusal import Status, SwapRefused

V2_MAX_BALANCE: Final = 2**112 - 1
V3_MAX_BALANCE: Final = 2**128 - 1


class V2Side(NamedTuple):
    """One token of a swap in the V2 vault.

    `balance` is its whole balance in smallest units, of which asset managers hold `managed`.
    `scaling` is the factor with 18 decimals that brings amounts to 18 decimals, rate included.
    """

    balance: int
    scaling: int
    managed: int = 0

    @property
    def upscaled(self) -> int:
        """The balance that the curve sees."""
        return mul_down(self.balance, self.scaling)


def v2_given_in(amount: int, side_in: V2Side, fee: int) -> int:
    """Return the input that the curve sees: less the fee, with 18 decimals."""
    _not_zero(amount)
    return mul_down(sub(amount, mul_up(amount, fee)), side_in.scaling)


def v2_given_out(amount: int, side_out: V2Side) -> int:
    """Return the output that the curve sees, with 18 decimals."""
    _not_zero(amount)
    return mul_down(amount, side_out.scaling)


def v2_paid(amount: int, calculated: int, sides: tuple[V2Side, V2Side]) -> int:
    """Return the output in smallest units, after the vault's checks; `sides` are in and out."""
    paid = div_down(calculated, sides[1].scaling)
    _v2_settle(amount, paid, sides)
    return paid


def v2_taken(amount: int, calculated: int, sides: tuple[V2Side, V2Side], fee: int) -> int:
    """Return the input in smallest units, fee added, after the vault's checks."""
    taken = div_up(div_up(calculated, sides[0].scaling), complement(fee))
    _v2_settle(taken, amount, sides)
    return taken


def _v2_settle(amount_in: int, amount_out: int, sides: tuple[V2Side, V2Side]) -> None:
    if add(sides[0].balance, amount_in) > V2_MAX_BALANCE:
        raise SwapRefused(Status.OVERFLOW, "the vault's balance would exceed uint112")
    if amount_out > sides[1].balance - sides[1].managed:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, "the vault does not hold what it would pay"
        )


class V3Side(NamedTuple):
    """One token of a swap in the V3 vault.

    `raw` is its balance in smallest units and `live` the same with 18 decimals, rate applied.
    `scaling` is the whole number that brings amounts to 18 decimals, `rate` has 18 decimals.
    """

    raw: int
    live: int
    scaling: int
    rate: int = ONE


class V3Terms(NamedTuple):
    """What the V3 vault knows of a pool: fees with 18 decimals, the least amount it trades.

    `aggregate_fee` is the protocol's and the creator's share of the swap fee, 0 in recovery mode.
    """

    fee: int
    aggregate_fee: int = 0
    minimum_trade: int = 1_000_000


def v3_live(raw: int, scaling: int, rate: int) -> int:
    """Return a balance with 18 decimals, rate applied, as the vault rounds it in swaps: down."""
    return mul_down(mul(raw, scaling), rate)


def v3_yield_fee(side: V3Side, last_live: int, aggregate_fee: int) -> int:
    """Return what the vault takes of a yield before it swaps, smallest units.

    Args:
        side: the token's stored balance at its rate of the moment.
        last_live: its live balance when the vault last stored it.
        aggregate_fee: the protocol's and the creator's share of yields, 18 decimals.
    """
    if side.live <= last_live:
        return 0
    fee = mul_up(side.live - last_live, aggregate_fee)
    return div_down(fee, mul(side.scaling, side.rate))


def v3_given_in(amount: int, side_in: V3Side, terms: V3Terms) -> tuple[int, int]:
    """Return the input that the curve sees and the fee left out of it, both with 18 decimals."""
    _not_zero(amount)
    scaled = v3_live(amount, side_in.scaling, side_in.rate)
    fee = mul_up(scaled, terms.fee)
    given = sub(scaled, fee)
    _not_small(given, terms)
    return given, fee


def v3_given_out(amount: int, side_out: V3Side, terms: V3Terms) -> int:
    """Return the output that the curve sees, with 18 decimals, rounded up."""
    _not_zero(amount)
    given = mul_up(mul(amount, side_out.scaling), rate_up(side_out.rate))
    _not_small(given, terms)
    return given


def v3_paid(
    amount: int, calculated: int, fee: int, sides: tuple[V3Side, V3Side], terms: V3Terms
) -> int:
    """Return the output in smallest units, after the vault's checks; `sides` are in and out."""
    _not_small(calculated, terms)
    paid = div_down(calculated, mul(sides[1].scaling, rate_up(sides[1].rate)))
    _v3_settle(amount, paid, fee, sides, terms)
    return paid


def v3_taken(amount: int, calculated: int, sides: tuple[V3Side, V3Side], terms: V3Terms) -> int:
    """Return the input in smallest units, fee added, after the vault's checks."""
    _not_small(calculated, terms)
    fee = div_up_raw(mul(calculated, terms.fee), complement(terms.fee))
    taken = div_up(add(calculated, fee), mul(sides[0].scaling, sides[0].rate))
    _v3_settle(taken, amount, fee, sides, terms)
    return taken


def rate_up(rate: int) -> int:
    """Return a rate one unit up, unless it is a whole number."""
    return rate if rate % ONE == 0 else add(rate, 1)


def _v3_settle(
    amount_in: int, amount_out: int, fee: int, sides: tuple[V3Side, V3Side], terms: V3Terms
) -> None:
    side_in, side_out = sides
    fee_raw = div_down(fee, mul(side_in.scaling, side_in.rate)) if fee else 0
    raw_in = sub(add(side_in.raw, amount_in), mul_down(fee_raw, terms.aggregate_fee))
    live_in = v3_live(raw_in, side_in.scaling, side_in.rate)
    if amount_out > side_out.raw:
        raise SwapRefused(
            Status.INSUFFICIENT_LIQUIDITY, "the vault does not hold what it would pay"
        )
    live_out = v3_live(side_out.raw - amount_out, side_out.scaling, side_out.rate)
    if max(raw_in, live_in, live_out) > V3_MAX_BALANCE:
        raise SwapRefused(Status.OVERFLOW, "the vault's balance would exceed uint128")


def _not_zero(amount: int) -> None:
    if amount <= 0:
        raise SwapRefused(Status.ZERO_AMOUNT, "the vault swaps no amount of zero")


def _not_small(amount: int, terms: V3Terms) -> None:
    if amount < terms.minimum_trade:
        raise SwapRefused(Status.TOO_SMALL, "less than the vault trades, at 18 decimals")
