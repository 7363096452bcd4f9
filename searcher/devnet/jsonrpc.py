"""JSON-RPC answers, as both faces of the builder give them."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NOT_FOUND: Final = -32601
INVALID_PARAMETERS: Final = -32602
INTERNAL: Final = -32603
REFUSED: Final = -32000


def succeeded(identifier: Any, result: Any) -> dict[str, Any]:
    """Return the answer of a call that worked."""
    return {"jsonrpc": "2.0", "id": identifier, "result": result}


def failed(identifier: Any, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """Return the answer of a call that did not."""
    error = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": identifier, "error": error}


def response(answer: Any) -> web.Response:
    """Return an answer, or a batch of them, as HTTP."""
    return web.Response(body=orjson.dumps(answer), content_type="application/json")
