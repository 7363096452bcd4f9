from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from aiohttp import web

from searcher.chains.rpc import RpcClient, RpcFault, check_chain, redact_url
from searcher.domain.errors import Misconfigured, NodeUnreachable, Retryable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_post("/", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/"

    yield start
    for runner in runners:
        await runner.cleanup()


def answering(status: int, body: bytes) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    return handler


async def echo(request: web.Request) -> web.Response:
    """Answers each call with its own method and params, a batch in reverse order."""
    body = orjson.loads(await request.read())

    def answer(call: dict) -> dict:
        if call["method"] == "fail":
            error = {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        result = [call["method"], call["params"]]
        return {"jsonrpc": "2.0", "id": call["id"], "result": result, "error": None}

    many = [answer(c) for c in reversed(body)] if isinstance(body, list) else answer(body)
    return web.Response(body=orjson.dumps(many))


async def test_a_call_returns_its_result(serve):
    async with RpcClient(await serve(echo)) as rpc:
        assert await rpc.call("eth_x", [1, "0x2"]) == ["eth_x", [1, "0x2"]]
        assert rpc.statistics().calls == 1


async def test_an_error_object_is_a_fault_with_code_and_data(serve):
    async with RpcClient(await serve(echo)) as rpc:
        with pytest.raises(RpcFault, match="execution reverted") as caught:
            await rpc.call("fail")
    assert (caught.value.code, caught.value.data) == (3, "0x08c379a0")


async def test_a_batch_is_matched_by_id_whatever_the_order_of_answers(serve):
    async with RpcClient(await serve(echo)) as rpc:
        calls = [("m", [i]) for i in range(5)]
        assert await rpc.batch(calls) == [["m", [i]] for i in range(5)]
        assert await rpc.batch([]) == []


async def test_a_settled_batch_keeps_the_good_answers(serve):
    async with RpcClient(await serve(echo)) as rpc:
        good, bad = await rpc.batch_settled([("m", []), ("fail", [])])
        assert good == ["m", []]
        assert isinstance(bad, RpcFault)
        with pytest.raises(RpcFault):
            await rpc.batch([("m", []), ("fail", [])])


async def test_a_batch_with_a_missing_answer_is_retryable(serve):
    async with RpcClient(await serve(answering(200, b'[{"id":1,"result":1}]'))) as rpc:
        with pytest.raises(Retryable, match="without 1 of its 2"):
            await rpc.batch([("a", []), ("b", [])])


async def test_a_batch_refused_as_a_whole_is_a_fault(serve):
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}'
    async with RpcClient(await serve(answering(200, body))) as rpc:
        with pytest.raises(RpcFault, match="no batches"):
            await rpc.batch([("a", []), ("b", [])])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[1,2]"),
        (200, b'{"jsonrpc":"2.0","id":1}'),
        (200, b'{"jsonrpc":"2.0","id":77,"result":1}'),
        (200, b'{"jsonrpc":"2.0","result":1}'),
        (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}'),
        (200, b""),
        (429, b"{}"),
        (502, b'{"jsonrpc":"2.0","id":1,"result":1}'),
        (400, b"bad request"),
    ],
)
async def test_what_is_no_answer_is_retryable(serve, status, body):
    async with RpcClient(await serve(answering(status, body))) as rpc:
        with pytest.raises(Retryable) as caught:
            await rpc.call("m")
        assert not isinstance(caught.value, NodeUnreachable)
        assert rpc.statistics().retryable == 1


async def test_a_json_rpc_error_under_http_400_is_a_fault(serve):
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad params"}}'
    async with RpcClient(await serve(answering(400, body))) as rpc:
        with pytest.raises(RpcFault, match="bad params"):
            await rpc.call("m")


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404])
async def test_a_refused_address_is_the_operators_to_mend(serve, status):
    async with RpcClient(await serve(answering(status, b"{}"))) as rpc:
        with pytest.raises(Misconfigured, match=f"HTTP {status}"):
            await rpc.call("m")


async def test_a_timeout_is_not_an_answer(serve):
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with RpcClient(await serve(hang), timeout_s=0.05) as rpc:
        with pytest.raises(Retryable, match=r"within 0\.05 s"):
            await rpc.call("m")
    released.set()


async def test_a_connection_cut_mid_answer_is_retryable(serve):
    async def cut(request: web.Request) -> web.Response:
        request.transport.abort()
        return web.Response()

    async with RpcClient(await serve(cut)) as rpc:
        with pytest.raises(Retryable, match="broke before the answer"):
            await rpc.call("m")


async def test_an_address_where_nobody_listens_is_unreachable_and_keeps_its_key_secret():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        async with RpcClient(f"http://user:pw@127.0.0.1:{port}/v3/s3cret?k=s3cret") as rpc:
            with pytest.raises(NodeUnreachable, match=f"127.0.0.1:{port}") as caught:
                await rpc.call("m")
    assert "s3cret" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h.example:8545/v3/key?x=1", "https://h.example:8545/***"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545"),
        ("wss://h.example?key=1", "wss://h.example/***"),
        ("/run/geth.ipc", "/run/geth.ipc"),
    ],
)
def test_a_shown_url_hides_what_may_be_a_key(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize("url", ["ws://h", "h:8545", "", "http://"])
def test_only_http_addresses_are_taken(url):
    with pytest.raises(Misconfigured, match="not a node's request address"):
        RpcClient(url)


async def test_a_node_of_another_chain_is_named(serve):
    body = b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'
    async with RpcClient(await serve(answering(200, body))) as rpc:
        await check_chain(rpc, 1)
    async with RpcClient(await serve(answering(200, body))) as rpc:
        with pytest.raises(Misconfigured, match="serves chain 1, but the config says 56"):
            await check_chain(rpc, 56)


async def test_a_node_that_names_no_chain_is_asked_again(serve):
    async with RpcClient(await serve(answering(200, b'{"id":1,"result":null}'))) as rpc:
        with pytest.raises(Retryable, match="names no chain"):
            await check_chain(rpc, 1)
