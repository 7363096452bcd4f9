"""What a node announces by itself: new heads and pending transactions, over WebSocket or IPC.

The stream lives as long as the daemon: it connects, subscribes, and begins again with a growing
pause whenever the connection breaks, the node refuses, or no head comes for too long. What was
missed meanwhile is not its concern: the node's head is asked for after each subscription, and the
block assembler walks back from there.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
import structlog

from searcher.chains.blocks import Head, parse_head
from searcher.chains.channel import Channel, ChannelStatistics, Overflow
from searcher.chains.framing import JsonSplitter
from searcher.chains.rpc import redact_url
from searcher.domain.clock import Clock
from searcher.domain.errors import Misconfigured, NodeUnreachable, Retryable

Pending: TypeAlias = Literal["full", "hashes", "off"]

_HEADS_ID, _LATEST_ID, _PENDING_ID, _HASHES_ID = range(1, 5)
_LONGEST_FRAME: Final = 32 * 2**20
_CONNECT_S: Final = 10.0
_CLOSE_S: Final = 0.5
_PING_S: Final = 20.0
_READ_SIZE: Final = 2**18
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0

_log = structlog.get_logger(__name__)


class PendingFrame(msgspec.Struct, frozen=True):
    """A pending transaction as announced: its JSON body, or its hash alone."""

    body: dict[str, Any] | str
    received_ns: int


class StreamStatistics(msgspec.Struct, frozen=True):
    """What a stream has received since it was made.

    `frames` = `heads` + `pending` + `answers` + all of `malformed`, which counts by cause the
    frames that were skipped. `breaks` counts by cause the connections that ended.
    """

    connected: bool
    connections: int
    frames: int
    heads: int
    pending: int
    answers: int
    malformed: dict[str, int]
    breaks: dict[str, int]
    head_channel: ChannelStatistics
    pending_channel: ChannelStatistics


class _Params(msgspec.Struct):
    subscription: str
    result: Any


class _Message(msgspec.Struct):
    id: int | None = None
    params: _Params | None = None
    result: Any = msgspec.UNSET
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Message).decode


class _Malformed(Exception):
    """A frame that is skipped; its text is the cause it is counted under."""


class _Wire(msgspec.Struct):
    """An open connection: its messages as they arrive, and the way to send one."""

    frames: AsyncIterator[bytes]
    send: Callable[[bytes], Awaitable[None]]


class NodeStream:
    """The heads and pending transactions that a node announces.

    Args:
        url: ws://, wss://, or the path of the node's IPC socket.
        clock: time of the process; frames are stamped with it as they arrive.
        pending: ask for pending transactions with bodies, as hashes, or not at all. A node that
            knows no bodies is asked for hashes.
        head_capacity: heads that may wait; when full the newest replaces them all, and the block
            assembler fills the gap.
        pending_capacity: pending frames that may wait; when full the oldest is dropped.
        stale_after_s: a connection without a new head for this long is opened anew.

    Raises:
        Misconfigured: `url` is neither.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        pending: Pending = "full",
        head_capacity: int = 64,
        pending_capacity: int = 8192,
        stale_after_s: float = 60.0,
    ) -> None:
        self.name = redact_url(url)
        self._connect = _connector(url)
        self._clock = clock
        self._wanted = pending
        self._stale_after_s = stale_after_s
        self.heads: Channel[Head] = Channel(head_capacity, Overflow.KEEP_NEWEST)
        self.pending: Channel[PendingFrame] = Channel(pending_capacity, Overflow.DROP_OLDEST)
        self._subscriptions: dict[str, Callable[[Any, int], None]] = {}
        self._connected = False
        self._counts: Counter[str] = Counter()
        self._malformed: Counter[str] = Counter()
        self._breaks: Counter[str] = Counter()

    async def run(self) -> None:
        """Keep the stream open until cancelled; never returns and raises nothing else."""
        failures = 0
        while True:
            heads = self._counts["heads"]
            try:
                await self._session()
            except (aiohttp.ClientError, OSError, ValueError, Retryable) as error:
                cause = type(error).__name__
            finally:
                self._connected = False
            failures = 1 if self._counts["heads"] > heads else failures + 1
            self._breaks[cause] += 1
            pause_s = _pause_s(failures)
            _log.warning("stream_broke", node=self.name, cause=cause, retry_in_s=round(pause_s, 2))
            await self._clock.sleep(pause_s)

    def statistics(self) -> StreamStatistics:
        """Return the counters so far."""
        return StreamStatistics(
            connected=self._connected,
            connections=self._counts["connections"],
            frames=self._counts["frames"],
            heads=self._counts["heads"],
            pending=self._counts["pending"],
            answers=self._counts["answers"],
            malformed=dict(self._malformed),
            breaks=dict(self._breaks),
            head_channel=self.heads.statistics(),
            pending_channel=self.pending.statistics(),
        )

    async def _session(self) -> None:
        """Live through one connection.

        Raises:
            TimeoutError: no connection, or no head for too long.
            NodeUnreachable: the node closed the connection or refused to announce heads.
        """
        self._subscriptions.clear()
        async with asyncio.timeout(_CONNECT_S) as watchdog, self._connect() as wire:
            await self._subscribe(wire)
            self._connected = True
            self._counts["connections"] += 1
            _log.info("stream_opened", node=self.name)
            loop, heads = asyncio.get_running_loop(), self._counts["heads"]
            watchdog.reschedule(loop.time() + self._stale_after_s)
            async for frame in wire.frames:
                received_ns = self._clock.monotonic_ns()
                again = self._receive(frame, received_ns)
                if again is not None:
                    await wire.send(again)
                if self._counts["heads"] != heads:
                    heads = self._counts["heads"]
                    watchdog.reschedule(loop.time() + self._stale_after_s)
        raise NodeUnreachable(f"the node at {self.name} closed the stream")

    async def _subscribe(self, wire: _Wire) -> None:
        await wire.send(_request(_HEADS_ID, "eth_subscribe", "newHeads"))
        if self._wanted == "full":
            await wire.send(_request(_PENDING_ID, "eth_subscribe", "newPendingTransactions", True))
        elif self._wanted == "hashes":
            await wire.send(_ask_for_hashes())
        await wire.send(_request(_LATEST_ID, "eth_getBlockByNumber", "latest", False))

    def _receive(self, frame: bytes, received_ns: int) -> bytes | None:
        """Take one frame in; return what must be sent because of it."""
        self._counts["frames"] += 1
        try:
            return self._sort(_decode(frame), received_ns)
        except msgspec.ValidationError:
            self._malformed["shape"] += 1
        except msgspec.MsgspecError:
            self._malformed["json"] += 1
        except _Malformed as cause:
            self._malformed[str(cause)] += 1
        return None

    def _sort(self, message: _Message, received_ns: int) -> bytes | None:
        if message.params is not None:
            take = self._subscriptions.get(message.params.subscription)
            if take is None:
                raise _Malformed("unknown_subscription")
            take(message.params.result, received_ns)
            return None
        if message.id is None:
            raise _Malformed("shape")
        return self._answer(message, received_ns)

    def _answer(self, message: _Message, received_ns: int) -> bytes | None:
        """Take the answer to one of our own requests."""
        if message.id == _LATEST_ID and message.error is None:
            self._take_head(message.result, received_ns)
            return None
        if message.error is None and not isinstance(message.result, str):
            raise _Malformed("shape")
        self._counts["answers"] += 1
        if message.error is None:
            taking = self._take_head if message.id == _HEADS_ID else self._take_pending
            self._subscriptions[str(message.result)] = taking
            return None
        if message.id == _PENDING_ID:
            return _ask_for_hashes()
        words = message.error.get("message")
        if message.id == _HEADS_ID:
            raise NodeUnreachable(f"the node at {self.name} announces no heads: {words}")
        _log.warning("stream_request_refused", node=self.name, request=message.id, words=words)
        return None

    def _take_head(self, raw: Any, received_ns: int) -> None:
        try:
            head = parse_head(raw, received_ns)
        except (ValueError, AttributeError) as error:
            raise _Malformed("header") from error
        self._counts["heads"] += 1
        self.heads.put(head)

    def _take_pending(self, body: Any, received_ns: int) -> None:
        if not isinstance(body, dict | str):
            raise _Malformed("pending")
        self._counts["pending"] += 1
        self.pending.put(PendingFrame(body, received_ns))


def _connector(url: str) -> Callable[[], AbstractAsyncContextManager[_Wire]]:
    scheme = urlsplit(url).scheme
    if scheme in ("ws", "wss"):
        return lambda: _websocket(url)
    if not scheme and url:
        return lambda: _socket(url)
    raise Misconfigured(
        f"{redact_url(url)!r} is no stream address of a node: write ws://…, wss://… or a path"
    )


@asynccontextmanager
async def _websocket(url: str) -> AsyncIterator[_Wire]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url,
            max_msg_size=_LONGEST_FRAME,
            heartbeat=_PING_S,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            decode_text=False,
        ) as socket,
    ):

        async def frames() -> AsyncIterator[bytes]:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.ERROR:
                    raise Retryable(f"the stream of {redact_url(url)} broke: {message.data}")
                yield message.data

        async def send(data: bytes) -> None:
            await socket.send_frame(data, aiohttp.WSMsgType.TEXT)

        yield _Wire(frames(), send)


@asynccontextmanager
async def _socket(path: str) -> AsyncIterator[_Wire]:
    reader, writer = await asyncio.open_unix_connection(path)

    async def frames() -> AsyncIterator[bytes]:
        splitter = JsonSplitter(_LONGEST_FRAME)
        while chunk := await reader.read(_READ_SIZE):
            for frame in splitter.feed(chunk):
                yield frame

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        yield _Wire(frames(), send)
    finally:
        writer.close()


def _request(request_id: int, method: str, *params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def _ask_for_hashes() -> bytes:
    return _request(_HASHES_ID, "eth_subscribe", "newPendingTransactions")


def _pause_s(failures: int) -> float:
    """Return a doubling pause, shortened at random so that many streams do not return at once."""
    longest = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 16), _LONGEST_PAUSE_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, keeps no secret
