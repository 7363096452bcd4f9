"""The base of every signer, and the one that holds a key in this process."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Never

from coincurve import PrivateKey

from searcher.domain.errors import Misconfigured
from searcher.domain.settings import Settings
from searcher.domain.units import Address, keccak256
from searcher.submission.transactions import Signature

_KEY: Final = re.compile(r"(0[xX])?[0-9a-fA-F]{64}\Z")
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the secp256k1 group; a private key is below it (SEC 2, section 2.4.1)."""


class Signer(ABC):
    """Signs for one address. The key stays inside: what is public is the address.

    A plug-in's constructor takes its `Config` and fails with `Misconfigured` when the key cannot be
    used. Signing is asynchronous, because a key may live in another process or machine.
    """

    Config: ClassVar[type[Settings]]

    @property
    @abstractmethod
    def address(self) -> Address:
        """The address that the key controls."""

    @abstractmethod
    async def sign_transaction_hash(self, digest: bytes) -> Signature:
        """Sign the 32-byte signing hash of a transaction."""

    @abstractmethod
    async def sign_personal(self, text: str) -> str:
        """Sign `text` as an EIP-191 personal message; returns 65 bytes as 0x hex, v 27 or 28."""


class LocalSigner(Signer):
    """A signer whose key is in this process's memory.

    Args:
        key: 32 bytes. It is kept in the native library's object and nowhere else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = PrivateKey(key)
        public = self._key.public_key.format(compressed=False)[1:]
        self._address = Address("0x" + keccak256(public)[12:].hex())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"

    def __reduce__(self) -> Never:
        raise TypeError("a signer is never copied or written: its key would leave the process")

    @property
    def address(self) -> Address:
        """The address that the key controls."""
        return self._address

    async def sign_transaction_hash(self, digest: bytes) -> Signature:
        """Sign deterministically (RFC 6979, low s), in about 15 microseconds."""
        return self._sign(digest)

    async def sign_personal(self, text: str) -> str:
        """Sign `text` as EIP-191 version 0x45."""
        message = text.encode()
        prefix = f"\x19Ethereum Signed Message:\n{len(message)}".encode()
        signature = self._sign(keccak256(prefix + message))
        return f"0x{signature.r:064x}{signature.s:064x}{signature.y_parity + 27:02x}"

    def _sign(self, digest: bytes) -> Signature:
        if len(digest) != 32:
            raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
        flat: Any = self._key.sign_recoverable(digest, hasher=None)
        return Signature(
            r=int.from_bytes(flat[:32], "big"),
            s=int.from_bytes(flat[32:64], "big"),
            y_parity=flat[64],
        )


def parse_key(text: str, *, origin: str) -> bytes:
    """Return the 32 bytes of a private key in hex.

    Args:
        text: the key; it never appears in an error.
        origin: where it came from, for the error.

    Raises:
        Misconfigured: not a private key.
    """
    stripped = text.strip()
    if not _KEY.match(stripped):
        raise Misconfigured(
            f"{origin} does not hold a private key: it must be 64 hex digits, with or without 0x"
        )
    key = bytes.fromhex(stripped[-64:])
    if not 0 < int.from_bytes(key, "big") < _ORDER:
        raise Misconfigured(f"{origin} holds a number that is no key of secp256k1: make a new key")
    return key
