// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Transfers of ERC-20 tokens, those that return nothing included.
library Tokens {
    /// @notice The token reverted, answered anything but true, or has no code.
    error TransferFailed(address token, address to, uint256 amount);

    /// @notice Move `amount` of `token` from this contract to `to`.
    function pay(address token, address to, uint256 amount) internal {
        bool moved;
        // Equals token.transfer(to, amount), where no answer from a contract counts as true.
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, shl(224, 0xa9059cbb)) // transfer(address,uint256)
            mstore(add(input, 0x04), to)
            mstore(add(input, 0x24), amount)
            moved := call(gas(), token, 0, input, 0x44, 0x00, 0x20)
            switch returndatasize()
            case 0 { moved := and(moved, gt(extcodesize(token), 0)) }
            default { moved := and(moved, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
        if (!moved) revert TransferFailed(token, to, amount);
    }
}
