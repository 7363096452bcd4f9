"""The pending transactions that the chain's own node announces."""

from __future__ import annotations

import asyncio
from typing import cast

from searcher.chains.rpc import RpcFault
from searcher.chains.stream import PendingFrame
from searcher.domain.errors import Rejected, Retryable
from searcher.domain.settings import Settings, knob
from searcher.mempool.source import Inlet, Source


class NodePending(Source):
    """Delivers announced bodies at once, and asks for those that are announced by hash alone.

    Hashes that wait are asked for together in one request. A transaction that the node no longer
    has, or an answer that does not come, is lost and counted: by the time of a second attempt it
    would be too late for it.
    """

    class Config(Settings):
        """The knobs of this source."""

        batch: int = knob(
            64, why="hashes asked for in one request", unit="transactions", ge=1, le=1000
        )

    async def run(self, inlet: Inlet) -> None:
        """Deliver what the node announces, until cancelled."""
        pending = self._parts.pending
        while True:
            await pending.wait()
            hashes: list[PendingFrame] = []
            while len(pending) and len(hashes) < cast("NodePending.Config", self._config).batch:
                frame = pending.get_nowait()
                if isinstance(frame.body, str):
                    hashes.append(frame)
                else:
                    inlet.offer(frame.body, frame.received_ns)
                    await asyncio.sleep(0)  # a burst must not hold up the next head
            wanted = [frame for frame in hashes if not inlet.known(str(frame.body).lower())]
            if wanted:
                await self._ask(inlet, wanted)

    async def _ask(self, inlet: Inlet, frames: list[PendingFrame]) -> None:
        calls = [("eth_getTransactionByHash", [frame.body]) for frame in frames]
        try:
            bodies = await self._parts.rpc.batch_settled(calls)
        except (Retryable, Rejected):
            inlet.lose("no_answer", len(frames))
            return
        for frame, body in zip(frames, bodies, strict=True):
            if body is None:
                inlet.lose("gone")
            elif isinstance(body, RpcFault) or not isinstance(body, dict):
                inlet.lose("no_body")
            else:
                inlet.offer(body, frame.received_ns)


PLUGIN = NodePending
