"""What a plan pays: bid, gas limit and fees, as pure functions of the proof."""

from __future__ import annotations

from msgspec import Struct

from searcher.domain.plan import Verdict
from searcher.domain.units import BPS, Int256, Uint256
from searcher.submission.settings import BidSettings, GasSettings


class Terms(Struct, frozen=True):
    """What our transaction will carry, and what it leaves.

    `gas_cost_wei` is what it costs when the bid takes all the gas allowed for it, so `profit_wei`
    (gross less bid less gas) is what it leaves at least. `refusal` says why there is no bid that
    keeps the least profit; it is empty when there is one.
    """

    bid_wei: Uint256
    gas_limit: int
    max_fee_wei: Uint256
    priority_fee_wei: Uint256
    gas_cost_wei: Uint256
    profit_wei: Int256
    refusal: str


def choose_terms(
    verdict: Verdict,
    *,
    share_bps: int,
    least_profit_wei: int,
    bid: BidSettings,
    gas: GasSettings,
) -> Terms:
    """Choose bid and fees for a plan that `verdict` proved.

    The base fee of the verdict's context is the target block's own, so the fee cap is exact: base
    fee plus priority fee.

    Args:
        verdict: the proof; its gas does not contain the bid's payment.
        share_bps: the share of the surplus (gross less gas) that the strategy offers.
        least_profit_wei: what must remain after bid and gas.
        bid: the operator's bid policy.
        gas: the operator's gas policy.
    """
    price_wei = verdict.context.base_fee_wei + gas.priority_fee_wei
    gas_cost_wei = (verdict.gas_used + gas.bid_gas) * price_wei
    bid_wei = choose_bid(
        gross_wei=verdict.realised_wei,
        gas_cost_wei=gas_cost_wei,
        least_profit_wei=least_profit_wei,
        share_bps=share_bps,
        settings=bid,
    )
    paid_wei = 0 if bid_wei is None else bid_wei
    profit_wei = verdict.realised_wei - gas_cost_wei - paid_wei
    refusal = ""
    if bid_wei is None:
        refusal = (
            f"{verdict.realised_wei} wei gross less {gas_cost_wei} wei gas and a bid of at least "
            f"{bid.floor_wei} wei leaves less than {least_profit_wei} wei"
        )
    return Terms(
        bid_wei=paid_wei,
        gas_limit=verdict.gas_used * (BPS + gas.limit_margin_bps) // BPS + gas.bid_gas,
        max_fee_wei=price_wei,
        priority_fee_wei=gas.priority_fee_wei,
        gas_cost_wei=gas_cost_wei,
        profit_wei=profit_wei,
        refusal=refusal,
    )


def choose_bid(
    *,
    gross_wei: int,
    gas_cost_wei: int,
    least_profit_wei: int,
    share_bps: int,
    settings: BidSettings,
) -> int | None:
    """Return the bid in wei, or None when none keeps the least profit.

    A share of the surplus, raised to the floor, lowered to the cap, and never so much that less
    than `least_profit_wei` remains. The cap prevails over the floor.
    """
    surplus_wei = gross_wei - gas_cost_wei
    most_wei = surplus_wei - least_profit_wei
    floor_wei = settings.floor_wei
    if settings.cap_wei is not None:
        most_wei = min(most_wei, settings.cap_wei)
        floor_wei = min(floor_wei, settings.cap_wei)
    if most_wei < floor_wei:
        return None
    wanted_wei = max(surplus_wei * share_bps // BPS, floor_wei)
    return min(wanted_wei, most_wei)
