// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Answers many views in one call.
/// @notice Never deployed: a node runs this code at an unused address by the state override of
/// `eth_call`. It keeps no storage and sends nothing. Selector, arguments and answer are those of
/// Multicall3's `aggregate3`, so that either can answer.
contract CallReader {
    struct Call {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// @dev What one view may use, and has: a contract that burns all it is given cannot starve the
    /// others, and none fails for want of gas that others have used. The largest view, of 512
    /// words of storage, uses a fifth of it.
    uint256 internal constant CALL_GAS = 6_000_000;
    /// @dev With less, a call would get less than `CALL_GAS`: EIP-150 keeps a 64th back.
    uint256 internal constant LEAST_GAS = CALL_GAS + CALL_GAS / 63 + 10_000;

    /// @notice Gas ran short before the call at this place: ask for fewer.
    error GasRanShort(uint256 index);
    /// @notice A call that may not fail did.
    error CallFailed(uint256 index);

    function aggregate3(Call[] calldata calls) external view returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            if (gasleft() < LEAST_GAS) revert GasRanShort(i);
            Call calldata call = calls[i];
            (results[i].success, results[i].returnData) =
                call.target.staticcall{gas: CALL_GAS}(call.callData);
            if (!results[i].success && !call.allowFailure) revert CallFailed(i);
        }
    }
}
