// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Cycles} from "./Cycles.sol";

/// @notice What the snapshot measures: cycles over the mock market, with and without a bid.
contract GasTest is Cycles {
    uint256 private constant AMOUNT = 3e18;

    function test_pair_pair() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        run(bytes.concat(header(gross, 0), commands));
    }

    function test_pair_pair_with_bid() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        run(bytes.concat(header(gross, gross / 2), commands));
    }

    function test_pair_pool() public {
        (bytes memory commands, uint256 gross) = pairThenPool(AMOUNT);
        run(bytes.concat(header(gross, 0), commands));
    }

    function test_pool_pair() public {
        (bytes memory commands, uint256 gross) = poolThenPair(AMOUNT);
        run(bytes.concat(header(gross, 0), commands));
    }

    function test_pool_pool() public {
        (bytes memory commands, uint256 gross) = poolThenPool(AMOUNT);
        run(bytes.concat(header(gross, 0), commands));
    }

    function test_pair_pool_pair() public {
        (bytes memory commands, uint256 gross) = pairPoolPair(AMOUNT);
        run(bytes.concat(header(gross, 0), commands));
    }
}
