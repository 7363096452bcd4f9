"""Curve StableSwap-NG: plain pools of two to eight coins with a fee that grows off the peg.

Sources: curvefi/stableswap-ng, CurveStableSwapNG.vy (v7.0.0), CurveStableSwapNGViews.vy (1.2.0).

A quote's `amount` is what the pool's own views say, `realised` what an exchange moves. They differ
in two places: the views round A down to a whole number while it ramps, and get_dx takes the fee
that holds before the swap. So of an exact output, `amount` is get_dx and `realised` an input whose
exchange pays what was asked, while one unit less does not.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.market.announcing import AnnouncedPools
from searcher.market.curve_factories import PLAIN_POOL_DEPLOYED_NG, list_grew, read_list
from searcher.market.curve_ng import (
    TOPICS,
    VOLATILE,
    CurveNgState,
    PreparedPool,
    applied,
    made,
    read_fields,
    refreshed,
)
from searcher.market.memo import Memo
from searcher.market.protocol import Announcement, Listing, Quote, QuoteBlock, Reads
from searcher.market.settings import DexSettings
from searcher.market.stableswap import accepts
from searcher.market.tokens import places


class CurveNgIdentity(Struct, frozen=True):
    """A pool's address and its factory's, which knows the types of the coins.

    Without the factory every coin is taken to have a moving rate and balance, which are then read
    for each block.
    """

    pool: Address
    factory: Address | None = None


class CurveStableNg(AnnouncedPools[CurveNgState]):
    """Plain StableSwap-NG pools, with rate oracles, rebasing tokens and vault shares."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveNgState
    Identity = CurveNgIdentity
    created_topics = frozenset({PLAIN_POOL_DEPLOYED_NG})
    usual_gas = 180_000
    topics = TOPICS
    volatile = VOLATILE

    # ---- how pools are found

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  the list decides
        """Decode the factory's event, which does not say the pool."""
        return list_grew(log)

    def lists(self, dex: DexSettings) -> bool:  # noqa: ARG002  every DEX of this protocol does
        """Return True."""
        return True

    def listed(self, dex: DexSettings, first: int) -> Reads[Listing]:
        """Read the factory's plain pools."""
        factory = Address(dex.factory or "")
        listed = yield from read_list(factory, first)
        found = tuple(
            Announcement(p.pool, p.pool, identity=CurveNgIdentity(p.pool, factory))
            for p in listed
            if not p.is_meta
        )
        return Listing(found, first + len(listed))

    def tokens_of(self, state: CurveNgState) -> tuple[Address, ...]:
        """Return the coins."""
        return state.coins

    def holdings(self, state: CurveNgState) -> tuple[tuple[Address, float], ...]:
        """Return the balances."""
        return tuple(zip(state.coins, map(float, state.balances), strict=True))

    def funded(self, state: CurveNgState) -> bool:
        """Return whether every coin is there."""
        return all(state.balances)

    # ---- the state of a pool

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self._pools = Memo(self._prepared)

    def reads(self, identity: CurveNgIdentity) -> Reads[CurveNgState]:
        """Read coins, balances, rates, A, fees and supply."""
        fields = yield from read_fields(identity.pool, identity.factory)
        return made(CurveNgState, **fields)

    def refresh(self, state: CurveNgState) -> Reads[dict[str, Any]]:
        """Read what moves by itself in this pool: rates, rebasing balances, the end of a ramp."""
        return (yield from refreshed(state))

    def apply(self, state: CurveNgState, log: Log) -> CurveNgState:
        """Take swaps, deposits, withdrawals, ramps and fees."""
        return applied(state, log)

    def _prepared(self, state: CurveNgState, block: QuoteBlock) -> PreparedPool:
        return PreparedPool(self.at(state, block), block.timestamp)

    def quote_exact_in(
        self,
        state: CurveNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dy, and what exchange() pays."""
        accepts(amount)
        i, j = places(state.coins, token_in, token_out)
        pool = self._pools(state, block)
        said = pool.get_dy(i, j, amount)
        return Quote(said, pool.exchange(i, j, amount) if amount else 0)

    def quote_exact_out(
        self,
        state: CurveNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dx, and an input that just pays the amount."""
        accepts(amount)
        i, j = places(state.coins, token_in, token_out)
        pool = self._pools(state, block)
        said = pool.get_dx(i, j, amount)
        return Quote(said, pool.least_in(i, j, amount))

    def marginal_rate(
        self,
        state: CurveNgState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the derivative of the exchange, its fee's included."""
        accepts(amount)
        i, j = places(state.coins, token_in, token_out)
        pool = self._pools(state, block)
        return pool.marginal_rate(i, j, amount)


PLUGIN = CurveStableNg
