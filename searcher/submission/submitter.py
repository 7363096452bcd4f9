"""From a proved plan to signed bytes, and from there to every relay at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken
from searcher.domain.events import BlockContext
from searcher.domain.plan import Plan, SignedBundle, Submission, SubmissionState, Verdict
from searcher.domain.ports import Journal
from searcher.domain.units import Hash32
from searcher.submission.inclusion import InclusionWatcher
from searcher.submission.nonces import Claim, NonceLanes
from searcher.submission.relay import Relay
from searcher.submission.transactions import DynamicFeeTransaction

_MOST_BUNDLE_BYTES: Final = 300_000
"""What Flashbots' relay takes (its documentation, rate limits)."""

_log = structlog.get_logger(__name__)

WithBid = Callable[[Plan, int], bytes]
"""Returns a plan's calldata with its bid word set; the executor's encoder."""


class SubmitterStatistics(Struct, frozen=True):
    """Bundles made ready and sent, and the time that making took.

    `without_lane` plans could claim no nonce; `twins` would have been the very transaction of
    another opportunity, or of the run before.
    """

    ready: int
    sent: int
    without_lane: int
    twins: int
    discarded: int
    bundle_ready_ns_total: int


class Submitter:
    """Signs plans and gives them to the relays of one chain.

    Args:
        chain_id: what the signature binds the transaction to.
        lanes: the operators' nonces.
        relays: every bundle goes to all of them.
        journal: the intent is written to it before any byte leaves.
        watcher: follows each bundle from before it leaves.
        clock: stamps and measures.
        with_bid: sets the bid in a plan's calldata.
    """

    def __init__(
        self,
        *,
        chain_id: int,
        lanes: NonceLanes,
        relays: Sequence[Relay],
        journal: Journal,
        watcher: InclusionWatcher,
        clock: Clock,
        with_bid: WithBid,
    ) -> None:
        if not relays:
            raise ValueError("a submitter needs at least one relay")
        self._chain_id = chain_id
        self._lanes = lanes
        self._relays = tuple(relays)
        self._journal = journal
        self._watcher = watcher
        self._clock = clock
        self._with_bid = with_bid
        self._ready = self._sent = self._without_lane = self._twins = self._discarded = 0
        self._signed: dict[Hash32, int] = {}  # transaction -> its target block
        self._ready_ns = 0

    async def prepare(
        self,
        plan: Plan,
        verdict: Verdict,
        *,
        context: BlockContext,
        bid_wei: int,
        gas_limit: int,
        max_fee_wei: int,
        priority_fee_wei: int,
    ) -> SignedBundle | None:
        """Claim a lane, set the bid and sign.

        None when no lane can be claimed, and when the same route was found twice, so that the
        transaction would be that of another opportunity.

        Args:
            plan: what was proved.
            verdict: its proof.
            context: the target block's environment.
            bid_wei: what the plan pays the builder.
            gas_limit: at least what the proof used.
            max_fee_wei: at least the base fee and the priority fee.
            priority_fee_wei: priority fee per gas.

        Raises:
            InvariantBroken: the proof is not of this plan on this block, or the fees cannot land.
        """
        start_ns = self._clock.monotonic_ns()
        _require_proof(plan, verdict, context)
        if gas_limit < verdict.gas_used or max_fee_wei < context.base_fee_wei + priority_fee_wei:
            raise InvariantBroken(
                f"{plan.opportunity.id} could not land with gas limit {gas_limit} and a fee cap of "
                f"{max_fee_wei} wei: it needs {verdict.gas_used} gas at a base fee of "
                f"{context.base_fee_wei} wei"
            )
        opportunity_id = plan.opportunity.id
        claim = self._lanes.claim(
            target_block=context.number,
            opportunity_id=opportunity_id,
            wants=plan.opportunity.pools | {tx.hash for tx in plan.opportunity.behind},
        )
        if claim is None:
            self._without_lane += 1
            return None
        try:
            bundle = await self._sign(
                plan,
                claim,
                DynamicFeeTransaction(
                    chain_id=self._chain_id,
                    nonce=claim.nonce,
                    max_priority_fee_wei=priority_fee_wei,
                    max_fee_wei=max_fee_wei,
                    gas_limit=gas_limit,
                    to=plan.executor,
                    value_wei=0,
                    data=self._with_bid(plan, bid_wei),
                ),
                bid_wei,
            )
        except BaseException:
            self._lanes.void(claim.address, claim.nonce, opportunity_id)
            raise
        if bundle.own_hash in self._signed or self._watcher.follows(bundle):
            self._twins += 1
            self._lanes.void(claim.address, claim.nonce, opportunity_id)
            return None
        for old in [h for h, target in self._signed.items() if target < context.number]:
            del self._signed[old]
        self._signed[bundle.own_hash] = context.number
        self._ready += 1
        self._ready_ns += bundle.at_ns - start_ns
        return bundle

    async def send(self, plan: Plan, bundle: SignedBundle) -> tuple[Submission, ...]:
        """Record the intent, then give the bundle to every relay at once.

        The watcher follows the bundle from before its first byte leaves. When this is cancelled,
        the relays that have not answered are recorded as unresolved.

        What the journal raises comes through: when it refuses the intent, nothing was sent.
        """
        try:
            await self._journal.intend(bundle)
        except BaseException:
            self.discard(bundle)
            raise
        self._watcher.track(plan, bundle)
        self._sent += 1
        # With exceptions returned, a cancelled gather ends only after every relay's record is made.
        answers = await asyncio.gather(
            *(self._give(relay, bundle) for relay in self._relays), return_exceptions=True
        )
        submissions = tuple(a for a in answers if isinstance(a, Submission))
        if len(submissions) == len(answers):
            await self._watcher.answered(bundle, submissions)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return submissions

    async def cancel(self, bundle: SignedBundle) -> None:
        """Ask every relay to drop a bundle. It may land nevertheless, so its lane stays taken."""
        answers = await asyncio.gather(
            *(relay.cancel(bundle.replacement_uuid) for relay in self._relays),
            return_exceptions=True,
        )
        for relay, answer in zip(self._relays, answers, strict=True):
            if isinstance(answer, BaseException):
                _log.warning("cancel_failed", relay=relay.name, error=str(answer))

    def discard(self, bundle: SignedBundle) -> None:
        """Give back the lane of a bundle that was made ready and never sent."""
        self._discarded += 1
        self._signed.pop(bundle.own_hash, None)
        self._lanes.void(bundle.sender, bundle.nonce, bundle.opportunity_id)

    async def close(self) -> None:
        """Close the relays' connections."""
        for relay in self._relays:
            await relay.close()

    def statistics(self) -> SubmitterStatistics:
        """Return the counts so far."""
        return SubmitterStatistics(
            ready=self._ready,
            sent=self._sent,
            without_lane=self._without_lane,
            twins=self._twins,
            discarded=self._discarded,
            bundle_ready_ns_total=self._ready_ns,
        )

    async def _sign(
        self, plan: Plan, claim: Claim, tx: DynamicFeeTransaction, bid_wei: int
    ) -> SignedBundle:
        signed = tx.signed(await claim.signer.sign_transaction_hash(tx.signing_hash()))
        bundle = SignedBundle(
            opportunity_id=plan.opportunity.id,
            chain=plan.opportunity.chain,
            target_block=claim.target_block,
            txs=(*(followed.raw for followed in plan.opportunity.behind), signed.raw),
            own_hash=signed.hash,
            sender=claim.address,
            nonce=tx.nonce,
            gas_limit=tx.gas_limit,
            max_fee_wei=tx.max_fee_wei,
            max_priority_fee_wei=tx.max_priority_fee_wei,
            bid_wei=bid_wei,
            replacement_uuid=_uuid_of(signed.hash),
            at_ns=self._clock.monotonic_ns(),
        )
        size = sum(map(len, bundle.txs))
        if size > _MOST_BUNDLE_BYTES:
            raise InvariantBroken(
                f"the bundle of {plan.opportunity.id} has {size} bytes and relays take "
                f"{_MOST_BUNDLE_BYTES}: leave out followed transactions of that size"
            )
        return bundle

    async def _give(self, relay: Relay, bundle: SignedBundle) -> Submission:
        start_ns = self._clock.monotonic_ns()
        try:
            submission = await relay.send(bundle)
        except asyncio.CancelledError:
            interrupted = self._unresolved(relay, bundle, "interrupted before its answer", start_ns)
            await self._journal.submitted(interrupted)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, bytes may have left
            _log.exception("relay_failed", relay=relay.name)
            submission = self._unresolved(
                relay, bundle, f"failed: {type(error).__name__}", start_ns
            )
        await self._journal.submitted(submission)
        return submission

    def _unresolved(
        self, relay: Relay, bundle: SignedBundle, reason: str, start_ns: int
    ) -> Submission:
        now_ns = self._clock.monotonic_ns()
        return Submission(
            opportunity_id=bundle.opportunity_id,
            relay=relay.name,
            state=SubmissionState.UNRESOLVED,
            bundle_hash="",
            reason=reason,
            latency_ns=now_ns - start_ns,
            at_ns=now_ns,
        )


def _require_proof(plan: Plan, verdict: Verdict, context: BlockContext) -> None:
    fits = verdict.opportunity_id == plan.opportunity.id and verdict.context == context
    if not (fits and verdict.succeeded and context.number <= plan.last_block):
        raise InvariantBroken(
            f"{plan.opportunity.id} is not proved for block {context.number}: nothing was signed"
        )


def _uuid_of(own_hash: Hash32) -> str:
    """Name a bundle by its own transaction, in the form of a UUID (version 4) that relays ask."""
    return str(UUID(bytes=bytes.fromhex(own_hash[2:34]), version=4))
