"""Signed transactions, both ways: bytes to their meaning and sender, and a key's signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import coincurve
from msgspec import Struct

from searcher.domain import rlp
from searcher.domain.units import Address, Hash32, Uint256, address, keccak256

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_EIP2930: Final = 1
_EIP1559: Final = 2
_FIELDS: Final = {_EIP2930: 11, _EIP1559: 12}
_ZERO_COST: Final = 4
_TRANSACTION_GAS: Final = 21_000
_CREATION_GAS: Final = 32_000
_INITCODE_WORD_GAS: Final = 2
_NONZERO_COST: Final = 16
_FLOOR_PER_TOKEN: Final = 10
_ACCESS_ADDRESS_GAS: Final = 2_400
_ACCESS_SLOT_GAS: Final = 1_900

AccessList = tuple[tuple[Address, tuple[str, ...]], ...]


class SignedTransaction(Struct, frozen=True):
    """A transaction of type 0, 1 or 2 with its proven sender; fees are wei per gas.

    `max_fee_wei` and `max_priority_fee_wei` are both the gas price for types 0 and 1.
    """

    raw: bytes
    hash: Hash32
    sender: Address
    tx_type: int
    chain_id: int | None
    nonce: int
    to: Address | None
    value: Uint256
    gas: int
    max_fee_wei: Uint256
    max_priority_fee_wei: Uint256
    data: bytes
    access_list: AccessList
    v: int
    r: int
    s: int

    def effective_tip_wei(self, base_fee_wei: int) -> int:
        """Return what a unit of gas pays the block's builder; negative below the base fee."""
        return min(self.max_priority_fee_wei, self.max_fee_wei - base_fee_wei)

    @property
    def cost_wei(self) -> int:
        """The most it can take from its sender."""
        return self.gas * self.max_fee_wei + self.value

    @property
    def intrinsic_gas(self) -> int:
        """What it costs before any code runs, EIP-7623's floor of calldata included."""
        zeros = self.data.count(0)
        tokens = zeros + 4 * (len(self.data) - zeros)
        gas = _TRANSACTION_GAS + tokens * _ZERO_COST
        if self.to is None:
            gas += _CREATION_GAS + _INITCODE_WORD_GAS * ((len(self.data) + 31) // 32)
        for _, slots in self.access_list:
            gas += _ACCESS_ADDRESS_GAS + _ACCESS_SLOT_GAS * len(slots)
        return max(gas, _TRANSACTION_GAS + tokens * _FLOOR_PER_TOKEN)

    def to_call(self) -> dict[str, Any]:
        """Return it as the call object of `eth_simulateV1`."""
        call: dict[str, Any] = {
            "from": self.sender,
            "input": "0x" + self.data.hex(),
            "gas": hex(self.gas),
            "value": hex(self.value),
            "nonce": hex(self.nonce),
        }
        if self.to is not None:
            call["to"] = self.to
        if self.access_list:
            call["accessList"] = self._access_list_json()
        if self.tx_type == _EIP1559:
            call["maxFeePerGas"] = hex(self.max_fee_wei)
            call["maxPriorityFeePerGas"] = hex(self.max_priority_fee_wei)
        else:
            call["gasPrice"] = hex(self.max_fee_wei)
        return call

    def to_json(self) -> dict[str, Any]:
        """Return it as nodes show a transaction that is in no block yet."""
        shown: dict[str, Any] = {
            "hash": self.hash,
            "type": hex(self.tx_type),
            "from": self.sender,
            "to": self.to,
            "nonce": hex(self.nonce),
            "value": hex(self.value),
            "gas": hex(self.gas),
            "gasPrice": hex(self.max_fee_wei),
            "input": "0x" + self.data.hex(),
            "v": hex(self.v),
            "r": hex(self.r),
            "s": hex(self.s),
            "blockHash": None,
            "blockNumber": None,
            "transactionIndex": None,
        }
        if self.chain_id is not None:
            shown["chainId"] = hex(self.chain_id)
        if self.tx_type:
            shown["accessList"] = self._access_list_json()
            shown["yParity"] = hex(self.v)
        if self.tx_type == _EIP1559:
            shown["maxFeePerGas"] = hex(self.max_fee_wei)
            shown["maxPriorityFeePerGas"] = hex(self.max_priority_fee_wei)
        return shown

    def _access_list_json(self) -> list[dict[str, Any]]:
        return [{"address": a, "storageKeys": list(slots)} for a, slots in self.access_list]


class Account:
    """A local key: its address, and signatures of EIP-1559 transactions."""

    def __init__(self, key: bytes) -> None:
        self._key = coincurve.PrivateKey(key)
        self.address = _address_of(self._key.public_key)

    @property
    def key_hex(self) -> str:
        """The key itself, for the manifest of a local chain."""
        return "0x" + self._key.secret.hex()

    def sign(
        self,
        *,
        chain_id: int,
        nonce: int,
        to: Address | None,
        gas: int,
        max_fee_wei: int,
        max_priority_fee_wei: int,
        value: int = 0,
        data: bytes = b"",
    ) -> bytes:
        """Return the raw bytes of a signed type-2 transaction (EIP-1559)."""
        fields: list[rlp.Item] = [
            _minimal(chain_id),
            _minimal(nonce),
            _minimal(max_priority_fee_wei),
            _minimal(max_fee_wei),
            _minimal(gas),
            bytes.fromhex(to[2:]) if to else b"",
            _minimal(value),
            data,
            [],
        ]
        digest = keccak256(bytes([_EIP1559]) + rlp.encode(fields))
        signature = self._key.sign_recoverable(digest, hasher=None)
        r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
        signed: list[rlp.Item] = [*fields, _minimal(signature[64]), _minimal(r), _minimal(s)]
        return bytes([_EIP1559]) + rlp.encode(signed)

    def sign_message(self, text: str) -> str:
        """Return the EIP-191 personal signature of `text` as 65 bytes of hex, v being 27 or 28."""
        signature = self._key.sign_recoverable(personal_digest(text), hasher=None)
        return "0x" + (signature[:64] + bytes([27 + signature[64]])).hex()


def personal_digest(text: str) -> bytes:
    """Return the hash that a wallet signs for a message (EIP-191, version 0x45)."""
    data = text.encode()
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)


def recover(digest: bytes, y_parity: int, r: int, s: int) -> Address:
    """Return the address whose key made a signature.

    Raises:
        ValueError: no key made it, or its `s` is in the upper half (EIP-2).
    """
    if not 0 < s <= _HALF_ORDER:
        raise ValueError("its signature's s is not in the lower half of the curve's order")
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        public = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for an impossible signature
        raise ValueError("no key made its signature") from error
    return _address_of(public)


def decode(raw: bytes) -> SignedTransaction:
    """Read a signed transaction of type 0, 1 or 2.

    Raises:
        ValueError: the bytes are no such transaction, or its signature is not valid.
    """
    if not raw:
        raise ValueError("a transaction has at least one byte")
    try:
        if raw[0] >= 0xC0:
            return _legacy(raw, _strict_list(raw, 9))
        if raw[0] in _FIELDS:
            return _typed(raw, _strict_list(raw[1:], _FIELDS[raw[0]]))
    except (TypeError, OverflowError) as error:
        raise ValueError(f"it is no transaction: {error}") from error
    raise ValueError(f"transaction type {raw[0]} is not supported: send type 0, 1 or 2")


def contract_address(deployer: Address, nonce: int) -> Address:
    """Return the address of the contract that `deployer` creates with `nonce` (CREATE)."""
    packed = rlp.encode([bytes.fromhex(deployer[2:]), _minimal(nonce)])
    return Address("0x" + keccak256(packed)[12:].hex())


def _legacy(raw: bytes, fields: list[Any]) -> SignedTransaction:
    v, r, s = (_integer(part) for part in fields[6:9])
    chain_id = (v - 35) // 2 if v >= 35 else None
    unsigned = fields[:6] + ([] if chain_id is None else [_minimal(chain_id), b"", b""])
    y_parity = (v - 35) % 2 if v >= 35 else v - 27
    if y_parity not in (0, 1):
        raise ValueError(f"its signature's v is {v}")
    price = _integer(fields[1])
    return SignedTransaction(
        raw=raw,
        hash=Hash32("0x" + keccak256(raw).hex()),
        sender=recover(keccak256(rlp.encode(unsigned)), y_parity, r, s),
        tx_type=0,
        chain_id=chain_id,
        nonce=_integer(fields[0]),
        to=_to(fields[3]),
        value=_integer(fields[4]),
        gas=_integer(fields[2]),
        max_fee_wei=price,
        max_priority_fee_wei=price,
        data=bytes(fields[5]),
        access_list=(),
        v=v,
        r=r,
        s=s,
    )


def _typed(raw: bytes, fields: list[Any]) -> SignedTransaction:
    y_parity, r, s = (_integer(part) for part in fields[-3:])
    if y_parity not in (0, 1):
        raise ValueError(f"its signature's parity is {y_parity}")
    # Type 1 has one gas price where type 2 has tip and maximum; the rest is in the same order.
    prices = fields[2:4] if raw[0] == _EIP1559 else [fields[2], fields[2]]
    gas, to, value, data, access = fields[-8:-3]
    return SignedTransaction(
        raw=raw,
        hash=Hash32("0x" + keccak256(raw).hex()),
        sender=recover(keccak256(raw[:1] + rlp.encode(fields[:-3])), y_parity, r, s),
        tx_type=raw[0],
        chain_id=_integer(fields[0]),
        nonce=_integer(fields[1]),
        to=_to(to),
        value=_integer(value),
        gas=_integer(gas),
        max_fee_wei=_integer(prices[1]),
        max_priority_fee_wei=_integer(prices[0]),
        data=bytes(data),
        access_list=_access_list(access),
        v=y_parity,
        r=r,
        s=s,
    )


def _strict_list(encoded: bytes, length: int) -> list[Any]:
    fields = rlp.decode(encoded)
    if not isinstance(fields, list) or len(fields) != length:
        raise ValueError(f"a transaction of its type has {length} fields")
    return fields


def _access_list(entries: Sequence[Sequence[Any]]) -> AccessList:
    return tuple(
        (address("0x" + bytes(who).hex()), tuple("0x" + bytes(slot).hex() for slot in slots))
        for who, slots in entries
    )


def _to(field: bytes) -> Address | None:
    return address("0x" + field.hex()) if field else None


def _integer(field: bytes) -> int:
    if not isinstance(field, bytes) or field[:1] == b"\0" or len(field) > 32:
        raise ValueError("a number in it is not minimal or too long")
    return int.from_bytes(field, "big")


def _minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _address_of(key: coincurve.PublicKey) -> Address:
    return Address("0x" + keccak256(key.format(compressed=False)[1:])[12:].hex())
