// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// Tells its caller which block it runs in.
contract Environment {
    function read() external view returns (uint256, uint256, uint256, uint256, address, bytes32, uint256) {
        return (
            block.number, block.timestamp, block.basefee, block.gaslimit, block.coinbase,
            blockhash(block.number - 1), tx.gasprice
        );
    }
}

/// Stands for the executor: what it gains is what others left in it before.
contract Till {
    error TooLittle(uint256 gained);
    event Left(address indexed by, uint256 amount);

    uint256 public left;

    function leave(uint256 amount) external {
        left += amount;
        emit Left(msg.sender, amount);
    }

    function take(uint256 least) external returns (uint256 gained) {
        gained = left;
        if (gained < least) revert TooLittle(gained);
        left = 0;
    }

    function stumble() external pure {
        require(false, "stumbled");
    }

    function overflow(uint256 amount) external pure returns (uint256) {
        return amount + 1;
    }

    function burn() external pure {
        assembly { invalid() }
    }

    function shrug() external {
        left += 0;
    }
}

/// The least of an ERC-20 that moves at face value; the others differ in one thing each.
contract Sound {
    mapping(address => uint256) internal balances;

    constructor(address holder, uint256 amount) {
        balances[holder] = amount;
    }

    function balanceOf(address who) public view virtual returns (uint256) {
        return balances[who];
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        move(msg.sender, to, amount, amount);
        return true;
    }

    function move(address from, address to, uint256 debit, uint256 credit) internal {
        balances[from] -= debit;
        balances[to] += credit;
    }
}

contract ReturnsNothing {
    mapping(address => uint256) public balanceOf;

    constructor(address holder, uint256 amount) {
        balanceOf[holder] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

contract KeepsAFee is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function transfer(address to, uint256 amount) external override returns (bool) {
        move(msg.sender, to, amount, amount - amount / 100);
        return true;
    }
}

contract TakesMore is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function transfer(address to, uint256 amount) external override returns (bool) {
        move(msg.sender, to, amount + 1, amount);
        return true;
    }
}

contract SaysNo is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }
}

contract CannotBeSold is Sound {
    address immutable pool;

    constructor(address holder, uint256 amount) Sound(holder, amount) {
        pool = holder;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        require(to != pool, "no way back");
        move(msg.sender, to, amount, amount);
        return true;
    }
}

contract HidesBalances is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function balanceOf(address) public pure override returns (uint256) {
        revert("private");
    }
}

contract BurnsAllGas is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function transfer(address, uint256) external pure override returns (bool) {
        while (true) {}
        return true;
    }
}

/// Refuses to move more than a fifth of what its first holder had.
contract LimitsTransfers is Sound {
    uint256 immutable most;

    constructor(address holder, uint256 amount) Sound(holder, amount) {
        most = amount / 5;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        require(amount <= most, "too much at once");
        move(msg.sender, to, amount, amount);
        return true;
    }
}

/// Goes to nobody with code but its pool.
contract ShunsContracts is Sound {
    address immutable pool;

    constructor(address holder, uint256 amount) Sound(holder, amount) {
        pool = holder;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        require(to == pool || to.code.length == 0, "no robots");
        move(msg.sender, to, amount, amount);
        return true;
    }
}

/// Pays interest by the second: every balance grows.
contract EarnsInterest is Sound {
    uint256 immutable since = block.timestamp;

    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function balanceOf(address who) public view override returns (uint256) {
        return balances[who] + balances[who] * (block.timestamp - since) / 365 days;
    }
}

/// Rebases once an epoch of a day.
contract RebasesDaily is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function balanceOf(address who) public view override returns (uint256) {
        return balances[who] * (1000 + block.timestamp / 1 days) / 1000;
    }
}

/// Rebases with every block.
contract RebasesByBlock is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function balanceOf(address who) public view override returns (uint256) {
        return balances[who] + block.number;
    }
}

/// Can be stopped by its owner, and is.
contract IsPaused is Sound {
    constructor(address holder, uint256 amount) Sound(holder, amount) {}

    function transfer(address, uint256) external pure override returns (bool) {
        revert("Pausable: paused");
    }
}
