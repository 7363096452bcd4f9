// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CallReader} from "../src/CallReader.sol";

contract Answers {
    uint256 public constant seven = 7;

    function refuses() external pure {
        revert("no");
    }

    function burns() external pure {
        assembly {
            invalid()
        }
    }

    function says(uint256 words) external pure returns (bytes memory text) {
        text = new bytes(words * 32);
    }
}

contract CallReaderTest {
    CallReader private reader = new CallReader();
    Answers private answers = new Answers();

    function test_each_call_is_answered_in_its_place() public view {
        CallReader.Call[] memory calls = new CallReader.Call[](4);
        calls[0] = _call(abi.encodeWithSignature("seven()"));
        calls[1] = _call(abi.encodeCall(Answers.refuses, ()));
        calls[2] = CallReader.Call(address(0xdead), true, hex"01020304");
        calls[3] = _call(abi.encodeCall(Answers.says, (2)));
        CallReader.Result[] memory results = reader.aggregate3(calls);
        require(results[0].success && abi.decode(results[0].returnData, (uint256)) == 7);
        require(!results[1].success && bytes4(results[1].returnData) == 0x08c379a0);
        require(results[2].success && results[2].returnData.length == 0);
        require(results[3].success && results[3].returnData.length == 128);
    }

    function test_who_burns_all_gas_does_not_starve_the_others() public view {
        CallReader.Call[] memory calls = new CallReader.Call[](2);
        calls[0] = _call(abi.encodeCall(Answers.burns, ()));
        calls[1] = _call(abi.encodeWithSignature("seven()"));
        CallReader.Result[] memory results = reader.aggregate3{gas: 13_000_000}(calls);
        require(!results[0].success && results[1].success);
    }

    function test_no_call_is_made_with_less_gas_than_it_may_use() public view {
        CallReader.Call[] memory calls = new CallReader.Call[](2);
        calls[0] = _call(abi.encodeCall(Answers.burns, ()));
        calls[1] = _call(abi.encodeWithSignature("seven()"));
        try reader.aggregate3{gas: 12_000_000}(calls) {
            revert("it answered");
        } catch (bytes memory reason) {
            require(bytes4(reason) == CallReader.GasRanShort.selector);
        }
    }

    function test_a_call_that_may_not_fail_fails_all() public view {
        CallReader.Call[] memory calls = new CallReader.Call[](1);
        calls[0] = CallReader.Call(address(answers), false, abi.encodeCall(Answers.refuses, ()));
        try reader.aggregate3(calls) {
            revert("it answered");
        } catch (bytes memory reason) {
            require(bytes4(reason) == CallReader.CallFailed.selector);
        }
    }

    function _call(bytes memory data) private view returns (CallReader.Call memory) {
        return CallReader.Call(address(answers), true, data);
    }
}
