"""A pair with the older solver, in Solidity, written from its rules.

No package has Velodrome V1 or Solidly. This double knows nothing of the Python reference: what it
shares with it is the source named there. It holds reserves without tokens: `swap` takes its input
as a number, and keeps the pair's own order of checks.
"""

from __future__ import annotations

OLDER_PAIR = """
// SPDX-License-Identifier: MIT
pragma solidity >=0.8.0;

contract OlderPair {
    uint256[2] public reserves;
    uint256[2] private units;
    bool private stable;
    uint256 private fee;

    function set(uint256[2] calldata held, uint256[2] calldata units_, bool stable_, uint256 fee_)
        external
    {
        reserves = held;
        units = units_;
        stable = stable_;
        fee = fee_;
    }

    function getAmountOut(uint256 given, uint256 side) public view returns (uint256) {
        given -= given * fee / 10000;
        uint256 other = 1 - side;
        if (!stable) return given * reserves[other] / (reserves[side] + given);
        uint256 kept = invariant(reserves[0], reserves[1]);
        uint256 y = in18(reserves[other], other);
        uint256 x = in18(reserves[side], side);
        return (y - settle(in18(given, side) + x, kept, y)) * units[other] / 1e18;
    }

    function swap(uint256 given, uint256 paid, uint256 side) external {
        require(paid > 0 && given > 0, "nothing");
        require(paid < reserves[1 - side], "liquidity");
        uint256 kept = invariant(reserves[0], reserves[1]);
        reserves[1 - side] -= paid;
        reserves[side] = reserves[side] + given - given * fee / 10000;
        require(invariant(reserves[0], reserves[1]) >= kept, "K");
    }

    function in18(uint256 amount, uint256 side) private view returns (uint256) {
        return amount * 1e18 / units[side];
    }

    function invariant(uint256 held0, uint256 held1) private view returns (uint256) {
        if (!stable) return held0 * held1;
        uint256 x = in18(held0, 0);
        uint256 y = in18(held1, 1);
        return (x * y / 1e18) * (x * x / 1e18 + y * y / 1e18) / 1e18;
    }

    // Newton's iteration on x^3 y + x y^3, each power cut to 18 decimals, until a step of 0 or 1.
    function settle(uint256 x, uint256 kept, uint256 y) private pure returns (uint256) {
        uint256 cube = x * x / 1e18 * x / 1e18;
        for (uint256 round = 0; round < 255; round++) {
            uint256 square = y * y / 1e18;
            uint256 value = x * (square * y / 1e18) / 1e18 + cube * y / 1e18;
            uint256 slope = 3 * x * square / 1e18 + cube;
            uint256 before = y;
            if (value < kept) y += (kept - value) * 1e18 / slope;
            else y -= (value - kept) * 1e18 / slope;
            if (y > before ? y - before <= 1 : before - y <= 1) break;
        }
        return y;
    }
}
"""
