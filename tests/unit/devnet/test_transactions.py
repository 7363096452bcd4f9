import contextlib

import pytest
from eth_account import Account as Reference
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.devnet.accounts import account, everyone
from searcher.devnet.relay_signature import body_text, sign_body, verify
from searcher.devnet.transactions import contract_address, decode
from searcher.domain.errors import Rejected

OURS = account("user")
THEIRS = Reference.from_key(OURS.key_hex)
WORDS = st.integers(0, 2**128)


@settings(max_examples=40)
@given(
    nonce=st.integers(0, 2**40),
    gas=st.integers(0, 2**24),
    amounts=st.tuples(WORDS, WORDS, WORDS),
    data=st.binary(max_size=80),
    creates=st.booleans(),
)
def test_type_2_bytes_equal_those_of_eth_account(nonce, gas, amounts, data, creates):
    *fees, value = amounts
    to = None if creates else account("user", 1).address
    raw = OURS.sign(
        chain_id=31_337,
        nonce=nonce,
        to=to,
        gas=gas,
        max_fee_wei=fees[0],
        max_priority_fee_wei=fees[1],
        value=value,
        data=data,
    )
    theirs = THEIRS.sign_transaction(
        {
            "type": 2,
            "chainId": 31_337,
            "nonce": nonce,
            "to": "" if creates else bytes.fromhex(account("user", 1).address[2:]),
            "gas": gas,
            "maxFeePerGas": fees[0],
            "maxPriorityFeePerGas": fees[1],
            "value": value,
            "data": data,
        }
    )
    assert raw == theirs.raw_transaction
    read = decode(raw)
    assert (read.sender, read.to, read.nonce, read.value) == (OURS.address, to, nonce, value)
    assert read.hash == "0x" + bytes(theirs.hash).hex()


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": 5, "chainId": 5},
        {"gasPrice": 5},
        {
            "gasPrice": 9,
            "chainId": 5,
            "type": 1,
            "accessList": [{"address": "0x" + "12" * 20, "storageKeys": ["0x" + "01" * 32]}],
        },
    ],
)
def test_older_types_are_read(fields):
    to = "0x" + "34" * 20
    signed = THEIRS.sign_transaction(
        {"nonce": 4, "gas": 50_000, "to": to, "value": 1, "data": b"\x01", **fields}
    )
    read = decode(bytes(signed.raw_transaction))
    assert read.sender == OURS.address
    assert (read.chain_id, read.to, read.data) == (fields.get("chainId"), to, b"\x01")
    assert read.max_fee_wei == read.max_priority_fee_wei == fields["gasPrice"]
    assert read.tx_type == fields.get("type", 0)
    assert len(read.access_list) == len(fields.get("accessList", ()))


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x03\xc0", b"\x02\xc1\x80", b"\xc0", b"\x7f"])
def test_what_is_no_transaction_is_a_value_error(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        decode(raw)


def test_a_changed_byte_is_another_sender_or_no_transaction():
    raw = bytearray(
        OURS.sign(
            chain_id=1, nonce=0, to=OURS.address, gas=21_000, max_fee_wei=1, max_priority_fee_wei=1
        )
    )
    raw[10] ^= 1
    with contextlib.suppress(ValueError):
        assert decode(bytes(raw)).sender != OURS.address


def test_a_high_s_is_refused():
    raw = OURS.sign(
        chain_id=1, nonce=0, to=OURS.address, gas=21_000, max_fee_wei=1, max_priority_fee_wei=1
    )
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = decode(raw).s
    flipped = raw.replace(s.to_bytes(32, "big"), (order - s).to_bytes(32, "big"))
    assert flipped != raw
    with pytest.raises(ValueError, match="lower half"):
        decode(flipped)


def test_a_created_address_is_the_one_of_the_evm():
    # The first contract of the account, as several chains' explorers show it.
    creator = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert contract_address(creator, 0) == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert contract_address(creator, 1) == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"


def test_every_account_is_another_one():
    addresses = [who.address for who in everyone()]
    assert len(set(addresses)) == len(addresses)


def test_the_relay_signature_equals_eth_accounts_and_is_bound_to_the_body():
    body = b'{"jsonrpc":"2.0"}'
    header = sign_body(OURS, body)
    theirs = THEIRS.sign_message(encode_defunct(text=body_text(body)))
    assert header == f"{OURS.address}:0x{bytes(theirs.signature).hex()}"
    assert verify(header, body) == OURS.address
    assert verify(f"{THEIRS.address}:{header.partition(':')[2]}", body) == OURS.address
    for wrong in (None, "", "0x12:0x34", header[:-2], header.replace(":", ":0x")):
        with pytest.raises(Rejected):
            verify(wrong, body)
    with pytest.raises(Rejected, match="signature of this body"):
        verify(header, body + b" ")
    with pytest.raises(Rejected, match="signature of this body"):
        verify(f"{account('user', 1).address}:{header.partition(':')[2]}", body)


def test_signing_the_raw_hash_instead_of_its_text_is_refused():
    body = b"{}"
    digest = bytes.fromhex(body_text(body)[2:])
    mistaken = THEIRS.sign_message(encode_defunct(primitive=digest)).signature
    with pytest.raises(Rejected, match="signature of this body"):
        verify(f"{OURS.address}:0x{bytes(mistaken).hex()}", body)
