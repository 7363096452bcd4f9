// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

abstract contract WeirdToken {
    mapping(address holder => uint256 amount) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function _move(address to, uint256 amount) internal {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Returns nothing, as USDT does.
contract SilentToken is WeirdToken {
    function transfer(address to, uint256 amount) external {
        _move(to, amount);
    }
}

/// @notice Says no by an answer of false instead of reverting.
contract FalseToken is Token {
    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }
}

/// @notice Answers something that is not a boolean.
contract GarbageToken is WeirdToken {
    function transfer(address to, uint256 amount) external returns (uint256) {
        _move(to, amount);
        return 2;
    }
}

/// @notice Answers with one byte.
contract ShortToken is WeirdToken {
    function transfer(address to, uint256 amount) external {
        _move(to, amount);
        assembly {
            mstore8(0, 1)
            return(0, 1)
        }
    }
}

/// @notice Reverts every transfer.
contract RevertingToken is Token {
    function transfer(address, uint256) external pure override returns (bool) {
        revert("no");
    }
}

/// @notice Keeps a hundredth of each transfer.
contract FeeToken is Token {
    function transfer(address to, uint256 amount) external override returns (bool) {
        _move(msg.sender, to, amount - amount / 100);
        _move(msg.sender, address(0xFEE), amount / 100);
        return true;
    }
}

/// @notice Calls the receiver of each transfer, as ERC-777 does for those that ask for it.
contract HookToken is Token {
    function transfer(address to, uint256 amount) external override returns (bool) {
        _move(msg.sender, to, amount);
        if (to.code.length != 0) {
            (bool ignored,) = to.call(abi.encodeWithSignature("tokensReceived(uint256)", amount));
            ignored;
        }
        return true;
    }
}
