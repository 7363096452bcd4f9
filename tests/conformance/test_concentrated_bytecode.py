"""Concentrated pools against the protocols' bytecode: quotes, swaps, events, reads, refusals."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from eth_abi.abi import encode

from searcher.domain.units import keccak256
from searcher.kernels.reference.uniswap_v3 import MAX_SQRT_RATIO, MIN_SQRT_RATIO, sqrt_at_tick
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.concentrated_pools import ConcentratedPoolIdentity
from searcher.market.protocol import Pool, QuoteBlock
from searcher.market.protocols import pancake_v3, slipstream, uniswap_v3
from tests.conformance.answering import answered
from tests.conformance.evm import LocalEvm, Reverted, artifact, solidity
from tests.kernels.concentrated_pools import (
    curve_of,
    random_amount,
    random_positions,
    random_price,
)
from tests.kernels.test_uniswap_v3 import random_limit, said, swap_by_kernel

SWAPS = 20
CL_POOL = "sphere-mezo-solidity-files/domains/aerodrome-slipstream/contracts/core/CLPool.sol"
REASONS = {
    Status.ZERO_AMOUNT: "AS",
    Status.EMPTY_POOL: "LOK",
    Status.PRICE_LIMIT: "SPL",
}
TRADER = """
interface IToken { function mint(address to, uint256 amount) external; }
interface IPool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function mint(address, int24, int24, uint128, bytes calldata) external;
    function swap(address, bool, int256, uint160, bytes calldata) external
        returns (int256, int256);
}
/// Deploys pools as their factory does, owns them, and pays them in tokens that it makes.
contract Trader {
    address public token0;
    address public token1;
    uint24 public fee;
    int24 public spacing;

    function parameters() external view returns (address, address, address, uint24, int24) {
        return (address(this), token0, token1, fee, spacing);
    }
    function owner() external view returns (address) { return address(this); }
    function getSwapFee(address) external view returns (uint24) { return fee; }
    function getUnstakedFee(address) external pure returns (uint24) { return 100_000; }
    function setFee(uint24 newFee) external { fee = newFee; }

    function deploy(bytes memory code, address a, address b, uint24 newFee, int24 newSpacing)
        external returns (address pool)
    {
        (token0, token1, fee, spacing) = (a, b, newFee, newSpacing);
        assembly { pool := create(0, add(code, 32), mload(code)) }
        require(pool != address(0), "not deployed");
    }
    function act(address to, bytes calldata data) external {
        (bool fine, bytes memory answer) = to.call(data);
        if (!fine) assembly { revert(add(answer, 32), mload(answer)) }
    }
    function mint(IPool pool, int24 lower, int24 upper, uint128 amount) external {
        pool.mint(address(this), lower, upper, amount, "");
    }
    function swap(IPool pool, bool way, int256 amount, uint160 limit)
        external returns (int256, int256)
    {
        return pool.swap(address(1), way, amount, limit, "");
    }
    function pay(uint256 amount0, uint256 amount1) internal {
        IToken(IPool(msg.sender).token0()).mint(msg.sender, amount0);
        IToken(IPool(msg.sender).token1()).mint(msg.sender, amount1);
    }
    function uniswapV3MintCallback(uint256 a, uint256 b, bytes calldata) external { pay(a, b); }
    function pancakeV3MintCallback(uint256 a, uint256 b, bytes calldata) external { pay(a, b); }
    function paySwap(int256 a, int256 b) internal {
        pay(a > 0 ? uint256(a) : 0, b > 0 ? uint256(b) : 0);
    }
    function uniswapV3SwapCallback(int256 a, int256 b, bytes calldata) external { paySwap(a, b); }
    function pancakeV3SwapCallback(int256 a, int256 b, bytes calldata) external { paySwap(a, b); }
}
"""


class Family(NamedTuple):
    """A protocol and how one of its pools comes to be."""

    protocol: type
    creation: object
    initialize: str


FAMILIES = {
    "uniswap_v3": Family(
        uniswap_v3.PLUGIN, lambda: artifact("UniswapV3Pool").creation, "initialize(uint160)"
    ),
    "pancake_v3": Family(
        pancake_v3.PLUGIN, lambda: artifact("PancakeV3Pool").creation, "initialize(uint160)"
    ),
    "slipstream": Family(
        slipstream.PLUGIN,
        lambda: solidity({}, published=[CL_POOL], solc_version="0.7.6")["CLPool"],
        "initialize(address,address,address,int24,address,uint160)",
    ),
}


def call_data(signature, *arguments):
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(types.split(",") if types else [], arguments)


class Chain:
    """One family's pools on a local EVM, and the state that the protocol keeps of one of them."""

    def __init__(self, family):
        self.evm = LocalEvm()
        self.family = FAMILIES[family]
        self.protocol = self.family.protocol(self.family.protocol.Config())
        self.trader = self.evm.deploy(solidity({"Trader.sol": TRADER})["Trader"])
        self.tokens = self.evm.tokens(2)
        self.code = self.family.creation()

    def create(self, fee, spacing):
        """Deploy a pool without a price."""
        (self.pool,) = self.evm.send(
            self.trader,
            "deploy(bytes,address,address,uint24,int24)(address)",
            self.code,
            *self.tokens,
            fee,
            spacing,
        )
        self.fee = fee
        known = 1_000_000 if "fee" in self.protocol.volatile else fee
        self.state = self.protocol.new(
            Pool(self.pool, self.pool, "a protocol", "a dex", tuple(self.tokens), known, spacing)
        )

    def initialize(self, price):
        arguments = [price]
        if "address" in self.family.initialize:
            spacing = self.state.tick_spacing
            arguments = [self.trader, *self.tokens, spacing, self.trader, price]
        self.act(call_data(self.family.initialize, *arguments))

    def act(self, data):
        self.evm.send(self.trader, "act(address,bytes)", self.pool, data)
        self.follow()

    def mint(self, lower, upper, size):
        self.evm.send(
            self.trader, "mint(address,int24,int24,uint128)", self.pool, lower, upper, size
        )
        self.follow()

    def burn(self, lower, upper, size):
        self.act(call_data("burn(int24,int24,uint128)", lower, upper, size))

    def follow(self):
        for log in self.evm.logs():
            if log.address == self.pool and log.topics[0] in self.protocol.topics:
                self.state = self.protocol.apply(self.state, log)

    def swap(self, do, zero_for_one, amount, limit=None):
        """Both amounts as the pool sees them, or its revert."""
        if limit is None:
            limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        signature = "swap(address,bool,int256,uint160)(int256,int256)"
        try:
            return do(self.trader, signature, self.pool, zero_for_one, amount, limit)
        except Reverted as reverted:
            return reverted

    def quote(self, name, zero_for_one, amount):
        block = QuoteBlock(1, 1, {"fee": self.fee} if self.protocol.volatile else {})
        tokens = self.tokens if zero_for_one else self.tokens[::-1]
        return said(getattr(self.protocol, name), self.state, block, *tokens, amount)


def check_quote(chain, rng):
    """One exact input or output: the same amount, or a refusal for the contract's reason."""
    zero_for_one, exact_in = rng.random() < 0.5, rng.random() < 0.5
    amount = random_amount(rng)
    found = chain.quote("quote_exact_in" if exact_in else "quote_exact_out", zero_for_one, amount)
    if amount >= 2**255:
        assert found is Status.OVERFLOW
        return found
    moved = chain.swap(chain.evm.call, zero_for_one, amount if exact_in else -amount)
    if isinstance(moved, Reverted):
        assert REASONS[found] == moved.reason, (chain.state, amount)
        return found
    taken, given = max(moved), -min(moved)
    if found is Status.INSUFFICIENT_LIQUIDITY:
        assert (taken if exact_in else given) < amount, (chain.state, amount)
    else:
        whole, answer = (taken, given) if exact_in else (given, taken)
        assert (whole, answer) == (amount, found.amount), (chain.state, amount)
        assert found.realised == found.amount
    return Status.OK if not isinstance(found, Status) else found


def check_swap(chain, rng):
    """A swap that happens, with any limit: both amounts, and what the pool holds afterwards."""
    zero_for_one = rng.random() < 0.5
    amount = rng.choice([1, -1]) * max(int(2 ** rng.uniform(0, 100)), 1)
    curve = curve_of(chain.state)
    limit = random_limit(rng, curve)
    expected = swap_by_kernel(
        curve,
        amount,
        zero_for_one=zero_for_one,
        fee_pips=chain.fee,
        tick_spacing=chain.state.tick_spacing,
        price_limit_x96=limit,
    )
    moved = chain.swap(chain.evm.send, zero_for_one, amount, limit)
    if isinstance(moved, Reverted):
        assert REASONS[expected] == moved.reason
        return
    chain.follow()
    assert moved == expected[:2]
    after = chain.state
    assert (after.sqrt_price_x96, after.liquidity, after.tick) == expected[2:5]


def check_family(family, swaps, seed):
    rng = random.Random(seed)
    chain = Chain(family)
    seen = set()
    for number in range(swaps // SWAPS):
        # Narrow spacings have many words, through which the contract takes long.
        spacing = rng.choices([1, 10, 50, 60, 200], [1, 2, 10, 10, 20])[0]
        fee = rng.choice([100, 500, 2500, 3000, 10_000, rng.randrange(1_000_000)])
        chain.create(fee, spacing)
        positions = random_positions(rng, spacing, most=8)
        chain.initialize(random_price(rng, positions))
        for position in positions:
            chain.mint(*position)
        if family == "uniswap_v3" and number % 3 == 0:
            chain.act(call_data("setFeeProtocol(uint8,uint8)", 4, 10))
        for turn in range(SWAPS):
            seen.add(check_quote(chain, rng))
            if turn % 4 == 0:
                check_swap(chain, rng)
            if turn == SWAPS // 2:
                lower, upper, size = positions[0]
                chain.burn(lower, upper, rng.randint(0, size))
            if "fee" in chain.protocol.volatile and turn % 5 == 4:
                chain.fee = rng.randrange(100_000)
                chain.evm.send(chain.trader, "setFee(uint24)", chain.fee)
    assert {Status.OK, Status.ZERO_AMOUNT, Status.INSUFFICIENT_LIQUIDITY} <= seen


@pytest.mark.parametrize("family", FAMILIES)
def test_quotes_and_swaps_are_the_contracts(family):
    check_family(family, 1_000, 21)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", FAMILIES)
def test_ten_thousand_quotes_and_swaps_are_the_contracts(family):
    check_family(family, 10_000, 22)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_is_what_the_events_made(family):
    chain = Chain(family)
    chain.create(3000, 200)
    rng = random.Random(23)
    positions = random_positions(rng, 200)
    chain.initialize(sqrt_at_tick(positions[0][0]) + 1)
    for position in positions:
        chain.mint(*position)
    chain.swap(chain.evm.send, True, 10**6)
    chain.follow()
    read = answered(chain.evm, chain.protocol.reads(ConcentratedPoolIdentity(chain.pool)))
    assert read.fee == 3000
    if chain.protocol.volatile:
        chain.state = type(read)(
            **{name: getattr(chain.state, name) for name in chain.state.__struct_fields__}
            | answered(chain.evm, chain.protocol.refresh(chain.state))
        )
    assert read == chain.state


def test_a_pool_without_a_price_refuses():
    chain = Chain("uniswap_v3")
    chain.create(3000, 60)
    assert chain.quote("quote_exact_in", True, 1) is Status.EMPTY_POOL
    assert chain.swap(chain.evm.call, True, 1).reason == "LOK"
    with pytest.raises(SwapRefused):
        chain.protocol.marginal_rate(chain.state, QuoteBlock(1, 1), *chain.tokens, 0)
