"""What a curve says when its contract would revert."""

from __future__ import annotations


class SwapRefused(ValueError):
    """The contract would revert, or not take the whole amount; the message says why."""
