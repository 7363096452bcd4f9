"""Liquidity Book 2.1 and 2.2 (LFJ, formerly Trader Joe): liquidity in bins of one price each.

Source: LBPair, PairParameterHelper and Hooks of joe-v2. A swap emits one event for each bin it
takes from, with what the bin gained (its protocol fee left out) and lost, so the bins stay exact
from events. What the variable fee is counted from changes with the time of a swap or of a deposit
to the active bin, which logs do not carry: those four fields are read for each block.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.domain.settings import Settings, knob
from searcher.domain.units import Address, Hash32
from searcher.kernels import liquidity_book as kernel
from searcher.kernels.liquidity_book import Ids
from searcher.kernels.reference.liquidity_book import (
    BASIS_POINTS,
    MAX_ID,
    MAX_TIME,
    MAX_UINT128,
    MAX_VOLATILITY,
)
from searcher.kernels.refusal import Status, SwapRefused, checked
from searcher.kernels.u256 import Words, pack
from searcher.market.announcing import AnnouncedPools, pool_address, tokens_of_words
from searcher.market.contract_values import answered_words, uint256
from searcher.market.decoding import MalformedLog, address_of, topic_word, unsigned, words
from searcher.market.protocol import (
    Announcement,
    Known,
    Quote,
    QuoteBlock,
    ReadCall,
    Reads,
    UnreadablePool,
)
from searcher.market.settings import DexSettings
from searcher.market.tokens import places

LB_PAIR_CREATED: Final = "0x2c8d104b27c6b7f4492017a6f5cf3803043688934ebcaa6a03540beeaf976aff"
SWAP: Final = "0xad7d6f97abf51ce18e17a38f4d70e975be9c0708474987bb3e26ad21bd93ca70"
DEPOSITED_TO_BINS: Final = "0x87f1f9dcf5e8089a3e00811b6a008d8f30293a3da878cb1fe8c90ca376402f8a"
WITHDRAWN_FROM_BINS: Final = "0xa32e146844d6144a22e94c586715a1317d58a8aa3581ec33d040113ddcb24350"
COMPOSITION_FEES: Final = "0x3f0b46725027bb418b2005f4683538eccdbcdf1de2b8649a29dbd9c507d16ff4"
FLASH_LOAN: Final = "0xd126bd9d94daca8e55ffd8283fac05394aec8326c6b1639e1e8a445fbe8bbc7d"
STATIC_FEE_PARAMETERS_SET: Final = (
    "0xd09e5ddc721ff14c5c1e66a305cbba1fd70b82c5232bc391aad6f55e62e4b046"
)
FORCED_DECAY: Final = "0x282afaeeae84c1d85ad1424a3aa2ddbedaeefca3b1e53d889d15265fe44db7fc"
HOOKS_PARAMETERS_SET: Final = "0x4d24d81a1a6e09c37497747b4c9d67d858ce80438b54df0fa361a24dc742d934"

GET_X: Final = "0x05e8746d"  # getTokenX()
GET_Y: Final = "0xda10610c"  # getTokenY()
GET_BIN_STEP: Final = "0x17f11ecc"
GET_ACTIVE_ID: Final = "0xdbe65edc"
GET_BIN: Final = "0x0abe9688"  # getBin(uint24)
GET_NEXT_NON_EMPTY_BIN: Final = "0xa41a01fb"  # getNextNonEmptyBin(bool,uint24)
GET_STATIC_FEE_PARAMETERS: Final = "0x7ca0de30"
GET_VARIABLE_FEE_PARAMETERS: Final = "0x8d7024e5"
GET_HOOKS_PARAMETERS: Final = "0x781a8915"  # getLBHooksParameters(), of 2.2

SWAP_HOOKS: Final = 0b11 << 160
"""The flags of beforeSwap and afterSwap in a pair's hooks parameters."""
NO_HOOKS: Final = Hash32("0x" + "00" * 32)
_WORD: Final = 64

STATIC: Final = {
    "base_factor": 2**16 - 1,
    "filter_period": 2**12 - 1,
    "decay_period": 2**12 - 1,
    "reduction_factor": BASIS_POINTS,
    "variable_fee_control": 2**24 - 1,
    "protocol_share": 2_500,
    "max_volatility_accumulator": MAX_VOLATILITY,
}
"""The answers of getStaticFeeParameters() in order, and the greatest value of each."""
VARIABLE: Final = {
    "volatility_accumulator": MAX_VOLATILITY,
    "volatility_reference": MAX_VOLATILITY,
    "id_reference": MAX_ID,
    "time_of_last_update": MAX_TIME,
}
"""The same of getVariableFeeParameters()."""


class Version(StrEnum):
    """Which contract a pair is: 2.2 has hooks, and a limit on what a bin may hold."""

    V2_1 = "2.1"
    V2_2 = "2.2"


class Bin(Struct, frozen=True):
    """A bin by its `id`.

    `reserve_x` and `reserve_y` are what `getBin(id)` answers, in smallest units, protocol fees left
    out.
    """

    id: int
    reserve_x: int
    reserve_y: int


class Book(NamedTuple):
    """What the kernel walks along."""

    ids: Ids
    reserves_x: Words
    reserves_y: Words
    prices: Words
    whole_for_y: Words
    whole_for_x: Words


class LiquidityBookState(Struct, frozen=True, dict=True):
    """A pair.

    `bin_step` is in basis points, `active_id` the bin that a swap starts in, `bins` every bin with
    reserves in any order.

    The static parameters are what `getStaticFeeParameters()` answers: `base_factor`,
    `reduction_factor` and `protocol_share` in basis points; `filter_period` and `decay_period` in
    seconds: a swap sooner than the first counts on from where the last one did, a swap later than
    the second starts anew;
    `variable_fee_control`, what the squared volatility is multiplied by, in no unit;
    `max_volatility_accumulator`, the most that the volatility counts, in ten-thousandths of a bin.

    The variable ones are what `getVariableFeeParameters()` answers: `volatility_accumulator` and
    `volatility_reference`, the volatility after the last swap and what it was counted from, in
    ten-thousandths of a bin; `id_reference`, the bin that crossed bins are counted from;
    `time_of_last_update` in seconds since 1970. Left out, the pair has been at rest for long.

    `version` is "2.1" or "2.2"; `hooks_parameters` is what `getLBHooksParameters()` answers: a
    pair whose hooks see swaps is not quoted. `pool` is the pair's address, which only reads need.
    """

    token_x: Address
    token_y: Address
    bin_step: int
    active_id: int
    bins: tuple[Bin, ...]
    base_factor: int
    filter_period: int
    decay_period: int
    reduction_factor: int
    variable_fee_control: int
    protocol_share: int
    max_volatility_accumulator: int
    volatility_accumulator: int = 0
    volatility_reference: int = 0
    id_reference: int = 0
    time_of_last_update: int = 0
    version: Version = Version.V2_1
    hooks_parameters: Hash32 = NO_HOOKS
    pool: Address | None = None

    def __post_init__(self) -> None:
        """Check what a pair can be."""
        if self.token_x == self.token_y:
            raise ValueError("token_y: expected another token than token_x")
        most = {"bin_step": 2**16 - 1, "active_id": MAX_ID, **STATIC, **VARIABLE}
        for name, limit in most.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name}: expected 0 to {limit}, found {getattr(self, name)}")
        if self.filter_period > self.decay_period:
            raise ValueError(f"filter_period: expected at most decay_period, {self.decay_period}")
        seen: set[int] = set()
        for k, entry in enumerate(self.bins):
            if not 0 <= entry.id <= MAX_ID:
                raise ValueError(f"bins[{k}].id: expected 0 to {MAX_ID}, found {entry.id}")
            if entry.id in seen:
                raise ValueError(f"bins[{k}].id: expected each bin once, {entry.id} is there twice")
            seen.add(entry.id)
            for name in ("reserve_x", "reserve_y"):
                if not 0 <= getattr(entry, name) <= MAX_UINT128:
                    raise ValueError(f"bins[{k}].{name}: expected a uint128")

    @cached_property
    def book(self) -> Book:
        """The bins as the kernel takes them, ascending."""
        bins = sorted(self.bins, key=_id)
        ids = np.array([b.id for b in bins], np.int64)
        x, y = _packed(b.reserve_x for b in bins), _packed(b.reserve_y for b in bins)
        prices, for_y, for_x = (np.zeros((len(bins), 4), np.uint64) for _ in range(3))
        kernel.prepare(ids, x, y, self.bin_step, prices, for_y, for_x)
        return Book(ids, x, y, prices, for_y, for_x)


class LiquidityBookIdentity(Struct, frozen=True):
    """A pair's address."""

    pool: Address


class LiquidityBook(AnnouncedPools[LiquidityBookState]):
    """Pairs of bins, followed bin by bin."""

    class Config(Settings):
        """How a pair is read."""

        bins_at_once: int = knob(
            64,
            why="ids asked for their next bin in one round, in each direction",
            unit="bins",
            ge=1,
            le=10_000,
        )

    State = LiquidityBookState
    Identity = LiquidityBookIdentity
    created_topics = frozenset({LB_PAIR_CREATED})
    token_topics: ClassVar[Mapping[str, int]] = MappingProxyType({LB_PAIR_CREATED: 1})
    usual_gas = 130_000
    topics = frozenset(
        {
            SWAP,
            DEPOSITED_TO_BINS,
            WITHDRAWN_FROM_BINS,
            COMPOSITION_FEES,
            FLASH_LOAN,
            STATIC_FEE_PARAMETERS_SET,
            FORCED_DECAY,
            HOOKS_PARAMETERS_SET,
        }
    )
    volatile = frozenset(VARIABLE)

    config: Config

    # ---- how pairs are found

    def announced(self, name: str, dex: DexSettings, log: Log) -> Announcement:  # noqa: ARG002  one factory, one DEX
        """Decode LBPairCreated(address idx, address idx, uint256 idx binStep, address, uint256)."""
        pair, _ = words(log, topics=4, data=2)
        address = pool_address(pair)
        tokens = tokens_of_words(topic_word(log, 1), topic_word(log, 2))
        return Announcement(address, address, tokens)

    def identity(self, pool: Known) -> LiquidityBookIdentity:
        """Return the pair's address."""
        return LiquidityBookIdentity(pool.address)

    def tokens_of(self, state: LiquidityBookState) -> tuple[Address, ...]:
        """Return both tokens."""
        return state.token_x, state.token_y

    def holdings(self, state: LiquidityBookState) -> tuple[tuple[Address, float], ...]:
        """Return what lies in all bins."""
        return (
            (state.token_x, float(sum(b.reserve_x for b in state.bins))),
            (state.token_y, float(sum(b.reserve_y for b in state.bins))),
        )

    def funded(self, state: LiquidityBookState) -> bool:
        """Return whether a bin holds anything."""
        return any(b.reserve_x or b.reserve_y for b in state.bins)

    # ---- the state of a pair

    def reads(self, identity: LiquidityBookIdentity) -> Reads[LiquidityBookState]:
        """Read parameters and hooks, then every bin from the active one outwards."""
        pool = identity.pool
        answers = yield [
            ReadCall(pool, data)
            for data in (
                GET_X,
                GET_Y,
                GET_BIN_STEP,
                GET_ACTIVE_ID,
                GET_STATIC_FEE_PARAMETERS,
                GET_VARIABLE_FEE_PARAMETERS,
                GET_HOOKS_PARAMETERS,
            )
        ]
        token_x, token_y, bin_step, active_id = (
            answered_words(answer, 1, what)[0]
            for answer, what in zip(
                answers, ("getTokenX", "getTokenY", "getBinStep", "getActiveId"), strict=False
            )
        )
        fixed = answered_words(answers[4], len(STATIC), "getStaticFeeParameters")
        moving = answered_words(answers[5], len(VARIABLE), "getVariableFeeParameters")
        # A pair of 2.1 knows no hooks and reverts.
        is_2_1 = isinstance(answers[6], str)
        hooks = 0 if is_2_1 else answered_words(answers[6], 1, "getLBHooksParameters")[0]
        ids = yield from self._occupied(pool, active_id)
        held = yield [ReadCall(pool, f"{GET_BIN}{bin_id:064x}") for bin_id in ids]
        bins = tuple(
            Bin(bin_id, *answered_words(answer, 2, "getBin"))
            for bin_id, answer in zip(ids, held, strict=True)
        )
        fields: dict[str, Any] = dict(zip((*STATIC, *VARIABLE), (*fixed, *moving), strict=True))
        try:
            return LiquidityBookState(
                token_x=address_of(token_x),
                token_y=address_of(token_y),
                bin_step=bin_step,
                active_id=active_id,
                bins=tuple(b for b in bins if b.reserve_x or b.reserve_y),
                version=Version.V2_1 if is_2_1 else Version.V2_2,
                hooks_parameters=Hash32(f"0x{hooks:064x}"),
                pool=pool,
                **fields,
            )
        except ValueError as error:
            raise UnreadablePool(str(error)) from error

    def _occupied(self, pool: Address, active_id: int) -> Reads[list[int]]:
        """Find every bin that the pair has in use.

        Each bin says only which one follows it, so a round asks that of as many ids in a row as
        the settings say, and follows what they answer as far as it leads.
        """
        found = {active_id}
        edge = {True: active_id, False: active_id}  # by direction: True is down, to token Y
        while edge:
            asked = {
                (down, bin_id): ReadCall(pool, f"{GET_NEXT_NON_EMPTY_BIN}{down:064x}{bin_id:064x}")
                for down, start in edge.items()
                for bin_id in self._row(start, down=down)
            }
            answers = yield list(asked.values())
            following = {
                key: answered_words(answer, 1, "getNextNonEmptyBin")[0]
                for key, answer in zip(asked, answers, strict=True)
            }
            for down in list(edge):
                while (down, edge[down]) in following:
                    after = following[down, edge[down]]
                    if after in {0, MAX_ID}:
                        del edge[down]
                        break
                    if (after >= edge[down]) if down else (after <= edge[down]):
                        raise UnreadablePool("getNextNonEmptyBin did not answer a further bin")
                    found.add(after)
                    edge[down] = after
        return sorted(found)

    def _row(self, start: int, *, down: bool) -> range:
        count = self.config.bins_at_once
        if down:
            return range(start, max(start - count, -1), -1)
        return range(start, min(start + count, MAX_ID + 1))

    def refresh(self, state: LiquidityBookState) -> Reads[dict[str, Any]]:
        """Read what the variable fee is counted from.

        Raises:
            UnreadablePool: the state does not name its pool.
        """
        if state.pool is None:
            raise UnreadablePool("the state names no pool: write its address")
        (answer,) = yield [ReadCall(state.pool, GET_VARIABLE_FEE_PARAMETERS)]
        found = answered_words(answer, len(VARIABLE), "getVariableFeeParameters")
        return dict(zip(VARIABLE, found, strict=True))

    def apply(self, state: LiquidityBookState, log: Log) -> LiquidityBookState:
        """Apply one event of the pair."""
        topic = log.topics[0]
        if topic == SWAP:
            return _swapped(state, log)
        if topic in {DEPOSITED_TO_BINS, WITHDRAWN_FROM_BINS}:
            sign = 1 if topic == DEPOSITED_TO_BINS else -1
            return _moved(state, [(bin_id, sign * x, sign * y) for bin_id, x, y in _listed(log)])
        if topic == FLASH_LOAN:
            bin_id, _, fees, protocol_fees = words(log, topics=3, data=4)
            (all_x, all_y), (gone_x, gone_y) = _halves(fees), _halves(protocol_fees)
            return _moved(state, [(bin_id, all_x - gone_x, all_y - gone_y)])
        if topic == STATIC_FEE_PARAMETERS_SET:
            found = words(log, topics=2, data=len(STATIC))
            return _changed(state, **dict(zip(STATIC, found, strict=True)))
        if topic == FORCED_DECAY:
            words(log, topics=2, data=2)  # what was before
            decayed = state.volatility_accumulator * state.reduction_factor // BASIS_POINTS
            return _changed(state, id_reference=state.active_id, volatility_reference=decayed)
        if topic == HOOKS_PARAMETERS_SET:
            (hooks,) = words(log, topics=2, data=1)
            return replace(state, hooks_parameters=Hash32(f"0x{hooks:064x}"))
        if topic == COMPOSITION_FEES:
            # The deposit's own event moves the reserves; what the fee is counted from is volatile.
            words(log, topics=2, data=3)
            return state
        raise MalformedLog("a topic that is not a pair's")

    def quote_exact_in(
        self,
        state: LiquidityBookState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return getSwapOut for an input that the pair takes whole."""
        for_y, numbers = _prepared(self.at(state, block), token_in, token_out)
        answer = kernel.exact_in(uint256(amount), for_y, block.timestamp, numbers, *state.book)
        checked(answer[0])
        return Quote(answer[1], answer[1], answer[3])

    def quote_exact_out(
        self,
        state: LiquidityBookState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> Quote:
        """Return getSwapIn for an output that the pair holds.

        The contract's view does not ask what its swap asks of the bins; where the swap would
        revert with that input, so does this.
        """
        for_y, numbers = _prepared(self.at(state, block), token_in, token_out)
        answer = kernel.exact_out(uint256(amount), for_y, block.timestamp, numbers, *state.book)
        checked(answer[0])
        checked(kernel.exact_in(answer[1], for_y, block.timestamp, numbers, *state.book)[0])
        return Quote(answer[1], answer[1], answer[3])

    def marginal_rate(
        self,
        state: LiquidityBookState,
        block: QuoteBlock,
        token_in: Address,
        token_out: Address,
        amount: int,
    ) -> float:
        """Return the price, less the fee, of the bin that the next unit would enter."""
        for_y, numbers = _prepared(self.at(state, block), token_in, token_out)
        status, rate = kernel.marginal_rate(
            uint256(amount), for_y, block.timestamp, numbers, *state.book
        )
        checked(status)
        return rate


def _prepared(state: LiquidityBookState, token_in: Address, token_out: Address) -> tuple[bool, Ids]:
    """Return the direction, and the kernel's numbers of a state as it holds in a block."""
    place, _ = places((state.token_x, state.token_y), token_in, token_out)
    if int(state.hooks_parameters, 16) & SWAP_HOOKS:
        raise SwapRefused(Status.UNMODELLED, "the pair calls a hook when it swaps")
    numbers = [state.active_id, state.bin_step]
    numbers += [getattr(state, name) for name in (*STATIC, *VARIABLE)]
    numbers.append(state.version is Version.V2_2)
    return place == 0, np.array(numbers, np.int64)


def _swapped(state: LiquidityBookState, log: Log) -> LiquidityBookState:
    bin_id, came, went, volatility, _, _ = words(log, topics=3, data=6)
    into, out = _halves(came), _halves(went)
    moved = _moved(state, [(bin_id, into[0] - out[0], into[1] - out[1])])
    return _changed(moved, active_id=bin_id, volatility_accumulator=volatility)


def _moved(
    state: LiquidityBookState, changes: Iterable[tuple[int, int, int]]
) -> LiquidityBookState:
    """Return the state with reserves added to bins, or taken from them."""
    bins = sorted(state.bins, key=_id)
    for bin_id, x, y in changes:
        place = bisect_left(bins, bin_id, key=_id)
        known = place < len(bins) and bins[place].id == bin_id
        before = bins[place] if known else Bin(bin_id, 0, 0)
        after = Bin(bin_id, before.reserve_x + x, before.reserve_y + y)
        if not (0 <= after.reserve_x <= MAX_UINT128 and 0 <= after.reserve_y <= MAX_UINT128):
            raise MalformedLog(f"bin {bin_id} would hold {after.reserve_x} and {after.reserve_y}")
        bins[place : place + known] = [after] if after.reserve_x or after.reserve_y else []
    return _changed(state, bins=tuple(bins))


def _changed(state: LiquidityBookState, **fields: Any) -> LiquidityBookState:
    try:
        return replace(state, **fields)
    except ValueError as error:
        raise MalformedLog(f"what no pair can be: {error}") from error


def _listed(log: Log) -> list[tuple[int, int, int]]:
    """Return id and amounts of each bin in DepositedToBins or WithdrawnFromBins."""
    size = (len(log.data) - 2) // _WORD
    found = words(log, topics=3, data=size)
    count = (size - 4) // 2
    if size < 4 or size % 2 or found[:3] != (64, 96 + 32 * count, count):
        raise MalformedLog("two lists that do not fill the data")
    if found[3 + count] != count:
        raise MalformedLog("two lists of different lengths")
    ids, amounts = found[3 : 3 + count], found[4 + count :]
    return [
        (unsigned(bin_id, 24), *_halves(amount))
        for bin_id, amount in zip(ids, amounts, strict=True)
    ]


def _halves(word: int) -> tuple[int, int]:
    """Return X and Y of two amounts packed into a word."""
    return word & MAX_UINT128, word >> 128


def _id(entry: Bin) -> int:
    return entry.id


def _packed(numbers: Iterable[int]) -> Words:
    rows = list(numbers)
    return pack(rows) if rows else np.zeros((0, 4), np.uint64)


PLUGIN = LiquidityBook
