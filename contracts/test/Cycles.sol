// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {PlanBuilder} from "./PlanBuilder.sol";
import {Pair} from "./mocks/Pair.sol";
import {Pool} from "./mocks/Pool.sol";

/// @notice Profitable cycles of every shape, and the gross that each of them must give.
abstract contract Cycles is Base {
    Pair internal cheapPair; // wrapped -> usd at 1 : 2000
    Pair internal dearPair; // usd -> wrapped at 1900 : 1
    Pool internal cheapPool; // wrapped -> usd at 1 : 2000
    Pool internal dearPool; // usd -> wrapped at 1900 : 1
    Pool internal gemPool; // usd -> gem at 1 : 1
    Pair internal gemPair; // gem -> wrapped at 1900 : 1

    function setUp() public virtual override {
        super.setUp();
        cheapPair = pairOf(address(wrapped), address(usd), 1000e18, 2_000_000e18);
        dearPair = pairOf(address(usd), address(wrapped), 1_900_000e18, 1000e18);
        cheapPool = poolOf(address(wrapped), address(usd), 2000, 1);
        dearPool = poolOf(address(usd), address(wrapped), 1, 1900);
        gemPool = poolOf(address(usd), address(gem), 1, 1);
        gemPair = pairOf(address(gem), address(wrapped), 1_900_000e18, 1000e18);
    }

    function pairThenPair(uint256 amount) internal view returns (bytes memory plan, uint256 gross) {
        uint256 middle = cheapPair.quote(true, amount);
        uint256 end = dearPair.quote(true, middle);
        gross = end - amount;
        plan = PlanBuilder.flash(
            PlanBuilder.SELF,
            address(dearPair),
            true,
            end,
            bytes.concat(
                PlanBuilder.pay(PlanBuilder.NEXT, 0, amount),
                PlanBuilder.pair(PlanBuilder.CALLER, address(cheapPair), true, middle)
            )
        );
    }

    function pairThenPool(uint256 amount) internal view returns (bytes memory plan, uint256 gross) {
        uint256 middle = cheapPair.quote(true, amount);
        gross = dearPool.quote(true, middle) - amount;
        plan = PlanBuilder.pool(
            PlanBuilder.SELF,
            address(dearPool),
            true,
            middle,
            bytes.concat(
                PlanBuilder.pay(PlanBuilder.NEXT, 0, amount),
                PlanBuilder.pair(PlanBuilder.CALLER, address(cheapPair), true, middle)
            )
        );
    }

    function poolThenPair(uint256 amount) internal view returns (bytes memory plan, uint256 gross) {
        uint256 end = dearPair.quote(true, cheapPool.quote(true, amount));
        gross = end - amount;
        plan = PlanBuilder.flash(
            PlanBuilder.SELF, address(dearPair), true, end, fromPool(PlanBuilder.CALLER, amount)
        );
    }

    function poolThenPool(uint256 amount) internal view returns (bytes memory plan, uint256 gross) {
        uint256 middle = cheapPool.quote(true, amount);
        gross = dearPool.quote(true, middle) - amount;
        plan = PlanBuilder.pool(
            PlanBuilder.SELF, address(dearPool), true, middle, fromPool(PlanBuilder.CALLER, amount)
        );
    }

    function pairPoolPair(uint256 amount) internal view returns (bytes memory plan, uint256 gross) {
        uint256 first = cheapPair.quote(true, amount);
        uint256 end = gemPair.quote(true, gemPool.quote(true, first));
        gross = end - amount;
        bytes memory feed = bytes.concat(
            PlanBuilder.pay(PlanBuilder.NEXT, 0, amount),
            PlanBuilder.pair(PlanBuilder.CALLER, address(cheapPair), true, first)
        );
        plan = PlanBuilder.flash(
            PlanBuilder.SELF,
            address(gemPair),
            true,
            end,
            PlanBuilder.pool(PlanBuilder.CALLER, address(gemPool), true, first, feed)
        );
    }

    /// @dev A cycle that starts with usd, whose profit is converted by the pair (true) or the pool.
    function usdCycle(uint256 amount, bool throughPair)
        internal
        view
        returns (bytes memory plan, uint256 gross)
    {
        uint256 middle = dearPool.quote(true, amount);
        uint256 end = cheapPair.quote(true, middle);
        uint256 profit = end - amount;
        bytes memory cycle = PlanBuilder.flash(
            PlanBuilder.SELF,
            address(cheapPair),
            true,
            end,
            PlanBuilder.pool(
                PlanBuilder.CALLER,
                address(dearPool),
                true,
                amount,
                PlanBuilder.pay(PlanBuilder.CALLER, 1, amount)
            )
        );
        bytes memory conversion;
        if (throughPair) {
            gross = dearPair.quote(true, profit);
            conversion = bytes.concat(
                PlanBuilder.pay(PlanBuilder.NEXT, 1, profit),
                PlanBuilder.pair(PlanBuilder.SELF, address(dearPair), true, gross)
            );
        } else {
            gross = cheapPool.quote(false, profit);
            conversion = PlanBuilder.pool(
                PlanBuilder.SELF,
                address(cheapPool),
                false,
                profit,
                PlanBuilder.pay(PlanBuilder.CALLER, 1, profit)
            );
        }
        plan = bytes.concat(cycle, conversion);
    }

    function fromPool(uint8 receiver, uint256 amount) private view returns (bytes memory) {
        return PlanBuilder.pool(
            receiver,
            address(cheapPool),
            true,
            amount,
            PlanBuilder.pay(PlanBuilder.CALLER, 0, amount)
        );
    }
}
