// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// @notice A pool with Uniswap V3's way of being paid (out first, then a callback that must bring
/// the input) at one fixed price, under the callback name of its fork.
contract Pool {
    address public immutable token0;
    address public immutable token1;
    uint256 private immutable NUMERATOR;
    uint256 private immutable DENOMINATOR;
    bytes4 private immutable CALLBACK;

    constructor(
        address token0_,
        address token1_,
        uint256 numerator,
        uint256 denominator,
        string memory callback
    ) {
        token0 = token0_;
        token1 = token1_;
        NUMERATOR = numerator;
        DENOMINATOR = denominator;
        CALLBACK = bytes4(keccak256(bytes(callback)));
    }

    function quote(bool zeroForOne, uint256 amountIn) public view returns (uint256) {
        return
            zeroForOne ? (amountIn * NUMERATOR) / DENOMINATOR : (amountIn * DENOMINATOR) / NUMERATOR;
    }

    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 limit,
        bytes calldata data
    ) external returns (int256 amount0, int256 amount1) {
        require(amountSpecified > 0, "exact input only");
        require(
            zeroForOne
                ? limit == 4295128740
                : limit == 1461446703485210103287273052203988822378723970341,
            "limit"
        );
        int256 out = int256(quote(zeroForOne, uint256(amountSpecified)));
        (amount0, amount1) = zeroForOne ? (amountSpecified, -out) : (-out, amountSpecified);
        (address tokenIn, address tokenOut) = zeroForOne ? (token0, token1) : (token1, token0);
        Token(tokenOut).transfer(recipient, uint256(out));
        uint256 before = Token(tokenIn).balanceOf(address(this));
        (bool done, bytes memory answer) =
            msg.sender.call(abi.encodeWithSelector(CALLBACK, amount0, amount1, data));
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        require(
            Token(tokenIn).balanceOf(address(this)) >= before + uint256(amountSpecified), "unpaid"
        );
    }
}
