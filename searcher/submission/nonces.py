"""Nonce lanes: which key signs next, with which nonce, and what may share one.

A signed transaction is live until its nonce is consumed. A lane therefore gives its nonce to one
plan, and to another only as an alternative, of which the chain takes at most one: when the former
is void (its block is over and its nonce is not consumed), or for the same block: when both want
the same pools or follow the same transaction, so that at most one could realise what was proved, or
when there are more plans than keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from searcher.domain.errors import InvariantBroken
from searcher.domain.units import Address, OpportunityId
from searcher.submission.signer import Signer


class Claim(Struct, frozen=True):
    """A nonce of a lane, given to one plan for one target block.

    `wants` are the pools and followed transactions that it cannot share with another plan.
    """

    signer: Signer
    nonce: int
    target_block: int
    opportunity_id: OpportunityId
    wants: frozenset[str] = frozenset()

    @property
    def address(self) -> Address:
        """The operator that signs."""
        return self.signer.address


class LaneStatistics(Struct, frozen=True):
    """How many lanes there are, how many can be claimed now, and the claims so far.

    `alternatives` are those of the claims that share a nonce; `refused` found no lane.
    """

    lanes: int
    free: int
    claims: int
    alternatives: int
    refused: int


class _Lane:
    """One operator key: its next nonce, and the claims that are live on it.

    More than one is live when they are alternatives, or after a reorg: what it took back, and what
    was built behind that.
    """

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.next_nonce: int | None = None  # None: the chain has not been asked yet
        self.known_at = -1  # the block that `next_nonce` was learned from
        self.live: dict[tuple[int, OpportunityId], Claim] = {}

    @property
    def free(self) -> bool:
        return self.next_nonce is not None and not self.live


class NonceLanes:
    """The operators of one chain.

    Nothing can be claimed before `reconcile` has told the chain's nonces. A lane with a live claim
    gives none; a claim ends by `void` (it did not land) or `consumed` (the chain took its nonce).

    Args:
        signers: the operators, in the order in which they are used.

    Raises:
        ValueError: no signer, or two with one address.
    """

    def __init__(self, signers: Sequence[Signer]) -> None:
        self._lanes = {signer.address: _Lane(signer) for signer in signers}
        if not signers or len(self._lanes) != len(signers):
            raise ValueError("lanes need at least one signer, and each address once")
        self._claims = self._alternatives = self._refused = 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The operators' addresses."""
        return tuple(self._lanes)

    def claim(
        self,
        *,
        target_block: int,
        opportunity_id: OpportunityId,
        wants: frozenset[str] = frozenset(),
    ) -> Claim | None:
        """Give a plan a nonce: that of the plan it competes with, or the first free lane's.

        When no lane is free it becomes an alternative on the least crowded one, where the builder
        takes whichever of them pays most. None when no lane can take a plan for this block.
        """
        place = self._shared(target_block, wants) or self._free() or self._crowded(target_block)
        if place is None:
            self._refused += 1
            return None
        lane, nonce = place
        self._claims += 1
        self._alternatives += bool(lane.live)
        claim = Claim(lane.signer, nonce, target_block, opportunity_id, wants)
        lane.live[nonce, opportunity_id] = claim
        return claim

    def _shared(self, target_block: int, wants: frozenset[str]) -> tuple[_Lane, int] | None:
        """Return the one place whose plans want the same; None where they are on two lanes."""
        places = {
            (address, claim.nonce)
            for address, lane in self._lanes.items()
            for claim in lane.live.values()
            if claim.target_block == target_block and not wants.isdisjoint(claim.wants)
        }
        if len(places) != 1:
            return None
        address, nonce = places.pop()
        return self._lanes[address], nonce

    def _free(self) -> tuple[_Lane, int] | None:
        for lane in self._lanes.values():
            if lane.next_nonce is not None and not lane.live:
                return lane, lane.next_nonce
        return None

    def _crowded(self, target_block: int) -> tuple[_Lane, int] | None:
        """Return the least crowded lane of which all plans are alternatives for this block."""
        open_to_more = [
            lane
            for lane in self._lanes.values()
            if lane.next_nonce is not None
            and {(c.target_block, c.nonce) for c in lane.live.values()}
            == {(target_block, lane.next_nonce)}
        ]
        lane = min(open_to_more, key=lambda each: len(each.live), default=None)
        return None if lane is None or lane.next_nonce is None else (lane, lane.next_nonce)

    def adopt(
        self, address: Address, *, nonce: int, target_block: int, opportunity_id: OpportunityId
    ) -> None:
        """Take back a claim of an earlier run, whose outcome is still open.

        The lane stays taken until that outcome is known. A nonce that the chain has consumed
        already takes nothing. Several may be open on one nonce: alternatives, and a plan that was
        void already when its nonce was given again, but died before its outcome was written.

        Raises:
            InvariantBroken: an unknown operator signed.
        """
        lane = self._lanes.get(address)
        if lane is None:
            raise InvariantBroken(
                f"an open bundle of {address} is in the ledger, but that key is not configured: "
                "add its signer until the bundle's outcome is known"
            )
        if lane.next_nonce is not None and nonce < lane.next_nonce:
            return
        claim = Claim(lane.signer, nonce, target_block, opportunity_id)
        lane.live[nonce, opportunity_id] = claim

    def void(self, address: Address, nonce: int, opportunity_id: OpportunityId) -> None:
        """End a claim of which nothing landed; its nonce may be given again.

        A claim that is not live any more is left alone.
        """
        lane = self._lanes.get(address)
        if lane is not None:
            lane.live.pop((nonce, opportunity_id), None)

    def consumed(self, address: Address, nonce: int, block_number: int) -> None:
        """Tell that the chain took `nonce` in `block_number`."""
        lane = self._lanes.get(address)
        if lane is None:
            return
        self._advance(lane, max(nonce + 1, lane.next_nonce or 0), block_number)

    def reconcile(self, nonces: Mapping[Address, int], block_number: int) -> None:
        """Take the chain's nonces as of `block_number`: at the start, and after each block.

        An answer older than what is known is ignored; a lower nonce than known means a reorg and
        is believed when it is as new.
        """
        for address, nonce in nonces.items():
            lane = self._lanes.get(address)
            if lane is not None and block_number >= lane.known_at:
                self._advance(lane, nonce, block_number)

    def reorganised(self) -> None:
        """Forget how new the nonces are: the next `reconcile` decides, whatever its block."""
        for lane in self._lanes.values():
            lane.known_at = -1
            lane.next_nonce = None

    def reopen(
        self, address: Address, *, nonce: int, target_block: int, opportunity_id: OpportunityId
    ) -> None:
        """Make a claim live again, because a reorg took its outcome back.

        A claim built behind it stays live too, and the lane is taken until both are settled.
        """
        lane = self._lanes.get(address)
        if lane is not None:
            claim = Claim(lane.signer, nonce, target_block, opportunity_id)
            lane.live[nonce, opportunity_id] = claim

    def statistics(self) -> LaneStatistics:
        """Return the counts so far."""
        free = sum(lane.free for lane in self._lanes.values())
        return LaneStatistics(
            lanes=len(self._lanes),
            free=free,
            claims=self._claims,
            alternatives=self._alternatives,
            refused=self._refused,
        )

    @staticmethod
    def _advance(lane: _Lane, nonce: int, block_number: int) -> None:
        lane.next_nonce = nonce
        lane.known_at = max(lane.known_at, block_number)
        lane.live = {key: claim for key, claim in lane.live.items() if claim.nonce >= nonce}
