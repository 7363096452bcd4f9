"""A Liquidity Book pair in Solidity, written from its rules; no package has the real one.

It knows nothing of the Python reference: what it shares with it is the source named there. It
computes another way where there is one: prices by squaring 256-bit numbers, products of 384 bits
in two halves, the bins in a list instead of a tree. Tokens and shares are left out: a deposit only
adds to bins, a swap takes its input as a number.
"""

from __future__ import annotations

PAIR = """
// SPDX-License-Identifier: MIT
pragma solidity >=0.8.0;

contract BookPair {
    struct Steady {
        uint16 baseFactor; uint16 filterPeriod; uint16 decayPeriod; uint16 reductionFactor;
        uint24 variableFeeControl; uint16 protocolShare; uint24 maxVolatility;
    }
    struct Moving {
        uint24 volatility; uint24 volatilityReference; uint24 idReference; uint40 lastUpdate;
    }
    struct Walk { uint256 left; uint256 other; uint256 fee; uint24 id; bool enough; }

    address public getTokenX = address(0xaa);
    address public getTokenY = address(0xbb);
    uint16 public getBinStep;
    uint24 public getActiveId;
    Steady private steady;
    Moving private moving;
    bool private immutable limited;
    mapping(uint24 => uint128[2]) private held;
    mapping(uint24 => bool) private used;
    uint24[] private ids;

    event Swap(address indexed sender, address indexed to, uint24 id, bytes32 amountsIn,
        bytes32 amountsOut, uint24 volatilityAccumulator, bytes32 totalFees, bytes32 protocolFees);
    event DepositedToBins(address indexed sender, address indexed to, uint256[] ids,
        bytes32[] amounts);
    event WithdrawnFromBins(address indexed sender, address indexed to, uint256[] ids,
        bytes32[] amounts);

    constructor(bool limited_) { limited = limited_; }

    // ---- what a test sets

    function set(uint16 step, uint24 active, Steady calldata steady_, Moving calldata moving_)
        external
    {
        getBinStep = step;
        getActiveId = active;
        steady = steady_;
        moving = moving_;
    }

    function move(bool adds, uint256[] calldata ids_, uint128[2][] calldata amounts) external {
        bytes32[] memory packed = new bytes32[](ids_.length);
        for (uint256 i = 0; i < ids_.length; i++) {
            uint24 id = uint24(ids_[i]);
            for (uint256 side = 0; side < 2; side++) {
                if (adds) held[id][side] += amounts[i][side];
                else held[id][side] -= amounts[i][side];
            }
            if (!used[id]) { used[id] = true; ids.push(id); }
            packed[i] = pack(amounts[i][0], amounts[i][1]);
        }
        if (adds) emit DepositedToBins(msg.sender, msg.sender, ids_, packed);
        else emit WithdrawnFromBins(msg.sender, msg.sender, ids_, packed);
    }

    // ---- what a pair answers

    function getBin(uint24 id) external view returns (uint128, uint128) {
        return (held[id][0], held[id][1]);
    }

    function getStaticFeeParameters() external view returns (Steady memory) { return steady; }

    function getVariableFeeParameters() external view returns (Moving memory) { return moving; }

    function getLBHooksParameters() external view returns (bytes32) {
        require(limited);
        return bytes32(0);
    }

    function getNextNonEmptyBin(bool forY, uint24 id) public view returns (uint24 best) {
        best = forY ? type(uint24).max : 0;
        for (uint256 i = 0; i < ids.length; i++) {
            uint24 one = ids[i];
            if (forY && one < id && (best == type(uint24).max || one > best)) best = one;
            if (!forY && one > id && (best == 0 || one < best)) best = one;
        }
    }

    function getSwapOut(uint128 given, bool forY) external returns (uint128, uint128, uint128) {
        Walk memory walk = buy(given, forY, false);
        return (uint128(walk.left), uint128(walk.other), uint128(walk.fee));
    }

    function getSwapIn(uint128 wanted, bool forY) external returns (uint128, uint128, uint128) {
        Walk memory walk;
        walk.left = wanted;
        walk.id = getActiveId;
        Moving memory now_ = rested();
        uint256 side = forY ? 1 : 0;
        while (true) {
            uint256 there = held[walk.id][side];
            if (there > 0) {
                uint256 paid = there < walk.left ? there : walk.left;
                uint256 needed = narrow(cost(paid, price(walk.id), forY));
                uint256 rate = feeIn(now_, walk.id);
                uint256 fee = up(needed * rate, 1e18 - rate);
                walk.other = narrow(walk.other + needed + fee);
                walk.fee += fee;
                walk.left -= paid;
            }
            if (walk.left == 0) break;
            uint24 next = getNextNonEmptyBin(forY, walk.id);
            if (next == 0 || next == type(uint24).max) break;
            walk.id = next;
        }
        return (uint128(walk.other), uint128(walk.left), uint128(walk.fee));
    }

    function swap(uint128 given, bool forY) external returns (uint256) {
        require(given > 0, "nothing in");
        Walk memory walk = buy(given, forY, true);
        require(walk.left == 0, "dry");
        require(walk.other > 0, "nothing out");
        getActiveId = walk.id;
        return walk.other;
    }

    // ---- the rules

    function buy(uint256 given, bool forY, bool keep) private returns (Walk memory walk) {
        walk.left = given;
        walk.id = getActiveId;
        Moving memory now_ = rested();
        while (true) {
            if (held[walk.id][forY ? 1 : 0] > 0) takeFrom(walk, now_, forY, keep);
            if (walk.left == 0) break;
            uint24 next = getNextNonEmptyBin(forY, walk.id);
            if (next == 0 || next == type(uint24).max) break;
            walk.id = next;
        }
        if (keep) moving = now_;
    }

    function takeFrom(Walk memory walk, Moving memory now_, bool forY, bool keep) private {
        uint256 there = held[walk.id][forY ? 1 : 0];
        uint256 p = price(walk.id);
        uint256 net = narrow(cost(there, p, forY));
        uint256 rate = feeIn(now_, walk.id);
        uint256 fee = up(net * rate, 1e18 - rate);
        uint256 taken = narrow(net + fee);
        if (walk.left < taken) {
            taken = walk.left;
            fee = up(taken * rate, 1e18);
            net = taken - fee;
            uint256 paid = narrow(forY ? high(net, p) : (net << 128) / p);
            if (paid < there) there = paid;
        }
        uint256 share = fee * steady.protocolShare / 10000;
        uint256 into = held[walk.id][forY ? 0 : 1];
        uint256 rest = held[walk.id][forY ? 1 : 0] - there;
        if (limited) roomFor(forY ? into + taken : rest, forY ? rest : into + taken, p);
        walk.left -= taken;
        walk.other = narrow(walk.other + there);
        walk.fee += fee;
        into = narrow(into + taken - share);
        if (!keep || taken == 0) return;
        held[walk.id][forY ? 0 : 1] = uint128(into);
        held[walk.id][forY ? 1 : 0] = uint128(rest);
        emit Swap(msg.sender, msg.sender, walk.id, onSide(taken - share, !forY),
            onSide(there, forY), now_.volatility, onSide(fee, !forY), onSide(share, !forY));
    }

    function rested() private view returns (Moving memory now_) {
        now_ = moving;
        uint256 idle = block.timestamp - now_.lastUpdate;
        now_.lastUpdate = uint40(block.timestamp);
        if (idle < steady.filterPeriod) return now_;
        now_.idReference = getActiveId;
        now_.volatilityReference = 0;
        if (idle < steady.decayPeriod) {
            uint256 kept = uint256(now_.volatility) * steady.reductionFactor / 10000;
            now_.volatilityReference = uint24(kept);
        }
    }

    // Also moves the volatility, as entering a bin does.
    function feeIn(Moving memory now_, uint24 id) private view returns (uint256 rate) {
        uint256 away = id < now_.idReference ? now_.idReference - id : id - now_.idReference;
        uint256 volatility = now_.volatilityReference + away * 10000;
        if (volatility > steady.maxVolatility) volatility = steady.maxVolatility;
        now_.volatility = uint24(volatility);
        uint256 squared = (volatility * getBinStep) ** 2;
        rate = uint256(steady.baseFactor) * getBinStep * 1e10;
        rate += up(squared * steady.variableFeeControl, 100);
        require(rate <= 0.1e18, "fee");
    }

    function price(uint24 id) public view returns (uint256 result) {
        bool below = id < 1 << 23;
        uint256 power = below ? (1 << 23) - id : id - (1 << 23);
        if (power == 0) return 1 << 128;
        require(power < 1 << 20, "price");
        // One over the base, squared bit by bit: below 1, so that all fits.
        uint256 factor = type(uint256).max / ((1 << 128) + (uint256(getBinStep) << 128) / 10000);
        result = 1 << 128;
        for (; power > 0; power >>= 1) {
            if (power % 2 == 1) result = result * factor >> 128;
            factor = factor * factor >> 128;
        }
        require(result > 0, "price");
        if (!below) result = type(uint256).max / result;
    }

    function roomFor(uint256 x, uint256 y, uint256 p) private pure {
        narrow(x);
        uint256 worth = p * x + (narrow(y) << 128);
        require(worth <= MOST, "full");
    }

    uint256 private constant MOST =
        65251743116719673010965625540244653191619923014385985379600384103134737;

    // amount * p / 2^128, by halves of p
    function high(uint256 amount, uint256 p) private pure returns (uint256) {
        return amount * (p >> 128) + (amount * (p & type(uint128).max) >> 128);
    }

    function cost(uint256 amount, uint256 p, bool forY) private pure returns (uint256) {
        if (forY) return up(amount << 128, p);
        uint256 cut = amount * (p & type(uint128).max) & type(uint128).max;
        return high(amount, p) + (cut > 0 ? 1 : 0);
    }

    function up(uint256 a, uint256 b) private pure returns (uint256) {
        return a / b + (a % b > 0 ? 1 : 0);
    }

    function narrow(uint256 n) private pure returns (uint256) {
        require(n <= type(uint128).max, "128 bits");
        return n;
    }

    function onSide(uint256 amount, bool y) private pure returns (bytes32) {
        return y ? pack(0, amount) : pack(amount, 0);
    }

    function pack(uint256 x, uint256 y) private pure returns (bytes32) {
        return bytes32(y << 128 | x);
    }
}
"""
