"""The builder's face: a node over HTTP and WebSocket at `/`, a relay over HTTP at `/relay`.

Run as a process: `python -m searcher.devnet.server '<BuilderSettings as JSON>'`; it prints the port
it listens on, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import orjson
import uvloop
from aiohttp import WSMsgType, web

from searcher.chains.anvil import HOST
from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet import jsonrpc
from searcher.devnet.builder import Builder, BuilderSettings
from searcher.devnet.faults import Fault, FaultKind
from searcher.devnet.jsonrpc import failed, response, succeeded
from searcher.devnet.relay import RelayFace
from searcher.devnet.subscriptions import Connection, Subscriptions
from searcher.devnet.transactions import decode
from searcher.domain.errors import Rejected, SearcherError
from searcher.domain.units import address

_MAX_BODY: Final = 16 * 2**20
_BEHIND_THE_BUILDERS_BACK: Final = ("anvil_", "evm_", "hardhat_", "miner_", "personal_")

_READS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_estimateGas",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_simulateV1",
    }
)
"""Methods whose order within a batch does not matter."""

_Handler = Callable[[list[Any]], Awaitable[Any]]


class Server:
    """JSON-RPC of one chain.

    Args:
        builder: who builds its blocks.
        anvil: who answers what a node answers.
        subscriptions: who is told what.
    """

    def __init__(self, builder: Builder, anvil: RpcClient, subscriptions: Subscriptions) -> None:
        self._builder = builder
        self._anvil = anvil
        self._subscriptions = subscriptions
        self._relay = RelayFace(builder, anvil)
        self._methods: dict[str, _Handler] = {
            "eth_sendRawTransaction": self._send_raw,
            "eth_getTransactionByHash": self._transaction,
            "eth_getRawTransactionByHash": self._raw_transaction,
            "eth_getTransactionCount": self._transaction_count,
            "txpool_content": self._content,
            "txpool_status": self._status,
            "devnet_mine": self._mine,
            "devnet_setMining": self._set_mining,
            "devnet_setFault": self._set_fault,
            "devnet_clearFaults": self._clear_faults,
            "devnet_stats": self._stats,
            "devnet_bundles": self._bundles,
        }

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_post("/", self._http)
        application.router.add_get("/", self._websocket)
        application.router.add_post("/relay", self._relay.handle)
        return application

    async def _answer_all(
        self, requests: list[Any], connection: Connection | None = None
    ) -> list[dict[str, Any]]:
        """Answer a batch: reads side by side, and one after the other where something is sent."""
        if all(isinstance(r, dict) and r.get("method") in _READS for r in requests):
            return await asyncio.gather(*(self.answer(r, connection) for r in requests))
        return [await self.answer(r, connection) for r in requests]

    async def answer(self, request: Any, connection: Connection | None = None) -> dict[str, Any]:
        """Return the answer to one decoded request object."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return failed(None, jsonrpc.INVALID_REQUEST, "invalid request")
        identifier, parameters = request.get("id"), request.get("params") or []
        try:
            result = await self._call(request["method"], parameters, connection)
        except RpcFault as fault:
            return failed(identifier, fault.code, fault.message, fault.data)
        except Rejected as error:
            return failed(identifier, jsonrpc.REFUSED, str(error))
        except (ValueError, TypeError, IndexError, KeyError, msgspec.ValidationError) as error:
            return failed(identifier, jsonrpc.INVALID_PARAMETERS, f"invalid params: {error}")
        except SearcherError as error:
            return failed(identifier, jsonrpc.INTERNAL, str(error))
        return succeeded(identifier, result)

    async def _call(self, method: str, parameters: list[Any], connection: Connection | None) -> Any:
        if method in self._methods:
            return await self._methods[method](parameters)
        if method == "eth_subscribe" and connection is not None:
            return connection.subscribe(parameters)
        if method == "eth_unsubscribe" and connection is not None:
            return connection.unsubscribe(parameters[0])
        if method in ("eth_subscribe", "eth_unsubscribe"):
            raise RpcFault(jsonrpc.NOT_FOUND, "notifications not supported: use the WebSocket")
        if method.startswith(_BEHIND_THE_BUILDERS_BACK) or method == "eth_sendTransaction":
            raise RpcFault(
                jsonrpc.NOT_FOUND, f"the method {method} does not exist/is not available"
            )
        async with self._builder.turnstile.reading():
            return await self._anvil.call(method, parameters)

    async def _http(self, request: web.Request) -> web.Response:
        try:
            decoded = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return response(failed(None, jsonrpc.PARSE_ERROR, "parse error"))
        if isinstance(decoded, list):
            return response(await self._answer_all(decoded))
        return response(await self.answer(decoded))

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=_MAX_BODY)
        await socket.prepare(request)
        connection = Connection(socket, request.transport)
        self._subscriptions.connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    connection.send(await self._websocket_answer(message.data, connection))
        finally:
            self._subscriptions.connections.discard(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return socket

    async def _websocket_answer(self, data: str | bytes, connection: Connection) -> Any:
        try:
            decoded = orjson.loads(data)
        except orjson.JSONDecodeError:
            return failed(None, jsonrpc.PARSE_ERROR, "parse error")
        if isinstance(decoded, list):
            return await self._answer_all(decoded, connection)
        return await self.answer(decoded, connection)

    async def _send_raw(self, parameters: list[Any]) -> str:
        transaction = decode(bytes.fromhex(parameters[0].removeprefix("0x")))
        await self._builder.submit(transaction)
        return transaction.hash

    async def _transaction(self, parameters: list[Any]) -> Any:
        pooled = self._builder.pool.get(parameters[0].lower())
        if pooled is not None:
            return pooled.to_json()
        return await self._anvil.call("eth_getTransactionByHash", parameters)

    async def _raw_transaction(self, parameters: list[Any]) -> Any:
        pooled = self._builder.pool.get(parameters[0].lower())
        if pooled is not None:
            return "0x" + pooled.raw.hex()
        return await self._anvil.call("eth_getRawTransactionByHash", parameters)

    async def _transaction_count(self, parameters: list[Any]) -> str:
        if parameters[1:] != ["pending"]:
            async with self._builder.turnstile.reading():
                return str(await self._anvil.call("eth_getTransactionCount", parameters))
        who = address(parameters[0])
        mined = int(await self._anvil.call("eth_getTransactionCount", [who, "latest"]), 16)
        return hex(self._builder.pool.pending_nonce(who, mined))

    async def _content(self, _: list[Any]) -> Any:
        return self._builder.pool.content()

    async def _status(self, _: list[Any]) -> Any:
        executable, queued = self._builder.pool.counts()
        return {"pending": hex(executable), "queued": hex(queued)}

    async def _mine(self, _: list[Any]) -> str:
        return hex(await self._builder.seal())

    async def _set_mining(self, parameters: list[Any]) -> bool:
        self._builder.set_running(running=bool(parameters[0]))
        return True

    async def _set_fault(self, parameters: list[Any]) -> bool:
        self._builder.faults.switch_on(msgspec.convert(parameters[0], Fault))
        return True

    async def _clear_faults(self, parameters: list[Any]) -> bool:
        self._builder.faults.switch_off(FaultKind(parameters[0]) if parameters else None)
        return True

    async def _stats(self, _: list[Any]) -> Any:
        return msgspec.to_builtins(self._builder.statistics())

    async def _bundles(self, parameters: list[Any]) -> Any:
        """Return the bundles' records; wei as decimal strings, which JSON readers do not round."""
        records = self._builder.book.records(parameters[0] if parameters else None)
        return [
            {**msgspec.to_builtins(record), "payment_wei": str(record.payment_wei)}
            for record in records
        ]


async def serve(settings: BuilderSettings) -> None:
    """Serve one chain until SIGTERM or SIGINT; prints the port when it listens."""
    async with RpcClient(settings.anvil_url, timeout_s=30.0) as anvil:
        subscriptions = Subscriptions(anvil)
        builder = Builder(anvil, settings, subscriptions)
        await builder.open()
        server = Server(builder, anvil, subscriptions)
        runner = web.AppRunner(
            server.application(),
            access_log=None,
            shutdown_timeout=0.5,
            handler_cancellation=True,
        )
        await runner.setup()
        site = web.TCPSite(runner, HOST, settings.port)
        await site.start()
        port = runner.addresses[0][1]
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        sealing = asyncio.create_task(builder.run()) if settings.block_time_ms else None
        try:
            await _first_of(ended, sealing)
        finally:
            if sealing is not None:
                sealing.cancel()
            await runner.cleanup()


async def _first_of(ended: asyncio.Event, sealing: asyncio.Task[None] | None) -> None:
    """Wait for the end; a failure of the sealing task ends the process with it."""
    waiting = asyncio.create_task(ended.wait())
    tasks: set[asyncio.Task[Any]] = {waiting} if sealing is None else {waiting, sealing}
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    uvloop.run(serve(msgspec.json.decode(sys.argv[1], type=BuilderSettings)))
