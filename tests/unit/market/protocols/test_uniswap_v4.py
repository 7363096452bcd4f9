"""Uniswap V4: keys, hooks, protocol fees, events and reads."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from searcher.domain.events import Log
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, QuoteBlock, UnreadablePool
from searcher.market.protocols.uniswap_v4 import pool_id
from searcher.market.state import MalformedState, state_from

UniswapV4 = PROTOCOLS.load("uniswap_v4")
MANAGER = "0x" + "0f" * 20
ETHER, TOKEN = "0x" + "00" * 20, "0x" + "bb" * 20
BLOCK = QuoteBlock(1, 1)
LIQUIDITY = 10**21
RAW = {
    "currency0": ETHER,
    "currency1": TOKEN,
    "fee": 3000,
    "tick_spacing": 60,
    "sqrt_price_x96": str(2**96),
    "tick": 0,
    "liquidity": LIQUIDITY,
    "ticks": [
        {"index": -6000, "liquidity_net": LIQUIDITY, "liquidity_gross": LIQUIDITY},
        {"index": 6000, "liquidity_net": -LIQUIDITY, "liquidity_gross": LIQUIDITY},
    ],
}
SWAP = "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f"
MODIFY = "0xf208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec"
FEE = "0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9"
INITIALIZE = "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438"


@pytest.fixture
def protocol():
    return UniswapV4(UniswapV4.Config())


@pytest.fixture
def state():
    return state_from(UniswapV4.State, RAW)


def log(state, topic, *values, more=("0x" + "00" * 32,)):
    data = "0x" + "".join(f"{v % 2**256:064x}" for v in values)
    return Log(MANAGER, (topic, pool_id(state), *more), data)


def refusal(protocol, state, pair=(ETHER, TOKEN), amount=10**18):
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_in(state, BLOCK, *pair, amount)
    return refused.value.status


def test_a_quote_of_ether(protocol, state):
    quote = protocol.quote_exact_in(state, BLOCK, ETHER, TOKEN, 10**18)
    assert quote.amount == quote.realised == 996006981039903216
    back = protocol.quote_exact_out(state, BLOCK, ETHER, TOKEN, quote.amount)
    assert back.amount <= 10**18
    rate = protocol.marginal_rate(state, BLOCK, ETHER, TOKEN, 0)
    assert rate == pytest.approx(0.997)


def test_the_protocols_fee_counts_in_its_direction(protocol, state):
    taxed = replace(state, protocol_fee=1000)
    for pair, sooner in (((ETHER, TOKEN), True), ((TOKEN, ETHER), False)):
        plain = protocol.quote_exact_in(state, BLOCK, *pair, 10**18).amount
        now = protocol.quote_exact_in(taxed, BLOCK, *pair, 10**18).amount
        assert (now < plain) is sooner
    other = replace(state, protocol_fee=1000 << 12)
    there = protocol.quote_exact_in(taxed, BLOCK, ETHER, TOKEN, 10**18)
    assert there == protocol.quote_exact_in(other, BLOCK, TOKEN, ETHER, 10**18)


@pytest.mark.parametrize("flag", [7, 6, 3, 2])
def test_hooks_that_are_told_of_swaps_are_not_modelled(protocol, state, flag):
    hooked = replace(state, hooks=f"0x{'12' * 18}{1 << flag:04x}")
    assert refusal(protocol, hooked) is Status.UNMODELLED


def test_other_hooks_do_no_harm(protocol, state):
    harmless = ~(1 << 7 | 1 << 6 | 1 << 3 | 1 << 2) & 0x3FFF
    hooked = replace(state, hooks=f"0x{'12' * 18}{harmless:04x}")
    want = protocol.quote_exact_in(state, BLOCK, ETHER, TOKEN, 5)
    assert protocol.quote_exact_in(hooked, BLOCK, ETHER, TOKEN, 5) == want


def test_a_dynamic_fee_is_not_modelled(protocol, state):
    assert refusal(protocol, replace(state, fee=0x800000)) is Status.UNMODELLED


@pytest.mark.parametrize(
    ("pair", "amount", "status"),
    [
        ((ETHER, ETHER), 1, Status.SAME_TOKEN),
        ((MANAGER, TOKEN), 1, Status.UNKNOWN_TOKEN),
        ((ETHER, TOKEN), 0, Status.ZERO_AMOUNT),
        ((ETHER, TOKEN), 10**30, Status.INSUFFICIENT_LIQUIDITY),
        ((ETHER, TOKEN), 2**256 - 1, Status.OVERFLOW),
    ],
)
def test_what_is_refused_has_its_name(protocol, state, pair, amount, status):
    assert refusal(protocol, state, pair, amount) is status


def test_all_of_an_input_can_be_fee_but_of_no_output(protocol, state):
    greedy = replace(state, fee=1_000_000)
    assert protocol.quote_exact_in(greedy, BLOCK, ETHER, TOKEN, 10**18).amount == 0
    with pytest.raises(SwapRefused) as refused:
        protocol.quote_exact_out(greedy, BLOCK, ETHER, TOKEN, 5)
    assert refused.value.status is Status.UNSAFE_VALUES


def test_events_move_the_state(protocol, state):
    after = protocol.apply(state, log(state, SWAP, -5, 4, 2**96 + 7, LIQUIDITY, 0, 3000))
    assert after.sqrt_price_x96 == 2**96 + 7
    more = protocol.apply(state, log(state, MODIFY, -60, 60, 1000, 0))
    assert more.liquidity == LIQUIDITY + 1000
    assert len(more.ticks) == 4
    assert protocol.apply(more, log(state, MODIFY, -60, 60, -1000, 0)) == state
    assert protocol.apply(state, log(state, MODIFY, -60, 60, 0, 0)) == state
    fee = protocol.apply(state, log(state, FEE, 7 << 12 | 9, more=()))
    assert fee.protocol_fee == 7 << 12 | 9


def test_a_pool_begins(protocol, state):
    empty = replace(state, sqrt_price_x96=0, liquidity=0, ticks=())
    assert refusal(protocol, empty) is Status.EMPTY_POOL
    more = ("0x" + "00" * 32, "0x" + "00" * 12 + "bb" * 20)
    begun = log(state, INITIALIZE, 3000, 60, 0, 2**96, 0, more=more)
    assert protocol.apply(empty, begun) == replace(empty, sqrt_price_x96=2**96)
    with pytest.raises(MalformedLog):
        protocol.apply(state, begun)


def test_logs_that_contradict_the_state_are_refused(protocol, state):
    for bad in (
        log(state, SWAP, -5, 4, 2**96 + 7, LIQUIDITY + 1, 0, 3000),
        log(state, SWAP, -5, 4, 2**96 + 7, LIQUIDITY, 5, 3000),
        log(state, SWAP, -5, 4, 2**96 + 7, LIQUIDITY, 0),
        log(state, MODIFY, -60, 60, -1, 0),
        log(state, MODIFY, -61, 60, 1, 0),
        log(state, MODIFY, 60, 60, 1, 0),
        log(state, FEE, 1001, more=()),
        log(replace(state, fee=500), SWAP, -5, 4, 2**96 + 7, LIQUIDITY, 0, 3000),
        log(state, "0x" + "11" * 32, 1),
        Log(MANAGER, (SWAP,), "0x"),
    ):
        with pytest.raises(MalformedLog):
            protocol.apply(state, bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency1": ETHER}, "currency1: expected a higher address"),
        ({"fee": 1_000_001}, "fee: expected 0 to 1000000"),
        ({"tick_spacing": 0}, "tick_spacing: expected 1 to 32767"),
        ({"protocol_fee": 1001}, "protocol_fee: expected"),
        ({"tick": 5}, "tick: 5 is not the tick"),
        ({"sqrt_price_x96": 7}, "sqrt_price_x96: expected"),
        ({"sqrt_price_x96": 0}, "sqrt_price_x96: 0 for a pool"),
        ({"liquidity": 5}, "liquidity: 5 where the ticks add up"),
        ({"tick_spacing": 7}, "ticks: -6000 is not a multiple of the tick spacing of 7"),
        ({"ticks": RAW["ticks"][::-1]}, "ticks: expected ascending"),
        ({"hook": ETHER}, "did you mean"),
    ],
)
def test_a_malformed_state_says_where(change, said):
    with pytest.raises(MalformedState, match=said):
        state_from(UniswapV4.State, RAW | change)


def test_ticks_around_the_price_suffice_until_a_quote_leaves_them(protocol):
    some = state_from(UniswapV4.State, RAW | {"ticks": RAW["ticks"][:1]})
    want = state_from(UniswapV4.State, RAW)
    quote = protocol.quote_exact_in(some, BLOCK, ETHER, TOKEN, 10**18)
    assert quote == protocol.quote_exact_in(want, BLOCK, ETHER, TOKEN, 10**18)
    assert refusal(protocol, some, (TOKEN, ETHER), 10**24) is Status.BAD_STATE


@pytest.mark.parametrize(
    "answer",
    ["the call was refused", (32, 2, 5), (32, 3, 1, 1, 1), (64, 2, 0, 0), (32, 2, 0, 7)],
)
def test_reads_refuse_what_is_not_the_managers(protocol, answer):
    reads = protocol.reads(UniswapV4.Identity(MANAGER, ETHER, TOKEN, 3000, 60))
    next(reads)
    with pytest.raises(UnreadablePool):
        reads.send([answer])


def test_a_pool_without_a_price_needs_no_more_reads(protocol):
    reads = protocol.reads(UniswapV4.Identity(MANAGER, ETHER, TOKEN, 3000, 60))
    (call,) = next(reads)
    assert (call.to, call.data[:10]) == (MANAGER, "0xdbd035ff")
    with pytest.raises(StopIteration) as stop:
        reads.send([(32, 2, 0, 0)])
    assert stop.value.value.sqrt_price_x96 == 0
