from __future__ import annotations

import aiohttp
import orjson
import pytest
from aiohttp import web

from searcher.chains.anvil import HOST, free_port
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.domain.errors import Retryable
from searcher.ops.read_only import ReadOnlyGate


class Node:
    """A node that writes down what reaches it; `statuses` are answered first."""

    def __init__(self, *statuses):
        self.asked = []
        self._statuses = list(statuses)
        self.url = ""

    async def __aenter__(self):
        application = web.Application()
        application.router.add_post("/key", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/key"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _answer(self, request):
        body = orjson.loads(await request.read())
        self.asked.append(body)
        if self._statuses:
            return web.Response(status=self._statuses.pop(0))
        one = not isinstance(body, list)
        answers = [
            {"jsonrpc": "2.0", "id": call["id"], "result": call["method"]}
            for call in ([body] if one else body)
        ]
        return web.json_response(answers[0] if one else answers)


async def test_reads_pass_as_they_are():
    async with Node() as node, ReadOnlyGate(node.url) as gate, RpcClient(gate.url) as rpc:
        assert await rpc.call("eth_chainId") == "eth_chainId"
        batch = [("eth_getCode", ["0x1", "latest"]), ("txpool_content", [])]
        assert await rpc.batch(batch) == ["eth_getCode", "txpool_content"]
        assert [call["method"] for call in node.asked[1]] == ["eth_getCode", "txpool_content"]
        assert node.asked[1][0]["params"] == ["0x1", "latest"]
        passed = gate.statistics().passed
    assert passed == {"eth_chainId": 1, "eth_getCode": 1, "txpool_content": 1}


@pytest.mark.parametrize(
    "method",
    [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_sendBundle",
        "evm_mine",
        "anvil_reset",
        "debug_traceTransaction",
        "eth_newFilter",
    ],
)
async def test_nothing_else_does(method):
    async with Node() as node, ReadOnlyGate(node.url) as gate, RpcClient(gate.url) as rpc:
        with pytest.raises(RpcFault, match="is no read"):
            await rpc.call(method, ["0x"])
        with pytest.raises(RpcFault, match="is no read"):
            await rpc.batch([("eth_chainId", []), (method, ["0x"])])
        assert node.asked == []
        assert gate.statistics().refused == {method: 2}


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"[7]", b'{"id": 1}', b'["eth_chainId"]'])
async def test_what_is_no_request_is_refused(body):
    async with (
        Node() as node,
        ReadOnlyGate(node.url) as gate,
        aiohttp.ClientSession() as session,
        session.post(gate.url, data=body) as response,
    ):
        answer = await response.json()
        assert answer["error"]["code"] == -32600
        assert node.asked == []


async def test_a_read_is_repeated_when_the_node_fails_for_a_moment():
    async with Node(503, 429) as node, ReadOnlyGate(node.url) as gate, RpcClient(gate.url) as rpc:
        assert await rpc.call("eth_chainId") == "eth_chainId"
        assert len(node.asked) == 3
        assert gate.statistics().repeated == 2


async def test_a_node_that_is_gone_is_no_answer():
    gone = f"http://{HOST}:{free_port()}"
    async with ReadOnlyGate(gone) as gate, RpcClient(gate.url) as rpc:
        with pytest.raises(Retryable, match="502"):
            await rpc.call("eth_chainId")
