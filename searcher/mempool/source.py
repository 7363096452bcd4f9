"""What a source of pending transactions is, and where it delivers to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from searcher.chains.channel import Channel
from searcher.chains.rpc import RpcClient
from searcher.chains.stream import PendingFrame
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings


class Inlet(Protocol):
    """Where a source delivers: `PendingFeed` is one. Each call accounts for what it is given."""

    def offer(self, body: Mapping[str, Any], received_ns: int) -> None:
        """Take a transaction's JSON."""

    def known(self, tx_hash: str) -> bool:
        """Return whether a transaction was seen before; then it is counted as a duplicate."""

    def lose(self, cause: str, count: int = 1) -> None:
        """Account for announcements that never became a body."""


class SourceParts(Struct, frozen=True):
    """What the chain's node offers to a source."""

    rpc: RpcClient
    pending: Channel[PendingFrame]


class Source(ABC):
    """A stream of pending transactions; one file in `searcher.mempool.sources` per kind.

    Args:
        config: the source's own knobs.
        parts: the chain's node.
    """

    class Config(Settings):
        """A source's knobs; none unless it says so."""

    def __init__(self, config: Settings, parts: SourceParts) -> None:
        self._config = config
        self._parts = parts

    @abstractmethod
    async def run(self, inlet: Inlet) -> None:
        """Deliver what comes, until cancelled."""


def sources() -> Registry[Source]:
    """Return the registry of `searcher.mempool.sources`."""
    return Registry("searcher.mempool.sources", Source)
