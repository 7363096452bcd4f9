"""The base of every relay: it takes a bundle and says what its answer means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.plan import SignedBundle, Submission
from searcher.domain.settings import Settings
from searcher.submission.signer import Signer


class RelayStatistics(Struct, frozen=True):
    """Counts since the start; every bundle sent is in exactly one of the three states."""

    acknowledged: int
    rejected: int
    unresolved: int
    latency_ns_total: int


class Relay(ABC):
    """A service that takes bundles.

    A plug-in's constructor takes the arguments below.

    Args:
        name: its name in config; the only way in which messages name it, because an address may
            carry a credential.
        config: its own settings.
        auth: signs requests; an identity that needs no funds.
        clock: measures latencies.
    """

    Config: ClassVar[type[Settings]]

    def __init__(self, name: str, config: Settings, *, auth: Signer, clock: Clock) -> None:
        self.name = name
        self.config = config
        self.auth = auth
        self.clock = clock

    @abstractmethod
    async def send(self, bundle: SignedBundle) -> Submission:
        """Give the bundle to the relay and tell what its answer means.

        Never raises for what the other side does. ACKNOWLEDGED: it took the bundle. REJECTED: it
        refused, or no byte reached it. UNRESOLVED: bytes left and no answer says what became of
        them.
        """

    @abstractmethod
    async def cancel(self, replacement_uuid: str) -> None:
        """Ask the relay to drop the bundles sent under `replacement_uuid`.

        A cancelled bundle may still land: the chain decides.

        Raises:
            Rejected: the relay refused.
            Unresolved: no answer says whether it took effect.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    @abstractmethod
    def statistics(self) -> RelayStatistics:
        """Return the counts so far."""
