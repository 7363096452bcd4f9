"""JSON-RPC requests to a node over HTTP, one keep-alive session per client.

Errors are sorted by remedy at this edge: the node's own `error` object is an `RpcFault`, an address
where nobody listens is `NodeUnreachable`, and everything that leaves the outcome open (a time-out,
a dropped connection, 5xx, an answer that is no JSON-RPC) is `Retryable`. The client itself never
tries again: whether a request may be repeated is known only to its caller.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from searcher.chains.quantity import quantity
from searcher.domain.errors import Misconfigured, NodeUnreachable, Rejected, Retryable

_REQUEST_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_LIMIT_EXCEEDED = -32005
"""EIP-1474: the request exceeds the node's defined limit; nodes use it for their rate limit."""


def redact_url(url: str) -> str:
    """Return `url` fit for logs and errors: without credentials, and without path or query.

    Hosted nodes carry their keys in the path or the query, so nothing after the host is shown. A
    socket's file path is shown whole.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    hidden = "/***" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{hidden}"


class RpcFault(Rejected):
    """The node's answer is an error object.

    Attributes:
        code: the JSON-RPC error code.
        message: the node's words.
        data: the error's `data`, such as the revert data of a failed call; None when absent.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"the node answered with error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class RpcStatistics(msgspec.Struct, frozen=True):
    """What a client has done since it was made; `spent_ns` sums the wall time of all requests."""

    requests: int
    calls: int
    faults: int
    unreachable: int
    retryable: int
    spent_ns: int


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    data: Any = None


class _Answer(msgspec.Struct):
    id: int | str | None = None
    result: Any = msgspec.UNSET
    error: _Error | None = None


_decode_one = msgspec.json.Decoder(_Answer).decode
_decode_many = msgspec.json.Decoder(list[_Answer]).decode


class RpcClient:
    """Requests to one node.

    Args:
        url: an http or https address.
        timeout_s: seconds a request may take in all; a time-out is `Retryable`, never an answer.
        headers: sent with every request, such as an authorisation.
        max_connections: connections kept open; further requests wait for one.

    Raises:
        Misconfigured: `url` is not http or https.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        headers: Mapping[str, str] | None = None,
        max_connections: int = 64,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Misconfigured(
                f"{redact_url(url)!r} is not a node's request address: write http://… or https://…"
            )
        self.url = url
        self.name = redact_url(url)
        self._timeout_s = timeout_s
        self._headers = {**_REQUEST_HEADERS, **(headers or {})}
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)
        self._requests = self._calls = self._faults = 0
        self._unreachable = self._retryable = self._spent_ns = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the `result` of one call.

        Raises:
            RpcFault: the node answered with an error.
            NodeUnreachable: no connection; the request was not sent.
            Retryable: no usable answer; the request may have taken effect.
            Misconfigured: the node refuses the credentials or knows no such address.
        """
        call_id = next(self._ids)
        body = orjson.dumps(_envelope(call_id, method, params))
        self._calls += 1
        data = await self._post(body)
        try:
            answer = _decode_one(data)
        except msgspec.MsgspecError:
            self._refuse("an answer that is no JSON-RPC")
        if answer.id not in (call_id, None) or (answer.id is None and answer.error is None):
            self._refuse("an answer to another request")
        outcome = self._outcome(answer)
        if isinstance(outcome, RpcFault):
            raise outcome
        return outcome

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the results of several calls sent in one HTTP body, in the order of `calls`.

        Raises:
            RpcFault: the first call that failed; the results of the others are lost.
            SearcherError: as for `call`.
        """
        outcomes = await self.batch_settled(calls)
        for outcome in outcomes:
            if isinstance(outcome, RpcFault):
                raise outcome
        return outcomes

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return for each call its result, or the `RpcFault` that the node answered with.

        Answers may come in any order; they are matched by id. One that is missing makes the whole
        batch `Retryable`.

        Raises:
            SearcherError: as for `call`, except `RpcFault` for a single call. A node that refuses
                the batch as a whole raises its `RpcFault`.
        """
        if not calls:
            return []
        ids = [next(self._ids) for _ in calls]
        body = orjson.dumps(
            [_envelope(i, method, params) for i, (method, params) in zip(ids, calls, strict=True)]
        )
        self._calls += len(calls)
        data = await self._post(body)
        try:
            answers = _decode_many(data) if data.lstrip()[:1] == b"[" else [_decode_one(data)]
        except msgspec.MsgspecError:
            self._refuse("an answer that is no JSON-RPC")
        if len(answers) == 1 and answers[0].id is None and answers[0].error is not None:
            raise self._fault(answers[0].error)
        found = {answer.id: answer for answer in answers}
        if missing := [i for i in ids if i not in found]:
            self._refuse(f"a batch without {len(missing)} of its {len(ids)} answers")
        return [self._outcome(found[i]) for i in ids]

    async def close(self) -> None:
        """Close the session; a later call opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def statistics(self) -> RpcStatistics:
        """Return the counters so far."""
        return RpcStatistics(
            requests=self._requests,
            calls=self._calls,
            faults=self._faults,
            unreachable=self._unreachable,
            retryable=self._retryable,
            spent_ns=self._spent_ns,
        )

    async def _post(self, body: bytes) -> bytes:
        """Send one body and return the answer's, whatever 2xx or JSON-carrying 4xx it came with."""
        started = time.monotonic_ns()
        self._requests += 1
        try:
            async with self._open().post(self.url, data=body, allow_redirects=False) as response:
                data = await response.read()
                status = response.status
        except aiohttp.ClientConnectorError as error:
            self._unreachable += 1
            raise NodeUnreachable(
                f"no node answers at {self.name} ({error.os_error.strerror or error.os_error}): "
                "start it, or correct the address"
            ) from error
        except TimeoutError as error:
            self._retryable += 1
            raise Retryable(
                f"the node at {self.name} did not answer within {self._timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            self._retryable += 1
            raise Retryable(
                f"the connection to {self.name} broke before the answer ({type(error).__name__})"
            ) from error
        finally:
            self._spent_ns += time.monotonic_ns() - started
        if status >= 300:
            self._check_status(status, data)
        return data

    def _check_status(self, status: int, data: bytes) -> None:
        """Raise for an HTTP error, unless it is a 4xx whose body is JSON: then the body decides.

        A redirection is an error as well: followed, it would turn the request into a GET.
        """
        if status < 400 or status in (401, 403, 404):
            raise Misconfigured(
                f"the node at {self.name} answers HTTP {status}: "
                "check the key and the path in its address"
            )
        if status < 500 and status != 429 and data.lstrip()[:1] in (b"{", b"["):
            return
        self._refuse(f"HTTP {status}")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers=self._headers,
            )
        return self._session

    def _outcome(self, answer: _Answer) -> Any:
        if answer.error is not None:
            return self._fault(answer.error)
        if answer.result is msgspec.UNSET:
            self._refuse("an answer with neither result nor error")
        return answer.result

    def _fault(self, error: _Error) -> RpcFault:
        if error.code == _LIMIT_EXCEEDED:
            self._refuse(f"its limit exceeded ({error.message})")
        self._faults += 1
        return RpcFault(error.code, error.message, error.data)

    def _refuse(self, what: str) -> NoReturn:
        self._retryable += 1
        raise Retryable(f"the node at {self.name} gave {what}: try again")


async def check_chain(rpc: RpcClient, expected_chain_id: int) -> None:
    """Make sure that a node serves the chain that the config says.

    Raises:
        Misconfigured: it serves another one.
        SearcherError: as for `RpcClient.call`.
    """
    answer = await rpc.call("eth_chainId")
    try:
        served = quantity(answer)
    except ValueError as error:
        raise Retryable(f"the node at {rpc.name} names no chain: {error}") from error
    if served != expected_chain_id:
        raise Misconfigured(
            f"the node at {rpc.name} serves chain {served}, but the config says "
            f"{expected_chain_id}: correct the node's address or the chain id"
        )


def _envelope(call_id: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}
