"""The exact signed bytes of a pending transaction, rebuilt from a node's JSON and proven.

A bundle carries a transaction as the bytes its sender signed, but nodes hand out JSON. The bytes
are rebuilt (EIP-2718 envelopes: legacy, EIP-2930, EIP-1559, EIP-7702), and count only when their
Keccak-256 is the transaction's hash and the signature recovers to the sender the JSON names. Blob
transactions (EIP-4844) are refused: their sidecar is not in the JSON, so they cannot be relayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import coincurve
from msgspec import Struct

from searcher.chains.quantity import quantity
from searcher.domain import rlp
from searcher.domain.events import PendingTx
from searcher.domain.units import Address, Hash32, keccak256

_LEGACY, _ACCESS_LIST, _DYNAMIC_FEE, _BLOB, _SET_CODE = range(5)
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""EIP-2: a larger `s` is malleable and no valid transaction."""

_NARROW: Final = frozenset({"nonce", "gas"})
"""EIP-2681 and the gas pool keep these within 64 bits; a chain takes no more."""


class Unprovable(ValueError):
    """A body that cannot become a `PendingTx`; `cause` is the short name it is counted under."""

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class _Signed(Struct):
    """What hashing and recovery need of a rebuilt transaction."""

    raw: bytes
    digest: bytes
    parity: int
    r: int
    s: int
    chain_id: int | None


def rebuild_raw(tx: Mapping[str, Any]) -> bytes:
    """Return the signed bytes of a transaction given as a node's JSON.

    Raises:
        Unprovable: a field is missing or malformed, the type is unknown or a blob transaction, or
            the bytes do not hash to the JSON's `hash`.
    """
    return _rebuild(tx).raw


def parse_pending(
    chain: str, tx: Mapping[str, Any], received_ns: int, *, chain_id: int | None = None
) -> PendingTx:
    """Return the transaction with its proven bytes and sender.

    Args:
        chain: the chain it was seen on.
        tx: the body as a node sends it.
        received_ns: when its frame arrived.
        chain_id: when given, a body signed for another chain is refused.

    Raises:
        Unprovable: as for `rebuild_raw`, or it is signed for another chain, already in a block, or
            not signed by the `from` it names.
    """
    if tx.get("blockHash") is not None:
        raise Unprovable("mined", "the transaction is in a block already")
    signed = _rebuild(tx)
    if chain_id is not None and signed.chain_id not in (None, chain_id):
        raise Unprovable("wrong_chain", f"signed for chain {signed.chain_id}, not {chain_id}")
    sender = _recover(signed)
    if sender != str(tx.get("from")).lower():
        raise Unprovable("sender", f"signed by {sender}, but `from` says {tx.get('from')}")
    tx_type = _type(tx)
    dynamic = tx_type in (_DYNAMIC_FEE, _SET_CODE)
    to = tx.get("to")
    return PendingTx(
        chain=chain,
        hash=Hash32(_text(tx, "hash")),
        raw=signed.raw,
        sender=sender,
        to=None if to is None else Address(to.lower()),
        nonce=_number(tx, "nonce"),
        value=_number(tx, "value"),
        gas=_number(tx, "gas"),
        max_fee_wei=_number(tx, "maxFeePerGas" if dynamic else "gasPrice"),
        max_priority_fee_wei=_number(tx, "maxPriorityFeePerGas" if dynamic else "gasPrice"),
        data=_input(tx),
        tx_type=tx_type,
        received_ns=received_ns,
    )


def _rebuild(tx: Mapping[str, Any]) -> _Signed:
    try:
        tx_type = _type(tx)
        if tx_type == _BLOB:
            raise Unprovable("blob", "a blob transaction's sidecar is not in its JSON")
        if tx_type not in (_LEGACY, _ACCESS_LIST, _DYNAMIC_FEE, _SET_CODE):
            raise Unprovable("type", f"transaction type {tx_type} is not known")
        signed = _legacy(tx) if tx_type == _LEGACY else _typed(tx, tx_type)
        claimed = _text(tx, "hash")
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Unprovable("malformed", f"a field is missing or malformed: {error!r}") from error
    except ValueError as error:
        if isinstance(error, Unprovable):
            raise
        raise Unprovable("malformed", f"a field is malformed: {error}") from error
    if "0x" + keccak256(signed.raw).hex() != claimed:
        raise Unprovable("hash", f"the rebuilt bytes do not hash to {claimed}")
    return signed


def _legacy(tx: Mapping[str, Any]) -> _Signed:
    v, r, s = _number(tx, "v"), _number(tx, "r"), _number(tx, "s")
    body = b"".join(
        (_int(tx, "nonce"), _int(tx, "gasPrice"), _int(tx, "gas"), _payment(tx)),
    )
    if v in (27, 28):
        chain_id, parity, tail = None, v - 27, b""
    elif v >= 35:  # EIP-155
        chain_id, parity = divmod(v - 35, 2)
        tail = rlp.encode_int(chain_id) + rlp.EMPTY + rlp.EMPTY
    else:
        raise Unprovable("malformed", f"a legacy transaction has no v of {v}")
    return _Signed(
        raw=rlp.wrap(body + b"".join(map(rlp.encode_int, (v, r, s)))),
        digest=keccak256(rlp.wrap(body + tail)),
        parity=parity,
        r=r,
        s=s,
        chain_id=chain_id,
    )


def _typed(tx: Mapping[str, Any], tx_type: int) -> _Signed:
    parity = _number(tx, "yParity" if "yParity" in tx else "v")
    r, s, chain_id = _number(tx, "r"), _number(tx, "s"), _number(tx, "chainId")
    if tx_type == _ACCESS_LIST:
        fees = _int(tx, "gasPrice")
    else:
        fees = _int(tx, "maxPriorityFeePerGas") + _int(tx, "maxFeePerGas")
    parts = [rlp.encode_int(chain_id), _int(tx, "nonce"), fees, _int(tx, "gas"), _payment(tx)]
    parts.append(rlp.encode([_access(entry) for entry in tx["accessList"]]))
    if tx_type == _SET_CODE:
        parts.append(rlp.wrap(b"".join(map(_authorization, tx["authorizationList"]))))
    body, kind = b"".join(parts), bytes((tx_type,))
    return _Signed(
        raw=kind + rlp.wrap(body + b"".join(map(rlp.encode_int, (parity, r, s)))),
        digest=keccak256(kind + rlp.wrap(body)),
        parity=parity,
        r=r,
        s=s,
        chain_id=chain_id,
    )


def _recover(signed: _Signed) -> Address:
    """Return the address whose key made the signature."""
    if signed.parity not in (0, 1) or signed.s > _HALF_ORDER:
        raise Unprovable("signature", "the signature is not one that a chain accepts")
    try:
        compact = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big")
        key = coincurve.PublicKey.from_signature_and_message(
            compact + bytes((signed.parity,)), signed.digest, hasher=None
        )
    except (ValueError, OverflowError) as error:
        raise Unprovable("signature", "the signature recovers to no key") from error
    return Address("0x" + keccak256(key.format(compressed=False)[1:])[12:].hex())


def _payment(tx: Mapping[str, Any]) -> bytes:
    """Encode the fields `to`, `value` and `data`, which all types have in this order."""
    to = tx.get("to")
    where = rlp.EMPTY if to is None else rlp.encode_bytes(_hex(to, size=20))
    return where + _int(tx, "value") + rlp.encode_bytes(_input(tx))


def _access(entry: Mapping[str, Any]) -> Sequence[rlp.Item]:
    """Return an access list entry (EIP-2930) as an RLP item."""
    keys = [_hex(key, size=32) for key in entry["storageKeys"]]
    return (_hex(entry["address"], size=20), keys)


def _authorization(entry: Mapping[str, Any]) -> bytes:
    """Encode one authorization of a set-code transaction (EIP-7702)."""
    parity = "yParity" if "yParity" in entry else "v"
    return rlp.wrap(
        _int(entry, "chainId")
        + rlp.encode_bytes(_hex(entry["address"], size=20))
        + b"".join(_int(entry, name) for name in ("nonce", parity, "r", "s"))
    )


def _type(tx: Mapping[str, Any]) -> int:
    return _number(tx, "type") if "type" in tx else _LEGACY


def _input(tx: Mapping[str, Any]) -> bytes:
    return _hex(tx["input"] if "input" in tx else tx["data"])


def _int(tx: Mapping[str, Any], name: str) -> bytes:
    return rlp.encode_int(_number(tx, name))


def _number(tx: Mapping[str, Any], name: str) -> int:
    return quantity(tx[name], bits=63 if name in _NARROW else 256)


def _text(tx: Mapping[str, Any], name: str) -> str:
    return str(tx[name]).lower()


def _hex(text: str, *, size: int | None = None) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if size is not None and len(value) != size:
        raise ValueError(f"{text[:12]}… is not {size} bytes")
    return value
