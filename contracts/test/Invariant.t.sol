// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Cycles} from "./Cycles.sol";
import {PlanBuilder} from "./PlanBuilder.sol";
import {Pair} from "./mocks/Pair.sol";
import {Pool} from "./mocks/Pool.sol";
import {Thief} from "./mocks/Thief.sol";
import {Token} from "./mocks/Token.sol";

/// @notice A thief with an operator key who tries plans at random, against honest pools and pools
/// of his own, alone or after a gift that lets a plan through.
contract Attacker {
    uint256 private constant DEPTH = 2;

    Thief public immutable thief;
    Pair private immutable PAIR;
    Pool private immutable POOL;
    Token[] private tokens;
    uint256 private entropy;
    /// @dev Half of the plans move nothing but what the thief gives, so that they go through and
    /// what his pool does in between decides.
    bool private tame;
    uint256 private declaredCount;
    uint256 public landed;
    uint256 public reverted;

    constructor(Executor executor, Pair pair, Pool pool, Token[] memory tokens_) {
        (PAIR, POOL) = (pair, pool);
        tokens = tokens_;
        thief = new Thief(address(executor), tokens_);
    }

    function attack(uint256 seed) external {
        entropy = seed;
        tame = draw(2) == 0;
        address[] memory declared = new address[](draw(3));
        for (uint256 i = 0; i < declared.length; ++i) {
            declared[i] = address(tokens[draw(tokens.length)]);
        }
        declaredCount = declared.length;
        bytes memory commands = several(DEPTH);
        bytes memory script = new bytes(1 + draw(3));
        script[0] = bytes1(uint8(Thief.Step.CallBack));
        for (uint256 i = 1; i < script.length; ++i) {
            script[i] = bytes1(uint8(draw(uint256(type(Thief.Step).max) + 1)));
        }
        bytes memory inner = draw(2) == 0
            ? bytes.concat(PlanBuilder.header(type(uint40).max, 0, 0, declared), several(1))
            : several(1);
        thief.prepare(script, inner, tame || draw(4) != 0);
        bytes memory head =
            PlanBuilder.header(type(uint40).max, draw(2), draw(3) * draw(2), declared);
        (bool done,) = thief.execute(bytes.concat(head, commands));
        if (done) ++landed;
        else ++reverted;
    }

    function several(uint256 depth) private returns (bytes memory commands) {
        uint256 count = 1 + draw(2);
        for (uint256 i = 0; i < count; ++i) {
            commands = bytes.concat(commands, command(depth));
        }
    }

    function command(uint256 depth) private returns (bytes memory) {
        uint8 to = !tame && draw(8) == 0 ? PlanBuilder.NEXT : uint8(draw(2));
        bool zeroForOne = draw(2) == 0;
        uint256 kind = draw(depth == 0 ? 2 : 4);
        if (kind == 0) return PlanBuilder.pay(to, uint8(draw(declaredCount + 1)), amount());
        address pool = kind == 3 ? address(POOL) : address(PAIR);
        if (tame || draw(4) != 0) pool = address(thief);
        if (kind == 1) return PlanBuilder.pair(to, pool, zeroForOne, amount());
        bytes memory inner = several(depth - 1);
        if (kind == 2) return PlanBuilder.flash(to, pool, zeroForOne, amount(), inner);
        return PlanBuilder.pool(to, pool, zeroForOne, 1 + amount(), inner);
    }

    function amount() private returns (uint256) {
        if (tame) return 0;
        uint256 choice = draw(8);
        if (choice < 5) return 0;
        if (choice < 7) return draw(3);
        return draw(2e18);
    }

    function draw(uint256 below) private returns (uint256) {
        entropy = uint256(keccak256(abi.encode(entropy)));
        return entropy % below;
    }
}

contract InvariantTest is Cycles {
    uint256 private constant HOARD = 1e18;

    Attacker private attacker;

    function setUp() public override {
        super.setUp();
        Token[] memory tokens = new Token[](3);
        (tokens[0], tokens[1], tokens[2]) = (wrapped, usd, gem);
        attacker = new Attacker(executor, cheapPair, dearPool, tokens);
        for (uint256 i = 0; i < 3; ++i) {
            give(address(tokens[i]), address(executor), HOARD);
            give(address(tokens[i]), address(attacker.thief()), 1000e18);
        }
        vm.deal(address(executor), HOARD);
        address thief = address(attacker.thief());
        vm.prank(OWNER);
        executor.setOperator(thief, true);
        vm.coinbase(thief);
    }

    function targetContracts() external view returns (address[] memory) {
        return PlanBuilder.one(address(attacker));
    }

    /// @dev What is held may grow by gifts and never falls.
    function invariant_nothing_that_was_held_is_lost() public view {
        assertTrue(wrapped.balanceOf(address(executor)) >= HOARD, "wrapped was taken");
        assertTrue(usd.balanceOf(address(executor)) >= HOARD, "usd was taken");
        assertTrue(gem.balanceOf(address(executor)) >= HOARD, "gem was taken");
        assertTrue(address(executor).balance >= HOARD, "native was taken");
    }

    function invariant_the_roles_are_what_they_were() public view {
        assertEq(executor.owner(), OWNER, "owner");
        assertEq(executor.pendingOwner(), address(0), "pending owner");
        assertTrue(!executor.operators(STRANGER), "a stranger operates");
    }

    /// @dev An attack that never gets through the door would prove nothing.
    function afterInvariant() external view {
        assertTrue(attacker.landed() != 0, "no plan of the attacker went through");
        assertTrue(attacker.reverted() != 0, "no plan of the attacker reverted");
    }
}
