"""Pools of the Balancer V3 vault: their balances, from reads and events, whatever their curve.

Sources: Vault.sol, VaultExtension.sol, PoolDataLib.sol and IVaultEvents.sol of
balancer-v3-monorepo. The vault keeps raw balances, in smallest units; curves see live ones, with
18 decimals and rates applied, which move without events. Where a token pays yield fees, the vault
takes them at the next touch of the pool, out of the raw balances and without an event of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256
from searcher.kernels.reference.balancer_fixed_point import ONE, mul_down
from searcher.kernels.reference.balancer_vault import (
    V3_MAX_BALANCE,
    V3Side,
    V3Terms,
    v3_live,
    v3_yield_fee,
)
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.u256 import Words
from searcher.market.announcing import pool_address, tokens_of_words
from searcher.market.balancer import (
    BalancerPools,
    answer_array,
    answer_words,
    check_decimals,
    check_lengths,
    check_share,
    check_tokens,
)
from searcher.market.decoding import (
    MalformedLog,
    address_of,
    log_array,
    log_words,
    topic_word,
    words,
)
from searcher.market.memo import Memo
from searcher.market.protocol import (
    Announcement,
    Answer,
    Known,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.tokens import places

POOL_REGISTERED: Final = "0xbc1561eeab9f40962e2fb827a7ff9c7cdb47a9d7c84caeefa4ed90e043842dad"
"""PoolRegistered(address indexed pool, address indexed factory, (token, type, rate provider, pays
yield fees)[], fee, pause window's end, 3 words of roles, 11 of hooks, 4 of liquidity rules)"""
_TOKEN_WORDS: Final = 4
_MOST_TOKENS: Final = 8
SWAP: Final = "0x0874b2d545cb271cdbda4e093020c452328b24af12382ed62c4d00f5c26709db"
LIQUIDITY_ADDED: Final = "0xa26a52d8d53702bba7f137907b8e1f99ff87f6d450144270ca25e72481cca871"
LIQUIDITY_REMOVED: Final = "0xfbe5b0d79fb94f1e81c0a92bf86ae9d3a19e9d1bf6202c0d3e75120f65d5d8a5"
SWAP_FEE_CHANGED: Final = "0x89d41522342fabac1471ca6073a5623e5caf367b03ca6e9a001478d0cf8be4a1"
AGGREGATE_SWAP_FEE: Final = "0xe4d371097beea42453a37406e2aef4c04f3c548f84ac50e72578662c0dcd7354"
AGGREGATE_YIELD_FEE: Final = "0x606eb97d83164bd6b200d638cd49c14c65d94d4f2c674cfd85e24e0e202c3ca5"
POOL_PAUSED: Final = "0x57e20448028297190122571be7cb6c1b1ef85730c673f7c72f533c8662419aa7"
POOL_RECOVERY: Final = "0xc2354cc2f78ea57777e55ddd43a7f22b112ce98868596880edaeb22b4f9c73a9"
VAULT_PAUSED: Final = "0xe0629fe656e45ad7fd63a24b899da368690024c07043b88e57aee5095b1d3d02"
VAULT_EVENTS: Final = frozenset(
    {
        SWAP,
        LIQUIDITY_ADDED,
        LIQUIDITY_REMOVED,
        SWAP_FEE_CHANGED,
        AGGREGATE_SWAP_FEE,
        AGGREGATE_YIELD_FEE,
        POOL_PAUSED,
        POOL_RECOVERY,
        VAULT_PAUSED,
    }
)
"""The vault's events that change a pool of any curve."""
_VALUES: Final = {
    SWAP_FEE_CHANGED: "static_swap_fee_percentage",
    AGGREGATE_SWAP_FEE: "aggregate_swap_fee_percentage",
    AGGREGATE_YIELD_FEE: "aggregate_yield_fee_percentage",
}
_FEE_STEP: Final = 10**11
_FLAGS: Final = {POOL_PAUSED: "is_pool_paused", POOL_RECOVERY: "is_pool_in_recovery_mode"}

GET_HELD: Final = "0x67e0e076"
"""getPoolTokenInfo(address)"""
GET_RATES: Final = "0x7e361bde"
"""getPoolTokenRates(address)"""
GET_POOL_CONFIG: Final = "0xf29486a1"
GET_HOOKS_CONFIG: Final = "0xce8630d4"
IS_VAULT_PAUSED: Final = "0x098401f5"
GET_MINIMUM_TRADE_AMOUNT: Final = "0xe2cb0ba0"

VOLATILE: Final = frozenset({"token_rates", "balances_raw", "last_balances_live_scaled18"})
"""What moves without events: rates, and by them the yield fees that leave the raw balances."""


class BalancerV3Identity(Struct, frozen=True):
    """A pool's contract and the vault that holds its tokens."""

    pool: Address
    vault: Address


class BalancerV3State(Struct, frozen=True, kw_only=True):
    """What the states of all pools of the V3 vault have; each protocol's says what it means."""

    tokens: tuple[Address, ...]
    balances_raw: tuple[Uint256, ...]
    static_swap_fee_percentage: Uint256
    decimals: tuple[int, ...] = ()
    decimal_scaling_factors: tuple[Uint256, ...] = ()
    token_rates: tuple[Uint256, ...] = ()
    aggregate_swap_fee_percentage: Uint256 = 0
    aggregate_yield_fee_percentage: Uint256 = 0
    pays_yield_fees: tuple[bool, ...] = ()
    last_balances_live_scaled18: tuple[Uint256, ...] = ()
    minimum_trade_amount: Uint256 = 1_000_000
    is_pool_initialized: bool = True
    is_pool_paused: bool = False
    is_vault_paused: bool = False
    is_pool_in_recovery_mode: bool = False
    should_call_before_swap: bool = False
    should_call_after_swap: bool = False
    should_call_compute_dynamic_swap_fee: bool = False
    pool: Address | None = None
    vault: Address | None = None

    def __post_init__(self) -> None:
        """Check what a pool of the vault can be."""
        count = len(self.tokens)
        check_tokens(self.tokens)
        for name in (
            "balances_raw",
            "decimals",
            "decimal_scaling_factors",
            "token_rates",
            "pays_yield_fees",
            "last_balances_live_scaled18",
        ):
            check_lengths(count, **{name: getattr(self, name)})
        if not self.balances_raw:
            raise ValueError(f"balances_raw: expected {count} entries, one a token, found none")
        for place, balance in enumerate(self.balances_raw):
            if balance > V3_MAX_BALANCE:
                raise ValueError(f"balances_raw[{place}]: expected a uint128")
        if bool(self.decimals) == bool(self.decimal_scaling_factors):
            raise ValueError("decimals: expected them or decimal_scaling_factors, and not both")
        check_decimals(self.decimals)
        for place, factor in enumerate(self.decimal_scaling_factors):
            if not 0 < factor <= ONE:
                raise ValueError(
                    f"decimal_scaling_factors[{place}]: expected a whole factor, 1 to {ONE}"
                )
        if 0 in self.token_rates:
            raise ValueError("token_rates: expected no rate of 0")
        self._check_fees()

    def _check_fees(self) -> None:
        check_share("static_swap_fee_percentage", self.static_swap_fee_percentage)
        for name in ("aggregate_swap_fee_percentage", "aggregate_yield_fee_percentage"):
            if getattr(self, name) > ONE:
                raise ValueError(f"{name}: expected a share with 18 decimals, at most {ONE}")
        if any(self.pays_yield_fees) and not self.last_balances_live_scaled18:
            raise ValueError("last_balances_live_scaled18: missing: a token pays yield fees")


S = TypeVar("S", bound=BalancerV3State)


class BalancerV3(BalancerPools[S]):
    """What all pools of the V3 vault do alike; a plug-in adds its curve."""

    Identity = BalancerV3Identity
    created_topics = frozenset({POOL_REGISTERED})

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self._words = Memo(self._words_at)

    @abstractmethod
    def words(self, state: S, block: QuoteBlock, sides: list[V3Side], terms: V3Terms) -> Words:
        """Return the pool as the curve's kernels see it; the state is as it holds in the block."""

    @abstractmethod
    def apply_own(self, state: S, log: Log) -> S:
        """Return the state after an event of the pool's own contract.

        Raises:
            MalformedLog: there is no such event, or it has another shape.
        """

    # ---- how pools are found and told apart

    def announcers(self, dex: DexSettings) -> tuple[Address, ...]:
        """Return the vault: it says which factory registers a pool."""
        return (Address(dex.vault),) if dex.vault else ()

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement | None:  # noqa: ARG002  the factory decides
        """Decode PoolRegistered; a pool of another factory is not of this DEX."""
        data = log_words(log, topics=3)
        if address_of(topic_word(log, 2)) not in dex.factories:
            return None
        begin = data[0] // 32 if data else 0
        count = data[begin] if begin < len(data) else 0
        end = begin + 1 + _TOKEN_WORDS * count
        if data[0] % 32 or not 2 <= count <= _MOST_TOKENS or end > len(data):
            raise MalformedLog("no list of two to eight tokens")
        pool_address(topic_word(log, 1))  # refuses what is none
        tokens = tokens_of_words(*data[begin + 1 : end : _TOKEN_WORDS])
        return Announcement(f"{log.address}/{log.topics[1]}", log.address, tokens)

    def identity(self, pool: Known) -> BalancerV3Identity:
        """Return pool and vault, which the id of a followed pool has both."""
        vault, _, padded = pool.id.partition("/")
        return BalancerV3Identity(Address("0x" + padded[-40:]), Address(vault))

    def pool_key(self, log: Log) -> str:
        """Return vault and padded pool for the vault's events about a pool, else who emitted it."""
        about = log.topics[0] in VAULT_EVENTS and len(log.topics) > 1
        return f"{log.address}/{log.topics[1]}" if about else log.address

    def watched(self, state: S) -> tuple[Address, ...]:
        """Return the pool's own contract (its curve) and the vault (its pause)."""
        return tuple(a for a in (state.pool, state.vault) if a is not None)

    def tokens_of(self, state: S) -> tuple[Address, ...]:
        """Return the tokens that the vault holds for the pool."""
        return state.tokens

    def holdings(self, state: S) -> tuple[tuple[Address, float], ...]:
        """Return what the vault holds for the pool."""
        return tuple(zip(state.tokens, map(float, state.balances_raw), strict=True))

    def funded(self, state: S) -> bool:
        """Return whether every token is there."""
        return state.is_pool_initialized and all(state.balances_raw)

    # ---- quotes

    def ready(
        self, state: S, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> tuple[Words, tuple[int, int]]:
        """Refuse what the vault does not swap; the rest is prepared once for a state in a block."""
        pair = places(state.tokens, token_in, token_out)
        if not state.is_pool_initialized:
            raise SwapRefused(Status.EMPTY_POOL, "the pool has had no first liquidity")
        if state.is_pool_paused or state.is_vault_paused:
            raise SwapRefused(Status.PAUSED, "the pool or the vault is paused")
        if (
            state.should_call_before_swap
            or state.should_call_after_swap
            or state.should_call_compute_dynamic_swap_fee
        ):
            raise SwapRefused(Status.UNMODELLED, "a hook takes part in the pool's swaps")
        return self._words(state, block), pair

    def _words_at(self, state: S, block: QuoteBlock) -> Words:
        state = self.at(state, block)
        terms = V3Terms(
            state.static_swap_fee_percentage,
            0 if state.is_pool_in_recovery_mode else state.aggregate_swap_fee_percentage,
            state.minimum_trade_amount,
        )
        return self.words(state, block, touched(state), terms)

    # ---- events

    def apply(self, state: S, log: Log) -> S:
        """Apply an event of the vault about the pool, or one of the pool's own."""
        kind = log.topics[0]
        if kind not in VAULT_EVENTS:
            if state.pool is not None and log.address != state.pool:
                raise MalformedLog(f"an event of {log.address}, not of the pool")
            return self.apply_own(state, log)
        if state.vault is not None and log.address != state.vault:
            raise MalformedLog(f"an event of {log.address}, not of the pool's vault")
        if kind == VAULT_PAUSED:
            (paused,) = words(log, topics=1, data=1)
            return replace(state, is_vault_paused=bool(paused))
        if state.pool is not None and address_of(topic_word(log, 1)) != state.pool:
            raise MalformedLog("an event about another pool")
        if kind in _VALUES or kind in _FLAGS:
            (value,) = words(log, topics=2, data=1)
            if kind in _FLAGS:
                return replace(state, **{_FLAGS[kind]: bool(value)})
            # The event says what was asked for, the vault keeps 24 bits of it.
            return _replaced(state, **{_VALUES[kind]: value - value % _FEE_STEP})
        if kind == SWAP:
            return _swapped(state, log)
        return _resized(state, log, 1 if kind == LIQUIDITY_ADDED else -1)

    # ---- reads

    def refresh(self, state: S) -> Reads[dict[str, Any]]:
        """Read the rates and the balances again."""
        if state.pool is None or state.vault is None:
            raise UnreadablePool("a state without its pool and vault cannot be read again")
        held, rates = yield _calls(BalancerV3Identity(state.pool, state.vault))
        count = len(state.tokens)
        return {
            "balances_raw": answer_array(held, "getPoolTokenInfo", place=2, count=count),
            "last_balances_live_scaled18": answer_array(
                held, "getPoolTokenInfo", place=3, count=count
            ),
            "token_rates": answer_array(rates, "getPoolTokenRates", place=1, count=count),
        }


def scaling_factors(state: BalancerV3State) -> tuple[int, ...]:
    """Return the whole factors that bring amounts to 18 decimals."""
    return state.decimal_scaling_factors or tuple(10 ** (18 - d) for d in state.decimals)


def touched(state: BalancerV3State) -> list[V3Side]:
    """Return a pool's tokens as the vault loads them before a swap: yield fees taken."""
    count = len(state.tokens)
    raw = state.balances_raw
    rates = state.token_rates or (ONE,) * count
    last = state.last_balances_live_scaled18 or (0,) * count
    pays: Sequence[bool] = state.pays_yield_fees or (False,) * count
    share = 0 if state.is_pool_in_recovery_mode else state.aggregate_yield_fee_percentage
    sides = []
    for place, scaling in enumerate(scaling_factors(state)):
        side = _side(raw[place], scaling, rates[place])
        if pays[place] and share:
            fee = v3_yield_fee(side, last[place], share)
            side = _side(side.raw - fee, scaling, side.rate)
        sides.append(side)
    return sides


def _side(raw: int, scaling: int, rate: int) -> V3Side:
    return V3Side(raw, v3_live(raw, scaling, rate), scaling, rate)


# ---- events


def _replaced(state: S, **values: Any) -> S:
    try:
        return replace(state, **values)
    except ValueError as error:
        raise MalformedLog(f"an event that leads to an impossible state: {error}") from error


def _swapped(state: S, log: Log) -> S:
    """Apply Swap: three addresses indexed, amounts in and out, fee share and fee (of token in)."""
    amount_in, amount_out, _, fee = words(log, topics=4, data=4)
    balances = _synchronised(state)
    balances[_place(state, topic_word(log, 2))] += amount_in - _kept(state, fee)
    balances[_place(state, topic_word(log, 3))] -= amount_out
    return _stored(state, balances)


def _resized(state: S, log: Log, sign: int) -> S:
    """Apply LiquidityAdded or LiquidityRemoved: raw amounts and fees of each token."""
    data = log_words(log, topics=4)
    amounts, fees = (log_array(data, place) for place in (1, 2))
    if not len(amounts) == len(fees) == len(state.tokens):
        raise MalformedLog("arrays of another length than the pool's tokens")
    balances = [
        held + sign * amount - _kept(state, fee)
        for held, amount, fee in zip(_synchronised(state), amounts, fees, strict=True)
    ]
    return _stored(state, balances)


def _synchronised(state: BalancerV3State) -> list[int]:
    """Return the raw balances after the yield fees that every touch takes first.

    At the rates that the state knows: with others the balances are volatile.
    """
    return [side.raw for side in touched(state)]


def _kept(state: BalancerV3State, fee: int) -> int:
    """Return the part of a swap fee that leaves the balances."""
    if state.is_pool_in_recovery_mode:
        return 0
    return mul_down(fee, state.aggregate_swap_fee_percentage)


def _stored(state: S, balances: Sequence[int]) -> S:
    if min(balances) < 0:
        raise MalformedLog("more taken than the pool held")
    values: dict[str, Any] = {"balances_raw": tuple(balances)}
    if state.last_balances_live_scaled18:
        rates = state.token_rates or (ONE,) * len(balances)
        values["last_balances_live_scaled18"] = tuple(
            v3_live(*each) for each in zip(balances, scaling_factors(state), rates, strict=True)
        )
    return _replaced(state, **values)


def _place(state: BalancerV3State, word: int) -> int:
    token = address_of(word)
    if token not in state.tokens:
        raise MalformedLog(f"a token that the pool does not hold: {token}")
    return state.tokens.index(token)


# ---- reads


class Held(NamedTuple):
    """What the vault says of a pool, by the names of a state."""

    tokens: tuple[Address, ...]
    balances_raw: tuple[int, ...]
    static_swap_fee_percentage: int
    decimal_scaling_factors: tuple[int, ...]
    token_rates: tuple[int, ...]
    aggregate_swap_fee_percentage: int
    aggregate_yield_fee_percentage: int
    pays_yield_fees: tuple[bool, ...]
    last_balances_live_scaled18: tuple[int, ...]
    minimum_trade_amount: int
    is_pool_initialized: bool
    is_pool_paused: bool
    is_vault_paused: bool
    is_pool_in_recovery_mode: bool
    should_call_before_swap: bool
    should_call_after_swap: bool
    should_call_compute_dynamic_swap_fee: bool
    pool: Address
    vault: Address


def read_held(
    identity: BalancerV3Identity, more: Sequence[str]
) -> Generator[Sequence[ReadCall], Sequence[Answer], tuple[Held, Sequence[Answer]]]:
    """Read what all V3 pools have, and the pool's own views `more`; returns it and their answers.

    Raises:
        UnreadablePool: the answers are not those of a V3 pool.
    """
    pool, vault = identity.pool, identity.vault
    about = f"{pool[2:]:0>64}"
    answers = yield [
        *_calls(identity),
        ReadCall(vault, GET_POOL_CONFIG + about),
        ReadCall(vault, GET_HOOKS_CONFIG + about),
        ReadCall(vault, IS_VAULT_PAUSED),
        ReadCall(vault, GET_MINIMUM_TRADE_AMOUNT),
        *(ReadCall(pool, data) for data in more),
    ]
    held, rates, config_answer, hooks_answer, vault_paused, minimum = answers[:6]
    tokens = answer_array(held, "getPoolTokenInfo")
    count = len(tokens)
    raw = answer_array(held, "getPoolTokenInfo", place=2, count=count)
    last = answer_array(held, "getPoolTokenInfo", place=3, count=count)
    # Four flags of liquidity, three fees, decimals, the pause window, four flags.
    config = answer_words(config_answer, "getPoolConfig", 13)
    hooks = answer_words(hooks_answer, "getHooksConfig", 11)
    state = Held(
        tokens=tuple(_token(word) for word in tokens),
        balances_raw=raw,
        static_swap_fee_percentage=config[4],
        decimal_scaling_factors=answer_array(rates, "getPoolTokenRates", count=count),
        token_rates=answer_array(rates, "getPoolTokenRates", place=1, count=count),
        aggregate_swap_fee_percentage=config[5],
        aggregate_yield_fee_percentage=config[6],
        pays_yield_fees=_paying(held, count),
        last_balances_live_scaled18=last,
        minimum_trade_amount=answer_words(minimum, "getMinimumTradeAmount")[0],
        is_pool_initialized=bool(config[10]),
        is_pool_paused=bool(config[11]),
        is_vault_paused=bool(answer_words(vault_paused, "isVaultPaused")[0]),
        is_pool_in_recovery_mode=bool(config[12]),
        should_call_before_swap=bool(hooks[4]),
        should_call_after_swap=bool(hooks[5]),
        should_call_compute_dynamic_swap_fee=bool(hooks[3]),
        pool=pool,
        vault=vault,
    )
    return state, answers[6:]


def built(kind: type[S], held: Held, **more: Any) -> S:
    """Return the state that answers make.

    Raises:
        UnreadablePool: they contradict each other.
    """
    try:
        return kind(**held._asdict(), **more)
    except ValueError as error:
        raise UnreadablePool(str(error)) from error


def _calls(identity: BalancerV3Identity) -> list[ReadCall]:
    about = f"{identity.pool[2:]:0>64}"
    return [ReadCall(identity.vault, data + about) for data in (GET_HELD, GET_RATES)]


def _paying(held: Answer, count: int) -> tuple[bool, ...]:
    """Return which tokens pay yield fees: the last words of (type, provider, flag) each."""
    found = answer_words(held, "getPoolTokenInfo", 2)
    begin = found[1] // 32
    infos = found[begin + 1 : begin + 1 + 3 * count]
    if found[1] % 32 or begin >= len(found) or found[begin] != count or len(infos) != 3 * count:
        raise UnreadablePool("getPoolTokenInfo: not the token infos that were expected")
    return tuple(bool(flag) for flag in infos[2::3])


def _token(word: int) -> Address:
    if word >> 160:
        raise UnreadablePool("getPoolTokenInfo: a word that is not an address")
    return Address(f"0x{word:040x}")
