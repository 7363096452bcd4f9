"""JSON-RPC over one kept connection, and the few ABI words that the proof needs."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
from eth_utils.crypto import keccak

BATCH = 200
WORD = 64
# An account that nobody uses: it stands in where a trial needs a party without a past.
NOBODY = "0x00000000000000000000000000000000005e1fc4"


class NodeFault(Exception):
    """The node did not answer, or answered with an error; the message says which call."""


class Node:
    """One chain's node, asked synchronously: a proof has no hurry that threads would serve."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NodeFault(f"'{url}' is no node address: write http://host:port.")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self.url = url
        self.calls = 0
        self._path = parts.path or "/"
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def call(self, method: str, *params: Any) -> Any:
        """Ask one question; an error answer raises NodeFault."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Ask many questions, answered in their order; the first error answer raises NodeFault."""
        results = []
        for (method, params), answer in zip(calls, self._answers(calls), strict=True):
            if "error" in answer or "result" not in answer:
                shown = orjson.dumps(answer.get("error")).decode()
                asked = orjson.dumps(list(params)).decode()[:200]
                raise NodeFault(f"{self.url} answered {method} {asked} with {shown}.")
            results.append(answer["result"])
        return results

    def attempt(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Ask many questions, of which some may rightly be refused: those are answered None."""
        return [answer.get("result") for answer in self._answers(calls)]

    def _answers(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(calls), BATCH):
            yield from self._post(calls[start : start + BATCH])

    def _post(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        body = orjson.dumps(
            [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
                for i, (method, params) in enumerate(calls)
            ]
        )
        self.calls += len(calls)
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            text = response.read()
            answers = orjson.loads(text)
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            self._connection.close()
            raise NodeFault(f"{self.url} gave no answer to {calls[0][0]}: {error!r}.") from error
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise NodeFault(f"{self.url} answered a batch of {len(calls)} with {text[:200]!r}.")
        return sorted(answers, key=lambda a: int(a["id"]))


def topic(signature: str) -> str:
    """Give an event's first topic."""
    return "0x" + keccak(text=signature).hex()


def calldata(signature: str, *words: int) -> str:
    """Encode a call whose arguments are single words; a negative one in two's complement."""
    selector = keccak(text=signature)[:4].hex()
    return "0x" + selector + "".join(f"{word % (1 << 256):064x}" for word in words)


def words(data: str) -> list[int]:
    """Split returned or logged data into unsigned 256-bit words."""
    text = data.removeprefix("0x")
    return [int(text[i : i + WORD], 16) for i in range(0, len(text) // WORD * WORD, WORD)]


def signed(word: int) -> int:
    """Read a word as a signed integer (any intN is sign-extended to 256 bits)."""
    return word - (1 << 256) if word >> 255 else word


def address_of(word: int | str) -> str:
    """Read an address from a word or a topic, in lower case."""
    value = int(word, 16) if isinstance(word, str) else word
    return f"0x{value % (1 << 160):040x}"


def view(to: str, signature: str, *arguments: int) -> dict[str, str]:
    """Give the transaction object of a read."""
    return {"to": to, "data": calldata(signature, *arguments)}


def in_order(logs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Sort logs as the chain emitted them."""
    return iter(sorted(logs, key=lambda g: (int(g["blockNumber"], 16), int(g["logIndex"], 16))))
