"""The knobs that a searcher tunes, the same for every strategy that trades cycles."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from pydantic import model_validator

from searcher.domain.settings import AddressSetting, Reload, Settings, knob


class AmountLimits(Settings):
    """How much of a start token a cycle may take."""

    least: Decimal = knob(
        Decimal(0), why="cycles never take less than this", unit="whole tokens", ge=0
    )
    most: Decimal | None = knob(
        None,
        why="cycles never take more than this; left out, the pools decide",
        unit="whole tokens",
        gt=0,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most is not None and self.most < self.least:
            raise ValueError(f"most ({self.most}) is below least ({self.least}): swap them")
        return self


class CycleSettings(Settings):
    """What a strategy may trade, and what it must earn."""

    start_tokens: tuple[str, ...] = knob(
        (),
        why="where cycles begin and end, in order of preference; empty is the wrapped native token",
        unit="token names",
    )
    hops_least: int = knob(2, why="the fewest swaps of a cycle", unit="hops", ge=2, le=4)
    hops_most: int = knob(3, why="the most swaps of a cycle", unit="hops", ge=2, le=4)
    pools_allowed: tuple[AddressSetting, ...] = knob(
        (), why="trade only through these; empty allows all", unit="addresses"
    )
    pools_denied: tuple[AddressSetting, ...] = knob(
        (), why="never trade through these", unit="addresses"
    )
    tokens_allowed: tuple[str, ...] = knob(
        (), why="touch only these; empty allows all", unit="token names or addresses"
    )
    tokens_denied: tuple[str, ...] = knob(
        (), why="never touch these", unit="token names or addresses"
    )
    amounts: dict[str, AmountLimits] = knob(
        {}, why="least and most that a cycle takes, for each start token", unit="by token name"
    )
    least_profit_gwei: Decimal = knob(
        Decimal(10_000),
        why="what must remain after gas and before the bid",
        unit="gwei of wrapped native",
        ge=0,
        reload=Reload.HOT,
    )
    gas_share_bps: int = knob(
        8_000,
        why="the largest share of the gross that gas may take",
        unit="bps",
        ge=0,
        le=10_000,
        reload=Reload.HOT,
    )
    bid_share_bps: int = knob(
        5_000,
        why="the share of what remains after gas that is paid to the builder",
        unit="bps",
        ge=0,
        le=10_000,
        reload=Reload.HOT,
    )
    overhead_gas: int = knob(
        75_000,
        why="gas of a plan beside its swaps: transaction, calldata, executor, builder's payment",
        unit="gas",
        ge=21_000,
        le=2_000_000,
    )
    max_opportunities: int = knob(
        8,
        why="the most that are handed on for one block or one pending transaction",
        unit="opportunities",
        ge=1,
        le=256,
        reload=Reload.HOT,
    )
    max_cycles: int = knob(
        2_000_000,
        why="cycles of token pairs kept in memory (24 bytes each); the longest are left out first",
        unit="cycles",
        ge=1,
        le=100_000_000,
    )

    splits: bool = knob(
        True,
        why="also look for trades that take several ways at once; taken where they leave more",
    )
    further_hops_most: int = knob(
        6,
        why="the longest cycle looked for between blocks, from five hops on; 0 looks for none",
        unit="hops",
        ge=0,
        le=8,
    )
    only_executable: bool = knob(
        True,
        why="leave out pools that the executor has no command for; they are shown, never traded",
    )
    priority: int = knob(
        1,
        why="whose turn comes first when strategies want the same pool: the lower; 0 is for"
        " liquidations, 1 for arbitrage, 2 for background work",
        ge=0,
        le=9,
        reload=Reload.HOT,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hops_most < self.hops_least:
            raise ValueError(
                f"hops_most ({self.hops_most}) is below hops_least ({self.hops_least}): swap them"
            )
        return self
