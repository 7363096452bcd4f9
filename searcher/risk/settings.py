"""The operator's limits."""

from __future__ import annotations

from searcher.domain.settings import AddressSetting, Reload, Settings, knob
from searcher.domain.units import WEI_PER_NATIVE


class RiskSettings(Settings):
    """What one chain's pipeline may put at stake. Amounts are in the chain's native wei."""

    least_profit_wei: int = knob(
        1,
        why="a plan that keeps less after bid and gas is not sent",
        unit="wei",
        reload=Reload.HOT,
        ge=0,
    )
    most_gross_wei: int | None = knob(
        100 * WEI_PER_NATIVE,
        why="a plan that promises more is more likely a mistake than a gift",
        unit="wei",
        reload=Reload.HOT,
        gt=0,
    )
    most_amount_in: dict[AddressSetting, int] = knob(
        {},
        why="most of a start token that one plan may borrow, by token address",
        unit="smallest unit of the token",
        reload=Reload.HOT,
    )
    most_gas_cost_wei_per_plan: int = knob(
        WEI_PER_NATIVE // 10,
        why="most gas one plan may cost, whether it pays or not",
        unit="wei",
        reload=Reload.HOT,
        gt=0,
    )
    most_gas_cost_wei_per_hour: int = knob(
        WEI_PER_NATIVE,
        why="most gas of an hour, plans that are still open included",
        unit="wei",
        reload=Reload.HOT,
        gt=0,
    )
    most_gas_cost_wei_per_day: int = knob(
        5 * WEI_PER_NATIVE,
        why="most gas of a day, plans that are still open included",
        unit="wei",
        reload=Reload.HOT,
        gt=0,
    )
    most_bundles_per_block: int = knob(
        64,
        why="most plans for one target block, alternatives included",
        unit="bundles",
        reload=Reload.HOT,
        ge=1,
        le=1000,
    )
    most_reverts_in_a_row: int = knob(
        3,
        why="so many plans that landed reverted, without one that paid, pause the chain",
        unit="plans",
        reload=Reload.HOT,
        ge=1,
        le=1000,
    )
    most_base_fee_gwei: int = knob(
        500,
        why="above this base fee nothing is sent",
        unit="gwei",
        reload=Reload.HOT,
        ge=1,
        le=10**9,
    )
