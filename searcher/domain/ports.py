"""What a stage needs from a later one, as protocols; the daemon injects the real thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from searcher.domain.events import BlockRef
from searcher.domain.plan import (
    Decision,
    Opportunity,
    Outcome,
    Plan,
    SignedBundle,
    Submission,
    Verdict,
)
from searcher.domain.units import Address


class TokenProof(Struct, frozen=True):
    """Whether a token moves at face value; `reason` says why not."""

    token: Address
    sound: bool
    reason: str


class TokenProver(Protocol):
    """Proves by simulation that a token's transfers deliver what they name."""

    async def prove(
        self, tokens: Sequence[tuple[Address, Address]], parent: BlockRef
    ) -> list[TokenProof]:
        """Prove each (token, a pool that holds it) on the state of `parent`, in order."""


class Journal(Protocol):
    """The ledger, as the pipeline writes it. Each call returns when the write survives the process.

    The intent (`intend`) is written before any byte leaves the process.
    """

    async def found(self, opportunity: Opportunity) -> None:
        """Record an opportunity."""

    async def planned(self, plan: Plan) -> None:
        """Record the plan made of it."""

    async def judged(self, verdict: Verdict) -> None:
        """Record the simulation's verdict."""

    async def decided(self, decision: Decision) -> None:
        """Record risk's decision."""

    async def intend(self, bundle: SignedBundle) -> None:
        """Record what is about to be sent."""

    async def submitted(self, submission: Submission) -> None:
        """Record a relay's answer."""

    async def ended(self, outcome: Outcome) -> None:
        """Record an outcome; a later one for the same opportunity replaces it, keeping both."""
