"""What a dry-run does with a proven plan: sign it and mine it on the fork, as the next block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from searcher.domain.clock import Clock
from searcher.domain.errors import InvariantBroken, Rejected
from searcher.domain.events import BlockApplied, BlockHeader, ChainReorganised
from searcher.domain.plan import Outcome, OutcomeKind, Plan, SignedBundle, Verdict
from searcher.domain.ports import Journal
from searcher.domain.units import Address
from searcher.executor.encoder import with_bid
from searcher.opportunities.settings import CycleSettings
from searcher.ops.fork import Fork
from searcher.submission.bids import Terms, choose_terms
from searcher.submission.receipts import Receipt, realised
from searcher.submission.settings import BidSettings, GasSettings
from searcher.submission.signer import Signer
from searcher.submission.transactions import DynamicFeeTransaction

_NONCE: Final = 0
"""Each plan is undone, and the key has never been used before: its nonce is always the first."""


class CarriedStatistics(Struct, frozen=True):
    """Plans that were mined, how many of them earned, and what those earned together."""

    carried: int
    landed: int
    earned_wei: int


class ForkCarrier:
    """Implements `ops.carrier.Carrier` on a fork: each plan alone on the block's state.

    Args:
        fork: stands on the block under test.
        signer: the operator's key, which exists for this run only.
        chain_id: what the signature binds a plan to.
        wrapped_native: the token that profit is counted in.
        clock: stamps.
        bids: floor and cap of bids.
        gas: gas limit and fees.
        strategies: each strategy's knobs, for its share of the bid.
        least_profit_wei: what must remain after bid and gas.
    """

    def __init__(
        self,
        *,
        fork: Fork,
        signer: Signer,
        chain_id: int,
        wrapped_native: Address,
        clock: Clock,
        bids: BidSettings,
        gas: GasSettings,
        strategies: Mapping[str, CycleSettings],
        least_profit_wei: int,
    ) -> None:
        self._fork = fork
        self._signer = signer
        self._chain_id = chain_id
        self._wrapped_native = wrapped_native
        self._clock = clock
        self._bids = bids
        self._gas = gas
        self._strategies = strategies
        self._least_profit_wei = least_profit_wei
        self._journal: Journal | None = None
        self._carried = self._landed = self._earned_wei = 0

    @property
    def operator(self) -> Address:
        """In whose name plans are proved and signed."""
        return self._signer.address

    def record_to(self, journal: Journal) -> None:
        """Say where bundles and outcomes are recorded; before the first plan."""
        self._journal = journal

    def statistics(self) -> CarriedStatistics:
        """Return the counters so far."""
        return CarriedStatistics(self._carried, self._landed, self._earned_wei)

    async def begin(self, header: BlockHeader) -> None:
        """Nothing is left open by an earlier run."""

    async def on_block(self, block: BlockApplied) -> None:
        """Do nothing: the lane on the fork is always free."""

    async def settle(self, block: BlockApplied) -> None:
        """Do nothing: an outcome is recorded as soon as its plan was mined."""

    async def on_reorganised(self, event: ChainReorganised) -> None:
        """Nothing is taken back: what a plan would have earned on a block stays true of it."""

    def dropped(self, outcome: Outcome) -> None:
        """Nothing was reserved for it."""

    def watched(self) -> int:
        """Return 0: every outcome is final."""
        return 0

    async def close(self) -> None:
        """Nothing is open."""

    async def carry(self, plan: Plan, verdict: Verdict) -> str:
        """Choose the bid, sign, mine, and record what it earned.

        Raises:
            InvariantBroken: it realised something else than was proved.
        """
        terms = choose_terms(
            verdict,
            share_bps=self._strategies[plan.opportunity.strategy].bid_share_bps,
            least_profit_wei=self._least_profit_wei,
            bid=self._bids,
            gas=self._gas,
        )
        if terms.refusal:
            return f"below the least profit: {terms.refusal}"
        assert self._journal is not None, "record_to comes before the first plan"
        bundle = await self._sign(plan, verdict, terms)
        await self._journal.intend(bundle)
        outcome = await self._mine(plan, verdict, bundle)
        self._carried += 1
        if outcome.kind is OutcomeKind.LANDED:
            self._landed += 1
            self._earned_wei += outcome.profit_wei
        await self._journal.ended(outcome)
        return ""

    async def _sign(self, plan: Plan, verdict: Verdict, terms: Terms) -> SignedBundle:
        tx = DynamicFeeTransaction(
            chain_id=self._chain_id,
            nonce=_NONCE,
            max_priority_fee_wei=terms.priority_fee_wei,
            max_fee_wei=terms.max_fee_wei,
            gas_limit=terms.gas_limit,
            to=plan.executor,
            value_wei=0,
            data=with_bid(plan, terms.bid_wei),
        )
        signed = tx.signed(await self._signer.sign_transaction_hash(tx.signing_hash()))
        return SignedBundle(
            opportunity_id=plan.opportunity.id,
            chain=plan.opportunity.chain,
            target_block=verdict.context.number,
            txs=(*(followed.raw for followed in plan.opportunity.behind), signed.raw),
            own_hash=signed.hash,
            sender=self._signer.address,
            nonce=tx.nonce,
            gas_limit=tx.gas_limit,
            max_fee_wei=tx.max_fee_wei,
            max_priority_fee_wei=tx.max_priority_fee_wei,
            bid_wei=terms.bid_wei,
            replacement_uuid="",
            at_ns=self._clock.monotonic_ns(),
        )

    async def _mine(self, plan: Plan, verdict: Verdict, bundle: SignedBundle) -> Outcome:
        try:
            receipts = await self._fork.execute(verdict.context, bundle.txs)
        except Rejected as refusal:
            return self._outcome(plan, None, f"the fork refuses it: {refusal}")
        *behind, own = receipts
        for tx, receipt in zip(plan.opportunity.behind, behind, strict=True):
            if receipt is None or not receipt.succeeded:
                return self._outcome(plan, None, f"the followed transaction {tx.hash} fails")
        if own is None or not own.succeeded:
            return self._outcome(plan, None, "reverted" if own else "did not fit into the block")
        self._require_realised(plan, bundle, own)
        gross_wei = plan.opportunity.gross_wei
        return self._outcome(plan, own, "", gross_wei - bundle.bid_wei - own.gas_cost_wei)

    def _require_realised(self, plan: Plan, bundle: SignedBundle, own: Receipt) -> None:
        found = realised(own.logs, executor=plan.executor, wrapped_native=self._wrapped_native)
        recorded = (plan.opportunity.gross_wei, bundle.bid_wei)
        if (found.gross_wei, found.bid_wei) != recorded:
            raise InvariantBroken(
                f"{bundle.opportunity_id} realised {found.gross_wei} wei and paid a bid of "
                f"{found.bid_wei} wei on the fork, recorded were {recorded[0]} and {recorded[1]}"
            )

    def _outcome(
        self, plan: Plan, own: Receipt | None, reason: str, profit_wei: int = 0
    ) -> Outcome:
        return Outcome(
            opportunity_id=plan.opportunity.id,
            kind=OutcomeKind.NOT_LANDED if own is None else OutcomeKind.LANDED,
            reason=reason,
            block=None if own is None else own.block,
            gas_used=0 if own is None else own.gas_used,
            effective_gas_price_wei=0 if own is None else own.effective_gas_price_wei,
            profit_wei=profit_wei,
            final=True,
            at_ns=self._clock.monotonic_ns(),
        )
