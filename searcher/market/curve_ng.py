"""Pools of Curve StableSwap-NG: what plain pools and metapools have in common.

Source: curvefi/stableswap-ng, version v7.0.0. Balances are net of the admin's share, as
get_balances() answers; an event says by how much they change, or enough to compute it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from searcher.domain.events import Log
from searcher.domain.units import Address, Uint256, keccak256
from searcher.kernels import curve_stable_ng as kernels
from searcher.kernels import curve_stable_ng_liquidity as liquidity
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.reference.curve_stable_ng import ADMIN_FEE, FEE_UNIT, NgPool
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words
from searcher.market.decoding import MalformedLog, address_of, signed, words
from searcher.market.protocol import Answer, ReadCall, Reads, UnreadablePool
from searcher.market.stableswap import accepts

EXCHANGE: Final = "0x8b3e96f2b889fa771c53c981b40daf005f63f637f1869f707052d15a3dd97140"
ADD: Final = "0x189c623b666b1b45b83d7178f39b8c087cb09774317ca2f53c2d3c3726f222a2"
REMOVE: Final = "0x347ad828e58cbe534d8f6b67985d791360756b18f0d95fd9f197a66cc46480ea"
REMOVE_ONE: Final = "0x6f48129db1f37ccb9cc5dd7e119cb32750cabdf75b48375d730d26ce3659bbe1"
REMOVE_IMBALANCE: Final = "0x3631c28b1f9dd213e0319fb167b554d76b6c283a41143eb400a0d1adb1af1755"
RAMP: Final = "0xa2b71ec6df949300b59aab36b55e189697b750119dd349fcfa8c0f779e83c254"
STOP_RAMP: Final = "0x46e22fb3709ad289f62ce63d469248536dbc78d82b84a3d7e74ad606dc201938"
NEW_FEE: Final = "0x750d10a7f37466ce785ee6bcb604aac543358db42afbcc332a3c12a49c80bf6d"

TOPICS: Final = frozenset(
    {EXCHANGE, ADD, REMOVE, REMOVE_ONE, REMOVE_IMBALANCE, RAMP, STOP_RAMP, NEW_FEE}
)
VOLATILE: Final = frozenset(
    {"balances", "balances_current", "stored_rates", "initial_a", "initial_a_time", "future_a_time"}
)

STANDARD: Final = 0
ORACLE: Final = 1
REBASING: Final = 2
VAULT: Final = 3
"""Asset types: a plain token; one whose rate an oracle says; one whose balances change by
themselves; an ERC-4626 vault's share."""

MOST_COINS: Final = 8
MAX_FEE: Final = 5 * 10**9
MAX_DECIMALS: Final = 18


class CurveNgState(Struct, frozen=True, kw_only=True):
    """A pool.

    `address` is the pool's own contract; quotes do not need it, following the pool does.

    `coins` and, in their order, `balances` (smallest units, net of the admin's share, as
    `get_balances()` answers) and `stored_rates` (10**(36 - decimals), times the rate of an oracle
    or a vault over 1e18, as `stored_rates()` answers; of plain tokens `decimals` may be given
    instead). `fee` and `offpeg_fee_multiplier` are in
    1e-10. `total_supply` is that of the LP token; only deposits and withdrawals need it.

    A is stated as the contract does, times 100: `future_a` is A_precise() unless it ramps; then it
    moves from `initial_a` at `initial_a_time` to `future_a` at `future_a_time` (timestamps).

    `asset_types` are the factory's, one a coin: 0 plain, 1 with a rate oracle, 2 rebasing, 3 an
    ERC-4626 share. Left out, all of it is taken to move by itself. `balances_current` is false
    after an event that does not say the new balances; such a pool is not quoted until they are
    read.
    """

    address: Address
    coins: tuple[Address, ...]
    balances: tuple[Uint256, ...]
    future_a: Uint256
    fee: int
    offpeg_fee_multiplier: Uint256
    stored_rates: tuple[Uint256, ...] = ()
    decimals: tuple[int, ...] = ()
    total_supply: Uint256 = 0
    initial_a: Uint256 = 0
    initial_a_time: int = 0
    future_a_time: int = 0
    asset_types: tuple[int, ...] = ()
    balances_current: bool = True

    def __post_init__(self) -> None:
        """Check what a pool can be."""
        self._check_coins()
        if not 0 <= self.fee <= MAX_FEE:
            raise ValueError(f"fee: expected 0 to {MAX_FEE}, found {self.fee}")
        if self.fee * self.offpeg_fee_multiplier > MAX_FEE * FEE_UNIT:
            raise ValueError(
                f"offpeg_fee_multiplier: expected a fee off the peg of at most {MAX_FEE}"
            )
        if self.future_a == 0:
            raise ValueError("future_a: expected at least 1")
        if self.future_a_time < 0 or self.initial_a_time < 0:
            raise ValueError("future_a_time, initial_a_time: expected timestamps")
        if self.ramps and self.initial_a == 0:
            raise ValueError("initial_a: expected A_precise() at the begin of the ramp")
        if self.ramps and self.future_a_time < self.initial_a_time:
            raise ValueError("future_a_time: expected a time after initial_a_time")

    def _check_coins(self) -> None:
        n = len(self.coins)
        if not 2 <= n <= MOST_COINS:
            raise ValueError(f"coins: expected 2 to {MOST_COINS}, found {n}")
        if len(set(self.coins)) != n:
            raise ValueError("coins: expected different tokens")
        if not self.stored_rates:
            if len(self.decimals) != n or not all(0 <= d <= MAX_DECIMALS for d in self.decimals):
                raise ValueError(
                    f"stored_rates: expected {n}, one for each coin, or as many decimals of 0 to"
                    f" {MAX_DECIMALS}"
                )
            force_setattr(self, "stored_rates", tuple(10 ** (36 - d) for d in self.decimals))
        for name in ("balances", "stored_rates"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name}: expected {n}, one for each coin")
        if self.asset_types and len(self.asset_types) != n:
            raise ValueError(f"asset_types: expected {n}, one for each coin, or none")
        if any(kind not in (STANDARD, ORACLE, REBASING, VAULT) for kind in self.asset_types):
            raise ValueError("asset_types: expected each of 0 to 3")

    @property
    def ramps(self) -> bool:
        """Whether A depends on the time."""
        return self.future_a_time != 0 and self.initial_a != self.future_a

    @property
    def rates_move(self) -> bool:
        """Whether other contracts decide the rates."""
        return not self.asset_types or bool({ORACLE, VAULT} & set(self.asset_types))

    @property
    def rebases(self) -> bool:
        """Whether balances change without the pool's events."""
        return not self.asset_types or REBASING in self.asset_types

    def numbers(self, amp: int) -> NgPool:
        """Return what the reference calculates with."""
        return NgPool(
            self.balances,
            self.stored_rates,
            amp,
            self.fee,
            self.offpeg_fee_multiplier,
            self.total_supply,
        )


N = TypeVar("N", bound=CurveNgState)


class PreparedPool:
    """A pool's rows at one time, ready for any number of exact answers.

    Every method raises `SwapRefused` where the contract reverts.

    Args:
        state: the pool, with its volatile fields as they hold then.
        timestamp: of the block, seconds.
        rates: instead of the state's own, for a metapool whose base pool is known.
    """

    def __init__(
        self, state: CurveNgState, timestamp: int, rates: Sequence[int] | None = None
    ) -> None:
        if not state.balances_current:
            raise SwapRefused(
                Status.BAD_STATE, "an event left the balances unknown: read get_balances() again"
            )
        self.rows: Words = kernels.rows(
            state.balances,
            state.stored_rates if rates is None else rates,
            amplification(state, timestamp),
            state.fee,
            state.offpeg_fee_multiplier,
            state.total_supply,
        )
        checked(kernels.prepare(self.rows))

    def get_dy(self, i: int, j: int, dx: int) -> int:
        """Return what the view says that `dx` of coin `i` pays."""
        return _first(kernels.exact_in(self.rows, i, j, dx))

    def exchange(self, i: int, j: int, dx: int) -> int:
        """Return what an exchange pays for `dx` of coin `i`."""
        return _first(kernels.exchange(self.rows, i, j, dx))

    def swapped(self, i: int, j: int, dx: int) -> int:
        """Return what `dx` pays once the pool has it, be it nothing."""
        return _first(kernels.swapped(self.rows, i, j, dx))

    def get_dx(self, i: int, j: int, dy: int) -> int:
        """Return the view's estimate of the input that pays `dy`."""
        return _first(kernels.exact_out(self.rows, i, j, dy))

    def least_in(self, i: int, j: int, dy: int) -> int:
        """Return an input whose exchange pays `dy` or more, while one unit less does not."""
        return _first(kernels.least_in(self.rows, i, j, dy))

    def marginal_rate(self, i: int, j: int, dx: int) -> float:
        """Return the output per unit more of input, fee included."""
        status, rate = kernels.marginal_rate(self.rows, i, j, dx)
        checked(status)
        return rate

    def virtual_price(self) -> int:
        """Return the invariant per LP token, times 1e18."""
        return _first(liquidity.virtual_price(self.rows))

    def token_amount(self, k: int, amount: int, *, deposit: bool) -> int:
        """Return what the view says of the LP tokens for coin `k` alone."""
        return _first(liquidity.token_amount(self.rows, k, amount, deposit))

    def deposit(self, k: int, amount: int) -> int:
        """Return the LP tokens that a deposit of coin `k` alone mints."""
        if amount == 0:
            raise SwapRefused(Status.ZERO_AMOUNT, "the pool does not take 0 coins")
        return _first(liquidity.deposit_one(self.rows, k, amount))

    def coins_for(self, burnt: int, k: int) -> int:
        """Return what the view says of coin `k` for LP tokens."""
        return _first(liquidity.withdraw_one(self.rows, burnt, k, False))

    def withdraw(self, burnt: int, k: int) -> int:
        """Return the coins `k` that LP tokens are burnt for."""
        return _first(liquidity.withdraw_one(self.rows, burnt, k, True))


def _first(result: Any) -> int:
    checked(result[0])
    return int(result[1])


def amplification(state: CurveNgState, timestamp: int) -> int:
    """Return A_precise() at a time.

    Raises:
        SwapRefused: the time lies before a ramp of the state.
    """
    if not state.ramps:
        return state.future_a
    return reference.amplification(
        state.initial_a, state.future_a, state.initial_a_time, state.future_a_time, timestamp
    )


def least(pays: Callable[[int], int], start: int, wanted: int) -> int:
    """Return an input near `start` that pays `wanted` or more, while one unit less does not.

    Args:
        pays: what an input pays; `SwapRefused` with `TOO_SMALL` or `ZERO_AMOUNT` counts as nothing.
        start: where to begin.
        wanted: what to pay.

    Raises:
        SwapRefused: no input pays as much.
    """

    def enough(given: int) -> bool:
        accepts(given)
        try:
            return pays(given) >= wanted
        except SwapRefused as refusal:
            if refusal.status in (Status.TOO_SMALL, Status.ZERO_AMOUNT):
                return False
            raise

    low = high = max(start, 1)
    step = max(start >> 40, 1)
    if enough(low):
        while low and enough(low):
            high, low, step = low, max(low - step, 0), step * 2
    else:
        while not enough(high):
            low, high, step = high, high + step, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high


# ---- events


def applied(state: N, log: Log) -> N:
    """Return a pool's state after one of its own logs.

    Raises:
        MalformedLog: the log has not the event's shape or contradicts the state.
    """
    topic = log.topics[0]
    if topic == EXCHANGE:
        return _exchanged(state, log)
    if topic in (ADD, REMOVE_IMBALANCE):
        return _liquidity_changed(state, log, 1 if topic == ADD else -1)
    if topic == REMOVE:
        return _removed(state, log)
    if topic == REMOVE_ONE:
        return _removed_one(state, log)
    if topic == NEW_FEE:
        fee, multiplier = words(log, topics=1, data=2)
        return _replaced(state, fee=fee, offpeg_fee_multiplier=multiplier)
    if topic == RAMP:
        old, new, begin, end = words(log, topics=1, data=4)
        return _replaced(
            state, initial_a=old, future_a=new, initial_a_time=begin, future_a_time=end
        )
    if topic == STOP_RAMP:
        now, when = words(log, topics=1, data=2)
        return _replaced(
            state, initial_a=now, future_a=now, initial_a_time=when, future_a_time=when
        )
    raise MalformedLog("a topic that is not a pool's")


def unknown(state: N) -> N:
    """Return a state whose balances must be read before it can be quoted."""
    return replace(state, balances_current=False)


def place_of(word: int, coins: int) -> int:
    """Return a coin's place out of an event's int128.

    Raises:
        MalformedLog: the pool has no such coin.
    """
    place = signed(word, 128)
    if not 0 <= place < coins:
        raise MalformedLog(f"coin {place} of a pool of {coins}")
    return place


def _exchanged(state: N, log: Log) -> N:
    """Take TokenExchange: the admin's share follows from computing the exchange once more."""
    sold, dx, bought, dy = words(log, topics=2, data=4)
    i, j = (place_of(word, len(state.coins)) for word in (sold, bought))

    def change(pool: NgPool) -> tuple[int, int]:
        return reference.exchange(pool, i, j, dx)

    share = _share(state, change, dy)
    if share is None:
        return unknown(state)
    changes = [0] * len(state.coins)
    changes[i] += dx
    changes[j] -= dy + share
    return _moved(state, changes, state.total_supply)


def _removed_one(state: N, log: Log) -> N:
    """Take RemoveLiquidityOne: the admin's share follows from computing it once more."""
    place, burnt, received, supply = words(log, topics=2, data=4)
    k = place_of(place, len(state.coins))

    def change(pool: NgPool) -> tuple[int, int]:
        return reference.remove_liquidity_one_coin(pool, burnt, k)

    share = _share(state, change, received)
    if share is None:
        return unknown(replace(state, total_supply=supply))
    changes = [0] * len(state.coins)
    changes[k] -= received + share
    return _moved(state, changes, supply)


def _share(
    state: CurveNgState, change: Callable[[NgPool], tuple[int, int]], paid: int
) -> int | None:
    """Return the admin's share of a change that paid `paid`; None if the log does not give it.

    A log does not say the block's time, so that A is not known while it ramps; and balances that
    change by themselves are not the state's.

    Raises:
        MalformedLog: a pool in this state cannot have paid that.
    """
    if state.ramps or state.rebases or not state.balances_current:
        return None
    try:
        ours, share = change(state.numbers(state.future_a))
    except SwapRefused as refusal:
        ours, share = -1, 0
        why = str(refusal)
    else:
        why = f"it pays {ours}"
    if ours == paid:
        return share
    if state.rates_move:  # the rates were others in that block
        return None
    raise MalformedLog(f"the pool paid {paid}; in the state before, {why}")


def _liquidity_changed(state: N, log: Log, direction: int) -> N:
    """Take AddLiquidity or RemoveLiquidityImbalance: half of each fee is the admin's."""
    data = _data(log)
    n = len(state.coins)
    amounts, fees, supply = _array(data, 0), _array(data, 1), data[3]
    if len(amounts) != n or len(fees) not in (0, n):
        raise MalformedLog(f"{len(amounts)} amounts and {len(fees)} fees in a pool of {n} coins")
    shares = [fee * ADMIN_FEE // FEE_UNIT for fee in fees] or [0] * n
    return _moved(
        state,
        [direction * a - s for a, s in zip(amounts, shares, strict=True)],
        supply,
    )


def _removed(state: N, log: Log) -> N:
    """Take RemoveLiquidity: every coin in proportion, without a fee."""
    data = _data(log)
    amounts, supply = _array(data, 0), data[2]
    if len(amounts) != len(state.coins):
        raise MalformedLog(f"{len(amounts)} amounts in a pool of {len(state.coins)} coins")
    return _moved(state, [-a for a in amounts], supply)


def _moved(state: N, changes: Sequence[int], supply: int) -> N:
    if state.rebases or not state.balances_current:
        return unknown(replace(state, total_supply=supply))
    balances = tuple(b + c for b, c in zip(state.balances, changes, strict=True))
    if any(not 0 <= balance < 1 << 256 for balance in balances):
        raise MalformedLog("a change that takes more than the pool holds")
    return replace(state, balances=balances, total_supply=supply)


def _replaced(state: N, **fields: int) -> N:
    try:
        return replace(state, **fields)
    except ValueError as error:
        raise MalformedLog(f"values that a pool cannot have: {error}") from error


def _data(log: Log) -> tuple[int, ...]:
    data = words(log, topics=2, data=(len(log.data) - 2) // 64)
    if len(data) < 4:
        raise MalformedLog(f"{len(data)} words for an event with arrays")
    return data


def _array(data: Sequence[int], head: int) -> Sequence[int]:
    """Return the dynamic array that a word of an event's head points to."""
    at, rest = divmod(data[head], 32)
    if rest or at >= len(data) or at + 1 + data[at] > len(data):
        raise MalformedLog("an array beyond the event's data")
    return data[at + 1 : at + 1 + data[at]]


# ---- reads


def selector(signature: str) -> str:
    """Return the calldata of a view without arguments, or its first four bytes."""
    return "0x" + keccak256(signature.encode())[:4].hex()


def call(to: Address, signature: str, *arguments: int) -> ReadCall:
    """Return the call of a view with words as arguments."""
    return ReadCall(to, selector(signature) + "".join(f"{a:064x}" for a in arguments))


def one_word(answer: Answer, view: str) -> int:
    """Return the only word of an answer.

    Raises:
        UnreadablePool: there is another number of words, or none.
    """
    if isinstance(answer, str) or len(answer) != 1:
        raise UnreadablePool(f"{view} did not answer one number: {answer}")
    return answer[0]


def one_address(answer: Answer, view: str) -> Address:
    """Return the address in an answer.

    Raises:
        UnreadablePool: it is no address.
    """
    try:
        return address_of(one_word(answer, view))
    except MalformedLog as error:
        raise UnreadablePool(f"{view} did not answer an address") from error


def one_array(answer: Answer, view: str) -> tuple[int, ...]:
    """Return the array in an answer.

    Raises:
        UnreadablePool: it is no array.
    """
    if isinstance(answer, str):
        raise UnreadablePool(f"{view} did not answer: {answer}")
    if len(answer) < 2 or answer[0] != 32 or answer[1] != len(answer) - 2:
        raise UnreadablePool(f"{view} did not answer an array")
    return answer[2:]


_NUMBERS: Final = {
    "fee": "fee()",
    "offpeg_fee_multiplier": "offpeg_fee_multiplier()",
    "total_supply": "totalSupply()",
    "initial_a": "initial_A()",
    "future_a": "future_A()",
    "initial_a_time": "initial_A_time()",
    "future_a_time": "future_A_time()",
}


def read_fields(pool: Address, factory: Address | None) -> Reads[dict[str, Any]]:
    """Return the reads of a pool's fields; a ramp that is over is left out.

    Args:
        pool: its address.
        factory: who knows the types of its coins; None leaves them out.
    """
    (answer,) = yield [call(pool, "N_COINS()")]
    n = one_word(answer, "N_COINS()")
    if not 2 <= n <= MOST_COINS:
        raise UnreadablePool(f"N_COINS() answered {n}")
    calls = [call(pool, "coins(uint256)", k) for k in range(n)]
    calls += [call(pool, view) for view in ("get_balances()", "stored_rates()", "A_precise()")]
    calls += [call(pool, view) for view in _NUMBERS.values()]
    if factory is not None:
        calls.append(call(factory, "get_pool_asset_types(address)", int(pool, 16)))
    answers = yield calls
    balances, rates, precise = answers[n : n + 3]
    fields: dict[str, Any] = {
        "address": pool,
        "coins": tuple(one_address(a, "coins(uint256)") for a in answers[:n]),
        "balances": one_array(balances, "get_balances()"),
        "stored_rates": one_array(rates, "stored_rates()"),
    }
    for (name, view), answer in zip(_NUMBERS.items(), answers[n + 3 :], strict=False):
        fields[name] = one_word(answer, view)
    if factory is not None:
        fields["asset_types"] = one_array(answers[-1], "get_pool_asset_types(address)")
    return fields | _finished(one_word(precise, "A_precise()"), fields["future_a"])


def _finished(precise: int, future: int) -> dict[str, Any]:
    """Return what a ramp that is over leaves: until its very end A is another than its aim."""
    if precise != future:
        return {}
    return {"initial_a": future, "initial_a_time": 0, "future_a_time": 0}


def refreshed(state: CurveNgState) -> Reads[dict[str, Any]]:
    """Return the reads of what a pool's logs do not say; none for most pools."""
    views = []
    if state.rebases or not state.balances_current:
        views.append("get_balances()")
    if state.rates_move:
        views.append("stored_rates()")
    if state.ramps:
        views.append("A_precise()")
    if not views:
        return {}
    answers = yield [call(state.address, view) for view in views]
    fields: dict[str, Any] = {}
    for view, answer in zip(views, answers, strict=True):
        if view == "A_precise()":
            fields |= _finished(one_word(answer, view), state.future_a)
        elif view == "stored_rates()":
            fields["stored_rates"] = one_array(answer, view)
        else:
            fields |= {"balances": one_array(answer, view), "balances_current": True}
    return fields


def made(kind: type[N], **fields: Any) -> N:
    """Return a state from what a pool's views answered.

    Raises:
        UnreadablePool: no pool can be in that state.
    """
    try:
        return kind(**fields)
    except ValueError as error:
        raise UnreadablePool(f"the pool's answers contradict each other: {error}") from error
