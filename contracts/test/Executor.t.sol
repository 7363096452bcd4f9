// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Roles} from "../src/Roles.sol";
import {Tokens} from "../src/Tokens.sol";
import {Cycles} from "./Cycles.sol";
import {PlanBuilder} from "./PlanBuilder.sol";
import {Pair} from "./mocks/Pair.sol";
import {Pool} from "./mocks/Pool.sol";
import {Token} from "./mocks/Token.sol";
import {
    FalseToken,
    FeeToken,
    GarbageToken,
    HookToken,
    RevertingToken,
    ShortToken,
    SilentToken
} from "./mocks/WeirdTokens.sol";

contract Refusing {
    receive() external payable {
        revert("no");
    }
}

contract Burning {
    receive() external payable {
        while (true) {}
    }
}

contract Splitting {
    uint256 public received;

    receive() external payable {
        received += msg.value;
    }
}

contract ExecutorTest is Cycles {
    uint256 private constant AMOUNT = 3e18;

    /* CYCLES */

    function test_every_shape_of_cycle_gains_exactly_what_was_computed() public {
        for (uint256 shape = 0; shape < 5; ++shape) {
            (bytes memory commands, uint256 gross) = shaped(shape, AMOUNT);
            uint256 before = wrapped.balanceOf(address(executor));
            assertEq(run(bytes.concat(header(gross, 0), commands)), gross, "gross");
            assertEq(wrapped.balanceOf(address(executor)) - before, gross, "balance");
            assertEq(usd.balanceOf(address(executor)), 0, "usd left behind");
        }
    }

    function testFuzz_a_cycle_of_any_size_pays_as_computed_or_reverts(uint256 seed, uint256 size)
        public
    {
        uint256 amount = 1e6 + size % 100e18;
        try this.shapedExternally(seed % 5, amount) returns (bytes memory commands, uint256 gross) {
            assertEq(run(bytes.concat(header(gross, 0), commands)), gross, "gross");
        } catch {
            // The cycle loses at this size, so its gross is negative: there is no plan to run.
        }
    }

    function shapedExternally(uint256 shape, uint256 amount)
        external
        view
        returns (bytes memory, uint256)
    {
        return shaped(shape, amount);
    }

    function test_profit_of_another_token_is_converted() public {
        for (uint256 i = 0; i < 2; ++i) {
            (bytes memory commands, uint256 gross) = usdCycle(4000e18, i == 0);
            bytes memory plan = bytes.concat(declaring(address(usd), gross, 0), commands);
            assertEq(run(plan), gross, "gross");
            assertEq(usd.balanceOf(address(executor)), 0, "usd left behind");
        }
    }

    function test_callbacks_of_forks_are_served_whatever_their_name() public {
        Pair pair =
            new Pair(address(usd), address(wrapped), "pancakeCall(address,uint256,uint256,bytes)");
        give(address(usd), address(pair), 1_900_000e18);
        give(address(wrapped), address(pair), 1000e18);
        pair.sync();
        Pool pool = new Pool(
            address(wrapped), address(usd), 2000, 1, "pancakeV3SwapCallback(int256,int256,bytes)"
        );
        give(address(usd), address(pool), 1e27);
        (dearPair, cheapPool) = (pair, pool);
        (bytes memory commands, uint256 gross) = poolThenPair(AMOUNT);
        assertEq(run(bytes.concat(header(gross, 0), commands)), gross, "gross");
    }

    function test_two_plans_of_one_transaction_do_not_share_tokens() public {
        (bytes memory commands, uint256 gross) = usdCycle(4000e18, true);
        run(bytes.concat(declaring(address(usd), gross, 0), commands));
        give(address(usd), address(executor), 5e18);
        assertReverts(
            bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 1, 5e18)),
            abi.encodeWithSelector(Executor.UndeclaredToken.selector, 1)
        );
    }

    /* CONDITIONS */

    function test_last_block_is_the_last() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        bytes memory plan = bytes.concat(PlanBuilder.header(100, gross, 0), commands);
        vm.roll(101);
        assertReverts(plan, abi.encodeWithSelector(Executor.PlanExpired.selector, 101, 100));
        vm.roll(100);
        run(plan);
    }

    function test_one_wei_too_little_reverts() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        assertReverts(
            bytes.concat(header(gross + 1, 0), commands),
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, gross, gross + 1)
        );
    }

    function test_an_exact_plan_takes_neither_more_nor_less() public {
        (bytes memory commands, uint256 gross) = poolThenPool(AMOUNT);
        assertReverts(
            PlanBuilder.exactly(bytes.concat(header(gross - 1, 0), commands)),
            abi.encodeWithSelector(Executor.ProfitNotExact.selector, gross, gross - 1)
        );
        assertReverts(
            PlanBuilder.exactly(bytes.concat(header(gross + 1, 0), commands)),
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, gross, gross + 1)
        );
        run(PlanBuilder.exactly(bytes.concat(header(gross, 0), commands)));
    }

    function test_an_exact_plan_may_declare_tokens() public {
        (bytes memory commands, uint256 gross) = usdCycle(4000e18, true);
        run(PlanBuilder.exactly(bytes.concat(declaring(address(usd), gross, 0), commands)));
    }

    function test_a_loss_says_how_much() public {
        give(address(wrapped), address(executor), 1e18);
        bytes memory plan = bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 0, 1e17));
        assertReverts(
            plan, abi.encodeWithSelector(Executor.ProfitTooLow.selector, -int256(1e17), 0)
        );
    }

    function test_the_bid_reaches_the_coinbase_up_to_the_whole_gain() public {
        (bytes memory commands, uint256 gross) = poolThenPool(AMOUNT);
        uint256 coinbaseBefore = COINBASE.balance;
        uint256 native = address(executor).balance;
        assertEq(run(bytes.concat(header(gross, gross), commands)), gross, "gross");
        assertEq(COINBASE.balance - coinbaseBefore, gross, "bid");
        assertEq(wrapped.balanceOf(address(executor)), 0, "wrapped");
        assertEq(address(executor).balance, native, "native");
    }

    function testFuzz_what_is_left_is_gross_less_bid(uint96 bid) public {
        (bytes memory commands, uint256 gross) = pairThenPool(AMOUNT);
        bytes memory plan = bytes.concat(header(gross, bid), commands);
        if (bid > gross) {
            assertReverts(plan, abi.encodeWithSelector(Executor.BidTooHigh.selector, bid, gross));
        } else {
            uint256 coinbaseBefore = COINBASE.balance;
            run(plan);
            assertEq(wrapped.balanceOf(address(executor)), gross - bid, "left");
            assertEq(COINBASE.balance - coinbaseBefore, bid, "bid");
        }
    }

    function test_a_coinbase_contract_is_paid() public {
        Splitting coinbase = new Splitting();
        vm.coinbase(address(coinbase));
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        run(bytes.concat(header(gross, 7), commands));
        assertEq(coinbase.received(), 7, "bid");
    }

    function test_a_coinbase_that_refuses_or_burns_gas_reverts_the_plan() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        bytes memory plan = bytes.concat(header(gross, 7), commands);
        address[2] memory refusers = [address(new Refusing()), address(new Burning())];
        for (uint256 i = 0; i < 2; ++i) {
            vm.coinbase(refusers[i]);
            uint256 gasBefore = gasleft();
            assertReverts(
                plan, abi.encodeWithSelector(Executor.BidRefused.selector, refusers[i], 7)
            );
            assertTrue(gasBefore - gasleft() < 600_000, "the coinbase burnt more than its share");
        }
    }

    function test_only_an_operator_and_only_while_not_paused() public {
        (bytes memory commands, uint256 gross) = pairThenPair(AMOUNT);
        bytes memory plan = bytes.concat(header(gross, 0), commands);
        assertRevertsFrom(
            STRANGER, plan, abi.encodeWithSelector(Roles.NotOperator.selector, STRANGER)
        );
        assertRevertsFrom(OWNER, plan, abi.encodeWithSelector(Roles.NotOperator.selector, OWNER));
        vm.prank(OPERATOR);
        executor.pause();
        assertReverts(plan, abi.encodeWithSelector(Roles.IsPaused.selector));
        vm.prank(OWNER);
        executor.unpause();
        run(plan);
    }

    function test_deployment_refuses_a_wrapped_native_without_code() public {
        try new Executor(OWNER, STRANGER) {
            revert("deployed");
        } catch (bytes memory reason) {
            bytes memory expected = abi.encodeWithSelector(Executor.NoCode.selector, STRANGER);
            assertEq(keccak256(reason), keccak256(expected), "reason");
        }
    }

    /* MALFORMED PLANS */

    function testFuzz_a_plan_cut_anywhere_reverts(uint256 cut) public {
        (bytes memory commands, uint256 gross) = pairPoolPair(AMOUNT);
        bytes memory plan = bytes.concat(header(gross, 0), commands);
        cut = 4 + cut % (plan.length - 4);
        bytes memory shorter = new bytes(cut);
        for (uint256 i = 0; i < cut; ++i) {
            shorter[i] = plan[i];
        }
        (bool done, bytes memory answer) = attempt(OPERATOR, shorter);
        assertTrue(!done, "a cut plan went through");
        bytes4 reason = bytes4(answer);
        assertTrue(
            reason == Executor.PlanTruncated.selector || reason == Executor.ProfitTooLow.selector,
            "another reason"
        );
    }

    function test_unknown_commands_and_receivers_are_refused() public {
        assertUnknown(hex"00", 0x00);
        assertUnknown(hex"05", 0x05);
        assertUnknown(abi.encodePacked(uint8(0x31), uint8(0), uint128(1)), 0x31);
        // NEXT, where what follows is a PAY.
        bytes memory pay = PlanBuilder.pay(PlanBuilder.NEXT, 0, 1);
        assertUnknown(bytes.concat(pay, pay), uint8(pay[0]));
    }

    function test_next_at_the_end_is_refused() public {
        bytes memory plan = bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.NEXT, 0, 1));
        assertReverts(plan, abi.encodeWithSelector(Executor.PlanTruncated.selector, plan.length));
    }

    function test_an_undeclared_token_is_refused() public {
        assertReverts(
            bytes.concat(header(0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 1, 1)),
            abi.encodeWithSelector(Executor.UndeclaredToken.selector, 1)
        );
    }

    function test_a_pool_without_code_reverts() public {
        bytes memory swap = PlanBuilder.pair(PlanBuilder.SELF, STRANGER, true, 0);
        (bool done,) = attempt(OPERATOR, bytes.concat(header(0, 0), swap));
        assertTrue(!done, "went through");
    }

    /* WEIRD TOKENS */

    function test_a_token_that_returns_nothing_works() public {
        assertTrue(cycleThrough(Token(address(new SilentToken()))), "reverted");
    }

    function test_a_token_with_hooks_works() public {
        assertTrue(cycleThrough(new HookToken()), "reverted");
    }

    function test_a_token_that_takes_a_fee_reverts() public {
        assertTrue(!cycleThrough(new FeeToken()), "went through");
    }

    function test_a_payment_that_is_not_confirmed_reverts() public {
        assertUnpaid(address(new FalseToken()));
        assertUnpaid(address(new GarbageToken()));
        assertUnpaid(address(new ShortToken()));
        assertUnpaid(address(new RevertingToken()));
    }

    /* HELP */

    function shaped(uint256 shape, uint256 amount)
        private
        view
        returns (bytes memory commands, uint256 gross)
    {
        if (shape == 0) return pairThenPair(amount);
        if (shape == 1) return pairThenPool(amount);
        if (shape == 2) return poolThenPair(amount);
        if (shape == 3) return poolThenPool(amount);
        return pairPoolPair(amount);
    }

    function declaring(address token, uint256 least, uint256 bid)
        private
        pure
        returns (bytes memory)
    {
        return PlanBuilder.header(LAST, least, bid, PlanBuilder.one(token));
    }

    function assertUnknown(bytes memory commands, uint256 head) private {
        assertReverts(
            bytes.concat(header(0, 0), commands),
            abi.encodeWithSelector(Executor.UnknownCommand.selector, head, 34)
        );
    }

    /// @dev A cycle that starts with the token, so that the executor itself must pay it.
    function cycleThrough(Token token) private returns (bool done) {
        Pair sells = pairOf(address(wrapped), address(token), 1000e18, 2_000_000e18);
        Pair buys = pairOf(address(token), address(wrapped), 1_900_000e18, 1000e18);
        uint256 middle = buys.quote(true, 2000e18);
        uint256 end = sells.quote(true, middle);
        uint256 profit = end - 2000e18;
        bytes memory cycle = PlanBuilder.flash(
            PlanBuilder.SELF,
            address(sells),
            true,
            end,
            bytes.concat(
                PlanBuilder.pay(PlanBuilder.NEXT, 1, 2000e18),
                PlanBuilder.pair(PlanBuilder.CALLER, address(buys), true, middle)
            )
        );
        bytes memory conversion = bytes.concat(
            PlanBuilder.pay(PlanBuilder.NEXT, 1, profit),
            PlanBuilder.pair(PlanBuilder.SELF, address(buys), true, profit / 2000)
        );
        (done,) =
            attempt(OPERATOR, bytes.concat(declaring(address(token), 1, 0), cycle, conversion));
    }

    function assertUnpaid(address token) private {
        Token(token).mint(address(executor), 10);
        bytes memory plan =
            bytes.concat(declaring(token, 0, 0), PlanBuilder.pay(PlanBuilder.CALLER, 1, 10));
        assertReverts(
            plan, abi.encodeWithSelector(Tokens.TransferFailed.selector, token, OPERATOR, 10)
        );
    }
}
