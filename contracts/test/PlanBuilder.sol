// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";

/// @notice Writes plans, piece by piece, in the layout that `Executor` documents.
library PlanBuilder {
    uint8 internal constant SELF = 0;
    uint8 internal constant CALLER = 1;
    uint8 internal constant NEXT = 2;

    function header(uint256 last, uint256 least, uint256 bid) internal pure returns (bytes memory) {
        return header(last, least, bid, new address[](0));
    }

    function header(uint256 last, uint256 least, uint256 bid, address[] memory tokens)
        internal
        pure
        returns (bytes memory plan)
    {
        plan = abi.encodePacked(
            Executor.execute.selector,
            uint40(last),
            uint96(least),
            uint96(bid),
            uint8(tokens.length)
        );
        for (uint256 i = 0; i < tokens.length; ++i) {
            plan = abi.encodePacked(plan, tokens[i]);
        }
    }

    /// @notice Returns `plan` with its gain asked for exactly.
    function exactly(bytes memory plan) internal pure returns (bytes memory) {
        plan[33] = plan[33] | 0x80;
        return plan;
    }

    function pay(uint8 to, uint8 token, uint256 amount) internal pure returns (bytes memory) {
        return abi.encodePacked(head(1, to, false), token, uint128(amount));
    }

    function pair(uint8 to, address at, bool zeroForOne, uint256 amountOut)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(head(2, to, zeroForOne), at, uint128(amountOut));
    }

    function flash(uint8 to, address at, bool zeroForOne, uint256 amountOut, bytes memory inner)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(
            head(3, to, zeroForOne), at, uint128(amountOut), uint16(inner.length), inner
        );
    }

    function pool(uint8 to, address at, bool zeroForOne, uint256 amountIn, bytes memory inner)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(
            head(4, to, zeroForOne), at, uint128(amountIn), uint16(inner.length), inner
        );
    }

    function one(address token) internal pure returns (address[] memory tokens) {
        tokens = new address[](1);
        tokens[0] = token;
    }

    function head(uint8 kind, uint8 to, bool zeroForOne) internal pure returns (uint8) {
        return kind | (to << 4) | (zeroForOne ? 0x80 : 0);
    }
}
