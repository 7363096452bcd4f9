"""What a StableSwap-NG metapool asks of a base pool that is older than StableSwap-NG.

Sources: CurveStableSwapMetaNG.vy, CurveStableSwapNGViews.vy 1.2.0 (curvefi/stableswap-ng). The
pool calculates by its own contract's rules; only what the view says of a deposit or a withdrawal
of coins is StableSwap-NG's arithmetic, on the older pool's numbers and with a constant fee.
"""

from __future__ import annotations

from typing import Final, Protocol

from searcher.kernels import curve_meta as liquidity
from searcher.kernels import curve_stable as kernels
from searcher.kernels import curve_stable_ng as views
from searcher.kernels.curve_stable_ng_liquidity import token_amount
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.market.protocol import QuoteBlock
from searcher.market.stableswap import CurveStableState, numbers, prepared

_A_PRECISION: Final = 100


class BasePool(Protocol):
    """A base pool at one time; every method raises `SwapRefused` where its contract reverts."""

    def get_dy(self, i: int, j: int, dx: int) -> int:
        """Return what the view says that `dx` of coin `i` pays."""

    def exchange(self, i: int, j: int, dx: int) -> int:
        """Return what an exchange pays for `dx` of coin `i`."""

    def marginal_rate(self, i: int, j: int, dx: int) -> float:
        """Return the output per unit more of input, fee included."""

    def virtual_price(self) -> int:
        """Return the invariant per LP token, times 1e18."""

    def token_amount(self, k: int, amount: int, *, deposit: bool) -> int:
        """Return what the metapool's view takes for the LP tokens of coin `k` alone."""

    def deposit(self, k: int, amount: int) -> int:
        """Return the LP tokens that a deposit of coin `k` alone mints."""

    def coins_for(self, burnt: int, k: int) -> int:
        """Return what the view says of coin `k` for LP tokens."""

    def withdraw(self, burnt: int, k: int) -> int:
        """Return the coins `k` that LP tokens are burnt for."""


class LegacyPool:
    """A base pool of before StableSwap-NG, ready for any number of exact answers.

    Args:
        state: the pool.
        timestamp: of the block, seconds.
    """

    def __init__(self, state: CurveStableState, timestamp: int) -> None:
        pool = numbers(state, QuoteBlock(0, timestamp))
        self._words, self._rules = prepared(pool)
        amp = pool.amp // pool.rules.a_precision * _A_PRECISION
        rates = [10 ** (36 - d) for d in state.decimals] or pool.rates
        self._view = views.rows(pool.balances, rates, amp, pool.fee, 0, pool.supply)
        self._viewed = views.prepare(self._view)

    def get_dy(self, i: int, j: int, dx: int) -> int:
        """Return what the view says that `dx` of coin `i` pays."""
        status, seen, _ = kernels.exact_in(self._words, self._rules, i, j, dx)
        checked(status)
        return int(seen)

    def exchange(self, i: int, j: int, dx: int) -> int:
        """Return what an exchange pays for `dx` of coin `i`."""
        status, _, paid = kernels.exact_in(self._words, self._rules, i, j, dx)
        checked(status)
        return int(paid)

    def marginal_rate(self, i: int, j: int, dx: int) -> float:
        """Return the output per unit more of input, fee included."""
        status, rate = kernels.marginal_rate(self._words, self._rules, i, j, dx)
        checked(status)
        return rate

    def virtual_price(self) -> int:
        """Return the invariant per LP token, times 1e18."""
        status, price = liquidity.virtual_price(self._words)
        checked(status)
        return int(price)

    def token_amount(self, k: int, amount: int, *, deposit: bool) -> int:
        """Return what the metapool's view takes for the LP tokens of coin `k` alone."""
        checked(self._viewed)
        status, tokens = token_amount(self._view, k, amount, deposit)
        checked(status)
        return int(tokens)

    def deposit(self, k: int, amount: int) -> int:
        """Return the LP tokens that a deposit of coin `k` alone mints."""
        if amount == 0:
            raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not take 0 coins")
        status, minted = liquidity.deposit(self._words, self._rules, k, amount)
        checked(status)
        return int(minted)

    def coins_for(self, burnt: int, k: int) -> int:
        """Return what calc_withdraw_one_coin() says of coin `k` for LP tokens."""
        status, received = liquidity.withdraw_one(self._words, self._rules, k, burnt)
        checked(status)
        return int(received)

    def withdraw(self, burnt: int, k: int) -> int:
        """Return the coins `k` that LP tokens are burnt for: what the view says."""
        return self.coins_for(burnt, k)
