"""Liquidity Book's pairs: their state, their events, their reads, their quotes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.reference import liquidity_book as reference
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.state import MalformedState, state_from

LiquidityBook = PROTOCOLS.load("liquidity_book")
POOL, X, Y = "0x" + "0f" * 20, "0x" + "aa" * 20, "0x" + "bb" * 20
NOW = 1_700_000_000
BLOCK = QuoteBlock(1, NOW)
CENTRE = 1 << 23
RAW = {
    "token_x": X,
    "token_y": Y,
    "bin_step": 25,
    "active_id": CENTRE,
    "bins": [
        {"id": CENTRE + 1, "reserve_x": 10**18, "reserve_y": 0},
        {"id": CENTRE - 1, "reserve_x": 0, "reserve_y": str(10**18)},
        {"id": CENTRE, "reserve_x": 10**18, "reserve_y": 10**18},
    ],
    "base_factor": 5_000,
    "filter_period": 30,
    "decay_period": 600,
    "reduction_factor": 5_000,
    "variable_fee_control": 40_000,
    "protocol_share": 1_000,
    "max_volatility_accumulator": 350_000,
    "pool": POOL,
}
SWAP = "0xad7d6f97abf51ce18e17a38f4d70e975be9c0708474987bb3e26ad21bd93ca70"
DEPOSITED = "0x87f1f9dcf5e8089a3e00811b6a008d8f30293a3da878cb1fe8c90ca376402f8a"
WITHDRAWN = "0xa32e146844d6144a22e94c586715a1317d58a8aa3581ec33d040113ddcb24350"
COMPOSITION = "0x3f0b46725027bb418b2005f4683538eccdbcdf1de2b8649a29dbd9c507d16ff4"
FLASH_LOAN = "0xd126bd9d94daca8e55ffd8283fac05394aec8326c6b1639e1e8a445fbe8bbc7d"
STATIC_SET = "0xd09e5ddc721ff14c5c1e66a305cbba1fd70b82c5232bc391aad6f55e62e4b046"
DECAY = "0x282afaeeae84c1d85ad1424a3aa2ddbedaeefca3b1e53d889d15265fe44db7fc"
HOOKS = "0x4d24d81a1a6e09c37497747b4c9d67d858ce80438b54df0fa361a24dc742d934"
WHO = "0x" + "01".rjust(64, "0")


@pytest.fixture
def protocol():
    return LiquidityBook(LiquidityBook.Config(bins_at_once=2))


@pytest.fixture
def state():
    return state_from(LiquidityBook.State, RAW)


def words(*values):
    return "0x" + "".join(f"{value:064x}" for value in values)


def log(topic, *values, topics=3):
    return Log(POOL, (topic, *[WHO] * (topics - 1)), words(*values))


def packed(x, y):
    return y << 128 | x


def held(state):
    return {b.id - CENTRE: (b.reserve_x, b.reserve_y) for b in state.bins}


def pair_of(state):
    return reference.Pair(
        state.active_id,
        state.bin_step,
        tuple(sorted(reference.Bin(b.id, b.reserve_x, b.reserve_y) for b in state.bins)),
        reference.Fees(
            **{name: getattr(state, name) for name in reference.Fees.__dataclass_fields__}
        ),
        state.version == "2.2",
    )


def test_a_quote_is_the_references(protocol, state):
    for token_in, token_out in ((X, Y), (Y, X)):
        for amount in (0, 1, 10**15, 10**18, 15 * 10**17):
            quote = protocol.quote_exact_in(state, BLOCK, token_in, token_out, amount)
            expected = reference.swap_out(
                pair_of(state), amount, swap_for_y=token_in == X, timestamp=NOW
            )
            assert quote == (expected.amount, expected.amount, expected.bins)
            back = protocol.quote_exact_out(state, BLOCK, token_in, token_out, amount)
            expected = reference.swap_in(
                pair_of(state), amount, swap_for_y=token_in == X, timestamp=NOW
            )
            assert back == (expected.amount, expected.amount, expected.bins)


def test_the_fee_depends_on_the_block(protocol, state):
    moved = replace(
        state, volatility_accumulator=300_000, id_reference=CENTRE, time_of_last_update=NOW - 100
    )
    outs = [
        protocol.quote_exact_in(moved, QuoteBlock(1, NOW + later), X, Y, 10**16).amount
        for later in (0, 499, 500)
    ]
    assert outs[0] == outs[1] < outs[2]
    rested = {"volatility_accumulator": 0, "time_of_last_update": NOW}
    block = QuoteBlock(1, NOW, volatile=rested)
    assert protocol.quote_exact_in(moved, block, X, Y, 10**16).amount == outs[2]


@pytest.mark.parametrize(
    ("change", "args", "status"),
    [
        ({}, (X, X, 1), Status.SAME_TOKEN),
        ({}, (X, POOL, 1), Status.UNKNOWN_TOKEN),
        ({}, (X, Y, 2**128), Status.OVERFLOW),
        ({}, (X, Y, 2**256), Status.OVERFLOW),
        ({}, (X, Y, -1), Status.OVERFLOW),
        ({}, (X, Y, 10**19), Status.INSUFFICIENT_LIQUIDITY),
        ({"bins": ()}, (X, Y, 1), Status.INSUFFICIENT_LIQUIDITY),
        ({"time_of_last_update": NOW + 1}, (X, Y, 1), Status.OVERFLOW),
        ({"hooks_parameters": words(1 << 160)}, (X, Y, 1), Status.UNMODELLED),
        ({"hooks_parameters": words(1 << 161)}, (X, Y, 1), Status.UNMODELLED),
    ],
)
def test_what_the_pair_refuses_has_its_name(protocol, state, change, args, status):
    for ask in (protocol.quote_exact_in, protocol.quote_exact_out, protocol.marginal_rate):
        with pytest.raises(SwapRefused) as refused:
            ask(replace(state, **change), BLOCK, *args)
        assert refused.value.status == status


def test_a_hook_that_does_not_see_swaps_is_no_obstacle(protocol, state):
    minting = replace(state, hooks_parameters=words(1 << 164 | 5))
    assert protocol.quote_exact_in(minting, BLOCK, X, Y, 100).amount


def test_volatile_values_beyond_the_contracts_are_refused(protocol, state):
    block = QuoteBlock(1, NOW, volatile={"volatility_reference": 2**20})
    with pytest.raises(ValueError, match="volatility_reference: expected 0 to"):
        protocol.quote_exact_in(state, block, X, Y, 1)


def test_an_output_that_no_swap_pays_is_refused(protocol, state):
    # getSwapIn answers, and a swap with its answer overflows the bin.
    full = replace(state, bins=(type(state.bins[0])(CENTRE, 2**128 - 1, 10**18),))
    with pytest.raises(SwapRefused, match="OVERFLOW"):
        protocol.quote_exact_out(full, BLOCK, X, Y, 10**16)


def test_the_marginal_rate_is_price_less_fee(protocol, state):
    assert protocol.marginal_rate(state, BLOCK, X, Y, 0) == pytest.approx(0.99875)
    deeper = protocol.marginal_rate(state, BLOCK, Y, X, 15 * 10**17)
    assert deeper == pytest.approx(0.99875 / 1.0025, rel=1e-3)


def test_a_swap_moves_its_bin_and_the_active_one(protocol, state):
    event = log(SWAP, CENTRE - 1, packed(7, 0), packed(0, 5), 10_000, packed(1, 0), packed(0, 0))
    after = protocol.apply(state, event)
    assert held(after) == {-1: (7, 10**18 - 5), 0: (10**18, 10**18), 1: (10**18, 0)}
    assert (after.active_id, after.volatility_accumulator) == (CENTRE - 1, 10_000)


def test_deposits_and_withdrawals_move_bins(protocol, state):
    event = log(DEPOSITED, 64, 160, 2, CENTRE + 1, CENTRE + 5, 2, packed(3, 0), packed(9, 0))
    after = protocol.apply(state, event)
    assert held(after)[1] == (10**18 + 3, 0)
    assert held(after)[5] == (9, 0)
    event = log(WITHDRAWN, 64, 128, 1, CENTRE + 5, 1, packed(9, 0))
    after = protocol.apply(after, event)
    assert 5 not in held(after)


def test_a_flash_loans_fee_stays_in_the_active_bin(protocol, state):
    after = protocol.apply(state, log(FLASH_LOAN, CENTRE, 0, packed(10, 20), packed(1, 20)))
    assert held(after)[0] == (10**18 + 9, 10**18)


def test_parameters_follow_their_events(protocol, state):
    after = protocol.apply(state, log(STATIC_SET, 1, 2, 3, 4, 5, 6, 7, topics=2))
    assert (after.base_factor, after.max_volatility_accumulator) == (1, 7)
    moved = replace(state, volatility_accumulator=1_001, id_reference=5)
    after = protocol.apply(moved, log(DECAY, 5, 0, topics=2))
    assert (after.id_reference, after.volatility_reference) == (CENTRE, 500)
    after = protocol.apply(state, log(HOOKS, 1 << 160, topics=2))
    assert after.hooks_parameters == words(1 << 160)
    assert protocol.apply(state, log(COMPOSITION, CENTRE, 1, 0, topics=2)) == state
    assert {"id_reference", "time_of_last_update"} < protocol.volatile


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (log(SWAP, CENTRE, 0, 0, 0, 0), "3 topics and 160 bytes"),
        (log(SWAP, CENTRE, 0, packed(2 * 10**18, 0), 0, 0, 0), "would hold"),
        (log(SWAP, 1 << 24, packed(1, 0), 0, 0, 0, 0), r"bins\[3\].id"),
        (log(SWAP, CENTRE, 0, 0, 1 << 20, 0, 0), "volatility_accumulator"),
        (log(WITHDRAWN, 64, 128, 1, CENTRE + 9, 1, packed(1, 0)), "would hold -1"),
        (log(DEPOSITED, 64, 128, 2, CENTRE, 1, 0), "two lists that do not fill"),
        (log(DEPOSITED, 64, 128, 1, CENTRE, 2, 0), "different lengths"),
        (log(DEPOSITED, 64, 128, 1), "two lists that do not fill"),
        (log(DEPOSITED, 64, 128, 1, 1 << 24, 1, 0), "beyond uint24"),
        (log(STATIC_SET, 1, 9, 3, 4, 5, 6, 7, topics=2), "filter_period"),
        (log("0x" + "00" * 32), "a topic that is not a pair's"),
    ],
)
def test_a_malformed_log_is_refused(protocol, state, event, said):
    with pytest.raises(MalformedLog, match=said):
        protocol.apply(state, event)


STATIC = tuple(RAW[name] for name in list(RAW)[5:12])
MOVING = (1_000, 500, CENTRE + 2, NOW - 5)


class Recorded:
    """A pair that answers calls from its bins."""

    def __init__(self, state, *, hooks=None):
        self.bins = {b.id: (b.reserve_x, b.reserve_y) for b in state.bins}
        self.rounds = 0
        self.plain = {
            "0x05e8746d": (int(X, 16),),
            "0xda10610c": (int(Y, 16),),
            "0x17f11ecc": (25,),
            "0xdbe65edc": (CENTRE,),
            "0x7ca0de30": STATIC,
            "0x8d7024e5": MOVING,
            "0x781a8915": "it reverted" if hooks is None else (hooks,),
        }

    def answer(self, call):
        selector, rest = call.data[:10], call.data[10:]
        if selector in self.plain:
            return self.plain[selector]
        if selector == "0x0abe9688":
            return self.bins.get(int(rest, 16), (0, 0))
        down, bin_id = int(rest[:64], 16), int(rest[64:], 16)
        if down:
            return (max((b for b in self.bins if b < bin_id), default=2**24 - 1),)
        return (min((b for b in self.bins if b > bin_id), default=0),)

    def carry_out(self, reads):
        calls = next(reads)
        try:
            while True:
                self.rounds += 1
                calls = reads.send([self.answer(call) for call in calls])
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("hooks", [None, 0, 1 << 164])
def test_reads_find_every_bin(protocol, state, hooks):
    far = type(state.bins[0])(CENTRE + 4_000, 5, 0)
    whole = replace(state, bins=(*state.bins, far))
    pair = Recorded(whole, hooks=hooks)
    found = pair.carry_out(protocol.reads(LiquidityBook.Identity(POOL)))
    assert set(found.bins) == set(whole.bins)
    assert found.version == ("2.1" if hooks is None else "2.2")
    assert found.hooks_parameters == words(hooks or 0)
    assert (found.volatility_accumulator, found.time_of_last_update) == (1_000, NOW - 5)
    assert (found.base_factor, found.pool) == (5_000, POOL)
    refreshed = pair.carry_out(protocol.refresh(found))
    assert refreshed == {name: getattr(found, name) for name in protocol.volatile}


def test_many_bins_need_few_rounds(state):
    bins = tuple(type(state.bins[0])(CENTRE + i, 1, 0) for i in range(200))
    pair = Recorded(replace(state, bins=bins))
    reads = LiquidityBook(LiquidityBook.Config()).reads(LiquidityBook.Identity(POOL))
    assert len(pair.carry_out(reads).bins) == 200
    assert pair.rounds < 10


@pytest.mark.parametrize(
    ("selector", "answer", "said"),
    [
        ("0x05e8746d", "it reverted", "getTokenX: it reverted"),
        ("0x05e8746d", (1 << 160,), "not an address"),
        ("0x7ca0de30", (1, 2), "getStaticFeeParameters answered 2 words"),
        ("0xda10610c", (int(X, 16),), "token_y: expected another token"),
        ("0x781a8915", (), "getLBHooksParameters answered 0 words"),
    ],
)
def test_answers_of_something_else_are_refused(protocol, state, selector, answer, said):
    pair = Recorded(state)
    pair.plain[selector] = answer
    with pytest.raises(UnreadablePool, match=said):
        pair.carry_out(protocol.reads(LiquidityBook.Identity(POOL)))


def test_bins_that_lead_nowhere_are_refused(protocol, state):
    pair = Recorded(state)
    pair.answer = lambda call: (
        (CENTRE + 7,) if call.data.startswith("0xa41a01fb") else Recorded(state).answer(call)
    )
    with pytest.raises(UnreadablePool, match="did not answer a further bin"):
        pair.carry_out(protocol.reads(LiquidityBook.Identity(POOL)))


def test_refresh_needs_the_pool(protocol, state):
    with pytest.raises(UnreadablePool, match="names no pool"):
        next(protocol.refresh(replace(state, pool=None)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bins": [RAW["bins"][0], RAW["bins"][0]]}, r"bins\[1\].id: expected each bin once"),
        ({"bins": [{"id": -1, "reserve_x": 0, "reserve_y": 0}]}, r"bins\[0\].id: expected 0 to"),
        ({"bins": [{"id": 1, "reserve_x": 2**128, "reserve_y": 0}]}, r"bins\[0\].reserve_x"),
        ({"bins": [{"id": 1}]}, r"bins\[0\].reserve_x: missing"),
        ({"active_id": 2**24}, "active_id: expected 0 to 16777215"),
        ({"filter_period": 601}, "filter_period: expected at most decay_period, 600"),
        ({"protocol_share": 2_501}, "protocol_share: expected 0 to 2500"),
        ({"version": "2.0"}, "version: '2.0' is unknown"),
        ({"token_y": X}, "token_y: expected another token"),
    ],
)
def test_a_malformed_state_names_its_field(change, said):
    with pytest.raises(MalformedState, match=said):
        state_from(LiquidityBook.State, RAW | change)
