"""Pools of Algebra and Uniswap V4, with their published bytecode on a local EVM."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from eth_abi.abi import encode

from searcher.domain.events import Log
from searcher.domain.units import ZERO_ADDRESS, keccak256
from searcher.kernels.reference.uniswap_v3 import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    sqrt_at_tick,
)
from tests.conformance.evm import SENDER, LocalEvm, Reverted, artifact, solidity

LOWEST = MIN_SQRT_RATIO + 1
HIGHEST = MAX_SQRT_RATIO - 1
PLENTY = 2**200

_HOST = """
// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

interface IToken {
    function transfer(address to, uint256 amount) external returns (bool);
}

interface IPool {
    function token0() external view returns (address);
    function token1() external view returns (address);
}

/// What a pool needs around it: deployer, factory, trader and plug-in in one.
contract Host {
    address public owner = msg.sender;
    address public vaultAddress = address(0xdead);
    address public farmingAddress;
    uint16 public defaultCommunityFee;
    uint24 public overrideFee;
    uint24 public pluginFee;
    address private plugin;
    address private dataStorage;
    address private token0;
    address private token1;
    uint8 private nonce = 1;

    function parameters() external view returns (address, address, address, address) {
        return (dataStorage, address(this), token0, token1);
    }

    function getDeployParameters() external view returns (address, address, address, address) {
        return (plugin, address(this), token0, token1);
    }

    function defaultConfigurationForPool() external pure returns (uint16, int24, uint16) {
        return (0, 60, 500);
    }

    function hasRoleOrOwner(bytes32, address account) external view returns (bool) {
        return account == owner;
    }

    function setFees(uint24 overrideFee_, uint24 pluginFee_) external {
        (overrideFee, pluginFee) = (overrideFee_, pluginFee_);
    }

    function deployV1(bytes memory operator, bytes memory pool, address a, address b)
        external
        returns (address made, address storage_)
    {
        (token0, token1) = (a, b);
        address coming = address(
            uint160(uint256(keccak256(abi.encodePacked(bytes2(0xd694), address(this), nonce + 1))))
        );
        storage_ = _create(abi.encodePacked(operator, abi.encode(coming)));
        dataStorage = storage_;
        made = _create(pool);
        require(made == coming, "another address");
    }

    function deployIntegral(bytes memory pool, address a, address b, address plugin_)
        external
        returns (address made)
    {
        (token0, token1, plugin) = (a, b, plugin_);
        made = _create(pool);
    }

    function _create(bytes memory code) private returns (address made) {
        nonce++;
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(made != address(0), "not created");
    }

    function run(address to, bytes memory data) external returns (bytes memory answer) {
        bool done;
        (done, answer) = to.call(data);
        if (!done) assembly { revert(add(answer, 32), mload(answer)) }
    }

    function algebraMintCallback(uint256 amount0, uint256 amount1, bytes calldata) external {
        if (amount0 > 0) IToken(IPool(msg.sender).token0()).transfer(msg.sender, amount0);
        if (amount1 > 0) IToken(IPool(msg.sender).token1()).transfer(msg.sender, amount1);
    }

    function algebraSwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        if (amount0 > 0) IToken(IPool(msg.sender).token0()).transfer(msg.sender, uint256(amount0));
        if (amount1 > 0) IToken(IPool(msg.sender).token1()).transfer(msg.sender, uint256(amount1));
    }

    function beforeInitialize(address, uint160) external pure returns (bytes4) {
        return this.beforeInitialize.selector;
    }

    function beforeSwap(address, address, bool, int256, uint160, bool, bytes calldata)
        external
        view
        returns (bytes4, uint24, uint24)
    {
        return (this.beforeSwap.selector, overrideFee, pluginFee);
    }

    function getCurrentFee() external view returns (uint16) {
        return uint16(overrideFee);
    }

    function handlePluginFee(uint256, uint256) external pure returns (bytes4) {
        return this.handlePluginFee.selector;
    }
}
"""


class Swapped(NamedTuple):
    """What the pool did with an amount; `whole` says whether it took or paid all of it."""

    answer: int
    whole: bool


@cache
def _host() -> bytes:
    return solidity({"Host.sol": _HOST})["Host"]


class AlgebraPool:
    """An Algebra pool and the host that stands around it.

    Args:
        evm: where it lives.
        plugged: whether an Integral pool gets a plug-in.
        codes: creation code of operator and pool for V1; of the pool alone for Integral.
    """

    def __init__(self, evm: LocalEvm, *codes: bytes, plugged: bool = False) -> None:
        self.evm = evm
        self.host = evm.deploy(_host())
        self.token0, self.token1 = evm.tokens(2)
        for token in (self.token0, self.token1):
            evm.send(token, "mint(address,uint256)", self.host, PLENTY)
        self.plugin, self.operator = ZERO_ADDRESS, ZERO_ADDRESS
        if len(codes) == 1:
            if plugged:
                self.plugin = evm.deploy(_host())
            signature = "deployIntegral(bytes,address,address,address)(address)"
            (made,) = evm.send(
                self.host, signature, codes[0], self.token0, self.token1, self.plugin
            )
        else:
            signature = "deployV1(bytes,bytes,address,address)(address,address)"
            made, self.operator = evm.send(self.host, signature, *codes, self.token0, self.token1)
        self.address = made

    @classmethod
    def v1(cls, evm: LocalEvm) -> AlgebraPool:
        """Return a pool of V1.0, with the fees that its factory begins with."""
        names = ("AlgebraV1DataStorageOperator", "AlgebraV1Pool")
        pool = cls(evm, *(artifact(name).creation for name in names))
        pool.configure(2900, 12000, 360, 60000, 59, 8500, 0, 10, 100)
        return pool

    @classmethod
    def integral(cls, evm: LocalEvm, *, plugged: bool = False) -> AlgebraPool:
        """Return a pool of Integral 1.2."""
        return cls(evm, artifact("AlgebraIntegralPool").creation, plugged=plugged)

    @property
    def _newer(self) -> bool:
        return self.operator == ZERO_ADDRESS

    def configure(self, *numbers: int) -> None:
        """Set the fee configuration of V1: alphas, betas, gammas, those of volume, the floor."""
        types = "(uint16,uint16,uint32,uint32,uint16,uint16,uint32,uint16,uint16)"
        self.evm.send(self.operator, f"changeFeeConfiguration({types})", numbers)

    def initialize(self, price: int) -> tuple[Log, ...]:
        self.evm.send(self.address, "initialize(uint160)", price)
        return self._logs()

    def mint(self, lower: int, upper: int, liquidity: int) -> tuple[Log, ...]:
        types = ["address", "address", "int24", "int24", "uint128", "bytes"]
        self._run("mint", types, self.host, self.host, lower, upper, liquidity, b"")
        return self._logs()

    def burn(self, lower: int, upper: int, liquidity: int) -> tuple[Log, ...]:
        types = ["int24", "int24", "uint128", *(["bytes"] if self._newer else [])]
        self._run("burn", types, lower, upper, liquidity, *([b""] if self._newer else []))
        return self._logs()

    def swap(self, amount: int, *, zero_for_one: bool, limit: int | None = None) -> tuple[Log, ...]:
        """Swap for good; a negative amount is an exact output."""
        self._swap(amount, zero_for_one, limit)
        return self._logs()

    def quote(self, amount: int, *, zero_for_one: bool) -> Swapped:
        """Return what a swap answers, and undo it.

        Raises:
            Reverted: the pool did.
        """
        mark = self.evm.snapshot()
        try:
            deltas = self._swap(amount, zero_for_one, None)
        finally:
            self.evm.revert(mark)
        taken, paid = deltas if zero_for_one else deltas[::-1]
        return Swapped(-paid, taken == amount) if amount > 0 else Swapped(taken, paid == amount)

    def _swap(self, amount: int, zero_for_one: bool, limit: int | None) -> tuple[int, int]:
        if limit is None:
            limit = LOWEST if zero_for_one else HIGHEST
        types = ["address", "bool", "int256", "uint160", "bytes"]
        answer = self._run("swap", types, self.host, zero_for_one, amount, limit, b"")
        deltas = [int.from_bytes(answer[at : at + 32], "big", signed=True) for at in (0, 32)]
        return deltas[0], deltas[1]

    def _run(self, name: str, types: list[str], *args: Any) -> bytes:
        head = keccak256(f"{name}({','.join(types)})".encode())[:4]
        data = head + encode(types, args)
        (answer,) = self.evm.send(self.host, "run(address,bytes)(bytes)", self.address, data)
        return bytes(answer)

    def _logs(self) -> tuple[Log, ...]:
        return tuple(log for log in self.evm.logs() if log.address == self.address)


class V4Pools:
    """A PoolManager with the test router that adds liquidity, and the quoter."""

    KEY = "(address,address,uint24,int24,address)"

    def __init__(self, evm: LocalEvm) -> None:
        self.evm = evm
        owner = encode(["address"], [SENDER])
        self.manager = evm.deploy(artifact("PoolManager").creation, args=owner)
        at = encode(["address"], [self.manager])
        self.router = evm.deploy(artifact("PoolModifyLiquidityTest").creation, args=at)
        self.quoter = evm.deploy(artifact("V4Quoter").creation, args=at)
        self.swapper = evm.deploy(artifact("PoolSwapTest").creation, args=at)
        self.tokens = evm.tokens(2)
        for token in self.tokens:
            evm.send(token, "mint(address,uint256)", SENDER, PLENTY)
            for spender in (self.router, self.swapper):
                evm.send(token, "approve(address,uint256)", spender, 2**256 - 1)
        evm.send(self.manager, "setProtocolFeeController(address)", SENDER)

    def key(self, fee: int, spacing: int, *, ether: bool = False) -> tuple[Any, ...]:
        first = ZERO_ADDRESS if ether else self.tokens[0]
        return (first, self.tokens[1], fee, spacing, ZERO_ADDRESS)

    def initialize(self, key: tuple[Any, ...], price: int) -> tuple[Log, ...]:
        self.evm.send(self.manager, f"initialize({self.KEY},uint160)(int24)", key, price)
        return self._logs()

    def modify(
        self, key: tuple[Any, ...], lower: int, upper: int, liquidity: int
    ) -> tuple[Log, ...]:
        signature = f"modifyLiquidity({self.KEY},(int24,int24,int256,bytes32),bytes)(int256)"
        place = (lower, upper, liquidity, bytes(32))
        self.evm.send(self.router, signature, key, place, b"", value=_ether(key, 2**100))
        return self._logs()

    def protocol_fee(self, key: tuple[Any, ...], fee: int) -> tuple[Log, ...]:
        self.evm.send(self.manager, f"setProtocolFee({self.KEY},uint24)", key, fee)
        return self._logs()

    def swap(self, key: tuple[Any, ...], amount: int, *, zero_for_one: bool) -> tuple[Log, ...]:
        """Swap for good; a negative amount is an exact output, as everywhere in these tests."""
        signature = f"swap({self.KEY},(bool,int256,uint160),(bool,bool),bytes)(int256)"
        limit = LOWEST if zero_for_one else HIGHEST
        order = (zero_for_one, -amount, limit)
        self.evm.send(
            self.swapper, signature, key, order, (False, False), b"", value=_ether(key, 2**100)
        )
        return self._logs()

    def quote(self, key: tuple[Any, ...], amount: int, *, zero_for_one: bool) -> int:
        """Return what the quoter answers.

        Raises:
            Reverted: it did.
        """
        name = "quoteExactInputSingle" if amount >= 0 else "quoteExactOutputSingle"
        signature = f"{name}(({self.KEY},bool,uint128,bytes))(uint256,uint256)"
        order = (key, zero_for_one, abs(amount), b"")
        return int(self.evm.call(self.quoter, signature, order)[0])

    def _logs(self) -> tuple[Log, ...]:
        return tuple(log for log in self.evm.logs() if log.address == self.manager)


def _ether(key: tuple[Any, ...], wei: int) -> int:
    return wei if key[0] == ZERO_ADDRESS else 0


def answered(evm: LocalEvm, reads: Any) -> Any:
    """Carry out a protocol's reads on the local EVM, and return what they say."""
    try:
        calls = next(reads)
        while True:
            calls = reads.send([_answer(evm, call) for call in calls])
    except StopIteration as stop:
        return stop.value


def _answer(evm: LocalEvm, call: Any) -> tuple[int, ...] | str:
    try:
        output = evm.execute(call.to, bytes.fromhex(call.data[2:]))
    except Reverted as error:
        return f"reverted: {error.reason}"
    return tuple(int.from_bytes(output[at : at + 32]) for at in range(0, len(output), 32))


def a_price(rng):
    """Anywhere near the middle of the curve, sometimes on a tick, sometimes at an end."""
    kind = rng.random()
    if kind < 0.1:
        return sqrt_at_tick(rng.choice([MIN_TICK + 1, MAX_TICK - 1, -600, 600]))
    tick = rng.randrange(-200_000, 200_000)
    return sqrt_at_tick(tick) + (rng.randrange(1000) if kind < 0.9 else 0)


def positions(rng, tick, spacing, *, bits=90):
    """Some ranges around a tick, some far from it, one over the whole curve now and then."""
    for _ in range(rng.randrange(1, 9)):
        width = spacing * int(2 ** rng.uniform(0, 13))
        lower = tick + rng.randrange(-3 * width, 2 * width)
        lower = max(lower, MIN_TICK + spacing) // spacing * spacing
        upper = min(lower + width, MAX_TICK // spacing * spacing)
        if rng.random() < 0.1:
            lower, upper = -(-MIN_TICK // spacing) * spacing, MAX_TICK // spacing * spacing
        if MIN_TICK <= lower < upper:
            yield lower, upper, int(2 ** rng.uniform(1, bits))


def amounts(rng, count, bits):
    """Signed amounts of up to so many bits, some of them beyond all pools, and directions."""
    for _ in range(count):
        amount = int(2 ** rng.uniform(0, bits))
        if rng.random() < 0.05:
            amount = rng.choice([1, 2, 2**128, 2**200, 2**255 - 1])
        yield amount * rng.choice([1, -1]), rng.random() < 0.5


def followed(protocol, state, logs):
    """Apply what a pool said."""
    for log in logs:
        if log.topics[0] in protocol.topics:
            state = protocol.apply(state, log)
    return state
