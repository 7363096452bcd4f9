import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

from searcher.chains import anvil as launcher
from searcher.chains.anvil import Anvil, find_anvil
from searcher.chains.rpc import RpcClient
from searcher.domain.errors import NotReady


def alive(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] != "Z"


async def until_gone(pid):
    async with asyncio.timeout(10):
        while alive(pid):  # noqa: ASYNC110 - no event tells of a stranger's end
            await asyncio.sleep(0.01)


@pytest.mark.devnet
async def test_it_answers_with_the_chain_id_it_was_given_and_ends_with_its_owner():
    async with Anvil(chain_id=4_242) as node:
        pid = node.pid
        async with RpcClient(node.http_url) as rpc:
            assert int(await rpc.call("eth_chainId"), 16) == 4_242
    assert not alive(pid)


@pytest.mark.devnet
async def test_a_fork_starts_at_the_block_that_was_asked_for():
    async with Anvil(chain_id=4_242) as origin, RpcClient(origin.http_url) as rpc:
        await rpc.call("anvil_mine", ["0x5"])
        async with (
            Anvil(fork_url=origin.http_url, fork_block=3) as fork,
            RpcClient(fork.http_url) as forked,
        ):
            assert int(await forked.call("eth_blockNumber"), 16) == 3


@pytest.mark.devnet
async def test_it_dies_when_its_owner_is_killed():
    program = (
        "import asyncio\n"
        "from searcher.chains.anvil import Anvil\n"
        "async def main():\n"
        "    async with Anvil() as node:\n"
        "        print(node.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    pid = int(await owner.stdout.readline())
    assert alive(pid)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    await until_gone(pid)


async def test_a_port_in_use_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match=f"port {port} .* is in use"):
            await Anvil(port=port).start()


@pytest.mark.devnet
async def test_what_anvil_says_when_it_ends_at_once_is_passed_on():
    node = Anvil(args=("--no-such-flag",))
    with pytest.raises(NotReady, match="Anvil ended at once"):
        await node.start()
    with pytest.raises(RuntimeError):
        _ = node.pid


def test_the_environment_names_the_binary(monkeypatch, tmp_path):
    binary = tmp_path / "anvil"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("SEARCHER_ANVIL", str(binary))
    assert find_anvil() == binary
    monkeypatch.setenv("SEARCHER_ANVIL", str(tmp_path / "absent"))
    with pytest.raises(NotReady, match="SEARCHER_ANVIL"):
        find_anvil()


def test_a_missing_anvil_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("SEARCHER_ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launcher, "_PACKAGE", Path("absent"))
    with pytest.raises(NotReady, match="make setup"):
        find_anvil()
