// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The laboratory's tokens: one that behaves, one that takes a fee, one that returns nothing.
/// @dev Anyone may mint: these tokens exist on local chains only.
abstract contract Ledger {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed holder, address indexed spender, uint256 amount);

    constructor(string memory symbol_, uint8 decimals_) {
        name = symbol_;
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function _approve(address spender, uint256 amount) internal {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }

    function _spend(address from, uint256 amount) internal {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
    }

    function _move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}

/// @notice An ERC-20 as the standard has it.
contract PlainToken is Ledger {
    constructor(string memory symbol_, uint8 decimals_) Ledger(symbol_, decimals_) {}

    function approve(address spender, uint256 amount) external returns (bool) {
        _approve(spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _spend(from, amount);
        _move(from, to, amount);
        return true;
    }
}

/// @notice Keeps `feeBps` of every transfer: what arrives is less than what was named.
contract FeeToken is Ledger {
    uint256 public immutable feeBps;
    address private constant SINK = 0x000000000000000000000000000000000000dEaD;

    constructor(string memory symbol_, uint8 decimals_, uint256 feeBps_) Ledger(symbol_, decimals_) {
        feeBps = feeBps_;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        _approve(spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _moveLessFee(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _spend(from, amount);
        _moveLessFee(from, to, amount);
        return true;
    }

    function _moveLessFee(address from, address to, uint256 amount) private {
        uint256 fee = amount * feeBps / 10_000;
        _move(from, SINK, fee);
        _move(from, to, amount - fee);
    }
}

/// @notice Returns nothing from its transfers and its approval, as several tokens of 2017 do.
contract SilentToken is Ledger {
    constructor(string memory symbol_, uint8 decimals_) Ledger(symbol_, decimals_) {}

    function approve(address spender, uint256 amount) external {
        _approve(spender, amount);
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _spend(from, amount);
        _move(from, to, amount);
    }
}
