"""Liquidity Book against a double in Solidity, on a local EVM: quotes, swaps, events, reads."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest
from eth_abi.abi import encode

from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from tests.conformance.answering import answered
from tests.conformance.evm import LocalEvm, Reverted, solidity
from tests.conformance.liquidity_book_double import PAIR
from tests.kernels.books import NOW, any_pair

BLOCK = QuoteBlock(1, NOW)
SET = (
    "set(uint16,uint24,(uint16,uint16,uint16,uint16,uint24,uint16,uint24),"
    "(uint24,uint24,uint24,uint40))"
)
MOVE = "move(bool,uint256[],uint128[2][])"
OUT = "getSwapOut(uint128,bool)(uint128,uint128,uint128)"
IN = "getSwapIn(uint128,bool)(uint128,uint128,uint128)"
REASONS = {
    "fee": {Status.UNSAFE_VALUES},
    "full": {Status.UNSAFE_VALUES},
    "price": {Status.PRICE_LIMIT},
    "128 bits": {Status.OVERFLOW},
    "Panic(0x11)": {Status.OVERFLOW},
}

LiquidityBook = PROTOCOLS.load("liquidity_book")


@pytest.fixture(scope="module")
def protocol():
    return LiquidityBook(LiquidityBook.Config(bins_at_once=5))


@pytest.fixture(scope="module")
def doubles():
    evm = LocalEvm(timestamp=NOW)
    creation = solidity({"BookPair.sol": PAIR}, via_ir=True)["BookPair"]
    return evm, {
        limited: evm.deploy(creation, args=encode(["bool"], [limited])) for limited in (False, True)
    }


def laid_out(evm, address, pair):
    """Give the double a pair's numbers; what it emits for its bins."""
    fees = astuple(pair.fees)
    evm.send(address, SET, pair.bin_step, pair.active_id, fees[:7], fees[7:])
    held = [(b.reserve_x, b.reserve_y) for b in pair.bins]
    evm.send(address, MOVE, True, [b.id for b in pair.bins], held)
    return evm.logs()[0]


def asked(ask, *args):
    try:
        return ask(*args).amount
    except SwapRefused as refusal:
        return refusal.status


def contract_says(evm, address, signature, amount, for_y, *, left):
    """What a view answers: an amount, or what its revert or its remainder is called."""
    try:
        answer = evm.call(address, signature, amount, for_y)
    except Reverted as error:
        return REASONS[error.reason]
    return {Status.INSUFFICIENT_LIQUIDITY} if answer[left] else answer[1 - left]


def same(found, expected):
    return found in expected if isinstance(expected, set) else found == expected


def check(doubles, protocol, seed, count):
    evm, addresses = doubles
    rng = random.Random(seed)
    swapped = reverted = 0
    for _ in range(count):
        pair = any_pair(rng)
        address = addresses[pair.limited]
        before = evm.snapshot()
        laid_out(evm, address, pair)
        state = answered(evm, protocol.reads(LiquidityBook.Identity(address)))
        tokens = (state.token_x, state.token_y)
        total = sum(b.reserve_x + b.reserve_y for b in pair.bins)
        for _ in range(4):
            amount = min(int((total + 10) * 10 ** rng.uniform(-6, 0.3)), 2**128 - 1)
            for_y = rng.random() < 0.5
            way = tokens if for_y else tokens[::-1]
            found = asked(protocol.quote_exact_in, state, BLOCK, *way, amount)
            expected = contract_says(evm, address, OUT, amount, for_y, left=0)
            assert same(found, expected), (state, amount, for_y)
            back = asked(protocol.quote_exact_out, state, BLOCK, *way, amount)
            expected = contract_says(evm, address, IN, amount, for_y, left=1)
            if not same(back, expected):
                # The view does not ask what a swap with its answer asks.
                answer = contract_says(evm, address, OUT, expected, for_y, left=0)
                assert same(back, answer), (state, amount, for_y)
                reverted += 1
            if isinstance(found, Status) or not found:
                continue
            mark = evm.snapshot()
            out = evm.send(address, "swap(uint128,bool)(uint256)", amount, for_y)
            assert out == (found,)
            moved = state
            for log in evm.logs():
                moved = protocol.apply(moved, log)
            now = answered(evm, protocol.reads(LiquidityBook.Identity(address)))
            assert (moved.active_id, moved.bins) == (now.active_id, now.bins)
            assert moved.volatility_accumulator == now.volatility_accumulator
            fresh = answered(evm, protocol.refresh(moved))
            assert fresh == {name: getattr(now, name) for name in protocol.volatile}
            evm.revert(mark)
            swapped += 1
        evm.revert(before)
    assert swapped > count
    assert reverted < 0.1 * count


def test_quotes_and_swaps_are_the_pairs(doubles, protocol):
    check(doubles, protocol, 1, 100)


@pytest.mark.full
def test_many_quotes_and_swaps_are_the_pairs(doubles, protocol):
    check(doubles, protocol, 2, 2_500)


def test_deposits_and_withdrawals_are_followed(doubles, protocol):
    evm, addresses = doubles
    rng = random.Random(3)
    before = evm.snapshot()
    address = addresses[False]
    pair = any_pair(rng, bins=30)
    while len(pair.bins) < 10:
        pair = any_pair(rng, bins=30)
    laid_out(evm, address, pair)
    state = answered(evm, protocol.reads(LiquidityBook.Identity(address)))
    for adds in (True, False, True, False):
        chosen = rng.sample(state.bins, 5)
        held = [(b.reserve_x, b.reserve_y) for b in chosen]
        evm.send(address, MOVE, adds, [b.id for b in chosen], held)
        state = protocol.apply(state, evm.logs()[0])
        assert state == answered(evm, protocol.reads(LiquidityBook.Identity(address)))
    evm.revert(before)
