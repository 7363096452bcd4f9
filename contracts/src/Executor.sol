// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IConcentratedPool, IERC20, IPair, IWrappedNative} from "./Interfaces.sol";
import {Roles} from "./Roles.sol";
import {Tokens} from "./Tokens.sol";

/// @title The executor: carries one plan out in one call, or reverts
/// @notice A plan is a program of swaps whose pools pay one another. The pool that gives the start
/// token pays first, and what it is owed arrives during its callback, so no own capital is needed.
///
/// PLAN. The call's data is the selector of `execute()` and, packed without padding, big-endian:
///
///     at  size  field
///      4     5  last block: the call reverts in any later one
///      9    12  least profit: wei of wrapped native that must be gained, before the bid
///     21    12  bid: wei paid to block.coinbase out of the gain; 0 pays nothing
///     33     1  bits 0-6: n, the number of tokens that the plan pays beside wrapped native;
///               bit 7 set when the gain must equal the least profit, neither less nor more
///     34  20 n  their addresses; commands call them 1..n, and wrapped native 0
///      …        commands, to the end of the data
///
/// COMMAND. The first byte is its head: bits 0-3 its kind, bits 4-6 who receives, bit 7 set when
/// token0 is swapped for token1. What follows depends on the kind:
///
///     kind 1  PAY        token number (1), amount (16)
///     kind 2  PAIR       pool (20), amount out (16)
///     kind 3  PAIR_FLASH pool (20), amount out (16), length (2), commands of the callback
///     kind 4  POOL       pool (20), amount in (16), length (2), commands of the callback
///
///     receiver 0  this contract
///     receiver 1  the caller of this frame: the pool in whose callback the command stands
///     receiver 2  the pool of the command that follows
///
/// PAIR is a Uniswap V2 swap whose input has already arrived; PAIR_FLASH receives its input during
/// its callback; POOL is an exact-input Uniswap V3 swap, which always does. A further kind of pool
/// is one more kind of command and, if its callback differs, one more place to find the commands in.
///
/// WHY A STOLEN OPERATOR KEY LOSES GAS AND NOTHING ELSE. Say every plan, pool and declared token is
/// hostile. The contract approves nobody and makes only these calls on an operator's behalf:
///   1. `swap` on any address, with nothing attached: no swap takes anything that was not paid.
///   2. `transfer` of a token, by PAY alone: only of wrapped native or a token that the plan
///      declares. The balance of each is read before the first command and again after the last,
///      and a lower one reverts. Gifts and loans in between do not matter: nothing that the contract
///      owes survives the call, since only PAY pays.
///   3. `withdraw` on wrapped native and the payment to block.coinbase, after the balances have been
///      compared, of a bid that is at most what wrapped native has gained; no PAY can follow it.
/// Re-entry finds every door shut: `execute` runs once at a time, and the fallback admits only the
/// pool that has just been called, once, and only with the bytes that the plan gave it; a hostile
/// pool can neither change the commands of an honest plan, nor have them run twice or later.
/// What the argument needs: wrapped native is the honest contract (set at deployment), and what is
/// kept here is fungible and measured by `balanceOf`; a rebase within the call, or one non-fungible
/// item for another, would not be seen.
contract Executor is Roles {
    error NoCode(address wrapped);
    error Reentered();
    error PlanExpired(uint256 blockNumber, uint256 lastBlock);
    error ProfitTooLow(int256 gained, uint256 wanted);
    error ProfitNotExact(uint256 gained, uint256 wanted);
    error BidTooHigh(uint256 bid, uint256 gained);
    error BidRefused(address coinbase, uint256 bid);
    error TokenLost(address token, uint256 before, uint256 afterwards);
    error UnexpectedCallback(address caller);
    error CallbackMissing(address pool);
    /// @notice `at` is a position in the data of the frame that held the command.
    error PlanTruncated(uint256 at);
    error UnknownCommand(uint256 head, uint256 at);
    error UndeclaredToken(uint256 number);

    uint256 private constant HEADER_END = 34;
    uint256 private constant ADDRESS_SIZE = 20;
    uint256 private constant MOST_TOKENS = 0x7f;

    uint256 private constant PAY = 1;
    uint256 private constant PAIR = 2;
    uint256 private constant PAIR_FLASH = 3;
    uint256 private constant POOL = 4;

    uint256 private constant TO_SELF = 0;
    uint256 private constant TO_CALLER = 1;
    uint256 private constant TO_NEXT = 2;

    /// @dev Sizes of commands, without the callback's commands.
    uint256 private constant PAY_SIZE = 18;
    uint256 private constant PAIR_SIZE = 37;
    uint256 private constant CALLBACK_SIZE = 39;

    /// @dev Prices that no pool can reach: an exact input is swapped whole or the profit is missed.
    uint160 private constant LOWEST_PRICE = 4295128740;
    uint160 private constant HIGHEST_PRICE = 1461446703485210103287273052203988822378723970341;

    /// @dev Enough for a coinbase that is a proxy or a splitter, too little to burn a block's gas.
    uint256 private constant COINBASE_GAS = 100_000;

    /// @dev States of `_awaited` beside the seal of an awaited callback, which is never below 2^160.
    uint256 private constant IDLE = 0;
    uint256 private constant NOBODY = 1;

    /// @notice The chain's wrapped native token, in which profit is counted.
    IWrappedNative public immutable WRAPPED;

    /// @dev IDLE outside of `execute`, NOBODY while no callback is due, else that callback's seal.
    uint256 private transient _awaited;

    constructor(address owner_, address wrapped) Roles(owner_) {
        if (wrapped.code.length == 0) revert NoCode(wrapped);
        WRAPPED = IWrappedNative(wrapped);
    }

    /// @notice Takes the native coin, from wrapped native before a bid and from whoever gives it.
    receive() external payable {}

    /// @notice Carry out the plan that follows the selector in the call's data.
    /// @return gross Wei of wrapped native gained, before the bid.
    function execute() external returns (uint256 gross) {
        if (!operators[msg.sender]) revert NotOperator(msg.sender);
        if (paused) revert IsPaused();
        if (_awaited != IDLE) revert Reentered();
        if (msg.data.length < HEADER_END) revert PlanTruncated(msg.data.length);
        uint256 lastBlock = _read(4, 5);
        if (block.number > lastBlock) revert PlanExpired(block.number, lastBlock);

        _awaited = NOBODY;
        uint256 wrappedBefore = WRAPPED.balanceOf(address(this));
        uint256 form = _read(33, 1);
        uint256 declared = form & MOST_TOKENS;
        if (declared == 0) {
            _run(msg.data[HEADER_END:]);
        } else {
            _runDeclared(declared);
        }
        gross = _gain(wrappedBefore, _read(9, 12), form > MOST_TOKENS);
        _payBid(_read(21, 12), gross);
        _awaited = IDLE;
    }

    /// @notice The callbacks of all pools, whatever their names: Uniswap V2 and its forks pass
    /// (address, uint256, uint256, bytes), Uniswap V3 and its forks (int256, int256, bytes).
    /// @dev The amounts that a pool asks for are not read: it is paid what the plan says, or reverts.
    fallback() external {
        uint256 awaited = _awaited;
        if (address(uint160(awaited)) != msg.sender) revert UnexpectedCallback(msg.sender);
        uint256 kind = uint8(awaited >> 160);
        uint256 at = 4 + _read(kind == POOL ? 4 + 2 * 32 : 4 + 3 * 32, 32);
        uint256 start = at + 32;
        bytes calldata commands = msg.data[start:start + _read(at, 32)];
        if (_seal(msg.sender, kind, commands) != awaited) revert UnexpectedCallback(msg.sender);
        _awaited = NOBODY;
        _run(commands);
    }

    /* RUNNING A PLAN */

    /// @dev Runs a plan that pays other tokens than wrapped native: none of them may end lower.
    function _runDeclared(uint256 count) private {
        uint256 start = HEADER_END + count * ADDRESS_SIZE;
        if (msg.data.length < start) revert PlanTruncated(msg.data.length);
        uint256[] memory before = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            address token = _readAddress(HEADER_END + i * ADDRESS_SIZE);
            before[i] = IERC20(token).balanceOf(address(this));
            _declare(i + 1, token);
        }
        _run(msg.data[start:]);
        for (uint256 i = 0; i < count; ++i) {
            address token = _declaredToken(i + 1);
            // Transient storage outlives the call, and the next plan of the transaction must not
            // find tokens that it did not declare.
            _declare(i + 1, address(0));
            uint256 afterwards = IERC20(token).balanceOf(address(this));
            if (afterwards < before[i]) revert TokenLost(token, before[i], afterwards);
        }
    }

    /// @dev Runs commands one after the other; they must end exactly where the data does.
    function _run(bytes calldata commands) private {
        uint256 at;
        assembly ("memory-safe") {
            at := commands.offset
        }
        uint256 end = at + commands.length;
        while (at < end) {
            uint256 head = _read(at, 1);
            uint256 kind = head & 0x0f;
            if (kind == PAY) {
                at = _pay(head, at, end);
            } else if (kind == PAIR) {
                at = _swapPair(head, at, end);
            } else if (kind == PAIR_FLASH) {
                at = _flashPair(head, at, end);
            } else if (kind == POOL) {
                at = _swapPool(head, at, end);
            } else {
                revert UnknownCommand(head, at);
            }
        }
    }

    function _pay(uint256 head, uint256 at, uint256 end) private returns (uint256 next) {
        next = _bounded(at + PAY_SIZE, end);
        uint256 number = _read(at + 1, 1);
        address token = number == 0 ? address(WRAPPED) : _declaredToken(number);
        if (token == address(0)) revert UndeclaredToken(number);
        Tokens.pay(token, _receiver(head, at, next, end), _read(at + 2, 16));
    }

    function _swapPair(uint256 head, uint256 at, uint256 end) private returns (uint256 next) {
        next = _bounded(at + PAIR_SIZE, end);
        _callPair(head, at, _receiver(head, at, next, end), msg.data[:0]);
    }

    function _flashPair(uint256 head, uint256 at, uint256 end) private returns (uint256 next) {
        bytes calldata commands = _commands(at, end);
        next = at + CALLBACK_SIZE + commands.length;
        address pool = _readAddress(at + 1);
        _awaited = _seal(pool, PAIR_FLASH, commands);
        _callPair(head, at, _receiver(head, at, next, end), commands);
        if (_awaited != NOBODY) revert CallbackMissing(pool);
    }

    function _callPair(uint256 head, uint256 at, address to, bytes calldata data) private {
        uint256 amount = _read(at + 21, 16);
        (uint256 out0, uint256 out1) =
            _zeroForOne(head) ? (uint256(0), amount) : (amount, uint256(0));
        IPair(_readAddress(at + 1)).swap(out0, out1, to, data);
    }

    function _swapPool(uint256 head, uint256 at, uint256 end) private returns (uint256 next) {
        bytes calldata commands = _commands(at, end);
        next = at + CALLBACK_SIZE + commands.length;
        address pool = _readAddress(at + 1);
        bool zeroForOne = _zeroForOne(head);
        _awaited = _seal(pool, POOL, commands);
        IConcentratedPool(pool)
            .swap(
                _receiver(head, at, next, end),
                zeroForOne,
                int256(_read(at + 21, 16)),
                zeroForOne ? LOWEST_PRICE : HIGHEST_PRICE,
                commands
            );
        if (_awaited != NOBODY) revert CallbackMissing(pool);
    }

    /* THE END OF A PLAN */

    function _gain(uint256 before, uint256 wanted, bool exact)
        private
        view
        returns (uint256 gross)
    {
        uint256 afterwards = WRAPPED.balanceOf(address(this));
        if (afterwards < before + wanted) {
            revert ProfitTooLow(int256(afterwards) - int256(before), wanted);
        }
        unchecked {
            gross = afterwards - before; // afterwards >= before + wanted
        }
        if (exact && gross != wanted) revert ProfitNotExact(gross, wanted);
    }

    function _payBid(uint256 bid, uint256 gross) private {
        if (bid == 0) return;
        if (bid > gross) revert BidTooHigh(bid, gross);
        WRAPPED.withdraw(bid);
        bool paid;
        // Equals block.coinbase.call{value: bid, gas: COINBASE_GAS}(""), without copying an answer.
        assembly ("memory-safe") {
            paid := call(COINBASE_GAS, coinbase(), bid, 0, 0, 0, 0)
        }
        if (!paid) revert BidRefused(block.coinbase, bid);
    }

    /* READING A PLAN */

    function _receiver(uint256 head, uint256 at, uint256 next, uint256 end)
        private
        view
        returns (address)
    {
        uint256 receiver = (head >> 4) & 0x07;
        if (receiver == TO_SELF) return address(this);
        if (receiver == TO_CALLER) return msg.sender;
        // A PAY has no pool to receive anything.
        if (receiver != TO_NEXT || _read(next, 1) & 0x0f == PAY) revert UnknownCommand(head, at);
        _bounded(next + 1 + ADDRESS_SIZE, end);
        return _readAddress(next + 1);
    }

    /// @dev The commands of the callback of the command at `at`.
    function _commands(uint256 at, uint256 end) private pure returns (bytes calldata commands) {
        uint256 start = _bounded(at + CALLBACK_SIZE, end);
        uint256 length = _read(at + PAIR_SIZE, 2);
        _bounded(start + length, end);
        assembly ("memory-safe") {
            commands.offset := start
            commands.length := length
        }
    }

    function _bounded(uint256 position, uint256 end) private pure returns (uint256) {
        if (position > end) revert PlanTruncated(end);
        return position;
    }

    function _zeroForOne(uint256 head) private pure returns (bool) {
        return head & 0x80 != 0;
    }

    /// @dev The unsigned integer of `size` bytes at `at` in the frame's data.
    function _read(uint256 at, uint256 size) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, size)), calldataload(at))
        }
    }

    function _readAddress(uint256 at) private pure returns (address) {
        return address(uint160(_read(at, ADDRESS_SIZE)));
    }

    /* TRANSIENT STATE */

    /// @dev What a callback must match: 88 bits of the hash of its commands, its kind, its pool.
    function _seal(address pool, uint256 kind, bytes calldata commands)
        private
        pure
        returns (uint256)
    {
        return (uint256(keccak256(commands)) << 168) | (kind << 160) | uint160(pool);
    }

    /// @dev Token n of a plan lies in transient slot n; `_awaited` has slot 0.
    function _declare(uint256 n, address token) private {
        assembly ("memory-safe") {
            tstore(n, token)
        }
    }

    function _declaredToken(uint256 n) private view returns (address token) {
        assembly ("memory-safe") {
            token := tload(n)
        }
    }
}
