// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Roles} from "../src/Roles.sol";
import {Cycles} from "./Cycles.sol";
import {PlanBuilder} from "./PlanBuilder.sol";
import {Thief} from "./mocks/Thief.sol";
import {Token} from "./mocks/Token.sol";

/// @notice Everything that we could think of doing with a stolen operator key or a hostile pool,
/// against an executor that holds something worth taking.
contract AttackTest is Cycles {
    uint256 private constant HOARD = 50e18;

    Thief private thief;

    function setUp() public override {
        super.setUp();
        Token[] memory tokens = new Token[](3);
        (tokens[0], tokens[1], tokens[2]) = (wrapped, usd, gem);
        thief = new Thief(address(executor), tokens);
        for (uint256 i = 0; i < 3; ++i) {
            give(address(tokens[i]), address(executor), HOARD);
            give(address(tokens[i]), address(thief), HOARD);
        }
        vm.deal(address(executor), HOARD);
        vm.prank(OWNER);
        executor.setOperator(address(thief), true);
    }

    /* THE PLAN IS HOSTILE */

    function test_taking_wrapped_native_reverts() public {
        assertFails(
            header(0, 0),
            PlanBuilder.pay(PlanBuilder.CALLER, 0, 1),
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, -1, 0)
        );
    }

    function test_taking_a_declared_token_reverts() public {
        assertFails(
            declaring(address(usd)),
            PlanBuilder.pay(PlanBuilder.CALLER, 1, 1),
            abi.encodeWithSelector(Executor.TokenLost.selector, usd, HOARD, HOARD - 1)
        );
    }

    function test_declaring_wrapped_native_as_a_token_helps_nobody() public {
        assertFails(
            declaring(address(wrapped)),
            PlanBuilder.pay(PlanBuilder.CALLER, 1, 1),
            abi.encodeWithSelector(Executor.TokenLost.selector, wrapped, HOARD, HOARD - 1)
        );
    }

    function test_converting_the_hoard_reverts() public {
        uint256 out = dearPair.quote(true, 10e18);
        assertFails(
            declaring(address(usd)),
            bytes.concat(
                PlanBuilder.pay(PlanBuilder.NEXT, 1, 10e18),
                PlanBuilder.pair(PlanBuilder.SELF, address(dearPair), true, out)
            ),
            abi.encodeWithSelector(Executor.TokenLost.selector, usd, HOARD, HOARD - 10e18)
        );
    }

    function test_a_loan_counts_as_gain_only_if_it_stays() public {
        // The thief lends one unit during its swap, and takes it back by the plan.
        script(Thief.Step.Lend, Thief.Step.CallBack, "");
        assertFails(
            header(1, 0),
            PlanBuilder.flash(
                PlanBuilder.SELF, address(thief), true, 0, PlanBuilder.pay(PlanBuilder.CALLER, 0, 1)
            ),
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, 1)
        );
    }

    function test_a_bid_cannot_reach_the_hoard() public {
        script(Thief.Step.Lend, Thief.Step.CallBack, "");
        bytes memory commands =
            PlanBuilder.flash(PlanBuilder.SELF, address(thief), true, 0, harmless());
        assertFails(
            header(0, 2), commands, abi.encodeWithSelector(Executor.BidTooHigh.selector, 2, 1)
        );
        steal(bytes.concat(header(0, 1), commands), true);
    }

    /* THE POOL IS HOSTILE */

    function test_a_pool_cannot_change_the_commands() public {
        script(Thief.Step.CallBackTampered, PlanBuilder.pay(PlanBuilder.CALLER, 0, 1));
        assertUnexpected(flashing(harmless()), address(thief));
        assertUnexpected(pooling(harmless()), address(thief));
    }

    function test_a_pool_cannot_call_back_twice() public {
        script(Thief.Step.CallBack, Thief.Step.CallBack, "");
        assertUnexpected(flashing(harmless()), address(thief));
        assertUnexpected(pooling(harmless()), address(thief));
    }

    function test_a_second_callback_that_is_swallowed_ran_nothing() public {
        // The commands pay the pool one unit, and it gives one back: twice would be a loss.
        bytes memory script_ = abi.encodePacked(
            uint8(Thief.Step.CallBack), uint8(Thief.Step.CallBack), uint8(Thief.Step.Lend)
        );
        thief.prepare(script_, "", true);
        steal(bytes.concat(header(0, 0), flashing(PlanBuilder.pay(PlanBuilder.CALLER, 0, 1))), true);
        assertEq(thief.callbacksServed(), 1, "callbacks");
        assertEq(wrapped.balanceOf(address(executor)), HOARD, "wrapped");
    }

    function test_nobody_else_can_call_back() public {
        script(Thief.Step.CallBackAsOther, "");
        (bool done, bytes memory answer) =
            thief.execute(bytes.concat(header(0, 0), flashing(harmless())));
        assertTrue(!done, "went through");
        assertEq(bytes32(bytes4(answer)), bytes32(Executor.UnexpectedCallback.selector), "reason");
    }

    function test_a_callback_whose_data_leads_nowhere_is_refused() public {
        // Called as a V3 pool, it answers as a V2 pair would: the commands are not where they belong.
        Shapeshifter shifter = new Shapeshifter(executor);
        bytes memory swap =
            PlanBuilder.pool(PlanBuilder.SELF, address(shifter), true, 1, harmless());
        assertFails(header(0, 0), swap, "");
    }

    function test_a_pool_that_does_not_call_back_is_noticed() public {
        script(Thief.Step.Nothing, "");
        bytes memory expected =
            abi.encodeWithSelector(Executor.CallbackMissing.selector, address(thief));
        assertFails(header(0, 0), flashing(harmless()), expected);
        assertFails(header(0, 0), pooling(harmless()), expected);
    }

    function test_a_callback_after_its_turn_is_refused() public {
        // The outer swap is served; the pool then calls back within a later, plain swap.
        thief.prepare(steps(Thief.Step.CallBack, Thief.Step.Nothing), "", false);
        assertUnexpected(
            bytes.concat(
                flashing(harmless()), PlanBuilder.pair(PlanBuilder.SELF, address(thief), true, 0)
            ),
            address(thief)
        );
    }

    function test_asking_for_more_brings_no_more() public {
        // The callback asks for 1e30 of each token; the plan pays one unit, and one is given back.
        script(Thief.Step.CallBack, Thief.Step.Lend, "");
        uint256 held = wrapped.balanceOf(address(thief));
        steal(bytes.concat(header(0, 0), pooling(PlanBuilder.pay(PlanBuilder.CALLER, 0, 1))), true);
        assertEq(wrapped.balanceOf(address(thief)), held, "wrapped");
    }

    function test_callbacks_outside_of_a_plan_are_refused() public {
        bytes memory commands = PlanBuilder.pay(PlanBuilder.CALLER, 0, 1);
        bytes memory reason =
            abi.encodeWithSelector(Executor.UnexpectedCallback.selector, cheapPair);
        assertRevertsFrom(
            address(cheapPair),
            abi.encodeWithSignature(
                "uniswapV2Call(address,uint256,uint256,bytes)", executor, 1, 1, commands
            ),
            reason
        );
        assertRevertsFrom(
            address(cheapPair),
            abi.encodeWithSignature(
                "uniswapV3SwapCallback(int256,int256,bytes)", int256(1), int256(1), commands
            ),
            reason
        );
        assertRevertsFrom(address(cheapPair), abi.encodePacked(bytes4(0xdeadbeef)), reason);
    }

    /* RE-ENTRY */

    function test_execute_cannot_be_entered_twice() public {
        bytes memory inner = bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 0, 1));
        script(Thief.Step.Reenter, inner);
        assertFails(
            header(0, 0), flashing(harmless()), abi.encodeWithSelector(Executor.Reentered.selector)
        );
    }

    function test_a_coinbase_cannot_enter() public {
        vm.coinbase(address(thief));
        (bytes memory commands, uint256 gross) = pairThenPair(3e18);
        bytes memory inner = bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 0, 1));
        thief.prepare(steps(Thief.Step.Reenter, Thief.Step.CallBack), inner, true);
        steal(bytes.concat(header(gross, gross / 2), commands), true);
        assertEq(thief.reentries() + thief.callbacksServed(), 0, "entries");
        assertEq(address(thief).balance, gross / 2, "bid");
    }

    /* THE KEY IS STOLEN */

    function test_an_operator_has_no_other_power_than_to_pause() public {
        address t = address(thief);
        assertNotOwner(abi.encodeCall(Roles.withdraw, (address(wrapped), t, 1)));
        assertNotOwner(abi.encodeCall(Roles.withdrawNative, (t, 1)));
        assertNotOwner(abi.encodeCall(Roles.setOperator, (STRANGER, true)));
        assertNotOwner(abi.encodeCall(Roles.offerOwnership, (t)));
        assertNotOwner(abi.encodeCall(Roles.unpause, ()));
        assertRevertsFrom(
            t,
            abi.encodeCall(Roles.takeOwnership, ()),
            abi.encodeWithSelector(Roles.NotPendingOwner.selector, t)
        );
    }

    /* HELP */

    /// @dev A callback that moves nothing.
    function harmless() private pure returns (bytes memory) {
        return PlanBuilder.pay(PlanBuilder.CALLER, 0, 0);
    }

    function flashing(bytes memory inner) private view returns (bytes memory) {
        return PlanBuilder.flash(PlanBuilder.SELF, address(thief), true, 0, inner);
    }

    function pooling(bytes memory inner) private view returns (bytes memory) {
        return PlanBuilder.pool(PlanBuilder.SELF, address(thief), true, 1, inner);
    }

    function declaring(address token) private pure returns (bytes memory) {
        return PlanBuilder.header(LAST, 0, 0, PlanBuilder.one(token));
    }

    function steps(Thief.Step first, Thief.Step second) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(first), uint8(second));
    }

    function script(Thief.Step first, bytes memory plan) private {
        thief.prepare(abi.encodePacked(uint8(first)), plan, false);
    }

    function script(Thief.Step first, Thief.Step second, bytes memory plan) private {
        thief.prepare(steps(first, second), plan, false);
    }

    function steal(bytes memory plan, bool succeeds) private returns (bytes memory answer) {
        bool done;
        (done, answer) = thief.execute(plan);
        assertTrue(done == succeeds, succeeds ? "reverted" : "went through");
        assertTrue(wrapped.balanceOf(address(executor)) >= HOARD, "wrapped was taken");
        assertTrue(usd.balanceOf(address(executor)) >= HOARD, "usd was taken");
        assertTrue(gem.balanceOf(address(executor)) >= HOARD, "gem was taken");
        assertTrue(address(executor).balance >= HOARD, "native was taken");
    }

    function assertFails(bytes memory head, bytes memory commands, bytes memory reason) private {
        bytes memory answer = steal(bytes.concat(head, commands), false);
        assertEq(keccak256(answer), keccak256(reason), "reason");
    }

    function assertUnexpected(bytes memory commands, address caller) private {
        assertFails(
            header(0, 0),
            commands,
            abi.encodeWithSelector(Executor.UnexpectedCallback.selector, caller)
        );
    }

    function assertNotOwner(bytes memory data) private {
        assertRevertsFrom(
            address(thief), data, abi.encodeWithSelector(Roles.NotOwner.selector, thief)
        );
    }
}

/// @notice A V3 pool that calls back as a V2 pair.
contract Shapeshifter {
    Executor private immutable EXECUTOR;

    constructor(Executor executor) {
        EXECUTOR = executor;
    }

    function swap(address, bool, int256, uint160, bytes calldata data)
        external
        returns (int256, int256)
    {
        (bool done, bytes memory reason) = address(EXECUTOR)
            .call(
                abi.encodeWithSignature(
                    "uniswapV2Call(address,uint256,uint256,bytes)", this, 0, 0x60, data
                )
            );
        if (!done) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
        return (0, 0);
    }
}
