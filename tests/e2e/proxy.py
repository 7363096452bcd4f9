"""A stream between a node and the daemon, which can break and say nonsense at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType, web


class StreamProxy:
    """Passes WebSocket frames both ways; `url` is where the daemon connects."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._open: set[web.WebSocketResponse] = set()
        self.connections = 0
        self.subscriptions: dict[str, str] = {}
        """Identifiers of the daemon's subscriptions, `heads` and `pending`, once frames came."""
        self.url = ""

    async def break_off(self) -> None:
        """Close every connection to the daemon without a word."""
        for socket in list(self._open):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()

    async def say(self, frame: str) -> None:
        """Send the daemon a frame that no node has sent."""
        for socket in self._open:
            await socket.send_str(frame)

    async def announce(self, what: str, result: Any) -> None:
        """Send the daemon `result` as if the node had announced it."""
        params = {"subscription": self.subscriptions[what], "result": result}
        frame = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
        await self.say(orjson.dumps(frame).decode())

    def _learn(self, frame: str) -> None:
        message = orjson.loads(frame)
        params = message.get("params") if isinstance(message, dict) else None
        if isinstance(params, dict) and isinstance(params.get("result"), dict):
            what = "heads" if "parentHash" in params["result"] else "pending"
            self.subscriptions[what] = params["subscription"]

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        down = web.WebSocketResponse(max_msg_size=0)
        await down.prepare(request)
        self.connections += 1
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._upstream, max_msg_size=0) as up,
        ):
            self._open.add(down)
            both = [
                asyncio.create_task(_pump(down, up, lambda _: None)),
                asyncio.create_task(_pump(up, down, self._learn)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._open.discard(down)
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        return down


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    look: Callable[[str], None],
) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            look(message.data)
            await target.send_str(message.data)


@asynccontextmanager
async def stream_proxy(upstream: str) -> AsyncIterator[StreamProxy]:
    proxy = StreamProxy(upstream)
    application = web.Application()
    application.router.add_get("/", proxy._serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        await proxy.break_off()
        await runner.cleanup()
