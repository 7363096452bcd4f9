import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.domain.units import Address, Hash32
from searcher.submission.signer import LocalSigner
from searcher.submission.transactions import AccessEntry, DynamicFeeTransaction

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
UINT64 = st.integers(0, 2**64 - 1)
UINT256 = st.one_of(st.integers(0, 2**256 - 1), st.sampled_from([0, 1, 127, 128, 255, 256]))
ADDRESS = st.binary(min_size=20, max_size=20).map(lambda b: Address("0x" + b.hex()))
SLOT = st.binary(min_size=32, max_size=32).map(lambda b: Hash32("0x" + b.hex()))
ENTRY = st.builds(AccessEntry, ADDRESS, st.lists(SLOT, max_size=3).map(tuple))
KEYS = st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big"))


@st.composite
def transactions(draw):
    tip, cap = sorted((draw(UINT256), draw(UINT256)))
    return DynamicFeeTransaction(
        chain_id=draw(st.integers(1, 2**63)),
        nonce=draw(st.integers(0, 2**64 - 2)),
        max_priority_fee_wei=tip,
        max_fee_wei=cap,
        gas_limit=draw(UINT64),
        to=draw(st.none() | ADDRESS),
        value_wei=draw(UINT256),
        data=draw(st.binary(max_size=400)),
        access_list=draw(st.lists(ENTRY, max_size=3).map(tuple)),
    )


def by_eth_account(tx, key):
    fields = {
        "type": 2,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "maxPriorityFeePerGas": tx.max_priority_fee_wei,
        "maxFeePerGas": tx.max_fee_wei,
        "gas": tx.gas_limit,
        "value": tx.value_wei,
        "data": tx.data,
        "accessList": [
            {"address": e.address, "storageKeys": list(e.slots)} for e in tx.access_list
        ],
    }
    if tx.to is not None:
        fields["to"] = bytes.fromhex(tx.to[2:])
    return Account.from_key(key).sign_transaction(fields)


async def sign(tx, key):
    return tx.signed(await LocalSigner(key).sign_transaction_hash(tx.signing_hash()))


@given(transactions(), KEYS)
@settings(max_examples=150, deadline=None)
async def test_bytes_and_hash_equal_eth_accounts(tx, key):
    expected = by_eth_account(tx, key)

    signed = await sign(tx, key)

    assert signed.raw == bytes(expected.raw_transaction)
    assert signed.hash == "0x" + bytes(expected.hash).hex()


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_535, 65_536])
async def test_every_length_of_the_prefix_equals_eth_accounts(size):
    tx = DynamicFeeTransaction(1, 7, 1, 2, 21_000, Address("0x" + "11" * 20), 0, b"\x80" * size)

    assert (await sign(tx, KEY)).raw == bytes(by_eth_account(tx, KEY).raw_transaction)


def test_a_negative_field_is_refused():
    tx = DynamicFeeTransaction(1, -1, 1, 2, 21_000, None, 0, b"")

    with pytest.raises(ValueError, match="negative"):
        tx.signing_hash()
