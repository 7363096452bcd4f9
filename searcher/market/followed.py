"""Which protocols a market can follow, and what it begins with where nothing draws its curves."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import Registry
from searcher.kernels.curves import COLUMNS, FloatArray
from searcher.market.protocol import FollowedProtocol, Protocol


def no_pieces(*_curve: Any) -> FloatArray:
    """Draw a curve that is never found."""
    return np.empty((0, COLUMNS))


def followed_by(
    dex: str, protocol: str, protocols: Registry[Protocol[Any]]
) -> FollowedProtocol[Any]:
    """Return the protocol of a DEX.

    Raises:
        Misconfigured: it is unknown, or its pools are quoted only.
    """
    kind = protocols.load(protocol)
    if not can_be_followed(kind):
        followed = [name for name in protocols.names() if can_be_followed(protocols.load(name))]
        raise Misconfigured(
            f"dexes.{dex}.protocol is {protocol!r}, whose pools are quoted and not followed: write"
            f" one of {', '.join(followed)}"
        )
    return kind(kind.Config())


def can_be_followed(kind: type[Protocol[Any]]) -> TypeGuard[type[FollowedProtocol[Any]]]:
    """Return whether the market can find and follow a protocol's pools."""
    return issubclass(kind, FollowedProtocol)
