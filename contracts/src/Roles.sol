// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Tokens} from "./Tokens.sol";

/// @title Who may do what with the executor
/// @notice The owner withdraws, names operators, and hands ownership over in two steps. An operator
/// executes plans. Either may pause; only the owner ends a pause, so that a doubtful daemon can stop
/// at once and a stolen operator key cannot start again.
abstract contract Roles {
    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error NotOperator(address caller);
    error IsPaused();
    error ZeroAddress();
    error NativeTransferFailed(address to, uint256 amount);

    event OwnershipOffered(address indexed from, address indexed to);
    event OwnershipTaken(address indexed from, address indexed to);
    event OperatorSet(address indexed operator, bool allowed);
    event Paused(address indexed by);
    event Unpaused();
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    /// @notice The address that alone withdraws and changes roles.
    address public owner;
    /// @notice Whether execution is stopped.
    bool public paused;
    /// @notice The address that may take ownership, zero when none is offered it.
    address public pendingOwner;
    /// @notice The addresses that may execute plans.
    mapping(address account => bool allowed) public operators;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    constructor(address owner_) {
        if (owner_ == address(0)) revert ZeroAddress();
        owner = owner_;
        emit OwnershipTaken(address(0), owner_);
    }

    /// @notice Offer ownership to `to`, who must take it; zero withdraws an offer.
    function offerOwnership(address to) external onlyOwner {
        pendingOwner = to;
        emit OwnershipOffered(msg.sender, to);
    }

    /// @notice Take the ownership that was offered to the caller.
    function takeOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTaken(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// @notice Allow or forbid `operator` to execute plans.
    function setOperator(address operator, bool allowed) external onlyOwner {
        operators[operator] = allowed;
        emit OperatorSet(operator, allowed);
    }

    /// @notice Stop execution; by the owner or an operator.
    function pause() external {
        if (msg.sender != owner && !operators[msg.sender]) revert NotOperator(msg.sender);
        paused = true;
        emit Paused(msg.sender);
    }

    /// @notice Let operators execute again.
    function unpause() external onlyOwner {
        paused = false;
        emit Unpaused();
    }

    /// @notice Send `amount` of an ERC-20 token to `to`; works while paused.
    function withdraw(address token, address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        Tokens.pay(token, to, amount);
        emit Withdrawn(token, to, amount);
    }

    /// @notice Send `amount` wei of the native coin to `to`; works while paused.
    function withdrawNative(address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert NativeTransferFailed(to, amount);
        emit Withdrawn(address(0), to, amount);
    }
}
