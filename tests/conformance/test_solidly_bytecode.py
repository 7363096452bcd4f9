"""Solidly's pairs against contracts: Aerodrome's own bytecode, and a double of the older solver."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from tests.conformance.answering import answered
from tests.conformance.evm import SENDER, LocalEvm, Reverted, solidity
from tests.conformance.solidly_double import OLDER_PAIR

AERODROME = "sphere-mezo-solidity-files/domains/aerodrome/contracts"
SUPPLY_SLOT = 2
BLOCK = QuoteBlock(1, 1_700_000_000)
DECIMALS = [(18, 18), (18, 6), (6, 18), (6, 6), (8, 18)]
CREATE = "createPool(address,address,bool)(address)"
SWAP = "swap(uint256,uint256,address,bytes)"
VIEW = "getAmountOut(uint256,address)(uint256)"

VelodromeV2 = PROTOCOLS.load("velodrome_v2")
VelodromeV1 = PROTOCOLS.load("velodrome_v1")
Solidly = PROTOCOLS.load("solidly")


class Aerodrome:
    """A factory with a pool of each kind for each pair of decimals."""

    def __init__(self):
        self.evm = LocalEvm()
        roots = [f"{AERODROME}/Pool.sol", f"{AERODROME}/factories/PoolFactory.sol"]
        code = solidity({}, solc_version="0.8.20", published=roots)
        implementation = self.evm.deploy(code["Pool"])
        word = bytes.fromhex(implementation[2:]).rjust(32, b"\0")
        self.factory = self.evm.deploy(code["PoolFactory"], args=word)
        self.protocol = VelodromeV2(VelodromeV2.Config())
        self.pools = {}
        for decimals in DECIMALS:
            tokens = [self.evm.token(decimals=d) for d in decimals]
            for stable in (False, True):
                (pool,) = self.evm.send(self.factory, CREATE, *tokens, stable)
                # A pool sorts its tokens by address, whatever their decimals.
                first, second = decimals if tokens[0] < tokens[1] else decimals[::-1]
                self.pools[stable, len(self.pools) // 2] = pool, (first, second)

    def read(self, pool):
        return answered(self.evm, self.protocol.reads(VelodromeV2.Identity(pool, self.factory)))

    def fund(self, pool, held, fee):
        """Give a pool reserves, a supply to share fees among, and a fee."""
        state = self.read(pool)
        for token, amount in zip((state.token0, state.token1), held, strict=True):
            self.evm.send(token, "mint(address,uint256)", pool, amount)
        self.evm.send(pool, "sync()")
        self.evm.set_storage(pool, SUPPLY_SLOT, 10**18)
        self.evm.send(self.factory, "setCustomFee(address,uint256)", pool, fee or 420)
        return self.read(pool)

    def swaps(self, state, given, paid, zero_for_one):
        """Return whether the pool carries out a swap, and the state that its events give."""
        before = self.evm.snapshot()
        token = state.token0 if zero_for_one else state.token1
        outs = (0, paid) if zero_for_one else (paid, 0)
        try:
            self.evm.send(token, "mint(address,uint256)", state.pool, given)
            self.evm.send(state.pool, SWAP, *outs, SENDER, b"")
        except Reverted:
            self.evm.revert(before)
            return None
        for log in self.evm.logs():
            if log.address == state.pool and log.topics[0] in self.protocol.topics:
                state = self.protocol.apply(state, log)
        assert state == self.read(state.pool)
        self.evm.revert(before)
        return state


@pytest.fixture(scope="module")
def aerodrome():
    return Aerodrome()


def any_case(rng, decimals):
    whole = 10 ** rng.uniform(-2, 9)
    held = [int(whole * 10 ** rng.uniform(-1, 1) * 10**d) + 1 for d in decimals]
    zero_for_one = rng.random() < 0.5
    base = held[0 if zero_for_one else 1]
    amount = int(base * 10 ** rng.uniform(-12, 1))
    return held, rng.choice((0, 1, 5, 30, 300)), zero_for_one, amount


def quoted(protocol, state, zero_for_one, amount, *, exact_out=False):
    tokens = (state.token0, state.token1)
    ask = protocol.quote_exact_out if exact_out else protocol.quote_exact_in
    try:
        return ask(state, BLOCK, *(tokens if zero_for_one else tokens[::-1]), amount)
    except SwapRefused as refusal:
        return refusal.status


REASONS = {
    "!y": Status.NO_CONVERGENCE,
    "Panic(0x11)": Status.OVERFLOW,
    "Panic(0x12)": Status.OVERFLOW,
}


def viewed(aerodrome, state, amount, token):
    """Return getAmountOut, or what its revert is called."""
    try:
        return aerodrome.evm.call(state.pool, VIEW, amount, token)[0]
    except Reverted as error:
        return REASONS[error.reason]


def check_views(aerodrome, stable, seed, pools, quotes):
    rng = random.Random(seed)
    refused = answers = 0
    for _ in range(pools):
        pool, decimals = aerodrome.pools[stable, rng.randrange(len(DECIMALS))]
        before = aerodrome.evm.snapshot()
        held, fee, _, _ = any_case(rng, decimals)
        state = aerodrome.fund(pool, held, fee)
        assert (state.fee, state.stable) == (fee, stable)
        for _ in range(quotes):
            _, _, zero_for_one, _ = any_case(rng, decimals)
            place = 0 if zero_for_one else 1
            amount = int(held[place] * 10 ** rng.uniform(-12, 3))
            if rng.random() < 0.02:
                amount = rng.choice((0, 1, 2**128, 2**255, 2**256 - 1))
            token = (state.token0, state.token1)[place]
            found = quoted(aerodrome.protocol, state, zero_for_one, amount)
            answer = viewed(aerodrome, state, amount, token)
            assert (found if isinstance(found, Status) else found.amount) == answer, (state, amount)
            refused += isinstance(answer, Status)
            answers += 1
        aerodrome.evm.revert(before)
    assert 0 < refused < 0.3 * answers


@pytest.mark.parametrize("stable", [False, True])
def test_quotes_are_the_pools(aerodrome, stable):
    check_views(aerodrome, stable, 1, 50, 20)


@pytest.mark.full
@pytest.mark.parametrize("stable", [False, True])
def test_many_quotes_are_the_pools(aerodrome, stable):
    check_views(aerodrome, stable, 2, 250, 40)


def check_swaps(aerodrome, stable, seed, count):
    rng = random.Random(seed)
    done = 0
    for _ in range(count):
        pool, decimals = aerodrome.pools[stable, rng.randrange(len(DECIMALS))]
        held, fee, zero_for_one, amount = any_case(rng, decimals)
        before = aerodrome.evm.snapshot()
        state = aerodrome.fund(pool, held, fee)
        found = quoted(aerodrome.protocol, state, zero_for_one, amount)
        if not isinstance(found, Status) and found.realised:
            assert aerodrome.swaps(state, amount, found.realised, zero_for_one)
            if found.realised < found.amount:
                assert not aerodrome.swaps(state, amount, found.realised + 1, zero_for_one)
            back = quoted(aerodrome.protocol, state, zero_for_one, found.realised, exact_out=True)
            assert back.realised <= amount
            assert aerodrome.swaps(state, back.realised, found.realised, zero_for_one)
            assert not aerodrome.swaps(state, back.realised - 1, found.realised, zero_for_one)
            token = state.token0 if zero_for_one else state.token1
            for given, pays in ((back.amount, True), (back.amount - 1, False)):
                out = viewed(aerodrome, state, given, token)
                assert (not isinstance(out, Status) and out >= found.realised) == pays
            done += 1
        aerodrome.evm.revert(before)
    assert done > 0.6 * count


@pytest.mark.parametrize("stable", [False, True])
def test_swaps_go_through_as_quoted_and_no_further(aerodrome, stable):
    check_swaps(aerodrome, stable, 3, 60)


@pytest.mark.full
@pytest.mark.parametrize("stable", [False, True])
def test_many_swaps_go_through_as_quoted(aerodrome, stable):
    check_swaps(aerodrome, stable, 4, 2_000)


def test_fee_and_pause_are_followed(aerodrome):
    evm, protocol = aerodrome.evm, aerodrome.protocol
    before = evm.snapshot()
    state = aerodrome.fund(aerodrome.pools[True, 0][0], [10**24, 10**24], 7)
    evm.send(aerodrome.factory, "setCustomFee(address,uint256)", state.pool, 420)
    (log,) = evm.logs()
    state = protocol.apply(state, log)
    assert state == aerodrome.read(state.pool)
    assert state.fee == 0
    # The default comes back without being named, and changes without an event.
    evm.send(aerodrome.factory, "setCustomFee(address,uint256)", state.pool, 0)
    state = protocol.apply(state, evm.logs()[0])
    evm.send(aerodrome.factory, "setFee(bool,uint256)", True, 11)
    assert not evm.logs()
    moved = answered(evm, protocol.refresh(state))
    assert moved == {"fee": 11, "is_paused": False}
    quote = protocol.quote_exact_in(
        state, replace(BLOCK, volatile=moved), state.token0, state.token1, 10**18
    )
    assert (quote.amount,) == evm.call(state.pool, VIEW, 10**18, state.token0)
    evm.send(aerodrome.factory, "setPauseState(bool)", True)
    state = protocol.apply(state, evm.logs()[0])
    assert state.is_paused
    assert quoted(protocol, state, True, 10**18) is Status.PAUSED
    assert not aerodrome.swaps(state, 10**18, 1, True)
    evm.revert(before)


# ---- the older solver


@pytest.fixture(scope="module")
def older():
    evm = LocalEvm()
    return evm, evm.deploy(solidity({"OlderPair.sol": OLDER_PAIR})["OlderPair"])


DOUBLE_SWAP = "swap(uint256,uint256,uint256)"


def check_older(older, plugin, stable, seed, count):
    evm, pair = older
    protocol = plugin(plugin.Config())
    rng = random.Random(seed)
    short = refused = 0
    for _ in range(count):
        decimals = rng.choice(DECIMALS)
        held, fee, zero_for_one, amount = any_case(rng, decimals)
        fee = 1 if plugin is Solidly else fee
        units = [10**d for d in decimals]
        evm.send(pair, "set(uint256[2],uint256[2],bool,uint256)", held, units, stable, fee)
        state = plugin.State("0x" + "aa" * 20, "0x" + "bb" * 20, *held, stable, fee, *decimals)
        side = 0 if zero_for_one else 1
        found = quoted(protocol, state, zero_for_one, amount)
        try:
            (answer,) = evm.call(pair, "getAmountOut(uint256,uint256)(uint256)", amount, side)
        except Reverted:
            assert found is Status.OVERFLOW, (state, amount)
            refused += 1
            continue
        assert found.amount == answer, (state, amount)
        if not found.realised:
            continue
        evm.call(pair, DOUBLE_SWAP, amount, found.realised, side)
        if found.realised < found.amount:
            short += 1
            with pytest.raises(Reverted, match=r"K|liquidity"):
                evm.call(pair, DOUBLE_SWAP, amount, found.realised + 1, side)
    assert refused < 0.3 * count
    return short


@pytest.mark.parametrize("plugin", [Solidly, VelodromeV1])
@pytest.mark.parametrize("stable", [False, True])
def test_older_pairs_answer_the_same(older, plugin, stable):
    short = check_older(older, plugin, stable, 5, 500)
    assert (short > 0) == stable


@pytest.mark.full
@pytest.mark.parametrize("stable", [False, True])
def test_many_older_pairs_answer_the_same(older, stable):
    check_older(older, VelodromeV1, stable, 6, 10_000)


@pytest.mark.parametrize("plugin", [Solidly, VelodromeV1])
def test_older_pairs_pay_nothing_for_nothing(older, plugin):
    """Their view answers something for it in small pools, and their k would let that go."""
    evm, pair = older
    held = [47_744_570_047_337, 53_895_048_323_774]
    evm.send(pair, "set(uint256[2],uint256[2],bool,uint256)", held, [10**18] * 2, True, 1)
    (answer,) = evm.call(pair, "getAmountOut(uint256,uint256)(uint256)", 0, 0)
    assert answer > 10**11
    state = plugin.State("0x" + "aa" * 20, "0x" + "bb" * 20, *held, True, 1)
    protocol = plugin(plugin.Config())
    assert quoted(protocol, state, True, 0) == (answer, 0, 0)
    with pytest.raises(Reverted, match="nothing"):
        evm.call(pair, DOUBLE_SWAP, 0, answer, 0)
    assert quoted(protocol, state, True, 1) == (answer, answer, 0)
    evm.call(pair, DOUBLE_SWAP, 1, answer, 0)
