// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {PlanBuilder} from "./PlanBuilder.sol";
import {Pair} from "./mocks/Pair.sol";
import {Pool} from "./mocks/Pool.sol";
import {Token} from "./mocks/Token.sol";
import {Wrapped} from "./mocks/Wrapped.sol";

/// @notice The cheatcodes of forge's EVM that these tests use.
interface Vm {
    function prank(address sender) external;
    function deal(address account, uint256 balance) external;
    function roll(uint256 blockNumber) external;
    function coinbase(address account) external;
    function expectRevert(bytes calldata data) external;
}

/// @notice An executor with its roles, a small market around it, and assertions.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address internal constant OWNER = address(0xA11CE);
    address internal constant OPERATOR = address(0xB0B);
    address internal constant STRANGER = address(0x5ECC);
    address internal constant COINBASE = address(0xC01B);

    uint256 internal constant LAST = type(uint40).max;

    Wrapped internal wrapped;
    Token internal usd;
    Token internal gem;
    Executor internal executor;

    function setUp() public virtual {
        vm.coinbase(COINBASE);
        vm.deal(COINBASE, 1);
        wrapped = new Wrapped();
        usd = new Token();
        gem = new Token();
        executor = new Executor(OWNER, address(wrapped));
        vm.prank(OWNER);
        executor.setOperator(OPERATOR, true);
    }

    /// @dev A V2 pair that holds these reserves; the tokens are in its order, whatever theirs is.
    function pairOf(address token0, address token1, uint256 reserve0, uint256 reserve1)
        internal
        returns (Pair pair)
    {
        pair = new Pair(token0, token1, "uniswapV2Call(address,uint256,uint256,bytes)");
        give(token0, address(pair), reserve0);
        give(token1, address(pair), reserve1);
        pair.sync();
    }

    /// @dev A V3-type pool that gives `numerator / denominator` of token1 for a token0.
    function poolOf(address token0, address token1, uint256 numerator, uint256 denominator)
        internal
        returns (Pool pool)
    {
        pool = new Pool(
            token0, token1, numerator, denominator, "uniswapV3SwapCallback(int256,int256,bytes)"
        );
        give(token0, address(pool), 1e27);
        give(token1, address(pool), 1e27);
    }

    function give(address token, address to, uint256 amount) internal {
        if (token == address(wrapped)) {
            vm.deal(address(wrapped), address(wrapped).balance + amount);
        }
        Token(token).mint(to, amount);
    }

    function run(bytes memory plan) internal returns (uint256 gross) {
        (bool done, bytes memory answer) = attempt(OPERATOR, plan);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        gross = abi.decode(answer, (uint256));
    }

    function attempt(address caller, bytes memory plan)
        internal
        returns (bool done, bytes memory answer)
    {
        vm.prank(caller);
        (done, answer) = address(executor).call(plan);
    }

    function assertReverts(bytes memory plan, bytes memory expected) internal {
        assertRevertsFrom(OPERATOR, plan, expected);
    }

    function assertRevertsFrom(address caller, bytes memory plan, bytes memory expected) internal {
        (bool done, bytes memory answer) = attempt(caller, plan);
        require(!done, "the plan went through");
        assertEq(keccak256(answer), keccak256(expected), "another reason");
    }

    function header(uint256 least, uint256 bid) internal pure returns (bytes memory) {
        return PlanBuilder.header(LAST, least, bid);
    }

    function assertEq(uint256 actual, uint256 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, " differs"));
    }

    function assertEq(address actual, address expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, " differs"));
    }

    function assertEq(bytes32 actual, bytes32 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, " differs"));
    }

    function assertTrue(bool holds, string memory what) internal pure {
        require(holds, what);
    }
}
