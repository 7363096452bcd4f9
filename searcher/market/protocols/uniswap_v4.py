"""Uniswap V4: pools of one manager, known by the hash of their key.

Sources: PoolManager, Pool, Hooks, ProtocolFeeLibrary and StateLibrary of v4-core 1.0. Ether itself
is the zero address. The protocol's fee adds to the pool's, so its event changes the price. A pool
whose hooks are told of swaps, or whose fee is dynamic, is somebody else's code: it is not quoted.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Final

from msgspec import Struct

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import FEE_PIPS, ZERO_ADDRESS, Address, Hash32, Uint256, keccak256
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, MIN_TICK
from searcher.kernels.reference.uniswap_v4 import DYNAMIC_FEE, MAX_PROTOCOL_FEE
from searcher.kernels.refusal import Status, SwapRefused
from searcher.kernels.uniswap_v4 import exact_in, exact_out, swap_fee
from searcher.market import concentrated_state as concentrated
from searcher.market.announcing import AnnouncedPools, tokens_of_words
from searcher.market.decoding import (
    MalformedLog,
    address_of,
    signed,
    topic_word,
    unsigned,
    words,
)
from searcher.market.protocol import (
    Announcement,
    Answer,
    NotTaken,
    Pool,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.ticks import Tick, TickBook
from searcher.market.tokens import places

INITIALIZE = "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438"
SWAP = "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f"
MODIFY_LIQUIDITY = "0xf208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec"
PROTOCOL_FEE = "0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9"
EXTSLOAD = "0xdbd035ff"

TOLD_OF_SWAPS: Final = 1 << 7 | 1 << 6 | 1 << 3 | 1 << 2
"""Hooks: beforeSwap, afterSwap, and those two with deltas of their own."""

_POOLS_SLOT: Final = 6
_LIQUIDITY: Final = 3
_TICKS: Final = 4
_BITMAP: Final = 5
_SLOTS_A_CALL: Final = 512


class UniswapV4State(Struct, frozen=True, kw_only=True):
    """A pool.

    `currency0`, `currency1`, `fee`, `tick_spacing` and `hooks` are its key; the zero address is
    ether. `sqrt_price_x96`, `tick` and `protocol_fee` are slot0's (`getSlot0`): of the protocol's
    fee the low 12 bits are for currency 0 in, the next 12 for currency 1 in, both in pips. The fee
    of the liquidity providers is the key's: with a dynamic one no quote is given. Only the ticks
    around the price may be given: a quote that leaves them is refused then.
    """

    currency0: Address
    currency1: Address
    fee: int
    tick_spacing: int
    sqrt_price_x96: Uint256
    tick: int
    liquidity: Uint256
    ticks: tuple[Tick, ...] = ()
    hooks: Address = ZERO_ADDRESS
    protocol_fee: int = 0

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        _check_key(self)
        for fee in (self.protocol_fee & 0xFFF, self.protocol_fee >> 12):
            if not 0 <= fee <= MAX_PROTOCOL_FEE:
                raise ValueError(f"protocol_fee: expected two times 0 to {MAX_PROTOCOL_FEE}")
        concentrated.settle(self, spacing=self.tick_spacing)


class UniswapV4Identity(Struct, frozen=True):
    """The manager, and the pool's key."""

    manager: Address
    currency0: Address
    currency1: Address
    fee: int
    tick_spacing: int
    hooks: Address = ZERO_ADDRESS

    def __post_init__(self) -> None:
        """Check the key."""
        _check_key(self)


class UniswapV4(AnnouncedPools[UniswapV4State]):
    """Pools without hooks that touch swaps, kept from the manager's events."""

    class Config(Settings):
        """Nothing to set."""

    State = UniswapV4State
    Identity = UniswapV4Identity
    created_topics = frozenset({INITIALIZE})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({INITIALIZE: 2})
    usual_gas = 120_000
    topics = frozenset({INITIALIZE, SWAP, MODIFY_LIQUIDITY, PROTOCOL_FEE})

    # ---- how pools are found and told apart

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one manager, one DEX
        """Decode Initialize; the hash of the key it names must be the id.

        Initialize(bytes32 idx, address idx, address idx, uint24, int24, address, uint160, int24).
        """
        fee, spacing, hooks, _, _ = words(log, topics=4, data=5)
        currency0, currency1 = tokens = tokens_of_words(topic_word(log, 2), topic_word(log, 3))
        try:
            key = UniswapV4Identity(
                manager=log.address,
                currency0=currency0,
                currency1=currency1,
                fee=unsigned(fee, 24),
                tick_spacing=signed(spacing, 24),
                hooks=address_of(hooks),
            )
        except ValueError as error:
            raise MalformedLog(f"a key that no pool has: {error}") from error
        if log.topics[1] != pool_id(key):
            raise MalformedLog("an id that is not the hash of its key")
        if int(key.hooks, 16) & TOLD_OF_SWAPS:
            raise NotTaken("hooks are told of its swaps")
        if key.fee == DYNAMIC_FEE:
            raise NotTaken("hooks set its fee")
        return Announcement(
            f"{log.address}/{log.topics[1]}", log.address, tokens, key.fee, key.tick_spacing, key
        )

    def pool_key(self, log: Log) -> str:
        """Return the manager and the pool's id: every event about a pool has it first."""
        return f"{log.address}/{log.topics[1]}" if len(log.topics) > 1 else log.address

    def new(self, pool: Pool) -> UniswapV4State:
        """Return a pool without a price: Initialize, which announces it, is applied to it too."""
        key: UniswapV4Identity = self.identity(pool)
        return UniswapV4State(
            currency0=key.currency0,
            currency1=key.currency1,
            fee=key.fee,
            tick_spacing=key.tick_spacing,
            hooks=key.hooks,
            sqrt_price_x96=0,
            tick=0,
            liquidity=0,
        )

    def tokens_of(self, state: UniswapV4State) -> tuple[Address, ...]:
        """Return the currencies; ether is the zero address."""
        return state.currency0, state.currency1

    def holdings(self, state: UniswapV4State) -> tuple[tuple[Address, float], ...]:
        """Return what lies in all ranges."""
        return concentrated.concentrated_holdings(state, state.currency0, state.currency1)

    def funded(self, state: UniswapV4State) -> bool:
        """Return whether there is a price and liquidity somewhere."""
        return bool(state.sqrt_price_x96 and state.ticks)

    # ---- the state of a pool

    def reads(self, identity: UniswapV4Identity) -> Reads[UniswapV4State]:
        """Read slot0, liquidity, the tick bitmap and each tick from the manager's storage."""
        base = int.from_bytes(
            keccak256(bytes.fromhex(pool_id(identity)[2:]) + _word(_POOLS_SLOT)), "big"
        )
        slots = [base, base + _LIQUIDITY]
        slot0, liquidity = yield from _storage(identity.manager, slots)
        price, protocol_fee = slot0 & (1 << 160) - 1, slot0 >> 184 & 0xFFFFFF
        first = MIN_TICK // identity.tick_spacing >> 8
        last = MAX_TICK // identity.tick_spacing >> 8
        found: list[int] = []
        if price:
            rows = range(first, last + 1)
            bitmaps = yield from _storage(
                identity.manager, [_mapped(row, base + _BITMAP) for row in rows]
            )
            for row, bits in zip(rows, bitmaps, strict=True):
                found += [
                    place * identity.tick_spacing for place in concentrated.set_places(bits, row)
                ]
        held = yield from _storage(
            identity.manager, [_mapped(index, base + _TICKS) for index in found]
        )
        try:
            return UniswapV4State(
                currency0=identity.currency0,
                currency1=identity.currency1,
                fee=identity.fee,
                tick_spacing=identity.tick_spacing,
                hooks=identity.hooks,
                sqrt_price_x96=price,
                tick=_signed(slot0 >> 160, 24),
                liquidity=liquidity,
                ticks=tuple(
                    Tick(index, _signed(word >> 128, 128), word & (1 << 128) - 1)
                    for index, word in zip(found, held, strict=True)
                ),
                protocol_fee=protocol_fee,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def apply(self, state: UniswapV4State, log: Log) -> UniswapV4State:
        """Apply one event of the manager about this pool."""
        if len(log.topics) < 2 or log.topics[1] != pool_id(state):
            raise MalformedLog("an event of another pool")
        topic = log.topics[0]
        if topic == SWAP:
            _, _, price, liquidity, tick, _ = words(log, topics=3, data=6)
            return concentrated.swapped(state, price, liquidity, tick)
        if topic == MODIFY_LIQUIDITY:
            lower, upper, amount, _ = words(log, topics=3, data=4)
            return concentrated.positioned(
                state, signed(lower, 24), signed(upper, 24), signed(amount, 128)
            )
        if topic == PROTOCOL_FEE:
            (fee,) = words(log, topics=2, data=1)
            return concentrated.changed(state, protocol_fee=unsigned(fee, 24))
        if topic == INITIALIZE:
            _, _, _, price, tick = words(log, topics=4, data=5)
            return concentrated.initialised(state, price, tick)
        raise MalformedLog("a topic that is not a pool's")

    def quote_exact_in(
        self,
        state: UniswapV4State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what V4Quoter.quoteExactInputSingle answers."""
        zero_for_one, book = _direction(self.at(state, block), token_in, token_out)
        answer, crossings = book.quote(exact_in, state, amount, zero_for_one=zero_for_one)
        return Quote(answer, answer, crossings)

    def quote_exact_out(
        self,
        state: UniswapV4State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return what V4Quoter.quoteExactOutputSingle answers."""
        zero_for_one, book = _direction(self.at(state, block), token_in, token_out)
        answer, crossings = book.quote(exact_out, state, amount, zero_for_one=zero_for_one)
        return Quote(answer, answer, crossings)

    def marginal_rate(
        self,
        state: UniswapV4State,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the slope at the price that the input leads to."""
        zero_for_one, book = _direction(self.at(state, block), token_in, token_out)
        return book.marginal_rate(state, amount, zero_for_one=zero_for_one)


def pool_id(key: UniswapV4State | UniswapV4Identity) -> Hash32:
    """Return the hash of a pool's key, by which the manager and its events name it."""
    return _pool_id(key.currency0, key.currency1, key.fee, key.tick_spacing, key.hooks)


def _direction(
    state: UniswapV4State, token_in: Address, token_out: Address
) -> tuple[bool, TickBook]:
    """Return whether currency 0 comes in, and the quotes at the fee of that direction.

    Raises:
        SwapRefused: hooks decide, or the pool does not hold these currencies.
    """
    zero_for_one = places((state.currency0, state.currency1), token_in, token_out) == (0, 1)
    if int(state.hooks, 16) & TOLD_OF_SWAPS:
        raise SwapRefused(Status.UNMODELLED, f"the hooks at {state.hooks} are told of swaps")
    if state.fee == DYNAMIC_FEE:
        raise SwapRefused(Status.UNMODELLED, "hooks set the fee")
    fee = swap_fee(state.fee, state.protocol_fee, zero_for_one)
    return zero_for_one, concentrated.table(state).book(fee, state.tick_spacing)


def _check_key(key: UniswapV4State | UniswapV4Identity) -> None:
    if int(key.currency0, 16) >= int(key.currency1, 16):
        raise ValueError("currency1: expected a higher address than currency0")
    if not 0 <= key.fee <= FEE_PIPS and key.fee != DYNAMIC_FEE:
        raise ValueError(f"fee: expected 0 to {FEE_PIPS}, or {DYNAMIC_FEE} for a dynamic one")
    if not 0 < key.tick_spacing < 1 << 15:
        raise ValueError("tick_spacing: expected 1 to 32767")


@lru_cache(maxsize=4096)
def _pool_id(
    currency0: Address, currency1: Address, fee: int, tick_spacing: int, hooks: Address
) -> Hash32:
    key = (int(currency0, 16), int(currency1, 16), fee, tick_spacing, int(hooks, 16))
    return Hash32("0x" + keccak256(b"".join(map(_word, key))).hex())


def _word(value: int) -> bytes:
    return (value % (1 << 256)).to_bytes(32, "big")


def _signed(word: int, bits: int) -> int:
    value = word % (1 << bits)
    return value - (1 << bits) if value >> bits - 1 else value


def _mapped(key: int, mapping: int) -> int:
    """Return the storage slot of a mapping's value."""
    return int.from_bytes(keccak256(_word(key) + _word(mapping)), "big")


def _storage(
    manager: Address, slots: Sequence[int]
) -> Generator[Sequence[ReadCall], Sequence[Answer], list[int]]:
    """Read words of the manager's storage by `extsload(bytes32[])`."""
    if not slots:
        return []
    parts = [slots[at : at + _SLOTS_A_CALL] for at in range(0, len(slots), _SLOTS_A_CALL)]
    calls = []
    for part in parts:
        body = b"".join(map(_word, (32, len(part), *part)))
        calls.append(ReadCall(manager, EXTSLOAD + body.hex()))
    answers = yield calls
    found: list[int] = []
    for part, answer in zip(parts, answers, strict=True):
        if isinstance(answer, str):
            raise UnreadablePool(f"extsload: {answer}")
        if len(answer) != len(part) + 2 or answer[:2] != (32, len(part)):
            raise UnreadablePool("extsload did not answer the words asked for")
        found += answer[2:]
    return found


PLUGIN = UniswapV4
