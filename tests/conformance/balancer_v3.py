"""Balancer V3 out of its published sources: the vault, pools, and a desk that swaps with it."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from searcher.domain.units import ZERO_ADDRESS, Address, keccak256
from searcher.kernels.refusal import Status
from tests.conformance.balancer_v2 import RATE_PROVIDER
from tests.conformance.evm import SENDER, LocalEvm, Reverted, solidity

_VAULT = "@balancer-labs/v3-vault/contracts"
PUBLISHED = (
    f"{_VAULT}/Vault.sol",
    f"{_VAULT}/VaultExtension.sol",
    f"{_VAULT}/VaultAdmin.sol",
    "@balancer-labs/v3-pool-weighted/contracts/WeightedPool.sol",
    "@balancer-labs/v3-pool-stable/contracts/StablePool.sol",
)
DESK = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;
import "@balancer-labs/v3-interfaces/contracts/vault/VaultTypes.sol";
import { IVault } from "@balancer-labs/v3-interfaces/contracts/vault/IVault.sol";
import { IRateProvider } from
    "@balancer-labs/v3-interfaces/contracts/solidity-utils/helpers/IRateProvider.sol";

interface Mintable { function mint(address to, uint256 amount) external; }

/// The vault's authorizer, its fee controller and its router: lets everybody do everything.
contract Desk {
    IVault public vault;
    uint256 swapShare;
    uint256 yieldShare;

    constructor(IVault vault_) { vault = vault_; }

    function canPerform(bytes32, address, address) external pure returns (bool) { return true; }

    function registerPool(address, address, bool) external view returns (uint256, uint256) {
        return (swapShare, yieldShare);
    }

    function register(
        address pool,
        IERC20[] memory tokens,
        IRateProvider[] memory providers,
        uint256[3] memory fees
    ) external {
        (swapShare, yieldShare) = (fees[1], fees[2]);
        TokenConfig[] memory configs = new TokenConfig[](tokens.length);
        for (uint256 i = 0; i < tokens.length; ++i) {
            bool rated = address(providers[i]) != address(0);
            configs[i] = TokenConfig(
                tokens[i], rated ? TokenType.WITH_RATE : TokenType.STANDARD, providers[i], rated
            );
        }
        PoolRoleAccounts memory roles;
        LiquidityManagement memory liquidity;
        vault.registerPool(pool, configs, fees[0], type(uint32).max, false, roles, address(0), liquidity);
    }

    function initialize(address pool, IERC20[] memory tokens, uint256[] memory amounts) external {
        vault.unlock(abi.encodeCall(this.onInitialize, (pool, tokens, amounts)));
    }

    function onInitialize(address pool, IERC20[] memory tokens, uint256[] memory amounts) external {
        vault.initialize(pool, address(this), tokens, amounts, 0, "");
        for (uint256 i = 0; i < tokens.length; ++i) pay(tokens[i], amounts[i]);
    }

    function swap(VaultSwapParams memory asked) external returns (uint256) {
        return abi.decode(vault.unlock(abi.encodeCall(this.onSwap, (asked))), (uint256));
    }

    function onSwap(VaultSwapParams memory asked) external returns (uint256) {
        (uint256 calculated, uint256 amountIn, uint256 amountOut) = vault.swap(asked);
        pay(asked.tokenIn, amountIn);
        vault.sendTo(asked.tokenOut, address(this), amountOut);
        return calculated;
    }

    function add(address pool, IERC20[] memory tokens, uint256[] memory amounts) external {
        vault.unlock(abi.encodeCall(this.onAdd, (pool, tokens, amounts)));
    }

    function onAdd(address pool, IERC20[] memory tokens, uint256[] memory amounts) external {
        AddLiquidityParams memory asked = AddLiquidityParams(
            pool, address(this), amounts, 0, AddLiquidityKind.UNBALANCED, ""
        );
        (uint256[] memory paid, , ) = vault.addLiquidity(asked);
        for (uint256 i = 0; i < tokens.length; ++i) pay(tokens[i], paid[i]);
    }

    function remove(address pool, IERC20[] memory tokens, uint256 share, uint256 single) external {
        vault.unlock(abi.encodeCall(this.onRemove, (pool, tokens, share, single)));
    }

    function onRemove(
        address pool, IERC20[] memory tokens, uint256 share, uint256 single
    ) external {
        uint256[] memory least = new uint256[](tokens.length);
        bool all = single >= tokens.length;
        if (!all) least[single] = 1;
        RemoveLiquidityParams memory asked = RemoveLiquidityParams(
            pool,
            address(this),
            IERC20(pool).balanceOf(address(this)) / share,
            least,
            all ? RemoveLiquidityKind.PROPORTIONAL : RemoveLiquidityKind.SINGLE_TOKEN_EXACT_IN,
            ""
        );
        (, uint256[] memory got, ) = vault.removeLiquidity(asked);
        for (uint256 i = 0; i < tokens.length; ++i) vault.sendTo(tokens[i], address(this), got[i]);
    }

    function pay(IERC20 token, uint256 amount) internal {
        if (amount == 0) return;
        Mintable(address(token)).mint(address(vault), amount);
        vault.settle(token, amount);
    }
}
"""
_SWAP = "swap((uint8,address,address,address,uint256,uint256,bytes))(uint256)"
_MINER = Address("0x" + "b3" * 20)

STATUSES = {
    "AmountGivenZero()": {Status.ZERO_AMOUNT},
    "BalanceOverflow()": {Status.OVERFLOW},
    "MaxImbalanceRatioExceeded()": {Status.UNSAFE_VALUES},
    "MaxInRatio()": {Status.RATIO_LIMIT},
    "MaxOutRatio()": {Status.RATIO_LIMIT},
    "SafeCastOverflowedUintToInt(uint256)": {Status.OVERFLOW},
    "StableComputeBalanceDidNotConverge()": {Status.NO_CONVERGENCE},
    "StableInvariantDidNotConverge()": {Status.NO_CONVERGENCE},
    "TokenBalanceBelowMin(uint256,uint256,uint256)": {Status.UNSAFE_VALUES},
    "TradeAmountTooSmall()": {Status.TOO_SMALL},
    "ZeroDivision()": {Status.OVERFLOW},
}
"""What the vault's and the pools' reverts mean."""
_SELECTORS = {f"0x{keccak256(e.encode())[:4].hex()}": s for e, s in STATUSES.items()} | {
    "Panic(0x11)": {Status.OVERFLOW, Status.INSUFFICIENT_LIQUIDITY},
    "Panic(0x12)": {Status.OVERFLOW},
}


class BalancerV3:
    """The vault on a local EVM, with a desk for everything that it asks of others."""

    def __init__(self, evm: LocalEvm) -> None:
        self.evm = evm
        self._code = solidity({}, published=PUBLISHED, evm_version="cancun")
        desk = solidity({"Desk.sol": DESK}, evm_version="cancun")["Desk"]
        # The three parts of the vault must know its address before it is there.
        nested = b"\xd6\x94" + bytes.fromhex(_MINER[2:]) + b"\x80"
        self.vault = Address("0x" + keccak256(nested)[12:].hex())
        self.desk = evm.deploy(desk, args=encode(["address"], [self.vault]))
        admin = evm.deploy(
            self._code["VaultAdmin"],
            args=encode(
                ["address", "uint32", "uint32", "uint256", "uint256"],
                [self.vault, 4 * 365 * 86_400, 30 * 86_400, 10**6, 10**4],
            ),
        )
        extension = evm.deploy(
            self._code["VaultExtension"],
            args=encode(["address", "address"], [self.vault, admin]),
        )
        made = evm.deploy(
            self._code["Vault"],
            args=encode(["address", "address", "address"], [extension, self.desk, self.desk]),
            sender=_MINER,
        )
        assert made == self.vault

    def weighted(self, weights: list[int], floors: list[int]) -> Address:
        """Deploy a weighted pool; it is not registered yet."""
        return self._pool(
            "WeightedPool",
            "(string,string,uint256,uint256[],string,uint256[])",
            ("W", "W", len(weights), weights, "{}", floors),
        )

    def stable(self, amp: int) -> Address:
        """Deploy a stable pool; it is not registered yet."""
        return self._pool("StablePool", "(string,string,uint256,string)", ("S", "S", amp, "{}"))

    def _pool(self, name: str, kind: str, parameters: Any) -> Address:
        args = encode([kind, "address"], [parameters, self.vault])
        return self.evm.deploy(self._code[name], args=args)

    def rate_provider(self, rate: int) -> str:
        """Deploy something that says a rate; 0 for none."""
        if rate == 0:
            return ZERO_ADDRESS
        creation = solidity({"RateProvider.sol": RATE_PROVIDER})["RateProvider"]
        return self.evm.deploy(creation, args=encode(["uint256"], [rate]))

    def open(self, pool: str, tokens: list[str], providers: list[str], *more: list[int]) -> None:
        """Register a pool with its fees (swap, and the shares of it and of yields), and fill it."""
        fees, amounts = more
        register = "register(address,address[],address[],uint256[3])"
        self.evm.send(self.desk, register, pool, tokens, providers, fees)
        self.evm.send(self.desk, "initialize(address,address[],uint256[])", pool, tokens, amounts)

    def swap(self, kind: int, pool: str, pair: tuple[str, str], amount: int, *, keep: bool) -> Any:
        """Swap through the vault; returns the calculated amount or why it reverts."""
        limit = 0 if kind == 0 else 2**256 - 1
        asked = (kind, pool, *pair, amount, limit, b"")
        act = self.evm.send if keep else self.evm.call
        try:
            return act(self.desk, _SWAP, asked, sender=SENDER)[0]
        except Reverted as revert:
            return revert.reason


def agrees(said: Any, status: int, amount: int) -> bool:
    """Return whether a contract's answer and ours are the same."""
    if isinstance(said, str):
        return Status(status) in _SELECTORS[said]
    return status == Status.OK and said == amount
