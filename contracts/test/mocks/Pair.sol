// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// @notice A constant-product pair with a fee of 0.3 % that pays first and calls back, under the
/// callback name of its fork.
contract Pair {
    address public immutable token0;
    address public immutable token1;
    bytes4 private immutable CALLBACK;
    uint256 public reserve0;
    uint256 public reserve1;
    bool private locked;

    constructor(address token0_, address token1_, string memory callback) {
        token0 = token0_;
        token1 = token1_;
        CALLBACK = bytes4(keccak256(bytes(callback)));
    }

    function sync() public {
        reserve0 = Token(token0).balanceOf(address(this));
        reserve1 = Token(token1).balanceOf(address(this));
    }

    function quote(bool zeroForOne, uint256 amountIn) external view returns (uint256) {
        (uint256 from, uint256 to) = zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0);
        return (amountIn * 997 * to) / (from * 1000 + amountIn * 997);
    }

    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external {
        require(!locked, "locked");
        locked = true;
        if (out0 != 0) send(token0, to, out0);
        if (out1 != 0) send(token1, to, out1);
        if (data.length != 0) {
            call(to, abi.encodeWithSelector(CALLBACK, msg.sender, out0, out1, data));
        }
        uint256 held0 = Token(token0).balanceOf(address(this));
        uint256 held1 = Token(token1).balanceOf(address(this));
        uint256 in0 = held0 > reserve0 - out0 ? held0 - (reserve0 - out0) : 0;
        uint256 in1 = held1 > reserve1 - out1 ? held1 - (reserve1 - out1) : 0;
        require(in0 != 0 || in1 != 0, "nothing came in");
        require(
            (held0 * 1000 - in0 * 3) * (held1 * 1000 - in1 * 3) >= reserve0 * reserve1 * 1e6, "K"
        );
        sync();
        locked = false;
    }

    function send(address token, address to, uint256 amount) private {
        call(token, abi.encodeCall(Token.transfer, (to, amount)));
    }

    function call(address to, bytes memory data) private {
        (bool done, bytes memory answer) = to.call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }
}
