"""Curve's pools of two unpegged coins: twocrypto-NG, its stableswap variant, and their forebear.

Sources: curvefi/twocrypto-ng (pools v2.0.0, v2.1.0 and v2.1.0d; their maths and views), and
CurveCryptoSwap2ETH for legacy pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels import curve_twocrypto as kernels
from searcher.kernels.reference import curve_twocrypto as reference
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.u256 import Words
from searcher.market.curve_crypto import (
    CurveCrypto,
    CurveCryptoIdentity,
    CurveCryptoState,
    selector,
    text,
)
from searcher.market.decoding import words
from searcher.market.protocol import ReadCall, Reads, UnreadablePool

SET_PERIPHERY: Final = "0x567da2faedc99f951794c7dc379b4906dcdd1d016fedb16916d1e9623901f216"
_LIQUIDITY: Final = frozenset(
    {
        "0x7196cbf63df1f2ec20638e683ebe51d18260be510592ee1e2efe3f3cfd4c33e9",  # AddLiquidity
        "0x540ab385f9b5d450a27404172caade516b3ba3f4be88239ac56a2ad1de2a1f5a",  # legacy AddLiquidity
        "0xdd3c0336a16f1b64f172b7bb0dad5b2b3c7c76f91e8c4aafd6aae60dce800153",  # RemoveLiquidity
        "0x22f9ea3e7d7b113cb423896d2e121f96a66c17814ac7f63d69096769fa3e2a55",  # ...Imbalance
        "0x3bbd5f2f4711532d6e9ee88dfdf2f1468e9a4c3ae5e14d2e1a67bf4242d008d0",  # ClaimAdminFee
        "0xc05458c16b884817a70d3d18223db5fe4adb4cb541a5573bef0daae7a6f20542",  # Donation
    }
)


class PoolVersion(StrEnum):
    """What a pool's `version()` says; legacy pools have none."""

    V2_0_0 = "v2.0.0"
    V2_1_0 = "v2.1.0"
    V2_1_0D = "v2.1.0d"
    LEGACY = "legacy"


class MathVersion(StrEnum):
    """What `version()` of a pool's `MATH()` says; `v0.1.0` is the stableswap maths."""

    V2_0_0 = "v2.0.0"
    V2_1_0 = "v2.1.0"
    STABLESWAP = "v0.1.0"
    LEGACY = "legacy"
    OTHER = "other"


_MATHS: Final = {
    MathVersion.V2_0_0: reference.Maths.V2_0_0,
    MathVersion.V2_1_0: reference.Maths.V2_1_0,
    MathVersion.STABLESWAP: reference.Maths.STABLESWAP,
    MathVersion.LEGACY: reference.Maths.LEGACY,
}
_USUAL: Final = {
    PoolVersion.V2_0_0: MathVersion.V2_0_0,
    PoolVersion.V2_1_0: MathVersion.V2_1_0,
    PoolVersion.V2_1_0D: MathVersion.STABLESWAP,
    PoolVersion.LEGACY: MathVersion.LEGACY,
}


class CurveTwocryptoState(CurveCryptoState, frozen=True, kw_only=True):
    """A pool of two coins, as its views answer at the end of a block.

    `address` is the pool's own. `balances` are in smallest units; `precisions` what they are
    multiplied with to have 18 decimals; `price_scale` the second coin's price in the first, 18
    decimals; `D` the invariant.
    The fee, in 1e-10, lies between `mid_fee` and `out_fee`, as `fee_gamma` (18 decimals) bends it.

    `A` and `gamma` are what the views of these names answer; where `initial_A_gamma` and
    `future_A_gamma` (A times 2^128, plus gamma) are given, they follow from those instead: they
    move from the one at `initial_A_gamma_time` to the other at `future_A_gamma_time` (seconds since
    1970), in any block. While a ramp lasts D is computed anew. `last_timestamp` is
    when the pool exchanged last: with it the end of a ramp is known from the logs alone.

    `version` is the pool's own, v2.1.0 if not given, and `math_version` that of its MATH: the one
    that such pools came with if not given, `other` if it is none of those known, which is not
    quoted. `is_stale` says that the pool has moved by what its logs do not tell.
    """

    coins: tuple[Address, Address]
    balances: tuple[Uint256, Uint256]
    precisions: tuple[Uint256, Uint256]
    price_scale: Uint256
    version: PoolVersion = PoolVersion.V2_1_0
    math_version: MathVersion | None = None

    def __post_init__(self) -> None:
        """Check what no pool can be."""
        self.check([self.price_scale])
        legacy_math = self.math_version in {None, MathVersion.LEGACY, MathVersion.OTHER}
        if self.version == PoolVersion.LEGACY and not legacy_math:
            raise ValueError("math_version: expected 'legacy' for a legacy pool")


class CurveTwocryptoNg(CurveCrypto[CurveTwocryptoState]):
    """Pools of two unpegged coins, kept from TokenExchange, read again after anything else."""

    class Config(Settings):
        """Nothing to set."""

    State = CurveTwocryptoState
    topics = CurveCrypto.topics | _LIQUIDITY | {SET_PERIPHERY}
    coins = 2

    def reads(self, identity: CurveCryptoIdentity) -> Reads[CurveTwocryptoState]:
        """Read the pool, then the version of its maths."""
        pool = identity.pool
        named = [ReadCall(pool, selector("version()")), ReadCall(pool, selector("MATH()"))]
        constants, moving = self.constant_calls(pool), self.moving_calls(pool)
        answers = yield [*named, *constants, *moving]
        version = text(answers[0], "version")
        if version not in {PoolVersion.V2_0_0, PoolVersion.V2_1_0, PoolVersion.V2_1_0D}:
            raise UnreadablePool(f"version {version!r} of a two-coin crypto pool is not known")
        maths = answers[1]
        if isinstance(maths, str) or len(maths) != 1 or maths[0] >> 160:
            raise UnreadablePool(f"MATH: expected an address, found {maths!r}")
        (answer,) = yield [ReadCall(Address(f"0x{maths[0]:040x}"), selector("version()"))]
        math_version = text(answer, "MATH.version")
        known = {MathVersion.V2_0_0, MathVersion.V2_1_0, MathVersion.STABLESWAP}
        try:
            return CurveTwocryptoState(
                address=pool,
                **self.constants(answers[2 : 2 + len(constants)]),
                **self.moved(answers[2 + len(constants) :]),
                version=PoolVersion(version),
                math_version=MathVersion(math_version)
                if math_version in known
                else MathVersion.OTHER,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def apply(self, state: CurveTwocryptoState, log: Log) -> CurveTwocryptoState:
        """Beside what all crypto pools log: a maths contract is not known by its address."""
        if log.topics[0] == SET_PERIPHERY:
            words(log, topics=1, data=2)
            return replace(state, math_version=MathVersion.OTHER)
        return super().apply(state, log)

    def rows(self, state: CurveTwocryptoState) -> list[int]:
        """Return the rows of kernels.curve_twocrypto."""
        return [
            *state.balances,
            *state.precisions,
            state.price_scale,
            state.A,
            state.gamma,
            state.D,
            state.mid_fee,
            state.out_fee,
            state.fee_gamma,
        ]

    def invariant(self, state: CurveTwocryptoState) -> int:
        """Return newton_D without a start."""
        pool = _pool(state)
        xp = reference.scaled(pool, state.balances)
        return reference.newton_D(pool.maths, pool.A, pool.gamma, xp, 0)

    def invariant_after(
        self, state: CurveTwocryptoState, i: int, j: int, moved: tuple[int, int], scale: Any
    ) -> int:
        """Return the reference's exchanged_D."""
        del j
        dx, dy = moved
        return reference.exchanged_D(_pool(state), i, dx=dx, dy=dy, price_scale=scale)

    def unpacked(self, packed: int) -> Any:
        """Return the one price: it is not packed."""
        return packed

    def is_ramping(self, state: CurveTwocryptoState, timestamp: int) -> bool:
        """Return the version's own idea of it."""
        if state.version == PoolVersion.LEGACY:
            return state.future_A_gamma_time > 0
        since = state.last_timestamp if _is_newest(state) else timestamp
        return state.future_A_gamma_time > since

    def fees_at(self, state: CurveTwocryptoState, values: Sequence[int]) -> tuple[int, int, int]:
        """Return the fees; legacy pools log the admin's share before them."""
        first = 1 if state.version == PoolVersion.LEGACY else 0
        return values[first], values[first + 1], values[first + 2]

    def flags(self, state: CurveTwocryptoState) -> tuple[int, int]:
        """Return the maths, and whether the fee is harmonic."""
        # Plain ints: with enums beside them numba does not find the kernel for a large amount.
        return int(_maths(state)), int(_is_newest(state))

    def has_get_dx(self, state: CurveTwocryptoState) -> bool:
        """Return whether it is no legacy pool."""
        return state.version != PoolVersion.LEGACY

    def kernel_in(
        self, pool: Words, state: CurveTwocryptoState, i: int, j: int, amount: int
    ) -> tuple[int, int]:
        """Return get_dy."""
        del j
        return kernels.exact_in(pool, *self.flags(state), i, amount)

    def kernel_out(
        self, pool: Words, state: CurveTwocryptoState, i: int, j: int, amount: int
    ) -> tuple[int, int]:
        """Return get_dx."""
        del j
        return kernels.exact_out(pool, *self.flags(state), i, amount)

    def kernel_rate(
        self, pool: Words, state: CurveTwocryptoState, i: int, j: int, amount: int
    ) -> tuple[int, float]:
        """Return the slope."""
        del j
        return kernels.marginal_rate(pool, *self.flags(state), i, amount)


def _maths(state: CurveTwocryptoState) -> reference.Maths:
    version = state.math_version or _USUAL[state.version]
    if version not in _MATHS:
        raise SwapRefused(Status.UNMODELLED, "the pool's maths contract is not one that is known")
    return _MATHS[version]


def _is_newest(state: CurveTwocryptoState) -> bool:
    """Return whether the pool is of the generation that the stableswap maths came with."""
    newest = state.version == PoolVersion.V2_1_0D
    return newest or state.math_version == MathVersion.STABLESWAP


def _pool(state: CurveTwocryptoState) -> reference.TwocryptoPool:
    return reference.TwocryptoPool(
        maths=_maths(state),
        harmonic_fee=_is_newest(state),
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


PLUGIN = CurveTwocryptoNg
