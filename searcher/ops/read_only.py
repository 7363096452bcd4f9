"""A gate in front of somebody's node that lets reads through and nothing else.

Whatever works on a fork talks to the node through it, Anvil included. So that nothing is ever sent
there is a property of one list, and the node's address, which often carries an access key, stands
in no other process's arguments.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
import structlog
from aiohttp import web
from msgspec import Struct

from searcher.chains.anvil import HOST
from searcher.chains.rpc import redact_url

READS: Final = frozenset(
    {
        "eth_blobBaseFee",
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getAccount",
        "eth_getAccountInfo",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getStorageAt",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "net_version",
        "txpool_content",
        "web3_clientVersion",
    }
)
"""Methods that change nothing at a node and tell nobody what we are about to do."""

_NOT_FOUND: Final = -32601
_INVALID_REQUEST: Final = -32600
_LARGEST_BODY: Final = 64 * 2**20
_TOO_MANY: Final = 429
_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Before each repetition; hosted nodes refuse for a moment what comes too fast."""
_HEADERS: Final = {"Content-Type": "application/json"}

_log = structlog.get_logger(__name__)


class GateStatistics(Struct, frozen=True):
    """Calls by method that went through, and that were refused; requests that were repeated."""

    passed: dict[str, int]
    refused: dict[str, int]
    repeated: int


class ReadOnlyGate:
    """JSON-RPC over HTTP on a free local port, as an async context manager.

    Args:
        url: the node behind it.
        timeout_s: how long the node may take for one request.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0
        self._passed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._repeated = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._port}"

    def statistics(self) -> GateStatistics:
        """Return the counters so far."""
        return GateStatistics(dict(self._passed), dict(self._refused), self._repeated)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s), headers=_HEADERS
        )
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            asked = orjson.loads(body)
            calls = asked if isinstance(asked, list) else [asked]
            methods = [str(call["method"]) for call in calls]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return _refusal(None, _INVALID_REQUEST, "not a JSON-RPC request")
        forbidden = [method for method in methods if method not in READS]
        for method in forbidden:
            if not self._refused[method]:
                _log.warning("not_a_read", method=method, node=redact_url(self._url))
            self._refused[method] += 1
        if forbidden:
            # A batch is refused whole: none of its calls is known to make sense without the others.
            identifier = None if isinstance(asked, list) else asked.get("id")
            return _refusal(identifier, _NOT_FOUND, f"{forbidden[0]} is no read of the forked node")
        self._passed.update(methods)
        return await self._forward(body)

    async def _forward(self, body: bytes) -> web.Response:
        """Ask the node, and again when it fails for a moment: a read may be repeated."""
        for pause_s in _PAUSES_S:
            response = await self._ask(body)
            if response.status < 500 and response.status != _TOO_MANY:
                return response
            self._repeated += 1
            await asyncio.sleep(pause_s)
        return await self._ask(body)

    async def _ask(self, body: bytes) -> web.Response:
        assert self._session is not None
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                return web.Response(
                    body=await response.read(),
                    status=response.status,
                    content_type="application/json",
                )
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            return web.Response(status=502, text=type(error).__name__)


def _refusal(identifier: Any, code: int, message: str) -> web.Response:
    error = {"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": message}}
    return web.Response(body=orjson.dumps(error), content_type="application/json")
