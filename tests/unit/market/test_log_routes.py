"""Batches of logs against the protocols' own `apply`, log by log."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockApplied, BlockHeader, BlockRef, Log
from searcher.kernels import memory as layout
from searcher.kernels.log_batches import CAUSES, DATA_WORDS, TOPICS
from searcher.market.protocol import Announcement
from searcher.market.protocols.uniswap_v2 import SYNC
from tests.unit.market.histories import Writer, data, followed, protocol_of
from tests.unit.market.images import bytes_of
from tests.unit.market.world import DAI, WETH, address, make_market

NAMES = ("uniswap_v2", "uniswap_v3", "pancake_v3", "slipstream")
DEXES_OF = {
    name: {"protocol": name, "factory": address(0xF0 + n)}
    | ({"fee_pips": 3000} if name == "uniswap_v2" else {})
    for n, name in enumerate(NAMES)
}
GENESIS = BlockRef(1, "0x" + "01" * 32)


def block_on(parent, logs):
    number = parent.number + 1
    header = BlockHeader(number, f"0x{number:064x}", parent.hash, number, 1, 10**7, 0, WETH)
    ordered = tuple(replace(log, log_index=i) for i, log in enumerate(logs))
    return BlockApplied("c", header, ordered, 1, 2)


def market_with(names=NAMES):
    market = make_market(dexes=DEXES_OF)
    pools = {}
    for n, name in enumerate(names):
        where = address(0x100 + n)
        said = Announcement(where, where, (WETH, DAI), 3000, 60, None)
        number = market._intake.add(name, name, said, (WETH, DAI))
        pools[number] = Writer(protocol_of(name), where)
    market.head = GENESIS
    return market, pools


def play(seed, blocks):
    """Feed a market random blocks, good and bad, and compare it with the fold after each."""
    rng = random.Random(seed)
    market, pools = market_with()
    truth = {number: market.state(number) for number in pools}
    bad = good = 0
    for _ in range(blocks):
        logs, refused = [], {}
        at = dict(truth)
        for _ in range(rng.randrange(1, 30)):
            number = rng.choice(list(pools))
            writer = pools[number]
            spoiled = rng.random() < 0.03
            log = (writer.spoil if spoiled else writer.write)(rng, at[number])
            logs.append(log)
            if number in refused or not log.topics or log.topics[0] not in writer.protocol.topics:
                continue
            at[number], why = followed(writer.protocol, at[number], log)
            good += not why
            if why:
                refused[number] = why
        before = market.statistics()
        market.apply(block_on(market.head, logs))
        after = market.statistics()
        assert set(market._standing.broken) == set(refused)
        for number in pools:
            assert market.state(number) == at[number]
        assert sum(after.malformed.values()) - sum(before.malformed.values()) == len(refused)
        assert all(why.startswith("a log that does not fit: ") for why in after.malformed)
        bad += len(refused)
        truth = at
        for number in refused:
            market._intake.take_state(number, truth[number])
        assert not market._standing.broken
        fresh, _ = market_with()
        for number in pools:
            fresh._intake.take_state(number, truth[number])
        check_arrays(market, fresh)
    assert market.statistics().logs == good + bad
    return good, bad, market.statistics().malformed


def check_arrays(market, fresh):
    """What kernels and floats see is what a market sees that was given the states at once."""
    for row in range(market.memory.rows):
        for name in ("exact", "rate"):
            held, wanted = (getattr(m.memory, name)[2 * row : 2 * row + 2] for m in (market, fresh))
            assert held.tobytes() == wanted.tobytes(), name
        assert market.memory.real[row].tobytes() == fresh.memory.real[row].tobytes()
        shapes = [m.memory.shape[row].tolist() for m in (market, fresh)]
        for about in shapes:
            del about[layout.ROOM], about[layout.FIRST]
        assert shapes[0] == shapes[1]
        held, wanted = (m.memory.slot_image(row) for m in (market, fresh))
        assert held.sizes == wanted.sizes
        assert [a.tobytes() for a in held.arrays] == [a.tobytes() for a in wanted.arrays]


def test_any_stream_of_logs_leaves_what_the_protocols_make_of_it():
    good, bad, causes = map(sum_or_keys, zip(*(play(seed, 12) for seed in range(12)), strict=True))
    assert good > 10 * bad > 0
    assert len(causes) > 5


@pytest.mark.full
@pytest.mark.timeout(900)
def test_many_streams_of_logs_leave_what_the_protocols_make_of_them():
    good, bad, causes = map(
        sum_or_keys, zip(*(play(s, 20) for s in range(1000, 1300)), strict=True)
    )
    assert good > 50_000
    assert bad > 3_000
    told = {f"a log that does not fit: {words}" for words in CAUSES.values()}
    assert causes <= told
    assert len(told - causes) <= 2


def sum_or_keys(column):
    return sum(column) if isinstance(column[0], int) else set().union(*column)


def test_events_of_a_row_behind_a_refused_one_are_not_applied():
    market, pools = market_with(("uniswap_v2",))
    pool = pools[0].address
    good, late = Log(pool, (SYNC,), data(5, 6)), Log(pool, (SYNC,), data(7, 8))
    market.apply(block_on(market.head, [good, Log(pool, (SYNC,), data(2**112, 6)), late]))
    assert (market.state(0).reserve0, market.state(0).reserve1) == (5, 6)
    market.apply(block_on(market.head, [late]))
    assert market.state(0).reserve0 == 5
    assert market.statistics().logs == 2


@pytest.mark.parametrize("indices", [(0, 2, 1), (0, 1, 1), (3, 2, 4)])
def test_logs_out_of_order_or_twice_change_nothing(indices):
    market, pools = market_with(("uniswap_v2",))
    market.apply(block_on(market.head, [Log(pools[0].address, (SYNC,), data(5, 6))]))
    before, head = bytes_of(market.memory), market.head
    block = block_on(head, [Log(pools[0].address, (SYNC,), data(n, 9)) for n in range(3)])
    mixed = tuple(replace(log, log_index=i) for log, i in zip(block.logs, indices, strict=True))
    with pytest.raises(InvariantBroken, match="came behind log"):
        market.apply(replace(block, logs=mixed))
    assert bytes_of(market.memory) == before
    assert market.head == head
    # The block before can still be taken back, and the right one applied.
    market.apply(block)
    assert market.state(0).reserve0 == 2
    market.unwind(GENESIS)
    assert market.state(0).reserve0 == 0


def test_pools_that_nobody_announced_are_counted_and_not_followed():
    market, _ = market_with(("uniswap_v2",))
    stranger = Log(address(0xBAD), (SYNC,), data(5, 6))
    (created,) = protocol_of("uniswap_v2").created_topics
    mimic = Log(address(0xBAD), (created, "0x" + "0" * 64, "0x" + "1" * 64), data(1, 1))
    other = Log(address(0xBAD), ("0x" + "77" * 32,), "0x")
    nothing = Log(address(0xBAD), (), "0x")
    market.unwind(market.head)
    delta = market.apply(block_on(market.head, [stranger, mimic, other, nothing]))
    assert (delta.rows, len(market.pools)) == ((), 1)
    assert market.statistics().not_followed == {"a log of a pool that is not followed": 2}


def test_a_pool_announced_again_or_by_another_factory_stays_what_it_is():
    market, pools = market_with(("uniswap_v2",))
    announced = {
        "uniswap_v2": ("0x" + f"{int(WETH, 16):064x}", "0x" + f"{int(DAI, 16):064x}"),
        "uniswap_v3": (
            "0x" + f"{int(WETH, 16):064x}",
            "0x" + f"{int(DAI, 16):064x}",
            "0x" + f"{500:064x}",
        ),
    }
    logs = []
    for name, indexed in announced.items():
        (created,) = protocol_of(name).created_topics
        values = (pools[0].address, 1) if name == "uniswap_v2" else (10, pools[0].address)
        logs.append(Log(DEXES_OF[name]["factory"], (created, *indexed), data(*values)))
    pool = market.pools[0]
    market.apply(block_on(market.head, logs))
    assert market.pools == [pool]
    assert market.statistics().not_followed == {
        "uniswap_v2: a pool announced twice": 1,
        "uniswap_v3: a pool announced twice": 1,
    }


def test_every_opcode_says_its_shape():
    assert len(TOPICS) == len(DATA_WORDS)
    assert all(words and cause for cause, words in CAUSES.items())
