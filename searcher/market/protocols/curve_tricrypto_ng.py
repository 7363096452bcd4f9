"""Curve's pools of three unpegged coins: tricrypto-NG and its forebear.

Sources: curvefi/tricrypto-ng v2.0.0 (pools, maths and views), and CurveCryptoSwap with
CurveCryptoMath3 and CurveCryptoViews3 for legacy pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels import curve_tricrypto as kernels
from searcher.kernels.reference import curve_tricrypto as reference
from searcher.kernels.u256 import Words
from searcher.market.curve_crypto import (
    LOW_128,
    CurveCrypto,
    CurveCryptoIdentity,
    CurveCryptoState,
    selector,
    text,
)
from searcher.market.protocol import ReadCall, Reads, UnreadablePool

_LIQUIDITY: Final = frozenset(
    {
        "0xe1b60455bd9e33720b547f60e4e0cfbf1252d0f2ee0147d53029945f39fe3c1a",  # AddLiquidity
        "0x96b486485420b963edd3fdec0b0195730035600feb7de6f544383d7950fa97ee",  # legacy AddLiquidity
        "0xd6cc314a0b1e3b2579f8e64248e82434072e8271290eef8ad0886709304195f5",  # RemoveLiquidity
        "0x5ebe66c628d0969a211b99673a322baa5fc8a62baf286c175e254daef76f5bcc",  # ClaimAdminFee
    }
)


class PoolVersion(StrEnum):
    """What a pool's `version()` says; legacy pools have none."""

    V2_0_0 = "v2.0.0"
    LEGACY = "legacy"


_MATHS: Final = {
    PoolVersion.V2_0_0: reference.Maths.V2_0_0,
    PoolVersion.LEGACY: reference.Maths.LEGACY,
}


class CurveTricryptoState(CurveCryptoState, frozen=True, kw_only=True):
    """A pool of three coins, as its views answer at the end of a block.

    `address` is the pool's own. `balances` are in smallest units; `precisions` what they are
    multiplied with to have 18 decimals; `price_scale` the second and third coin's prices in the
    first, 18 decimals; `D` the invariant. The fee, in 1e-10, lies between `mid_fee` and `out_fee`,
    as `fee_gamma` (18 decimals) bends it.

    `A` and `gamma` are what the views of these names answer; where `initial_A_gamma` and
    `future_A_gamma` (A times 2^128, plus gamma) are given, they follow from those instead: they
    move from the one at `initial_A_gamma_time` to the other at `future_A_gamma_time` (seconds since
    1970), in any block. While a ramp lasts D is computed anew. `last_timestamp` is
    when the pool exchanged last (some pools call it `last_prices_timestamp`): with it the end of a
    ramp is known from the logs alone.

    `version` is v2.0.0 if not given. `is_stale` says that the pool has moved by what its logs do
    not tell.
    """

    coins: tuple[Address, Address, Address]
    balances: tuple[Uint256, Uint256, Uint256]
    precisions: tuple[Uint256, Uint256, Uint256]
    price_scale: tuple[Uint256, Uint256]
    version: PoolVersion = PoolVersion.V2_0_0

    def __post_init__(self) -> None:
        """Check what no pool can be."""
        self.check(self.price_scale)


class CurveTricryptoNg(CurveCrypto[CurveTricryptoState]):
    """Pools of three unpegged coins, kept from TokenExchange, read again after anything else."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveTricryptoState
    topics = CurveCrypto.topics | _LIQUIDITY
    coins = 3

    def reads(self, identity: CurveCryptoIdentity) -> Reads[CurveTricryptoState]:
        """Read the pool."""
        pool = identity.pool
        constants, moving = self.constant_calls(pool), self.moving_calls(pool)
        answers = yield [ReadCall(pool, selector("version()")), *constants, *moving]
        version = text(answers[0], "version")
        if version != PoolVersion.V2_0_0:
            raise UnreadablePool(f"version {version!r} of a three-coin crypto pool is not known")
        try:
            return CurveTricryptoState(
                address=pool,
                **self.constants(answers[1 : 1 + len(constants)]),
                **self.moved(answers[1 + len(constants) :]),
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def rows(self, state: CurveTricryptoState) -> list[int]:
        """Return the rows of kernels.curve_tricrypto."""
        return [
            *state.balances,
            *state.precisions,
            *state.price_scale,
            state.A,
            state.gamma,
            state.D,
            state.mid_fee,
            state.out_fee,
            state.fee_gamma,
        ]

    def invariant(self, state: CurveTricryptoState) -> int:
        """Return newton_D without a start."""
        pool = _pool(state)
        xp = reference.scaled(pool, state.balances)
        return reference.newton_D(pool.maths, pool.A, pool.gamma, xp, 0)

    def invariant_after(
        self, state: CurveTricryptoState, i: int, j: int, moved: tuple[int, int], scale: Any
    ) -> int:
        """Return the reference's exchanged_D."""
        dx, dy = moved
        return reference.exchanged_D(_pool(state), i, j, dx=dx, dy=dy, price_scale=scale)

    def unpacked(self, packed: int) -> Any:
        """Return both prices, the second coin's in the low 128 bits."""
        return packed & LOW_128, packed >> 128

    def is_ramping(self, state: CurveTricryptoState, timestamp: int) -> bool:
        """Return the version's own idea of it."""
        if state.version == PoolVersion.LEGACY:
            return state.future_A_gamma_time > 0
        return state.future_A_gamma_time > timestamp

    def fees_at(self, state: CurveTricryptoState, values: Sequence[int]) -> tuple[int, int, int]:
        """Return the fees; legacy pools log the admin's share before them."""
        first = 1 if state.version == PoolVersion.LEGACY else 0
        return values[first], values[first + 1], values[first + 2]

    def flags(self, state: CurveTricryptoState) -> tuple[int, int]:
        """Return the maths; the fee has one form."""
        return int(_MATHS[state.version]), 0

    def has_get_dx(self, state: CurveTricryptoState) -> bool:
        """Return whether it is no legacy pool."""
        return state.version != PoolVersion.LEGACY

    def kernel_in(
        self, pool: Words, state: CurveTricryptoState, i: int, j: int, amount: int
    ) -> tuple[int, int]:
        """Return get_dy."""
        return kernels.exact_in(pool, self.flags(state)[0], i, j, amount)

    def kernel_out(
        self, pool: Words, state: CurveTricryptoState, i: int, j: int, amount: int
    ) -> tuple[int, int]:
        """Return get_dx."""
        return kernels.exact_out(pool, self.flags(state)[0], i, j, amount)

    def kernel_rate(
        self, pool: Words, state: CurveTricryptoState, i: int, j: int, amount: int
    ) -> tuple[int, float]:
        """Return the slope."""
        return kernels.marginal_rate(pool, self.flags(state)[0], i, j, amount)


def _pool(state: CurveTricryptoState) -> reference.TricryptoPool:
    return reference.TricryptoPool(
        maths=_MATHS[state.version],
        balances=state.balances,
        precisions=state.precisions,
        price_scale=state.price_scale,
        A=state.A,
        gamma=state.gamma,
        D=state.D,
        mid_fee=state.mid_fee,
        out_fee=state.out_fee,
        fee_gamma=state.fee_gamma,
    )


PLUGIN = CurveTricryptoNg
