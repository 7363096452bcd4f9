"""Bundles that wait for their block, and what became of each."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from searcher.devnet.transactions import SignedTransaction, decode
from searcher.domain.errors import Rejected
from searcher.domain.units import Address, Hash32, Uint256, keccak256

_MAX_TRANSACTIONS: Final = 100
_MAX_BYTES: Final = 300_000
_KEPT_RECORDS: Final = 20_000
PRIVATE_BLOCKS: Final = 25
"""How many blocks a private transaction is tried for, when it does not say."""


class Fate(StrEnum):
    """What became of a bundle."""

    WAITING = "waiting"
    LANDED = "landed"
    OUTBID = "outbid"
    REVERTED = "reverted"
    BAD_NONCE = "bad_nonce"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "no_funds"
    PAYS_NOTHING = "pays_nothing"
    NO_ROOM = "no_room"
    OUT_OF_WINDOW = "out_of_window"
    TOO_LATE = "too_late"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    DROPPED = "dropped"
    SEALED_BUT_NOT_LANDED = "sealed_but_not_landed"


class Bundle(Struct, frozen=True):
    """Transactions for the blocks `first_block` to `last_block`, in order, all or none."""

    number: int
    hash: Hash32
    signer: Address
    transactions: tuple[SignedTransaction, ...]
    first_block: int
    last_block: int
    min_timestamp: int = 0
    max_timestamp: int = 0
    may_revert: frozenset[Hash32] = frozenset()
    uuid: str | None = None
    private: bool = False


class BundleRecord(Struct):
    """What became of a bundle.

    `payment_wei` is what it paid, or would have paid alone, besides the tips of public
    transactions in it; `beaten_by` are the bundles that were chosen before it.
    """

    bundle_hash: Hash32
    signer: Address
    block: int
    transactions: tuple[Hash32, ...]
    fate: Fate = Fate.WAITING
    detail: str = ""
    payment_wei: Uint256 = 0
    beaten_by: tuple[Hash32, ...] = ()


class _SendBundle(Struct, rename="camel"):
    txs: list[str]
    block_number: str | int | None = None
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    reverting_tx_hashes: list[str] | None = None
    replacement_uuid: str | None = None
    builders: list[str] | None = None


class _SendPrivate(Struct, rename="camel"):
    tx: str
    max_block_number: str | int | None = None
    preferences: dict[str, Any] | None = None


class BundleBook:
    """All bundles of one chain's builder; transactions of other chains are refused."""

    def __init__(self, chain_id: int) -> None:
        self._chain_id = chain_id
        self._waiting: dict[int, Bundle] = {}
        self._records: OrderedDict[int, BundleRecord] = OrderedDict()
        self._numbers = itertools.count(1)
        self._fates: Counter[str] = Counter()

    def take_bundle(
        self, parameters: Any, signer: Address, head: int, *, dropped: bool = False
    ) -> Hash32:
        """Take the parameters of `eth_sendBundle` and return the bundle's hash.

        A replacement identifier that the same signer used before replaces that bundle; with no
        transactions it cancels it.

        Args:
            parameters: the method's one parameter.
            signer: who signed the request.
            head: number of the chain's head; a bundle without a block number is for the next.
            dropped: acknowledge it and forget it.

        Raises:
            Rejected: the bundle is malformed.
        """
        request = _converted(parameters, _SendBundle)
        transactions = self._decoded(request.txs)
        uuid = request.replacement_uuid
        if uuid is not None:
            fate = Fate.REPLACED if transactions else Fate.CANCELLED
            self._withdraw(uuid, signer, fate)
        if not transactions:
            if uuid is None:
                raise Rejected("bundle missing txs")
            return Hash32("0x" + keccak256(b"").hex())
        block = head + 1 if not request.block_number else _quantity(request.block_number)
        bundle = Bundle(
            number=next(self._numbers),
            hash=bundle_hash(transactions),
            signer=signer,
            transactions=transactions,
            first_block=block,
            last_block=block,
            min_timestamp=request.min_timestamp or 0,
            max_timestamp=request.max_timestamp or 0,
            may_revert=frozenset(Hash32(h.lower()) for h in request.reverting_tx_hashes or ()),
            uuid=uuid,
        )
        self._enter(bundle)
        if dropped:
            self.close(bundle, Fate.DROPPED)
        elif block <= head:
            self.close(bundle, Fate.TOO_LATE, f"the head is {head}")
        return bundle.hash

    def take_private(
        self, parameters: Any, signer: Address, head: int, *, dropped: bool = False
    ) -> Hash32:
        """Take the parameters of `eth_sendPrivateTransaction` and return the transaction's hash.

        It is tried in every block until its last, and is never included when it reverts.

        Raises:
            Rejected: it is malformed, or offers the builder nothing.
        """
        request = _converted(parameters, _SendPrivate)
        transactions = self._decoded([request.tx])
        if transactions[0].max_priority_fee_wei == 0:
            raise Rejected("private transaction must have a priority fee above 0")
        last = head + PRIVATE_BLOCKS
        if request.max_block_number:
            last = min(last, _quantity(request.max_block_number))
        bundle = Bundle(
            number=next(self._numbers),
            hash=transactions[0].hash,
            signer=signer,
            transactions=transactions,
            first_block=head + 1,
            last_block=last,
            private=True,
        )
        self._enter(bundle)
        if dropped:
            self.close(bundle, Fate.DROPPED)
        return bundle.hash

    def cancel(self, uuid: str, signer: Address) -> list[Hash32]:
        """Withdraw the signer's bundles of a replacement identifier; returns their hashes."""
        return self._withdraw(uuid, signer, Fate.CANCELLED)

    def cancel_private(self, transaction_hash: str, signer: Address) -> bool:
        """Withdraw the signer's private transaction; returns whether it was waiting."""
        found = [
            bundle
            for bundle in self._waiting.values()
            if bundle.private and bundle.hash == transaction_hash and bundle.signer == signer
        ]
        for bundle in found:
            self.close(bundle, Fate.CANCELLED)
        return bool(found)

    def for_block(self, number: int) -> list[Bundle]:
        """Return what wants to be in the block, in order of arrival."""
        return [b for b in self._waiting.values() if b.first_block <= number <= b.last_block]

    def close(
        self,
        bundle: Bundle,
        fate: Fate,
        detail: str = "",
        *,
        payment_wei: int = 0,
        beaten_by: Sequence[Hash32] = (),
    ) -> None:
        """Record what became of a bundle; it waits no longer."""
        self._waiting.pop(bundle.number, None)
        self._fates[fate] += 1
        record = self._records.get(bundle.number)
        if record is None:  # so old that its record has made room for others
            return
        record.fate = fate
        record.detail = detail
        record.payment_wei = payment_wei
        record.beaten_by = tuple(beaten_by)

    def expire(self, number: int) -> None:
        """Close what came too late for the block that has just been sealed."""
        for bundle in [b for b in self._waiting.values() if b.last_block <= number]:
            self.close(bundle, Fate.TOO_LATE, f"it came while block {number} was being sealed")

    def records(self, bundle: str | None = None) -> list[BundleRecord]:
        """Return the records, all or those of one bundle hash, oldest first."""
        return [r for r in self._records.values() if bundle in (None, r.bundle_hash)]

    def counts(self) -> dict[str, int]:
        """Return how many bundles met which fate."""
        return {**self._fates, Fate.WAITING.value: len(self._waiting)}

    def _enter(self, bundle: Bundle) -> None:
        self._waiting[bundle.number] = bundle
        self._records[bundle.number] = BundleRecord(
            bundle_hash=bundle.hash,
            signer=bundle.signer,
            block=bundle.last_block,
            transactions=tuple(transaction.hash for transaction in bundle.transactions),
        )
        while len(self._records) > _KEPT_RECORDS:
            self._records.popitem(last=False)

    def _withdraw(self, uuid: str, signer: Address, fate: Fate) -> list[Hash32]:
        found = [b for b in self._waiting.values() if b.uuid == uuid and b.signer == signer]
        for bundle in found:
            self.close(bundle, fate)
        return [bundle.hash for bundle in found]

    def _decoded(self, raws: Sequence[str]) -> tuple[SignedTransaction, ...]:
        if len(raws) > _MAX_TRANSACTIONS:
            raise Rejected(f"bundle has {len(raws)} txs, more than {_MAX_TRANSACTIONS}")
        if sum(len(raw) // 2 for raw in raws) > _MAX_BYTES:
            raise Rejected(f"bundle is larger than {_MAX_BYTES} bytes")
        try:
            decoded = tuple(decode(bytes.fromhex(raw.removeprefix("0x"))) for raw in raws)
        except ValueError as error:
            raise Rejected(f"bundle has a tx that is invalid: {error}") from error
        for transaction in decoded:
            if transaction.chain_id not in (None, self._chain_id):
                raise Rejected(f"bundle has a tx of chain {transaction.chain_id}")
        return decoded


def bundle_hash(transactions: Sequence[SignedTransaction]) -> Hash32:
    """Return the classic hash of a bundle: of its transactions' hashes, one behind the other."""
    joined = b"".join(bytes.fromhex(transaction.hash[2:]) for transaction in transactions)
    return Hash32("0x" + keccak256(joined).hex())


def _quantity(text: str | int) -> int:
    """Return a block number: hex, as the protocol has it, or a number, as one client sends it."""
    try:
        return text if isinstance(text, int) else int(text, 16)
    except ValueError as error:
        raise Rejected(f"{text!r} is no hex number") from error


def _converted(parameters: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(parameters, kind)
    except msgspec.ValidationError as error:
        raise Rejected(f"invalid params: {error}") from error
