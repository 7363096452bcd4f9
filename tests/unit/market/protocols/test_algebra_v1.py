"""Algebra V1: versions, fees by block, events, and the oracle's reads."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.reference.algebra_fee import RING, WINDOW
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.algebra_oracle import AlgebraTimepoint, read_timepoints
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

AlgebraV1 = PROTOCOLS.load("algebra_v1")
POOL, OPERATOR = "0x" + "0f" * 20, "0x" + "0e" * 20
TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
NOW = 1_700_000_000
BLOCK = QuoteBlock(1, NOW)
LIQUIDITY = 10**21
AFTER_FEE = 10**18 * (1_000_000 - 500) // 1_000_000
CONFIGURATION = {
    "alpha1": 2900,
    "alpha2": 12000,
    "beta1": 360,
    "beta2": 60000,
    "gamma1": 59,
    "gamma2": 8500,
    "volume_beta": 0,
    "volume_gamma": 10,
    "base_fee": 100,
}
RAW = {
    "token0": TOKEN0,
    "token1": TOKEN1,
    "sqrt_price_x96": str(2**96),
    "tick": 0,
    "liquidity": LIQUIDITY,
    "fee": 500,
    "ticks": [
        {"index": -6000, "liquidity_net": LIQUIDITY, "liquidity_gross": LIQUIDITY},
        {"index": 6000, "liquidity_net": -LIQUIDITY, "liquidity_gross": LIQUIDITY},
    ],
}
ORACLE = {
    "timepoint_index": 1,
    "timepoints": [
        {
            "index": 0,
            "block_timestamp": NOW - 1000,
            "tick_cumulative": 0,
            "volatility_cumulative": 0,
            "average_tick": 0,
            "volume_per_liquidity_cumulative": 0,
        },
        {
            "index": 1,
            "block_timestamp": NOW - 100,
            "tick_cumulative": 90_000,
            "volatility_cumulative": 10**8,
            "average_tick": 50,
            "volume_per_liquidity_cumulative": 2**62,
        },
    ],
    "fee_configurations": [CONFIGURATION],
    "volume_per_liquidity_in_block": 0,
}
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
FEE = "0x598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a"
FEES = "0x8a89de70856bccec096661388f305b9a75f5f65cb0d8a0e1e803c39dabedb57f"
MINT = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
BURN = "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"
SPACING = "0x01413b1d5d4c359e9a0daa7909ecda165f6e8c51fe2ff529d74b22a5a7c02645"
INDEXED = "0x" + "00" * 32


@pytest.fixture
def protocol():
    return AlgebraV1(AlgebraV1.Config())


@pytest.fixture
def state():
    return state_from(AlgebraV1.State, RAW)


def log(topic, *values, topics=()):
    data = "0x" + "".join(f"{v % 2**256:064x}" for v in values)
    return Log(POOL, (topic, *topics), data)


def at(lower, upper):
    return (INDEXED, f"0x{lower % 2**256:064x}", f"0x{upper % 2**256:064x}")


def out(protocol, state, block=BLOCK, pair=(TOKEN0, TOKEN1)):
    return protocol.quote_exact_in(state, block, *pair, 10**18).amount


def test_a_quote_takes_the_fee_as_it_is_without_an_oracle(protocol, state):
    assert out(protocol, state) == LIQUIDITY * AFTER_FEE // (LIQUIDITY + AFTER_FEE)
    assert out(protocol, state, QuoteBlock(1, 1, {"fee": 0})) > out(protocol, state)
    assert protocol.marginal_rate(state, BLOCK, TOKEN0, TOKEN1, 0) == pytest.approx(0.9995)
    back = protocol.quote_exact_out(state, BLOCK, TOKEN0, TOKEN1, out(protocol, state))
    assert back.amount <= 10**18


def test_directional_fees_go_by_direction(protocol):
    raw = {k: v for k, v in RAW.items() if k != "fee"}
    raw |= {"fee_zto": 100, "fee_otz": 3000, "version": "directional"}
    state = state_from(AlgebraV1.State, raw)
    assert out(protocol, state) > out(protocol, state, pair=(TOKEN1, TOKEN0))
    swapped = QuoteBlock(1, 1, {"fee_zto": 3000, "fee_otz": 100})
    assert out(protocol, state, swapped) == out(protocol, state, pair=(TOKEN1, TOKEN0))
    after = protocol.apply(state, log(FEES, 7, 8))
    assert (after.fee_zto, after.fee_otz) == (7, 8)


def test_with_an_oracle_the_fee_is_that_of_the_blocks_first_swap(protocol, state):
    wise = state_from(AlgebraV1.State, RAW | {"oracle": ORACLE})
    (fee,) = wise.oracle.fees(0, NOW)
    assert CONFIGURATION["base_fee"] < fee < 3000
    assert out(protocol, wise) == out(protocol, replace(state, fee=fee))
    # In the block of the last timepoint the fee is set already.
    assert wise.oracle.fees(0, NOW - 100) is None
    assert out(protocol, wise, QuoteBlock(1, NOW - 100)) == out(protocol, state)
    # Where something is not known, the last fee that was read has to do.
    unknown = replace(wise, oracle=replace(wise.oracle, volume_per_liquidity_in_block=None))
    assert out(protocol, unknown) == out(protocol, state)
    forgetful = replace(wise, oracle=replace(wise.oracle, timepoints=wise.oracle.timepoints[:1]))
    assert out(protocol, forgetful) == out(protocol, state)
    fresh = QuoteBlock(1, NOW, {"oracle": wise.oracle})
    assert out(protocol, forgetful, fresh) == out(protocol, wise)


def test_a_fee_event_begins_a_timepoint_and_swaps_fill_it(protocol):
    wise = state_from(AlgebraV1.State, RAW | {"oracle": ORACLE})
    begun = protocol.apply(wise, log(FEE, 777))
    assert begun.fee == 777
    assert begun.oracle.timepoint_index == 2
    swap = log(SWAP, 10**20, -(10**20), 2**96 + 5, LIQUIDITY, 0, topics=(INDEXED, INDEXED))
    after = protocol.apply(begun, swap)
    assert after.oracle.volume_per_liquidity_in_block == (10**20 << 64) // LIQUIDITY
    assert out(protocol, after) == out(protocol, replace(after, oracle=None))


def test_events_move_the_state(protocol, state):
    more = protocol.apply(state, log(MINT, 0, 1000, 5, 5, topics=at(-60, 60)))
    assert more.liquidity == LIQUIDITY + 1000
    assert protocol.apply(more, log(BURN, 1000, 5, 5, topics=at(-60, 60))) == state
    assert protocol.apply(state, log(BURN, 0, 0, 0, topics=at(-60, 60))) == state


def test_the_spacing_of_later_versions_can_change(protocol, state):
    newer = replace(state, version="1.9")
    newer = state_from(AlgebraV1.State, RAW | {"version": "1.9"})
    assert protocol.apply(newer, log(SPACING, 7)).tick_spacing == 7
    with pytest.raises(MalformedLog):
        protocol.apply(state, log(SPACING, 7))


def test_logs_that_contradict_the_state_are_refused(protocol, state):
    for bad in (
        log(FEE, 2**16),
        log(FEES, 5, 5),
        log(SWAP, 1, -1, 2**96, LIQUIDITY + 1, 0, topics=(INDEXED, INDEXED)),
        log(SWAP, 1, -1, 2**96, LIQUIDITY, topics=(INDEXED, INDEXED)),
        log(MINT, 0, 1, 5, 5, topics=at(-61, 60)),
        log(BURN, 1, 5, 5, topics=at(-60, 60)),
        log("0x" + "11" * 32),
    ):
        with pytest.raises(MalformedLog):
            protocol.apply(state, bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fee": None}, "fee: expected a fee in version 1.0"),
        ({"fee_zto": 5}, "fee_zto: expected none"),
        ({"fee": 2**16}, "fee: expected a uint16"),
        ({"version": "2.0"}, "version"),
        ({"tick_spacing": 0}, "tick_spacing: expected"),
        ({"tick_spacing": 7}, "ticks: -6000 is not a multiple"),
        ({"oracle": ORACLE | {"fee_configurations": []}}, "oracle.fee_configurations"),
        ({"oracle": ORACLE | {"timepoint_index": RING}}, "oracle.timepoint_index"),
        ({"token1": TOKEN0}, "token1: expected another"),
    ],
)
def test_a_malformed_state_says_where(change, said):
    with pytest.raises(MalformedState, match=said):
        state_from(AlgebraV1.State, RAW | change)


def test_refusals_have_their_names(protocol, state):
    for pair, amount, status in (
        ((TOKEN0, TOKEN0), 1, Status.SAME_TOKEN),
        ((TOKEN0, POOL), 1, Status.UNKNOWN_TOKEN),
        ((TOKEN0, TOKEN1), 0, Status.ZERO_AMOUNT),
        ((TOKEN0, TOKEN1), 2**255, Status.OVERFLOW),
        ((TOKEN0, TOKEN1), 2**255 - 1, Status.INSUFFICIENT_LIQUIDITY),
    ):
        with pytest.raises(SwapRefused) as refused:
            protocol.quote_exact_in(state, BLOCK, *pair, amount)
        assert refused.value.status is status


class Ring:
    """A DataStorageOperator with many timepoints, one each `apart` seconds."""

    def __init__(self, last, apart, *, full=False, missing=()):
        count = RING if full else last + 1
        self.asked = set()
        self.points = {
            (last - back) % RING: NOW - back * apart
            for back in range(count)
            if (last - back) % RING not in missing
        }

    def answer(self, reads):
        try:
            calls = next(reads)
            while True:
                calls = reads.send([self.view(call) for call in calls])
        except StopIteration as stop:
            return stop.value

    def view(self, call):
        assert call.to == OPERATOR
        index = int(call.data[10:], 16)
        self.asked.add(index)
        time = self.points.get(index)
        return (0,) * 7 if time is None else (1, time % 2**32, index, 0, 5, 2**256 - 3, 7)


@pytest.mark.parametrize(
    ("last", "apart", "full"),
    [(0, 2, False), (1, 2, False), (50, 1, False), (40_000, 3, False), (60_000, 3600, False),
     (123, 2, True), (RING - 1, 2, True), (RING - 2, 5, True), (7, 1, True)],
)  # fmt: skip
def test_the_timepoints_around_the_windows_begin_are_read(last, apart, full):
    ring = Ring(last, apart, full=full)
    found = {t.index: t for t in ring.answer(read_timepoints(OPERATOR, last))}
    oldest = (last + 1) % RING if full else 0
    assert {last, oldest} <= found.keys()
    before = [t for t in found.values() if t.block_timestamp <= NOW - WINDOW]
    if NOW - ((last - oldest) % RING) * apart <= NOW - WINDOW:
        nearest = max(before, key=lambda t: t.block_timestamp)
        assert NOW - WINDOW - nearest.block_timestamp < apart
        assert (nearest.index + 1) % RING in found
    assert len(ring.asked) < 200
    assert found[last] == AlgebraTimepoint(last, NOW, last, 5, -3, 7)


def test_a_ring_with_gaps_is_refused():
    ring = Ring(40_000, 3, missing=range(11_000, 11_300))
    with pytest.raises(UnreadablePool, match="gap"):
        ring.answer(read_timepoints(OPERATOR, 40_000))
    with pytest.raises(UnreadablePool, match="not initialised"):
        Ring(5, 1, missing={5}).answer(read_timepoints(OPERATOR, 5))


@pytest.mark.parametrize("answer", ["the call was refused", (1,), (1, 2**32, 0, 0, 0, 0, 0)])
def test_timepoints_that_are_none_are_refused(answer):
    reads = read_timepoints(OPERATOR, 5)
    calls = next(reads)
    with pytest.raises(UnreadablePool):
        reads.send([answer] * len(calls))


def test_reads_refuse_what_is_not_a_pools(protocol):
    good = [(int(TOKEN0, 16),), (int(TOKEN1, 16),), (0, 0, 100, 0, 0, 0, 1), (0,), (60,), (5,)]
    for place in range(6):
        answers = list(good)
        answers[place] = "the call was refused"
        reads = protocol.reads(AlgebraV1.Identity(POOL))
        next(reads)
        with pytest.raises(UnreadablePool):
            reads.send(answers)


def test_a_pool_without_a_price_has_no_oracle_yet(protocol):
    reads = protocol.reads(AlgebraV1.Identity(POOL))
    next(reads)
    with pytest.raises(StopIteration) as stop:
        reads.send([(1,), (2,), (0, 0, 100, 0, 0, 0, 1), (0,), (60,), (5,)])
    state = stop.value.value
    assert (state.version, state.oracle, state.fee) == ("1.9", None, 100)
    with pytest.raises(StopIteration) as stop:
        next(protocol.refresh(state))
    assert stop.value.value == {}
