"""WebSocket subscriptions: heads, logs, and public pending transactions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any, Final

import orjson
from aiohttp import web
from msgspec import Struct

from searcher.chains.rpc import RpcClient
from searcher.devnet.transactions import SignedTransaction
from searcher.domain.errors import Rejected

_QUEUE: Final = 20_000
_NOT_IN_A_HEAD: Final = frozenset({"transactions", "uncles", "size", "withdrawals"})


class Subscription(Struct, frozen=True):
    """One subscription of a connection; `filter` is for logs, `full` for pending bodies."""

    id: str
    kind: str
    full: bool = False
    filter: dict[str, Any] = {}


class Connection:
    """One WebSocket: its subscriptions, and its messages on their way out.

    A client that does not read is cut off when its queue is full, as nodes do.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._ids = itertools.count(1)
        self.subscriptions: dict[str, Subscription] = {}

    def subscribe(self, parameters: list[Any]) -> str:
        """Open a subscription and return its id.

        Raises:
            Rejected: there is no such kind.
        """
        kind = parameters[0] if parameters else None
        option = parameters[1] if len(parameters) > 1 else None
        if kind not in ("newHeads", "logs", "newPendingTransactions"):
            raise Rejected(f"no {kind!r} subscription in eth namespace")
        identifier = hex((id(self) << 16 | next(self._ids)) & (2**64 - 1))
        self.subscriptions[identifier] = Subscription(
            identifier,
            kind,
            full=option is True,
            filter=option if isinstance(option, dict) else {},
        )
        return identifier

    def unsubscribe(self, identifier: str) -> bool:
        """Close a subscription; returns whether it was open."""
        return self.subscriptions.pop(identifier, None) is not None

    def send(self, message: Any) -> None:
        """Queue a message."""
        try:
            self._queue.put_nowait(orjson.dumps(message))
        except asyncio.QueueFull:
            self.subscriptions.clear()
            if self._transport is not None:
                self._transport.abort()

    def notify(self, subscription: Subscription, result: Any) -> None:
        """Queue a subscription's message."""
        self.send(
            {
                "jsonrpc": "2.0",
                "method": "eth_subscription",
                "params": {"subscription": subscription.id, "result": result},
            }
        )

    async def write(self) -> None:
        """Send what is queued until cancelled, or until the connection breaks."""
        while True:
            await self._socket.send_str((await self._queue.get()).decode())


class Subscriptions:
    """All connections, told of what happens.

    Args:
        anvil: where logs are read.
    """

    def __init__(self, anvil: RpcClient) -> None:
        self._anvil = anvil
        self.connections: set[Connection] = set()

    def announce_pending(self, transactions: Iterable[SignedTransaction]) -> None:
        """Tell of transactions that became executable in the public pool."""
        for transaction in transactions:
            body = transaction.to_json()
            for connection, subscription in self._of_kind("newPendingTransactions"):
                connection.notify(subscription, body if subscription.full else transaction.hash)

    async def announce_head(self, block: dict[str, Any]) -> None:
        """Tell of a block, then of its logs."""
        header = {name: value for name, value in block.items() if name not in _NOT_IN_A_HEAD}
        for connection, subscription in self._of_kind("newHeads"):
            connection.notify(subscription, header)
        for connection, subscription in self._of_kind("logs"):
            wanted = {k: v for k, v in subscription.filter.items() if k in ("address", "topics")}
            query = {"blockHash": block["hash"], **wanted}
            for log in await self._anvil.call("eth_getLogs", [query]):
                connection.notify(subscription, log)

    def _of_kind(self, kind: str) -> list[tuple[Connection, Subscription]]:
        return [
            (connection, subscription)
            for connection in self.connections
            for subscription in connection.subscriptions.values()
            if subscription.kind == kind
        ]
