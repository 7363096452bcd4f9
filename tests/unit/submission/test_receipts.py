import pytest

from searcher.domain.events import Log
from searcher.domain.units import ZERO_ADDRESS, keccak256
from searcher.submission import receipts
from searcher.submission.receipts import parse_receipt, realised


def topic(address):
    return "0x" + "00" * 12 + address[2:]


def log(address, signature, amount, *parties):
    topics = (signature, *map(topic, parties))
    return Log(address, topics, f"0x{amount:064x}")


@pytest.mark.parametrize(
    ("constant", "event"),
    [
        (receipts.TRANSFER_TOPIC, "Transfer(address,address,uint256)"),
        (receipts.DEPOSIT_TOPIC, "Deposit(address,uint256)"),
        (receipts.WITHDRAWAL_TOPIC, "Withdrawal(address,uint256)"),
    ],
)
def test_topics_are_the_events_hashes(constant, event):
    assert constant == "0x" + keccak256(event.encode()).hex()


def test_realised_is_in_less_out_and_the_bid_is_what_was_unwrapped(words):
    weth, ours, pool = words.weth, words.executor, words.pools[0]
    transfer, withdrawal = receipts.TRANSFER_TOPIC, receipts.WITHDRAWAL_TOPIC
    logs = [
        log(weth, transfer, 1_000, pool, ours),
        log(weth, transfer, 900, ours, pool),
        log(words.token, transfer, 5_000, pool, ours),  # another token
        log(weth, transfer, 77, pool, words.coinbase),  # not ours
        log(weth, receipts.DEPOSIT_TOPIC, 5, ours),
        log(weth, withdrawal, 40, ours),
        log(weth, transfer, 40, ours, ZERO_ADDRESS),  # the same withdrawal, as some tokens log it
        log(weth, withdrawal, 13, pool),
        Log(weth, (), "0x"),
    ]

    found = realised(logs, executor=ours, wrapped_native=weth)

    assert (found.gross_wei, found.bid_wei) == (105, 40)


@pytest.mark.parametrize("broken", [{}, "0x", {"blockNumber": "0x1"}, {"status": None}])
def test_what_is_no_receipt_is_refused(broken):
    with pytest.raises(ValueError, match="not a receipt"):
        parse_receipt(broken)
