"""The views that give the state of Curve's stableswap pools, and what moves without events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from searcher.domain.units import Address, keccak256
from searcher.kernels.reference.curve_stable import PRECISION
from searcher.market.decoding import MalformedLog, address_of
from searcher.market.protocol import Answer, ReadCall, Reads, UnreadablePool
from searcher.market.stableswap import (
    ARITHMETIC,
    COINS,
    Contract,
    CurveStableState,
    RateSource,
    holds_balances,
)

ETHER: Final = Address("0x" + "ee" * 20)
"""What pools call the native coin."""


class StableIdentity(Struct, frozen=True):
    """What must be known to read a plain pool.

    Its `contract` (the source that it was made from), its `lp_token` (None: the pool names it, or
    is its own), where each coin's rate comes from (none: all fixed), and an Aave pool's
    `underlying_coins`.
    """

    address: Address
    contract: Contract = Contract.FACTORY
    lp_token: Address | None = None
    rate_sources: tuple[RateSource, ...] = ()
    underlying_coins: tuple[Address, ...] = ()


def selector(signature: str) -> str:
    """Return a function's selector as 0x hex."""
    return f"0x{keccak256(signature.encode())[:4].hex()}"


def indexed(signature: str, index: int) -> str:
    """Return calldata of a view with one number."""
    return f"{selector(signature)}{index:064x}"


def read_plain(identity: StableIdentity) -> Reads[CurveStableState]:
    """Return the reads that give a plain pool's state.

    Raises:
        UnreadablePool: the answers are not those of such a pool.
    """
    address = identity.address
    # Contracts of the first half of 2020 count coins in int128, later ones in uint256.
    found = yield _each(address, [("coins", kind, k) for kind in _KINDS for k in COINS_ASKED])
    half = len(COINS_ASKED)
    kind = _KINDS[0] if not isinstance(found[0], str) else _KINDS[1]
    listed = found[:half] if kind == _KINDS[0] else found[half:]
    coins = tuple(_address(answer) for answer in _leading(listed))
    if len(coins) not in COINS:
        raise UnreadablePool(f"{address} names {len(coins)} coins")
    views = yield [ReadCall(address, selector(view)) for view in _VIEWS]
    answers = dict(zip(_VIEWS, views, strict=True))
    held = yield [
        *_each(address, [("balances", kind, k) for k in range(len(coins))]),
        *(ReadCall(coin, selector("decimals()")) for coin in coins),
    ]
    decimals = tuple(
        18 if coin == ETHER else word(answer, f"decimals() of {coin}")
        for coin, answer in zip(coins, held[len(coins) :], strict=True)
    )
    token = identity.lp_token or _token(answers)
    supply = yield [ReadCall(token or address, selector("totalSupply()"))]
    rates = yield from read_rates(coins, decimals, identity.rate_sources)
    future = _optional(answers["future_A()"])
    precision = ARITHMETIC[identity.contract].a_precision
    try:
        return CurveStableState(
            address=address,
            coins=coins,
            balances=tuple(word(answer, "balances(i)") for answer in held[: len(coins)]),
            # The oldest pools have no ramp: their A is what the view says.
            future_a=future or word(answers["A()"], "A()") * precision,
            fee=word(answers["fee()"], "fee()"),
            decimals=decimals,
            rates=rates,
            contract=identity.contract,
            initial_a=_optional(answers["initial_A()"]),
            initial_a_time=_optional(answers["initial_A_time()"]),
            future_a_time=_optional(answers["future_A_time()"]),
            admin_fee=word(answers["admin_fee()"], "admin_fee()"),
            offpeg_fee_multiplier=_optional(answers["offpeg_fee_multiplier()"]),
            lp_token=token,
            total_supply=word(supply[0], "totalSupply()"),
            underlying_coins=identity.underlying_coins,
            rate_sources=identity.rate_sources,
        )
    except ValueError as error:
        raise UnreadablePool(str(error)) from error


def read_moved(state: CurveStableState) -> Reads[dict[str, Any]]:
    """Return the reads of what moves in a plain pool without events, by field.

    Balances are read where logs do not give them exactly; then the end of a ramp is noticed as
    well, because A has arrived.
    """
    moved: dict[str, Any] = {}
    address, places = state.address, range(len(state.coins))
    if not state.balances_current or holds_balances(state):
        kind = _KINDS[1] if state.contract in _INT128_COINS else _KINDS[0]
        answers = yield _each(address, [("balances", kind, k) for k in places])
        moved["balances"] = tuple(word(answer, "balances(i)") for answer in answers)
    if state.ramping:
        answers = yield [ReadCall(address, selector("A_precise()"))]
        if answers[0] == (state.future_a,):
            moved["initial_a"] = state.future_a
    if state.moving_rates and RateSource.GIVEN not in state.rate_sources:
        # 1e18 times the multiplier of a coin's decimals is what a fixed rate would be.
        calls = [ReadCall(coin, selector("decimals()")) for coin in state.coins if coin != ETHER]
        answers = yield calls
        known = dict(zip((call.to for call in calls), answers, strict=True))
        decimals = tuple(
            word(known[coin], "decimals()") if coin in known else 18 for coin in state.coins
        )
        moved["rates"] = yield from read_rates(state.coins, decimals, state.rate_sources)
    return moved


def read_rates(
    coins: tuple[Address, ...], decimals: tuple[int, ...], sources: tuple[RateSource, ...]
) -> Reads[tuple[int, ...]]:
    """Return the reads that give rates; none are needed where all are fixed."""
    if any(d > 36 for d in decimals):
        raise UnreadablePool(f"coins of {decimals} decimals")
    fixed = [10 ** (36 - d) for d in decimals]
    if not sources:
        return tuple(fixed)
    if len(sources) != len(coins):
        raise UnreadablePool(f"{len(sources)} sources of rates for {len(coins)} coins")
    asked = [k for k, source in enumerate(sources) if source in _RATE_VIEWS]
    answers = yield [ReadCall(coins[k], selector(_RATE_VIEWS[sources[k]])) for k in asked]
    for k, answer in zip(asked, answers, strict=True):
        price = word(answer, _RATE_VIEWS[sources[k]])
        if sources[k] is RateSource.AETH:
            if price == 0:
                raise UnreadablePool(f"ratio() of {coins[k]} is zero")
            price = PRECISION * PRECISION // price
        fixed[k] = fixed[k] // PRECISION * price
    return tuple(fixed)


def word(answer: Answer, view: str) -> int:
    """Return the one word of an answer.

    Raises:
        UnreadablePool: the view did not answer one word.
    """
    if isinstance(answer, str) or len(answer) != 1:
        raise UnreadablePool(f"{view} answers {answer!r}")
    return answer[0]


_KINDS: Final = ("uint256", "int128")
COINS_ASKED: Final = range(COINS[-1])
_INT128_COINS: Final = frozenset({Contract.REN, Contract.PAX, Contract.COMPOUND})
_VIEWS: Final = (
    "A()",
    "initial_A()",
    "future_A()",
    "initial_A_time()",
    "future_A_time()",
    "fee()",
    "admin_fee()",
    "offpeg_fee_multiplier()",
    "lp_token()",
    "token()",
)
_RATE_VIEWS: Final = {
    RateSource.YEARN: "getPricePerFullShare()",
    RateSource.RETH: "getExchangeRate()",
    RateSource.AETH: "ratio()",
}


def _each(address: Address, views: Sequence[tuple[str, str, int]]) -> list[ReadCall]:
    return [ReadCall(address, indexed(f"{name}({kind})", k)) for name, kind, k in views]


def _leading(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers before the first that is none."""
    end = next((k for k, answer in enumerate(answers) if isinstance(answer, str)), len(answers))
    return list(answers[:end])


def _address(answer: Answer) -> Address:
    try:
        return address_of(word(answer, "coins(i)"))
    except MalformedLog as error:
        raise UnreadablePool(f"coins(i): {error}") from error


def _token(answers: dict[str, Answer]) -> Address | None:
    for view in ("lp_token()", "token()"):
        if not isinstance(answers[view], str):
            return _address(answers[view])
    return None


def _optional(answer: Answer) -> int:
    return 0 if isinstance(answer, str) else word(answer, "a view")
