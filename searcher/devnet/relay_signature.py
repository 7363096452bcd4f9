"""The `X-Flashbots-Signature` header, as the relay checks it."""

from __future__ import annotations

from typing import Final

from searcher.devnet.transactions import Account, personal_digest, recover
from searcher.domain.errors import Rejected
from searcher.domain.units import Address, address, keccak256

HEADER: Final = "X-Flashbots-Signature"


def body_text(body: bytes) -> str:
    """Return what is signed: the hash of the body as text of 66 characters, not as 32 bytes."""
    return "0x" + keccak256(body).hex()


def sign_body(account: Account, body: bytes) -> str:
    """Return the header's value for a request body."""
    return f"{account.address}:{account.sign_message(body_text(body))}"


def verify(header: str | None, body: bytes) -> Address:
    """Return who signed a request.

    Raises:
        Rejected: the header is missing or malformed, or the signature is not of this body by the
            address that it names.
    """
    if not header:
        raise Rejected(f"missing {HEADER} header")
    claimed, _, signature = header.partition(":")
    try:
        who = address(claimed)
        signer = recover(personal_digest(body_text(body)), *_parts(signature))
    except ValueError as error:
        raise Rejected(f"malformed {HEADER} header: {error}") from error
    if signer != who:
        raise Rejected(f"{HEADER} is not {who}'s signature of this body")
    return signer


def _parts(signature: str) -> tuple[int, int, int]:
    """Return parity, r and s of 65 bytes of hex; v may be 0 and 1, or 27 and 28."""
    packed = bytes.fromhex(signature.removeprefix("0x"))
    if len(packed) != 65:
        raise ValueError("a signature has 65 bytes")
    parity = packed[64] - 27 if packed[64] >= 27 else packed[64]
    return parity, int.from_bytes(packed[:32], "big"), int.from_bytes(packed[32:64], "big")
