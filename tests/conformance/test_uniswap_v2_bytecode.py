"""The V2 curve against the pairs' own bytecode: its answer passes, one unit more reverts."""

from __future__ import annotations

import random

import pytest
from eth_abi.abi import encode

from searcher.domain.units import ZERO_ADDRESS, keccak256
from searcher.kernels import uniswap_v2 as native
from searcher.kernels.reference.uniswap_v2 import FEE_UNIT, MAX_RESERVE
from searcher.kernels.refusal import Status
from searcher.market.protocols.uniswap_v2 import SYNC, UniswapV2, UniswapV2State
from tests.conformance.evm import LocalEvm, Reverted, artifact, solidity, sources

RESERVES_SLOT = 8
BALANCES_SLOT = 3
"""Of the laboratory's tokens."""
SWAP = "swap(uint256,uint256,address,bytes)"
PANCAKE_PAIR = "@pancakeswap-libs/pancake-swap-core/contracts/PancakePair.sol"
TAKER = "0x" + "7a" * 20
COUNTS = [1_000, pytest.param(10_000, marks=pytest.mark.full)]


def uniswap():
    return artifact("UniswapV2Pair").creation


def published_pancake():
    """The package holds the first version of the pair, whose fee is 20 bps."""
    return artifact("PancakePair").creation


def pancake():
    """The same with the three constants of the pairs that are in use: 25 bps."""
    text = sources(PANCAKE_PAIR)[PANCAKE_PAIR]
    for old, new, times in (
        ("mul(1000)", "mul(10000)", 2),
        ("mul(2)", "mul(25)", 2),
        ("1000**2", "10000**2", 1),
    ):
        assert text.count(old) == times
        text = text.replace(old, new)
    return solidity({PANCAKE_PAIR: text}, solc_version="0.5.16")["PancakePair"]


class Pair:
    """A pair whose reserves and balances are written into its storage."""

    def __init__(self, creation, fee_pips):
        self.evm = LocalEvm()
        self.fee_pips = fee_pips
        self.tokens = self.evm.tokens(2)
        self.address = self.evm.deploy(creation)
        self.evm.send(self.address, "initialize(address,address)", *self.tokens)

    def hold(self, reserves, balances):
        packed = reserves[0] | reserves[1] << 112 | self.evm.timestamp << 224
        self.evm.set_storage(self.address, RESERVES_SLOT, packed)
        for token, balance in zip(self.tokens, balances, strict=True):
            key = keccak256(encode(["address", "uint256"], [self.address, BALANCES_SLOT]))
            self.evm.set_storage(token, int.from_bytes(key), balance)

    def pays(self, act, out, zero_for_one):
        amounts = (0, out) if zero_for_one else (out, 0)
        act(self.address, SWAP, *amounts, TAKER, b"")


@pytest.fixture(
    params=[(uniswap, 3000), (published_pancake, 2000), (pancake, 2500)],
    ids=["uniswap", "published pancake", "pancake"],
)
def pair(request):
    creation, fee_pips = request.param
    return Pair(creation(), fee_pips)


def sized(draw, bits):
    return draw.getrandbits(draw.randint(1, bits)) or 1


@pytest.mark.parametrize("count", COUNTS)
def test_a_pair_pays_exactly_what_the_kernel_says(pair, count):
    draw = random.Random(count)
    protocol = UniswapV2(UniswapV2.Config())
    seen = dict.fromkeys((Status.OK, Status.OVERFLOW, Status.TOO_SMALL), 0)
    for _ in range(count):
        reserves = [sized(draw, 112), sized(draw, 112)]
        zero_for_one = draw.random() < 0.5
        has, pays = reserves if zero_for_one else reserves[::-1]
        room = MAX_RESERVE - has
        amount = draw.choice([sized(draw, 112), sized(draw, has.bit_length()), room, room + 1])
        status, out = native.amount_out(amount, has, pays, pair.fee_pips)
        balances = [has + amount, pays] if zero_for_one else [pays, has + amount]
        pair.hold(reserves, balances)
        if status == Status.OK and out > 0:
            with pytest.raises(Reverted, match=r"K$|INSUFFICIENT_LIQUIDITY"):
                pair.pays(pair.evm.call, out + 1, zero_for_one)
            pair.pays(pair.evm.send, out, zero_for_one)
            left = [has + amount, pays - out]
            state = UniswapV2State(*pair.tokens, *reserves, pair.fee_pips)
            (sync,) = [log for log in pair.evm.logs() if log.topics[0] == SYNC]
            after = protocol.apply(state, sync)
            assert [after.reserve0, after.reserve1] == (left if zero_for_one else left[::-1])
        elif status == Status.OK:
            status = Status.TOO_SMALL
            with pytest.raises(Reverted, match="INSUFFICIENT_OUTPUT_AMOUNT"):
                pair.pays(pair.evm.call, 0, zero_for_one)
            with pytest.raises(Reverted, match=r"K$|INSUFFICIENT_LIQUIDITY"):
                pair.pays(pair.evm.call, 1, zero_for_one)
        else:
            assert status == Status.OVERFLOW
            kept = amount * (FEE_UNIT - pair.fee_pips)
            curve = kept * pays // (has * FEE_UNIT + kept)
            with pytest.raises(Reverted, match="OVERFLOW" if curve else "OUTPUT_AMOUNT"):
                pair.pays(pair.evm.call, curve, zero_for_one)
        seen[Status(status)] += 1
    assert all(times > count // 50 for times in seen.values()), seen


@pytest.mark.parametrize("count", COUNTS)
def test_a_pair_takes_exactly_what_the_kernel_asks_for(pair, count):
    draw = random.Random(count + 1)
    done = 0
    while done < count:
        has, pays = sized(draw, 112), sized(draw, 112)
        wanted = sized(draw, pays.bit_length())
        status, needed = native.amount_in(wanted, has, pays, pair.fee_pips)
        if status != Status.OK:
            continue
        done += 1
        pair.hold([has, pays], [has + needed, pays])
        pair.pays(pair.evm.call, wanted, zero_for_one=True)
        # The library adds one to what it has rounded down, so it may ask for one too much.
        if needed > 2:
            pair.hold([has, pays], [has + needed - 2, pays])
            with pytest.raises(Reverted, match=r"K$"):
                pair.pays(pair.evm.call, wanted, zero_for_one=True)


@pytest.mark.parametrize("count", COUNTS)
def test_the_router_answers_what_the_kernel_says(count):
    evm = LocalEvm()
    router = evm.deploy(
        artifact("UniswapV2Router02").creation,
        args=encode(["address", "address"], [ZERO_ADDRESS, ZERO_ADDRESS]),
    )
    draw = random.Random(count + 2)
    functions = {"getAmountOut": native.amount_out, "getAmountIn": native.amount_in}
    refused = 0
    for _ in range(count):
        has, pays = (draw.choice([0, sized(draw, 112), sized(draw, 112)]) for _ in range(2))
        amount = draw.choice([0, sized(draw, 112), sized(draw, 112), sized(draw, 112)])
        for name, function in functions.items():
            status, quoted = function(amount, has, pays, 3000)
            try:
                (answer,) = evm.call(
                    router, f"{name}(uint256,uint256,uint256)(uint256)", amount, has, pays
                )
            except Reverted:
                assert status != Status.OK
                refused += 1
                continue
            if status == Status.OK:
                assert quoted == answer
            else:
                # The library does not know the pair's own limit.
                assert status == Status.OVERFLOW
                assert has + (amount if name == "getAmountOut" else answer) > MAX_RESERVE
    assert refused > count // 10


def test_a_pair_never_pays_all_it_holds(pair):
    pair.hold([100, 100], [10_000, 100])
    assert native.amount_in(100, 100, 100, pair.fee_pips)[0] == Status.INSUFFICIENT_LIQUIDITY
    with pytest.raises(Reverted, match="INSUFFICIENT_LIQUIDITY"):
        pair.pays(pair.evm.call, 100, zero_for_one=True)
