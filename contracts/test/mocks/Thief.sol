// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// @notice Holds a stolen operator key and poses as pair, pool, token holder and coinbase at once.
/// When it is called as a pool it follows a script, one byte a step.
contract Thief {
    enum Step {
        Nothing,
        CallBack,
        CallBackTampered,
        CallBackAsOther,
        Reenter,
        Lend,
        GiveBack
    }

    address public immutable executor;
    Token[] public tokens;
    bytes public script;
    /// @notice The plan that Reenter runs, and what CallBackTampered has run.
    bytes public plan;
    /// @notice Whether a refusal of one step ends the swap, or is swallowed.
    bool public stubborn;
    uint256 public callbacksServed;
    uint256 public reentries;

    Accomplice private immutable accomplice = new Accomplice();

    constructor(address executor_, Token[] memory tokens_) {
        executor = executor_;
        tokens = tokens_;
    }

    receive() external payable {
        follow("", false);
    }

    function prepare(bytes calldata script_, bytes calldata plan_, bool stubborn_) external {
        (script, plan, stubborn) = (script_, plan_, stubborn_);
    }

    function execute(bytes calldata what) external returns (bool done, bytes memory answer) {
        return executor.call(what);
    }

    function swap(uint256, uint256, address, bytes calldata data) external {
        follow(data, false);
    }

    function swap(address, bool, int256, uint160, bytes calldata data)
        external
        returns (int256, int256)
    {
        follow(data, true);
        return (type(int256).max, type(int256).min);
    }

    function follow(bytes memory data, bool concentrated) private {
        for (uint256 i = 0; i < script.length; ++i) {
            Step step = Step(uint8(script[i]));
            if (step == Step.CallBack) callBack(data, concentrated);
            if (step == Step.CallBackTampered) callBack(plan, concentrated);
            if (step == Step.CallBackAsOther) {
                try accomplice.call(executor, callback(data, concentrated)) {
                    ++callbacksServed;
                } catch (bytes memory reason) {
                    refused(reason);
                }
            }
            if (step == Step.Reenter) {
                (bool done, bytes memory reason) = executor.call(plan);
                if (done) ++reentries;
                else refused(reason);
            }
            if (step == Step.Lend) move(1);
            if (step == Step.GiveBack) move(type(uint256).max);
        }
    }

    function callBack(bytes memory data, bool concentrated) private {
        (bool done, bytes memory reason) = executor.call(callback(data, concentrated));
        if (done) ++callbacksServed;
        else refused(reason);
    }

    /// @dev Asks for far more than any plan says.
    function callback(bytes memory data, bool concentrated) private pure returns (bytes memory) {
        return concentrated
            ? abi.encodeWithSignature(
                "uniswapV3SwapCallback(int256,int256,bytes)", int256(1e30), int256(1e30), data
            )
            : abi.encodeWithSignature(
                "uniswapV2Call(address,uint256,uint256,bytes)", address(0), 1e30, 1e30, data
            );
    }

    function move(uint256 most) private {
        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 held = tokens[i].balanceOf(address(this));
            tokens[i].transfer(executor, held < most ? held : most);
        }
    }

    function refused(bytes memory reason) private view {
        if (stubborn) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}

/// @notice Another address than the pool that was called.
contract Accomplice {
    function call(address to, bytes calldata data) external {
        (bool done, bytes memory reason) = to.call(data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
