"""Pools of the Balancer V2 vault: their balances, from reads and events, whatever their curve.

Sources: IVault.sol, PoolBalances.sol, AssetManagers.sol, BasePool.sol, TemporarilyPausable.sol of
balancer-v2-monorepo. A pool's state is that of two contracts, the vault's and its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Hash32, Uint256
from searcher.kernels.reference.balancer_fixed_point import ONE
from searcher.kernels.reference.balancer_vault import V2_MAX_BALANCE, V2Side
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.u256 import Words
from searcher.market.announcing import pool_address
from searcher.market.balancer import (
    DECIMALS,
    BalancerPools,
    answer_array,
    answer_words,
    check_decimals,
    check_lengths,
    check_share,
    check_tokens,
)
from searcher.market.contract_values import answered_words
from searcher.market.decoding import (
    MalformedLog,
    address_of,
    log_array,
    log_words,
    signed,
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

POOL_CREATED: Final = "0x83a48fbcfc991335314e74d0496aab6a1987e992ddc85dddbcc4d6dd6ef2e9fc"
"""PoolCreated(address indexed pool), of BasePoolFactory: who registers a pool at the vault may be
anybody, and the vault does not say who it was."""
SWAP: Final = "0x2170c741c41531aec20e7c107c24eecfdd15e69c9bb0a8dd37b1840b9e0b207b"
POOL_BALANCE_CHANGED: Final = "0xe5ce249087ce04f05a957192435400fd97868dba0e6a4b4c049abf8af80dae78"
POOL_BALANCE_MANAGED: Final = "0x6edcaf6241105b4c94c2efdbf3a6b12458eb3d07be3a0e81d24b13c44045fe7a"
SWAP_FEE_CHANGED: Final = "0xa9ba3ffe0b6c366b81232caab38605a0699ad5398d6cce76f91ee809e322dafc"
PAUSED_CHANGED: Final = "0x9e3a5e37224532dea67b89face185703738a228a6e8a23dee546960180d3be64"
_VAULT_EVENTS: Final = frozenset({SWAP, POOL_BALANCE_CHANGED, POOL_BALANCE_MANAGED})

GET_POOL_ID: Final = "0x38fff2d0"
GET_TOKENS: Final = "0xf94d4668"
GET_HELD: Final = "0xb05f8e48"
"""getPoolTokenInfo(bytes32,address)"""
GET_PAUSED_STATE: Final = "0x1c0de051"
GET_SWAP_FEE_PERCENTAGE: Final = "0x55c67628"
GET_SCALING_FACTORS: Final = "0x1dd746ea"


class BalancerV2Identity(Struct, frozen=True):
    """A pool's id, whose first 20 bytes are its address, and the vault that holds it."""

    pool_id: Hash32
    vault: Address

    @property
    def pool(self) -> Address:
        """The pool's own contract."""
        return Address(self.pool_id[:42])


class BalancerV2State(Struct, frozen=True, kw_only=True):
    """What the states of all pools of the V2 vault have; each protocol's says what it means."""

    tokens: tuple[Address, ...]
    balances: tuple[Uint256, ...]
    swap_fee_percentage: Uint256
    decimals: tuple[int, ...] = ()
    scaling_factors: tuple[Uint256, ...] = ()
    managed: tuple[Uint256, ...] = ()
    paused: bool = False
    vault_paused: bool = False
    pool_id: Hash32 | None = None
    vault: Address | None = None

    def __post_init__(self) -> None:
        """Check what a pool of the vault can be."""
        count = len(self.tokens)
        check_tokens(self.tokens)
        for name in ("balances", "managed", "decimals", "scaling_factors"):
            check_lengths(count, **{name: getattr(self, name)})
        if not self.balances:
            raise ValueError(f"balances: expected {count} entries, one a token, found none")
        for place, balance in enumerate(self.balances):
            if balance > V2_MAX_BALANCE:
                raise ValueError(f"balances[{place}]: expected a uint112")
        for place, managed in enumerate(self.managed):
            if managed > self.balances[place]:
                raise ValueError(f"managed[{place}]: expected at most the balance it is part of")
        if bool(self.decimals) == bool(self.scaling_factors):
            raise ValueError("decimals: expected them or scaling_factors, and not both")
        check_decimals(self.decimals)
        for place, factor in enumerate(self.scaling_factors):
            if not 0 < factor < 2**140:
                raise ValueError(f"scaling_factors[{place}]: expected a factor with 18 decimals")
        check_share("swap_fee_percentage", self.swap_fee_percentage)


S = TypeVar("S", bound=BalancerV2State)


class Held(NamedTuple):
    """What the vault and the pool's base contract say of a pool, by the names of a state."""

    tokens: tuple[Address, ...]
    balances: tuple[int, ...]
    managed: tuple[int, ...]
    decimals: tuple[int, ...]
    swap_fee_percentage: int
    paused: bool
    vault_paused: bool
    pool_id: Hash32
    vault: Address


def sides(state: BalancerV2State, rates: Sequence[int] = ()) -> list[V2Side]:
    """Return a pool's tokens as its curve sees them; `rates` multiply factors out of decimals."""
    factors = list(state.scaling_factors or (10 ** (36 - d) for d in state.decimals))
    if rates:
        factors = [factor * rate // ONE for factor, rate in zip(factors, rates, strict=True)]
    managed = state.managed or (0,) * len(state.tokens)
    return [V2Side(*side) for side in zip(state.balances, factors, managed, strict=True)]


class BalancerV2(BalancerPools[S]):
    """What all pools of the V2 vault do alike; a plug-in adds its curve."""

    Identity = BalancerV2Identity
    created_topics = frozenset({POOL_CREATED})

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self._pools = Memo(self._pool_at)

    @abstractmethod
    def pool(
        self, state: S, block: QuoteBlock, pair: tuple[int, int]
    ) -> tuple[Words, tuple[int, int]]:
        """Return the pool as the curve's kernels see it, and there the places of a pair.

        The state is as it holds in the block.

        Raises:
            SwapRefused: its curve does not swap that pair.
        """

    @abstractmethod
    def apply_own(self, state: S, log: Log) -> S:
        """Return the state after an event that only pools of this curve have.

        Raises:
            MalformedLog: there is no such event, or it has another shape.
        """

    # ---- how pools are found and told apart

    def announcers(self, dex: DexSettings) -> tuple[Address, ...]:
        """Return the pool factories."""
        return tuple(map(Address, dex.factories))

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  only the factories of a DEX announce
        """Decode PoolCreated: the pool, whose id only reads tell."""
        words(log, topics=2, data=0)
        return Announcement("", pool_address(topic_word(log, 1)))

    def completed(self, dex: DexSettings, announcement: Announcement) -> Reads[Announcement]:
        """Read a pool's id, and the tokens that the vault knows under it."""
        pool, vault = announcement.address, Address(dex.vault or "")
        (answer,) = yield [ReadCall(pool, GET_POOL_ID)]
        (word,) = answered_words(answer, 1, "getPoolId()")
        pool_id = Hash32(f"0x{word:064x}")
        if pool_id[:42] != pool:
            raise UnreadablePool(f"getPoolId() answered {pool_id}, which is not of {pool}")
        (answer,) = yield [ReadCall(vault, GET_TOKENS + pool_id[2:])]
        tokens = tuple(_token(word) for word in answer_array(answer, "getPoolTokens"))
        return Announcement(f"{vault}/{pool_id}", vault, tokens)

    def identity(self, pool: Known) -> BalancerV2Identity:
        """Return the vault and the pool's id, which the id of a followed pool has both."""
        vault, _, pool_id = pool.id.partition("/")
        return BalancerV2Identity(Hash32(pool_id), Address(vault))

    def pool_key(self, log: Log) -> str:
        """Return vault and id for the vault's events about a pool, else who emitted it."""
        about = log.topics[0] in _VAULT_EVENTS and len(log.topics) > 1
        return f"{log.address}/{log.topics[1]}" if about else log.address

    def watched(self, state: S) -> tuple[Address, ...]:
        """Return the pool's own contract (fee, curve, pause) and the vault (its pause)."""
        own = () if state.pool_id is None else (Address(state.pool_id[:42]),)
        return own if state.vault is None else (*own, state.vault)

    def tokens_of(self, state: S) -> tuple[Address, ...]:
        """Return the tokens that the vault holds for the pool."""
        return state.tokens

    def holdings(self, state: S) -> tuple[tuple[Address, float], ...]:
        """Return what the vault holds for the pool, but its own token."""
        return tuple(
            (token, float(held))
            for token, held in zip(state.tokens, state.balances, strict=True)
            if state.pool_id is None or token != state.pool_id[:42]
        )

    def funded(self, state: S) -> bool:
        """Return whether every token is there."""
        return all(state.balances)

    # ---- quotes

    def ready(
        self, state: Any, block: QuoteBlock, token_in: Address, token_out: Address
    ) -> tuple[Words, tuple[int, int]]:
        """Refuse what the vault does not swap; the rest is prepared once for a state in a block."""
        pair = places(state.tokens, token_in, token_out)
        if state.paused or state.vault_paused:
            raise SwapRefused(Status.PAUSED, "the pool or the vault is paused")
        return self._pools(state, block, pair)

    def _pool_at(
        self, state: Any, block: QuoteBlock, pair: tuple[int, int]
    ) -> tuple[Words, tuple[int, int]]:
        return self.pool(self.at(state, block), block, pair)

    # ---- events

    def apply(self, state: S, log: Log) -> S:
        """Apply an event of the vault about the pool, or one of the pool's own."""
        kind = log.topics[0]
        if kind in _VAULT_EVENTS:
            _check_about(state, log)
            if kind == SWAP:
                return _swapped(state, log)
            return _joined(state, log) if kind == POOL_BALANCE_CHANGED else _managed(state, log)
        if kind == PAUSED_CHANGED:
            (paused,) = words(log, topics=1, data=1)
            # Without the vault's address the event is taken for the pool's own.
            name = "vault_paused" if log.address == state.vault else "paused"
            return replace(state, **{name: bool(paused)})
        _check_own(state, log)
        if kind == SWAP_FEE_CHANGED:
            (fee,) = words(log, topics=1, data=1)
            return _replaced(state, swap_fee_percentage=fee)
        return self.apply_own(state, log)


def _replaced(state: S, **values: Any) -> S:
    try:
        return replace(state, **values)
    except ValueError as error:
        raise MalformedLog(f"an event that leads to an impossible state: {error}") from error


def _check_about(state: BalancerV2State, log: Log) -> None:
    if state.vault is not None and log.address != state.vault:
        raise MalformedLog(f"an event of {log.address}, not of the pool's vault")
    if len(log.topics) < 2 or (state.pool_id is not None and log.topics[1] != state.pool_id):
        raise MalformedLog("an event about another pool")


def _check_own(state: BalancerV2State, log: Log) -> None:
    if state.pool_id is not None and log.address != state.pool_id[:42]:
        raise MalformedLog(f"an event of {log.address}, not of the pool")


def _swapped(state: S, log: Log) -> S:
    """Apply Swap(bytes32 indexed, address indexed, address indexed, uint256, uint256)."""
    amount_in, amount_out = words(log, topics=4, data=2)
    balances = list(state.balances)
    balances[_place(state, topic_word(log, 2))] += amount_in
    balances[_place(state, topic_word(log, 3))] -= amount_out
    return _with_balances(state, balances)


def _joined(state: S, log: Log) -> S:
    """Apply PoolBalanceChanged(bytes32 indexed, address indexed, address[], int256[], uint256[]).

    Its deltas are what the provider paid or got; the protocol's fees leave the balances beside.
    """
    data = log_words(log, topics=3)
    tokens, deltas, fees = (log_array(data, place) for place in range(3))
    if not len(tokens) == len(deltas) == len(fees):
        raise MalformedLog("arrays of different lengths")
    balances = list(state.balances)
    for token, delta, fee in zip(tokens, deltas, fees, strict=True):
        balances[_place(state, token)] += signed(delta, 256) - fee
    return _with_balances(state, balances)


def _managed(state: S, log: Log) -> S:
    """Apply PoolBalanceManaged(bytes32 and two addresses indexed, int256, int256)."""
    cash, managed = (signed(word, 256) for word in words(log, topics=4, data=2))
    place = _place(state, topic_word(log, 3))
    balances = list(state.balances)
    held = list(state.managed or (0,) * len(balances))
    balances[place] += cash + managed
    held[place] += managed
    if min(held) < 0:
        raise MalformedLog("more given back than asset managers held")
    return _with_balances(state, balances, managed=tuple(held))


def _with_balances(state: S, balances: Sequence[int], **more: Any) -> S:
    if min(balances) < 0:
        raise MalformedLog("more taken than the pool held")
    return _replaced(state, balances=tuple(balances), **more)


def _place(state: BalancerV2State, word: int) -> int:
    token = address_of(word)
    if token not in state.tokens:
        raise MalformedLog(f"a token that the pool does not hold: {token}")
    return state.tokens.index(token)


# ---- reads


def read_held(
    identity: BalancerV2Identity, more: Sequence[str]
) -> Generator[Sequence[ReadCall], Sequence[Answer], tuple[Held, Sequence[Answer]]]:
    """Read what all V2 pools have, and the pool's own views `more`; returns it and their answers.

    Raises:
        UnreadablePool: the answers are not those of a V2 pool.
    """
    about, pool, vault = identity.pool_id[2:], identity.pool, identity.vault
    answers = yield [
        ReadCall(vault, GET_TOKENS + about),
        ReadCall(pool, GET_SWAP_FEE_PERCENTAGE),
        ReadCall(pool, GET_PAUSED_STATE),
        ReadCall(vault, GET_PAUSED_STATE),
        *(ReadCall(pool, data) for data in more),
    ]
    found = answer_array(answers[0], "getPoolTokens")
    balances = answer_array(answers[0], "getPoolTokens", place=1, count=len(found))
    (fee,) = answer_words(answers[1], "getSwapFeePercentage")[:1]
    paused, vault_paused = (
        bool(answer_words(answer, "getPausedState", 3)[0]) for answer in answers[2:4]
    )
    tokens = tuple(_token(word) for word in found)
    parts = yield [
        call
        for token in tokens
        for call in (
            ReadCall(vault, f"{GET_HELD}{about}{token[2:]:0>64}"),
            ReadCall(token, DECIMALS),
        )
    ]
    managed = tuple(answer_words(a, "getPoolTokenInfo", 4)[1] for a in parts[::2])
    decimals = tuple(answer_words(a, "decimals")[0] for a in parts[1::2])
    held = Held(
        tokens, balances, managed, decimals, fee, paused, vault_paused, identity.pool_id, vault
    )
    return held, answers[4:]


def built(kind: type[S], held: Held, **more: Any) -> S:
    """Return the state that answers make.

    Raises:
        UnreadablePool: they contradict each other.
    """
    try:
        return kind(**held._asdict(), **more)
    except ValueError as error:
        raise UnreadablePool(str(error)) from error


def _token(word: int) -> Address:
    if word >> 160:
        raise UnreadablePool("getPoolTokens: a word that is not an address")
    return Address(f"0x{word:040x}")
