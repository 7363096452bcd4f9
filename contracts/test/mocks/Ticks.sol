// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The getters of a V3-type pool over whatever words a test puts there. A function can be
/// made to answer another size, to revert, or to burn all the gas it is given.
contract Ticks {
    enum Way {
        Honest,
        Short,
        Long,
        Reverts,
        Burns
    }

    struct Tick {
        uint256 gross;
        uint256 net;
    }

    uint256 private price;
    uint256 private tick;
    uint256 private depth;
    mapping(int256 word => uint256 bits) private bitmap;
    mapping(int256 tick => Tick) private table;
    mapping(bytes4 selector => Way) private ways;

    function put(uint256 price_, int256 tick_, uint256 liquidity_) external {
        (price, tick, depth) = (price_, uint256(tick_), liquidity_);
    }

    function put(int256 place, int256 spacing, uint256 gross, int256 net) external {
        bitmap[place >> 8] |= 1 << uint256(place & 255);
        table[place * spacing] = Tick(gross, uint256(net));
    }

    function behave(bytes4 selector, Way way) external {
        ways[selector] = way;
    }

    function slot0() external view {
        _answer(7, price, tick);
    }

    function liquidity() external view {
        _answer(1, depth, 0);
    }

    function tickBitmap(int16 word) external view {
        _answer(1, bitmap[word], 0);
    }

    function ticks(int24 index) external view {
        _answer(8, table[index].gross, table[index].net);
    }

    function _answer(uint256 words, uint256 word0, uint256 word1) private view {
        Way way = ways[msg.sig];
        require(way != Way.Reverts, "refused");
        uint256 size = words * 32;
        if (way == Way.Short) size -= 1;
        if (way == Way.Long) size += 32;
        assembly ("memory-safe") {
            if eq(way, 4) { invalid() }
            let at := mload(0x40)
            mstore(at, word0)
            mstore(add(at, 32), word1)
            return(at, size)
        }
    }
}
