// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {PoolReader} from "../src/PoolReader.sol";
import {Ticks} from "./mocks/Ticks.sol";

contract PoolReaderTest {
    bytes4 internal constant SLOT0 = 0x3850c7bd;
    bytes4 internal constant LIQUIDITY = 0x1a686502;
    bytes4 internal constant TICK_BITMAP = 0x5339c296;
    bytes4 internal constant TICKS = 0xf30dba93;

    uint256 internal constant PRICE = 1 << 96;
    int24 internal constant SPACING = 60;
    /// @dev The first words of a spacing of 60 and the places of its ends.
    int24 internal constant FIRST = -58 * 256;
    int24 internal constant LAST = 57 * 256;

    PoolReader private reader;
    Ticks private pool;
    Ticks private beside;

    function setUp() public {
        reader = new PoolReader();
        pool = new Ticks();
        beside = new Ticks();
        for (uint256 i = 0; i < 2; ++i) {
            Ticks each = i == 0 ? pool : beside;
            each.put(PRICE, -7, 11);
            each.put(-14787, SPACING, type(uint128).max, type(int128).min);
            each.put(-1, SPACING, 5, -5);
            each.put(0, SPACING, 6, 6);
            each.put(255, SPACING, 9, type(int128).max);
            each.put(14787, SPACING, 1, -1);
        }
    }

    function test_a_record_holds_what_the_pool_answers() public view {
        bytes memory ticks = abi.encodePacked(
            _tick(-14787, type(int128).min, type(uint128).max),
            _tick(-1, -5, 5),
            _tick(0, 6, 6),
            _tick(255, type(int128).max, 9),
            _tick(14787, -1, 1)
        );
        bytes memory one = abi.encodePacked(_head(0, 0, 5), ticks);
        _same(reader.read(_both()), abi.encodePacked(one, one));
    }

    function test_reading_begins_at_the_first_place_and_ends_with_the_last_word() public view {
        PoolReader.Range[] memory ranges = _one(pool, 0, 1);
        _same(
            reader.read(ranges),
            abi.encodePacked(_head(0, 0, 2), _tick(0, 6, 6), _tick(255, type(int128).max, 9))
        );
        ranges = _one(pool, 1, 1);
        _same(
            reader.read(ranges), abi.encodePacked(_head(0, 0, 1), _tick(255, type(int128).max, 9))
        );
    }

    function test_a_pool_without_a_price_has_no_ticks() public {
        pool.put(0, 0, 0);
        _same(reader.read(_one(pool, FIRST, LAST)), new bytes(105));
    }

    function test_words_of_the_head_are_passed_on_unchecked() public {
        pool.put(type(uint256).max, type(int256).min, type(uint256).max - 1);
        bytes memory records = reader.read(_one(pool, 1000 * 256, 1000 * 256));
        _same(
            records,
            abi.encodePacked(
                uint8(0),
                int32(0),
                type(uint256).max,
                type(int256).min,
                type(uint256).max - 1,
                uint32(0)
            )
        );
    }

    function test_what_is_no_pool_is_refused_and_the_next_one_read() public {
        _refusal(SLOT0, abi.encodePacked(uint8(2), int32(0), new bytes(100)));
        _refusal(LIQUIDITY, abi.encodePacked(uint8(3), int32(0), new bytes(100)));
        _refusal(TICK_BITMAP, _head(4, -58, 0));
        _refusal(TICKS, _head(5, -14787 * 60, 0));
    }

    function test_an_address_without_code_is_refused() public view {
        PoolReader.Range[] memory ranges = _one(Ticks(address(0xDEAD)), FIRST, LAST);
        _same(reader.read(ranges), abi.encodePacked(uint8(2), int32(0), new bytes(100)));
    }

    function test_a_tick_beyond_its_type_is_refused() public {
        beside.put(7, SPACING, 1 << 128, 1);
        _same(reader.read(_one(beside, 1, 1)), abi.encodePacked(_head(5, 7 * 60, 0)));
        beside.put(7, SPACING, 1, 1 << 127);
        _same(reader.read(_one(beside, 1, 1)), _head(5, 7 * 60, 0));
        beside.put(7, SPACING, 1, int256(type(int128).min) - 1);
        _same(reader.read(_one(beside, 1, 1)), _head(5, 7 * 60, 0));
    }

    /// @dev However little gas there is: what comes back is whole, and goes on where it says.
    function testFuzz_reading_in_parts_gives_the_whole(uint256 gas_) public view {
        gas_ = 400_000 + gas_ % 600_000;
        bytes memory joined;
        int24 place = FIRST;
        for (uint256 turn = 0; turn < 100; ++turn) {
            bytes memory record = reader.read{gas: gas_}(_one(pool, place, LAST));
            joined = abi.encodePacked(joined, _behind(record, 105));
            if (record[0] == 0) {
                _same(joined, _behind(reader.read(_one(pool, FIRST, LAST)), 105));
                return;
            }
            require(record[0] == 0x01, "neither whole nor unfinished");
            int24 next = int24(int32(uint32(bytes4(_behind(record, 1)))));
            require(next > place, "no way on");
            place = next;
        }
        revert("never whole");
    }

    function test_with_too_little_gas_nothing_is_begun() public view {
        _same(reader.read{gas: 300_000}(_both()), "");
    }

    /// @dev A pool that answers one function in any wrong way has `record`, and its neighbour is
    /// read as ever.
    function _refusal(bytes4 selector, bytes memory record) private {
        bytes memory healthy = reader.read(_one(beside, FIRST, LAST));
        for (uint8 way = 1; way <= uint8(Ticks.Way.Burns); ++way) {
            pool.behave(selector, Ticks.Way(way));
            _same(reader.read(_both()), abi.encodePacked(record, healthy));
        }
        pool.behave(selector, Ticks.Way.Honest);
    }

    function _both() private view returns (PoolReader.Range[] memory ranges) {
        ranges = new PoolReader.Range[](2);
        ranges[0] = PoolReader.Range(address(pool), SPACING, FIRST, LAST);
        ranges[1] = PoolReader.Range(address(beside), SPACING, FIRST, LAST);
    }

    function _one(Ticks where, int24 first, int24 last)
        private
        pure
        returns (PoolReader.Range[] memory ranges)
    {
        ranges = new PoolReader.Range[](1);
        ranges[0] = PoolReader.Range(address(where), SPACING, first, last);
    }

    function _head(uint8 status, int32 place, uint32 count) private pure returns (bytes memory) {
        return abi.encodePacked(status, place, PRICE, int256(-7), uint256(11), count);
    }

    function _tick(int32 place, int128 net, uint128 gross) private pure returns (bytes memory) {
        return abi.encodePacked(place * SPACING, net, gross);
    }

    function _behind(bytes memory all, uint256 begin) private pure returns (bytes memory part) {
        part = new bytes(all.length - begin);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = all[begin + i];
        }
    }

    function _same(bytes memory found, bytes memory expected) private pure {
        require(found.length == expected.length, "another length");
        require(keccak256(found) == keccak256(expected), "other bytes");
    }
}
