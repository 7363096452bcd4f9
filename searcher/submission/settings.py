"""What an operator chooses about bids and gas."""

from __future__ import annotations

from searcher.domain.settings import Reload, Settings, knob
from searcher.domain.units import BPS


class BidSettings(Settings):
    """Bounds of what is offered to the builder; the share of the surplus is the strategy's."""

    floor_wei: int = knob(
        0, why="never bid less, so that small plans are seen", unit="wei", reload=Reload.HOT, ge=0
    )
    cap_wei: int | None = knob(
        None, why="never bid more, whatever the surplus", unit="wei", reload=Reload.HOT, ge=0
    )


class GasSettings(Settings):
    """Gas limit and fees of our own transaction."""

    limit_margin_bps: int = knob(
        2_000,
        why="gas limit above what the proof used; what is not used costs nothing",
        unit="bps",
        reload=Reload.HOT,
        ge=0,
        le=2 * BPS,
    )
    bid_gas: int = knob(
        50_000,
        why="gas allowed for paying the bid, which the proof does not contain: unwrapping, and a "
        "transfer to an account that may be new",
        unit="gas",
        reload=Reload.HOT,
        ge=0,
        le=1_000_000,
    )
    priority_fee_wei: int = knob(
        0,
        why="priority fee per gas; the bid pays the builder already",
        unit="wei",
        reload=Reload.HOT,
        ge=0,
    )
