"""A real node, and contracts compiled for it with the locked compiler."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from searcher.chains.anvil import Anvil, find_anvil
from searcher.chains.rpc import RpcClient

SOURCE = Path(__file__).parent / "contracts" / "Subjects.sol"
COMPILE = """
const compiler = require(process.argv[1]);
const input = require("fs").readFileSync(0, "utf8");
process.stdout.write(compiler.compile(input));
"""


@pytest.fixture(scope="session")
def bytecode() -> dict[str, str]:
    """Creation code by contract name."""
    request = {
        "language": "Solidity",
        "sources": {"Subjects.sol": {"content": SOURCE.read_text()}},
        "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    modules = next(p for p in find_anvil().parents if p.name == "node_modules")
    node = Path(sys.executable).parent / "node"
    done = subprocess.run(
        [node, "-e", COMPILE, modules / "solc"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    output = json.loads(done.stdout)
    faults = [e for e in output.get("errors", []) if e["severity"] == "error"]
    assert faults == []
    compiled = output["contracts"]["Subjects.sol"]
    return {name: "0x" + each["evm"]["bytecode"]["object"] for name, each in compiled.items()}


class Chain:
    """A real node with one funded user, and what tests do with it."""

    def __init__(self, rpc: RpcClient, user: str, bytecode: dict[str, str]) -> None:
        self.rpc = rpc
        self.user = user
        self._bytecode = bytecode

    async def send(self, to: str | None, data: str, **fields: str) -> dict:
        """Send as the user, mine, and return the receipt."""
        body = {"from": self.user, "data": data, "gas": "0x4c4b40", **fields}
        tx_hash = await self.rpc.call("eth_sendTransaction", [body | ({"to": to} if to else {})])
        await self.rpc.call("evm_mine")
        return await self.rpc.call("eth_getTransactionReceipt", [tx_hash])

    async def deploy(self, name: str, *words: int) -> str:
        arguments = "".join(f"{word:064x}" for word in words)
        receipt = await self.send(None, self._bytecode[name] + arguments)
        assert receipt["status"] == "0x1"
        return receipt["contractAddress"]


@pytest.fixture
async def chain(bytecode: dict[str, str]) -> AsyncIterator[Chain]:
    async with Anvil(args=["--no-mining"]) as anvil, RpcClient(anvil.http_url) as rpc:
        (user, *_) = await rpc.call("eth_accounts")
        yield Chain(rpc, user, bytecode)
