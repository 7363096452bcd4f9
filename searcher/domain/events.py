"""What arrives: blocks, logs, pending transactions and their effects.

All seams are frozen structs. Times called `at_ns` or `received_ns` are monotonic nanoseconds of
the process's clock, unless a name says wall.
"""

from __future__ import annotations

from msgspec import Struct

from searcher.domain.units import Address, Hash32, Uint256


class BlockRef(Struct, frozen=True):
    """A block by number and hash; every verdict, overlay and plan says which one it holds for."""

    number: int
    hash: Hash32


class BlockHeader(Struct, frozen=True):
    """The parts of a header that the pipeline uses.

    `base_fee_wei` is 0 on chains without EIP-1559 and on BNB Smart Chain.
    """

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int
    base_fee_wei: Uint256
    gas_limit: int
    gas_used: int
    coinbase: Address

    @property
    def ref(self) -> BlockRef:
        """Number and hash alone."""
        return BlockRef(self.number, self.hash)


class Log(Struct, frozen=True):
    """One event log; `data` is 0x-prefixed hex as the node sent it, sliced by the decoders."""

    address: Address
    topics: tuple[str, ...]
    data: str
    log_index: int = 0


class BlockContext(Struct, frozen=True):
    """The environment of a block that does not exist yet: what a plan is proved under.

    `parent` is the block on whose state it builds.
    """

    parent: BlockRef
    number: int
    timestamp: int
    base_fee_wei: Uint256
    gas_limit: int
    coinbase: Address


class BlockApplied(Struct, frozen=True):
    """A block whose logs are proven complete, in the chain's order."""

    chain: str
    header: BlockHeader
    logs: tuple[Log, ...]
    received_ns: int
    at_ns: int


class ChainReorganised(Struct, frozen=True):
    """The head that was applied, `abandoned`, is no longer an ancestor of the node's head.

    `head` is where to go on from. When it is the `ancestor` that both branches share, state is
    taken back to it, and each block of the new branch follows. Without an ancestor the branches
    part too far back, or blocks are missing: state is read anew at `head`, which does not follow.
    """

    chain: str
    abandoned: BlockRef
    head: BlockHeader
    at_ns: int
    ancestor: BlockRef | None = None


class PendingTx(Struct, frozen=True):
    """A transaction seen before its block, with the exact bytes that its sender signed.

    `raw` hashes to `hash`; a body whose bytes could not be proven never becomes a `PendingTx`.
    `to` is None for a contract creation. `max_fee_wei` is the gas price of a legacy transaction.
    """

    chain: str
    hash: Hash32
    raw: bytes
    sender: Address
    to: Address | None
    nonce: int
    value: Uint256
    gas: int
    max_fee_wei: Uint256
    max_priority_fee_wei: Uint256
    data: bytes
    tx_type: int
    received_ns: int


class PendingEffects(Struct, frozen=True):
    """What a pending transaction does when it is executed on `parent`: its logs, if it succeeds."""

    tx: PendingTx
    parent: BlockRef
    succeeded: bool
    gas_used: int
    logs: tuple[Log, ...]
    at_ns: int
