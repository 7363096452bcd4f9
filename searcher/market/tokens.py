"""Finding a token's place among a pool's tokens."""

from __future__ import annotations

from collections.abc import Sequence

from searcher.domain.units import Address
from searcher.kernels.refusal import Status, SwapRefused


def places(tokens: Sequence[Address], token_in: Address, token_out: Address) -> tuple[int, int]:
    """Return the places of two different tokens of a pool.

    Raises:
        SwapRefused: one of them is not the pool's, or they are the same.
    """
    if token_in == token_out:
        raise SwapRefused(Status.SAME_TOKEN, f"{token_in} cannot be swapped for itself")
    found = []
    for token in (token_in, token_out):
        if token not in tokens:
            raise SwapRefused(
                Status.UNKNOWN_TOKEN, f"the pool holds {', '.join(tokens)}, not {token}"
            )
        found.append(tokens.index(token))
    return found[0], found[1]
