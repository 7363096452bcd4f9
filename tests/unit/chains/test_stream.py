from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from searcher.chains.framing import JsonSplitter
from searcher.chains.stream import NodeStream
from searcher.domain.clock import SystemClock
from searcher.domain.errors import Misconfigured


class HurriedClock(SystemClock):
    """Sleeps hardly at all, and remembers what was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


def head(number: int) -> dict:
    return {
        "number": hex(number),
        "hash": f"0x{number:064x}",
        "parentHash": f"0x{number - 1:064x}",
        "timestamp": "0x1",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x0",
        "miner": "0x" + "00" * 20,
        "logsBloom": "0x" + "00" * 256,
    }


def note(subscription: str, result: object) -> str:
    params = {"subscription": subscription, "result": result}
    return orjson.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).decode()


class FakeNode:
    """Answers subscriptions as a node does, then sends each connection the next of `scripts`.

    A script's items are frames; the connection closes behind the last unless that is None.
    `bodies` says whether the node knows full pending transactions.
    """

    def __init__(self, *scripts: list, bodies: bool = True) -> None:
        self.scripts = list(scripts)
        self.bodies = bodies
        self.requests: list[dict] = []

    def answer(self, request: dict) -> dict:
        self.requests.append(request)
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "eth_getBlockByNumber":
            return {**reply, "result": head(1)}
        if len(request["params"]) > 1 and not self.bodies:
            return {**reply, "error": {"code": -32602, "message": "too many arguments"}}
        return {**reply, "result": "H" if request["params"][0] == "newHeads" else "P"}

    def asked_all(self, request: dict) -> bool:
        last = "eth_getBlockByNumber" if self.bodies else "eth_subscribe"
        return (
            request["method"] == last
            and request["params"] != ["newHeads"]
            and (self.bodies or len(request["params"]) == 1)
        )

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = orjson.loads(message.data)
            await socket.send_bytes(orjson.dumps(self.answer(asked)))
            if self.asked_all(asked):
                break
        for frame in self.scripts.pop(0) if self.scripts else [None]:
            if frame is None:
                await socket.receive()
            elif isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_str(frame)
        return socket


@asynccontextmanager
async def serving(node: FakeNode) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", node.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@asynccontextmanager
async def running(url: str, **options) -> AsyncIterator[NodeStream]:
    stream = NodeStream(url, clock=options.pop("clock", HurriedClock()), **options)
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(10):
            yield stream
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is another task's counter
        await asyncio.sleep(0.005)


async def test_heads_and_pending_arrive_stamped_and_in_order():
    body = {"hash": "0x01", "nonce": "0x0"}
    script = [note("H", head(2)), note("P", body), note("P", "0x02"), note("H", head(3)), None]
    async with serving(FakeNode(script)) as url, running(url) as stream:
        before = stream._clock.monotonic_ns() - 10**10
        heads = [await stream.heads.get() for _ in range(3)]
        pending = [await stream.pending.get() for _ in range(2)]
    assert [each.header.number for each in heads] == [1, 2, 3]
    assert [each.body for each in pending] == [body, "0x02"]
    assert before < heads[1].received_ns <= pending[0].received_ns <= heads[2].received_ns


async def test_hostile_frames_are_counted_by_cause_and_skipped():
    hostile = [
        "",
        "{",
        "nonsense",
        b"\xff\xfe",
        "[]",
        '{"id":"x"}',
        "{}",
        '{"params":{"subscription":5,"result":1}}',
        '{"params":{"subscription":"Z","result":1}}',
        note("H", {"number": None}),
        note("H", None),
        note("H", [1]),
        note("H", {**head(2), "logsBloom": "0x"}),
        note("P", None),
        note("P", 7),
        '{"id":1,"result":{}}',
        '{"id":2,"result":null}',
        "[" * 100_000,
        note("H", head(2)),
        None,
    ]
    async with serving(FakeNode(hostile)) as url, running(url) as stream:
        assert [(await stream.heads.get()).header.number for _ in range(2)] == [1, 2]
        counts = stream.statistics()
    assert counts.connections == 1
    assert counts.malformed == {
        "json": 4,
        "shape": 6,
        "unknown_subscription": 1,
        "header": 5,
        "pending": 2,
    }
    assert counts.frames == counts.heads + counts.pending + counts.answers + sum(
        counts.malformed.values()
    )


async def test_a_broken_connection_is_opened_anew_with_growing_pauses():
    clock = HurriedClock()
    node = FakeNode([], [], [note("H", head(5)), None])
    async with serving(node) as url, running(url, clock=clock) as stream:
        while (await stream.heads.get()).header.number != 5:
            pass
        counts = stream.statistics()
    assert (counts.connections, counts.breaks) == (3, {"NodeUnreachable": 2})
    assert len(clock.slept) == 2


async def test_pauses_double_up_to_a_limit_while_nobody_listens():
    clock = HurriedClock()
    async with running("ws://127.0.0.1:9", clock=clock) as stream:
        await until(lambda: len(clock.slept) >= 12)
        assert not stream.statistics().connected
    assert all(
        longest / 2 <= slept <= longest
        for slept, longest in zip(
            clock.slept, [min(0.1 * 2**n, 30) for n in range(len(clock.slept))], strict=True
        )
    )


async def test_a_silent_stream_is_opened_anew():
    async with serving(FakeNode()) as url, running(url, stale_after_s=0.05) as stream:
        await until(lambda: stream.statistics().connections >= 3)
        assert stream.statistics().breaks["TimeoutError"] >= 2


async def test_a_node_without_bodies_is_asked_for_hashes():
    node = FakeNode([note("P", "0x0a"), None], bodies=False)
    async with serving(node) as url, running(url) as stream:
        assert (await stream.pending.get()).body == "0x0a"
    asked = [each["params"] for each in node.requests if each["method"] == "eth_subscribe"]
    assert asked == [
        ["newHeads"],
        ["newPendingTransactions", True],
        ["newPendingTransactions"],
    ]


async def test_pending_can_be_left_off():
    node = FakeNode([note("H", head(2)), None])
    async with serving(node) as url, running(url, pending="off") as stream:
        assert [(await stream.heads.get()).header.number for _ in range(2)] == [1, 2]
    asked = [each["params"] for each in node.requests if each["method"] == "eth_subscribe"]
    assert asked == [["newHeads"]]


async def test_full_channels_lose_the_oldest_pending_and_all_but_the_newest_head():
    script = [note("P", f"0x{n}") for n in range(9)] + [note("H", head(n)) for n in range(2, 8)]
    async with (
        serving(FakeNode([*script, None])) as url,
        running(url, head_capacity=3, pending_capacity=4) as stream,
    ):
        await until(lambda: stream.statistics().heads == 7)
        pending, heads = stream.statistics().pending_channel, stream.statistics().head_channel
        assert (pending.dropped, pending.waiting) == (5, 4)
        assert (await stream.pending.get()).body == "0x5"
        assert (heads.dropped, heads.waiting) == (6, 1)
        assert (await stream.heads.get()).header.number == 7


async def test_ipc_sockets_carry_messages_back_to_back(tmp_path: Path):
    node = FakeNode([note("P", "0x01"), note("H", head(2)) + "\n" + note("H", head(3))])
    path = str(tmp_path / "node.ipc")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter, done = JsonSplitter(10**6), False
        while not done and (chunk := await reader.read(1000)):
            for message in splitter.feed(chunk):
                writer.write(orjson.dumps(node.answer(orjson.loads(message))))
                done = done or node.asked_all(orjson.loads(message))
        writer.write("".join(node.scripts.pop(0) if node.scripts else []).encode())
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server, running(path) as stream:
        assert [(await stream.heads.get()).header.number for _ in range(3)] == [1, 2, 3]
        assert (await stream.pending.get()).body == "0x01"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "", "tcp://h"])
def test_other_addresses_are_the_operators_to_mend(url):
    with pytest.raises(Misconfigured, match="no stream address"):
        NodeStream(url, clock=SystemClock())
