"""What the events of Curve's stableswap pools do to a pool's state.

Deposits and withdrawals in several coins say all that they move. A swap does not say what it
kept for the pool's owner, so it is calculated again from the state before it, and must pay what
the event says. Where that is not possible (A ramps, rates move, balances are transfers' results)
the balances stop being current, and must be read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.units import keccak256
from searcher.kernels.reference.curve_meta import withdraw_one
from searcher.kernels.reference.curve_stable import FEE_UNIT, exchange
from searcher.kernels.refusal import SwapRefused
from searcher.market.decoding import MalformedLog, signed, words
from searcher.market.protocol import QuoteBlock
from searcher.market.stableswap import COINS, CurveStableState, holds_balances, numbers

_Apply = Callable[[CurveStableState, Log], CurveStableState]


def topic(signature: str) -> str:
    """Return the topic of an event."""
    return f"0x{keccak256(signature.encode()).hex()}"


def apply_event(state: CurveStableState, log: Log) -> CurveStableState:
    """Return a plain pool's state after one of its events.

    Raises:
        MalformedLog: the log is none of its events, or contradicts the state.
    """
    handler = _HANDLERS.get(log.topics[0]) if log.topics else None
    if handler is None:
        raise MalformedLog("a topic that is not a pool's")
    return handler(state, log)


def replayable(state: CurveStableState) -> bool:
    """Return whether what an exchange did follows from the state alone."""
    return (
        state.balances_current
        and not holds_balances(state)
        and not state.ramping
        and not state.moving_rates
    )


def unknown_balances(state: CurveStableState) -> CurveStableState:
    """Return the state with balances that must be read again."""
    return replace(state, balances_current=False)


def _exchanged(state: CurveStableState, log: Log) -> CurveStableState:
    sold, amount, bought, paid = words(log, topics=2, data=4)
    i, j = signed(sold, 128), signed(bought, 128)
    n = len(state.coins)
    if not (0 <= i < n and 0 <= j < n and i != j):
        raise MalformedLog("coins that the pool does not hold")
    if not replayable(state):
        return unknown_balances(state)
    try:
        expected, balances = exchange(numbers(state, _ANY_BLOCK), i, j, amount)
    except SwapRefused as refused:
        raise MalformedLog(f"a swap that the state refuses: {refused}") from refused
    if expected != paid:
        raise MalformedLog(f"a swap that paid {paid} where the state gives {expected}")
    return replace(state, balances=balances)


def _underlying(state: CurveStableState, log: Log) -> CurveStableState:
    words(log, topics=2, data=4)
    return unknown_balances(state)


def _moved(
    state: CurveStableState, log: Log, *, coins: int, sign: int, invariant: bool
) -> CurveStableState:
    values = _of(state, log, coins, topics=2, data=2 * coins + 1 + invariant)
    amounts, fees, supply = values[:coins], values[coins : 2 * coins], values[-1]
    state = replace(state, total_supply=supply)
    if holds_balances(state) or not state.balances_current:
        return unknown_balances(state)
    admin = state.admin_fee
    balances = tuple(
        held + sign * amount - fee * admin // FEE_UNIT
        for held, amount, fee in zip(state.balances, amounts, fees, strict=True)
    )
    if any(not 0 <= balance < 1 << 256 for balance in balances):
        raise MalformedLog("a withdrawal of more than the pool holds")
    return replace(state, balances=balances)


def _one_removed(state: CurveStableState, log: Log, *, says_supply: bool) -> CurveStableState:
    """Find which coin it was, which the event does not say."""
    burned, amount, *rest = words(log, topics=2, data=2 + says_supply)
    if burned > state.total_supply and state.total_supply:
        raise MalformedLog("more liquidity burned than there is")
    supply = rest[0] if says_supply else max(0, state.total_supply - burned)
    after = replace(state, total_supply=supply)
    if not replayable(state) or state.total_supply == 0:
        return unknown_balances(after)
    pool = numbers(state, _ANY_BLOCK)
    found = []
    for place in range(len(state.coins)):
        try:
            paid, fee = withdraw_one(pool, place, burned)
        except SwapRefused:
            continue
        if paid == amount:
            found.append((place, paid + fee * state.admin_fee // FEE_UNIT))
    if len(found) != 1:
        return unknown_balances(after)
    place, taken = found[0]
    balances = list(state.balances)
    balances[place] -= taken
    return replace(after, balances=tuple(balances))


def _ramped(state: CurveStableState, log: Log) -> CurveStableState:
    old, new, begin, end = words(log, topics=1, data=4)
    return replace(state, initial_a=old, future_a=new, initial_a_time=begin, future_a_time=end)


def _stopped(state: CurveStableState, log: Log) -> CurveStableState:
    amp, time = words(log, topics=1, data=2)
    return replace(state, initial_a=amp, future_a=amp, initial_a_time=time, future_a_time=time)


def _repriced(state: CurveStableState, log: Log, *, fields: tuple[str, ...]) -> CurveStableState:
    values = words(log, topics=1, data=len(fields))
    try:
        return replace(state, **dict(zip(fields, values, strict=True)))
    except ValueError as error:
        raise MalformedLog(str(error)) from error


def _of(
    state: CurveStableState, log: Log, coins: int, *, topics: int, data: int
) -> tuple[int, ...]:
    if coins != len(state.coins):
        raise MalformedLog(f"an event of a pool of {coins} coins, not {len(state.coins)}")
    return words(log, topics=topics, data=data)


_ANY_BLOCK: Final = QuoteBlock(number=0, timestamp=0)
"""For pools of which nothing moves with time."""

TOKEN_EXCHANGE: Final = topic("TokenExchange(address,int128,uint256,int128,uint256)")
TOKEN_EXCHANGE_UNDERLYING: Final = topic(
    "TokenExchangeUnderlying(address,int128,uint256,int128,uint256)"
)

REMOVE_ONE: Final = topic("RemoveLiquidityOne(address,uint256,uint256)")
REMOVE_ONE_SUPPLY: Final = topic("RemoveLiquidityOne(address,uint256,uint256,uint256)")
REPLAYED: Final = frozenset(
    {TOKEN_EXCHANGE, TOKEN_EXCHANGE_UNDERLYING, REMOVE_ONE, REMOVE_ONE_SUPPLY}
)
"""The events whose effect has to be calculated again."""

_HANDLERS: Final[dict[str, _Apply]] = {
    TOKEN_EXCHANGE: _exchanged,
    TOKEN_EXCHANGE_UNDERLYING: _underlying,
    REMOVE_ONE: partial(_one_removed, says_supply=False),
    REMOVE_ONE_SUPPLY: partial(_one_removed, says_supply=True),
    topic("RampA(uint256,uint256,uint256,uint256)"): _ramped,
    topic("StopRampA(uint256,uint256)"): _stopped,
    topic("NewFee(uint256,uint256)"): partial(_repriced, fields=("fee", "admin_fee")),
    topic("NewFee(uint256,uint256,uint256)"): partial(
        _repriced, fields=("fee", "admin_fee", "offpeg_fee_multiplier")
    ),
    topic("ApplyNewFee(uint256)"): partial(_repriced, fields=("fee",)),
    topic("NewParameters(uint256,uint256,uint256)"): partial(
        _repriced, fields=("future_a", "fee", "admin_fee")
    ),
}
for _n in COINS:
    _amounts = f"address,uint256[{_n}],uint256[{_n}],uint256"
    _HANDLERS[topic(f"AddLiquidity({_amounts},uint256)")] = partial(
        _moved, coins=_n, sign=1, invariant=True
    )
    _HANDLERS[topic(f"RemoveLiquidity({_amounts})")] = partial(
        _moved, coins=_n, sign=-1, invariant=False
    )
    _HANDLERS[topic(f"RemoveLiquidityImbalance({_amounts},uint256)")] = partial(
        _moved, coins=_n, sign=-1, invariant=True
    )

TOPICS: Final = frozenset(_HANDLERS)
"""The events that change a plain pool."""
PRICED: Final = REPLAYED | {
    topic(f"{name}(address,uint256[2],uint256[2],uint256,uint256)")
    for name in ("AddLiquidity", "RemoveLiquidityImbalance")
}
"""The events of a metapool's calls that ask for its base pool's virtual price."""
