"""What Algebra V1 and Algebra Integral have in common: their events, and how they are read.

Sources: IAlgebraFactory, IAlgebraPoolEvents, TickTable and TickManager of V1 and Integral.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, TypeVar

from searcher.domain.events import Log
from searcher.domain.units import Address
from searcher.market import concentrated_state as concentrated
from searcher.market.announcing import pool_address, tokens_of_words
from searcher.market.decoding import MalformedLog, address_of, signed, topic_word, unsigned, words
from searcher.market.protocol import Announcement, Answer, ReadCall, UnreadablePool
from searcher.market.ticks import Tick

POOL: Final = "0x91ccaa7a278130b65168c3a0c8d3bcae84cf5e43704342bd3ec0b59e59c036db"
CUSTOM_POOL: Final = "0x8a5f030f5fc13b04a1e4ef7c47177e3d76b0e80e1d9be9843db37caa5b7b9b8f"
INITIALIZE: Final = "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95"
MINT: Final = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
BURN: Final = "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"
SWAP: Final = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
FEE: Final = "0x598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a"

TOKEN0: Final = "0x0dfe1681"
TOKEN1: Final = "0xd21220a7"
GLOBAL_STATE: Final = "0xe76c01e4"
LIQUIDITY: Final = "0x1a686502"
TICK_TABLE: Final = "0xc677e3e0"
TICKS: Final = "0xf30dba93"

S = TypeVar("S", bound=Any)
Asking = Generator[Sequence[ReadCall], Sequence[Answer], S]


def applied(state: S, log: Log) -> S:
    """Return the state after an event that all versions share.

    Raises:
        MalformedLog: it is none of these, or contradicts the state.
    """
    topic = log.topics[0]
    if topic == SWAP:
        _, _, price, liquidity, tick = words(log, topics=3, data=5)
        return concentrated.swapped(state, price, liquidity, tick)
    if topic == MINT:
        _, amount, _, _ = words(log, topics=4, data=4)
        return positioned(state, log, unsigned(amount, 128))
    if topic == BURN:
        amount, _, _ = words(log, topics=4, data=3)
        return positioned(state, log, -unsigned(amount, 128))
    if topic == INITIALIZE:
        price, tick = words(log, topics=1, data=2)
        return concentrated.initialised(state, price, tick)
    raise MalformedLog("a topic that is not a pool's")


def positioned(state: S, log: Log, amount: int) -> S:
    """Return the state after a Mint or Burn of `amount` between its two indexed ticks."""
    lower, upper = signed(topic_word(log, 2), 24), signed(topic_word(log, 3), 24)
    return concentrated.positioned(state, lower, upper, amount)


def view(answer: Answer, name: str, count: int) -> tuple[int, ...]:
    """Return the words that a view answered.

    Raises:
        UnreadablePool: it did not answer so many.
    """
    if isinstance(answer, str):
        raise UnreadablePool(f"{name}: {answer}")
    if len(answer) != count:
        raise UnreadablePool(f"{name} answered {len(answer)} words instead of {count}")
    return answer


def token(answer: Answer, name: str) -> Address:
    """Return the token that a view answered.

    Raises:
        UnreadablePool: it did not answer an address.
    """
    (word,) = view(answer, name, 1)
    try:
        return address_of(word)
    except MalformedLog as error:
        raise UnreadablePool(f"{name} answered {error}") from error


def read_rows(pool: Address, selector: str, rows: Sequence[int]) -> Asking[list[int]]:
    """Return the reads of words that hold a bit per place, and the places set in them."""
    if not rows:
        return []
    answers = yield [ReadCall(pool, call(selector, row)) for row in rows]
    found: list[int] = []
    for row, answer in zip(rows, answers, strict=True):
        (bits,) = view(answer, f"{selector}({row})", 1)
        found += concentrated.set_places(bits, row)
    return found


def read_ticks(pool: Address, indexes: Sequence[int], words_each: int) -> Asking[tuple[Tick, ...]]:
    """Return the reads of initialised ticks: total and net liquidity are the first two words."""
    if not indexes:
        return ()
    answers = yield [ReadCall(pool, call(TICKS, index)) for index in indexes]
    found = []
    for index, answer in zip(indexes, answers, strict=True):
        total, delta, *_ = view(answer, f"ticks({index})", words_each)
        try:
            found.append(Tick(index, signed(delta, 128), unsigned(total, 128)))
        except MalformedLog as error:
            raise UnreadablePool(f"ticks({index}) answered {error}") from error
    return tuple(found)


def call(selector: str, value: int) -> str:
    """Return the calldata of a view with one integer."""
    return f"{selector}{value % (1 << 256):064x}"


def announced_pool(log: Log) -> Announcement:
    """Return the pool that a factory announces; the last two indexed values are its tokens.

    Pool(address indexed token0, address indexed token1, address pool), and Integral's
    CustomPool(address indexed deployer, address indexed token0, address indexed token1, address).

    Raises:
        MalformedLog: the log is not that event.
    """
    topics = 4 if log.topics[0] == CUSTOM_POOL else 3
    (pool,) = words(log, topics=topics, data=1)
    address = pool_address(pool)
    tokens = tokens_of_words(topic_word(log, topics - 2), topic_word(log, topics - 1))
    return Announcement(address, address, tokens)
