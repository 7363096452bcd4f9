"""The local EVM, the published bytecode and the compilers that the conformance tests stand on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from eth_abi.abi import encode

from searcher.domain.errors import NotReady
from searcher.domain.units import ZERO_ADDRESS
from tests.conformance import packages
from tests.conformance.compilers import ROOT
from tests.conformance.evm import (
    CHAIN_ID,
    SENDER,
    LocalEvm,
    Reverted,
    artifact,
    solidity,
    sources,
    vyper,
)

SOURCE = """
// SPDX-License-Identifier: MIT
pragma solidity >=0.5.0;

contract Probe {
    uint256 public count;
    event Counted(address indexed by, uint256 indexed count, uint256 sent);

    constructor(uint256 start) public { count = start; }

    function add(uint256 n) external payable returns (uint256 then, address by) {
        count += n;
        emit Counted(msg.sender, count, msg.value);
        return (count, msg.sender);
    }
    function where() external view returns (uint256, uint256) {
        return (block.number, block.timestamp);
    }
    function refuse() external { count = 99; require(false, "no entry"); }
    function nothing() external { count = 99; require(false); }
    function fail() external { count = 99; assert(false); }
    function spin() external { count = 99; while (true) {} }
}
"""
NEWER = """
// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

contract Newer {
    error Refused(uint256 much);
    bool transient entered;

    function chain() external view returns (uint256) { return block.chainid; }
    function enter() external { require(!entered, "entered"); entered = true; }
    function over(uint8 n) external pure returns (uint8) { return n + 200; }
    function refuse(uint256 much) external pure { revert Refused(much); }
}
"""


@pytest.fixture
def evm():
    return LocalEvm(timestamp=1_800_000_000, number=20)


@pytest.fixture
def probe(evm):
    creation = solidity({"Probe.sol": SOURCE}, solc_version="0.6.12")["Probe"]
    return evm.deploy(creation, args=encode(["uint256"], [5]))


def test_a_send_keeps_what_it_changed_and_a_call_does_not(evm, probe):
    add = "add(uint256)(uint256,address)"
    assert evm.call(probe, add, 2) == (7, SENDER)
    assert evm.call(probe, "count()(uint256)") == (5,)
    assert evm.send(probe, add, 2) == (7, SENDER)
    assert evm.send(probe, add, 3) == (10, SENDER)
    assert evm.call(probe, "count()(uint256)") == (10,)
    assert evm.storage(probe, 0) == 10


def test_the_last_sends_events_are_seen(evm, probe):
    other = "0x" + "0a" * 20
    evm.set_balance(other, 9)
    evm.send(probe, "add(uint256)", 2, sender=other, value=9)
    evm.call(probe, "add(uint256)", 4)
    (log,) = evm.logs()
    assert (log.address, log.log_index) == (probe, 0)
    assert log.topics[1:] == ("0x" + "00" * 12 + "0a" * 20, f"0x{7:064x}")
    assert log.data == f"0x{9:064x}"
    assert evm.balance(probe) == 9
    with pytest.raises(Reverted):
        evm.send(probe, "refuse()")
    assert evm.logs() == []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("refuse()", "no entry"),
        ("nothing()", ""),
        ("fail()", "InvalidFEOpcode"),
        ("spin()", r"OutOfGas\(Basic\)"),
        ("unknown()", ""),
    ],
)
def test_a_revert_says_why_and_changes_nothing(evm, probe, function, reason):
    for act in (evm.send, evm.call):
        with pytest.raises(Reverted) as caught:
            act(probe, function)
        assert caught.match(reason) if reason else caught.value.reason == ""
    assert evm.storage(probe, 0) == 5


def test_panics_and_named_errors_are_told_apart(evm):
    newer = evm.deploy(solidity({"Newer.sol": NEWER})["Newer"])
    with pytest.raises(Reverted) as caught:
        evm.call(newer, "over(uint8)(uint8)", 100)
    assert caught.value.reason == "Panic(0x11)"
    with pytest.raises(Reverted) as caught:
        evm.call(newer, "refuse(uint256)", 2**256 - 1)
    assert caught.value.reason == "0x" + caught.value.data[:4].hex()
    assert caught.value.data[4:] == b"\xff" * 32
    assert evm.call(newer, "chain()(uint256)") == (CHAIN_ID,)


def test_what_is_transient_ends_with_its_transaction(evm):
    newer = evm.deploy(solidity({"Newer.sol": NEWER})["Newer"])
    for _ in range(3):
        evm.send(newer, "enter()")
        evm.call(newer, "enter()")


def test_a_constructor_may_revert(evm):
    with pytest.raises(Reverted):
        evm.deploy(bytes.fromhex("5f5ffd"))


def test_the_block_is_the_one_that_was_set(evm, probe):
    assert evm.call(probe, "where()(uint256,uint256)") == (20, 1_800_000_000)
    evm.set_block(number=21)
    evm.set_block(timestamp=1_800_000_012)
    assert evm.call(probe, "where()(uint256,uint256)") == (21, 1_800_000_012)


def test_a_state_is_left_and_found_again(evm, probe):
    first = evm.snapshot()
    evm.send(probe, "add(uint256)", 1)
    second = evm.snapshot()
    evm.send(probe, "add(uint256)", 1)
    evm.revert(second)
    assert evm.storage(probe, 0) == 6
    evm.send(probe, "add(uint256)", 10)
    evm.revert(first)
    assert evm.call(probe, "count()(uint256)") == (5,)


def test_code_and_storage_can_be_put_anywhere(evm, probe):
    where = "0x" + "00" * 18 + "40c0"
    evm.set_balance(where, 3)
    evm.set_code(where, evm.code(probe))
    evm.set_storage(where, 0, 2**255)
    assert evm.call(where, "count()(uint256)") == (2**255,)
    evm.set_storage(probe, 0, 77)
    assert evm.send(probe, "add(uint256)(uint256,address)", 1)[0] == 78
    evm.set_code(probe, evm.code(where))
    assert evm.call(probe, "count()(uint256)") == (78,)
    assert evm.balance(where) == 3


def test_a_transaction_that_no_chain_takes_is_the_tests_own_mistake(evm, probe):
    with pytest.raises(ValueError, match="RejectCallerWithCode"):
        evm.send(probe, "add(uint256)", 1, sender=probe)
    with pytest.raises(ValueError, match="is no signature"):
        evm.send(probe, "add(uint256", 1)


def test_tokens_come_sorted_and_anybody_mints(evm):
    tokens = evm.tokens(3)
    assert tokens == sorted(tokens)
    evm.send(tokens[0], "mint(address,uint256)", SENDER, 5)
    moved = evm.send(tokens[0], "transfer(address,uint256)(bool)", "0x" + "0b" * 20, 2)
    assert moved == (True,)
    assert evm.call(tokens[0], "balanceOf(address)(uint256)", SENDER) == (3,)


def test_published_bytecode_runs_and_is_the_code_that_is_published(evm):
    factory = evm.deploy(artifact("UniswapV2Factory").creation, args=bytes(32))
    token0, token1 = evm.tokens(2)
    (pair,) = evm.send(factory, "createPair(address,address)(address)", token1, token0)
    assert evm.call(pair, "token0()(address)") == (token0,)
    assert evm.code(pair) == artifact("UniswapV2Pair").runtime
    with pytest.raises(Reverted, match="PAIR_EXISTS"):
        evm.send(factory, "createPair(address,address)(address)", token0, token1)


@pytest.mark.parametrize("pin", packages._pins(), ids=lambda pin: f"{pin.name}@{pin.version}")
def test_every_pinned_contract_is_there(pin):
    for name, path in pin.files.items():
        if path.endswith(".json"):
            assert len(artifact(name, QueryProcessor=ZERO_ADDRESS).creation) > 100, name
        elif path.endswith(".sol"):
            assert sources(f"{pin.name}/{path}")
        else:
            assert packages.compiler(pin.version).is_file()


def test_no_two_pins_bring_contracts_of_one_name():
    names = [
        name
        for pin in packages._pins()
        for name, path in pin.files.items()
        if path.endswith(".json")
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", ["0.5.16", "0.6.12", "0.7.6"])
def test_pinned_compilers_compile(version):
    assert set(solidity({"Probe.sol": SOURCE}, solc_version=version)) == {"Probe"}


def test_published_sources_compile_with_what_they_import():
    clones = "@openzeppelin/contracts/proxy/Clones.sol"
    unit = (
        f'pragma solidity >=0.8.0; import "{clones}"; contract Own {{ function f() external {{}} }}'
    )
    assert set(solidity({"Own.sol": unit}, solc_version="0.8.20")) == {"Own"}
    both = solidity({"Own.sol": unit}, solc_version="0.8.20", published=[clones])
    assert set(both) == {"Own", "Clones"}


def test_what_does_not_compile_says_why():
    with pytest.raises(ValueError, match="ParserError"):
        solidity({"Bad.sol": "contract {"})
    with pytest.raises(KeyError, match=r"no pin in packages\.json has nobody/Thing\.sol: add it"):
        solidity({"Bad.sol": 'import "nobody/Thing.sol";'})


def test_vyper_compiles(evm):
    source = "@external\n@view\ndef twice(n: uint256) -> uint256:\n    return n * 2\n"
    address = evm.deploy(vyper(source))
    assert evm.call(address, "twice(uint256)(uint256)", 21) == (42,)
    with pytest.raises(Reverted):
        evm.call(address, "twice(uint256)(uint256)", 2**255)


def test_without_a_registry_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setattr(packages, "_TEXTS", {})
    (pin,) = [pin for pin in packages._pins() if "UniswapV2Pair" in pin.files]
    with pytest.raises(NotReady, match="check the connection to the npm registry"):
        packages.fetched(pin)


def test_two_processes_may_compile_the_same_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = (
        "from tests.conformance.compilers import vyper\n"
        "print(len(vyper('@external\\ndef f() -> uint256:\\n    return 3\\n')))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=60)[0] for process in both)
    assert first == second
    assert int(first) > 20
    assert [path.suffix for path in (tmp_path / "searcher" / "compiled").iterdir()] == [".msgpack"]


def test_the_zero_address_holds_no_code(evm):
    assert evm.code(ZERO_ADDRESS) == b""
