"""What became of each bundle: the chain's own answer, block by block.

The evidence is the sender's nonce in the state of the applied block. Not consumed: nothing of that
nonce has landed. Consumed: one of the bundles that share it landed, and its receipt says which. No
answer, or one that does not fit, is no evidence: the bundle stays unresolved and is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken, Retryable, SearcherError
from searcher.domain.events import BlockApplied, BlockRef, ChainReorganised
from searcher.domain.plan import (
    Outcome,
    OutcomeKind,
    Plan,
    SignedBundle,
    Submission,
    SubmissionState,
)
from searcher.domain.ports import Journal
from searcher.domain.units import Address, Hash32
from searcher.risk.gate import RiskGate
from searcher.submission.nonces import NonceLanes
from searcher.submission.post_mortem import why_not
from searcher.submission.receipts import Receipt, parse_receipt, realised

MOST_ALTERNATIVES: Final = 256
"""Bundles without inclusion that are still watched for, per nonce."""

_log = structlog.get_logger(__name__)


class Node(Protocol):
    """What the watcher needs of a chain's node."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of a JSON-RPC call; raises a `SearcherError` when there is none."""

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return results, or the node's refusals, in order; raises when there is no answer."""


class OpenBundle(Struct, frozen=True):
    """A bundle of an earlier run that is not final yet, with the journal of that run."""

    plan: Plan
    bundle: SignedBundle
    submissions: tuple[Submission, ...]
    outcome: Outcome | None
    journal: Journal


class InclusionStatistics(Struct, frozen=True):
    """Bundles being watched, the outcomes said so far by kind, and answers that told nothing."""

    watched: int
    outcomes: dict[str, int]
    unanswered: int


class _Watched:
    """A bundle, its answers, and the last outcome that was said of it."""

    def __init__(self, plan: Plan, bundle: SignedBundle, journal: Journal) -> None:
        self.plan = plan
        self.bundle = bundle
        self.journal = journal
        self.submissions: tuple[Submission, ...] = ()
        self.outcome: Outcome | None = None

    @property
    def open(self) -> bool:
        return self.outcome is None or self.outcome.kind is OutcomeKind.UNRESOLVED

    @property
    def landed(self) -> bool:
        return self.outcome is not None and self.outcome.kind is OutcomeKind.LANDED


class _Group:
    """The bundles that share a sender's nonce: alternatives, of which at most one can land."""

    def __init__(self, sender: Address, nonce: int) -> None:
        self.sender = sender
        self.nonce = nonce
        self.members: dict[Hash32, _Watched] = {}
        self.consumed_at: int | None = None

    @property
    def winner(self) -> _Watched | None:
        return next((m for m in self.members.values() if m.landed), None)

    def due(self, number: int) -> list[_Watched]:
        """Return the open bundles whose target block has come."""
        members = self.members.values()
        return [m for m in members if m.open and m.bundle.target_block <= number]


class InclusionWatcher:
    """Follows every bundle from its intent until its outcome is final.

    It writes each outcome to the journal first, and then tells the risk gate and the lanes. It is
    driven by one task, in the chain's order: `on_block` and `on_reorg`.

    Args:
        node: the chain's node.
        lanes: the operators' nonces.
        gate: the chain's risk gate.
        journal: where outcomes go.
        clock: stamps the outcomes.
        wrapped_native: the token in which gross is counted.
        final_after_blocks: how many blocks on top make an outcome final.
    """

    def __init__(
        self,
        *,
        node: Node,
        lanes: NonceLanes,
        gate: RiskGate,
        journal: Journal,
        clock: Clock,
        wrapped_native: Address,
        final_after_blocks: int,
    ) -> None:
        self._node = node
        self._lanes = lanes
        self._gate = gate
        self._journal = journal
        self._clock = clock
        self._wrapped_native = wrapped_native
        self._final_after = final_after_blocks
        self._groups: dict[tuple[Address, int], _Group] = {}
        self._hashes: dict[int, Hash32] = {}
        self._counts = dict.fromkeys(OutcomeKind, 0)
        self._unanswered = 0
        self._broken: list[str] = []
        self._told: dict[Address, int] = {}

    async def start(self, head: BlockRef, left_open: Sequence[OpenBundle] = ()) -> None:
        """Learn the chain's nonces, and take over what an earlier run left open.

        Raises:
            Retryable: the node did not tell a nonce; nothing may be claimed.
            InvariantBroken: what was left open does not fit the configured operators.
        """
        nonces = await self._nonces(head, self._lanes.addresses)
        if len(nonces) < len(self._lanes.addresses):
            raise Retryable(
                f"the node did not tell the operators' nonces in block {head.number}: ask again"
            )
        self._lanes.reconcile(nonces, head.number)
        for left in left_open:
            watched = self._watch(left.plan, left.bundle, left.journal)
            watched.submissions, watched.outcome = left.submissions, left.outcome
            if watched.open:
                self._lanes.adopt(
                    left.bundle.sender,
                    nonce=left.bundle.nonce,
                    target_block=left.bundle.target_block,
                    opportunity_id=left.bundle.opportunity_id,
                )

    def track(self, plan: Plan, bundle: SignedBundle) -> None:
        """Follow a bundle from before its first byte leaves."""
        self._watch(plan, bundle, self._journal)

    def follows(self, bundle: SignedBundle) -> bool:
        """Return whether this very transaction is followed already, such as one of an earlier run.

        Sending it again would have one transaction landed twice in the ledger.
        """
        group = self._groups.get((bundle.sender, bundle.nonce))
        return group is not None and bundle.own_hash in group.members

    async def answered(self, bundle: SignedBundle, submissions: Sequence[Submission]) -> None:
        """Take the relays' answers; when all of them refused, the bundle is rejected."""
        group = self._groups.get((bundle.sender, bundle.nonce))
        watched = group.members.get(bundle.own_hash) if group is not None else None
        if watched is None:
            return
        watched.submissions = tuple(submissions)
        refused = all(s.state is SubmissionState.REJECTED for s in submissions)
        if refused and watched.open:
            said = "; ".join(f"{s.relay}: {s.reason}" for s in submissions)
            await self._dismiss(watched, OutcomeKind.REJECTED, f"every relay refused: {said}")

    async def on_block(self, block: BlockApplied) -> None:
        """Learn from one request which lanes are free again; `settle` then says what became of all.

        A plan whose target block is over with its nonce unconsumed is void: its lane can be claimed
        before its outcome is written, and both its last block and its nonce keep it from landing.
        """
        head = block.header.ref
        self._hashes[head.number] = head.hash
        self._hashes.pop(head.number - 256, None)
        senders = {*self._lanes.addresses, *(sender for sender, _ in self._groups)}
        self._told = await self._nonces(head, sorted(senders))
        for group in self._groups.values():
            if self._told.get(group.sender, group.nonce + 1) <= group.nonce:
                for watched in group.due(head.number):
                    self._lanes.void(group.sender, group.nonce, watched.bundle.opportunity_id)
        self._lanes.reconcile(self._told, head.number)

    async def settle(self, block: BlockApplied) -> None:
        """Say what the block that `on_block` took last tells about the bundles that are watched.

        Raises:
            InvariantBroken: a plan realised something else than was recorded before it was sent.
        """
        nonces = self._told
        await _all(
            self._review(group, nonces.get(group.sender), block)
            for group in list(self._groups.values())
        )
        self._raise_broken()

    async def on_reorg(self, event: ChainReorganised) -> None:
        """Take back what landed in a block that is no longer there, and learn the nonces anew.

        A nonce that the node does not tell stays unclaimable until a block has told it.
        """
        self._hashes.clear()
        self._hashes[event.head.number] = event.head.hash
        self._lanes.reorganised()
        for group in list(self._groups.values()):
            group.consumed_at = None
            winner = group.winner
            if winner is not None and not await self._still_there(winner):
                await self._reopen(winner, f"a reorg to block {event.head.number} took it back")
        nonces = await self._nonces(event.head.ref, self._lanes.addresses)
        self._lanes.reconcile(nonces, event.head.number)

    async def close(self) -> None:
        """Record every bundle that has no outcome yet as unresolved: the next run takes it up."""
        for group in list(self._groups.values()):
            for watched in list(group.members.values()):
                if watched.outcome is None:
                    await self._doubt(watched, "the daemon stopped before its block was seen")

    def statistics(self) -> InclusionStatistics:
        """Return the counts so far."""
        watched = sum(len(group.members) for group in self._groups.values())
        outcomes = {kind.value: count for kind, count in self._counts.items() if count}
        return InclusionStatistics(watched, outcomes, self._unanswered)

    def _watch(self, plan: Plan, bundle: SignedBundle, journal: Journal) -> _Watched:
        key = (bundle.sender, bundle.nonce)
        group = self._groups.setdefault(key, _Group(*key))
        return group.members.setdefault(bundle.own_hash, _Watched(plan, bundle, journal))

    async def _review(self, group: _Group, chain_nonce: int | None, block: BlockApplied) -> None:
        number = block.header.number
        if chain_nonce is None:
            for watched in group.due(number):
                await self._doubt(watched, "the node did not tell the operator's nonce")
        elif chain_nonce <= group.nonce:
            if group.winner is not None:
                await self._reopen(group.winner, f"its nonce is free again in block {number}")
            for watched in group.due(number):
                reason = await self._why_not(watched, block)
                if watched.open:
                    await self._dismiss(watched, OutcomeKind.NOT_LANDED, reason)
            await self._let_go_of_old(group)
        else:
            await self._review_consumed(group, number)

    async def _review_consumed(self, group: _Group, number: int) -> None:
        if group.consumed_at is None:
            group.consumed_at = number
        winner = group.winner or await self._find_winner(group, number)
        if winner is not None:
            await self._settle_beside(group, winner, number)
        elif number - group.consumed_at >= self._final_after:
            reason = f"nonce {group.nonce} went to a transaction that is not of this ledger"
            await self._finish(group, reason)
        else:
            for watched in group.due(number):
                await self._doubt(watched, "its nonce is consumed, and the node has no receipt yet")

    async def _find_winner(self, group: _Group, number: int) -> _Watched | None:
        # What is open comes first: what was dismissed lands only when its bytes leaked.
        members = list(group.members.values())
        for some in ([m for m in members if m.open], [m for m in members if not m.open]):
            receipts = await asyncio.gather(*map(self._receipt, some))
            for watched, receipt in zip(some, receipts, strict=True):
                if receipt is not None and self._fits(receipt, number):
                    await self._land(watched, receipt)
                    return watched
        return None

    async def _settle_beside(self, group: _Group, winner: _Watched, number: int) -> None:
        for watched in list(group.members.values()):
            if watched.open:
                reason = f"nonce {group.nonce} went to {winner.bundle.opportunity_id} instead"
                await self._dismiss(watched, OutcomeKind.NOT_LANDED, reason)
        assert winner.outcome is not None
        assert winner.outcome.block is not None
        if number - winner.outcome.block.number < self._final_after:
            return
        if await self._still_there(winner):
            await self._finish(group, "")
        else:
            await self._reopen(winner, "the node has no receipt of it any more")

    async def _let_go_of_old(self, group: _Group) -> None:
        """Bound what an operator that never lands keeps in memory.

        Each of these would need to have leaked, and could only revert: its last block is over.
        """
        dismissed = [m for m in group.members.values() if not m.open]
        for watched in dismissed[: max(0, len(dismissed) - MOST_ALTERNATIVES)]:
            await self._finalise(watched, "")
            del group.members[watched.bundle.own_hash]

    async def _finish(self, group: _Group, reason: str) -> None:
        """Make the last outcome of every member final, and stop watching them."""
        await _all(self._finalise(watched, reason) for watched in list(group.members.values()))
        del self._groups[group.sender, group.nonce]

    async def _finalise(self, watched: _Watched, reason: str) -> None:
        last = watched.outcome
        if last is None or last.kind is OutcomeKind.UNRESOLVED:
            await self._dismiss(watched, OutcomeKind.NOT_LANDED, reason, final=True)
        elif not last.final:
            now_ns = self._clock.monotonic_ns()
            await self._say(watched, replace(last, final=True, at_ns=now_ns))

    async def _land(self, watched: _Watched, receipt: Receipt) -> None:
        plan, bundle = watched.plan, watched.bundle
        reason, profit_wei = "reverted", -receipt.gas_cost_wei
        if receipt.succeeded:
            gross_wei = plan.opportunity.gross_wei
            profit_wei = gross_wei - bundle.bid_wei - receipt.gas_cost_wei
            reason = self._check_realised(watched, receipt)
        await self._say(
            watched,
            Outcome(
                opportunity_id=bundle.opportunity_id,
                kind=OutcomeKind.LANDED,
                reason=reason,
                block=receipt.block,
                gas_used=receipt.gas_used,
                effective_gas_price_wei=receipt.effective_gas_price_wei,
                profit_wei=profit_wei,
                final=False,
                at_ns=self._clock.monotonic_ns(),
            ),
        )
        self._lanes.consumed(bundle.sender, bundle.nonce, receipt.block.number)

    def _check_realised(self, watched: _Watched, receipt: Receipt) -> str:
        recorded = (watched.plan.opportunity.gross_wei, watched.bundle.bid_wei)
        found = realised(
            receipt.logs, executor=watched.plan.executor, wrapped_native=self._wrapped_native
        )
        if (found.gross_wei, found.bid_wei) == recorded:
            return ""
        reason = (
            f"realised {found.gross_wei} wei and paid a bid of {found.bid_wei} wei, recorded were "
            f"{recorded[0]} and {recorded[1]}"
        )
        self._gate.pause("inexact", f"{watched.bundle.opportunity_id} {reason}")
        self._broken.append(f"{watched.bundle.opportunity_id} {reason}")
        return reason

    async def _reopen(self, watched: _Watched, reason: str) -> None:
        bundle = watched.bundle
        self._lanes.reopen(
            bundle.sender,
            nonce=bundle.nonce,
            target_block=bundle.target_block,
            opportunity_id=bundle.opportunity_id,
        )
        await self._say(watched, self._empty(watched, OutcomeKind.UNRESOLVED, reason, final=False))

    async def _doubt(self, watched: _Watched, reason: str) -> None:
        self._unanswered += 1
        if watched.outcome is None:
            outcome = self._empty(watched, OutcomeKind.UNRESOLVED, reason, final=False)
            await self._say(watched, outcome)

    async def _dismiss(
        self, watched: _Watched, kind: OutcomeKind, reason: str, *, final: bool = False
    ) -> None:
        await self._say(watched, self._empty(watched, kind, reason, final=final))
        bundle = watched.bundle
        self._lanes.void(bundle.sender, bundle.nonce, bundle.opportunity_id)

    def _empty(self, watched: _Watched, kind: OutcomeKind, reason: str, *, final: bool) -> Outcome:
        return Outcome(
            opportunity_id=watched.bundle.opportunity_id,
            kind=kind,
            reason=reason,
            block=None,
            gas_used=0,
            effective_gas_price_wei=0,
            profit_wei=0,
            final=final,
            at_ns=self._clock.monotonic_ns(),
        )

    async def _say(self, watched: _Watched, outcome: Outcome) -> None:
        """Record an outcome; only what is recorded counts."""
        await watched.journal.ended(outcome)
        watched.outcome = outcome
        self._counts[outcome.kind] += 1
        self._gate.settle(outcome)
        _log.info(
            "bundle_outcome",
            opportunity=outcome.opportunity_id,
            kind=outcome.kind.value,
            reason=outcome.reason,
            profit_wei=str(outcome.profit_wei),
            final=outcome.final,
        )

    async def _why_not(self, watched: _Watched, block: BlockApplied) -> str:
        return await why_not(
            self._node.call,
            watched.plan,
            watched.submissions,
            block_hash=self._hashes.get(watched.bundle.target_block),
            block=block,
        )

    def _fits(self, receipt: Receipt, number: int) -> bool:
        known = self._hashes.get(receipt.block.number, receipt.block.hash)
        return receipt.block.number <= number and receipt.block.hash == known

    async def _still_there(self, watched: _Watched) -> bool:
        receipt = await self._receipt(watched)
        assert watched.outcome is not None
        return receipt is not None and receipt.block == watched.outcome.block

    async def _receipt(self, watched: _Watched) -> Receipt | None:
        """Return the receipt of our transaction; None when the node shows none or no sound one."""
        try:
            answer = await self._node.call("eth_getTransactionReceipt", [watched.bundle.own_hash])
            return None if answer is None else parse_receipt(answer)
        except (SearcherError, ValueError) as error:
            self._unanswered += 1
            _log.warning("receipt_unanswered", hash=watched.bundle.own_hash, error=str(error))
            return None

    async def _nonces(self, at: BlockRef, senders: Sequence[Address]) -> dict[Address, int]:
        """Return the nonces in the state of `at`, of the senders that the node told."""
        # By hash (EIP-1898), so that a node that is behind or on another branch says so.
        block = {"blockHash": at.hash}
        asked = [("eth_getTransactionCount", [sender, block]) for sender in senders]
        try:
            answers = await self._node.batch_settled(asked)
        except SearcherError as error:
            answers = [error] * len(asked)
        nonces: dict[Address, int] = {}
        for sender, answer in zip(senders, answers, strict=True):
            if isinstance(answer, str) and answer.startswith("0x"):
                nonces[sender] = int(answer, 16)
            else:
                _log.warning("nonce_unanswered", sender=sender, block=at.number, error=str(answer))
        return nonces

    def _raise_broken(self) -> None:
        if self._broken:
            broken, self._broken = self._broken, []
            raise InvariantBroken(
                f"{'; '.join(broken)}: trading stops; compare the plan with its receipt"
            )


async def _all(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run steps side by side to their ends, and only then raise the first fault."""
    for answer in await asyncio.gather(*steps, return_exceptions=True):
        if answer is not None:
            raise answer
