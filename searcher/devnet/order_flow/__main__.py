"""The order flow of one chain as a process: `python -m searcher.devnet.order_flow MANIFEST SEED`.

It prints one line when it listens, follows the heads, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import structlog
import uvloop

from searcher.chains.rpc import RpcClient
from searcher.devnet.manifest import Manifest, load
from searcher.devnet.order_flow.rival import Rival
from searcher.devnet.order_flow.surroundings import BulkDemand, Oracle
from searcher.devnet.order_flow.users import UserPlan, Users
from searcher.domain.errors import Retryable

_log: Final = structlog.get_logger(__name__)
_ORACLE_AFTER: Final = 0.1
_WATCHED: Final[dict[str, list[Any]]] = {
    "newHeads": ["newHeads"],
    "newPendingTransactions": ["newPendingTransactions", True],
}


class OrderFlow:
    """Everybody on one chain.

    Args:
        rpc: the builder, as a node.
        manifest: the chain.
        seed: decides who wants what.
        session: for subscriptions and the relay.
    """

    def __init__(
        self, rpc: RpcClient, manifest: Manifest, seed: int, session: aiohttp.ClientSession
    ) -> None:
        self._manifest = manifest
        self._session = session
        self._plan = UserPlan(seed)
        self._users = Users(rpc, manifest)
        self._oracle = Oracle(rpc, manifest, seed)
        self._bulk = BulkDemand(rpc, manifest)
        self._rival = Rival(rpc, manifest, seed, session)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the chain until cancelled."""
        async for kind, message in self._events():
            if kind == "newHeads":
                self._start(self._rival.on_head(message))
                self._start(self._bulk.renew(int(message["gasLimit"], 16)))
                self._trade(message)
            else:
                self._start(self._rival.on_pending(message))

    def _trade(self, header: dict[str, Any]) -> None:
        block = int(header["number"], 16) - self._manifest.first_block
        base_fee_wei = int(header["baseFeePerGas"], 16)
        interval = self._manifest.block_time_ms / 1_000
        for swap in self._plan.swaps(block):
            self._start(
                _after(swap.after * interval, partial(self._users.send, swap, base_fee_wei))
            )
        report = partial(self._oracle.report, block, base_fee_wei)
        self._start(_after(_ORACLE_AFTER * interval, report))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Return heads and public pending transactions as they come."""
        async with self._session.ws_connect(self._manifest.ws_url, max_msg_size=0) as socket:
            kinds: dict[str, str] = {}
            for kind, parameters in _WATCHED.items():
                request = {"jsonrpc": "2.0", "id": kind, "method": "eth_subscribe"}
                await socket.send_bytes(orjson.dumps({**request, "params": parameters}))
            async for message in socket:
                event = orjson.loads(message.data)
                if "id" in event:
                    kinds[event["result"]] = event["id"]
                    if len(kinds) == len(_WATCHED):
                        sys.stdout.write("following\n")
                        sys.stdout.flush()
                    continue
                notice = event["params"]
                yield kinds[notice["subscription"]], notice["result"]


async def _after(seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(seconds)
    await work()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    """Run one piece of work; a passing failure of the chain costs that piece only."""
    try:
        await work
    except (Retryable, aiohttp.ClientError) as error:
        _log.warning("order_flow_skipped", error=str(error))


async def main(manifest_path: str, seed: str) -> None:
    """Run until SIGTERM or SIGINT, or until the chain is gone."""
    manifest = load(Path(manifest_path))
    async with (
        RpcClient(manifest.http_url) as rpc,
        aiohttp.ClientSession() as session,
    ):
        running = asyncio.create_task(OrderFlow(rpc, manifest, int(seed), session).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
