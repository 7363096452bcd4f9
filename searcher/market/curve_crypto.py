"""What Curve's crypto pools of two and three coins have in common: ramps, events, reads.

Sources: CurveTwocryptoOptimized and Twocrypto (curvefi/twocrypto-ng), CurveTricryptoOptimizedWETH
and CurveTricryptoOptimized (curvefi/tricrypto-ng), CurveCryptoSwap and CurveCryptoSwap2ETH.

An exchange moves the invariant and perhaps the price scale. Its event says the new price scale, so
the invariant follows exactly. Everything else that moves liquidity may claim admin fees in the same
transaction, by an amount that no event says: from then on the state is stale, and is quoted only in
a block whose `volatile` has been read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import Address, Uint256, keccak256
from searcher.kernels import curve_crypto_least as search
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words, pack
from searcher.market.decoding import MalformedLog, address_of, words
from searcher.market.protocol import (
    Answer,
    Protocol,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.tokens import places

LOW_128: Final = (1 << 128) - 1
MOVING: Final = frozenset({"balances", "price_scale", "D"})
"""What must be read of a stale state before it is quoted."""

EXCHANGED: Final = "0x143f1f8e861fbdeddd5b46e844b7d3ac7b86a122f36e8c463859ee6811b1f29c"
NEW_PARAMETERS: Final = "0xa32137411fc7c20db359079cd84af0e2cad58cd7a182a8a5e23e08e554e88bf0"
NEW_PARAMETERS_7: Final = "0x1c65bbdc939f346e5d6f0bde1f072819947438d4fc7b182cc59c2f6dc5504087"
RAMP: Final = "0xe35f0559b0642164e286b30df2077ec3a05426617a25db7578fd20ba39a6cd05"
STOP_RAMP: Final = "0x5f0e7fba3d100c9e19446e1c92fe436f0a9a22fe99669360e4fdd6d3de2fc284"
LEGACY_EXCHANGED: Final = "0xb2e76ae99761dc136e598d4a629bb347eccb9532a5f8bbd72e18467c3c34cc98"
REMOVE_LIQUIDITY_ONE: Final = "0xe200e24d4a4c7cd367dd9befe394dc8a14e6d58c88ff5e2f512d65a9e0aa9c5c"
LEGACY_REMOVE_ONE: Final = "0x5ad056f2e28a8cec232015406b843668c1e36cda598127ec3b8c59b8c72773a0"
CLAIM_ADMIN_FEE: Final = "0x6059a38198b1dc42b3791087d1ff0fbd72b3179553c25f678cd246f52ffaaf59"

_NUMBERS: Final = (
    "mid_fee",
    "out_fee",
    "fee_gamma",
    "initial_A_gamma",
    "initial_A_gamma_time",
    "future_A_gamma",
    "future_A_gamma_time",
)
_TELLING: Final = frozenset({EXCHANGED, NEW_PARAMETERS, NEW_PARAMETERS_7, RAMP, STOP_RAMP})
_CONFUSING: Final = frozenset(
    {LEGACY_EXCHANGED, REMOVE_LIQUIDITY_ONE, LEGACY_REMOVE_ONE, CLAIM_ADMIN_FEE}
)


class CurveCryptoIdentity(Struct, frozen=True):
    """A pool's address: it says everything else itself."""

    pool: Address


class CurveCryptoState(Struct, frozen=True, kw_only=True):
    """What pools of two and three coins have alike; their own states say what it means."""

    address: Address
    coins: tuple[Address, ...]
    balances: tuple[Uint256, ...]
    precisions: tuple[Uint256, ...]
    D: Uint256
    mid_fee: Uint256
    out_fee: Uint256
    fee_gamma: Uint256
    A: Uint256 = 0
    gamma: Uint256 = 0
    initial_A_gamma: Uint256 = 0  # noqa: N815  the contract's name, as those below
    initial_A_gamma_time: Uint256 = 0  # noqa: N815
    future_A_gamma: Uint256 = 0  # noqa: N815
    future_A_gamma_time: Uint256 = 0  # noqa: N815
    last_timestamp: Uint256 = 0
    is_stale: bool = False

    def check(self, scales: Sequence[int]) -> None:
        """Check what no pool can be.

        Args:
            scales: the prices of all coins but the first.

        Raises:
            ValueError: the field, and what was expected of it.
        """
        if len(set(self.coins)) != len(self.coins):
            raise ValueError("coins: expected different tokens")
        if 0 in self.precisions:
            raise ValueError("precisions: expected more than 0")
        if 0 in scales:
            raise ValueError("price_scale: expected more than 0")
        if not self.future_A_gamma and not (self.A and self.gamma):
            raise ValueError("A: expected A and gamma, or initial_A_gamma and future_A_gamma")
        if bool(self.future_A_gamma) != bool(self.initial_A_gamma):
            raise ValueError("initial_A_gamma: expected together with future_A_gamma")
        # Legacy pools set it to 1, and later 0, when a ramp is over.
        if self.future_A_gamma and 1 < self.future_A_gamma_time < self.initial_A_gamma_time:
            raise ValueError("future_A_gamma_time: expected at or after initial_A_gamma_time")


S = TypeVar("S", bound=CurveCryptoState)


def selector(signature: str) -> str:
    """Return the calldata of a view without arguments."""
    return "0x" + keccak256(signature.encode())[:4].hex()


def indexed(signature: str, place: int) -> str:
    """Return the calldata of a view of one number."""
    return f"{selector(signature)}{place:064x}"


class CurveCrypto(Protocol[S]):
    """A pool whose curve is that of Curve's crypto maths."""

    Identity = CurveCryptoIdentity
    volatile = MOVING | {"last_timestamp", "is_stale"}
    topics: ClassVar[frozenset[str]] = _TELLING | _CONFUSING
    coins: ClassVar[int]
    """How many coins a pool has."""

    # ---- what two and three coins do differently

    @abstractmethod
    def rows(self, state: S) -> list[int]:
        """Return the state as the rows of the kernels' pool."""

    @abstractmethod
    def invariant(self, state: S) -> int:
        """Return the invariant of the balances, computed anew."""

    @abstractmethod
    def invariant_after(self, state: S, i: int, j: int, moved: tuple[int, int], scale: Any) -> int:
        """Return the invariant after an exchange of `moved`, in and out, left the price `scale`."""

    @abstractmethod
    def unpacked(self, packed: int) -> Any:
        """Return the price scale from the exchange's event."""

    @abstractmethod
    def is_ramping(self, state: S, timestamp: int) -> bool:
        """Return whether the pool computes the invariant anew before it uses it."""

    @abstractmethod
    def kernel_in(self, pool: Words, state: S, i: int, j: int, amount: int) -> tuple[int, int]:
        """Return the kernel's exact input."""

    @abstractmethod
    def kernel_out(self, pool: Words, state: S, i: int, j: int, amount: int) -> tuple[int, int]:
        """Return the kernel's exact output."""

    @abstractmethod
    def kernel_rate(self, pool: Words, state: S, i: int, j: int, amount: int) -> tuple[int, float]:
        """Return the kernel's marginal rate."""

    @abstractmethod
    def flags(self, state: S) -> tuple[int, int]:
        """Return `maths` and `harmonic` as the kernels take them."""

    @abstractmethod
    def has_get_dx(self, state: S) -> bool:
        """Return whether the pool's views estimate an exact output."""

    def fees_at(self, state: S, values: Sequence[int]) -> tuple[int, int, int]:
        """Return mid_fee, out_fee and fee_gamma from NewParameters."""
        del state
        return values[0], values[1], values[2]

    def packed(self, state: S) -> Words:
        """Return the state as the kernels take it."""
        return pack(self.rows(state))

    # ---- quotes

    def quote_exact_in(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return get_dy, which is what the exchange pays, but nothing for nothing."""
        i, j = places(state.coins, token_in, token_out)
        now = self.at(state, block)
        dy = self._in(self.packed(now), now, i, j, _amount(amount))
        return Quote(dy, dy if amount else 0)

    def quote_exact_out(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> Quote:
        """Return get_dx, and an input whose exchange pays at least the amount.

        The contract's get_dx is an estimate: its exchange may pay a little more or less than was
        asked. Where it pays enough, that input is get_dx; else it is the next above that pays
        enough while one less does not. Of a legacy pool, which has no get_dx, both are such a
        least input.

        Raises:
            SwapRefused: get_dx would revert, or the exchange pays that much for no input.
        """
        i, j = places(state.coins, token_in, token_out)
        now = self.at(state, block)
        pool = self.packed(now)
        asked = (*self.flags(now), i, j, _amount(amount))
        is_exact = self.has_get_dx(now)
        if not is_exact:
            found, least = search.sought(pool, *asked)
            if found:
                return Quote(least, least)
        status, dx = self.kernel_out(pool, now, i, j, amount)
        checked(status)
        status, least = search.least_input_from(pool, *asked, dx, not is_exact)
        checked(status)
        return Quote(dx if is_exact else least, least)

    def marginal_rate(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address, amount: int
    ) -> float:
        """Return the slope of get_dy, the fee's own movement included."""
        i, j = places(state.coins, token_in, token_out)
        now = self.at(state, block)
        status, rate = self.kernel_rate(self.packed(now), now, i, j, _amount(amount))
        checked(status)
        return rate

    def _in(self, pool: Words, state: S, i: int, j: int, amount: int) -> int:
        status, dy = self.kernel_in(pool, state, i, j, amount)
        checked(status)
        return dy

    def at(self, state: S, block: QuoteBlock) -> S:
        """Return the state as it holds in a block: A, gamma and D are those of its time.

        Raises:
            SwapRefused: the state is stale and the block says nothing of what moved, or the
                contract would revert.
            ValueError: the block gives a value for a field that is not volatile, or one that the
                state cannot have.
        """
        told = block.volatile.keys() >= MOVING and "is_stale" not in block.volatile
        state = super().at(state, block)
        if state.is_stale and not told:
            raise SwapRefused(
                Status.BAD_STATE,
                f"{state.address} has moved by what its logs do not tell: read"
                f" {', '.join(sorted(MOVING))} for this block",
            )
        amplification, gamma = state.A, state.gamma
        if state.future_A_gamma:
            amplification, gamma = _ramped(state, block.timestamp)
        state = replace(state, A=amplification, gamma=gamma, is_stale=False)
        if self.is_ramping(state, block.timestamp):
            state = replace(state, D=self.invariant(state))
        return state

    # ---- events

    def apply(self, state: S, log: Log) -> S:
        """Follow exchanges exactly; fees and ramps as they are set; the rest makes it stale."""
        topic = log.topics[0]
        if topic not in self.topics:
            raise MalformedLog("a topic that is not a crypto pool's")
        if topic == EXCHANGED:
            return self._exchanged(state, words(log, topics=2, data=6))
        if topic in {NEW_PARAMETERS, NEW_PARAMETERS_7}:
            values = words(log, topics=1, data=6 if topic == NEW_PARAMETERS else 7)
            mid_fee, out_fee, fee_gamma = self.fees_at(state, values)
            return replace(state, mid_fee=mid_fee, out_fee=out_fee, fee_gamma=fee_gamma)
        if topic == RAMP:
            before, after, gamma_before, gamma_after, begin, end = words(log, topics=1, data=6)
            return replace(
                state,
                initial_A_gamma=_packed(before, gamma_before),
                future_A_gamma=_packed(after, gamma_after),
                initial_A_gamma_time=begin,
                future_A_gamma_time=end,
            )
        if topic == STOP_RAMP:
            amplification, gamma, time = words(log, topics=1, data=3)
            packed = _packed(amplification, gamma)
            return replace(
                state,
                initial_A_gamma=packed,
                future_A_gamma=packed,
                initial_A_gamma_time=time,
                future_A_gamma_time=time,
            )
        return replace(state, is_stale=True)

    def _exchanged(self, state: S, values: tuple[int, ...]) -> S:
        i, dx, j, dy, _, packed = values
        if i == j or max(i, j) >= self.coins:
            raise MalformedLog(f"an exchange of coin {i} for {j}")
        # A log does not say its time: only a ramp that had ended before the last exchange is over.
        if state.is_stale or state.future_A_gamma_time > state.last_timestamp:
            return replace(state, is_stale=True)
        scale = self.unpacked(packed)
        now = self.at(state, QuoteBlock(0, state.last_timestamp))
        try:
            paid = self._in(self.packed(now), now, i, j, dx)
            invariant = self.invariant_after(now, i, j, (dx, dy), scale)
        except SwapRefused as refusal:
            if refusal.status == Status.UNMODELLED:
                return replace(state, is_stale=True)
            raise MalformedLog(f"an exchange that the state refuses: {refusal}") from refusal
        if paid != dy:
            raise MalformedLog(f"an exchange that paid {dy}, where the state pays {paid}")
        balances = list(state.balances)
        balances[i] += dx
        balances[j] -= dy
        return replace(state, balances=tuple(balances), price_scale=scale, D=invariant)

    # ---- reads

    def moving_calls(self, pool: Address) -> list[ReadCall]:
        """Return the reads of balances, price scale, D and the time of the last exchange."""
        data = [indexed("balances(uint256)", k) for k in range(self.coins)]
        if self.coins == 2:
            data.append(selector("price_scale()"))
        else:
            data += [indexed("price_scale(uint256)", k) for k in range(self.coins - 1)]
        data += [selector(f"{name}()") for name in ("D", "last_timestamp", "last_prices_timestamp")]
        return [ReadCall(pool, call) for call in data]

    def moved(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return what `moving_calls` were answered, by field."""
        n = self.coins
        scale: Any = tuple(number(answers[k], "price_scale") for k in range(n, 2 * n - 1))
        # Pools keep it under one name or the other, and those that take ether answer what they do
        # not have with nothing. Some pack a second time above it.
        last, other = answers[2 * n], answers[2 * n + 1]
        time = number(last if len(last) == 1 else other, "last_timestamp") & LOW_128
        return {
            "balances": tuple(number(answers[k], f"balances({k})") for k in range(n)),
            "price_scale": scale if n > 2 else scale[0],
            "D": number(answers[2 * n - 1], "D"),
            "last_timestamp": time,
            "is_stale": False,
        }

    def refresh(self, state: S) -> Reads[dict[str, Any]]:
        """Read what moves with exchanges and admin fees."""
        answers = yield self.moving_calls(state.address)
        return self.moved(answers)

    def constant_calls(self, pool: Address) -> list[ReadCall]:
        """Return the reads of what only the pool's admin changes, and the coins."""
        data = [selector(f"{name}()") for name in _NUMBERS]
        data += [indexed("coins(uint256)", k) for k in range(self.coins)]
        data.append(selector("precisions()"))
        return [ReadCall(pool, call) for call in data]

    def constants(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return what `constant_calls` were answered, by field.

        Raises:
            UnreadablePool: an answer is not such a pool's.
        """
        n = self.coins
        fields: dict[str, Any] = {
            name: number(answer, name) for name, answer in zip(_NUMBERS, answers, strict=False)
        }
        place = len(_NUMBERS)
        try:
            coins = [address_of(number(answers[place + k], f"coins({k})")) for k in range(n)]
        except MalformedLog as error:
            raise UnreadablePool(f"coins: {error}") from error
        precisions = answers[place + n]
        if isinstance(precisions, str) or len(precisions) != n:
            raise UnreadablePool(f"precisions: expected {n} numbers, found {precisions!r}")
        return {**fields, "coins": tuple(coins), "precisions": precisions}


def number(answer: Answer, name: str) -> int:
    """Return the one number that a view answered.

    Raises:
        UnreadablePool: it answered something else.
    """
    if isinstance(answer, str) or len(answer) != 1:
        raise UnreadablePool(f"{name}: expected one number, found {answer!r}")
    return answer[0]


def text(answer: Answer, name: str) -> str:
    """Return the short text that a view answered.

    Raises:
        UnreadablePool: it answered something else.
    """
    if isinstance(answer, str) or len(answer) != 3 or answer[0] != 32 or answer[1] > 32:
        raise UnreadablePool(f"{name}: expected a short text, found {answer!r}")
    return answer[2].to_bytes(32, "big")[: answer[1]].decode(errors="replace")


def _amount(amount: int) -> int:
    if not 0 <= amount < 1 << 256:
        raise SwapRefused(Status.OVERFLOW, "the amount does not fit uint256")
    return amount


def _packed(amplification: int, gamma: int) -> int:
    if max(amplification, gamma) > LOW_128:
        raise MalformedLog("A or gamma beyond 128 bits")
    return amplification << 128 | gamma


def _ramped(state: CurveCryptoState, timestamp: int) -> tuple[int, int]:
    """Return A and gamma at a time (`_A_gamma`)."""
    after = divmod(state.future_A_gamma, 1 << 128)
    end, begin = state.future_A_gamma_time, state.initial_A_gamma_time
    if timestamp >= end:
        return after
    if timestamp < begin:
        raise SwapRefused(Status.OVERFLOW, "the block lies before the ramp began")
    before = divmod(state.initial_A_gamma, 1 << 128)
    left, gone, whole = end - timestamp, timestamp - begin, end - begin
    return (
        (before[0] * left + after[0] * gone) // whole,
        (before[1] * left + after[1] * gone) // whole,
    )
