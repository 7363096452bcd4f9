// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Roles} from "../src/Roles.sol";
import {Tokens} from "../src/Tokens.sol";
import {Base} from "./Base.sol";
import {Token} from "./mocks/Token.sol";
import {FalseToken, FeeToken, RevertingToken, SilentToken} from "./mocks/WeirdTokens.sol";

contract RolesTest is Base {
    address private constant HEIR = address(0x4E18);

    function test_ownership_passes_in_two_steps() public {
        calls(OWNER, abi.encodeCall(Roles.offerOwnership, (HEIR)));
        assertEq(executor.owner(), OWNER, "owner");
        calls(HEIR, abi.encodeCall(Roles.takeOwnership, ()));
        assertEq(executor.owner(), HEIR, "owner");
        assertEq(executor.pendingOwner(), address(0), "pending owner");
        refuses(
            OWNER,
            abi.encodeCall(Roles.setOperator, (HEIR, true)),
            abi.encodeWithSelector(Roles.NotOwner.selector, OWNER)
        );
    }

    function test_an_offer_can_be_withdrawn_and_taken_by_nobody_else() public {
        calls(OWNER, abi.encodeCall(Roles.offerOwnership, (HEIR)));
        refuses(
            STRANGER,
            abi.encodeCall(Roles.takeOwnership, ()),
            abi.encodeWithSelector(Roles.NotPendingOwner.selector, STRANGER)
        );
        calls(OWNER, abi.encodeCall(Roles.offerOwnership, (address(0))));
        refuses(
            HEIR,
            abi.encodeCall(Roles.takeOwnership, ()),
            abi.encodeWithSelector(Roles.NotPendingOwner.selector, HEIR)
        );
    }

    function testFuzz_a_stranger_can_do_nothing(address stranger) public {
        if (stranger == OWNER || stranger == OPERATOR || stranger == address(0)) return;
        bytes memory notOwner = abi.encodeWithSelector(Roles.NotOwner.selector, stranger);
        refuses(stranger, abi.encodeCall(Roles.offerOwnership, (stranger)), notOwner);
        refuses(stranger, abi.encodeCall(Roles.setOperator, (stranger, true)), notOwner);
        refuses(stranger, abi.encodeCall(Roles.unpause, ()), notOwner);
        refuses(stranger, abi.encodeCall(Roles.withdraw, (address(usd), stranger, 0)), notOwner);
        refuses(stranger, abi.encodeCall(Roles.withdrawNative, (stranger, 0)), notOwner);
        bytes memory notOperator = abi.encodeWithSelector(Roles.NotOperator.selector, stranger);
        refuses(stranger, abi.encodeCall(Roles.pause, ()), notOperator);
        refuses(stranger, abi.encodeCall(Executor.execute, ()), notOperator);
    }

    function test_an_operator_that_was_removed_is_out() public {
        calls(OWNER, abi.encodeCall(Roles.setOperator, (OPERATOR, false)));
        bytes memory reason = abi.encodeWithSelector(Roles.NotOperator.selector, OPERATOR);
        refuses(OPERATOR, abi.encodeCall(Executor.execute, ()), reason);
        refuses(OPERATOR, abi.encodeCall(Roles.pause, ()), reason);
    }

    function test_owner_and_operator_pause_and_the_owner_alone_resumes() public {
        calls(OWNER, abi.encodeCall(Roles.pause, ()));
        assertTrue(executor.paused(), "not paused");
        calls(OWNER, abi.encodeCall(Roles.unpause, ()));
        assertTrue(!executor.paused(), "paused");
        calls(OPERATOR, abi.encodeCall(Roles.pause, ()));
        refuses(
            OPERATOR,
            abi.encodeCall(Roles.unpause, ()),
            abi.encodeWithSelector(Roles.NotOwner.selector, OPERATOR)
        );
    }

    function testFuzz_the_owner_withdraws_tokens_even_while_paused(uint128 held, uint128 amount)
        public
    {
        address[3] memory tokens =
            [address(usd), address(new SilentToken()), address(new FeeToken())];
        calls(OWNER, abi.encodeCall(Roles.pause, ()));
        for (uint256 i = 0; i < 3; ++i) {
            give(tokens[i], address(executor), held);
            bytes memory data = abi.encodeCall(Roles.withdraw, (tokens[i], HEIR, amount));
            if (amount > held) {
                refuses(
                    OWNER,
                    data,
                    abi.encodeWithSelector(Tokens.TransferFailed.selector, tokens[i], HEIR, amount)
                );
            } else {
                calls(OWNER, data);
                assertEq(Token(tokens[i]).balanceOf(address(executor)), held - amount, "left");
            }
        }
    }

    function test_a_withdrawal_that_did_not_happen_reverts() public {
        address[3] memory tokens =
            [address(new FalseToken()), address(new RevertingToken()), STRANGER];
        for (uint256 i = 0; i < 3; ++i) {
            refuses(
                OWNER,
                abi.encodeCall(Roles.withdraw, (tokens[i], HEIR, 1)),
                abi.encodeWithSelector(Tokens.TransferFailed.selector, tokens[i], HEIR, 1)
            );
        }
    }

    function testFuzz_the_owner_withdraws_native_coin(uint96 held, uint96 amount) public {
        vm.deal(address(executor), held);
        bytes memory data = abi.encodeCall(Roles.withdrawNative, (HEIR, amount));
        if (amount > held) {
            refuses(
                OWNER,
                data,
                abi.encodeWithSelector(Roles.NativeTransferFailed.selector, HEIR, amount)
            );
        } else {
            calls(OWNER, data);
            assertEq(HEIR.balance, amount, "withdrawn");
        }
    }

    function test_nothing_is_sent_to_nobody() public {
        bytes memory reason = abi.encodeWithSelector(Roles.ZeroAddress.selector);
        refuses(OWNER, abi.encodeCall(Roles.withdraw, (address(usd), address(0), 0)), reason);
        refuses(OWNER, abi.encodeCall(Roles.withdrawNative, (address(0), 0)), reason);
        try new Executor(address(0), address(wrapped)) {
            revert("deployed");
        } catch (bytes memory actual) {
            assertEq(keccak256(actual), keccak256(reason), "reason");
        }
    }

    function calls(address caller, bytes memory data) private {
        (bool done,) = attempt(caller, data);
        assertTrue(done, "reverted");
    }

    function refuses(address caller, bytes memory data, bytes memory reason) private {
        assertRevertsFrom(caller, data, reason);
    }
}
