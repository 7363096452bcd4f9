import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from searcher.devnet.artifacts import Artifacts, argument_types, calldata, patched
from searcher.domain.errors import NotReady

ROOT = Path(__file__).parents[3]
CONTRACTS = ROOT / "searcher" / "devnet" / "contracts"


def test_arguments_are_split_at_the_outer_commas():
    assert argument_types("f()") == []
    assert argument_types("f(uint256,(address,bytes)[],bool)") == [
        "uint256",
        "(address,bytes)[]",
        "bool",
    ]


def test_calldata_starts_with_the_selector():
    data = calldata("transfer(address,uint256)", "0x" + "11" * 20, 5)
    assert data[:4] == keccak(text="transfer(address,uint256)")[:4]
    assert len(data) == 68


@pytest.mark.parametrize(
    "published",
    [
        {"bytecode": "0x6001"},
        {"bytecode": {"object": "6001", "linkReferences": {}}},
        {"evm": {"bytecode": {"object": "6001"}}},
        {"compilerOutput": {"evm": {"bytecode": {"object": "0x6001"}}}},
    ],
)
def test_every_form_of_publication_is_read(published):
    assert Artifacts({"A": json.dumps(published)}).creation("A") == b"\x60\x01"


def test_libraries_are_linked_and_a_missing_one_is_named():
    published = {
        "bytecode": "0x60" + "__$" + "0" * 34 + "$__" + "01",
        "linkReferences": {"lib.sol": {"Logic": [{"start": 1, "length": 20}]}},
    }
    artifacts = Artifacts({"A": json.dumps(published)})
    linked = artifacts.creation("A", {"Logic": "0x" + "22" * 20})
    assert linked == b"\x60" + b"\x22" * 20 + b"\x01"
    with pytest.raises(NotReady, match="Logic"):
        artifacts.creation("A")


def test_bytecode_inside_a_source_file_is_found():
    text = "const otherBytecode = '0x11'\nexport const thingBytecode =\n  '0x6002' as const"
    assert Artifacts({"Thing": text}).embedded("Thing") == b"\x60\x02"
    assert Artifacts({"Old": 'bytes memory code = hex"6003";'}).embedded("Old") == b"\x60\x03"
    with pytest.raises(NotReady, match="no bytecode"):
        Artifacts({"Thing": "nothing"}).embedded("Thing")


def test_a_patch_must_find_its_place():
    assert patched(b"abcb", b"b", b"x") == b"axcx"
    with pytest.raises(NotReady, match="lacks the constant"):
        patched(b"abc", b"z", b"x")


def test_the_committed_bytecode_is_what_the_locked_compiler_makes():
    node, modules = Path(sys.executable).parent / "node", ROOT / "contracts" / "node_modules"
    assert node.exists(), f"{node} is missing: run make setup"
    assert modules.is_dir(), f"{modules} is missing: run make setup"
    built = subprocess.run(
        [node, CONTRACTS / "build.cjs"],
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert built.stdout == (CONTRACTS / "Tokens.json").read_text()
