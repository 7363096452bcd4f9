import pytest

from searcher.devnet.accounts import account
from searcher.devnet.bundles import BundleBook, Fate
from searcher.devnet.faults import Fault, FaultBoard, FaultKind
from searcher.domain.errors import Rejected

SIGNER = account("owner").address


def raw(nonce=0, tip=1):
    signed = account("user").sign(
        chain_id=1,
        nonce=nonce,
        to=SIGNER,
        gas=21_000,
        max_fee_wei=10,
        max_priority_fee_wei=tip,
    )
    return "0x" + signed.hex()


def test_a_bundle_without_a_number_is_for_the_next_block():
    book = BundleBook(1)
    book.take_bundle({"txs": [raw()]}, SIGNER, head=7)
    assert [bundle.last_block for bundle in book.for_block(8)] == [8]
    assert book.for_block(9) == []


def test_one_that_comes_while_its_block_is_sealed_is_too_late():
    book = BundleBook(1)
    name = book.take_bundle({"txs": [raw()], "blockNumber": "0x8"}, SIGNER, head=7)
    later = book.take_bundle({"txs": [raw(1)], "blockNumber": "0x9"}, SIGNER, head=7)
    book.expire(8)
    assert book.records(name)[0].fate is Fate.TOO_LATE
    assert book.records(later)[0].fate is Fate.WAITING
    assert book.counts() == {"too_late": 1, "waiting": 1}


def test_every_bundle_is_counted_once():
    book = BundleBook(1)
    for number in range(5):
        book.take_bundle({"txs": [raw(number)]}, SIGNER, head=7, dropped=number % 2 == 0)
    for bundle in book.for_block(8):
        book.close(bundle, Fate.LANDED, payment_wei=5)
    assert book.counts() == {"dropped": 3, "landed": 2, "waiting": 0}
    assert sum(record.payment_wei for record in book.records()) == 10


def test_a_private_transaction_pays_and_is_tried_for_25_blocks_at_most():
    book = BundleBook(1)
    with pytest.raises(Rejected, match="priority fee"):
        book.take_private({"tx": raw(tip=0)}, SIGNER, head=7)
    book.take_private({"tx": raw(), "maxBlockNumber": 1_000}, SIGNER, head=7)
    assert len(book.for_block(8)) == len(book.for_block(32)) == 1
    assert book.for_block(33) == []


def test_a_fault_happens_as_often_as_it_was_asked_for():
    board = FaultBoard()
    board.switch_on(Fault(FaultKind.DROP, count=2))
    board.switch_on(Fault(FaultKind.REFUSE))
    drops = [board.take(FaultKind.DROP) is not None for _ in range(3)]
    assert drops == [True, True, False]
    assert all(board.take(FaultKind.REFUSE) for _ in range(3))
    board.switch_off(FaultKind.REFUSE)
    assert board.take(FaultKind.REFUSE) is None
    assert board.happened() == {"drop": 2, "refuse": 3}
