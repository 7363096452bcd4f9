"""Identifiers, units and the hash everything is named by.

An address or a hash is a lower-case, 0x-prefixed hex string, exactly as nodes send it: it is used
as a dictionary key on the hot path and never converted there. Checksums are for display.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NewType

import sha3

Address = NewType("Address", str)
"""20 bytes as 42 lower-case hex characters."""

Hash32 = NewType("Hash32", str)
"""32 bytes as 66 lower-case hex characters."""

OpportunityId = NewType("OpportunityId", str)
"""`<chain>-<run>-<parent block>-<sequence>`; runs through logs, ledger and `explain`."""

U256_BITS: Final = "u256"
I256_BITS: Final = "i256"

Uint256 = Annotated[int, U256_BITS]
"""An unsigned 256-bit integer; leaves the process only through `domain.codec`."""

Int256 = Annotated[int, I256_BITS]
"""A signed 256-bit integer (a profit can be negative); leaves through `domain.codec` as well."""

ZERO_ADDRESS: Final = Address("0x" + "00" * 20)
WEI_PER_GWEI: Final = 10**9
WEI_PER_NATIVE: Final = 10**18
BPS: Final = 10_000
FEE_PIPS: Final = 1_000_000
"""Pool fees are in hundredths of a basis point, as Uniswap V3 counts them."""

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}\Z")
_HASH32 = re.compile(r"0[xX][0-9a-fA-F]{64}\Z")


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data`, as Ethereum uses it (not NIST SHA-3)."""
    return bytes(sha3.keccak_256(data).digest())


def address(text: str) -> Address:
    """Normalise an address; a mixed-case one must carry a correct EIP-55 checksum.

    Raises:
        ValueError: not 20 bytes of hex, or a checksum that does not match.
    """
    if not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is not an address: write 0x and 40 hex digits")
    lower = Address(text.lower())
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text[2:] != checksum(lower)[2:]:
        raise ValueError(f"{text} has a wrong checksum: it would be {checksum(lower)}")
    return lower


def hash32(text: str) -> Hash32:
    """Normalise a 32-byte hash.

    Raises:
        ValueError: not 32 bytes of hex.
    """
    if not _HASH32.match(text):
        raise ValueError(f"{text!r} is not a 32-byte hash: write 0x and 64 hex digits")
    return Hash32(text.lower())


def checksum(value: Address) -> str:
    """Return the EIP-55 mixed-case form, for people to read."""
    digits = value[2:].lower()
    nibbles = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        c.upper() if c.isalpha() and int(n, 16) >= 8 else c
        for c, n in zip(digits, nibbles, strict=False)
    )


def whole_tokens(amount: int, decimals: int) -> str:
    """Return an amount of smallest units (negative as well) in whole tokens, exactly."""
    whole, part = divmod(abs(amount), 10**decimals)
    digits = f"{part:0{decimals}d}".rstrip("0") if part else ""
    return f"{'-' if amount < 0 else ''}{whole}{'.' + digits if digits else ''}"
