// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Reads everything that the swaps of Uniswap-V3-type pools depend on, many pools a call.
/// @notice Never deployed: a node runs this code at an unused address by the state override of
/// `eth_call`. It keeps no storage and sends nothing.
///
/// Pools are read in order until gas runs short, so that any gas gives as much as it can pay for.
/// The answer is packed, big-endian, one record a pool that was begun:
///
///     uint8    status      what the record is, see the constants
///     int32    place       where to go on, or what the refused call was asked for; else 0
///     uint256  price       word 0 of slot0
///     int256   tick        word 1 of slot0
///     uint256  liquidity   the word of liquidity()
///     uint32   count       how many ticks follow, ascending:
///     int32    index, int128 net, uint128 gross
///
/// Only the last record can be `UNFINISHED`; pools behind it have none.
contract PoolReader {
    /// @notice A pool and the part of its tick bitmap to read. A place is a tick divided by the
    /// spacing; `last` is read up to the end of its word.
    struct Range {
        address pool;
        int24 tickSpacing;
        int24 first;
        int24 last;
    }

    /// @dev Everything in the range is there.
    uint256 internal constant WHOLE = 0;
    /// @dev Gas ran short: go on at `place`.
    uint256 internal constant UNFINISHED = 1;
    /// @dev These calls reverted or did not answer in Uniswap V3's shape.
    uint256 internal constant NO_SLOT0 = 2;
    uint256 internal constant NO_LIQUIDITY = 3;
    uint256 internal constant NO_BITMAP = 4;
    uint256 internal constant NO_TICK = 5;

    uint256 internal constant HEAD_BYTES = 105;
    uint256 internal constant TICK_BYTES = 36;

    /// @dev What one call of a pool may use: Uniswap's own use a tenth of it at most. A pool that
    /// burns all it is given cannot starve the others.
    uint256 internal constant CALL_GAS = 200_000;
    /// @dev Left when nothing more is begun: one call of a pool with its 64th, and the way out. So
    /// no call of a pool ever fails for want of gas that this contract has used.
    uint256 internal constant RESERVE_GAS = 320_000;

    bytes4 internal constant SLOT0 = 0x3850c7bd;
    bytes4 internal constant LIQUIDITY = 0x1a686502;
    bytes4 internal constant TICK_BITMAP = 0x5339c296;
    bytes4 internal constant TICKS = 0xf30dba93;

    function read(Range[] calldata ranges) external view returns (bytes memory records) {
        // Records are written behind the free memory, where nothing else is allocated meanwhile.
        uint256 begin;
        assembly ("memory-safe") {
            records := mload(0x40)
            begin := add(records, 32)
        }
        uint256 end = begin;
        for (uint256 i = 0; i < ranges.length && gasleft() >= RESERVE_GAS; ++i) {
            end = _readPool(ranges[i], end);
        }
        assembly ("memory-safe") {
            mstore(records, sub(end, begin))
            mstore(0x40, and(add(end, 63), not(31)))
        }
    }

    /// @dev Writes a pool's record at `at` and returns its end.
    function _readPool(Range calldata range, uint256 at) private view returns (uint256 end) {
        end = at + HEAD_BYTES;
        (bool fine, uint256 price, uint256 tick) = _ask(range.pool, SLOT0, 0, 7 * 32);
        if (!fine) return _close(at, end, NO_SLOT0, 0, 0, 0, 0);
        uint256 liquidity;
        (fine, liquidity,) = _ask(range.pool, LIQUIDITY, 0, 32);
        if (!fine) return _close(at, end, NO_LIQUIDITY, 0, 0, 0, 0);
        uint256 status;
        int256 place;
        // A pool without a price has no positions.
        if (price != 0) (end, status, place) = _readTicks(range, end);
        return _close(at, end, status, place, price, tick, liquidity);
    }

    /// @dev Writes the ticks of a range from `end` on. A word's calls begin only with enough gas.
    function _readTicks(Range calldata range, uint256 end)
        private
        view
        returns (uint256, uint256, int256)
    {
        int256 place = range.first;
        for (int256 word = place >> 8; word <= int256(range.last) >> 8; ++word) {
            if (gasleft() < RESERVE_GAS) return (end, UNFINISHED, place);
            (bool fine, uint256 bits,) = _ask(range.pool, TICK_BITMAP, word, 32);
            if (!fine) return (end, NO_BITMAP, word);
            // Places before the first were read by the call that left off here.
            bits &= type(uint256).max << uint256(place & 255);
            while (bits != 0) {
                place = (word << 8) + int256(_lowestBit(bits));
                if (gasleft() < RESERVE_GAS) return (end, UNFINISHED, place);
                int256 tick = place * range.tickSpacing;
                if (!_writeTick(range.pool, tick, end)) return (end, NO_TICK, tick);
                end += TICK_BYTES;
                bits &= bits - 1;
            }
            place = (word + 1) << 8;
        }
        return (end, WHOLE, 0);
    }

    /// @dev Writes one tick at `at`; false when the pool does not answer a tick.
    function _writeTick(address pool, int256 tick, uint256 at) private view returns (bool) {
        (bool fine, uint256 gross, uint256 net) = _ask(pool, TICKS, tick, 8 * 32);
        if (!fine || gross >> 128 != 0 || int256(net) != int128(int256(net))) return false;
        assembly ("memory-safe") {
            mstore(at, shl(224, tick))
            mstore(add(at, 4), shl(128, net))
            mstore(add(at, 20), shl(128, gross))
        }
        return true;
    }

    /// @dev Writes a record's head at `at`; its ticks lie behind it up to `end`, which is returned.
    function _close(
        uint256 at,
        uint256 end,
        uint256 status,
        int256 place,
        uint256 price,
        uint256 tick,
        uint256 liquidity
    ) private pure returns (uint256) {
        uint256 count = (end - at - HEAD_BYTES) / TICK_BYTES;
        assembly ("memory-safe") {
            mstore8(at, status)
            mstore(add(at, 1), shl(224, place))
            mstore(add(at, 5), price)
            mstore(add(at, 37), tick)
            mstore(add(at, 69), liquidity)
            // By bytes: a whole word would reach into the first tick.
            mstore8(add(at, 101), shr(24, count))
            mstore8(add(at, 102), shr(16, count))
            mstore8(add(at, 103), shr(8, count))
            mstore8(add(at, 104), count)
        }
        return end;
    }

    /// @dev Calls a pool with one argument (which functions without one ignore). `fine` is whether
    /// it answered exactly `size` bytes; then its first two words follow, of one word the first.
    function _ask(address pool, bytes4 selector, int256 argument, uint256 size)
        private
        view
        returns (bool fine, uint256 word0, uint256 word1)
    {
        assembly ("memory-safe") {
            mstore(0, selector)
            mstore(4, argument)
            fine := staticcall(CALL_GAS, pool, 0, 36, 0, 64)
            fine := and(fine, eq(returndatasize(), size))
            word0 := mload(0)
            word1 := mload(32)
        }
    }

    /// @dev The place of the lowest bit set; `bits` is not zero.
    function _lowestBit(uint256 bits) private pure returns (uint256 place) {
        if (uint128(bits) == 0) (place, bits) = (128, bits >> 128);
        if (uint64(bits) == 0) (place, bits) = (place + 64, bits >> 64);
        if (uint32(bits) == 0) (place, bits) = (place + 32, bits >> 32);
        if (uint16(bits) == 0) (place, bits) = (place + 16, bits >> 16);
        if (uint8(bits) == 0) (place, bits) = (place + 8, bits >> 8);
        if (bits & 15 == 0) (place, bits) = (place + 4, bits >> 4);
        if (bits & 3 == 0) (place, bits) = (place + 2, bits >> 2);
        if (bits & 1 == 0) ++place;
    }
}
