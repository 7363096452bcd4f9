"""What is decided: opportunity, plan, verdict, decision, signed bundle, submission, outcome."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from searcher.domain.events import BlockContext, BlockRef, PendingTx
from searcher.domain.units import Address, Hash32, Int256, OpportunityId, Uint256


class Mode(StrEnum):
    """How far a plan may go: find, prove, or send."""

    OBSERVE = "observe"
    SIMULATE = "simulate"
    LIVE = "live"


class CurveKind(StrEnum):
    """The closed set of curves that the executor tells apart; a protocol names one of them.

    `OTHER` is every curve that it has no adapter for: searched and shown, never planned.
    """

    CONSTANT_PRODUCT = "constant_product"
    CONCENTRATED = "concentrated"
    OTHER = "other"


class Hop(Struct, frozen=True):
    """One swap of a route, exact in smallest units.

    `zero_for_one` is True when `token_in` is the pool's token0. `fee_pips` is the pool's fee in
    hundredths of a basis point.
    """

    pool: Address
    protocol: str
    curve: CurveKind
    token_in: Address
    token_out: Address
    zero_for_one: bool
    fee_pips: int
    amount_in: Uint256
    amount_out: Uint256


class Opportunity(Struct, frozen=True):
    """A route that pays on a given state, exact to the wei.

    `hops` is a cycle: the first takes and the last gives the start token. Or it is a split, several
    ways at once from the start token and back to it: then its hops stand in an order in which each
    finds what it takes. `conversion` swaps the whole profit to the wrapped native token when the
    start token is another one; it is empty otherwise. `gross_wei` is what remains in wrapped
    native, before gas and bid. `behind` are the pending transactions it follows, in order; empty
    for an arbitrage on the parent's state.
    """

    id: OpportunityId
    chain: str
    strategy: str
    parent: BlockRef
    target_block: int
    behind: tuple[PendingTx, ...]
    hops: tuple[Hop, ...]
    conversion: tuple[Hop, ...]
    gross_wei: Uint256
    gas_estimate: int
    net_wei: Int256
    received_ns: int
    at_ns: int

    @property
    def start(self) -> Address:
        """The start token."""
        return self.hops[0].token_in

    @property
    def amount_in(self) -> int:
        """What the hops take of the start token, in smallest units."""
        return sum(hop.amount_in for hop in self.hops if hop.token_in == self.start)

    @property
    def amount_out(self) -> int:
        """What they give of it."""
        return sum(hop.amount_out for hop in self.hops if hop.token_out == self.start)

    @property
    def is_split(self) -> bool:
        """Whether it takes several ways at once."""
        return any(
            before.token_out != after.token_in or before.amount_out != after.amount_in
            for before, after in pairwise(self.hops)
        )

    @property
    def pools(self) -> frozenset[Address]:
        """Every pool that the route touches; opportunities that share one exclude each other."""
        return frozenset(h.pool for h in (*self.hops, *self.conversion))


class Plan(Struct, frozen=True):
    """One call of the executor contract that carries an opportunity out, or reverts.

    `calldata` holds a bid of zero; the bid word is the `bid_size` bytes at `bid_offset`, the only
    part of it that may change after the proof. The call reverts after `last_block` and when less
    than `least_profit_wei` of wrapped native is gained.
    """

    opportunity: Opportunity
    executor: Address
    calldata: bytes
    bid_offset: int
    bid_size: int
    last_block: int
    least_profit_wei: Uint256
    at_ns: int


class Verdict(Struct, frozen=True):
    """What simulation says of a plan on exactly the state and block it would meet.

    `realised_wei` is the profit that the executor returned. A verdict holds for `context.parent`
    only; on another parent it is void.
    """

    opportunity_id: OpportunityId
    backend: str
    context: BlockContext
    succeeded: bool
    gas_used: int
    realised_wei: Uint256
    reason: str
    at_ns: int


class Decision(Struct, frozen=True):
    """Risk's answer, with its reason when it is no."""

    opportunity_id: OpportunityId
    approved: bool
    reason: str
    at_ns: int


class SignedBundle(Struct, frozen=True):
    """The bytes that leave: the followed transactions, then ours, for one target block.

    `own_hash`, `sender` and `nonce` are those of our transaction, the last of `txs`.
    """

    opportunity_id: OpportunityId
    chain: str
    target_block: int
    txs: tuple[bytes, ...]
    own_hash: Hash32
    sender: Address
    nonce: int
    gas_limit: int
    max_fee_wei: Uint256
    max_priority_fee_wei: Uint256
    bid_wei: Uint256
    replacement_uuid: str
    at_ns: int


class SubmissionState(StrEnum):
    """What a relay's answer means; a timeout is not an answer."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    UNRESOLVED = "unresolved"


class Submission(Struct, frozen=True):
    """One bundle given to one relay."""

    opportunity_id: OpportunityId
    relay: str
    state: SubmissionState
    bundle_hash: str
    reason: str
    latency_ns: int
    at_ns: int


class OutcomeKind(StrEnum):
    """How an opportunity ended. The last four are the outcomes of a submission."""

    SKIPPED = "skipped"
    LANDED = "landed"
    NOT_LANDED = "not_landed"
    REJECTED = "rejected"
    UNRESOLVED = "unresolved"


class Outcome(Struct, frozen=True):
    """What became of an opportunity.

    A landed one carries the receipt's figures. `profit_wei` is the gross recorded before sending,
    less the bid and the gas of the receipt; it is 0 for what did not land. `final` is False while
    a reorg may still reverse it.
    """

    opportunity_id: OpportunityId
    kind: OutcomeKind
    reason: str
    block: BlockRef | None
    gas_used: int
    effective_gas_price_wei: Uint256
    profit_wei: Int256
    final: bool
    at_ns: int
