"""Flashbots' relay, and every builder that takes the same `eth_sendBundle`.

Source: the Flashbots documentation (RPC endpoint) and @flashbots/ethers-provider-bundle, whose
requests these equal for the same inputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import orjson
import structlog
from msgspec import Struct
from pydantic import ConfigDict, field_validator

from searcher.domain.clock import Clock
from searcher.domain.errors import Rejected, Unresolved
from searcher.domain.plan import SignedBundle, Submission, SubmissionState
from searcher.domain.settings import Settings, knob
from searcher.domain.units import checksum, keccak256
from searcher.submission.relay import Relay, RelayStatistics
from searcher.submission.signer import Signer

_MOST_ANSWER_BYTES: Final = 1 << 20
_MOST_REASON_CHARS: Final = 200
_REQUEST_TIMEOUT: Final = 408

_log = structlog.get_logger(__name__)


class _Answer(Struct, frozen=True):
    """What a request came to; `result` counts only when acknowledged."""

    state: SubmissionState
    result: Any
    reason: str


class FlashbotsRelay(Relay):
    """Sends bundles by JSON-RPC over HTTP, each request signed in `X-Flashbots-Signature`.

    The connection is kept open between blocks. Redirects are not followed: a bundle goes to the
    configured address or nowhere.
    """

    class Config(Settings):
        """How to reach the relay."""

        # An address can carry a credential: the error that refuses it must not show it.
        model_config = ConfigDict(hide_input_in_errors=True)

        url: str = knob(why="the relay's HTTP address")
        timeout_ms: int = knob(
            2_000,
            why="after this time without an answer a bundle is unresolved until the chain tells",
            unit="ms",
            ge=50,
            le=60_000,
        )
        builders: tuple[str, ...] = knob(
            (), why="builders that the relay shares bundles with, by Flashbots' registered names"
        )

        @field_validator("url")
        @classmethod
        def _is_http(cls, value: str) -> str:
            if not value.startswith(("http://", "https://")):
                raise ValueError("not an HTTP address: write http://... or https://...")
            return value

    def __init__(self, name: str, config: Config, *, auth: Signer, clock: Clock) -> None:
        super().__init__(name, config, auth=auth, clock=clock)
        self._url = config.url
        self._builders = list(config.builders)
        self._timeout = aiohttp.ClientTimeout(total=config.timeout_ms / 1_000)
        self._sender = checksum(auth.address)
        self._session: aiohttp.ClientSession | None = None
        self._last_id = 0
        self._counts = dict.fromkeys(SubmissionState, 0)
        self._latency_ns = 0

    async def send(self, bundle: SignedBundle) -> Submission:
        """Send one bundle by `eth_sendBundle`."""
        start = self.clock.monotonic_ns()
        answer = await self._request("eth_sendBundle", self._bundle_params(bundle))
        end = self.clock.monotonic_ns()
        self._counts[answer.state] += 1
        self._latency_ns += end - start
        taken = answer.state is SubmissionState.ACKNOWLEDGED
        return Submission(
            opportunity_id=bundle.opportunity_id,
            relay=self.name,
            state=answer.state,
            bundle_hash=_bundle_hash(answer.result) if taken else "",
            reason=answer.reason,
            latency_ns=end - start,
            at_ns=end,
        )

    async def call(
        self,
        txs: Sequence[bytes],
        *,
        block_number: int,
        state_block: int | None = None,
        timestamp: int | None = None,
    ) -> Any:
        """Let the relay simulate transactions by `eth_callBundle`; returns its result as it is.

        Args:
            txs: signed transactions, in order.
            block_number: the number of the simulated block.
            state_block: the block whose state it builds on; the relay's latest when left out.
            timestamp: of the simulated block, in seconds; the relay's choice when left out.

        Raises:
            Rejected: the relay refused.
            Unresolved: it did not answer.
        """
        params: dict[str, Any] = {
            "txs": _hex_all(txs),
            "blockNumber": hex(block_number),
            "stateBlockNumber": "latest" if state_block is None else hex(state_block),
        }
        if timestamp is not None:
            params["timestamp"] = timestamp
        return self._demand(await self._request("eth_callBundle", params), "eth_callBundle")

    async def cancel(self, replacement_uuid: str) -> None:
        """Cancel by `eth_cancelBundle`."""
        params = {"replacementUuid": replacement_uuid}
        self._demand(await self._request("eth_cancelBundle", params), "eth_cancelBundle")

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def statistics(self) -> RelayStatistics:
        """Return the counts so far."""
        return RelayStatistics(
            acknowledged=self._counts[SubmissionState.ACKNOWLEDGED],
            rejected=self._counts[SubmissionState.REJECTED],
            unresolved=self._counts[SubmissionState.UNRESOLVED],
            latency_ns_total=self._latency_ns,
        )

    def _bundle_params(self, bundle: SignedBundle) -> dict[str, Any]:
        params: dict[str, Any] = {
            "txs": _hex_all(bundle.txs),
            "blockNumber": hex(bundle.target_block),
        }
        if bundle.replacement_uuid:
            params["replacementUuid"] = bundle.replacement_uuid
        if self._builders:
            params["builders"] = self._builders
        return params

    def _demand(self, answer: _Answer, method: str) -> Any:
        if answer.state is SubmissionState.REJECTED:
            raise Rejected(f"relay {self.name} refused {method}: {answer.reason}")
        if answer.state is SubmissionState.UNRESOLVED:
            raise Unresolved(f"relay {self.name} left {method} unanswered: {answer.reason}")
        return answer.result

    async def _request(self, method: str, params: dict[str, Any]) -> _Answer:
        self._last_id += 1
        # The order of the keys is the reference client's; the signature is over these very bytes.
        body = orjson.dumps(
            {"method": method, "params": [params], "id": self._last_id, "jsonrpc": "2.0"}
        )
        signature = await self.auth.sign_personal("0x" + keccak256(body).hex())
        headers = {
            "Content-Type": "application/json",
            "X-Flashbots-Signature": f"{self._sender}:{signature}",
        }
        answer = await self._post(body, headers)
        if answer.state is not SubmissionState.ACKNOWLEDGED:
            _log.warning("relay_did_not_take", relay=self.name, method=method, reason=answer.reason)
        return answer

    async def _post(self, body: bytes, headers: dict[str, str]) -> _Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                return _judge(response.status, await _bounded(response.content))
        except aiohttp.ClientConnectorError as error:
            # No connection, so no byte left.
            return _no(f"not sent: {error.os_error.strerror or type(error).__name__}")
        except aiohttp.InvalidURL:
            return _no("not sent: the relay's address is not valid")
        except TimeoutError:
            return _unknown(f"no answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return _unknown(f"the connection was lost: {type(error).__name__}")


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in stream.iter_any():
        size += len(part)
        if size > _MOST_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError
        parts.append(part)
    return b"".join(parts)


def _judge(status: int, body: bytes) -> _Answer:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    said = _sentence(error) if error is not None else ""
    if status >= 500 or status == _REQUEST_TIMEOUT:
        return _unknown(f"HTTP {status}{': ' + said if said else ''}")
    if status >= 300:
        return _no(f"HTTP {status}{': ' + said if said else ''}")
    if not isinstance(answer, dict):
        return _unknown("the answer is not a JSON object")
    if error is not None:
        return _no(said)
    if "result" not in answer:
        return _unknown("the answer has neither result nor error")
    return _Answer(SubmissionState.ACKNOWLEDGED, answer["result"], "")


def _sentence(error: Any) -> str:
    """Read an error that relays send as text or as an object; keep it short and on one line."""
    text = error.get("message", error) if isinstance(error, dict) else error
    plain = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return plain[:_MOST_REASON_CHARS] or "refused without a reason"


def _bundle_hash(result: Any) -> str:
    value = result.get("bundleHash") if isinstance(result, dict) else result
    return value[:_MOST_REASON_CHARS] if isinstance(value, str) else ""


def _hex_all(txs: Sequence[bytes]) -> list[str]:
    return ["0x" + tx.hex() for tx in txs]


def _no(reason: str) -> _Answer:
    return _Answer(SubmissionState.REJECTED, None, reason)


def _unknown(reason: str) -> _Answer:
    return _Answer(SubmissionState.UNRESOLVED, None, reason)


PLUGIN = FlashbotsRelay
