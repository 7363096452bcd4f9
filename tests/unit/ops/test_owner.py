"""The owner's transactions, as a node would get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from searcher.ops.owner import GAS_MARGIN_BPS, LEAST_PRIORITY_FEE_WEI, OwnerSender
from searcher.submission.signer import LocalSigner

KEY = bytes.fromhex("11" * 32)
BASE_FEE_WEI = 7 * 10**9
TO = "0x" + "ab" * 20


class Node:
    """Answers what a sender asks, and keeps what it is asked."""

    def __init__(self, tip_wei: int = 0, base_fee_wei: int | None = BASE_FEE_WEI) -> None:
        self.tip_wei = tip_wei
        self.base_fee_wei = base_fee_wei
        self.nonces_asked = 0
        self.estimated: list[dict[str, Any]] = []
        self.raw: list[str] = []

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getTransactionCount":
            assert params[1] == "pending"
            self.nonces_asked += 1
            return "0x5"
        assert method == "eth_sendRawTransaction"
        self.raw.append(params[0])
        return "0x" + "77" * 32

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        (estimate, (request,)), (block, _), (tip, _) = calls
        assert (estimate, block, tip) == (
            "eth_estimateGas",
            "eth_getBlockByNumber",
            "eth_maxPriorityFeePerGas",
        )
        self.estimated.append(request)
        head = {} if self.base_fee_wei is None else {"baseFeePerGas": hex(self.base_fee_wei)}
        return [hex(100_000), head, hex(self.tip_wei)]


def sent(raw: str) -> dict[str, Any]:
    return TypedTransaction.from_bytes(HexBytes(raw)).as_dict()


async def test_transactions_go_out_one_behind_the_other_signed_by_the_owner():
    node = Node()
    send = OwnerSender(node, LocalSigner(KEY), 31_337)
    assert await send(TO, b"\x01\x02") == "0x" + "77" * 32
    await send(TO, b"\x03")
    first, second = map(sent, node.raw)
    assert (first["nonce"], second["nonce"]) == (5, 6)
    assert node.nonces_asked == 1
    assert first["chainId"] == 31_337
    assert first["gas"] == 100_000 * GAS_MARGIN_BPS // 10_000
    assert first["maxPriorityFeePerGas"] == LEAST_PRIORITY_FEE_WEI
    assert first["maxFeePerGas"] == 2 * BASE_FEE_WEI + LEAST_PRIORITY_FEE_WEI
    assert bytes(first["data"]) == b"\x01\x02"
    owner = Account.from_key(KEY).address
    assert [Account.recover_transaction(raw) for raw in node.raw] == [owner, owner]
    assert node.estimated[0] == {"from": owner.lower(), "data": "0x0102", "to": TO}


async def test_a_creation_has_no_recipient():
    node = Node(tip_wei=10**10)
    await OwnerSender(node, LocalSigner(KEY), 1)(None, b"\x60")
    assert "to" not in node.estimated[0]
    made = sent(node.raw[0])
    assert made["to"] in (None, b"")
    assert made["maxPriorityFeePerGas"] == 10**10


async def test_a_chain_without_a_base_fee_is_paid_the_tip_alone():
    node = Node(base_fee_wei=None)
    await OwnerSender(node, LocalSigner(KEY), 56)(TO, b"")
    assert sent(node.raw[0])["maxFeePerGas"] == LEAST_PRIORITY_FEE_WEI
