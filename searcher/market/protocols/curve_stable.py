"""Curve's plain stableswap pools before StableSwap-NG, of every generation.

Sources: curvefi/curve-contract and curvefi/curve-factory. `Quote.amount` is what `get_dy` says,
`Quote.realised` what `exchange` pays: contracts of 2020 round the two differently. A moves in a
straight line while it ramps and is computed from the block's time. `kill_me` and
`donate_admin_fees` of old pools, both the owner's, emit no event.
"""

from __future__ import annotations

from typing import Any

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address
from searcher.kernels.curve_stable import exact_in, exact_out
from searcher.kernels.curve_stable import marginal_rate as rate_at
from searcher.kernels.refusal import checked
from searcher.kernels.u256 import Words
from searcher.market.announcing import AnnouncedPools
from searcher.market.curve_factories import (
    PLAIN_POOL_DEPLOYED,
    check_contracts,
    contract_of,
    list_grew,
    read_list,
    tables,
)
from searcher.market.memo import Memo
from searcher.market.protocol import Announcement, Listing, Quote, QuoteBlock, Reads
from searcher.market.settings import DexSettings
from searcher.market.stableswap import (
    Contract,
    CurveStableState,
    accepts,
    numbers,
    prepared,
    told_balances,
)
from searcher.market.stableswap_events import TOPICS, apply_event
from searcher.market.stableswap_reads import StableIdentity, read_moved, read_plain
from searcher.market.tokens import places


class CurveStable(AnnouncedPools[CurveStableState]):
    """Plain stableswap pools: 3pool, lending pools, ETH pools, the factory's plain pools."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveStableState
    Identity = StableIdentity
    created_topics = frozenset({PLAIN_POOL_DEPLOYED})
    needs = ()
    takes = ("factory", "contracts", "pools")
    usual_gas = 150_000
    topics = TOPICS
    volatile = frozenset({"balances", "rates", "initial_a"})

    # ---- how pools are found

    def check(self, name: str, dex: DexSettings) -> None:
        """Check the names of contracts and the tables of pools."""
        super().check(name, dex)
        tables(StableIdentity, name, "pools", dex.pools)
        check_contracts(name, dex.contracts, Contract)

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode PlainPoolDeployed, which does not say the pool."""
        return list_grew(log)

    def lists(self, dex: DexSettings) -> bool:  # noqa: ARG002  every DEX of this protocol does
        """Return True."""
        return True

    def listed(self, dex: DexSettings, first: int) -> Reads[Listing]:
        """Return the settings' own pools, and read the factory's plain ones."""
        own = tables(StableIdentity, dex.protocol, "pools", dex.pools) if not first else ()
        found = [Announcement(i.address, i.address, identity=i) for i in own]
        if dex.factory is None:
            return Listing(tuple(found), 1)
        listed = yield from read_list(Address(dex.factory), first)
        refused: dict[str, str] = {}
        for pool in listed:
            contract = contract_of(pool, dex.contracts)
            if pool.is_meta:
                continue
            if contract is None:
                refused[pool.pool] = f"the implementation {pool.implementation} is not known"
                continue
            identity = StableIdentity(pool.pool, Contract(contract))
            found.append(Announcement(pool.pool, pool.pool, identity=identity))
        return Listing(tuple(found), first + len(listed), refused)

    def tokens_of(self, state: CurveStableState) -> tuple[Address, ...]:
        """Return the coins, and those below an Aave pool's."""
        below = (c for c in state.underlying_coins if c not in state.coins)
        return (*state.coins, *below)

    def trades(self, state: CurveStableState, token0: Address, token1: Address) -> bool:
        """Return whether both are the pool's coins, or both lie below them."""
        return any(
            token0 in coins and token1 in coins for coins in (state.coins, state.underlying_coins)
        )

    def holdings(self, state: CurveStableState) -> tuple[tuple[Address, float], ...]:
        """Return the balances."""
        return tuple(zip(state.coins, map(float, state.balances), strict=True))

    def funded(self, state: CurveStableState) -> bool:
        """Return whether every coin is there."""
        return all(state.balances)

    # ---- the state of a pool

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self._pools = Memo(self._prepared)

    def reads(self, identity: StableIdentity) -> Reads[CurveStableState]:
        """Return the reads of coins, balances, parameters, rates and supply."""
        return read_plain(identity)

    def refresh(self, state: CurveStableState) -> Reads[dict[str, Any]]:
        """Return the reads of what has moved in this pool: nothing where logs tell all."""
        return read_moved(state)

    def apply(self, state: CurveStableState, log: Log) -> CurveStableState:
        """Follow swaps, liquidity, ramps and fees; see `stableswap_events`."""
        return apply_event(state, log)

    def at(self, state: CurveStableState, block: QuoteBlock) -> CurveStableState:
        """Return the state as it holds in a block; balances that come with it are current."""
        return told_balances(super().at(state, block), block)

    def _prepared(self, state: CurveStableState, block: QuoteBlock) -> tuple[Words, int]:
        return prepared(numbers(self.at(state, block), block))

    def quote_exact_in(
        self,
        state: CurveStableState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return get_dy, and what exchange pays."""
        i, j = _places(state, token_in, token_out)
        accepts(amount)
        status, seen, paid = exact_in(*self._pools(state, block), i, j, amount)
        checked(status)
        return Quote(seen, paid)

    def quote_exact_out(
        self,
        state: CurveStableState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return the least inputs for which get_dy says, and exchange pays, at least `amount`."""
        i, j = _places(state, token_in, token_out)
        accepts(amount)
        status, seen, paid = exact_out(*self._pools(state, block), i, j, amount)
        checked(status)
        return Quote(seen, paid)

    def marginal_rate(
        self,
        state: CurveStableState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope of the invariant, less the fee."""
        i, j = _places(state, token_in, token_out)
        accepts(amount)
        status, rate = rate_at(*self._pools(state, block), i, j, amount)
        checked(status)
        return rate


def _places(state: CurveStableState, token_in: Address, token_out: Address) -> tuple[int, int]:
    """Return the places of two coins, or of two underlying coins."""
    if token_in in state.underlying_coins and token_out in state.underlying_coins:
        return places(state.underlying_coins, token_in, token_out)
    return places(state.coins, token_in, token_out)


PLUGIN = CurveStable
