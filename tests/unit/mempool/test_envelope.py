from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.domain import rlp
from searcher.domain.units import checksum, keccak256
from searcher.mempool.envelope import Unprovable, parse_pending, rebuild_raw

KEY = Account.from_key("0x" + "42" * 32)
SENDER = KEY.address.lower()
TO = "0x" + "ab" * 20
COMMON = {"nonce": 7, "gas": 90_000, "to": b"\xab" * 20, "value": 10**21, "data": "0x1234"}
ACCESS = [{"address": checksum(TO), "storageKeys": ["0x" + "01" * 32, "0x" + "00" * 32]}]
DYNAMIC = {"chainId": 1, "maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9}
KINDS = {
    "pre-155": {**COMMON, "gasPrice": 10**9},
    "legacy": {**COMMON, "gasPrice": 10**9, "chainId": 56},
    "2930": {**COMMON, "type": 1, "chainId": 1, "gasPrice": 10**9, "accessList": ACCESS},
    "1559": {**COMMON, **DYNAMIC, "type": 2, "accessList": ACCESS},
}


def data_file(name: str) -> Path:
    """A file of the real inputs; a missing folder skips, a missing file in it fails."""
    folder = Path(os.environ.get("SEARCHER_TEST_DATA", "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no real inputs at {folder}: set SEARCHER_TEST_DATA")
    return folder / "mempool" / name


def signed_json(fields: dict) -> dict:
    """Sign with eth-account and write the transaction down as a node would."""
    signed = KEY.sign_transaction(fields)
    body = {
        "hash": "0x" + signed.hash.hex().removeprefix("0x"),
        "from": SENDER,
        "type": hex(fields.get("type", 0)),
        "input": fields["data"],
        "to": TO if "to" in fields else None,
        "blockHash": None,
        "r": hex(signed.r),
        "s": hex(signed.s),
        "v": hex(signed.v),
    }
    for name in ("nonce", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"):
        if name in fields:
            body[name] = hex(fields[name])
    if "chainId" in fields:
        body["chainId"] = hex(fields["chainId"])
    if fields.get("type", 0):
        body["accessList"] = fields.get("accessList", [])
        body["yParity"] = hex(signed.v)
    return {**body, "raw": bytes(signed.raw_transaction)}


def set_code_json() -> dict:
    authorization = KEY.sign_authorization({"chainId": 1, "address": "0x" + "cd" * 20, "nonce": 8})
    fields = {
        **COMMON,
        **DYNAMIC,
        "type": 4,
        "accessList": [],
        "authorizationList": [authorization],
    }
    listed = {
        "chainId": hex(authorization.chain_id),
        "address": "0x" + bytes(authorization.address).hex(),
        "nonce": hex(authorization.nonce),
        "yParity": hex(authorization.y_parity),
        "r": hex(authorization.r),
        "s": hex(authorization.s),
    }
    return {**signed_json(fields), "authorizationList": [listed]}


@pytest.mark.parametrize("kind", KINDS)
def test_each_type_is_rebuilt_to_the_bytes_that_were_signed(kind):
    body = signed_json(KINDS[kind])
    tx = parse_pending("ethereum", body, 5)
    assert tx.raw == body["raw"]
    assert tx.sender == SENDER
    assert (tx.nonce, tx.gas, tx.value, tx.data) == (7, 90_000, 10**21, b"\x124")
    assert tx.to == TO
    assert tx.received_ns == 5


def test_a_set_code_transaction_is_rebuilt():
    body = set_code_json()
    assert parse_pending("ethereum", body, 0).raw == body["raw"]


def test_fees_come_from_the_fields_of_the_type():
    legacy = parse_pending("c", signed_json(KINDS["legacy"]), 0)
    assert (legacy.max_fee_wei, legacy.max_priority_fee_wei) == (10**9, 10**9)
    dynamic = parse_pending("c", signed_json(KINDS["1559"]), 0)
    assert (dynamic.max_fee_wei, dynamic.max_priority_fee_wei) == (3 * 10**9, 10**9)


@settings(max_examples=40, deadline=None)
@given(
    nonce=st.integers(0, 2**63 - 1),
    value=st.integers(0, 2**256 - 1),
    gas=st.integers(21_000, 2**40),
    price=st.integers(1, 2**60),
    data=st.binary(max_size=300),
    creates=st.booleans(),
    kind=st.sampled_from(sorted(KINDS)),
)
def test_any_transaction_is_rebuilt(*, nonce, value, gas, price, data, creates, kind):
    fields = {**KINDS[kind], "nonce": nonce, "value": value, "gas": gas, "data": "0x" + data.hex()}
    price_name = "maxFeePerGas" if kind == "1559" else "gasPrice"
    fields[price_name] = max(price, fields.get("maxPriorityFeePerGas", 0))
    if creates:
        del fields["to"]
    body = signed_json(fields)
    tx = parse_pending("c", body, 0)
    assert tx.raw == body["raw"]
    assert tx.sender == SENDER
    assert (tx.to is None) == creates


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"hash": "0x" + "00" * 32}, "hash"),
        ({"value": "0x1"}, "hash"),
        ({"input": "0x"}, "hash"),
        ({"from": TO}, "sender"),
        ({"from": None}, "sender"),
        ({"chainId": "0x38"}, "hash"),
        ({"nonce": None}, "malformed"),
        ({"nonce": "7"}, "malformed"),
        ({"gas": "0xzz"}, "malformed"),
        ({"gas": hex(2**63)}, "malformed"),
        ({"nonce": hex(2**63)}, "malformed"),
        ({"value": hex(2**256)}, "malformed"),
        ({"to": "0xab"}, "malformed"),
        ({"accessList": None}, "malformed"),
        ({"accessList": [{"address": TO}]}, "malformed"),
        ({"type": "0x3"}, "blob"),
        ({"type": "0x7e"}, "type"),
        ({"blockHash": "0x" + "11" * 32}, "mined"),
        ({"type": 2}, "malformed"),
    ],
)
def test_a_body_that_is_not_what_was_signed_is_refused_by_cause(change, cause):
    with pytest.raises(Unprovable) as caught:
        parse_pending("c", {**signed_json(KINDS["1559"]), **change}, 0)
    assert caught.value.cause == cause


junk = st.none() | st.integers() | st.text(max_size=6) | st.just("0x") | st.lists(st.text())
fields_of_a_body = sorted({*signed_json(KINDS["1559"]), "gasPrice"} - {"raw"})


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    change=st.dictionaries(st.sampled_from(fields_of_a_body), junk, min_size=1, max_size=3),
)
def test_rubbish_is_refused_and_raises_nothing_else(*, kind, change):
    body = signed_json(KINDS[kind])
    try:
        tx = parse_pending("c", {**body, **change}, 0)
    except Unprovable:
        return
    assert tx.raw == body["raw"]


def test_a_signature_that_no_chain_accepts_is_refused():
    body = signed_json(KINDS["legacy"])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    v, s = int(body["v"], 16), order - int(body["s"], 16)
    flipped = {**body, "v": hex(v ^ 1 if v % 2 == 0 else v + 1), "s": hex(s)}
    parts = rlp.decode(body["raw"])
    raw = rlp.encode([*parts[:6], bytes([int(flipped["v"], 16)]), parts[7], s.to_bytes(32, "big")])
    assert rebuild_raw({**flipped, "hash": "0x" + keccak256(raw).hex()}) == raw
    with pytest.raises(Unprovable) as caught:
        parse_pending("c", {**flipped, "hash": "0x" + keccak256(raw).hex()}, 0)
    assert caught.value.cause == "signature"


def test_a_transaction_signed_for_another_chain_is_refused():
    body = signed_json(KINDS["legacy"])
    assert parse_pending("bsc", body, 0, chain_id=56).raw == body["raw"]
    with pytest.raises(Unprovable, match="chain 56, not 1"):
        parse_pending("ethereum", body, 0, chain_id=1)
    assert parse_pending("ethereum", signed_json(KINDS["pre-155"]), 0, chain_id=1).tx_type == 0


def test_the_real_pool_of_base_is_proven_or_refused_by_type():
    content = json.loads(data_file("base_txpool_content.json").read_text())
    bodies = [
        body
        for queue in content.values()
        for by_nonce in queue.values()
        for body in by_nonce.values()
    ]
    assert bodies
    for body in bodies:
        tx = parse_pending("base", body, 0)
        assert tx.hash == body["hash"]
        assert tx.sender == body["from"].lower()
        assert TypedTransaction.from_bytes(tx.raw) if tx.tx_type else tx.raw


def test_real_signed_transactions_survive_the_way_through_a_nodes_json():
    for sample in json.loads(data_file("raw_signed_txs.json").read_text()):
        raw = bytes.fromhex(sample["rlp_out"][2:])
        assert raw[0] == 2
        names = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value")
        *fields, data, access, parity, r, s = rlp.decode(raw[1:])
        body = {n: "0x" + (f.hex() or "0") for n, f in zip(names, fields, strict=True)}
        signature = {"yParity": parity, "r": r, "s": s}
        body |= {n: "0x" + (f.hex() or "0") for n, f in signature.items()}
        assert access == []
        body |= {
            "type": "0x2",
            "input": "0x" + data.hex(),
            "accessList": [],
            "hash": sample["hash"],
        }
        assert rebuild_raw(body) == raw
