// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The part of ERC-20 that is read; transfers go through `Tokens`.
interface IERC20 {
    function balanceOf(address holder) external view returns (uint256);
}

/// @notice WETH9 and its like: the chain's native coin as an ERC-20.
interface IWrappedNative is IERC20 {
    function withdraw(uint256 amount) external;
}

/// @notice A Uniswap V2 pair and its forks.
interface IPair {
    /// @dev Sends the amounts out first; calls `to` back when `data` is not empty; then checks that
    /// its product has not fallen.
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}

/// @notice A Uniswap V3 pool and its forks.
interface IConcentratedPool {
    /// @dev Sends the output first, then calls the caller back and expects the input by its end.
    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 amount0, int256 amount1);
}
